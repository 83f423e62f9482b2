"""Kernels for any stencil and any transfer, in one, two and three dimensions.

Arrays are unknowns with one layer around. They are walked in *lines* along the last axis, and a
neighbour is a distance in the flat array, so one kernel serves all dimensions. A weight is a table
(lines, places in a line), of length 1 along what it does not depend on: a number, one for each
line, one for each place, or one for each unknown.
"""

from math import sqrt
from typing import NamedTuple

import numpy as np
from numba import prange

from mgcore.kernels.common import squares
from mgcore.kernels.compilation import parallel, serial

__all__ = [
    "NORM",
    "NOTHING",
    "RESIDUAL",
    "Couplings",
    "Walk",
    "add",
    "defect",
    "gather",
    "jacobi",
    "norm",
    "relaxed",
    "sequential",
    "sweep",
    "two_colours",
]


#: What a pass gives besides u: nothing, the residual, its norm.
NOTHING, RESIDUAL, NORM = map(np.int64, range(3))


class Walk(NamedTuple):
    """How an array is walked: in slabs across the first axis, of several lines each in 3D.

    Attributes
    ----------
    slabs, lines : int
        Slabs of an array, lines of a slab.
    stride, row : int
        From one slab to the next and from one line to the next in the flat array, layer included.
    first, middle, last : bool
        Which axes are periodic: the one across slabs, the one across lines of a slab in 3D, and the
        one along lines.
    """

    slabs: np.int64
    lines: np.int64
    stride: np.int64
    row: np.int64
    first: np.bool_
    middle: np.bool_
    last: np.bool_


class Couplings(NamedTuple):
    """A u = sum_k w_k (u_x - u_{x + o_k}) + own u_x, for the kernels.

    Attributes
    ----------
    starts : ndarray
        Where the unknowns of each line begin in a flat array.
    size : int
        Unknowns of a line.
    line_offsets, line_weights : ndarray
        Distances (k,) and weights (k, lines or 1) of neighbours whose weight is the same all along
        a line; k is even, as weights go in pairs.
    place_offsets, place_weights : ndarray
        Those of the others: (k,) and (k, lines or 1, size).
    own : ndarray
        (lines or 1, size or 1).
    line_sum, place_sum : ndarray
        The diagonal is line_sum[line] + place_sum[line or 0, place or 0].
    """

    starts: np.ndarray
    size: np.int64
    line_offsets: np.ndarray
    line_weights: np.ndarray
    place_offsets: np.ndarray
    place_weights: np.ndarray
    own: np.ndarray
    line_sum: np.ndarray
    place_sum: np.ndarray


