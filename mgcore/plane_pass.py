"""Fused passes for -div(a grad u) + c u on a plane box: tables, fields, and calls."""

from __future__ import annotations

from typing import Any

import numpy as np

from mgcore.axis import Axis
from mgcore.diffusion import Diffusion
from mgcore.fused_pass import Pass, Room, node_by_node
from mgcore.grid import Grid
from mgcore.kernels import PLANES
from mgcore.kernels import plane_box as box
from mgcore.kernels.plane_box import MARGIN, Across, Along, Box
from mgcore.layout import Layout
from mgcore.plane_fields import fields, kind_of

__all__ = ["PlanePass", "across", "couplings", "fits"]

# More rows than any grid has: where a periodic axis ends.
_ENDLESS = 2**40


def fits(grid: Grid, coarse: Grid) -> bool:
    """Whether there are passes for a grid above another one: two axes, both halved."""
    return grid.ndim == 2 and all(map(node_by_node, grid.axes, coarse.axes))


class PlanePass(Pass):
    """Red-black steps on one grid, and what comes before and after: see kernels/plane_box_fused.py.

    Where a varies along the axis of its flux alone and c = 0, the operator is a sum of second
    differences along the axes, which are tables. Else tables say what an a of one would give, and
    a and c are fields, of which `kind` says where a lies.

    Parameters
    ----------
    operator : Diffusion
    coarse : Grid
        One that :func:`fits`.
    layout, coarse_layout : Layout
        Where the unknowns of both grids lie in arrays.
    omega : float
    dtype : dtype
    """

    def __init__(
        self, operator: Diffusion, coarse: Grid, layout: Layout, coarse_layout: Layout,
        omega: float, dtype: np.dtype,
    ):  # fmt: skip
        step, real, grid, medium = layout.step, dtype.type, operator.grid, operator.medium
        super().__init__(grid, coarse, dtype)
        self.kind = kind_of(operator)
        varying = self.kind != box.TABLES
        faces = [1.0 if varying else a.ravel() for a in medium.faces]
        first, coarse_first = layout.first[0], coarse_layout.first[0]
        rows = across(grid.axes[0], coarse.axes[0], faces[0], first, coarse_first, dtype)
        along = _along(grid.axes[1], coarse.axes[1], faces[1], step, dtype)
        field = along.size + step
        stride, coarse_stride = layout.strides[0], coarse_layout.strides[0]
        # A vector before and behind half a row, and room for a row as it lies in an array.
        half = max(along.size + 2 * step, -(-stride // (2 * step)) * step)
        tables: tuple[np.ndarray, ...] = (*rows[:2], along.weights)
        field_stride = 0
        if varying:
            _close(rows, grid.axes[0])
            values = fields(operator, self.kind, layout, int(field))
            field_stride = values[0].size
            tables = (*tables, values.reshape(-1))
        lie: tuple[Any, ...] = (
            half, stride, coarse_stride, step, field, field_stride, medium.reaction.any(),
            real(omega),
        )  # fmt: skip
        self.box = Box(rows, along, *lie)
        # As plane_box.box_of takes it.
        numbers = np.array([*rows[2:], *along[1:], *lie[:-1]], np.int64)
        self.told = (numbers, self.box.omega, *tables)
        self.told_to_keep_u = (numbers, real(0), *tables)
        # Where scratch says what omega / diagonal was computed for: see plane_box.known.
        self._known = [slot * int(half) for slot in range(2 * box.INVERSE, 2 * box.INVERSE + 4)]

    @property
    def kernels(self) -> tuple[Any, Any]:
        """The passes of this kind of field."""
        return PLANES[self.kind]

    def space(self, strips: int) -> np.ndarray:
        """Scratch for so many strips."""
        return box.workspace(self.box, strips, self.dtype)

    def prepare(self, room: Room, relaxing: bool) -> None:
        """Forget omega / diagonal, where it was kept for another omega."""
        if room.relaxing != relaxing:
            room.space[:, self._known] = np.nan
        super().prepare(room, relaxing)


def _close(rows: Across, axis: Axis) -> None:
    """Couple rows beyond the unknowns, that no diagonal be zero; they are not relaxed."""
    if not axis.periodic:
        for beyond in (slice(axis.unknown.start + MARGIN), slice(axis.unknown.stop + MARGIN, None)):
            rows.weights[[box.LOWER, box.UPPER], beyond] = 1


def _near_equal(values: np.ndarray) -> np.ndarray:
    """The same with what most of them are up to rounding made equal."""
    usual = values[len(values) // 4]  # inside, where couplings before and behind follow each other
    close = abs(values - usual) <= 1e-9 * usual
    return np.where(close, usual, values) if 2 * close.sum() >= len(values) - 4 else values


def couplings(axis: Axis, faces: Any) -> tuple[np.ndarray, np.ndarray]:
    """Those of the unknowns with the nodes before and behind; Robin's own with a zero beyond."""
    lower, upper, own = axis.second_difference(faces)
    lower[0] += own[0]
    upper[-1] += own[-1]
    both = _near_equal(np.concatenate([lower, upper]))
    return both[: len(lower)], both[len(lower) :]


def _weighting(axis: Axis, coarse: Axis) -> np.ndarray:
    """How coarse node I is weighted from nodes 2 I - 1, 2 I, 2 I + 1: (3, coarse nodes)."""
    table, found = axis.full_weighting, np.zeros((3, coarse.n))
    for index, weight in zip(table.index, table.weight, strict=True):
        distance = index - 2 * np.arange(coarse.n)
        if axis.periodic:
            distance = (distance + axis.n // 2) % axis.n - axis.n // 2
        used = weight != 0
        np.add.at(found, (distance[used] + 1, np.flatnonzero(used)), weight[used])
    return np.stack([_near_equal(line) for line in found])


def _with_margin(values: np.ndarray, axis: Axis) -> np.ndarray:
    """Values at unknowns with MARGIN more on either side: zeros, or going on periodically."""
    out, inside = np.zeros(axis.n + 2 * MARGIN), axis.unknown
    nodes = np.arange(-MARGIN, axis.n + MARGIN)
    nodes = nodes % axis.n if axis.periodic else nodes
    known = (inside.start <= nodes) & (nodes < inside.stop)
    out[known] = values[nodes[known] - inside.start]
    return out


def across(
    axis: Axis, coarse: Axis, faces: Any, first: int, coarse_first: int, dtype: np.dtype
) -> Across:
    """The tables of the axis across rows, whose nodes `first` and `coarse_first` lie first."""
    inside, coarse_inside = axis.unknown, coarse.unknown
    up = axis.linear
    index = np.concatenate([up.index, up.index[:1]])[:2]  # one term where all nodes are kept
    part = np.concatenate([up.weight, 0 * up.weight[:1]])[:2]
    weighting, (lower, upper) = _weighting(axis, coarse), couplings(axis, faces)
    lines: dict[int, tuple[Axis, np.ndarray]] = {
        box.LOWER: (axis, lower), box.UPPER: (axis, upper),
        box.LOW: (axis, part[0][inside]), box.HIGH: (axis, part[1][inside]),
        box.BEFORE: (coarse, weighting[0][coarse_inside]),
        box.CENTRE: (coarse, weighting[1][coarse_inside]),
        box.BEHIND: (coarse, weighting[2][coarse_inside]),
    }  # fmt: skip
    weights = np.zeros((box.LINES, axis.n + 2 * MARGIN), dtype)
    for number, (along, values) in lines.items():
        weights[number, : along.n + 2 * MARGIN] = _with_margin(values, along)
    lines = {
        box.HERE: (axis, np.arange(inside.start, inside.stop) - first),
        box.BELOW: (axis, index[0][inside] - coarse_first),
        box.ABOVE: (axis, index[1][inside] - coarse_first),
        box.TARGET: (coarse, np.arange(coarse.n)[coarse_inside] - coarse_first),
    }  # fmt: skip
    places = np.zeros((box.PLACES, axis.n + 2 * MARGIN), np.int64)
    for number, (along, values) in lines.items():
        places[number, : along.n + 2 * MARGIN] = _with_margin(values, along)
    places[box.FACE] = places[box.HERE]
    if not axis.periodic:  # the faces behind the last unknowns
        places[box.FACE, inside.stop + MARGIN] = inside.stop - first
    begin = inside.start - 1 if inside.start % 2 == 0 else inside.start
    end = max(inside.stop, 2 * coarse_inside.stop - 1)
    ends = (inside.start, inside.stop)
    if axis.periodic:
        ends, end = (-_ENDLESS, _ENDLESS), axis.n - 1
    coarse_ends = coarse_inside.start, coarse_inside.stop
    numbers: tuple[Any, ...] = (*ends, begin, end, *coarse_ends, axis.n, axis.periodic)
    return Across(weights, places, *numbers)


def _along(axis: Axis, coarse: Axis, faces: Any, step: int, dtype: np.dtype) -> Along:
    """The tables of the axis along rows, in whole vectors of `step` numbers."""
    inside, coarse_inside = axis.unknown, coarse.unknown
    pairs = max(-(-inside.stop // 2), coarse_inside.stop)
    size = -(-pairs // step) * step
    lower, upper, known = np.zeros((3, 2 * size))
    lower[inside], upper[inside] = couplings(axis, faces)
    known[inside] = 1
    low, high = np.zeros((2, 2 * size))
    odd = np.arange(inside.start | 1, inside.stop, 2)
    for index, weight in zip((up := axis.linear).index[:, odd], up.weight[:, odd], strict=True):
        below = index == odd // 2
        low[odd[below] // 2] += weight[below]
        high[odd[~below] // 2] += weight[~below]
    weights = np.zeros((3, size))
    weights[:, coarse_inside] = _weighting(axis, coarse)[:, coarse_inside]
    halves = [np.concatenate([line[::2], line[1::2]]) for line in (lower, upper, known)]
    # Where all weights are those of an even mesh, and equal to those in the middle.
    middle = pairs // 2
    equal = np.ones(size, bool)
    for line in (lower, upper):
        for c in (0, 1):
            equal &= (line[c::2] == lower[2 * middle]) & (known[c::2] == 1)
    for line, usual in zip(
        (low[:size], high[:size], *weights), (1 / 2, 1 / 2, 1 / 4, 1 / 2, 1 / 4), strict=True
    ):
        equal &= abs(line - usual) < 1e-9
    if not equal[middle]:
        equal[:] = False
    others = np.flatnonzero(~equal)
    first = int(others[others < middle].max(initial=-1)) + 1
    stop = int(others[others >= middle].min(initial=size))
    first, stop = -(-first // step) * step, stop // step * step  # whole vectors
    if not first < stop:
        first = stop = 0
    tables = np.concatenate([*halves, low[:size], high[:size], *weights])
    numbers: tuple[Any, ...] = (size, first, stop, axis.n, axis.periodic)
    return Along(tables.astype(dtype), *numbers)
