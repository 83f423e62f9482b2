"""The loop around the cycle: stopping, statuses, borders, callbacks, and the caller's data."""

import copy
import pickle
import tracemalloc
import warnings

import numpy as np
import pytest
from helpers import direct_solution, several, sine_product

import mgcore
from mgcore import (
    ConvergenceError,
    ConvergenceWarning,
    GaussSeidel,
    Grid,
    Jacobi,
    Status,
    Visit,
    poisson_levels,
    solve,
    solve_poisson,
)

RNG = np.random.default_rng(5)
ROUGH = RNG.standard_normal((65, 65))


def test_the_default_reaches_its_tolerance():
    solution = solve_poisson(ROUGH)
    assert solution.success
    assert solution.status == Status.CONVERGED == 0
    assert solution.residuals[-1] <= 1e-8 * np.linalg.norm(ROUGH[1:-1, 1:-1])
    assert solution.residuals[0] == pytest.approx(np.linalg.norm(ROUGH[1:-1, 1:-1]))
    assert solution.nit == len(solution.factors) == len(solution.residuals) - 1
    assert max(solution.factors) < 0.1
    assert solution.cycle == mgcore.full_multigrid(2)
    assert abs(solution.u - direct_solution(ROUGH)).max() < 1e-8
    assert "cycle     residual   factor" in str(solution)


def test_the_cycle_of_a_solution_is_drawn_for_its_levels():
    cut = [(0, 2), (1, 8), (0, 1)]
    deep = poisson_levels(9, coarsest=1)
    for solution, mark in (
        (solve(poisson_levels(ROUGH.shape, coarsest=1), ROUGH, cycle=cut, maxiter=500), "8"),
        (solve_poisson(ROUGH, cycle=cut), "o"),
        (solve_poisson(np.ones((9, 9))), "o"),
        (solve(deep[:2], np.ones(9), cycle="v", rtol=0, maxiter=1), "2"),
    ):
        assert str(solution.cycle).splitlines()[-1].endswith(mark)


def test_a_solution_is_itself_and_shows_itself_in_a_line():
    g = np.ones((9, 5))
    one, other = (solve_poisson(g, extent=(2, 1), rtol=0, maxiter=2) for _ in range(2))
    assert one == one
    assert one != other
    assert len({one, other}) == 2
    assert one.grid == Grid((9, 5), (2, 1))
    residual = f"{one.residuals[-1]:.2e}"
    assert repr(one) == f"<Solution: CYCLES_DONE, 2 cycles, residual {residual}, u (9, 5)>"


def test_work_units_count_every_cycle():
    levels = poisson_levels((65, 65), coarsest=1)
    sizes = [level.size for level in levels]
    assert list(levels.sizes) == sizes
    solution = solve(levels, ROUGH, maxiter=3, rtol=0)
    expected = mgcore.full_multigrid(6).work_units(sizes) + 2 * mgcore.v_cycle(6).work_units(sizes)
    assert solution.work_units == pytest.approx(expected)


@pytest.mark.parametrize(
    "cycle", ["v", "w", "f", "fmg", mgcore.v_cycle(2, 2, 1), [(0, 2), (1, 8), (0, 1)]]
)
def test_cycles_by_name_or_as_data(cycle):
    solution = solve_poisson(ROUGH, cycle=cycle, rtol=1e-6, maxiter=100)
    assert solution.success
    assert abs(solution.u - direct_solution(ROUGH)).max() < 1e-5


def test_a_cycle_with_fresh_visits_repeats_on_the_residual_equation():
    # With u0, and from the second cycle on, a fresh visit must not throw the iterate away.
    cycle = mgcore.full_multigrid(2)
    solution = solve_poisson(ROUGH, cycle=cycle, rtol=1e-9)
    assert solution.success
    assert max(solution.factors) < 0.1
    nearly = direct_solution(ROUGH)
    nearly[20, 20] += 1e-3
    again = solve_poisson(ROUGH, u0=nearly, rtol=1e-9)
    assert again.residuals[0] < 1e-3 * 5 * 64**2  # one wrong value, times A
    assert again.success
    assert abs(again.u - direct_solution(ROUGH)).max() < 1e-9


def test_tolerances():
    assert solve_poisson(ROUGH, rtol=0, atol=1e-3).residuals[-1] <= 1e-3
    loose = solve_poisson(ROUGH, rtol=0.5)
    assert loose.nit == 1
    assert solve_poisson(ROUGH.astype(np.float32)).residuals[-1] <= 1e-4 * np.linalg.norm(ROUGH)


