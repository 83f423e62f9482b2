"""Hat and Heaviside, and one sigma for each level of a network."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from mgnet import MgNet, record
from mgnet.activations import Hat, Heaviside, describe, per_level
from mgnet.classic import OneHiddenLayer
from mgnet.cost import count_parameters
from mgnet.densenet import DenseNet

x = torch.linspace(-3, 9, 4001, dtype=torch.float64)


def three_terms(x, M):
    return torch.relu(x) - 2 * torch.relu(x - M / 2) + torch.relu(x - M)


@pytest.mark.parametrize("support", [0.7, 1.0, 5.0])
@pytest.mark.parametrize("trainable", [True, False])
def test_hat_equals_its_formula(support, trainable):
    hat = Hat(support, trainable).double()
    torch.testing.assert_close(
        hat(x), three_terms(x, support), rtol=0, atol=1e-6 * trainable + 1e-14
    )
    assert hat(torch.tensor([1e8])) == 0


def test_gradients_in_x_and_in_the_support():
    hat = Hat(5, trainable=True).double()
    xs = x.clone().requires_grad_()
    hat(xs).square().sum().backward()
    M = hat.support.detach().clone().requires_grad_()
    ys = x.clone().requires_grad_()
    three_terms(ys, M).square().sum().backward()
    torch.testing.assert_close(xs.grad, ys.grad)
    # What is trained is log M: d/d(log M) = M d/dM.
    torch.testing.assert_close(hat.log_support.grad, M.detach() * M.grad)
    assert M.grad > 1


def test_hat_becomes_relu_as_the_support_grows():
    gaps = [float((Hat(M)(x) - torch.relu(x)).abs().max()) for M in (4, 8, 16, 32)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] == 9  # behind its support the hat is zero
    assert gaps[2:] == [2, 0]  # hat(9) = 16 - 9; from M = 18 on nothing of the descent is seen


def test_a_trained_support_stays_positive():
    hat = Hat(0.1, trainable=True)
    optimiser = torch.optim.SGD(hat.parameters(), lr=10.0)
    for _ in range(20):
        optimiser.zero_grad()
        hat(torch.tensor([0.04, 0.06])).sum().backward()
        optimiser.step()
        assert hat.support > 0
    assert hat.support < 0.04


def test_heaviside_is_forward_only():
    step = Heaviside()
    torch.testing.assert_close(step(torch.tensor([-1.0, 0.0, 2.0])), torch.tensor([0.0, 0.0, 1.0]))
    output = step(torch.ones(2, requires_grad=True))
    with pytest.raises(RuntimeError, match="train with nn.Sigmoid"):
        output.sum().backward()


@pytest.mark.parametrize("support", [0, -1.0, float("nan"), float("inf"), "5"])
def test_a_support_that_is_no_positive_number(support):
    with pytest.raises(ValueError, match="support must be a positive number"):
        Hat(support)


SUPPORTS = (5, 10, 15, 20)


def hat_net(trainable=True, supports=SUPPORTS):
    hats = [Hat(M, trainable) for M in supports]
    return MgNet(channels=(4, 6, 8, 8), steps=(1, 2, 1, 1), sigma=hats, share_sigma=True)


def test_one_trained_support_for_each_level():
    torch.manual_seed(0)
    model = hat_net()
    trained = [p for name, p in model.named_parameters() if name.endswith("log_support")]
    assert [round(p.exp().item()) for p in trained] == list(SUPPORTS)
    assert count_parameters(model) == count_parameters(hat_net(trainable=False)) + 4
    # All places of a level hold the same parameter: the stem's and R's of the level they lead to.
    one = model.stem[1][1].log_support
    first, second = model.levels[0], model.levels[1]
    for place in (first.before[0], first.after[0]):
        assert place[1].log_support is one
    for place in (first.R[1], first.Pi[1], *second.before, *second.after):
        assert place[1].log_support is trained[1]


def test_all_supports_get_a_gradient():
    torch.manual_seed(0)
    model = hat_net(supports=(1, 1, 1, 1))
    model(torch.randn(8, 3, 16, 16)).square().sum().backward()
    trained = [p for name, p in model.named_parameters() if name.endswith("log_support")]
    assert all(p.grad != 0 for p in trained)
    assert "support=1, trainable=True" in repr(model)


def test_a_trained_hat_has_the_text_of_a_new_one():
    hat = Hat(5, trainable=True)
    with torch.no_grad():
        hat.log_support.add_(0.1)
    assert repr(hat) == repr(Hat(5, trainable=True)) == "Hat(support=5, trainable=True)"
    assert hat.watched()["support"] > 5.5


def test_state_dict_round_trip_and_copies():
    model, other = hat_net(), hat_net()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    other.load_state_dict(model.state_dict())
    f = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(other(f), model(f), rtol=0, atol=0)
    twin = copy.deepcopy(model)  # sharing survives: a copy has as many parameters
    assert count_parameters(twin) == count_parameters(model)


def test_a_list_gives_every_level_its_own():
    channels = (4, 6)
    choice = [nn.PReLU(c) for c in channels]
    for sigma in (choice, nn.ModuleList(choice)):
        model = MgNet(channels=channels, steps=(1, 1), sigma=sigma)
        sizes = [m.weight.numel() for m in model.modules() if isinstance(m, nn.PReLU)]
        assert sizes == [4, 4, 4, 6, 6, 6, 6]  # stem, before, after; Pi, R, before, after
    assert model(torch.randn(2, 3, 8, 8)).shape == (2, 10)


def test_modules_are_copied_so_networks_stay_apart():
    hats = [Hat(5, trainable=True)]
    for share in (True, False):
        (make,) = per_level(hats, [None], share=share)
        first, second = make(), make()
        assert (first is second) == share
        assert first is not hats[0]


TEXTS = {
    "relu": nn.ReLU,
    "prelu": nn.PReLU,
    "prelu-per-channel": partial(nn.PReLU, 3),
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "heaviside": Heaviside,
    "hat-5": partial(Hat, 5),
    "hat-0.1": partial(Hat, 0.1),
    "hat-1e-05": partial(Hat, 1e-5),
    "hat-5-trained": partial(Hat, 5, True),
    "hat-2.5-trained": partial(Hat, trainable=True, support=2.5),
}


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("text", TEXTS)
def test_texts_there_and_back(text, device):
    with torch.device(device):
        made = per_level(text, [3])[0]()
        assert repr(made) == repr(TEXTS[text]())
        for sigma in (text, TEXTS[text], TEXTS[text](), made):
            assert describe(sigma) == text


def test_a_text_says_how_a_hat_began():
    hat = Hat(5, trainable=True)
    with torch.no_grad():
        hat.log_support.add_(1)
    assert describe(hat) == "hat-5-trained"


def test_networks_take_texts_and_lists_of_them():
    model = MgNet(channels=4, steps=(1, 1), sigma=["hat-5", "prelu"])
    assert [m.support for m in model.modules() if isinstance(m, Hat)] == [5.0] * 3
    weights = [m.weight for m in model.modules() if isinstance(m, nn.PReLU)]
    assert len({id(w) for w in weights}) == len(weights) == 4
    assert all(w.numel() == 1 for w in weights)
    assert describe(["hat-5.0", nn.ReLU]) == ["hat-5", "relu"]
    assert describe(nn.ModuleList([Hat(5), nn.Tanh()])) == ["hat-5", "tanh"]
    assert describe(("relu",)) == ["relu"]


def test_sigma_knows_the_channels_of_its_level():
    model = MgNet(channels=(4, 6), steps=(1, 1), sigma="prelu-per-channel")
    sizes = [m.weight.numel() for m in model.modules() if isinstance(m, nn.PReLU)]
    assert sizes == [4, 4, 4, 6, 6, 6, 6]
    choice = [nn.PReLU(c) for c in (4, 6)]
    assert describe(choice) == ["prelu-per-channel"] * 2
    assert repr(MgNet(channels=(4, 6), steps=(1, 1), sigma=choice)) == repr(model)
    wide = OneHiddenLayer((1, 2, 2), 2, width=5, sigma=nn.PReLU(5))
    assert repr(record.rebuild(record.describe(wide))) == repr(wide)
    with pytest.raises(ValueError, match="one number of channels each: take 'prelu'"):
        DenseNet(sigma="prelu-per-channel")


@pytest.mark.parametrize(
    "text", ["Relu", "", "hat", "hat-", "hat-x", "hat-0", "hat--5", "hat-nan", "hat-inf",
             "relu-trained", "hat-5-fixed"]
)  # fmt: skip
def test_texts_that_are_none(text):
    with pytest.raises(ValueError, match=r"unknown activation .* known are relu, .*hat-5-trained"):
        per_level(text, [3])[0]()


@pytest.mark.parametrize(
    "sigma",
    [
        nn.ReLU(inplace=True), partial(nn.ReLU, inplace=True), nn.GELU(approximate="tanh"),
        nn.PReLU(3, init=0.1), nn.PReLU(init=0.1), nn.ELU, Hat, lambda: nn.ReLU(), torch.relu,
        nn.Sequential(), [nn.ReLU, nn.ELU], 3, None, [[nn.ReLU]],
    ],
)  # fmt: skip
def test_what_has_no_text(sigma):
    with pytest.raises(ValueError, match="no text stands for the activation"):
        describe(sigma)
