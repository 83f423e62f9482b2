"""ResNet and pre-act ResNet, their kernels A and B one for each block or shared by a stage.

In a block, B is the first convolution and A the second (He & Xu 2019). A stage is a level: what
halves the grid in between is R.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mgcore.cycle import run, slash_cycle
from mgnet import gate
from mgnet.activations import Sigma, per_level
from mgnet.conv import batch_norm, conv
from mgnet.level import ResidualLevel, states_on_the_way_down
from mgnet.record import recorded
from mgnet.stem import make_stem, smallest_side

__all__ = ["PreActResNet", "ResNet"]


class _Plan:
    """What both networks check and build alike: numbers, sigmas, and the kernels of each stage."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: int | Sequence[int],
        steps: Sequence[int],
        share_A: bool,
        share_B: bool,
        sigma: Sigma,
        share_sigma: bool,
        dim: int,
    ):
        self.channels, self.steps = gate.levels_of(channels, steps)
        gate.positive(in_channels=in_channels, num_classes=num_classes)
        gate.dimension(dim)
        gate.sharing(share_A=share_A, share_B=share_B, share_sigma=share_sigma)
        self.share_A, self.share_B, self.dim = share_A, share_B, dim
        self.sigmas = per_level(sigma, self.channels, share=share_sigma)

    def norm(self, stage: int) -> nn.Module:
        return batch_norm(self.dim, self.channels[stage])

    def activation(self, stage: int) -> nn.Module:
        return nn.Sequential(self.norm(stage), self.sigmas[stage]())

    def kernels(self, stage: int) -> tuple[list[nn.Module], list[nn.Module]]:
        """A and B of every block; the first B halves the grid unless B is shared."""
        c, count, dim = self.channels[stage], self.steps[stage], self.dim

        def series(share: bool) -> list[nn.Module]:
            if share and stage > 0:
                return [conv(dim, c, c)] * count
            return [conv(dim, c, c) for _ in range(count)]

        A, B = series(self.share_A), series(self.share_B)
        if stage > 0 and not self.share_B:
            B[0] = conv(dim, self.channels[stage - 1], c, stride=2)
        return A, B

    def shortcut(self, stage: int) -> nn.Module:
        """The 1x1 convolution with stride 2 that leads to a stage."""
        return conv(self.dim, self.channels[stage - 1], self.channels[stage], 1, stride=2)


