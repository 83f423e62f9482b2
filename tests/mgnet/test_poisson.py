"""The solver on torch is the solver on Numba: one driver, the same iterates."""

import inspect
from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers import direct_solution, several, sine_product
from hypothesis import given, settings
from hypothesis import strategies as st

import mgcore
import mgnet
from mgcore import Chebyshev, Grid, Stencil, Zebra, full_multigrid, run, slash_cycle
from mgcore.cycle import f_cycle, v_cycle, w_cycle
from mgcore.level import Hierarchy
from mgnet.conv import FixedConv
from mgnet.level import FeatureLevel

RNG = np.random.default_rng(3)


def as_numpy(u):
    return u.numpy() if isinstance(u, torch.Tensor) else u


@pytest.mark.parametrize("cycle", [v_cycle, w_cycle, f_cycle, full_multigrid])
@pytest.mark.parametrize(
    ("shape", "extent"),
    [((129,), 1.0), ((65, 65), 1.0), ((33, 65), (1, 2)), ((33, 65), 1.0), ((17, 9, 17), 1.0)],
)
@pytest.mark.parametrize("smoother", ["jacobi", "redblack", "sor", Chebyshev(3)])
def test_same_iterates(cycle, shape, extent, smoother):
    g, u = RNG.standard_normal((2, *shape))
    # A guess far larger than the solution, as on 129 nodes, would leave rounding of its own size.
    u = None if cycle is full_multigrid else 0.01 * u
    iterates = []
    for library in (mgcore, mgnet):
        levels = several(
            library.poisson_levels(shape, extent=extent, smoother=smoother, coarsest=1)
        )
        path = cycle(len(levels))
        state = run(levels, path, levels[0].start(g, u))
        first = as_numpy(levels[0].solution(state)).copy()  # updated in place
        if cycle is not full_multigrid:
            state = run(levels, path, state)
        iterates.append((first, as_numpy(levels[0].solution(state))))
    for ours, theirs in zip(*iterates, strict=True):
        assert abs(ours - theirs).max() <= 1e-12 * abs(ours).max()


@pytest.mark.parametrize("smoother", ["zebra", Zebra(1), Zebra((0, 1), 1.1)])
@pytest.mark.parametrize(
    "problem",
    [
        {"shape": (20, 23), "sides": ["neumann", "periodic"]},
        {"shape": (17, 17), "operator": Stencil.diffusion(0.1, 0.4)},
        {"shape": (11, 20), "coefficient": np.exp(np.sin(np.arange(220.0))).reshape(11, 20)},
        {"shape": (3, 24), "sides": "periodic"},
        {"shape": (9, 8, 10), "sides": ["periodic", "dirichlet", "neumann"]},
        {"shape": (9, 9, 9), "operator": Stencil.of_array(np.where(
            np.abs(np.indices((3, 3, 3)) - 1).sum(0) == 0, 26.0, -1.0
        ))},
    ],
    ids=["sides", "rotated", "coefficient", "three nodes", "space", "space, 27 points"],
)  # fmt: skip
def test_same_iterates_with_lines(problem, smoother):
    g, u = RNG.standard_normal((2, *problem["shape"]))
    iterates = []
    for library in (mgcore, mgnet):
        levels = several(library.poisson_levels(**problem, smoother=smoother, coarsest=9))
        state = run(levels, v_cycle(len(levels)), levels[0].start(g, u))
        iterates.append(as_numpy(levels[0].solution(state)))
    assert abs(iterates[0] - iterates[1]).max() <= 1e-12 * abs(iterates[1]).max()


@pytest.mark.parametrize("restriction", ["full", "half", "injection"])
def test_same_iterates_for_every_restriction(restriction):
    g = RNG.standard_normal((33, 33))
    solutions = []
    for library in (mgcore, mgnet):
        how = {"smoother": "jacobi", "restriction": restriction, "coarsest": 1}
        levels = several(library.poisson_levels((33, 33), **how))
        state = run(levels, v_cycle(len(levels)), levels[0].start(g))
        solutions.append(as_numpy(levels[0].solution(state)))
    assert abs(solutions[0] - solutions[1]).max() <= 1e-12 * abs(solutions[0]).max()


