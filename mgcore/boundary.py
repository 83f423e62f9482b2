"""The border of a box, and the continuation of values on it into the interior.

The levels know zero border values only. A smooth lift L with the right border values turns the
problem into one for u - L with zero borders and right-hand side g - A L. The transfinite lift
(Gordon & Hall 1973) interpolates linearly between opposite faces: its A L stays bounded as the
grid is refined, which full multigrid needs. Folding border values into the right-hand side
instead would put terms of size 1/h^2 beside the border.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mgcore.grid import Grid

__all__ = ["Lift", "clear_sides", "face_of", "given_on_sides", "on_border"]


def on_border(shape: Sequence[int]) -> np.ndarray:
    """True on the border nodes of a grid of `shape`."""
    mask = np.ones(tuple(shape), dtype=bool)
    mask[(slice(1, -1),) * len(shape)] = False
    return mask


def face_of(number: int, end: int, ndim: int) -> tuple[Any, ...]:
    """Where the nodes on one side are, behind any leading axes; the axis `number` stays, length 1.

    `end` is 0 for the lower and 1 for the upper side.
    """
    return (..., (slice(0, 1), slice(-1, None))[end], *(slice(None),) * (ndim - number - 1))


def clear_sides(values: np.ndarray, grid: Grid) -> None:
    """Put zeros on Dirichlet sides, in place."""
    for face in _dirichlet_faces(grid):
        values[face] = 0


def given_on_sides(values: np.ndarray, grid: Grid) -> bool:
    """Whether values on Dirichlet sides are other than zero."""
    return any(bool(values[face].any()) for face in _dirichlet_faces(grid))


def _dirichlet_faces(grid: Grid) -> Iterator[tuple[Any, ...]]:
    """Where the nodes of Dirichlet sides are, side by side."""
    for number, axis in enumerate(grid.axes):
        for end, side in enumerate(axis.sides):
            if side == "dirichlet":
                yield face_of(number, end, grid.ndim)


class Lift:
    """Values on sides, continued into the box by transfinite interpolation.

    With P_i linear interpolation between the two faces across axis i, constant from a single one,
    that is I - (I - P_d) ... (I - P_1) applied to the values. It is made a few lines at a time, of
    NumPy's arrays or of tensors, whose gradients go through.

    Parameters
    ----------
    faces : sequence of pairs
        For each axis the values on its lower and upper side, ``(*batch, *nodes)`` with length 1
        along that axis; None for zero. They agree where sides meet.
    shares : sequence of pairs
        For each axis how much of the lower and of the upper face is in each node along it, 1 to 0,
        of shape (n, 1, ...) so that they broadcast against nodes; None where u is not held.
    """

    def __init__(self, faces: Sequence[Sequence[Any]], shares: Sequence[Sequence[Any]]):
        self.faces, self.shares = faces, shares

    def lines(self, start: int, stop: int) -> Any:
        """The lift at the nodes whose first index is start ... stop - 1; it may have to broadcast.

        Along axes whose sides hold no u its length may be 1.
        """
        ndim, lift = len(self.faces), None
        part = (..., slice(start, stop), *(slice(None),) * (ndim - 1))
        for number, pair in enumerate(zip(self.faces, self.shares, strict=True)):
            more = None
            for end, (face, share) in enumerate(zip(*pair, strict=True)):
                if share is None:
                    continue
                # What the face across this axis still lacks.
                lack = 0.0 if face is None else face[part] if number else face
                if lift is not None:
                    lack = lack - lift[face_of(number, end, ndim)]
                term = lack * (share if number else share[part])
                more = term if more is None else more + term
            if more is not None:
                lift = more if lift is None else lift + more
        return lift
