"""One grid of -div(a grad u) + c u, whose steps go in one pass over memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mgcore import plane_pass, space_pass
from mgcore.boundary import given_on_sides
from mgcore.cached import cached_property
from mgcore.chain import Rung
from mgcore.diffusion import Diffusion
from mgcore.fused_pass import Pass, Room
from mgcore.interpolation import Interpolation
from mgcore.kernels import WHY_PLAIN
from mgcore.kernels.halves import CORRECTED, GIVEN, NORM, NOTHING, RESTRICTION, ZERO
from mgcore.layout import Layout
from mgcore.level import check_state
from mgcore.operator_level import OperatorLevel
from mgcore.plane_pass import PlanePass
from mgcore.smoothers import Smoother, pointwise
from mgcore.space_pass import SpacePass
from mgcore.stencil_level import StencilLevel
from mgcore.sums import length
from mgcore.threads import count

__all__ = ["BoxLevel", "in_one_pass"]


@dataclass(slots=True)
class State:
    """A problem on one grid and its iterate, in arrays of a :class:`~mgcore.layout.Layout`.

    `coarse` is the state of the next coarser grid, `coarse_u` and `coarse_g` the arrays where its u
    and g lie for a pass; `room` is scratch of passes, for so many `threads`; `lines` is that of
    cubic interpolation, where it was asked for. `zero` says that u is zero, whatever its array
    holds. A state that was asked for its norm once is `watched`: the last pass of a cycle
    then takes the `norm`.
    """

    u: np.ndarray
    g: np.ndarray
    coarse: Any
    coarse_u: np.ndarray
    coarse_g: np.ndarray
    room: Room
    threads: int
    lines: np.ndarray | None = None
    zero: bool = True
    watched: bool = False
    norm: float | None = None

    def restart(self) -> None:
        """Begin anew at u = 0, with what g holds by now."""
        self.zero, self.norm = True, None

    def watch(self, watched: bool = True) -> None:
        """Have the last pass of each cycle take the residual's norm."""
        self.watched = watched