def plain_chain(n, ndim):
    """The solver from FeatureLevel alone: (2d+1)-point A, Jacobi B, full weighting, linear P."""
    line = torch.tensor([0.5, 1.0, 0.5], dtype=torch.float64)
    linear = line if ndim == 1 else torch.outer(line, line)
    second = torch.tensor([-1.0, 2, -1], dtype=torch.float64)
    middle = torch.tensor([0.0, 1, 0], dtype=torch.float64)
    cross = torch.outer(second, middle) + torch.outer(middle, second)
    omega = 2 * ndim / (2 * ndim + 1)
    levels = []
    while n >= 3:
        h2 = 1 / (n - 1) ** 2
        A = (second if ndim == 1 else cross) / h2
        # The coarsest grid has one unknown: there B = A^-1 is the direct solve.
        weight = (omega if n > 3 else 1.0) * h2 / (2 * ndim)
        B = torch.full((1,) * ndim, weight, dtype=torch.float64)
        levels.append(
            FeatureLevel(
                FixedConv(A, padding=1),
                FixedConv(B),
                R=FixedConv(linear / 2**ndim, stride=2) if n > 3 else None,
                P=FixedConv(linear, stride=2, transpose=True) if n > 3 else None,
            )
        )
        n = (n + 1) // 2
    for fine, coarse in pairwise(levels):
        fine.coarse = coarse
    return levels


@pytest.mark.parametrize("ndim", [1, 2])
@pytest.mark.parametrize("cycle", [v_cycle, w_cycle, f_cycle])
def test_bare_conv_levels_are_the_solver(cycle, ndim):
    g = RNG.standard_normal((33,) * ndim)
    ours = mgcore.poisson_levels(g.shape, smoother="jacobi", coarsest=1)
    state = run(ours, cycle(len(ours)), ours[0].start(g))
    levels = plain_chain(33, ndim)
    inside = (slice(1, -1),) * ndim
    inner = torch.from_numpy(g[inside].copy())[None, None]
    u = levels[0].solution(run(levels, cycle(len(levels)), levels[0].start(inner)))
    assert abs(u[0, 0].numpy() - state.u[inside]).max() <= 1e-12 * abs(state.u).max()


@st.composite
def cycles(draw, n):
    """Any cycle on n levels that begins and ends on the finest."""
    visits, level = [(0, draw(st.integers(0, 2)))], 0
    for _ in range(draw(st.integers(0, 12))):
        level = min(max(level + draw(st.sampled_from((-1, 0, 1, 1))), 0), n - 1)
        visits.append((level, draw(st.integers(0, 2))))
    visits += [(k, draw(st.integers(0, 2))) for k in range(level - 1, -1, -1)]
    return mgcore.Cycle(visits)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(["sor", "jacobi"]), st.sampled_from([(33, 33), (9, 33), (17,)]))
def test_any_cycle_gives_what_the_levels_on_torch_give(data, smoother, shape):
    # Those know no flags, no fused passes and no workspace; each state makes its own arrays.
    ours = mgcore.poisson_levels(shape, smoother=smoother, coarsest=1)
    theirs = mgnet.poisson_levels(shape, smoother=smoother, coarsest=1)
    g = np.random.default_rng(0).standard_normal(shape)
    a, b = ours[0].start(g), theirs[0].start(g)
    for _ in range(2):  # the second run meets what the first left in the workspace
        cycle = data.draw(cycles(len(ours)))
        a, b = mgcore.run(ours, cycle, a), mgcore.run(theirs, cycle, b)
        u, v = ours[0].solution(a), theirs[0].solution(b).numpy()
        assert abs(u - v).max() <= 1e-11 * max(abs(v).max(), 1e-3)


# --- the full approximation scheme ---------------------------------------------------------------


def with_Pi(levels, weights):
    """Give every level a Pi, so that the coarser problems start from Pi u."""
    for level in levels[:-1]:
        level.Pi = FixedConv(weights, stride=2)
    return levels


