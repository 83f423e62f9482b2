"""Red-black smoothing in 3D, fused with what comes before and after it: one pass over memory.

As in plane_fused.py, with planes in place of rows, and tricubic interpolation; wave.py has the wave
front that runs down the planes.

A plane of rows with n = 2h + 1 places each is taken as one line, place l of row j being number
j n + l. As n is odd, red and black nodes take turns along the whole line, and the neighbours of
the nodes of one half stand at fixed distances in the other:

::

                    back                even[k]           odd[k]
                     |        left      odd[k - 1]        even[k]
             left -- x -- right  right  odd[k]            even[k + 1]
                     |        front     odd[k - h - 1]    even[k - h]
                   front      back      odd[k + h]        even[k + h + 1]

and above and below in the same half of the planes next to it. So one loop over k does all stages,
and the residual of plane i - 3 is computed from planes i - 4, i - 3 and i - 2. The loop runs over
rows' ends and spoils the layer around the unknowns, which is filled again as the sides of a plane
ask for: see rim.py. Couplings of planes to each other are a table, as those of rows in 2D: see
plane_box.py. So the mesh is even within planes, and may be any across them.
"""

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
    split,
)
from mgcore.kernels.plane_box import ABOVE, BELOW, HIGH, LOW, TARGET, entry, first_row
from mgcore.kernels.rim import clear, clear_array, close, close_sums
from mgcore.kernels.space_box import (
    BETWEEN,
    OLD,
    ROW,
    THREE,
    TWO,
    Strip,
    U,
    front_of,
    place,
    space_of,
    weights_of,
    workspace,
)
from mgcore.kernels.vectors import lanes, load, spread, store
from mgcore.kernels.wave import Lines, ask, coloured, separated, work_at, write

__all__ = ["restrict", "sweep", "sweep_strip", "workspace"]

# A plane is taken in parts of about this many bytes of a half, where it enters part by part.
_PART = 16384

# Constants, of NumPy's types like those of halves.py.
_EVEN, _ODD = np.int64(0), np.int64(1)


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
def defect(S, w, pull, near, k, g, u, above, below):
    """g - A u, but for what Robin's sides add: of that the layer knows."""
    rows = second_difference(load(S, near.front + k), u, load(S, near.back + k))
    columns = second_difference(load(S, near.left + k), u, load(S, near.right + k))
    r = g + w.a2 * columns + w.a1 * rows
    return r + pull.above * (above - u) + pull.below * (below - u)


@inlined
def red(S, box, all_g, front, w, k, c, u, above, sink):
    """Red nodes, relaxed; and g for the stages to come."""
    g, other = coloured(S, all_g, front.from_g + k + k, c)
    store(S, front.g_black + k, other)
    if sink != NOTHING:
        store(S, front.g_red + k, g)
    r = defect(S, w, w.red, front.red, k, g, u, above, load(S, front.below + k))
    if box.robin:
        r = r * load(box.tables, front.red_share + k)
    u = u + w.red.w * r
    store(S, front.red.here + k, u)
    return u


@inlined
def black(S, box, front, w, k, u, above, below, sink):
    """Black nodes, relaxed, and what is left of their residual: their neighbours change no more."""
    r = defect(S, w, w.black, front.black, k, load(S, front.g_p + k), u, above, below)
    change = w.black.w * r
    if box.robin:
        change = change * load(box.tables, front.black_share + k)
    relaxed = u + change
    if sink != NOTHING:
        store(S, front.black.here + k, relaxed)
    # Of rounding, what it did to u.
    less = w.black.d * (relaxed - u)
    if box.robin:
        less = less * load(box.tables, front.black_larger + k)
    return relaxed, r - less


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
    return defect(S, w, w.residual, front.residual, k, g, u, above, below)


@inlined
def add_planes(S, front, w, k, c, red, black):
    """Residuals weighted across planes: red nodes of plane i - 3 and black ones of plane i - 2.

    Of coarse planes I, from planes 2 I - 1, 2 I and 2 I + 1: odd ones if plane i - 3 is odd.
    """
    total = load(S, front.two + k) + w.red * red
    if c == 1:
        store(S, front.three + k, total)
        store(S, front.two + k, w.next_red * red + w.next_black * black)
    else:
        store(S, front.three + k, total + w.black * black)
        store(S, front.two + k, w.next_black * black)


