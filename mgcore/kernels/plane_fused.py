"""Half a V cycle in 2D in one pass over memory: smoothing fused with the transfer.

``descend`` is a red-black step, the residual and its full weighting; ``ascend`` is bilinear
interpolation, the correction and a red-black step. Both give what the kernels of plane.py give one
after the other, to rounding.

A wave front runs down a strip of rows. In ``descend``, when row i is red-updated,

::

    row i      red        R_i     = u_i with red points updated, from old rows i-1, i, i+1
    row i - 1  black      u_{i-1} = R_{i-1} with black points updated, from R_{i-2}, R_{i-1}, R_i
    row i - 2  residual   r_{i-2}, from new rows i-3, i-2, i-1
    row i - 3  weighting  the coarse row that r_{i-4}, r_{i-3}, r_{i-2} complete

so each row of u and g is read from memory once and u written once; what lies between stays in
rings of three rows, in the cache. A red or black update is done for the whole row with a weight
that is omega/d or 0 by turns, which vectorises where a stride of two would not.

Each thread owns a strip. The rows around a border between strips are copied first, and both sides
compute the few rows there that they need from each other, so strips do not wait for one another.
"""

import numpy as np
from numba import prange

from mgcore.kernels.common import cubic, parallel, serial

__all__ = [
    "ascend",
    "ascend_strip",
    "descend",
    "descend_strip",
    "interpolate",
    "restrict",
    "workspace",
]

# Rows that one strip needs: rings of three for R, r (or V), three new rows beyond its borders, one
# for sums, and those copied at its upper border.
_ROWS = 17
_SAVED = 10  # the first of the copied rows


def workspace(n, strips, dtype):
    """Scratch rows for `strips` strips of a grid with `n` nodes a row; zero at both ends."""
    return np.zeros((strips, _ROWS, n), dtype)


@serial
def relax(out, above, row, below, g, w, a0, a1, d):
    """out = row + w (g - A u), w different from zero at every second point."""
    for j in range(1, row.size - 1):
        Au = d * row[j] - a0 * (above[j] + below[j]) - a1 * (row[j - 1] + row[j + 1])
        out[j] = row[j] + w[j] * (g[j] - Au)


@serial
def relax_zero(out, g, w):
    """The same where u is zero and need not be read."""
    for j in range(1, out.size - 1):
        out[j] = w[j] * g[j]


@serial
def defect(out, above, row, below, g, a0, a1, d):
    """out = g - A u."""
    for j in range(1, row.size - 1):
        Au = d * row[j] - a0 * (above[j] + below[j]) - a1 * (row[j - 1] + row[j + 1])
        out[j] = g[j] - Au


@serial
def weight(out, above, row, below, total):
    """Full weighting: sums along columns, then along the row, each (1 2 1) / 4."""
    sixteenth = row.dtype.type(1 / 16)
    for j in range(1, row.size - 1):
        total[j] = above[j] + row[j] + row[j] + below[j]
    for J in range(1, out.size - 1):
        j = 2 * J
        out[J] = sixteenth * (total[j - 1] + total[j] + total[j] + total[j + 1])


@serial
def correct(out, row, above, below, total):
    """out = row + P e between the coarse rows `above` and `below` (the same on a coarse row)."""
    half = row.dtype.type(0.5)
    for J in range(above.size):
        total[J] = half * (above[J] + below[J])
    for J in range(above.size - 1):
        out[2 * J] = row[2 * J] + total[J]
        out[2 * J + 1] = row[2 * J + 1] + half * (total[J] + total[J + 1])


@serial
def blend(out, coarse, I):
    """out = the row halfway between the coarse rows I and I + 1, cubic."""
    p, q, s, t, wp, wq, ws, wt = cubic(I, coarse.shape[0])
    real = out.dtype.type
    cp, cq, cs, ct = real(wp / 16), real(wq / 16), real(ws / 16), real(wt / 16)
    for J in range(coarse.shape[1]):
        out[J] = cp * coarse[p, J] + cq * coarse[q, J] + cs * coarse[s, J] + ct * coarse[t, J]


@serial
def expand(out, row, n):
    """out = the fine row through the first n values of `row`, cubic; its ends are border nodes."""
    real = out.dtype.type
    near, far = real(9 / 16), real(1 / 16)
    for J in range(1, n - 2):
        out[2 * J] = row[J]
        out[2 * J + 1] = near * (row[J] + row[J + 1]) - far * (row[J - 1] + row[J + 2])
    out[2 * (n - 2)] = row[n - 2]
    for J in (0, n - 2):  # beside the border the formula is one-sided
        p, q, s, t, wp, wq, ws, wt = cubic(J, n)
        total = wp * row[p] + wq * row[q] + ws * row[s] + wt * row[t]
        out[2 * J + 1] = real(total / 16)


