"""Convergence factors of every smoother and cycle, and what one full multigrid is worth.

    python -m benchmarks.convergence

Prints the three tables of docs/results.md as Markdown.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import mgcore
from benchmarks.direct import direct_solution
from mgcore import Chebyshev, Grid, v_cycle, w_cycle
from mgcore.convergence import asymptotic_factor
from mgcore.problems import exponential, sines

SMOOTHERS = ("redblack", "sor", "jacobi", Chebyshev(2), Chebyshev(3))
FACTOR_GRIDS = ((129, 129), (33, 33, 33))
RATIO_GRIDS = {2: (65, 129, 257, 513), 3: (33, 65, 129)}
WEAK = (1.0, 1e-1, 1e-2, 1e-4, 1e-8)  # how much weaker the other axes couple


def factors(shape: tuple[int, ...], smoother: Any) -> list[float]:
    """Asymptotic factors of V(1,1), V(2,1), V(2,2) and W(1,1), with grids down to one unknown."""
    levels = mgcore.poisson_levels(shape, smoother=smoother, coarsest=1)
    n = len(levels)
    cycles = (v_cycle(n), v_cycle(n, 2, 1), v_cycle(n, 2, 2), w_cycle(n))
    return [asymptotic_factor(levels, cycle) for cycle in cycles]


def strong_axis(shape: tuple[int, ...], weak: float, smoother: str) -> float:
    """The factor of V(1,1) where the other axes couple `weak` times as strongly as the first."""
    coefficient = [1.0, *[weak] * (len(shape) - 1)]
    levels = mgcore.poisson_levels(shape, coefficient=coefficient, smoother=smoother, coarsest=81)
    return asymptotic_factor(levels, v_cycle(len(levels)))


def full_multigrid_ratio(u: np.ndarray, g: np.ndarray, coarsest: int | None = None) -> float:
    """max|u_FMG - u_h| / max|u_h - u| of one full multigrid, V(1,1) with SOR 1.15."""
    u_h = direct_solution(g, border=u)
    levels = mgcore.poisson_levels(g.shape, coarsest=coarsest)
    once = mgcore.solve(levels, g, boundary=u, maxiter=1, rtol=0).u
    return float(abs(once - u_h).max() / abs(u_h - u).max())


def main() -> None:
    """Print the tables."""
    print(
        "| smoother | 2D, 127\u00b2: V(1,1) / V(2,1) / V(2,2) / W(1,1) | 3D, 31\u00b3: the same |"
    )
    print("|---|---|---|")
    for smoother in SMOOTHERS:
        cells = [" / ".join(f"{f:.3f}" for f in factors(s, smoother)) for s in FACTOR_GRIDS]
        print(f"| {mgcore.smoothers.smoother(smoother)} | {' | '.join(cells)} |", flush=True)
    print("\n| | nodes a side | product of sines | exponential, non-zero border |")
    print("|---|---|---|---|")
    for coarsest, below in ((None, ""), (1, ", grids down to one unknown")):
        for ndim, sizes in RATIO_GRIDS.items():
            cells = [" / ".join(map(str, sizes))]
            for solution in (sines, exponential):
                grids = [Grid((n,) * ndim).coordinates() for n in sizes]
                ratios = (full_multigrid_ratio(*solution(x), coarsest) for x in grids)
                cells.append(" / ".join(f"{ratio:.4f}" for ratio in ratios))
            print(f"| {ndim}D{below} | {' | '.join(cells)} |", flush=True)
    print(f"\n| V(1,1), the others couple by | {' | '.join(f'{weak:g}' for weak in WEAK)} |")
    print(f"|---|{'---|' * len(WEAK)}")
    for shape in FACTOR_GRIDS:
        for smoother in ("sor", "zebra"):
            found = (strong_axis(shape, weak, smoother) for weak in WEAK)
            name = mgcore.smoothers.smoother(smoother)
            cells = [f"{len(shape)}D, {name}", *(f"{factor:.3f}" for factor in found)]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