@recorded
class ResNet(nn.Module):
    """Stem, stages of ``r <- sigma(r + A sigma(B r))``, average pooling, linear head.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of a picture; classes to tell apart.
    channels : int or sequence of int
        Channels on each stage.
    steps : sequence of int
        Blocks on each stage: (2, 2, 2, 2) is ResNet-18, (3, 4, 6, 3) ResNet-34.
    share_A, share_B : bool
        One kernel for all blocks of a stage, or one for each. The first stage never shares.
    sigma, share_sigma
        As in :class:`mgnet.MgNet`.
    stem : {"small", "large", "whitened"}
        For pictures of 32 x 32 or of 224 x 224 pixels: :func:`mgnet.stem.make_stem`.
    dim : {1, 2, 3}
        1 for series, 2 for pictures, 3 for volumes.

    Raises
    ------
    ValueError
        If channels and steps differ in length, a number is not positive, the stem is unknown, a
        switch is neither True nor False, or sigma makes no module;
        in `forward`, if the picture is too small for the stages or has other channels.

    Notes
    -----
    Eqs. 15 and 29 of the lecture (He, Zhang, Ren & Sun 2016), with batch normalisation behind every
    convolution, one for each block even where blocks share kernels.

    The first block of each later stage halves the grid: ``r' = sigma(S r + A sigma(B r))``, B and
    the 1x1 convolution S with stride 2. A shared B cannot have two strides. There S alone leads to
    the stage, ``r' = sigma(S r)``, as R does in MgNet, and all blocks are alike. This structure,
    with a first stage that does not share, has the parameter counts that are published; the
    authors' code is not.

    Examples
    --------
    >>> model = ResNet(num_classes=100, share_A=True, share_B=True)
    >>> sum(p.numel() for p in model.parameters())
    6575268
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        channels: int | Sequence[int] = (64, 128, 256, 512),
        steps: Sequence[int] = (2, 2, 2, 2),
        share_A: bool = False,
        share_B: bool = False,
        *,
        sigma: Sigma = nn.ReLU,
        share_sigma: bool = False,
        stem: str = "small",
        dim: int = 2,
    ):
        super().__init__()
        plan = _Plan(
            in_channels, num_classes, channels, steps, share_A, share_B, sigma, share_sigma, dim
        )
        self.in_channels, self.dim = in_channels, dim
        self.stem = make_stem(stem, dim, in_channels, plan.channels[0], plan.activation(0))
        self.smallest = smallest_side(stem, len(plan.steps))
        self.stages = nn.Sequential()
        for stage, count in enumerate(plan.steps):
            A, B = plan.kernels(stage)
            blocks = nn.Sequential()
            shortcut: nn.Module | None = None
            if stage > 0:
                shortcut = nn.Sequential(plan.shortcut(stage), plan.norm(stage))
                if share_B:
                    blocks.append(shortcut.append(plan.sigmas[stage]()))
                    shortcut = None
            for i in range(count):
                blocks.append(
                    _Block(
                        nn.Sequential(B[i], plan.activation(stage), A[i], plan.norm(stage)),
                        shortcut if i == 0 else None,
                        plan.sigmas[stage](),
                    )
                )
            self.stages.append(blocks)
        self.head = nn.Linear(plan.channels[-1], num_classes)

    def forward(self, f: Tensor) -> Tensor:
        """Class scores (batch, num_classes) of pictures `f`, ``(batch, in_channels, *picture)``."""
        return self.head(self.features(f)[-1].flatten(2).mean(2))

    def features(self, f: Tensor) -> list[Tensor]:
        """r behind each stage, the finest first, ``(batch, channels[l], *grid)``."""
        gate.pictures(f, self.in_channels, self.dim, self.smallest)
        r, found = self.stem(f), []
        for stage in self.stages:
            r = stage(r)
            found.append(r)
        return found


class _Block(nn.Module):
    """r <- sigma(r + correction(r)), or sigma(shortcut(r) + correction(r))."""

    def __init__(self, correction: nn.Module, shortcut: nn.Module | None, sigma: nn.Module):
        super().__init__()
        self.correction, self.shortcut, self.sigma = correction, shortcut, sigma

    def forward(self, r: Tensor) -> Tensor:
        kept = r if self.shortcut is None else self.shortcut(r)
        return self.sigma(kept + self.correction(r))


@recorded
class PreActResNet(nn.Module):
    """MgNet in its residual form, read out at r: stages of ``r <- r - A sigma(B sigma(r))``.

    Every stage is a :class:`mgnet.ResidualLevel`, and :func:`mgcore.cycle.run` walks them.

    Parameters
    ----------
    in_channels, num_classes, channels, steps, share_A, share_B, sigma, share_sigma, stem, dim
        As in :class:`ResNet`.

    Raises
    ------
    ValueError
        As in :class:`ResNet`.

    Notes
    -----
    Eqs. 26 and 28 of the lecture, where A stands for our -A: with r = g - A u the sign of the
    residual correction is a minus (theorem on MgNet and pre-act ResNet, He & Xu 2019). Kernels are
    trained from values as likely as their negatives, so the sign is a matter of names. Batch
    normalisation comes before every sigma, one for each block even where blocks share kernels, and
    once more, with sigma, before the pooling (He, Zhang, Ren & Sun 2016, "Identity mappings"). None
    follows the stem: the first block begins with it.

    The levels carry u along, which nobody reads here; it costs one addition for each block.

    The first block of each later stage halves the grid: ``r' = S s - A sigma(B s)`` with
    s = sigma(r), B and the 1x1 convolution S with stride 2. It is the restriction R of the level
    before. With a shared B, R is ``r' = S sigma(r)`` alone, and all blocks are iterations.

    Examples
    --------
    >>> model = PreActResNet(num_classes=100, share_A=True)
    >>> [visit.steps for visit in model.cycle]  # iterations, the blocks that halve the grid apart
    [2, 1, 1, 1]
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 10,
        channels: int | Sequence[int] = (64, 128, 256, 512),
        steps: Sequence[int] = (2, 2, 2, 2),
        share_A: bool = False,
        share_B: bool = False,
        *,
        sigma: Sigma = nn.ReLU,
        share_sigma: bool = False,
        stem: str = "small",
        dim: int = 2,
    ):
        super().__init__()
        plan = _Plan(
            in_channels, num_classes, channels, steps, share_A, share_B, sigma, share_sigma, dim
        )
        self.in_channels, self.dim = in_channels, dim
        self.stem = make_stem(stem, dim, in_channels, plan.channels[0])
        self.smallest = smallest_side(stem, len(plan.steps))
        levels: list[ResidualLevel] = []
        iterations = []
        for stage, count in enumerate(plan.steps):
            A, B = plan.kernels(stage)
            if stage > 0:
                correction = None
                if not share_B:  # the first block halves the grid
                    correction = nn.Sequential(B[0], plan.activation(stage), A[0])
                    count -= 1
                    # A level wants an A and a B even if it is left with no iterations to use them.
                    A, B = A[1:] or A, B[1:] or B
                R = _Restriction(plan.activation(stage - 1), plan.shortcut(stage), correction)
                levels[-1].R = R
            levels.append(
                ResidualLevel(
                    A=A,
                    B=B,
                    before=[plan.activation(stage) for _ in range(count)] or None,
                    after=[plan.activation(stage) for _ in range(count)] or None,
                )
            )
            iterations.append(count)
        self.cycle = slash_cycle(iterations)
        self.levels: Any = nn.ModuleList(levels)
        self.sigma = plan.activation(len(plan.steps) - 1)
        self.head = nn.Linear(plan.channels[-1], num_classes)

    def forward(self, f: Tensor) -> Tensor:
        """Class scores (batch, num_classes) of pictures `f`, ``(batch, in_channels, *picture)``."""
        r = self.levels[-1].residual(run(self.levels, self.cycle, self._start(f)))
        return self.head(self.sigma(r).flatten(2).mean(2))

    def features(self, f: Tensor) -> list[Tensor]:
        """r as each stage is left, the finest first, ``(batch, channels[l], *grid)``."""
        states = states_on_the_way_down(self.levels, self.cycle, self._start(f))
        return [level.residual(state) for level, state in zip(self.levels, states, strict=True)]

    def _start(self, f: Tensor) -> Any:
        gate.pictures(f, self.in_channels, self.dim, self.smallest)
        return self.levels[0].start(self.stem(f))


class _Restriction(nn.Module):
    """S s - correction(s), or S s alone, for s = sigma(r)."""

    def __init__(self, sigma: nn.Module, shortcut: nn.Module, correction: nn.Module | None):
        super().__init__()
        self.sigma, self.shortcut, self.correction = sigma, shortcut, correction

    def forward(self, r: Tensor) -> Tensor:
        s = self.sigma(r)
        kept = self.shortcut(s)
        return kept if self.correction is None else kept - self.correction(s)
