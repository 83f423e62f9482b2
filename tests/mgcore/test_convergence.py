"""Real cycles converge at the rates that theory and independent computation give."""

import pytest
from helpers import several

import mgcore
from mgcore import Chebyshev, f_cycle, v_cycle, w_cycle
from mgcore.convergence import asymptotic_factor, cycle_seconds

CYCLES = {
    "V(1,1)": lambda n: v_cycle(n, 1, 1),
    "V(2,1)": lambda n: v_cycle(n, 2, 1),
    "V(2,2)": lambda n: v_cycle(n, 2, 2),
    "W(1,1)": lambda n: w_cycle(n, 1, 1),
}

# Asymptotic factors computed independently of this project, homogeneous Dirichlet values, with
# grids down to a single unknown.
PUBLISHED = {
    (2, "redblack"): (0.119, 0.081, 0.062, 0.074),
    (2, "sor"): (0.046, 0.030, 0.022, 0.045),
    (2, "jacobi"): (0.366, 0.239, 0.190, 0.357),
    (2, Chebyshev(2)): (0.159, 0.111, 0.087, 0.120),
    (2, Chebyshev(3)): (0.109, 0.077, 0.060, 0.078),
    (3, "redblack"): (0.221, 0.144, 0.110, 0.191),
    (3, "sor"): (0.119, 0.084, 0.066, 0.070),
    (3, "jacobi"): (0.498, 0.359, 0.267, 0.497),
    (3, Chebyshev(2)): (0.200, 0.143, 0.116, 0.149),
    (3, Chebyshev(3)): (0.133, 0.101, 0.080, 0.103),
}
CASES = [
    (ndim, smoother, cycle, factor)
    for (ndim, smoother), factors in PUBLISHED.items()
    for cycle, factor in zip(CYCLES, factors, strict=True)
]


@pytest.mark.parametrize(("ndim", "smoother", "cycle", "factor"), CASES)
def test_asymptotic_factors(ndim, smoother, cycle, factor):
    shape = (129, 129) if ndim == 2 else (33, 33, 33)
    levels = mgcore.poisson_levels(shape, smoother=smoother, coarsest=1)
    assert levels[-1].size == 1
    measured = asymptotic_factor(levels, CYCLES[cycle](len(levels)))
    # 5 %, and half a unit of the third digit, to which the table is rounded
    assert abs(measured - factor) <= 0.05 * factor + 5e-4


@pytest.mark.parametrize(("ndim", "smoother", "cycle", "factor"), CASES)
def test_a_direct_solve_of_many_unknowns_converges_no_slower(ndim, smoother, cycle, factor):
    levels = mgcore.poisson_levels((129,) * ndim if ndim == 2 else (33,) * 3, smoother=smoother)
    assert levels[-1].size > 900
    measured = asymptotic_factor(levels, CYCLES[cycle](len(levels)), cycles=30)
    assert measured <= 1.05 * factor + 5e-4


def test_red_black_gauss_seidel_is_a_direct_solver_in_1d():
    levels = mgcore.poisson_levels(257, smoother="redblack", coarsest=1)
    assert asymptotic_factor(levels, v_cycle(len(levels))) == 0.0


@pytest.mark.parametrize("restriction", ["full", "half"])
def test_lexicographic_and_half_weighting_stay_below_two_grid_theory(restriction):
    # Dirichlet cycles do a little better than the two-grid factors on infinite grids: lexicographic
    # .193; red-black with half weighting .125 for nu = 2.
    smoother, bound = ("lexicographic", 0.193) if restriction == "full" else ("redblack", 0.125)
    levels = mgcore.poisson_levels((65, 65), smoother=smoother, restriction=restriction)
    assert asymptotic_factor(levels, w_cycle(len(levels))) < bound


def test_f_cycle_lies_between_v_and_w():
    levels = mgcore.poisson_levels((129, 129), smoother="redblack")
    v, f, w = (
        asymptotic_factor(levels, build(len(levels))) for build in (v_cycle, f_cycle, w_cycle)
    )
    assert w * 0.98 <= f <= v