@pytest.mark.parametrize("ndim", [1, 2])
def test_full_approximation_scheme_equals_the_correction_scheme(ndim):
    shape = (33,) * ndim
    g, u = RNG.standard_normal((2, *shape))
    line = torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64)  # any Pi will do
    weights = line if ndim == 1 else torch.outer(line, line)
    how = {"smoother": "jacobi", "coarsest": 1}
    plain = mgnet.poisson_levels(shape, **how)
    fas = with_Pi(mgnet.poisson_levels(shape, **how), weights)
    n = len(plain)
    down = slash_cycle((2,) * n)
    for cycle in (v_cycle(n, 2, 1), w_cycle(n, 1, 1), f_cycle(n, 1, 2)):
        a = plain[0].solution(run(plain, cycle, plain[0].start(g, u)))
        b = fas[0].solution(run(fas, cycle, fas[0].start(g, u)))
        assert abs(a - b).max() <= 1e-12 * abs(a).max()

    # The slash cycle alone, then the way up by hand.
    states = []
    for levels in (plain, fas):
        trail = [levels[0].start(g, u)]
        for level in levels[:-1]:
            fine, coarse = level.descend(trail.pop(), 2)
            trail += [fine, coarse]
        bottom = levels[-1].smooth(trail[-1], 2)
        walked = run(levels, down, levels[0].start(g, u))
        torch.testing.assert_close(bottom.u, walked.u, rtol=0, atol=0)
        trail[-1] = bottom
        states.append(trail)
    # On the coarsest grid the full scheme holds the solution: Pi u plus the correction.
    first_guess = fas[-2].Pi(states[1][-2].u)
    torch.testing.assert_close(
        states[1][-1].u, first_guess + states[0][-1].u, rtol=1e-10, atol=1e-12
    )
    for levels, trail in zip((plain, fas), states, strict=True):
        while len(trail) > 1:
            coarse, fine = trail.pop(), trail.pop()
            trail.append(levels[len(trail)].ascend(fine, coarse, 1))
    a, b = states[0][0].u, states[1][0].u
    assert abs(a - b).max() <= 1e-12 * abs(a).max()


# --- under mgcore.solve --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "coarsest"), [((65,), 1), ((33, 65), None), ((33, 65), 1), ((17, 17, 17), 1)]
)
def test_solve_runs_it_unchanged(shape, coarsest):
    g, border = RNG.standard_normal((2, *shape))
    solution, ours = (
        mgcore.solve(library.poisson_levels(shape, coarsest=coarsest), g, boundary=border)
        for library in (mgnet, mgcore)
    )
    assert solution.success
    assert solution.nit == ours.nit
    np.testing.assert_allclose(solution.residuals, ours.residuals, rtol=1e-3)
    assert abs(solution.u.numpy() - ours.u).max() < 1e-10 * abs(ours.u).max()


def test_one_api():
    for name, more, less in (
        ("poisson_levels", {"device"}, {"fused"}),
        ("solve_poisson", {"device"}, {"threads"}),
    ):
        ours, theirs = (
            {
                word: parameter.default
                for word, parameter in inspect.signature(getattr(library, name)).parameters.items()
            }
            for library in (mgcore, mgnet)
        )
        assert theirs.keys() - ours.keys() == more
        assert ours.keys() - theirs.keys() == less
        assert all(theirs[word] == ours[word] for word in theirs.keys() & ours.keys())
        assert ours["smoother"] == "sor"


@pytest.mark.parametrize("shape", [(257,), (65, 33), (33, 17, 17)])
def test_solve_poisson_is_that_of_mgcore(shape):
    g, border, guess = RNG.standard_normal((3, *shape))
    # In 1D one cycle leaves rounding: of what is small, so that it is below the tolerance for sure.
    border, guess = 0.01 * border, 0.01 * guess
    how = {"extent": (2.0, 1.5, 1.0)[: len(shape)], "cycle": "f", "smoother": "redblack"}
    theirs = mgcore.solve_poisson(g, boundary=border, u0=guess, rtol=1e-10, **how)
    assert theirs.cycle.levels > 1
    for data in ((g, border, guess), map(torch.from_numpy, (g, border, guess))):
        g, border, guess = data
        ours = mgnet.solve_poisson(g, boundary=border, u0=guess, rtol=1e-10, **how)
        assert ours.nit == theirs.nit
        assert ours.cycle == theirs.cycle
        np.testing.assert_allclose(ours.residuals[0], theirs.residuals[0])
        np.testing.assert_allclose(ours.u.numpy(), theirs.u, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.jacrev])
def test_a_solve_within_torch_func_says_what_works_there(transform):
    g = torch.from_numpy(RNG.standard_normal((33, 33)))
    with pytest.raises(ValueError, match="by mgcore.run there"):
        transform(lambda x: mgnet.solve_poisson(x).u.sum())(g)


def test_solve_poisson_keeps_the_dtype_of_g():
    g = RNG.standard_normal((17, 17))
    for right, expected in (
        (torch.from_numpy(g), torch.float64),
        (torch.from_numpy(g).float(), torch.float32),
        (g, torch.float64),
        (g.astype(">f4"), torch.float32),
        (torch.arange(289).reshape(17, 17), torch.float64),
    ):
        u = mgnet.solve_poisson(right).u
        assert u.dtype == expected
        assert str(u.device) == "cpu"
        assert abs(u.numpy() - direct_solution(np.asarray(right).astype(float))).max() < 1e-2
    assert mgnet.solve_poisson(g, precision="float32").u.dtype == torch.float32
    asked = mgnet.solve_poisson(torch.from_numpy(g).float(), precision="float64", device="cpu")
    assert asked.u.dtype == torch.float64


