"""Red-black smoothing in 3D, fused with what comes before and after it: one pass over memory.

As in plane_fused.py, with planes in place of rows, and tricubic interpolation; wave.py has the wave
front that runs down the planes.

A plane of n1 rows with n2 = 2h + 1 nodes each is taken as one line, node (j, l) being number
j n2 + l. As n2 is odd, red and black nodes take turns along the whole line, and the neighbours of
the nodes of one half stand at fixed distances in the other:

::

                    back                even[k]           odd[k]
                     |        left      odd[k - 1]        even[k]
             left -- x -- right  right  odd[k]            even[k + 1]
                     |        front     odd[k - h - 1]    even[k - h]
                   front      back      odd[k + h]        even[k + h + 1]

and above and below in the same half of the planes next to it. So one loop over k does all stages,
and the residual of plane i - 3 is computed from planes i - 4, i - 3 and i - 2. The loop runs over
rows' ends, and the border nodes it spoils are set to zero again.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mgcore.kernels.common import second_difference, squares
from mgcore.kernels.compilation import inlined, parallel, serial, unsigned
from mgcore.kernels.halves import (
    AHEAD,
    CORRECTED,
    GIVEN,
    NEAR,
    NORM,
    NOTHING,
    RESTRICTION,
    at,
    blend,
    copy,
    expand,
    fill,
    first_line,
    half_size,
    keep_borders,
    scratch,
    split,
)
from mgcore.kernels.vectors import lanes, load, spread, store
from mgcore.kernels.wave import Lines, ask, coloured, separated, work_at, write

__all__ = ["restrict", "sweep", "sweep_strip", "workspace"]

# Slots of a strip: rings of planes of u and g; sums of the residual of two planes and of three; a
# coarse plane and a row for interpolation; the end of a plane; the seven planes around the strip's
# upper border as they were.
_U, _G, _TWO, _THREE, _BETWEEN, _ROW, _TAIL, _OLD, _SLOTS = 0, 5, 8, 9, 10, 11, 12, 13, 20
# A plane is taken in parts of about this many bytes of a half, where it enters part by part.
_PART = 16384

# Constants, of NumPy's types like those of halves.py.
_EVEN, _ODD = np.int64(0), np.int64(1)


class Strip(NamedTuple):
    """A strip of planes, its scratch S with `half` elements between halves of planes, u and g.

    A plane has 2 `pairs` + 1 rows of 2 h + 1 nodes. Where `far`, u and g come from memory, and are
    to be asked for in time.
    """

    S: np.ndarray
    u: np.ndarray
    g: np.ndarray
    half: np.int64
    pairs: np.int64
    h: np.int64
    lines: Lines
    far: np.bool_
    omega: np.floating
    a0: np.floating
    a1: np.floating
    a2: np.floating


class Near(NamedTuple):
    """Where half a plane lies in scratch, and its neighbours in the other half of the plane."""

    here: np.uint64
    left: np.uint64
    right: np.uint64
    front: np.uint64
    back: np.uint64


class Front(NamedTuple):
    """Where all that the wave front touches lies, for planes whose half c is relaxed.

    In memory planes i and i - 2 of u and i - 1 of g; all else in scratch. `below` is the plane that
    enters, `above` the one before those of `residual`.
    """

    from_u: np.uint64
    from_g: np.uint64
    to_u: np.uint64
    even: np.uint64
    odd: np.uint64
    below: np.uint64
    red: Near
    black: Near
    residual: Near
    above: np.uint64
    g_red: np.uint64
    g_black: np.uint64
    g_p: np.uint64
    g_q: np.uint64
    reds: np.uint64
    two: np.uint64
    three: np.uint64
    tail: np.uint64


class Weights(NamedTuple):
    """A, its diagonal d, and omega / d, each in all lanes of a vector."""

    a0: NamedTuple
    a1: NamedTuple
    a2: NamedTuple
    d: NamedTuple
    w: NamedTuple


def workspace(shape, strips, dtype):
    """Scratch for `strips` strips of a grid of `shape` nodes."""
    return scratch(shape[1] * shape[2], _SLOTS, strips, dtype)


# --- where things lie ---------------------------------------------------------------------------


@inlined
def near(half, h, i, c):
    """Half c of plane i of u, and its neighbours."""
    other = at(_U + i % 5, 1 - c, half) + c
    return Near(
        unsigned(at(_U + i % 5, c, half)), unsigned(other - 1), unsigned(other),
        unsigned(other - 1 - h), unsigned(other + h),
    )  # fmt: skip


@inlined
def front_of(half, pairs, h, i, c):
    """The wave front when plane i enters."""
    r, p, q, nodes = i - 1, i - 2, i - 3, (2 * pairs + 1) * (2 * h + 1)
    return Front(
        unsigned(i * nodes), unsigned(r * nodes), unsigned(p * nodes),
        unsigned(at(_U + i % 5, 0, half)), unsigned(at(_U + i % 5, 1, half)),
        unsigned(at(_U + i % 5, c, half)),
        near(half, h, r, c), near(half, h, p, c), near(half, h, q, c),
        unsigned(at(_U + (q - 1) % 5, c, half)),
        unsigned(at(_G + r % 3, c, half)), unsigned(at(_G + r % 3, 1 - c, half)),
        unsigned(at(_G + p % 3, c, half)), unsigned(at(_G + q % 3, c, half)),
        unsigned(at(_U + p % 5, 1 - c, half)),
        unsigned(at(_TWO, c, half)), unsigned(at(_THREE, c, half)), unsigned(at(_TAIL, 0, half)),
    )  # fmt: skip


@inlined
def weights_of(strip):
    """The weights of A and of relaxation."""
    S, a0, a1, a2 = strip.S, strip.a0, strip.a1, strip.a2
    d = a0 + a0 + a1 + a1 + a2 + a2
    return Weights(
        spread(S, a0), spread(S, a1), spread(S, a2), spread(S, d), spread(S, strip.omega / d)
    )


# --- stages, for the vector of nodes at k of a plane --------------------------------------------


@inlined
def enter(S, u, front, k, filled):
    """u from memory, or zero."""
    x = y = spread(S, 0)
    if filled:
        x, y = separated(S, u, front.from_u + k + k)
    store(S, front.even + k, x)
    store(S, front.odd + k, y)


@inlined
def defect(S, w, near, k, g, u, above, below):
    """g - A u."""
    rows = second_difference(load(S, near.front + k), u, load(S, near.back + k))
    columns = second_difference(load(S, near.left + k), u, load(S, near.right + k))
    return g + w.a2 * columns + w.a1 * rows + w.a0 * second_difference(above, u, below)


@inlined
def red(S, all_g, front, w, k, c, u, above, sink):
    """Red nodes, relaxed; and g for the stages to come."""
    g, other = coloured(S, all_g, front.from_g + k + k, c)
    store(S, front.g_black + k, other)
    if sink != NOTHING:
        store(S, front.g_red + k, g)
    u = u + w.w * defect(S, w, front.red, k, g, u, above, load(S, front.below + k))
    store(S, front.red.here + k, u)
    return u


@inlined
def black(S, front, w, k, u, above, below, sink):
    """Black nodes, relaxed, and what is left of their residual: their neighbours change no more."""
    r = defect(S, w, front.black, k, load(S, front.g_p + k), u, above, below)
    relaxed = u + w.w * r
    if sink != NOTHING:
        store(S, front.black.here + k, relaxed)
    return relaxed, r - w.d * (relaxed - u)


@inlined
def write_plane(S, u, front, k, c, black, size):
    """Black nodes and red ones to memory, but nothing beyond the `size` nodes of a plane."""
    k2, two = k + k, lanes(S) + lanes(S)
    reds = load(S, front.reds + k)
    if k2 + two <= size:
        write(S, u, front.to_u + k2, c, black, reds)
    else:
        write(S, S, front.tail, c, black, reds)
        copy(S, front.tail, u, front.to_u + k2, size - k2)


@inlined
def residual(S, front, w, k, u, below):
    """The residual of red nodes after black ones around them were relaxed."""
    above, g = load(S, front.above + k), load(S, front.g_q + k)
    return defect(S, w, front.residual, k, g, u, above, below)


@inlined
def add_planes(S, front, k, c, red, black):
    """Weights 1 2 1 across the planes 2 I - 1, 2 I, 2 I + 1.

    Here are red nodes of plane i - 3 and black ones of plane i - 2, the one above the other: odd
    ones if plane i - 3 is odd, even ones if plane i - 2 is odd.
    """
    if c == 1:
        store(S, front.three + k, load(S, front.two + k) + red)
        store(S, front.two + k, red + (black + black))
    else:
        store(S, front.three + k, load(S, front.two + k) + (red + red) + black)
        store(S, front.two + k, black)


# --- the wave front -----------------------------------------------------------------------------


@inlined
def stages(strip, work, entered, c, lo, hi, sink):
    """All stages, for lo <= k < hi in whole vectors."""
    S, u, g, step = strip.S, strip.u, strip.g, lanes(strip.S)
    front, w = front_of(strip.half, strip.pairs, strip.h, work.i, c), weights_of(strip)
    size, ahead = unsigned(2 * strip.pairs * (2 * strip.h + 1)), unsigned(AHEAD // S.itemsize)
    for k in range(unsigned(lo), unsigned(hi), step):
        if strip.far:
            ask(S, u, front.from_u + k + k + ahead)
            ask(S, g, front.from_g + k + k + ahead)
        if not entered:
            enter(S, u, front, k, work.filled)
        u1, u2 = load(S, front.red.here + k), load(S, front.black.here + k)
        u3, r1, r2 = load(S, front.residual.here + k), spread(S, 0), spread(S, 0)
        if work.red:
            u1 = red(S, g, front, w, k, c, u1, u2, sink)
        if work.black:
            u2, r2 = black(S, front, w, k, u2, u3, u1, sink)
            if work.written:
                write_plane(S, u, front, k, c, u2, size)
        if work.residual:
            r1 = residual(S, front, w, k, u3, u2)
        if sink == RESTRICTION:
            add_planes(S, front, k, c, r1, r2)
        elif sink == NORM:
            store(S, front.two + k, r1)
            store(S, front.three + k, r2)


@serial
def advance(strip, work, entered, lo, hi, sink):
    """The wave front's step to plane i, for lo <= k < hi in whole vectors.

    Unless the plane has `entered`, it does so from memory, or as zero.
    """
    # A copy of the loop for each sink, and for odd and even planes.
    even = work.i % 2 == 1
    if even and sink == NOTHING:
        stages(strip, work, entered, _EVEN, lo, hi, NOTHING)
    elif sink == NOTHING:
        stages(strip, work, entered, _ODD, lo, hi, NOTHING)
    elif even and sink == RESTRICTION:
        stages(strip, work, entered, _EVEN, lo, hi, RESTRICTION)
    elif sink == RESTRICTION:
        stages(strip, work, entered, _ODD, lo, hi, RESTRICTION)
    elif even:
        stages(strip, work, entered, _EVEN, lo, hi, NORM)
    else:
        stages(strip, work, entered, _ODD, lo, hi, NORM)


@serial
def clear_border(S, x, h, c, pairs, first, beyond):
    """Zero the border nodes of half c of a plane, at S[x], from k = first on.

    They are the first row, the first and last node of each row, and what was written beyond.
    """
    fill(S, x + first, h + 1 - first, 0)
    for J in range(pairs):
        k = x + J * (2 * h + 1) + c * h
        S[k] = 0
        S[k + h] = 0
    fill(S, x + pairs * (2 * h + 1), beyond, 0)


@inlined
def clear_rows(u, x, n, rows, first):
    """Zero the border nodes of a plane of u, at u[x], but those of the last row."""
    fill(u, x + first, n - first, 0)
    for j in range(1, rows - 1):
        u[x + j * n] = 0
        u[x + j * n + n - 1] = 0


@inlined
def weight(S, half, h, coarse, I):
    """Plane I of `coarse`: full weighting of the added planes.

    ::

        1 2 1      even  odd  even       even[k - h - 1]  odd[k - h - 1]  even[k - h]
        2 4 2      odd   even odd        odd[k - 1]       even[k]         odd[k]
        1 2 1      even  odd  even       even[k + h]      odd[k + h]      even[k + h + 1]

    around node (J, L), k = J n2 + L; divided by 64.
    """
    one, sixty_fourth = unsigned(1), S.dtype.type(1 / 64)
    for J in range(1, coarse.shape[1] - 1):
        even, odd = at(_THREE, 0, half) + J * (2 * h + 1), at(_THREE, 1, half) + J * (2 * h + 1)
        c, e, w = unsigned(even), unsigned(odd), unsigned(odd - 1)
        n, s = unsigned(odd - h - 1), unsigned(odd + h)
        nw, ne = unsigned(even - h - 1), unsigned(even - h)
        sw, se = unsigned(even + h), unsigned(even + h + 1)
        for L in range(one, unsigned(coarse.shape[2] - 1)):
            edges = (S[n + L] + S[s + L]) + (S[w + L] + S[e + L]) + (S[c + L] + S[c + L])
            corners = (S[nw + L] + S[ne + L]) + (S[sw + L] + S[se + L])
            coarse[I, J, L] = sixty_fourth * (edges + edges + corners)


@serial
def finish(strip, work, first, coarse, sink):
    """Zero the border nodes that the step to plane i spoiled; what the sink has from whole planes.

    The sum of squares is returned, for NORM. Nothing was spoiled before k = first.
    """
    S, half, pairs, h = strip.S, strip.half, strip.pairs, strip.h
    i, c, n, a, b, total = work.i, (work.i - 1) % 2, 2 * h + 1, strip.lines.a, strip.lines.b, 0.0
    p, q, beyond = i - 2, i - 3, np.int64(lanes(S))
    for plane in range(p, i):
        clear_border(S, at(_U + plane % 5, c, half), h, c, pairs, first, beyond)
    if work.written:
        clear_rows(strip.u, p * (2 * pairs + 1) * n, n, 2 * pairs + 1, 2 * first)
    if work.restricted:
        weight(S, half, h, coarse, q // 2)
    if sink == NORM:
        for slot, plane in ((_TWO, q), (_THREE, p)):
            x = at(slot, c, half)
            clear_border(S, x, h, c, pairs, first, beyond)
            if a <= plane < b:
                total += squares(S, x + first, pairs * n - first)
    return total


# --- rows that enter from another source than u in memory, or from where they were kept ---------


@inlined
def row_halves(j, h, even, odd):
    """Where the even and the odd nodes of row j of a plane begin, given the plane's halves."""
    start = j * (2 * h + 1)
    if j % 2 == 0:
        return even + start // 2, odd + start // 2
    return odd + start // 2, even + start // 2 + 1


