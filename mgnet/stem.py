"""The stem of a network: theta, from the channels of a picture to those of the finest level."""

from __future__ import annotations

from torch import nn

from mgnet import gate
from mgnet.level import conv

__all__ = ["STEMS", "make_stem", "reduction"]

STEMS = ("small", "large")

_MAX_POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}


def make_stem(
    size: str, dim: int, in_channels: int, channels: int, *behind: nn.Module, kernel_size: int = 3
) -> nn.Sequential:
    """Theta and what comes `behind` it, for small or for large pictures.

    Parameters
    ----------
    size : {"small", "large"}
        "small" keeps the grid, as is usual for 32 x 32 pixels. "large", usual for 224 x 224, has a
        7x7 kernel with stride 2 and, behind all else, 3x3 max pooling with stride 2: a quarter of
        the pixels a side (He et al. 2016).
    dim, in_channels, channels : int
    behind : Module
        Normalisation and activation.
    kernel_size : int
        Of the small stem.

    Raises
    ------
    ValueError
        For an unknown size.
    """
    gate.one_of("stem", size, STEMS)
    if size == "small":
        return nn.Sequential(conv(dim, in_channels, channels, kernel_size), *behind)
    theta = conv(dim, in_channels, channels, 7, stride=2)
    return nn.Sequential(theta, *behind, _MAX_POOL[dim](3, stride=2, padding=1))


def reduction(size: str) -> int:
    """How many pixels of a picture lie, along an axis, behind one of the finest level."""
    return {"small": 1, "large": 4}[size]
