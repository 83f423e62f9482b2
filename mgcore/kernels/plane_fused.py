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
    row i - 3  residual    of its red nodes, from what black nodes around it have changed by

so each row of u and g is read from memory once and u is written once; what lies between stays in
the cache, in rings of a few rows. Red nodes lie in the even columns of even rows and in the odd
columns of odd rows, so all stages of one step work on columns of the same parity c:

::

    row i - 4     B   .   B   .      B  black, finished      c = 0: left and right of even[k] are
    row i - 3     *   .   *   .      *  residual                    odd[k - 1] and odd[k]
    row i - 2     B   .   B   .      B  black, now           c = 1: of odd[k] they are even[k] and
    row i - 1     R   .   R   .      R  red, now                    even[k + 1]
    row i         b   .   b   .      b  entering

What a stage wants from the row above or below has the same k, and its neighbours in the same row
(the dots) were finished by the wave front's step before. So one loop over k could do all stages,
and hand on in registers what the rows of a column want from one another. Two loops do, for a run of
nodes at a time: in one, each node would wait for a chain of operations longer than what processors
look ahead.

Between the first and the last rows of a strip all stages have work. There the loops do not ask
what is the same along a row: :func:`sweep_strip` has a copy of them for each pair of source and
sink that V(1,1) and full multigrid use.

Relaxation, u += w r with w = omega / d and d the diagonal of A, leaves 1 - omega of a node's
residual r; when its neighbours are relaxed, w r of theirs is added, times their weights in A.
So with r1 and r2 the residuals of red and black nodes before their relaxation, those in the end are

::

    black     (1 - omega) r2                               as no neighbour is relaxed later
    red       r1 - d (u1 after - u1 before) + w (a0 (r2 above + r2 below) + a1 (r2 left + r2 right))

For red nodes it is the change of u as it was rounded, which r2 of their neighbours has seen. To say
1 - omega there would take the rounding for a residual, one that is smooth in part: in float32 an
error of hundreds of eps, where now it is one. That of black nodes nobody has seen, and what the
formula lacks is A times their rounding errors: these stay what they are.

