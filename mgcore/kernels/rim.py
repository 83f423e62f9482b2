"""The layer around the unknowns of a plane, for the fused passes of 3D.

A plane is a line of rows, each of an odd number of nodes (see space_fused.py), so neighbours lie at
fixed distances and the operator is the same at all nodes. What a side asks of u is what lies beyond
it, in the layer::

    values given        0
    flux, a du/dn = 0   the node on this side of the border, mirrored
    Robin               the same, less `share` times the node on the border
    periodic            the node at the other end

which is `mirror` times one node of the same colour less `share` times one of the other. At Robin's
nodes the diagonal is larger by what they have of `own`: there a table has what to divide by.
"""

from typing import NamedTuple

import numpy as np

from mgcore.kernels.compilation import inlined, serial, unsigned
from mgcore.kernels.halves import fill

__all__ = ["Plane", "Rim", "Side", "clear", "clear_array", "close", "close_sums"]


class Plane(NamedTuple):
    """Where the nodes of a plane lie: `rows` rows of `row` places, an odd number.

    Node (j, l) is in row j + up and column l + before, that of (0, 0) at `origin`, an even place.
    Unknowns are in the rows top <= j < bottom and the columns left <= l < right, with one layer
    around; beside columns it may be two.
    """

    row: np.int64
    rows: np.int64
    up: np.int64
    before: np.int64
    origin: np.int64
    top: np.int64
    bottom: np.int64
    left: np.int64
    right: np.int64


class Side(NamedTuple):
    """What lies beyond a side: rows or columns `beyond`, `source` and `end`, and their factors."""

    beyond: np.int64
    source: np.int64
    end: np.int64
    mirror: np.floating
    share: np.floating


class Rim(NamedTuple):
    """The four sides of a plane."""

    top: Side
    bottom: Side
    left: Side
    right: Side


@inlined
def _halves(even, odd, c):
    """The half of parity c of a plane, and the other one."""
    return (odd, even) if c == 1 else (even, odd)


@serial
def _beside(S, even, odd, c, plane, side, mirror, share):
    """Fill the column beyond a side at places of parity c, in every second row."""
    first = plane.top + (plane.top + side.beyond + c) % 2
    start, (here, there) = first * plane.row, _halves(even, odd, c)
    x, y = unsigned(here + (start + side.beyond) // 2), unsigned(here + (start + side.source) // 2)
    z, row = unsigned(there + (start + side.end) // 2), unsigned(plane.row)
    count = unsigned(max(plane.bottom - first + 1, 0) // 2)
    if mirror == 0:
        for k in range(count):
            S[x + k * row] = 0
    else:
        for k in range(count):
            S[x + k * row] = mirror * S[y + k * row] - share * S[z + k * row]


@serial
def _across(S, even, odd, c, plane, side, mirror, share):
    """Fill the row beyond a side at places of parity c, in every second column."""
    first, (here, there) = (side.beyond + c) % 2, _halves(even, odd, c)
    x = unsigned(here + (side.beyond * plane.row + first) // 2)
    y = unsigned(here + (side.source * plane.row + first) // 2)
    z = unsigned(there + (side.end * plane.row + first) // 2)
    count = unsigned((plane.row - first + 1) // 2)
    if mirror == 0:
        for k in range(count):
            S[x + k] = 0
    else:
        for k in range(count):
            S[x + k] = mirror * S[y + k] - share * S[z + k]


@inlined
def close(S, even, odd, c, plane, rim, anew):
    """Fill the layer around half c of a plane of u, whose halves begin at S[even] and S[odd].

    Around a plane that has come in `anew` there are zeros where they belong.
    """
    for side in (rim.left, rim.right):
        if not anew or side.mirror != 0:
            _beside(S, even, odd, c, plane, side, side.mirror, side.share)
    for side in (rim.top, rim.bottom):
        if not anew or side.mirror != 0:
            _across(S, even, odd, c, plane, side, side.mirror, side.share)


@serial
def close_sums(S, even, odd, plane, rim):
    """Fill the layer around what is to be weighted: what lies beyond counts where it came from."""
    none = S.dtype.type(0)
    for c in range(2):
        for side in (rim.left, rim.right):
            _beside(S, even, odd, c, plane, side, side.mirror, none)
    for c in range(2):  # corners, too
        for side in (rim.top, rim.bottom):
            _across(S, even, odd, c, plane, side, side.mirror, none)


@serial
def clear(S, even, odd, c, plane):
    """Zeros around the unknowns of half c of a plane, at all places but those of its last row."""
    here, _ = _halves(even, odd, c)
    fill(S, here, (plane.top * plane.row + 1 - c) // 2, 0)
    for j in range(plane.top, plane.bottom):
        start = j * plane.row + (j + c) % 2  # of this half in row j
        lasts = start + (plane.right - (j + c) % 2 + 1) // 2 * 2
        fill(S, here + start // 2, (plane.left - (j + c) % 2 + 1) // 2, 0)
        fill(S, here + lasts // 2, ((j + 1) * plane.row - lasts + 1) // 2, 0)


@inlined
def clear_array(u, x, plane):
    """Zeros around the unknowns of a plane at u[x], but in its last row."""
    fill(u, x, plane.top * plane.row + plane.left, 0)
    # Behind a row and before the next one: two places to four.
    row, more = unsigned(plane.row), unsigned(plane.row - plane.right + plane.left - 1)
    first, one = unsigned(x + plane.top * plane.row + plane.right), unsigned(1)
    for j in range(unsigned(plane.bottom - plane.top)):
        start = first + j * row
        u[start] = u[start + more] = 0
        if more > one:
            u[start + one] = u[start + more - one] = 0
