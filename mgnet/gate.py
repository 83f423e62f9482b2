"""The checks of what a user gives: numbers, names, switches, devices, pictures, scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Set
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "class_names",
    "device",
    "dimension",
    "factor",
    "is_number",
    "levels_of",
    "number",
    "one_of",
    "part",
    "pictures",
    "positive",
    "scores",
    "sharing",
    "switch",
    "whole",
]


def levels_of(
    channels: int | Sequence[int], steps: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Channels and steps as tuples of positive numbers, one each for every level."""
    steps = tuple(steps) if isinstance(steps, Iterable) else (steps,)
    channels = tuple(channels) if isinstance(channels, Iterable) else (channels,) * len(steps)
    if len(channels) != len(steps):
        raise ValueError(
            f"channels and steps need one number for each level, got {len(channels)} channels "
            f"{channels} and {len(steps)} steps {steps}"
        )
    positive(channels=channels, steps=steps)
    return channels, steps


def class_names(classes: Iterable[str]) -> tuple[str, ...]:
    """Names of the labels 0, 1, ..., one at least; a set has no order, and a text is one name."""
    if isinstance(classes, str | Set) or not isinstance(classes, Iterable):
        raise ValueError(f"classes must be the names of the labels 0, 1, ..., got {classes!r}")
    names = tuple(map(str, classes))
    if not names:
        raise ValueError("classes must name one class at least")
    return names


def is_number(value: Any, kind: type = Real) -> bool:
    """Whether it is a number of that kind, Integral or Real; a truth value is none."""
    return isinstance(value, kind) and not isinstance(value, bool | np.bool_)


def positive(**numbers: int | Sequence[int]) -> None:
    """Whole numbers of 1 or more; a sequence holds at least one."""
    for name, value in numbers.items():
        values = value if isinstance(value, tuple) else (value,)
        if not values or not all(is_number(n, Integral) and int(n) > 0 for n in values):
            raise ValueError(f"{name} must be positive whole numbers, got {values}")


def whole(name: str, value: int, least: int, below: float = math.inf) -> None:
    """A whole number, `least` or more and less than `below`."""
    if not is_number(value, Integral) or not least <= value < below:
        raise ValueError(f"{name} must be a whole number, {_range(least, below)}, got {value!r}")


def number(name: str, value: float, least: float, below: float = math.inf) -> None:
    """A number, `least` or more and less than `below`."""
    if not is_number(value) or not least <= value < below:
        raise ValueError(f"{name} must be a number, {_range(least, below)}, got {value!r}")


def _range(least: float, below: float) -> str:
    return f"{least} or more" + ("" if below == math.inf else f" and below {below}")


def factor(name: str, value: float) -> None:
    """A positive finite number."""
    if not is_number(value) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number, got {value!r}")


def part(name: str, value: float) -> None:
    """A part of something, or all of it."""
    if not is_number(value) or not 0 < value <= 1:
        raise ValueError(f"{name} must be above 0, 1 at most, got {value!r}")


def one_of(what: str, name: str, known: Iterable[str]) -> None:
    """One of the known names."""
    known = list(known)
    if name not in known:
        raise ValueError(f"unknown {what} {name!r}; known are {', '.join(map(repr, known))}")


def dimension(dim: int) -> None:
    """1, 2 or 3 axes of a grid."""
    if not is_number(dim, Integral) or dim not in (1, 2, 3):
        raise ValueError(f"dim must be 1, 2 or 3, for series, pictures or volumes, got {dim!r}")


def switch(name: str, value: bool, on: str, off: str) -> None:
    """True or False, and nothing that merely counts as such."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True ({on}) or False ({off}), got {value!r}")


def sharing(**switches: bool) -> None:
    """The switches share_A, share_B and share_sigma."""
    for name, value in switches.items():
        letter = name.removeprefix("share_")
        switch(name, value, f"one {letter} for all iterations of a level", "one for each")


def device(name: str | torch.device) -> torch.device:
    """A device that torch can compute on here; the meta device, which computes nothing, is none."""
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, ImportError, TypeError):
        raise ValueError(f"torch finds no device {str(name)!r} here to compute on") from None
    return torch.device(name)


def scores(values: Tensor, classes: int) -> None:
    """A tensor (batch, classes): each score must have a name."""
    if values.ndim != 2 or values.shape[1] != classes:
        raise ValueError(
            f"the model must give (batch, {classes}) scores for {classes} classes, "
            f"got {tuple(values.shape)}"
        )


def pictures(f: Tensor, in_channels: int, dim: int, smallest: int) -> None:
    """A floating-point tensor (batch, in_channels, n, ...) with n >= `smallest`."""
    if not isinstance(f, Tensor) or not f.is_floating_point():
        kind = f.dtype if isinstance(f, Tensor) else type(f).__name__
        raise ValueError(f"pictures must be a floating-point tensor, got {kind}")
    if f.ndim != dim + 2 or f.shape[1] != in_channels:
        raise ValueError(
            f"pictures must have shape (batch, {in_channels}, {', '.join(['n'] * dim)}), "
            f"got {tuple(f.shape)}"
        )
    if min(f.shape[2:]) < smallest:
        raise ValueError(
            f"this network needs pictures of at least {smallest} pixels a side, "
            f"got {tuple(f.shape[2:])}; enlarge them, or build it with fewer levels or a small stem"
        )
