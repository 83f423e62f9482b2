"""One grid of the Poisson solver on Numba arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from mgcore.array_level import ArrayLevel
from mgcore.boundary import Lift, clear_sides
from mgcore.cached import cached_property
from mgcore.diffusion import Medium
from mgcore.fused_pass import Room
from mgcore.gate import stiffness
from mgcore.grid import Grid
from mgcore.inverse import Inverse, inverse
from mgcore.kernels import KERNELS, WHY_PLAIN
from mgcore.kernels.halves import (
    CORRECTED,
    GIVEN,
    INTERPOLATED,
    NORM,
    NOTHING,
    RESTRICTION,
    ZERO,
)
from mgcore.level import Posed, check_state
from mgcore.node_pass import NodePass
from mgcore.pool import Pool
from mgcore.sides import Given, Reader
from mgcore.smoothers import Smoother
from mgcore.threads import count
from mgcore.transfer import check_names
from mgcore.transfer import restriction as restriction_weights

__all__ = ["PoissonLevel", "State", "Workspace", "title"]

# Unknowns of the pieces in which a lift is made.
_PIECE = 16_000


@dataclass(slots=True)
class Workspace:
    """Memory that comes with a problem on one grid, made for so many `threads`.

    `coarse` is the coarser grid's problem. `room` is scratch of the fused pass, None where there is
    no such pass. `b` is a right-hand side without what border values add to it, once there was one.
    """

    coarse: State | None
    threads: int
    room: Room | None
    b: np.ndarray | None = None
    _spare: np.ndarray | None = None

    def spare(self, u: np.ndarray) -> np.ndarray:
        """A second array like `u` with zero borders."""
        if self._spare is None:
            self._spare = np.zeros_like(u)
        return self._spare

    def swap(self, u: np.ndarray) -> np.ndarray:
        """The second array, `u` being kept in its place."""
        spare, self._spare = self.spare(u), u
        return spare


@dataclass(slots=True)
class State:
    """A problem A u = g on one grid, and its iterate: node arrays with zero borders.

    `u` is overwritten; `g` is only read on the finest grid, where it may be the caller's own array.
    `source` says what stands for u: its array (GIVEN), zero (ZERO), or the interpolation of the
    coarser u (INTERPOLATED), so that nobody need write and read what the next pass can make up as
    it goes. `norm` is that of the residual, None where nobody has computed it yet.
    """

    u: np.ndarray
    g: np.ndarray
    workspace: Workspace
    source: np.int64 = ZERO
    norm: float | None = None
    watched: bool = False

    def restart(self) -> None:
        """Begin anew at u = 0, with what `g` holds by now."""
        self.now(ZERO)

    def watch(self, watched: bool = True) -> None:
        """Have the last pass of each cycle take the residual's norm, which costs little there."""
        self.watched = watched

    def now(self, source: np.int64) -> None:
        """Note that another iterate is here, for which this stands."""
        self.source, self.norm = source, None


