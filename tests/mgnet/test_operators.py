"""Any sides, mesh and coefficients on torch: the iterates of the Numba levels, and gradients."""

import numpy as np
import pytest
import torch
from helpers import several

import mgcore
import mgnet
from mgcore import Robin, Stencil

X = np.linspace(0, 1, 30)
BUMP = np.exp(np.sin(5 * X)[:, None] + np.cos(3 * X[:21]))
NINE = Stencil.of_array(np.array([[-1, -4, -1], [-4, 20, -4], [-1, -4, -1]]) / 6)
CASES = {
    "neumann": {"shape": (33, 20), "sides": "neumann"},
    "periodic": {"shape": (32, 21), "sides": "periodic"},
    "mixed": {"shape": (30, 21), "sides": [("dirichlet", Robin(1.5)), "periodic"]},
    "graded": {"coordinates": [X**1.2, X[:21] + 0.2 * X[:21] ** 2]},
    "variable": {"shape": (30, 21), "coefficient": BUMP, "reaction": BUMP},
    "variable neumann": {"shape": (30, 21), "coefficient": BUMP, "sides": "neumann"},
    "nine points": {"shape": (30, 21), "operator": NINE, "sides": ["neumann", "dirichlet"]},
    "line": {"shape": 50, "sides": [("neumann", "dirichlet")]},
    "space": {"shape": (12, 9, 10), "sides": ["periodic", "neumann", "dirichlet"]},
}


@pytest.mark.parametrize("cycle", ["v", "w", "fmg"])
@pytest.mark.parametrize("smoother", ["sor", "jacobi", "chebyshev"])
@pytest.mark.parametrize("case", CASES)
def test_same_iterates(case, smoother, cycle):
    ours, theirs = (
        several(package.poisson_levels(**CASES[case], smoother=smoother, coarsest=1))
        for package in (mgcore, mgnet)
    )
    g = np.random.default_rng(0).standard_normal(ours[0].grid.shape)
    a = mgcore.solve(ours, g, cycle=cycle, rtol=0, maxiter=3)
    b = mgcore.solve(theirs, g, cycle=cycle, rtol=0, maxiter=3)
    assert a.removed == pytest.approx(b.removed, abs=1e-14)
    np.testing.assert_allclose(b.u.numpy(), a.u, rtol=0, atol=1e-12 * abs(a.u).max())


def test_what_is_given_on_sides_comes_in_as_there():
    sides = [("dirichlet", "neumann"), ("neumann", Robin(2.0))]
    given = [(1.0, lambda x, y: np.cos(y)), (np.linspace(0, 1, 25), 0.5)]
    g = np.random.default_rng(1).standard_normal((25, 18))
    how = {"boundary": given, "rtol": 1e-11}
    levels = several(mgnet.poisson_levels(g.shape, sides=sides, coarsest=1))
    a = mgcore.solve_poisson(g, sides=sides, **how)
    assert a.success
    for b in (
        mgnet.solve_poisson(torch.from_numpy(g), sides=sides, **how),
        mgcore.solve(levels, torch.from_numpy(g), **how),
    ):
        np.testing.assert_allclose(b.u.numpy(), a.u, atol=1e-9)