def test_solve_poisson_takes_batches():
    g = RNG.standard_normal((2, 3, 65, 33))
    border = RNG.standard_normal((3, 65, 33))
    for data in (g, torch.from_numpy(g)):
        ours = mgnet.solve_poisson(data, ndim=2, boundary=border, rtol=1e-10)
        theirs = mgcore.solve_poisson(g, ndim=2, boundary=border, rtol=1e-10)
        assert ours.nit == theirs.nit
        assert ours.cycle.levels > 1
        np.testing.assert_allclose(ours.u.numpy(), theirs.u, rtol=1e-6, atol=1e-8)
    with pytest.warns(UserWarning, match="pass ndim=2") as caught:
        mgnet.solve_poisson(torch.ones(3, 17, 17))
    assert caught[0].filename == __file__
    with pytest.raises(ValueError, match="ndim must be"):
        mgnet.solve_poisson(torch.ones(3, 17, 17), ndim=4)


def test_a_pair_is_the_border_in_1d():
    levels, g = mgnet.poisson_levels(9), np.zeros(9)
    p = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    for pair in ((2, 4), np.array([2.0, 4.0]), (p, 4.0), (p, 2 * p), torch.stack([p, 2 * p])):
        u = mgcore.solve(levels, g, boundary=pair).u
        np.testing.assert_allclose(u.detach().numpy(), np.linspace(2, 4, 9), rtol=1e-12)
    u[2].backward()  # 3/4 p + 1/4 (2 p)
    assert p.grad == pytest.approx(1.25)
    many = mgnet.solve_poisson(np.zeros((2, 9)), ndim=1, boundary=[[2, 4], [5, 1]])
    np.testing.assert_allclose(many.u.numpy(), [np.linspace(2, 4, 9), np.linspace(5, 1, 9)])


def test_solve_poisson_warns_raises_and_shows_its_progress(capsys):
    g = torch.from_numpy(RNG.standard_normal((65, 65)))
    with pytest.warns(mgcore.ConvergenceWarning) as caught:
        mgnet.solve_poisson(g, maxiter=1, progress=True)
    assert caught[0].filename == __file__
    assert capsys.readouterr().err.startswith("cycle   1  residual")
    with pytest.raises(mgcore.ConvergenceError):
        mgnet.solve_poisson(g, maxiter=1, throw=True)


def test_solve_poisson_gives_gradients():
    # u = A^-1 g, so the gradient of sum(w u) is A^-1 w, and A is symmetric.
    g, w = (torch.from_numpy(x) for x in RNG.standard_normal((2, 65, 65)))
    g.requires_grad_()
    solution = mgnet.solve_poisson(g, rtol=1e-12)
    assert solution.cycle.levels > 1
    (w * solution.u).sum().backward()
    assert abs(g.grad.numpy() - direct_solution(w.numpy())).max() < 1e-10


def test_a_batch_stops_with_its_worst_member():
    easy, _ = sine_product(Grid((33, 33)).coordinates(), (1, 1))
    batch = np.stack([easy, RNG.standard_normal((33, 33)), np.zeros((33, 33))]).reshape(
        3, 1, 33, 33
    )
    levels = several(mgnet.poisson_levels((33, 33), smoother="sor", coarsest=1))
    solution = mgcore.solve(levels, batch, rtol=1e-9)
    assert solution.u.shape == (3, 1, 33, 33)
    assert solution.success
    assert solution.nit >= mgcore.solve(levels, batch[1, 0], rtol=1e-9).nit
    for member, g in zip(solution.u.reshape(3, 33, 33), batch.reshape(3, 33, 33), strict=True):
        assert abs(member.numpy() - direct_solution(g)).max() < 1e-9


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_norms_are_numpy_s_one_for_each_of_a_batch(batch, dtype):
    g, u = torch.from_numpy(RNG.standard_normal((2, *batch, 9, 9)).astype(dtype))
    fine = mgnet.poisson_levels((9, 9), dtype=dtype)[0]
    ours = mgcore.poisson_levels((9, 9))[0]
    for name, arguments in {
        "norm": [g], "largest": [g], "misfit": [g, u], "roundoff": [u]
    }.items():  # fmt: skip
        norms = getattr(fine, name)(*arguments)
        assert isinstance(norms, np.ndarray | np.float64)
        assert norms.shape == batch
        assert norms.dtype == np.float64
        for k in np.ndindex(batch):
            expected = getattr(ours, name)(*(x[k].numpy().astype(float) for x in arguments))
            unit = fine.eps / ours.eps if name == "roundoff" else 1.0
            assert norms[k] == pytest.approx(unit * expected, rel=1e-5)
    assert fine.residual_norm(fine.start(g)).shape == batch
    np.testing.assert_allclose(fine.residual_norm(fine.start(g)), fine.norm(g))


