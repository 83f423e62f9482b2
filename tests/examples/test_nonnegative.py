"""A u = g, u >= 0 by cycles, against independent solvers and the conditions that u is known by."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from scipy.optimize import lsq_linear

import mgcore
from examples import nonnegative
from mgcore import guests, run
from mgcore.cycle import full_multigrid, w_cycle

mpl.use("Agg")
LOADS = [0.0, 20.0, 60.0]


def energy(levels, u, g):
    return (u * (levels[0].A.apply(u) / 2 - g)).sum()


@pytest.mark.parametrize("load", LOADS)
def test_it_is_the_minimum_that_least_squares_with_bounds_finds(load):
    g = nonnegative.two_springs(17, load, 0.4)
    found = nonnegative.solve(g, rtol=1e-12).u
    A = guests.operator(mgcore.poisson_levels(g.shape)).matrix().toarray()
    # u A u / 2 - g u = |L^T u - L^-1 g|^2 / 2 + a constant, with A = L L^T
    L = np.linalg.cholesky(A)
    b = np.linalg.solve(L, g[1:-1, 1:-1].reshape(-1))
    bounded = lsq_linear(L.T, b, (0, np.inf), method="bvls", tol=1e-14)
    np.testing.assert_allclose(found[1:-1, 1:-1].reshape(-1), bounded.x, atol=1e-10)
    assert (load > 0) == (found[1:-1, 1:-1] == 0).any()


@pytest.mark.parametrize("n", [65, 129])
@pytest.mark.parametrize("load", LOADS)
def test_complementarity(n, load):
    g = nonnegative.two_springs(n, load, 0.4)
    held = nonnegative.solve(g, rtol=1e-10)
    assert len(held.residuals) - 1 < 60
    u = held.u
    pushed = (nonnegative.nonnegative_levels(n)[0].A.apply(u) - g)[1:-1, 1:-1]
    tolerance = 1e-9 * np.linalg.norm(g)
    assert u.min() == 0
    assert pushed.min() > -tolerance  # the constraint pushes up
    assert abs(pushed[u[1:-1, 1:-1] > 0]).max() < tolerance  # and only where u = 0


def test_where_nothing_is_held_it_is_the_linear_solver():
    g = nonnegative.two_springs(65, 0.0, 0.4)
    np.testing.assert_allclose(
        nonnegative.solve(g, rtol=1e-11).u, mgcore.solve_poisson(g, rtol=1e-11).u, atol=1e-9
    )


@pytest.mark.parametrize("cycle", [mgcore.v_cycle, w_cycle, full_multigrid])
def test_the_energy_never_rises_and_g_is_left_alone(cycle):
    rng = np.random.default_rng(0)
    g = nonnegative.two_springs(33, 40.0, 0.4) + 100 * rng.standard_normal((33, 33))
    given = g.copy()
    levels = nonnegative.nonnegative_levels(33)
    state = levels[0].start(g)
    energies = [0.0]
    for _ in range(6):
        state = run(levels, cycle(len(levels)), state)
        assert state.u.min() == 0
        energies.append(energy(levels, state.u, g))
    if cycle is not full_multigrid:  # which starts anew from the coarser solution
        assert (np.diff(energies) <= 1e-12 * abs(energies[-1])).all()
    assert energies[-1] < 0
    np.testing.assert_array_equal(g, given)


def test_what_holds_u_up_is_left_alone():
    levels = nonnegative.nonnegative_levels(17)
    for u in (None, np.ones((17, 17))):
        state = levels[0].start(nonnegative.two_springs(17, 0.0, 0.4), u)
        assert state.u[0, 0] == 0
        run(levels, mgcore.v_cycle(len(levels)), state)
        assert (state.lower == 0).all()


def test_the_example(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    nonnegative.main()
    out = capsys.readouterr().out
    assert "held at zero: 67.9% of 16129 unknowns" in out
    assert "in 34 cycles" in out
    assert Path("figures/nonnegative.png").stat().st_size > 10_000
