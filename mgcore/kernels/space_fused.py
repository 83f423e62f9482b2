"""Red-black smoothing in 3D, fused with what comes before and after it: one pass over memory.

As in plane_fused.py, with planes in place of rows. When plane i enters from its source (u, zero,
u + P e, or the tricubic interpolation of e),

::

    plane i      enters      u_i, even and odd nodes apart
    plane i - 1  red         from planes i - 2, i - 1, i
    plane i - 2  black       from planes i - 3, i - 2, i - 1; then written to memory
    plane i - 3  residual    and the coarse plane that planes i - 5, i - 4, i - 3 complete

A plane of n1 rows with n2 = 2h + 1 nodes each is taken as one line, node (j, l) being number
j n2 + l. As n2 is odd, red and black nodes take turns along the whole line, and the neighbours of
the nodes of one half stand at fixed distances in the other:

::

                    back                even[k]           odd[k]
                     |        left      odd[k - 1]        even[k]
             left -- x -- right  right  odd[k]            even[k + 1]
                     |        front     odd[k - h - 1]    even[k - h]
                   front      back      odd[k + h]        even[k + h + 1]

and above and below in the same half of the planes next to it. A loop runs over rows' ends, too, and
the border nodes it spoils are set to zero again. Stages work on a few pairs of rows at a time; a
pair is n2 consecutive k.
"""

import numpy as np
from numba import prange