def test_batches_of_border_values_and_first_guesses():
    levels = several(mgnet.poisson_levels((17, 17), smoother="sor", coarsest=1))
    g = np.ones((17, 17))
    borders = np.stack([np.full((17, 17), 1.0), RNG.standard_normal((17, 17))])
    solution = mgcore.solve(
        levels, np.stack([g, g]), boundary=borders, u0=np.zeros((17, 17)), rtol=1e-10
    )
    assert solution.success
    again = mgcore.solve(levels, g, boundary=lambda x, y: torch.from_numpy(borders), rtol=1e-10)
    torch.testing.assert_close(again.u, solution.u, rtol=1e-8, atol=1e-8)
    for u, border in zip(solution.u, borders, strict=True):
        assert abs(u.numpy() - direct_solution(g, border=border)).max() < 1e-9


def test_float32_and_torch_dtypes():
    g = RNG.standard_normal((33, 33))
    for dtype in (torch.float32, "float32", np.float32):
        levels = several(mgnet.poisson_levels((33, 33), dtype=dtype, coarsest=1))
        solution = mgcore.solve(levels, g)
        assert solution.u.dtype == torch.float32
        assert abs(solution.u.numpy() - direct_solution(g)).max() < 1e-5


def test_float32_takes_tiny_and_huge_sides():
    g = RNG.standard_normal((33, 33))
    expected = direct_solution(g)
    levels = several(mgnet.poisson_levels((33, 33), dtype="float32", smoother="sor", coarsest=1))
    for size in (1e-29, 1e-25, 1e-22, 1e-21, 1.0, 2e37):
        solution = mgcore.solve(levels, size * g, rtol=1e-6)
        assert solution.success
        assert abs(solution.u.double().numpy() / size - expected).max() < 1e-5 * abs(expected).max()
    # A tiny member of a batch is as good as the others, or refused.
    solution = mgcore.solve(levels, np.stack([g, 1e-25 * g]), rtol=1e-6)
    assert solution.success
    np.testing.assert_allclose(solution.u[1] * 1e25, solution.u[0], rtol=1e-4, atol=1e-7)
    with pytest.raises(ValueError, match="over- or underflow; scale g"):
        mgcore.solve(levels, np.stack([g, 1e-35 * g]))
    with pytest.raises(ValueError, match="over- or underflow; scale g"):
        mgcore.solve(mgnet.poisson_levels((33, 33)), np.stack([g, 1e-170 * g]))


def test_rounding_is_taken_out_of_the_members_that_have_it():
    g = np.stack([np.zeros((65, 65)), np.ones((65, 65)), 1e-9 * np.ones((65, 65))])
    levels = mgnet.poisson_levels((65, 65), dtype="float32", smoother="sor")
    for border in (0.0, 0 * g + np.array([0.0, 1e3, 1e3])[:, None, None]):
        solution = mgcore.solve(levels, g, boundary=border, rtol=1e-6)
        assert solution.status == mgcore.Status.ROUNDOFF
        for k, u in enumerate(solution.u.numpy()):
            u_h = direct_solution(g[k], border=np.broadcast_to(border, g.shape)[k])
            assert np.linalg.norm(u - u_h) <= 32 * np.finfo("f4").eps * np.linalg.norm(u_h)


@pytest.mark.parametrize(
    ("shape", "extent"), [((3, 8193), 1.0), ((513, 513), (1, 1.128)), ((33, 17, 33), (1, 9, 80))]
)
def test_float32_is_accurate_on_any_grid(shape, extent):
    g = np.ones(shape, np.float32)
    levels = mgnet.poisson_levels(shape, extent=extent, dtype="float32", smoother="sor")
    solution = mgcore.solve(levels, g, rtol=1e-6)
    assert solution.success
    u_h = direct_solution(g, extent)
    error = np.linalg.norm(solution.u.numpy() - u_h) / np.linalg.norm(u_h)
    assert error < 8 * np.finfo("f4").eps


