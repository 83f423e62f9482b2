"""Any stencil at half a slab: what the passes of general.py are made of.

How slabs lie in memory, and couplings, is told in slab.py. Rows of A and g are weighted with the
volumes of their nodes, in units of the mean one. Then A is symmetric where it stands for diffusion,
and a node reads its coupling to the node before where that one stores it: one array for each axis.

A run is worked through in chunks, of which what lies between stays in the first-level cache::

    total = g - A u         one loop for four or eight neighbours, then one for every two more
    u += omega D^-1 total, or r = total

Up to eight neighbours, those of -div(a grad u) and of nine points, are one loop over vectors from u
to u, in which nothing lies between.

In 3D runs go across the layer between two lines of a slab. There the inverse of the diagonal is
zero, so that u stays as it is; residuals are set to zero.
"""

from typing import NamedTuple

import numpy as np
from numba import config

from mgcore.kernels.compilation import inlined, serial, summing, unsigned
from mgcore.kernels.slab import begin, close_slab, table
from mgcore.kernels.vectors import lanes, load, offset, prefetch, spread, store
from mgcore.numba_private import why_no_vectors

__all__ = [
    "CHUNK",
    "NORM",
    "NOTHING",
    "RESIDUAL",
    "relax",
    "residual",
    "scaled",
]

#: What a pass gives besides u: nothing, the residual, its norm.
NOTHING, RESIDUAL, NORM = map(np.int64, range(3))

#: Places that are worked through at a time.
CHUNK = 512

# Whether vectors can be had; how many places ahead of their use numbers are asked for.
_VECTORS = np.bool_(config.DISABLE_JIT or why_no_vectors() is None)
_AHEAD = 512

_NO, _YES = np.bool_(False), np.bool_(True)


# --- A u at a chunk -----------------------------------------------------------------------------


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
def _chunk_defect(u, g, x, n, A, slab, c, at, total):
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
def _relaxation(u, x, n, A, slab, c, at, omega, total, out, y):
    """out = u + omega D^-1 total, from out[y] on; in place where it is u."""
    x, y, tables, k = unsigned(x), unsigned(y), A.tables, A.strides.size - 1
    a, w = table(A, k, slab, c, at), omega * A.factors[k, slab]
    for j in range(unsigned(n)):
        out[y + j] = u[x + j] + w * tables[a + j] * total[j]


@inlined
def _relaxed(n, A, slab, c, at, omega, total, r, x):
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
def _keep(n, factor, total, r, x):
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


# --- the same for four to eight couplings, in registers -------------------------------------------


class Near(NamedTuple):
    """Where four, six or eight neighbours of a run lie, their weights, that of the node itself."""

    neighbours: tuple
    tables: tuple
    own: np.uint64
    inverse: np.uint64


@inlined
def _near(x, A, slab, c, at):
    """Where these are, `at` places into half a slab; of fewer, the last one stands for more."""
    d, most = A.distances, A.distances.shape[1]
    e, f, g, h = min(4, most - 1), min(5, most - 1), min(6, most - 1), min(7, most - 1)
    return Near(
        (
            offset(x + d[c, 0]), offset(x + d[c, 1]), offset(x + d[c, 2]), offset(x + d[c, 3]),
            offset(x + d[c, e]), offset(x + d[c, f]), offset(x + d[c, g]), offset(x + d[c, h]),
        ),
        (
            table(A, 0, slab, c, at), table(A, 1, slab, c, at), table(A, 2, slab, c, at),
            table(A, 3, slab, c, at), table(A, e, slab, c, at), table(A, f, slab, c, at),
            table(A, g, slab, c, at), table(A, h, slab, c, at),
        ),
        table(A, most, slab, c, at), table(A, most + 1, slab, c, at),
    )  # fmt: skip


@inlined
def _is_near(A):
    """Whether there are so many."""
    return _VECTORS and A.distances.shape[1] <= 8


@inlined
def _pull(u, here, A, near, k, slab, j, plain):
    """Coupling k at a vector of nodes."""
    weight = spread(u, A.factors[k, slab])
    if not plain:
        weight = weight * load(A.tables, near.tables[k] + j)
    return weight * (load(u, near.neighbours[k] + j) - here)


@inlined
def _near_defect(u, g, x, A, near, slab, j, here, plain):
    """g - A u at a vector of nodes."""
    most = A.distances.shape[1]
    first = _pull(u, here, A, near, 0, slab, j, plain) + _pull(u, here, A, near, 1, slab, j, plain)
    second = _pull(u, here, A, near, 2, slab, j, plain) + _pull(u, here, A, near, 3, slab, j, plain)
    pulls = first + second
    if most >= 6:
        third = _pull(u, here, A, near, 4, slab, j, plain)
        pulls = pulls + (third + _pull(u, here, A, near, 5, slab, j, plain))
    if most == 8:
        fourth = _pull(u, here, A, near, 6, slab, j, plain)
        pulls = pulls + (fourth + _pull(u, here, A, near, 7, slab, j, plain))
    rest = load(g, x + j) + pulls
    if A.owned:
        own = spread(u, A.factors[most, slab])
        if not plain:
            own = own * load(A.tables, near.own + j)
        rest = rest - own * here
    return rest


@inlined
def _relaxing(u, A, slab, omega):
    """Omega times the factor of D^-1, in all lanes."""
    return spread(u, omega * A.factors[A.distances.shape[1] + 1, slab])


