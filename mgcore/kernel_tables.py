"""Operators and transfers as the tables that the general kernels read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mgcore.axis import Axis, Table
from mgcore.diffusion import Diffusion
from mgcore.grid import Grid
from mgcore.kernels import general
from mgcore.kernels.common import aligned
from mgcore.kernels.slab import Couplings, Scale
from mgcore.kernels.transfers import NATURAL, Transfer
from mgcore.operators import Operator
from mgcore.slabs import Slabs, three
from mgcore.stencil import Stencil

__all__ = ["convolution", "couplings", "masses", "scale", "transfer"]


def masses(grid: Grid) -> list[np.ndarray]:
    """For each axis the length that belongs to each unknown, in units of the mean one."""
    lengths = [axis.mass[axis.unknown] for axis in grid.axes]
    return [length / length.mean() for length in lengths]


def scale(slabs: Slabs, dtype: np.dtype) -> Scale:
    """What turns weighted rows back."""
    across, lines, line = _vectors(slabs, masses(slabs.grid))
    places = slabs.zeros(dtype, 1)
    table = np.broadcast_to(1 / (lines[:, None] * line), slabs.shape[1:])
    slabs.put(places, table[None], (-1, 0, 0))
    return Scale(np.broadcast_to(1 / across, slabs.shape[0]).astype(dtype), places)


def _vectors(slabs: Slabs, each: Sequence[np.ndarray]) -> list[np.ndarray]:
    """One vector for slabs, lines of a slab and places of a line, from one for each axis."""
    return slabs.across(each, fill=np.ones(1))


# --- operators ----------------------------------------------------------------------------------


class Weight(NamedTuple):
    """A weight of A for all nodes, over slabs, lines of a slab and places of a line.

    Attributes
    ----------
    values : ndarray
        Of length 1 along what they do not depend on.
    vectors : list of ndarray
        What they are multiplied with along each of the three, of length 1 or as many.
    first : tuple of int
        Where values begin along each: 0, or -1 in the layer around.
    """

    values: np.ndarray
    vectors: list[np.ndarray]
    first: tuple[int, int, int] = (0, 0, 0)

    @property
    def separable(self) -> bool:
        """Whether a number for each slab times one table for all is enough."""
        return len(self.values) == 1 or self.values[0].size == 1

    @property
    def plain(self) -> bool:
        """Whether a number for each slab is enough."""
        alone = self.values[0].size == 1
        return alone and all((v == v[0]).all() for v in self.vectors[1:])

    def numbers(self) -> np.ndarray:
        """The part that depends on the slab, of a separable weight."""
        part = self.values[:, 0, 0] if self.values[0].size == 1 else np.ones(1)
        return part * self.vectors[0]

    def table(self) -> np.ndarray:
        """The part that depends on the place in a slab, of a separable weight; else all."""
        part = self.values
        if self.separable:
            part = self.values[:1] if self.values[0].size > 1 else np.ones((1, 1, 1))
        elif (self.vectors[0] != 1).any():
            part = part * self.vectors[0][:, None, None]
        for vector in (self.vectors[1][:, None], self.vectors[2]):
            if (vector != 1).any():
                part = part * vector
        return part


class Coupling(NamedTuple):
    """A neighbour, and which weight is its own; that of the neighbour itself where `theirs`."""

    offset: tuple[int, ...]
    weight: int
    theirs: bool = False


def couplings(operator: Operator, slabs: Slabs, dtype: np.dtype) -> Couplings:
    """An operator, its rows weighted with volumes, for the kernels."""
    weights, found = _weights(operator, slabs)
    plain = all(weight.plain for weight in weights)
    one = np.ones(1)
    inverse = Weight(np.ones((1, 1, 1)), [one] * 3) if plain else _inverse(operator, slabs)
    laid = [*([] if plain else weights), inverse]
    sizes = [slabs.pitch if weight and weight.separable else slabs.length for weight in laid]
    begins = np.cumsum([0, *sizes])
    tables = aligned((int(begins[-1]),), dtype)
    for weight, begin, size in zip(laid, begins, sizes, strict=False):
        if weight:
            _lay(weight, slabs, tables[begin : begin + size])
    # Kernels take couplings in pairs, four or more; the node's own and the inverse come last.
    least = max(4, len(found) + len(found) % 2)
    centre = (0,) * slabs.grid.ndim
    listed = [*found, *[None] * (least - len(found)), Coupling(centre, len(weights) - 1)]
    factors = np.zeros((least + 2, slabs.shape[0]))
    places = np.zeros((2, least + 2), np.int64)
    strides = np.zeros(least + 2, np.int64)
    for k, coupling in enumerate(listed):
        if coupling:
            weight = weights[coupling.weight]
            factors[k] = _numbers(weight, slabs.shape[0], coupling.theirs, plain)
            if not plain:
                places[:, k], strides[k] = _places(weight, coupling, slabs)
                places[:, k] += begins[coupling.weight]
    factors[-1] = _numbers(inverse, slabs.shape[0]) if inverse else 1.0
    if plain:
        factors[-1] = 1 / factors[:-1].sum(0)
    places[:, -1], strides[-1] = _places(inverse, Coupling(centre, -1), slabs)
    places[:, -1] += begins[len(laid) - 1]
    offsets = [coupling.offset if coupling else centre for coupling in listed[:-1]]
    A = Couplings(
        plain=np.bool_(plain), owned=np.bool_(operator.own.any()),
        distances=np.array([slabs.distances(o) for o in offsets], np.int64).T.copy(),
        factors=factors.astype(dtype), tables=tables, places=places, strides=strides,
    )  # fmt: skip
    if not inverse:
        general.invert(A, slabs.walk)
    return A


def _inverse(operator: Operator, slabs: Slabs) -> Weight | None:
    """That of the diagonal, where it is a number and the weights of rows alone."""
    diagonal = operator.uniform_diagonal
    if diagonal is None:
        return None
    vectors = _vectors(slabs, [1 / length for length in masses(slabs.grid)])
    return Weight(np.full((1, 1, 1), 1 / diagonal), vectors)


def _numbers(weight: Weight, slabs: int, theirs: bool = False, plain: bool = False) -> np.ndarray:
    """A number for each slab; all of the weight where it is `plain`."""
    if not weight.separable:
        return np.ones(slabs)
    numbers = weight.numbers()
    if weight.first[0]:  # of the slabs from the layer on
        numbers = numbers[:-1] if theirs else numbers[1:]
    return np.broadcast_to(numbers, slabs) * (weight.table()[0, 0, 0] if plain else 1.0)


def _lay(weight: Weight, slabs: Slabs, part: np.ndarray) -> None:
    """Write a weight's table to where it belongs."""
    first = weight.first
    if weight.separable:
        first = (-1, *first[1:])
    shape = [1 if weight.separable else slabs.shape[0] - first[0]]
    shape += [n - begin for n, begin in zip(slabs.shape[1:], first[1:], strict=True)]
    slabs.put(part, np.broadcast_to(weight.table(), shape), first)


