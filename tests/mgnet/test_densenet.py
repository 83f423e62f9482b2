"""DenseNet-BC: published sizes, and that layers add channels behind the ones they read."""

import pytest
import torch

from mgnet.cost import count_parameters, multiply_adds
from mgnet.densenet import DenseNet


@pytest.mark.parametrize(
    ("growth", "layers", "parameters"),
    # Table 2 of Huang et al.: DenseNet-BC with 100, 250 and 190 layers has 0.8M, 15.3M and 25.6M.
    [(12, 16, "0.8"), (24, 41, "15.3"), (40, 31, "25.6")],
)
def test_published_sizes(growth, layers, parameters):
    with torch.device("meta"):
        count = count_parameters(DenseNet(growth=growth, layers=(layers,) * 3))
    assert f"{count / 1e6:.1f}" == parameters


def test_multiply_adds_by_hand():
    # Stem; two layers of 1x1 and 3x3 kernels; a transition to half the channels; one more layer.
    by_hand = 64 * 3 * 8 * 9
    by_hand += 64 * (8 * 16 + 16 * 4 * 9) + 64 * (12 * 16 + 16 * 4 * 9)
    by_hand += 64 * 16 * 8 + 16 * (8 * 16 + 16 * 4 * 9) + 12 * 10
    assert multiply_adds(DenseNet(growth=4, layers=(2, 1)), (3, 8, 8)) == by_hand


def test_a_block_keeps_what_it_reads():
    torch.manual_seed(0)
    net = DenseNet(growth=4, layers=(3, 2)).eval()
    x = torch.randn(2, 8, 8, 8)
    made = net.blocks[0](x)
    assert made.shape == (2, 8 + 3 * 4, 8, 8)
    assert torch.equal(made[:, :8], x)
    assert torch.equal(made[:, :12], net.blocks[0][0](x))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_series_pictures_and_volumes(dim):
    net = DenseNet(2, 5, growth=4, layers=(1, 1), dim=dim)
    assert net(torch.randn(3, 2, *[6] * dim)).shape == (3, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"growth": 0}, "growth must be positive"),
        ({"layers": ()}, "layers must be positive"),
        ({"dim": 4}, "dim must be 1, 2 or 3"),
        ({"sigma": "rely"}, "unknown activation 'rely'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        DenseNet(**options)


def test_pictures_that_are_too_small():
    with pytest.raises(ValueError, match="at least 4 pixels a side"):
        DenseNet(layers=(1, 1, 1))(torch.randn(1, 3, 3, 3))