def test_zero_tolerances_run_all_cycles():
    solution = solve_poisson(ROUGH, rtol=0, maxiter=30)
    assert solution.nit == 30
    assert (solution.success, solution.status) == (True, Status.CYCLES_DONE)
    assert solve_poisson(ROUGH, rtol=0, maxiter=0).nit == 0


def test_the_rounding_level_is_a_success_that_says_so():
    _, g = sine_product(Grid((257, 257)).coordinates(), (1, 2))
    solution = solve_poisson(g, rtol=1e-15)
    assert (solution.success, solution.status) == (True, Status.ROUNDOFF)
    assert "rounding errors" in solution.message
    assert solution.nit < 15
    assert solution.residuals[-1] / solution.residuals[0] < 1e-11


def test_maxiter():
    with pytest.warns(ConvergenceWarning, match="increase maxiter"):
        solution = solve_poisson(ROUGH, rtol=1e-12, maxiter=2)
    assert (solution.success, solution.status, solution.nit) == (False, Status.MAXITER, 2)
    assert "increase maxiter" in solution.message


FAILING = {"rtol": 1e-12, "maxiter": 2}


@pytest.mark.parametrize(
    "call",
    [
        lambda **how: solve_poisson(ROUGH, **FAILING, **how),
        lambda **how: solve_poisson(ROUGH, precision="mixed", rtol=1e-12, maxiter=1, **how),
        lambda **how: solve(poisson_levels((65, 65)), ROUGH, **FAILING, **how),
    ],
)
def test_a_failure_warns_where_it_was_called_or_is_raised(call):
    with pytest.warns(ConvergenceWarning) as caught:
        solution = call()
    (warning,) = caught
    assert issubclass(warning.category, UserWarning)
    assert warning.filename == __file__  # whoever called is told, not mgcore
    first, last = solution.residuals[0], solution.residuals[-1]
    said = f"{solution.message} (residual {first:.2e} -> {last:.2e} in {solution.nit} cycle"
    assert str(warning.message).startswith(said)
    with pytest.raises(ConvergenceError, match="increase maxiter") as raised:
        call(throw=True)
    assert str(raised.value) == str(warning.message)
    assert raised.value.solution.status is Status.MAXITER
    np.testing.assert_array_equal(raised.value.solution.u, solution.u)


def test_an_end_that_was_asked_for_is_no_failure():
    def stop(solution):
        raise StopIteration

    for how in ({"rtol": 0, "maxiter": 1}, {"callback": stop}, {"rtol": 1e-3}):
        solve_poisson(ROUGH, throw=True, **how)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            solve_poisson(ROUGH, **how)


def test_divergence_stops_the_loop():
    with pytest.warns(ConvergenceWarning, match="use another smoother"):
        solution = solve_poisson(ROUGH, smoother=Jacobi(1.6), cycle="v")
    assert (solution.success, solution.status) == (False, Status.DIVERGENCE)
    assert "diverges" in solution.message
    assert solution.nit < 20


def test_stagnation_stops_the_loop():
    with pytest.warns(ConvergenceWarning, match="use a stronger cycle or smoother"):
        solution = solve_poisson(np.ones((129, 129)), smoother="jacobi", cycle=[(0, 1)])
    assert (solution.success, solution.status) == (False, Status.STAGNATION)
    assert "stopped falling" in solution.message
    assert solution.nit < 50


def test_a_zero_right_hand_side_is_solved_at_once():
    solution = solve_poisson(np.zeros((17, 17)))
    assert (solution.nit, solution.success) == (0, True)
    assert not solution.u.any()


def test_a_zero_right_hand_side_with_a_first_guess():
    solution = solve_poisson(np.zeros((65, 65)), u0=ROUGH)
    assert solution.success
    assert solution.nit < 15
    assert abs(solution.u).max() < 1e-7


@pytest.mark.parametrize("precision", ["float32", "mixed"])
@pytest.mark.parametrize(
    ("shape", "extent"),
    [((2**18 + 1,), 1.0), ((3, 8193), 1.0), ((3, 131073), 1.0), ((2049, 2049), (1, 1.128))],
)
def test_float32_is_accurate_on_any_grid(shape, extent, precision):
    """eps times the condition number is up to 3,000 here, and the residual larger than g."""
    g = np.ones(shape, np.float32)
    solution = solve_poisson(g, ndim=len(shape), extent=extent, precision=precision)
    assert solution.success
    u_h = direct_solution(g, extent)
    error = np.linalg.norm(solution.u - u_h) / np.linalg.norm(u_h)
    assert error < (8 * np.finfo("f4").eps if precision == "float32" else 1e-8)


