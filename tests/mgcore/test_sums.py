"""Norms and means of node values, against NumPy's on copies in double precision."""

import numpy as np
import pytest

from mgcore.sums import length, weighted


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_length_is_the_norm_in_double_precision(ndim, dtype):
    values = np.random.default_rng(ndim).standard_normal((9,) * ndim).astype(dtype)
    window = values[(slice(1, None, 2),) * ndim]
    expected = np.linalg.norm(window.astype(float))
    assert length(window) == pytest.approx(expected, rel=1e-14)
    assert length(window).dtype == np.float64


def test_length_says_what_is_not_finite():
    assert np.isnan(length(np.array([1.0, np.nan])))
    assert length(np.array([[1.0, np.inf]])) == np.inf


def test_the_weighted_sum_of_a_product_is_the_product_of_weighted_sums():
    x, y, z = (np.linspace(0, 1, n) for n in (5, 8, 6))
    weights = [np.full(len(t), 1 / len(t)) for t in (x, y, z)]
    values = np.einsum("i,j,k->ijk", x, y**2, 1 + z)
    expected = x.mean() * (y**2).mean() * (1 + z).mean()
    assert weighted(values, weights) == pytest.approx(expected, rel=1e-14)
    assert weighted(values[:, ::-1], weights) == pytest.approx(expected, rel=1e-14)