@inlined
def row_corrected(line, j, e, I, K, J, M, S, even, odd, n):
    """A row line[j : j + 2 n] + P e between the planes I and K and the rows J and M of e."""
    j0, j1, even, odd = unsigned(j), unsigned(j + 1), unsigned(even), unsigned(odd)
    one, quarter, eighth = unsigned(1), S.dtype.type(1 / 4), S.dtype.type(1 / 8)
    for L in range(unsigned(n)):
        here = (e[I, J, L] + e[I, M, L]) + (e[K, J, L] + e[K, M, L])
        N = L + one
        behind = (e[I, J, N] + e[I, M, N]) + (e[K, J, N] + e[K, M, N])
        S[even + L] = line[j0 + L + L] + quarter * here
        S[odd + L] = line[j1 + L + L] + eighth * (here + behind)


@serial
def enter_rows(strip, line, start, e, source, i, lo, hi):
    """The pairs of rows lo <= J < hi of plane i from the source into the ring.

    If the source is u, plane i begins at line[start].
    """
    S, half, h, n = strip.S, strip.half, strip.h, 2 * strip.h + 1
    even, odd = at(_U + i % 5, 0, half), at(_U + i % 5, 1, half)
    if source == GIVEN:
        split(line, start + 2 * lo * n, S, even + lo * n, odd + lo * n, (hi - lo) * n)
    elif source == CORRECTED:
        I, K = i // 2, (i + 1) // 2
        for j in range(2 * lo, 2 * hi):
            x, y = row_halves(j, h, even, odd)
            row_corrected(line, start + j * n, e, I, K, j // 2, (j + 1) // 2, S, x, y, h)
    else:
        plane, size = at(_BETWEEN, 0, half), e.shape[1] * e.shape[2]
        if i % 2 == 0:
            rows_interpolated(strip, e.reshape(-1), i // 2 * size, even, odd, lo, hi)
        else:
            if lo == 0:
                blend(e.reshape(-1), 0, i // 2, e.shape[0], size, S, plane, size)
            rows_interpolated(strip, S, plane, even, odd, lo, hi)


@serial
def rows_interpolated(strip, line, start, even, odd, lo, hi):
    """Cubic interpolation within a plane that lies between those of e, at line[start]."""
    S, h, rows, n = strip.S, strip.h, strip.pairs + 1, strip.h + 1
    between = at(_ROW, 0, strip.half)
    for j in range(2 * lo, 2 * hi):
        x, y = row_halves(j, h, even, odd)
        if j % 2 == 0:
            expand(line, start + j // 2 * n, n, S, x, y, 0, h)
        else:
            blend(line, start, j // 2, rows, n, S, between, n)
            expand(S, between, n, S, x, y, 0, h)
    if lo == 0:  # the first row is border
        fill(S, even, h + 1, 0)
        fill(S, odd, h, 0)


# --- passes -------------------------------------------------------------------------------------


@inlined
def strip_of(u, g, omega, a0, a1, a2, S, strip, strips):
    """The record of a strip with scratch S."""
    (planes, rows, n), far = u.shape, u.size * u.itemsize > NEAR
    last = planes - 1
    a = first_line(strip, strips, planes)
    b = first_line(strip + 1, strips, planes) if strip + 1 < strips else last
    lines, half = Lines(a, b, np.int64(1), last, last // 2), half_size(rows * n)
    u, g = u.reshape(-1), g.reshape(-1)
    return Strip(S, u, g, half, rows // 2, n // 2, lines, far, omega, a0, a1, a2)


@serial
def sweep_strip(u, g, source, e, sink, coarse, sums, omega, a0, a1, a2, space, strip, strips):
    """The pass over one strip of planes, part by part.

    Planes that were kept are in its scratch, and in `below`, that of the next strip.
    """
    S, below = space[strip], space[min(strip + 1, strips - 1)]
    task = strip_of(u, g, omega, a0, a1, a2, S, strip, strips)
    half, pairs, n, (a, b, _, last, _) = task.half, task.pairs, u.shape[2], task.lines
    width, part, total = np.int64(lanes(S)), max(_PART // u.itemsize // n, 1), 0.0
    first = (task.h + 1) // width * width  # where the first inner row begins, or a little before
    for i in range(max(a - 3, 0), min(b + 3, last) + 4):
        work, lo = work_at(i, task.lines, source, sink), first
        line, start = task.u, i * u.shape[1] * n
        if i < a:
            line, start = S, at(_OLD + i - a + 3, 0, half)
        elif i >= b:
            line, start = below, at(_OLD + i - b + 3, 0, half)
        entered = work.filled and (source != GIVEN or i < a or i >= b)
        for J in range(0, pairs, part):
            end = min(J + part, pairs)
            if entered:
                enter_rows(task, line, start, e, source, i, J, end)
            hi = end * n if end == pairs else max(end * n // width * width, lo)
            advance(task, work, entered, lo, hi, sink)
            lo = hi
        total += finish(task, work, first, coarse, sink)
    if sink == NORM:
        sums[strip] = total


@parallel
def sweep(u, g, source, e, sink, coarse, sums, omega, a0, a1, a2, space, strips):
    """u = one red-black step on the source; by `sink`, coarse = R r or the sum of `sums` |r|^2.

    `e` is read where the source asks for it, `coarse` and `sums` are written where the sink does.
    """
    if source in (GIVEN, CORRECTED):
        keep_borders(u.reshape(-1), u.shape[0], u.shape[1] * u.shape[2], space, strips, _OLD)
    for strip in prange(strips):
        sweep_strip(
            u, g, source, e, sink, coarse, sums, omega, a0, a1, a2, space, np.int64(strip), strips
        )


@parallel
def restrict(r, coarse, space, strips):
    """coarse = full weighting of r, a row of a coarse plane at a time."""
    sixty_fourth = r.dtype.type(1 / 64)
    planes, n = coarse.shape[0] - 2, r.shape[2]
    for strip in prange(strips):
        total = space[strip]
        for I in range(1 + strip * planes // strips, 1 + (strip + 1) * planes // strips):
            above, here, below = r[2 * I - 1], r[2 * I], r[2 * I + 1]
            for J in range(1, coarse.shape[1] - 1):
                out = coarse[I, J]
                a0, a1, a2 = above[2 * J - 1], above[2 * J], above[2 * J + 1]
                h0, h1, h2 = here[2 * J - 1], here[2 * J], here[2 * J + 1]
                b0, b1, b2 = below[2 * J - 1], below[2 * J], below[2 * J + 1]
                for l in range(n):
                    front, back = a0[l] + h0[l] + h0[l] + b0[l], a2[l] + h2[l] + h2[l] + b2[l]
                    row = a1[l] + h1[l] + h1[l] + b1[l]
                    total[l] = front + row + row + back
                for L in range(1, out.size - 1):
                    l = 2 * L
                    out[L] = sixty_fourth * (total[l - 1] + total[l] + total[l] + total[l + 1])
        fill(total, 0, n, 0)
