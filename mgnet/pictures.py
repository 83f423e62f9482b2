"""Labelled pictures, series and volumes as tensors."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mgnet import arrays, gate

__all__ = ["PictureSet", "split"]


@dataclass(frozen=True, eq=False, repr=False)
class PictureSet:
    """Labelled examples, training and test: pictures, series or volumes.

    They may be given as tensors, which are kept, or as NumPy arrays, which are copied.
    :meth:`from_arrays` takes labels of other kinds, adds a missing channel axis and splits.

    Attributes
    ----------
    name : str
    train_images, test_images : Tensor
        Series (N, channels, n), pictures (N, channels, h, w) or volumes (N, channels, d, h, w):
        uint8 with values from 0 to 255, or float32. Other floating-point types are converted.
    train_labels, test_labels : Tensor
        int64, (N,); integers of other types are converted.
    classes : tuple of str
        Names of the labels 0, 1, ...

    Raises
    ------
    ValueError
        If shapes or types are others, a number is not finite, or a label has no class.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        classes = gate.class_names(self.classes)
        values: dict[str, Any] = {"name": str(self.name), "classes": classes}
        for part in ("train", "test"):
            images = arrays.images_of(f"{part}_images", getattr(self, f"{part}_images"))
            labels = getattr(self, f"{part}_labels")
            values[f"{part}_images"] = images
            values[f"{part}_labels"] = arrays.labels_of(
                f"{part}_labels", labels, len(images), len(classes)
            )
        train, test = (values[f"{part}_images"] for part in ("train", "test"))
        if train.shape[1:] != test.shape[1:] or train.dtype != test.dtype:
            raise ValueError(
                "training and test examples must have one shape and type, got "
                f"{tuple(train.shape[1:])} and {tuple(test.shape[1:])}, {train.dtype} and "
                f"{test.dtype}"
            )
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_arrays(
        cls,
        train: Any,
        train_labels: Any,
        test: Any = None,
        test_labels: Any = None,
        *,
        name: str = "pictures",
        classes: Iterable[str] | None = None,
        dim: int | None = None,
        channels_last: bool | None = None,
        test_fraction: float = 0.2,
        seed: int = 0,
    ) -> PictureSet:
        """A set made of arrays as they come.

        What was given is never changed. Arrays are copied, tensors where shape or type need it.

        Parameters
        ----------
        train, test : array or Tensor
            uint8 or floating point. Without `test`, a part of `train` is set aside.
        train_labels, test_labels : array, Tensor or sequence
            Integers, booleans or strings, one for each example.
        name : str
        classes : iterable of str, optional
            By default the sorted labels that occur in `train_labels`, as by np.unique: labels
            1, 2, 5 become 0, 1, 2 with the names "1", "2", "5". Where `classes` is given, string
            labels are looked up in it; integers are its indices if all of them can be, else it
            names the sorted labels.
        dim : {1, 2, 3}, optional
            1 for series, 2 for pictures, 3 for volumes; a channel axis is added if there is none.
            By default (N, n) and (N, 1, n) are series, (N, channels, h, w) pictures and
            (N, channels, d, h, w) volumes. Of (N, a, b) nobody can tell whether these are grey
            pictures or series of a channels, so `dim` is needed.
        channels_last : bool, optional
            Whether channels are the last axis, as in (N, h, w, channels), instead of the second.
            By default they are the second, and shapes that look otherwise are refused.
        test_fraction : float
            What part of the examples becomes the test set if none is given, the same of each class.
            The rest stays in its order. Where several examples have one source, such as heart beats
            of one patient, split by source instead, or the test accuracy will be too high.
        seed : int
            Of that choice.

        Raises
        ------
        ValueError
            If shapes, types or labels do not fit, a shape is ambiguous, a number is not finite,
            there is one class only, or a class has too few examples to be split.

        Examples
        --------
        >>> pulses = np.random.default_rng(0).normal(size=(50, 96))
        >>> PictureSet.from_arrays(pulses, ["ill", "well"] * 25, name="pulses")
        PictureSet('pulses', 40 + 10 examples of shape (1, 96), float32, 2 classes)
        """
        if (test is None) != (test_labels is None):
            raise ValueError("test and test_labels go together: give both or none")
        x = arrays.with_channels("train", train, dim, channels_last)
        parts = [("train", x, arrays.raw_labels("train_labels", train_labels))]
        if test is not None:
            x_test = arrays.with_channels("test", test, dim, channels_last)
            parts.append(("test", x_test, arrays.raw_labels("test_labels", test_labels)))
        for part, images, labels in parts:
            if len(images) != len(labels):
                raise ValueError(
                    f"{part} holds {len(images)} examples and {part}_labels {len(labels)} labels; "
                    "one for each is needed"
                )
        names, numbers = arrays.numbered([labels for _, _, labels in parts], classes)
        if len(names) < 2:
            raise ValueError(f"there is one class only, {names[0]}; a classifier needs two")
        y, y_test = (torch.from_numpy(numbers[k]) for k in (0, -1))
        if test is not None:
            return cls(name, x, y, x_test, y_test, names)
        kept, aside = split(numbers[0], names, test_fraction, seed)
        return cls(name, x[kept], y[kept], x[aside], y[aside], names)

    def __repr__(self) -> str:
        train, count = self.train_images, len(self.classes)
        return (
            f"PictureSet({self.name!r}, {len(train):,} + {len(self.test_images):,} examples of "
            f"shape {tuple(train.shape[1:])}, {str(train.dtype).removeprefix('torch.')}, "
            f"{count} class{'es' * (count > 1)})"
        )

    @property
    def scale(self) -> float:
        """What examples are divided by before anything else: 255 for uint8, 1 for float32.

        With mean m and deviation s by :meth:`channel_statistics`, (x / scale - m) / s has mean 0
        and deviation 1 in each channel.
        """
        return 255.0 if self.train_images.dtype == torch.uint8 else 1.0

    def channel_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of x / scale in each channel of the training examples.

        Returns
        -------
        mean, std : Tensor
            float32, (channels,). For uint8 they are in units of the range [0, 1].
        """
        # Two passes in float64: differences of squares would lose series with a large mean. A part
        # at a time, as all of it would be eight times the size of the pictures.
        parts = self.train_images.flatten(2).split(2000)
        count = self.train_images[:, 0].numel()
        mean = sum(part.double().sum((0, 2)) for part in parts) / count / self.scale
        square = sum(
            (part.double() / self.scale - mean[:, None]).square().sum((0, 2)) for part in parts
        )
        return mean.float(), (square / count).sqrt().float()


def split(
    labels: np.ndarray, names: tuple[str, ...], test_fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the examples that stay and of those set aside, each in ascending order.

    Parameters
    ----------
    labels : ndarray
        (N,) integers.
    names : tuple of str
        Of the classes.
    test_fraction : float
        What is set aside, the same of each class.
    seed : int

    Raises
    ------
    ValueError
        If fraction or seed cannot be, or a class has too few examples.
    """
    from sklearn.model_selection import train_test_split

    if not gate.is_number(test_fraction) or not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction must be between 0 and 1, got {test_fraction!r}")
    gate.whole("seed", seed, 0, 2**32)
    count = np.bincount(labels, minlength=len(names))
    used, aside = int((count > 0).sum()), math.ceil(test_fraction * len(labels))
    if (count == 1).any():
        raise ValueError(
            f"class {names[int((count == 1).argmax())]} has one example, which cannot be split: "
            "leave it out, or give a test set"
        )
    if min(aside, len(labels) - aside) < used:
        raise ValueError(
            f"test_fraction={test_fraction} of {len(labels)} examples leaves {len(labels) - aside} "
            f"and sets {aside} aside, for {used} classes: change it, or give a test set"
        )
    kept, aside = train_test_split(
        np.arange(len(labels)), test_size=aside, random_state=int(seed), stratify=labels
    )
    return np.sort(kept), np.sort(aside)
