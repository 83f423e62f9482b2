"""What trained kernels look like: shares of stencils, by hand and at random."""

import numpy as np
import pytest
import torch

from mgnet.patterns import FIVE_POINT, effect, principal_patterns, share


def test_multiples_of_a_stencil_are_nothing_else():
    factors = torch.randn(5, 4, 1, 1, generator=torch.Generator().manual_seed(0))
    weights = factors * torch.tensor(FIVE_POINT)
    assert share(weights, FIVE_POINT) == pytest.approx(1)
    assert share(weights, np.ones((3, 3))) == pytest.approx(0, abs=1e-12)  # its weights add up to 0
    patterns, shares = principal_patterns(weights)
    np.testing.assert_allclose(patterns[0], FIVE_POINT / np.sqrt(20), atol=1e-12)
    np.testing.assert_allclose(shares, [1] + 8 * [0], atol=1e-12)


def test_the_effect_of_a_stencil_depends_on_what_it_meets():
    generator = torch.Generator().manual_seed(0)
    factors = torch.randn(5, 4, 1, 1, generator=generator).double()
    laplacian, mean = torch.tensor(FIVE_POINT), torch.ones(3, 3).double() / 9
    x = torch.arange(32.0).double()
    rough = torch.randn(1, 4, 32, 32, generator=generator).double()
    assert effect(factors * laplacian, FIVE_POINT, rough) == pytest.approx(1)
    assert effect(factors * mean, FIVE_POINT, rough) == pytest.approx(0, abs=1e-12)
    # Both stencils multiply waves by their symbols: a tenth of the Laplacian, and the mean.
    wave = torch.cos(np.pi * x / 4)[None, None, :, None].expand(1, 4, 32, 32)
    inner = effect(factors * (mean + laplacian / 10), FIVE_POINT, rough)
    assert effect(factors * (mean + laplacian / 10), FIVE_POINT, wave) < 0.5 * inner


def test_of_random_kernels_every_stencil_has_a_ninth():
    weights = np.random.default_rng(0).standard_normal((200, 200, 3, 3))
    for pattern in (FIVE_POINT, np.ones((3, 3)), np.eye(3)):
        assert share(weights, pattern) == pytest.approx(1 / 9, rel=0.03)


def test_shares_of_the_principal_patterns_add_up():
    weights = np.random.default_rng(1).standard_normal((6, 5, 3, 3)) + FIVE_POINT
    patterns, shares = principal_patterns(weights)
    assert patterns.shape == (9, 3, 3)
    flat = patterns.reshape(9, 9)
    np.testing.assert_allclose(flat @ flat.T, np.eye(9), atol=1e-12)
    np.testing.assert_allclose(shares, [share(weights, pattern) for pattern in patterns])
    assert shares.sum() == pytest.approx(1)
    assert (np.diff(shares) <= 0).all()
    assert (flat.max(1) >= -flat.min(1)).all()
