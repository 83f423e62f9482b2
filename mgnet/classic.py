"""What came before: linear and fully connected models, LeNet-5, AlexNet and the plain CNN."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from mgnet import gate
from mgnet.activations import Sigma, per_level
from mgnet.conv import conv
from mgnet.record import recorded

__all__ = ["AlexNet", "LeNet5", "LogisticRegression", "OneHiddenLayer", "PlainCNN"]


@recorded
class LogisticRegression(nn.Module):
    """Class scores W f + b; with cross entropy as the loss, logistic regression.

    Parameters
    ----------
    picture : sequence of int
        Shape of a picture, (channels, height, width).
    num_classes : int

    Raises
    ------
    ValueError
        If a number is not positive; in `forward`, if pictures have another shape.
    """

    def __init__(self, picture: Sequence[int] = (1, 28, 28), num_classes: int = 10):
        super().__init__()
        self.picture = tuple(picture)
        gate.positive(picture=self.picture, num_classes=num_classes)
        self.head = nn.Linear(math.prod(self.picture), num_classes)

    def forward(self, f: Tensor) -> Tensor:
        """Class scores (batch, num_classes) of pictures `f`, ``(batch, *picture)``."""
        return self.head(_flattened(f, self.picture))


@recorded
class OneHiddenLayer(nn.Module):
    """Class scores W2 sigma(W1 f + b1) + b2.

    Parameters
    ----------
    picture : sequence of int
        Shape of a picture, (channels, height, width).
    num_classes, width : int
        `width` is the number of neurons.
    sigma : str, Module or callable returning one

    Raises
    ------
    ValueError
        If a number is not positive or sigma makes no module; in `forward`, if pictures have another
        shape.
    """

    def __init__(
        self,
        picture: Sequence[int] = (1, 28, 28),
        num_classes: int = 10,
        width: int = 1000,
        sigma: Sigma = nn.ReLU,
    ):
        super().__init__()
        self.picture = tuple(picture)
        gate.positive(picture=self.picture, num_classes=num_classes, width=width)
        self.hidden = nn.Linear(math.prod(self.picture), width)
        self.sigma = per_level(sigma, [width])[0]()
        self.head = nn.Linear(width, num_classes)

    def forward(self, f: Tensor) -> Tensor:
        """Class scores (batch, num_classes) of pictures `f`, ``(batch, *picture)``."""
        return self.head(self.sigma(self.hidden(_flattened(f, self.picture))))


@recorded
class LeNet5(nn.Module):
    """LeNet-5 in its common variant, for pictures of 32 x 32, or 28 x 28 which it pads with zeros.

    Parameters
    ----------
    in_channels, num_classes : int
    sigma : str, Module or callable returning one
        tanh, as in 1998.

    Raises
    ------
    ValueError
        If a number is not positive; in `forward`, for pictures of another size.

    Notes
    -----
    LeCun, Bottou, Bengio & Haffner 1998 connect only some channels in their second convolution,
    scale and shift their average pooling by trained numbers, and compare with prototypes of the
    classes at the end. The common variant has full convolutions, plain pooling and a linear head.

    Examples
    --------
    >>> sum(p.numel() for p in LeNet5().parameters())
    61706
    """

    def __init__(self, in_channels: int = 1, num_classes: int = 10, *, sigma: Sigma = nn.Tanh):
        super().__init__()
        gate.positive(in_channels=in_channels, num_classes=num_classes)
        self.in_channels = in_channels
        act = per_level(sigma, [None])[0]
        self.convolutions = nn.Sequential(
            nn.Conv2d(in_channels, 6, 5), act(), nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5), act(), nn.AvgPool2d(2),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Linear(16 * 5 * 5, 120), act(), nn.Linear(120, 84), act(), nn.Linear(84, num_classes)
        )

    def forward(self, f: Tensor) -> Tensor:
        """Class scores (batch, num_classes) of pictures `f`, ``(batch, in_channels, n, n)``."""
        gate.pictures(f, self.in_channels, 2, 28)
        if f.shape[2:] == (28, 28):
            f = F.pad(f, (2, 2, 2, 2))
        elif f.shape[2:] != (32, 32):
            raise ValueError(
                f"LeNet-5 takes pictures of 32 x 32 or 28 x 28 pixels, got {tuple(f.shape[2:])}; "
                "resize them"
            )
        return self.head(self.convolutions(f).flatten(1))


@recorded
class AlexNet(nn.Module):
    """AlexNet for one GPU.

    Parameters
    ----------
    in_channels, num_classes : int
    stem : {"large", "small"}
        "large" is for 224 x 224 pixels: 11x11 kernels with stride 4. "small", for 32 x 32, has 3x3
        kernels with stride 2, 2x2 pooling and 3x3 in the second convolution; the rest is the same.

    Raises
    ------
    ValueError
        If a number is not positive or the stem is unknown; in `forward`, for pictures that are too
        small or have other channels.

    Notes
    -----
    The large one is that of Krizhevsky, "One weird trick for parallelizing convolutional neural
    networks", 2014; the network of Krizhevsky, Sutskever & Hinton 2012 was split over two GPUs.
    """

    def __init__(self, in_channels: int = 3, num_classes: int = 1000, *, stem: str = "large"):
        super().__init__()
        gate.positive(in_channels=in_channels, num_classes=num_classes)
        gate.one_of("stem", stem, ("large", "small"))
        self.in_channels = in_channels
        large = stem == "large"
        self.smallest = 63 if large else 16
        pool, side = (3, 6) if large else (2, 2)
        first = nn.Conv2d(in_channels, 64, 11, 4, 2) if large else _conv2d(in_channels, 64, 3, 2)
        self.convolutions = nn.Sequential(
            first, nn.ReLU(), nn.MaxPool2d(pool, 2),
            _conv2d(64, 192, 5 if large else 3), nn.ReLU(), nn.MaxPool2d(pool, 2),
            _conv2d(192, 384), nn.ReLU(),
            _conv2d(384, 256), nn.ReLU(),
            _conv2d(256, 256), nn.ReLU(), nn.MaxPool2d(pool, 2),
            nn.AdaptiveAvgPool2d(side),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Dropout(), nn.Linear(256 * side**2, 4096), nn.ReLU(),
            nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(),
            nn.Linear(4096, num_classes),
        )  # fmt: skip

    def forward(self, f: Tensor) -> Tensor:
        """Class scores (batch, num_classes) of pictures `f`, ``(batch, in_channels, n, m)``."""
        gate.pictures(f, self.in_channels, 2, self.smallest)
        return self.head(self.convolutions(f).flatten(1))


@recorded
class PlainCNN(nn.Module):
    """The plain CNN: convolutions on each level, a restriction to the next.

    ::

        f^{1,0} = picture
        on level l, steps[l] times:  f^{l,i} = sigma(theta^{l,i} * f^{l,i-1} + b^{l,i} 1)
        to the next:                 f^{l+1,0} = R * f^{l,steps[l]}
        output:                      linear(mean(f)) on the coarsest level

    Parameters
    ----------
    in_channels, num_classes : int
    channels : int or sequence of int
        Channels on each level.
    steps : sequence of int
        Convolutions on each level.
    sigma
        As in :class:`mgnet.MgNet`.

    Raises
    ------
    ValueError
        If channels and steps differ in length, a number is not positive, or sigma makes no module;
        in `forward`, if the picture is too small for the levels or has other channels.

    Notes
    -----
    Eqs. 13 and 14 of the lecture. The bias is one number for each channel; R is a trained 3x3
    convolution with stride 2, without bias or sigma, and goes to the channels of the next level.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        channels: int | Sequence[int] = (64, 128, 256, 512),
        steps: Sequence[int] = (2, 2, 2, 2),
        *,
        sigma: Sigma = nn.ReLU,
    ):
        super().__init__()
        channels, steps = gate.levels_of(channels, steps)
        gate.positive(in_channels=in_channels, num_classes=num_classes)
        self.in_channels = in_channels
        self.smallest = 2 ** (len(steps) - 1)
        self.levels = nn.Sequential()
        for act, c, count in zip(per_level(sigma, channels), channels, steps, strict=True):
            level = nn.Sequential()
            for i in range(count):
                first = in_channels if len(self.levels) == 0 and i == 0 else c
                level.append(_conv2d(first, c)).append(act())
            self.levels.append(level)
        self.restrictions = nn.ModuleList(
            [conv(2, c, c_next, stride=2) for c, c_next in pairwise(channels)]
        )
        self.head = nn.Linear(channels[-1], num_classes)

    def forward(self, f: Tensor) -> Tensor:
        """Class scores (batch, num_classes) of pictures `f`, ``(batch, in_channels, n, m)``."""
        return self.head(self.features(f)[-1].flatten(2).mean(2))

    def features(self, f: Tensor) -> list[Tensor]:
        """f as each level is left, the finest first, ``(batch, channels[l], *grid)``."""
        gate.pictures(f, self.in_channels, 2, self.smallest)
        finest, *coarser = self.levels
        found = [finest(f)]
        for R, level in zip(self.restrictions, coarser, strict=True):
            found.append(level(R(found[-1])))
        return found


def _conv2d(in_channels: int, out_channels: int, side: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution with bias, padded so that stride 1 keeps the grid."""
    return nn.Conv2d(in_channels, out_channels, side, stride, padding=side // 2)


def _flattened(f: Tensor, picture: tuple[int, ...]) -> Tensor:
    if not isinstance(f, Tensor) or not f.is_floating_point() or f.shape[1:] != picture:
        got = (tuple(f.shape), f.dtype) if isinstance(f, Tensor) else type(f).__name__
        raise ValueError(
            f"pictures must be a floating-point tensor of shape (batch, "
            f"{', '.join(map(str, picture))}), got {got}"
        )
    return f.flatten(1)
