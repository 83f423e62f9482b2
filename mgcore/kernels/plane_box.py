"""How a level and its scratch lie in memory, for the fused passes of plane_box_fused.py.

A grid is the product of its two axes, and so are the operator and the transfers: what stages need
to know of a node is told by tables along the axes.
"""

from typing import NamedTuple

import numpy as np

from mgcore.kernels.common import aligned
from mgcore.kernels.compilation import inlined, serial, unsigned
from mgcore.kernels.halves import copy
from mgcore.kernels.vectors import lanes, offset
from mgcore.kernels.wave import Near

__all__ = [
    "ABOVE",
    "AT_NODES",
    "BEFORE",
    "BEHIND",
    "BELOW",
    "CENTRE",
    "COLUMNS",
    "EMPTY",
    "FACE",
    "FACES",
    "HALVES",
    "HERE",
    "HIGH",
    "INSIDE",
    "INVERSE",
    "LINES",
    "LOW",
    "LOWER",
    "MARGIN",
    "NODES",
    "NOWHERE",
    "OLD",
    "PLACES",
    "ROWS",
    "SUMS",
    "TABLES",
    "TARGET",
    "UPPER",
    "Across",
    "Along",
    "Box",
    "Front",
    "G",
    "Parents",
    "Places",
    "Pull",
    "R",
    "Row",
    "U",
    "at",
    "box_of",
    "entry",
    "first_row",
    "front_of",
    "keep_borders",
    "kept",
    "known",
    "line",
    "parents",
    "place",
    "places_of",
    "pull",
    "workspace",
]

#: Entries of a table across before that of node 0: strips look a few nodes beyond each end.
MARGIN = 8

#: Slots of a strip, each of one row: rings of u, g and residuals; sums of residuals of an even and
#: an odd row, one in each half; omega / diagonal of two rows, and before them for which rows;
#: zeros, and room for what nobody reads; the seven rows around a strip's upper border before.
U, G, R, SUMS, INVERSE, EMPTY, NOWHERE, OLD, SLOTS = 0, 5, 8, 10, 11, 13, 14, 15, 22

# Lines of tables, of both kinds; places.
LOWER, UPPER, INSIDE, LOW, HIGH, BEFORE, CENTRE, BEHIND, LINES = 0, 2, 4, 6, 7, 8, 9, 10, 11
HERE, BELOW, ABOVE, TARGET, FACE, PLACES = range(6)

#: What stages read of a: nothing but tables; fields of a on faces; fields of half the a at nodes.
TABLES, FACES, NODES = 0, 1, 2
# Halves of a row of fields: a on the faces to the left of nodes and above them, or at nodes; how
# many these are. Those of c come behind them.
COLUMNS, ROWS, AT_NODES, HALVES = 0, 2, 0, {FACES: 4, NODES: 2}


class Across(NamedTuple):
    """What stages know of the nodes along the axis across rows.

    Attributes
    ----------
    weights : ndarray
        Entry i + MARGIN is that of node i, in the lines LOWER and UPPER the couplings to the nodes
        before and behind, in LOW and HIGH the parts of the coarse nodes on either side; in BEFORE,
        CENTRE, BEHIND how coarse node i is weighted from nodes 2 i - 1, 2 i, 2 i + 1.
    places : ndarray of int
        Where things lie along this axis of an array: in line HERE node i, in BELOW and ABOVE the
        coarse nodes on either side, in TARGET coarse node i, in FACE the row of fields of node i.
    first, stop : int
        The unknowns; a periodic axis has no end.
    begin, end : int
        The nodes that strips share, from an odd one on.
    coarse_first, coarse_stop : int
        The unknowns of the coarser axis.
    n : int
        Nodes.
    periodic : bool
    """

    weights: np.ndarray
    places: np.ndarray
    first: np.int64
    stop: np.int64
    begin: np.int64
    end: np.int64
    coarse_first: np.int64
    coarse_stop: np.int64
    n: np.int64
    periodic: np.bool_


