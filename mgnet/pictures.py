"""Labelled pictures as tensors, and the checks of what a user gives as such."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["PictureSet"]


@dataclass(frozen=True)
class PictureSet:
    """Pictures and labels, training and test.

    They may be given as tensors, which are kept, or as NumPy arrays, which are copied.

    Attributes
    ----------
    name : str
    train_images, test_images : Tensor
        uint8, (N, channels, height, width).
    train_labels, test_labels : Tensor
        int64, (N,); integers of other types are converted.
    classes : tuple of str
        Names of the labels 0, 1, ...

    Raises
    ------
    ValueError
        If shapes or types are others, or a label has no class.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if isinstance(self.classes, str | Set) or not isinstance(self.classes, Iterable):
            raise ValueError(
                f"classes must be the names of the labels 0, 1, ..., got {self.classes!r}"
            )
        values: dict[str, Any] = {"name": str(self.name), "classes": tuple(map(str, self.classes))}
        if not values["classes"]:
            raise ValueError("classes must name one class at least")
        for part in ("train", "test"):
            images = _images(f"{part}_images", getattr(self, f"{part}_images"))
            labels = getattr(self, f"{part}_labels")
            values[f"{part}_images"] = images
            values[f"{part}_labels"] = _labels(
                f"{part}_labels", labels, len(images), len(values["classes"])
            )
        train, test = (tuple(values[f"{part}_images"].shape[1:]) for part in ("train", "test"))
        if train != test:
            raise ValueError(
                f"training and test pictures must have one shape, got {train} and {test}"
            )
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def channel_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each channel of the training pictures, in [0, 1]."""
        channels = [
            self.train_images[:, c].float() / 255 for c in range(self.train_images.shape[1])
        ]
        mean = torch.stack([c.mean(dtype=torch.float64) for c in channels])
        square = torch.stack([c.square().mean(dtype=torch.float64) for c in channels])
        return mean.float(), (square - mean**2).sqrt().float()


# Arrays are copied: what the caller does to theirs later does not matter here.


def _images(name: str, values: Tensor | np.ndarray) -> Tensor:
    images = values if isinstance(values, Tensor) else np.array(values, order="C")
    if images.dtype not in (torch.uint8, np.uint8) or images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"{name} must be uint8 of shape (N, channels, height, width), got {images.dtype} of "
            f"shape {tuple(images.shape)}"
        )
    return images if isinstance(images, Tensor) else torch.from_numpy(images)


def _labels(name: str, values: Tensor | np.ndarray, pictures: int, classes: int) -> Tensor:
    labels = values if isinstance(values, Tensor) else np.array(values, order="C")
    if isinstance(labels, Tensor):
        whole = not (labels.dtype.is_floating_point or labels.dtype.is_complex)
        whole = whole and labels.dtype != torch.bool
    else:
        whole = labels.dtype.kind in "iu"
    if not whole or tuple(labels.shape) != (pictures,):
        raise ValueError(
            f"{name} must be integers of shape ({pictures},), one for each picture, got "
            f"{labels.dtype} of shape {tuple(labels.shape)}"
        )
    if isinstance(labels, np.ndarray):
        labels = torch.from_numpy(labels.astype(np.int64))
    labels = labels.long()
    least, largest = int(labels.min()), int(labels.max())
    if least < 0 or largest >= classes:
        raise ValueError(
            f"{name} must run from 0 to {classes - 1}, as there are {classes} classes, got {least} "
            f"to {largest}: renumber them, by np.unique(labels, return_inverse=True)[1] for example"
        )
    return labels
