"""The table of all networks and baselines, with what is published and what we have measured."""

from __future__ import annotations

import functools
import math

import torch

from mgnet.baselines import BASELINES, Baseline
from mgnet.cost import count_parameters, multiply_adds
from mgnet.zoo import LECTURE_SETS, ZOO, Network, Result

HEADER = (
    "name", "data", "parameters", "published", "multiply-adds", "accuracy %", "ours %", "structure",
    "note",
)  # fmt: skip

RIGHT = ("parameters", "multiply-adds", "accuracy %", "ours %")

LEGEND = """\
parameters     of what mgnet.build(name) makes, with a head for the classes of the data set;
               models of scikit-learn are in mgnet.baselines
published      the same as printed; the lecture rounds some figures and cuts others off
multiply-adds  of one picture (mgnet.cost.multiply_adds)
-              depends on the examples: a kernel SVM keeps those it needs
accuracy %     on test examples, as published
ours %         the same as we have measured it, in the last epoch, by the commands below
Not listed, because nothing public says how they are built: MgNet-small 26.1M, MgNet 39.3M,
MgNet-CMT-XS 17.9M and MgNet-CMT 30.1M on ImageNet."""


@functools.cache
def cost(name: str, data: str) -> tuple[int, int]:
    """Parameters and multiply-adds of a network on a data set, without memory for either."""
    model = _without_memory(name, data)
    return count_parameters(model), multiply_adds(model, LECTURE_SETS[data].picture)


def _without_memory(name: str, data: str) -> torch.nn.Module:
    data_set = LECTURE_SETS[data]
    with torch.device("meta"):
        return ZOO[name].build_for(data_set.picture, data_set.classes)


def published_sizes(data: str) -> dict[str, list[tuple[int, float]]]:
    """What is published about accuracy and size on one data set, for :func:`mgnet.plotting`.

    Parameters
    ----------
    data : str
        One of :data:`mgnet.zoo.LECTURE_SETS`.

    Returns
    -------
    dict
        Family of networks to pairs (parameters, accuracy in [0, 1]), parameters as we count them.
        Left out is what has no accuracy, or a published count that is not that of our network.
    """
    found: dict[str, list[tuple[int, float]]] = {}
    for entry in ZOO.values():
        for result in entry.results:
            if result.data == data and result.accuracy and result.parameters:
                parameters = count_parameters(_without_memory(entry.name, data))
                if result.agrees(parameters):
                    pairs = found.setdefault(entry.family, [])
                    pairs.append((parameters, float(result.accuracy) / 100))
    return found


def row(entry: Network, result: Result) -> tuple[str, ...]:
    """One line of the table, a string for each column."""
    parameters, operations = cost(entry.name, result.data)
    published = result.parameters
    if not result.agrees(parameters):
        published += " (differs)"
    return (
        entry.name, result.data, f"{parameters:,}", published, _short(operations),
        result.accuracy, result.ours, entry.structure, result.note,
    )  # fmt: skip


def baseline_row(entry: Baseline, result: Result) -> tuple[str, ...]:
    """The same for a model of scikit-learn."""
    data_set = LECTURE_SETS[result.data]
    features = math.prod(data_set.picture)
    parameters = entry.parameters(features, data_set.classes)
    size, operations = "-", "-"
    if parameters is not None:
        size, operations = f"{parameters:,}", _short(features * data_set.classes)
    note = f"scikit-learn; {result.note}" if result.note else "scikit-learn"
    return (
        entry.name, result.data, size, "", operations, result.accuracy, result.ours,
        entry.structure, note,
    )  # fmt: skip


def _short(n: int) -> str:
    """Three digits and K, M or G for thousands, millions or billions."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if n >= 0.9995 * unit:  # which three digits round up to one
            return f"{n / unit:.3g} {letter}"
    return str(n)


def table() -> str:
    """All networks and baselines, and all that is published about them."""
    rows = [baseline_row(entry, result) for entry in BASELINES.values() for result in entry.results]
    rows += [
        row(entry, result)
        for entry in ZOO.values()
        for result in entry.results or (Result(entry.data),)
    ]
    widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if title in RIGHT else cell.ljust(width)
            for title, cell, width in zip(HEADER, cells, widths, strict=True)
        ).rstrip()
        for cells in (HEADER, *rows)
    ]
    return "\n".join([*lines, "", LEGEND, "", *commands()])


def commands() -> list[str]:
    """How our own numbers come about: each command, and below it the names it has trained."""
    names: dict[str, list[str]] = {}
    entries: list[Baseline | Network] = [*BASELINES.values(), *ZOO.values()]
    for entry in entries:
        for result in entry.results:
            if result.ours:
                names.setdefault(result.command, []).append(entry.name)
    lines = ["Ours, on the machines of docs/results.md:"]
    for command, trained in names.items():
        lines += [f"  {command}", f"    {', '.join(trained)}"]
    return lines
