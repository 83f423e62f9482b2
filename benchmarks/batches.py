"""Many right-hand sides: one after the other on NumPy arrays, all at once on torch.

    python -m benchmarks.batches

Random right-hand sides are solved to 1e-8 with levels at hand: a single one, a batch of them, and
the same batch stacked on torch, on one thread each. Prints milliseconds of the process for each
member as a Markdown table: the smallest of all rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

import mgcore
import mgnet
from benchmarks.report import markdown
from mgcore import threads

PROBLEMS = [((n, n), sides) for sides in ("dirichlet", "neumann") for n in (65, 257)]


def milliseconds(call: Callable[[], Any], rounds: int) -> float:
    """The smallest of all rounds but the first."""
    found = []
    for _ in range(rounds + 1):
        began = time.process_time()
        call()
        found.append(time.process_time() - began)
    return 1e3 * min(found[1:])


def measure(shape: tuple[int, ...], sides: str, batch: int, rounds: int) -> list[float]:
    """Milliseconds a member: alone, in a batch, in a batch on torch."""
    g = np.random.default_rng(0).standard_normal((batch, *shape))
    u, ours = np.empty_like(g), mgcore.poisson_levels(shape, sides=sides)
    theirs, tensor = mgnet.poisson_levels(shape, sides=sides), torch.from_numpy(g)
    with threads.limited(1):
        alone = milliseconds(partial(mgcore.solve, ours, g[0], out=u[0]), rounds)
        together = milliseconds(partial(mgcore.solve, ours, g, out=u), rounds)
        stacked = milliseconds(partial(mgcore.solve, theirs, tensor), rounds)
    return [alone, together / batch, stacked / batch]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=16, help="right-hand sides (16)")
    parser.add_argument("--rounds", type=int, default=8, help="solves of each kind (8)")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows = []
    for shape, sides in PROBLEMS:
        cells = [f"{t:.3f}" for t in measure(shape, sides, args.batch, args.rounds)]
        rows.append([" x ".join(map(str, shape)), sides, *cells])
    print(markdown(["nodes", "sides", "alone", "in a batch", "on torch"], rows))


if __name__ == "__main__":
    main()
