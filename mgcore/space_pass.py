"""Fused passes for -div(a grad u) in space, even within planes: tables and calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mgcore.axis import Axis, Robin
from mgcore.diffusion import Diffusion
from mgcore.fused_pass import Pass, node_by_node
from mgcore.grid import Grid
from mgcore.kernels import SPACES, space_box
from mgcore.kernels.halves import PAD, half_size
from mgcore.kernels.rim import Plane, Side
from mgcore.layout import Layout
from mgcore.plane_pass import across, couplings

__all__ = ["SpacePass", "fits", "keeping_u", "node_plane", "told"]

# Where omega stands among the numbers of a level that are not whole.
_OMEGA = 2


def fits(operator: Diffusion, coarse: Grid) -> bool:
    """Whether there are passes for an operator above another grid: three axes, all halved.

    The two axes of planes are even and end at coarse nodes, and a is constant along them. Where one
    has a Robin side, all planes have the same diagonal.
    """
    grid, medium = operator.grid, operator.medium
    if grid.ndim != 3 or medium.reaction.any() or not medium.separable:
        return False
    if not all(map(node_by_node, grid.axes, coarse.axes)):
        return False
    for axis, faces in zip(grid.axes[1:], medium.faces[1:], strict=True):
        if not axis.even or np.ptp(faces) > 0 or not (axis.periodic or axis.n % 2):
            return False
    inside = _diagonals(operator)[1:-1]
    return not _robin(grid) or bool((inside == inside[:1]).all())


class SpacePass(Pass):
    """Red-black steps on one grid, with what comes before and after: see kernels/space_fused.py.

    Parameters are those of :class:`~mgcore.plane_pass.PlanePass`.
    """

    def __init__(
        self, operator: Diffusion, coarse: Grid, layout: Layout, coarse_layout: Layout,
        omega: float, dtype: np.dtype,
    ):  # fmt: skip
        super().__init__(operator.grid, coarse, dtype)
        planes = _plane(layout), _plane(coarse_layout)
        firsts = layout.first[0], coarse_layout.first[0]
        self.told = told(operator, coarse, planes, firsts, omega, dtype)
        self.told_to_keep_u = keeping_u(self.told)
        self._shape = layout.shape

    @property
    def kernels(self) -> tuple[Any, Any]:
        """The passes in space."""
        return SPACES

    def space(self, strips: int) -> np.ndarray:
        """Scratch for so many strips."""
        return space_box.workspace(self._shape, strips, self.dtype)


def told(
    operator: Diffusion, coarse: Grid, planes: tuple[Plane, Plane], firsts: tuple[int, int],
    omega: float, dtype: np.dtype,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """A level as :func:`mgcore.kernels.space_box.space_of` takes it.

    Parameters
    ----------
    operator : Diffusion
    coarse : Grid
    planes : pair of Plane
        How a plane of this grid and one of the coarser grid lie in arrays.
    firsts : pair of int
        The numbers of the planes that lie first there.
    omega : float
    dtype : dtype
    """
    plane, (first, *within) = planes[0], _axes(operator)
    rows = across(first.axis, coarse.axes[0], first.faces, *firsts, dtype)
    ends: Any = (plane.top, plane.bottom), (plane.left, plane.right)
    sides = [side for line, end in zip(within, ends, strict=True) for side in line.sides(*end)]
    weights, robin = [line.weight for line in within], _robin(operator.grid)
    strides = [p.row * p.rows for p in planes]
    half, tables = int(half_size(strides[0])), np.zeros(1)
    if robin:
        tables = _tables(plane, half, sides, _diagonals(operator), weights)
    places: list[Any] = [place for side in sides for place in side[:3]]
    factors: list[Any] = [factor for side in sides for factor in side[3:]]
    numbers = [*rows[2:], *planes[0], *planes[1], *places, *strides, half, robin]
    reals = [*weights, omega, *factors]
    return np.array(numbers, np.int64), np.array(reals, dtype), *rows[:2], tables.astype(dtype)


def keeping_u(told: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """The same with an omega of zero."""
    numbers, reals, *tables = told
    reals = reals.copy()
    reals[_OMEGA] = 0
    return numbers, reals, *tables


def node_plane(grid: Grid) -> Plane:
    """How a plane of nodes lies in an array of nodes and nothing else, its border the layer."""
    _, rows, row = grid.shape
    numbers: list[Any] = [row, rows, 0, 0, 0, 1, rows - 1, 1, row - 1]
    return Plane(*numbers)


def _plane(layout: Layout) -> Plane:
    """How a plane lies in the arrays of a layout."""
    (_, rows, row), (_, up, before) = layout.shape, (-first for first in layout.first)
    unknowns = [end for inside in layout.inside[1:] for end in (inside.start, inside.stop)]
    numbers: list[Any] = [row, rows, up, before, up * row + before, *unknowns]
    return Plane(*numbers)


@dataclass
class _Line:
    """An axis and a along it."""

    axis: Axis
    faces: np.ndarray

    @property
    def weight(self) -> float:
        """The coupling of nodes inside to their neighbours, where it is the same for all."""
        return float(couplings(self.axis, self.faces)[1][self.axis.size // 2])

    def sides(self, first: int, stop: int) -> list[Side]:
        """What lies beyond either side, the unknowns being first <= x < stop."""
        own = self.axis.second_difference()[2][[0, -1]] / self.weight
        sides = self.axis.sides
        ends: list[Any] = [
            (first - 1, stop - 1 if sides[0] == "periodic" else first + 1, first),
            (stop, first if sides[1] == "periodic" else stop - 2, stop - 1),
        ]
        factors: list[Any] = [
            (0.0, 0.0) if side == "dirichlet" else (1.0, share)
            for side, share in zip(sides, own, strict=True)
        ]
        return [Side(*end, *factor) for end, factor in zip(ends, factors, strict=True)]


def _axes(operator: Diffusion) -> list[_Line]:
    """The axes of an operator."""
    faces = (a.ravel() for a in operator.medium.faces)
    return [_Line(axis, a) for axis, a in zip(operator.grid.axes, faces, strict=True)]


def _robin(grid: Grid) -> bool:
    """Whether a side of planes is Robin's."""
    return any(isinstance(side, Robin) for axis in grid.axes[1:] for side in axis.sides)


def _diagonals(operator: Diffusion) -> np.ndarray:
    """The diagonal of each plane's nodes that lie on no side of the plane."""
    first, *within = _axes(operator)
    lower, upper = couplings(first.axis, first.faces)
    return lower + upper + 2 * sum(line.weight for line in within)


def _tables(
    plane: Plane, half: int, sides: list[Side], diagonals: np.ndarray, weights: list[float]
) -> np.ndarray:
    """What Robin's sides make of the diagonal: see :class:`mgcore.kernels.space_box.Space`."""
    own, tables = np.zeros((plane.rows, plane.row)), np.ones((3, 2, 2, half))
    for number, side in enumerate(sides):
        across: Any = (side.end,) if number < 2 else (slice(None), side.end)
        own[across] += side.share * weights[number // 2]
    for kind, diagonal in enumerate(diagonals[[len(diagonals) // 2, 0, -1]]):
        larger = 1 + own.ravel() / diagonal
        for c in range(2):
            nodes = larger[c::2]
            inside = slice(PAD, PAD + len(nodes))
            tables[kind, space_box.SHARE, c, inside] = 1 / nodes
            tables[kind, space_box.LARGER, c, inside] = nodes
    return tables.ravel()
