"""Any stencil at a run of unknowns: what the passes of general.py are made of.

Arrays are flat. The unknowns lie in slabs, the even and the odd places of each apart (see
mgcore/slabs.py): half a slab has one colour, is a run of neighbouring numbers, and a neighbour is
at the same distance from all of them. So one set of loops serves all dimensions.

Rows of A and g are weighted with the volumes of their nodes, in units of the mean one. Then A is
symmetric where it stands for diffusion, and a node reads its coupling to the node before where that
one stores it: one array for each axis.

A run is worked through in chunks, of which what lies between stays in the first-level cache::

    total = g - A u         one loop for four neighbours, then one for every two more
    u += omega D^-1 total, or r = total

In 3D runs go across the layer between two lines of a slab. There the inverse of the diagonal is
zero, so that u stays as it is; residuals are set to zero.
"""

from typing import NamedTuple

import numpy as np

from numba import config

from mgcore.kernels.compilation import inlined, serial, summing, unsigned
from mgcore.kernels.vectors import lanes, load, offset, prefetch, spread, store
from mgcore.numba_private import why_no_vectors

__all__ = [
    "CHUNK",
    "NORM",
    "NOTHING",
    "RESIDUAL",
    "Couplings",
    "Scale",
    "Walk",
    "begin",
    "chunk_defect",
    "clear_slab",
    "close",
    "close_ends",
    "close_slab",
    "keep",
    "position",
    "relax",
    "relaxation",
    "relaxed",
    "residual",
    "table",
]

#: What a pass gives besides u: nothing, the residual, its norm.
NOTHING, RESIDUAL, NORM = map(np.int64, range(3))

#: Places that are worked through at a time.
CHUNK = 512

#: Whether vectors can be had.
VECTORS = np.bool_(config.DISABLE_JIT or why_no_vectors() is None)

_NO, _YES = np.bool_(False), np.bool_(True)


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


# --- A u at a chunk -----------------------------------------------------------------------------


@serial
def begin(walk, slab, c):
    """Where the even (c = 0) or odd unknowns of a slab begin."""
    return (slab + 1) * walk.pitch + c * walk.half + walk.start


@serial
def table(A, k, slab, c, at):
    """Where the weights of coupling k begin, `at` places into half a slab."""
    return unsigned(A.places[c, k] + slab * A.strides[k] + at)


@inlined
def _first_four(u, g, x, n, A, slab, c, at, total):
    """total = g, and the first four couplings."""
    x, tables = unsigned(x), A.tables
    p, q = unsigned(x + A.distances[c, 0]), unsigned(x + A.distances[c, 1])
    r, s = unsigned(x + A.distances[c, 2]), unsigned(x + A.distances[c, 3])
    a, b = table(A, 0, slab, c, at), table(A, 1, slab, c, at)
    d, e = table(A, 2, slab, c, at), table(A, 3, slab, c, at)
    fa, fb, fd, fe = A.factors[0, slab], A.factors[1, slab], A.factors[2, slab], A.factors[3, slab]
    for j in range(unsigned(n)):
        here = u[x + j]
        near = fa * tables[a + j] * (u[p + j] - here) + fb * tables[b + j] * (u[q + j] - here)
        far = fd * tables[d + j] * (u[r + j] - here) + fe * tables[e + j] * (u[s + j] - here)
        total[j] = g[x + j] + (near + far)


@inlined
def _add_two(u, x, n, A, k, slab, c, at, total):
    """The couplings k and k + 1."""
    x, tables = unsigned(x), A.tables
    p, q = unsigned(x + A.distances[c, k]), unsigned(x + A.distances[c, k + 1])
    a, b = table(A, k, slab, c, at), table(A, k + 1, slab, c, at)
    fa, fb = A.factors[k, slab], A.factors[k + 1, slab]
    for j in range(unsigned(n)):
        here = u[x + j]
        total[j] += fa * tables[a + j] * (u[p + j] - here) + fb * tables[b + j] * (u[q + j] - here)


@inlined
def _add_own(u, x, n, A, k, slab, c, at, total):
    """The weight of the node itself."""
    x, tables, a, factor = unsigned(x), A.tables, table(A, k, slab, c, at), A.factors[k, slab]
    for j in range(unsigned(n)):
        total[j] -= factor * tables[a + j] * u[x + j]


@inlined
def _first_four_plain(u, g, x, n, A, slab, c, total):
    """total = g, and the first four couplings."""
    x = unsigned(x)
    p, q = unsigned(x + A.distances[c, 0]), unsigned(x + A.distances[c, 1])
    r, s = unsigned(x + A.distances[c, 2]), unsigned(x + A.distances[c, 3])
    a, b, d, e = A.factors[0, slab], A.factors[1, slab], A.factors[2, slab], A.factors[3, slab]
    for j in range(unsigned(n)):
        here = u[x + j]
        near = a * (u[p + j] - here) + b * (u[q + j] - here)
        total[j] = g[x + j] + (near + (d * (u[r + j] - here) + e * (u[s + j] - here)))


