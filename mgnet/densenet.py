"""DenseNet-BC: not of the lecture, but what networks of few parameters are measured against."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mgnet import gate
from mgnet.activations import Sigma, per_level
from mgnet.conv import batch_norm, conv
from mgnet.record import recorded

__all__ = ["DenseNet"]

_MEAN_POOL = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}


@recorded
class DenseNet(nn.Module):
    """Every layer reads what all earlier ones of its block have made, and adds `growth` channels.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of a picture; classes to tell apart.
    growth : int
        Channels that a layer adds; the stem makes twice as many.
    layers : sequence of int
        Layers in each block. Between two blocks half of the channels and of the grid are left.
    sigma
        As in :class:`mgnet.MgNet`, one for each block.
    dim : {1, 2, 3}
        1 for series, 2 for pictures, 3 for volumes.

    Raises
    ------
    ValueError
        If a number is not positive or sigma makes no module;
        in `forward`, if the picture is too small for the blocks or has other channels.

    Notes
    -----
    Huang, Liu, van der Maaten & Weinberger, CVPR 2017: bottlenecks of 4 `growth` channels,
    compression 1/2, no dropout. Growth 12 and 16 layers a block are DenseNet-BC-100.

    Examples
    --------
    >>> sum(p.numel() for p in DenseNet().parameters())
    769162
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        growth: int = 12,
        layers: Sequence[int] = (16, 16, 16),
        *,
        sigma: Sigma = nn.ReLU,
        dim: int = 2,
    ):
        super().__init__()
        layers = tuple(layers)
        gate.positive(
            in_channels=in_channels, num_classes=num_classes, growth=growth, layers=layers
        )
        gate.dimension(dim)
        self.in_channels, self.dim = in_channels, dim
        self.smallest = 2 ** (len(layers) - 1)
        sigmas = per_level(sigma, [None] * len(layers))
        channels = 2 * growth
        self.stem = conv(dim, in_channels, channels)
        self.blocks = nn.ModuleList()
        self.transitions = nn.ModuleList()
        for block, count in enumerate(layers):
            made = nn.Sequential()
            for _ in range(count):
                made.append(_Layer(dim, channels, growth, sigmas[block]))
                channels += growth
            self.blocks.append(made)
            behind = [batch_norm(dim, channels), sigmas[block]()]
            if block + 1 < len(layers):
                behind += [conv(dim, channels, channels // 2, 1), _MEAN_POOL[dim](2)]
                channels //= 2
            self.transitions.append(nn.Sequential(*behind))
        self.head = nn.Linear(channels, num_classes)

    def forward(self, f: Tensor) -> Tensor:
        """Class scores (batch, num_classes) of pictures `f`, ``(batch, in_channels, *picture)``."""
        gate.pictures(f, self.in_channels, self.dim, self.smallest)
        x = self.stem(f)
        for block, transition in zip(self.blocks, self.transitions, strict=True):
            x = transition(block(x))
        return self.head(x.flatten(2).mean(2))


class _Layer(nn.Sequential):
    """x and, behind its channels, sigma-1x1-sigma-3x3 of x."""

    def __init__(self, dim: int, channels: int, growth: int, sigma: Callable[[], nn.Module]):
        super().__init__(
            batch_norm(dim, channels), sigma(), conv(dim, channels, 4 * growth, 1),
            batch_norm(dim, 4 * growth), sigma(), conv(dim, 4 * growth, growth),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, super().forward(x)], 1)
