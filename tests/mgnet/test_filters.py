"""Kernels by hand on pictures whose answer is known; projections onto V_1, V_2, ..."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from mgnet.filters import (
    AVERAGE,
    KERNELS,
    convolve,
    extract,
    left_out,
    photograph,
    photograph_file,
    piecewise_constant,
    widened,
)

INSIDE = (slice(1, -1), slice(1, -1))


@pytest.mark.parametrize("name", KERNELS)
def test_convolution_is_that_of_networks(name):
    x = np.random.default_rng(0).random((12, 17))
    weights = torch.tensor(KERNELS[name].to_array())[None, None]
    theirs = torch.nn.functional.conv2d(torch.tensor(x)[None, None], weights)[0, 0]
    np.testing.assert_allclose(convolve(KERNELS[name], x)[INSIDE], theirs, atol=1e-12)


def test_kernels_on_ramps_and_parabolas():
    i, j = np.meshgrid(np.arange(9.0), np.arange(11.0), indexing="ij")
    vertical, horizontal, laplace = (convolve(KERNELS[n], 3 * j)[INSIDE] for n in KERNELS)
    np.testing.assert_allclose(vertical, 8 * 3)  # (1 + 2 + 1) twice the slope
    np.testing.assert_allclose(horizontal, 0)
    np.testing.assert_allclose(laplace, 0, atol=1e-12)
    bowl = convolve(KERNELS["-Laplace"], 2 * i**2 + 5 * j**2)[INSIDE]
    np.testing.assert_allclose(bowl, -2 * (2 + 5))
    np.testing.assert_allclose(convolve(AVERAGE, 3 * j + i)[INSIDE], (3 * j + i)[INSIDE])


def test_the_laplacian_of_a_gaussian_of_a_wave_is_its_symbol():
    # A cosine that goes on as in a mirror is an eigenvector of every symmetric kernel.
    n, k, width = 65, 5, 1.5
    theta = np.pi * k / (n - 1)
    x = np.cos(theta * np.arange(n))[:, None] * np.ones(4)
    found = extract(x, KERNELS["-Laplace"], width)
    symbol = (2 - 2 * np.cos(theta)) * np.exp(-((width * theta) ** 2) / 2)
    np.testing.assert_allclose(found.filtered, symbol * x, atol=1e-4 * symbol)
    np.testing.assert_array_equal(found.positive, np.maximum(found.filtered, 0))
    np.testing.assert_allclose(found.average, convolve(AVERAGE, found.positive))


def test_without_a_gaussian_the_picture_is_filtered_as_it_is():
    x = np.random.default_rng(1).random((8, 8))
    np.testing.assert_array_equal(
        extract(x, KERNELS["-Laplace"]).filtered, convolve(KERNELS["-Laplace"], x)
    )


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_what_a_projection_leaves_out_is_orthogonal_to_the_space(level):
    rng = np.random.default_rng(2)
    x = rng.random((16, 24))
    left = x - widened(piecewise_constant(x, level), level)
    other = widened(rng.random((16 >> level - 1, 24 >> level - 1)), level)
    assert (left * other).sum() == pytest.approx(0, abs=1e-12)
    if level == 1:
        assert not left.any()


def test_spaces_are_nested_and_their_differences_add_up():
    x = np.random.default_rng(3).random((16, 16))
    parts = [widened(piecewise_constant(x, level), level) for level in (1, 2, 3, 4)]
    np.testing.assert_allclose(
        piecewise_constant(piecewise_constant(x, 2), 2), piecewise_constant(x, 3)
    )
    squares = [((a - b) ** 2).sum() for a, b in pairwise(parts)]
    assert sum(squares) + (parts[-1] ** 2).sum() == pytest.approx((x**2).sum())


def test_widened_fills_blocks():
    x = np.array([[1.0, 2], [3, 4]])
    np.testing.assert_array_equal(widened(x, 2), np.kron(x, np.ones((2, 2))))
    np.testing.assert_array_equal(piecewise_constant(widened(x, 3), 3), x)


def test_how_much_contrast_is_finer():
    checked = np.indices((8, 8)).sum(0) % 2
    assert left_out(checked, 1) == 0
    assert left_out(checked, 2) == pytest.approx(1)
    assert left_out(widened(checked, 2)[:8, :8], 2) == 0


def test_a_ramp_is_missed_by_h_over_root_twelve_and_an_edge_by_root_h():
    ramp = np.arange(256.0)[:, None] * np.ones(8)
    for level in (2, 3, 4):
        h = 2 ** (level - 1)
        rms = np.sqrt(((ramp - widened(piecewise_constant(ramp, level), level)) ** 2).mean())
        assert rms == pytest.approx(np.sqrt((h**2 - 1) / 12))
    edges = (np.arange(4096) % 341 < 170) * np.ones((8, 1))
    rms = [
        np.sqrt(((edges - widened(piecewise_constant(edges, level), level)) ** 2).mean())
        for level in (2, 3, 4)
    ]
    np.testing.assert_allclose(np.divide(rms[1:], rms[:-1]), np.sqrt(2), rtol=0.15)


@pytest.mark.parametrize("name", ["china", "flower"])
def test_photographs(name):
    assert photograph_file(name).stat().st_size > 100_000
    x = photograph(name)
    assert x.shape == (208, 320)
    assert 0 <= x.min() < 0.1
    assert 0.8 < x.max() <= 1


def test_bad_input():
    with pytest.raises(ValueError, match="no blocks of 4 x 4"):
        piecewise_constant(np.ones((6, 8)), 3)
    with pytest.raises(ValueError, match="V_1 is the finest"):
        piecewise_constant(np.ones((6, 8)), 0)
    with pytest.raises(ValueError, match="'china' and 'flower'"):
        photograph_file("cat")
