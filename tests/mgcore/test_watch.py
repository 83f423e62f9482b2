"""A solve seen visit by visit."""

import numpy as np
import pytest
import scipy.sparse.linalg

import mgcore
from mgcore import guests
from mgcore.cycle import CYCLES, cycle_pair, walk
from mgcore.watch import watch

CASES = [
    {"shape": 17},
    {"shape": (17, 17)},
    {"shape": (17, 12), "sides": ["neumann", "dirichlet"]},
    {"shape": (9, 9, 9)},
]


def exact_error(levels, level, state):
    """A e = r by a sparse direct solver."""
    tail = levels[level:]
    A = guests.operator(tail).matrix()
    grid = tail[0].grid
    e = np.zeros(grid.shape)
    r = tail[0].residual(state)[grid.unknown]
    e[grid.unknown] = scipy.sparse.linalg.spsolve(A.tocsc(), r.reshape(-1)).reshape(r.shape)
    return e


@pytest.mark.parametrize("cycle", CYCLES)
@pytest.mark.parametrize("case", CASES)
def test_errors_are_those_of_an_independent_solver(case, cycle):
    levels = mgcore.poisson_levels(**case, coarsest=1)
    g = np.random.default_rng(0).standard_normal(levels[0].grid.shape)
    this, _ = cycle_pair(cycle, len(levels))
    steps = watch(levels, g, cycle=cycle)
    state = levels[0].start(g)
    first = next(steps)
    assert (first.number, first.cycle, first.visits) == (1, this, 0)
    assert first.errors[1:] == (None,) * (len(levels) - 1)
    np.testing.assert_allclose(first.errors[0], exact_error(levels, 0, state), atol=1e-8)
    for (visit, states), step in zip(walk(levels, this, state), steps, strict=True):
        shown = {level for level, error in enumerate(step.errors) if error is not None}
        assert shown == set(states) >= {visit.level}
        for level in states:
            found, right = step.errors[level], exact_error(levels, level, states[level])
            np.testing.assert_allclose(found, right, atol=1e-6 * abs(g).max())


@pytest.mark.parametrize("cycle", ["fmg", "v"])
@pytest.mark.parametrize("guess", [False, True])
def test_cycles_are_those_of_solve(cycle, guess):
    x = np.linspace(0, 1, 33)
    u = np.exp(x[:, None] - x)  # quadratic terms apart, any border will do
    g = np.random.default_rng(0).standard_normal(u.shape)
    u0 = np.random.default_rng(1).standard_normal(u.shape) if guess else None
    levels = mgcore.poisson_levels(u.shape, coarsest=1)
    exact = mgcore.solve(levels, g, boundary=u, rtol=1e-13).u
    so_far = []
    mgcore.solve(
        levels, g, u0, boundary=u, cycle=cycle, rtol=0, maxiter=3,
        callback=lambda solution: so_far.append(exact - solution.u),
    )  # fmt: skip
    ends = [
        step.errors[0]
        for step in watch(levels, g, u0, boundary=u, cycle=cycle, cycles=3)
        if step.visits == len(step.cycle)
    ]
    assert len(ends) == 3
    for found, right in zip(ends, so_far, strict=True):
        np.testing.assert_allclose(found, right, atol=1e-8 * abs(right).max() + 1e-12)


def test_a_coarsest_visit_leaves_no_error():
    levels = mgcore.poisson_levels((17, 17), coarsest=1)
    bottoms = [
        step.errors[-1]
        for step in watch(levels, np.ones((17, 17)), cycle="w", cycles=2)
        if step.visits and step.cycle[step.visits - 1].level == len(levels) - 1
    ]
    assert len(bottoms) == 2 * sum(v.level == len(levels) - 1 for v in mgcore.w_cycle(len(levels)))
    assert max(abs(error).max() for error in bottoms) < 1e-12


def test_levels_on_torch_are_watched_as_well():
    mgnet = pytest.importorskip("mgnet")
    g = np.random.default_rng(0).standard_normal((17, 17))
    here, there = (
        list(watch(package.poisson_levels((17, 17), coarsest=1), g, cycle="f"))
        for package in (mgcore, mgnet)
    )
    for a, b in zip(here, there, strict=True):
        assert a[:3] == b[:3]
        for e, f in zip(a.errors, b.errors, strict=True):
            assert (e is None) == (f is None)
            if e is not None:
                np.testing.assert_allclose(e, f, atol=1e-7 * abs(e).max() + 1e-14)
