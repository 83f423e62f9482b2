"""MgNet: its published sizes, its two forms, and what it refuses."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from mgcore.cycle import run, slash_cycle
from mgnet import MgNet
from mgnet.cost import count_parameters, multiply_adds

IMAGENET = {"num_classes": 1000, "stem": "large"}


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 8_278_794),
        ({"num_classes": 100}, 8_301_924),
        ({"num_classes": 100, "channels": 512}, 33_118_820),
        ({"num_classes": 100, "channels": 1024}, 132_297_828),
        ({"channels": 64, "steps": (1, 1, 1, 1)}, 520_394),
        ({"channels": 64}, 521_418),
        ({"channels": 64, "share_B": False}, 668_874),
        (IMAGENET | {"channels": (64, 128, 256, 512)}, 9_897_256),
        (IMAGENET | {"channels": (64, 128, 256, 512), "share_B": False}, 13_030_696),
        (
            IMAGENET | {"channels": (128, 256, 512, 1024), "steps": (3, 4, 6, 3), "share_B": False},
            71_270_504,
        ),
        (
            {"in_channels": 1, "num_classes": 2, "channels": 8, "steps": (4,) * 5, "Pi": False}
            | {"dim": 1},
            3_450,
        ),
    ],
)
@pytest.mark.parametrize("form", ["residual", "feature"])
def test_published_parameter_counts(options, count, form):
    with torch.device("meta"):
        assert count_parameters(MgNet(form=form, **options)) == count


def test_multiply_adds():
    with torch.device("meta"):
        assert multiply_adds(MgNet(), (3, 32, 32)) == pytest.approx(3.60e9, rel=2e-3)
        model = MgNet(channels=(64, 128, 256, 512))
        assert multiply_adds(model, (3, 32, 32)) == pytest.approx(0.68e9, rel=5e-3)
    # One level, one step, by hand: stem and B act on 8 x 8 pixels, the A behind is left out.
    tiny = MgNet(channels=4, steps=(1,), num_classes=10)
    assert multiply_adds(tiny, (3, 8, 8)) == 9 * 64 * (3 * 4 + 4 * 4) + 4 * 10


def both_forms(**options):
    torch.manual_seed(0)
    options = {"channels": (4, 6, 8), "steps": (2, 3, 2), "num_classes": 5} | options
    residual = MgNet(**options).double()
    feature = MgNet(form="feature", **options).double()
    feature.load_state_dict(residual.state_dict())
    return residual, feature


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("share_B", [True, False])
@pytest.mark.parametrize(
    ("steps", "options"),
    [
        ((2, 3, 2), {}), ((1, 1, 1), {}), ((2, 3, 2), {"Pi": False}),
        ((1, 2, 1), {"stem": "large"}), ((1, 2, 1), {"restriction": "pooled"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [16, 17])
def test_the_forms_agree_when_A_is_shared(training, share_B, steps, options, size):
    residual, feature = both_forms(share_B=share_B, steps=steps, **options)
    x = torch.randn(6, 3, size, size, dtype=torch.float64)
    outputs = []
    for model in (residual, feature):
        model.train(training)
        scores = model(x)
        scores.square().sum().backward()
        outputs.append(scores)
    torch.testing.assert_close(*outputs, rtol=1e-12, atol=1e-12)
    for (name, p), q in zip(residual.named_parameters(), feature.parameters(), strict=True):
        ours = torch.zeros_like(p) if p.grad is None else p.grad
        scale = max(1.0, float(q.grad.abs().max()))
        assert (ours - q.grad).abs().max() <= 1e-12 * scale, name
    for a, b in zip(residual.buffers(), feature.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)  # running statistics of BN


def test_the_forms_are_different_networks_when_A_is_not_shared():
    residual, feature = both_forms(share_A=False)
    x = torch.randn(6, 3, 16, 16, dtype=torch.float64)
    assert (residual(x) - feature(x)).abs().max() > 1e-3


def test_r_does_not_depend_on_Pi():
    model, _ = both_forms()
    other = copy.deepcopy(model)
    with torch.no_grad():
        for level in other.levels[:-1]:
            level.Pi[0].weight.mul_(-2)
    x = torch.randn(6, 3, 16, 16, dtype=torch.float64)
    states = []
    for net in (model, other):
        state = net.levels[0].start(net.stem(x))
        states.append(run(net.levels, slash_cycle((2, 3, 0)), state))
    torch.testing.assert_close(states[0].r, states[1].r, rtol=0, atol=0)
    assert (states[0].u - states[1].u).abs().max() > 1e-3


@pytest.mark.parametrize("form", ["residual", "feature"])
def test_features_are_u_as_each_level_is_left(form):
    model = MgNet(channels=(4, 6, 8), steps=(2, 1, 2), form=form).double().eval()
    f = torch.randn(2, 3, 16, 12, dtype=torch.float64)
    features = model.features(f)
    assert [u.shape[1:] for u in features] == [(4, 16, 12), (6, 8, 6), (8, 4, 3)]
    start = model.levels[0].start(model.stem(f))
    for level, u in enumerate(features):
        left = model.levels[level].solution(run(model.levels, model.cycle[: level + 1], start))
        torch.testing.assert_close(u, left, rtol=0, atol=0)
    torch.testing.assert_close(model.head(features[-1].mean((2, 3))), model(f), rtol=0, atol=0)


def reachable(model, x):
    model(x).sum().backward()
    return {name for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("form", "share_A", "steps", "idle"),
    [
        ("residual", True, (2, 2), set()),
        ("residual", True, (2, 1), {"levels.1.A.0.weight"}),
        ("residual", False, (2, 2), {"levels.1.A.1.weight"}),
        ("residual", False, (2, 1), {"levels.1.A.0.weight"}),
        ("residual", True, (1,), {"levels.0.A.0.weight"}),
        ("feature", True, (2, 2), set()),
        ("feature", True, (1, 1), set()),
        ("feature", False, (2, 2), {"levels.0.A.0.weight"}),
        ("feature", False, (1, 2), set()),
        ("feature", True, (1,), {"levels.0.A.0.weight"}),
        ("feature", False, (3,), {"levels.0.A.0.weight"}),
    ],
)
def test_an_A_that_nobody_reads_takes_no_gradient(form, share_A, steps, idle):
    assert_idle(MgNet(channels=4, steps=steps, share_A=share_A, form=form), idle)
    # It stays in the state dict: checkpoints of both forms have the same parameters.
    model = MgNet(channels=4, steps=steps, share_A=share_A, form=form)
    other = MgNet(channels=4, steps=steps, share_A=share_A)
    assert other.state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize(
    ("form", "share_A", "steps", "idle"),
    [
        ("residual", False, (2, 2), {"levels.1.A.1.weight"}),
        ("feature", False, (2, 2), {"levels.0.A.0.weight", "levels.1.A.0.weight"}),
        ("feature", False, (1, 2), {"levels.1.A.0.weight"}),
        ("feature", True, (1, 1), {"levels.1.A.0.weight"}),
        ("feature", True, (1, 2), set()),
    ],
)
def test_without_Pi_every_level_starts_from_zero(form, share_A, steps, idle):
    model = MgNet(channels=4, steps=steps, share_A=share_A, form=form, Pi=False)
    assert all(level.Pi is None for level in model.levels)
    assert_idle(model, idle)


def assert_idle(model, idle):
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == idle
    everything = {name for name, _ in model.named_parameters()}
    assert reachable(model, torch.randn(4, 3, 8, 8)) == everything - idle


DISTRIBUTED = """
import os, pathlib, sys, torch
from mgnet import MgNet
store = pathlib.Path(sys.argv[1]).as_uri()
torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
for form in ("residual", "feature"):
    for share_A in (True, False):
        net = MgNet(channels=4, steps=(2, 1), share_A=share_A, form=form)
        model = torch.nn.parallel.DistributedDataParallel(net)
        for _ in range(2):  # the second step fails if the first left a gradient out
            model(torch.randn(4, 3, 8, 8)).sum().backward()
