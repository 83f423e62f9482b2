"""Lines of unknowns that are solved as a whole, several side by side.

Unknowns lie in slabs: see slab.py. Lines that begin at neighbouring numbers of half a slab go on as
neighbours, so elimination runs over all of them at once. Lines within a slab are solved one by one.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mgcore.kernels.compilation import parallel, serial, unsigned
from mgcore.kernels.slab import position

__all__ = ["Lines", "solve"]


class Lines(NamedTuple):
    """The lines of one colour, and A along them in two factors.

    Attributes
    ----------
    runs : ndarray
        (runs, 4): of lines side by side the slab and the place where the first one begins, how many
        there are, and where in the factors they are found.
    slabs, places : int
        From one unknown of a line to the next.
    alone : bool
        Whether lines are solved one by one.
    below, pivot, above : ndarray
        (n, lines), or (lines, n) where these are alone: forward r_i = pivot_i r_i - below_i
        r_{i-1}, back e_i = r_i - above_i e_{i+1}.
    wrap : ndarray
        The same, empty unless lines are periodic: e_i -= wrap_i (e_0 + ratio e_{n-1}).
    ratio : ndarray
        (lines,).
    """

    runs: np.ndarray
    slabs: np.int64
    places: np.int64
    alone: np.bool_
    below: np.ndarray
    pivot: np.ndarray
    above: np.ndarray
    wrap: np.ndarray
    ratio: np.ndarray


@serial
def _forward(r, A, walk, run):
    """Eliminate what lies before each unknown."""
    slab, place, count, at = A.runs[run]
    y = unsigned(position(walk, slab, place))
    for i in range(len(A.pivot)):
        x = unsigned(position(walk, slab + i * A.slabs, place + i * A.places))
        below, pivot = A.below[i, at : at + count], A.pivot[i, at : at + count]
        for j in range(unsigned(count)):
            r[x + j] = pivot[j] * r[x + j] - below[j] * r[y + j]
        y = x


@serial
def _back(u, r, A, walk, omega, run):
    """u += omega e, with e in place of r."""
    slab, place, count, at = A.runs[run]
    n = len(A.pivot)
    y = unsigned(position(walk, slab + (n - 1) * A.slabs, place + (n - 1) * A.places))
    for i in range(n - 1, -1, -1):
        x = unsigned(position(walk, slab + i * A.slabs, place + i * A.places))
        above = A.above[i, at : at + count]
        for j in range(unsigned(count)):
            e = r[x + j] - above[j] * r[y + j]
            r[x + j] = e
            u[x + j] += omega * e
        y = x


@serial
def _wrap(u, r, A, walk, omega, run):
    """Take from u what the corners of periodic lines change in e."""
    slab, place, count, at = A.runs[run]
    n, ratio = len(A.pivot), A.ratio[at : at + count]
    first = unsigned(position(walk, slab, place))
    last = unsigned(position(walk, slab + (n - 1) * A.slabs, place + (n - 1) * A.places))
    for i in range(n):
        x = unsigned(position(walk, slab + i * A.slabs, place + i * A.places))
        wrap = A.wrap[i, at : at + count]
        for j in range(unsigned(count)):
            u[x + j] -= omega * wrap[j] * (r[first + j] + ratio[j] * r[last + j])


@serial
def _alone(u, r, A, walk, omega, run):
    """The same as all of the above for a single line, whose numbers wait in registers."""
    slab, place, _, at = A.runs[run]
    below, pivot, above = A.below[at], A.pivot[at], A.above[at]
    n, e = len(pivot), u.dtype.type(0)
    for i in range(n):
        x = unsigned(position(walk, slab, place + i * A.places))
        e = pivot[i] * r[x] - below[i] * e
        r[x] = e
    last, e = e, u.dtype.type(0)
    for i in range(n - 1, -1, -1):
        x = unsigned(position(walk, slab, place + i * A.places))
        e = r[x] - above[i] * e
        u[x] += omega * e
    if A.wrap.size:
        wrap, share = A.wrap[at], omega * (e + A.ratio[at] * last)
        for i in range(n):
            u[unsigned(position(walk, slab, place + i * A.places))] -= share * wrap[i]


@parallel
def solve(u, r, A, walk, omega):
    """u += omega T^-1 r at the lines of one colour, T what A is along them; r is used up."""
    for run in prange(len(A.runs)):
        if A.alone:
            _alone(u, r, A, walk, omega, run)
        else:
            _forward(r, A, walk, run)
            _back(u, r, A, walk, omega, run)
            if A.wrap.size:
                _wrap(u, r, A, walk, omega, run)
