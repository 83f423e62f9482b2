"""What a solve returns, and how it speaks: a table, warnings, errors, progress."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mgcore.cycle import Cycle
from mgcore.gate import check_callback
from mgcore.grid import Grid
from mgcore.verdict import Status

__all__ = [
    "ConvergenceError",
    "ConvergenceWarning",
    "Solution",
    "print_progress",
    "report",
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
        ||g - A u||_2 before the first cycle and after each; for a batch those of its worst member
        on NumPy, the largest on torch. The last one is that of `u` as it is here, border values put
        on and rounded.
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
