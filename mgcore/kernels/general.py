"""Passes of any stencil over all unknowns, in one, two and three dimensions.

What they do to half a slab is in runs.py, where things lie in slab.py. A pass goes through the
slabs once; stages that need their neighbours' follow one slab behind, while these are in the cache.
"""

from math import sqrt

import numpy as np
from numba import prange

from mgcore.kernels.compilation import allocating, inlined, parallel, serial, unsigned
from mgcore.kernels.runs import (
    CHUNK,
    NORM,
    NOTHING,
    RESIDUAL,
    relax,
    residual,
    scaled,
)
from mgcore.kernels.slab import begin, clear_slab, close_ends, close_slab, position, table

__all__ = ["coloured", "convolution", "defect", "invert", "jacobi", "norm", "sequential"]

_NO, _YES = np.bool_(False), np.bool_(True)

# Slots for the r of slabs in turn; behind them those of a strip's first two slabs and last two.
_RING = 8


@allocating
def _parts(walk, strip, strips, stages):
    """First slab of a strip and last + 1, less those where a stage waits for another strip."""
    parts = np.empty((stages, 2), np.int64)
    first, last = strip * walk.slabs // strips, (strip + 1) * walk.slabs // strips
    for stage in range(stages):
        low = first + (stage if strip > 0 or walk.first else 0)
        high = last - (stage if strip + 1 < strips or walk.first else 0)
        parts[stage, 0] = min(low, last)
        parts[stage, 1] = max(high, parts[stage, 0])
    return parts


@inlined
def _stage(u, g, r, A, walk, slab, stage, omega, halves, masks, apart, sink, scale, total):
    """What one stage of a coloured step does to a slab: one colour, or what comes out."""
    last = len(halves) - 1
    if stage <= last:
        c = halves[stage, slab]
        if c < 0:
            return 0.0
        known = sink if stage == last and apart else NOTHING
        return relax(u, g, r, A, walk, slab, c, omega, masks, stage, known, scale, total)
    sums = 0.0
    for c in range(2):  # what was relaxed last has said so already
        if halves[last, slab] != c or not apart:
            sums += residual(u, g, r, A, walk, slab, c, sink, scale, total)
    if sink == RESIDUAL:
        clear_slab(r, walk, slab)
    return sums


@parallel
def coloured(u, g, r, A, walk, omega, halves, masks, apart, sink, scale, strips):
    """u += omega D^-1 (g - A u), colour after colour, in one pass over memory; a norm is returned.

    ::

        slab    t - 2      t - 1     t
                residual   black     red

    `halves` (colours, slabs) says which half of a slab has the colour, -1 for none; where that is
    not all of the half, `masks` (colours, pitch) is zero elsewhere, and else empty. Where points of
    the last colour fill their halves and are no neighbours, they are `apart`. `scale` is what
    the residual of a slab is multiplied with for the norm. Slabs beside another strip, or beside
    the end of a periodic first axis, wait for their neighbours and are done when all strips have
    passed.
    """
    stages = len(halves) + (1 if sink != NOTHING else 0)
    sums = np.zeros(strips)
    for strip in prange(strips):
        total, parts = np.empty(CHUNK, u.dtype), _parts(walk, strip, strips, stages)
        for t in range(parts[0, 0], parts[0, 1] + stages - 1):
            for stage in range(stages):
                if parts[stage, 0] <= t - stage < parts[stage, 1]:
                    sums[strip] += _stage(
                        u, g, r, A, walk, t - stage, stage, omega, halves, masks, apart, sink,
                        scale, total,
                    )  # fmt: skip
    close_ends(u, walk)
    total = np.empty(CHUNK, u.dtype)
    for stage in range(1, stages):
        for strip in range(strips):
            parts = _parts(walk, strip, strips, stages)
            for slab in range(parts[0, 0], parts[0, 1]):
                if not parts[stage, 0] <= slab < parts[stage, 1]:
                    sums[strip] += _stage(
                        u, g, r, A, walk, slab, stage, omega, halves, masks, apart, sink,
                        scale, total,
                    )  # fmt: skip
        close_ends(u, walk)
    return sqrt(sums.sum())


