"""What a run writes for people: a log, the curves, and what it was computed with."""

from __future__ import annotations

import csv
import importlib.util
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mgnet.folder import atomic
from mgnet.machine import describe_machine

__all__ = ["CURVE", "LOG", "RUN", "Epoch", "note", "read_run", "write_curve",
           "write_log", "write_run"]  # fmt: skip

LOG, CURVE, RUN = "log.csv", "curve.png", "run.json"


@dataclass(frozen=True)
class Epoch:
    """A row of the log.

    Attributes
    ----------
    epoch : int
        Counted from 1.
    train, test : dict
        Means over the epoch's training examples, changed by chance as they are, and over the test
        examples behind it: "loss", and "accuracy" in [0, 1] or what else the task measures.
    seconds : float
        Of training alone.
    examples_per_second : float
    watched : dict
        Trained numbers that say something by themselves, such as the support of a hat.
    """

    epoch: int
    train: dict[str, float]
    test: dict[str, float]
    seconds: float
    examples_per_second: float
    watched: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [f"epoch {self.epoch:3d}", f"loss {self.train['loss']:.4f}"]
        if "accuracy" in self.test:
            parts += [f"train {self.train['accuracy']:.2%}", f"test {self.test['accuracy']:.2%}"]
        else:
            parts += [f"test {name} {value:.4g}" for name, value in self.test.items()]
        return "  ".join([*parts, f"{self.examples_per_second:,.0f} examples/s"])

    def flat(self) -> dict[str, float]:
        """Names of the log's columns and their numbers."""
        return {
            "epoch": self.epoch,
            **{f"train_{name}": value for name, value in self.train.items()},
            **{f"test_{name}": value for name, value in self.test.items()},
            "seconds": self.seconds,
            "examples_per_second": self.examples_per_second,
            **self.watched,
        }


def write_log(folder: Path, history: Sequence[Epoch], row: Epoch) -> None:
    """The history as a table; its header alone, that of `row`, while it is empty."""
    with atomic(folder / LOG) as path, path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, row.flat())
        writer.writeheader()
        writer.writerows(row.flat() for row in history)


def write_curve(folder: Path, history: Sequence[Epoch]) -> None:
    """The learning curve as a picture, where matplotlib is installed."""
    if not history or importlib.util.find_spec("matplotlib") is None:
        return
    from matplotlib.figure import Figure  # not pyplot: a run has no windows and leaves none

    from mgnet.plotting import plot_history

    figure = Figure(figsize=(6, 4), layout="constrained")
    plot_history(figure.subplots(), history)
    with atomic(folder / CURVE) as path:
        figure.savefig(path, format="png", dpi=120)


def write_run(folder: Path, about: Mapping[str, Any], device: torch.device) -> None:
    """What is computed and, for each time that the run was begun or went on, with what.

    Parameters
    ----------
    folder : Path
    about : mapping
        Configuration of the run, in plain values.
    device : torch.device
    """
    now = {"started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **describe_machine(device)}
    _write_run(folder, {**about, "sessions": [*read_run(folder).get("sessions", []), now]})


def note(folder: Path, values: Mapping[str, Any]) -> None:
    """Write values to what `write_run` has written."""
    _write_run(folder, {**read_run(folder), **values})


def _write_run(folder: Path, content: Mapping[str, Any]) -> None:
    with atomic(folder / RUN) as path:
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_run(folder: Path) -> dict[str, Any]:
    """What `write_run` has written; nothing where it has not, or somebody else has."""
    try:
        content = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
