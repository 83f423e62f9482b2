"""Checkpoint files of training runs: with a checksum, and never taken for another run's.

A file is what `torch.save` writes, so `torch.load` reads it, and one line behind that with its
SHA-256 sum.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mgnet.folder import atomic
from mgnet.recipe import MAY_CHANGE, Recipe

__all__ = [
    "CHECKPOINT",
    "Checkpoint",
    "CheckpointError",
    "compare_checkpoint",
    "non_finite",
    "read_checkpoint",
    "read_checksum",
    "write_checkpoint",
]

#: Name of the file in a run's folder.
CHECKPOINT = "checkpoint.pt"

_FIELDS: dict[str, type] = {
    "model": dict, "average": dict, "optimizers": list, "scaler": dict, "recipe": dict,
    "record": dict, "identity": dict, "epoch": int, "step": int, "sums": Tensor, "seconds": float,
    "history": list,
}  # fmt: skip

_MARK = b"\nsha256 "
_LINE = len(_MARK) + 64 + 1  # the mark, the sum in hexadecimal, a line feed


class CheckpointError(ValueError):
    """A checkpoint that does not belong to this model or recipe, or is no checkpoint."""


# --- the file -------------------------------------------------------------------------------------


def write_checkpoint(path: Path, content: dict[str, Any]) -> str:
    """Write a checkpoint, whole or not at all, and return its checksum.

    Raises
    ------
    FolderError
        If it cannot be written. What was at `path` stays.
    """
    # In memory first: writing to a full disk, torch.save would fail with an error of its C++ side.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    checksum = hashlib.sha256(buffer.getbuffer()).hexdigest()
    with atomic(path) as temporary, temporary.open("wb") as stream:
        stream.write(buffer.getbuffer())
        stream.write(_line(checksum))
    return checksum


class Checkpoint(NamedTuple):
    """A checkpoint that was read.

    Attributes
    ----------
    path : Path
    content : dict
        What the file holds, tensors on the CPU, with its own "checksum" besides. Options that
        recipes did not have when it was written are at their defaults.
    """

    path: Path
    content: dict[str, Any]


def read_checkpoint(path: str | os.PathLike[str] | Checkpoint) -> Checkpoint:
    """Read a checkpoint, or the one in a folder; what was read before is given back.

    Nothing but tensors and plain values is ever unpickled.

    Raises
    ------
    CheckpointError
        If there is none, or a single bit of it has changed.
    """
    if isinstance(path, Checkpoint):
        return path
    path = Path(path)
    path = path / CHECKPOINT if path.is_dir() else path
    if not path.exists():
        raise CheckpointError(f"there is no checkpoint {path}")
    raw = path.read_bytes()
    checksum, line = hashlib.sha256(memoryview(raw)[:-_LINE]).hexdigest(), raw[-_LINE:]
    if not line.startswith(_MARK):
        raise CheckpointError(
            f"{path} is not a checkpoint of a training run, or was cut short, or is of an older "
            "version of mgnet: it does not end with a checksum"
        )
    if line != _line(checksum):
        raise CheckpointError(
            f"{path} is damaged, as its checksum shows: resume from a copy of it, or begin anew in "
            "another folder"
        )
    try:
        saved = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a foreign file makes the unpickler say
        raise CheckpointError(f"{path} is not a checkpoint of a training run") from error
    if not isinstance(saved, dict) or set(saved) != set(_FIELDS):
        raise CheckpointError(
            f"{path} is not a checkpoint of a training run, or one of another version"
        )
    for name, kind in _FIELDS.items():
        if not isinstance(saved[name], kind) or isinstance(saved[name], bool):
            raise _malformed(path, f"{name} is of type {type(saved[name]).__name__}")
    recipe = asdict(Recipe()) | saved["recipe"]
    return Checkpoint(path, saved | {"recipe": recipe, "checksum": checksum})


def read_checksum(path: Path) -> str | None:
    """The checksum that a checkpoint says it has; None for other files."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _LINE))
        line = stream.read()
    return line[len(_MARK) : -1].decode(errors="replace") if line.startswith(_MARK) else None


