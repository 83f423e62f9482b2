"""Labelled pictures, series and volumes as tensors, and the checks of what a user gives as such."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mgnet import gate

__all__ = ["PictureSet", "split"]

#: At most so many channels at the end of a shape look like a channel axis: grey, RGB or RGBA.
FEW = 4
SHAPES = "(N, channels, n), (N, channels, h, w) or (N, channels, d, h, w)"


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
            images = _images(f"{part}_images", getattr(self, f"{part}_images"))
            labels = getattr(self, f"{part}_labels")
            values[f"{part}_images"] = images
            values[f"{part}_labels"] = _labels(f"{part}_labels", labels, len(images), len(classes))
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
        x = _with_channels("train", train, dim, channels_last)
        parts = [("train", x, _raw_labels("train_labels", train_labels))]
        if test is not None:
            x_test = _with_channels("test", test, dim, channels_last)
            parts.append(("test", x_test, _raw_labels("test_labels", test_labels)))
        for part, images, labels in parts:
            if len(images) != len(labels):
                raise ValueError(
                    f"{part} holds {len(images)} examples and {part}_labels {len(labels)} labels; "
                    "one for each is needed"
                )
        names, numbered = _numbered([labels for _, _, labels in parts], classes)
        if len(names) < 2:
            raise ValueError(f"there is one class only, {names[0]}; a classifier needs two")
        y, y_test = (torch.from_numpy(numbered[k]) for k in (0, -1))
        if test is not None:
            return cls(name, x, y, x_test, y_test, names)
        kept, aside = split(numbered[0], names, test_fraction, seed)
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


# Arrays are copied: what the caller does to theirs later does not matter here.


def _values(name: str, values: Any) -> Tensor | np.ndarray:
    """Tensors as they are, all else as a NumPy array of its own."""
    if isinstance(values, Tensor):
        if values.is_meta or values.layout != torch.strided:
            raise ValueError(
                f"{name} must be a dense tensor with values, got {values.layout} on {values.device}"
            )
        return values.detach() if values.requires_grad else values
    if np.ma.is_masked(values):
        raise ValueError(f"{name} is masked: leave those examples out, or fill the values")
    try:
        return np.array(values, order="C")
    except (ValueError, TypeError) as error:  # lists of different lengths, for example
        raise ValueError(
            f"{name} makes no array ({error}); all examples need one shape: pad or cut them"
        ) from None


def _images(name: str, values: Any) -> Tensor:
    images = _values(name, values)
    if isinstance(images, Tensor):
        pixels, floating = images.dtype == torch.uint8, images.is_floating_point()
        whole = not (floating or images.is_complex())
    else:
        pixels, floating = images.dtype == np.uint8, images.dtype.kind == "f"
        whole = images.dtype.kind in "iub"
    if not (pixels or floating) or images.ndim not in (3, 4, 5) or 0 in images.shape:
        advice = "; make whole numbers uint8 if they run from 0 to 255, float32 otherwise"
        raise ValueError(
            f"{name} must be uint8 or floating point of shape {SHAPES}, got {images.dtype} of "
            f"shape {tuple(images.shape)}{advice * (whole and not pixels)}"
        )
    if isinstance(images, np.ndarray):
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is found below
            images = torch.from_numpy(images if pixels else images.astype(np.float32, copy=False))
    if pixels:
        return images
    images = images.float()
    finite = torch.isfinite(images).flatten(1).all(1)
    if not finite.all():
        raise ValueError(
            f"{name} holds NaN, infinity or numbers too large for float32, first in example "
            f"{int(finite.int().argmin())}: fill them or leave such examples out"
        )
    return images


def _labels(name: str, values: Any, pictures: int, classes: int) -> Tensor:
    labels = _values(name, values)
    if isinstance(labels, Tensor):
        whole = not (labels.dtype.is_floating_point or labels.dtype.is_complex)
        whole = whole and labels.dtype != torch.bool
    else:
        whole = labels.dtype.kind in "iu"
    if not whole or tuple(labels.shape) != (pictures,):
        raise ValueError(
            f"{name} must be integers of shape ({pictures},), one for each example, got "
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


# --- what from_arrays does ----------------------------------------------------------------------


def _with_channels(name: str, values: Any, dim: int | None, channels_last: bool | None) -> Tensor:
    """The examples as a checked tensor with channels in its second axis."""
    if dim is not None and (not gate.is_number(dim, Integral) or dim not in (1, 2, 3)):
        raise ValueError(f"dim must be 1 (series), 2 (pictures) or 3 (volumes), got {dim!r}")
    if channels_last is not None and not isinstance(channels_last, bool | np.bool_):
        raise ValueError(f"channels_last must be True or False, got {channels_last!r}")
    images = _values(name, values)
    shape = tuple(images.shape)
    if dim is None:
        dim = _dimension(name, shape, channels_last)
    missing = len(shape) == dim + 1
    if not missing and len(shape) != dim + 2:
        raise ValueError(
            f"{name} must have {dim + 1} or {dim + 2} axes with dim={dim}: examples, {dim} of the "
            f"grid, and channels; got shape {shape}"
        )
    if missing and channels_last:
        raise ValueError(
            f"{name} has no channel axis with dim={dim}, got shape {shape}: leave out channels_last"
        )
    if not missing and channels_last is None and shape[-1] <= FEW < shape[1]:
        raise ValueError(
            f"{name} of shape {shape} looks as if its last axis were the channels: pass "
            f"channels_last=True if it is, channels_last=False if there are {shape[1]} channels"
        )
    if missing:
        images = images[:, None]
    elif channels_last:
        last = range(1, dim + 1)
        images = (
            images.permute(0, dim + 1, *last).contiguous()
            if isinstance(images, Tensor)
            else np.moveaxis(images, -1, 1)
        )
    return _images(name, images)


def _dimension(name: str, shape: tuple[int, ...], channels_last: bool | None) -> int:
    """How many axes the grid has, from the number of axes of all examples."""
    if len(shape) == 3 and not channels_last and shape[1] != 1:
        raise ValueError(
            f"{name} of shape {shape} may be pictures without a channel axis or series of "
            f"{shape[1]} channels: pass dim=2 for pictures, dim=1 for series"
        )
    if len(shape) == 2:
        return 1
    if len(shape) not in (3, 4, 5):
        raise ValueError(
            f"{name} must have shape (N, n), {SHAPES}; or pass dim for examples without channels; "
            f"got shape {shape}"
        )
    return len(shape) - 2


def _raw_labels(name: str, values: Any) -> np.ndarray:
    """Integers or strings, (N,)."""
    labels = _values(name, values)
    labels = labels.cpu().numpy() if isinstance(labels, Tensor) else labels
    if labels.dtype == object and labels.ndim == 1:  # as pandas holds strings
        kinds = {str if isinstance(v, str) else Integral if isinstance(v, Integral) else None
                 for v in labels}  # fmt: skip
        if kinds == {str} or kinds == {Integral}:
            labels = np.array(labels.tolist())
    if labels.dtype.kind == "T":  # strings of any length, in NumPy 2
        labels = np.array(labels.tolist(), str)
    if labels.ndim != 1:
        advice = {2: ", by labels.argmax(1) if they are one-hot, labels.ravel() if a column"}
        raise ValueError(
            f"{name} must be of shape (N,), one number or name for each example, got shape "
            f"{labels.shape}: make them so{advice.get(labels.ndim, '')}"
        )
    if labels.dtype.kind not in "iubU":
        raise ValueError(
            f"{name} must be integers or strings, got {labels.dtype}: convert them, by "
            "labels.astype(int) for example, and leave out what has no label"
        )
    return labels


def _numbered(parts: list[np.ndarray], classes: Any) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Names of the classes, and the labels of each part as their indices."""
    words = {labels.dtype.kind == "U" for labels in parts}
    if len(words) > 1:
        raise ValueError("train_labels and test_labels must both be integers or both strings")
    if not all(map(len, parts)):
        raise ValueError("there are no labels: one example at least is needed on each side")
    found = np.unique(parts[0])
    if classes is None:
        known, names = found, tuple(map(str, found))
    else:
        names = gate.class_names(classes)
        if len(set(names)) < len(names):
            raise ValueError(f"classes must be names that differ, got {names}")
        found = np.unique(np.concatenate(parts))
        if words == {True}:
            known = np.array(names)
        elif int(found[0]) >= 0 and int(found[-1]) < len(names):
            known = np.arange(len(names))
        elif len(found) == len(names):
            known = found
        else:
            raise ValueError(
                f"classes names {len(names)}, but there are {len(found)} different labels, from "
                f"{found[0]} to {found[-1]}"
            )
    order = np.argsort(known)
    numbered = []
    for part, labels in zip(("train_labels", "test_labels"), parts, strict=False):
        at = np.minimum(np.searchsorted(known, labels, sorter=order), len(known) - 1)
        numbers = order[at]
        unknown = known[numbers] != labels
        if unknown.any():
            where = "train_labels" if classes is None else "classes"
            raise ValueError(
                f"{part} holds {str(labels[unknown][0])!r}, which is not in {where}: correct it, "
                "or name all classes by classes="
            )
        numbered.append(numbers.astype(np.int64))
    return names, numbered


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
