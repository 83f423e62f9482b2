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

from mgcore.gate import check_shape, real_array, refuse_tensor
from mgcore.grid import Grid

__all__ = ["Lift", "does_not_broadcast", "evaluate", "on_border", "transfinite_lift"]


def evaluate(boundary: float | Callable[..., Any] | Any, grid: Grid) -> Any:
    """Border values given as a number, a pair or a callable, as an array of the nodes' shape.

    A callable takes the coordinates of the nodes, one broadcasting array for each axis. A pair is
    the values at both ends in 1D. Anything else is returned as it is.
    """
    if callable(boundary):
        return _broadcast(boundary(*grid.coordinates()), grid)
    refuse_tensor(boundary, "boundary")
    if getattr(boundary, "ndim", None) == 0:  # a number in an array's clothes
        boundary = boundary.item()  # type: ignore[union-attr]
    if isinstance(boundary, str):
        raise ValueError(
            f"boundary must be values of u on the border (a number, an array or a function), got "
            f"{boundary!r}; what kind of condition holds there is said by sides="
        )
    if isinstance(boundary, Real | np.bool_):
        try:
            number = np.array(boundary, dtype=float)
        except OverflowError:
            raise ValueError("boundary is a number beyond the range of floats") from None
        return np.broadcast_to(number, grid.shape)  # takes no memory
    if grid.ndim == 1:
        pair = real_array(boundary, "boundary")
        if pair.shape[-1:] == (2,):
            boundary = np.zeros((*pair.shape[:-1], *grid.shape), pair.dtype)
            boundary[..., [0, -1]] = pair
    return boundary


def _broadcast(values: Any, grid: Grid) -> np.ndarray:
    array = real_array(values, "boundary(x, ...)")
    try:
        return np.broadcast_to(array, grid.shape)
    except ValueError:
        raise does_not_broadcast(array.shape, grid) from None


def does_not_broadcast(shape: tuple[int, ...], grid: Grid) -> ValueError:
    """The error for border values of a function that do not fit the nodes."""
    return ValueError(
        f"boundary(x, ...) returned shape {shape}, which does not broadcast to the shape "
        f"{grid.shape} of the nodes it was called with"
    )


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


class Lift:
    """The transfinite lift of border values on one grid, made a few lines at a time.

    Parameters
    ----------
    boundary : float, pair, callable or array_like
        A callable is called with the coordinates of one pair of opposite faces at a time.
    grid : Grid
    dtype : dtype

    Attributes
    ----------
    faces : list of ndarray
        The values across each axis: of the nodes' shape, but for a length of 2 along that axis.
    """

    def __init__(self, boundary: Any, grid: Grid, dtype: Any):
        self.grid, self.dtype = grid, np.dtype(dtype)
        if not callable(boundary):
            border = real_array(evaluate(boundary, grid), "boundary")
            check_shape(border.shape, grid, "boundary")
        self.faces = []
        for axis in range(grid.ndim):
            ends: Any = (*[slice(None)] * axis, [0, -1])
            if callable(boundary):
                coordinates = list(grid.coordinates())
                coordinates[axis] = coordinates[axis][ends]
                values = real_array(boundary(*coordinates), "boundary(x, ...)")
                try:
                    face = np.broadcast_to(values, (*grid.shape[:axis], 2, *grid.shape[axis + 1 :]))
                except ValueError:  # a table that did not look where it was asked
                    face = _broadcast(values, grid)[ends]
            else:
                face = border[ends]
            with np.errstate(over="ignore"):  # whoever asks for finite values looks at the result
                self.faces.append(face.astype(self.dtype))
        self._axes = [np.linspace(0, 1, n, dtype=self.dtype) for n in grid.shape]

    def lines(self, start: int, stop: int) -> np.ndarray:
        """The lift at the nodes whose first index is start ... stop - 1."""
        frame = np.zeros((stop - start + 2, *self.grid.shape[1:]), self.dtype)
        frame[[0, -1]] = self.faces[0]
        for axis, face in enumerate(self.faces[1:], 1):
            ends: Any = (slice(1, -1), *[slice(None)] * (axis - 1), [0, -1])
            frame[ends] = face[start:stop]
        t = self._axes[0]
        axes = [np.concatenate([t[:1], t[start:stop], t[-1:]]), *self._axes[1:]]
        fractions = [t.reshape(-1, *[1] * (len(axes) - k - 1)) for k, t in enumerate(axes)]
        return transfinite_lift(frame, fractions)[1:-1]