@serial
def _scaled_defect(u, g, A, line, scale, out):
    """out = scale (g - A u) along a line, `scale` one number for each place.

    What five and seven points need is one loop each, as every further one reads `out` and writes it
    again.
    """
    x, n = np.uint64(A.starts[line]), np.uint64(A.size)
    at = line if A.line_weights.shape[1] > 1 else 0
    to = line if A.place_weights.shape[1] > 1 else 0
    k, m = A.line_offsets.size, A.place_offsets.size
    if k == 2 and m == 2:
        p, q = np.uint64(x + A.line_offsets[0]), np.uint64(x + A.line_offsets[1])
        r, s = np.uint64(x + A.place_offsets[0]), np.uint64(x + A.place_offsets[1])
        v, w = A.line_weights[0, at], A.line_weights[1, at]
        lower, upper = A.place_weights[0, to], A.place_weights[1, to]
        for j in range(n):
            here = u[x + j]
            total = v * (u[p + j] - here) + w * (u[q + j] - here)
            total += lower[j] * (u[r + j] - here) + upper[j] * (u[s + j] - here)
            out[j] = scale[j] * (g[x + j] + total)
    elif k == 4 and m == 2:
        p, q = np.uint64(x + A.line_offsets[0]), np.uint64(x + A.line_offsets[1])
        y, z = np.uint64(x + A.line_offsets[2]), np.uint64(x + A.line_offsets[3])
        r, s = np.uint64(x + A.place_offsets[0]), np.uint64(x + A.place_offsets[1])
        v, w = A.line_weights[0, at], A.line_weights[1, at]
        a, b = A.line_weights[2, at], A.line_weights[3, at]
        lower, upper = A.place_weights[0, to], A.place_weights[1, to]
        for j in range(n):
            here = u[x + j]
            total = v * (u[p + j] - here) + w * (u[q + j] - here)
            total += a * (u[y + j] - here) + b * (u[z + j] - here)
            total += lower[j] * (u[r + j] - here) + upper[j] * (u[s + j] - here)
            out[j] = scale[j] * (g[x + j] + total)
    elif k == 0 and m == 4:
        p, q = np.uint64(x + A.place_offsets[0]), np.uint64(x + A.place_offsets[1])
        r, s = np.uint64(x + A.place_offsets[2]), np.uint64(x + A.place_offsets[3])
        below, above = A.place_weights[0, to], A.place_weights[1, to]
        lower, upper = A.place_weights[2, to], A.place_weights[3, to]
        for j in range(n):
            here = u[x + j]
            total = below[j] * (u[p + j] - here) + above[j] * (u[q + j] - here)
            total += lower[j] * (u[r + j] - here) + upper[j] * (u[s + j] - here)
            out[j] = scale[j] * (g[x + j] + total)
    else:
        for j in range(n):
            out[j] = g[x + j]
        for pair in range(0, k, 2):
            p, q = np.uint64(x + A.line_offsets[pair]), np.uint64(x + A.line_offsets[pair + 1])
            v, w = A.line_weights[pair, at], A.line_weights[pair + 1, at]
            for j in range(n):
                here = u[x + j]
                out[j] += v * (u[p + j] - here) + w * (u[q + j] - here)
        for pair in range(0, m, 2):
            p, q = np.uint64(x + A.place_offsets[pair]), np.uint64(x + A.place_offsets[pair + 1])
            lower, upper = A.place_weights[pair, to], A.place_weights[pair + 1, to]
            for j in range(n):
                here = u[x + j]
                out[j] += lower[j] * (u[p + j] - here) + upper[j] * (u[q + j] - here)
        for j in range(n):
            out[j] *= scale[j]
    own = A.own[line if A.own.shape[0] > 1 else 0]
    if own.size > 1:
        for j in range(n):
            out[j] -= scale[j] * (own[j] * u[x + j])
    elif own[0] != 0:
        for j in range(n):
            out[j] -= scale[j] * (own[0] * u[x + j])


@serial
def _inverse_line(A, line, omega, first, step, out):
    """out = omega / diagonal along a line at every `step`-th place from `first` on, else zero."""
    most = A.line_sum[line if A.line_sum.size > 1 else 0]
    rest = A.place_sum[line if A.place_sum.shape[0] > 1 else 0]
    if step > 1:
        out[:] = 0
    for j in range(first, out.size, step):
        out[j] = omega / (most + rest[j if rest.size > 1 else 0])


@serial
def _same_diagonal(A, line, last):
    """Whether two lines have the same diagonal."""
    if last < 0 or A.place_sum.shape[0] > 1:
        return False
    return A.line_sum.size == 1 or A.line_sum[line] == A.line_sum[last]


@serial
def _add_line(u, x, out):
    x = np.uint64(x)
    for j in range(np.uint64(out.size)):
        u[x + j] += out[j]


