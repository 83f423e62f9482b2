"""Solves on one hierarchy use the same memory again: `out` and the pool of workspaces."""

import gc
import pickle
import threading
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from helpers import several

import mgcore
import mgnet
from mgcore import Jacobi, poisson_levels, solve, threads
from mgcore.pool import MOST, Pool

RNG = np.random.default_rng(7)
G, U0 = RNG.standard_normal((2, 65, 65))

PROBLEMS = {
    "fused": {},
    "plain": {"fused": False},
    "swapped arrays": {"smoother": Jacobi()},
    "float32": {"dtype": "float32"},
    "neumann": {"sides": "neumann"},
    "mixed sides": {"sides": [("dirichlet", "neumann"), "periodic"]},
    "coefficient": {"coefficient": 1 + U0**2},
}


@pytest.mark.parametrize("boundary", [0.0, 2.5, lambda x, y: x - y**2])
@pytest.mark.parametrize("guess", [None, "u0", "out"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_solution_is_in_out(problem, guess, boundary):
    levels = poisson_levels(G.shape, **PROBLEMS[problem])
    g, u0 = (x.astype(levels[0].dtype) for x in (G, U0))
    if problem == "neumann":
        boundary = 0.0  # no side holds u
    how = {"boundary": boundary, "cycle": "v", "maxiter": 200}
    with threads.limited(1):  # the same bits
        expected = solve(levels, g, None if guess is None else u0, **how)
        before = g.copy()
        for _ in range(2):
            out = np.full(G.shape, np.nan, g.dtype) if guess is None else u0.copy()
            solution = solve(levels, g, {"u0": u0, "out": out}.get(guess), out=out, **how)
            assert solution.u is out
            np.testing.assert_array_equal(out, expected.u)
            assert solution.residuals == expected.residuals
    np.testing.assert_array_equal(g, before)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_g_may_be_overwritten_if_asked(problem):
    levels = poisson_levels(G.shape, **PROBLEMS[problem])
    g = G.astype(levels[0].dtype)
    with threads.limited(1):
        expected = solve(levels, g, rtol=1e-15, maxiter=100).u  # as far as rounding allows
        np.testing.assert_array_equal(solve(levels, g, rtol=1e-15, maxiter=100, out=g).u, expected)
    assert not np.array_equal(g, G)


def test_a_first_guess_may_share_memory_with_out():
    levels = poisson_levels(G.shape)
    room = np.append(U0, np.zeros((1, 65)), axis=0)
    u0, out = room[:-1], room[1:]
    expected = solve(levels, G, u0.copy(), boundary=1.0).u
    np.testing.assert_allclose(solve(levels, G, u0, boundary=1.0, out=out).u, expected, atol=1e-14)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"boundary": lambda x, y: x - y},
        {"cycle": "v", "u0": "out"},
        {"cycle": "w", "u0": "out", "boundary": 1.0},
        {"rtol": 1e-3},
        {"rtol": 0, "maxiter": 1},
    ],
)
@pytest.mark.parametrize("smoother", ["sor", "chebyshev", "lexicographic"])
def test_a_time_loop_allocates_nothing_large(smoother, how):
    n = 1025 if "boundary" in how else 257  # pieces in which a lift is made take 1 MB
    levels = poisson_levels((n, n), smoother=smoother)
    g, out = np.ones((n, n)), np.zeros((n, n))
    how = how | ({"u0": out} if "u0" in how else {})
    # A busy machine may ask for the kernels for one thread, too: loaded before memory is counted.
    with threads.limited(1):
        solve(poisson_levels((n, n), smoother=smoother), g, out=out, **how)
    out.fill(0)
    for _ in range(2):
        solve(levels, g, out=out, **how)
    peaks = []
    while not peaks or (peaks[-1] >= out.nbytes / 6 and len(peaks) < 3):
        # On a busy machine kernels for several threads may be loaded as late as here, once.
        g = g + 1
        tracemalloc.start()
        for _ in range(3):
            solve(levels, g, out=out, **how)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert min(peaks) < out.nbytes / 6, peaks


@pytest.mark.parametrize("how", [{}, {"sides": "neumann"}])
def test_solves_at_the_same_time_have_a_workspace_each(how):
    levels = poisson_levels((65, 65), **how)
    sides = [scale * G for scale in range(1, 9)]
    expected = [solve(levels, g).u for g in sides]
    inside = threading.Barrier(len(sides))

    def work(g):
        met = []

        def callback(_):  # all are in the middle of a solve
            if not met:
                met.append(inside.wait(60))

        return [solve(levels, g, callback=callback).u, *(solve(levels, g).u for _ in range(20))]

    with ThreadPoolExecutor(len(sides)) as pool:
        for u, found in zip(expected, pool.map(work, sides), strict=True):
            for each in found:
                np.testing.assert_allclose(each, u, rtol=1e-12, atol=1e-12 * abs(u).max())
    assert len(levels[0]._pool) == MOST


