"""Repeat a cycle until the residual is small: one loop for every backend."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mgcore.batch import one_by_one
from mgcore.cycle import Cycle, cycle_pair, run, walkable
from mgcore.gate import apart, check_callback, not_finite, real_array
from mgcore.rounding import refine
from mgcore.solution import Solution, print_progress, report
from mgcore.verdict import Limits, Status, Verdict, every, largest

__all__ = ["Problem", "iterate", "solve"]


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
    progress: bool = False,
    project: bool = True,
    throw: bool = False,
    out: Any = None,
) -> Solution:
    """Solve A u = g by multigrid cycles on a chain of levels.

    Parameters
    ----------
    levels : sequence of SolverLevel
        From :func:`mgcore.poisson_levels` or :func:`mgnet.poisson_levels`.
    g : array_like
        Right-hand side at the nodes; values on the border are ignored. Or a batch of them,
        ``(*batch, *nodes)``: levels on torch solve for all at once and stop with the worst, those
        on NumPy arrays for one after the other; what a solution tells besides u is then of the
        member that did worst.
    u0 : array_like, optional
        First guess, of the shape of `g`; of a batch that of all members or of each.
    boundary : float, array_like, callable or sequence of pairs
        Values of u on Dirichlet sides, one thing for all of them: a number, node values of which
        those on these sides are used, or a function of the coordinates, called with those of one
        side at a time (arrays that broadcast). Or side by side, for each axis a pair (lower, upper)
        or None: u on a Dirichlet side, elsewhere the flux a du/dn (+ beta u), outwards positive.
        Each is a number, an array of the side's shape, such a function, or None for zero. In 1D the
        pair may stand alone, and an array ``(*batch, 2)`` holds pairs. Of a batch, arrays have its
        leading axes or are for all members. Where two sides that hold u meet, what is given for the
        later axis holds. Refused is what would be ignored: anything but zero on a periodic side,
        and one thing for all where no side holds u.
    cycle : {"fmg", "v", "w", "f"} or sequence of Visit
        "fmg" is one full multigrid, then V(1,1); the letters are V(1,1), W(1,1) and F(1,1). With
        `u0`, and from the second cycle on, a cycle with fresh visits, or on a single grid, runs on
        the residual equation.
    rtol, atol : float
        Stop when ||g - A u||_2 <= max(rtol ||b||_2, atol) over the unknowns, b the
        right-hand side once the border values are taken out; a batch stops with its worst member.
        By default rtol is 1e-8, in float32 1e-4. With both zero, `maxiter` cycles are run. Where
        b = 0 the first residual stands for it. See the notes for what u is then.
    maxiter : int
        Cycles at most.
    callback : callable, optional
        Called with the Solution so far after every cycle; may raise StopIteration.
    progress : bool
        Print a line for each cycle on stderr.
    project : bool
        Where u is sought up to a constant, there is a solution only if g, with the fluxes, has mean
        zero: the mean is taken out (`Solution.removed` says how much), or with False refused.
    throw : bool
        Raise an error where the solve fails, instead of a warning.
    out : array, optional
        Where the solution goes: `u` of what is returned is this very array, writeable, C-contiguous
        and of the levels' dtype. It may be `u0` or `g` itself. In a time loop on one hierarchy no
        large memory is then asked for, see the notes. What it holds after an error is undefined.

    Returns
    -------
    Solution

    Raises
    ------
    ValueError
        For input that does not fit; the message says what does.
    ConvergenceError
        Where the solve fails and `throw` is set; it carries the solution.

    Warns
    -----
    ConvergenceWarning
        Where the solve fails otherwise. Cycles that were asked for, with both tolerances zero, do
        not fail, nor does an end by the callback.

    Notes
    -----
    The levels know zero border values only: a transfinite lift of the border values is taken out
    first and added at the end (see :mod:`mgcore.boundary`).

    Levels on NumPy arrays keep the memory of a solve for the next one, for at most four solves at
    the same time: each the arrays of the coarser grids (2/3 of an array of the finest in 2D, 2/7 in
    3D, for operators other than -Laplace two or three arrays more), and once border values were not
    zero, one array. It goes with the levels: ``del levels`` frees it.

    What a success says of the error, with u_h the exact solution of the difference equations:

    - CONVERGED: ||u - u_h||_2 <= max(rtol ||b||_2, atol) / lambda + eps ||u||_2, lambda the
      smallest singular value of A, which for -Laplace on even meshes is the smallest eigenvalue;
      where u is sought up to a constant, the smallest above zero.
    - ROUNDOFF: ||u - u_h||_2 <= 32 eps ||u||_2, eps that of the dtype (1.2e-7 in float32), however
      fine the grid. The residual may be far above the tolerance even so: rounding u alone makes one
      of up to eps ||A|| ||u||, which is larger than ||b|| where eps times the condition number is
      above 1. It is rough, and so A^-1 makes next to nothing of it.
    """
    callback = print_progress(callback) if progress else callback
    how: Any = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
    how |= {"project": project, "cycle": walkable(cycle)}
    fine = finest(levels)

    def solve_one(g: Any, u0: Any, boundary: Any, out: Any) -> Solution:
        return iterate(levels, g, u0, boundary=boundary, out=out, **how)

    if fine.batches:
        return report(solve_one(g, u0, boundary, out), throw)
    g = real_array(g, "g")
    if g.ndim <= fine.grid.ndim or g.shape[g.ndim - fine.grid.ndim :] != fine.grid.shape:
        return report(solve_one(g, u0, boundary, out), throw)
    solution = one_by_one(solve_one, fine.grid, fine.dtype, g, u0, boundary, out)
    return report(solution, throw)


def finest(levels: Sequence[Any]) -> Any:
    """The first of the levels, or a clear error."""
    if not isinstance(levels, Sequence) or not levels or not hasattr(levels[0], "nodes"):
        raise ValueError(f"levels must be made by poisson_levels, got {levels!r}")
    return levels[0]


def iterate(
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
    project: bool = True,
    out: Any = None,
) -> Solution:
    """What :func:`solve` does, without a word about failures."""
    check_callback(callback)
    fine = finest(levels)
    first, then = cycle_pair(cycle, len(levels), direct=levels[-1].direct)
    limits = Limits.checked(rtol, atol, maxiter, fine.eps)
    problem = Problem(levels, g, u0, boundary, project, out)
    verdict = Verdict(
        limits, problem.scale, problem.norm,
        rounding=fine.eps * fine.condition, lifted=problem.lift is not None,
    )  # fmt: skip
    if fine.traced(problem.state) and (problem.begun or verdict.status is Status.CONVERGED):
        named = cycle if isinstance(cycle, str) else first
        verdict.ask_for(_cycles_from_zero(levels, named, limits))
    sizes, work = [level.size for level in levels], 0.0
    units = first.work_units(sizes), then.work_units(sizes)

    def solution(u: Any, norm: Any, status: Status) -> Solution:
        history = (*verdict.residuals[:-1], largest(norm))
        return Solution(u, history, status, work, first, fine.grid, problem.removed)

    while verdict.status is Status.RUNNING:
        problem.run(then if verdict.cycles else first)
        work += units[verdict.cycles > 0]
        verdict.after_cycle(problem.norm, problem.roundoff)
        if callback is not None:
            u = problem.copy()
            norm = fine.misfit(problem.g, u) if verdict.delicate else problem.norm
            try:
                callback(solution(u, norm, verdict.so_far))
            except StopIteration:
                verdict.interrupt()
    u, norm = _ended(problem, verdict)
    return solution(u if out is None else fine.deliver(u, out), norm, verdict.status)


def _ended(problem: Problem, verdict: Verdict) -> tuple[Any, Any]:
    """The u to hand back and its residual's norm, looked at again where rounding may count."""
    u, norm = problem.finish(), problem.norm
    if verdict.provisional:
        u, norm, exact = refine(problem.levels, problem.g, u, verdict.target)
        verdict.after_refinement(norm, exact)
    elif verdict.delicate:
        norm = problem.fine.misfit(problem.g, u)
    return u, norm


