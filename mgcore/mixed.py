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

from mgcore import threads
from mgcore.boundary import Lift
from mgcore.cycle import cycle_pair, run
from mgcore.gate import node_array
from mgcore.grid import Grid
from mgcore.kernels.common import scaled
from mgcore.level import Hierarchy
from mgcore.poisson_level import PoissonLevel, State, describe

__all__ = ["MixedLevel"]

# A correction is good enough at this part of the residual, and not worth another cycle where
# rounding errors of float32 take over: one reduced what was left by less than _SLOW, or it is below
# this part of the bound eps ||A|| ||e||, which smooth corrections undercut by far.
_ENOUGH, _SLOW, _FLOOR, _MOST = 1e-4, 0.5, 0.3, 20


@dataclass(frozen=True)
class _Lifted:
    """The right-hand side g - A lift of u - lift, not computed."""

    g: np.ndarray
    lift: Lift


@dataclass(slots=True)
class _State:
    """What defect correction works on.

    `u` holds the lift of the border values, too, if there is one. `inner` is the float32 state of
    A e = r, with r = g - A u in units of `unit`. `norm` is that of the residual, `scale` that of
    the right-hand side, or where that is zero of the first residual. Where `zero` is set, u was not
    written yet.
    """

    u: np.ndarray
    g: np.ndarray
    inner: State
    unit: float
    norm: float
    scale: float
    zero: bool


class MixedLevel(PoissonLevel):
    """-Laplace u = g on one grid in float64, where a smoothing step is one defect correction.

    Made for one solve, whose work it counts.

    Parameters
    ----------
    grid : Grid
    inner : sequence of PoissonLevel
        float32 levels for the same box, measured in units of the smallest mesh width.
    cycle : str or sequence of Visit
        The float32 cycles that compute a correction; as for :func:`mgcore.solve`.
    rtol, atol : float
        Corrections are not computed further than these tolerances of the residual ask.

    Attributes
    ----------
    first, then : Cycle
        The cycle that begins the first correction, and the one that is repeated.
    work_units : float
        Smoothing steps of all cycles run so far, in units of one on the finest grid.
    """

    def __init__(
        self,
        grid: Grid,
        inner: Hierarchy[PoissonLevel],
        cycle: str | Sequence[Any] = "fmg",
        rtol: float = 0.0,
        atol: float = 0.0,
    ):
        super().__init__(grid, inner[0].smoother, "full", "linear", "float64", None)
        self.inner = inner
        self.first, self.then = cycle_pair(cycle, len(inner))
        self.rtol, self.atol = rtol, atol
        self.work_units = 0.0

    @property
    def direct(self) -> bool:
        """Whether the cycles for a correction reach the coarsest grid, which solves exactly."""
        return max(visit.level for visit in self.then) == len(self.inner) - 1

    def start(self, g: Any, u: Any = None) -> Any:  # type: ignore[override]
        """The state for A u = g; `u` is copied and its border values are taken as zero.

        If `g` is what `without` returned, the lift is put on, and with it its border values.
        """
        lift = None
        if isinstance(g, _Lifted):
            g, lift = g.g, g.lift
        g = node_array(g, self.grid, self.dtype, "g")
        norm = scale = float(self.norm(g if lift is None else _Lifted(g, lift)))
        iterate = np.zeros(self.grid.shape, self.dtype)
        if lift is not None:
            iterate = super().plus(iterate, lift)
        r = np.zeros(self.grid.shape, np.float32)
        zero = u is None and lift is None
        state = _State(iterate, g, self.inner[0].start(r), self._rms(scale), norm, scale, zero)
        if zero:
            scaled(g.reshape(-1), 1 / state.unit, r.reshape(-1))
            return state
        if u is not None:
            inside = (slice(1, -1),) * iterate.ndim
            iterate[inside] = node_array(u, self.grid, self.dtype, "u")[inside]
            state.norm = float(self._kernels.norm(iterate, g, self._a))
            state.scale = scale or state.norm
        self._correct(state, 0.0, self._rms(state.norm))
        return state

    # Where borders are not zero, no float64 array but the iterate is made.

    def without(self, g: np.ndarray, lift: Lift) -> Any:
        """g - A lift, put off."""
        return _Lifted(g, lift)

    def plus(self, u: np.ndarray, lift: Lift, sign: int = 1) -> np.ndarray:
        """A copy of `u`: iterates hold the lift, and first guesses may."""
        return u.copy()

    def norm(self, values: Any) -> np.float64:
        """||values||_2 over the interior nodes."""
        if not isinstance(values, _Lifted):
            return super().norm(values)
        slabs = self._slabs_without(values.g, values.lift)
        return np.float64(np.linalg.norm([super(MixedLevel, self).norm(r) for r in slabs]))

    def largest(self, values: Any) -> np.float64:
        """The largest absolute value over the interior nodes, NaN if there is one."""
        if not isinstance(values, _Lifted):
            return super().largest(values)
        slabs = self._slabs_without(values.g, values.lift)
        return np.float64(np.max([super(MixedLevel, self).largest(r) for r in slabs]))

    def smooth(self, state: Any, steps: int) -> Any:
        """`steps` defect corrections."""
        for _ in range(steps):
            left = self._solve_inner(state)
            self._correct(state, state.unit * min(self.grid.spacing) ** 2, self._rms(left))
        return state

    def solution(self, state: Any) -> np.ndarray:
        """The iterate itself: copy it to keep it beyond the next correction."""
        return state.u

    def residual_norm(self, state: Any) -> np.float64:
        """||g - A u||_2 over the interior nodes."""
        return np.float64(state.norm)

    def describe(self) -> dict[str, str]:
        """The level's row in the table of levels."""
        return describe(self.grid, f"defect correction, {self.smoother}")

    def _solve_inner(self, state: _State) -> float:
        """Run cycles for A e = r, and return about what norm the residual will have."""
        fine, inner = self.inner[0], state.inner
        target = max(self.rtol * state.scale, self.atol)
        norms = [state.norm / state.unit]
        goal = max(_ENOUGH * norms[0], target / 2 / state.unit)
        cycle = self.first if state.zero else self.then
        inner.restart()
        inner.watch()
        while len(norms) <= _MOST:
            run(self.inner, cycle, inner)
            self.work_units += cycle.work_units(self.inner.sizes)
            norms.append(float(fine.residual_norm(inner)))
            if not goal < norms[-1] < np.inf or self.then.fresh:
                break
            if len(norms) > 2 and norms[-1] > _SLOW * norms[-2]:
                break
            if norms[-1] < _FLOOR * fine.roundoff(fine.solution(inner)):
                break
            cycle = self.then
        return max(norms[-1], fine.eps * norms[0]) * state.unit

    def _correct(self, state: _State, scale: float, unit: float) -> None:
        """u += scale e, and the residual anew, in units of `unit`."""
        e, r = self.inner[0].solution(state.inner), state.inner.g
        norm = self._kernels.correct(
            state.u, e, state.g, r, self._a, scale, 1 / unit, state.zero, threads.count()
        )
        state.norm, state.unit, state.zero = norm * unit, unit, False

    def _rms(self, norm: float) -> float:
        """Root mean square of unknowns with this norm; 1 where that is no use as a unit."""
        rms = norm / self.size**0.5
        return rms if 1e-300 < rms < 1e300 else 1.0
