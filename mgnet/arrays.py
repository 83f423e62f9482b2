"""Examples and labels as a user has them, made the tensors of a set; one clear error otherwise."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mgnet import gate

__all__ = ["dense", "images_of", "labels_of", "numbered", "raw_labels", "with_channels"]

#: At most so many channels at the end of a shape look like a channel axis: grey, RGB or RGBA.
FEW = 4
SHAPES = "(N, channels, n), (N, channels, h, w) or (N, channels, d, h, w)"


def dense(name: str, values: Tensor) -> Tensor:
    """The tensor without a graph, if it is one that holds all its values."""
    if values.is_meta or values.layout != torch.strided:
        raise ValueError(
            f"{name} must be a dense tensor with values, got {values.layout} on {values.device}"
        )
    return values.detach() if values.requires_grad else values


# Arrays are copied: what the caller does to theirs later does not matter here.


def _values(name: str, values: Any) -> Tensor | np.ndarray:
    """Tensors as they are, all else as a NumPy array of its own."""
    if isinstance(values, Tensor):
        return dense(name, values)
    if np.ma.is_masked(values):
        raise ValueError(f"{name} is masked: leave those examples out, or fill the values")
    try:
        return np.array(values, order="C")
    except (RuntimeError, TypeError, ValueError) as error:  # lists of different lengths, say
        raise ValueError(
            f"{name} makes no array ({error}); all examples need one shape: pad or cut them"
        ) from None


def images_of(name: str, values: Any) -> Tensor:
    """Examples with channels in their second axis, uint8 or float32."""
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


def labels_of(name: str, values: Any, pictures: int, classes: int) -> Tensor:
    """Whole numbers below `classes`, one for each picture, as int64."""
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


def with_channels(name: str, values: Any, dim: int | None, channels_last: bool | None) -> Tensor:
    """The examples as a checked tensor with channels in its second axis."""
    if dim is not None:
        gate.dimension(dim)
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
    return images_of(name, images)


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


def raw_labels(name: str, values: Any) -> np.ndarray:
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


def numbered(parts: list[np.ndarray], classes: Any) -> tuple[tuple[str, ...], list[np.ndarray]]:
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
    found_at = []
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
        found_at.append(numbers.astype(np.int64))
    return names, found_at
