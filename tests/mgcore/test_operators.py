"""Any sides, mesh, coefficients and stencil: against assembled matrices, and theory."""

from functools import reduce

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import several
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import mgcore
from mgcore import (
    Chebyshev,
    GaussSeidel,
    Jacobi,
    Robin,
    Stencil,
    Zebra,
    poisson_levels,
    solve,
    solve_poisson,
    threads,
)
from mgcore.convergence import asymptotic_factor
from mgcore.cycle import CYCLES, f_cycle, full_multigrid, v_cycle, w_cycle
from mgcore.diffusion import Medium
from mgcore.operator_level import OperatorLevel
from tests.mgcore.assembly import assemble, volumes

# --- random problems --------------------------------------------------------------------------

#: Compiled code, and a machine's other work, take what time they take.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
POINTS = [
    "sor", "redblack", "jacobi", "chebyshev", "lexicographic", Jacobi(0.6), Chebyshev(3),
    GaussSeidel("redblack", 0.9),
]  # fmt: skip
LINES = ["zebra", Zebra(0), Zebra((0, 1))]
MOST = {1: 40, 2: 20, 3: 9}  # nodes along an axis
LONG = {2: 100, 3: 60}  # along one axis at most, where the others have a few


@st.composite
def problems(draw):
    """A box, a mesh, sides and coefficients, and how to solve; numbers from a seed."""
    ndim = draw(st.integers(1, 3))
    sizes = st.sampled_from([*range(3, MOST[ndim] + 1)])  # integers() likes small ones too much
    shape = tuple(draw(sizes) for _ in range(ndim))
    thin = ndim > 1 and draw(st.integers(0, 2)) == 0
    if thin:
        along = draw(st.integers(0, ndim - 1))
        shape = tuple(LONG[ndim] - n if k == along else 3 + n % 2 for k, n in enumerate(shape))
    kinds = ["dirichlet", "neumann", Robin(draw(st.floats(0.1, 5)))]
    sides = [
        draw(
            st.one_of(
                st.just(("periodic", "periodic")),
                st.tuples(st.sampled_from(kinds), st.sampled_from(kinds)),
            )
        )
        for _ in range(ndim)
    ]
    if thin:  # with other sides, what is constant across would be smooth to no point smoother
        sides = [sides[k] if k == along else ("dirichlet",) * 2 for k in range(ndim)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    graded = draw(st.booleans())
    lines = [np.cumsum(rng.uniform(0.7, 1.4, n) if graded else np.ones(n)) for n in shape]
    lines = [x - x[0] for x in lines]
    lengths = [
        x[-1] + 1.0 if pair[0] == "periodic" else x[-1]
        for x, pair in zip(lines, sides, strict=True)
    ]
    wave = sum(np.ix_(*[np.sin(3 * x / x[-1] + k) for k, x in enumerate(lines)]))
    varies = draw(st.booleans())  # else -Laplace, which has levels of its own
    batch = draw(st.sampled_from([(), (), (3,), (2, 2)]))
    return {
        "shape": shape, "sides": sides, "coordinates": lines, "lengths": lengths,
        "coefficient": np.exp(varies * draw(st.floats(0, 0.7)) * wave),
        "reaction": varies * draw(st.sampled_from([0.0, 1.0])) * rng.uniform(0, 0.1, shape),
        "smoother": draw(st.sampled_from(POINTS + LINES * (ndim > 1))),
        "fused": draw(st.sampled_from([True, True, False])),
        "coarsest": draw(st.sampled_from([1, 1, None, 9])),
        "dtype": draw(st.sampled_from(["float64", "float32"])),
        "cycle": draw(st.sampled_from([*CYCLES, v_cycle, w_cycle, f_cycle, full_multigrid])),
        "steps": (draw(st.integers(0, 2)), draw(st.integers(1, 2))),
        "threads": draw(st.sampled_from(sorted({1, min(2, threads.count())}))),
        "g": rng.standard_normal((*batch, *shape)),
        "on_border": np.cos(wave),  # one function, so that faces agree where they meet
        "flux": rng.standard_normal(shape),
    }  # fmt: skip


def given_on_sides(p):
    """What a problem's sides hold, of u or of the flux, for each axis and end."""
    values = []
    for axis, pair in enumerate(p["sides"]):
        if pair[0] == "periodic":
            values.append(None)
            continue
        given_there = [p["on_border"] if side == "dirichlet" else p["flux"] for side in pair]
        values.append([np.take(v, end, axis) for v, end in zip(given_there, (0, -1), strict=True)])
    return values


def exact(p):
    """Solutions for all g, and what residuals and rounding errors may make of them.

    Those are in the maximum norm ||A^-1|| and ||A||. Where u is known up to a constant, u has mean
    zero, and A the inverse of functions that have.
    """
    g = p["g"].reshape(-1, *p["shape"])
    A, b = assemble(
        p["coordinates"], p["lengths"], p["sides"], p["coefficient"], p["reaction"],
        np.moveaxis(g, 0, -1), given_on_sides(p),
    )  # fmt: skip
    A, constants = A.toarray(), 0.0
    kinds = {side for pair in p["sides"] for side in pair}
    if kinds <= {"neumann", "periodic"} and not p["reaction"].any():
        v = volumes(p["coordinates"], p["lengths"], p["sides"]).reshape(-1)
        constants = np.outer(np.ones(len(v)), v / v.sum())
        b = b - constants @ b
    inverse = np.linalg.inv(A + constants) - constants
    most, bound = (abs(matrix).sum(axis=1).max() for matrix in (inverse, A))
    return (inverse @ b).T.reshape(p["g"].shape), most, bound


def compare(p):
    """Solve a problem, and compare with its exact solutions; how many levels that took."""
    with threads.limited(p["threads"]):
        levels = poisson_levels(
            coordinates=p["coordinates"], extent=p["lengths"], sides=p["sides"],
            coefficient=p["coefficient"], reaction=p["reaction"], smoother=p["smoother"],
            fused=p["fused"], coarsest=p["coarsest"], dtype=p["dtype"],
        )  # fmt: skip
        cycle = p["cycle"] if p["cycle"] in CYCLES else p["cycle"](len(levels), *p["steps"])
        rtol = 1e-11 if p["dtype"] == "float64" else 1e-5
        g, first = p["g"].astype(p["dtype"]), []

        def noted(so_far):
            if so_far.nit == 1:
                first.append(so_far.residuals[0])

        before = g.copy()
        solution = solve(
            levels, g, boundary=given_on_sides(p), cycle=cycle, rtol=rtol, maxiter=200,
            callback=noted,
        )  # fmt: skip
    assert solution.success, solution.message
    np.testing.assert_array_equal(g, before)
    assert (solution.u.shape, solution.u.dtype) == (g.shape, p["dtype"])
    eps = np.finfo(p["dtype"]).eps
    u_h, inverse, bound = exact(p | {"g": g.astype(float)})
    members = list(np.ndindex(g.shape[: g.ndim - len(p["shape"])]))
    for member, size in zip(members, first, strict=True):
        error, length = abs(solution.u[member] - u_h[member]).max(), np.linalg.norm(u_h[member])
        # A residual of rtol ||b||, or what rounding makes of one; and u, rounded.
        allowed = inverse * (rtol * size + 4 * eps * bound * length) + 32 * eps * length
        assert error <= allowed
    return len(levels)


@pytest.mark.parametrize(
    ("number", "examples"), [(1, 100), pytest.param(2, 200, marks=pytest.mark.slow)]
)
@pytest.mark.usefixtures("on_several_threads")
def test_solutions_are_those_of_a_matrix_assembled_node_by_node(number, examples):
    depths = []

    @seed(number)
    @settings(PATIENT, max_examples=examples)
    @given(problems())
    def run(p):
        depths.append(compare(p))

    run()
    assert len(depths) >= examples
    assert np.mean(np.array(depths) > 1) > 0.5


# --- orders -----------------------------------------------------------------------------------

SIDES = {
    "dirichlet": ["dirichlet"] * 3,
    "neumann and dirichlet": [("neumann", "dirichlet"), ("dirichlet", "neumann")] * 2,
    "robin": [(Robin(2.0), Robin(0.5)), ("dirichlet", Robin(1.0)), (Robin(1.5), "neumann")],
    "periodic and neumann": ["periodic", "neumann", "neumann"],
    "all periodic": ["periodic"] * 3,
    "all neumann": ["neumann"] * 3,
}


def manufactured(n, sides, graded):
    """-div(a grad u) = g for u, a product over the axes, and a, a sum: data and solution.

    Mesh widths go from 1 + graded times the mean one at the ends to 1 - graded in the middle.

    Along the first axis, and periodic ones, u = cos(2 pi x + k) and a = 8 x^2 (1 - x)^2 for axis k;
    along others u = x^3 + 1/2 and a = x.
    """
    pairs = [mgcore.axis.pair_of_sides(side) for side in sides]
    lines, u, du, ddu, a, da = [], [], [], [], [], []
    for k, pair in enumerate(pairs):
        x = np.linspace(0, 1, n)[: n - (pair[0] == "periodic")]
        x = x + graded / (2 * np.pi) * np.sin(2 * np.pi * x)
        lines.append(x)
        if k == 0 or pair[0] == "periodic":
            c, s = np.cos(2 * np.pi * x + k), np.sin(2 * np.pi * x + k)
            factor = c, -2 * np.pi * s, -4 * np.pi**2 * c
            term = 8 * x**2 * (1 - x) ** 2, 16 * x * (1 - x) * (1 - 2 * x)
        else:
            factor, term = (x**3 + 0.5, 3 * x**2, 6 * x), (x, np.ones_like(x))
        for parts, part in zip((u, du, ddu, a, da), (*factor, *term), strict=True):
            parts.append(part)

    def product(along, axis):
        """That of the axes' u, but for one axis."""
        return reduce(np.multiply, np.ix_(*[along if j == axis else f for j, f in enumerate(u)]))

    whole, medium = product(u[0], 0), 1 + sum(np.ix_(*a))
    g, values = 0.0, []
    for k, pair in enumerate(pairs):
        slope = product(du[k], k)
        g = g - np.ix_(*da)[k] * slope - medium * product(ddu[k], k)
        given = []
        for end, outwards, side in zip((0, -1), (-1, 1), pair, strict=True):
            beta = side.beta if isinstance(side, Robin) else 0.0
            flux = outwards * medium * slope + beta * whole
            given.append(np.take(whole if side == "dirichlet" else flux, end, k))
        values.append(None if pair[0] == "periodic" else tuple(given))
    return medium, g, whole, values, lines


@pytest.mark.parametrize("graded", [0.0, 0.3])
@pytest.mark.parametrize("kind", SIDES)
@pytest.mark.parametrize(
    ("ndim", "sizes"), [(1, (33, 65, 130)), (2, (25, 49, 98)), (3, (9, 17, 34))]
)
def test_second_order_for_every_kind_of_side(ndim, sizes, kind, graded):
    sides, errors = SIDES[kind][:ndim], []
    for n in sizes:
        a, g, u, values, lines = manufactured(n, sides, graded)
        levels = poisson_levels(
            coordinates=lines, extent=1.0, sides=sides, coefficient=a, coarsest=9
        )
        found = solve(several(levels), g, boundary=values, rtol=1e-10)
        assert found.success
        # Odd numbers of periodic nodes, and thin cells in space, cost most.
        assert found.nit <= {1: 7, 2: 13, 3: 20}[ndim]
        difference = found.u - u
        if getattr(levels[0], "singular", False):
            difference = difference - difference.mean()
        errors.append(abs(difference).max())
    slopes = -np.diff(np.log(errors)) / np.diff(np.log(np.subtract(sizes, 1)))
    np.testing.assert_allclose(slopes, 2.0, atol=0.15)


# --- factors and counts ---------------------------------------------------------------------------


@pytest.mark.parametrize(("smoother", "factor"), [("sor", 0.046), ("redblack", 0.119)])
@pytest.mark.parametrize(
    ("shape", "sides"),
    [
        ((129, 129), "neumann"),
        ((128, 128), "periodic"),
        ((129, 128), ["dirichlet", "periodic"]),
        ((129, 129), [("dirichlet", "neumann"), ("neumann", "dirichlet")]),
        ((129, 129), [Robin(2.0), "neumann"]),
        ((100, 100), "dirichlet"),
        ((100, 100), [("dirichlet", "neumann"), "dirichlet"]),
        ((100, 130), "neumann"),
    ],
)
def test_factors_are_those_with_given_values(shape, sides, smoother, factor):
    extent = [n - 1.0 for n in shape]
    levels = poisson_levels(shape, extent=extent, sides=sides, smoother=smoother)
    assert isinstance(levels[0], OperatorLevel)
    # A constant in u, which singular problems leave alone, soon hides what is left of the error.
    measured = asymptotic_factor(levels, mgcore.v_cycle(len(levels)), cycles=12, last=5)
    assert measured <= 1.1 * (factor if shape != (100, 130) else 2 * factor)


@pytest.mark.parametrize("weak", [1.0, 1e-2, 1e-4, 1e-8])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("sides", ["dirichlet", "neumann", "periodic"])
def test_lines_converge_whatever_the_anisotropy(sides, axis, weak):
    coefficient = [weak, weak]
    coefficient[axis] = 1.0
    shape = (100, 130) if sides != "periodic" else (96, 128)
    x, y = (np.linspace(0, 1, n, endpoint=sides != "periodic") for n in shape)
    g = np.cos(2 * np.pi * x)[:, None] * np.sin(4 * np.pi * y) + np.random.default_rng(0).random(
        shape
    )
    solution = solve_poisson(
        g, sides=sides, coefficient=coefficient, smoother="zebra", cycle="w", rtol=1e-8
    )
    assert solution.success
    assert solution.nit <= 8
    if weak < 1:
        with pytest.warns(mgcore.ConvergenceWarning, match="'zebra'"):
            solve_poisson(g, sides=sides, coefficient=coefficient, cycle="w", maxiter=8)


@pytest.mark.parametrize("across", ["neumann", "periodic"])
def test_lines_converge_in_channels_much_longer_than_wide(across):
    g = np.random.default_rng(0).standard_normal((32769, 9))
    solution = solve_poisson(g, spacing=1.0, sides=["neumann", across], smoother="zebra")
    assert solution.success
    assert solution.nit <= 8


@pytest.mark.parametrize("n", [75, 150])
def test_lines_along_both_axes_converge_on_cells_that_are_thin_either_way(n):
    x, both = np.linspace(0, 1, n) ** 3, mgcore.Zebra((0, 1))
    solution = solve_poisson(np.ones((n, n)), coordinates=(x, x), smoother=both)
    assert solution.success
    assert solution.nit <= 6


@pytest.mark.parametrize("restriction", ["full", "half", "injection"])
def test_the_general_level_does_what_the_fused_one_does(restriction):
    g = np.random.default_rng(1).standard_normal((33, 65))
    for smoother in ("sor", "jacobi", "chebyshev", "lexicographic"):
        how = {"smoother": smoother, "restriction": restriction}
        fused = poisson_levels(g.shape, **how)
        # A coefficient of 4 and a g of four times as much: the same problem, exactly.
        general = poisson_levels(g.shape, coefficient=4.0, **how)
        for cycle in ("v", "fmg"):
            one = solve(fused, g, cycle=cycle, rtol=0, maxiter=2)
            other = solve(general, 4 * g, cycle=cycle, rtol=0, maxiter=2)
            np.testing.assert_allclose(other.u, one.u, atol=1e-13 * abs(one.u).max() * 100)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(101, 193), (43, 97), (15, 13, 29), (27, 43, 11), (83,)])
