"""Red-black smoothing of -div(a grad u) + c u on a plane, fused: one pass over memory.

With a = 1 and c = 0 the operator is a sum of second differences along the axes, whose weights vary
along their own axis alone. So they are tables along axes, and sides are what these tables hold: no
coupling outwards at a Neumann side, one to a zero beyond at a Robin side, any numbers on a graded
mesh. Transfers are tables in the same way. Periodic axes have their ends copied beyond each other.
Where coefficients vary they are fields: weights are entries of the tables times the a of FACES, or
times the mean of that at the two NODES. What is read from memory decides how long a pass takes: u
and g, and one or two numbers more for each node. So the diagonal is summed up, and divided by,
where it is needed.

A wave front runs down the rows: see wave.py. Rows enter from u, from zero, or from u + P e. All
stages of one step work on columns of the same parity c (plane_fused.py has a picture). Two loops
over a run of nodes carry them out, for the first two rows and for the last two. A stage without
work, near the ends of a strip, does it all the same: with factors of zero, or for a place that
nobody reads.

Between the ends of a row weights mostly are equal, and stay in registers. Elsewhere, and all along
the rows of a graded mesh, they are loaded for each vector of nodes.

Where the first axis is periodic the first strip has a neighbour before it, too: the last one.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from mgcore.kernels.compilation import inlined, parallel, serial, unsigned
from mgcore.kernels.halves import (
    AHEAD,
    CORRECTED,
    GIVEN,
    NEAR,
    NORM,
    NOTHING,
    RESTRICTION,
    ZERO,
)
from mgcore.kernels.plane_box import (
    BEFORE,
    BEHIND,
    CENTRE,
    EMPTY,
    FACES,
    HERE,
    HIGH,
    INSIDE,
    INVERSE,
    LOW,
    LOWER,
    NODES,
    NOWHERE,
    TABLES,
    TARGET,
    UPPER,
    Box,
    Places,
    Pull,
    R,
    Row,
    U,
    at,
    box_of,
    entry,
    first_row,
    front_of,
    keep_borders,
    kept,
    known,
    line,
    parents,
    place,
    places_of,
    pull,
)
from mgcore.kernels.vectors import (
    add_squares,
    lagging,
    lanes,
    load,
    no_squares,
    offset,
    prefetch,
    spread,
    store,
    total_of,
)
from mgcore.kernels.wave import (
    Arrays,
    Lines,
    Near,
    around,
    ask,
    coloured,
    separated,
    work_at,
    write,
)

__all__ = [
    "faces_plane",
    "faces_strip",
    "nodes_plane",
    "nodes_strip",
    "plane",
    "plane_strip",
]

# Vectors of a row that all stages take before the next ones.
_RUN = 16

_EVEN, _ODD = np.int64(0), np.int64(1)


@inlined
def inverses(S, box, across, c, stage):
    """Where omega / diagonal of half c of a row lies; computed where the last row had another."""
    rest = across.above + across.below
    x = offset(at(S, box, INVERSE + stage, c))
    key = known(box, stage, c)
    if S[key] != rest:
        S[key] = rest
        invert(S, x, box.along.weights, box.along.size, c, rest, box.omega)
    return x


@serial
def invert(S, x, weights, size, c, rest, omega):
    """S[x : x + size] = omega / diagonal of half c of a row, zero where there is no unknown."""
    lower, upper, inside = (LOWER + c) * size, (UPPER + c) * size, (INSIDE + c) * size
    lower, upper, inside = unsigned(lower), unsigned(upper), unsigned(inside)
    for k in range(unsigned(size)):
        diagonal = rest + (weights[lower + k] + weights[upper + k])
        S[x + k] = weights[inside + k] * omega / diagonal


class Strip(NamedTuple):
    """A strip of rows: its scratch S, its level, the arrays of the pass.

    By `kind` fields are read: of a on FACES, or at NODES, or with TABLES none. `far` is what
    :class:`~mgcore.kernels.plane_box.Row` says.
    """

    S: np.ndarray
    box: Box
    arrays: Arrays
    fields: np.ndarray
    kind: np.int64
    far: np.bool_


class Carried(NamedTuple):
    """What goes on from one run of nodes to the next: the last red residuals, sums of squares."""

    lagged: NamedTuple
    blacks: NamedTuple
    reds: NamedTuple


class Weights(NamedTuple):
    """Couplings of a vector of nodes to those around them."""

    left: NamedTuple
    right: NamedTuple
    above: NamedTuple
    below: NamedTuple


class Half(NamedTuple):
    """Half a row at work: its nodes in scratch, the places of its fields, couplings across rows."""

    near: Near
    places: Places
    pull: Pull


class Nodes(NamedTuple):
    """A vector of nodes: u, couplings, g - A u; and the nodes beside, for the next vector."""

    u: NamedTuple
    pulls: Weights
    r: NamedTuple
    beside: NamedTuple


# --- for the vector of nodes at k of a row: what the tables say ---------------------------------


@inlined
def couplings(along, c, k):
    """To the left and to the right."""
    to_left, to_right = line(along, LOWER + c), line(along, UPPER + c)
    return load(along.weights, to_left + k), load(along.weights, to_right + k)


@inlined
def unknown(along, number, k):
    """One at unknowns, of half c where the number is INSIDE + c."""
    return load(along.weights, line(along, number) + k)


@inlined
def omegas(strip, inverse, omega, c, k):
    """omega / diagonal; omega where the diagonal is summed up on the way."""
    if strip.kind == TABLES:
        return load(strip.S, inverse + k)
    return spread(strip.S, omega) * unknown(strip.box.along, INSIDE + c, k)


@inlined
def parts(along, k):
    """Of coarse node k in the even node there, of k and of k + 1 in the odd one."""
    low, high = line(along, LOW), line(along, HIGH)
    return unknown(along, INSIDE, k), load(along.weights, low + k), load(along.weights, high + k)


@inlined
def weighting(along, k):
    """How a coarse node is weighted from the nodes before it, at it and behind."""
    before, centre, behind = line(along, BEFORE), line(along, CENTRE), line(along, BEHIND)
    weights = along.weights
    return load(weights, before + k), load(weights, centre + k), load(weights, behind + k)


# --- what is done with them ---------------------------------------------------------------------


@inlined
def enter(S, e, row, k, parts, source):
    """u from its source, at even and odd nodes."""
    inside, part, other_part = parts
    x = y = spread(S, 0)
    if source != ZERO:
        x, y = separated(S, row.line, row.from_u + k + k)
    if source == CORRECTED:
        here, there = interpolated(S, e, row.parents, k)
        x = x + inside * here  # the last coarse node may be an odd one
        y = y + part * here + other_part * there
    return x, y


@inlined
def interpolated(S, e, rows, k):
    """Coarse nodes k and k + 1 of each lane, weighted across rows."""
    one, upper, lower = unsigned(1), spread(S, rows.upper), spread(S, rows.lower)
    here = upper * load(e, rows.above + k) + lower * load(e, rows.below + k)
    there = upper * load(e, rows.above + k + one) + lower * load(e, rows.below + k + one)
    return here, there


@inlined
def weights_of(S, row, places, k, across, a, b, kind):
    """The couplings of a vector of nodes."""
    above, below, fields = spread(S, across.above), spread(S, across.below), row.fields
    if kind != TABLES:
        left, right = load(fields, places.left + k), load(fields, places.right + k)
        over, under = load(fields, places.above + k), load(fields, places.below + k)
        if kind == NODES:  # where halves of a lie
            here = load(fields, places.here + k)
            left, right, over, under = left + here, right + here, over + here, under + here
        a, b, above, below = a * left, b * right, above * over, below * under
    return Weights(a, b, above, below)


@inlined
def ask_for_fields(row, k, kind):
    """Ask for the a at k, of which the rows before have used none."""
    places = row.red_places
    if kind == NODES:
        prefetch(row.fields, places.here + k)
        prefetch(row.fields, places.below + k)
    elif kind == FACES:
        prefetch(row.fields, places.left + k)
        prefetch(row.fields, places.right + k)
        prefetch(row.fields, places.above + k)
        prefetch(row.fields, places.below + k)


@inlined
def diagonal_of(strip, row, places, k, w):
    """The sum of couplings, and c."""
    total = (w.above + w.below) + (w.left + w.right)
    if strip.box.owned:
        total = total + load(row.fields, places.own + k)
    return total


@inlined
def defect(w, g, u):
    """g - A u where c = 0, from differences of neighbours: see kernels/common.py."""
    r = g + w.left * (u.left - u.here) + w.right * (u.right - u.here)
    return r + w.above * (u.above - u.here) + w.below * (u.below - u.here)


@inlined
def less_own(strip, row, places, k, r, u):
    """r - c u."""
    # Only where coefficients vary there is a c, and only that is known when this is compiled.
    if strip.kind != TABLES and strip.box.owned:
        r = r - load(row.fields, places.own + k) * u
    return r


@inlined
def residual(strip, row, half, k, c, a, b, g, before, below):
    """g - A u; `before` are the nodes beside of the last vector, `below` those of the row below."""
    u, beside = around(strip.S, half.near, k, c, before, below)
    pulls = weights_of(strip.S, row, half.places, k, half.pull, a, b, strip.kind)
    r = less_own(strip, row, half.places, k, defect(pulls, g, u), u.here)
    return Nodes(u, pulls, r, beside)


@inlined
def relaxed(strip, row, half, k, w, nodes):
    """u + omega / diagonal (g - A u), in scratch, too."""
    if strip.kind != TABLES:
        w = w / diagonal_of(strip, row, half.places, k, nodes.pulls)
    u = nodes.u.here + w * nodes.r
    store(strip.S, half.near.here + k, u)
    return u


@inlined
def remainder(strip, row, half, k, nodes, u):
    """What remains where u was relaxed."""
    # Black nodes' neighbours change no more; of rounding, it is what it did to u.
    pulls, change = nodes.pulls, u - nodes.u.here
    r = nodes.r - ((pulls.above + pulls.below) + (pulls.left + pulls.right)) * change
    return less_own(strip, row, half.places, k, r, change)


@inlined
def restrict(S, front, row, k, added):
    """Coarse row I in memory: residuals weighted along rows, now across 2 I - 1, 2 I, 2 I + 1."""
    if row.odd:
        total = spread(S, row.upper) * load(S, front.odd_sum + k)
        total = total + spread(S, row.centre) * load(S, front.even_sum + k)
        store(row.out, row.target + k, total + spread(S, row.lower) * added)
        store(S, front.odd_sum + k, added)
    else:
        store(S, front.even_sum + k, added)


# --- the wave front -----------------------------------------------------------------------------
#
# Weights along a row stay in registers where they are the same, and are loaded elsewhere.


@inlined
def upper_half(strip, front, row, c, source, kept, lo, hi):
    """The stages of the rows i and i - 1: enter, red."""
    S, arrays, along = strip.S, strip.arrays, strip.box.along
    step, ahead = lanes(S), unsigned(AHEAD // S.itemsize)
    first, stop = unsigned(along.first), unsigned(along.stop)
    red = Half(front.red, row.red_places, row.red_pull)
    (a, b), of_coarse = couplings(along, c, lo), parts(along, lo)
    w = omegas(strip, row.red_inverse, row.red_omega, c, lo)
    before = load(S, front.red.beside + lo - step)
    for k in range(lo, hi, step):
        if k <= first or k >= stop:
            a, b = couplings(along, c, k)
            w = omegas(strip, row.red_inverse, row.red_omega, c, k)
            if source == CORRECTED:
                of_coarse = parts(along, k)

        if row.far:
            if source != ZERO:
                ask(S, row.line, row.from_u + k + k + ahead)
            ask(S, arrays.g, row.from_g + k + k + ahead)
            ask_for_fields(row, k + ahead, strip.kind)
        x, y = enter(S, arrays.e, row, k, of_coarse, source)
        store(S, front.even + k, x)
        store(S, front.odd + k, y)

        g, other = coloured(S, arrays.g, row.from_g + k + k, c)
        store(S, front.g_black + k, other)
        if kept:
            store(S, front.g_red + k, g)
        nodes = residual(strip, row, red, k, c, a, b, g, before, x if c == 0 else y)
        relaxed(strip, row, red, k, w, nodes)
        before = nodes.beside


@inlined
def lower_half(strip, front, row, c, sink, lo, hi, carried):
    """The stages of the rows i - 2 and i - 3: black, write, what remains, restrict."""
    S, along, (lagged, blacks, reds) = strip.S, strip.box.along, carried
    step, first, stop = lanes(S), unsigned(along.first), unsigned(along.stop)
    black = Half(front.black, row.black_places, row.black_pull)
    left = Half(front.left, row.left_places, row.left_pull)
    (a, b), inside = couplings(along, c, lo), unknown(along, INSIDE + c, lo)
    w, (p, q, s) = omegas(strip, row.black_inverse, row.black_omega, c, lo), weighting(along, lo)
    before_p = load(S, front.black.beside + lo - step)
    before_q = before_r = before_p
    if sink != NOTHING:
        before_q = load(S, front.left.beside + lo - step)
        before_r = load(S, front.r_q + lo - step)
    for k in range(lo, hi, step):
        if k <= first or k >= stop:
            a, b = couplings(along, c, k)
            w = omegas(strip, row.black_inverse, row.black_omega, c, k)
            if sink == NORM:
                inside = unknown(along, INSIDE + c, k)
            if sink == RESTRICTION:
                p, q, s = weighting(along, k)

        g, below = load(S, front.g_p + k), load(S, front.black.below + k)
        nodes = residual(strip, row, black, k, c, a, b, g, before_p, below)
        u = relaxed(strip, row, black, k, w, nodes)
        write(S, row.to, row.to_u + k + k, c, u, nodes.beside if c == 0 else before_p)
        before_p = nodes.beside

        if sink != NOTHING:
            r = remainder(strip, row, black, k, nodes, u)
            store(S, front.r_p + k, r)
            reds_left = residual(strip, row, left, k, c, a, b, load(S, front.g_q + k), before_q, u)
            red, before_q = reds_left.r, reds_left.beside
            if sink == NORM:
                blacks = add_squares(blacks, inside * r)
                reds = add_squares(reds, inside * red)
            else:
                beside = load(S, front.r_q + k)
                even, odd, lag = (red, beside, before_r) if c == 0 else (before_r, red, lagged)
                restrict(S, front, row, k, p * lagging(lag, odd) + q * even + s * odd)
                lagged, before_r = red, beside
    return Carried(lagged, blacks, reds)


@inlined
def stages(strip, front, row, work, c, source, sink):
    """All stages of the wave front; the sum of squares of what remains.

    ::

        coarse[k]     before[k] odd[k - 1] + centre[k] even[k] + behind[k] odd[k]
    """
    S, box = strip.S, strip.box
    size, run, kept = unsigned(box.along.size), unsigned(_RUN) * lanes(S), sink != NOTHING
    carried = Carried(spread(S, 0), no_squares(S), no_squares(S))
    lo = hi = unsigned(0)
    while hi < size:
        lo, hi = hi, hi + run
        if hi + run // unsigned(2) > size:
            hi = size  # not a few vectors alone
        # A copy of the loops for each source and each sink.
        if not work.filled:
            upper_half(strip, front, row, c, ZERO, kept, lo, hi)
        elif source == CORRECTED:
            upper_half(strip, front, row, c, CORRECTED, kept, lo, hi)
        else:
            upper_half(strip, front, row, c, GIVEN, kept, lo, hi)
        if sink == NOTHING:
            lower_half(strip, front, row, c, NOTHING, lo, hi, carried)
        elif sink == RESTRICTION:
            carried = lower_half(strip, front, row, c, RESTRICTION, lo, hi, carried)
        else:
            carried = lower_half(strip, front, row, c, NORM, lo, hi, carried)
    total = 0.0
    if sink == NORM:
        total += total_of(carried.blacks) if work.written else 0.0
        total += total_of(carried.reds) if work.residual else 0.0
    if box.along.periodic:
        if sink == RESTRICTION and c == 1:
            store(S, offset(at(S, box, EMPTY, 1)), carried.lagged)
            first_coarse(S, box, front, row)
        close_row(S, box, work.i, c)
    return total


@inlined
def first_coarse(S, box, front, row):
    """What coarse node 0 has from the last node of a periodic row, whose vector was kept."""
    along = box.along
    lane = (along.n // 2 - 1) % np.int64(lanes(S))
    added = along.weights[BEFORE * along.size] * S[at(S, box, EMPTY, 1) + lane]
    if row.odd:
        S[front.odd_sum] += added
        row.out[row.target] += row.lower * added
    else:
        S[front.even_sum] += added


@inlined
def close_row(S, box, i, c):
    """Copy the ends of a periodic row beyond each other, of all that the step has changed."""
    r, p = i - 1, i - 2
    beyond(S, box, at(S, box, U + i % 5, 0), 0)
    beyond(S, box, at(S, box, U + i % 5, 1), 1)
    beyond(S, box, at(S, box, U + r % 5, c), c)
    beyond(S, box, at(S, box, U + p % 5, c), c)
    beyond(S, box, at(S, box, R + p % 2, c), c)


@inlined
def beyond(S, box, x, c):
    """The neighbours of the ends of half c of a row, at S[x]: node -1 is odd, node n even."""
    pairs = box.along.n // 2
    if c == 0:
        S[x + pairs] = S[x]
    else:
        S[x - 1] = S[x + pairs - 1]


@inlined
def step(strip, work, line, start, c, source, sink):
    """The wave front's step to row i, which begins at line[start]; the sum of squares."""
    S, box, arrays, fields, kind, far = strip
    i, rows = work.i, box.rows
    r, p, q = i - 1, i - 2, i - 3
    front, odd, I = front_of(S, box, i, c), q % 2 == 1, entry((q - 1) // 2)
    nowhere, zeros = offset(at(S, box, NOWHERE, 0)), offset(at(S, box, EMPTY, 0))
    across_r, across_p = pull(box, r), pull(box, p)
    red_inverse = black_inverse = zeros
    if kind == TABLES and work.red:
        red_inverse = inverses(S, box, across_r, c, _EVEN)
    if kind == TABLES and work.black:
        black_inverse = inverses(S, box, across_p, c, _ODD)
    # Numba takes no branches within as many keywords as Row has.
    red_omega, black_omega = box.omega if work.red else 0.0, box.omega if work.black else 0.0
    to = arrays.u if work.written else S
    to_u = offset(place(box, p)) if work.written else nowhere
    target, out = nowhere, S
    if work.restricted:
        out = arrays.coarse
        target = offset(rows.places[TARGET, I] * box.coarse_stride + box.origin)
    row = Row(
        line=line,
        from_u=offset(start + box.origin),
        from_g=offset(place(box, r)),
        far=far,
        parents=parents(box, i),
        red_pull=across_r,
        black_pull=across_p,
        left_pull=pull(box, q),
        fields=fields,
        red_places=places_of(box, r, c, kind),
        black_places=places_of(box, p, c, kind),
        left_places=places_of(box, q, c, kind),
        red_inverse=red_inverse,
        red_omega=red_omega,
        black_inverse=black_inverse,
        black_omega=black_omega,
        to=to,
        to_u=to_u,
        odd=odd,
        out=out,
        target=target,
        upper=rows.weights[BEFORE, I],
        centre=rows.weights[CENTRE, I],
        lower=rows.weights[BEHIND, I],
    )
    return stages(strip, front, row, work, c, source, sink)


@inlined
def strip_of(u, g, source, e, sink, coarse, sums, box, fields, kind, space, strip, strips):
    """The pass over one strip of rows."""
    rows, total = box.rows, 0.0
    a, b = first_row(box.rows, strip, strips), first_row(box.rows, strip + 1, strips)
    S, below = space[strip], space[(strip + 1) % strips]
    arrays = Arrays(u.reshape(-1), g.reshape(-1), e.reshape(-1), coarse.reshape(-1))
    task = Strip(S, box, arrays, fields, kind, u.size * u.itemsize > NEAR)
    lines = Lines(a, b, rows.first, rows.stop, rows.coarse_stop)
    if strips == 1 and rows.periodic:
        keep_borders(arrays.u, box, space, strips)
    for i in range(a - 3, b + 4):
        work = work_at(i, lines, source, sink)
        line, start = arrays.u, rows.places[HERE, entry(i)] * box.stride
        if i < a:
            line, start = S, kept(box, i - a)
        elif i >= b:
            line, start = below, kept(box, i - b)
        if i % 2 == 1:
            total += step(task, work, line, start, _EVEN, source, sink)
        else:
            total += step(task, work, line, start, _ODD, source, sink)
    if sink == NORM:
        sums[strip] = total


# Functions for each kind, and no factory of them: a pass that closes over its strip is not found in
# the cache by the next process, as the key of its code would hold that strip.


@serial
def plane_strip(
    u, g, source, e, sink, coarse, sums, numbers, omega, rows, rows_at, along, space, strip, strips
):
    """The pass over one strip of rows."""
    box = box_of(numbers, omega, rows, rows_at, along)
    strip_of(u, g, source, e, sink, coarse, sums, box, along, TABLES, space, strip, strips)


@serial
def faces_strip(
    u, g, source, e, sink, coarse, sums, numbers, omega, rows, rows_at, along, fields, space, strip,
    strips,
):  # fmt: skip
    """The same for -div(a grad u) + c u, with a on faces."""
    box = box_of(numbers, omega, rows, rows_at, along)
    strip_of(u, g, source, e, sink, coarse, sums, box, fields, FACES, space, strip, strips)


@serial
def nodes_strip(
    u, g, source, e, sink, coarse, sums, numbers, omega, rows, rows_at, along, fields, space, strip,
    strips,
):  # fmt: skip
    """The same with a at nodes, of whose values at two of them a face has the mean."""
    box = box_of(numbers, omega, rows, rows_at, along)
    strip_of(u, g, source, e, sink, coarse, sums, box, fields, NODES, space, strip, strips)


@serial
def begin(u, numbers, omega, rows, rows_at, along, space, strips):
    """Keep what lies around the borders between strips, before they change it."""
    box = box_of(numbers, omega, rows, rows_at, along)
    keep_borders(u.reshape(-1), box, space, strips)


@parallel
def plane(u, g, source, e, sink, coarse, sums, numbers, omega, rows, rows_at, along, space, strips):
    """u = one red-black step on the source; by `sink`, coarse = R r or the sum of `sums` |r|^2.

    `e` is read where the source asks for it, `coarse` and `sums` are written where the sink does.
    The level is told as :func:`box_of` takes it. With omega = 0 there is no step, only what comes
    before and after it.
    """
    if strips > 1:
        begin(u, numbers, omega, rows, rows_at, along, space, strips)
    for strip in prange(strips):
        plane_strip(
            u, g, source, e, sink, coarse, sums, numbers, omega, rows, rows_at, along, space,
            np.int64(strip), strips,
        )  # fmt: skip


@parallel
def faces_plane(
    u, g, source, e, sink, coarse, sums, numbers, omega, rows, rows_at, along, fields, space, strips
):
    """The same for -div(a grad u) + c u; `fields` say what a is on faces, and c at nodes."""
    if strips > 1:
        begin(u, numbers, omega, rows, rows_at, along, space, strips)
    for strip in prange(strips):
        faces_strip(
            u, g, source, e, sink, coarse, sums, numbers, omega, rows, rows_at, along, fields,
            space, np.int64(strip), strips,
        )  # fmt: skip


@parallel
def nodes_plane(
    u, g, source, e, sink, coarse, sums, numbers, omega, rows, rows_at, along, fields, space, strips
):
    """The same with a at nodes, of whose values at two of them a face has the mean."""
    if strips > 1:
        begin(u, numbers, omega, rows, rows_at, along, space, strips)
    for strip in prange(strips):
        nodes_strip(
            u, g, source, e, sink, coarse, sums, numbers, omega, rows, rows_at, along, fields,
            space, np.int64(strip), strips,
        )  # fmt: skip