class PoissonLevel(ArrayLevel[State]):
    """-Laplace u = g with zero Dirichlet values on one grid, second-order finite differences.

    Made by :func:`mgcore.poisson_levels`. One level serves any number of states, from several
    threads. The coarser level is another of this class, or a StencilLevel, whose arrays lie as its
    own do.
    """

    def __init__(
        self,
        grid: Grid,
        smoother: Smoother,
        restriction: str,
        prolongation: str,
        dtype: str,
        coarse: Any,
        *,
        fused: bool = True,
    ):
        super().__init__(grid, smoother, dtype, coarse)
        self.restriction = restriction
        self.operator = Medium.constant(grid).operator()
        halved = grid.halved_axes()
        real = self.dtype.type
        self._a = tuple(map(real, stiffness(grid, dtype)))
        self.condition = grid.condition
        self._k = tuple(int(half) for half in halved)
        check_names(restriction, prolongation, grid.ndim)  # the kernel of prolongation is linear
        self._R = restriction_weights(restriction, halved).astype(self.dtype)
        sweeps = smoother.sweeps(self.operator)
        self._sweeps = [(real(sweep.omega), sweep.points) for sweep in sweeps]
        # Smoothing and transfers run in one pass where there is a kernel for that.
        points = tuple(points for _, points in self._sweeps)
        fits = coarse is not None and restriction == "full" and points == ("red", "black")
        fits = fits and len(halved) > 1 and all(halved)
        self._fused: NodePass | None = None
        if fits and fused and WHY_PLAIN is None:
            omega = self._sweeps[0][0]
            self._fused = NodePass(self.operator, coarse.grid, omega, self.dtype)
        self._pool: Pool[Workspace] = Pool()
        self._made_of = grid, smoother, restriction, prolongation, dtype, coarse, fused
        if fits and not self.fused:
            self.remark = f"plain kernels: {WHY_PLAIN if fused else 'fused=False'}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Made anew, with the kernels of the processor there."""
        *given, fused = self._made_of
        return partial(PoissonLevel, fused=fused), tuple(given)

    @property
    def fused(self) -> bool:
        """Whether smoothing and transfers run in one pass."""
        return self._fused is not None

    @property
    def volumes(self) -> np.ndarray:
        """The volumes that belong to the unknowns, over their mean: all alike."""
        return np.broadcast_to(self.dtype.type(1), self.grid.interior)

    @cached_property
    def _inverse(self) -> Inverse:
        """A^-1, of the coarsest level."""
        return inverse(self.operator).astype(self.dtype)

    @property
    def _kernels(self) -> ModuleType:
        return KERNELS[self.grid.ndim]  # not kept: modules cannot be pickled

    # --- the Level protocol ---------------------------------------------------------------------

    def start(
        self, g: Any, u: Any = None, *, lift: Lift | None = None, out: np.ndarray | None = None
    ) -> State:
        """The state for A (u - lift) = g - A lift, with `out` as its iterate's memory.

        `u` is copied and its border values are ignored. See :class:`mgcore.level.SolverLevel`.
        """
        g = self.nodes(g, "g")
        u = None if u is None else self.nodes(u, "u")
        state = State(np.zeros(g.shape, self.dtype) if out is None else out, g, self._workspace())
        if lift is not None:
            state.workspace.b = state.g = self.without(g, lift, state.workspace.b)
        if u is not None:
            if lift is not None:
                self.plus(u, lift, -1, out=state.u)
            elif u is not out:
                state.u[...] = u
            state.now(GIVEN)
        if u is not None or out is not None:
            clear_sides(state.u, self.grid)
        return state

    def finish(
        self, state: State, *, lift: Lift | None = None, out: np.ndarray | None = None
    ) -> np.ndarray:
        """The iterate, plus the lift; the workspace is for the next problem."""
        u, workspace = self._write(state).u, state.workspace
        if out is not None and u is not out:  # Jacobi's sweeps swap two arrays
            u = workspace.swap(u)
            u[...] = workspace.spare(u)
        if lift is not None:
            self.plus(u, lift, out=u)
        self._pool.give(workspace)
        return u

    def add(self, state: State, e: np.ndarray) -> State:
        """The state with the node values `e`, zero on the border, added to its iterate."""
        u = self._write(state).u
        u += e
        state.now(GIVEN)
        return state

    def smooth(self, state: State, steps: int) -> State:
        """`steps` steps of the smoother; on the coarsest grid the exact solution."""
        if self.coarse is None:
            inside = self.grid.unknown
            state.u[inside] = self._inverse(state.g[inside])
            state.now(GIVEN)
        elif self.fused:
            for _ in range(steps):
                self._pass(state, state.source, NOTHING)
        elif steps:
            self._write(state)
            for _ in range(steps):
                self._plain_step(state)
            state.now(GIVEN)
        return state

    def restrict(self, state: State) -> State:
        """The coarser problem A' e = R (g - A u), starting from zero."""
        coarse = self._own(state)
        r = state.g  # where u = 0
        # Along an axis that is not halved the kernel multiplies g's border values, whatever they
        # are, by zero: there it gets the residual, whose border is zero.
        if state.source != ZERO or not all(self._k):
            u = self._write(state).u
            r = state.workspace.spare(u)
            self._kernels.residual(u, state.g, r, self._a)
        if self._fused is not None:
            assert state.workspace.room is not None
            self._fused.restrict(r, coarse.g, state.workspace.room)
        else:
            self._kernels.restrict(r, coarse.g, self._R, self._k)
        coarse.restart()
        return coarse

    def prolong(self, state: State, coarse: State) -> State:
        """u + P e."""
        self._kernels.prolong(self._write(state).u, self._coarse_u(coarse), self._k)
        state.now(GIVEN)
        return state

    def interpolate(self, state: State, coarse: State) -> State:
        """u, by cubic interpolation of the coarser solution.

        Where that is the state's own, it is carried out by whoever needs it.
        """
        e = self._coarse_u(coarse)
        state.now(INTERPOLATED)
        if coarse is not state.workspace.coarse:  # there nobody would find it
            self._kernels.interpolate(state.u, e, self._k)
            state.now(GIVEN)
        return state

    def descend(self, state: State, steps: int) -> tuple[State, State]:
        """Smooth and restrict; the last step and the restriction in one pass where that exists."""
        if not self.fused or steps == 0:
            return super().descend(state, steps)
        for step in range(steps):
            self._pass(state, state.source, RESTRICTION if step + 1 == steps else NOTHING)
        coarse = self._own(state)
        coarse.restart()
        return state, coarse

    def ascend(self, state: State, coarse: State, steps: int) -> State:
        """Prolong and smooth; the prolongation and the first step in one pass where that exists."""
        if not self.fused or steps == 0:
            return super().ascend(state, coarse, steps)
        self._write(state)
        e = self._coarse_u(coarse)
        for step in range(steps):
            norm = state.watched and step + 1 == steps
            self._pass(state, GIVEN if step else CORRECTED, NORM if norm else NOTHING, e)
        return state

    def solution(self, state: State) -> np.ndarray:
        """The iterate itself: copy it to keep it beyond the next cycle on this state."""
        return self._write(state).u

    def residual_norm(self, state: State) -> np.float64:
        """||g - A u||_2 over the interior nodes."""
        state.watch()
        if state.norm is None:
            if state.source == ZERO:
                state.norm = self._kernels.length(state.g)
            else:
                state.norm = self._kernels.norm(self._write(state).u, state.g, self._a)
        return np.float64(state.norm)

    # --- what solve asks of the finest level ----------------------------------------------------

    def scale(self, state: State) -> np.float64:
        """||g||_2 over the interior nodes, that of the state."""
        return self.norm(state.g)

    def norm(self, values: np.ndarray) -> np.float64:
        """||values||_2 over the interior nodes."""
        return np.float64(self._kernels.length(values))

    def largest(self, values: np.ndarray) -> np.float64:
        """The largest absolute value over the interior nodes, NaN if there is one."""
        inside = values[(slice(1, -1),) * values.ndim]
        return np.float64(np.maximum(inside.max(), -inside.min()))

    def pose(self, g: np.ndarray, boundary: Any) -> Posed:
        """The same g, and the transfinite lift of the border values unless all are zero."""
        if isinstance(boundary, float | int) and boundary == 0:
            return Posed(g, None)
        given = Given.told(boundary, self.grid, Reader(self.dtype))
        return Posed(g, given.member((), ()).lift())

    def without(self, g: np.ndarray, lift: Lift, out: np.ndarray | None = None) -> np.ndarray:
        """g - A lift at the interior nodes, zero on the border; `out` has a zero border."""
        out = np.zeros_like(g) if out is None else out
        for (first, last), r in zip(self._pieces(), self._pieces_without(g, lift), strict=True):
            out[first:last] = r[1:-1]
        return out

    def plus(
        self, u: np.ndarray, lift: Lift, sign: int = 1, out: np.ndarray | None = None
    ) -> np.ndarray:
        """`u` + sign times the lift, border included, as a new array or in `out`, maybe `u`."""
        out = np.empty_like(u) if out is None else out
        first = 0
        for _, last in [*self._pieces(), (0, u.shape[0])]:
            np.add(u[first:last], sign * lift.lines(first, last), out=out[first:last])
            first = last
        return out

    def defect(self, g: np.ndarray, u: np.ndarray) -> np.ndarray:
        """g - A u as a new array, zero on the border; `u` may have any border values."""
        r = np.zeros_like(g)
        self._kernels.residual(u, g, r, self._a)
        return r

    def correct(
        self, u: np.ndarray, e: np.ndarray, g: np.ndarray, r: np.ndarray,
        scale: float, per_unit: float, *, zero: bool,
    ) -> float:  # fmt: skip
        """u += scale e, u = scale e if `zero`; r = per_unit (g - A u), whose norm is returned.

        e and r may be of another precision.
        """
        return float(self._kernels.correct(u, e, g, r, self._a, scale, per_unit, zero, count()))

    def misfit(self, g: np.ndarray, u: np.ndarray) -> np.float64:
        """||g - A u||_2 over the interior nodes; `u` may have any border values."""
        return np.float64(self._kernels.norm(u, g, self._a))

    def residual(self, state: State) -> np.ndarray:
        """g - A u as a new array."""
        return self.defect(state.g, self.solution(state))

    def roundoff(self, u: np.ndarray) -> np.float64:
        """eps ||A|| ||u||_2, with ||A|| at most twice the diagonal."""
        return np.float64(self.eps * self.operator.bound * self.norm(u))

    def _pieces_without(self, g: np.ndarray, lift: Lift) -> Iterator[np.ndarray]:
        """The same piece by piece, a line of zeros on either side."""
        for first, last in self._pieces():
            g_piece, r = g[first - 1 : last + 1], np.zeros_like(g[first - 1 : last + 1])
            self._kernels.residual(lift.lines(first - 1, last + 1), g_piece, r, self._a)
            yield r

    def _pieces(self) -> Iterator[tuple[int, int]]:
        """First and last line of pieces that a cache holds, all interior lines together."""
        n = self.grid.shape[0]
        step = max(1, _PIECE * n // self.grid.size)
        for first in range(1, n - 1, step):
            yield first, min(first + step, n - 1)

    # --- how it is done -------------------------------------------------------------------------

    def _pass(
        self, state: State, source: np.int64, sink: np.int64, e: np.ndarray | None = None
    ) -> None:
        """A red-black step, with what comes before and after it.

        `e` is what u is corrected by or interpolated from, by default the state's own coarser u.
        """
        coarse, room = self._own(state), state.workspace.room
        assert self._fused is not None
        assert room is not None
        norm = self._fused(
            state.u, state.g, source, coarse.u if e is None else e, sink, coarse.g, room
        )
        state.now(GIVEN)
        if sink == NORM:
            state.norm = norm

    def _plain_step(self, state: State) -> None:
        """One step of any smoother, sweep by sweep."""
        k = self._kernels
        for omega, points in self._sweeps:
            if points == "all":
                k.jacobi(state.u, state.g, state.workspace.spare(state.u), self._a, omega)
                state.u = state.workspace.swap(state.u)
            elif points == "lexicographic":
                k.lexicographic(state.u, state.g, self._a, omega)
            else:
                k.color(state.u, state.g, self._a, omega, int(points == "black"))

    def _write(self, state: State) -> State:
        """The same state with u written out, if something else stands for it."""
        if state.source == ZERO:
            state.u.fill(0)
        elif state.source == INTERPOLATED:
            self._kernels.interpolate(state.u, self._own(state).u, self._k)
        state.source = GIVEN  # the same iterate: its norm stays
        return state

    def _own(self, state: State) -> State:
        """The coarser problem in a state's workspace."""
        assert state.workspace.coarse is not None
        return state.workspace.coarse

    def fits(self, state: Any) -> bool:
        """Whether a state is one of this level."""
        like = isinstance(state, State) and state.u.shape == self.grid.shape
        return like and state.u.dtype == self.dtype

    def _coarse_u(self, coarse: Any) -> np.ndarray:
        """The u of a state of the next coarser level, which need not be the workspace's."""
        assert self.coarse is not None
        check_state(self.coarse, coarse)
        if coarse.u is None:  # a general level's, which was not made for this one
            return self.coarse.solution(coarse)
        return self.coarse._write(coarse).u

    def _state(self, g: np.ndarray) -> State:
        """A state that stands for zero, of a grid below the finest."""
        return State(np.zeros(self.grid.shape, self.dtype), g, self._workspace())

    def _workspace(self) -> Workspace:
        """Memory for a problem, with that of all coarser grids: kept from an earlier one, or new.

        What was made for another number of threads is of no use.
        """
        kept = self._pool.take()
        if kept is not None and kept.threads == count():
            return kept
        coarse = None
        if self.coarse is not None:
            coarse = self.coarse._state(np.zeros(self.coarse.grid.shape, self.dtype))
        room = None if self._fused is None else self._fused.room()
        return Workspace(coarse, count(), room)


def title(solved: str, grid: Grid, dtype: str, restriction: str, prolongation: str) -> str:
    """The heading of the table of levels, from what is `solved`."""
    size = " x ".join(f"{length:g}" for length in grid.extent)
    way_down = restriction if restriction == "injection" else f"{restriction} weighting"
    return f"{solved} on {size}, {dtype}, {way_down}, {prolongation} prolongation"
