"""One grid of the solver for any operator, sides and mesh, on Numba arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from mgcore.axis import Table
from mgcore.chain import Rung, colours, rungs
from mgcore.gate import clear_sides, node_array, output_array
from mgcore.grid import Grid
from mgcore.inverse import Inverse, inverse
from mgcore.kernels import KERNELS, general
from mgcore.kernels.general import NORM, NOTHING, RESIDUAL, Couplings, Walk
from mgcore.level import Posed, SolverLevel
from mgcore.operators import Medium, Operator
from mgcore.poisson_level import describe
from mgcore.pool import Pool
from mgcore.sides import continuation
from mgcore.smoothers import Smoother
from mgcore.stencil import Stencil
from mgcore.threads import count

__all__ = ["StencilLevel", "stencil_levels"]


@dataclass(slots=True)
class State:
    """Arrays of one problem on one grid: unknowns with one layer around.

    `zero` says that u is zero, whatever its array holds; `work` is a second array, where one was
    needed; `coarse` is the state of the next coarser grid. A state that was asked for its norm once
    is `watched`: the last pass of a cycle then takes the `norm`.
    """

    u: np.ndarray
    g: np.ndarray
    coarse: State | None
    zero: bool = True
    watched: bool = False
    norm: float | None = None
    work: np.ndarray | None = None

    def restart(self) -> None:
        """Begin anew at u = 0, with what `g` holds by now."""
        self.zero, self.norm = True, None

    def watch(self, watched: bool = True) -> None:
        """Have the last pass of each cycle take the residual's norm."""
        self.watched = watched

    def scratch(self) -> np.ndarray:
        """An array with a layer of zeros for whoever needs a second one."""
        if self.work is None:
            self.work = np.zeros_like(self.u)
        return self.work


