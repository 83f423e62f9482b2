"""Files of weights: safetensors whose header holds a record of what they are the weights of."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn

from mgnet.folder import atomic

__all__ = ["WEIGHTS", "holds_weights", "read_record", "write_weights"]

#: Name of the weights' file in the folder of a finished run.
WEIGHTS = "weights.safetensors"

#: Key of the record in the header.
_KEY = "mgnet"


def write_weights(
    path: str | os.PathLike[str], model: nn.Module, about: dict[str, Any], *, half: bool = False
) -> None:
    """A safetensors file with a record in its header, whole or not at all."""
    model = copy.deepcopy(model).cpu()
    model = model.half() if half else model
    weights: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        weights.setdefault(id(tensor), (name, tensor))  # what iterations share is written once
    content = {name: tensor.detach().contiguous() for name, tensor in weights.values()}
    # In memory first: what safetensors writes itself, nobody but its owner may read, and for a full
    # disk it has an error of its own.
    raw = safetensors.torch.save(content, {_KEY: json.dumps(about)})
    with atomic(Path(path)) as temporary:
        temporary.write_bytes(raw)


def holds_weights(path: Path) -> bool:
    """Whether a file begins as those of safetensors do, whatever its name."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(9)[8:] == b"{"  # behind the header's length


def read_record(path: Path) -> dict[str, Any]:
    """The record of a file; ValueError if there is no such file, or it is another kind of one."""
    if not path.exists():
        raise ValueError(f"there is no file {path}")
    try:
        with safetensors.safe_open(path, "pt") as stream:
            return json.loads((stream.metadata() or {})[_KEY])
    except (safetensors.SafetensorError, KeyError, OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged, or not a file of mgnet's: {error!r}") from None