def test_an_exact_guess_needs_no_cycle():
    solution = solve_poisson(ROUGH, u0=direct_solution(ROUGH), rtol=1e-9)
    assert (solution.nit, solution.success) == (0, True)


@pytest.mark.parametrize("shape", [(3,), (3, 3), (3, 3, 3), (5, 3)])
def test_the_smallest_grids(shape):
    g = np.ones(shape)
    solution = solve_poisson(g, boundary=2.0)
    assert solution.success
    np.testing.assert_allclose(
        solution.u, direct_solution(g, border=np.full(shape, 2.0)), rtol=1e-8
    )


# --- borders ------------------------------------------------------------------------------------


def test_borders_as_number_array_and_callable_agree():
    x, y = Grid((33, 33)).coordinates()
    plane = 1 + 2 * x - y + 0 * x * y
    g = np.zeros((33, 33))
    for boundary in (plane, plane.tolist(), lambda x, y: 1 + 2 * x - y):
        solution = solve_poisson(g, boundary=boundary)
        np.testing.assert_allclose(solution.u, plane, atol=1e-13)
        assert solution.nit == 0  # the lift of a plane is the plane
    for number in (3, 3.0, np.float32(3), np.array(3.0)):
        np.testing.assert_allclose(solve_poisson(g, boundary=number).u, 3.0)
    np.testing.assert_allclose(solve_poisson(g, boundary=lambda x, y: 3.0).u, 3.0)


def test_the_interior_of_a_border_array_is_not_read():
    x, y = Grid((17, 17)).coordinates()
    border = x * y
    border[1:-1, 1:-1] = np.nan
    np.testing.assert_allclose(
        solve_poisson(np.zeros((17, 17)), boundary=border).u, x * y, atol=1e-12
    )


@pytest.mark.parametrize("precision", ["float64", "mixed"])
def test_a_pair_is_the_border_in_1d(precision):
    g = np.random.default_rng(0).standard_normal(33)
    border = np.zeros(33)
    border[[0, -1]] = 2, -5
    u_h = direct_solution(g, border=border)
    for pair in ((2, -5), [2.0, -5.0], np.array([2, -5]), lambda x: 2 - 7 * x):
        u = solve_poisson(g, boundary=pair, rtol=1e-12, precision=precision).u
        np.testing.assert_allclose(u, u_h, atol=1e-12)
    with pytest.raises(ValueError, match=r"boundary has shape \(2,\)"):
        solve_poisson(np.ones((3, 3)), boundary=(2, -5))


# --- batches --------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float64", "float32", "mixed"])
@pytest.mark.parametrize("ndim", [1, 2])
@pytest.mark.parametrize("batch", [(3,), (2, 3), (1, 1)])
def test_leading_axes_count_right_hand_sides(batch, ndim, precision):
    shape = {1: (257,), 2: (65, 33)}[ndim]
    g, u0, border = np.random.default_rng(0).standard_normal((3, *batch, *shape))
    how = {"precision": precision, "extent": (2.0, 1.0)[:ndim], "cycle": "v"}
    solution = solve_poisson(g, ndim=ndim, u0=u0, boundary=border, **how)
    assert solution.success
    assert solution.cycle.levels > 1
    assert solution.grid == Grid(shape, how["extent"])
    assert solution.u.shape == (*batch, *shape)
    members = [
        solve_poisson(g[k], ndim=ndim, u0=u0[k], boundary=border[k], **how)
        for k in np.ndindex(batch)
    ]
    for k, member in zip(np.ndindex(batch), members, strict=True):
        np.testing.assert_array_equal(solution.u[k], member.u)
    assert solution.u.dtype == members[0].u.dtype
    assert solution.nit == max(member.nit for member in members)
    assert solution.residuals in [member.residuals for member in members]


def test_what_all_members_share():
    g, u0, border = np.random.default_rng(0).standard_normal((3, 2, 9, 9))
    for shared in (
        {"boundary": border[0], "u0": u0[0]},
        {"boundary": border[:1]},
        {"boundary": lambda x, y: x * y},
        {"boundary": 3},
    ):
        solution = solve_poisson(g, ndim=2, **shared)
        one = shared | ({"boundary": border[0]} if np.ndim(shared["boundary"]) == 3 else {})
        for k in range(2):
            np.testing.assert_array_equal(solution.u[k], solve_poisson(g[k], **one).u)
    pairs = np.array([[1.0, 2.0], [3.0, 5.0]])
    u = solve_poisson(np.zeros((2, 9)), ndim=1, boundary=pairs).u
    np.testing.assert_allclose(u, [np.linspace(1, 2, 9), np.linspace(3, 5, 9)])
    u = solve_poisson(np.zeros((2, 9)), ndim=1, boundary=(1, 2)).u
    np.testing.assert_allclose(u, 2 * [np.linspace(1, 2, 9)])


