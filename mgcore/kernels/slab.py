"""Where unknowns and weights lie for the general kernels, and the layer around the unknowns.

Arrays are flat. The unknowns lie in slabs, the even and the odd places of each apart (see
mgcore/slabs.py): half a slab has one colour, is a run of neighbouring numbers, and a neighbour is
at the same distance from all of them. So one set of loops serves all dimensions.
"""

from typing import NamedTuple

import numpy as np

from mgcore.kernels.compilation import serial, unsigned

__all__ = [
    "Couplings",
    "Scale",
    "Walk",
    "begin",
    "clear_slab",
    "close",
    "close_ends",
    "close_slab",
    "position",
    "table",
]


class Walk(NamedTuple):
    """Where the unknowns of a grid lie in a flat array.

    Attributes
    ----------
    slabs, pitch : int
        Slabs of an array, and from one to the next; a slab of the layer comes first.
    half, start : int
        From the even places of a slab to the odd ones, and from the beginning of either to where
        unknowns begin.
    even, odd : int
        How many even and odd places lie from the first unknown of a slab to its last.
    lines, line, size : int
        Lines of a slab, places from one to the next, unknowns of a line.
    first, middle, last : bool
        Which axes are periodic: the one across slabs, the one across lines of a slab in 3D, and the
        one along lines.
    """

    slabs: np.int64
    pitch: np.int64
    half: np.int64
    start: np.int64
    even: np.int64
    odd: np.int64
    lines: np.int64
    line: np.int64
    size: np.int64
    first: np.bool_
    middle: np.bool_
    last: np.bool_


class Couplings(NamedTuple):
    """A u = sum_k w_k (u_x - u_{x + o_k}) + own u_x, for the kernels.

    A weight is a number for each slab times, unless these are `plain`, an entry of a table: one
    all slabs, or a table for each. After the k couplings come the weights of `own` and those of
    the inverse of the diagonal, which are zero where there are no unknowns.

    Attributes
    ----------
    plain : bool
        Whether weights are numbers.
    owned : bool
        Whether there is an `own`.
    distances : ndarray
        (2, k), from even and from odd places; k is even, and four or more.
    factors : ndarray
        (k + 2, slabs): the numbers.
    tables : ndarray
        All tables, one after the other, flat.
    places, strides : ndarray
        (2, k + 2) and (k + 2,): where in `tables` the weights of the first slab begin, at even and
        at odd places; from one slab to the next.
    """

    plain: np.bool_
    owned: np.bool_
    distances: np.ndarray
    factors: np.ndarray
    tables: np.ndarray
    places: np.ndarray
    strides: np.ndarray


class Scale(NamedTuple):
    """What rows are divided by, their weights: a product of one number for each slab and place.

    Attributes
    ----------
    slabs, places : ndarray
        The inverses, (slabs,) and (pitch,); zero where there are no unknowns.
    """

    slabs: np.ndarray
    places: np.ndarray


@serial
def begin(walk, slab, c):
    """Where the even (c = 0) or odd unknowns of a slab begin."""
    return (slab + 1) * walk.pitch + c * walk.half + walk.start


@serial
def table(A, k, slab, c, at):
    """Where the weights of coupling k begin, `at` places into half a slab."""
    return unsigned(A.places[c, k] + slab * A.strides[k] + at)


@serial
def position(walk, slab, place):
    """Where a place of a slab lies."""
    return (slab + 1) * walk.pitch + place % 2 * walk.half + place // 2


@serial
def close_slab(u, walk, slab):
    """Fill the layer within a slab, along periodic axes."""
    if walk.last:
        for line in range(walk.lines):
            x = 2 * walk.start + line * walk.line
            u[position(walk, slab, x - 1)] = u[position(walk, slab, x + walk.size - 1)]
            u[position(walk, slab, x + walk.size)] = u[position(walk, slab, x)]
    if walk.middle:
        x, lines = 2 * walk.start - 1, walk.lines * walk.line
        for j in range(walk.line):
            u[position(walk, slab, x + j - walk.line)] = u[
                position(walk, slab, x + j + lines - walk.line)
            ]
            u[position(walk, slab, x + j + lines)] = u[position(walk, slab, x + j)]


@serial
def clear_slab(r, walk, slab):
    """Zeros between the lines of a slab."""
    if walk.lines > 1:
        for line in range(walk.lines):
            x = 2 * walk.start + line * walk.line
            for beyond in range(walk.size, walk.line):
                r[position(walk, slab, x + beyond)] = 0


@serial
def close_ends(u, walk):
    """Fill the layer along a periodic first axis."""
    if walk.first:
        end = walk.slabs * walk.pitch
        for k in range(walk.pitch):
            u[k] = u[end + k]
            u[end + walk.pitch + k] = u[walk.pitch + k]


@serial
def close(u, walk):
    """Fill the layer along all periodic axes."""
    for slab in range(walk.slabs):
        close_slab(u, walk, slab)
    close_ends(u, walk)
