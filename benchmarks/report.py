"""What benchmarks report: goals, and Markdown tables."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["Goal", "markdown", "nodes", "publish", "table", "write"]


class Goal(NamedTuple):
    """A goal, and what was reached."""

    measure: str
    wanted: str
    reached: str
    met: bool


def nodes(shape: Sequence[int]) -> str:
    """The numbers of nodes of a grid: 65 x 33, or 65² where they are equal."""
    same = len(set(shape)) == 1 and len(shape) > 1
    return f"{shape[0]}{' ²³'[len(shape) - 1]}" if same else " x ".join(map(str, shape))


def table(rows: Sequence[NamedTuple]) -> str:
    """Tuples as a Markdown table."""
    cells = [[f"{x:.3g}" if isinstance(x, float) else str(x) for x in row] for row in rows]
    cells = [[{"True": "yes", "False": "no"}.get(x, x) for x in line] for line in cells]
    return markdown([name.replace("_", " ") for name in rows[0]._fields], cells)


def markdown(head: list[str], lines: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])


def write(name: str, report: str, rows: Sequence[NamedTuple]) -> Path:
    """Write results/NAME.md and results/NAME.csv; returns the path for a figure beside them."""
    for folder in (Path("results"), Path("figures")):
        folder.mkdir(exist_ok=True)
    Path(f"results/{name}.md").write_text(report)
    with Path(f"results/{name}.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(rows[0]._fields)
        writer.writerows(rows)
    return Path(f"figures/{name}.png")


def publish(name: str, measured: str, rows: Sequence[NamedTuple], goals: Sequence[Goal]) -> Path:
    """Print what was measured and the goals, and write it as `write` does."""
    report = f"{measured}\n"
    if goals:
        report += f"\nGoals, and what this run reached:\n\n{table(goals)}\n"
    print(report)
    return write(name, report, rows)
