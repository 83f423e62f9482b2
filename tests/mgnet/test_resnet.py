"""ResNet and pre-act ResNet: sizes worked out by hand, sharing, and the theorem about MgNet."""

import itertools

import pytest
import torch
from torch import nn

from mgcore.cycle import run
from mgnet import MgNet
from mgnet.cost import count_parameters, multiply_adds
from mgnet.resnet import PreActResNet, ResNet

EIGHTEEN, THIRTY_FOUR = (2, 2, 2, 2), (3, 4, 6, 3)
FORMS = list(itertools.product((False, True), repeat=2))


def small(kind, **options):
    options = {"channels": (4, 6, 8), "steps": (2, 3, 2), "num_classes": 5} | options
    return kind(**options)


def expected(kind, steps, share_A, share_B, classes, stem=3):
    """Kernels, two numbers a channel for each batch normalisation, and the head."""
    channels = (64, 128, 256, 512)
    count = stem**2 * 3 * 64 + 513 * classes
    for stage, (c, n) in enumerate(zip(channels, steps, strict=True)):
        square, half = 9 * c * c, 9 * c * c // 2
        count += square * (1 if share_A and stage else n)
        if stage == 0:
            count += square * n
        else:
            count += c * c // 2  # the 1x1 shortcut
            count += square if share_B else half + square * (n - 1)
        count += 2 * 2 * c * n  # two normalisations a block, whatever is shared
    if kind is ResNet:
        count += 2 * 64 + 2 * (128 + 256 + 512)  # behind the stem and the shortcuts
    elif share_B:
        count += 2 * (64 + 128 + 256) + 2 * 512  # before the shortcuts and the pooling
    else:
        # The first block's normalisation lies before the shortcut, on the finer grid.
        count += 2 * (64 + 128 + 256) - 2 * (128 + 256 + 512) + 2 * 512
    return count


@pytest.mark.parametrize("kind", [ResNet, PreActResNet])
@pytest.mark.parametrize("steps", [EIGHTEEN, THIRTY_FOUR, (1, 1, 1, 1)])
@pytest.mark.parametrize(("share_A", "share_B"), FORMS)
@pytest.mark.parametrize(("stem", "side"), [("small", 3), ("large", 7)])
def test_parameters_by_hand(kind, steps, share_A, share_B, stem, side):
    with torch.device("meta"):
        model = kind(num_classes=100, steps=steps, share_A=share_A, share_B=share_B, stem=stem)
    assert count_parameters(model) == expected(kind, steps, share_A, share_B, 100, side)


@pytest.mark.parametrize(
    ("steps", "share_A", "share_B", "count"),
    [
        (EIGHTEEN, False, False, 11_220_132),
        (EIGHTEEN, True, False, 8_123_556),
        (EIGHTEEN, False, True, 9_671_844),
        (EIGHTEEN, True, True, 6_575_268),
        (THIRTY_FOUR, False, False, 21_328_292),
        (THIRTY_FOUR, True, False, 13_218_212),
        (THIRTY_FOUR, False, True, 14_766_500),
        (THIRTY_FOUR, True, True, 6_656_420),
    ],
)
def test_published_sizes(steps, share_A, share_B, count):
    with torch.device("meta"):
        options = {"num_classes": 100, "steps": steps, "share_A": share_A, "share_B": share_B}
        assert count_parameters(ResNet(**options)) == count
        # Pre-act differs in its normalisations alone, less than the last digit that is printed.
        assert abs(count_parameters(PreActResNet(**options)) - count) < 4_000


def test_the_network_for_large_pictures_is_the_usual_one():
    with torch.device("meta"):
        model = ResNet(num_classes=1000, stem="large")
        assert count_parameters(model) == 11_689_512
        assert multiply_adds(model, (3, 224, 224)) == 1_814_073_344