@inlined
def _first_eight_plain(u, g, x, n, A, slab, c, total):
    """total = g, and the first eight couplings."""
    x, to = unsigned(x), A.distances
    p, q, r, s = (
        unsigned(x + to[c, 0]), unsigned(x + to[c, 1]), unsigned(x + to[c, 2]),
        unsigned(x + to[c, 3]),
    )  # fmt: skip
    t, v, y, z = (
        unsigned(x + to[c, 4]), unsigned(x + to[c, 5]), unsigned(x + to[c, 6]),
        unsigned(x + to[c, 7]),
    )  # fmt: skip
    a, b, d, e = A.factors[0, slab], A.factors[1, slab], A.factors[2, slab], A.factors[3, slab]
    k, l, m, o = A.factors[4, slab], A.factors[5, slab], A.factors[6, slab], A.factors[7, slab]
    for j in range(unsigned(n)):
        here = u[x + j]
        first = a * (u[p + j] - here) + b * (u[q + j] - here)
        second = d * (u[r + j] - here) + e * (u[s + j] - here)
        third = k * (u[t + j] - here) + l * (u[v + j] - here)
        fourth = m * (u[y + j] - here) + o * (u[z + j] - here)
        total[j] = g[x + j] + ((first + second) + (third + fourth))


@inlined
def _add_two_plain(u, x, n, A, k, slab, c, total):
    """The couplings k and k + 1."""
    x = unsigned(x)
    p, q = unsigned(x + A.distances[c, k]), unsigned(x + A.distances[c, k + 1])
    a, b = A.factors[k, slab], A.factors[k + 1, slab]
    for j in range(unsigned(n)):
        here = u[x + j]
        total[j] += a * (u[p + j] - here) + b * (u[q + j] - here)


@inlined
def _add_own_plain(u, x, n, A, k, slab, total):
    """The weight of the node itself."""
    x, own = unsigned(x), A.factors[k, slab]
    for j in range(unsigned(n)):
        total[j] -= own * u[x + j]


@inlined
def chunk_defect(u, g, x, n, A, slab, c, at, total):
    """total = g - A u at n places, `at` places into half a slab."""
    most = A.distances.shape[1]
    if A.plain:
        done = 4
        if most >= 8:
            _first_eight_plain(u, g, x, n, A, slab, c, total)
            done = 8
        else:
            _first_four_plain(u, g, x, n, A, slab, c, total)
        for k in range(done, most, 2):
            _add_two_plain(u, x, n, A, k, slab, c, total)
        if A.owned:
            _add_own_plain(u, x, n, A, most, slab, total)
    else:
        _first_four(u, g, x, n, A, slab, c, at, total)
        for k in range(4, most, 2):
            _add_two(u, x, n, A, k, slab, c, at, total)
        if A.owned:
            _add_own(u, x, n, A, most, slab, c, at, total)


# --- what is done with it -----------------------------------------------------------------------


@inlined
def relaxation(u, x, n, A, slab, c, at, omega, total, out):
    """out = u + omega D^-1 total; in place where it is u."""
    x, tables, k = unsigned(x), A.tables, A.strides.size - 1
    a, w = table(A, k, slab, c, at), omega * A.factors[k, slab]
    for j in range(unsigned(n)):
        out[x + j] = u[x + j] + w * tables[a + j] * total[j]


@inlined
def relaxed(n, A, slab, c, at, omega, total, r, x):
    """r = omega D^-1 total."""
    x, tables, k = unsigned(x), A.tables, A.strides.size - 1
    a, w = table(A, k, slab, c, at), omega * A.factors[k, slab]
    for j in range(unsigned(n)):
        r[x + j] = w * tables[a + j] * total[j]


@serial
def _masked(n, masks, stage, at, total):
    """Total = 0 where the mask is."""
    at = unsigned(at)
    for j in range(unsigned(n)):
        total[j] *= masks[stage, at + j]


@serial
def keep(n, factor, total, r, x):
    """r = factor total."""
    x = unsigned(x)
    for j in range(unsigned(n)):
        r[x + j] = factor * total[j]


@summing
def _squares(n, scale, slab, at, total):
    """The sum of squares of total, unweighted, in double precision."""
    places, at, result = scale.places, unsigned(at), 0.0
    for j in range(unsigned(n)):
        unweighted = np.float64(total[j] * places[at + j])
        result += unweighted * unweighted
    return result * np.float64(scale.slabs[slab]) ** 2


# --- the same for six couplings, in registers -----------------------------------------------------


class Six(NamedTuple):
    """Where six neighbours of a run lie, and their weights, and that of the node itself."""

    neighbours: tuple
    tables: tuple
    own: np.uint64
    inverse: np.uint64