Each thread owns a strip of rows. The rows around a border between strips are copied first, and both
sides compute the few rows there that they need from each other, so strips do not wait for one
another.
"""

import numpy as np
from numba import prange

from mgcore.kernels.common import second_difference
from mgcore.kernels.compilation import inlined, parallel, serial, unsigned
from mgcore.kernels.halves import (
    AHEAD,
    CORRECTED,
    GIVEN,
    INTERPOLATED,
    NEAR,
    NORM,
    NOTHING,
    RESTRICTION,
    ZERO,
    at,
    blend,
    copy,
    fill,
    first_line,
    half_size,
    keep_borders,
    scratch,
)
from mgcore.kernels.vectors import (
    add_squares,
    evens,
    high,
    lagging,
    lanes,
    leading,
    load,
    low,
    masked,
    no_squares,
    odds,
    offset,
    prefetch,
    spread,
    store,
    total_of,
)

__all__ = ["restrict", "sweep", "sweep_strip", "workspace"]

# Slots of a strip: rings of rows of u, of g, and of r1 and r2, one in each half; the weighted
# residual of an odd and an even row, one in each half; a row of e or between two of them; rows of
# single steps (u in, g, u out, coarse); the seven rows around the strip's upper border, as found.
_U, _G, _R, _SUMS, _ROW, _SINGLE, _OLD, _SLOTS = 0, 4, 6, 9, 10, 11, 15, 22

# Vectors that the first loop takes before the second one does: enough to begin new chains all the
# time, few enough for the first-level cache.
_RUN = 16

# Constants, of NumPy's types like those of halves.py.
_NO, _YES, _EVEN, _ODD = np.bool_(False), np.bool_(True), np.int64(0), np.int64(1)


def workspace(shape, strips, dtype):
    """Scratch for `strips` strips of a grid of `shape` nodes."""
    return scratch(shape[1], _SLOTS, strips, dtype)


@serial
def places(half, i, c, step):
    """Where the nodes of parity c of row i lie, and those beside them: see :func:`sides`."""
    other = at(_U + i % 4, 1 - c, half) + c * np.int64(step)
    return offset(at(_U + i % 4, c, half)), offset(other)


@serial
def sides(c, before, here):
    """The left and the right neighbours of the nodes of parity c.

    ::

        c = 0, nodes even[k]      before = odd[k - 1]     here = odd[k]         (first elements)
        c = 1, nodes odd[k]       before = even[k]        here = even[k + lanes]
    """
    if c == 0:
        return lagging(before, here), here
    return before, leading(before, here)


@serial
def row_of_e(e, rows, n, i, S, x):
    """Row i / 2 of e, `rows` rows of n nodes, to S[x : x + n]; for odd i a cubic in between.

    One more node on either side lets one formula give the midpoints of the whole row.
    """
    if i % 2 == 0:
        copy(e, i // 2 * n, S, x, n)
    else:
        blend(e, 0, i // 2, rows, n, S, x, n)
    third = min(3, n - 1)
    S[x - 1] = beyond(S[x], S[x + 1], S[x + 2], S[x + third], n)
    last = x + n - 1
    S[last + 1] = beyond(S[last], S[last - 1], S[last - 2], S[last - third], n)


@serial
def beyond(p, q, s, t, n):
    """The value next to p, q, s, t of a cubic; on axes of three nodes, of a parabola."""
    return 3 * (p - q) + s if n == 3 else 4 * (p + s) - 6 * q - t


@inlined
def advance(S, half, i, n, source, sink, inside, c, strip, memory, far, weights):
    """The wave front's step to row i; the sum of squared residuals, for NORM.

    Parameters
    ----------
    S, half : array, int
        The strip's rings, and the elements between the halves of a row.
    i, n, c : int
        The row, its nodes, and the parity (i - 1) % 2.
    source, sink : int
        What the pass begins and ends with.
    inside : bool
        Whether all stages have work. Where it, `c`, `source` and `sink` are constants, loops
        without branches are left.
    strip : (a, b, last)
        First row of this strip, of the next one, and last of the grid.
    memory : (line, at_line, e, rows, g, at_g, u, at_u, coarse, at_c)
        Row i of u, where it is read, begins at line[at_line + i n], row i of g at g[at_g + i n],
        row I of e, which has so many `rows`, at e[I N], N the nodes of a coarse row. Row i of u is
        written to u[at_u + i n], row I of the coarse right-hand side to coarse[at_c + I N]. All are
        read and written in whole vectors.
    far : bool
        Whether u and g come from memory, and are to be asked for in time.
    weights : (omega, a0, a1)
    """
    (a, b, last), (omega, a0, a1) = strip, weights
    line, at_line, e, rows, g, at_g, u, at_u, coarse, at_c = memory
    m, N, r, p, q = n // 2, n // 2 + 1, i - 1, i - 2, i - 3
    border = not inside and (i == 0 or i == last)
    enters = inside or i <= min(b + 3, last)
    red = inside or max(a - 2, 1) <= r < min(b + 3, last)
    black = inside or max(a - 1, 1) <= p < min(b + 2, last)
    written = inside or a <= p < b
    residual = sink != NOTHING and (inside or a <= q < (b if sink == NORM else min(b + 1, last)))
    restricted = sink == RESTRICTION and residual and c == 1 and (inside or q > a)

    step, one = lanes(S), unsigned(1)
    ahead = unsigned(AHEAD // S.itemsize)
    d = a0 + a0 + a1 + a1
    w, rest = spread(S, omega / d), spread(S, 1 - omega)
    d, a0, a1 = spread(S, d), spread(S, a0), spread(S, a1)
    w0, w1, nothing, squares = w * a0, w * a1, spread(S, 0), no_squares(S)
    two, sixteenth = spread(S, 2), spread(S, 1 / 16)

    even, odd = offset(at(_U + i % 4, 0, half)), offset(at(_U + i % 4, 1, half))
    u_q = places(half, q, c, step)[0]
    u_r, beside_r = places(half, r, c, step)
    u_p, beside_p = places(half, p, c, step)
    g_r, g_p = offset(at(_G + r % 2, 0, half)), offset(at(_G + p % 2, 0, half))
    r1_r, r1_q = offset(at(_R + r % 3, 0, half)), offset(at(_R + q % 3, 0, half))
    r2_p, r2_above = offset(at(_R + p % 3, 1, half)), offset(at(_R + (q - 1) % 3, 1, half))
    beside_q = offset(at(_R + q % 3, 1, half) + c * np.int64(step))
    even_sum, odd_sum = offset(at(_SUMS, 0, half)), offset(at(_SUMS, 1, half))
    from_u, from_g, to_u = offset(at_line + i * n), offset(at_g + r * n), offset(at_u + p * n)
    above_e, below_e, to_c = offset(i // 2 * N), offset((i + 1) // 2 * N), offset(at_c + q // 2 * N)
    row_e = offset(at(_ROW, 0, half))
    if source == INTERPOLATED and enters and not border:
        row_of_e(e, rows, N, i, S, at(_ROW, 0, half))

    before_r, before_p = load(S, beside_r - step), load(S, beside_p - step)
    before_q, before = load(S, beside_q - step), nothing
    for lo in range(unsigned(0), unsigned(m), unsigned(_RUN) * step):
        hi = min(lo + unsigned(_RUN) * step, unsigned(m))
        for k in range(lo, hi, step):
            k2 = k + k
            k3 = k2 + step
            if far:
                prefetch(line, from_u + k2 + ahead)
                prefetch(line, from_u + k3 + ahead)
                prefetch(g, from_g + k2 + ahead)
                prefetch(g, from_g + k3 + ahead)

            x = y = nothing
            if enters:
                if border:
                    pass
                elif source == INTERPOLATED:
                    x, x2 = load(S, row_e + k), load(S, row_e + k + one)
                    x1, x3 = load(S, row_e + k - one), load(S, row_e + k + one + one)
                    y = spread(S, 9 / 16) * (x + x2) - spread(S, 1 / 16) * (x1 + x3)
                elif source != ZERO:
                    first, second = load(line, from_u + k2), load(line, from_u + k3)
                    x, y = evens(first, second), odds(first, second)
                    if source == CORRECTED:
                        here = load(e, above_e + k) + load(e, below_e + k)
                        there = load(e, above_e + k + one) + load(e, below_e + k + one)
                        x = x + spread(S, 1 / 2) * here
                        y = y + spread(S, 1 / 4) * (here + there)
                store(S, even + k, x)
                store(S, odd + k, y)

            if red:
                u1, above, below = load(S, u_r + k), load(S, u_p + k), x if c == 0 else y
                beside = load(S, beside_r + k)
                first, second = load(g, from_g + k2), load(g, from_g + k3)
                x, y = evens(first, second), odds(first, second)
                g1, g2 = (x, y) if c == 0 else (y, x)
                left, right = sides(c, before_r, beside)
                rows = second_difference(above, u1, below)
                r1 = g1 + a1 * second_difference(left, u1, right) + a0 * rows
                relaxed = u1 + w * r1
                store(S, u_r + k, relaxed)
                store(S, g_r + k, g2)
                if sink != NOTHING:
                    store(S, r1_r + k, r1 - d * (relaxed - u1))
                before_r = beside

        for k in range(lo, hi, step):
            k2 = k + k
            k3 = k2 + step
            r2 = nothing
            if black:
                u2, above, below = load(S, u_p + k), load(S, u_q + k), load(S, u_r + k)
                g2, beside = load(S, g_p + k), load(S, beside_p + k)
                left, right = sides(c, before_p, beside)
                rows = second_difference(above, u2, below)
                r2 = g2 + a1 * second_difference(left, u2, right) + a0 * rows
                if written:
                    u2 = u2 + w * r2
                    x, y = (u2, beside) if c == 0 else (before_p, u2)
                    store(u, to_u + k2, low(x, y))
                    store(u, to_u + k3, high(x, y))
                    if sink == NORM:
                        remaining = rest * r2
                        squares = add_squares(squares, interior(remaining, k, c, m, inside))
                before_p = beside
            if sink != NOTHING:
                store(S, r2_p + k, r2)

            if residual:
                r1, above = load(S, r1_q + k), load(S, r2_above + k)
                beside = load(S, beside_q + k)
                left, right = sides(c, before_q, beside)
                horizontal = left + right
                r1 = r1 + w1 * horizontal + w0 * above + w0 * r2
                if sink == NORM:
                    squares = add_squares(squares, interior(r1, k, c, m, inside))
                elif c == 1:  # an odd row: black nodes in even columns, red ones on either side
                    added = lagging(before, r1) + (two * (rest * before_q) + r1)
                    if restricted:
                        above, middle = load(S, odd_sum + k), load(S, even_sum + k)
                        above = sixteenth * (above + two * middle)
                        store(coarse, to_c + k, above + sixteenth * added)
                    store(S, odd_sum + k, added)
                    before = r1
                else:  # an even row: red nodes in even columns, black ones on either side
                    store(S, even_sum + k, two * r1 + rest * horizontal)
                before_q = beside

    if c == 0:  # the first column is border
        S[u_r] = S[r2_p] = 0
        if written:
            u[to_u] = 0
    if restricted:
        coarse[to_c] = 0
    return total_of(squares)


@inlined
def interior(x, k, c, m, inside):
    """x without a row's first node, which is border, and without what lies behind a short row."""
    if k == 0 and not (inside and c == 1):
        return masked(x, c == 0, m)
    return x