def test_fused_passes_above_general_levels(shape, dtype):
    """Sizes that can be halved evenly once or more: the same iterates as by general levels."""
    extent = [n - 1.0 for n in shape]
    how = {"extent": extent, "dtype": dtype, "coarsest": 80}
    levels = poisson_levels(shape, **how)
    kinds = [type(level).__name__ for level in levels]
    assert kinds[0] == "PoissonLevel"
    assert kinds[-1] == "StencilLevel"
    general = poisson_levels(shape, coefficient=4.0, **how)
    g = np.random.default_rng(2).standard_normal(shape)
    for cycle in ("v", "w", "fmg"):
        one = solve(levels, g, cycle=cycle, rtol=0, maxiter=2).u
        other = solve(general, 4 * g, cycle=cycle, rtol=0, maxiter=2).u
        bound = (1e-11 if dtype == "float64" else 1e-3) * abs(one).max()
        np.testing.assert_allclose(other, one, atol=bound, rtol=0)


def test_counts_do_not_depend_on_the_size_nor_on_the_units_of_a():
    x = np.linspace(0, 1, 257)
    a = np.exp(np.sin(5 * x)[:, None] + np.cos(4 * x))
    counts = []
    for step, factor in ((1, 1.0), (2, 1.0), (4, 1.0), (2, 1000.0)):
        part = factor * a[::step, ::step]
        counts.append(solve_poisson(np.ones(part.shape), coefficient=part, cycle="v").nit)
    assert counts[1] == counts[3]
    assert max(counts) - min(counts) <= 1


