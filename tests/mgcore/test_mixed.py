"""Defect correction: float32 cycles, float64 answers."""

import numpy as np
import pytest
from helpers import direct_solution

import mgcore
from mgcore import ConvergenceWarning, Status, solve_poisson
from mgcore.kernels import KERNELS
from mgcore.mixed import MixedLevel

SHAPES = [
    (3,), (257,), (3, 3), (129, 129), (129, 33), (5, 1025), (33, 33, 33), (65, 9, 17)
]  # fmt: skip


def rough(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 1e-125, 1e150])
def test_as_accurate_as_float64(shape, scale):
    g = scale * rough(shape)
    extent = (2.0, 0.7, 1e-12)[: len(shape)]
    solution = solve_poisson(g, extent=extent, precision="mixed", rtol=1e-12)
    assert solution.success
    assert solution.u.dtype == np.float64
    assert (solution.cycle.levels > 1) == (max(shape) > 3)
    u_h = direct_solution(g, extent)
    assert abs(solution.u - u_h).max() <= 1e-10 * abs(u_h).max()
    if solution.status == Status.CONVERGED:
        assert solution.residuals[-1] <= 1e-12 * solution.residuals[0]


@pytest.mark.parametrize("shape", [(129, 129), (33, 17, 17), (257,)])
def test_residuals_are_those_of_the_solution(shape):
    g, u0 = rough((2, *shape))
    border = rough(shape, 1)
    seen = []
    solution = solve_poisson(
        g, u0=u0, boundary=border, precision="mixed", rtol=1e-9, callback=seen.append
    )
    assert solution.success
    assert len(seen) == solution.nit
    assert solution.cycle.levels > 1
    grid, kernels = mgcore.Grid(shape), KERNELS[len(shape)]
    a = tuple(h**-2 for h in grid.spacing)
    for so_far in seen:
        assert kernels.norm(so_far.u, g, a) == pytest.approx(so_far.residuals[-1], rel=1e-4)
    np.testing.assert_array_equal(solution.u[0], border[0])
    np.testing.assert_allclose(solution.u, direct_solution(g, border=border), atol=1e-7)


@pytest.mark.parametrize("smoother", ["sor", "redblack", "chebyshev", "jacobi", "lexicographic"])
@pytest.mark.parametrize("cycle", ["fmg", "v", "w", "f", mgcore.full_multigrid(2, 1, 2)])
def test_any_cycle_and_smoother(cycle, smoother):
    g = rough((65, 65))
    solution = solve_poisson(g, precision="mixed", cycle=cycle, smoother=smoother)
    assert solution.status == Status.CONVERGED
    double = solve_poisson(g, cycle=cycle, smoother=smoother)
    assert abs(solution.u - double.u).max() <= 1e-7 * abs(double.u).max()
    assert solution.nit < double.nit or cycle == mgcore.full_multigrid(2, 1, 2)
    assert str(solution.cycle) == str(double.cycle)
    assert 0.5 < solution.work_units / double.work_units < 2


def test_corrections_reduce_the_residual_by_what_float32_can():
    # A correction ends at 1e-4 of the residual, or at the float32 floor where g is smooth.
    assert max(solve_poisson(rough((513, 513)), precision="mixed", rtol=1e-10).factors[:2]) < 1e-4
    smooth = solve_poisson(np.ones((513, 513)), precision="mixed", rtol=1e-10)
    assert smooth.success
    assert max(smooth.factors) < 1e-2


def test_ends_like_any_solve():
    g = rough((65, 65))
    assert solve_poisson(g, precision="mixed", rtol=0, maxiter=2).status == Status.CYCLES_DONE
    with pytest.warns(ConvergenceWarning):
        assert solve_poisson(g, precision="mixed", maxiter=0).status == Status.MAXITER
    with pytest.warns(ConvergenceWarning):
        assert solve_poisson(g, precision="mixed", rtol=1e-14, maxiter=1).status == Status.MAXITER
    zero = solve_poisson(0 * g, precision="mixed")
    assert zero.status == Status.CONVERGED
    assert not zero.u.any()
    floor = solve_poisson(np.ones((513, 513)), precision="mixed", rtol=1e-15)
    assert floor.status == Status.ROUNDOFF
    before = g.copy()
    solve_poisson(g, u0=g, precision="mixed")
    np.testing.assert_array_equal(g, before)


