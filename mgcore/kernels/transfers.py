"""Kernels that take values from one grid to the next: restriction, prolongation, interpolation.

A transfer is a product of one across slabs and one within them. Restriction combines slabs first,
and so has the fewer lines left to do; prolongation works the coarse slabs out first, each once, and
combines what they have become.

Within a slab a line is handled as three sequences: its even places, its odd places, and all places
in their *natural* order. Where an axis is halved, every second place of the finer line lies on one
of the coarser; so a transfer along a line is a few *bands*,

    to_k += w_k of_{k + shift}

from one sequence of one line to one of the other: from natural ones to even and odd ones on the way
up, the other way round on the way down. What fits no band, beside an uneven end, comes one by one.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mgcore.kernels.compilation import inlined, parallel, serial, unsigned

__all__ = ["EVEN", "NATURAL", "ODD", "Transfer", "collect", "spread"]

#: The sequences of a line.
EVEN, ODD, NATURAL = range(3)

#: Slabs of the coarser grid that are kept once they are worked out.
KEPT = 4


class Transfer(NamedTuple):
    """A product of transfers along the axes.

    Attributes
    ----------
    slabs, slab_weights : ndarray
        (terms, slabs): what a slab is combined from.
    lines, line_weights : ndarray
        (terms, lines): what a line of a slab is combined from.
    bands : ndarray
        (bands, 5): the sequences to and of, the shift, first and last + 1 k.
    band_weights : ndarray
        (bands, length).
    singles, single_weights : ndarray
        (singles, 2) and (singles,): where in the sequences, one after the other, each `room` long.
    to_room, of_room : int
        Room for one sequence.
    merged, split : bool
        Whether values come from natural sequences, and whether they go into one.
    """

    slabs: np.ndarray
    slab_weights: np.ndarray
    lines: np.ndarray
    line_weights: np.ndarray
    bands: np.ndarray
    band_weights: np.ndarray
    singles: np.ndarray
    single_weights: np.ndarray
    to_room: np.int64
    of_room: np.int64
    merged: np.bool_
    split: np.bool_


# --- one line -----------------------------------------------------------------------------------


@inlined
def _half_line(walk, line, odd):
    """Where the even or odd unknowns of a line lie, from the beginning of its slab; how many."""
    place = 2 * walk.start + line * walk.line + odd
    return place % 2 * walk.half + place // 2, (walk.size + 1 - odd) // 2


@inlined
def _read(values, y, walk, by, line, of):
    """The even and odd sequences of the lines that a line is combined from."""
    for m in range(by.lines.shape[0]):
        w = by.line_weights[m, line]
        for odd in range(2):
            at, n = _half_line(walk, by.lines[m, line], odd)
            source, x = unsigned(y + at), unsigned(odd * by.of_room)
            if m == 0:
                for k in range(unsigned(n)):
                    of[x + k] = w * values[source + k]
            elif w != 0:
                for k in range(unsigned(n)):
                    of[x + k] += w * values[source + k]


@inlined
def _merge(S, room, size):
    """The natural sequence from the even and the odd one."""
    even, odd, x = unsigned(0), unsigned(room), unsigned(2 * room)
    for k in range(unsigned(size // 2)):
        S[x + k + k] = S[even + k]
        S[x + k + k + unsigned(1)] = S[odd + k]
    if size % 2:
        S[2 * room + size - 1] = S[size // 2]


@inlined
def _split(S, room, size):
    """The even and the odd sequence from the natural one."""
    even, odd, x = unsigned(0), unsigned(room), unsigned(2 * room)
    for k in range(unsigned(size // 2)):
        S[even + k] = S[x + k + k]
        S[odd + k] = S[x + k + k + unsigned(1)]
    if size % 2:
        S[size // 2] = S[2 * room + size - 1]


@inlined
def _along(by, of, to):
    """The transfer along a line, from sequences to sequences."""
    to[:] = 0
    for b in range(by.bands.shape[0]):
        first, n = by.bands[b, 3], by.bands[b, 4] - by.bands[b, 3]
        x = unsigned(by.bands[b, 0] * by.to_room + first)
        y = unsigned(by.bands[b, 1] * by.of_room + first + by.bands[b, 2])
        weights, first = by.band_weights[b], unsigned(first)
        for k in range(unsigned(n)):
            to[x + k] += weights[first + k] * of[y + k]
    for s in range(by.singles.shape[0]):
        to[by.singles[s, 0]] += by.single_weights[s] * of[by.singles[s, 1]]


@inlined
def _write(S, room, walk, line, out, x, added):
    """The even and odd sequences to their place in a slab."""
    for odd in range(2):
        at, n = _half_line(walk, line, odd)
        target, y = unsigned(x + at), unsigned(odd * room)
        if added:
            for k in range(unsigned(n)):
                out[target + k] += S[y + k]
        else:
            for k in range(unsigned(n)):
                out[target + k] = S[y + k]


# --- one slab -----------------------------------------------------------------------------------


@serial
def _within(values, y, source, out, x, target, by, added, of, to):
    """The transfer within slabs, from one that begins at y to one that begins at x."""
    for line in range(target.lines):
        _read(values, y, source, by, line, of)
        if by.merged:
            _merge(of, by.of_room, source.size)
        _along(by, of, to)
        if by.split:
            _split(to, by.to_room, target.size)
        _write(to, by.to_room, target, line, out, x, added)


@serial
def _add_slab(values, y, out, x, walk, w, added):
    """out += w values, or out = w values, along slabs that begin at y and x."""
    for c in range(2):
        n = walk.odd if c else walk.even
        source = unsigned(y + c * walk.half + walk.start)
        target = unsigned(x + c * walk.half + walk.start)
        if added:
            for k in range(unsigned(n)):
                out[target + k] += w * values[source + k]
        else:
            for k in range(unsigned(n)):
                out[target + k] = w * values[source + k]


@serial
def _spread_slab(values, source, out, target, by, slab, added, kept, tags, of, to):
    """One slab of the finer grid from those of the coarser; `tags` says which of these are kept."""
    for m in range(by.slabs.shape[0]):
        w, coarse = by.slab_weights[m, slab], by.slabs[m, slab]
        slot = coarse % KEPT
        if w != 0 and tags[slot] != coarse:
            y = (coarse + 1) * source.pitch
            _within(values, y, source, kept, slot * target.pitch, target, by, False, of, to)
            tags[slot] = coarse
        if w != 0 or (m == 0 and not added):
            x = (slab + 1) * target.pitch
            _add_slab(kept, slot * target.pitch, out, x, target, w, added or m > 0)


@serial
def _collect_slab(values, source, out, target, by, slab, added, space, of, to):
    """One slab of the coarser grid from those of the finer."""
    for m in range(by.slabs.shape[0]):
        w = by.slab_weights[m, slab]
        if w != 0 or m == 0:
            y = (by.slabs[m, slab] + 1) * source.pitch
            _add_slab(values, y, space, 0, source, w, m > 0)
    x = (slab + 1) * target.pitch
    _within(space, 0, source, out, x, target, by, added, of, to)


# --- passes -------------------------------------------------------------------------------------


@parallel
def spread(values, out, source, target, by, added, strips):
    """Take values from a coarser grid to a finer; `added` to what is there, or in its place."""
    for strip in prange(strips):
        kept, tags = np.zeros(KEPT * target.pitch, out.dtype), np.full(KEPT, -1)
        of, to = np.zeros(3 * by.of_room, out.dtype), np.zeros(3 * by.to_room, out.dtype)
        first, last = strip * target.slabs // strips, (strip + 1) * target.slabs // strips
        for slab in range(first, last):
            _spread_slab(values, source, out, target, by, slab, added, kept, tags, of, to)


@parallel
def collect(values, out, source, target, by, added, strips):
    """Take values from a finer grid to a coarser; `added` to what is there, or in its place."""
    for strip in prange(strips):
        space = np.zeros(source.pitch, out.dtype)
        of, to = np.zeros(3 * by.of_room, out.dtype), np.zeros(3 * by.to_room, out.dtype)
        first, last = strip * target.slabs // strips, (strip + 1) * target.slabs // strips
        for slab in range(first, last):
            _collect_slab(values, source, out, target, by, slab, added, space, of, to)
