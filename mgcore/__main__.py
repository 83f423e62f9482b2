"""``python -m mgcore``: solves a model problem, and shows levels, cycle and residuals."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

import mgcore
from mgcore.cycle import CYCLES, cycle_pair
from mgcore.problems import PROBLEMS
from mgcore.smoothers import SMOOTHERS
from mgcore.solve import table_row


def main(argv: Sequence[str] | None = None) -> None:
    """Solve what the command line asks for."""
    args = _parser().parse_args(argv)
    try:
        solution = solve(args)
        if args.plot:
            _plot(solution, args.plot)
            print(f"figure: {args.plot}")
    except (mgcore.ConvergenceError, ImportError, MemoryError, OSError, ValueError) as error:
        sys.exit(f"mgcore: {error}")  # one clear sentence, no traceback


def solve(args: argparse.Namespace) -> mgcore.Solution:
    """Solve and print."""
    grid = mgcore.Grid((args.size,) * args.dim)
    exact, g = PROBLEMS[args.problem](grid.coordinates())
    single = "float32" if args.dtype == "float32" else "float64"
    inner = "float32" if args.dtype == "mixed" else single
    levels = mgcore.poisson_levels(grid.shape, smoother=args.smoother, dtype=inner)
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
        g, ndim=args.dim, boundary=0.0 if exact is None else exact, precision=args.dtype,
        smoother=args.smoother, cycle=args.cycle, rtol=args.rtol, maxiter=args.maxiter,
        threads=args.threads, callback=show, throw=True,
    )  # fmt: skip
    if solution.nit == 0:
        print(table_row(0, solution.residuals))
    print(f"\n{solution.summary}")
    if exact is not None:
        error = abs(solution.u - exact).max()
        print(f"largest difference from the solution of the differential equation {error:.2e}")
    return solution


def _plot(solution: mgcore.Solution, path: str) -> None:
    try:
        from mgcore.plotting import new_axes, plot_residuals

        left, right = new_axes(2)
    except ModuleNotFoundError:
        raise ImportError("figures need matplotlib: pip install 'mgcore[plot]'") from None
    solution.plot(left)
    plot_residuals(right, solution)
    left.figure.savefig(path, dpi=120)


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
    add("--rtol", type=float, help="of the residual, relative to g; by default that of the dtype")
    add("--maxiter", type=int, default=50, help="cycles at most")
    add("--threads", type=int, help="by default all cores")
    add("--plot", metavar="FILE", help="draw u and the residuals")
    add("--version", action="version", version=f"mgcore {mgcore.__version__}")
    return parser


if __name__ == "__main__":
    main()
