"""MgNet and pre-act ResNet have the same residuals."""

import pytest
import torch

from mgnet import MgNet, load_pretrained
from mgnet.theorem import in_form, residuals


def network(**options):
    torch.manual_seed(0)
    model = MgNet(channels=(4, 6), steps=(3, 2), **options).double()
    model(torch.randn(8, 3, 12, 12, dtype=torch.float64))  # running means that are not zero
    return model.eval()


@pytest.mark.parametrize("form", ["feature", "residual"])
@pytest.mark.parametrize("share_B", [True, False])
def test_the_residuals_are_the_same(form, share_B):
    f = torch.randn(3, 3, 12, 12, dtype=torch.float64)
    found = residuals(network(form=form, share_B=share_B), f)
    assert [tuple(pair.resnet.shape) for pair in found] == [(3, 4, 12, 12), (3, 6, 6, 6)]
    assert max(pair.gap for pair in found) < 1e-12


def test_the_gap_is_one_where_a_kernel_is_another():
    from mgnet.theorem import Residuals, preact_resnet

    model = network(form="feature")
    level = model.levels[0]
    g = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        right = level.residual(level.smooth(level.start(g), 3))
        level.A[0].weight[0, 0, 0, 0] += 0.1
        assert Residuals(right, preact_resnet(level, g, 3)).gap > 1e-3


def test_the_shipped_network_in_double_precision():
    seer = load_pretrained().double()
    picture = torch.randint(256, (1, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    found = residuals(seer.network, seer.normalise(picture))
    assert max(pair.gap for pair in found) < 1e-12


def test_forms_share_weights_and_scores():
    model = network()
    f = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    other = in_form(model, "feature")
    torch.testing.assert_close(model(f), other(f), rtol=1e-12, atol=1e-12)
    assert not other.training


def test_with_an_A_for_each_iteration_there_is_no_theorem_of_forms():
    with pytest.raises(ValueError, match="different networks"):
        residuals(network(share_A=False), torch.randn(1, 3, 12, 12, dtype=torch.float64))
