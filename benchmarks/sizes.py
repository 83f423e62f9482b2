"""Any number of nodes: what a V(1,1) costs per unknown beside that of 2^s + 1 nodes.

    python -m benchmarks.sizes

Each grid of another size takes turns with the next smaller and the next larger one of 2^s + 1 nodes
along each axis, Dirichlet sides on all. Writes results/sizes.csv and results/sizes.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import mgcore
from benchmarks.operators import one_cycle
from benchmarks.poisson import machine, race
from benchmarks.report import Goal, markdown, nodes, publish

SHAPES = ((1000,) * 2, (1500,) * 2, (600, 400), (100,) * 3, (150,) * 3, (300,) * 3)


class Row(NamedTuple):
    """One grid."""

    nodes: str
    v_cycle_ns: float


def neighbours(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The grids of 2^s + 1 nodes along each axis that its longest axis lies between."""
    below = 2 ** ((max(shape) - 2).bit_length() - 1) + 1
    return [(n,) * len(shape) for n in (below, 2 * below - 1)]


def cycle_and_size(shape: tuple[int, ...]) -> tuple[Callable[[], Any], int]:
    """A V(1,1), and the unknowns."""
    levels = mgcore.poisson_levels(shape)
    g = np.random.default_rng(0).standard_normal(shape)
    return one_cycle(levels, g), levels[0].size


def main(argv: Sequence[str] | None = None) -> list[Goal]:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each race (9)")
    rounds = parser.parse_args(argv).rounds
    rows, goals = [], []
    for shape in SHAPES:
        beside = {nodes(s): cycle_and_size(s) for s in (shape, *neighbours(shape))}
        times = race(
            {name: cycle for name, (cycle, _) in beside.items()},
            {name: size for name, (_, size) in beside.items()}, rounds,
        )  # fmt: skip
        rows += [Row(name, t) for name, t in times.items()]
        (name, ours), *others = times.items()
        worst = ours / max(t for _, t in others)
        measure = f"{name}: V(1,1) per unknown, times its slower neighbour's"
        goals.append(Goal(measure, "at most 1.3 x", f"{worst:.2f} x", worst <= 1.3))
    lines = [[r.nodes, f"{r.v_cycle_ns:.2f}"] for r in rows]
    found = markdown(["nodes", "ns"], lines)
    publish("sizes", f"V(1,1), nanoseconds per unknown, {machine()}:\n\n{found}", rows, goals)
    return goals


if __name__ == "__main__":
    main()