def _cycles_from_zero(levels: Sequence[Any], cycle: str | Cycle, limits: Limits) -> int:
    """How many cycles a rough right-hand side takes, none if all of maxiter are run anyway.

    So many are run where gradients are asked for. Those of the iterate go through the cycles: with
    a good first guess, or for b = 0, u needs few of them or none, but du/dg = A^-1 needs them all.
    """
    if limits.fixed:
        return 0
    rough = np.random.default_rng(0).standard_normal(levels[0].grid.shape)
    rtol = limits.rtol or None
    return iterate(levels, rough, cycle=cycle, rtol=rtol, maxiter=limits.maxiter).nit


# A mean of g below so many units of rounding is none.
_ROUNDED = 1000


class Problem:
    """A u = g as levels take it, and the iterate under way.

    Attributes
    ----------
    g : array
        The right-hand side, what is given on the sides in it.
    lift
        The continuation of the border values, None where all are zero.
    removed : float
        The constant taken out of g where u is sought up to a constant.
    scale, norm : ndarray
        ||b||_2, b the right-hand side with the lift taken out, and the present residual's norm; one
        or one for each of a batch.
    """

    def __init__(
        self, levels: Sequence[Any], g: Any, u0: Any, boundary: Any, project: bool, out: Any = None
    ):
        fine = levels[0]
        self.levels, self.fine, self.out = levels, fine, out
        g, u0 = fine.nodes(g, "g"), None if u0 is None else fine.nodes(u0, "u0")
        if out is not None:
            fine.check_out(out)
            g, u0 = apart(g, out), u0 if u0 is out else apart(u0, out)
        self.g, self.lift, self.removed = fine.pose(g, boundary)
        if not project and self.removed:
            _check_mean(fine, self.g, self.removed)
        self.begun = u0 is not None  # whether there is an iterate to keep
        self.state = fine.start(self.g, u0, lift=self.lift, out=out)
        self.norm = fine.residual_norm(self.state)
        self.scale = fine.scale(self.state) if self.begun else self.norm
        _check_size(fine, self.g, self.lift, self.scale)
        if not every(self.norm < math.inf):
            if not every(fine.largest(fine.solution(self.state)) < math.inf):
                raise not_finite("u0")
            raise ValueError("the residual of u0 overflows; give a smaller first guess, or none")
        if self.begun and fine.singular:
            # Adding takes the mean out of the guess: a large one would cost digits for ever.
            self.state = fine.add(self.state, 0 * u0)
            self.norm = fine.residual_norm(self.state)

    def run(self, cycle: Cycle) -> None:
        """Run one cycle."""
        fine = self.fine
        alone = len(self.levels) == 1 and fine.overwrites
        if self.begun and (cycle.fresh or alone):
            # A fresh visit or a direct solve overwrites the iterate: take A e = r and add e.
            error = run(self.levels, cycle, fine.start(fine.residual(self.state)))
            self.state = fine.add(self.state, fine.finish(error))
        else:
            self.state = run(self.levels, cycle, self.state)
        self.begun = True
        self.norm = fine.residual_norm(self.state)

    def copy(self) -> Any:
        """The iterate, border values put on; the state goes on changing."""
        u = self.fine.solution(self.state)
        return u + 0.0 if self.lift is None else self.fine.plus(u, self.lift)

    def finish(self) -> Any:
        """The iterate, border values put on; there is no state any more, nor memory for it."""
        u = self.fine.finish(self.state, lift=self.lift, out=self.out)
        self.state = None
        return u

    def roundoff(self) -> Any:
        """The norms of residuals that rounding may make, one or one for each of a batch."""
        u = self.fine.solution(self.state)
        rounding = self.fine.roundoff(u)
        if self.lift is not None:
            rounding = rounding + self.fine.roundoff(self.fine.plus(u, self.lift))
        return rounding


def _check_mean(fine: Any, g: Any, removed: float) -> None:
    """Refuse a right-hand side from which more than rounding errors was taken."""
    if abs(removed) > _ROUNDED * fine.eps * float(fine.largest(g).max()):
        raise ValueError(
            f"g, with the fluxes given on the sides, has mean {removed:.3g}, and only one "
            "of mean zero has a solution; take it out, or pass project=True"
        )


def _check_size(fine: Any, g: Any, lift: Any, scale: Any) -> None:
    """Refuse a right-hand side that is not finite, or too small or large for what comes."""
    # Residuals reduced by rtol must have squares in float64, and u must have digits in float32.
    smallest = 1e-140 if fine.eps < 1e-10 else 1e-30
    if every((scale >= smallest) & (scale <= fine.largest_safe)):
        return
    if not every(fine.largest(g) < math.inf):
        raise not_finite("g")
    most = fine.largest(g if lift is None else fine.without(g, lift))
    fits = (scale < math.inf) & (most <= fine.largest_safe) & ((scale >= smallest) | (most == 0))
    if not every(fits):
        raise ValueError(
            "the numbers in g, or their squares, over- or underflow; scale g (and the border "
            "values) to about 1, and u back afterwards"
        )