def _places(weight: Weight | None, coupling: Coupling, slabs: Slabs) -> tuple[np.ndarray, int]:
    """Where in its table the weights of a coupling begin, and how far it is from slab to slab."""
    separable = weight is not None and weight.separable
    shift = coupling.offset if coupling.theirs else (0,) * slabs.grid.ndim
    if separable and slabs.grid.ndim > 1:  # all slabs have the same table
        shift = (0, *shift[1:])
    stride = 0 if separable else slabs.pitch
    even = stride + slabs.origin // 2
    return np.array([even, even + slabs.half]) + slabs.distances(shift), stride


def _weights(operator: Operator, slabs: Slabs) -> tuple[list[Weight], list[Coupling]]:
    """The weights of an operator, that of the node itself last, and whose they are."""
    grid = operator.grid
    lengths = masses(grid)
    if isinstance(operator, Diffusion):
        found = []
        weights = [_flux(operator, axis, lengths, slabs) for axis in range(grid.ndim)]
        for axis in range(grid.ndim):
            offset = tuple(int(k == axis) for k in range(grid.ndim))
            found += [Coupling(tuple(-o for o in offset), axis, True), Coupling(offset, axis)]
    else:
        vectors = _vectors(slabs, lengths)
        weights = [Weight(three(w), vectors) for w in operator.couplings.values()]
        found = [Coupling(offset, k) for k, offset in enumerate(operator.couplings)]
    return [*weights, Weight(three(operator.own), _vectors(slabs, lengths))], found


def _flux(operator: Diffusion, number: int, lengths: Sequence[np.ndarray], slabs: Slabs) -> Weight:
    """a / h times the area of the face, from the one below the first unknown on."""
    axis = operator.grid.axes[number]
    faces = np.arange(axis.unknown.start - 1, axis.unknown.stop)
    there = np.ones(len(faces)) if axis.periodic else (faces >= 0) & (faces < len(axis.widths))
    faces %= len(axis.widths)
    along = there / axis.widths[faces] / axis.mass[axis.unknown].mean()
    window = [faces if k == number else other.unknown for k, other in enumerate(operator.grid.axes)]
    values = operator.medium.faces[number]
    values = values[tuple(
        slice(None) if values.shape[k] == 1 else w for k, w in enumerate(window)
    )]  # fmt: skip
    vectors = _vectors(slabs, [along if k == number else m for k, m in enumerate(lengths)])
    first = slabs.across([-int(k == number) for k in range(operator.grid.ndim)])
    return Weight(three(values), vectors, (first[0], first[1], first[2]))