@parallel
def defect(u, g, r, A, strips):
    """r = g - A u on flat arrays; the layer around r is left alone."""
    lines = A.starts.size
    for strip in prange(strips):
        ones = np.ones(A.size, u.dtype)
        for line in range(strip * lines // strips, (strip + 1) * lines // strips):
            x = A.starts[line]
            _scaled_defect(u, g, A, line, ones, r[x : x + A.size])


@parallel
def relaxed(u, g, r, A, omega, strips):
    """r = omega D^-1 (g - A u)."""
    lines = A.starts.size
    for strip in prange(strips):
        inverse = np.empty(A.size, u.dtype)
        last = -1
        for line in range(strip * lines // strips, (strip + 1) * lines // strips):
            if not _same_diagonal(A, line, last):
                _inverse_line(A, line, omega, 0, 1, inverse)
            last = line
            x = A.starts[line]
            _scaled_defect(u, g, A, line, inverse, r[x : x + A.size])


@parallel
def norm(u, g, A, strips):
    """||g - A u||_2, summed in double precision."""
    lines = A.starts.size
    total = 0.0
    for strip in prange(strips):
        row, ones = np.empty(A.size, u.dtype), np.ones(A.size, u.dtype)
        for line in range(strip * lines // strips, (strip + 1) * lines // strips):
            _scaled_defect(u, g, A, line, ones, row)
            total += squares(row, 0, A.size)
    return sqrt(total)


@parallel
def jacobi(u, g, new, A, omega, strips):
    """new = u + omega D^-1 (g - A u)."""
    lines = A.starts.size
    for strip in prange(strips):
        row, inverse = np.empty(A.size, u.dtype), np.empty(A.size, u.dtype)
        last = -1
        for line in range(strip * lines // strips, (strip + 1) * lines // strips):
            if not _same_diagonal(A, line, last):
                _inverse_line(A, line, omega, 0, 1, inverse)
            last = line
            _scaled_defect(u, g, A, line, inverse, row)
            x = A.starts[line]
            for j in range(A.size):
                new[x + j] = u[x + j] + row[j]


@serial
def _colour_slab(u, g, A, walk, omega, first, slab, row, inverse, last):
    """u += omega D^-1 (g - A u) in place at the points of one colour of one slab.

    The other points are computed as well, and multiplied by zero: that vectorises. `inverse` holds
    the diagonals of lines that begin with this colour, and with the other one.
    """
    for line in range(slab * walk.lines, (slab + 1) * walk.lines):
        c = first[line]
        if c < 0:
            continue
        if not _same_diagonal(A, line, last[c]):
            _inverse_line(A, line, omega, c, 2, inverse[c])
        last[c] = line
        _scaled_defect(u, g, A, line, inverse[c], row)
        _add_line(u, A.starts[line], row)
    _close_slab(u, A, walk, slab)


@serial
def _close_slab(u, A, walk, slab):
    """Fill the layer of one slab along periodic axes, but the first one where there are several."""
    lines = range(slab * walk.lines, (slab + 1) * walk.lines)
    if walk.last:
        for line in lines:
            x = A.starts[line]
            u[x - 1], u[x + A.size] = u[x + A.size - 1], u[x]
    if walk.middle:
        x = A.starts[slab * walk.lines] - 1
        for k in range(walk.row):
            u[x - walk.row + k] = u[x + (walk.lines - 1) * walk.row + k]
            u[x + walk.lines * walk.row + k] = u[x + k]


@serial
def _close(u, walk):
    """Fill the layer along a periodic first axis."""
    if walk.first:
        end = walk.slabs * walk.stride
        for k in range(walk.stride):
            u[k] = u[end + k]
            u[end + walk.stride + k] = u[walk.stride + k]


@serial
def _sink_slab(u, g, r, A, walk, slab, sink, ones, row):
    """The residual of one slab, into `r`; or its sum of squares."""
    total = 0.0
    for line in range(slab * walk.lines, (slab + 1) * walk.lines):
        if sink == RESIDUAL:
            x = A.starts[line]
            _scaled_defect(u, g, A, line, ones, r[x : x + A.size])
        else:
            _scaled_defect(u, g, A, line, ones, row)
            total += squares(row, 0, A.size)
    return total


@parallel
def two_colours(u, g, r, A, walk, omega, red, black, sink, strips):
    """A red-black step in one pass over memory, and what `sink` asks for; a norm is returned.

    ::

        slab    t - 2      t - 1     t
                residual   black     red

    `red` and `black` say for each line at which place, 0 or 1, its first point of that colour is.
    Slabs beside another strip, or beside the end of a periodic first axis, wait for their neighbour
    and are done when all strips have passed.
    """
    sums = np.zeros(strips)
    for strip in prange(strips):
        a, low, low_sink, high_sink, high, b = _parts(walk, strip, strips)
        row, inverse = np.empty(A.size, u.dtype), np.empty((2, A.size), u.dtype)
        ones, last = np.ones(A.size, u.dtype), np.full(2, -1)
        for t in range(a, b + 2):
            if t < b:
                _colour_slab(u, g, A, walk, omega, red, t, row, inverse, last)
            if low <= t - 1 < high:
                _colour_slab(u, g, A, walk, omega, black, t - 1, row, inverse, last)
            if sink != NOTHING and low_sink <= t - 2 < high_sink:
                sums[strip] += _sink_slab(u, g, r, A, walk, t - 2, sink, ones, row)
    _close(u, walk)
    row, inverse = np.empty(A.size, u.dtype), np.empty((2, A.size), u.dtype)
    ones, last = np.ones(A.size, u.dtype), np.full(2, -1)
    for strip in range(strips):
        a, low, low_sink, high_sink, high, b = _parts(walk, strip, strips)
        for t in range(a, b):
            if not low <= t < high:
                _colour_slab(u, g, A, walk, omega, black, t, row, inverse, last)
    _close(u, walk)
    if sink != NOTHING:
        for strip in range(strips):
            a, low, low_sink, high_sink, high, b = _parts(walk, strip, strips)
            for t in range(a, b):
                if not low_sink <= t < high_sink:
                    sums[strip] += _sink_slab(u, g, r, A, walk, t, sink, ones, row)
    return sqrt(sums.sum())


@serial
def _parts(walk, strip, strips):
    """First and last slab of a strip, and inside them of those that need not wait.

    The black points of a slab need the next red ones, its residual those of the next but one.
    """
    a, b = strip * walk.slabs // strips, (strip + 1) * walk.slabs // strips
    below = 1 if strip > 0 or walk.first else 0
    above = 1 if strip + 1 < strips or walk.first else 0
    low, high = min(a + below, b), max(b - above, a)
    low_sink, high_sink = min(a + 2 * below, b), max(b - 2 * above, a)
    return a, low, low_sink, max(high_sink, low_sink), max(high, low), b


@parallel
def sweep(u, g, A, walk, omega, first, strips):
    """u += omega D^-1 (g - A u) in place at the points of one colour.

    `first` says for each line at which place, 0 or 1, its first point of that colour is; every
    second one follows. With -1 the line has none.
    """
    for strip in prange(strips):
        row, inverse = np.empty(A.size, u.dtype), np.empty((2, A.size), u.dtype)
        last = np.full(2, -1)
        for slab in range(strip * walk.slabs // strips, (strip + 1) * walk.slabs // strips):
            _colour_slab(u, g, A, walk, omega, first, slab, row, inverse, last)
    _close(u, walk)


@serial
def sequential(u, g, A, omega, backwards):
    """u += omega D^-1 (g - A u) in place, line after line, point after point."""
    lines = A.starts.size
    for number in range(lines):
        line = lines - 1 - number if backwards else number
        x = A.starts[line]
        at = line if A.line_weights.shape[1] > 1 else 0
        to = line if A.place_weights.shape[1] > 1 else 0
        own = A.own[line if A.own.shape[0] > 1 else 0]
        first = A.line_sum[line if A.line_sum.size > 1 else 0]
        rest = A.place_sum[line if A.place_sum.shape[0] > 1 else 0]
        for place in range(A.size):
            j = A.size - 1 - place if backwards else place
            here = u[x + j]
            r = g[x + j] - own[j if own.size > 1 else 0] * here
            for k in range(A.line_offsets.size):
                r += A.line_weights[k, at] * (u[x + A.line_offsets[k] + j] - here)
            for k in range(A.place_offsets.size):
                r += A.place_weights[k, to, j] * (u[x + A.place_offsets[k] + j] - here)
            u[x + j] = here + omega * r / (first + rest[j if rest.size > 1 else 0])


@parallel
def add(u, r, offsets, weights, starts, size, strips):
    """u += B r, B a constant stencil: distances in the flat array and weights."""
    lines = starts.size
    for strip in prange(strips):
        for line in range(strip * lines // strips, (strip + 1) * lines // strips):
            x = np.uint64(starts[line])
            for k in range(offsets.size):
                y, w = np.uint64(starts[line] + offsets[k]), weights[k]
                for j in range(np.uint64(size)):
                    u[x + j] += w * r[y + j]


@parallel
def gather(values, out, lines, line_weights, places, place_weights, starts, added, strips):
    """A transfer: out = T values, or out += T values where `added`; flat arrays.

    T is a product. `lines` (terms, lines) says where the lines begin that a line of `out` is
    combined from, `line_weights` how; `places` (terms, size) says which places of a line a place
    of `out` is combined from.
    """
    count, size = starts.size, places.shape[1]
    length = 1 + places.max()
    for strip in prange(strips):
        row = np.empty(length, values.dtype)
        for line in range(strip * count // strips, (strip + 1) * count // strips):
            row[:] = 0
            for m in range(lines.shape[0]):
                w = line_weights[m, line]
                if w != 0:
                    y = np.uint64(lines[m, line])
                    for j in range(np.uint64(length)):
                        row[j] += w * values[y + j]
            x = starts[line]
            to = out[x : x + size]
            if not added:
                to[:] = 0
            for m in range(places.shape[0]):
                at, w_at = places[m], place_weights[m]
                for j in range(size):
                    to[j] += w_at[j] * row[at[j]]
