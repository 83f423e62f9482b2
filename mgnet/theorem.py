"""MgNet and pre-act ResNet: the same residuals, computed both ways (He & Xu 2019, eq. 26)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from mgcore.cycle import run, slash_cycle
from mgnet import record
from mgnet.level import ResidualLevel
from mgnet.mgnet import MgNet

__all__ = ["Residuals", "in_form", "preact_resnet", "residuals"]


class Residuals(NamedTuple):
    """The residuals with which one level is left, ``(batch, channels, *grid)`` each.

    Attributes
    ----------
    mgnet : Tensor
        g - A u, u by ``u <- u + sigma(B sigma(g - A u))``.
    resnet : Tensor
        r by ``r <- r - A sigma(B sigma(r))`` from r = g.
    """

    mgnet: Tensor
    resnet: Tensor

    @property
    def gap(self) -> float:
        """The largest difference, relative to the largest residual."""
        return float((self.mgnet - self.resnet).abs().max() / self.mgnet.abs().max())


def in_form(network: MgNet, form: str) -> MgNet:
    """The same network with the same weights, in the feature or the residual form.

    Parameters
    ----------
    network : MgNet
    form : {"feature", "residual"}

    Raises
    ------
    ValueError
        If the network has an A for each iteration: then the two forms are different networks.
    """
    about = record.describe(network)
    if not about["options"]["share_A"]:
        raise ValueError("with an A for each iteration the two forms are different networks")
    about["options"]["form"] = form
    other: Any = record.rebuild(about).to(next(network.parameters()))
    other.load_state_dict(network.state_dict())
    return other.train(network.training)


def preact_resnet(level: ResidualLevel, r: Tensor, blocks: int) -> Tensor:
    """`blocks` blocks of a pre-act ResNet with a level's kernels, its A with a minus sign."""
    A, B = level.A[0], level.B
    before: Any = level.before
    after: Any = level.after
    for i in range(blocks):
        r = r - A(after[i](B[i % len(B)](before[i](r))))
    return r


@torch.no_grad()
def residuals(network: MgNet, f: Tensor) -> list[Residuals]:
    """Both residuals on every level, the finest first, each from the g that MgNet has there.

    Parameters
    ----------
    network : MgNet
        With one A for a level, in evaluation mode; in double precision the gap is rounding.
    f : Tensor
        ``(batch, in_channels, *picture)``, as the network takes it.

    Raises
    ------
    ValueError
        As in :func:`in_form`.
    """
    levels = in_form(network, "feature").levels
    found = []
    state: Any = levels[0].start(network.stem(f))
    for level, visit in zip(levels, network.cycle, strict=True):
        # u = 0 on every level, as in the theorem: with a first guess, r begins with g - A u.
        start = level.start(level.residual(state))
        end = run([level], slash_cycle([visit.steps]), start)
        mgnet = level.residual(end)
        found.append(Residuals(mgnet, preact_resnet(level, start.g, visit.steps)))
        state = level.smooth(state, visit.steps)
        if level.R is not None:
            state = level.restrict(state)
    return found
