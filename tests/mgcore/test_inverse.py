"""The coarsest grid, solved directly, against dense linear algebra."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mgcore
import mgnet
from mgcore import Robin, Stencil, poisson_levels, solve
from mgcore.diffusion import Medium
from mgcore.inverse import DENSE, SEPARABLE, inverse
from mgcore.operators import of_stencil
from mgnet.stencils import Inverse as TorchInverse

RNG = np.random.default_rng(3)


@st.composite
def grids(draw):
    """A box with any sides and any mesh."""
    ndim = draw(st.integers(1, 3))
    kinds = ["dirichlet", "neumann", Robin(draw(st.sampled_from([0.0, 0.3, 50.0])))]
    pair = st.one_of(
        st.just(("periodic", "periodic")),
        st.tuples(st.sampled_from(kinds), st.sampled_from(kinds)),
    )
    sides = [draw(pair) for _ in range(ndim)]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    lines = [np.cumsum(rng.uniform(0.5, 2, draw(st.integers(3, 9)))) for _ in range(ndim)]
    lengths = [
        100.0 if pair[0] == "periodic" else x[-1] - x[0]
        for x, pair in zip(lines, sides, strict=True)
    ]
    return mgcore.Grid(coordinates=lines, extent=lengths, sides=sides)


@settings(deadline=None, max_examples=150)
@given(grids(), st.sampled_from([0.0, 0.7]), st.lists(st.floats(0.1, 9), min_size=3, max_size=3))
def test_fast_diagonalisation_solves(grid, reaction, a):
    operator = Medium.given(grid, a[: grid.ndim], reaction).operator()
    A_inverse, g = inverse(operator), RNG.standard_normal(grid.interior)
    assert len(A_inverse.into) == grid.ndim  # one small matrix for each axis
    A, volumes = operator.matrix(), operator.volumes()
    mean = (g * volumes).sum() / volumes.sum()
    assert operator.mean(g) == pytest.approx(mean, abs=1e-13)
    if operator.singular:
        g = g - mean
    u = A_inverse(g)
    residual = A @ u.reshape(-1) - g.reshape(-1)
    assert abs(residual).max() <= 1e-11 * operator.bound * abs(u).max()
    if operator.singular and grid.ndim > 1:
        assert abs((u * volumes).sum()) <= 1e-11 * abs(u * volumes).sum()
    kind = {"dtype": torch.float64, "device": "cpu"}
    batch = torch.from_numpy(np.stack([g, 2 * g])[:, None])
    theirs = TorchInverse(operator, kind)(batch)
    assert abs(theirs[0, 0].numpy() - u).max() <= 1e-12 * max(abs(u).max(), abs(g).max())
    torch.testing.assert_close(theirs[1], 2 * theirs[0], rtol=1e-12, atol=1e-14)


MEHRSTELLEN = np.array([[-1.0, -4, -1], [-4, 20, -4], [-1, -4, -1]]) / 6


def varying(shape):
    return np.exp(RNG.standard_normal(shape))


@pytest.mark.parametrize(
    "how",
    [
        {"coefficient": varying((9, 8))},
        {"reaction": varying((9, 8))},
        {"coefficient": varying((9, 8)), "sides": "neumann"},
        {"operator": Stencil.of_array(MEHRSTELLEN)},
    ],
)
def test_other_operators_have_a_dense_inverse(how):
    grid = mgcore.Grid((9, 8), sides=how.pop("sides", "dirichlet"))
    stencil = how.pop("operator", None)
    operator = of_stencil(grid, stencil) if stencil else Medium.given(grid, **how).operator()
    A_inverse, g = inverse(operator), RNG.standard_normal(grid.interior)
    assert A_inverse.into[0].shape == (grid.size, grid.size)
    volumes = operator.volumes()
    if operator.singular:
        g = g - (g * volumes).sum() / volumes.sum()
    u = A_inverse(g)
    np.testing.assert_allclose(operator.matrix() @ u.reshape(-1), g.reshape(-1), atol=1e-10)


@pytest.mark.parametrize("library", [mgcore, mgnet])
@pytest.mark.parametrize("coarsest", [None, 1, 10, 300])
@pytest.mark.parametrize(
    "how",
    [
        {"shape": (129, 129)},
        {"shape": (1025,)},
        {"shape": (33, 33, 33)},
        {"shape": (100, 130), "sides": "neumann"},
        {"shape": (100, 130), "coefficient": varying((100, 130))},
    ],
)
def test_coarsening_ends_where_it_is_asked_to(how, coarsest, library):
    levels = library.poisson_levels(**how, coarsest=coarsest)
    ndim = len(how["shape"])
    most = (DENSE if "coefficient" in how else SEPARABLE[ndim]) if coarsest is None else coarsest
    assert levels[-2].size > most
    if most > 1 or ("sides" not in how and "coefficient" not in how):
        assert levels[-1].size <= most
    g = RNG.standard_normal(how["shape"])
    expected = solve(poisson_levels(**how), g, rtol=1e-11)
    solution = solve(levels, g, rtol=1e-11)
    assert abs(np.asarray(solution.u) - expected.u).max() <= 1e-9 * abs(expected.u).max()


@pytest.mark.parametrize("shape", [(33, 33), (17, 17, 17), (129,), (30, 21)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_one_grid_is_solved_at_once(shape, dtype):
    g = RNG.standard_normal(shape).astype(dtype)
    levels = poisson_levels(shape, dtype=dtype)
    assert len(levels) == 1
    solution = solve(levels, g)
    assert solution.nit == 1
    assert str(solution.cycle) == "level 0  o"


@pytest.mark.parametrize("shape", [(257, 3), (3, 257), (3, 1025), (33, 33)])
@pytest.mark.parametrize("coefficient", [1.0, 2.0])  # of levels of both kinds
def test_a_direct_solve_is_one_to_rounding(shape, coefficient):
    how = {"extent": (1.0, 10**0.5), "coefficient": coefficient, "rtol": 1e-12, "throw": True}
    for seed in range(5):
        g = np.random.default_rng(seed).standard_normal(shape)
        assert mgcore.solve_poisson(g, ndim=2, **how).nit <= 2


def test_only_constants_are_left_out_of_singular_problems():
    # The smallest eigenvalue but zero is 2e-13 of the largest.
    x = np.linspace(0, 1, 33)
    g = np.outer(np.cos(np.pi * x), np.ones(33))
    solution = mgcore.solve_poisson(g, extent=(1, 1e-5), sides="neumann")
    assert solution.success
    np.testing.assert_allclose(solution.u, g / np.pi**2, atol=1e-3 / np.pi**2)
    # Nothing along the second axis: there each node has a constant of its own.
    alone = mgcore.Stencil({(0, 0): 2.0, (1, 0): -1.0, (-1, 0): -1.0})
    (level,) = mgcore.poisson_levels((8, 8), operator=alone, sides="periodic", coarsest=99)
    g = np.outer(np.cos(2 * np.pi * np.arange(8) / 8), np.arange(1, 9))
    u = level.solution(level.smooth(level.start(g), 1))
    np.testing.assert_allclose(level.residual(level.start(g, u)), 0, atol=1e-12)


@pytest.mark.parametrize("library", [mgcore, mgnet])
def test_a_second_direct_solve_is_one_for_what_the_first_left(library):
    levels = library.poisson_levels((3, 1025), extent=(1.0, 10**0.5))
    g = np.random.default_rng(1).standard_normal((3, 1025))
    solution = solve(levels, g, rtol=0, maxiter=2)
    assert len(levels) == 1
    assert solution.residuals[2] < 0.2 * solution.residuals[1] < 1e-11 * solution.residuals[0]
    assert solve(levels, g, solution.u, rtol=1e-12).nit == 0