@inlined
def _near_relaxed(u, g, r, x, n, A, slab, c, at, omega, left, sink, total, plain):
    """u += omega D^-1 (g - A u); what is left to r, or the residual before the step to total."""
    near, w, x = _near(x, A, slab, c, at), _relaxing(u, A, slab, omega), offset(x)
    for j in range(unsigned(0), unsigned(n), lanes(u)):
        prefetch(g, x + j + unsigned(_AHEAD))
        prefetch(u, near.neighbours[1] + j + unsigned(_AHEAD))
        here = load(u, x + j)
        rest = _near_defect(u, g, x, A, near, slab, j, here, plain)
        store(u, x + j, here + w * load(A.tables, near.inverse + j) * rest)
        if sink == RESIDUAL:
            store(r, x + j, spread(u, left) * rest)
        elif sink == NORM:
            store(total, j, rest)
    if sink == RESIDUAL:
        _clear_behind(r, x, n)


@inlined
def _clear_behind(r, x, n):
    """Zeros behind the end of a run, where the last vector has written: r may become a u."""
    stop = unsigned(n)
    while stop % lanes(r) != 0:
        r[x + stop] = 0
        stop += unsigned(1)


@inlined
def _near_residual(u, g, r, x, n, A, slab, c, at, sink, total, plain):
    """g - A u, to r or to total."""
    near, x = _near(x, A, slab, c, at), offset(x)
    for j in range(unsigned(0), unsigned(n), lanes(u)):
        rest = _near_defect(u, g, x, A, near, slab, j, load(u, x + j), plain)
        if sink == RESIDUAL:
            store(r, x + j, rest)
        else:
            store(total, j, rest)
    if sink == RESIDUAL:
        _clear_behind(r, x, n)


@inlined
def _near_scaled(u, g, out, y, x, n, A, slab, c, at, omega, added, plain):
    """out = omega D^-1 (g - A u), or that added to u, from out[y] on."""
    near, w, x, y = _near(x, A, slab, c, at), _relaxing(u, A, slab, omega), offset(x), offset(y)
    for j in range(unsigned(0), unsigned(n), lanes(u)):
        here = load(u, x + j)
        change = w * load(A.tables, near.inverse + j)
        change = change * _near_defect(u, g, x, A, near, slab, j, here, plain)
        store(out, y + j, here + change if added else change)


# --- half a slab --------------------------------------------------------------------------------


@inlined
def relax(u, g, r, A, walk, slab, c, omega, masks, stage, sink, scale, total):
    """u += omega D^-1 (g - A u) in place at half a slab, where the mask is not zero.

    Of relaxed points 1 - omega of the residual is left: that is what `sink` is for.
    """
    run, left, sums = walk.odd if c else walk.even, u.dtype.type(1) - omega, 0.0
    near = _is_near(A) and not len(masks)
    for at in range(0, run, CHUNK):
        x, n, to = begin(walk, slab, c) + at, min(CHUNK, run - at), c * walk.half + walk.start + at
        if near and A.plain:
            _near_relaxed(u, g, r, x, n, A, slab, c, at, omega, left, sink, total, _YES)
        elif near:
            _near_relaxed(u, g, r, x, n, A, slab, c, at, omega, left, sink, total, _NO)
        else:
            _chunk_defect(u, g, x, n, A, slab, c, at, total)
            if len(masks):
                _masked(n, masks, stage, to, total)
            _relaxation(u, x, n, A, slab, c, at, omega, total, u, x)
            if sink == RESIDUAL:
                _keep(n, left, total, r, x)
        if sink == NORM:
            sums += _squares(n, scale, slab, to, total)
    close_slab(u, walk, slab)
    return np.float64(left) ** 2 * sums


@inlined
def scaled(u, g, out, slot, A, walk, slab, c, omega, added, total):
    """omega D^-1 (g - A u) at half a slab, or that added to u, to the same half of out's `slot`."""
    run, shift = walk.odd if c else walk.even, (slot - slab) * walk.pitch
    for at in range(0, run, CHUNK):
        x, n = begin(walk, slab, c) + at, min(CHUNK, run - at)
        y = x + shift
        if _is_near(A) and A.plain:
            _near_scaled(u, g, out, y, x, n, A, slab, c, at, omega, added, _YES)
        elif _is_near(A):
            _near_scaled(u, g, out, y, x, n, A, slab, c, at, omega, added, _NO)
        else:
            _chunk_defect(u, g, x, n, A, slab, c, at, total)
            if added:
                _relaxation(u, x, n, A, slab, c, at, omega, total, out, y)
            else:
                _relaxed(n, A, slab, c, at, omega, total, out, y)


@serial
def residual(u, g, r, A, walk, slab, c, sink, scale, total):
    """r = g - A u at half a slab, or its sum of squares."""
    run, sums, near = walk.odd if c else walk.even, 0.0, _is_near(A)
    for at in range(0, run, CHUNK):
        x, n = begin(walk, slab, c) + at, min(CHUNK, run - at)
        if near and A.plain:
            _near_residual(u, g, r, x, n, A, slab, c, at, sink, total, _YES)
        elif near:
            _near_residual(u, g, r, x, n, A, slab, c, at, sink, total, _NO)
        else:
            _chunk_defect(u, g, x, n, A, slab, c, at, total)
            if sink == RESIDUAL:
                _keep(n, u.dtype.type(1), total, r, x)
        if sink != RESIDUAL:
            sums += _squares(n, scale, slab, c * walk.half + walk.start + at, total)
    return sums
