"""When a solve ends, and how: what the norms of residuals say, one for each of a batch.

The loop of :func:`mgcore.solve` tells what it measured, and asks here whether it goes on. Nothing
in this file knows levels, cycles or arrays other than those of norms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import IntEnum
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Limits", "Status", "Verdict", "every", "largest"]

# What helps where cycles alone do not.
_JUMPS = (
    "or, where a coefficient jumps, conjugate gradients with as_preconditioner() of "
    "mgcore.poisson_levels"
)


class Status(IntEnum):
    """How a solve ended.

    Attributes
    ----------
    success : bool
        Whether the tolerance, the limit of the dtype, or the cycles asked for were reached.
    message : str
        The same in words, with what to do.

    Examples
    --------
    >>> Status.MAXITER == 3, Status.MAXITER.success
    (True, False)
    >>> Status.CONVERGED.message
    'the residual is within the tolerance'
    """

    success: bool
    message: str

    def __new__(cls, value: int, success: bool, message: str) -> Status:
        """A member with what it means."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.success, member.message = success, message
        return member

    CONVERGED = 0, True, "the residual is within the tolerance"
    ROUNDOFF = (
        1, True,
        "u is the solution up to rounding errors; its residual is above the tolerance, and more "
        "cycles cannot reduce it in this dtype",
    )  # fmt: skip
    CYCLES_DONE = 2, True, "ran the cycles asked for"
    MAXITER = (
        3, False,
        "the residual is above the tolerance after maxiter cycles; increase maxiter or use a "
        "stronger cycle or smoother, such as 'zebra' where some axis couples much more strongly, "
        + _JUMPS,
    )  # fmt: skip
    STAGNATION = (
        4, False,
        "the residual has stopped falling above the level of rounding errors; in float32 ask for "
        "more precision, else use a stronger cycle or smoother, such as 'zebra' where some axis "
        "couples much more strongly, " + _JUMPS,
    )  # fmt: skip
    DIVERGENCE = (
        5, False,
        "the iteration diverges; use another smoother, a smaller omega, full weighting as "
        "restriction, in float32 other units or more precision, " + _JUMPS,
    )  # fmt: skip
    CALLBACK = 6, False, "the callback raised StopIteration"
    RUNNING = 7, False, "running"  # what a callback sees


# A cycle that reduces the residual by less than _SLOW, when it is within _LEVEL times the bound of
# what rounding makes, has reached rounding errors; `refine` finds out whether that is so.
_SLOW, _LEVEL = 0.5, 4
# Less than 5 % in ten cycles is stagnation; the slowest cycle with coarse grids needs one.
_PATIENCE, _STAGNANT = 10, 0.95
# Smoothers that do converge may let the residual grow at first, but not by this factor.
_DIVERGENT = 100.0


# Of a single number, NumPy's reductions take longer than all that a verdict has to think.


def every(flags: Any) -> bool:
    """Whether all are true, of one or one for each of a batch."""
    return bool(flags.all()) if flags.ndim else bool(flags)


def largest(norm: Any) -> float:
    """The largest norm of a batch."""
    return float(norm.max()) if norm.ndim else float(norm)


class Limits(NamedTuple):
    """The tolerances of a solve and its cycles at most, made by `checked`."""

    rtol: float
    atol: float
    maxiter: int

    @classmethod
    def checked(cls, rtol: float | None, atol: float, maxiter: int, eps: float) -> Limits:
        """What a caller asked for, or a clear error; an rtol of None is that of the dtype."""
        if rtol is None:
            rtol = 1e-8 if eps < 1e-10 else 1e-4
        for name, value in (("rtol", rtol), ("atol", atol)):
            if not isinstance(value, Real) or not 0 <= _as_float(value) < math.inf:
                raise ValueError(f"{name} must be a number, zero or more and finite, got {value!r}")
        if not isinstance(maxiter, Integral) or isinstance(maxiter, bool) or maxiter < 0:
            raise ValueError(f"maxiter must be a whole number, zero or more, got {maxiter!r}")
        return cls(float(rtol), float(atol), int(maxiter))

    @property
    def fixed(self) -> bool:
        """Whether `maxiter` cycles are asked for, whatever the residual."""
        return self.rtol == 0 and self.atol == 0


def _as_float(value: Real) -> float:
    try:
        return float(value)  # a float32 is not to be compared with what it cannot hold
    except OverflowError:
        return math.inf


