"""One grid of the solver for any operator, sides and mesh, on Numba arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mgcore import kernel_tables
from mgcore.cached import cached_property
from mgcore.chain import Rung
from mgcore.inverse import Inverse, inverse
from mgcore.kernels import general, transfers, zebra
from mgcore.kernels.runs import NORM, NOTHING, RESIDUAL
from mgcore.kernels.slab import close
from mgcore.level import check_state
from mgcore.lines import factorised
from mgcore.operator_level import OperatorLevel
from mgcore.slabs import Slabs, three
from mgcore.smoothers import Smoother, pointwise
from mgcore.sums import length
from mgcore.threads import count

__all__ = ["StencilLevel", "stencil_levels"]


@dataclass(slots=True)
class State:
    """A problem on one grid and its iterate, as they lie in slabs.

    `values` are those of u; `loads` those of g, weighted with volumes. `zero` says that u is zero,
    whatever its array holds; `work` is a second array, where one was needed; `coarse` is the state
    of the next coarser grid. A state that was asked for its norm once is `watched`: the last pass
    of a cycle then takes the `norm`. Below a level of another kind, `u` and `g` are node arrays to
    hand over, and g is `posted` when there is a new one.
    """

    values: np.ndarray
    loads: np.ndarray
    coarse: State | None
    zero: bool = True
    watched: bool = False
    norm: float | None = None
    work: np.ndarray | None = None
    u: np.ndarray | None = None
    g: np.ndarray | None = None
    posted: bool = False

    def restart(self) -> None:
        """Begin anew at u = 0, with what the right-hand side is by now."""
        self.zero, self.norm, self.posted = True, None, self.g is not None

    def watch(self, watched: bool = True) -> None:
        """Have the last pass of each cycle take the residual's norm."""
        self.watched = watched

    def scratch(self) -> np.ndarray:
        """An array for whoever needs a second one; what lies around the unknowns is finite."""
        if self.work is None:
            self.work = np.zeros_like(self.values)
        return self.work


