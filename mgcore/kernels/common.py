"""What the kernels of all dimensions share: memory, sums, scaling, cubic interpolation."""

from math import prod

import numpy as np
from numba import prange

from mgcore.kernels.compilation import parallel, serial, summing, unsigned

__all__ = ["aligned", "between", "cubic", "scaled", "second_difference", "squares"]


def aligned(shape, dtype):
    """Zeros that begin on a cache line."""
    size, line = prod(shape), 64
    memory = np.zeros(size + line, dtype)
    start = -memory.ctypes.data % line // memory.itemsize
    return memory[start : start + size].reshape(shape)


@serial
def second_difference(x, u, y):
    """x - 2 u + y of three neighbours, numbers or vectors.

    Residuals are sums of these, never the diagonal times u minus the neighbours. Of nearby numbers
    a difference is exact, so rounding a weight of A changes A by a factor near 1. A rounded
    diagonal adds a term c u instead, and on fine grids in float32 its c is as large as the lowest
    eigenvalue of A.
    """
    return (x - u) + (y - u)


@summing
def squares(S, x, n):
    """The sum of squares of S[x : x + n], in double precision."""
    x, total = unsigned(x), 0.0
    for k in range(unsigned(n)):
        total += np.float64(S[x + k]) * np.float64(S[x + k])
    return total


@parallel
def scaled(values, factor, out):
    """out = factor * values, flat arrays of any precision."""
    for k in prange(values.size):
        out[k] = factor * values[k]


@serial
def cubic(I, n):
    """Four coarse nodes around the midpoint of I and I + 1, and their weights times 16.

    ::

        -1   9   9  -1      inside,        5  15  -5   1      beside the border,
         o   o x o   o                     o x o   o   o

    6  12  -2 on the three nodes of the coarsest axis. `n` is the number of nodes. Exact for cubic
    (on three nodes quadratic) polynomials. The fourth node repeats the third where n = 3.
    """
    I = np.int64(I)  # the index of a parallel loop is unsigned, and would make floats of these
    if n == 3:
        if I == 0:
            return 0, 1, 2, 2, 6, 12, -2, 0
        return 0, 1, 2, 2, -2, 12, 6, 0
    if I == 0:
        return 0, 1, 2, 3, 5, 15, -5, 1
    if n - 2 == I:
        return n - 4, n - 3, n - 2, n - 1, 1, -5, 15, 5
    return I - 1, I, I + 1, I + 2, -1, 9, 9, -1


@serial
def between(i, k):
    """The coarse nodes on either side of fine node i; both the same where i lies on one."""
    return i >> k, (i + k) >> k
