"""Independent answers that tests compare with: nothing here uses multigrid."""

import numpy as np

from benchmarks.direct import direct_solution

__all__ = ["direct_solution", "several", "sine_product"]


def sine_product(coordinates, waves):
    """u = prod sin(k pi x) and g = -Laplace u."""
    u = 1.0
    for x, k in zip(coordinates, waves, strict=True):
        u = u * np.sin(k * np.pi * x)
    return u, np.pi**2 * sum(k**2 for k in waves) * u


def several(levels):
    """The same levels, of which there are several: a cycle on one is a direct solve."""
    assert len(levels) > 1, f"one grid alone, of {levels[0].size} unknowns"
    return levels