def test_callbacks_see_the_work_of_all_cycles():
    seen = []
    solution = solve_poisson(rough((129, 129)), precision="mixed", callback=seen.append)
    assert [s.nit for s in seen] == list(range(1, solution.nit + 1))
    assert 0 < seen[0].work_units < seen[-1].work_units == solution.work_units
    assert seen[0].cycle == solution.cycle
    with pytest.raises(ValueError, match="callback must be callable"):
        solve_poisson(rough((33, 33)), precision="mixed", callback=3)


def test_a_cycle_may_be_told_once():
    g = rough((129, 129))
    expected = solve_poisson(g, precision="mixed", cycle="v").u
    visits = (tuple(visit) for visit in mgcore.v_cycle(3))
    np.testing.assert_array_equal(solve_poisson(g, precision="mixed", cycle=visits).u, expected)


def test_full_multigrid_begins_with_values_on_the_border_and_a_guess_as_well():
    g = np.random.default_rng(0).standard_normal((65, 65))
    how = {"precision": "mixed", "maxiter": 1, "rtol": 0}
    plain = solve_poisson(g, **how).residuals
    for given in ({"boundary": 1.0}, {"u0": np.zeros_like(g)}):
        assert solve_poisson(g, **given, **how).residuals[1] == pytest.approx(plain[1], rel=0.05)


def test_precision_is_checked_and_chosen():
    g = np.ones((17, 17))
    assert solve_poisson(g, precision="float32").u.dtype == np.float32
    assert solve_poisson(g.astype("f4"), precision="float64").u.dtype == np.float64
    assert solve_poisson(g.astype("f4")).u.dtype == np.float32
    assert solve_poisson(g.astype("f4"), precision="mixed").u.dtype == np.float64
    with pytest.raises(ValueError, match="precision must be 'float64', 'float32', 'mixed'"):
        solve_poisson(g, precision="half")


@pytest.mark.parametrize("shape", [(9,), (9, 17), (3, 3), (9, 5, 17), (3, 3, 3)])
@pytest.mark.parametrize("strips", [1, 2, 3, 9])
@pytest.mark.parametrize("zero", [False, True])
def test_correction_kernel(shape, strips, zero):
    u, g, e = rough((3, *shape))
    for x in (u, e):
        for axis in range(len(shape)):
            np.moveaxis(x, axis, 0)[[0, -1]] = 0
    e, r = e.astype("f4"), np.zeros(shape, "f4")
    a = tuple(h**-2 for h in mgcore.Grid(shape).spacing)
    kernels, expected, r64 = KERNELS[len(shape)], 3.0 * e.astype(float), np.zeros(shape)
    expected += 0 if zero else u
    norm = kernels.correct(u, e, g, r, a, 3.0, 0.25, zero, strips)
    np.testing.assert_allclose(u, expected, atol=1e-12)
    kernels.residual(expected, g, r64, a)
    np.testing.assert_allclose(r, 0.25 * r64, rtol=1e-6, atol=1e-5)
    assert norm == pytest.approx(0.25 * np.linalg.norm(r64), rel=1e-6)


def test_an_error_can_be_added_before_the_first_cycle():
    grid = mgcore.Grid((33, 33))
    outer = mgcore.poisson_levels(grid.shape)[0]
    inner = mgcore.poisson_levels(grid.shape, dtype="float32")
    g, u = rough((2, 33, 33))
    u[[0, -1]] = u[:, [0, -1]] = 0
    level = MixedLevel(outer, inner)
    state = level.add(level.start(g), u)
    np.testing.assert_array_equal(level.solution(state), u)
    assert level.residual_norm(state) == pytest.approx(level.residual_norm(level.start(g, u)))


def test_cycles_that_look_for_rounding_errors_are_not_counted():
    seen = []
    solution = solve_poisson(rough((65, 65)), precision="mixed", rtol=1e-16, callback=seen.append)
    assert solution.status == Status.ROUNDOFF
    assert solution.work_units == seen[-1].work_units


def test_a_callback_may_be_an_empty_list():
    class Log(list):
        def __call__(self, so_far):
            self.append(so_far)

    log, seen = Log(), []
    for callback in (log, seen.append):
        solve_poisson(np.ones((65, 65)), precision="mixed", callback=callback)
    assert [s.work_units for s in log] == [s.work_units for s in seen]
    assert log[-1].work_units > 1