@parallel
def defect(u, g, r, A, walk, scale):
    """r = g - A u."""
    for slab in prange(walk.slabs):
        total = np.empty(CHUNK, u.dtype)
        for c in range(2):
            residual(u, g, r, A, walk, slab, c, RESIDUAL, scale, total)
        clear_slab(r, walk, slab)


@parallel
def norm(u, g, A, walk, scale):
    """||g - A u||_2 of unweighted rows."""
    sums = 0.0
    for slab in prange(walk.slabs):
        total = np.empty(CHUNK, u.dtype)
        for c in range(2):
            sums += residual(u, g, u, A, walk, slab, c, NORM, scale, total)
    return sqrt(sums)


@parallel
def jacobi(u, g, new, A, walk, omega):
    """new = u + omega D^-1 (g - A u)."""
    for slab in prange(walk.slabs):
        total = np.empty(CHUNK, u.dtype)
        for c in range(2):
            scaled(u, g, new, slab, A, walk, slab, c, omega, _YES, total)
        close_slab(new, walk, slab)
    close_ends(new, walk)


@inlined
def _scaled_slab(u, g, S, slot, A, walk, slab, omega, total):
    """The slot of S = omega D^-1 (g - A u) at a slab."""
    for c in range(2):
        scaled(u, g, S, slot, A, walk, slab, c, omega, _NO, total)
    close_slab(S, walk, slot)


@inlined
def _add_kernel(u, x, r, y, n, c, distances, weights):
    """u += K r at a chunk, at u[x] and r[y], nine neighbours at a time."""
    x = unsigned(x)
    for k in range(0, weights.size, 9):
        to, w = distances[c, k : k + 9], weights[k : k + 9]
        a, b, d = unsigned(y + to[0]), unsigned(y + to[1]), unsigned(y + to[2])
        e, f, h = unsigned(y + to[3]), unsigned(y + to[4]), unsigned(y + to[5])
        p, q, s = unsigned(y + to[6]), unsigned(y + to[7]), unsigned(y + to[8])
        wa, wb, wd, we, wf, wh = w[0], w[1], w[2], w[3], w[4], w[5]
        wp, wq, ws = w[6], w[7], w[8]
        for j in range(unsigned(n)):
            first = wa * r[a + j] + wb * r[b + j] + wd * r[d + j]
            second = we * r[e + j] + wf * r[f + j] + wh * r[h + j]
            third = wp * r[p + j] + wq * r[q + j] + ws * r[s + j]
            u[x + j] += first + second + third


@serial
def _convolved_slab(u, slab, S, slot, walk, distances, weights):
    """u += K r at a slab whose r lies in a slot of S, between those beside it."""
    for c in range(2):
        run = walk.odd if c else walk.even
        for at in range(0, run, CHUNK):
            x, y = begin(walk, slab, c) + at, begin(walk, slot, c) + at
            _add_kernel(u, x, S, y, min(CHUNK, run - at), c, distances, weights)
    clear_slab(u, walk, slab)
    close_slab(u, walk, slab)


@inlined
def _copy_slot(S, walk, slot, out, to):
    """Slot `to` of another array = a slot of S, or zeros where that is -1."""
    x, y = unsigned((slot + 1) * walk.pitch), unsigned((to + 1) * walk.pitch)
    for k in range(unsigned(walk.pitch)):
        out[y + k] = S[x + k] if slot >= 0 else 0


@inlined
def _kept(walk, strip, strips, slab):
    """The slot where a strip keeps r of one of its first two or last two slabs."""
    first, last = strip * walk.slabs // strips, (strip + 1) * walk.slabs // strips
    return _RING + (slab - first if slab - first < 2 else slab - last + 4)


@serial
def _convolved_strip(u, g, S, A, walk, omega, distances, weights, parts, total):
    """u += K omega D^-1 (g - A u) at a strip, but for slabs that wait; r there is kept."""
    first, last, slot = parts[0, 0], parts[0, 1], 0
    for t in range(first, last + 1):
        slot += 1
        if slot == _RING:
            _copy_slot(S, walk, _RING - 2, S, 0)
            _copy_slot(S, walk, _RING - 1, S, 1)
            slot = 2
        if t == last:
            _copy_slot(S, walk, -1, S, slot)
        else:
            _scaled_slab(u, g, S, slot, A, walk, t, omega, total)
            if t - first < 2:
                _copy_slot(S, walk, slot, S, _RING + t - first)
            if last - t <= 2:
                _copy_slot(S, walk, slot, S, _RING + t - last + 4)
        if parts[1, 0] <= t - 1 < parts[1, 1]:
            _convolved_slab(u, t - 1, S, slot - 1, walk, distances, weights)


