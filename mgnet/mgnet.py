"""MgNet: a multigrid cycle whose A, B, R and Pi are trained, as a classifier of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from mgcore.cycle import run, slash_cycle
from mgnet import gate
from mgnet.activations import Sigma, per_level
from mgnet.conv import batch_norm, conv, max_pool
from mgnet.iteration import Chebyshev, Iteration, Multistep
from mgnet.level import (
    ConvLevel,
    FeatureLevel,
    ResidualLevel,
    states_on_the_way_down,
)
from mgnet.record import recorded
from mgnet.stem import make_stem, smallest_side

__all__ = ["MgNet"]

ITERATIONS: dict[str, type[Iteration] | None] = {
    "single": None,
    "multistep": Multistep,
    "chebyshev": Chebyshev,
}
FORMS: dict[str, type[ConvLevel]] = {"feature": FeatureLevel, "residual": ResidualLevel}
RESTRICTIONS = ("strided", "pooled")


@recorded
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
    iteration : {"single", "multistep", "chebyshev"}
        "single" is u <- u + e as above. The others add e to a trained sum of all earlier iterates,
        or of the last two: :mod:`mgnet.iteration`. They start out as the same network.
    sigma : str, Module, callable returning one, or list of these
        The activation, by name (:mod:`mgnet.activations`) or as a module, which is
        copied for each place. A list has one entry for each level, such as ``["hat-5", "hat-10"]``
        or ``[nn.PReLU(c) for c in channels]``. The sigma behind R and Pi is that of the level they
        lead to.
    share_sigma : bool
        One sigma for all places of a level, so that what it trains is there once.
    norm : bool
        Batch normalisation before every sigma.
    Pi : bool
        Start a level from u' = sigma(Pi u), or from u' = 0.
    restriction : {"strided", "pooled"}
        R and Pi as kernels with stride 2, or as kernels that keep the grid, with 2x2 max pooling
        behind them: a nonlinear restriction, for four times the multiply-adds.
    logit_scale : float
        Factor of the class scores. Below 1 the first steps are gentler: u, a sum of iterates, is
        large from the start.
    stem : {"small", "large", "whitened"}
        For small pictures (32 x 32) a kernel that keeps the grid, for large ones (224 x 224) 7x7
        with stride 2 and max pooling: :func:`mgnet.stem.make_stem`.
    kernel_size : int
        Side of the kernels, odd; that of the large stem is 7.
    dim : {1, 2, 3}
        1 for series, 2 for pictures, 3 for volumes.

    Raises
    ------
    ValueError
        If channels and steps differ in length, a number is not positive, the form, the iteration,
        the restriction or the stem is unknown, a switch is neither True nor False, or sigma makes
        no module or is a list of another length;
        in `forward`, if the picture is too small for the levels or has other channels.

    Notes
    -----
    The residual form never uses the A of its very last iteration, the feature form not that of its
    very first, where u = 0 (without Pi, that of the first on each level). Where such a kernel is
    used nowhere else, it takes no gradient (`requires_grad` is False), so optimisers and
    DistributedDataParallel do not wait for one; it stays in the state dict, for both forms to have
    the same.

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
        iteration: str = "single",
        sigma: Sigma = nn.ReLU,
        share_sigma: bool = False,
        norm: bool = True,
        Pi: bool = True,
        restriction: str = "strided",
        logit_scale: float = 1.0,
        stem: str = "small",
        kernel_size: int = 3,
        dim: int = 2,
    ):
        super().__init__()
        channels, steps = gate.levels_of(channels, steps)
        gate.positive(in_channels=in_channels, num_classes=num_classes, kernel_size=kernel_size)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd for the grid to stay, got {kernel_size}")
        gate.dimension(dim)
        gate.switch("norm", norm, "batch normalisation before every sigma", "none")
        gate.switch("Pi", Pi, "a trained first guess u' = sigma(Pi u) on each level", "u' = 0")
        gate.sharing(share_A=share_A, share_B=share_B, share_sigma=share_sigma)
        gate.one_of("form", form, FORMS)
        gate.one_of("iteration", iteration, ITERATIONS)
        gate.one_of("restriction", restriction, RESTRICTIONS)
        gate.factor("logit_scale", logit_scale)
        self.logit_scale = float(logit_scale)
        self.in_channels, self.dim = in_channels, dim
        self.channels, self.cycle = channels, slash_cycle(steps)
        sigmas = per_level(sigma, channels, share=share_sigma)

        def activation(level: int) -> nn.Module:
            act = sigmas[level]()
            if norm:
                return nn.Sequential(batch_norm(dim, channels[level]), act)
            if getattr(act, "inplace", False):
                setattr(act, "inplace", False)  # noqa: B010 - it would overwrite the residual itself
            return act

        def kernels(c: int, count: int) -> list[nn.Module]:
            return [conv(dim, c, c, kernel_size) for _ in range(count)]

        def halve(level: int) -> nn.Module:
            c, c_next = channels[level : level + 2]
            if restriction == "strided":
                theta: nn.Module = conv(dim, c, c_next, kernel_size, stride=2)
            else:
                theta = nn.Sequential(conv(dim, c, c_next, kernel_size), max_pool(dim, 2))
            return nn.Sequential(theta, activation(level + 1))

        self.stem = make_stem(
            stem, dim, in_channels, channels[0], activation(0), kernel_size=kernel_size
        )
        self.smallest = smallest_side(stem, len(steps))
        rule = ITERATIONS[iteration]
        levels: list[ConvLevel] = []
        for level, (c, count) in enumerate(zip(channels, steps, strict=True)):
            coarsest = level + 1 == len(steps)
            levels.append(
                FORMS[form](
                    A=kernels(c, 1 if share_A else count),
                    B=kernels(c, 1 if share_B else count),
                    before=[activation(level) for _ in range(count)],
                    after=[activation(level) for _ in range(count)],
                    Pi=halve(level) if Pi and not coarsest else None,
                    R=None if coarsest else halve(level),
                    iteration=rule(count) if rule and count > 1 else None,
                )
            )
        for fine, coarse in pairwise(levels):
            fine.coarse = coarse
        for level, count in enumerate(steps):
            for A in levels[level].idle(count, from_zero=level == 0 or not Pi):
                A.requires_grad_(False)  # see the notes of the class
        self.levels: Any = nn.ModuleList(levels)
        self.head = nn.Linear(channels[-1], num_classes)

    def forward(self, f: Tensor) -> Tensor:
        """Class scores (batch, num_classes) of pictures `f`, ``(batch, in_channels, *picture)``."""
        u = self.levels[-1].solution(run(self.levels, self.cycle, self._start(f)))
        scores: Tensor = self.head(u.flatten(2).mean(2))
        return scores if self.logit_scale == 1 else self.logit_scale * scores

    def extra_repr(self) -> str:
        """What no submodule says."""
        return "" if self.logit_scale == 1 else f"logit_scale={self.logit_scale:g}"

    def features(self, f: Tensor) -> list[Tensor]:
        """u as each level is left, the finest first, ``(batch, channels[l], *grid)``."""
        states = states_on_the_way_down(self.levels, self.cycle, self._start(f))
        return [level.solution(state) for level, state in zip(self.levels, states, strict=True)]

    def _start(self, f: Tensor) -> Any:
        gate.pictures(f, self.in_channels, self.dim, self.smallest)
        return self.levels[0].start(self.stem(f))