from mgcore.kernels.common import squares
from mgcore.kernels.compilation import parallel, serial
from mgcore.kernels.halves import (
    CORRECTED,
    GIVEN,
    NEAR,
    NORM,
    RESTRICTION,
    ZERO,
    at,
    blend,
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

# Slots of a strip: rings of planes of u, g and the residual, sums of residuals, a coarse plane and
# a row for interpolation, and the seven planes around the strip's upper border as they were.
_U, _G, _R, _SUMS, _BETWEEN, _ROW, _OLD, _SLOTS = 0, 5, 9, 13, 14, 15, 16, 23
# Stages work on about this many bytes of a half at a time.
_CHUNK = 16384


def workspace(shape, strips, dtype):
    """Scratch for `strips` strips of a grid of `shape` nodes."""
    return scratch(shape[1] * shape[2], _SLOTS, strips, dtype)


@serial
def stencil(half, h, i, c, lo):
    """Where u[lo] and its neighbours, and g[lo], lie for half c of plane i."""
    x, other = at(_U + i % 5, c, half) + lo, at(_U + i % 5, 1 - c, half) + lo
    above, below = at(_U + (i - 1) % 5, c, half) + lo, at(_U + (i + 1) % 5, c, half) + lo
    g = at(_G + i % 4, c, half) + lo
    return (
        np.uint64(x), np.uint64(other + c - 1), np.uint64(other + c),
        np.uint64(other + c - 1 - h), np.uint64(other + c + h),
        np.uint64(above), np.uint64(below), np.uint64(g),
    )  # fmt: skip


@serial
def relax(S, half, h, i, c, lo, hi, omega, a0, a1, a2):
    """u += omega D^-1 (g - A u) in half c of plane i."""
    x, left, right, front, back, above, below, g = stencil(half, h, i, c, lo)
    d = a0 + a0 + a1 + a1 + a2 + a2
    w = omega / d
    for k in range(np.uint64(hi - lo)):
        Au = d * S[x + k] - a0 * (S[above + k] + S[below + k])
        Au -= a1 * (S[front + k] + S[back + k]) + a2 * (S[left + k] + S[right + k])
        S[x + k] += w * (S[g + k] - Au)


@serial
def relax_last(S, half, h, i, c, lo, hi, omega, a0, a1, a2):
    """The same; as the neighbours will not change, 1 - omega of the residual is left, and kept."""
    x, left, right, front, back, above, below, g = stencil(half, h, i, c, lo)
    r = np.uint64(at(_R + i % 4, c, half) + lo)
    d = a0 + a0 + a1 + a1 + a2 + a2
    w = omega / d
    rest = S.dtype.type(1) - omega
    for k in range(np.uint64(hi - lo)):
        Au = d * S[x + k] - a0 * (S[above + k] + S[below + k])
        Au -= a1 * (S[front + k] + S[back + k]) + a2 * (S[left + k] + S[right + k])
        S[r + k] = rest * (S[g + k] - Au)
        S[x + k] += w * (S[g + k] - Au)


@serial
def defect(S, half, h, i, c, lo, hi, a0, a1, a2):
    """r = g - A u in half c of plane i."""
    x, left, right, front, back, above, below, g = stencil(half, h, i, c, lo)
    r = np.uint64(at(_R + i % 4, c, half) + lo)
    d = a0 + a0 + a1 + a1 + a2 + a2
    for k in range(np.uint64(hi - lo)):
        Au = d * S[x + k] - a0 * (S[above + k] + S[below + k])
        Au -= a1 * (S[front + k] + S[back + k]) + a2 * (S[left + k] + S[right + k])
        S[r + k] = S[g + k] - Au


@serial
def clear_border(S, x, h, c, lo, hi):
    """Zero the first and last node of each row in half c (at x), for pairs of rows lo <= J < hi."""
    for J in range(lo, hi):
        k = x + J * (2 * h + 1) + c * h
        S[k] = 0
        S[k + h] = 0


@serial
def add_planes(S, half, i, c, lo, hi):
    """Weights 1 2 1 across the residual of the planes i - 1, i, i + 1."""
    x = np.uint64(at(_SUMS, c, half) + lo)
    above, here = (
        np.uint64(at(_R + (i - 1) % 4, c, half) + lo),
        np.uint64(at(_R + i % 4, c, half) + lo),
    )
    below = np.uint64(at(_R + (i + 1) % 4, c, half) + lo)
    for k in range(np.uint64(hi - lo)):
        S[x + k] = S[above + k] + S[here + k] + S[here + k] + S[below + k]


@serial
def weight(S, half, h, coarse, I, lo, hi):
    """Rows lo <= J < hi of plane I of `coarse`: full weighting of the added planes.

    ::

        1 2 1      even  odd  even       even[k - h - 1]  odd[k - h - 1]  even[k - h]
        2 4 2      odd   even odd        odd[k - 1]       even[k]         odd[k]
        1 2 1      even  odd  even       even[k + h]      odd[k + h]      even[k + h + 1]

    around node (J, L), k = J n2 + L; divided by 64.
    """
    one, sixty_fourth = np.uint64(1), S.dtype.type(1 / 64)
    for J in range(max(lo, 1), hi):
        even, odd = at(_SUMS, 0, half) + J * (2 * h + 1), at(_SUMS, 1, half) + J * (2 * h + 1)
        c, e, w = np.uint64(even), np.uint64(odd), np.uint64(odd - 1)
        n, s = np.uint64(odd - h - 1), np.uint64(odd + h)
        nw, ne, sw, se = (
            np.uint64(even - h - 1),
            np.uint64(even - h),
            np.uint64(even + h),
            np.uint64(even + h + 1),
        )
        for L in range(one, np.uint64(coarse.shape[2] - 1)):
            edges = (S[n + L] + S[s + L]) + (S[w + L] + S[e + L]) + (S[c + L] + S[c + L])
            corners = (S[nw + L] + S[ne + L]) + (S[sw + L] + S[se + L])
            coarse[I, J, L] = sixty_fourth * (edges + edges + corners)


@serial
def row_halves(j, h, even, odd):
    """Where the even and the odd nodes of row j of a plane begin, given the plane's halves."""
    start = j * (2 * h + 1)
    if j % 2 == 0:
        return even + start // 2, odd + start // 2
    return odd + start // 2, even + start // 2 + 1


@serial
def row_corrected(line, j, e, I, K, J, M, S, even, odd, n):
    """A row line[j : j + 2 n] + P e between the planes I and K and the rows J and M of e."""
    j0, j1, even, odd = np.uint64(j), np.uint64(j + 1), np.uint64(even), np.uint64(odd)
    one, quarter, eighth = np.uint64(1), S.dtype.type(1 / 4), S.dtype.type(1 / 8)
    for L in range(np.uint64(n)):
        here = (e[I, J, L] + e[I, M, L]) + (e[K, J, L] + e[K, M, L])
        N = L + one
        behind = (e[I, J, N] + e[I, M, N]) + (e[K, J, N] + e[K, M, N])
        S[even + L] = line[j0 + L + L] + quarter * here
        S[odd + L] = line[j1 + L + L] + eighth * (here + behind)


@serial
def enter(line, start, n, source, e, S, half, i, lo, hi):
    """The pairs of rows lo <= J < hi, of n nodes each, of plane i, from the source into the ring.

    If the source is u, plane i begins at line[start].
    """
    h = n // 2
    even, odd = at(_U + i % 5, 0, half), at(_U + i % 5, 1, half)
    if source == GIVEN:
        split(line, start + 2 * lo * n, S, even + lo * n, odd + lo * n, (hi - lo) * n)
    elif source == CORRECTED:
        I, K = i // 2, (i + 1) // 2
        for j in range(2 * lo, 2 * hi):
            x, y = row_halves(j, h, even, odd)
            row_corrected(line, start + j * n, e, I, K, j // 2, (j + 1) // 2, S, x, y, h)
    elif source == ZERO:
        fill(S, even + lo * n, (hi - lo) * n, 0)
        fill(S, odd + lo * n, (hi - lo) * n, 0)
    elif i % 2 == 0:
        plane = i // 2 * e.shape[1] * e.shape[2]
        enter_plane(e.reshape(-1), plane, e, S, half, h, even, odd, lo, hi)
    else:
        plane, size = at(_BETWEEN, 0, half), e.shape[1] * e.shape[2]
        if lo == 0:
            blend(e.reshape(-1), 0, i // 2, e.shape[0], size, S, plane, size)
        enter_plane(S, plane, e, S, half, h, even, odd, lo, hi)


@serial
def enter_plane(line, start, e, S, half, h, even, odd, lo, hi):
    """Cubic interpolation within a plane that lies between those of e, at line[start]."""
    rows, n = e.shape[1], e.shape[2]
    between = at(_ROW, 0, half)
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


@serial
def sweep_strip(u, g, source, e, sink, coarse, sums, omega, a0, a1, a2, space, strip, strips):
    """The pass over one strip of planes."""
    n, last, pairs = u.shape[2], u.shape[0] - 1, u.shape[1] // 2
    h, nodes = n // 2, u.shape[1] * n
    half = half_size(nodes)
    a = first_line(strip, strips, u.shape[0])
    b = first_line(strip + 1, strips, u.shape[0]) if strip + 1 < strips else last
    first, final = max(a - 3, 0), min(b + 3, last)  # the planes that enter
    S, below, u_, g_ = space[strip], space[min(strip + 1, strips - 1)], u.reshape(-1), g.reshape(-1)
    far = u.size * u.itemsize > NEAR
    step = max(_CHUNK // u.itemsize // n, 1)
    for i in range(first, final + 4):
        r, p, q = i - 1, i - 2, i - 3
        red = max(a - 2, 1) <= r < min(b + 3, last)
        black = max(a - 1, 1) <= p < min(b + 2, last)
        residual = (sink == RESTRICTION and a <= q < min(b + 1, last)) or (
            sink == NORM and a <= q < b
        )
        c = r % 2
        total = 0.0
        for J in range(0, pairs, step):
            end = min(J + step, pairs)
            # Stages stay a pair of rows behind the entrance.
            first_pair, last_pair = max(J - 1, 0), (pairs if end == pairs else end - 1)
            lo, hi = max(first_pair * n, h + 1), max(last_pair * n, h + 1)
            ahead, quarter = min(i + 1, last) * nodes + 2 * J * n, (end - J) * n // 2 if far else 0
            if i <= final:
                if i == 0 or i == last:
                    enter(u_, 0, n, ZERO, e, S, half, i, J, end)
                elif i < a:
                    enter(S, at(_OLD + i - a + 3, 0, half), n, source, e, S, half, i, J, end)
                elif i >= b:
                    enter(below, at(_OLD + i - b + 3, 0, half), n, source, e, S, half, i, J, end)
                else:
                    enter(u_, i * nodes, n, source, e, S, half, i, J, end)
                if 0 < i < last:
                    even, odd = at(_G + i % 4, 0, half) + J * n, at(_G + i % 4, 1, half) + J * n
                    split(g_, i * nodes + 2 * J * n, S, even, odd, (end - J) * n)
            touch(u_, g_, ahead, ahead + quarter)
            if red:
                relax(S, half, h, r, c, lo, hi, omega, a0, a1, a2)
                clear_border(S, at(_U + r % 5, c, half), h, c, first_pair, last_pair)
            touch(u_, g_, ahead + quarter, ahead + 2 * quarter)
            if black:
                if sink == RESTRICTION:
                    relax_last(S, half, h, p, c, lo, hi, omega, a0, a1, a2)
                else:
                    relax(S, half, h, p, c, lo, hi, omega, a0, a1, a2)
                clear_border(S, at(_U + p % 5, c, half), h, c, first_pair, last_pair)
            touch(u_, g_, ahead + 2 * quarter, ahead + 3 * quarter)
            if a <= p < b:
                even, odd = at(_U + p % 5, 0, half), at(_U + p % 5, 1, half)
                start = first_pair * n
                size = last_pair * n - start
                merge(S, even + start, odd + start, u_, p * nodes + 2 * start, size)
            touch(u_, g_, ahead + 3 * quarter, ahead + 4 * quarter)
            if residual:
                defect(S, half, h, q, c, lo, hi, a0, a1, a2)
                if sink == NORM:
                    defect(S, half, h, q, 1 - c, lo, hi, a0, a1, a2)
                    for parity in range(2):
                        x = at(_R + q % 4, parity, half)
                        clear_border(S, x, h, parity, first_pair, last_pair)
                        total += squares(S, x + lo, hi - lo)
                elif q % 2 == 1 and q > a:
                    add_planes(S, half, q - 1, 0, lo, hi)
                    add_planes(S, half, q - 1, 1, lo, hi)
                    weight(S, half, h, coarse, q // 2, first_pair, last_pair)
        if residual and sink == NORM:
            sums[q] = total


@parallel
def sweep(u, g, source, e, sink, coarse, sums, omega, a0, a1, a2, space, strips):
    """u = one red-black step on the source; by `sink`, coarse = R r or sums[i] = |r_i|^2.

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
