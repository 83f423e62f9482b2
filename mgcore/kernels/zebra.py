"""Lines of unknowns that are solved as a whole, several side by side.

Unknowns lie in slabs: see slab.py. Lines that begin at neighbouring numbers of half a slab go on as
neighbours, so elimination runs over all of them at once. Lines within a slab are solved one by one.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mgcore.kernels.compilation import parallel, serial, unsigned
from mgcore.kernels.runs import CHUNK, RESIDUAL, residual
from mgcore.kernels.slab import position

__all__ = ["Lines", "factorise", "solve", "substitute"]


class Lines(NamedTuple):
    """The lines of one colour, and A along them in two factors.

    Attributes
    ----------
    runs : ndarray
        (runs, 4): of lines side by side the slab and the place where the first one begins, how many
        there are, and where in the factors they are found.
    slabs, places : int
        From one unknown of a line to the next.
    halves : ndarray
        (slabs, 2): whether lines of this colour have places in the even and the odd half of each.
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
    halves: np.ndarray
    alone: np.bool_
    below: np.ndarray
    pivot: np.ndarray
    above: np.ndarray
    wrap: np.ndarray
    ratio: np.ndarray


@serial
def _forward(r, lines, walk, run):
    """Eliminate what lies before each unknown."""
    slab, place, count, at = lines.runs[run]
    y = unsigned(position(walk, slab, place))
    for i in range(len(lines.pivot)):
        x = unsigned(position(walk, slab + i * lines.slabs, place + i * lines.places))
        below, pivot = lines.below[i, at : at + count], lines.pivot[i, at : at + count]
        for j in range(unsigned(count)):
            r[x + j] = pivot[j] * r[x + j] - below[j] * r[y + j]
        y = x


@serial
def _back(u, r, lines, walk, omega, run):
    """u += omega e, with e in place of r."""
    slab, place, count, at = lines.runs[run]
    n = len(lines.pivot)
    y = unsigned(position(walk, slab + (n - 1) * lines.slabs, place + (n - 1) * lines.places))
    for i in range(n - 1, -1, -1):
        x = unsigned(position(walk, slab + i * lines.slabs, place + i * lines.places))
        above = lines.above[i, at : at + count]
        for j in range(unsigned(count)):
            e = r[x + j] - above[j] * r[y + j]
            r[x + j] = e
            u[x + j] += omega * e
        y = x


@serial
def _wrap(u, r, lines, walk, omega, run):
    """Take from u what the corners of periodic lines change in e."""
    slab, place, count, at = lines.runs[run]
    n, ratio = len(lines.pivot), lines.ratio[at : at + count]
    first = unsigned(position(walk, slab, place))
    last = unsigned(position(walk, slab + (n - 1) * lines.slabs, place + (n - 1) * lines.places))
    for i in range(n):
        x = unsigned(position(walk, slab + i * lines.slabs, place + i * lines.places))
        wrap = lines.wrap[i, at : at + count]
        for j in range(unsigned(count)):
            u[x + j] -= omega * wrap[j] * (r[first + j] + ratio[j] * r[last + j])


@serial
def _alone(u, r, lines, walk, omega, run):
    """The same as all of the above for a single line, whose numbers wait in registers."""
    slab, place, _, at = lines.runs[run]
    below, pivot, above = lines.below[at], lines.pivot[at], lines.above[at]
    n, e = len(pivot), u.dtype.type(0)
    for i in range(n):
        x = unsigned(position(walk, slab, place + i * lines.places))
        e = pivot[i] * r[x] - below[i] * e
        r[x] = e
    last, e = e, u.dtype.type(0)
    for i in range(n - 1, -1, -1):
        x = unsigned(position(walk, slab, place + i * lines.places))
        e = r[x] - above[i] * e
        u[x] += omega * e
    if lines.wrap.size:
        wrap, share = lines.wrap[at], omega * (e + lines.ratio[at] * last)
        for i in range(n):
            u[unsigned(position(walk, slab, place + i * lines.places))] -= share * wrap[i]


@parallel
def solve(u, g, r, A, walk, lines, omega, scale):
    """u += omega T^-1 (g - A u) at the lines of one colour, T being A along them; r is scratch."""
    for slab in prange(walk.slabs):
        total = np.empty(CHUNK, u.dtype)
        for c in range(2):
            if lines.halves[slab, c]:
                residual(u, g, r, A, walk, slab, c, RESIDUAL, scale, total)
    for run in prange(len(lines.runs)):
        if lines.alone:
            _alone(u, r, lines, walk, omega, run)
        else:
            _forward(r, lines, walk, run)
            _back(u, r, lines, walk, omega, run)
            if lines.wrap.size:
                _wrap(u, r, lines, walk, omega, run)


@serial
def factorise(below, pivot, above):
    """Tridiagonal matrices in two factors, their rows (n, lines), in place of their weights."""
    n, count = pivot.shape
    for i in range(n):
        for j in range(count):
            left = below[i, j] * above[i - 1, j] if i else 0.0
            pivot[i, j] = 1 / (pivot[i, j] - left)
            below[i, j] *= pivot[i, j]
            above[i, j] *= pivot[i, j]


@serial
def substitute(below, pivot, above, r):
    """T^-1 r, in place of r."""
    n, count = pivot.shape
    for i in range(n):
        for j in range(count):
            left = below[i, j] * r[i - 1, j] if i else 0.0
            r[i, j] = pivot[i, j] * r[i, j] - left
    for i in range(n - 2, -1, -1):
        for j in range(count):
            r[i, j] -= above[i, j] * r[i + 1, j]
