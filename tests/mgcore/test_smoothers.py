"""Smoothers as data: their numbers are those of local Fourier analysis."""

import numpy as np
import pytest

from mgcore import Chebyshev, GaussSeidel, Grid, Jacobi, Stencil, Zebra, poisson_levels
from mgcore.diffusion import Medium
from mgcore.smoothers import SMOOTHERS, smoother


def laplacian(*grid):
    """-Laplace on a grid, to make sweeps from."""
    return Medium.given(Grid(*grid)).operator()


def symbol(sweeps, t):
    """The factor of one step on an eigenvector of D^-1 A with eigenvalue t."""
    assert {sweep.points for sweep in sweeps} == {"all"}
    return np.prod([1 - omega * t for omega, *_ in sweeps], axis=0)


def smoothing_factor(record, ndim):
    """max |symbol| over high frequencies: theta in (-pi, pi]^d, not all in (-pi/2, pi/2)."""
    theta = np.linspace(0, np.pi, 129)
    cosines = np.meshgrid(*[np.cos(theta)] * ndim, indexing="ij")
    high = np.any([c <= 1e-12 for c in cosines], axis=0)
    t = 1 - sum(cosines) / ndim
    sweeps = record.sweeps(laplacian((17,) * ndim))
    return abs(symbol(sweeps, t))[high].max()


@pytest.mark.parametrize(("ndim", "mu"), [(1, 0.333), (2, 0.600), (3, 0.714)])
def test_jacobi_has_the_best_weight(ndim, mu):
    assert smoothing_factor(Jacobi(), ndim) == pytest.approx(mu, abs=6e-4)
    omega = 2 * ndim / (2 * ndim + 1)
    for other in (omega - 0.02, omega + 0.02):
        assert smoothing_factor(Jacobi(other), ndim) > mu


@pytest.mark.parametrize(
    ("ndim", "degree", "mu"),
    [
        (2, 1, 0.600), (2, 2, 0.2195), (2, 3, 0.0740), (2, 4, 0.0247),
        (3, 1, 0.714), (3, 2, 0.3425), (3, 3, 0.1476), (3, 4, 0.0623),
    ],
)  # fmt: skip
def test_chebyshev_damps_high_frequencies_by_one_over_t_k(ndim, degree, mu):
    assert smoothing_factor(Chebyshev(degree), ndim) == pytest.approx(mu, abs=6e-4)


def test_chebyshev_knows_unequal_mesh_widths():
    # h = 1/16 and 1/8: the second axis is kept, so only errors rough along the first must go.
    A = laplacian((17, 9))
    assert A.grid.halved_axes() == (True, False)
    lowest, highest = 1 - np.cos(np.pi / 8), 1 + np.cos(np.pi / 8)  # along the second axis
    bounds = [16**2 * a + 8**2 * b for a, b in ((1, lowest), (2, highest))]
    t = np.linspace(*bounds, 1001) / (16**2 + 8**2)
    peak = abs(symbol(Chebyshev(3).sweeps(A), t)).max()
    theta, delta = (t[-1] + t[0]) / 2, (t[-1] - t[0]) / 2
    assert peak == pytest.approx(1 / np.cosh(3 * np.arccosh(theta / delta)))


def test_chebyshev_knows_a_strong_axis_of_few_nodes():
    # The second axis is halved, and couples 2,500 times less: all eigenvalues are about 1.
    A = laplacian((3, 5), (1, 100))
    assert A.grid.halved_axes() == (False, True)
    assert [sweep.omega for sweep in Chebyshev(2).sweeps(A)] == pytest.approx([1, 1], abs=1e-3)
    A = laplacian((5, 5), (1e-120, 1e120))
    assert all(np.isfinite(sweep.omega) for sweep in Chebyshev(3).sweeps(A))


def test_high_degrees_are_stable():
    t = np.linspace(0.5, 2, 500)
    assert abs(symbol(Chebyshev(30).sweeps(laplacian((9, 9))), t)).max() < 1e-12


def test_names_and_records():
    for name in SMOOTHERS:
        record = smoother(name)
        assert smoother(record) is record
        assert str(record)
    assert smoother("sor") == GaussSeidel("redblack", 1.15)
    assert [s.points for s in GaussSeidel().sweeps(laplacian(5))] == ["red", "black"]


def test_zebra_runs_along_the_strongest_axis_of_each_grid():
    axes = lambda levels: [str(level._sweeps[0].lines) for level in levels]  # noqa: E731
    weak_first = Stencil.laplacian((1.0, 2.0))
    levels = poisson_levels((33, 33), operator=weak_first, smoother="zebra", coarsest=1)
    assert set(axes(levels[:-1])) == {"1"}
    # Halving the second axis alone makes both mesh widths equal, and ties go to the first.
    levels = poisson_levels((33, 65), smoother="zebra", coarsest=1)
    assert axes(levels)[:2] == ["1", "0"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Jacobi(0.0), "between 0 and 2"),
        (lambda: Jacobi(float("nan")), "between 0 and 2"),
        (lambda: GaussSeidel(omega=2.0), "between 0 and 2"),
        (lambda: GaussSeidel("zebra"), "known are 'redblack', 'lexicographic'"),
        (lambda: Chebyshev(0), "1 or more"),
        *((lambda k=k: Chebyshev(k), "1 or more") for k in (1.5, 2.0, None, 1j, 10**400)),
        *((lambda w=w: Jacobi(w), "between 0 and 2") for w in ("1", 1j, 10**400)),
        (lambda: GaussSeidel(omega="1"), "between 0 and 2"),
        (lambda: smoother("ilu"), "known are 'jacobi', 'chebyshev'"),
        (lambda: smoother(3), "known are"),
        (lambda: Zebra(omega=2.5), "between 0 and 2"),
        *((lambda a=a: Zebra(a), "axis must be a number") for a in (1.5, "x", (), (0, "y"), True)),
        (lambda: Zebra(2).sweeps(laplacian((9, 9))), "along one of 2 axes, 0 to 1, got 2"),
        (lambda: Zebra((0, -1)).sweeps(laplacian((9, 9))), "along one of 2 axes, 0 to 1, got -1"),
        (lambda: Zebra().sweeps(laplacian(9)), "is all of it: take 'sor'"),
    ],
)
def test_bad_hyperparameters(make, message):
    with pytest.raises(ValueError, match=message):
        make()