@inlined
def _six(x, A, slab, c, at):
    d = A.distances
    return Six(
        (
            offset(x + d[c, 0]), offset(x + d[c, 1]), offset(x + d[c, 2]),
            offset(x + d[c, 3]), offset(x + d[c, 4]), offset(x + d[c, 5]),
        ),
        (
            table(A, 0, slab, c, at), table(A, 1, slab, c, at), table(A, 2, slab, c, at),
            table(A, 3, slab, c, at), table(A, 4, slab, c, at), table(A, 5, slab, c, at),
        ),
        table(A, 6, slab, c, at), table(A, 7, slab, c, at),
    )  # fmt: skip


@inlined
def _pull(u, here, A, six, k, slab, j, plain):
    """Coupling k at a vector of nodes."""
    weight = spread(u, A.factors[k, slab])
    if not plain:
        weight = weight * load(A.tables, six.tables[k] + j)
    return weight * (load(u, six.neighbours[k] + j) - here)


@inlined
def _six_defect(u, g, x, A, six, slab, j, here, plain):
    """g - A u at a vector of nodes."""
    first = _pull(u, here, A, six, 0, slab, j, plain) + _pull(u, here, A, six, 1, slab, j, plain)
    second = _pull(u, here, A, six, 2, slab, j, plain) + _pull(u, here, A, six, 3, slab, j, plain)
    third = _pull(u, here, A, six, 4, slab, j, plain) + _pull(u, here, A, six, 5, slab, j, plain)
    rest = load(g, x + j) + ((first + second) + third)
    if A.owned:
        own = spread(u, A.factors[6, slab])
        if not plain:
            own = own * load(A.tables, six.own + j)
        rest = rest - own * here
    return rest


@inlined
def _six_relaxed(u, g, r, x, n, A, slab, c, at, omega, left, sink, total, plain):
    six, w, x = _six(x, A, slab, c, at), spread(u, omega * A.factors[7, slab]), offset(x)
    for j in range(unsigned(0), unsigned(n), lanes(u)):
        prefetch(g, x + j + unsigned(512))
        prefetch(u, six.neighbours[1] + j + unsigned(512))
        here = load(u, x + j)
        rest = _six_defect(u, g, x, A, six, slab, j, here, plain)
        store(u, x + j, here + w * load(A.tables, six.inverse + j) * rest)
        if sink == RESIDUAL:
            store(r, x + j, spread(u, left) * rest)
        elif sink == NORM:
            store(total, j, rest)


@inlined
def _six_residual(u, g, r, x, n, A, slab, c, at, sink, total, plain):
    six, x = _six(x, A, slab, c, at), offset(x)
    for j in range(unsigned(0), unsigned(n), lanes(u)):
        rest = _six_defect(u, g, x, A, six, slab, j, load(u, x + j), plain)
        if sink == RESIDUAL:
            store(r, x + j, rest)
        else:
            store(total, j, rest)


# --- half a slab --------------------------------------------------------------------------------


@inlined
def relax(u, g, r, A, walk, slab, c, omega, masks, stage, sink, scale, total):
    """u += omega D^-1 (g - A u) in place at half a slab, where the mask is not zero.

    Of relaxed points 1 - omega of the residual is left: that is what `sink` is for.
    """
    run, left, sums = walk.odd if c else walk.even, u.dtype.type(1) - omega, 0.0
    six = VECTORS and A.distances.shape[1] == 6 and not len(masks)
    for at in range(0, run, CHUNK):
        x, n, to = begin(walk, slab, c) + at, min(CHUNK, run - at), c * walk.half + walk.start + at
        if six and A.plain:
            _six_relaxed(u, g, r, x, n, A, slab, c, at, omega, left, sink, total, _YES)
        elif six:
            _six_relaxed(u, g, r, x, n, A, slab, c, at, omega, left, sink, total, _NO)
        else:
            chunk_defect(u, g, x, n, A, slab, c, at, total)
            if len(masks):
                _masked(n, masks, stage, to, total)
            relaxation(u, x, n, A, slab, c, at, omega, total, u)
            if sink == RESIDUAL:
                keep(n, left, total, r, x)
        if sink == NORM:
            sums += _squares(n, scale, slab, to, total)
    close_slab(u, walk, slab)
    return np.float64(left) ** 2 * sums


@serial
def residual(u, g, r, A, walk, slab, c, sink, scale, total):
    """r = g - A u at half a slab, or its sum of squares."""
    run, sums, six = walk.odd if c else walk.even, 0.0, VECTORS and A.distances.shape[1] == 6
    for at in range(0, run, CHUNK):
        x, n = begin(walk, slab, c) + at, min(CHUNK, run - at)
        if six and A.plain:
            _six_residual(u, g, r, x, n, A, slab, c, at, sink, total, _YES)
        elif six:
            _six_residual(u, g, r, x, n, A, slab, c, at, sink, total, _NO)
        else:
            chunk_defect(u, g, x, n, A, slab, c, at, total)
            if sink == RESIDUAL:
                keep(n, u.dtype.type(1), total, r, x)
        if sink != RESIDUAL:
            sums += _squares(n, scale, slab, c * walk.half + walk.start + at, total)
    return sums


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
