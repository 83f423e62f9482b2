"""The networks before MgNet: sizes by hand, shapes, gradients, and what they refuse."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, pad

from mgnet.classic import AlexNet, LeNet5, LogisticRegression, OneHiddenLayer, PlainCNN
from mgnet.cost import count_parameters, multiply_adds

LENET = 6 * 26 + 16 * (25 * 6 + 1) + 120 * 401 + 84 * 121 + 10 * 85


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (LogisticRegression, 7_850),
        (OneHiddenLayer, 795_010),
        (LeNet5, LENET),
        (AlexNet, 61_100_840),
        (lambda: AlexNet(num_classes=10, stem="small"), 23_272_266),
        (lambda: PlainCNN(channels=(4, 6), steps=(2, 1)), 112 + 148 + 216 + 330 + 70),
    ],
)
def test_parameters(model, count):
    with torch.device("meta"):
        assert count_parameters(model()) == count


def test_multiply_adds():
    with torch.device("meta"):
        assert multiply_adds(AlexNet(), (3, 224, 224)) == 714_188_480
        assert multiply_adds(OneHiddenLayer(), (1, 28, 28)) == 794_000


@pytest.mark.parametrize(
    ("model", "picture"),
    [
        (lambda: LogisticRegression((3, 4, 4), 7), (3, 4, 4)),
        (lambda: OneHiddenLayer((3, 4, 4), 7, width=5), (3, 4, 4)),
        (lambda: LeNet5(3, 7), (3, 32, 32)),
        (lambda: LeNet5(3, 7), (3, 28, 28)),
        (lambda: AlexNet(3, 7, stem="small"), (3, 32, 32)),
        (lambda: PlainCNN(3, 7, channels=(4, 6, 8), steps=(2, 1, 1)), (3, 9, 12)),
    ],
)
def test_shapes_and_gradients(model, picture):
    torch.manual_seed(0)
    model = model().eval()
    scores = model(torch.randn(2, *picture))
    assert scores.shape == (2, 7)
    scores.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


@pytest.mark.parametrize(("stem", "smallest"), [("large", 63), ("small", 16)])
def test_alexnet_down_to_its_smallest_picture(stem, smallest):
    with torch.device("meta"):
        model = AlexNet(stem=stem)
        assert model(torch.ones(1, 3, smallest, smallest)).shape == (1, 1000)
        with pytest.raises(ValueError, match=f"at least {smallest} pixels a side"):
            model(torch.ones(1, 3, smallest - 1, smallest))


def test_lenet_pads_28_to_32():
    model = LeNet5()
    f = torch.randn(3, 1, 28, 28)
    torch.testing.assert_close(model(f), model(pad(f, (2, 2, 2, 2))), rtol=0, atol=0)


def test_the_plain_cnn_by_hand():
    torch.manual_seed(0)
    model = PlainCNN(channels=(4, 6), steps=(2, 1), sigma=[nn.ReLU, nn.Tanh]).double()
    f = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    theta = [m for m in model.levels.modules() if isinstance(m, nn.Conv2d)]
    x = f
    for t in theta[:2]:
        x = torch.relu(conv2d(x, t.weight, t.bias, padding=1))
    fine, coarse = model.features(f)
    torch.testing.assert_close(fine, x)
    x = conv2d(x, model.restrictions[0].weight, stride=2, padding=1)
    x = torch.tanh(conv2d(x, theta[2].weight, theta[2].bias, padding=1))
    torch.testing.assert_close(coarse, x)
    torch.testing.assert_close(model(f), model.head(x.mean((2, 3))), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LogisticRegression((1, 0, 4)), "picture must be positive"),
        (lambda: OneHiddenLayer(width=0), "width must be positive"),
        (lambda: LogisticRegression()(torch.ones(2, 28, 28)), r"\(batch, 1, 28, 28\), got"),
        (lambda: LogisticRegression()([1.0]), "got list"),
        (lambda: LeNet5()(torch.ones(1, 1, 30, 30)), r"32 x 32 or 28 x 28 pixels, got \(30, 30\)"),
        (lambda: AlexNet(stem="tiny"), "known are 'large', 'small'"),
        (lambda: PlainCNN(steps=(2, 2)), "got 4 channels .* and 2 steps"),
        (lambda: PlainCNN(channels=4)(torch.ones(1, 3, 4, 4)), "at least 8 pixels a side"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