def test_a_batch_is_told_of_by_its_worst_member():
    g = np.stack([np.zeros((65, 65)), 1e-3 * ROUGH, ROUGH, np.zeros((65, 65))])
    for order in ([0, 1, 2, 3], [2, 1, 0, 3]):
        with pytest.warns(ConvergenceWarning) as caught:
            solution = solve_poisson(g[order], ndim=2, rtol=1e-12, maxiter=3)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        assert solution.status is Status.MAXITER
        with pytest.warns(ConvergenceWarning):
            alone = solve_poisson(ROUGH, rtol=1e-12, maxiter=3)
        assert solution.residuals == alone.residuals
        with pytest.raises(ConvergenceError) as raised:
            solve_poisson(g[order], ndim=2, rtol=1e-12, maxiter=3, throw=True)
        np.testing.assert_array_equal(raised.value.solution.u, solution.u)
    easy = solve_poisson(g, ndim=2, rtol=0, atol=1.0)  # of the members, some are solved at once
    assert easy.residuals == solve_poisson(ROUGH, rtol=0, atol=1.0).residuals
    seen = []
    solve_poisson(g, ndim=2, callback=seen.append)
    assert {so_far.u.shape for so_far in seen} == {(65, 65)}


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((3, 17, 33), "along axis 0; if that axis counts right-hand sides, pass ndim=2, and if"),
        ((3, 129), "pass ndim=1, and if not, ndim=2"),
        ((17, 17, 3), "along axis 2; .* move it to the front and pass ndim=2, and if not, ndim=3"),
    ],
)
def test_a_batch_that_looks_like_an_axis_is_asked_about(shape, advice):
    g = np.ones(shape)
    with pytest.warns(UserWarning, match=advice) as caught:
        solve_poisson(g)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solve_poisson(g, ndim=g.ndim)
        solve_poisson(np.ones((3, 9, 9)))
        solve_poisson(np.ones((3, 3, 3)))


def test_first_guess_with_border_values():
    border = np.add.outer(np.linspace(0, 1, 65) ** 2, np.linspace(0, 2, 65) ** 3)
    u_h = direct_solution(ROUGH, border=border)
    solution = solve_poisson(ROUGH, boundary=border, u0=u_h)
    assert solution.nit == 0
    np.testing.assert_allclose(solution.u, u_h, atol=1e-12)


@pytest.mark.parametrize("precision", ["float64", "float32", "mixed"])
@pytest.mark.parametrize("g", [0.0, 1e-9, 1.0])
@pytest.mark.parametrize(
    "boundary", [1000.1, lambda x, y: 1000.1 + x - 3 * y, lambda x, y: 1e3 * x * y**2]
)
def test_border_values_far_above_g(boundary, g, precision):
    g = g * ROUGH
    solution = solve_poisson(g, boundary=boundary, precision=precision)
    assert solution.success
    nodes = Grid((65, 65)).coordinates()
    border = np.broadcast_to(boundary(*nodes) if callable(boundary) else boundary, (65, 65))
    u_h = direct_solution(g, border=border)
    eps = np.finfo(solution.u.dtype).eps
    tolerance = 1e-4 if precision == "float32" else 1e-8
    allowed = tolerance * np.linalg.norm(ROUGH) / 19 + 100 * eps * abs(u_h).max()
    assert abs(solution.u - u_h).max() < allowed


@pytest.mark.parametrize("precision", ["float64", "mixed"])
def test_the_residual_told_is_that_of_the_u_handed_back(precision):
    # Adding the border values' lift back rounds u, and A makes a residual of that.
    g = np.random.default_rng(0).standard_normal((257, 257))
    solution = solve_poisson(g, boundary=1000.1, rtol=1e-12, precision=precision)
    level = poisson_levels((257, 257))[0]
    true = np.linalg.norm(level.defect(g, solution.u))
    assert true > 1e-12 * np.linalg.norm(g)
    assert solution.residuals[-1] == pytest.approx(true)
    assert solution.status == Status.ROUNDOFF
    # Short of the border, a tolerance within what rounding makes.
    _, g = sine_product(Grid((1025, 1025)).coordinates(), (1, 2))
    for rtol in (1e-10, 3e-11, 1e-11, 3e-12):
        solution = solve_poisson(g, rtol=rtol, precision=precision)
        true = np.linalg.norm(poisson_levels(g.shape)[0].defect(g, solution.u))
        assert solution.residuals[-1] == pytest.approx(true, rel=0.01)
        assert (solution.status == Status.CONVERGED) == (true <= rtol * solution.residuals[0])


