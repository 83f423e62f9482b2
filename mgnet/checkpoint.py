"""Checkpoint files of training runs: whole or not there, and never taken for another run's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["CHECKPOINT", "CheckpointError", "atomic", "compare_checkpoint", "read_checkpoint"]

#: Name of the file in a run's folder.
CHECKPOINT = "checkpoint.pt"

_FIELDS = {
    "model", "optimizers", "recipe", "identity", "random",
    "epoch", "step", "sums", "seconds", "history",
}  # fmt: skip


class CheckpointError(ValueError):
    """A checkpoint that does not belong to this model or recipe, or is no checkpoint."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place only when the block succeeds."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb+") as stream:  # on the disk before it takes the old one's place
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[Path, dict[str, Any]]:
    """Read a checkpoint, or the one in a folder.

    Returns
    -------
    Path, dict
        The file and what it holds, tensors on the CPU. Nothing but tensors and plain values is
        ever unpickled.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    path = Path(path)
    path = path / CHECKPOINT if path.is_dir() else path
    if not path.exists():
        raise CheckpointError(f"there is no checkpoint {path}")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a foreign file makes the unpickler say
        raise CheckpointError(f"{path} is not a checkpoint, or a damaged one") from error
    if not isinstance(saved, dict) or not set(saved) >= _FIELDS:
        raise CheckpointError(
            f"{path} is not a checkpoint of a training run, or one of another version"
        )
    return path, saved


def compare_checkpoint(
    path: Path,
    saved: dict[str, Any],
    model: nn.Module,
    recipe: dict[str, Any],
    identity: dict[str, str],
) -> None:
    """Refuse a checkpoint of another model, recipe or data set, naming the first difference.

    Raises
    ------
    CheckpointError
    """
    _compare_shapes(path, saved["model"], model)
    other = {k: v for k, v in saved["recipe"].items() if recipe.get(k) != v}
    if other:
        changes = ", ".join(f"{k} {v!r} (now {recipe.get(k)!r})" for k, v in other.items())
        raise CheckpointError(f"{path} was made with another recipe: {changes}; resume with that")
    for what, text in saved["identity"].items():
        if text != identity[what]:
            lines = zip_longest(text.splitlines(), identity[what].splitlines(), fillvalue="nothing")
            there, here = next((a.strip(), b.strip()) for a, b in lines if a != b)
            raise CheckpointError(
                f"{path} was made with another {what}: {there} there, {here} here"
            )


def _compare_shapes(path: Path, weights: dict[str, Tensor], model: nn.Module) -> None:
    mine = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    other = {name: tuple(t.shape) for name, t in weights.items()}
    if mine != other:
        name = next(k for k in (*mine, *other) if mine.get(k) != other.get(k))
        raise CheckpointError(
            f"{path} is of another model: {name} is {other.get(name, 'missing')} there and "
            f"{mine.get(name, 'missing')} here; build the model with the same channels, steps and "
            "classes"
        )
