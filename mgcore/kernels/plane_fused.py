"""Red-black smoothing in 2D, fused with what comes before and after it: one pass over memory.

The source of a pass is u, or zero, or u + P e (bilinear), or the bicubic interpolation of e; then
comes one red-black step; on the way out the residual may be restricted by full weighting or its
norm be taken. So ``descend`` and ``ascend`` of a cycle are one pass each, and so are a plain step
and full multigrid's arrival on a new grid. All give what the kernels of plane.py give one after the
other, to rounding.

A wave front runs down the rows: see wave.py. Red nodes lie in the even columns of even rows and in
the odd columns of odd rows, so all stages of one step work on columns of the same parity c:

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
sink that V(1,1), full multigrid and plain steps use.

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
"""

from typing import NamedTuple

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
    lagging,
    lanes,
    load,
    masked,
    no_squares,
    offset,
    spread,
    store,
    total_of,
)
from mgcore.kernels.wave import (
    Arrays,
    Lines,
    Near,
    Work,
    around,
    ask,
    coloured,
    separated,
    work_at,
    write,
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


class Strip(NamedTuple):
    """A strip of rows of n nodes, and its scratch S, with `half` elements between halves of rows.

    `far` is what :class:`Row` says.
    """

    S: np.ndarray
    half: np.int64
    n: np.int64
    lines: Lines
    arrays: Arrays
    far: np.bool_
    omega: np.floating
    a0: np.floating
    a1: np.floating


class Row(NamedTuple):
    """Where the rows lie that a step reads and writes in whole vectors, m pairs of nodes each.

    Row i of u is read from `line`, row i - 1 of g from `g`, the rows of e around row i from `e`;
    row i - 2 of u is written to `to`, and the coarse row at row i - 4 to `out`. Where `far`, u and
    g come from memory, and are to be asked for in time. Rows in scratch may be `short`, fill less
    than a vector.
    """

    m: np.int64
    line: np.ndarray
    from_u: np.uint64
    g: np.ndarray
    from_g: np.uint64
    e: np.ndarray
    above: np.uint64
    below: np.uint64
    to: np.ndarray
    to_u: np.uint64
    out: np.ndarray
    target: np.uint64
    far: np.bool_
    short: np.bool_


class Front(NamedTuple):
    """Where all that the wave front touches lies in scratch, for nodes of one parity.

    For `residual`, the nodes are r1 in row i - 3, and those around them r2 of their neighbours.
    """

    even: np.uint64
    odd: np.uint64
    interpolated: np.uint64
    red: Near
    black: Near
    residual: Near
    g_r: np.uint64
    g_p: np.uint64
    r1_r: np.uint64
    even_sum: np.uint64
    odd_sum: np.uint64


class Weights(NamedTuple):
    """A, its diagonal d, omega / d, what is left of r, each in all lanes of a vector."""

    a0: NamedTuple
    a1: NamedTuple
    d: NamedTuple
    w: NamedTuple
    rest: NamedTuple


def workspace(shape, strips, dtype):
    """Scratch for `strips` strips of a grid of `shape` nodes."""
    return scratch(shape[1], _SLOTS, strips, dtype)


# --- where things lie ---------------------------------------------------------------------------


@inlined
def ring(S, half, i, c):
    """Where half c of row i of u lies, and the nodes beside it in the other half."""
    beside = at(_U + i % 4, 1 - c, half) + c * np.int64(lanes(S))
    return offset(at(_U + i % 4, c, half)), offset(beside)


@inlined
def front_of(S, half, i, c):
    """The wave front when row i enters, for rows whose nodes of parity c are relaxed."""
    r, p, q = i - 1, i - 2, i - 3
    even, odd = offset(at(_U + i % 4, 0, half)), offset(at(_U + i % 4, 1, half))
    u_r, beside_r = ring(S, half, r, c)
    u_p, beside_p = ring(S, half, p, c)
    u_q, _ = ring(S, half, q, c)
    residual = Near(
        here=offset(at(_R + q % 3, 0, half)),
        above=offset(at(_R + (q - 1) % 3, 1, half)),
        below=offset(at(_R + p % 3, 1, half)),
        beside=offset(at(_R + q % 3, 1, half) + c * np.int64(lanes(S))),
    )
    return Front(
        even=even,
        odd=odd,
        interpolated=offset(at(_ROW, 0, half)),
        red=Near(u_r, u_p, even if c == 0 else odd, beside_r),
        black=Near(u_p, u_q, u_r, beside_p),
        residual=residual,
        g_r=offset(at(_G + r % 2, 0, half)),
        g_p=offset(at(_G + p % 2, 0, half)),
        r1_r=offset(at(_R + r % 3, 0, half)),
        even_sum=offset(at(_SUMS, 0, half)),
        odd_sum=offset(at(_SUMS, 1, half)),
    )


@inlined
def row_of(strip, i):
    """The rows of a step, in memory."""
    n, N, far, (u, g, e, coarse) = strip.n, strip.n // 2 + 1, strip.far, strip.arrays
    r, p, q = i - 1, i - 2, i - 3
    return Row(
        m=n // 2,
        line=u,
        from_u=offset(i * n),
        g=g,
        from_g=offset(r * n),
        e=e,
        above=offset(i // 2 * N),
        below=offset((i + 1) // 2 * N),
        to=u,
        to_u=offset(p * n),
        out=coarse,
        target=offset(q // 2 * N),
        far=far,
        short=_NO,
    )


@inlined
def weights_of(strip):
    """The weights of A and of relaxation."""
    S, a0, a1 = strip.S, strip.a0, strip.a1
    d = a0 + a0 + a1 + a1
    w, rest = spread(S, strip.omega / d), spread(S, 1 - strip.omega)
    return Weights(spread(S, a0), spread(S, a1), spread(S, d), w, rest)


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


@inlined
def beyond(p, q, s, t, n):
    """The value next to p, q, s, t of a cubic; on axes of three nodes, of a parabola."""
    return 3 * (p - q) + s if n == 3 else 4 * (p + s) - 6 * q - t


# --- stages, for the vector of nodes at k of a row ----------------------------------------------


@inlined
def enter(S, row, front, k, source):
    """u from its source, at even and odd nodes."""
    x = y = spread(S, 0)
    if source == INTERPOLATED:
        x, y = between(S, front.interpolated + k)
    elif source != ZERO:
        x, y = separated(S, row.line, row.from_u + k + k)
    if source == CORRECTED:
        one = unsigned(1)
        here = load(row.e, row.above + k) + load(row.e, row.below + k)
        there = load(row.e, row.above + k + one) + load(row.e, row.below + k + one)
        x = x + spread(S, 1 / 2) * here
        y = y + spread(S, 1 / 4) * (here + there)
    return x, y


@inlined
def between(S, x):
    """Coarse nodes, and the midpoints behind them by cubic interpolation."""
    one = unsigned(1)
    here, behind = load(S, x), load(S, x + one)
    before, last = load(S, x - one), load(S, x + one + one)
    return here, spread(S, 9 / 16) * (here + behind) - spread(S, 1 / 16) * (before + last)


@inlined
def defect(w, g, u):
    """g - A u."""
    rows = second_difference(u.above, u.here, u.below)
    return g + w.a1 * second_difference(u.left, u.here, u.right) + w.a0 * rows


@inlined
def red(S, row, front, w, k, c, before, below, sink):
    """Relax red nodes, the ones below have just entered; those beside are for the next vector."""
    g, other = coloured(S, row.g, row.from_g + k + k, c)
    u, beside = around(S, front.red, k, c, before, below)
    r = defect(w, g, u)
    relaxed = u.here + w.w * r
    store(S, front.red.here + k, relaxed)
    store(S, front.g_r + k, other)
    if sink != NOTHING:
        store(S, front.r1_r + k, r - w.d * (relaxed - u.here))
    return beside


@inlined
def black(S, front, w, k, c, before):
    """Black nodes, their residual, and those beside them."""
    below = load(S, front.black.below + k)
    u, beside = around(S, front.black, k, c, before, below)
    return u.here, defect(w, load(S, front.g_p + k), u), beside


@inlined
def residual(S, front, w, k, c, before, below):
    """What remains of red nodes' r1; r2 of those beside them, added, and for the next vector."""
    r, beside = around(S, front.residual, k, c, before, below)
    w0, w1, horizontal = w.w * w.a0, w.w * w.a1, r.left + r.right
    return r.here + w1 * horizontal + w0 * r.above + w0 * below, horizontal, beside


@inlined
def weight_even(S, front, w, k, r, horizontal):
    """Weights 1 2 1 along an even row: red nodes in even columns, black ones on either side."""
    store(S, front.even_sum + k, spread(S, 2) * r + w.rest * horizontal)


@inlined
def weight_odd(S, row, front, w, k, last, middle, r, restricted):
    """Along an odd row: black in even columns, red on either side; and 1 2 1 across the rows."""
    two, sixteenth = spread(S, 2), spread(S, 1 / 16)
    added = lagging(last, r) + (two * (w.rest * middle) + r)
    if restricted:
        total = load(S, front.odd_sum + k) + two * load(S, front.even_sum + k)
        store(row.out, row.target + k, sixteenth * total + sixteenth * added)
    store(S, front.odd_sum + k, added)


@inlined
def interior(x, row, k, c):
    """x without a row's first node, which is border, and without what lies behind a short row."""
    if k == 0 and (c == 0 or row.short):
        return masked(x, c == 0, row.m)
    return x


# --- the wave front -----------------------------------------------------------------------------


@inlined
def upper_half(S, row, front, w, work, c, source, sink, lo, hi):
    """The stages of the rows i and i - 1: enter, red."""
    step, ahead = lanes(S), unsigned(AHEAD // S.itemsize)
    before = load(S, front.red.beside + lo - step)
    for k in range(lo, hi, step):
        if row.far:
            ask(S, row.line, row.from_u + k + k + ahead)
            ask(S, row.g, row.from_g + k + k + ahead)
        x = y = spread(S, 0)
        if work.filled:
            x, y = enter(S, row, front, k, source)
        store(S, front.even + k, x)
        store(S, front.odd + k, y)
        if work.red:
            before = red(S, row, front, w, k, c, before, x if c == 0 else y, sink)


@inlined
def lower_half(S, row, front, w, work, c, sink, lo, hi, last, squares):
    """The stages of the rows i - 2 and i - 3: black, write, residual, restrict."""
    step = lanes(S)
    before_p, before_q = load(S, front.black.beside + lo - step), spread(S, 0)
    if sink != NOTHING:
        before_q = load(S, front.residual.beside + lo - step)
    for k in range(lo, hi, step):
        r2 = spread(S, 0)
        if work.black:
            u, r2, beside = black(S, front, w, k, c, before_p)
            if work.written:
                reds = beside if c == 0 else before_p
                write(S, row.to, row.to_u + k + k, c, u + w.w * r2, reds)
                if sink == NORM:
                    squares = add_squares(squares, interior(w.rest * r2, row, k, c))
            before_p = beside
        if sink != NOTHING:
            store(S, front.residual.below + k, r2)
        if work.residual:
            r1, horizontal, beside = residual(S, front, w, k, c, before_q, r2)
            if sink == NORM:
                squares = add_squares(squares, interior(r1, row, k, c))
            elif c == 0:
                weight_even(S, front, w, k, r1, horizontal)
            else:
                weight_odd(S, row, front, w, k, last, before_q, r1, work.restricted)
            last, before_q = r1, beside
    return last, squares


@inlined
def advance(strip, row, work, c, source, sink):
    """The wave front's step to row i; the sum of squared residuals, for NORM.

    c is the parity of i - 1. Where it, `work`, `source` and `sink` are constants, loops without
    branches are left.
    """
    S, half, m = strip.S, strip.half, row.m
    front, w = front_of(S, half, work.i, c), weights_of(strip)
    if source == INTERPOLATED and work.filled:
        row_of_e(row.e, strip.lines.stop // 2 + 1, m + 1, work.i, S, at(_ROW, 0, half))
    last, squares = spread(S, 0), no_squares(S)
    run, pairs = unsigned(_RUN) * lanes(S), unsigned(m)
    for lo in range(unsigned(0), pairs, run):
        hi = min(lo + run, pairs)
        upper_half(S, row, front, w, work, c, source, sink, lo, hi)
        last, squares = lower_half(S, row, front, w, work, c, sink, lo, hi, last, squares)
    if c == 0:  # the first column is border
        S[front.red.here] = S[front.residual.below] = 0
        if work.written:
            row.to[row.to_u] = 0
    if work.restricted:
        row.out[row.target] = 0
    return total_of(squares)


@inlined
def advance_inside(strip, start, stop, source, sink):
    """The wave front's steps to the rows start <= i < stop, where all stages have work."""
    total, remains, restricts = 0.0, sink != NOTHING, sink == RESTRICTION
    for i in range(start, stop):
        row = row_of(strip, i)
        if i % 2 == 1:
            work = Work(i, _YES, _YES, _YES, _YES, remains, _NO)
            total += advance(strip, row, work, _EVEN, source, sink)
        else:
            work = Work(i, _YES, _YES, _YES, _YES, remains, restricts)
            total += advance(strip, row, work, _ODD, source, sink)
    return total


@serial
def advance_anywhere(strip, row, i, source, sink):
    """The wave front's step to row i, where some stages may have no work."""
    return advance(strip, row, work_at(i, strip.lines, source, sink), (i - 1) % 2, source, sink)


@serial
def advance_by_slots(strip, i, source, sink):
    """The same by way of slots; u's row is in the first of them, where it is read.

    So rows may be shorter than a vector, or be those that were kept.
    """
    S, half, n, (u, g, e, coarse) = strip.S, strip.half, strip.n, strip.arrays
    m, r, p, q, work = n // 2, i - 1, i - 2, i - 3, work_at(i, strip.lines, source, sink)
    start, size = at(_SINGLE, 0, half), 2 * half
    if source == CORRECTED and work.filled:
        I, K = i // 2 * (m + 1), (i + 1) // 2 * (m + 1)
        for J in range(m):
            here, there = e[I + J] + e[K + J], e[I + J + 1] + e[K + J + 1]
            S[start + 2 * J] += S.dtype.type(1 / 2) * here
            S[start + 2 * J + 1] += S.dtype.type(1 / 4) * (here + there)
        source = GIVEN
    if work.red:
        copy(g, r * n, S, start + size, 2 * m)
    in_slots = Row(
        m=m,
        line=S,
        from_u=offset(start),
        g=S,
        from_g=offset(start + size),
        e=e,
        above=offset(0),
        below=offset(0),
        to=S,
        to_u=offset(start + 2 * size),
        out=S,
        target=offset(start + 3 * size),
        far=_NO,
        short=_YES,
    )
    squares = advance_anywhere(strip, in_slots, i, source, sink)
    behind = max(np.int64(lanes(S)) - m, 0)  # behind a short row there are zeros again
    for row in range(p, i + 1):
        fill(S, at(_U + row % 4, 0, half) + m, behind, 0)
        fill(S, at(_U + row % 4, 1, half) + m, behind, 0)
    fill(S, at(_R + p % 3, 1, half) + m, behind, 0)
    if work.written:
        copy(S, start + 2 * size, u, p * n, 2 * m)
    if work.restricted:
        copy(S, start + 3 * size, coarse, q // 2 * (m + 1), m)
    return squares


@serial
def advance_ends(strip, below, start, stop, source, sink):
    """The wave front's steps to the rows start <= i < stop near the borders of a strip.

    The rows that were kept are in the strip's scratch, and in `below`, that of the next strip.
    """
    S, half, n, (a, b, _, last, _) = strip.S, strip.half, strip.n, strip.lines
    short, slot, total = n // 2 < np.int64(lanes(S)), at(_SINGLE, 0, half), 0.0
    for i in range(start, stop):
        if a <= i < b and not short:
            total += advance_anywhere(strip, row_of(strip, i), i, source, sink)
            continue
        if 0 < i < a:
            copy(S, at(_OLD + i - a + 3, 0, half), S, slot, n)
        elif b <= i < min(b + 4, last):
            copy(below, at(_OLD + i - b + 3, 0, half), S, slot, n)
        elif a <= i < b:
            copy(strip.arrays.u, i * n, S, slot, n)
        total += advance_by_slots(strip, i, source, sink)
    return total


@serial
def sweep_strip(u, g, source, e, sink, coarse, sums, omega, a0, a1, space, strip, strips):
    """The pass over one strip."""
    rows, n = u.shape
    last = rows - 1
    a = first_line(strip, strips, rows)
    b = first_line(strip + 1, strips, rows) if strip + 1 < strips else last
    S, below = space[strip], space[min(strip + 1, strips - 1)]
    arrays = Arrays(u.reshape(-1), g.reshape(-1), e.reshape(-1), coarse.reshape(-1))
    lines, far = Lines(a, b, np.int64(1), last, last // 2), u.size * u.itemsize > NEAR
    task = Strip(S, half_size(n), n, lines, arrays, far, omega, a0, a1)

    inner = b if n // 2 < np.int64(lanes(S)) else min(a + 4, b)
    total = advance_ends(task, below, max(a - 3, 0), inner, source, sink)
    # A copy of the loops for each pair of V(1,1) and full multigrid, for a plain step, and one for
    # all others.
    if source == GIVEN and sink == RESTRICTION:
        total += advance_inside(task, inner, b, GIVEN, RESTRICTION)
    elif source == ZERO and sink == RESTRICTION:
        total += advance_inside(task, inner, b, ZERO, RESTRICTION)
    elif source == INTERPOLATED and sink == RESTRICTION:
        total += advance_inside(task, inner, b, INTERPOLATED, RESTRICTION)
    elif source == CORRECTED and sink == NOTHING:
        total += advance_inside(task, inner, b, CORRECTED, NOTHING)
    elif source == CORRECTED and sink == NORM:
        total += advance_inside(task, inner, b, CORRECTED, NORM)
    elif source == GIVEN and sink == NOTHING:
        total += advance_inside(task, inner, b, GIVEN, NOTHING)
    else:
        total += advance_inside(task, inner, b, source, sink)
    total += advance_ends(task, below, b, min(b + 3, last) + 4, source, sink)
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