# --- constants ------------------------------------------------------------------------------------


def test_what_a_singular_problem_does_to_g_and_u():
    rng = np.random.default_rng(3)
    g = rng.standard_normal((40, 30))
    for sides in ("neumann", "periodic"):
        one = solve_poisson(g, sides=sides)
        other = solve_poisson(g + 5.0, sides=sides)
        assert one.success
        np.testing.assert_allclose(other.u, one.u, atol=1e-9)
        assert other.removed == pytest.approx(one.removed + 5)
        free = solve_poisson(g - one.removed, sides=sides, project=False)
        np.testing.assert_allclose(free.u, one.u, atol=1e-9)
    grid = mgcore.Grid(g.shape, sides="neumann")
    v = np.multiply.outer(grid.axes[0].mass, grid.axes[1].mass)
    found = solve_poisson(g, sides="neumann")
    assert abs((found.u * v).sum()) < 1e-10


@pytest.mark.parametrize("cycle", ["fmg", "v"])
def test_large_constants_in_u_leave_singular_residuals_small(cycle):
    """A first guess far away: the constant in it is none of the residual's business."""
    g = np.random.default_rng(4).standard_normal((64, 64))
    found = solve_poisson(g, u0=np.full(g.shape, 1e6), sides="periodic", cycle=cycle)
    assert found.success
    np.testing.assert_allclose(found.u, solve_poisson(g, sides="periodic").u, atol=1e-6)
    with pytest.raises(ValueError, match="u0 holds NaN or infinity"):
        solve_poisson(g, u0=np.full(g.shape, np.inf), sides="periodic", cycle=cycle)


