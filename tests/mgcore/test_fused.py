"""Fused passes give what their parts give one after the other."""

import numpy as np
import pytest

import mgcore
from mgcore import Grid
from mgcore.kernels import plane, plane_fused
from mgcore.level import Level


def random_nodes(shape, dtype, seed):
    values = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    values[[0, -1]] = values[:, [0, -1]] = 0
    return values


# Strips have at least four coarse rows.
SHAPES = [(5, 5), (5, 33), (33, 5), (17, 17), (65, 33), (129, 129)]
CASES = [(shape, n) for shape in SHAPES for n in range(1, 5) if n == 1 or shape[0] // 2 > 4 * n]


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize(("shape", "strips"), CASES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_fused_passes_equal_their_parts(shape, dtype, strips, zero):
    coarse_shape = tuple((n + 1) // 2 for n in shape)
    real = np.dtype(dtype).type
    u, e = random_nodes(shape, dtype, 1), random_nodes(coarse_shape, dtype, 2)
    g = np.random.default_rng(3).standard_normal(shape).astype(dtype)  # any border values
    a = tuple(real(h**-2) for h in Grid(shape, (1.0, 0.7)).spacing)
    omega = real(1.15)
    parity = sum(np.ix_(range(2), range(shape[1]))) % 2
    w = np.where(parity == 0, omega / (2 * sum(a)), 0).astype(dtype)
    full = np.array([[1 / 4, 1 / 8], [1 / 8, 1 / 16]], dtype)

    fused = u.copy()  # for zero: rubbish that must not be read
    parts = np.zeros_like(u) if zero else u.copy()
    r, coarse, coarse_fused = np.zeros_like(u), np.zeros_like(e), np.zeros_like(e)
    plane.color(parts, g, a, omega, 0)
    plane.color(parts, g, a, omega, 1)
    plane.residual(parts, g, r, a)
    plane.restrict(r, coarse, full, (1, 1))
    rows = plane_fused.workspace(shape[1], strips, dtype)
    plane_fused.descend(fused, g, coarse_fused, w, *a, zero, rows, strips)
    tolerance = 1e-13 if dtype == "float64" else 2e-5
    assert abs(fused - parts).max() <= tolerance * abs(parts).max()
    assert abs(coarse_fused - coarse).max() <= tolerance * abs(r).max()
    coarse_fused[:] = 0
    plane_fused.restrict(r, coarse_fused, rows, strips)
    assert abs(coarse_fused - coarse).max() <= tolerance * abs(r).max()

    taken, taken_fused = np.zeros_like(u), np.zeros_like(u)
    plane.interpolate(taken, e, (1, 1))
    plane_fused.interpolate(taken_fused, e, rows, strips)
    assert abs(taken_fused - taken).max() <= tolerance * abs(e).max()

    plane.prolong(parts, e, (1, 1))
    plane.color(parts, g, a, omega, 0)
    plane.color(parts, g, a, omega, 1)
    plane_fused.ascend(fused, g, e, w, *a, rows, strips)
    assert abs(fused - parts).max() <= tolerance * abs(parts).max()


@pytest.mark.parametrize("guess", [False, True])
@pytest.mark.parametrize(("pre", "post"), [(0, 1), (1, 0), (1, 1), (2, 3)])
@pytest.mark.parametrize("cycle", [mgcore.v_cycle, mgcore.w_cycle, mgcore.full_multigrid])
def test_levels_fuse_without_a_trace(monkeypatch, cycle, pre, post, guess):
    g, u = np.random.default_rng(0).standard_normal((2, 257, 257))
    solutions = []
    for fused in (True, False):
        if not fused:
            monkeypatch.setattr(mgcore.poisson.PoissonLevel, "descend", Level.descend)
            monkeypatch.setattr(mgcore.poisson.PoissonLevel, "ascend", Level.ascend)
        levels = mgcore.poisson_levels((257, 257), smoother="sor")
        assert levels[0]._w is not None
        state = levels[0].start(g, u if guess else None)
        state = mgcore.run(levels, cycle(len(levels), pre, post), state)
        solutions.append(levels[0].solution(state).copy())
    assert abs(solutions[0] - solutions[1]).max() <= 1e-12 * abs(solutions[1]).max()


def test_results_do_not_depend_on_the_number_of_threads():
    import numba

    g = np.random.default_rng(0).standard_normal((513, 513))
    threads = numba.get_num_threads()
    try:
        solutions = []
        for n in {1, threads}:
            numba.set_num_threads(n)
            solutions.append(mgcore.solve_poisson(g, rtol=0, maxiter=3).u)
    finally:
        numba.set_num_threads(threads)
    for u in solutions[1:]:
        assert abs(u - solutions[0]).max() <= 1e-13 * abs(u).max()
