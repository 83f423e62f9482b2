"""Where the unknowns of a grid lie in memory, for the general kernels: in slabs, and in halves.

A *slab* is what lies across the first axis: a line of a plane, a plane of space with its lines one
after the other, the only line of a 1D grid. Places are numbered along a slab, one layer around
included; lines of a plane have an odd number of places. So red and black take turns all along a
slab, and the even places of a slab, stored one after the other, have one colour, and the odd ones
the other::

    slab    | even places, a half | odd places, the other half |        in 3D places p = r L + j
            0  2  4  6  ...         1  3  5  7  ...                     of line r, L odd

A sweep over one colour is a loop over neighbouring numbers, and so is what transfers do, which
treat even and odd places differently. A neighbour is a distance in the flat array, one for even and
one for odd places.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from mgcore.grid import Grid
from mgcore.kernels.common import aligned
from mgcore.kernels.slab import Walk

__all__ = ["Slabs", "three"]

#: Places that halves are aligned to: those of a cache line in float32.
ALIGNED = 16


class Slabs:
    """The layout of one grid's unknowns.

    Parameters
    ----------
    grid : Grid

    Attributes
    ----------
    walk : Walk
        The same for kernels.
    pitch : int
        From one slab to the next in the flat array.
    length : int
        Of the flat array, one slab around included.
    """

    def __init__(self, grid: Grid):
        self.grid = grid
        n = grid.interior
        self.shape = (n[0] if len(n) > 1 else 1, n[1] if len(n) == 3 else 1, n[-1])
        slabs, rows, size = self.shape
        self.row = (size + 2) | 1
        before = self.row + 1 if len(n) == 3 else 1  # also around a single line
        self.origin = _aligned(before)  # the place of the first unknown: even
        last = self.origin + (rows - 1) * self.row + size - 1
        self.half = _aligned((last + before) // 2 + 1)
        self.pitch = 2 * self.half
        self.length = (slabs + 2) * self.pitch
        periodic = [axis.periodic for axis in grid.axes]
        places = last - self.origin + 1
        numbers = (
            slabs, self.pitch, self.half, self.origin // 2, (places + 1) // 2, places // 2, rows,
            self.row, size,
        )  # fmt: skip
        flags = (len(n) > 1 and periodic[0], len(n) == 3 and periodic[1], periodic[-1])
        self.walk = Walk._make([*map(np.int64, numbers), *map(np.bool_, flags)])

    def zeros(self, dtype: Any, slabs: int | None = None) -> np.ndarray:
        """A flat array of zeros for all slabs, those around included, or for so many."""
        length = self.length if slabs is None else slabs * self.pitch
        zeros: np.ndarray = aligned((length,), dtype)
        return zeros

    def put(self, flat: np.ndarray, values: np.ndarray, first: Sequence[int] = (0, 0, 0)) -> None:
        """Write values over slabs, lines and places, which may begin in the layer around, at -1."""
        for part, window in self._parts(flat, values.shape, first):
            part[...] = values[window]

    def take(self, flat: np.ndarray, out: np.ndarray) -> None:
        """Read the unknowns into an array over slabs, lines and places."""
        for part, window in self._parts(flat, out.shape, (0, 0, 0)):
            out[window] = part

    def _parts(
        self, flat: np.ndarray, shape: Sequence[int], first: Sequence[int]
    ) -> Iterator[tuple[np.ndarray, tuple[slice, ...]]]:
        """Every second line and place of the flat array, and the window of values that lies there.

        Two lines on, places are as far in the same half as lines are long.
        """
        slabs, rows, size = shape
        for r in range(min(2, rows)):
            for j in range(min(2, size)):
                place = self.origin + (first[1] + r) * self.row + first[2] + j
                start = (1 + first[0]) * self.pitch + place % 2 * self.half + place // 2
                count = (slabs, -(-(rows - r) // 2), -(-(size - j) // 2))
                steps = self.pitch, self.row, 1
                end = start + sum((n - 1) * step for n, step in zip(count, steps, strict=True))
                if start < 0 or end >= len(flat):  # as_strided would take any memory
                    raise IndexError(f"places {start} to {end} of an array of {len(flat)}")
                strides = [step * flat.itemsize for step in steps]
                part = as_strided(flat[start:], count, strides)
                yield part, (slice(None), slice(r, None, 2), slice(j, None, 2))

    def distances(self, offset: Sequence[int]) -> tuple[int, int]:
        """How far a neighbour is away in the flat array, from even and from odd places."""
        across = self.across(offset)
        step = across[2] + self.row * across[1]
        to = [(c + step) % 2 for c in (0, 1)]
        even, odd = (
            across[0] * self.pitch + (end - c) * self.half + (c + step - end) // 2
            for c, end in enumerate(to)
        )
        return even, odd

    def across(self, each: Sequence[Any], fill: Any = 0) -> list[Any]:
        """What belongs to slabs, lines of a slab and places of a line, from one for each axis."""
        *before, last = each
        return [*before, *[fill] * (3 - len(each)), last]

    def colours(self, compact: bool) -> tuple[np.ndarray, np.ndarray]:
        """Which half of each slab has which colour: see :func:`mgcore.colours.colours`.

        Returns
        -------
        halves : ndarray
            (colours, slabs): 0 for even places, 1 for odd ones, -1 for none.
        masks : ndarray
            (colours, pitch), one where a colour is; empty where it is all of that half.
        """
        start = self.across([s.start for s in self.grid.unknown])
        ndim, slabs = self.grid.ndim, np.arange(self.shape[0]) + start[0]
        if compact:
            red = (slabs + start[1] + start[2]) % 2
            return np.stack([red, 1 - red]), np.zeros((0, self.pitch))
        halves, masks = [], []
        for code in range(2**ndim):
            parity = self.across([code >> axis & 1 for axis in range(ndim)])
            line, place = (parity[1] + start[1]) % 2, (parity[2] + start[2]) % 2
            halves.append(np.where(slabs % 2 == parity[0], (line + place) % 2, -1))
            coloured, mask = np.zeros((1, *self.shape[1:])), np.zeros(self.pitch)
            coloured[:, line::2, place::2] = 1
            self.put(mask, coloured, (-1, 0, 0))
            masks.append(mask)
        return np.stack(halves), np.stack(masks) if ndim == 3 else np.zeros((0, self.pitch))


def three(values: np.ndarray) -> np.ndarray:
    """An array over a grid's axes as one over slabs, lines of a slab and places of a line."""
    if values.ndim == 1:
        return values[None, None]
    return values[:, None] if values.ndim == 2 else values


def _aligned(places: int) -> int:
    """A number of places that fills whole cache lines in both halves."""
    return -(-places // (2 * ALIGNED)) * 2 * ALIGNED