# --- constant stencils ----------------------------------------------------------------------------

ROTATED = Stencil.diffusion(0.3, np.pi / 4)
MEHRSTELLEN = Stencil.of_array(np.array([[-1, -4, -1], [-4, 20, -4], [-1, -4, -1]]) / 6)


@pytest.mark.parametrize("sides", ["dirichlet", "neumann", "periodic", ["periodic", "dirichlet"]])
@pytest.mark.parametrize("stencil", [ROTATED, MEHRSTELLEN], ids=["rotated", "mehrstellen"])
def test_nine_point_stencils_with_any_sides(stencil, sides):
    rule = {"dirichlet": "zero", "neumann": "mirror", "periodic": "wrap"}
    kinds = [sides] * 2 if isinstance(sides, str) else sides
    if stencil is ROTATED and sides == "neumann":
        with pytest.raises(ValueError, match="own mirror image"):
            poisson_levels((48, 40), operator=stencil, sides=sides)
        return
    g = np.random.default_rng(5).standard_normal((48, 40))
    levels = poisson_levels(g.shape, operator=stencil, sides=sides, smoother="redblack")
    solution = solve(levels, g, rtol=1e-10)
    assert solution.success
    assert solution.nit <= 15
    window = tuple(slice(1, -1) if kind == "dirichlet" else slice(None) for kind in kinds)
    u = solution.u[window]
    r = g[window] - stencil.apply(u, [rule[kind] for kind in kinds])
    if "dirichlet" not in kinds:
        r = r - (r * levels[0].operator.volumes()).sum() / levels[0].operator.volumes().sum()
    assert np.linalg.norm(r) <= 2e-10 * np.linalg.norm(g)


