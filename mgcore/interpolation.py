"""Cubic interpolation on the arrays of a box's levels: its tables and calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mgcore.axis import Axis, Table
from mgcore.kernels.cubic import BAND, Lines, interpolate
from mgcore.layout import Layout

__all__ = ["Interpolation"]


class Interpolation:
    """Cubic interpolation to a grid from one that has every second node of each axis.

    Parameters
    ----------
    tables : sequence of Table
        For each axis.
    layout, coarse_layout : Layout
        Where the unknowns of both grids lie.
    """

    def __init__(self, tables: Sequence[Table], layout: Layout, coarse_layout: Layout):
        grid, below = layout.grid, coarse_layout.grid
        places = [_places(k, layout) for k in range(grid.ndim)]
        coarse = [_places(k, coarse_layout, all_nodes=True) for k in range(grid.ndim)]
        dtype, axis = layout.dtype, grid.axes[-1]
        lines = [
            _lines(table, a.unknown, here, there, dtype)
            for table, a, here, there in zip(tables[:-1], grid.axes, places, coarse, strict=False)
        ]
        origin = -layout.first[-1] * layout.strides[-1]
        below_origin = -coarse_layout.first[-1] * coarse_layout.strides[-1]
        along = Lines(
            np.full((4, 1), below_origin), np.array([[1], [0], [0], [0]], dtype), np.array([origin])
        )
        if grid.ndim == 3:
            planes, rows = lines
            rows = rows._replace(sources=rows.sources + below_origin, targets=rows.targets + origin)
        else:
            planes, rows = lines[0], along
        bands = _bands(tables[-1], axis, below.axes[-1]).astype(dtype)
        self._told = (planes, rows, bands, axis.n, below.axes[-1].n, axis.periodic)
        self._room = coarse_layout.strides[0] + below.axes[-1].n + 16
        self._dtype = dtype

    def room(self, strips: int) -> np.ndarray:
        """Scratch for so many strips."""
        return np.zeros((strips, self._room), self._dtype)

    def __call__(self, e: np.ndarray, u: np.ndarray, room: np.ndarray) -> None:
        """u = the interpolation of e."""
        interpolate(u.reshape(-1), e.reshape(-1), *self._told, room, len(room))


def _places(number: int, layout: Layout, all_nodes: bool = False) -> np.ndarray:
    """Where the unknowns of an axis lie in an array, or all its nodes."""
    axis = layout.grid.axes[number]
    nodes = np.arange(axis.n) if all_nodes else np.arange(axis.n)[axis.unknown]
    return (nodes - layout.first[number]) * layout.strides[number]


def _lines(
    table: Table, unknown: slice, places: np.ndarray, coarse: np.ndarray, dtype: np.dtype
) -> Lines:
    """How lines are combined; a single one comes first."""
    index, weight = (np.zeros((4, len(places)), kind) for kind in (np.int64, float))
    index[: len(table.index)] = table.index[:, unknown]
    weight[: len(table.weight)] = table.weight[:, unknown]
    order = np.argsort(weight == 0, axis=0, kind="stable")
    index, weight = (np.take_along_axis(values, order, 0) for values in (index, weight))
    return Lines(coarse[index], weight.astype(dtype), places)


def _bands(table: Table, axis: Axis, coarse: Axis) -> np.ndarray:
    """What coarse nodes k - 2 to k + 3 give to node 2 k + 1: (BAND, pairs)."""
    pairs = axis.n // 2
    bands: Any = np.zeros((BAND, pairs))
    for index, weight in zip(table.index[:, 1::2], table.weight[:, 1::2], strict=True):
        distance = index - np.arange(pairs)
        if axis.periodic:
            distance = (distance + 2) % coarse.n - 2
        used = weight != 0
        np.add.at(bands, (distance[used] + 2, np.flatnonzero(used)), weight[used])
    return bands
