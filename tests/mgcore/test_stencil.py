"""Stencils as data, against sparse matrices and Fourier modes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgcore import Stencil

RNG = np.random.default_rng(0)
FULL = [1 / 4, 1 / 2, 1 / 4]


def matrix(stencil, n):
    """Its matrix on arrays of shape n, column by column."""
    columns = []
    for k in range(np.prod(n)):
        unit = np.zeros(np.prod(n))
        unit[k] = 1
        columns.append(stencil.apply(unit.reshape(n)).reshape(-1))
    return np.stack(columns, 1)


def test_laplacian_on_a_plane_wave_and_its_symbol():
    n, theta = 16, (2 * np.pi * 3 / 16, 2 * np.pi * 5 / 16)
    A = Stencil.laplacian((1.0, 4.0))
    i, j = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    wave = np.exp(1j * (theta[0] * i + theta[1] * j))
    expected = 2 * (1 - np.cos(theta[0])) + 8 * (1 - np.cos(theta[1]))
    np.testing.assert_allclose(A.symbol(theta), expected, atol=1e-14)
    np.testing.assert_allclose(A.apply(wave.real, "wrap"), expected * wave.real, atol=1e-12)


@given(st.integers(1, 2), st.integers(0, 100), st.booleans())
@settings(max_examples=30, deadline=None)
def test_products_and_transposes_are_those_of_matrices(ndim, seed, vary):
    rng = np.random.default_rng(seed)
    n = (5, 4)[:ndim]

    def some():
        shape = n if vary else ()
        offsets = {tuple(o) for o in rng.integers(-1, 2, (4, ndim))}
        return Stencil({o: rng.standard_normal(shape) for o in offsets})

    A, B = some(), some()
    np.testing.assert_allclose(matrix(A.transpose(), n), matrix(A, n).T, atol=1e-14)
    inside = (slice(2, -2),) * ndim  # borders cut the middle factor off
    u = np.zeros(tuple(m + 8 for m in n))
    u[(slice(4, -4),) * ndim] = rng.standard_normal(n)
    if not vary:
        np.testing.assert_allclose(
            (A @ B).apply(u)[inside], A.apply(B.apply(u))[inside], atol=1e-13
        )
    else:
        np.testing.assert_allclose(matrix(A @ B, n), matrix(A, n) @ matrix(B, n), atol=1e-13)


def test_galerkin_of_full_weighting_is_the_nine_point_stencil():
    A, R = Stencil.laplacian((1.0, 1.0)), Stencil.tensor([FULL, FULL], every=2)
    coarse = R @ A @ (4 * R).transpose()
    expected = np.array([[-1, -2, -1], [-2, 12, -2], [-1, -2, -1]]) / 16
    np.testing.assert_allclose(coarse.to_array(), expected, atol=1e-15)
    assert coarse.every == coarse.between == (1, 1)


def test_restriction_and_prolongation_apply_as_their_matrices():
    R = Stencil.tensor([FULL], every=2)
    u = np.arange(9.0)
    np.testing.assert_allclose(R.apply(u)[1:-1], u[2:-2:2])  # linear functions are kept
    np.testing.assert_allclose((2 * R).transpose().apply(np.arange(4.0))[:7], np.arange(7) / 2)


def test_diffusion_along_an_angle():
    eps, angle = 0.3, np.pi / 4
    expected = [[-0.175, -0.65, 0.175], [-0.65, 2.6, -0.65], [0.175, -0.65, -0.175]]
    np.testing.assert_allclose(Stencil.diffusion(eps, angle).to_array(), expected, atol=1e-15)
    assert Stencil.diffusion(eps, np.pi / 2).reach == (1, 1)
    # exact for quadratic functions: -u_ss - eps u_tt of s^2 / 2 is -1, of t^2 / 2 is -eps
    angle = 0.4
    x, y = np.meshgrid(np.arange(5.0), np.arange(5.0), indexing="ij")
    s, t = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    A = Stencil.diffusion(eps, angle)
    inside = (slice(1, -1),) * 2
    np.testing.assert_allclose(A.apply(s**2 / 2)[inside], -1, atol=1e-13)
    np.testing.assert_allclose(A.apply(t**2 / 2)[inside], -eps, atol=1e-13)
    np.testing.assert_allclose(A.apply(s * t)[inside], 0, atol=1e-13)


def test_even_along_some_axes_or_all():
    rotated = Stencil.diffusion(0.1, 0.4)
    assert rotated.even()
    assert not rotated.even([0])
    assert Stencil.laplacian((1.0, 3.0)).even([1])
    upwind = 1e-9 * Stencil({(0,): 1.0, (-1,): -1.0})
    assert not upwind.even()
    with pytest.raises(ValueError, match="constant"):
        Stencil({(0,): np.ones(3)}).even()


def test_numbers_keep_their_digits():
    A = Stencil.laplacian((1.0, 0.01))
    assert {weight.dtype for weight in A.weights.values()} == {np.dtype(float)}
    assert abs(A.row_sum) < 1e-15
    assert Stencil({(0,): np.float32(0.1)}).diagonal.dtype == np.float32
    assert Stencil({(0,): 1}).diagonal.dtype == float


@pytest.mark.parametrize("rule", ["zero", "mirror", "wrap"])
def test_the_layer_around_an_array(rule):
    u = RNG.standard_normal((4, 5))
    wide = np.pad(u, 1, {"zero": "constant", "mirror": "reflect", "wrap": "wrap"}[rule])
    expected = 4 * u - wide[:-2, 1:-1] - wide[2:, 1:-1] - wide[1:-1, :-2] - wide[1:-1, 2:]
    np.testing.assert_allclose(Stencil.laplacian((1, 1)).apply(u, rule), expected, atol=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Stencil({}), "at least one weight"),
        (lambda: Stencil({(0,): 1.0, (0, 1): 1.0}), "one number for each axis"),
        (lambda: Stencil({(0, 0): np.ones(3)}), "2 axes"),
        (lambda: Stencil.of_array([[1.0, 1.0]]), "odd lengths"),
        (lambda: Stencil.of_array(1j * np.eye(3)), "are real numbers"),
        (lambda: Stencil({(0,): 2 + 0j, (1,): -1, (-1,): -1}), "must be a real number"),
        (lambda: Stencil.diffusion(2.0), "between 0 and 1"),
        (lambda: Stencil.laplacian((1, 1)).apply(np.ones(3)), "2 axes"),
        (lambda: Stencil.laplacian((1,)).apply(np.ones(3), "open"), "'zero', 'mirror', 'wrap'"),
        (lambda: Stencil({(0,): np.ones(4)}).symbol((0.1,)), "constant weights"),
        (lambda: Stencil.laplacian((1,)) @ Stencil.laplacian((1, 1)), "no product"),
        (lambda: Stencil({(0,): 1.0}, every=0), "a whole number for each axis"),
        (lambda: Stencil({(0,): 1.0}, between=2) @ Stencil({(0,): 1.0}), "widened again"),
    ],
)
def test_bad_input_gets_one_clear_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
