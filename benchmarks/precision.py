"""Errors of float32 solutions in units of rounding, beside what their residuals say.

    python -m benchmarks.precision

prints a Markdown table: the error of `solve_poisson` against the direct solution u_h of the
difference equations in float64, ||u - u_h||_2 / (eps ||u_h||_2), on grids whose condition number
times eps is up to 3,000.
"""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import numpy as np

from benchmarks.direct import direct_solution
from mgcore import Grid, solve_poisson

__all__ = ["Row", "measure"]

#: Shapes and extents, square and stretched.
GRIDS: tuple[tuple[tuple[int, ...], tuple[float, ...]], ...] = (
    ((129, 129), (1.0, 1.0)),
    ((2049, 2049), (1.0, 1.0)),
    ((2049, 2049), (1.0, 1.128)),
    ((3, 8193), (1.0, 1.0)),
    ((3, 131073), (1.0, 1.0)),
    ((257, 257), (1e4, 1.0)),
    ((2**18 + 1,), (1.0,)),
    ((129, 129, 129), (1.0, 1.0, 1.0)),
    ((33, 65, 129), (1.0, 10.0, 100.0)),
)


class Row(NamedTuple):
    """One solve: how it ended, its relative residual, and its error in units of eps."""

    status: str
    residual: float
    error: float


def measure(shape: tuple[int, ...], extent: tuple[float, ...]) -> Row:
    """Solve for 1 + a product of sines, and compare with the direct solution."""
    x = [t / t.max() for t in Grid(shape, extent).coordinates()]
    g = (1 + reduce(np.multiply, [np.sin(3 * t) for t in x])).astype(np.float32)
    solution = solve_poisson(g, ndim=len(shape), extent=extent, rtol=1e-6)
    u_h = direct_solution(g, extent)
    error = np.linalg.norm(solution.u - u_h) / np.linalg.norm(u_h)
    residual = solution.residuals[-1] / solution.residuals[0]
    return Row(solution.status.name, residual, float(error / np.finfo(np.float32).eps))


def main() -> None:
    """Print the table."""
    print("| nodes | box | eps x condition number | ends as | residual | error / eps |")
    print("|---|---|---|---|---|---|")
    for shape, extent in GRIDS:
        condition = Grid(shape, extent).condition * np.finfo(np.float32).eps
        row = measure(shape, extent)
        print(
            f"| {' x '.join(map(str, shape))} | {' x '.join(f'{e:g}' for e in extent)} "
            f"| {condition:.1e} | {row.status} | {row.residual:.1e} | {row.error:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
