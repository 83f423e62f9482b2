"""How a level and its scratch lie in memory, for the fused passes of space_fused.py.

A plane is even and a line of halves, so what stages need to know of a node are numbers; of a plane,
a table across planes says it, as of a row in 2D: see plane_box.py.
"""

from typing import NamedTuple

import numpy as np

from mgcore.kernels.compilation import inlined, unsigned
from mgcore.kernels.halves import at, scratch
from mgcore.kernels.plane_box import BEFORE, BEHIND, CENTRE, HERE, LOWER, UPPER, Across, entry
from mgcore.kernels.rim import Plane, Rim, Side
from mgcore.kernels.vectors import spread
from mgcore.kernels.wave import Lines

__all__ = [
    "BETWEEN",
    "LARGER",
    "OLD",
    "ROW",
    "SHARE",
    "THREE",
    "TWO",
    "Space",
    "Strip",
    "U",
    "adding",
    "front_of",
    "near",
    "place",
    "pull",
    "space_of",
    "weights_of",
    "workspace",
]

# Slots of a strip: rings of planes of u and g; sums of the residual of two planes and of three; a
# coarse plane and a row for interpolation; the end of a plane; the seven planes around the strip's
# upper border as they were.
U, G, TWO, THREE, BETWEEN, ROW, TAIL, OLD, SLOTS = 0, 5, 8, 9, 10, 11, 12, 13, 20

#: Tables of each kind of plane.
SHARE, LARGER = 0, 1


class Space(NamedTuple):
    """A level for the passes.

    Attributes
    ----------
    rows : Across
        What is known of planes.
    plane, coarse : Plane
        How a plane lies in arrays of this grid and of the coarser one.
    rim : Rim
    stride, coarse_stride : int
        From plane to plane of the arrays.
    half : int
        Elements between halves of planes in scratch.
    a1, a2, omega : float
        Couplings to the rows and columns beside a node.
    robin : bool
        Whether a side of planes is Robin's.
    tables : ndarray
        Where there is one: SHARE, the diagonal without it by that with it, and LARGER, the other
        way round; for planes inside, for the first one and for the last.
    """

    rows: Across
    plane: Plane
    coarse: Plane
    rim: Rim
    stride: np.int64
    coarse_stride: np.int64
    half: np.int64
    a1: np.floating
    a2: np.floating
    omega: np.floating
    robin: np.bool_
    tables: np.ndarray


class Strip(NamedTuple):
    """A strip of planes, its scratch S, u and g.

    Where `far`, u and g come from memory, and are to be asked for in time.
    """

    S: np.ndarray
    u: np.ndarray
    g: np.ndarray
    box: Space
    lines: Lines
    far: np.bool_


class Near(NamedTuple):
    """Where half a plane lies in scratch, and its neighbours in the other half of the plane."""

    here: np.uint64
    left: np.uint64
    right: np.uint64
    front: np.uint64
    back: np.uint64


class Front(NamedTuple):
    """Where all that the wave front touches lies, for planes whose half c is relaxed.

    In memory planes i and i - 2 of u and i - 1 of g; shares and what is larger in the tables; all
    else in scratch. `below` is the plane that enters, `above` the one before those of `residual`.
    """

    from_u: np.uint64
    from_g: np.uint64
    to_u: np.uint64
    even: np.uint64
    odd: np.uint64
    below: np.uint64
    red: Near
    black: Near
    residual: Near
    above: np.uint64
    g_red: np.uint64
    g_black: np.uint64
    g_p: np.uint64
    g_q: np.uint64
    reds: np.uint64
    two: np.uint64
    three: np.uint64
    tail: np.uint64
    red_share: np.uint64
    black_share: np.uint64
    black_larger: np.uint64


class Pull(NamedTuple):
    """A plane's couplings to those beside it, its diagonal d and omega / d, in all lanes."""

    above: NamedTuple
    below: NamedTuple
    d: NamedTuple
    w: NamedTuple


class Adding(NamedTuple):
    """How red and black residuals count for the coarse plane they complete, and for the next."""

    red: NamedTuple
    black: NamedTuple
    next_red: NamedTuple
    next_black: NamedTuple


class Weights(NamedTuple):
    """The weights of A for the planes of each stage, and of restriction, in all lanes."""

    a1: NamedTuple
    a2: NamedTuple
    red: Pull
    black: Pull
    residual: Pull
    adding: Adding


def workspace(shape, strips, dtype):
    """Scratch for `strips` strips of an array of that shape."""
    return scratch(shape[1] * shape[2], SLOTS, strips, dtype)