class Along(NamedTuple):
    """What stages know of the nodes along a row.

    Attributes
    ----------
    weights : ndarray
        Lines of `size` entries each. Of half c: LOWER + c and UPPER + c, the couplings to the left
        and to the right; INSIDE + c, one at unknowns. LOW and HIGH, the parts of coarse nodes k and
        k + 1 in node 2 k + 1; BEFORE, CENTRE, BEHIND, how coarse node k is weighted from nodes
        2 k - 1, 2 k, 2 k + 1. All are zero where there is no unknown.
    size : int
        Pairs of nodes, in whole vectors.
    first, stop : int
        Between these pairs, in whole vectors, all weights are the same.
    n : int
        Nodes.
    periodic : bool
    """

    weights: np.ndarray
    size: np.int64
    first: np.int64
    stop: np.int64
    n: np.int64
    periodic: np.bool_


class Box(NamedTuple):
    """A level for the passes.

    Attributes
    ----------
    rows : Across
    along : Along
    half : int
        Elements of half a row in scratch.
    stride, coarse_stride : int
        From row to row of the arrays of this grid and the coarser one.
    origin : int
        Where column 0 lies in a row of an array.
    field, field_stride : int
        From half to half of a row of fields, and from row to row.
    owned : bool
        Whether there is a c.
    omega : float
    """

    rows: Across
    along: Along
    half: np.int64
    stride: np.int64
    coarse_stride: np.int64
    origin: np.int64
    field: np.int64
    field_stride: np.int64
    owned: np.bool_
    omega: np.floating


@inlined
def box_of(numbers, omega, rows, rows_at, along):
    """The records of a level, which takes Numba longer to accept than a small grid's whole pass.

    `numbers` are those of `rows` and `along`, and of the box, one after the other. For functions
    that do not count references to arrays alone: others would give them back.
    """
    m = numbers
    return Box(
        Across(rows, rows_at, m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7] != 0),
        Along(along, m[8], m[9], m[10], m[11], m[12] != 0),
        m[13], m[14], m[15], m[16], m[17], m[18], m[19] != 0, omega,
    )  # fmt: skip


class Pull(NamedTuple):
    """The couplings of a row's nodes to other rows; the rest of their diagonal is along the row."""

    above: np.floating
    below: np.floating


class Places(NamedTuple):
    """Where the fields of half a row lie: a on the faces around its nodes or at their neighbours.

    `here` and `own` are for a and c at the nodes themselves.
    """

    here: np.uint64
    left: np.uint64
    right: np.uint64
    above: np.uint64
    below: np.uint64
    own: np.uint64


class Front(NamedTuple):
    """Where all that the wave front touches lies in scratch, for nodes of one parity."""

    even: np.uint64
    odd: np.uint64
    red: Near
    black: Near
    left: Near
    g_red: np.uint64
    g_black: np.uint64
    g_p: np.uint64
    g_q: np.uint64
    r_p: np.uint64
    r_q: np.uint64
    even_sum: np.uint64
    odd_sum: np.uint64


class Row(NamedTuple):
    """What the stages know of their rows: places in memory, weights that are the same all along.

    The one that enters is read from `line`, another one is written to `to`, and what is weighted
    along rows and across them goes to `out`. For the rows that are relaxed, omega / diagonal lies
    in scratch; or there is their omega, for a diagonal that is summed up.
    """

    line: np.ndarray
    from_u: np.uint64
    from_g: np.uint64
    far: np.bool_
    parents: NamedTuple
    red_pull: Pull
    black_pull: Pull
    left_pull: Pull
    fields: np.ndarray
    red_places: Places
    black_places: Places
    left_places: Places
    red_inverse: np.uint64
    red_omega: np.floating
    black_inverse: np.uint64
    black_omega: np.floating
    to: np.ndarray
    to_u: np.uint64
    odd: np.bool_
    out: np.ndarray
    target: np.uint64
    upper: np.floating
    centre: np.floating
    lower: np.floating


class Parents(NamedTuple):
    """Where the coarse rows around a row begin, and their parts."""

    above: np.uint64
    below: np.uint64
    upper: np.floating
    lower: np.floating


# --- where things lie ---------------------------------------------------------------------------


def workspace(box, strips, dtype):
    """Scratch for `strips` strips, zero."""
    return aligned((strips, SLOTS * 2 * int(box.half)), dtype)


@inlined
def entry(i):
    """Where node i stands in a table across rows."""
    return unsigned(i + MARGIN)


@inlined
def at(S, box, slot, c):
    """Where half c of the row in a slot begins; a vector lies before it, and one behind."""
    return (2 * slot + c) * box.half + np.int64(lanes(S))