def test_border_values_of_any_form_get_gradients():
    levels, g = several(mgnet.poisson_levels((9, 9), coarsest=1)), np.ones((9, 9))
    x = torch.linspace(0, 1, 9, dtype=torch.float64)
    for boundary in (
        lambda p: p,
        lambda p: lambda *_: p,
        lambda p: lambda *_: p * torch.ones(9, 1, dtype=torch.float64),
        lambda p: p * torch.ones(9, 9, dtype=torch.float64),
        lambda p: p + 0 * x[:, None] * x,
    ):
        p = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
        mgcore.solve(levels, g, boundary=boundary(p), rtol=1e-12).u[4, 4].backward()
        assert p.grad == pytest.approx(1.0)  # a constant on the border is one inside


def test_gradients_flow_through_the_cycle():
    """d(sum of u)/dg of one V cycle against finite differences; also of a solve."""
    levels = several(mgnet.poisson_levels((9, 9), smoother="jacobi", coarsest=1))
    g = torch.from_numpy(RNG.standard_normal((9, 9))).requires_grad_()

    def total(g):
        return levels[0].solution(run(levels, v_cycle(len(levels)), levels[0].start(g))).sum()

    torch.autograd.gradcheck(total, (g,))
    # u = A^-1 g, so the gradient of sum(u) with respect to g is A^-1 1.
    mgcore.solve(levels, g, rtol=1e-12).u.sum().backward()
    inside = np.zeros((9, 9))
    inside[1:-1, 1:-1] = 1
    # Border values get gradients too, zero ones included.
    border = torch.zeros(9, 9, dtype=torch.float64, requires_grad=True)
    mgcore.solve(levels, g.detach(), boundary=border, rtol=1e-12).u[1:-1, 1:-1].sum().backward()
    assert border.grad[0, 1:-1].min() > 0
    assert abs(g.grad.numpy() - direct_solution(inside)).max() < 1e-10


@pytest.mark.parametrize("cycle", ["fmg", "v"])
@pytest.mark.parametrize("case", ["zero", "batch", "guess", "border", "loose guess"])
def test_gradients_where_u_needs_no_cycle(case, cycle):
    """u = A^-1 g also where u is known: the gradient of sum(w u) is A^-1 w."""
    w, g = RNG.standard_normal((2, 17, 17))
    expected = direct_solution(w)
    g, u0, border = (0 * g, None, 0.0) if case != "guess" else (g, direct_solution(g), 0.0)
    if case == "batch":
        g = np.stack([g, RNG.standard_normal((17, 17))])
    if case == "border":  # linear, so that its lift is the solution
        border = np.add.outer(np.linspace(0, 1, 17), np.linspace(0, 3, 17))
    if case == "loose guess":
        g = RNG.standard_normal((17, 17))
        u0 = direct_solution(g + 1e-7 * RNG.standard_normal((17, 17)))
    traced = torch.from_numpy(g).requires_grad_()
    solution = mgnet_solve(traced, u0=u0, boundary=border, cycle=cycle, rtol=1e-11)
    assert solution.success
    assert 5 < solution.nit < 25
    (torch.from_numpy(w) * solution.u).sum().backward()
    for gradient in traced.grad.reshape(-1, 17, 17):
        assert abs(gradient.numpy() - expected).max() < 1e-9 * abs(expected).max()
    # The solution is that of a solve without gradients, which takes no cycle.
    plain = mgnet_solve(torch.from_numpy(g), u0=u0, boundary=border, cycle=cycle, rtol=1e-11)
    assert (plain.nit == 0) == (case in ("zero", "guess", "border"))
    torch.testing.assert_close(solution.u.detach(), plain.u, rtol=1e-9, atol=1e-10)
    with torch.no_grad():
        again = mgnet_solve(traced, u0=u0, boundary=border, cycle=cycle, rtol=1e-11)
    assert again.nit == plain.nit


def mgnet_solve(g, u0=None, **how):
    return mgcore.solve(mgnet.poisson_levels((17, 17), coarsest=1), g, u0, **how)


@pytest.mark.parametrize("smoother", ["sor", mgnet.SymmetricKernel([0.2, 0.05, 0.01])])
def test_autocast_changes_nothing(smoother):
    g = torch.from_numpy(RNG.standard_normal((2, 33, 33))).float()

    def solved():
        x = g.clone().requires_grad_()
        levels = mgnet.poisson_levels((33, 33), dtype="float32", smoother=smoother, coarsest=1)
        solution = mgcore.solve(levels, x, boundary=1.0, rtol=1e-5)
        solution.u.square().sum().backward()
        return solution, x.grad

    (plain, gradient), (cast, same) = solved(), autocast(solved)
    assert cast.residuals == plain.residuals
    assert cast.u.dtype == torch.float32
    torch.testing.assert_close(cast.u, plain.u, rtol=0, atol=0)
    torch.testing.assert_close(same, gradient, rtol=1e-5, atol=1e-7)  # sums in any order


