"""Kernels in 2D.

::

                         -a0
    A  =          [ -a1   d   -a1 ]        a0 = h0^-2, a1 = h1^-2, d = 2 a0 + 2 a1
                         -a0
"""

from math import sqrt

import numpy as np
from numba import prange

from mgcore.kernels.common import between, cubic, second_difference, squares
from mgcore.kernels.compilation import parallel, serial

__all__ = [
    "color",
    "correct",
    "interpolate",
    "jacobi",
    "length",
    "lexicographic",
    "norm",
    "prolong",
    "residual",
    "restrict",
]


@serial
def defect(u, g, i, j, a0, a1):
    """(g - A u) at one node."""
    rows = second_difference(u[i - 1, j], u[i, j], u[i + 1, j])
    return g[i, j] + a0 * rows + a1 * second_difference(u[i, j - 1], u[i, j], u[i, j + 1])


@parallel
def residual(u, g, r, a):
    """r = g - A u; `u` may have any border values."""
    a0, a1 = a
    for i in prange(1, u.shape[0] - 1):
        for j in range(1, u.shape[1] - 1):
            r[i, j] = defect(u, g, i, j, a0, a1)


@serial
def defect_row(u, g, row, i, a0, a1, per_unit):
    """row = per_unit (g - A u) in row i, and its sum of squares."""
    for j in range(1, u.shape[1] - 1):
        row[j] = per_unit * defect(u, g, i, j, a0, a1)
    return squares(row, 1, u.shape[1] - 2)


@parallel
def norm(u, g, a):
    """||g - A u||_2 over the interior, summed in double precision."""
    a0, a1 = a
    total = 0.0
    for i in prange(1, u.shape[0] - 1):
        row = np.empty(u.shape[1], u.dtype)
        total += defect_row(u, g, row, i, a0, a1, u.dtype.type(1))
    return sqrt(total)


@parallel
def length(g):
    """||g||_2 over the interior, summed in double precision: the residual where u = 0."""
    total = 0.0
    for i in prange(1, g.shape[0] - 1):
        total += squares(g[i], 1, g.shape[1] - 2)
    return sqrt(total)


@serial
def correct_rows(u, e, g, r, a0, a1, scale, per_unit, zero, first, last):
    """u += scale e in the rows first ... last, and r behind it, but in the first and last one."""
    total = 0.0
    for i in range(first, last + 1):
        if zero:
            for j in range(1, u.shape[1] - 1):
                u[i, j] = scale * e[i, j]
        else:
            for j in range(1, u.shape[1] - 1):
                u[i, j] += scale * e[i, j]
        if i - 1 > first:
            total += defect_row(u, g, r[i - 1], i - 1, a0, a1, per_unit)
    return total


@parallel
def correct(u, e, g, r, a, scale, per_unit, zero, strips):
    """u += scale e (u = scale e if `zero`); r = per_unit (g - A u); the norm of r is returned.

    One pass over memory: the residual is a row behind the correction. The first and the last row
    of each of the `strips` wait until all are corrected. e and r may be of another precision.
    """
    a0, a1 = a
    count = u.shape[0] - 2
    sums = np.zeros(strips)
    for strip in prange(strips):
        first, last = 1 + strip * count // strips, (strip + 1) * count // strips
        sums[strip] = correct_rows(
            u, e, g, r, a0, a1, scale, per_unit, zero, np.int64(first), np.int64(last)
        )
    for strip in range(strips):
        first, last = 1 + strip * count // strips, (strip + 1) * count // strips
        if first <= last:
            sums[strip] += defect_row(u, g, r[first], first, a0, a1, per_unit)
        if first < last:
            sums[strip] += defect_row(u, g, r[last], last, a0, a1, per_unit)
    return sqrt(sums.sum())


@parallel
def jacobi(u, g, new, a, omega):
    """new = u + omega D^-1 (g - A u)."""
    a0, a1 = a
    w = omega / (a0 + a0 + a1 + a1)
    for i in prange(1, u.shape[0] - 1):
        for j in range(1, u.shape[1] - 1):
            new[i, j] = u[i, j] + w * defect(u, g, i, j, a0, a1)


@parallel
def color(u, g, a, omega, parity):
    """u += omega D^-1 (g - A u) in place where i + j is even (parity 0, red) or odd (1, black).

    ::

        r b r b
        b r b r     the coarse nodes (2I, 2J) are red
    """
    a0, a1 = a
    w = omega / (a0 + a0 + a1 + a1)
    for i in prange(1, u.shape[0] - 1):
        for j in range(2 - (i + parity) % 2, u.shape[1] - 1, 2):
            u[i, j] += w * defect(u, g, i, j, a0, a1)


@serial
def lexicographic(u, g, a, omega):
    """u += omega D^-1 (g - A u) in place, row after row, node after node."""
    a0, a1 = a
    w = omega / (a0 + a0 + a1 + a1)
    for i in range(1, u.shape[0] - 1):
        for j in range(1, u.shape[1] - 1):
            u[i, j] += w * defect(u, g, i, j, a0, a1)


@parallel
def restrict(r, coarse, weights, k):
    """coarse = R r with a symmetric stencil.

    ::

        w11 w10 w11
        w01 w00 w01      rows differ by one along the first axis
        w11 w10 w11
    """
    w00, w01, w10, w11 = weights[0, 0], weights[0, 1], weights[1, 0], weights[1, 1]
    for I in prange(1, coarse.shape[0] - 1):
        i = I << k[0]
        for J in range(1, coarse.shape[1] - 1):
            j = J << k[1]
            coarse[I, J] = (
                w00 * r[i, j]
                + w01 * (r[i, j - 1] + r[i, j + 1])
                + w10 * (r[i - 1, j] + r[i + 1, j])
                + w11 * (r[i - 1, j - 1] + r[i - 1, j + 1] + r[i + 1, j - 1] + r[i + 1, j + 1])
            )


@parallel
def prolong(u, coarse, k):
    """u += P coarse, bilinear: a quarter of the sum of the four coarse nodes around."""
    quarter = u.dtype.type(0.25)
    k1 = k[1]
    for i in prange(1, u.shape[0] - 1):
        I, K = between(i, k[0])
        for j in range(1, u.shape[1] - 1):
            J, L = between(j, k1)
            u[i, j] += quarter * (coarse[I, J] + coarse[I, L] + coarse[K, J] + coarse[K, L])


@parallel
def interpolate(u, coarse, k):
    """u = the bicubic interpolation of `coarse`: rows on coarse rows first, then those between."""
    sixteenth = u.dtype.type(1 / 16)
    n0, n1 = coarse.shape
    for I in prange(1, n0 - 1):
        i = I << k[0]
        for j in range(1, u.shape[1] - 1):
            J, L = between(j, k[1])
            if J == L:
                u[i, j] = coarse[I, J]
            else:
                p, q, s, t, wp, wq, ws, wt = cubic(J, n1)
                u[i, j] = sixteenth * (
                    wp * coarse[I, p] + wq * coarse[I, q] + ws * coarse[I, s] + wt * coarse[I, t]
                )
    if k[0]:
        for I in prange(n0 - 1):
            p, q, s, t, wp, wq, ws, wt = cubic(I, n0)
            for j in range(1, u.shape[1] - 1):
                u[2 * I + 1, j] = sixteenth * (
                    wp * u[2 * p, j] + wq * u[2 * q, j] + ws * u[2 * s, j] + wt * u[2 * t, j]
                )