def convolution(stencil: Stencil, slabs: Slabs, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """The distances and weights of a constant stencil, filled up to a multiple of nine."""
    offsets = list(stencil.weights)
    offsets += [(0,) * stencil.ndim] * (-len(offsets) % 9)
    weights = np.zeros(len(offsets), dtype)
    weights[: len(stencil.weights)] = [weight.item() for weight in stencil.weights.values()]
    distances = np.array([slabs.distances(offset) for offset in offsets], np.int64)
    return np.ascontiguousarray(distances.T), weights


# --- transfers ----------------------------------------------------------------------------------


def transfer(
    tables: Sequence[Table], source: Slabs, target: Slabs, dtype: np.dtype, weighted: bool = False
) -> Transfer:
    """A product of transfers from one grid's nodes to another's, between unknowns.

    Where `weighted`, rows of both grids are weighted with volumes, as those of A u = g are.
    """
    own = [_between_unknowns(*each, weighted) for each in zip(
        tables, source.grid.axes, target.grid.axes, strict=True
    )]  # fmt: skip
    one = np.zeros((1, 1), np.int64), np.ones((1, 1))
    across = own[0] if len(own) > 1 else one
    lines = own[1] if len(own) == 3 else one
    n, m = source.shape[2], target.shape[2]
    bands, band_weights, singles, single_weights, rooms = _bands(*own[-1], n, m)
    return Transfer(
        np.ascontiguousarray(across[0]), np.ascontiguousarray(across[1], dtype),
        np.ascontiguousarray(lines[0]), np.ascontiguousarray(lines[1], dtype),
        bands, band_weights.astype(dtype), singles, single_weights.astype(dtype),
        np.int64(rooms[0]), np.int64(rooms[1]), np.bool_(m > n), np.bool_(m < n),
    )  # fmt: skip


def _between_unknowns(
    table: Table, a: Axis, b: Axis, weighted: bool
) -> tuple[np.ndarray, np.ndarray]:
    """A table's indices and weights from unknowns to unknowns; what sides hold is zero."""
    index, weight = table.index[:, b.unknown] - a.unknown.start, table.weight[:, b.unknown]
    inside = (index >= 0) & (index < a.size)
    index, weight = np.where(inside, index, 0), np.where(inside, weight, 0.0)
    if weighted:
        fine, coarse = (axis.mass[axis.unknown] / axis.mass[axis.unknown].mean() for axis in (a, b))
        weight = weight * coarse / fine[index]
    return index, weight


def _bands(
    index: np.ndarray, weight: np.ndarray, n: int, m: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]:
    """A transfer along a line from n to m places: see kernels/transfers.py."""
    place = np.broadcast_to(np.arange(m), index.shape)
    used = weight != 0
    index, weight, place = index[used], weight[used], place[used]
    to, k = (np.full(len(place), NATURAL), place) if m < n else (place % 2, place // 2)
    of, at = (np.full(len(place), NATURAL), index) if m > n else (index % 2, index // 2)
    rooms = (m + 15) // 8 * 8, (n + 15) // 8 * 8
    shift = at - k
    low, spread = int(shift.min()), int(np.ptp(shift)) + 1
    which = (3 * to + of) * spread + shift - low  # numbers the kinds of sequences and shifts
    counts = np.bincount(which)
    length = int(k.max()) + 1
    long = counts >= max(2, length // 4)
    bands = np.zeros((int(long.sum()), 5), np.int64)
    weights = np.zeros((len(bands), length))
    for b, kind in enumerate(np.flatnonzero(long)):
        mine = np.flatnonzero(which == kind)
        pair, moved = divmod(int(kind), spread)
        bands[b] = (*divmod(pair, 3), moved + low, k[mine].min(), k[mine].max() + 1)
        np.add.at(weights[b], k[mine], weight[mine])
    rest = ~long[which]
    singles = np.stack([to[rest] * rooms[0] + k[rest], of[rest] * rooms[1] + at[rest]], axis=1)
    return bands, weights, singles.astype(np.int64), weight[rest], rooms