# --- where things lie ---------------------------------------------------------------------------


@inlined
def space_of(numbers, reals, rows, rows_at, tables):
    """The records of a level, which takes Numba longer to accept than a small grid's whole pass.

    `numbers` and `reals` are those of the records, one after the other.
    """
    m, x = numbers, reals
    plane = Plane(m[8], m[9], m[10], m[11], m[12], m[13], m[14], m[15], m[16])
    coarse = Plane(m[17], m[18], m[19], m[20], m[21], m[22], m[23], m[24], m[25])
    rim = Rim(
        Side(m[26], m[27], m[28], x[3], x[4]), Side(m[29], m[30], m[31], x[5], x[6]),
        Side(m[32], m[33], m[34], x[7], x[8]), Side(m[35], m[36], m[37], x[9], x[10]),
    )  # fmt: skip
    across = Across(rows, rows_at, m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7] != 0)
    lie = m[38], m[39], m[40]
    return Space(across, plane, coarse, rim, *lie, x[0], x[1], x[2], m[41] != 0, tables)


@inlined
def place(box, i):
    """Where plane i lies in an array of this grid."""
    return box.rows.places[HERE, entry(i)] * box.stride


@inlined
def table(box, i, number, c):
    """Where half c of a table of plane i begins: those of the first plane and the last differ."""
    end = 2 if i == box.rows.stop - 1 else 0
    return at(2 * (1 if i == box.rows.first else end) + number, c, box.half)


@inlined
def near(box, i, c):
    """Half c of plane i of u, and its neighbours."""
    h, here = box.plane.row // 2, at(U + i % 5, c, box.half)
    other = at(U + i % 5, 1 - c, box.half) + c
    return Near(
        here=unsigned(here),
        left=unsigned(other - 1),
        right=unsigned(other),
        front=unsigned(other - 1 - h),
        back=unsigned(other + h),
    )


@inlined
def front_of(box, i, c):
    """The wave front when plane i enters."""
    r, p, q, half = i - 1, i - 2, i - 3, box.half
    return Front(
        from_u=unsigned(place(box, i)),
        from_g=unsigned(place(box, r)),
        to_u=unsigned(place(box, p)),
        even=unsigned(at(U + i % 5, 0, half)),
        odd=unsigned(at(U + i % 5, 1, half)),
        below=unsigned(at(U + i % 5, c, half)),
        red=near(box, r, c),
        black=near(box, p, c),
        residual=near(box, q, c),
        above=unsigned(at(U + (q - 1) % 5, c, half)),
        g_red=unsigned(at(G + r % 3, c, half)),
        g_black=unsigned(at(G + r % 3, 1 - c, half)),
        g_p=unsigned(at(G + p % 3, c, half)),
        g_q=unsigned(at(G + q % 3, c, half)),
        reds=unsigned(at(U + p % 5, 1 - c, half)),
        two=unsigned(at(TWO, c, half)),
        three=unsigned(at(THREE, c, half)),
        tail=unsigned(at(TAIL, 0, half)),
        red_share=unsigned(table(box, r, SHARE, c)),
        black_share=unsigned(table(box, p, SHARE, c)),
        black_larger=unsigned(table(box, p, LARGER, c)),
    )


@inlined
def pull(S, box, i):
    """The weights of plane i."""
    above, below = box.rows.weights[LOWER, entry(i)], box.rows.weights[UPPER, entry(i)]
    d = above + below + box.a1 + box.a1 + box.a2 + box.a2
    return Pull(spread(S, above), spread(S, below), spread(S, d), spread(S, box.omega / d))


@inlined
def adding(S, box, q, c):
    """How residuals of plane q and of the one below it count for coarse planes."""
    weights, none, this, that = box.rows.weights, spread(S, 0), entry(q // 2), entry(q // 2 + 1)
    before, centre = spread(S, weights[BEFORE, that]), spread(S, weights[CENTRE, that])
    behind = spread(S, weights[BEHIND, this])
    if c == 1:  # plane q is odd
        return Adding(behind, none, before, centre)
    return Adding(spread(S, weights[CENTRE, this]), behind, none, before)


@inlined
def weights_of(S, box, i, c):
    """The weights when plane i enters."""
    return Weights(
        spread(S, box.a1), spread(S, box.a2), pull(S, box, i - 1), pull(S, box, i - 2),
        pull(S, box, i - 3), adding(S, box, i - 3, c),
    )  # fmt: skip