class BoxLevel(OperatorLevel[State]):
    """-div(a grad u) + c u = g on one grid, by red-black steps in one pass each.

    See :mod:`mgcore.plane_pass` and :mod:`mgcore.space_pass`. Sides are any.

    Made by :func:`mgcore.poisson_levels`. One level serves any number of states, from several
    threads. What passes do not do a :class:`~mgcore.stencil_level.StencilLevel` of the same grid
    does, on node values.

    Parameters
    ----------
    rung : Rung
        For which :func:`in_one_pass`.
    smoother : Smoother
    dtype : str
    coarse : BoxLevel or StencilLevel
        The next coarser level.
    """

    def __init__(self, rung: Rung, smoother: Smoother, dtype: str, coarse: BoxLevel | StencilLevel):
        super().__init__(rung, smoother, dtype, coarse)
        self._rung = rung
        self._layout = Layout(self.grid, self.dtype)
        self._below = Layout(coarse.grid, self.dtype)
        assert isinstance(rung.operator, Diffusion)
        kind = PlanePass if self.grid.ndim == 2 else SpacePass
        self._pass: Pass = kind(
            rung.operator, coarse.grid, self._layout, self._below, self._sweeps[0].omega, self.dtype
        )

    @cached_property
    def general(self) -> StencilLevel:
        """The same grid for sweeps and residuals one by one, above others of its kind."""
        coarse = self.coarse.general if isinstance(self.coarse, BoxLevel) else self.coarse
        return StencilLevel(self._rung, self.smoother, self.dtype.name, coarse)

    def __reduce__(self) -> tuple[Any, ...]:
        """Made anew, with the kernels of the processor there."""
        return _level, (self._rung, self.smoother, self.dtype.name, self.coarse)

    # --- the Level protocol -----------------------------------------------------------------------

    def start(
        self, g: Any, u: Any = None, *, lift: np.ndarray | None = None, out: Any = None
    ) -> State:
        """The state for A (u - lift) = g - A lift; what is on Dirichlet sides is ignored.

        g and u are copied. See :class:`mgcore.level.SolverLevel`.
        """
        g, u = self.nodes(g, "g"), None if u is None else self.nodes(u, "u")
        state = self._pool.take()
        if state is None or state.threads != count():
            state = self._state()
        given = g if lift is None else self.without(g, lift)
        self._unknowns(state.g)[...] = given[self.grid.unknown]
        state.zero, state.watched, state.norm = u is None, False, None
        if u is not None:
            first = u if lift is None else u - lift
            self._unknowns(state.u)[...] = first[self.grid.unknown]
        return state

    def add(self, state: State, e: np.ndarray) -> State:
        """The state with the node values `e` added to its iterate."""
        u = self._unknowns(self._write(state).u)
        u += e[self.grid.unknown]
        if self.singular:  # a constant of a first guess must not cost digits for ever
            self._centre(u)
        state.norm = None
        return state

    def smooth(self, state: State, steps: int) -> State:
        """`steps` red-black steps."""
        for _ in range(steps):
            self._run(state, NOTHING)
        return state

    def descend(self, state: State, steps: int) -> tuple[State, Any]:
        """Smooth and restrict, the last step and the restriction in one pass."""
        for step in range(steps):
            self._run(state, RESTRICTION if step + 1 == steps else NOTHING)
        if steps == 0:
            self.restrict(state)
        state.coarse.restart()
        return state, state.coarse

    def restrict(self, state: State) -> Any:
        """The coarser problem A' e = R (g - A u), starting from zero."""
        self._run(state, RESTRICTION, relaxing=False)
        state.coarse.restart()
        return state.coarse

    def prolong(self, state: State, coarse: Any) -> State:
        """u + P e."""
        self._run(self._write(state), NOTHING, self._coarse_u(state, coarse), relaxing=False)
        return state

    def ascend(self, state: State, coarse: Any, steps: int) -> State:
        """Prolong and smooth, the prolongation and the first step in one pass."""
        if steps == 0:
            return self.prolong(state, coarse)
        e: np.ndarray | None = self._coarse_u(state, coarse)
        self._write(state)
        for step in range(steps):
            last = state.watched and step + 1 == steps
            self._run(state, NORM if last else NOTHING, e)
            e = None
        return state

    def interpolate(self, state: State, coarse: Any) -> State:
        """u, by cubic interpolation of the coarser solution."""
        e = self._coarse_u(state, coarse)
        if state.lines is None:
            strips = max(1, min(state.u.shape[0] // 8, state.threads))
            state.lines = self._cubic.room(strips)
        self._cubic(e, state.u, state.lines)
        state.zero, state.norm = False, None
        return state

    def residual_norm(self, state: State) -> np.float64:
        """||g - A u||_2 over the unknowns."""
        if state.zero:
            return self.scale(state)
        state.watched = True
        if state.norm is None:
            self._run(state, NORM, relaxing=False)
        return np.float64(state.norm)

    # --- what solve asks of the finest level ------------------------------------------------------

    def scale(self, state: State) -> np.float64:
        """||g||_2 over the unknowns, that of the state."""
        return length(self._unknowns(state.g))

    def defect(self, g: np.ndarray, u: np.ndarray) -> np.ndarray:
        """g - A u as a new array, zero at Dirichlet nodes; `u` may have any values there."""
        return self.general.defect(g, u)

    def misfit(self, g: np.ndarray, u: np.ndarray) -> np.float64:
        """||g - A u||_2 over the unknowns; `u` may have any values at Dirichlet nodes."""
        if given_on_sides(u, self.grid):  # a pass knows zeros there
            return super().misfit(g, u)
        state = self.start(g, u)
        norm = self.residual_norm(state)
        self._recycle(state, norm)
        return norm

    def residual(self, state: State) -> np.ndarray:
        """g - A u at the nodes, zero where Dirichlet's values belong."""
        u = self._layout.nodes(self._write(state).u)
        return self.defect(self._layout.nodes(state.g), u)

    # --- how it is done ---------------------------------------------------------------------------

    def _run(
        self, state: State, sink: np.int64, e: np.ndarray | None = None, relaxing: bool = True
    ) -> None:
        """A step, after a correction by P e where e is given; no step unless `relaxing`."""
        source = ZERO if state.zero else GIVEN
        if e is not None:
            source = CORRECTED
        norm = self._pass(
            state.u, state.g, source, state.coarse_u if e is None else e, sink, state.coarse_g,
            state.room, relaxing,
        )  # fmt: skip
        if relaxing or e is not None:
            state.zero, state.norm = False, None
        if sink == NORM:
            state.norm = norm

    @cached_property
    def _cubic(self) -> Interpolation:
        return Interpolation(self._rung.cubic, self._layout, self._below)

    def _coarse_u(self, state: State, coarse: Any) -> np.ndarray:
        """The u of a state of the next coarser level as an array for a pass, its layer filled."""
        if coarse is state.coarse:
            self.coarse._write(coarse)
            return self._below.layer(state.coarse_u)
        check_state(self.coarse, coarse)
        e, inside = self._below.zeros(), self.coarse.grid.unknown
        self._below.nodes(e)[inside] = self.coarse.solution(coarse)[inside]
        return self._below.layer(e)

    def fits(self, state: Any) -> bool:
        """Whether a state is one of this level."""
        like = isinstance(state, State) and state.u.shape == self._layout.shape
        return like and state.u.dtype == self.dtype

    def _unknowns(self, values: np.ndarray) -> np.ndarray:
        """The part of an array where the unknowns are, as a view."""
        return values[self._layout.inside]

    def _take(self, state: State, u: np.ndarray) -> None:
        u[...] = self._unknowns(state.u)

    def _write(self, state: State) -> State:
        """The same state with zeros written out."""
        if state.zero:
            state.u.fill(0)
            state.zero = False
        return state

    def _state(self) -> State:
        """A state that stands for zero."""
        u, g = self._layout.zeros(), self._layout.zeros()
        if isinstance(self.coarse, BoxLevel):
            coarse: Any = self.coarse._state()
            lies = coarse.u, coarse.g
        else:
            lies = self._below.zeros(), self._below.zeros()
            u_below, g_below = map(self._below.nodes, lies)
            coarse = self.coarse._state(g_below, u_below)
        return State(u, g, coarse, *lies, self._pass.room(), count())


def _level(
    rung: Rung, smoother: Smoother, dtype: str, coarse: BoxLevel | StencilLevel
) -> BoxLevel | StencilLevel:
    """A level whose steps go in one pass where there are vectors."""
    if WHY_PLAIN is None:
        return BoxLevel(rung, smoother, dtype, coarse)
    assert isinstance(coarse, StencilLevel)
    return StencilLevel(rung, smoother, dtype, coarse)


def in_one_pass(rung: Rung, coarse: Rung, smoother: Smoother) -> bool:
    """Whether a :class:`BoxLevel` is for a rung above another one."""
    operator, below = rung.operator, coarse.operator.grid
    if not isinstance(operator, Diffusion) or not rung.adjoint or not pointwise(smoother):
        return False
    if not (plane_pass.fits(operator.grid, below) or space_pass.fits(operator, below)):
        return False
    return tuple(sweep.points for sweep in smoother.sweeps(operator)) == ("red", "black")