def test_mehrstellen_is_of_fourth_order_with_its_own_right_hand_side():
    errors = []
    for n in (17, 33, 65):
        x = np.linspace(0, 1, n)
        u = np.outer(np.sin(np.pi * x), np.sin(2 * np.pi * x))
        g = 5 * np.pi**2 * u
        g = g + Stencil.laplacian((1, 1)).apply(g) * -1 / 12
        levels = poisson_levels(u.shape, operator=(n - 1.0) ** 2 * MEHRSTELLEN)
        errors.append(abs(solve(levels, g, rtol=1e-12).u - u).max())
    assert np.log2(errors[0] / errors[1]) > 3.8
    assert np.log2(errors[1] / errors[2]) > 3.8


# --- dtypes, refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize("sides", ["neumann", "periodic", ("dirichlet", Robin(1.0))])
def test_float32(sides):
    g = np.random.default_rng(6).standard_normal((100, 80)).astype(np.float32)
    single, double = (solve_poisson(g.astype(t), sides=sides) for t in (np.float32, np.float64))
    assert single.success
    assert single.u.dtype == np.float32
    assert np.linalg.norm(single.u - double.u) <= 3e-4 * np.linalg.norm(double.u)


G = np.ones((9, 10))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: solve_poisson(G, sides="open"), "'dirichlet', 'neumann', 'periodic' and Robin"),
        (lambda: solve_poisson(G, sides=["neumann"]), "each of 2 axes"),
        (lambda: solve_poisson(G, sides=[("periodic", "neumann"), "neumann"]), "on both sides"),
        (lambda: Robin(-1.0), "zero or more"),
        (lambda: solve_poisson(G, coefficient=0.0), "positive and finite"),
        (lambda: solve_poisson(G, coefficient=np.ones(3)), r"nodes \(9, 10\) or of the cells"),
        (lambda: solve_poisson(G, coefficient=None), "coefficient must be numbers"),
        (lambda: solve_poisson(G, coefficient=1e-300), "too small or too large for float64"),
        (
            lambda: poisson_levels(9, coefficient=1e-36, dtype="float32"),
            "too small or too large for float32",
        ),
        (lambda: solve_poisson(G, coefficient=2.0, mean="geometric"), "'arithmetic', 'harmonic'"),
        (lambda: solve_poisson(G, reaction=-1.0), "zero or more and finite"),
        (lambda: solve_poisson(G, reaction=np.ones(3)), "need"),
        (lambda: solve_poisson(G, coordinates=([0, 1, 2], [0, 2, 1, 3])), "that increase"),
        (lambda: solve_poisson(G, coordinates=(np.arange(9.0), np.arange(9.0))), "not of"),
        (lambda: solve_poisson(G, operator=Stencil({(0, 0): -1.0})), "positive weight"),
        (lambda: solve_poisson(G, operator=Stencil({(0,): 1.0})), "stencil on 2 axes"),
        (lambda: solve_poisson(G, operator=MEHRSTELLEN, sides=Robin(1.0)), "even mesh widths"),
        (lambda: solve_poisson(G, operator=MEHRSTELLEN, reaction=1.0), "one or the other"),
        (lambda: solve_poisson(G, boundary=[(0, 1)]), "each of 2 axes"),
        (lambda: solve_poisson(G, boundary=[(0, 1, 2), None]), "two sides"),
        (lambda: solve_poisson(G, boundary=[(np.ones(4), 1), None]), r"\(10,\)"),
        (lambda: solve_poisson(G, precision="mixed"), "use 'float64'"),
        (lambda: mgcore.Kernel(Stencil.of_array(np.ones(5))), "up to 3"),
        (
            lambda: poisson_levels(9, smoother=mgcore.Kernel(MEHRSTELLEN), coarsest=1),
            "for 2 axes on a grid",
        ),
        (lambda: solve_poisson(G, sides="neumann", project=False), "has mean 1, and only one"),
        (lambda: solve_poisson(G, boundary=[(1, 2), (3,)]), "for each of 2 axes None or a pair"),
        (lambda: solve_poisson(G, boundary=[(1, 2), 3]), "for each of 2 axes None or a pair"),
        (lambda: solve_poisson(G[0], boundary=[(1, 2), (3,)]), "for each of 1 axes None or a pair"),
        (lambda: solve_poisson(G, boundary=np.ones((2, 9, 10))), r"different shapes: \(\), \(2,\)"),
        (
            lambda: solve_poisson(G, coordinates=(np.arange(9.0), np.arange(10.0)), extent=(8, 5)),
            "axis 1 is 9 long by its coordinates and 5 by extent",
        ),
    ],
)
def test_bad_input_gets_one_clear_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("how", "equation"),
    [
        ({}, "-Laplace u = g"),
        ({"coefficient": 2 * np.ones((9, 9))}, "-div(a grad u) = g"),
        ({"reaction": 1.0}, "-div(a grad u) + c u = g"),
        ({"operator": Stencil.of_array([[-1, -4, -1], [-4, 20, -4], [-1, -4, -1]])}, "9 points"),
    ],
    ids=["plain", "a", "c", "stencil"],
)
def test_the_table_of_levels_says_what_is_solved(how, equation):
    for package in (mgcore, pytest.importorskip("mgnet")):
        heading, _ = str(package.poisson_levels((9, 9), **how)).split("\n", 1)
        assert equation in heading


