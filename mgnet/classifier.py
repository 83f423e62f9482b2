"""MgNet: a multigrid cycle whose A, B, R and Pi are trained, as a classifier of pictures."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any

from torch import Tensor, nn

from mgcore.cycle import run, slash_cycle
from mgnet.level import ConvLevel, conv

__all__ = ["MgNet"]


class MgNet(nn.Module):
    """Stem, levels walked by a slash cycle, average pooling, linear head (He & Xu 2019).

    ::

        g <- sigma(theta f),  u <- 0
        on level l, steps[l] times:  u <- u + sigma(B sigma(g - A u))
        to the next:                 u' <- sigma(Pi u),  g' <- sigma(R (g - A u)) + A' u'
        output:                      linear(mean(u)) on the coarsest level

    with 3x3 kernels and batch normalisation inside every sigma.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of a picture; classes to tell apart.
    channels : int or sequence of int
        Channels of u and g, one number for all levels or one for each.
    steps : sequence of int
        Iterations on each level, the finest first; its length is the number of levels.
    share_A, share_B : bool
        One kernel for all iterations of a level, or one for each.
    form : {"residual", "feature"}
        "feature" runs (u, g) as above; "residual" runs (u, r) with r = g - A u, which needs fewer
        convolutions. With `share_A` they are the same function and share checkpoints; without,
        they are different networks.
    sigma : Module or callable returning one
        The activation; a module is copied for each place.
    norm : bool
        Batch normalisation before every sigma.
    kernel_size : int
        Side of the kernels, odd.
    dim : {1, 2, 3}
        1 for series, 2 for pictures, 3 for volumes.

    Raises
    ------
    ValueError
        If channels and steps differ in length, a number is not positive, the form is unknown, a
        switch is neither True nor False, or sigma makes no module;
        in `forward`, if the picture is too small for the levels or has other channels.

    Notes
    -----
    The residual form never uses the A of its very last iteration, the feature form not that of its
    very first, where u = 0. Where such a kernel is used nowhere else, it takes no gradient
    (`requires_grad` is False), so optimisers and DistributedDataParallel do not wait for one; it
    stays in the state dict, for both forms to have the same.

    Examples
    --------
    >>> model = MgNet(channels=256)
    >>> sum(p.numel() for p in model.parameters())
    8278794
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        channels: int | Sequence[int] = 256,
        steps: Sequence[int] = (2, 2, 2, 2),
        share_A: bool = True,
        share_B: bool = True,
        form: str = "residual",
        *,
        sigma: nn.Module | Callable[[], nn.Module] = nn.ReLU,
        norm: bool = True,
        kernel_size: int = 3,
        dim: int = 2,
    ):
        super().__init__()
        steps = tuple(steps) if isinstance(steps, Iterable) else (steps,)
        channels = tuple(channels) if isinstance(channels, Iterable) else (channels,) * len(steps)
        if len(channels) != len(steps):
            raise ValueError(
                f"channels and steps need one number for each level, got {len(channels)} channels "
                f"{channels} and {len(steps)} steps {steps}"
            )
        for name, numbers in (
            ("in_channels", (in_channels,)), ("num_classes", (num_classes,)),
            ("channels", channels), ("steps", steps), ("kernel_size", (kernel_size,)),
        ):  # fmt: skip
            if not numbers or not all(isinstance(n, Integral) and int(n) > 0 for n in numbers):
                raise ValueError(f"{name} must be positive whole numbers, got {numbers}")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd for the grid to stay, got {kernel_size}")
        if dim not in (1, 2, 3):
            raise ValueError(f"dim must be 1, 2 or 3, got {dim}")
        for name, switch, on, off in (
            ("norm", norm, "batch normalisation before every sigma", "none"),
            ("share_A", share_A, "one A for all iterations of a level", "one for each"),
            ("share_B", share_B, "one B for all iterations of a level", "one for each"),
        ):
            if not isinstance(switch, bool):
                raise ValueError(f"{name} must be True ({on}) or False ({off}), got {switch!r}")
        self.in_channels, self.dim = in_channels, dim
        self.channels, self.cycle = channels, slash_cycle(steps)

        batch_norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dim]

        def activation(c: int) -> nn.Module:
            act = copy.deepcopy(sigma) if isinstance(sigma, nn.Module) else _made_by(sigma)
            if norm:
                return nn.Sequential(batch_norm(c), act)
            if getattr(act, "inplace", False):
                setattr(act, "inplace", False)  # noqa: B010 - it would overwrite the residual itself
            return act

        def kernels(c: int, count: int) -> list[nn.Module]:
            return [conv(dim, c, c, kernel_size) for _ in range(count)]

        def halve(c: int, c_next: int) -> nn.Module:
            return nn.Sequential(conv(dim, c, c_next, kernel_size, stride=2), activation(c_next))

        self.stem = nn.Sequential(
            conv(dim, in_channels, channels[0], kernel_size), activation(channels[0])
        )
        levels: list[ConvLevel] = []
        for level, (c, count) in enumerate(zip(channels, steps, strict=True)):
            c_next = channels[level + 1] if level + 1 < len(steps) else None
            levels.append(
                ConvLevel(
                    A=kernels(c, 1 if share_A else count),
                    B=kernels(c, 1 if share_B else count),
                    before=[activation(c) for _ in range(count)],
                    after=[activation(c) for _ in range(count)],
                    Pi=None if c_next is None else halve(c, c_next),
                    R=None if c_next is None else halve(c, c_next),
                    form=form,
                )
            )
        for fine, coarse in pairwise(levels):
            fine.coarse = coarse
        idle = levels[-1].A[-1] if form == "residual" else levels[0].A[0]
        count = steps[-1] if form == "residual" else steps[0]
        restricts = form == "feature" and len(steps) > 1  # by way of the level's last A
        if (count == 1 and not restricts) or (count > 1 and not share_A):
            idle.requires_grad_(False)
        self.levels: Any = nn.ModuleList(levels)
        self.head = nn.Linear(channels[-1], num_classes)

    def features(self, f: Tensor) -> Tensor:
        """u on the coarsest level, ``(batch, channels[-1], *coarsest grid)``."""
        self._check(f)
        state = self.levels[0].start(self.stem(f))
        return self.levels[-1].solution(run(self.levels, self.cycle, state))

    def forward(self, f: Tensor) -> Tensor:
        """Class scores (batch, num_classes) of pictures `f`, ``(batch, in_channels, *picture)``."""
        return self.head(self.features(f).flatten(2).mean(2))

    def _check(self, f: Tensor) -> None:
        if not isinstance(f, Tensor) or not f.is_floating_point():
            kind = f.dtype if isinstance(f, Tensor) else type(f).__name__
            raise ValueError(f"pictures must be a floating-point tensor, got {kind}")
        smallest = 2 ** (len(self.levels) - 1)
        if f.ndim != self.dim + 2 or f.shape[1] != self.in_channels:
            raise ValueError(
                f"pictures must have shape (batch, {self.in_channels}, "
                f"{', '.join(['n'] * self.dim)}), got {tuple(f.shape)}"
            )
        if min(f.shape[2:]) < smallest:
            raise ValueError(
                f"{len(self.levels)} levels need pictures of at least {smallest} pixels a side, "
                f"got {tuple(f.shape[2:])}; use fewer levels or larger pictures"
            )


def _made_by(sigma: Callable[[], nn.Module]) -> nn.Module:
    try:
        made = sigma()
    except TypeError:  # a function of tensors, or nothing that can be called
        made = None
    if not isinstance(made, nn.Module):
        raise ValueError(
            f"sigma must be a module or a callable that makes one, such as nn.ReLU, got {sigma!r}"
        )
    return made
