"""Red-black smoothing in 2D, fused with what comes before and after it: one pass over memory.

The source of a pass is u, or zero, or u + P e (bilinear), or the bicubic interpolation of e; then
comes one red-black step; on the way out the residual may be restricted by full weighting or its
norm be taken. So ``descend`` and ``ascend`` of a cycle are one pass each, and so are a plain step
and full multigrid's arrival on a new grid. All give what the kernels of plane.py give one after the
other, to rounding.

A wave front runs down the rows. When row i enters,

::

    row i      enters      u_i from its source, even and odd columns apart
    row i - 1  red         from rows i - 2, i - 1, i
    row i - 2  black       from rows i - 3, i - 2, i - 1; then written to memory
    row i - 3  residual    and the coarse row that rows i - 5, i - 4, i - 3 complete

so each row of u and g is read from memory once and u is written once; what lies between stays in
the cache, in rings of a few rows. Red nodes lie in the even columns of even rows and in the odd
columns of odd rows, so all stages of one step work on columns of the same parity:

::

    column parity c          E O E O E      c = 0: left and right of even[k] are odd[k - 1], odd[k]
    of row i - 1 (red),      O E O E O      c = 1: of odd[k] they are even[k], even[k + 1]
    i - 2 (black), i - 3     E O E O E      above and below lie in the same half

Each thread owns a strip of rows. The rows around a border between strips are copied first, and both
sides compute the few rows there that they need from each other, so strips do not wait for one
another.
"""

import numpy as np
from numba import prange

from mgcore.kernels.common import cubic, squares
from mgcore.kernels.compilation import parallel, serial
from mgcore.kernels.halves import (
    CORRECTED,
    GIVEN,
    NEAR,
    NORM,
    RESTRICTION,
    ZERO,
    at,
    expand,
    fill,
    first_line,
    half_size,
    keep_borders,
    merge,
    scratch,
    split,
    touch,
)

__all__ = ["restrict", "sweep", "sweep_strip", "workspace"]

# Slots of a strip: rings of rows of u, g and the residual, a row for interpolation, and the seven
# rows around the strip's upper border as they were.
_U, _G, _R, _BETWEEN, _OLD, _SLOTS = 0, 5, 9, 13, 14, 21
# Stages work on this many bytes of a half at a time, and stay this many nodes behind the entrance.
_CHUNK, _BEHIND = 2048, 16


def workspace(shape, strips, dtype):
    """Scratch for `strips` strips of a grid of `shape` nodes."""
    return scratch(shape[1], _SLOTS, strips, dtype)


@serial
def stencil(half, i, c, lo):
    """Where u[lo] and its neighbours, and g[lo], lie for the columns of parity c in row i."""
    x, other = at(_U + i % 5, c, half) + lo, at(_U + i % 5, 1 - c, half) + lo
    above, below = at(_U + (i - 1) % 5, c, half) + lo, at(_U + (i + 1) % 5, c, half) + lo
    g = at(_G + i % 4, c, half) + lo
    return (
        np.uint64(x), np.uint64(other + c - 1), np.uint64(other + c),
        np.uint64(above), np.uint64(below), np.uint64(g),
    )  # fmt: skip


@serial
def relax(S, half, i, c, lo, hi, omega, a0, a1):
    """u += omega D^-1 (g - A u) at the columns of parity c in row i."""
    x, left, right, above, below, g = stencil(half, i, c, lo)
    d = a0 + a0 + a1 + a1
    w = omega / d
    for k in range(np.uint64(hi - lo)):
        Au = d * S[x + k] - a0 * (S[above + k] + S[below + k]) - a1 * (S[left + k] + S[right + k])
        S[x + k] += w * (S[g + k] - Au)


@serial
def relax_last(S, half, i, c, lo, hi, omega, a0, a1):
    """The same; as the neighbours will not change, 1 - omega of the residual is left, and kept."""
    x, left, right, above, below, g = stencil(half, i, c, lo)
    r = np.uint64(at(_R + i % 4, c, half) + lo)
    d = a0 + a0 + a1 + a1
    w = omega / d
    rest = S.dtype.type(1) - omega
    for k in range(np.uint64(hi - lo)):
        Au = d * S[x + k] - a0 * (S[above + k] + S[below + k]) - a1 * (S[left + k] + S[right + k])
        S[r + k] = rest * (S[g + k] - Au)
        S[x + k] += w * (S[g + k] - Au)