def test_rounding_errors_are_told_from_slow_cycles():
    # A weak cycle leaves a smooth error at a residual of the size that rounding makes.
    g = np.ones((257, 257), "f4")
    weak = [(0, 1), (1, 1), (2, 1), (3, 4), (2, 1), (1, 1), (0, 1)]
    solution = solve_poisson(g, cycle=weak, smoother="jacobi", rtol=1e-6, maxiter=5000)
    u_h = direct_solution(g)
    assert solution.status == Status.ROUNDOFF
    assert np.linalg.norm(solution.u - u_h) < 32 * np.finfo("f4").eps * np.linalg.norm(u_h)


@pytest.mark.parametrize(
    ("shape", "extent", "smoother"),
    [
        ((65, 65, 65), (1, 1.4, 1), "jacobi"),
        ((65, 65, 65), 1.0, GaussSeidel("redblack", 0.3)),
        ((257, 257), 1.0, GaussSeidel("redblack", 0.2)),
        ((8193,), 1.0, Jacobi(0.1)),
    ],
)
def test_slow_cycles_do_not_hide_an_error(shape, extent, smoother):
    # One of them finds a part of the error only.
    g = np.ones(shape, "f4")
    how = {"cycle": "v", "rtol": 1e-6, "maxiter": 400}
    solution = solve_poisson(g, extent=extent, smoother=smoother, **how)
    u_h = direct_solution(g, extent)
    assert solution.status == Status.ROUNDOFF
    assert np.linalg.norm(solution.u - u_h) <= 32 * np.finfo("f4").eps * np.linalg.norm(u_h)


def test_without_a_direct_solver_nothing_is_called_rounding():
    # Far from the coarsest grid, smooth errors are out of sight.
    g = np.ones(8193, "f4")
    nearly = 1.1 * direct_solution(g)
    for levels in (1, 2, 3):
        chain = poisson_levels(8193, dtype="float32")[:levels]
        with pytest.warns(ConvergenceWarning):
            assert not solve(chain, g, nearly.astype("f4")).success
    x = np.linspace(0, 1, 8193)
    weak = {"cycle": [(0, 1), (1, 2), (0, 1)], "precision": "mixed"}
    with pytest.warns(ConvergenceWarning):
        assert not solve_poisson(np.full(8193, 1e-6), boundary=x**2, extent=0.0159, **weak).success


# --- the caller's data --------------------------------------------------------------------------


@pytest.mark.parametrize("smoother", ["jacobi", "chebyshev", "lexicographic", "redblack", "sor"])
def test_one_gate_for_every_smoother(smoother):
    expected = direct_solution(ROUGH)

    def agrees(g, tolerance=1e-7, **options):
        before = np.array(g)
        u = solve_poisson(g, smoother=smoother, cycle="v", maxiter=100, **options).u
        np.testing.assert_array_equal(g, before)  # the caller's array is as it was
        assert not np.shares_memory(u, g)
        assert abs(u - expected).max() < tolerance

    agrees(ROUGH)
    agrees(np.asfortranarray(ROUGH))
    agrees(np.repeat(np.repeat(ROUGH, 2, 0), 3, 1)[::2, ::3])
    agrees(ROUGH[::-1, ::-1].copy()[::-1, ::-1])
    frozen = ROUGH.copy()
    frozen.flags.writeable = False
    agrees(frozen, u0=frozen * 0)
    agrees(ROUGH.astype(">f8"))
    agrees(ROUGH.astype(np.float32), 1e-3)
    assert solve_poisson(ROUGH.astype(">f4")).u.dtype == np.float32
    agrees(ROUGH.tolist())


def test_integers_are_promoted():
    g = np.arange(81).reshape(9, 9) % 7
    solution = solve_poisson(g)
    assert solution.u.dtype == np.float64
    assert abs(solution.u - direct_solution(g)).max() < 1e-8


def test_callback_sees_every_cycle_and_may_stop():
    seen = []
    solution = solve_poisson(ROUGH, callback=seen.append)
    assert [s.nit for s in seen] == list(range(1, solution.nit + 1))
    assert seen[-1].residuals == solution.residuals
    assert seen[0].message == "running"
    np.testing.assert_array_equal(seen[-1].u, solution.u)
    assert abs(seen[0].u - seen[1].u).max() > 0  # copies, not views of the workspace

    def stop(solution):
        if solution.nit == 2:
            raise StopIteration

    stopped = solve_poisson(ROUGH, callback=stop)
    assert (stopped.nit, stopped.success, stopped.status) == (2, False, Status.CALLBACK)


