"""A trained classifier from a file, or from the folder of a run."""

from __future__ import annotations

import os
from pathlib import Path

import safetensors.torch
import torch

from mgnet import gate
from mgnet.checkpoint import CHECKPOINT, read_checkpoint
from mgnet.classifier import Classifier
from mgnet.weights import WEIGHTS, holds_weights, read_record

__all__ = ["load"]


def load(path: str | os.PathLike[str], *, device: str | torch.device = "cpu") -> Classifier:
    """The classifier that a training run, or :meth:`mgnet.Classifier.save`, has written.

    Parameters
    ----------
    path : path
        A file of weights (.safetensors), a checkpoint, or the folder of a run with one of them.
    device : str or torch.device

    Returns
    -------
    Classifier
        In evaluation mode.

    Raises
    ------
    ValueError
        If there is no such file, it is damaged, or it does not say how the network is built.
    """
    device = gate.device(device)
    path = Path(path)
    if not (path / CHECKPOINT).exists() and (path / WEIGHTS).exists():
        path /= WEIGHTS  # of a run, without its checkpoint
    in_file = path.suffix == ".safetensors" or holds_weights(path)
    if in_file:
        about = read_record(path)
    else:
        path, saved = read_checkpoint(path)
        about = saved["record"]
    try:
        model = Classifier.from_record(about)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not say how its network is built: {error}") from None
    try:
        if in_file:
            safetensors.torch.load_model(model, path)
        else:
            model.load_state_dict(saved["average"] or saved["model"])
    except RuntimeError as error:
        raise ValueError(f"the weights in {path} are not those of its network: {error}") from None
    return model.to(device).eval()
