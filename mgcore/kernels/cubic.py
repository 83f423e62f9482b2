"""Cubic interpolation from a grid to the finer one, on arrays that mgcore/layout.py lays out.

A product of one across planes, one across the rows of a plane and one along rows. The coarse planes
around a fine one are combined first, then rows of the result, and what these become is spread along
the row: so of the sums of a product of three axes each is made once where it serves many nodes. In
2D a plane is a row.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mgcore.kernels.compilation import inlined, parallel, serial, unsigned

__all__ = ["BAND", "Lines", "interpolate"]

#: Coarse nodes k - 2 to k + 3 have a part in fine node 2 k + 1, beside ends and elsewhere.
BAND = 6


class Lines(NamedTuple):
    """How lines, planes or rows of a plane, are combined from coarse ones.

    Attributes
    ----------
    sources : ndarray of int
        (4, n), where these lie.
    weights : ndarray
        (4, n).
    targets : ndarray of int
        (n,), where the line lies.
    """

    sources: np.ndarray
    weights: np.ndarray
    targets: np.ndarray


@inlined
def _combined(line, start, by, i, S, x, size):
    """S[x : x + size] = the combination for line i of what lies in `line` from `start` on."""
    w0, w1, w2, w3 = by.weights[0, i], by.weights[1, i], by.weights[2, i], by.weights[3, i]
    a, b = unsigned(start + by.sources[0, i]), unsigned(start + by.sources[1, i])
    c, d, x = unsigned(start + by.sources[2, i]), unsigned(start + by.sources[3, i]), unsigned(x)
    if w1 == 0 and w2 == 0 and w3 == 0:
        for k in range(unsigned(size)):
            S[x + k] = w0 * line[a + k]
    else:
        for k in range(unsigned(size)):
            S[x + k] = (w0 * line[a + k] + w1 * line[b + k]) + (w2 * line[c + k] + w3 * line[d + k])


@inlined
def _along(S, x, bands, u, y, n):
    """u[y : y + n] from the coarse row whose node 0 lies at S[x]."""
    one, y = unsigned(1), unsigned(y)
    before, behind, x = unsigned(x - 2), unsigned(x + 1), unsigned(x)
    for k in range(unsigned(n // 2)):
        left = bands[0, k] * S[before + k] + bands[1, k] * S[before + k + one]
        middle = bands[2, k] * S[x + k] + bands[3, k] * S[behind + k]
        right = bands[4, k] * S[behind + k + one] + bands[5, k] * S[behind + k + one + one]
        u[y + k + k] = S[x + k]
        u[y + k + k + one] = (left + right) + middle
    if n % 2:
        u[y + unsigned(n - 1)] = S[x + unsigned(n // 2)]


@serial
def _row(line, start, rows, j, S, x, coarse_n, periodic, bands, u, y, n):
    """Row j of a plane, from coarse rows that lie in `line` from `start` on."""
    _combined(line, start, rows, j, S, x, coarse_n)
    for k in range(2):  # beyond the ends, where bands are zero or the axis goes on
        S[x - 1 - k] = S[x + coarse_n - 1 - k] if periodic else 0
    for k in range(3):
        S[x + coarse_n + k] = S[x + k] if periodic else 0
    _along(S, x, bands, u, y, n)


@parallel
def interpolate(u, e, planes, rows, bands, n, coarse_n, periodic, space, strips):
    """u = cubic interpolation of e, flat arrays, with `space` for a plane and a row of each strip.

    `bands` (BAND, n // 2) says what coarse nodes k - 2 to k + 3 give to node 2 k + 1 of a row of
    `n` nodes; node 2 k is coarse node k.
    """
    size = space.shape[1] - coarse_n - 16
    for strip in prange(strips):
        S, count = space[strip], planes.targets.size
        for i in range(strip * count // strips, (strip + 1) * count // strips):
            single = planes.weights[1, i] == 0 and planes.weights[2, i] == 0
            line, start = e, planes.sources[0, i]
            if not (single and planes.weights[3, i] == 0 and planes.weights[0, i] == 1):
                _combined(e, np.int64(0), planes, i, S, np.int64(0), size)
                line, start = S, np.int64(0)
            for j in range(rows.targets.size):
                y = planes.targets[i] + rows.targets[j]
                _row(line, start, rows, j, S, size + 8, coarse_n, periodic, bands, u, y, n)