def _line(checksum: str) -> bytes:
    return _MARK + checksum.encode() + b"\n"


def _malformed(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path} is not a sound checkpoint of a training run: {what}")


# --- what it holds --------------------------------------------------------------------------------


def non_finite(content: Any, name: str = "") -> str | None:
    """Name of the first tensor or number in nested containers that is infinite or not a number."""
    if isinstance(content, Mapping):
        items = [(str(key), value) for key, value in content.items()]
    elif isinstance(content, list | tuple):
        items = [(str(key), value) for key, value in enumerate(content)]
    elif isinstance(content, Tensor):
        return None if bool(content.isfinite().all()) else name
    elif isinstance(content, float):  # no tensor: 1e39 is infinite in float32
        return None if math.isfinite(content) else name
    else:
        return None
    found = (non_finite(value, f"{name}.{key}" if name else key) for key, value in items)
    return next((f for f in found if f is not None), None)


def compare_checkpoint(
    path: Path,
    saved: dict[str, Any],
    here: dict[str, Any],
    buffers: Sequence[dict[int, dict[str, Tensor]]],
    row: dict[str, Any],
    steps: int,
) -> None:
    """Refuse a checkpoint of another run, or a malformed one, naming the first difference.

    Parameters
    ----------
    path : Path
    saved : dict
        What the checkpoint holds, from :func:`read_checkpoint`.
    here : dict
        What the run at hand would save. Recipes may differ in `MAY_CHANGE`.
    buffers : sequence of dict
        What each optimizer keeps for each of its parameters, once it has taken a step.
    row : dict
        Some row of a history.
    steps : int
        Steps of an epoch.

    Raises
    ------
    CheckpointError
    """
    _compare_recipes(path, saved["recipe"], here["recipe"])  # first: weights follow its precision
    _compare_weights(path, saved["model"], here["model"])
    _compare_identities(path, saved["identity"], here["identity"])
    try:
        _check_optimizers(path, saved["optimizers"], here["optimizers"], buffers)
    except CheckpointError:
        _compare_sharing(path, saved["record"], here["record"])
        raise
    if _outline(saved["average"]) != _outline(here["average"]):
        raise _malformed(path, "the averaged weights are not those of the model")
    _check_progress(path, saved, here, row, steps)
    if _outline(saved["scaler"]) != _outline(here["scaler"]):
        raise _malformed(path, "the scale of the gradients is missing, or has no use here")
    if (name := non_finite(saved)) is not None:
        raise _malformed(path, f"{name} is not finite")