class _Layout:
    """Where the unknowns of a grid lie in an array with one layer around."""

    def __init__(self, grid: Grid):
        self.grid = grid
        self.shape = tuple(n + 2 for n in grid.interior)
        self.inside = (slice(1, -1),) * grid.ndim
        self.strides = tuple(prod(self.shape[axis + 1 :]) for axis in range(grid.ndim))
        self.size = grid.interior[-1]
        #: The node that lies first in the array along each axis, layer included.
        self.first = tuple(s.start - 1 for s in grid.unknown)
        starts = np.ones((1,) * (grid.ndim - 1), np.int64)
        for axis, n in enumerate(grid.interior[:-1]):
            along = (1 + np.arange(n, dtype=np.int64)) * self.strides[axis]
            starts = starts + along.reshape([-1 if k == axis else 1 for k in range(grid.ndim - 1)])
        self.starts = starts.reshape(-1)

    def walk(self) -> Walk:
        """How kernels go through the array."""
        n, periodic = self.grid.interior, [axis.periodic for axis in self.grid.axes]
        several = len(n) > 1
        slabs = n[0] if several else 1
        return Walk(
            np.int64(slabs), np.int64(len(self.starts) // slabs),
            np.int64(self.strides[0] if several else self.shape[0]), np.int64(self.shape[-1]),
            np.bool_(several and periodic[0]), np.bool_(len(n) == 3 and periodic[1]),
            np.bool_(periodic[-1]),
        )  # fmt: skip

    def distance(self, offset: Sequence[int]) -> int:
        """How far a neighbour is away in the flat array."""
        return sum(o * s for o, s in zip(offset, self.strides, strict=True))

    def first_places(self, compact: bool) -> list[np.ndarray]:
        """For each colour the place in each line where its points begin, -1 where none are."""
        nodes = [np.arange(s.start, s.stop) for s in self.grid.unknown]
        nodes[-1] = nodes[-1][:2]  # colours take turns
        found = []
        for mask in colours(nodes, compact):
            lines = mask.reshape(-1, len(nodes[-1]))
            found.append(np.where(lines.any(1), lines.argmax(1), -1))
        return found

    def layer(self, values: np.ndarray) -> np.ndarray:
        """Fill the layer along periodic axes, in place."""
        for number, axis in enumerate(self.grid.axes):
            if axis.periodic:
                before: Any = (slice(None),) * number
                values[(*before, 0)] = values[(*before, -2)]
                values[(*before, -1)] = values[(*before, 1)]
        return values


def _couplings(operator: Operator, layout: _Layout, dtype: np.dtype) -> Couplings:
    """An operator's weights as tables for the kernels."""
    lines, size = len(layout.starts), layout.size
    along: list[tuple[int, np.ndarray]] = []
    across: list[tuple[int, np.ndarray]] = []
    for offset, weight in operator.couplings.items():
        table = _table(weight, operator.grid, lines)
        if table.shape[1] == 1 and any(offset[:-1]):
            along.append((layout.distance(offset), table))
        else:  # neighbours within a line, too, so that there are few kinds of loops
            places = np.broadcast_to(table, (len(table), size))
            across.append((layout.distance(offset), places))
    for group in (along, across):
        if len(group) % 2:
            group.append((0, np.zeros((1, 1 if group is along else size))))
    line_weights = _stacked([w[:, 0] for _, w in along], (1,))
    place_weights = _stacked([w for _, w in across], (1, size))
    own = _table(operator.own, operator.grid, lines)
    line_sum, place_sum = line_weights.sum(0), place_weights.sum(0) + own
    if not across:
        place_sum = own
    kinds = {name: array.astype(dtype) for name, array in (
        ("line_weights", line_weights), ("place_weights", place_weights), ("own", own),
        ("line_sum", line_sum), ("place_sum", place_sum),
    )}  # fmt: skip
    return Couplings(
        starts=layout.starts, size=np.int64(size),
        line_offsets=np.array([d for d, _ in along], np.int64),
        place_offsets=np.array([d for d, _ in across], np.int64),
        **{name: np.ascontiguousarray(array) for name, array in kinds.items()},
    )  # fmt: skip


def _table(weight: np.ndarray, grid: Grid, lines: int) -> np.ndarray:
    """A weight as (lines or 1, places or 1)."""
    places = weight.shape[-1]
    if all(n == 1 for n in weight.shape[:-1]):
        return weight.reshape(1, places)
    return np.broadcast_to(weight, (*grid.interior[:-1], places)).reshape(lines, places)


def _stacked(tables: list[np.ndarray], least: tuple[int, ...]) -> np.ndarray:
    """Tables of different lengths as one array."""
    if not tables:
        return np.zeros((0, *least))
    return np.stack(np.broadcast_arrays(*tables))


class _Transfer:
    """A product of transfers from one layout to another."""

    def __init__(self, tables: Sequence[Table], source: _Layout, target: _Layout, dtype: Any):
        lines = np.zeros((1, 1), np.int64)
        weights = np.ones((1, 1))
        axes = range(target.grid.ndim)
        own = [
            (table.index[:, s] - source.first[axis], table.weight[:, s])
            for axis, table, s in zip(axes, tables, target.grid.unknown, strict=True)
        ]
        for (index, weight), stride in zip(own[:-1], source.strides, strict=False):
            # All pairs of terms, all pairs of lines.
            lines = _pairs(lines, index * stride, np.add)
            weights = _pairs(weights, weight, np.multiply)
        places, place_weights = own[-1]
        # Where a Dirichlet side's own node is not read, an index may lie outside the array.
        places = np.where(place_weights == 0, 1, places)
        lines = np.where(weights == 0, 0, lines)
        self.arguments = (
            np.ascontiguousarray(lines), np.ascontiguousarray(weights, dtype),
            np.ascontiguousarray(places), np.ascontiguousarray(place_weights, dtype),
            target.starts,
        )  # fmt: skip

    def __call__(self, source: np.ndarray, target: np.ndarray, added: bool) -> None:
        strips = min(len(self.arguments[-1]), count())
        general.gather(source.reshape(-1), target.reshape(-1), *self.arguments, added, strips)


def _pairs(outer: np.ndarray, inner: np.ndarray, combine: Any) -> np.ndarray:
    terms = combine(outer[:, None, :, None], inner[None, :, None, :])
    return terms.reshape(len(outer) * len(inner), -1)


class StencilLevel(SolverLevel[State]):
    """A u = g on one grid, A any :class:`~mgcore.operators.Operator`.

    Made by :func:`mgcore.poisson_levels`. One level serves any number of states, from several
    threads.

    Parameters
    ----------
    rung : Rung
    smoother : Smoother
    dtype : str
    coarse : StencilLevel or None
        The next coarser level; without one, `smooth` solves directly.
    fused : bool
        Whether a red-black step goes in one pass over memory.

    Attributes
    ----------
    volumes : ndarray
        The volumes that belong to the unknowns, over their mean.
    backwards : bool
        Whether sweeps go in reverse order after a correction, so that a V cycle is symmetric.
    """

    #: What the heading of the table of levels says besides.
    remark = ""

    def __init__(
        self,
        rung: Rung,
        smoother: Smoother,
        dtype: str,
        coarse: StencilLevel | None,
        fused: bool = True,
    ):
        operator = rung.operator
        self.operator, self.smoother, self.coarse = operator, smoother, coarse
        self.grid = grid = operator.grid
        self.dtype = np.dtype(dtype)
        self.size = grid.size
        self.eps = float(np.finfo(self.dtype).eps)
        self.room = float(np.finfo(self.dtype).max) / 256
        self.condition = operator.condition
        self.singular = operator.singular
        self._layout = layout = _Layout(grid)
        self._A = _couplings(operator, layout, self.dtype)
        self._walk = layout.walk()
        self._strips = max(1, min(int(self._walk.slabs) // 8, count()))
        self._bound = operator.bound
        self._pool: Pool[State] = Pool()
        volumes = operator.volumes()
        self.volumes = volumes / volumes.mean()
        self.adjoint, self.backwards = rung.adjoint, False
        self._sweeps = smoother.sweeps(grid, operator)  # checks that it fits
        if coarse is None:
            return
        self._down = [_Transfer(t, layout, coarse._layout, self.dtype) for t in rung.down]
        self._up = _Transfer(rung.up, coarse._layout, layout, self.dtype)
        self._cubic = _Transfer(rung.cubic, coarse._layout, layout, self.dtype)
        self._colours = layout.first_places(operator.compact)
        points = tuple(sweep.points for sweep in self._sweeps)
        kernel = self._sweeps[0].kernel
        if kernel is not None:
            distances = [layout.distance(offset) for offset in kernel.weights]
            weights = [weight.item() for weight in kernel.weights.values()]
            self._kernel = np.array(distances, np.int64), np.array(weights, self.dtype)
        self._in_one_pass = fused and operator.compact and points == ("red", "black")

    # --- the Level protocol -----------------------------------------------------------------------

    def start(
        self, g: Any, u: Any = None, *, lift: np.ndarray | None = None, out: Any = None
    ) -> State:
        """The state for A (u - lift) = g - A lift; what is on Dirichlet sides is ignored.

        g and u are copied. See :class:`mgcore.level.SolverLevel`.
        """
        g, u = self.nodes(g, "g"), None if u is None else self.nodes(u, "u")
        state = self._pool.take() or self._state()
        inside, unknown = self._layout.inside, self.grid.unknown
        state.g[inside] = (g if lift is None else self.without(g, lift))[unknown]
        state.zero, state.watched, state.norm = u is None, False, None
        if u is not None:
            state.u[inside] = u[unknown]
            if lift is not None:
                state.u[inside] -= lift[unknown]
        return state

    def finish(
        self, state: State, *, lift: np.ndarray | None = None, out: np.ndarray | None = None
    ) -> np.ndarray:
        """The iterate plus the lift; the state is for the next problem."""
        u = self._at_nodes(state, out)
        if lift is not None:
            u += lift
        self._pool.give(state)
        return u

    def add(self, state: State, e: np.ndarray) -> State:
        """The state with the node values `e` added to its iterate."""
        u = self._write(state).u[self._layout.inside]
        u += e[self.grid.unknown]
        if self.singular:  # a constant of a first guess must not cost digits for ever
            self._centre(u)
        state.norm = None
        return state

    def smooth(self, state: State, steps: int, backwards: bool = False) -> State:
        """`steps` steps of the smoother; on the coarsest grid the exact solution."""
        if self.coarse is None:
            inside = self._layout.inside
            state.u[inside] = self._inverse(state.g[inside])
            state.zero, state.norm = False, None
        elif steps:
            self._write(state)
            self._layout.layer(state.u)
            for _ in range(steps):
                self._step(state, backwards)
        return state

    def descend(self, state: State, steps: int) -> tuple[State, State]:
        """Smooth and restrict; the last step and the residual in one pass where that exists."""
        if self.coarse is None or not steps or not self._in_one_pass:
            return super().descend(state, steps)
        self._layout.layer(self._write(state).u)
        for step in range(steps):
            self._step(state, False, RESIDUAL if step + 1 == steps else NOTHING)
        return state, self._restricted(state, state.scratch())

    def restrict(self, state: State) -> State:
        """The coarser problem A' e = R (g - A u), starting from zero."""
        assert state.coarse is not None
        r = state.g if state.zero else self._defect(state, state.scratch())
        return self._restricted(state, r)

    def _restricted(self, state: State, r: np.ndarray) -> State:
        assert state.coarse is not None
        for number, transfer in enumerate(self._down):
            transfer(r, state.coarse.g, number > 0)
        state.coarse.restart()
        return state.coarse

    def prolong(self, state: State, coarse: State) -> State:
        """u + P e."""
        self._write(state)
        self._up(self._coarse(coarse), state.u, True)
        state.norm = None
        return state

    def ascend(self, state: State, coarse: State, steps: int) -> State:
        """Prolong, then smooth, backwards where that is asked for; the last step takes the norm."""
        self.prolong(state, coarse)
        self._layout.layer(state.u)
        for step in range(steps):
            last = state.watched and step + 1 == steps and self._in_one_pass
            state.norm = self._step(state, self.backwards, NORM if last else NOTHING)
        return state

    def interpolate(self, state: State, coarse: State) -> State:
        """u, by cubic interpolation of the coarser solution."""
        self._cubic(self._coarse(coarse), state.u, False)
        state.zero, state.norm = False, None
        return state

    def solution(self, state: State) -> np.ndarray:
        """u at the nodes, zero on Dirichlet sides; with mean zero where that is free."""
        return self._at_nodes(state)

    def _at_nodes(self, state: State, out: np.ndarray | None = None) -> np.ndarray:
        u = np.zeros(self.grid.shape, self.dtype) if out is None else out
        if out is not None:
            clear_sides(u, self.grid)
        if state.zero:
            u[self.grid.unknown] = 0
        else:
            u[self.grid.unknown] = state.u[self._layout.inside]
            if self.singular:
                self._centre(u)
        return u

    def _centre(self, u: np.ndarray) -> None:
        """Take the mean over the box out of unknowns, in place."""
        u -= self.dtype.type((u * self.volumes).mean(dtype=np.float64))

    def residual_norm(self, state: State) -> np.float64:
        """||g - A u||_2 over the unknowns."""
        if state.zero:
            return self.scale(state)
        state.watched = True
        if state.norm is None:
            u = self._layout.layer(state.u).reshape(-1)
            state.norm = general.norm(u, state.g.reshape(-1), self._A, self._strips)
        return np.float64(state.norm)

    # --- what solve asks of the finest level ------------------------------------------------------

    @property
    def direct(self) -> bool:
        """Whether `smooth` solves exactly, as it does on the coarsest grid."""
        return self.coarse is None

    def nodes(self, values: Any, name: str) -> np.ndarray:
        """`values` as a node array of this level's dtype."""
        return node_array(values, self.grid, self.dtype, name)

    def check_out(self, out: Any) -> None:
        """Refuse what cannot take the solution."""
        output_array(out, self.grid, self.dtype)

    def scale(self, state: State) -> np.float64:
        """||g||_2 over the unknowns, that of the state."""
        return np.float64(KERNELS[self.grid.ndim].length(state.g))

    def pose(self, g: np.ndarray, boundary: Any) -> Posed:
        """The right-hand side with the fluxes of the sides in it, and a continuation of values."""
        return continuation(boundary, self.grid, self.operator, g)

    def norm(self, values: np.ndarray) -> np.float64:
        """||values||_2 over the unknowns."""
        return np.float64(np.linalg.norm(values[self.grid.unknown].astype(float)))

    def largest(self, values: np.ndarray) -> np.float64:
        """The largest absolute value over the unknowns, NaN if there is one."""
        return np.float64(abs(values[self.grid.unknown]).max())

    def without(self, g: np.ndarray, lift: np.ndarray) -> np.ndarray:
        """g - A lift at the unknowns, zero elsewhere."""
        return self.defect(g, lift)

    def plus(self, u: np.ndarray, lift: np.ndarray) -> np.ndarray:
        """`u` plus the lift, border included, as a new array."""
        return u + lift

    def defect(self, g: np.ndarray, u: np.ndarray) -> np.ndarray:
        """g - A u as a new array, zero at Dirichlet nodes; `u` may have any values there."""
        out = np.zeros(self.grid.shape, self.dtype)
        r = self._kernel_defect(self._around(u), self._around(g), np.zeros(self._layout.shape,
                                                                          self.dtype))  # fmt: skip
        out[self.grid.unknown] = r[self._layout.inside]
        return out

    def misfit(self, g: np.ndarray, u: np.ndarray) -> np.float64:
        """||g - A u||_2 over the unknowns; `u` may have any values at Dirichlet nodes."""
        return self.norm(self.defect(g, u))

    def residual(self, state: State) -> np.ndarray:
        """g - A u at the nodes, zero where Dirichlet's values belong."""
        out = np.zeros(self.grid.shape, self.dtype)
        out[self.grid.unknown] = self._defect(self._write(state), state.scratch())[
            self._layout.inside
        ]
        return out

    def roundoff(self, u: np.ndarray) -> np.float64:
        """eps ||A|| ||u||_2, with ||A|| at most twice the largest diagonal entry."""
        return np.float64(self.eps * self._bound * self.norm(u))

    def describe(self) -> dict[str, str]:
        """The level's row in the table of levels."""
        return describe(self.grid, "direct" if self.coarse is None else str(self.smoother))

    # --- how it is done ---------------------------------------------------------------------------

    @cached_property
    def _inverse(self) -> Inverse:
        """A^-1, of the coarsest level."""
        return inverse(self.operator).astype(self.dtype)

    def _around(self, nodes: np.ndarray) -> np.ndarray:
        """Node values in this level's layout: values at Dirichlet nodes lie in the layer."""
        values = np.zeros(self._layout.shape, self.dtype)
        to, of = [], []
        for axis, first in zip(self.grid.axes, self._layout.first, strict=True):
            low = max(first, 0)  # the first node that has a place
            high = min(axis.n, first + axis.size + 2)
            of.append(slice(low, high))
            to.append(slice(low - first, high - first))
        values[tuple(to)] = nodes[tuple(of)]
        return self._layout.layer(values)

    def _kernel_defect(self, u: np.ndarray, g: np.ndarray, r: np.ndarray) -> np.ndarray:
        flat = (u.reshape(-1), g.reshape(-1), r.reshape(-1))
        general.defect(*flat, self._A, self._strips)
        return r

    def _defect(self, state: State, r: np.ndarray) -> np.ndarray:
        return self._kernel_defect(self._layout.layer(state.u), state.g, r)

    def _step(self, state: State, backwards: bool, sink: np.int64 = NOTHING) -> float | None:
        """One step of the smoother on a u whose layer is filled; the norm, if that is the sink."""
        state.norm = None
        sweeps = self._sweeps[::-1] if backwards else self._sweeps
        if self._in_one_pass:
            red, black = self._colours[::-1] if backwards else self._colours
            r = state.g if sink != RESIDUAL else state.scratch()
            norm = general.two_colours(
                state.u.reshape(-1), state.g.reshape(-1), r.reshape(-1), self._A, self._walk,
                self.dtype.type(sweeps[0].omega), red, black, sink, self._strips,
            )  # fmt: skip
            return float(norm) if sink == NORM else None
        for omega, points, kernel in sweeps:
            if kernel is None:
                self._sweep(state, self.dtype.type(omega), points, backwards)
            else:
                self._convolve(state, self.dtype.type(omega))
        return None

    def _convolve(self, state: State, omega: Any) -> None:
        """u + K omega D^-1 (g - A u), K the smoother's kernel."""
        u, r = state.u.reshape(-1), state.scratch().reshape(-1)
        general.relaxed(u, state.g.reshape(-1), r, self._A, omega, self._strips)
        self._layout.layer(state.scratch())
        starts, size = self._A.starts, self._A.size
        general.add(u, r, *self._kernel, starts, size, self._strips)
        self._layout.layer(state.u)

    def _sweep(self, state: State, omega: Any, points: str, backwards: bool) -> None:
        """One sweep of any smoother."""
        u, g = state.u.reshape(-1), state.g.reshape(-1)
        if points == "all":
            new = state.scratch()
            general.jacobi(u, g, new.reshape(-1), self._A, omega, self._strips)
            state.u, state.work = self._layout.layer(new), state.u
        elif points == "lexicographic":
            general.sequential(u, g, self._A, omega, backwards)
            self._layout.layer(state.u)
        else:
            half = len(self._colours) // 2
            mine = self._colours[:half] if points == "red" else self._colours[half:]
            for first in reversed(mine) if backwards else mine:
                general.sweep(u, g, self._A, self._walk, omega, first, self._strips)

    def _write(self, state: State) -> State:
        """The same state with zeros written out."""
        if state.zero:
            state.u.fill(0)
            state.zero = False
        return state

    def _coarse(self, coarse: State) -> np.ndarray:
        assert self.coarse is not None
        return self.coarse._write(coarse).u

    def _state(self, g: np.ndarray | None = None) -> State:
        """A state that stands for zero; `g` as it lies in memory, or zeros to be overwritten."""
        coarse = None if self.coarse is None else self.coarse._state()
        shape = self._layout.shape
        u = np.zeros(shape, self.dtype)
        return State(u, np.zeros_like(u) if g is None else g, coarse)


def stencil_levels(
    chain: Sequence[Grid],
    equation: Medium | Stencil,
    smoother: Smoother,
    restriction: str,
    prolongation: str,
    dtype: str,
    fused: bool = True,
) -> list[StencilLevel]:
    """Levels of a chain of grids, see :func:`mgcore.chain.grids`."""
    levels: list[StencilLevel] = []
    for rung in reversed(rungs(chain, equation, restriction, prolongation)):
        levels.insert(0, StencilLevel(rung, smoother, dtype, levels[0] if levels else None, fused))
    return levels
