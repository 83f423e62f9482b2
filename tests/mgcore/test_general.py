"""Kernels for any stencil against sparse matrices, over layouts, strips and dtypes.

These also run interpreted and with bounds checked: see test_kernels.py.
"""

import numpy as np
import pytest
from scipy import sparse

from mgcore import Robin, Stencil, poisson_levels, threads
from mgcore.chain import grids, rungs
from mgcore.colours import colours, visited
from mgcore.diffusion import equation
from mgcore.grid import Grid
from mgcore.kernels import general
from mgcore.operators import transfer_matrix
from mgcore.poisson_level import PoissonLevel
from mgcore.smoothers import Kernel, Zebra

pytestmark = pytest.mark.usefixtures("on_several_threads")

TALL = np.exp(np.sin(np.arange(20)[:, None] + np.cos(2.0 * np.arange(9))))
BUMP = np.exp(np.sin(np.arange(12)[:, None] + np.cos(2.0 * np.arange(9))))
CUBE = np.exp(np.sin(np.arange(210.0)).reshape(5, 6, 7) / 2)
NINE = Stencil.of_array(np.array([[-1, -4, -1], [-4, 20, -4], [-1, -4, -1]]) / 6)
CASES = {
    "line": {"shape": (90,), "sides": [("neumann", "dirichlet")]},
    "ring": {"shape": (91,), "sides": "periodic"},
    "plane": {"shape": (12, 11)},
    "variable plane": {"shape": (12, 9), "coefficient": BUMP, "reaction": BUMP, "sides": "neumann"},
    "torus": {"shape": (11, 10), "sides": "periodic"},
    "robin": {"shape": (12, 9), "sides": [(Robin(2.0), "dirichlet"), "periodic"]},
    "nine points": {"shape": (12, 11), "operator": NINE},
    "nine points, mirrored": {"shape": (12, 9), "operator": NINE, "sides": ["neumann", "periodic"]},
    "space": {"shape": (7, 6, 8)},
    "variable space": {"shape": (5, 6, 7), "coefficient": CUBE, "sides": "neumann"},
    "periodic space": {"shape": (5, 4, 6), "sides": ["neumann", "periodic", "periodic"]},
}
# So many slabs that two threads take a strip of them each.
LONG = {
    "long plane": {"shape": (19, 11)},
    "long variable plane": {"shape": (20, 9), "coefficient": TALL, "sides": "neumann"},
    "long torus": {"shape": (17, 10), "sides": "periodic"},
    "long nine points": {"shape": (19, 11), "operator": NINE},
    "long space": {"shape": (18, 5, 6), "sides": [("neumann", "dirichlet"), "periodic", "neumann"]},
    "long periodic space": {"shape": (17, 4, 5), "sides": "periodic"},
}
ON_THREADS = [*((case, 1) for case in CASES), *((case, 2) for case in LONG)]
DTYPES = ["float64", "float32"]


@pytest.fixture
def strips(monkeypatch):
    """Into how many strips general kernels have cut what they went through."""
    seen = []

    def watched(kernel):
        def call(*arguments):
            seen.append(arguments[-1])
            return kernel(*arguments)

        return call

    for name in ("coloured", "convolution"):
        monkeypatch.setattr(general, name, watched(getattr(general, name)))
    return seen


def close(found, expected, dtype):
    scale = max(1.0, abs(expected).max())
    tolerance = 2e-13 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(found, expected, rtol=0, atol=scale * tolerance)