def _outline(value: Any) -> Any:
    """Nested containers with shape and dtype for a tensor, and the type for everything else."""
    if isinstance(value, Mapping):
        return {key: _outline(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_outline(v) for v in value]
    return (tuple(value.shape), value.dtype) if isinstance(value, Tensor) else type(value)


def _compare_weights(path: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    mine, other = ({k: _shape(v) for k, v in weights.items()} for weights in (here, there))
    if mine != other:
        name = next(k for k in (*mine, *other) if mine.get(k) != other.get(k))
        raise CheckpointError(
            f"{path} is of another model: {name} is {other.get(name, 'missing')} there and "
            f"{mine.get(name, 'missing')} here; build the model with the same channels, steps and "
            "classes"
        )
    if _outline(there) != _outline(here):
        name = next(k for k in here if _outline(there[k]) != _outline(here[k]))
        raise _malformed(path, f"{name} is of another type than here")


def _shape(value: Any) -> Any:
    return tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__


def _compare_recipes(path: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    if _outline(there) != _outline(here):
        name = next(k for k in (*here, *there) if _outline(there.get(k)) != _outline(here.get(k)))
        raise CheckpointError(
            f"{path} has a recipe of another version: {name} is {there.get(name, 'missing')!r} "
            f"there and {here.get(name, 'missing')!r} here"
        )
    other = {k: v for k, v in there.items() if here[k] != v and k not in MAY_CHANGE}
    if other:
        changes = ", ".join(f"{k} {v!r} (now {here[k]!r})" for k, v in other.items())
        raise CheckpointError(
            f"{path} was made with another recipe: {changes}; resume with that (only "
            f"{', '.join(MAY_CHANGE)} may change)"
        )


def _compare_identities(path: Path, there: dict[str, Any], here: dict[str, str]) -> None:
    if _outline(there) != _outline(here):
        raise _malformed(path, f"identity must hold the texts {', '.join(here)}")
    for what, text in there.items():
        if text != here[what]:
            lines = zip_longest(text.splitlines(), here[what].splitlines(), fillvalue="nothing")
            a, b = next(((a, b) for a, b in lines if a != b), ("other line ends", "these"))
            raise CheckpointError(
                f"{path} was made with another {what}: {a.strip()} there, {b.strip()} here"
            )


def _compare_sharing(path: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    """Say what is shared in one model and not in the other, which only optimizers see.

    Weights that are shared have a name for each place, modules look the same.
    """
    other, mine = there.get("options"), here.get("options")
    if not isinstance(other, dict) or not isinstance(mine, dict):  # of a network of the caller's
        return
    for name in ("share_A", "share_B", "share_sigma"):
        if other.get(name) != mine.get(name):
            raise CheckpointError(
                f"{path} is of another model: {name} is {other.get(name)!r} there and "
                f"{mine.get(name)!r} here"
            )


def _check_optimizers(
    path: Path,
    there: list[Any],
    here: list[dict[str, Any]],
    buffers: Sequence[dict[int, dict[str, Tensor]]],
) -> None:
    if len(there) != len(here):
        raise _malformed(path, f"it has {len(there)} optimizers instead of {len(here)}")
    for saved, mine, buffer in zip(there, here, buffers, strict=True):
        if not isinstance(saved, dict) or set(saved) != set(mine):
            raise _malformed(path, f"an optimizer must hold {', '.join(mine)}")
        members, expected = _members(saved), _members(mine)
        if _outline(members) != _outline(expected) or members != expected:
            raise _malformed(path, "an optimizer has other parameters")
        if not isinstance(saved["state"], dict):
            raise _malformed(path, "an optimizer has no state")
        for k, state in saved["state"].items():
            if k not in buffer or _outline(state) != _outline(buffer[k]):
                raise _malformed(path, f"the optimizer's state of parameter {k} does not fit it")


def _members(optimizer: dict[str, Any]) -> Any:
    """Numbers of the parameters in each group; the rest of a group is in the recipe, too."""
    groups = optimizer["param_groups"]
    if not isinstance(groups, list) or not all(isinstance(g, dict) for g in groups):
        return None
    return [g.get("params") for g in groups]


def _check_progress(
    path: Path, saved: dict[str, Any], here: dict[str, Any], row: dict[str, Any], steps: int
) -> None:
    epoch, step, planned = saved["epoch"], saved["step"], saved["recipe"]["epochs"]
    if not 0 <= epoch <= planned:
        raise _malformed(path, f"{epoch} epochs of {planned} are done")
    if not 0 <= step <= (steps if epoch < planned else 0):
        raise _malformed(
            path, f"{step} steps of {steps} are done after {epoch} epochs of {planned}"
        )
    if _outline(saved["sums"]) != _outline(here["sums"]):
        raise _malformed(path, "its sums over an epoch are not one number for each measure")
    if saved["seconds"] < 0:
        raise _malformed(path, "its seconds are below 0")
    rows = saved["history"]
    if len(rows) != epoch or any(_outline(r) != _outline(row) for r in rows):
        raise _malformed(path, f"the history is not one of {epoch} epochs")
    if any(r["epoch"] != k + 1 or r["seconds"] < 0 for k, r in enumerate(rows)):
        raise _malformed(path, "the history's epochs are out of order, or its seconds below 0")
    epochs, begun = here["recipe"]["epochs"], epoch + (step > 0)
    if epochs < begun:
        raise CheckpointError(f"{path} is in epoch {begun} already: choose epochs {begun} or more")
