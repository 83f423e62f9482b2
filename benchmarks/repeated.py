"""Solves on levels that are there: what one costs beside its cycles, and small ones.

    python -m benchmarks.repeated

A time loop solves again and again on one hierarchy, `mgcore.solve(levels, g, out=u)`. One full
multigrid by that call, tolerances aside, is timed beside the cycle alone; and small problems from
random g to 1e-8. Calls take turns; the driver, norms, checks and the memory of a solve are what
makes the difference. Writes results/repeated.csv and results/repeated.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import mgcore
from benchmarks.poisson import full_multigrid, machine, race
from benchmarks.report import Goal, markdown, nodes, publish

SHAPES = ((2049,) * 2, (129,) * 3)
SMALL = {(65,) * 2: 0.3, (257,) * 2: 1.2}  # nodes, and goals in milliseconds


class Row(NamedTuple):
    """One call on one grid."""

    nodes: str
    call: str
    milliseconds: float


def calls(shape: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    """The cycle alone, on memory that is set up once, and the solve of the same cycle."""
    levels, u = mgcore.poisson_levels(shape), np.zeros(shape)
    g = np.random.default_rng(0).standard_normal(shape)
    once = partial(mgcore.solve, levels, g, out=u, rtol=0, maxiter=1)
    return {"the cycle": full_multigrid(shape, g), "solve, one cycle": once}


def small(shape: tuple[int, ...]) -> dict[str, Callable[[], Any]]:
    """A solve to 1e-8 with levels at hand."""
    levels = mgcore.poisson_levels(shape)
    g, u = np.random.default_rng(0).standard_normal(shape), np.zeros(shape)
    return {"solve to 1e-8": partial(mgcore.solve, levels, g, out=u, rtol=1e-8)}


def main(argv: Sequence[str] | None = None) -> list[Goal]:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each race (15)")
    rounds = parser.parse_args(argv).rounds
    rows, goals = [], []
    for shape in (*SHAPES, *SMALL):
        times = race(small(shape) if shape in SMALL else calls(shape), 1, rounds)
        found = {name: 1e-6 * ns for name, ns in times.items()}
        rows += [Row(nodes(shape), name, t) for name, t in found.items()]
        if shape in SMALL:
            what, most = "solve to 1e-8", SMALL[shape]
            t, unit = found[what], "ms"
        else:
            what, most = "one full multigrid by solve, times the cycle alone", 1.1
            t, unit = found["solve, one cycle"] / found["the cycle"], "x"
        wanted, reached = f"at most {most:g} {unit}", f"{t:.2f} {unit}"
        goals.append(Goal(f"{nodes(shape)}: {what}", wanted, reached, t <= most))
    lines = [[r.nodes, r.call, f"{r.milliseconds:.3g}"] for r in rows]
    measured = f"Milliseconds, {machine()}:\n\n{markdown(['nodes', 'call', 'ms'], lines)}"
    publish("repeated", measured, rows, goals)
    return goals


if __name__ == "__main__":
    main()
