"""Many right-hand sides on levels of NumPy arrays: each is solved as if it were alone."""

import tracemalloc

import numpy as np
import pytest

import mgcore
from mgcore import ConvergenceWarning, poisson_levels, solve, threads

RNG = np.random.default_rng(11)
PROBLEMS = {
    "fused": {},
    "float32": {"dtype": "float32"},
    "neumann": {"sides": "neumann"},
    "coefficient": {"coefficient": np.exp(RNG.standard_normal((65, 33)) / 3)},
}


@pytest.mark.parametrize("batch", [(3,), (2, 2)])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_members_are_solved_as_if_alone(problem, batch):
    levels = poisson_levels((65, 33), **PROBLEMS[problem])
    g, u0 = RNG.standard_normal((2, *batch, 65, 33)).astype(levels[0].dtype)
    flux = problem == "neumann"
    border = 0.0 if flux else RNG.standard_normal((*batch, 65, 33))
    with threads.limited(1):  # the same bits
        for guess in (None, u0, u0[(0,) * len(batch)]):
            out = np.full_like(g, np.nan)
            solution = solve(levels, g, guess, boundary=border, cycle="v", out=out)
            assert solution.u is out
            new = solve(levels, g, guess, boundary=border, cycle="v")
            np.testing.assert_array_equal(new.u, out)
            assert new.u.dtype == levels[0].dtype
            members = {}
            for k in np.ndindex(batch):
                own = None if guess is None else guess[k] if guess.ndim == g.ndim else guess
                values = border if flux else border[k]
                members[k] = solve(levels, g[k], own, boundary=values, cycle="v")
                np.testing.assert_array_equal(out[k], members[k].u)
            assert solution.nit == max(member.nit for member in members.values())
            assert solution.residuals in [member.residuals for member in members.values()]


def test_first_guesses_may_be_overwritten():
    levels = poisson_levels((65, 33), sides="neumann")
    g, u = RNG.standard_normal((2, 3, 65, 33))
    expected = solve(levels, g, u.copy(), cycle="v").u
    assert solve(levels, g, u, cycle="v", out=u).u is u
    np.testing.assert_allclose(u, expected, atol=1e-13)


@pytest.mark.parametrize("by", [1, 0])
def test_solutions_may_lie_where_right_hand_sides_did(by):
    levels, g = poisson_levels((33, 33)), np.zeros((4, 33, 33))
    g[:3] = np.random.default_rng(0).standard_normal((3, 33, 33))
    expected = solve(levels, g[:3].copy()).u
    assert solve(levels, g[:3], out=g[by : by + 3]).u is not None
    np.testing.assert_array_equal(g[by : by + 3], expected)


def test_a_batch_needs_the_memory_of_one_member():
    levels, g = poisson_levels((257, 257)), RNG.standard_normal((6, 257, 257))
    out = np.empty_like(g)
    solve(levels, g, out=out)
    tracemalloc.start()
    solve(levels, g, out=out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < g[0].nbytes / 4


def test_a_failure_is_told_once():
    levels = poisson_levels((65, 65))
    with pytest.warns(ConvergenceWarning) as caught:
        solve(levels, RNG.standard_normal((3, 65, 65)), rtol=1e-12, maxiter=2)
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda levels, g: solve(levels, g, out=g[0]), r"out must be .* shape \(3, 9, 9\) of g"),
        (lambda levels, g: solve(levels, g, out=np.empty(g.shape, "f4")), "out must be a writ"),
        (lambda levels, g: solve(levels, g, np.ones((2, 9, 9))), "does not fit the batch"),
        (lambda levels, g: solve(levels, g[:0]), "empty batch"),
        (lambda levels, g: solve(levels, g[:, :5]), "need"),
        (lambda levels, g: solve([], g), "made by poisson_levels"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(mgcore.poisson_levels((9, 9)), np.ones((3, 9, 9)))


def test_a_cycle_that_can_be_walked_once_serves_a_whole_batch():
    g = np.random.default_rng(0).standard_normal((3, 129, 129))
    levels = poisson_levels((129, 129))
    how = {"rtol": 0, "maxiter": 2}
    visits = [(0, 1), (1, 1), (0, 1)]
    expected = solve(levels, g, cycle=visits, **how)
    np.testing.assert_array_equal(solve(levels, g, cycle=iter(visits), **how).u, expected.u)
    once = mgcore.solve_poisson(g, ndim=2, cycle=iter(visits), **how)
    np.testing.assert_array_equal(once.u, expected.u)