@pytest.mark.parametrize(
    ("shape", "extent"),
    [((33, 129), 1.0), ((129, 129), (1.0, 0.3)), ((33, 65, 9), 1.0), ((33, 17, 33), (1, 0.1, 2))],
)
def test_unequal_mesh_widths_converge(shape, extent):
    levels = mgcore.poisson_levels(shape, extent=extent, smoother="redblack")
    # Mesh widths 1.5 to 1 apart leave a smoothing factor of (1.5^2/(1 + 1.5^2))^2 = .48.
    assert asymptotic_factor(levels, v_cycle(len(levels), 2, 2)) < 0.48


@pytest.mark.parametrize("restriction", ["full", "half", "injection"])
def test_restrictions_all_converge(restriction):
    levels = mgcore.poisson_levels((65, 65), smoother=Chebyshev(2), restriction=restriction)
    assert asymptotic_factor(levels, v_cycle(len(levels), 2, 2)) < 0.5


@pytest.mark.parametrize("sides", ["periodic", "neumann"])
def test_problems_that_know_u_up_to_a_constant(sides):
    # so good a cycle that 30 of them would leave nothing but the rounding of the constant
    levels = mgcore.poisson_levels((64, 64), sides=sides, smoother="sor")
    cycle = v_cycle(len(levels), 2, 2)
    few, many = (asymptotic_factor(levels, cycle, cycles=n, last=5) for n in (10, 40))
    assert 0.01 < many < 0.06
    assert few == pytest.approx(many, abs=0.01)


def test_errors_far_below_the_smallest_square():
    levels = several(mgcore.poisson_levels((17, 17), smoother="jacobi", coarsest=1))
    few, many = (asymptotic_factor(levels, v_cycle(len(levels)), cycles=n) for n in (100, 500))
    assert many == pytest.approx(few, rel=1e-3)
    single = mgcore.poisson_levels((17, 17), smoother="jacobi", coarsest=1, dtype="float32")
    found = asymptotic_factor(single, v_cycle(len(single)), cycles=100)
    assert found == pytest.approx(few, rel=1e-3)
    with pytest.raises(ValueError, match="below cycles"):
        asymptotic_factor(levels, v_cycle(len(levels)), cycles=10)


def test_solvers_that_are_timed_take_turns(monkeypatch):
    order = []
    chains = {}
    for name, n in (("coarse", 9), ("fine", 17)):
        levels = mgcore.poisson_levels((n, n), coarsest=1)
        chains[name] = (levels, v_cycle(len(levels)))
    run = mgcore.run

    def noted(levels, cycle, state):
        order.append(levels[0].grid.shape[0])
        return run(levels, cycle, state)

    monkeypatch.setattr("mgcore.convergence.run", noted)
    seconds = cycle_seconds(chains, turns=2)
    assert order == [9, 17] * 3
    assert set(seconds) == {"coarse", "fine"}
    assert all(0 < value < 60 for value in seconds.values())
    with pytest.raises(ValueError, match="at least one turn"):
        cycle_seconds(chains, turns=0)


def test_a_cycle_that_begins_problems_has_no_factor():
    levels = mgcore.poisson_levels((9, 9), coarsest=1)
    with pytest.raises(ValueError, match="full multigrid begins a problem .* v_cycle"):
        asymptotic_factor(levels, mgcore.full_multigrid(len(levels)))


def test_cycles_are_given_as_for_solve():
    levels = several(mgcore.poisson_levels((33, 33), coarsest=1))
    factor = asymptotic_factor(levels, v_cycle(len(levels)))
    assert asymptotic_factor(levels, "v") == factor
    two = [(0, 1), (1, 8), (0, 1)]
    assert 0 < asymptotic_factor(levels, two) == asymptotic_factor(levels, mgcore.Cycle(two)) < 1
    for cycle, message in (
        ("z", "unknown cycle 'z'"), (v_cycle(9), "visit levels below 5 alone"),
        ("fmg", "full multigrid begins a problem"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            asymptotic_factor(levels, cycle)
