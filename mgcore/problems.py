"""Model problems -Laplace u = g on the unit box, two of them with known u."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

__all__ = ["PROBLEMS", "exponential", "noise", "sines"]


def sines(x: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """u = sin(pi x) sin(2 pi y) [sin(pi z)], zero on the border, and g.

    Parameters
    ----------
    x : sequence of ndarray
        Coordinates of the nodes, as :meth:`mgcore.Grid.coordinates` gives them.
    """
    waves = (1, 2, 1)[: len(x)]
    u: Any = 1.0
    for t, k in zip(x, waves, strict=True):
        u = u * np.sin(k * np.pi * t)
    return u, np.pi**2 * sum(k**2 for k in waves) * u


def exponential(x: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """u = exp(.8 x - .5 y [+ .3 z]), nowhere zero, and g."""
    slopes = (0.8, -0.5, 0.3)[: len(x)]
    u = np.exp(sum(s * t for s, t in zip(slopes, x, strict=True)))
    return u, -sum(s**2 for s in slopes) * u


def noise(x: Sequence[np.ndarray]) -> tuple[None, np.ndarray]:
    """g of independent normal numbers, which has errors of all frequencies; u is not known."""
    shape = tuple(t.size for t in x)
    return None, np.random.default_rng(0).standard_normal(prod(shape)).reshape(shape)


#: Problems by name: functions of the coordinates that return u, or None, and g.
PROBLEMS: dict[str, Callable[[Sequence[np.ndarray]], tuple[np.ndarray | None, np.ndarray]]] = {
    "sines": sines,
    "exponential": exponential,
    "noise": noise,
}