class StencilLevel(OperatorLevel[State]):
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
    backwards : bool
        Whether sweeps go in reverse order after a correction, so that a V cycle is symmetric.
    """

    def __init__(
        self,
        rung: Rung,
        smoother: Smoother,
        dtype: str,
        coarse: StencilLevel | None,
        fused: bool = True,
    ):
        super().__init__(rung, smoother, dtype, coarse)
        operator, grid = self.operator, self.grid
        self.backwards = False
        self._slabs = slabs = Slabs(grid)
        self._weighted = any((m != 1).any() for m in kernel_tables.masses(grid))
        self._A = kernel_tables.couplings(operator, slabs, self.dtype)
        self._scale = kernel_tables.scale(slabs, self.dtype)
        self._strips = max(1, min(slabs.shape[0] // 8, count()))
        if coarse is None:
            return
        below = coarse._slabs
        self._down = [
            kernel_tables.transfer(t, slabs, below, self.dtype, weighted=True) for t in rung.down
        ]
        self._up = kernel_tables.transfer(rung.up, below, slabs, self.dtype)
        self._cubic = kernel_tables.transfer(rung.cubic, below, slabs, self.dtype)
        kernel = self._sweeps[0].kernel
        if kernel is not None:
            self._kernel = kernel_tables.convolution(kernel, slabs, self.dtype)
        self._halves, self._masks = slabs.colours(operator.compact)
        self._masks = self._masks.astype(self.dtype)
        # Around an odd number of places red meets red.
        odd = any(axis.periodic and axis.n % 2 for axis in grid.axes)
        self._apart = np.bool_(not odd and not len(self._masks))
        points = tuple(sweep.points for sweep in self._sweeps)
        self._coloured = pointwise(smoother) and points == ("red", "black")
        self._lines = [
            lines for sweep in self._sweeps if sweep.lines is not None
            for lines in factorised(self.operator, self.volumes, sweep, slabs, self.dtype)
        ]  # fmt: skip
        self._fused = fused and self._coloured

    # --- the Level protocol -----------------------------------------------------------------------

    def start(
        self, g: Any, u: Any = None, *, lift: np.ndarray | None = None, out: Any = None
    ) -> State:
        """The state for A (u - lift) = g - A lift; what is on Dirichlet sides is ignored.

        g and u are copied. See :class:`mgcore.level.SolverLevel`.
        """
        g, u = self.nodes(g, "g"), None if u is None else self.nodes(u, "u")
        state = self._pool.take() or self._state()
        self._load(state, g if lift is None else self.without(g, lift))
        state.zero, state.watched, state.norm, state.posted = u is None, False, None, False
        if u is not None:
            first = u if lift is None else u - lift
            self._slabs.put(state.values, three(first[self.grid.unknown]))
        return state

    def add(self, state: State, e: np.ndarray) -> State:
        """The state with the node values `e` added to its iterate."""
        u = self._interior(self._filled(state).values)
        u += e[self.grid.unknown]
        if self.singular:  # a constant of a first guess must not cost digits for ever
            self._centre(u)
        self._slabs.put(state.values, three(u))
        state.norm = None
        return state

    def smooth(self, state: State, steps: int, backwards: bool = False) -> State:
        """`steps` steps of the smoother; on the coarsest grid the exact solution."""
        if self.coarse is None:
            loads = self._interior(self._opened(state).loads)
            self._slabs.put(state.values, three(self._inverse(self._unweighted(loads))))
            state.zero, state.norm = False, None
        elif steps:
            self._closed(self._filled(state).values)
            for _ in range(steps):
                self._step(state, backwards)
        return state

    def descend(self, state: State, steps: int) -> tuple[State, State]:
        """Smooth and restrict; the last step and the residual in one pass where that exists."""
        if self.coarse is None or not steps or not self._fused:
            return super().descend(state, steps)
        self._closed(self._filled(state).values)
        for step in range(steps):
            self._step(state, False, RESIDUAL if step + 1 == steps else NOTHING)
        return state, self._restricted(state, state.scratch())

    def restrict(self, state: State) -> State:
        """The coarser problem A' e = R (g - A u), starting from zero."""
        self._opened(state)
        return self._restricted(state, state.loads if state.zero else self._defect(state))

    def _restricted(self, state: State, r: np.ndarray) -> State:
        assert state.coarse is not None
        assert self.coarse is not None
        fine, coarse = self._slabs.walk, self.coarse._slabs.walk
        strips = max(1, min(int(coarse.slabs) // 4, self._strips))
        for number, down in enumerate(self._down):
            transfers.collect(r, state.coarse.loads, fine, coarse, down, number > 0, strips)
        state.coarse.restart()
        return state.coarse

    def prolong(self, state: State, coarse: State) -> State:
        """u + P e."""
        self._spread(self._filled(state), coarse, self._up, True)
        return state

    def _spread(self, state: State, coarse: State, transfer: Any, added: bool) -> None:
        assert self.coarse is not None
        check_state(self.coarse, coarse)
        e, fine, below = (
            self.coarse._filled(coarse).values,
            self._slabs.walk,
            self.coarse._slabs.walk,
        )
        transfers.spread(e, state.values, below, fine, transfer, added, self._strips)
        state.norm = None

    def ascend(self, state: State, coarse: State, steps: int) -> State:
        """Prolong, then smooth, backwards where that is asked for; the last step takes the norm."""
        self._closed(self.prolong(state, coarse).values)
        for step in range(steps):
            last = state.watched and step + 1 == steps and self._fused
            state.norm = self._step(state, self.backwards, NORM if last else NOTHING)
        return state

    def interpolate(self, state: State, coarse: State) -> State:
        """u, by cubic interpolation of the coarser solution."""
        self._spread(self._opened(state), coarse, self._cubic, False)
        state.zero = False
        return state

    def residual_norm(self, state: State) -> np.float64:
        """||g - A u||_2 over the unknowns."""
        if state.zero:
            return self.scale(state)
        state.watched = True
        if state.norm is None:
            u = self._closed(state.values)
            state.norm = general.norm(u, state.loads, self._A, self._slabs.walk, self._scale)
        return np.float64(state.norm)

    # --- what solve asks of the finest level ------------------------------------------------------

    def scale(self, state: State) -> np.float64:
        """||g||_2 over the unknowns, that of the state."""
        return length(self._unweighted(self._interior(self._opened(state).loads)))

    def defect(self, g: np.ndarray, u: np.ndarray) -> np.ndarray:
        """g - A u as a new array, zero at Dirichlet nodes; `u` may have any values there."""
        values, loads, r = (self._slabs.zeros(self.dtype) for _ in range(3))
        self._surround(values, u)
        self._slabs.put(loads, three(self._times_volumes(g[self.grid.unknown])))
        general.defect(values, loads, r, self._A, self._slabs.walk, self._scale)
        return self._as_nodes(r)

    def residual(self, state: State) -> np.ndarray:
        """g - A u at the nodes, zero where Dirichlet's values belong."""
        return self._as_nodes(self._defect(self._filled(state)))

    # --- how it is done ---------------------------------------------------------------------------

    @cached_property
    def _inverse(self) -> Inverse:
        """A^-1, of the coarsest level."""
        return inverse(self.operator).astype(self.dtype)

    def _step(self, state: State, backwards: bool, sink: np.int64 = NOTHING) -> float | None:
        """One step of the smoother on a u whose layer is filled; the norm, if that is the sink."""
        state.norm = None
        if self._lines:
            self._solve_lines(state, backwards)
            return None
        if not self._coloured:
            for sweep in self._sweeps:
                if sweep.kernel is None:
                    self._sweep(state, self.dtype.type(sweep.omega), sweep.points, backwards)
                else:
                    self._convolve(state, self.dtype.type(sweep.omega))
            return None
        turn = slice(None, None, -1 if backwards else 1)
        r = state.scratch() if sink == RESIDUAL else state.loads
        norm = general.coloured(
            state.values, state.loads, r, self._A, self._slabs.walk,
            self.dtype.type(self._sweeps[0].omega), self._halves[turn], self._masks[turn],
            self._apart, sink, self._scale, self._strips,
        )  # fmt: skip
        return float(norm) if sink == NORM else None

    def _sweep(self, state: State, omega: Any, points: str, backwards: bool) -> None:
        """One sweep at all points."""
        walk = self._slabs.walk
        if points == "all":
            new = state.scratch()
            general.jacobi(state.values, state.loads, new, self._A, walk, omega)
            state.values, state.work = new, state.values
        else:
            general.sequential(state.values, state.loads, self._A, walk, omega, backwards)
            self._closed(state.values)

    def _solve_lines(self, state: State, backwards: bool) -> None:
        """One step over lines, colour after colour."""
        omega, walk = self.dtype.type(self._sweeps[0].omega), self._slabs.walk
        for lines in reversed(self._lines) if backwards else self._lines:
            u, r = self._closed(state.values), state.scratch()
            zebra.solve(u, state.loads, r, self._A, walk, lines, omega, self._scale)
        self._closed(state.values)

    def _convolve(self, state: State, omega: Any) -> None:
        """u + K omega D^-1 (g - A u), K the smoother's kernel."""
        general.convolution(
            state.values, state.loads, self._A, self._slabs.walk, omega, *self._kernel, self._strips
        )  # fmt: skip

    def _defect(self, state: State) -> np.ndarray:
        """g - A u, weighted, in the state's scratch."""
        u, r = self._closed(state.values), state.scratch()
        general.defect(u, state.loads, r, self._A, self._slabs.walk, self._scale)
        return r

    def _closed(self, values: np.ndarray) -> np.ndarray:
        """The same array with its layer filled along periodic axes."""
        if any(axis.periodic for axis in self.grid.axes):
            close(values, self._slabs.walk)
        return values

    def _opened(self, state: State) -> State:
        """The same state with what was posted taken in."""
        if state.posted:
            assert state.g is not None
            state.posted = False
            self._load(state, state.g)
        return state

    def _filled(self, state: State) -> State:
        """The same state with zeros written out."""
        self._opened(state)
        if state.zero:
            state.values.fill(0)
            state.zero = False
        return state

    def _write(self, state: State) -> State:
        """The same state with its u at the nodes, for a finer level of another kind."""
        assert state.u is not None
        self._slabs.take(self._filled(state).values, three(state.u[self.grid.unknown]))
        return state

    def _take(self, state: State, u: np.ndarray) -> None:
        self._slabs.take(state.values, three(u))

    def fits(self, state: Any) -> bool:
        """Whether a state is one of this level."""
        like = isinstance(state, State) and len(state.values) == self._slabs.length
        return like and state.values.dtype == self.dtype

    def _load(self, state: State, g: np.ndarray) -> None:
        self._slabs.put(state.loads, three(self._times_volumes(g[self.grid.unknown])))

    def _interior(self, values: np.ndarray) -> np.ndarray:
        """What lies in slabs as an array over the unknowns."""
        out = np.empty(self.grid.interior, self.dtype)
        self._slabs.take(values, three(out))
        return out

    def _as_nodes(self, r: np.ndarray) -> np.ndarray:
        """Weighted residuals as node values, zero where Dirichlet's values belong."""
        out = np.zeros(self.grid.shape, self.dtype)
        out[self.grid.unknown] = self._unweighted(self._interior(r))
        return out

    def _times_volumes(self, g: np.ndarray) -> np.ndarray:
        return g * self.volumes.astype(self.dtype, copy=False) if self._weighted else g

    def _unweighted(self, loads: np.ndarray) -> np.ndarray:
        return loads / self.volumes.astype(self.dtype, copy=False) if self._weighted else loads

    def _surround(self, values: np.ndarray, nodes: np.ndarray) -> None:
        """Lay out node values, those at Dirichlet sides in the layer."""
        first = []
        for number, axis in enumerate(self.grid.axes):
            if axis.periodic:
                around = [(int(k == number),) * 2 for k in range(self.grid.ndim)]
                nodes = np.pad(nodes, around, mode="wrap")
            first.append(-1 if axis.periodic else -axis.unknown.start)
        self._slabs.put(values, three(nodes), self._slabs.across(first))

    def _state(self, g: np.ndarray | None = None, u: np.ndarray | None = None) -> State:
        """A state that stands for zero.

        With `g` a finer level hands over node values there, and finds u in `u`.
        """
        coarse = None if self.coarse is None else self.coarse._state()
        state = State(self._slabs.zeros(self.dtype), self._slabs.zeros(self.dtype), coarse)
        if g is not None:
            state.u, state.g, state.posted = np.zeros_like(g) if u is None else u, g, True
        return state


def stencil_levels(
    ladder: Sequence[Rung], smoother: Smoother, dtype: str, fused: bool = True
) -> list[StencilLevel]:
    """Levels of a chain of :func:`mgcore.chain.rungs`, or of its last ones."""
    levels: list[StencilLevel] = []
    for rung in reversed(ladder):
        levels.insert(0, StencilLevel(rung, smoother, dtype, levels[0] if levels else None, fused))
    return levels