def autocast(call):
    with torch.autocast("cpu", torch.bfloat16):
        return call()


@pytest.mark.parametrize("cycle", [v_cycle, full_multigrid])
def test_vmap_goes_through_a_cycle(cycle):
    levels = several(mgnet.poisson_levels((9, 17), coarsest=1))
    path = cycle(len(levels))

    def walk(g):
        return levels[0].solution(run(levels, path, levels[0].start(g)))

    g = torch.from_numpy(RNG.standard_normal((2, 3, 9, 17)))
    mapped = torch.func.vmap(torch.func.vmap(walk))(g)
    torch.testing.assert_close(mapped, walk(g), rtol=1e-13, atol=1e-13)
    # The map is linear: its Jacobian, taken column by column under vmap, applied to g is itself.
    jacobian = torch.func.jacrev(walk)(g[0, 0])
    applied = torch.tensordot(jacobian, g[1, 2], 2)
    torch.testing.assert_close(applied, walk(g[1, 2]), rtol=1e-12, atol=1e-13)


def test_compiles_to_one_graph():
    levels = several(mgnet.poisson_levels((9, 9), smoother="sor", coarsest=1))
    cycle = full_multigrid(len(levels))
    g = torch.from_numpy(RNG.standard_normal((9, 9)))

    def walk(g):
        return levels[0].solution(run(levels, cycle, levels[0].start(g)))

    compiled = torch.compile(walk, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(g), walk(g), rtol=1e-14, atol=1e-14)


def test_the_caller_s_data_is_unchanged_and_any_layout_works():
    g = RNG.standard_normal((33, 33))
    levels = several(mgnet.poisson_levels((33, 33), coarsest=1))
    expected = mgcore.solve(levels, g).u
    frozen = g.copy()
    frozen.flags.writeable = False
    for same in (
        frozen,
        g[::-1, ::-1].copy()[::-1, ::-1],
        np.asfortranarray(g),
        torch.from_numpy(g),
    ):
        before = as_numpy(same).copy()
        torch.testing.assert_close(mgcore.solve(levels, same).u, expected)
        np.testing.assert_array_equal(as_numpy(same), before)
    integers = np.arange(81).reshape(9, 9) % 5
    u = mgcore.solve(mgnet.poisson_levels((9, 9)), integers).u
    assert abs(u.numpy() - direct_solution(integers)).max() < 1e-8


def test_levels_print_the_same_table():
    text, ours = (
        str(several(library.poisson_levels((33, 17), smoother="sor", coarsest=1)))
        for library in (mgnet, mgcore)
    )
    assert text.splitlines()[1:] == ours.splitlines()[1:]
    assert isinstance(mgnet.poisson_levels(5), Hierarchy)