@inlined
def known(box, stage, c):
    """Where it is kept for which rows omega / diagonal of half c was computed."""
    return unsigned((2 * (INVERSE + stage) + c) * box.half)


@inlined
def near(S, box, i, c):
    """Half c of row i, and its neighbours."""
    return Near(
        here=offset(at(S, box, U + i % 5, c)),
        above=offset(at(S, box, U + (i - 1) % 5, c)),
        below=offset(at(S, box, U + (i + 1) % 5, c)),
        beside=offset(at(S, box, U + i % 5, 1 - c) + c * np.int64(lanes(S))),
    )


@inlined
def front_of(S, box, i, c):
    """The wave front when row i enters, for rows whose nodes of parity c are relaxed."""
    r, p, q = i - 1, i - 2, i - 3
    return Front(
        even=offset(at(S, box, U + i % 5, 0)),
        odd=offset(at(S, box, U + i % 5, 1)),
        red=near(S, box, r, c),
        black=near(S, box, p, c),
        left=near(S, box, q, c),
        g_red=offset(at(S, box, G + r % 3, c)),
        g_black=offset(at(S, box, G + r % 3, 1 - c)),
        g_p=offset(at(S, box, G + p % 3, c)),
        g_q=offset(at(S, box, G + q % 3, c)),
        r_p=offset(at(S, box, R + p % 2, c)),
        r_q=offset(at(S, box, R + q % 2, 1 - c) + c * np.int64(lanes(S))),
        even_sum=offset(at(S, box, SUMS, 0)),
        odd_sum=offset(at(S, box, SUMS, 1)),
    )


@inlined
def pull(box, i):
    """The couplings of row i to the rows beside it."""
    weights, at_i = box.rows.weights, entry(i)
    return Pull(weights[LOWER, at_i], weights[UPPER, at_i])


@inlined
def places_of(box, i, c, kind):
    """The fields of half c of row i."""
    faces, stride, field = box.rows.places[FACE], box.field_stride, box.field
    here, below = faces[entry(i)] * stride, faces[entry(i + 1)] * stride
    own = here + stride + (c - 2) * field
    if kind == NODES:
        above, beside = faces[entry(i - 1)] * stride, here + (1 - c) * field + c
        here, above, below = here + c * field, above + c * field, below + c * field
        left, right = beside - 1, beside
    else:
        left, right = here + (COLUMNS + c) * field, here + (COLUMNS + 1 - c) * field + c
        above, below = here + (ROWS + c) * field, below + (ROWS + c) * field
    return Places(
        here=offset(here),
        left=offset(left),
        right=offset(right),
        above=offset(above),
        below=offset(below),
        own=offset(own),
    )


@inlined
def parents(box, i):
    """The coarse rows around row i."""
    rows, at_i = box.rows, entry(i)
    return Parents(
        above=offset(rows.places[BELOW, at_i] * box.coarse_stride + box.origin),
        below=offset(rows.places[ABOVE, at_i] * box.coarse_stride + box.origin),
        upper=rows.weights[LOW, at_i],
        lower=rows.weights[HIGH, at_i],
    )


@inlined
def place(box, i):
    """Where column 0 of row i lies in an array of this grid."""
    return box.rows.places[HERE, entry(i)] * box.stride + box.origin


@inlined
def line(along, number):
    """Where a line of the weights along a row begins."""
    return unsigned(number * along.size)


@serial
def kept(box, k):
    """Where the row that is k away from the first one of a strip was copied to."""
    return 2 * (OLD + max(min(k, np.int64(3)), np.int64(-3)) + 3) * box.half


@serial
def first_row(rows, strip, strips):
    """First row of a strip: odd, so that coarse rows are not shared. Of none, the end."""
    begin, end = rows.begin, rows.end
    return end if strip == strips else begin + 2 * (strip * (end - begin) // (2 * strips))


@serial
def keep_borders(u, box, space, strips):
    """Copy the seven rows around the first one of each strip that has a neighbour before it."""
    for strip in range(0 if box.rows.periodic else 1, strips):
        first = first_row(box.rows, strip, strips)
        for k in range(-3, 4):
            row = box.rows.places[HERE, first + k + MARGIN] * box.stride
            copy(u, row, space[strip], kept(box, k), box.stride)