def posed(case, dtype, smoother="sor"):
    """The two finest levels, a state with numbers in it, and these numbers as vectors."""
    how = (CASES | LONG)[case] | {"dtype": dtype, "smoother": smoother, "coarsest": 1}
    level = poisson_levels(**how)[0]
    if isinstance(level, PoissonLevel):
        level = poisson_levels(**how, coefficient=4.0)[0]
    level = getattr(level, "general", level)
    g, u = np.random.default_rng(0).standard_normal((2, *level.grid.shape)).astype(dtype)
    inside = level.grid.unknown
    g, u = g * np.max(level.operator.diagonal).astype(dtype), u
    return (
        level,
        level.start(g, u),
        g[inside].ravel().astype(float),
        u[inside].ravel().astype(float),
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_residuals_are_those_of_the_matrix(case, dtype):
    level, state, g, u = posed(case, dtype)
    r = g - level.operator.matrix() @ u
    close(level.residual(state)[level.grid.unknown].ravel() / abs(g).max(), r / abs(g).max(), dtype)
    assert level.residual_norm(state) == pytest.approx(np.linalg.norm(r), rel=1e-5)
    # Around the unknowns are zeros, as Jacobi's sweeps take this array for the next u.
    around = level._defect(state).copy()
    level._slabs.put(around, np.zeros(level._slabs.shape))
    assert not around.any()


@pytest.mark.parametrize(("case", "count"), ON_THREADS)
def test_a_step_goes_colour_by_colour_and_leaves_the_residual(case, count, strips):
    if count > threads.count():
        pytest.skip("needs two threads")
    with threads.limited(count):
        level, state, g, u = posed(case, "float64")
    A, volumes = level.operator.matrix(), level.volumes.ravel()
    nodes = [np.arange(s.start, s.stop) for s in level.grid.unknown]
    for mask in colours(nodes, level.operator.compact):
        u[mask.ravel()] += (1.15 * (g - A @ u) / A.diagonal())[mask.ravel()]
    state, coarse = level.descend(state, 1)
    assert strips == [count]
    close(
        level.solution(state)[level.grid.unknown].ravel() if not level.singular else u, u, "float64"
    )
    below = level.coarse
    R = transfer_matrix(_rung(level).down[0], level.grid, below.grid)
    expected = R @ (g - A @ u)
    found = below._unweighted(below._interior(coarse.loads)).ravel()
    close(found / abs(g).max(), expected / abs(g).max(), "float64")
    assert volumes.mean() == pytest.approx(1)


def _rung(level):
    """The record of a level's transfers."""
    grid = Grid(level.grid.shape, sides=level.grid.sides)
    medium = equation(grid, 1.0, "arithmetic", 0.0, None)
    return rungs(grids(grid, medium, 1), medium, "full", "linear")[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_prolongation_and_interpolation_are_those_of_the_tables(case, dtype):
    level, state, _, u = posed(case, dtype)
    below = level.coarse
    e = np.random.default_rng(1).standard_normal(below.grid.shape).astype(dtype)
    coarse = below.start(np.zeros_like(e), e)
    e = e[below.grid.unknown].ravel().astype(float)
    rung = _rung(level)
    level.prolong(state, coarse)
    close(
        level._interior(state.values).ravel(),
        u + transfer_matrix(rung.up, below.grid, level.grid) @ e,
        dtype,
    )
    level.interpolate(state, coarse)
    close(
        level._interior(state.values).ravel(),
        transfer_matrix(rung.cubic, below.grid, level.grid) @ e,
        dtype,
    )


@pytest.mark.parametrize(
    ("case", "count"), [(case, n) for case, n in ON_THREADS if case not in ("line", "ring")]
)
def test_a_kernel_is_a_product_with_the_residual(case, count, strips):
    if count > threads.count():
        pytest.skip("needs two threads")
    ndim = len((CASES | LONG)[case]["shape"])
    weights = 0.2 * np.array([0.1, 1.0, 0.2])
    stencil = Stencil.tensor([weights] * ndim)
    with threads.limited(count):
        level, state, g, u = posed(case, "float64", Kernel(stencil))
    A = level.operator.matrix()
    r = (2 * ndim * (g - A @ u) / A.diagonal()).reshape(level.grid.interior)
    rules = ["wrap" if axis.periodic else "zero" for axis in level.grid.axes]
    expected = u + stencil.apply(r, rules).ravel()
    level.smooth(state, 1)
    assert strips == [count]
    close(level._interior(state.values).ravel(), expected, "float64")


def lines_alone(level, axis):
    """A, without what couples nodes of different lines along an axis but for the diagonal."""
    numbers = np.indices(level.grid.interior).reshape(level.grid.ndim, -1)
    across = np.delete(numbers, axis, axis=0)
    A = level.operator.matrix().tocoo()
    same = (across[:, A.row] == across[:, A.col]).all(axis=0)
    return sparse.coo_array((A.data[same], (A.row[same], A.col[same])), A.shape).tocsr()


LINES = [
    (case, axis) for case in CASES for axis in range(len(CASES[case]["shape"]))
    if len(CASES[case]["shape"]) > 1
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("case", "axis"), LINES)
def test_zebra_solves_lines_colour_by_colour(case, axis, backwards, dtype):
    level, state, g, u = posed(case, dtype, Zebra(axis, 1.1))
    A, T = level.operator.matrix(), lines_alone(level, axis).toarray()
    nodes = [np.arange(s.start, s.stop) for s in level.grid.unknown]
    sweeps = Zebra(axis, 1.1).sweeps(level.operator)
    masks = [mask for sweep in sweeps for mask in visited(level.operator, sweep, nodes)]
    assert sum(mask.astype(int) for mask in masks).min() == 1  # each line is of one colour
    for mask in reversed(masks) if backwards else masks:
        mask = np.broadcast_to(mask, level.grid.interior).ravel()
        u = u + 1.1 * mask * np.linalg.solve(T, mask * (g - A @ u))
    level.smooth(state, 1, backwards)
    close(level._interior(state.values).ravel(), u, dtype)


def test_lines_of_several_axes_are_taken_in_turn():
    level, state, _, _ = posed("torus", "float64", Zebra([1, 0]))
    other, begun, _, _ = posed("torus", "float64", Zebra(1))
    third, _, _, _ = posed("torus", "float64", Zebra(0))
    third.smooth(other.smooth(begun, 1), 1)
    np.testing.assert_array_equal(level.smooth(state, 1).values, begun.values)


@pytest.mark.parametrize("shape", [(5, 300), (300, 5), (5, 4, 150)])
def test_more_lines_than_fit_side_by_side(shape):
    level = poisson_levels(shape, smoother=Zebra(0), sides="neumann", coarsest=1)[0]
    g, u = np.random.default_rng(0).standard_normal((2, *shape))
    state = level.smooth(level.start(g, u), 1)
    r = level.residual(state)
    black = np.add.reduce(np.indices(shape)[1:]) % 2 == 1
    assert abs(r[black]).max() < 1e-12 * abs(g).max() * level.operator.bound
    assert abs(r[~black]).max() > 0.1


@pytest.mark.parametrize("case", CASES)
def test_the_norm_that_a_pass_takes_is_that_of_the_residual(case):
    level, state, _, _ = posed(case, "float64")
    level.residual_norm(state)  # asked once, it is taken on the way
    coarse = level.restrict(state)
    level.ascend(state, level.coarse.smooth(coarse, 1), 2)
    taken, state.norm = state.norm, None
    assert taken is not None
    assert taken == pytest.approx(level.residual_norm(state), rel=1e-10)