@serial
def defect(S, half, i, c, lo, hi, a0, a1):
    """r = g - A u at the columns of parity c in row i."""
    x, left, right, above, below, g = stencil(half, i, c, lo)
    r = np.uint64(at(_R + i % 4, c, half) + lo)
    d = a0 + a0 + a1 + a1
    for k in range(np.uint64(hi - lo)):
        Au = d * S[x + k] - a0 * (S[above + k] + S[below + k]) - a1 * (S[left + k] + S[right + k])
        S[r + k] = S[g + k] - Au


@serial
def weight(S, half, i, coarse, I, lo, hi):
    """Row I of `coarse`, lo <= J < hi: full weighting of the residual around row i.

    ::

        1 2 1      row[1], left    row[0]    row[1]
        2 4 2      of rows i - 1, i and i + 1: even[J] is above node J, odd[J - 1] and odd[J]
        1 2 1      to its left and right; divided by 16
    """
    n, ne = np.uint64(at(_R + (i - 1) % 4, 0, half)), np.uint64(at(_R + (i - 1) % 4, 1, half))
    c, e = np.uint64(at(_R + i % 4, 0, half)), np.uint64(at(_R + i % 4, 1, half))
    s, se = np.uint64(at(_R + (i + 1) % 4, 0, half)), np.uint64(at(_R + (i + 1) % 4, 1, half))
    one, sixteenth = np.uint64(1), S.dtype.type(1 / 16)
    nw, w, sw = ne - one, e - one, se - one
    for J in range(np.uint64(lo), np.uint64(hi)):
        edges = (S[n + J] + S[s + J]) + (S[w + J] + S[e + J]) + (S[c + J] + S[c + J])
        corners = (S[nw + J] + S[ne + J]) + (S[sw + J] + S[se + J])
        coarse[I, J] = sixteenth * (edges + edges + corners)


@serial
def split_corrected(line, j, e, I, K, J, S, even, odd, n):
    """Even and odd nodes of line[j : j + 2 n] + P e between the coarse rows I and K, from J on.

    On a coarse row I = K.
    """
    j0, j1, even, odd = np.uint64(j), np.uint64(j + 1), np.uint64(even), np.uint64(odd)
    J, N = np.uint64(J), np.uint64(J + 1)
    half, quarter = S.dtype.type(1 / 2), S.dtype.type(1 / 4)
    for k in range(np.uint64(n)):
        here = e[I, J + k] + e[K, J + k]
        behind = e[I, N + k] + e[K, N + k]
        S[even + k] = line[j0 + k + k] + half * here
        S[odd + k] = line[j1 + k + k] + quarter * (here + behind)


@serial
def blend(e, I, S, x):
    """The row halfway between the coarse rows I and I + 1, cubic."""
    p, q, s, t, wp, wq, ws, wt = cubic(I, e.shape[0])
    real = S.dtype.type
    cp, cq, cs, ct = real(wp / 16), real(wq / 16), real(ws / 16), real(wt / 16)
    x = np.uint64(x)
    for J in range(np.uint64(e.shape[1])):
        S[x + J] = cp * e[p, J] + cq * e[q, J] + cs * e[s, J] + ct * e[t, J]


