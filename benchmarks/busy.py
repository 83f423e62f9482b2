"""Solves and training steps beside other processes that want the same cores.

    python -m benchmarks.busy

starts as many processes that never rest as there are cores, times solves on one and on all threads
beside them and without them, and steps of a small MgNet with the settings that the documentation
names. It prints two Markdown tables: milliseconds, median / worst.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import mgcore

__all__ = ["busy_cores", "seconds"]

SHAPES = ((513, 513), (1025, 1025), (2049, 2049), (65, 65, 65))

_STEPS = """
import sys, torch
from benchmarks.busy import seconds
from mgnet import MgNet
torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)
model = MgNet(3, 10, channels=(16, 32), steps=(1, 1))
optimizer = torch.optim.SGD(model.parameters(), 0.01)
pictures, labels = torch.randn(64, 3, 32, 32), torch.randint(10, (64,))
def step():
    torch.nn.functional.cross_entropy(model(pictures), labels).backward()
    optimizer.step()
    optimizer.zero_grad()
print(*seconds(step, 12))
"""


@contextmanager
def busy_cores(count: int) -> Iterator[list[subprocess.Popen]]:
    """`count` processes that never rest, while the block runs."""
    crowd = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(1.0)
        yield crowd
    finally:
        for process in crowd:
            process.kill()
            process.wait()


def seconds(call: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Median and longest time of `call`, after one that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return float(np.median(times)), max(times)


def solve_times(shape: tuple[int, ...], threads: int) -> tuple[float, float]:
    """Of default solves with a random right-hand side."""
    g = np.random.default_rng(0).standard_normal(shape)
    repeats = max(12, min(100, 10_000_000 // g.size))
    return seconds(lambda: mgcore.solve_poisson(g, threads=threads), repeats)


def step_times(threads: int, **environment: str) -> tuple[float, float]:
    """Of training steps, in a process of their own: torch reads the environment at its start."""
    command = [sys.executable, "-c", _STEPS, str(threads)]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    median, worst = map(float, done.stdout.split())
    return median, worst


def main() -> None:
    """Print both tables."""
    cores = mgcore.threads.count()
    loads = {"idle": 0, f"{cores} busy processes": cores}
    table: dict[Any, list[str]] = {}
    steps: dict[str, list[str]] = {}
    for count in loads.values():
        with busy_cores(count):
            for shape in SHAPES:
                for threads in sorted({1, cores}):
                    cell = "{:.1f} / {:.1f}".format(*(1e3 * t for t in solve_times(shape, threads)))
                    table.setdefault((shape, threads), []).append(cell)
            for name, times in {
                "1 thread": step_times(1),
                f"{cores} threads": step_times(cores),
                f"{cores} threads, OMP_WAIT_POLICY=passive": step_times(
                    cores, OMP_WAIT_POLICY="passive"
                ),
            }.items():
                steps.setdefault(name, []).append(
                    "{:.0f} / {:.0f}".format(*(1e3 * t for t in times))
                )
    print(f"| solve_poisson, ms | threads | {' | '.join(loads)} |")
    print("|---|---|---|---|")
    for (shape, threads), cells in table.items():
        print(f"| {' x '.join(map(str, shape))} | {threads} | {' | '.join(cells)} |")
    print(f"\n| training step, ms | {' | '.join(loads)} |")
    print("|---|---|---|")
    for name, cells in steps.items():
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