@inlined
def advance_inside(S, half, start, stop, n, source, sink, strip, memory, far, weights):
    """The wave front's steps to the rows start <= i < stop, where all stages have work."""
    total = 0.0
    for i in range(start, stop):
        if i % 2 == 1:
            total += advance(S, half, i, n, source, sink, _YES, _EVEN, strip, memory, far, weights)
        else:
            total += advance(S, half, i, n, source, sink, _YES, _ODD, strip, memory, far, weights)
    return total


@serial
def advance_anywhere(S, half, i, n, source, sink, strip, memory, far, weights):
    """The wave front's step to row i, where some stages may have no work."""
    return advance(S, half, i, n, source, sink, _NO, (i - 1) % 2, strip, memory, far, weights)


@serial
def advance_by_slots(S, half, i, n, source, sink, strip, memory, weights):
    """The same by way of slots; u's row is in the first of them, where it is read.

    So rows may be shorter than a vector, or be those that were kept.
    """
    a, b, last = strip
    _, _, e, rows, g, _, u, _, coarse, _ = memory
    m, N, r, p, q = n // 2, n // 2 + 1, i - 1, i - 2, i - 3
    start, size = at(_SINGLE, 0, half), 2 * half
    if source == CORRECTED and 0 < i < last:
        I, K = i // 2 * N, (i + 1) // 2 * N
        for J in range(m):
            here, there = e[I + J] + e[K + J], e[I + J + 1] + e[K + J + 1]
            S[start + 2 * J] += S.dtype.type(1 / 2) * here
            S[start + 2 * J + 1] += S.dtype.type(1 / 4) * (here + there)
    if 0 < r < last:
        copy(g, r * n, S, start + size, 2 * m)
    slots = (
        S, start - i * n, e, rows, S, start + size - r * n, S, start + 2 * size - p * n,
        S, start + 3 * size - q // 2 * N,
    )  # fmt: skip
    source = GIVEN if source == CORRECTED else source
    squares = advance_anywhere(S, half, i, n, source, sink, strip, slots, _NO, weights)
    behind = max(np.int64(lanes(S)) - m, 0)  # behind a short row there are zeros again
    for row in range(p, i + 1):
        fill(S, at(_U + row % 4, 0, half) + m, behind, 0)
        fill(S, at(_U + row % 4, 1, half) + m, behind, 0)
    fill(S, at(_R + p % 3, 1, half) + m, behind, 0)
    if a <= p < b:
        copy(S, start + 2 * size, u, p * n, 2 * m)
    if sink == RESTRICTION and q % 2 == 1 and a < q < min(b + 1, last):
        copy(S, start + 3 * size, coarse, q // 2 * N, m)
    return squares


@serial
def advance_ends(S, below, half, start, stop, n, source, sink, strip, memory, far, weights):
    """The wave front's steps to the rows start <= i < stop near the borders of a strip.

    The rows that were kept are in S, and in `below`, the scratch of the next strip.
    """
    a, b, last = strip
    short, slot, total = n // 2 < np.int64(lanes(S)), at(_SINGLE, 0, half), 0.0
    for i in range(start, stop):
        if a <= i < b and not short:
            total += advance_anywhere(S, half, i, n, source, sink, strip, memory, far, weights)
            continue
        if 0 < i < a:
            copy(S, at(_OLD + i - a + 3, 0, half), S, slot, n)
        elif b <= i < min(b + 4, last):
            copy(below, at(_OLD + i - b + 3, 0, half), S, slot, n)
        elif a <= i < b:
            copy(memory[0], i * n, S, slot, n)
        total += advance_by_slots(S, half, i, n, source, sink, strip, memory, weights)
    return total


@serial
def sweep_strip(u, g, source, e, sink, coarse, sums, omega, a0, a1, space, strip, strips):
    """The pass over one strip."""
    rows, n = u.shape
    half, last, zero = half_size(n), rows - 1, np.int64(0)
    a = first_line(strip, strips, rows)
    b = first_line(strip + 1, strips, rows) if strip + 1 < strips else last
    S, below, u_, g_ = space[strip], space[min(strip + 1, strips - 1)], u.reshape(-1), g.reshape(-1)
    memory = u_, zero, e.reshape(-1), e.shape[0], g_, zero, u_, zero, coarse.reshape(-1), zero
    task = (a, b, last), memory, u.size * u.itemsize > NEAR, (omega, a0, a1)

    short = n // 2 < np.int64(lanes(S))
    inner = b if short else min(a + 4, b)
    how = S, half, inner, b, n
    total = advance_ends(S, below, half, max(a - 3, 0), inner, n, source, sink, *task)
    # A copy of the loops for each pair of V(1,1) and full multigrid, and one for all others.
    if source == GIVEN and sink == RESTRICTION:
        total += advance_inside(*how, GIVEN, RESTRICTION, *task)
    elif source == ZERO and sink == RESTRICTION:
        total += advance_inside(*how, ZERO, RESTRICTION, *task)
    elif source == INTERPOLATED and sink == RESTRICTION:
        total += advance_inside(*how, INTERPOLATED, RESTRICTION, *task)
    elif source == CORRECTED and sink == NOTHING:
        total += advance_inside(*how, CORRECTED, NOTHING, *task)
    elif source == CORRECTED and sink == NORM:
        total += advance_inside(*how, CORRECTED, NORM, *task)
    else:
        total += advance_inside(*how, source, sink, *task)
    total += advance_ends(S, below, half, b, min(b + 3, last) + 4, n, source, sink, *task)
    if sink == NORM:
        sums[strip] = total


@parallel
def sweep(u, g, source, e, sink, coarse, sums, omega, a0, a1, space, strips):
    """u = one red-black step on the source; by `sink`, coarse = R r or the sum of `sums` |r|^2.

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
