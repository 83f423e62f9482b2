"""Where the unknowns of a grid lie in an array, for the fused passes of a box."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from mgcore.grid import Grid
from mgcore.kernels.common import aligned
from mgcore.numba_private import REGISTER_BITS

__all__ = ["Layout"]


class Layout:
    """Where the unknowns of a grid lie in an array with one layer around.

    In 2D rows have their node 0 behind one vector, and are so long that fused passes, which read
    and write whole vectors, stay inside. In 3D rows have an odd number of places, and node (0, 0)
    of a plane is at an even one: see kernels/space_fused.py.

    Parameters
    ----------
    grid : Grid
    dtype : dtype

    Attributes
    ----------
    step : int
        Numbers in a vector.
    shape, strides : tuple of int
        Of an array, strides in numbers.
    inside : tuple of slice
        The unknowns.
    first : tuple of int
        The node that lies first in an array along each axis, layer included.
    """

    def __init__(self, grid: Grid, dtype: np.dtype):
        self.grid, self.dtype = grid, dtype
        self.step = step = (REGISTER_BITS or 256) // (8 * dtype.itemsize)
        columns, up = grid.unknown[-1], [1 - s.start for s in grid.unknown[:-1]]
        if grid.ndim == 3:
            before = 1 - columns.start
            before += (up[1] + before) % 2
            width = (before + columns.stop + 1) | 1
        else:
            before = step
            # One more for the layer, one more as a pass reads coarse node k + 1; vectors in pairs.
            width = (
                before + -(-(-(-(columns.stop + 1) // step) * step + 1) // (2 * step)) * 2 * step
            )
        self.shape = (*(n + 2 for n in grid.interior[:-1]), width)
        self.strides = tuple(prod(self.shape[axis + 1 :]) for axis in range(grid.ndim))
        self.inside = (
            *(slice(1, n + 1) for n in grid.interior[:-1]),
            slice(before + columns.start, before + columns.stop),
        )
        self.first = (*(-n for n in up), -before)

    def zeros(self) -> np.ndarray:
        """An array for node values, whose rows begin on cache lines."""
        zeros: np.ndarray = aligned(self.shape, self.dtype)
        return zeros

    def nodes(self, values: np.ndarray) -> np.ndarray:
        """The node array that lies in an array, as a view."""
        each = zip(self.first, self.grid.shape, strict=True)
        return values[tuple(slice(-first, n - first) for first, n in each)]

    def layer(self, values: np.ndarray) -> np.ndarray:
        """Fill the layer along periodic axes, in place."""
        for number, axis in enumerate(self.grid.axes):
            if axis.periodic:
                before: Any = (slice(None),) * number
                first, stop = self.inside[number].start, self.inside[number].stop
                values[(*before, first - 1)] = values[(*before, stop - 1)]
                values[(*before, stop)] = values[(*before, first)]
        return values
