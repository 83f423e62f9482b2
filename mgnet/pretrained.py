"""Trained networks that come with the package."""

from __future__ import annotations

from pathlib import Path

import torch

from mgnet.classifier import Classifier
from mgnet.loading import load

__all__ = ["load_pretrained"]

#: Where NAME.safetensors are; a wheel takes them along.
FOLDER = Path(__file__).with_name("weights")


def load_pretrained(
    name: str = "mgnet-cifar10", *, device: str | torch.device = "cpu"
) -> Classifier:
    """A trained network that comes with the package.

    Parameters
    ----------
    name : str
        "mgnet-cifar10" is an MgNet of 490,010 parameters that reads 93.03 % of CIFAR-10's test
        pictures. ``torchrun --nproc-per-node=2 examples/train_cifar.py --channels 64 88 88
        --steps 2 2 2 --sigma gelu --epochs 40 --cutout 8 --label-smoothing 0.1 --compile`` has made
        it in an hour, and ``save(path, half=True)``.

        "mgnet-cifar10-strided", of 415,626 parameters, is as the lecture writes MgNet, with a Pi,
        and R and Pi with stride 2: 90.24 %, by ``examples/train_cifar.py --network mgnet-fast
        --channels 32 64 96 --epochs 16 --momentum 0.6 --shift 2 --compile``.
    device : str or torch.device

    Returns
    -------
    Classifier
        In evaluation mode; it knows its classes and the shape of its pictures.

    Raises
    ------
    ValueError
        If there is none of this name; the message lists those that there are.
    """
    known = sorted(path.stem for path in FOLDER.glob("*.safetensors"))
    if name in known:
        return load(FOLDER / f"{name}.safetensors", device=device)
    there = f"there are {', '.join(known)}" if known else "none come with this version"
    raise ValueError(
        f"there is no trained network {name!r}: {there}; name the file of another one, by "
        "mgnet.load or --weights"
    )