@pytest.mark.parametrize("sides", ["dirichlet", "neumann", ("dirichlet", "neumann")])
@pytest.mark.parametrize("n", [8, 9, 10, 31])
def test_coarser_faces_resist_as_much_as_those_they_are_made_of(n, sides):
    rng = np.random.default_rng(n)
    x, y, a = np.cumsum(rng.uniform(0.5, 2, n)), np.arange(9.0), rng.uniform(0.1, 10, n - 1)
    slope = 1 + np.arange(9.0)
    for number in (0, 1):
        grid = mgcore.Grid(coordinates=[(x, y), (y, x)][number], sides=sides)
        coarse = grid.coarser()
        assert grid.halved_axes() == (True, True)
        faces = [np.ones((1, 1)), np.ones((1, 1))]
        faces[number] = np.outer(a, slope) if number == 0 else np.outer(slope, a)
        medium = Medium(grid, tuple(faces), np.zeros((1, 1))).coarser(coarse, (True, True))
        axis = grid.axes[number]
        resistance = np.cumsum([0, *axis.widths / a])[axis.kept]
        found = np.moveaxis(medium.faces[number], number, 0)
        # Linear along the other axis, which full weighting keeps.
        expected = np.outer(coarse.axes[number].widths / np.diff(resistance), slope[2:-2:2])
        np.testing.assert_allclose(found[:, 1:-1], expected, rtol=1e-13)