def test_slow_cycles_go_on():
    g, levels = np.ones((17, 17)), poisson_levels((17, 17), smoother="jacobi", coarsest=1)
    solution = solve(levels, g, cycle=[(0, 1)], maxiter=2000)
    assert solution.success
    assert min(solution.factors[-50:]) > 0.97


@pytest.mark.parametrize("smoother", ["sor", "jacobi", "lexicographic"])
def test_no_array_is_allocated_inside_a_cycle(smoother):
    levels = poisson_levels((257, 257), smoother=smoother)
    cycle = mgcore.full_multigrid(len(levels))
    state = levels[0].start(np.ones((257, 257)))
    for _ in range(2):  # a residual that is to be restricted gets an array when there is one
        state = mgcore.run(levels, cycle, state)
    tracemalloc.start()
    mgcore.run(levels, cycle, state)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Bytes, of Python objects and products on 31 x 31 unknowns; an array of the finest has 528,392.
    assert peak < 50_000


@pytest.mark.parametrize(
    ("precision", "boundary", "most"),
    [
        ("float64", 0.0, 1.0),
        ("float64", lambda x, y: x - y, 2.0),
        ("mixed", 0.0, 1.5),
        ("mixed", lambda x, y: x - y, 1.5),
    ],
)
def test_memory_of_a_solve(precision, boundary, most):
    """Beside g and the solution, in arrays of the finest grid."""
    g = np.ones((1025, 1025))
    peaks = []
    for _ in range(4):  # one or two of them load kernels: for one thread where the cores are busy
        tracemalloc.start()
        u = solve_poisson(g, boundary=boundary, precision=precision).u
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert min(peaks) - u.nbytes < most * u.nbytes


@pytest.mark.parametrize("sides", ["dirichlet", "neumann"])
@pytest.mark.parametrize("shape", [(33, 33), (17, 17, 17)])
def test_levels_from_another_processor_take_the_kernels_of_this_one(shape, sides, monkeypatch):
    g = np.random.default_rng(0).standard_normal(shape)
    levels = several(poisson_levels(shape, sides=sides, coarsest=27))
    expected, content = solve(levels, g), pickle.dumps(levels)
    monkeypatch.setattr("mgcore.poisson_level.WHY_PLAIN", "no vectors")
    monkeypatch.setattr("mgcore.box_level.WHY_PLAIN", "no vectors")
    found = pickle.loads(content)
    kinds = [{type(level).__name__ for level in some} for some in (levels, found)]
    assert "BoxLevel" not in kinds[1]
    assert kinds[0] != kinds[1] or not any(getattr(level, "fused", False) for level in found)
    assert abs(solve(found, g).u - expected.u).max() <= 1e-9 * abs(expected.u).max()


def test_levels_can_be_pickled_and_copied():
    levels = several(poisson_levels((33, 33), coarsest=1))
    expected = solve(levels, ROUGH[::2, ::2]).u
    for twin in (pickle.loads(pickle.dumps(levels)), copy.deepcopy(levels)):
        np.testing.assert_array_equal(solve(twin, ROUGH[::2, ::2]).u, expected)


def test_progress_goes_to_stderr(capsys):
    solution = solve_poisson(ROUGH, progress=True)
    out, err = capsys.readouterr()
    assert not out
    assert len(err.splitlines()) == solution.nit
    assert "factor" in err
    solve(poisson_levels((65, 65), smoother="sor"), ROUGH, progress=True)
    assert capsys.readouterr().err == err


def test_levels_serve_many_solves_and_print_a_table():
    levels = poisson_levels((65, 33), extent=(1, 0.5), smoother=GaussSeidel("lexicographic", 1.1))
    for g in (ROUGH[:, ::2], 2 * ROUGH[:, ::2]):
        assert abs(solve(levels, g).u - direct_solution(g, (1, 0.5))).max() < 1e-7
    table = str(levels)
    assert "65 x 33" in table
    assert "direct" in table
    assert "lexicographic SOR 1.1" in table
    assert len(table.splitlines()) == len(levels) + 2


def test_one_hierarchy_holds_several_states_at_once():
    levels = several(poisson_levels((33, 33), coarsest=1))
    cycle = mgcore.v_cycle(len(levels))
    g = ROUGH[::2, ::2]
    a, b = levels[0].start(g), levels[0].start(-g)
    for _ in range(10):
        a, b = mgcore.run(levels, cycle, a), mgcore.run(levels, cycle, b)
    np.testing.assert_array_equal(a.u, -b.u)
    assert abs(a.u - direct_solution(g)).max() < 1e-10


