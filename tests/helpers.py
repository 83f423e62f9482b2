"""Independent answers that tests compare with: nothing here uses multigrid."""

import numpy as np
import scipy.fft

from mgcore import Grid


def direct_solution(g, extent=1.0, border=None):
    """The exact solution of the discrete problem, by sine transforms.

    Border values are moved to the right-hand side, which is exact for a direct solver.
    """
    grid = Grid(g.shape, extent)
    b = np.array(g, dtype=float)
    u = np.zeros(g.shape) if border is None else np.array(border, dtype=float)
    inside = (slice(1, -1),) * g.ndim
    u[inside] = 0
    eigenvalues = 0.0
    for axis, (n, h) in enumerate(zip(g.shape, grid.spacing, strict=True)):
        v = np.moveaxis(u, axis, 0)
        np.moveaxis(b, axis, 0)[1:-1] -= (2 * v[1:-1] - v[:-2] - v[2:]) / h**2
        k = np.arange(1, n - 1).reshape(-1, *[1] * (g.ndim - axis - 1))
        eigenvalues = eigenvalues + (2 - 2 * np.cos(np.pi * k / (n - 1))) / h**2
    u[inside] = scipy.fft.idstn(scipy.fft.dstn(b[inside], type=1) / eigenvalues, type=1)
    return u


def matrix(apply, size):
    """The matrix of a linear map between vectors, column by column."""
    return np.stack([np.asarray(apply(column)) for column in np.eye(size)], axis=1)


def sine_product(coordinates, waves):
    """u = prod sin(k pi x) and g = -Laplace u."""
    u = 1.0
    for x, k in zip(coordinates, waves, strict=True):
        u = u * np.sin(k * np.pi * x)
    return u, np.pi**2 * sum(k**2 for k in waves) * u