def test_a_batch_of_singular_problems():
    g = torch.randn(3, 2, 24, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    levels = mgnet.poisson_levels((24, 20), sides="neumann", coarsest=1)
    members = {
        k: mgcore.solve_poisson(g[k].numpy(), sides="neumann", rtol=1e-10).u
        for k in np.ndindex(3, 2)
    }
    for solution in (
        mgnet.solve_poisson(g, ndim=2, sides="neumann"), mgcore.solve(several(levels), g)
    ):  # fmt: skip
        assert solution.success
        for k, one in members.items():
            np.testing.assert_allclose(solution.u[k].numpy(), one, atol=1e-6 * abs(one).max())


@pytest.mark.parametrize("coarsest", [None, 1])
@pytest.mark.parametrize("sides", ["neumann", ["periodic", ("dirichlet", "neumann")]])
def test_gradients_are_those_of_the_solution(sides, coarsest):
    """<v, A^-1 g> has the gradient A^-T v; M A is symmetric, M the volumes of nodes."""
    g = torch.randn(12, 10, dtype=torch.float64, requires_grad=True)
    v = torch.randn(12, 10, dtype=torch.float64)
    levels = mgnet.poisson_levels(g.shape, sides=sides, coarsest=coarsest)
    assert (len(levels) > 1) == (coarsest == 1)
    solution = mgcore.solve(levels, g, rtol=1e-12)
    (solution.u * v).sum().backward()
    grid = solution.grid
    m = np.multiply.outer(grid.axes[0].mass, grid.axes[1].mass)
    adjoint = m * mgcore.solve_poisson(v.numpy() / m, sides=sides, rtol=1e-12).u
    np.testing.assert_allclose(g.grad.numpy(), adjoint, atol=1e-8 * abs(adjoint).max())


def test_levels_are_modules_that_move_and_save():
    levels = several(mgnet.poisson_levels((12, 10), sides="neumann", coefficient=2.0, coarsest=1))
    state = levels[0].state_dict()
    assert all(torch.is_tensor(value) for value in state.values())
    single = levels[0].to(torch.float32)
    assert {value.dtype for value in single.state_dict().values() if value.is_floating_point()} == {
        torch.float32
    }


def test_levels_that_moved_are_those_of_their_new_dtype():
    levels = mgnet.poisson_levels((40, 30), sides="neumann", coarsest=100)
    assert "float64 on cpu" in str(levels)
    for level in levels:
        level.to(torch.float32)
    made = mgnet.poisson_levels((40, 30), sides="neumann", coarsest=100, dtype="float32")
    assert str(levels) == str(made)
    assert (levels[0].eps, levels[0].largest_safe) == (made[0].eps, made[0].largest_safe)
    g = np.random.default_rng(2).standard_normal((40, 30))
    one, other = (mgcore.solve(each, g) for each in (levels, made))
    assert one.nit == other.nit  # to the same default of rtol
    assert one.u.dtype == torch.float32


def test_a_coefficient_may_be_a_tensor():
    g = torch.ones(30, 21, dtype=torch.float64)
    a, c = torch.from_numpy(BUMP), torch.tensor(2.0)
    expected = mgcore.solve_poisson(g.numpy(), coefficient=BUMP, reaction=2.0).u
    for given in (a, [a, a.numpy()], torch.nn.Parameter(a).detach()):
        u = mgnet.solve_poisson(g, coefficient=given, reaction=c).u
        np.testing.assert_allclose(u.numpy(), expected, atol=1e-9)
    asking = torch.nn.Parameter(a)
    with torch.no_grad():
        mgnet.poisson_levels((30, 21), coefficient=asking)
    with pytest.raises(
        ValueError, match=r"coefficient asks for gradients.* coefficient.detach\(\)"
    ):
        mgnet.poisson_levels((30, 21), coefficient=[asking, 1.0])
    with pytest.raises(ValueError, match="reaction is complex"):
        mgnet.poisson_levels((30, 21), reaction=c.cfloat())


@pytest.mark.parametrize("case", CASES)
def test_a_trained_kernel_smooths_on_numba_as_on_torch(case):
    ndim = mgcore.poisson_levels(**CASES[case])[0].grid.ndim
    kernel = mgnet.SymmetricKernel([0.2, 0.04, 0.01, 0.002][: ndim + 1])
    ours, trained, fixed = (
        several(package.poisson_levels(**CASES[case], smoother=smoother, coarsest=1))
        for package, smoother in (
            (mgcore, kernel.record()), (mgnet, kernel), (mgnet, kernel.record())
        )
    )  # fmt: skip
    g = np.random.default_rng(0).standard_normal(ours[0].grid.shape)
    expected = mgcore.solve(ours, g, cycle="v", rtol=0, maxiter=2).u
    for levels in (trained, fixed):
        u = mgcore.solve(levels, g, cycle="v", rtol=0, maxiter=2).u.detach().numpy()
        np.testing.assert_allclose(u, expected, rtol=0, atol=1e-12 * abs(expected).max())
