"""Descriptions of networks as plain data, and networks from descriptions."""

import copy
import io
import json
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import mgnet
from mgnet import MgNet
from mgnet.activations import Hat
from mgnet.classic import LeNet5, LogisticRegression, OneHiddenLayer
from mgnet.record import describe, rebuild, recorded
from mgnet.resnet import ResNet
from mgnet.zoo import ZOO


def shapes(model):
    return {name: (value.shape, value.dtype) for name, value in model.state_dict().items()}


def assert_same(a, b):
    assert type(a) is type(b)
    assert repr(a) == repr(b)
    assert shapes(a) == shapes(b)
    trained = [[n for n, p in model.named_parameters() if p.requires_grad] for model in (a, b)]
    assert trained[0] == trained[1]


@pytest.mark.parametrize("name", ZOO)
def test_every_network_of_the_zoo_there_and_back(name):
    with torch.device("meta"):
        model = mgnet.build(name)
        description = json.loads(json.dumps(describe(model)))
        assert_same(rebuild(description), model)
    assert description == describe(model)
    assert description["network"] == type(model).__name__


def test_all_arguments_with_their_defaults():
    model = MgNet(1, channels=(4, np.int64(8)), steps=np.array([1, 2]), sigma=Hat(5, True))
    assert describe(model) == {
        "network": "MgNet",
        "options": {
            "in_channels": 1, "num_classes": 10, "channels": [4, 8], "steps": [1, 2],
            "share_A": True, "share_B": True, "form": "residual", "iteration": "single",
            "sigma": "hat-5-trained", "share_sigma": False, "norm": True, "Pi": True,
            "restriction": "strided", "logit_scale": 1.0,
            "stem": "small", "kernel_size": 3, "dim": 2,
        },
    }  # fmt: skip
    assert_same(rebuild(describe(model)), model)
    hidden = OneHiddenLayer((3, 8, 8), width=5, sigma=partial(nn.Tanh))
    assert describe(hidden)["options"]["picture"] == [3, 8, 8]
    assert_same(rebuild(describe(hidden)), hidden)


def test_the_same_network_gives_the_same_scores_with_its_weights():
    model = MgNet(channels=(4, 8), steps=(2, 1), sigma=["hat-5", nn.PReLU], iteration="chebyshev")
    twin = rebuild(describe(model))
    twin.load_state_dict(model.state_dict())
    f = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(twin(f), model(f), rtol=0, atol=0)


def test_a_description_is_the_callers_own():
    model = MgNet(channels=(4, 8), steps=(1, 1))
    describe(model)["options"]["channels"].append(16)
    assert describe(model)["options"]["channels"] == [4, 8]


def test_copies_files_and_compiled_networks():
    model = LeNet5(sigma=lambda: nn.ReLU())  # a lambda that no pickle would hold
    assert not any("options" in key for key in model.state_dict())
    pickle.loads(pickle.dumps(model))
    model = ResNet(channels=(4, 8), steps=(1, 1)).eval()
    stream = io.BytesIO()
    torch.save(model, stream)
    stream.seek(0)
    copies = [
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        torch.load(stream, weights_only=False),
    ]
    for other in copies:
        assert_same(other, model)
        assert describe(other) == describe(model)
    f = torch.randn(2, 3, 8, 8)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(f), model(f))


class Narrow(MgNet):
    def __init__(self, width=4):
        super().__init__(channels=width, steps=(1, 1))
        self.extra = nn.Linear(2, 2)


def test_a_subclass_is_another_network():
    with pytest.raises(ValueError, match="Narrow is none of .*MgNet.*; build it yourself and load"):
        describe(Narrow())


def test_a_subclass_can_be_recorded():
    class OwnNarrow(Narrow):
        pass

    recorded(OwnNarrow)
    model = OwnNarrow(6)
    assert describe(model) == {"network": "OwnNarrow", "options": {"width": 6}}
    assert_same(rebuild(describe(model)), model)
    assert describe(MgNet(channels=4))["options"]["channels"] == 4
    with pytest.raises(ValueError, match="a network MgNet is recorded already, from mgnet.mgnet"):
        recorded(type("MgNet", (nn.Module,), {"__module__": __name__}))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(1, 1), r"Linear is none of .*MgNet, .*; build it yourself and load"),
        (LeNet5(sigma=nn.ELU), "no text stands for the activation .*ELU.*build it yourself"),
        (LogisticRegression(x for x in (1, 2, 2)), "picture is a generator; build it yourself"),
        (LeNet5.__new__(LeNet5), "built before arguments were recorded"),
    ],
)
def test_what_cannot_be_described(model, message):
    with pytest.raises(ValueError, match=message):
        describe(model)


@recorded
class Wide(nn.Module):
    """A network that has got an option more than it had."""

    def __init__(self, width, depth=1):
        super().__init__()
        self.head = nn.Linear(width, depth)


def test_a_description_of_before_an_option_was_added():
    model = rebuild({"network": "Wide", "options": {"width": 3}})
    assert describe(model)["options"] == {"width": 3, "depth": 1}


LENET = {"in_channels": 1, "num_classes": 10, "sigma": "tanh"}


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ([], "a description has a network and its options"),
        ({"network": "LeNet5"}, "a description has a network and its options"),
        ({"network": "LeNet6", "options": {}}, "unknown network 'LeNet6'; known are .*LeNet5, "),
        ({"network": ["LeNet5"], "options": {}}, "unknown network"),
        ({"network": "LeNet5", "options": []}, "options of LeNet5 must be a dict"),
        ({"network": "LeNet5", "options": LENET | {"stem": "small"}}, "LeNet5 has no option stem;"),
        ({"network": "LeNet5", "options": LENET | {1: 2}}, "LeNet5 has no option 1; it knows in_c"),
        ({"network": "Wide", "options": {"depth": 2}}, "the options of Wide lack width"),
        ({"network": "LeNet5", "options": LENET | {"sigma": "rely"}}, "unknown activation 'rely'"),
        ({"network": "LeNet5", "options": LENET | {"num_classes": 1.5}}, "positive whole numbers"),
        ({"network": "LogisticRegression", "options": {"picture": 5, "num_classes": 2}},
         "LogisticRegression cannot be built from"),
    ],
)  # fmt: skip
def test_what_cannot_be_rebuilt(description, message):
    with pytest.raises(ValueError, match=message):
        rebuild(description)