@pytest.mark.parametrize("kind", [ResNet, PreActResNet])
@pytest.mark.parametrize(("share_A", "share_B"), FORMS)
@pytest.mark.parametrize("steps", [(2, 3, 2), (1, 1, 1)])
def test_the_backward_pass_reaches_everything(kind, share_A, share_B, steps):
    torch.manual_seed(0)
    model = small(kind, steps=steps, share_A=share_A, share_B=share_B)
    scores = model(torch.randn(4, 3, 16, 12))
    assert scores.shape == (4, 5)
    scores.square().sum().backward()
    assert all(p.requires_grad for p in model.parameters())
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def convolutions(model):
    found = model.named_modules(remove_duplicate=False)
    return [m for _, m in found if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]


@pytest.mark.parametrize("kind", [ResNet, PreActResNet])
@pytest.mark.parametrize(("share_A", "share_B"), FORMS)
def test_sharing_is_one_parameter_in_several_places(kind, share_A, share_B):
    places = {}
    for layer in convolutions(small(kind, share_A=share_A, share_B=share_B)):
        if layer.stride == (1, 1):
            places.setdefault(layer.in_channels, []).append(layer.weight)
    # Where B is not shared, the first of each later stage has stride 2 and is not listed here.
    for c, blocks, first in ((4, 2, 0), (6, 3, 1), (8, 2, 1)):
        unshared_B = blocks - first
        As = 1 if share_A and c > 4 else blocks
        Bs = (1 if c > 4 else blocks) if share_B else unshared_B
        assert len({id(w) for w in places[c]}) == As + Bs
    model = small(kind, share_A=share_A, share_B=share_B)
    everywhere = list(model.named_parameters(remove_duplicate=False))
    assert (len(everywhere) > len(list(model.parameters()))) == (share_A or share_B)


@pytest.mark.parametrize("kind", [ResNet, PreActResNet])
def test_normalisations_are_one_for_each_block(kind):
    norms = [m for m in small(kind, share_A=True, share_B=True).modules()
             if isinstance(m, nn.BatchNorm2d)]  # fmt: skip
    assert len(norms) == 2 * (2 + 3 + 2) + 3  # stem or pooling, and two restrictions


def preact_by_hand(r, level, steps):
    """Eq. 26 in the lecture's sign: r <- r + A sigma(B sigma(r)), A being minus the level's."""
    for i in range(steps):
        A = -level.A[i % len(level.A)].weight
        B = level.B[i % len(level.B)].weight
        e = nn.functional.conv2d(level.before[i](r), B, padding=1)
        r = r + nn.functional.conv2d(level.after[i](e), A, padding=1)
    return r


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("form", ["residual", "feature"])
@pytest.mark.parametrize("share_B", [True, False])
def test_mgnet_recovers_the_preact_iteration(training, form, share_B):
    torch.manual_seed(1)
    mgnet = MgNet(channels=4, steps=(3,), share_B=share_B, form=form).double().train(training)
    g = torch.randn(5, 4, 12, 12, dtype=torch.float64)
    level = mgnet.levels[0]
    r = level.residual(run(mgnet.levels, mgnet.cycle, level.start(g)))
    torch.testing.assert_close(r, preact_by_hand(g, level, 3), rtol=1e-12, atol=1e-12)
    assert (r - g).abs().max() > 0.1