@pytest.mark.parametrize("precision", ["float64", "float32", "mixed"])
@pytest.mark.parametrize("shape", [(5, 1025), (1025, 5), (65, 33), (9, 17, 65), (17, 17)])
@pytest.mark.parametrize("rubbish", [np.nan, np.inf, 1e300])
def test_g_on_the_border_is_ignored(shape, precision, rubbish):
    g = np.random.default_rng(0).standard_normal(shape)
    expected = solve_poisson(g, precision=precision)
    g[mgcore.boundary.on_border(shape)] = rubbish
    with np.errstate(over="ignore"):
        solution = solve_poisson(g, precision=precision)
    assert solution.success
    assert (solution.cycle.levels > 1) == (shape != (17, 17))
    np.testing.assert_array_equal(solution.u, expected.u)


def test_a_callable_border_may_ignore_where_it_is_asked():
    g = np.zeros((33, 17))
    for table in (np.full((1, 17), 1.5), np.full(17, 1.5), np.full((33, 1), 1.5), [[1.5]]):
        np.testing.assert_allclose(solve_poisson(g, boundary=lambda x, y, t=table: t).u, 1.5)
    border = np.random.default_rng(0).standard_normal((33, 17))
    u = solve_poisson(g, boundary=lambda x, y: border).u
    np.testing.assert_array_equal(u, solve_poisson(g, boundary=border).u)


# --- what is refused ----------------------------------------------------------------------------