@serial
def enter(line, j, source, e, S, half, i, lo, hi):
    """The pairs of nodes lo <= k < hi of row i, from the source into the ring.

    If the source is u, row i lies in line[j : j + n].
    """
    even, odd = at(_U + i % 5, 0, half), at(_U + i % 5, 1, half)
    if source == GIVEN:
        split(line, j + 2 * lo, S, even + lo, odd + lo, hi - lo)
    elif source == CORRECTED:
        I, K = i // 2, (i + 1) // 2
        split_corrected(line, j + 2 * lo, e, I, K, lo, S, even + lo, odd + lo, hi - lo)
    elif source == ZERO:
        fill(S, even + lo, hi - lo, 0)
        fill(S, odd + lo, hi - lo, 0)
    elif i % 2 == 0:
        expand(e.reshape(-1), i // 2 * e.shape[1], e.shape[1], S, even, odd, lo, hi)
    else:
        row = at(_BETWEEN, 0, half)
        if lo == 0:
            blend(e, i // 2, S, row)
        expand(S, row, e.shape[1], S, even, odd, lo, hi)


@serial
def sweep_strip(u, g, source, e, sink, coarse, sums, omega, a0, a1, space, strip, strips):
    """The pass over one strip."""
    n, last, m = u.shape[1], u.shape[0] - 1, u.shape[1] // 2
    half = half_size(n)
    a = first_line(strip, strips, u.shape[0])
    b = first_line(strip + 1, strips, u.shape[0]) if strip + 1 < strips else last
    first, final = max(a - 3, 0), min(b + 3, last)  # the rows that enter
    S, below, u_, g_ = space[strip], space[min(strip + 1, strips - 1)], u.reshape(-1), g.reshape(-1)
    far = u.size * u.itemsize > NEAR
    step = _CHUNK // u.itemsize
    for i in range(first, final + 4):
        r, p, q = i - 1, i - 2, i - 3
        red = max(a - 2, 1) <= r < min(b + 3, last)
        black = max(a - 1, 1) <= p < min(b + 2, last)
        residual = (sink == RESTRICTION and a <= q < min(b + 1, last)) or (
            sink == NORM and a <= q < b
        )
        c = r % 2
        total = 0.0
        for k in range(0, m, step):
            end = min(k + step, m)
            lo, hi = max(k - _BEHIND, 0), (m if end == m else end - _BEHIND)
            ahead, quarter = min(i + 2, last) * n + 2 * k, (end - k) // 2 if far else 0
            if i <= final:
                if i == 0 or i == last:
                    enter(u_, 0, ZERO, e, S, half, i, k, end)
                elif i < a:
                    enter(S, at(_OLD + i - a + 3, 0, half), source, e, S, half, i, k, end)
                elif i >= b:
                    enter(below, at(_OLD + i - b + 3, 0, half), source, e, S, half, i, k, end)
                else:
                    enter(u_, i * n, source, e, S, half, i, k, end)
                if 0 < i < last:
                    even, odd = at(_G + i % 4, 0, half) + k, at(_G + i % 4, 1, half) + k
                    split(g_, i * n + 2 * k, S, even, odd, end - k)
            touch(u_, g_, ahead, ahead + quarter)
            if red:
                relax(S, half, r, c, lo, hi, omega, a0, a1)
                S[at(_U + r % 5, 0, half)] = 0  # a border node
            touch(u_, g_, ahead + quarter, ahead + 2 * quarter)
            if black:
                if sink == RESTRICTION:
                    relax_last(S, half, p, c, lo, hi, omega, a0, a1)
                else:
                    relax(S, half, p, c, lo, hi, omega, a0, a1)
                S[at(_U + p % 5, 0, half)] = 0
            touch(u_, g_, ahead + 2 * quarter, ahead + 3 * quarter)
            if a <= p < b:
                even, odd = at(_U + p % 5, 0, half) + lo, at(_U + p % 5, 1, half) + lo
                merge(S, even, odd, u_, p * n + 2 * lo, hi - lo)
            touch(u_, g_, ahead + 3 * quarter, ahead + 4 * quarter)
            if residual:
                defect(S, half, q, c, lo, hi, a0, a1)
                if sink == NORM:
                    defect(S, half, q, 1 - c, lo, hi, a0, a1)
                    inner = max(lo, 1)
                    total += squares(S, at(_R + q % 4, 0, half) + inner, hi - inner)
                    total += squares(S, at(_R + q % 4, 1, half) + lo, hi - lo)
                elif q % 2 == 1 and q > a:
                    weight(S, half, q - 1, coarse, q // 2, max(lo, 1), hi)
        if residual and sink == NORM:
            sums[q] = total


@parallel
def sweep(u, g, source, e, sink, coarse, sums, omega, a0, a1, space, strips):
    """u = one red-black step on the source; by `sink`, coarse = R r or sums[i] = |r_i|^2.

    `e` is read where the source asks for it, `coarse` and `sums` are written where the sink does.
    """
    if source in (GIVEN, CORRECTED):
        keep_borders(u.reshape(-1), u.shape[0], u.shape[1], space, strips, _OLD)
    for strip in prange(strips):
        sweep_strip(
            u, g, source, e, sink, coarse, sums, omega, a0, a1, space, np.int64(strip), strips
        )


@parallel
def restrict(r, coarse, space, strips):
    """coarse = full weighting of r, row by row."""
    sixteenth = r.dtype.type(1 / 16)
    count = coarse.shape[0] - 2
    for strip in prange(strips):
        total = space[strip]
        for I in range(1 + strip * count // strips, 1 + (strip + 1) * count // strips):
            above, row, below, out = r[2 * I - 1], r[2 * I], r[2 * I + 1], coarse[I]
            for j in range(row.size):
                total[j] = above[j] + row[j] + row[j] + below[j]
            for J in range(1, out.size - 1):
                j = 2 * J
                out[J] = sixteenth * (total[j - 1] + total[j] + total[j] + total[j + 1])
        fill(total, 0, r.shape[1], 0)
