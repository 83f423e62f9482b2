"""Defect correction: cycles in single precision, residuals in double.

The oldest form of u <- u + B (g - A u): B is a multigrid solver itself, one that computes in
float32 and reads and writes half the memory. As g - A u is computed in float64, u gets as accurate
as with float64 throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mgcore.cycle import cycle_pair, run
from mgcore.kernels.common import scaled
from mgcore.level import Hierarchy, Posed, SolverLevel, describe

__all__ = ["MixedLevel"]

# A correction is good enough at this part of the residual, and not worth another cycle where
# rounding errors of float32 take over: one reduced what was left by less than _SLOW, or it is below
# this part of the bound eps ||A|| ||e||, which smooth corrections undercut by far.
_ENOUGH, _SLOW, _FLOOR, _MOST = 1e-4, 0.5, 0.3, 20


@dataclass(slots=True)
class _State:
    """What defect correction works on.

    `u` holds the lift of the border values, too, if there is one. `e` and `r` are float32 arrays of
    A e = r, with r = g - A u in units of `unit`. `norm` is that of the residual, `scale` that of
    the right-hand side without the lift, `goal` the residual that ends the solve. Where `zero` is
    set, u was not written yet; `begun` is set by the first cycle.
    """

    u: np.ndarray
    g: np.ndarray
    e: np.ndarray
    r: np.ndarray
    unit: float
    norm: float
    scale: float
    goal: float
    zero: bool
    begun: bool = False


class MixedLevel(SolverLevel[_State]):
    """A u = g on one grid in float64, where a smoothing step is one defect correction.

    Made for one solve, whose work it counts.

    Parameters
    ----------
    outer : PoissonLevel
        The grid and its A in float64, which is asked for residuals and never smooths.
    inner : Hierarchy
        float32 levels for the same A, each a PoissonLevel.
    length : float
        The unit of length in which the box of `inner` is measured.
    cycle : str or sequence of Visit
        The float32 cycles that compute a correction; as for :func:`mgcore.solve`.
    rtol, atol : float
        Corrections are not computed further than these tolerances of the residual ask.

    Attributes
    ----------
    first, then : Cycle
        The cycle that begins the first correction, and the one that is repeated.
    work_units : float
        Smoothing steps of all cycles run until the first `finish`, in units of one on the finest
        grid: later ones look for rounding errors.
    """

    #: Each step begins with the iterate.
    overwrites = False
    #: There is no coarser level beside `inner`, whose cycles are the smoothing steps here.
    coarse = None

    def __init__(
        self,
        outer: Any,
        inner: Hierarchy[Any],
        *,
        length: float = 1.0,
        cycle: str | Sequence[Any] = "fmg",
        rtol: float = 0.0,
        atol: float = 0.0,
    ):
        self.outer, self.inner, self.length = outer, inner, length
        self.grid, self.size, self.eps = outer.grid, outer.size, outer.eps
        self.dtype = outer.dtype
        self.condition, self.largest_safe = outer.condition, outer.largest_safe
        self.first, self.then = cycle_pair(cycle, len(inner))
        self.rtol, self.atol = rtol, atol
        self.work_units, self._finished = 0.0, False

    @property
    def direct(self) -> bool:
        """Whether the cycles for a correction reach the coarsest grid, which solves exactly."""
        return max(visit.level for visit in self.then) == len(self.inner) - 1

    # --- a problem and its iterate ----------------------------------------------------------------

    def start(
        self, g: Any, u: Any = None, *, lift: Any = None, out: np.ndarray | None = None
    ) -> _State:
        """The state for A u = g, `lift` on the sides. See :class:`mgcore.level.SolverLevel`."""
        outer, shape = self.outer, self.grid.shape
        g = outer.nodes(g, "g")
        u = u.copy() if u is out and u is not None else u
        iterate = np.zeros(shape) if out is None else out
        if out is not None:
            out.fill(0)
        if lift is not None:  # no other float64 array is made
            outer.plus(iterate, lift, out=iterate)
        norm = scale = float(outer.norm(g) if lift is None else outer.misfit(g, iterate))
        e, r = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        state = _State(iterate, g, e, r, 1.0, norm, scale, scale, u is None and lift is None)
        if u is not None:
            iterate[self.grid.unknown] = outer.nodes(u, "u")[self.grid.unknown]
            state.norm = float(outer.misfit(g, iterate))
        state.goal = max(self.rtol * (scale or state.norm), self.atol)
        if state.zero:
            state.unit = self._rms(norm)
            scaled(g.reshape(-1), 1 / state.unit, r.reshape(-1))
        else:
            self._correct(state, 0.0, self._rms(state.norm))
        return state

    def finish(self, state: _State, *, lift: Any = None, out: Any = None) -> np.ndarray:
        """The iterate, which holds the lift."""
        self._finished = True
        return state.u

    def solution(self, state: _State) -> np.ndarray:
        """The iterate itself: copy it to keep it beyond the next correction."""
        return state.u

    def add(self, state: _State, e: np.ndarray) -> _State:
        """The state with the node values `e` added to its iterate."""
        state.u += e
        state.zero = False
        self._correct(state, 0.0, state.unit)
        return state

    def residual_norm(self, state: _State) -> np.float64:
        """||g - A u||_2 over the unknowns."""
        return np.float64(state.norm)

    def residual(self, state: _State) -> np.ndarray:
        """g - A u as a new array."""
        return self.outer.defect(state.g, state.u)

    def scale(self, state: _State) -> np.float64:
        """||g - A lift||_2 over the unknowns."""
        return np.float64(state.scale)

    def smooth(self, state: _State, steps: int) -> _State:
        """`steps` defect corrections."""
        for _ in range(steps):
            left = self._solve(state)
            self._correct(state, state.unit * self.length**2, self._rms(left))
        return state

    def restrict(self, state: _State) -> Any:
        """Refused: see `coarse`."""
        raise ValueError("defect correction has no coarser level; its cycles are those of `inner`")

    def prolong(self, state: _State, coarse: Any) -> _State:
        """Refused."""
        return self.restrict(state)

    def interpolate(self, state: _State, coarse: Any) -> _State:
        """Refused."""
        return self.restrict(state)

    def _solve(self, state: _State) -> float:
        """Run cycles for A e = r, and return about what norm the residual will have."""
        fine = self.inner[0]
        inner = fine.start(state.r, out=state.e)
        inner.watch()
        norms = [state.norm / state.unit]
        goal = max(_ENOUGH * norms[0], state.goal / 2 / state.unit)
        cycle = self.then if state.begun else self.first
        state.begun = True
        while len(norms) <= _MOST:
            inner = run(self.inner, cycle, inner)
            if not self._finished:
                self.work_units += cycle.work_units(self.inner.sizes)
            norms.append(float(fine.residual_norm(inner)))
            if not goal < norms[-1] < np.inf or self.then.fresh:
                break
            if len(norms) > 2 and norms[-1] > _SLOW * norms[-2]:
                break
            if norms[-1] < _FLOOR * fine.roundoff(fine.solution(inner)):
                break
            cycle = self.then
        fine.finish(inner, out=state.e)
        return max(norms[-1], fine.eps * norms[0]) * state.unit

    def _correct(self, state: _State, scale: float, unit: float) -> None:
        """u += scale e, and the residual anew, in units of `unit`."""
        norm = self.outer.correct(
            state.u, state.e, state.g, state.r, scale, 1 / unit, zero=state.zero
        )
        state.norm, state.unit, state.zero = norm * unit, unit, False

    def _rms(self, norm: float) -> float:
        """Root mean square of unknowns with this norm; 1 where that is no use as a unit."""
        rms = norm / self.size**0.5
        return rms if 1e-300 < rms < 1e300 else 1.0

    # --- what the outer level knows ---------------------------------------------------------------

    def nodes(self, values: Any, name: str) -> np.ndarray:
        """`values` as a float64 node array."""
        return self.outer.nodes(values, name)

    def check_out(self, out: Any) -> None:
        """Refuse what cannot take the solution."""
        self.outer.check_out(out)

    def pose(self, g: np.ndarray, boundary: Any) -> Posed:
        """The right-hand side, and the lift of the border values."""
        return self.outer.pose(g, boundary)

    def without(self, g: np.ndarray, lift: Any) -> np.ndarray:
        """g - A lift at the unknowns."""
        return self.outer.without(g, lift)

    def plus(self, u: np.ndarray, lift: Any) -> np.ndarray:
        """A copy of `u`: iterates hold the lift."""
        return u.copy()

    def defect(self, g: np.ndarray, u: np.ndarray) -> np.ndarray:
        """g - A u as a new array."""
        return self.outer.defect(g, u)

    def misfit(self, g: np.ndarray, u: np.ndarray) -> np.float64:
        """||g - A u||_2 over the unknowns."""
        return self.outer.misfit(g, u)

    def norm(self, values: np.ndarray) -> np.float64:
        """||values||_2 over the unknowns."""
        return self.outer.norm(values)

    def largest(self, values: np.ndarray) -> np.float64:
        """The largest absolute value over the unknowns."""
        return self.outer.largest(values)

    def roundoff(self, u: np.ndarray) -> np.float64:
        """eps ||A|| ||u||_2."""
        return self.outer.roundoff(u)

    def describe(self) -> dict[str, str]:
        """The level's row in the table of levels."""
        return describe(self.grid, f"defect correction, {self.outer.smoother}")
