"""What the kernels of all dimensions share: how they are compiled, and cubic interpolation."""

from collections.abc import Callable

import numba
import numpy as np

__all__ = ["between", "cubic", "parallel", "serial"]

# Contraction to fused multiply-adds is the one liberty taken: it does not reorder sums, so results
# do not depend on how a loop was vectorised.
_OPTIONS = {"cache": True, "fastmath": {"contract", "nsz"}, "error_model": "numpy"}

parallel: Callable = numba.njit(parallel=True, **_OPTIONS)
serial: Callable = numba.njit(**_OPTIONS)


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
