"""``python -m mgcore``: solves a model problem; shows levels, cycle, residuals and pictures."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

import mgcore
from mgcore.cycle import CYCLES, cycle_pair
from mgcore.level import Hierarchy
from mgcore.problems import PROBLEMS
from mgcore.smoothers import SMOOTHERS
from mgcore.solution import table_row
from mgcore.watch import watch

# Cycles that an animation shows: later ones look like those before, a power of ten smaller.
_ANIMATED = 3


def main(argv: Sequence[str] | None = None) -> None:
    """Solve what the command line asks for."""
    args = _parser().parse_args(argv)
    try:
        solution = solve(args)
        if args.plot or args.animate or args.show:
            _draw(args, solution)
    except (mgcore.ConvergenceError, ImportError, MemoryError, OSError, ValueError) as error:
        sys.exit(f"mgcore: {error}")  # one clear sentence, no traceback


def solve(args: argparse.Namespace) -> mgcore.Solution:
    """Solve and print."""
    grid = mgcore.Grid((args.size,) * args.dim)
    boundary, g, u0 = _problem(args, grid)
    levels = _levels(args)
    first, _ = cycle_pair(args.cycle, len(levels))
    print(levels)
    if args.dtype == "mixed":
        print("for corrections of a float64 solution, several cycles each")
    print("\na column for each visit: steps, o direct solve, ^ cubic interpolation")
    print(f"{first}\n\ncycle     residual   factor")

    def show(solution: mgcore.Solution) -> None:
        if solution.nit == 1:
            print(table_row(0, solution.residuals))
        print(table_row(solution.nit, solution.residuals), flush=True)

    solution = mgcore.solve_poisson(
        g, ndim=args.dim, boundary=boundary, u0=u0, precision=args.dtype,
        smoother=args.smoother, cycle=args.cycle, rtol=args.rtol, maxiter=args.maxiter,
        threads=args.threads, callback=show, throw=True,
    )  # fmt: skip
    if solution.nit == 0:
        print(table_row(0, solution.residuals))
    print(f"\n{solution.summary}")
    if args.problem != "noise":
        error = abs(solution.u - boundary).max()
        print(f"largest difference from the solution of the differential equation {error:.2e}")
    return solution


def _problem(args: argparse.Namespace, grid: mgcore.Grid) -> tuple[Any, np.ndarray, Any]:
    """Border values, which hold the solution inside where it is known; g; and a first guess."""
    exact, g = PROBLEMS[args.problem](grid.coordinates())
    rough = np.random.default_rng(0).standard_normal(g.shape) if args.guess == "noise" else None
    return 0.0 if exact is None else exact, g, rough


def _levels(args: argparse.Namespace, coarsest: int | None = None) -> Hierarchy[Any]:
    """The levels whose cycles the solve runs."""
    dtype = "float64" if args.dtype == "float64" else "float32"
    shape = (args.size,) * args.dim
    return mgcore.poisson_levels(shape, smoother=args.smoother, dtype=dtype, coarsest=coarsest)


def _draw(args: argparse.Namespace, solution: mgcore.Solution) -> None:
    """The picture and the animation, into files or windows."""
    try:
        import matplotlib.pyplot as plt

        from mgcore.plotting import animate, new_axes, plot_residuals
    except ModuleNotFoundError:
        raise ImportError("figures need matplotlib: pip install 'mgcore[plot]'") from None
    if args.show and plt.get_backend().lower() == "agg":
        raise ImportError("no window can be opened here; write files by --plot and --animate")
    if args.plot or args.show:
        left, right = new_axes(2)
        solution.plot(left)
        plot_residuals(right, solution)
        if args.plot:
            left.figure.savefig(args.plot, dpi=120)
            print(f"figure: {args.plot}")
    if args.animate or args.show:
        boundary, g, u0 = _problem(args, solution.grid)
        levels = _levels(args, coarsest=1)  # a direct solve earlier is faster, but shows little
        print(f"animated: the same with grids down to one unknown, {len(levels)} levels")
        how: dict[str, Any] = {"u0": u0, "boundary": boundary, "cycle": args.cycle}
        with warnings.catch_warnings(category=mgcore.ConvergenceWarning, action="ignore"):
            needed = mgcore.solve(levels, g, **how, rtol=args.rtol, maxiter=_ANIMATED).nit
        steps = watch(levels, g, **how, cycles=max(needed, 1))
        animation = animate(list(steps))
        if args.animate:
            animation.save(args.animate, writer="pillow", dpi=80)
            print(f"animation: {args.animate}")
    if args.show:
        plt.show()
    plt.close("all")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"mgcore: {message}; --help lists what there is\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m mgcore",
        description="Solve a model problem -Laplace u = g on the unit box by multigrid.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("problem", nargs="?", choices=PROBLEMS, default="sines", help="what u or g is")
    add("--size", type=int, default=257, help="nodes a side")
    add("--dim", type=int, choices=(1, 2, 3), default=2, help="axes of the grid")
    add("--cycle", choices=CYCLES, default="fmg", help="fmg: full multigrid, then V(1,1)")
    add("--smoother", choices=SMOOTHERS, default="sor", help="what smooths on every level")
    add("--dtype", choices=("float64", "float32", "mixed"), default="float64",
        help="mixed: float32 cycles inside float64 residuals")  # fmt: skip
    add("--guess", choices=("zero", "noise"), default="zero",
        help="first guess; that of noise has errors of all frequencies")  # fmt: skip
    add("--rtol", type=float, help="of the residual, relative to g; by default that of the dtype")
    add("--maxiter", type=int, default=50, help="cycles at most")
    add("--threads", type=int, help="by default all cores")
    add("--plot", metavar="FILE", help="draw u and the residuals")
    add("--animate", metavar="FILE", help="draw the error on every level, visit by visit: up to "
        f"{_ANIMATED} cycles, as a GIF or an animated PNG")  # fmt: skip
    add("--show", action="store_true", help="open both in windows")
    add("--version", action="version", version=f"mgcore {mgcore.__version__}")
    return parser


if __name__ == "__main__":
    main()