@pytest.mark.parametrize("mean", ["arithmetic", "harmonic"])
def test_a_at_nodes_is_that_on_faces(mean):
    a = np.random.default_rng(0).uniform(0.5, 2, (4, 6))
    at_nodes = Medium.given(mgcore.Grid((4, 6)), a, mean=mean)
    means = {"arithmetic": lambda p, q: (p + q) / 2, "harmonic": lambda p, q: 2 * p * q / (p + q)}
    np.testing.assert_allclose(at_nodes.faces[0], means[mean](a[1:], a[:-1]), rtol=1e-14)
    np.testing.assert_allclose(at_nodes.faces[1], means[mean](a[:, 1:], a[:, :-1]), rtol=1e-14)
    assert (at_nodes.nodes is not None) == (mean == "arithmetic")


@pytest.mark.parametrize("a", [np.nan, np.inf, 0.0])
def test_a_coefficient_with_one_bad_value(a):
    values = np.ones((9, 9))
    values[3, 4] = a
    with pytest.raises(ValueError, match="positive and finite"):
        poisson_levels((9, 9), coefficient=values)


@pytest.mark.parametrize("where", [(1, 1), (0, 1)])
@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan])
def test_weights_that_are_no_numbers(where, number):
    weights = Stencil.laplacian((1.0, 1.0)).to_array()
    weights[where] = number
    with pytest.raises(ValueError, match="weights that are finite numbers"):
        poisson_levels((33, 33), operator=Stencil.of_array(weights))
    with pytest.raises(ValueError, match="weights that are finite numbers"):
        mgcore.Kernel(Stencil.of_array(weights))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("length", [8, 22, 33, 66])
