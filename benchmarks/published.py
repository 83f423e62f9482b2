"""MgNet as its authors' code computes it, and that it is the same network as ours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, relu

from mgnet import MgNet
from mgnet.cost import count_parameters

__all__ = ["CLASSES", "PICTURE", "STEPS", "Published", "check_same", "twin"]

PICTURE, CLASSES, STEPS = (3, 32, 32), 10, (2, 2, 2, 2)


class Published(nn.Module):
    """MgNet as its authors' code computes it: (u, g), and every A u a convolution.

    The very first one, where u = 0, is one, too. A and B are shared by the iterations of a level;
    normalisations are not.

    Parameters
    ----------
    channels, steps : sequence of int
        One number for each level, the finest first.
    """

    def __init__(self, channels: Sequence[int], steps: Sequence[int] = STEPS):
        super().__init__()

        def kernel(c_in: int, c_out: int, stride: int = 1) -> nn.Module:
            return nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)

        def norms(c: int, count: int) -> nn.ModuleList:
            return nn.ModuleList(nn.BatchNorm2d(c) for _ in range(count))

        levels = list(zip(channels, steps, strict=True))
        pairs = list(pairwise(channels))
        self.theta = kernel(PICTURE[0], channels[0])
        self.norm_theta = nn.BatchNorm2d(channels[0])
        self.A = nn.ModuleList(kernel(c, c) for c in channels)
        self.B = nn.ModuleList(kernel(c, c) for c in channels)
        self.before: Any = nn.ModuleList(norms(c, count) for c, count in levels)
        self.after: Any = nn.ModuleList(norms(c, count) for c, count in levels)
        self.Pi = nn.ModuleList(kernel(c, c_next, 2) for c, c_next in pairs)
        self.R = nn.ModuleList(kernel(c, c_next, 2) for c, c_next in pairs)
        self.norm_Pi = nn.ModuleList(nn.BatchNorm2d(c) for c in channels[1:])
        self.norm_R = nn.ModuleList(nn.BatchNorm2d(c) for c in channels[1:])
        self.head = nn.Linear(channels[-1], CLASSES)

    def forward(self, f: Tensor) -> Tensor:
        """Class scores (batch, classes) of pictures `f`, ``(batch, 3, n, n)``."""
        g = relu(self.norm_theta(self.theta(f)))
        u = torch.zeros_like(g)
        for level, (A, B) in enumerate(zip(self.A, self.B, strict=True)):
            if level > 0:
                r = g - self.A[level - 1](u)
                u = relu(self.norm_Pi[level - 1](self.Pi[level - 1](u)))
                g = relu(self.norm_R[level - 1](self.R[level - 1](r))) + A(u)
            for before, after in zip(self.before[level], self.after[level], strict=True):
                u = u + relu(after(B(relu(before(g - A(u))))))
        return self.head(adaptive_avg_pool2d(u, 1).flatten(1))


def twin(network: MgNet) -> Published:
    """The published form with the weights of `network`, whose A and B are shared by a level."""
    levels = network.levels
    there = Published(network.channels, [len(level.before) for level in levels])
    stem: Any = network.stem
    pairs = [(there.theta, stem[0]), (there.norm_theta, stem[1][0]), (there.head, network.head)]
    for k, level in enumerate(levels):
        pairs += [(there.A[k], level.A[0]), (there.B[k], level.B[0])]
        pairs += zip(there.before[k], (norm for norm, _ in level.before), strict=True)
        pairs += zip(there.after[k], (norm for norm, _ in level.after), strict=True)
    for k, level in enumerate(levels[:-1]):
        pairs += [(there.Pi[k], level.Pi[0]), (there.norm_Pi[k], level.Pi[1][0])]
        pairs += [(there.R[k], level.R[0]), (there.norm_R[k], level.R[1][0])]
    for module, source in pairs:
        module.load_state_dict(source.state_dict())
    return there


def check_same(channels: Sequence[int]) -> float:
    """Largest difference of both forms' scores; refuse to time what is not the same network.

    Both run in float32 on the CPU, with the statistics of the batch, as in training.
    """
    torch.manual_seed(0)
    here = MgNet(channels=channels, steps=STEPS)
    there = twin(here)
    counts = count_parameters(here), count_parameters(there)
    if counts[0] != counts[1]:
        raise RuntimeError(f"channels {channels}: {counts[0]} parameters here, {counts[1]} there")
    pictures = torch.randn(8, *PICTURE)
    with torch.no_grad():
        difference = (here(pictures) - there(pictures)).abs().max().item()
    if not difference <= 1e-4:
        raise RuntimeError(f"channels {channels}: scores of both forms differ by {difference:.3g}")
    return difference
