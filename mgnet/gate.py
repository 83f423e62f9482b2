"""The checks of what a user gives to a network: its options when built, its pictures when run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real

import torch
from torch import Tensor

__all__ = [
    "device",
    "dimension",
    "factor",
    "levels_of",
    "one_of",
    "pictures",
    "positive",
    "sharing",
    "switch",
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


def positive(**numbers: int | Sequence[int]) -> None:
    """Whole numbers of 1 or more; a sequence holds at least one."""
    for name, value in numbers.items():
        values = value if isinstance(value, tuple) else (value,)
        if not values or not all(isinstance(n, Integral) and int(n) > 0 for n in values):
            raise ValueError(f"{name} must be positive whole numbers, got {values}")


def factor(name: str, value: float) -> None:
    """A positive finite number."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number, got {value!r}")


def one_of(what: str, name: str, known: Iterable[str]) -> None:
    """One of the known names."""
    known = list(known)
    if name not in known:
        raise ValueError(f"unknown {what} {name!r}; known are {', '.join(map(repr, known))}")


def dimension(dim: int) -> None:
    """1, 2 or 3 axes of a grid."""
    if dim not in (1, 2, 3):
        raise ValueError(f"dim must be 1, 2 or 3, got {dim}")


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