class Verdict:
    """Judges the residuals of one solve, the worst of a batch for all.

    Parameters
    ----------
    limits : Limits
    scale : ndarray
        ||b||_2, one or one for each of a batch; where it is zero `norm` stands for it.
    norm : ndarray
        ||g - A u||_2 before the first cycle.
    rounding : float
        Residuals below this part of `scale` may be those of rounding u.
    lifted : bool
        Whether border values will be added to the u whose residuals these are.

    Attributes
    ----------
    status : Status
        RUNNING as long as another cycle is to be run.
    residuals : list of float
        The largest norm of a batch, before the first cycle and after each.
    target : ndarray
        The norms to be reached.
    least : int
        Cycles to be run even if the residual is small before.
    """

    def __init__(
        self, limits: Limits, scale: Any, norm: Any, *, rounding: float, lifted: bool = False
    ):
        scale = np.where(scale == 0, norm, scale)
        self.limits, self.least = limits, 0
        self.target = np.maximum(limits.rtol * scale, limits.atol)
        self._lifted, self._rounding = lifted, rounding
        self.residuals: list[float] = []
        self._unit = np.where(scale == 0, 1.0, scale)
        self._relative: list[float] = []
        self._add(norm)
        self.status = Status.RUNNING
        if not limits.fixed and every(norm <= self.target):
            self.status = Status.CONVERGED
        elif limits.maxiter == 0:
            self.status = Status.CYCLES_DONE if limits.fixed else Status.MAXITER

    @property
    def cycles(self) -> int:
        """Cycles heard of."""
        return len(self.residuals) - 1

    @property
    def delicate(self) -> bool:
        """Whether the present u, handed back, may have another residual than the cycle told."""
        return self._lifted or self._relative[-1] < self._rounding

    @property
    def provisional(self) -> bool:
        """Whether the u handed back is still to be looked at for rounding errors."""
        ended = self.status is Status.CONVERGED and self.delicate
        return ended or self.status is Status.ROUNDOFF

    @property
    def so_far(self) -> Status:
        """What a callback may know of it."""
        return Status.RUNNING if self.provisional else self.status

    def ask_for(self, cycles: int) -> None:
        """Run so many cycles, if `maxiter` allows, even if the residual is small before."""
        self.least = min(cycles, self.limits.maxiter)
        if self.status is Status.CONVERGED and self.least:
            self.status = Status.RUNNING

    def after_cycle(self, norm: Any, roundoff: Callable[[], Any]) -> None:
        """Judge the residual that a cycle left.

        `roundoff()` is asked where the cycle was slow: the norm that rounding u may make.
        """
        self._add(norm)
        self.status = self._trend()
        before, now = self._relative[-2:]
        if self.limits.fixed or not math.isfinite(now):
            return
        done = norm <= self.target
        if every(done):
            self.status = Status.CONVERGED
        elif now > _SLOW * before and every(done | (norm <= _LEVEL * roundoff())):
            self.status = Status.ROUNDOFF
        if self.status in (Status.CONVERGED, Status.ROUNDOFF) and self.cycles < self.least:
            self.status = Status.RUNNING

    def after_refinement(self, norm: Any, exact: Any) -> None:
        """Judge the u handed back by its residual, and where that is large, by `exact`."""
        done = norm <= self.target
        self.status = Status.CONVERGED if every(done) else Status.ROUNDOFF
        if not every(done | exact):
            self.status = Status.STAGNATION

    def interrupt(self) -> None:
        """Somebody else wants an end."""
        if self.status is Status.RUNNING:
            self.status = Status.CALLBACK

    def _add(self, norm: Any) -> None:
        self.residuals.append(largest(norm))
        self._relative.append(largest(norm / self._unit))

    def _trend(self) -> Status:
        """What the history of relative residuals says, tolerances aside."""
        history, now, fixed = self._relative, self._relative[-1], self.limits.fixed
        last = self.cycles >= self.limits.maxiter
        # A first defect correction in float32 may leave rough rounding errors of any size.
        growing = len(history) > 2 and now > max(_DIVERGENT * history[0], history[-2])
        if not math.isfinite(now) or (not fixed and growing):
            return Status.DIVERGENCE
        if not fixed and len(history) > _PATIENCE and now > _STAGNANT * history[-1 - _PATIENCE]:
            return Status.STAGNATION
        if not last:
            return Status.RUNNING
        return Status.CYCLES_DONE if fixed else Status.MAXITER