def test_a_pool_keeps_a_few_and_gives_each_once():
    pool = Pool()
    assert pool.take() is None
    for number in range(10):
        pool.give(number)
    assert len(pool) == MOST
    assert [pool.take() for _ in range(MOST + 1)] == [9, 8, 7, 6, None]


@pytest.mark.parametrize(
    "how", [{}, {"sides": "neumann"}, {"smoother": "jacobi", "sides": "neumann"}]
)
def test_the_memory_goes_with_the_levels_and_into_no_pickle(how):
    levels = poisson_levels((129, 129), **how)
    size = len(pickle.dumps(levels))
    solve(levels, np.ones((129, 129)))
    assert len(levels[0]._pool) == 1
    assert len(pickle.dumps(levels)) < size + 60_000  # an array of the finest grid has 133,128
    assert len(pickle.loads(pickle.dumps(levels))[0]._pool) == 0
    kept = levels[0]._pool.take()
    levels[0]._pool.give(kept)
    coarse = weakref.ref(kept.coarse.values if "smoother" in how else kept.coarse.u)
    del kept, levels
    gc.collect()
    assert coarse() is None


@pytest.mark.parametrize(
    ("shape", "how"),
    [
        ((21,), {"sides": "neumann", "reaction": 1.0}),
        ((21, 18), {"sides": "neumann"}),
        ((21, 18), {"sides": "neumann", "reaction": 1.0}),
        ((21, 18), {"sides": "neumann", "smoother": "jacobi"}),
        ((9, 9, 9), {"sides": "neumann"}),
    ],
)
def test_what_was_not_finite_is_forgotten(shape, how):
    g, u0 = np.random.default_rng(0).standard_normal((2, *shape))
    levels = poisson_levels(shape, coarsest=1, **how)
    fresh = solve(levels, g, u0, rtol=0, maxiter=2).u
    levels = poisson_levels(shape, coarsest=1, **how)
    state = levels[0].start(np.full(shape, np.inf))
    levels[0].finish(mgcore.run(levels, mgcore.v_cycle(len(levels)), state))
    np.testing.assert_array_equal(solve(levels, g, u0, rtol=0, maxiter=2).u, fresh)


def test_a_failed_solve_leaves_the_levels_usable():
    levels = poisson_levels(G.shape)
    expected = solve(levels, G).u

    def fail(_):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        solve(levels, G, callback=fail)
    with pytest.raises(ValueError, match="NaN"):
        solve(levels, G * np.nan)
    np.testing.assert_array_equal(solve(levels, G).u, expected)


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((9, 9), "f4"), np.zeros((9, 5)), np.zeros((9, 18))[:, ::2], np.zeros((9, 9)).T,
        [[0.0] * 9] * 9, torch.zeros(9, 9), np.broadcast_to(0.0, (9, 9)),
    ],
)  # fmt: skip
def test_what_cannot_take_the_solution_is_refused(out):
    with pytest.raises(ValueError, match=r"out must be a writeable C-contiguous NumPy array"):
        solve(poisson_levels((9, 9)), np.ones((9, 9)), out=out)


def test_out_on_torch():
    levels = several(mgnet.poisson_levels((17, 17), coarsest=1))
    g = torch.from_numpy(RNG.standard_normal((2, 17, 17)))
    expected = solve(levels, g).u
    out = torch.empty_like(g)
    assert solve(levels, g, out=out).u is out
    assert torch.equal(out, expected)
    assert torch.equal(solve(levels, g, out=g).u, expected)
    for wrong, message in (
        (np.zeros((17, 17)), "out must be a tensor without gradients, got ndarray"),
        (torch.zeros(17, 17, dtype=torch.float64, requires_grad=True), "asks for gradients"),
        (torch.zeros(17, 17), "out is float32 on cpu, these levels are float64 on cpu"),
        (torch.zeros(17, 17, dtype=torch.float64), r"out has shape \(17, 17\), the solution \(2,"),
    ):
        with pytest.raises(ValueError, match=message):
            solve(levels, torch.ones(2, 17, 17, dtype=torch.float64), out=wrong)
    asking = torch.ones(17, 17, dtype=torch.float64, requires_grad=True)
    with pytest.raises(ValueError, match=r"leave it out, or solve in torch\.no_grad"):
        solve(levels, asking, out=torch.empty_like(asking, requires_grad=False))
