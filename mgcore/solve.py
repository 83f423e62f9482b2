"""Repeat a cycle until the residual is small: one loop for every backend."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mgcore.cycle import Cycle, cycle_pair, run
from mgcore.gate import apart, check_callback, not_finite
from mgcore.grid import Grid
from mgcore.rounding import refine
from mgcore.verdict import Limits, Status, Verdict, every, largest

__all__ = [
    "ConvergenceError",
    "ConvergenceWarning",
    "Problem",
    "Solution",
    "iterate",
    "print_progress",
    "report",
    "solve",
    "table_row",
]


@dataclass(frozen=True, eq=False, repr=False)
class Solution:
    """What a solve returns; `print` shows its residuals, `plot` draws u.

    Solutions are compared by identity: `==` of their arrays would be an array.

    Attributes
    ----------
    u : array
        Node values, border included, in the backend's kind (NumPy or torch).
    residuals : tuple of float
        ||g - A u||_2 before the first cycle and after each; for a batch the largest. The last one
        is that of `u` as it is here, border values put on and rounded.
    status : Status
        How it ended, an int.
    success : bool
        Whether the tolerance, the limit of the dtype, or the cycles asked for were reached.
    message : str
        The same in words, with what to do.
    nit : int
        Cycles run, but for those that looked for rounding errors at the end.
    work_units : float
        Smoothing steps of these cycles, in units of one on the finest grid.
    cycle : Cycle
        The first cycle that was run (its `print` is a diagram).
    grid : Grid
        The nodes at which u is given, and their coordinates.
    removed : float
        The constant that was taken out of g, fluxes in it. Where no side holds u and there is no
        reaction, only a g of mean zero has a solution.
    """

    u: Any
    residuals: tuple[float, ...]
    status: Status
    work_units: float
    cycle: Cycle
    grid: Grid
    removed: float = 0.0

    @property
    def success(self) -> bool:
        """Whether the tolerance, the limit of the dtype, or the cycles asked for were reached."""
        return self.status.success

    @property
    def message(self) -> str:
        """How it ended, in words."""
        return self.status.message

    @property
    def nit(self) -> int:
        """Cycles run."""
        return len(self.residuals) - 1

    @property
    def factors(self) -> tuple[float, ...]:
        """Reduction of the residual by each cycle."""
        pairs = zip(self.residuals, self.residuals[1:], strict=False)
        return tuple(new / old if old else 0.0 for old, new in pairs)

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Draw u by :func:`mgcore.plotting.plot_solution` and return the axes.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            New ones by default.
        **options
            For matplotlib's `plot` in 1D, `imshow` in 2D and 3D.
        """
        from mgcore.plotting import plot_solution  # and with it matplotlib

        return plot_solution(ax, self, **options)

    def __repr__(self) -> str:
        return (
            f"<Solution: {self.status.name}, {_count(self.nit)}, "
            f"residual {self.residuals[-1]:.2e}, u {tuple(self.u.shape)}>"
        )

    @property
    def summary(self) -> str:
        """How it ended and what it took, a line."""
        return f"{self.message} ({_count(self.nit)}, {self.work_units:.1f} work units)"

    def __str__(self) -> str:
        rows = [table_row(k, self.residuals) for k in range(self.nit + 1)]
        return "\n".join([self.summary, "cycle     residual   factor", *rows])


def table_row(cycle: int, residuals: Sequence[float]) -> str:
    """The row of the table of residuals for one cycle."""
    row = f"{cycle:5d}  {residuals[cycle]:.5e}"
    if cycle == 0:
        return row
    old = residuals[cycle - 1]
    return f"{row}  {residuals[cycle] / old if old else 0.0:.2e}"


class ConvergenceWarning(UserWarning):
    """A solve ended without success; the message says how, and what to do."""


class ConvergenceError(RuntimeError):
    """The same as an error, where ``throw=True`` asks for one.

    Attributes
    ----------
    solution : Solution
        As far as it got.
    """

    def __init__(self, solution: Solution):
        super().__init__(solution)
        self.solution = solution

    def __str__(self) -> str:
        return _complaint(self.solution)


