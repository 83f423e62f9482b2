"""Kernels in 1D.

::

                  1
    A  =  h^-2  [-1  2  -1]
"""

from math import sqrt

import numpy as np
from numba import prange

from mgcore.kernels.common import between, cubic, second_difference
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
def defect(u, g, i, a0):
    """(g - A u) at one node."""
    return g[i] + a0 * second_difference(u[i - 1], u[i], u[i + 1])


@parallel
def residual(u, g, r, a):
    """r = g - A u; `u` may have any border values."""
    a0 = a[0]
    for i in prange(1, u.shape[0] - 1):
        r[i] = defect(u, g, i, a0)


@parallel
def norm(u, g, a):
    """||g - A u||_2 over the interior, summed in double precision."""
    a0 = a[0]
    total = 0.0
    for i in prange(1, u.shape[0] - 1):
        r = defect(u, g, i, a0)
        total += np.float64(r) * np.float64(r)
    return sqrt(total)


@parallel
def length(g):
    """||g||_2 over the interior, summed in double precision: the residual where u = 0."""
    total = 0.0
    for i in prange(1, g.shape[0] - 1):
        total += np.float64(g[i]) * np.float64(g[i])
    return sqrt(total)


@parallel
def correct(u, e, g, r, a, scale, per_unit, zero, strips):
    """u += scale e (u = scale e if `zero`); r = per_unit (g - A u); the norm of r is returned."""
    a0 = a[0]
    for i in prange(1, u.shape[0] - 1):
        u[i] = scale * e[i] + (0 if zero else u[i])
    total = 0.0
    for i in prange(1, u.shape[0] - 1):
        r[i] = per_unit * defect(u, g, i, a0)
        total += np.float64(r[i]) * np.float64(r[i])
    return sqrt(total)


@parallel
def jacobi(u, g, new, a, omega):
    """new = u + omega D^-1 (g - A u), D = 2 h^-2."""
    a0 = a[0]
    w = omega / (a0 + a0)
    for i in prange(1, u.shape[0] - 1):
        new[i] = u[i] + w * defect(u, g, i, a0)


@parallel
def color(u, g, a, omega, parity):
    """u += omega D^-1 (g - A u) in place where the node index is even (0) or odd (1)."""
    a0 = a[0]
    w = omega / (a0 + a0)
    for m in prange((u.shape[0] - parity) // 2 - 1 + parity):
        i = 2 * m + 2 - parity
        u[i] += w * defect(u, g, i, a0)


@serial
def lexicographic(u, g, a, omega):
    """u += omega D^-1 (g - A u) in place, node after node."""
    a0 = a[0]
    w = omega / (a0 + a0)
    for i in range(1, u.shape[0] - 1):
        u[i] += w * defect(u, g, i, a0)


@parallel
def restrict(r, coarse, weights, k):
    """coarse = R r with the weights at distance 0 and 1."""
    w0, w1 = weights[0], weights[1]
    for I in prange(1, coarse.shape[0] - 1):
        i = I << k[0]
        coarse[I] = w0 * r[i] + w1 * (r[i - 1] + r[i + 1])


@parallel
def prolong(u, coarse, k):
    """u += P coarse, linear: half the sum of the coarse nodes on either side."""
    half = u.dtype.type(0.5)
    for i in prange(1, u.shape[0] - 1):
        I, J = between(i, k[0])
        u[i] += half * (coarse[I] + coarse[J])


@parallel
def interpolate(u, coarse, k):
    """u = the cubic interpolation of `coarse`."""
    sixteenth = u.dtype.type(1 / 16)
    n = coarse.shape[0]
    for i in prange(1, u.shape[0] - 1):
        I, J = between(i, k[0])
        if I == J:
            u[i] = coarse[I]
        else:
            p, q, s, t, wp, wq, ws, wt = cubic(I, n)
            u[i] = sixteenth * (wp * coarse[p] + wq * coarse[q] + ws * coarse[s] + wt * coarse[t])