@serial
def first_row(strip, strips, coarse_rows):
    """First fine row of a strip: 1 for the first; odd, so that coarse rows are not shared."""
    return 2 * (1 + strip * coarse_rows // strips) - 1


@serial
def save(u, rows, strips, coarse_rows):
    """Copy the rows s - 3 ... s + 3 around the first row s of each strip but the first."""
    for strip in range(1, strips):
        s = first_row(strip, strips, coarse_rows)
        for k in range(7):
            rows[strip, _SAVED + k, :] = u[s - 3 + k]


@serial
def old(u, rows, i, strip, strips, a, b):
    """Row i before the pass: from memory inside the strip, from the copies outside."""
    if i < a and strip > 0:
        return rows[strip, _SAVED + i - a + 3]
    if i >= b and strip + 1 < strips:
        return rows[strip + 1, _SAVED + i - b + 3]
    return u[i]


@serial
def new(u, rows, i, strip, strips, a, b):
    """Row i after the pass: own copies of the rows outside the strip."""
    if i < a and strip > 0:
        return rows[strip, 6]
    if i >= b and strip + 1 < strips:
        return rows[strip, 7 + i - b]
    return u[i]


@serial
def descend_strip(u, g, coarse, w, a0, a1, zero, rows, strip, strips):
    """The pass over one strip."""
    d = a0 + a0 + a1 + a1
    last = u.shape[0] - 1
    coarse_rows = coarse.shape[0] - 2
    a = first_row(strip, strips, coarse_rows)
    b = first_row(strip + 1, strips, coarse_rows) if strip + 1 < strips else last
    for i in range(max(a - 2, 0), min(b + 2, last) + 1):
        R = rows[strip, i % 3]
        if i == 0 or i == last:
            R[:] = 0
        elif zero:
            relax_zero(R, g[i], w[i % 2])
        else:
            relax(
                R, old(u, rows, i - 1, strip, strips, a, b), old(u, rows, i, strip, strips, a, b),
                old(u, rows, i + 1, strip, strips, a, b), g[i], w[i % 2], a0, a1, d,
            )  # fmt: skip
        m = i - 1
        if m >= max(a - 1, 1):
            relax(
                new(u, rows, m, strip, strips, a, b), rows[strip, (m - 1) % 3], rows[strip, m % 3],
                R, g[m], w[1 - m % 2], a0, a1, d,
            )  # fmt: skip
        q = i - 2
        if q >= a:
            defect(
                rows[strip, 3 + q % 3], new(u, rows, q - 1, strip, strips, a, b),
                new(u, rows, q, strip, strips, a, b), new(u, rows, q + 1, strip, strips, a, b),
                g[q], a0, a1, d,
            )  # fmt: skip
            if q % 2 == 1 and q > a:
                weight(
                    coarse[q // 2], rows[strip, 3 + (q - 2) % 3], rows[strip, 3 + (q - 1) % 3],
                    rows[strip, 3 + q % 3], rows[strip, 9],
                )  # fmt: skip
    if strip + 1 == strips:  # the border below has no red row to wait for
        q = last - 1
        defect(rows[strip, 3 + q % 3], u[q - 1], u[q], u[last], g[q], a0, a1, d)
        weight(
            coarse[q // 2], rows[strip, 3 + (q - 2) % 3], rows[strip, 3 + (q - 1) % 3],
            rows[strip, 3 + q % 3], rows[strip, 9],
        )  # fmt: skip


@serial
def ascend_strip(u, g, coarse, w, a0, a1, rows, strip, strips):
    """The pass over one strip: V_i = u_i + P e, then red, then black."""
    d = a0 + a0 + a1 + a1
    last = u.shape[0] - 1
    coarse_rows = coarse.shape[0] - 2
    a = first_row(strip, strips, coarse_rows)
    b = first_row(strip + 1, strips, coarse_rows) if strip + 1 < strips else last
    for i in range(max(a - 2, 0), min(b + 1, last) + 1):
        V = rows[strip, 3 + i % 3]
        if i == 0 or i == last:
            V[:] = 0
        else:
            row = old(u, rows, i, strip, strips, a, b)
            correct(V, row, coarse[i // 2], coarse[(i + 1) // 2], rows[strip, 9])
        m = i - 1
        if m >= max(a - 1, 0):
            R = rows[strip, m % 3]
            if m == 0:
                R[:] = 0
            else:
                relax(
                    R, rows[strip, 3 + (m - 1) % 3], rows[strip, 3 + m % 3], V,
                    g[m], w[m % 2], a0, a1, d,
                )  # fmt: skip
        q = i - 2
        if q >= a:
            relax(
                u[q], rows[strip, (q - 1) % 3], rows[strip, q % 3], rows[strip, (q + 1) % 3],
                g[q], w[1 - q % 2], a0, a1, d,
            )  # fmt: skip
    if strip + 1 == strips:
        q = last - 1
        R = rows[strip, last % 3]
        R[:] = 0
        relax(
            u[q], rows[strip, (q - 1) % 3], rows[strip, q % 3], R, g[q], w[1 - q % 2], a0, a1, d
        )  # fmt: skip


@parallel
def descend(u, g, coarse, w, a0, a1, zero, rows, strips):
    """Red-black step on u, and coarse = full weighting of the residual after it."""
    if not zero:
        save(u, rows, strips, coarse.shape[0] - 2)
    for strip in prange(strips):
        descend_strip(u, g, coarse, w, a0, a1, zero, rows, np.int64(strip), strips)


@parallel
def restrict(r, coarse, rows, strips):
    """coarse = full weighting of r, row by row."""
    count = coarse.shape[0] - 2
    for strip in prange(strips):
        for I in range(1 + strip * count // strips, 1 + (strip + 1) * count // strips):
            weight(coarse[I], r[2 * I - 1], r[2 * I], r[2 * I + 1], rows[strip, 9])


@parallel
def interpolate(u, coarse, rows, strips):
    """u = the bicubic interpolation of `coarse`, row by row."""
    n0, n1 = coarse.shape
    for strip in prange(strips):
        between = rows[strip, 9]
        for I in range(strip * (n0 - 1) // strips, (strip + 1) * (n0 - 1) // strips):
            if I > 0:
                expand(u[2 * I], coarse[I], n1)
            blend(between, coarse, I)
            expand(u[2 * I + 1], between, n1)


@parallel
def ascend(u, g, coarse, w, a0, a1, rows, strips):
    """u += P coarse, then a red-black step."""
    save(u, rows, strips, coarse.shape[0] - 2)
    for strip in prange(strips):
        ascend_strip(u, g, coarse, w, a0, a1, rows, np.int64(strip), strips)
