"""Red-black smoothing in 3D, fused with what comes before and after it: one pass over memory.

As in plane_fused.py, with planes in place of rows. When plane i enters from its source (u, zero,
u + P e, or the tricubic interpolation of e),

::

    plane i      enters      u_i, even and odd nodes apart
    plane i - 1  red         from planes i - 2, i - 1, i
    plane i - 2  black       from planes i - 3, i - 2, i - 1; then written to memory
    plane i - 3  residual    of red nodes, from planes i - 4, i - 3, i - 2

A plane of n1 rows with n2 = 2h + 1 nodes each is taken as one line, node (j, l) being number
j n2 + l. As n2 is odd, red and black nodes take turns along the whole line, and the neighbours of
the nodes of one half stand at fixed distances in the other:

::

                    back                even[k]           odd[k]
                     |        left      odd[k - 1]        even[k]
             left -- x -- right  right  odd[k]            even[k + 1]
                     |        front     odd[k - h - 1]    even[k - h]
                   front      back      odd[k + h]        even[k + h + 1]

and above and below in the same half of the planes next to it. So one loop over k does all stages.
It runs over rows' ends, and the border nodes it spoils are set to zero again.
"""

import numpy as np
from numba import prange

from mgcore.kernels.common import second_difference, squares
from mgcore.kernels.compilation import parallel, serial, unsigned
from mgcore.kernels.halves import (
    AHEAD,
    CORRECTED,
    GIVEN,
    NEAR,
    NORM,
    NOTHING,
    RESTRICTION,
    ZERO,
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
from mgcore.kernels.vectors import evens, high, lanes, load, low, odds, prefetch, spread, store

__all__ = ["restrict", "sweep", "sweep_strip", "workspace"]

# Slots of a strip: rings of planes of u and g; sums of the residual of two planes and of three; a
# coarse plane and a row for interpolation; the end of a plane; the seven planes around the strip's
# upper border as they were.
_U, _G, _TWO, _THREE, _BETWEEN, _ROW, _TAIL, _OLD, _SLOTS = 0, 5, 8, 9, 10, 11, 12, 13, 20
# A plane is taken in parts of about this many bytes of a half, where it enters part by part.
_PART = 16384


def workspace(shape, strips, dtype):
    """Scratch for `strips` strips of a grid of `shape` nodes."""
    return scratch(shape[1] * shape[2], _SLOTS, strips, dtype)


@serial
def places(half, h, i, c):
    """Where half c of plane i lies, and its neighbours to the left, right, front and back."""
    other = at(_U + i % 5, 1 - c, half) + c
    return (
        unsigned(at(_U + i % 5, c, half)), unsigned(other - 1), unsigned(other),
        unsigned(other - 1 - h), unsigned(other + h),
    )  # fmt: skip


@serial
def defect(S, a0, a1, a2, u, g, above, below, front, back, left, right):
    """g - A u; the neighbours within the plane are at these offsets of S."""
    rows = second_difference(load(S, front), u, load(S, back))
    columns = second_difference(load(S, left), u, load(S, right))
    return g + a2 * columns + a1 * rows + a0 * second_difference(above, u, below)


@serial
def wave(
    S, half, h, i, a, b, last, lo, hi, end, source, sink, entered, u, g, nodes, far, omega, a0, a1,
    a2,
):  # fmt: skip
    """The wave front's step to plane i, all stages, for lo <= k < hi in whole vectors.

    Unless the plane has `entered`, it does so from u, or from zero. Where `far`, u and g come from
    memory, and are asked for in time. Only the first `end` pairs of nodes are written.
    """
    r, p, q = i - 1, i - 2, i - 3
    border = i == 0 or i == last
    enters = i <= min(b + 3, last) and not entered
    red = max(a - 2, 1) <= r < min(b + 3, last)
    black = max(a - 1, 1) <= p < min(b + 2, last)
    written = a <= p < b
    residual = sink != NOTHING and a <= q < (b if sink == NORM else min(b + 1, last))
    c, step = r % 2, lanes(S)

    even, odd = unsigned(at(_U + i % 5, 0, half)), unsigned(at(_U + i % 5, 1, half))
    u_i, u_above = places(half, h, i, c)[0], places(half, h, q - 1, c)[0]
    u_r, left_r, right_r, front_r, back_r = places(half, h, r, c)
    u_p, left_p, right_p, front_p, back_p = places(half, h, p, c)
    u_q, left_q, right_q, front_q, back_q = places(half, h, q, c)
    reds = unsigned(at(_U + p % 5, 1 - c, half))
    g_red, g_black = unsigned(at(_G + r % 3, c, half)), unsigned(at(_G + r % 3, 1 - c, half))
    g_p, g_q = unsigned(at(_G + p % 3, c, half)), unsigned(at(_G + q % 3, c, half))
    two, three = unsigned(at(_TWO, c, half)), unsigned(at(_THREE, c, half))
    from_u, from_g, to_u = unsigned(i * nodes), unsigned(r * nodes), unsigned(p * nodes)
    tail, end2, ahead = (
        unsigned(at(_TAIL, 0, half)),
        unsigned(2 * end),
        unsigned(AHEAD // S.itemsize),
    )

    diagonal = a0 + a0 + a1 + a1 + a2 + a2
    d, w = spread(S, diagonal), spread(S, omega / diagonal)
    a0, a1, a2, nothing = spread(S, a0), spread(S, a1), spread(S, a2), spread(S, 0)
    for k in range(unsigned(lo), unsigned(hi), step):
        k2 = k + k
        k3 = k2 + step
        if far:
            prefetch(u, from_u + k2 + ahead)
            prefetch(u, from_u + k3 + ahead)
            prefetch(g, from_g + k2 + ahead)
            prefetch(g, from_g + k3 + ahead)

        if enters:
            x = y = nothing
            if source != ZERO and not border:
                first, second = load(u, from_u + k2), load(u, from_u + k3)
                x, y = evens(first, second), odds(first, second)
            store(S, even + k, x)
            store(S, odd + k, y)

        u1, u2, u3, r1, r2 = load(S, u_r + k), load(S, u_p + k), load(S, u_q + k), nothing, nothing
        if red:
            first, second = load(g, from_g + k2), load(g, from_g + k3)
            x, y = evens(first, second), odds(first, second)
            g1, g2 = (x, y) if c == 0 else (y, x)
            store(S, g_black + k, g2)
            if sink != NOTHING:
                store(S, g_red + k, g1)
            u1 = u1 + w * defect(
                S, a0, a1, a2, u1, g1, u2, load(S, u_i + k),
                front_r + k, back_r + k, left_r + k, right_r + k,
            )  # fmt: skip
            store(S, u_r + k, u1)

        if black:
            r2 = defect(
                S, a0, a1, a2, u2, load(S, g_p + k), u3, u1,
                front_p + k, back_p + k, left_p + k, right_p + k,
            )  # fmt: skip
            relaxed = u2 + w * r2
            r2 = r2 - d * (relaxed - u2)  # what is left of it, as the neighbours will not change
            u2 = relaxed
            if sink != NOTHING:
                store(S, u_p + k, u2)
            if written:
                other = load(S, reds + k)
                x, y = (u2, other) if c == 0 else (other, u2)
                if k3 + step <= end2:
                    store(u, to_u + k2, low(x, y))
                    store(u, to_u + k3, high(x, y))
                else:
                    store(S, tail, low(x, y))
                    store(S, tail + step, high(x, y))
                    copy(S, tail, u, to_u + k2, end2 - k2)

        if residual:
            r1 = defect(
                S, a0, a1, a2, u3, load(S, g_q + k), load(S, u_above + k), u2,
                front_q + k, back_q + k, left_q + k, right_q + k,
            )  # fmt: skip

        # Weights 1 2 1 across the planes. Here are red nodes of plane q and black ones of plane p,
        # the one above the other: odd ones if plane q is odd, even ones if plane p is odd.
        if sink == RESTRICTION:
            if c == 1:
                store(S, three + k, load(S, two + k) + r1)
                store(S, two + k, r1 + (r2 + r2))
            else:
                store(S, three + k, load(S, two + k) + (r1 + r1) + r2)
                store(S, two + k, r2)
        elif sink == NORM:
            store(S, two + k, r1)
            store(S, three + k, r2)


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


@serial
def clear_rows(u, x, n, rows, first):
    """Zero the border nodes of a plane of u, at u[x], but those of the last row."""
    fill(u, x + first, n - first, 0)
    for j in range(1, rows - 1):
        u[x + j * n] = 0
        u[x + j * n + n - 1] = 0


@serial
def weight(S, half, h, coarse, I, lo, hi):
    """Rows lo <= J < hi of plane I of `coarse`: full weighting of the added planes.

    ::

        1 2 1      even  odd  even       even[k - h - 1]  odd[k - h - 1]  even[k - h]
        2 4 2      odd   even odd        odd[k - 1]       even[k]         odd[k]
        1 2 1      even  odd  even       even[k + h]      odd[k + h]      even[k + h + 1]

    around node (J, L), k = J n2 + L; divided by 64.
    """
    one, sixty_fourth = unsigned(1), S.dtype.type(1 / 64)
    for J in range(max(lo, 1), hi):
        even, odd = at(_THREE, 0, half) + J * (2 * h + 1), at(_THREE, 1, half) + J * (2 * h + 1)
        c, e, w = unsigned(even), unsigned(odd), unsigned(odd - 1)
        n, s = unsigned(odd - h - 1), unsigned(odd + h)
        nw, ne, sw, se = (
            unsigned(even - h - 1),
            unsigned(even - h),
            unsigned(even + h),
            unsigned(even + h + 1),
        )
        for L in range(one, unsigned(coarse.shape[2] - 1)):
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
    j0, j1, even, odd = unsigned(j), unsigned(j + 1), unsigned(even), unsigned(odd)
    one, quarter, eighth = unsigned(1), S.dtype.type(1 / 4), S.dtype.type(1 / 8)
    for L in range(unsigned(n)):
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
    half, far = half_size(nodes), u.size * u.itemsize > NEAR
    a = first_line(strip, strips, u.shape[0])
    b = first_line(strip + 1, strips, u.shape[0]) if strip + 1 < strips else last
    S, below, u_, g_ = space[strip], space[min(strip + 1, strips - 1)], u.reshape(-1), g.reshape(-1)
    width, part, total = np.int64(lanes(S)), max(_PART // u.itemsize // n, 1), 0.0
    first = (h + 1) // width * width  # where the first inner row begins, or a little before
    for i in range(max(a - 3, 0), min(b + 3, last) + 4):
        p, q, c = i - 2, i - 3, (i - 1) % 2
        kept = i < a or i >= b
        entered = source != ZERO and (kept or source != GIVEN) and 0 < i < min(b + 4, last)
        lo = first
        for J in range(0, pairs, part):
            end = min(J + part, pairs)
            if entered and i < a:
                enter(S, at(_OLD + i - a + 3, 0, half), n, source, e, S, half, i, J, end)
            elif entered and i >= b:
                enter(below, at(_OLD + i - b + 3, 0, half), n, source, e, S, half, i, J, end)
            elif entered:
                enter(u_, i * nodes, n, source, e, S, half, i, J, end)
            hi = end * n if end == pairs else max(end * n // width * width, lo)
            wave(
                S, half, h, i, a, b, last, lo, hi, pairs * n, source, sink, entered, u_, g_, nodes,
                far, omega, a0, a1, a2,
            )  # fmt: skip
            lo = hi
        for plane in range(p, i):
            clear_border(S, at(_U + plane % 5, c, half), h, c, pairs, first, width)
        if a <= p < b:
            clear_rows(u_, p * nodes, n, u.shape[1], 2 * first)
        if sink == NORM:
            for slot, line in ((_TWO, q), (_THREE, p)):
                x = at(slot, c, half)
                clear_border(S, x, h, c, pairs, first, width)
                if a <= line < b:
                    total += squares(S, x + first, pairs * n - first)
        elif sink == RESTRICTION and c == 1 and a < q < min(b + 1, last):
            weight(S, half, h, coarse, q // 2, 0, pairs)
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
