"""Dirichlet border values, and their continuation into the interior.

The levels know zero border values only. A smooth lift L with the right border values turns the
problem into one for u - L with zero borders and right-hand side g - A L. The transfinite lift
(Gordon & Hall 1973) interpolates linearly between opposite faces: its A L stays bounded as the
grid is refined, which full multigrid needs. Folding border values into the right-hand side
instead would put terms of size 1/h^2 beside the border.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np

from mgcore.grid import Grid

__all__ = ["evaluate", "on_border", "transfinite_lift"]


def evaluate(boundary: float | Callable[..., Any] | Any, grid: Grid) -> Any:
    """Border values given as a number or a callable, as an array of the nodes' shape.

    A callable takes the coordinates of the nodes, one broadcasting array for each axis. Anything
    else is returned as it is.
    """
    if callable(boundary):
        values = np.asarray(boundary(*grid.coordinates()))
        try:
            return np.broadcast_to(values, grid.shape)
        except ValueError:
            raise ValueError(
                f"boundary(x, ...) returned shape {values.shape}, which does not broadcast to the "
                f"nodes' shape {grid.shape}"
            ) from None
    if getattr(boundary, "ndim", None) == 0:  # a number in an array's clothes
        boundary = boundary.item()  # type: ignore[union-attr]
    if isinstance(boundary, Real | np.bool_):
        return np.full(grid.shape, boundary, dtype=float)
    return boundary


def on_border(shape: Sequence[int]) -> np.ndarray:
    """True on the border nodes of a grid of `shape`."""
    mask = np.ones(tuple(shape), dtype=bool)
    mask[(slice(1, -1),) * len(shape)] = False
    return mask


def transfinite_lift(border: Any, fractions: Sequence[Any]) -> Any:
    """Continue border values inwards by transfinite interpolation.

    Parameters
    ----------
    border : array, NumPy or torch
        ``(*batch, *nodes)``; only border nodes are read.
    fractions : sequence of array
        For each axis the positions 0 to 1 of its nodes, of shape (n, 1, ...) so that they
        broadcast against the nodes.

    Returns
    -------
    array
        ``(*batch, *nodes)``, equal to `border` on the border: with P_i linear interpolation between
        the two faces across axis i, I - (I - P_d) ... (I - P_1) applied to `border`.
    """
    lift: Any = 0.0
    for axis, t in enumerate(fractions):
        rest = (slice(None),) * (len(fractions) - axis - 1)
        first, last = ((..., end, *rest) for end in (slice(0, 1), slice(-1, None)))
        # What the faces across this axis still lack.
        lack = [border[face] - (lift[face] if axis else 0.0) for face in (first, last)]
        lift = lift + (lack[0] * (1 - t) + lack[1] * t)
    return lift