def test_mgnet_in_residual_form_recovers_one_A_for_each_block():
    torch.manual_seed(2)
    mgnet = MgNet(channels=4, steps=(3,), share_A=False, share_B=False).double()
    preact = PreActResNet(channels=4, steps=(3,)).double()
    preact.levels[0].load_state_dict(mgnet.levels[0].state_dict())
    g = torch.randn(5, 4, 12, 12, dtype=torch.float64)
    ours = [m.levels[0].residual(run(m.levels, m.cycle, m.levels[0].start(g)))
            for m in (mgnet, preact)]  # fmt: skip
    torch.testing.assert_close(*ours, rtol=1e-12, atol=1e-12)
    by_hand = preact_by_hand(g, mgnet.levels[0], 3)
    torch.testing.assert_close(ours[0], by_hand, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("share_B", [True, False])
def test_the_whole_preact_network_by_hand(share_B):
    torch.manual_seed(3)
    model = PreActResNet(channels=(4, 6), steps=(1, 2), share_A=True, share_B=share_B).double()
    f = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    r = preact_by_hand(model.stem(f), model.levels[0], 1)
    R = model.levels[0].R
    s = R.sigma(r)
    r = nn.functional.conv2d(s, R.shortcut.weight, stride=2)
    if not share_B:
        B, sigma, A = R.correction
        assert A is model.levels[1].A[0]
        r = r - A(sigma(nn.functional.conv2d(s, B.weight, stride=2, padding=1)))
    r = preact_by_hand(r, model.levels[1], 2 if share_B else 1)
    scores = model.head(model.sigma(r).mean((2, 3)))
    torch.testing.assert_close(model(f), scores, rtol=1e-12, atol=1e-12)


def test_the_first_block_of_resnet_by_hand():
    torch.manual_seed(4)
    model = ResNet(channels=(4, 6), steps=(1, 1)).double().eval()
    f = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    r = model.stem(f)
    block = model.stages[0][0]
    B, inner, A, norm = block.correction
    assert isinstance(norm, nn.BatchNorm2d)
    torch.testing.assert_close(block(r), torch.relu(r + norm(A(inner(B(r))))))
    coarse = model.stages[1](block(r))
    assert coarse.shape == (2, 6, 4, 4)
    assert coarse.min() >= 0


@pytest.mark.parametrize("kind", [ResNet, PreActResNet])
@pytest.mark.parametrize("share_B", [True, False])
def test_features_are_r_as_each_stage_is_left(kind, share_B):
    model = small(kind, share_B=share_B).double().eval()
    f = torch.randn(2, 3, 16, 12, dtype=torch.float64)
    features = model.features(f)
    assert [r.shape[1:] for r in features] == [(4, 16, 12), (6, 8, 6), (8, 4, 3)]
    r = model.stem(f)
    for stage, found in enumerate(features):
        if kind is ResNet:
            r = model.stages[stage](r)
        else:
            r = model.levels[stage - 1].R(r) if stage else r
            r = preact_by_hand(r, model.levels[stage], model.cycle[stage].steps)
        torch.testing.assert_close(found, r)
    last = features[-1] if kind is ResNet else model.sigma(features[-1])
    torch.testing.assert_close(model.head(last.mean((2, 3))), model(f))


@pytest.mark.parametrize("kind", [ResNet, PreActResNet])
def test_one_graph_under_compile_and_other_dimensions(kind):
    model = small(kind, share_A=True).eval()
    f = torch.randn(2, 3, 16, 16)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(f), model(f))
    series = small(kind, in_channels=1, dim=1, share_B=True)
    assert series(torch.randn(2, 1, 40)).shape == (2, 5)


@pytest.mark.parametrize("kind", [ResNet, PreActResNet])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": (2, 2)}, "got 4 channels .* and 2 steps"),
        ({"num_classes": 0}, "num_classes must be positive"),
        ({"share_A": 1}, "share_A must be True .* or False"),
        ({"stem": "tiny"}, "known are 'small', 'large'"),
        ({"dim": 4}, "1, 2 or 3"),
        ({"sigma": 3}, "such as nn.ReLU"),
        ({"sigma": "rely"}, "unknown activation 'rely'; known are relu"),
    ],
)
def test_bad_input(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


@pytest.mark.parametrize("kind", [ResNet, PreActResNet])
def test_pictures_that_do_not_fit(kind):
    with pytest.raises(ValueError, match="at least 4 pixels a side"):
        small(kind)(torch.ones(1, 3, 3, 3))
    with pytest.raises(ValueError, match="at least 16 pixels a side"):
        small(kind, stem="large")(torch.ones(1, 3, 8, 8))
