"""Repeat a cycle until the residual is small: one loop for every backend."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from numbers import Integral, Real
from typing import Any

from mgcore.cycle import CYCLES, Cycle, run, v_cycle
from mgcore.gate import not_finite
from mgcore.rounding import refine

__all__ = ["Solution", "Status", "print_progress", "solve"]


class Status(IntEnum):
    """How a solve ended; the first three are successes. RUNNING is what a callback sees."""

    CONVERGED = 0
    ROUNDOFF = 1
    CYCLES_DONE = 2
    MAXITER = 3
    STAGNATION = 4
    DIVERGENCE = 5
    CALLBACK = 6
    RUNNING = 7


_MESSAGES = {
    Status.CONVERGED: "the residual is within the tolerance",
    Status.ROUNDOFF: "u is the solution up to rounding errors; its residual is above the "
    "tolerance, and more cycles cannot reduce it in this dtype",
    Status.CYCLES_DONE: "ran the cycles asked for",
    Status.MAXITER: "the residual is above the tolerance after maxiter cycles; increase maxiter or "
    "use a stronger cycle or smoother",
    Status.STAGNATION: "the residual has stopped falling above the level of rounding errors; use a "
    "stronger smoother or cycle",
    Status.DIVERGENCE: "the iteration diverges; use another smoother, a smaller omega, or full "
    "weighting as restriction",
    Status.CALLBACK: "the callback raised StopIteration",
    Status.RUNNING: "running",
}

# A cycle that reduces the residual by less than _SLOW, when it is within _LEVEL times the bound of
# what rounding makes, has reached rounding errors; `refine` finds out whether that is so.
_SLOW, _LEVEL = 0.5, 4
# Less than 5 % in ten cycles is stagnation; the slowest cycle with coarse grids needs one.
_PATIENCE, _STAGNANT = 10, 0.95
# Smoothers that do converge may let the residual grow at first, but not by this factor.
_DIVERGENT = 100.0


@dataclass(frozen=True)
class Solution:
    """What a solve returns.

    Attributes
    ----------
    u : array
        Node values, border included, in the backend's kind (NumPy or torch).
    residuals : tuple of float
        ||g - A u||_2 before the first cycle and after each; for a batch the largest. The last one
        is that of `u` as it is here, border values put on and rounded.
    nit : int
        Cycles run, but for those that looked for rounding errors at the end.
    success : bool
        Whether the tolerance, the limit of the dtype, or the cycles asked for were reached.
    status : Status
        How it ended, an int.
    message : str
        The same in words, with what to do.
    work_units : float
        Smoothing steps of these cycles, in units of one on the finest grid.
    cycle : Cycle
        The first cycle that was run (its `print` is a diagram).
    """

    u: Any
    residuals: tuple[float, ...]
    nit: int
    success: bool
    status: Status
    message: str
    work_units: float
    cycle: Cycle

    @property
    def factors(self) -> tuple[float, ...]:
        """Reduction of the residual by each cycle."""
        pairs = zip(self.residuals, self.residuals[1:], strict=False)
        return tuple(new / old if old else 0.0 for old, new in pairs)

    def __str__(self) -> str:
        lines = [f"{self.message} ({self.nit} cycles, {self.work_units:.1f} work units)"]
        lines += ["cycle     residual   factor", f"    0  {self.residuals[0]:.5e}"]
        lines += [
            f"{k:5d}  {residual:.5e}  {factor:.2e}"
            for k, (residual, factor) in enumerate(
                zip(self.residuals[1:], self.factors, strict=True), 1
            )
        ]
        return "\n".join(lines)


def solve(
    levels: Sequence[Any],
    g: Any,
    u0: Any = None,
    *,
    boundary: Any = 0.0,
    cycle: str | Sequence[Any] = "fmg",
    rtol: float | None = None,
    atol: float = 0.0,
    maxiter: int = 50,
    callback: Callable[[Solution], Any] | None = None,
) -> Solution:
    """Solve A u = g by multigrid cycles on a chain of levels.

    Parameters
    ----------
    levels : sequence of SolverLevel
        From :func:`mgcore.poisson_levels` or :func:`mgnet.poisson_levels`.
    g : array_like
        Right-hand side at the nodes; values on the border are ignored. Levels on torch take a
        batch, ``(*batch, *nodes)``.
    u0 : array_like, optional
        First guess, of the shape of `g`.
    boundary : float, array_like or callable
        Values of u on the border: a number, node values whose border is used, or a function of
        the coordinates.
    cycle : {"fmg", "v", "w", "f"} or sequence of Visit
        "fmg" is one full multigrid, then V(1,1); the letters are V(1,1), W(1,1) and F(1,1). With
        `u0`, and from the second cycle on, a cycle with fresh visits runs on the residual equation.
    rtol, atol : float
        Stop when ||g - A u||_2 <= max(rtol ||b||_2, atol) over the interior nodes, b the
        right-hand side once the border values are taken out; a batch stops with its worst member.
        By default rtol is 1e-8, in float32 1e-4. With both zero, `maxiter` cycles are run. Where
        b = 0 the first residual stands for it. See the notes for what u is then.
    maxiter : int
        Cycles at most.
    callback : callable, optional
        Called with the Solution so far after every cycle; may raise StopIteration.

    Returns
    -------
    Solution

    Raises
    ------
    ValueError
        For input that does not fit; the message says what does.

    Notes
    -----
    The levels know zero border values only: a transfinite lift of the border values is taken out
    first and added at the end (see :mod:`mgcore.boundary`).

    What a success says of the error, with u_h the exact solution of the difference equations:

    - CONVERGED: ||u - u_h||_2 <= max(rtol ||b||_2, atol) / lambda + eps ||u||_2, lambda the
      smallest eigenvalue of A.
    - ROUNDOFF: ||u - u_h||_2 <= 32 eps ||u||_2, eps that of the dtype (1.2e-7 in float32), however
      fine the grid. The residual may be far above the tolerance even so: rounding u alone makes one
      of up to eps ||A|| ||u||, which is larger than ||b|| where eps times the condition number is
      above 1. It is rough, and so A^-1 makes next to nothing of it.
    """
    if callback is not None and not callable(callback):
        raise ValueError(f"callback must be callable, got {callback!r}")
    if not isinstance(levels, Sequence) or not levels or not hasattr(levels[0], "nodes"):
        raise ValueError(f"levels must be made by poisson_levels, got {levels!r}")
    fine = levels[0]
    first, then = cycle_pair(cycle, len(levels))
    rtol, atol, maxiter = _tolerances(rtol, atol, maxiter, fine.eps)
    sizes = [level.size for level in levels]

    g = fine.nodes(g, "g")
    lift = fine.lift(boundary)
    b = g if lift is None else fine.without(g, lift)
    state = fine.start(b) if u0 is None else None
    scale = fine.norm(b) if state is None else fine.residual_norm(state)  # of each of a batch
    _check_size(fine, g, b, scale)
    norm = scale
    if u0 is not None:
        u0 = fine.nodes(u0, "u0")
        state = fine.start(b, u0 if lift is None else fine.plus(u0, lift, -1))
        norm = fine.residual_norm(state)
        if not bool((norm < math.inf).all()):
            if not bool((fine.largest(u0) < math.inf).all()):
                raise not_finite("u0")
            raise ValueError("the residual of u0 overflows; give a smaller first guess, or none")
    scale = scale + (scale == 0) * norm  # where b = 0, relative to the first residual
    target = _larger(rtol * scale, atol)
    unit = scale + (scale == 0)

    residuals, relative, work = [float(norm.max())], [float((norm / unit).max())], 0.0
    fixed = rtol == 0 and atol == 0
    status = _initial(bool((norm <= target).all()), fixed, maxiter)

    # Levels tell the residual of what they solve for as cycles computed it. Where border values are
    # added, or rounding may have made another residual, that of u is computed anew.
    delicate = lift is not None or bool((target < fine.eps * fine.condition * scale).any())
    refined = delicate and status is Status.CONVERGED

    def result(u: Any, norm: Any, status: Status) -> Solution:
        history = (*residuals[:-1], float(norm.max()))
        return Solution(
            u, history, len(history) - 1, status <= Status.CYCLES_DONE, status,
            _MESSAGES[status], work, first,
        )  # fmt: skip

    while status is None:
        this = then if len(residuals) > 1 else first
        if this.fresh and (len(residuals) > 1 or u0 is not None):
            # A fresh visit overwrites the iterate: take A e = r instead and add e.
            error = run(levels, this, fine.start(fine.residual(state)))
            state = fine.start(b, fine.solution(state) + fine.solution(error))
        else:
            state = run(levels, this, state)
        work += this.work_units(sizes)
        norm = fine.residual_norm(state)
        residuals.append(float(norm.max()))
        relative.append(float((norm / unit).max()))

        status = _verdict(relative, fixed, len(residuals) > maxiter)
        if not fixed and math.isfinite(relative[-1]):
            if bool((norm <= target).all()):
                status = Status.CONVERGED
            elif relative[-1] > _SLOW * relative[-2]:
                u = fine.solution(state)
                rounding = fine.roundoff(u)
                if lift is not None:
                    rounding = rounding + fine.roundoff(fine.plus(u, lift))
                small = (norm <= target) | (norm <= _LEVEL * rounding)
                status = Status.ROUNDOFF if bool(small.all()) else status
        refined = status is Status.ROUNDOFF or (delicate and status is Status.CONVERGED)
        if callback is not None:
            u = fine.solution(state)
            # The state goes on changing: hand out a copy.
            u = u + 0.0 if lift is None else fine.plus(u, lift)
            true = fine.misfit(g, u) if delicate else norm
            try:
                callback(result(u, true, Status.RUNNING if status is None or refined else status))
            except StopIteration:
                status = Status.CALLBACK if status is None else status
    u = fine.solution(state)
    state = b = None  # memory for what follows
    if lift is not None:
        u = fine.plus(u, lift)
    if refined:
        u, norm, exact = refine(levels, g, u, target)
        done = norm <= target
        status = Status.CONVERGED if bool(done.all()) else Status.ROUNDOFF
        status = status if bool((done | exact).all()) else Status.STAGNATION
    elif delicate:
        norm = fine.misfit(g, u)
    return result(u, norm, status)


def print_progress(
    callback: Callable[[Solution], Any] | None = None,
) -> Callable[[Solution], Any]:
    """A callback that prints a line for each cycle on stderr, and then calls another one."""

    def show(solution: Solution) -> Any:
        print(
            f"cycle {solution.nit:3d}  residual {solution.residuals[-1]:.3e}"
            f"  factor {solution.factors[-1]:.2e}",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        return callback(solution) if callback is not None else None

    return show


def _check_size(fine: Any, g: Any, b: Any, scale: Any) -> None:
    """Refuse a right-hand side that is not finite, or too small or large for what comes."""
    # Residuals reduced by rtol must have squares in float64, and u must have digits in float32.
    smallest = 1e-140 if fine.eps < 1e-10 else 1e-30
    if bool(((scale >= smallest) & (scale <= fine.room)).all()):
        return
    if not bool((fine.largest(g) < math.inf).all()):
        raise not_finite("g")
    largest = fine.largest(b)
    fits = (scale < math.inf) & (largest <= fine.room) & ((scale >= smallest) | (largest == 0))
    if not bool(fits.all()):
        raise ValueError(
            "the numbers in g, or their squares, over- or underflow; scale g (and the border "
            "values) to about 1, and u back afterwards"
        )


def _initial(converged: bool, fixed: bool, maxiter: int) -> Status | None:
    if converged and not fixed:
        return Status.CONVERGED
    if maxiter == 0:
        return Status.CYCLES_DONE if fixed else Status.MAXITER
    return None


def _verdict(relative: list[float], fixed: bool, last: bool) -> Status | None:
    """What the history of relative residuals says, tolerances aside."""
    now = relative[-1]
    # A first defect correction in float32 may leave rough rounding errors of any size.
    growing = len(relative) > 2 and now > max(_DIVERGENT * relative[0], relative[-2])
    if not math.isfinite(now) or (not fixed and growing):
        return Status.DIVERGENCE
    if fixed:
        return Status.CYCLES_DONE if last else None
    if len(relative) > _PATIENCE and now > _STAGNANT * relative[-1 - _PATIENCE]:
        return Status.STAGNATION
    return Status.MAXITER if last else None


def cycle_pair(cycle: str | Sequence[Any], n: int) -> tuple[Cycle, Cycle]:
    """The first cycle on `n` levels and the one that is repeated."""
    if isinstance(cycle, str):
        if cycle not in CYCLES:
            raise ValueError(
                f"unknown cycle {cycle!r}; known are {', '.join(map(repr, CYCLES))} and tuples of "
                "visits (see mgcore.cycle)"
            )
        first = CYCLES[cycle](n)
        return first, v_cycle(n) if cycle == "fmg" else first
    try:
        given = Cycle(cycle)
    except TypeError:
        raise ValueError(f"a cycle is a name or a sequence of visits, got {cycle!r}") from None
    levels = {visit.level for visit in given}
    if given[0].level or given[-1].level or max(levels) >= n:
        raise ValueError(
            f"a cycle must begin and end on level 0 and visit levels below {n} alone, "
            f"this one goes from {given[0].level} to {given[-1].level} by way of {max(levels)}"
        )
    return given, given


def _tolerances(
    rtol: float | None, atol: float, maxiter: int, eps: float
) -> tuple[float, float, int]:
    if rtol is None:
        rtol = 1e-8 if eps < 1e-10 else 1e-4
    for name, value in (("rtol", rtol), ("atol", atol)):
        if not isinstance(value, Real) or not 0 <= value <= sys.float_info.max:
            raise ValueError(f"{name} must be a number, zero or more and finite, got {value!r}")
    if not isinstance(maxiter, Integral) or maxiter < 0:
        raise ValueError(f"maxiter must be a whole number, zero or more, got {maxiter!r}")
    return float(rtol), float(atol), int(maxiter)


def _larger(values: Any, bound: float) -> Any:
    """max(values, bound), element by element, for either backend."""
    return values + (bound - values) * (values < bound)
