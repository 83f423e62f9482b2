"""Lines of a grid along one axis and A along them, which zebra sweeps solve at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mgcore.colours import visited
from mgcore.kernels import zebra
from mgcore.operators import Operator, slim
from mgcore.slabs import Slabs, three
from mgcore.smoothers import Sweep

__all__ = ["Bands", "bands", "factorised"]

#: Lines of a run at most: what a run touches stays in the cache on its way back.
_SIDE_BY_SIDE = 64


class Bands(NamedTuple):
    """The part of A along lines, a tridiagonal matrix for each; with corners on periodic axes.

    Attributes
    ----------
    below, diagonal, above : ndarray
        Couplings to the unknown before and after, and of the unknown itself: one axis for each of
        the grid's, of length 1 where they do not vary.
    """

    below: np.ndarray
    diagonal: np.ndarray
    above: np.ndarray


def bands(operator: Operator, axis: int) -> Bands:
    """A along the lines of an axis."""
    after = tuple(int(k == axis) for k in range(operator.grid.ndim))
    before = tuple(-step for step in after)
    none = np.zeros((1,) * operator.grid.ndim)
    found = operator.couplings
    return Bands(-found.get(before, none), operator.diagonal, -found.get(after, none))


def factorised(
    operator: Operator, volumes: np.ndarray, sweep: Sweep, slabs: Slabs, dtype: np.dtype
) -> list[zebra.Lines]:
    """The lines that a sweep solves, colour after colour, with A along them in two factors.

    Parameters
    ----------
    operator : Operator
    volumes : ndarray
        What rows are weighted with, shaped like the unknowns.
    sweep : Sweep
        One of lines.
    slabs : Slabs
        Where unknowns lie.
    dtype : dtype
    """
    axis = sweep.lines
    assert axis is not None
    n = slabs.grid.interior[axis]
    rows = [np.moveaxis(slim(volumes) * band, axis, 0) for band in bands(operator, axis)]
    alike = all(band[0].size == 1 for band in rows)
    across = (1,) * (len(slabs.grid.interior) - 1) if alike else tuple(
        size for k, size in enumerate(slabs.grid.interior) if k != axis
    )  # fmt: skip
    rows = [np.broadcast_to(row, (n, *across)).reshape(n, -1) for row in rows]
    periodic = slabs.grid.axes[axis].periodic
    step = slabs.across([int(k == axis) for k in range(slabs.grid.ndim)])
    nodes = [np.arange(each.start, each.stop) for each in slabs.grid.unknown]
    alone = axis == slabs.grid.ndim - 1  # within a slab
    found = []
    for mask in visited(operator, sweep, nodes):
        runs, longest = _runs(slabs, mask)
        below, diagonal, above = rows if alike else (row[:, mask.ravel()] for row in rows)
        factors = _factors(below, diagonal, above, periodic)
        if alike:
            runs[:, 3] = 0
            factors = [np.repeat(part, longest, axis=-1) for part in factors]
        found.append(zebra.Lines(
            runs, np.int64(step[0]), np.int64(step[2] + slabs.row * step[1]),
            _halves(slabs, mask), np.bool_(alone),
            *(np.ascontiguousarray(part.T if alone else part, dtype) for part in factors),
        ))  # fmt: skip
    return found


def _runs(slabs: Slabs, mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Lines of one colour that begin side by side in memory, and how many there are at most.

    Returns
    -------
    runs : ndarray
        Slab and place where the first one begins, how many there are, and the first one's number.
    longest : int
    """
    slab, row, place = np.nonzero(three(mask))
    beside = (np.diff(slab) == 0) & (np.diff(row) == 0) & (np.diff(place) == 2)
    number = np.arange(len(slab))
    new = np.concatenate([[True], ~beside])
    new |= (number - np.maximum.accumulate(np.where(new, number, 0))) % _SIDE_BY_SIDE == 0
    first = np.flatnonzero(new)
    counts = np.diff(np.append(first, len(slab)))
    places = slabs.origin + row * slabs.row + place
    runs = np.stack([slab[first], places[first], counts, first], axis=1)
    return np.ascontiguousarray(runs, np.int64), int(counts.max())


def _halves(slabs: Slabs, mask: np.ndarray) -> np.ndarray:
    """Whether lines have places in the even and in the odd half of each slab: (slabs, 2)."""
    places = slabs.origin + slabs.row * np.arange(slabs.shape[1])[:, None]
    odd = (places + np.arange(slabs.shape[2])) % 2 == 1
    found = np.stack([(three(mask) & half).any(axis=(1, 2)) for half in (~odd, odd)], axis=-1)
    return np.ascontiguousarray(np.broadcast_to(found, (slabs.shape[0], 2)))


def _factors(
    below: np.ndarray, diagonal: np.ndarray, above: np.ndarray, periodic: bool
) -> list[np.ndarray]:
    """What elimination keeps of tridiagonal matrices, their rows along the first axis.

    Returns
    -------
    below, pivot, above : ndarray
        (n, lines): forward r_i = pivot_i r_i - below_i r_{i-1}, back e_i = r_i - above_i e_{i+1}.
    wrap : ndarray
        (n, lines), empty where lines are not periodic: what the corners take from e, as a multiple
        of e_0 + ratio e_{n-1} (Sherman & Morrison 1950).
    ratio : ndarray
        (lines,).
    """
    first, last = below[0].copy(), above[-1].copy()  # the corners
    ratio, gamma = -first / diagonal[0], -diagonal[0]
    below, pivot, above = np.array(below), np.array(diagonal), np.array(above)
    below[0] = above[-1] = 0
    if periodic:
        pivot[0] -= gamma
        pivot[-1] -= first * last / gamma
    zebra.factorise(below, pivot, above)
    wrap = np.zeros(pivot.shape if periodic else (0, pivot.shape[1]))
    if periodic:
        wrap[0], wrap[-1] = gamma, last
        zebra.substitute(below, pivot, above, wrap)
        wrap /= 1 + wrap[0] + ratio * wrap[-1]
    return [below, pivot, above, wrap, ratio]