print("done", flush=True)
os._exit(0)  # gloo's own clean-up can wait for ever
"""


def test_distributed_data_parallel_waits_for_no_missing_gradient(tmp_path):
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("torch was built without gloo")
    result = subprocess.run(
        [sys.executable, "-c", DISTRIBUTED, tmp_path / "store"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert result.stdout.strip() == "done", result.stderr[-3000:]


def test_one_graph_under_compile():
    for form in ("residual", "feature"):
        model = MgNet(channels=4, steps=(2, 2), form=form).eval()
        x = torch.randn(2, 3, 16, 16)
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(x), model(x))


@pytest.mark.parametrize(("dim", "shape"), [(1, (3, 32)), (2, (3, 16, 12)), (3, (3, 8, 8, 8))])
@pytest.mark.parametrize("restriction", ["strided", "pooled"])
def test_series_pictures_and_volumes(dim, shape, restriction):
    model = MgNet(channels=4, steps=(1, 1, 1), dim=dim, restriction=restriction)
    assert model(torch.randn(2, *shape)).shape == (2, 10)


def test_a_pooled_restriction_is_the_kernel_on_the_fine_grid_and_the_largest_of_four():
    torch.manual_seed(0)
    pooled = MgNet(channels=(4, 6), steps=(1, 1), restriction="pooled").eval()
    strided = MgNet(channels=(4, 6), steps=(1, 1)).eval()
    assert count_parameters(pooled) == count_parameters(strided)
    r = torch.randn(2, 4, 8, 8)
    kernel = pooled.levels[0].R[0][0].weight
    everywhere = nn.functional.conv2d(r, kernel, padding=1).reshape(2, 6, 4, 2, 4, 2)
    torch.testing.assert_close(pooled.levels[0].R[0](r), everywhere.amax((3, 5)))
    # Every second node of the same product is what stride 2 computes.
    strided.levels[0].R[0].load_state_dict({"weight": kernel})
    torch.testing.assert_close(strided.levels[0].R[0](r), everywhere[:, :, :, 0, :, 0])


def test_the_scale_of_the_scores():
    torch.manual_seed(0)
    plain = MgNet(channels=4, steps=(1, 1))
    scaled = MgNet(channels=4, steps=(1, 1), logit_scale=0.25)
    scaled.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(scaled(x), plain(x) / 4)


def test_options():
    assert MgNet(channels=np.int64(4), steps=2).cycle == slash_cycle((2,))
    prelu = MgNet(channels=4, steps=(1,), sigma=nn.PReLU(init=0.1))
    weights = [m.weight for m in prelu.modules() if isinstance(m, nn.PReLU)]
    assert len({id(w) for w in weights}) == len(weights) == 3  # one for each place
    inplace = MgNet(channels=4, steps=(1,), sigma=nn.ReLU(inplace=True), norm=False)
    inplace(torch.randn(2, 3, 8, 8)).sum().backward()  # r must outlive its sigma
    model = MgNet(channels=4, steps=(1, 2), sigma=nn.GELU, norm=False, kernel_size=5)
    kinds = [type(module) for module in model.modules()]
    assert kinds.count(nn.GELU) == 1 + 2 * 3 + 2
    assert nn.BatchNorm2d not in kinds
    assert model.levels[0].A[0].weight.shape == (4, 4, 5, 5)
    assert model.cycle == slash_cycle((1, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MgNet(channels=(4, 8), steps=(2, 2, 2)), "got 2 channels .* and 3 steps"),
        (lambda: MgNet(channels=0), "channels must be positive"),
        (lambda: MgNet(steps=(2, 0)), "steps must be positive"),
        (lambda: MgNet(steps=()), "channels must be positive whole numbers"),
        (lambda: MgNet(steps=(1.5,), channels=4), "steps must be positive whole"),
        (lambda: MgNet(num_classes=0), "num_classes must be positive"),
        (lambda: MgNet(in_channels=True), "in_channels must be positive whole numbers"),
        (lambda: MgNet(dim=2.0), "dim must be 1, 2 or 3, for series, pictures or volumes, got 2.0"),
        (lambda: MgNet(dim=True), "for series, pictures or volumes, got True"),
        (lambda: MgNet(form="mixed"), "known are 'feature', 'residual'"),
        (lambda: MgNet(kernel_size=2), "odd"),
        (lambda: MgNet(dim=4), "1, 2 or 3"),
        (lambda: MgNet(norm=nn.GroupNorm), r"norm must be True \(batch norm.*\) or False \(none\)"),
        (lambda: MgNet(share_A=2), "share_A must be True .* or False .*, got 2"),
        (lambda: MgNet(share_B="no"), "share_B must be True .* or False .*, got 'no'"),
        (lambda: MgNet(sigma=torch.relu), "sigma must be a module or a callable that makes one"),
        (lambda: MgNet(sigma="rely"), "unknown activation 'rely'; known are relu, prelu, .* hat-5"),
        (lambda: MgNet(sigma=lambda: 3), "sigma must be a module or a callable"),
        (lambda: MgNet(sigma=[nn.ReLU, nn.ReLU]), "one entry for each level, got 2 for 4 levels"),
        (lambda: MgNet(share_sigma=1), "share_sigma must be True .* or False .*, got 1"),
        (lambda: MgNet(Pi=None), "Pi must be True .* or False .*, got None"),
        (lambda: MgNet(restriction="mean"), "unknown restriction 'mean'; known are 'strided'"),
        (lambda: MgNet(logit_scale=0), "logit_scale must be a positive number, got 0"),
        (lambda: MgNet(logit_scale="1"), "logit_scale must be a positive number, got '1'"),
        (lambda: MgNet(stem="7x7"), "unknown stem '7x7'; known are 'small', 'large'"),
        (lambda: MgNet(channels=4, stem="large")(torch.ones(1, 3, 16, 16)), "at least 32 pixels"),
        (lambda: MgNet(channels=4)(torch.ones(1, 3, 4, 4)), "at least 8 pixels a side"),
        (lambda: MgNet(channels=4)(torch.ones(1, 1, 32, 32)), r"\(batch, 3, n, n\)"),
        (lambda: MgNet(channels=4)(torch.ones(3, 32, 32)), r"\(batch, 3, n, n\)"),
        (lambda: MgNet(channels=4)([1.0]), "floating-point tensor, got list"),
        (lambda: MgNet(channels=4)(torch.ones(1, 3, 32, 32).byte()), "got torch.uint8"),
    ],
)  # fmt: skip
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
