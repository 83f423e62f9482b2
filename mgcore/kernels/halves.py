"""Lines of nodes with the even and the odd ones apart, for the fused passes of 2D and 3D.

A *line* is what a pass takes in at a time: a row of the plane, or a whole plane of space, its rows
one after the other. It has an odd number of nodes and red and black ones take turns along it, so
each half, ``even[k]`` = line[2k] or ``odd[k]`` = line[2k + 1], has one colour: half a sweep is a
loop over neighbouring numbers, which vectorises.

The halves of a strip's lines lie in one flat array S, and functions take offsets into it instead of
slices: a slice costs as much as a dozen nodes. Offsets are made `unsigned` before they are used, or
Numba would look for negative ones, which keeps loops from vectorising.
"""

import numpy as np

from mgcore.kernels.common import aligned, cubic
from mgcore.kernels.compilation import inlined, serial, unsigned

__all__ = [
    "AHEAD",
    "CORRECTED",
    "GIVEN",
    "INTERPOLATED",
    "NEAR",
    "NORM",
    "NOTHING",
    "PAD",
    "RESTRICTION",
    "ZERO",
    "at",
    "blend",
    "copy",
    "expand",
    "fill",
    "first_line",
    "half_size",
    "keep_borders",
    "scratch",
    "split",
]

# Numbers of NumPy's types: Numba would compile a function anew for each Python constant among its
# arguments.

#: Where a pass takes u from: memory; zero; u + P e, linear; e alone, by cubic interpolation.
GIVEN, ZERO, CORRECTED, INTERPOLATED = map(np.int64, range(4))
#: What a pass gives besides u: nothing; the residual's full weighting; its sums of squares.
NOTHING, RESTRICTION, NORM = map(np.int64, range(3))

#: Bytes of u that stay in the cores' caches from pass to pass, and need no prefetching.
NEAR = 4_000_000

#: How far ahead of its use a line is asked for, in bytes; half and twice as far make no difference.
AHEAD = 4096

#: Elements in front of each half: a cache line or two, so that k = 0 is aligned and k = -1 exists.
PAD = 16


@serial
def half_size(nodes):
    """Elements between the halves of lines of `nodes` nodes: room for the nodes and the padding."""
    return -(-(nodes // 2 + 1) // PAD) * PAD + 2 * PAD


def scratch(nodes, slots, strips, dtype):
    """Room for `slots` lines of `nodes` nodes in each of `strips` strips, zero."""
    return aligned((strips, slots * 2 * half_size(nodes)), dtype)


@inlined
def at(slot, c, half):
    """Where even[0] (c = 0) or odd[0] (c = 1) of the line in `slot` lies."""
    return (2 * slot + c) * half + PAD


@serial
def first_line(strip, strips, n):
    """First line of a strip of a grid with n lines: odd, so that coarse lines are not shared."""
    return 2 * (1 + strip * ((n - 3) // 2) // strips) - 1


@serial
def keep_borders(u, lines, nodes, space, strips, slot):
    """Copy the seven lines around the first one of each strip but the first, from `slot` on."""
    for strip in range(1, strips):
        s = first_line(strip, strips, lines) - 3
        for k in range(7):
            copy(u, (s + k) * nodes, space[strip], at(slot + k, 0, half_size(nodes)), nodes)


@serial
def fill(S, x, n, value):
    """S[x : x + n] = value."""
    x = unsigned(x)
    for k in range(unsigned(n)):
        S[x + k] = value


@serial
def copy(line, j, S, x, n):
    """S[x : x + n] = line[j : j + n]."""
    j, x = unsigned(j), unsigned(x)
    for k in range(unsigned(n)):
        S[x + k] = line[j + k]


@serial
def split(line, j, S, even, odd, n):
    """Even and odd nodes of line[j : j + 2 n]."""
    j0, j1, even, odd = unsigned(j), unsigned(j + 1), unsigned(even), unsigned(odd)
    for k in range(unsigned(n)):
        S[even + k] = line[j0 + k + k]
        S[odd + k] = line[j1 + k + k]


@serial
def expand(line, j, n, S, even, odd, lo, hi):
    """Cubic interpolation of line[j : j + n] at the pairs of nodes lo <= k < hi."""
    real = S.dtype.type
    near, far = real(9 / 16), real(1 / 16)
    copy(line, j + lo, S, even + lo, hi - lo)
    first, last = max(lo, 1), min(hi, n - 2)  # inside, the formula is symmetric
    a, b, c, d = (
        unsigned(j + first - 1), unsigned(j + first), unsigned(j + first + 1),
        unsigned(j + first + 2),
    )  # fmt: skip
    x = unsigned(odd + first)
    for k in range(unsigned(max(last - first, 0))):
        S[x + k] = near * (line[b + k] + line[c + k]) - far * (line[a + k] + line[d + k])
    for J in (0, n - 2):
        if lo <= J < hi:
            p, q, s, t, wp, wq, ws, wt = cubic(J, n)
            total = wp * line[j + p] + wq * line[j + q] + ws * line[j + s] + wt * line[j + t]
            S[odd + J] = real(total / 16)


@serial
def blend(line, j, I, n, stride, S, x, size):
    """Cubic interpolation halfway between the rows (or planes) I and I + 1 of n, `stride` apart."""
    p, q, s, t, wp, wq, ws, wt = cubic(I, n)
    real = S.dtype.type
    cp, cq, cs, ct = real(wp / 16), real(wq / 16), real(ws / 16), real(wt / 16)
    p, q = unsigned(j + p * stride), unsigned(j + q * stride)
    s, t = unsigned(j + s * stride), unsigned(j + t * stride)
    x = unsigned(x)
    for k in range(unsigned(size)):
        S[x + k] = cp * line[p + k] + cq * line[q + k] + cs * line[s + k] + ct * line[t + k]