def report(solution: Solution, throw: bool = False) -> Solution:
    """The same solution; a warning at the caller's caller, or an error, where it is a failure."""
    if not solution.success and solution.status is not Status.CALLBACK:
        if throw:
            raise ConvergenceError(solution)
        warnings.warn(_complaint(solution), ConvergenceWarning, stacklevel=3)
    return solution


def _complaint(solution: Solution) -> str:
    first, last = solution.residuals[0], solution.residuals[-1]
    return f"{solution.message} (residual {first:.2e} -> {last:.2e} in {_count(solution.nit)})"


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
        Right-hand side at the nodes; values on the border are ignored. Levels on torch take a
        batch, ``(*batch, *nodes)``.
    u0 : array_like, optional
        First guess, of the shape of `g`.
    boundary : float, pair, array_like or callable
        Values of u on the border: a number, in 1D a pair of them, node values whose border is
        used, or a function of the coordinates.
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
      smallest eigenvalue of A.
    - ROUNDOFF: ||u - u_h||_2 <= 32 eps ||u||_2, eps that of the dtype (1.2e-7 in float32), however
      fine the grid. The residual may be far above the tolerance even so: rounding u alone makes one
      of up to eps ||A|| ||u||, which is larger than ||b|| where eps times the condition number is
      above 1. It is rough, and so A^-1 makes next to nothing of it.
    """
    callback = print_progress(callback) if progress else callback
    how: Any = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "callback": callback}
    how |= {"project": project, "out": out}
    return report(iterate(levels, g, u0, boundary=boundary, cycle=cycle, **how), throw)


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
    if not isinstance(levels, Sequence) or not levels or not hasattr(levels[0], "nodes"):
        raise ValueError(f"levels must be made by poisson_levels, got {levels!r}")
    fine = levels[0]
    first, then = cycle_pair(cycle, len(levels), direct=levels[-1].direct)
    limits = Limits.checked(rtol, atol, maxiter, fine.eps)
    problem = Problem(levels, g, u0, boundary, project, out)
    verdict = Verdict(
        limits, problem.scale, problem.norm,
        rounding=fine.eps * fine.condition, lifted=problem.lift is not None,
    )  # fmt: skip
    easy = verdict.status is Status.CONVERGED or (u0 is not None and not limits.fixed)
    if easy and fine.traced(problem.state):
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
    u, norm = problem.finish(), problem.norm
    if verdict.provisional:
        u, norm, exact = refine(levels, problem.g, u, verdict.target)
        verdict.after_refinement(norm, exact)
    elif verdict.delicate:
        norm = fine.misfit(problem.g, u)
    return solution(u if out is None else fine.deliver(u, out), norm, verdict.status)


def _cycles_from_zero(levels: Sequence[Any], cycle: str | Cycle, limits: Limits) -> int:
    """How many cycles a rough right-hand side takes.

    So many are run where gradients are asked for. Those of the iterate go through the cycles: with
    a good first guess, or for b = 0, u needs few of them or none, but du/dg = A^-1 needs them all.
    """
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

    def run(self, cycle: Cycle) -> None:
        """Run one cycle."""
        fine = self.fine
        if cycle.fresh and self.begun:
            # A fresh visit overwrites the iterate: take A e = r instead and add e.
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


def print_progress(
    callback: Callable[[Solution], Any] | None = None,
) -> Callable[[Solution], Any]:
    """A callback that prints a line for each cycle on stderr, and then calls another one."""
    check_callback(callback)

    def show(solution: Solution) -> Any:
        print(
            f"cycle {solution.nit:3d}  residual {solution.residuals[-1]:.3e}"
            f"  factor {solution.factors[-1]:.2e}",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        return callback(solution) if callback is not None else None

    return show


def _count(cycles: int) -> str:
    return f"{cycles} cycle{'s' * (cycles != 1)}"


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
    if every((scale >= smallest) & (scale <= fine.room)):
        return
    if not every(fine.largest(g) < math.inf):
        raise not_finite("g")
    most = fine.largest(g if lift is None else fine.without(g, lift))
    fits = (scale < math.inf) & (most <= fine.room) & ((scale >= smallest) | (most == 0))
    if not every(fits):
        raise ValueError(
            "the numbers in g, or their squares, over- or underflow; scale g (and the border "
            "values) to about 1, and u back afterwards"
        )