@serial
def _convolved_later(u, space, walk, distances, weights, slab, strips):
    """The same for a slab that waited, from r that strips have kept."""
    S = space[0]
    for k in range(3):
        there = slab - 1 + k
        if walk.first:
            there %= walk.slabs
        if not 0 <= there < walk.slabs:
            _copy_slot(S, walk, -1, S, k)
            continue
        strip = 0
        while (strip + 1) * walk.slabs // strips <= there:
            strip += 1
        _copy_slot(space[strip], walk, _kept(walk, strip, strips, there), S, k)
    _convolved_slab(u, slab, S, 1, walk, distances, weights)


@parallel
def convolution(u, g, A, walk, omega, distances, weights, strips):
    """u += K omega D^-1 (g - A u) in one pass over memory.

    K is a constant stencil: `distances` (2, k) from even and odd places and `weights`, k a multiple
    of nine. What it is applied to, r, is there for a few slabs at a time. Slabs beside another
    strip wait for its r, see :func:`coloured`.
    """
    space = np.zeros((strips, (_RING + 6) * walk.pitch), u.dtype)
    for strip in prange(strips):
        total, parts = np.empty(CHUNK, u.dtype), _parts(walk, strip, strips, 2)
        _convolved_strip(
            u, g, space[strip], A, walk, omega, distances, weights, parts, total,
        )  # fmt: skip
    for strip in range(strips):
        parts = _parts(walk, strip, strips, 2)
        for slab in range(parts[0, 0], parts[0, 1]):
            if not parts[1, 0] <= slab < parts[1, 1]:
                _convolved_later(u, space, walk, distances, weights, slab, strips)
    close_ends(u, walk)


@serial
def sequential(u, g, A, walk, omega, backwards):
    """u += omega D^-1 (g - A u) in place, line after line, point after point."""
    lines = walk.slabs * walk.lines
    for number in range(lines):
        slab, line = divmod(lines - 1 - number if backwards else number, walk.lines)
        for j in range(walk.size):
            place = 2 * walk.start + line * walk.line + (walk.size - 1 - j if backwards else j)
            _relax_place(u, g, A, walk, slab, place, omega)


@serial
def _relax_place(u, g, A, walk, slab, place, omega):
    """u += omega D^-1 (g - A u) at one place of a slab."""
    x, c, at = position(walk, slab, place), place % 2, place // 2 - walk.start
    here, total, count = u[x], g[x], A.strides.size
    for k in range(count - 1):
        w = A.factors[k, slab] if A.plain else _weight(A, k, slab, c, at)
        there = u[x + A.distances[c, k]] if k < count - 2 else u.dtype.type(0)
        total += w * (there - here)
    u[x] = here + omega * _weight(A, count - 1, slab, c, at) * total


@serial
def _weight(A, k, slab, c, at):
    """The weight of coupling k at one place."""
    return A.factors[k, slab] * A.tables[table(A, k, slab, c, at)]


@serial
def invert(A, walk):
    """Fill in the inverse of the diagonal, where it has a table for each slab."""
    tables, last = A.tables, A.strides.size - 1
    for slab in range(walk.slabs):
        for line in range(2 * walk.lines):
            place = 2 * walk.start + line // 2 * walk.line + line % 2
            n, c, at = (walk.size + 1 - line % 2) // 2, place % 2, place // 2 - walk.start
            x = table(A, last, slab, c, at)
            for j in range(unsigned(n)):
                tables[x + j] = 0
            for k in range(last):
                y, factor = table(A, k, slab, c, at), A.factors[k, slab]
                for j in range(unsigned(n)):
                    tables[x + j] += factor * tables[y + j]
            for j in range(unsigned(n)):
                tables[x + j] = 1 / tables[x + j]