# --- the wave front -----------------------------------------------------------------------------


@inlined
def stages(strip, work, entered, c, lo, hi, sink):
    """All stages, for lo <= k < hi in whole vectors."""
    S, u, g, box, step = strip.S, strip.u, strip.g, strip.box, lanes(strip.S)
    front, w = front_of(box, work.i, c), weights_of(S, box, work.i, c)
    size, ahead = unsigned((box.plane.rows - 1) * box.plane.row), unsigned(AHEAD // S.itemsize)
    for k in range(unsigned(lo), unsigned(hi), step):
        if strip.far:
            ask(S, u, front.from_u + k + k + ahead)
            ask(S, g, front.from_g + k + k + ahead)
        if not entered:
            enter(S, u, front, k, work.filled)
        u1, u2 = load(S, front.red.here + k), load(S, front.black.here + k)
        u3, r1, r2 = load(S, front.residual.here + k), spread(S, 0), spread(S, 0)
        if work.red:
            u1 = red(S, box, g, front, w, k, c, u1, u2, sink)
        if work.black:
            u2, r2 = black(S, box, front, w, k, u2, u3, u1, sink)
            if work.written:
                write_plane(S, u, front, k, c, u2, size)
        if work.residual:
            r1 = residual(S, front, w, k, u3, u2)
        if sink == RESTRICTION:
            add_planes(S, front, w.adding, k, c, r1, r2)
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


@inlined
def weight(S, box, out, target, J):
    """A row of a coarse plane, out[target + L]: full weighting of the added planes.

    ::

        1 2 1      even  odd  even       even[k - h - 1]  odd[k - h - 1]  even[k - h]
        2 4 2      odd   even odd        odd[k - 1]       even[k]         odd[k]
        1 2 1      even  odd  even       even[k + h]      odd[k + h]      even[k + h + 1]

    around node (J, L), k = J n + L from the origin on; divided by 16.
    """
    h, half, coarse, sixteenth = box.plane.row // 2, box.half, box.coarse, S.dtype.type(1 / 16)
    even = at(THREE, 0, half) + box.plane.origin // 2 + J * box.plane.row
    odd, first = even + half, coarse.left - coarse.before
    x = unsigned(target + coarse.origin + J * coarse.row + first)
    c, e, w = unsigned(even + first), unsigned(odd + first), unsigned(odd + first - 1)
    n, s = unsigned(odd + first - h - 1), unsigned(odd + first + h)
    nw, ne = unsigned(even + first - h - 1), unsigned(even + first - h)
    sw, se = unsigned(even + first + h), unsigned(even + first + h + 1)
    for L in range(unsigned(coarse.right - coarse.left)):
        edges = (S[n + L] + S[s + L]) + (S[w + L] + S[e + L]) + (S[c + L] + S[c + L])
        corners = (S[nw + L] + S[ne + L]) + (S[sw + L] + S[se + L])
        out[x + L] = sixteenth * (edges + edges + corners)


@inlined
def norm(S, box, work, lines, first, c):
    """The sum of squares of the residuals that a step gave."""
    total, plane = 0.0, box.plane
    behind = ((plane.rows - 1) * plane.row + 1 - c) // 2
    for slot, i in ((TWO, work.i - 3), (THREE, work.i - 2)):
        x = at(slot, c, box.half)
        clear(S, at(slot, 0, box.half), at(slot, 1, box.half), c, plane)
        if max(lines.a, lines.first) <= i < min(lines.b, lines.stop):
            total += squares(S, x + first, behind - first)
    return total


@inlined
def finish(strip, work, first, coarse, sink):
    """Fill the layer that the step to plane i spoiled; what the sink has from whole planes.

    The sum of squares is returned, for NORM. Nothing was spoiled before k = first.
    """
    S, box, i = strip.S, strip.box, work.i
    c, p, q, half, lower = (i - 1) % 2, i - 2, i - 3, box.half, box.coarse
    for plane in range(p, i + 1):
        even, odd = at(U + plane % 5, 0, half), at(U + plane % 5, 1, half)
        close(S, even, odd, c, box.plane, box.rim, plane == i)
    if work.written:
        clear_array(strip.u, place(box, p), box.plane)
    if work.restricted:
        close_sums(S, at(THREE, 0, half), at(THREE, 1, half), box.plane, box.rim)
        target = box.rows.places[TARGET, entry(q // 2)] * box.coarse_stride
        for J in range(lower.top - lower.up, lower.bottom - lower.up):
            weight(S, box, coarse, target, J)
    return norm(S, box, work, strip.lines, first, c) if sink == NORM else 0.0


# --- rows that enter from another source than u in memory, or from where they were kept ---------


@inlined
def row_halves(start, even, odd):
    """Where the even and the odd nodes of a row begin, from its place and the plane's halves."""
    if start % 2 == 0:
        return even + start // 2, odd + start // 2
    return odd + start // 2, even + start // 2 + 1


@inlined
def row_corrected(line, x, e, parents, J, M, S, even, odd, n):
    """A row line[x : x + 2 n] + P e between two planes of e and the rows at J and M of each."""
    above, below, upper, lower = parents
    x0, x1, even, odd = unsigned(x), unsigned(x + 1), unsigned(even), unsigned(odd)
    a, b, c, d = unsigned(above + J), unsigned(above + M), unsigned(below + J), unsigned(below + M)
    one, half, quarter = unsigned(1), S.dtype.type(1 / 2), S.dtype.type(1 / 4)
    for L in range(unsigned(n)):
        N = L + one
        here = upper * (e[a + L] + e[b + L]) + lower * (e[c + L] + e[d + L])
        behind = upper * (e[a + N] + e[b + N]) + lower * (e[c + N] + e[d + N])
        S[even + L] = line[x0 + L + L] + half * here
        S[odd + L] = line[x1 + L + L] + quarter * (here + behind)


@inlined
def rows_corrected(strip, line, start, e, i, lo, hi):
    """The rows lo <= j < hi of plane i of u, which begins at line[start], + P e into the ring."""
    S, box, plane, coarse = strip.S, strip.box, strip.box.plane, strip.box.coarse
    even, odd = at(U + i % 5, 0, box.half), at(U + i % 5, 1, box.half)
    rows, x = box.rows, entry(i)
    parents = (
        rows.places[BELOW, x] * box.coarse_stride + coarse.origin,
        rows.places[ABOVE, x] * box.coarse_stride + coarse.origin,
        rows.weights[LOW, x], rows.weights[HIGH, x],
    )  # fmt: skip
    pairs = (plane.right - plane.before + 1) // 2
    for row in range(max(lo, plane.top), min(hi, plane.bottom)):
        j, y = row - plane.up, row * plane.row + plane.before
        to_even, to_odd = row_halves(y, even, odd)
        J, M = j // 2 * coarse.row, (j + 1) // 2 * coarse.row
        row_corrected(line, start + y, e, parents, J, M, S, to_even, to_odd, pairs)


@serial
def enter_rows(strip, line, start, e, source, i, lo, hi):
    """The pairs of rows lo <= J < hi of plane i from the source into the ring.

    If the source is u, plane i begins at line[start].
    """
    S, half, n = strip.S, strip.box.half, strip.box.plane.row
    even, odd = at(U + i % 5, 0, half), at(U + i % 5, 1, half)
    if source == GIVEN:
        split(line, start + 2 * lo * n, S, even + lo * n, odd + lo * n, (hi - lo) * n)
    elif source == CORRECTED:
        rows_corrected(strip, line, start, e, i, 2 * lo, 2 * hi)
    else:
        plane, size = at(BETWEEN, 0, half), strip.box.coarse_stride
        if i % 2 == 0:
            rows_interpolated(strip, e, i // 2 * size, even, odd, lo, hi)
        else:
            if lo == 0:
                blend(e, 0, i // 2, e.size // size, size, S, plane, size)
            rows_interpolated(strip, S, plane, even, odd, lo, hi)


@serial
def rows_interpolated(strip, line, start, even, odd, lo, hi):
    """Cubic interpolation within a plane that lies between those of e, at line[start].

    Only where values are given on all sides, and arrays hold nodes and nothing else.
    """
    S, box, width = strip.S, strip.box, strip.box.plane.row
    h, rows, n = width // 2, box.coarse.rows, box.coarse.row
    between = at(ROW, 0, box.half)
    for j in range(2 * lo, 2 * hi):
        x, y = row_halves(j * width, even, odd)
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
def kept(box, k):
    """Where the plane that is k away from the first one of a strip was copied to."""
    return at(OLD + max(min(k, np.int64(3)), np.int64(-3)) + 3, 0, box.half)


@serial
def keep_borders(u, box, space, strips):
    """Copy the seven planes around the first one of each strip that has a neighbour before it."""
    for strip in range(0 if box.rows.periodic else 1, strips):
        first = first_row(box.rows, strip, strips)
        for k in range(-3, 4):
            copy(u, place(box, first + k), space[strip], kept(box, k), box.stride)


@serial
def sweep_strip(
    u, g, source, e, sink, coarse, sums, numbers, reals, rows, rows_at, tables, space, strip, strips
):
    """The pass over one strip of planes, part by part.

    Planes that were kept are in its scratch, and in `below`, that of the next strip.
    """
    box = space_of(numbers, reals, rows, rows_at, tables)
    S, below, across, plane = space[strip], space[(strip + 1) % strips], box.rows, box.plane
    a, b = first_row(across, strip, strips), first_row(across, strip + 1, strips)
    lines = Lines(a, b, across.first, across.stop, across.coarse_stop)
    far = u.size * u.itemsize > NEAR  # u and g come from memory
    u, g, e, coarse = u.reshape(-1), g.reshape(-1), e.reshape(-1), coarse.reshape(-1)
    task, n, pairs = Strip(S, u, g, box, lines, far), plane.row, plane.rows // 2
    width, part, total = np.int64(lanes(S)), max(_PART // u.itemsize // n, 1), 0.0
    # Where the first unknown lies, or a little before; and behind the last one.
    first = (plane.top * n + plane.left) // 2 // width * width
    behind = ((plane.rows - 1) * n + 1) // 2
    if strips == 1 and across.periodic:
        keep_borders(u, box, space, strips)
    for i in range(max(a - 3, across.first - 1), b + 4):
        work, lo = work_at(i, lines, source, sink), first
        line, start = u, place(box, i)
        if i < a:
            line, start = S, kept(box, i - a)
        elif i >= b:
            line, start = below, kept(box, i - b)
        entered = work.filled and (source != GIVEN or i < a or i >= b)
        for J in range(0, pairs, part):
            end = min(J + part, pairs)
            if entered:
                enter_rows(task, line, start, e, source, i, J, end)
            hi = behind if end == pairs else max(end * n // width * width, lo)
            advance(task, work, entered, lo, hi, sink)
            lo = hi
        total += finish(task, work, first, coarse, sink)
    if sink == NORM:
        sums[strip] = total


@serial
def begin(u, numbers, reals, rows, rows_at, tables, space, strips):
    """Keep what lies around the borders between strips, before they change it."""
    box = space_of(numbers, reals, rows, rows_at, tables)
    keep_borders(u.reshape(-1), box, space, strips)


@parallel
def sweep(
    u, g, source, e, sink, coarse, sums, numbers, reals, rows, rows_at, tables, space, strips
):
    """u = one red-black step on the source; by `sink`, coarse = R r or the sum of `sums` |r|^2.

    `e` is read where the source asks for it, `coarse` and `sums` are written where the sink does.
    The level is told as :func:`space_of` takes it. With omega = 0 there is no step, only what comes
    before and after it.
    """
    if strips > 1 and source in (GIVEN, CORRECTED):
        begin(u, numbers, reals, rows, rows_at, tables, space, strips)
    for strip in prange(strips):
        sweep_strip(
            u, g, source, e, sink, coarse, sums, numbers, reals, rows, rows_at, tables, space,
            np.int64(strip), strips,
        )  # fmt: skip


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
