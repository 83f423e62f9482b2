"""What benchmarks report: goals, and Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Goal", "markdown", "table"]


class Goal(NamedTuple):
    """What was asked for, and what was reached."""

    measure: str
    wanted: str
    reached: str
    met: bool


def table(rows: Sequence[NamedTuple]) -> str:
    """Tuples as a Markdown table."""
    cells = [[f"{x:.3g}" if isinstance(x, float) else str(x) for x in row] for row in rows]
    cells = [[{"True": "yes", "False": "no"}.get(x, x) for x in line] for line in cells]
    return markdown([name.replace("_", " ") for name in rows[0]._fields], cells)


def markdown(head: list[str], lines: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])
