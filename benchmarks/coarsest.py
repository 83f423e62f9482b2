"""Where coarsening pays to end: small solves with levels at hand, for several coarsest grids.

    python -m benchmarks.coarsest

Each solves a random right-hand side to 1e-8 into an array that is there; sizes of the coarsest grid
take turns. Prints milliseconds of the process, so that others on the machine do not count much,
as a Markdown table: the smallest of all rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import partial

import numpy as np

import mgcore
from benchmarks.report import markdown
from mgcore import threads
from mgcore.diffusion import Medium
from mgcore.inverse import most_unknowns

SHAPES = ((1025,), (65, 65), (257, 257), (600, 400), (33,) * 3, (65,) * 3)
SIZES = (1, 64, 300, 1100, 5000)


def measure(shape: tuple[int, ...], sizes: Sequence[int], rounds: int) -> list[float]:
    """Milliseconds of a solve with each of the coarsest grids; NaN where it is the only one."""
    g, u = np.random.default_rng(0).standard_normal(shape), np.empty(shape)
    chains = [mgcore.poisson_levels(shape, coarsest=size) for size in sizes]
    solves = [partial(mgcore.solve, levels, g, out=u) for levels in chains]
    found: list[list[float]] = [[] for _ in sizes]
    with threads.limited(1):  # the time of a process is that of all its threads
        for number in range(rounds + 1):
            for solve, times in zip(solves, found, strict=True):
                began = time.process_time()
                solve()
                if number:
                    times.append(1e3 * (time.process_time() - began))
    return [
        min(times) if len(levels) > 1 else float("nan")
        for times, levels in zip(found, chains, strict=True)
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=100, help="solves of each kind (100)")
    args = parser.parse_args(argv)
    rows = []
    for shape in SHAPES:
        default = most_unknowns(Medium.given(mgcore.Grid(shape)), len(shape))
        cells = [f"{t:.3f}" for t in measure(shape, (*SIZES, default), args.rounds)]
        rows.append([" x ".join(map(str, shape)), *cells])
    print(markdown(["nodes", *(f"at most {size}" for size in SIZES), "default"], rows))


if __name__ == "__main__":
    main()
