"""Kernels in 3D: A couples a node to its six neighbours, with -a0, -a1, -a2 and the diagonal d.

::

    a0 = h0^-2, a1 = h1^-2, a2 = h2^-2, d = 2 a0 + 2 a1 + 2 a2
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
def defect(u, g, i, j, l, a0, a1, a2):
    """(g - A u) at one node."""
    planes = second_difference(u[i - 1, j, l], u[i, j, l], u[i + 1, j, l])
    rows = second_difference(u[i, j - 1, l], u[i, j, l], u[i, j + 1, l])
    columns = second_difference(u[i, j, l - 1], u[i, j, l], u[i, j, l + 1])
    return g[i, j, l] + a0 * planes + a1 * rows + a2 * columns


@parallel
def residual(u, g, r, a):
    """r = g - A u; `u` may have any border values."""
    a0, a1, a2 = a
    for i in prange(1, u.shape[0] - 1):
        for j in range(1, u.shape[1] - 1):
            for l in range(1, u.shape[2] - 1):
                r[i, j, l] = defect(u, g, i, j, l, a0, a1, a2)


@serial
def defect_row(u, g, row, i, j, a0, a1, a2, per_unit):
    """row = per_unit (g - A u) in row j of plane i, and its sum of squares."""
    for l in range(1, u.shape[2] - 1):
        row[l] = per_unit * defect(u, g, i, j, l, a0, a1, a2)
    return squares(row, 1, u.shape[2] - 2)


@parallel
def norm(u, g, a):
    """||g - A u||_2 over the interior, summed in double precision."""
    a0, a1, a2 = a
    total = 0.0
    for i in prange(1, u.shape[0] - 1):
        row = np.empty(u.shape[2], u.dtype)
        for j in range(1, u.shape[1] - 1):
            total += defect_row(u, g, row, i, j, a0, a1, a2, u.dtype.type(1))
    return sqrt(total)


@parallel
def length(g):
    """||g||_2 over the interior, summed in double precision: the residual where u = 0."""
    total = 0.0
    for i in prange(1, g.shape[0] - 1):
        plane = 0.0
        for j in range(1, g.shape[1] - 1):
            plane += squares(g[i, j], 1, g.shape[2] - 2)
        total += plane
    return sqrt(total)


@serial
def defect_plane(u, g, r, i, a0, a1, a2, per_unit):
    """Plane i of r = per_unit (g - A u), and its sum of squares."""
    total = 0.0
    for j in range(1, u.shape[1] - 1):
        total += defect_row(u, g, r[i, j], i, j, a0, a1, a2, per_unit)
    return total


@serial
def correct_planes(u, e, g, r, a0, a1, a2, scale, per_unit, zero, first, last):
    """u += scale e in the planes first ... last, and r behind it, but in the first and last one."""
    total = 0.0
    for i in range(first, last + 1):
        for j in range(1, u.shape[1] - 1):
            if zero:
                for l in range(1, u.shape[2] - 1):
                    u[i, j, l] = scale * e[i, j, l]
            else:
                for l in range(1, u.shape[2] - 1):
                    u[i, j, l] += scale * e[i, j, l]
        if i - 1 > first:
            total += defect_plane(u, g, r, i - 1, a0, a1, a2, per_unit)
    return total


@parallel
def correct(u, e, g, r, a, scale, per_unit, zero, strips):
    """u += scale e (u = scale e if `zero`); r = per_unit (g - A u); the norm of r is returned.

    One pass over memory: the residual is a plane behind the correction. The first and the last
    plane of each of the `strips` wait until all are corrected. e and r may be of another precision.
    """
    a0, a1, a2 = a
    count = u.shape[0] - 2
    sums = np.zeros(strips)
    for strip in prange(strips):
        first, last = 1 + strip * count // strips, (strip + 1) * count // strips
        sums[strip] = correct_planes(
            u, e, g, r, a0, a1, a2, scale, per_unit, zero, np.int64(first), np.int64(last)
        )
    for strip in range(strips):
        first, last = 1 + strip * count // strips, (strip + 1) * count // strips
        if first <= last:
            sums[strip] += defect_plane(u, g, r, first, a0, a1, a2, per_unit)
        if first < last:
            sums[strip] += defect_plane(u, g, r, last, a0, a1, a2, per_unit)
    return sqrt(sums.sum())


@parallel
def jacobi(u, g, new, a, omega):
    """new = u + omega D^-1 (g - A u)."""
    a0, a1, a2 = a
    w = omega / (a0 + a0 + a1 + a1 + a2 + a2)
    for i in prange(1, u.shape[0] - 1):
        for j in range(1, u.shape[1] - 1):
            for l in range(1, u.shape[2] - 1):
                new[i, j, l] = u[i, j, l] + w * defect(u, g, i, j, l, a0, a1, a2)


@parallel
def color(u, g, a, omega, parity):
    """u += omega D^-1 (g - A u) in place where i + j + l is even (0, red) or odd (1, black)."""
    a0, a1, a2 = a
    w = omega / (a0 + a0 + a1 + a1 + a2 + a2)
    for i in prange(1, u.shape[0] - 1):
        for j in range(1, u.shape[1] - 1):
            for l in range(2 - (i + j + parity) % 2, u.shape[2] - 1, 2):
                u[i, j, l] += w * defect(u, g, i, j, l, a0, a1, a2)


@serial
def lexicographic(u, g, a, omega):
    """u += omega D^-1 (g - A u) in place, plane after plane, row after row, node after node."""
    a0, a1, a2 = a
    w = omega / (a0 + a0 + a1 + a1 + a2 + a2)
    for i in range(1, u.shape[0] - 1):
        for j in range(1, u.shape[1] - 1):
            for l in range(1, u.shape[2] - 1):
                u[i, j, l] += w * defect(u, g, i, j, l, a0, a1, a2)


@parallel
def restrict(r, coarse, weights, k):
    """coarse = R r with a symmetric stencil, `weights` by the distance along each axis."""
    k1, k2 = k[1], k[2]
    for I in prange(1, coarse.shape[0] - 1):
        i = I << k[0]
        for J in range(1, coarse.shape[1] - 1):
            j = J << k1
            for L in range(1, coarse.shape[2] - 1):
                l = L << k2
                total = r.dtype.type(0)
                for di in range(-1, 2):
                    for dj in range(-1, 2):
                        w = weights[abs(di), abs(dj)]
                        total += w[0] * r[i + di, j + dj, l] + w[1] * (
                            r[i + di, j + dj, l - 1] + r[i + di, j + dj, l + 1]
                        )
                coarse[I, J, L] = total


@parallel
def prolong(u, coarse, k):
    """u += P coarse, trilinear: an eighth of the sum of the eight coarse nodes around."""
    eighth = u.dtype.type(0.125)
    k1, k2 = k[1], k[2]
    for i in prange(1, u.shape[0] - 1):
        I, K = between(i, k[0])
        for j in range(1, u.shape[1] - 1):
            J, M = between(j, k1)
            for l in range(1, u.shape[2] - 1):
                L, N = between(l, k2)
                u[i, j, l] += eighth * (
                    coarse[I, J, L] + coarse[I, J, N] + coarse[I, M, L] + coarse[I, M, N]
                    + coarse[K, J, L] + coarse[K, J, N] + coarse[K, M, L] + coarse[K, M, N]
                )  # fmt: skip


@parallel
def interpolate(u, coarse, k):
    """u = the tricubic interpolation of `coarse`: along the last axis, the second, the first."""
    sixteenth = u.dtype.type(1 / 16)
    n0, n1, n2 = coarse.shape
    for I in prange(1, n0 - 1):
        i = I << k[0]
        for J in range(1, n1 - 1):
            j = J << k[1]
            for l in range(1, u.shape[2] - 1):
                L, N = between(l, k[2])
                if L == N:
                    u[i, j, l] = coarse[I, J, L]
                else:
                    p, q, s, t, wp, wq, ws, wt = cubic(L, n2)
                    u[i, j, l] = sixteenth * (
                        wp * coarse[I, J, p] + wq * coarse[I, J, q]
                        + ws * coarse[I, J, s] + wt * coarse[I, J, t]
                    )  # fmt: skip
        if k[1]:
            for J in range(n1 - 1):
                p, q, s, t, wp, wq, ws, wt = cubic(J, n1)
                for l in range(1, u.shape[2] - 1):
                    u[i, 2 * J + 1, l] = sixteenth * (
                        wp * u[i, 2 * p, l] + wq * u[i, 2 * q, l]
                        + ws * u[i, 2 * s, l] + wt * u[i, 2 * t, l]
                    )  # fmt: skip
    if k[0]:
        for I in prange(n0 - 1):
            p, q, s, t, wp, wq, ws, wt = cubic(I, n0)
            for j in range(1, u.shape[1] - 1):
                for l in range(1, u.shape[2] - 1):
                    u[2 * I + 1, j, l] = sixteenth * (
                        wp * u[2 * p, j, l] + wq * u[2 * q, j, l]
                        + ws * u[2 * s, j, l] + wt * u[2 * t, j, l]
                    )  # fmt: skip