G, LEVELS = np.ones((9, 9)), poisson_levels((9, 9), coarsest=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: solve_poisson(np.ones((2, 9))), "3 nodes or more"),
        (lambda: solve_poisson(5.0), "one, two or three axes"),
        (lambda: solve_poisson(np.ones((2, 3, 3, 3))), "leading axes count right-hand sides, pass"),
        (lambda: solve_poisson(G, ndim=3), "fewer axes than the 3 of the grid"),
        (lambda: solve_poisson(G, ndim=0), "ndim must be 1, 2 or 3"),
        (lambda: solve_poisson(G, ndim=True), "ndim must be 1, 2 or 3"),
        (lambda: solve_poisson(np.ones((0, 9, 9)), ndim=2), "empty batch"),
        (lambda: solve_poisson(np.ones((2, 9, 9)), ndim=2, u0=np.ones((3, 9, 9))), "fit the batch"),
        (
            lambda: solve_poisson(np.ones((2, 9, 9)), ndim=2, u0=np.ones((2, 9, 5))),
            r"shape \(9, 5\)",
        ),
        (lambda: solve_poisson(np.ones((2, 9, 9)), ndim=2, boundary="x"), "said by sides="),
        (lambda: LEVELS[0].start(np.ones((2, 9, 9))), "a batch of right-hand sides is for mgcore"),
        (lambda: solve_poisson(G.astype(object)), "must hold real numbers"),
        (lambda: solve_poisson(G.astype(str)), "must hold real numbers"),
        (lambda: solve_poisson(G.astype("datetime64[s]")), "must hold real numbers"),
        (lambda: solve_poisson(G.astype("S3")), "must hold real numbers"),
        (lambda: solve_poisson(np.zeros((9, 9), "f8,f8")), "must hold real numbers"),
        (lambda: solve_poisson(np.ma.ones((9, 9))), "masked array"),
        (lambda: solve_poisson([[1.0, 2.0], [3.0]]), "one for each node"),
        (lambda: solve_poisson(1e200 * G), "over- or underflow; scale g"),
        (lambda: solve_poisson(1e-200 * G), "over- or underflow; scale g"),
        (lambda: solve_poisson(1e-150 * G), "over- or underflow; scale g"),
        (lambda: solve_poisson(np.float32(1e-41) * G.astype("f4")), "over- or underflow; scale g"),
        (lambda: solve_poisson(np.float32(3e37) * G.astype("f4")), "over- or underflow; scale g"),
        *(
            (lambda extent=e, how=how: solve_poisson(G, extent=extent, **how), "in other units")
            for e in (1e-200, 1e200, 1e160, 5e-324, (1, 5e-324))
            for how in (
                {},
                {"precision": "float32"},
                {"precision": "mixed"},
                {"smoother": "chebyshev"},
            )
        ),
        (lambda: solve_poisson(G, extent=1e-18, precision="float32"), "in other units"),
        (lambda: solve_poisson(G, boundary="neumann"), "said by sides="),
        (lambda: solve_poisson(G, boundary=10**400), "beyond the range of floats"),
        *(
            (lambda levels=levels: solve(levels, G), "levels must be made by poisson_levels")
            for levels in ([], 3, None, [1, 2])
        ),
        (lambda: solve_poisson(G, rtol=10**400), "rtol must be a number"),
        (lambda: solve_poisson(G, atol=10**400), "atol must be a number"),
        (lambda: solve_poisson({1: 2}), "must hold real numbers"),
        (lambda: solve_poisson(G, callback=3), "callback must be callable"),
        (lambda: solve_poisson(G, callback=3, progress=True), "callback must be callable"),
        (lambda: solve_poisson(G, u0=1e300 * G), "the residual of u0 overflows"),
        (lambda: solve_poisson(G.astype(complex)), "real and the imaginary part separately"),
        (lambda: solve_poisson(G.astype(np.float16)), "float16, too coarse"),
        (lambda: solve_poisson(np.where(G == 1, np.nan, 0)), "g holds NaN or infinity"),
        (lambda: solve_poisson(np.where(G == 1, np.inf, 0)), "g holds NaN or infinity"),
        (lambda: solve_poisson(G, u0=np.ones((9, 5))), r"u0 has shape \(9, 5\)"),
        (lambda: solve_poisson(G, u0=G * np.nan), "u0 holds NaN"),
        (lambda: solve_poisson(G, u0=G * 1j), "u0 is complex"),
        (lambda: solve_poisson(G, boundary=np.ones((5, 9))), r"boundary has shape \(5, 9\)"),
        (lambda: solve_poisson(G, boundary=G * np.nan), "boundary holds NaN"),
        (lambda: solve_poisson(G, boundary=float("nan")), "boundary holds NaN"),
        (lambda: solve_poisson(G, boundary="zero"), "boundary must be values of u on the border"),
        (lambda: solve_poisson(G, boundary=1j), "boundary is complex"),
        (lambda: solve_poisson(G, boundary=lambda x, y: np.ones(4)), r"returned shape \(4,\)"),
        (lambda: solve_poisson(G, extent=-1), "positive"),
        (lambda: solve_poisson(G, extent=(1, 1, 1)), "each of 2 axes"),
        (lambda: solve_poisson(G, cycle="x"), "known are 'v', 'w', 'f', 'fmg'"),
        (lambda: solve_poisson(G, cycle=7), "a name or a sequence of visits"),
        (lambda: solve_poisson(G, cycle=[(0, 1), (1, 1)]), "begin and end on level 0"),
        (lambda: solve(LEVELS, G, cycle=mgcore.v_cycle(5)), "visit levels below 3"),
        (lambda: poisson_levels((9, 9), coarsest=0), "number of unknowns, 1 or more, or None"),
        (lambda: poisson_levels((9, 9), coarsest=2.5), "number of unknowns, 1 or more, or None"),
        (lambda: solve_poisson(G, smoother="sorr"), "known are 'jacobi'"),
        (lambda: solve_poisson(G, rtol=-1), "rtol must be a number, zero or more"),
        (lambda: solve_poisson(G, atol=float("nan")), "atol must be a number, zero or more"),
        (lambda: solve_poisson(G, maxiter=-1), "maxiter must be a whole number"),
        (lambda: solve_poisson(G, maxiter=2.5), "maxiter must be a whole number"),
        (lambda: solve_poisson(G, maxiter=None), "maxiter must be a whole number"),
        (lambda: solve_poisson(G, maxiter=True), "maxiter must be a whole number"),
        (lambda: solve_poisson(G, extent=True), "extent must be one or more numbers"),
        (lambda: solve_poisson(lambda x, y: x), "g must be numbers .* values at the nodes"),
        (lambda: solve_poisson(None), "g must be numbers .* got None"),
        (lambda: solve_poisson(G, rtol="a"), "rtol must be a number"),
        (lambda: solve_poisson(G, rtol=np.float32("inf")), "rtol must be a number"),
        (lambda: solve_poisson(G.astype("f4"), boundary=1e300), "boundary holds NaN or infinity"),
        (lambda: poisson_levels((9, 9), restriction="fuller"), "known are 'full', 'half'"),
        (lambda: poisson_levels(9, restriction="half"), "2D stencil"),
        (lambda: poisson_levels((9, 9), prolongation="cubic"), "known are 'linear'"),
        (lambda: poisson_levels((9, 9), dtype="float16"), "'float64' or 'float32'"),
        (lambda: poisson_levels((9, 9), dtype=3), "'float64' or 'float32'"),
        (lambda: poisson_levels((9, 9))[0].start(np.ones((5, 5))), "need \\(9, 9\\)"),
    ],
)
def test_bad_input_gets_one_clear_sentence(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_visits_may_be_plain_tuples_or_visits():
    given = [Visit(0, 1), (1, 1), (2, 1), (1, 1), Visit(0, 1)]
    assert solve(LEVELS, G, cycle=given).success
