"""The wave front of the fused passes, and what their stages share.

A pass goes through memory once, line by line (halves.py says what a line is). When line i enters,

::

    line i      enter      u_i from its source, even and odd nodes apart
    line i - 1  red        relaxed, from lines i - 2, i - 1, i
    line i - 2  black      relaxed, from lines i - 3, i - 2, i - 1; then written to memory
    line i - 3  residual   of its red nodes; of both colours restricted, or the norm taken

so each line of u and g is read once and u is written once; what lies between stays in the cache, in
rings of a few lines. Each of these is a stage: a short function of plane_fused.py, space_fused.py
or plane_box_fused.py for one vector of nodes. :class:`Work` says which ones have any.

Each thread owns a strip of lines. Those around a border between strips are copied first, and both
sides compute the few lines there that they need from each other, so strips do not wait for one
another.

Stages are inlined into their loops. So records of places, weights and vectors cost nothing, they
end up in registers, and where a field or an argument is a constant, what it rules out is left out.
"""

from typing import NamedTuple

import numpy as np

from mgcore.kernels.compilation import inlined
from mgcore.kernels.halves import NORM, NOTHING, RESTRICTION, ZERO
from mgcore.kernels.vectors import (
    evens,
    high,
    lagging,
    lanes,
    leading,
    load,
    low,
    odds,
    prefetch,
    store,
)

__all__ = [
    "Arrays",
    "Cross",
    "Lines",
    "Near",
    "Work",
    "around",
    "ask",
    "coloured",
    "separated",
    "sides",
    "work_at",
    "write",
]


class Arrays(NamedTuple):
    """The flat arrays of a pass: u, g, the coarser u and the coarser right-hand side."""

    u: np.ndarray
    g: np.ndarray
    e: np.ndarray
    coarse: np.ndarray


class Lines(NamedTuple):
    """The lines a <= i < b of a strip; unknowns are first <= i < stop, below before coarse_stop."""

    a: np.int64
    b: np.int64
    first: np.int64
    stop: np.int64
    coarse_stop: np.int64


class Work(NamedTuple):
    """Which stages have work when line i enters a strip; where it is not `filled` zeros enter.

    The line behind is written where it is the strip's own, and the last one restricted together
    with the two before it where it is the last of three.
    """

    i: np.int64
    filled: np.bool_
    red: np.bool_
    black: np.bool_
    written: np.bool_
    residual: np.bool_
    restricted: np.bool_


@inlined
def work_at(i, lines, source, sink):
    """What there is to do when line i enters."""
    a, b, first, stop, coarse_stop = lines
    r, p, q = i - 1, i - 2, i - 3
    end = min(b, stop) if sink == NORM else min(b + 1, 2 * coarse_stop)
    residual = sink != NOTHING and max(a, first) <= q < end
    return Work(
        i,
        source != ZERO and first <= i < stop and i <= b + 3,
        max(a - 2, first) <= r < min(b + 3, stop),
        max(a - 1, first) <= p < min(b + 2, stop),
        max(a, first) <= p < min(b, stop),
        residual,
        residual and sink == RESTRICTION and q % 2 == 1 and q > a,
    )


# --- memory: even and odd nodes take turns ------------------------------------------------------


@inlined
def ask(S, line, x):
    """Ask for line[x], which is two vectors of S long, from memory."""
    prefetch(line, x)
    prefetch(line, x + lanes(S))


@inlined
def separated(S, line, x):
    """The nodes from line[x] on, even and odd ones apart."""
    first, second = load(line, x), load(line, x + lanes(S))
    return evens(first, second), odds(first, second)


@inlined
def coloured(S, line, x, c):
    """The same: those of parity c, and the others."""
    even, odd = separated(S, line, x)
    if c == 0:
        return even, odd
    return odd, even


@inlined
def write(S, line, x, c, these, others):
    """The nodes of parity c and the others to memory, from line[x] on."""
    even, odd = (these, others) if c == 0 else (others, these)
    store(line, x, low(even, odd))
    store(line, x + lanes(S), high(even, odd))


# --- scratch of passes by rows: even and odd nodes in halves ------------------------------------


class Near(NamedTuple):
    """Where half a row lies in scratch, and its neighbours: those beside it in the other half."""

    here: np.uint64
    above: np.uint64
    below: np.uint64
    beside: np.uint64


class Cross(NamedTuple):
    """A vector of nodes of a row, and the four around it."""

    here: NamedTuple
    above: NamedTuple
    below: NamedTuple
    left: NamedTuple
    right: NamedTuple


@inlined
def sides(c, before, here):
    """The left and the right neighbours of nodes of parity c.

    ::

        c = 0, nodes even[k]      before = odd[k - 1]     here = odd[k]         (first elements)
        c = 1, nodes odd[k]       before = even[k]        here = even[k + lanes]
    """
    if c == 0:
        return lagging(before, here), here
    return before, leading(before, here)


@inlined
def around(S, near, k, c, before, below):
    """Nodes and neighbours at k, those below given; and those beside, for the next vector."""
    beside = load(S, near.beside + k)
    left, right = sides(c, before, beside)
    return Cross(load(S, near.here + k), load(S, near.above + k), below, left, right), beside