LEVELS, ONES = mgnet.poisson_levels((9, 9)), torch.ones(9, 9, dtype=torch.float64)
KERNEL = mgnet.SymmetricKernel([1, 0, 0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mgnet.poisson_levels((9, 2)), "3 nodes or more"),
        (lambda: mgnet.poisson_levels(9, smoother="lexicographic"), "point after point"),
        (lambda: mgnet.poisson_levels(9, smoother="x"), "known are"),
        (
            lambda: mgnet.poisson_levels(
                (300, 900), smoother=Zebra(1), coefficient=np.linspace((1.0,) * 900, 2, 300)
            ),
            "a matrix each",
        ),
        (lambda: mgnet.poisson_levels(9, dtype=torch.float16), "'float64' or 'float32'"),
        (lambda: mgnet.poisson_levels(9, smoother=KERNEL), "2 axes on a grid with 1"),
        (lambda: mgcore.solve(LEVELS, np.ones((9, 5))), r"\(\*batch, 9, 9\)"),
        (lambda: mgcore.solve(LEVELS, np.ones((0, 9, 9))), "empty batch"),
        (lambda: mgcore.solve(LEVELS, np.ones((2, 9, 9)), np.ones((3, 9, 9))), "different shapes"),
        (lambda: mgcore.solve(LEVELS, np.ones((9, 9), complex)), "real and the imaginary"),
        (lambda: mgcore.solve(LEVELS, ONES.to(torch.cfloat)), "real and the imaginary"),
        (lambda: mgcore.solve(LEVELS, ONES.bfloat16()), "too coarse"),
        (lambda: mgcore.solve(LEVELS, np.full((9, 9), np.nan)), "g holds NaN"),
        (lambda: mgcore.solve(LEVELS, np.array(["a"])), "must hold real numbers"),
        (lambda: mgcore.solve(LEVELS, np.ones((9, 9)).astype("S3")), "must hold real numbers"),
        (lambda: mgcore.solve(LEVELS, np.ma.ones((9, 9))), "masked array"),
        (lambda: mgcore.solve(LEVELS, np.ones((9, 9)), boundary=np.nan), "boundary holds NaN"),
        (lambda: mgcore.solve(LEVELS, ONES, boundary="neumann"), "said by sides="),
        (
            lambda: mgcore.solve(LEVELS, ONES, boundary=lambda x, y: torch.ones(4)),
            r"returned shape \(4,\)",
        ),
        (
            lambda: mgcore.solve(LEVELS, np.ones((2, 9, 9)), boundary=np.ones((3, 9, 9))),
            r"batches of different shapes: \(2,\), \(3,\)",
        ),
        *(
            (lambda g=g: mgcore.solve_poisson(g), "g is a torch tensor: solve by mgnet.solve")
            for g in (ONES, torch.nn.Parameter(ONES), ONES.to("meta"))
        ),
        (lambda: mgcore.solve_poisson(np.ones((9, 9)), u0=ONES), "u0 is a torch tensor"),
        *(
            (lambda b=b: mgcore.solve_poisson(np.ones((9, 9)), boundary=b), r"is a torch tensor")
            for b in (ONES, ONES[0, 0], lambda x, y: ONES)
        ),
        (lambda: mgcore.solve(LEVELS, ONES.float()), "g is float32 on cpu, these levels are"),
        (lambda: mgcore.solve(LEVELS, ONES.long()), r"convert it by g.to\(torch.float64, dev"),
        (lambda: mgcore.solve(LEVELS, ONES, u0=ONES.float()), "u0 is float32"),
        (lambda: mgcore.solve(LEVELS, ONES, boundary=ONES[0].float().sum()), "boundary is float32"),
        (lambda: mgcore.solve(LEVELS, ONES.to("meta")), "g is float64 on meta"),
        (lambda: mgnet.solve_poisson(ONES.half()), "g is float16, too coarse"),
        (lambda: mgnet.solve_poisson(ONES.cfloat()), "real and the imaginary"),
        (lambda: mgnet.solve_poisson(np.ones((9, 9), "f2")), "g is float16, too coarse"),
        (lambda: mgnet.solve_poisson(ONES, precision="mixed"), "solve_poisson knows 'mixed'"),
        (lambda: mgnet.solve_poisson(ONES.to("meta")), "torch finds no device 'meta'"),
        (lambda: mgnet.solve_poisson(torch.ones(9, 2)), "3 nodes or more"),
        (lambda: mgnet.solve_poisson(ONES, callback=3), "callback must be callable"),
        *(
            (lambda e=e, s=s: mgnet.poisson_levels((9, 9), extent=e, smoother=s), "in other units")
            for e in (1e-200, 1e200, 5e-324)
            for s in ("sor", "chebyshev")
        ),
        (lambda: mgnet.poisson_levels((9, 9), extent=1e-18, dtype="float32"), "in other units"),
        (
            lambda: mgnet.poisson_levels((9, 9), reaction=1e38, dtype="float32"),
            "too small or too large for float32",
        ),
        *(
            (lambda d=d: mgnet.poisson_levels((9, 9), device=d), "torch finds no device")
            for d in ("x", "meta", "cuda:99")
        ),
    ],
)  # fmt: skip
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("shape", [(3, 9, 9), (2, 1, 9, 9), (9, 9)])
def test_one_guess_for_many_right_hand_sides_that_know_u_up_to_a_constant(shape):
    g, u0 = RNG.standard_normal((2, 3, 9, 9)), 100 + RNG.standard_normal(shape)
    g, u0 = torch.tensor(g), torch.tensor(u0)
    found = mgnet.solve_poisson(g, u0=u0, ndim=2, sides="neumann", rtol=1e-10)
    expected = mgnet.solve_poisson(g, ndim=2, sides="neumann", rtol=1e-10)
    assert np.all(found.success)
    torch.testing.assert_close(found.u, expected.u, rtol=0, atol=1e-9)