def test_a_single_unknown_along_an_axis(axis, length):
    shape = [6, length]
    shape.insert(axis, 3)
    rng = np.random.default_rng(length)
    g, border, a = *rng.standard_normal((2, *shape)), rng.uniform(1, 2, shape)
    sides, lines = [("dirichlet",) * 2] * 3, [np.linspace(0, 1, n) for n in shape]
    values = [[np.take(border, end, k) for end in (0, -1)] for k in range(3)]
    A, b = assemble(lines, [1.0] * 3, sides, a, np.zeros(shape), g, values)
    found = solve_poisson(g, ndim=3, boundary=border, coefficient=a, rtol=1e-11)
    np.testing.assert_allclose(found.u.reshape(-1), sp.linalg.spsolve(A, b), atol=1e-9)


@pytest.mark.parametrize("fused", [True, False])
def test_residuals_on_thin_boxes_are_those_of_the_matrix(fused):
    rng = np.random.default_rng(0)
    kinds = ["dirichlet", "dirichlet", "dirichlet", "neumann", Robin(2.0)]
    for _ in range(150):
        shape = [int(rng.choice([3, 4, rng.integers(5, 70)])) for _ in range(rng.integers(2, 4))]
        pairs = [tuple(rng.choice(kinds, 2)) for _ in shape]
        sides = [pair if rng.random() < 0.8 else "periodic" for pair in pairs]
        varying = {"coefficient": rng.uniform(1, 2, shape)} if rng.random() < 0.5 else {}
        levels = poisson_levels(shape, sides=sides, fused=fused, coarsest=1, **varying)
        for level in levels:
            inside = level.grid.unknown
            u, g = np.zeros((2, *level.grid.shape))
            u[inside] = rng.standard_normal(level.grid.interior)
            exact = -level.operator.matrix() @ u[inside].reshape(-1)
            found = level.residual(level.start(g, u))[inside].reshape(-1)
            np.testing.assert_allclose(found, exact, atol=1e-12 * abs(exact).max())


def test_a_stencil_of_one_point_has_any_sides():
    solution = solve_poisson(G, sides="neumann", operator=Stencil({(0, 0): 2.0}))
    np.testing.assert_array_equal(solution.u, G / 2)


@pytest.mark.parametrize(
    ("shape", "sides", "weights"),
    [
        (16, "periodic", [1, 2, 1]),  # + - + - is taken to zero
        ((17, 17), ["neumann", "dirichlet"], [[-1], [2], [-1]]),  # so is what varies along axis 1
    ],
)
def test_a_stencil_without_an_inverse_is_refused(shape, sides, weights):
    operator = Stencil.of_array(np.array(weights, float))
    with pytest.raises(ValueError, match="no inverse on <Grid.*larger weight at the node"):
        solve_poisson(np.ones(shape), operator=operator, sides=sides)


def test_a_small_reaction_in_a_stencil_is_not_taken_for_rounding():
    c, h = 4e-6, 1 / 1024
    weights = Stencil.laplacian((h**-2, h**-2)).to_array()
    weights[1, 1] += c
    solution = solve_poisson(
        np.ones((129, 129)), operator=Stencil.of_array(weights), sides="neumann"
    )
    assert solution.removed == 0
    # c as the weights hold it: 4 h^-2 = 4.2e6 has digits down to 1e-9.
    np.testing.assert_allclose(solution.u, 1 / c, rtol=1e-3)


@pytest.mark.parametrize("a", [1.0, 1e3])
def test_a_side_that_holds_u_more_firmly_than_numbers_can_say(a):
    g = np.random.default_rng(0).standard_normal((33, 33))
    firm = solve_poisson(g, sides=mgcore.Robin(1e12 * a), coefficient=a)
    np.testing.assert_allclose(firm.u, solve_poisson(g, coefficient=a).u, atol=1e-6 / a)
    with pytest.raises(ValueError, match="a side 'dirichlet'"):
        poisson_levels((33, 33), sides=mgcore.Robin(1e13 * a), coefficient=a)
