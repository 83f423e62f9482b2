"""Gradient and divergence on faces: the operator between them, and what they keep."""

from functools import reduce

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mgcore
from mgcore import Grid, divergence, gradient
from mgcore.diffusion import Medium


@st.composite
def grids(draw, kinds=("dirichlet", "neumann")):
    """A box with any mesh."""
    ndim = draw(st.integers(1, 3))
    side = st.sampled_from(kinds)
    pair = st.one_of(st.just(("periodic", "periodic")), st.tuples(side, side))
    sides = [draw(pair) for _ in range(ndim)]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    lines = [np.cumsum(rng.uniform(0.5, 2, draw(st.integers(3, 9)))) for _ in range(ndim)]
    lengths = [
        100.0 if pair[0] == "periodic" else x[-1] - x[0]
        for x, pair in zip(lines, sides, strict=True)
    ]
    return Grid(coordinates=lines, extent=lengths, sides=sides)


def random_faces(grid, rng):
    zero = gradient(np.zeros(grid.shape), grid)
    return [rng.standard_normal(v.shape) for v in zero]


@settings(deadline=None, max_examples=100)
@given(grids())
def test_the_divergence_of_the_gradient_is_the_operator(grid):
    u = np.zeros(grid.shape)
    u[grid.unknown] = np.random.default_rng(1).standard_normal(grid.interior)
    A = Medium.given(grid).operator()
    expected = (A.matrix() @ u[grid.unknown].reshape(-1)).reshape(grid.interior)
    found = -divergence(gradient(u, grid), grid)
    np.testing.assert_allclose(found[grid.unknown], expected, atol=1e-13 * A.bound)
    found[grid.unknown] = 0
    assert not found.any()  # on Dirichlet sides


@settings(deadline=None, max_examples=60)
@given(grids(kinds=("neumann",)))
def test_they_are_adjoint_and_nothing_is_lost(grid):
    rng = np.random.default_rng(2)
    u, v = rng.standard_normal(grid.shape), random_faces(grid, rng)
    mass, widths = ([getattr(axis, name) for axis in grid.axes] for name in ("mass", "widths"))
    volumes = reduce(np.multiply.outer, mass)
    products = []
    for k, (du, flow) in enumerate(zip(gradient(u, grid), v, strict=True)):
        lengths = [widths[j] if j == k else mass[j] for j in range(grid.ndim)]
        products.append((du * flow * reduce(np.multiply.outer, lengths)).sum())
    outflow = divergence(v, grid) * volumes
    scale = abs(outflow).sum()
    assert sum(products) == pytest.approx(-(u * outflow).sum(), abs=1e-12 * scale)
    assert abs(outflow.sum()) <= 1e-12 * scale


def test_the_gradient_of_a_solution_is_of_second_order():
    errors = []
    for n in (17, 33, 65):
        grid = Grid((n, n), spacing=1 / (n - 1))
        x, y = grid.coordinates()
        u = np.sin(np.pi * x) * np.sin(2 * np.pi * y)
        solution = mgcore.solve_poisson(5 * np.pi**2 * u)
        du = gradient(solution.u, solution.grid)[0]
        middle = (x[1:] + x[:-1]) / 2
        errors.append(abs(du - np.pi * np.cos(np.pi * middle) * np.sin(2 * np.pi * y)).max())
    slopes = np.diff(np.log2(errors))
    assert (slopes < -1.9).all()


def test_precision_stays_what_it_is():
    grid = Grid((5, 9))
    u = np.random.default_rng(0).standard_normal(grid.shape)
    for dtype, expected in ((np.float32, np.float32), (np.float64, np.float64), (int, float)):
        v = gradient(u.astype(dtype), grid)
        assert {x.dtype for x in v} == {np.dtype(expected)}
        assert divergence(v, grid).dtype == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda grid: gradient(np.ones((9, 5)), grid), "u has shape"),
        (lambda grid: gradient(torch.ones(5, 9), grid), "torch tensor"),
        (lambda grid: gradient(np.ones((5, 9)), (5, 9)), "grid must be a Grid"),
        (lambda grid: divergence([np.ones((4, 9))] * 2, (5, 9)), "grid must be a Grid"),
        (lambda grid: divergence([np.ones((4, 9))], grid), "a component on the faces"),
        (lambda grid: divergence([np.ones((4, 9)), np.ones((5, 9))], grid), r"\(5, 8\)"),
    ],
)
def test_what_does_not_lie_on_the_grid_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(Grid((5, 9)))
