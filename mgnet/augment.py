"""What is done to training examples by chance: shifts, mirroring, blanks, mixtures.

All draws are made for a whole batch, on the CPU, as a function of (seed, epoch, step). Whoever
computes a part of the batch, a process or a micro-batch, gets that part of the very same draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mgnet.recipe import Recipe
from mgnet.seeds import generator, hashed

__all__ = ["Augmentation", "Mixture", "reflected"]

#: From rows of a batch to the examples in them.
Read = Callable[[Tensor], Tensor]

# Each kind of draw has a stream of its own, so that one more option leaves the others' numbers.
_FLIP, _CUTOUT, _MIX = 1, 2, 3


class Mixture(NamedTuple):
    """Examples, and what each is a mixture of.

    Attributes
    ----------
    examples : Tensor
        ``(B, channels, *grid)``; floating point if mixed, else as they were given.
    first, second : Tensor
        (B,), the numbers in the data set of what an example was made from; equal unless mixed.
    share : float
        Part of the first one.
    """

    examples: Tensor
    first: Tensor
    second: Tensor
    share: float


class _Draws(NamedTuple):
    """For each example of a batch; None where the recipe does not ask for it."""

    nodes: list[Tensor]  # along each axis the (B, n) nodes to read, mirrored at the border
    outside: list[Tensor]  # where those lie outside
    blank: list[Tensor] | None  # along each axis (B, n): within the square that is blanked
    partner: Tensor | None  # (B,) rows of the batch
    share: float
    box: tuple[slice, ...] | None  # what the partner gives; None where it is mixed in everywhere


class Augmentation:
    """Makes batches of training examples.

    Parameters
    ----------
    examples : Tensor
        All of them, ``(N, channels, *grid)``, uint8 or floating point. Where they are read as they
        are needed, a tensor on the meta device says shape and type.
    recipe : Recipe
        Its shift, border, flip, cutout, mixup, cutmix and seed.
    blank : Tensor
        (channels,) what a blanked pixel is.

    Raises
    ------
    ValueError
        If shift or cutout are not smaller than the grid.

    Notes
    -----
    The flip that alternates from epoch to epoch is that of K. Jordan, 94% on CIFAR-10 in 3.29
    seconds on a single GPU (2024); cutout of DeVries & Taylor (2017), mixup of Zhang et al.
    (2018), cutmix of Yun et al. (2019). With both mixtures, each batch takes one of them.
    """

    def __init__(self, examples: Tensor, recipe: Recipe, blank: Tensor):
        self.examples, self.recipe, self.blank = examples, recipe, blank
        self.grid = tuple(examples.shape[2:])
        for name in ("shift", "cutout"):
            if getattr(recipe, name) >= min(self.grid):
                raise ValueError(
                    f"{name} {getattr(recipe, name)} is not smaller than the examples, {self.grid}"
                )
        # Which ones start mirrored is random; then it alternates.
        self.mirrored = torch.randint(2, (len(examples),), generator=generator(recipe.seed, -1))

    def __call__(
        self, batch: Tensor, epoch: int, step: int, part: slice, read: Read | None = None
    ) -> Mixture:
        """The examples with the numbers `batch[part]`, changed by what `batch` has drawn.

        Parameters
        ----------
        batch : Tensor
            (B,) integers on the CPU.
        epoch, step : int
            Of the batch, counted from 0.
        part : slice
            Which of them to make.
        read : callable, optional
            Gives the examples in these rows of the batch, in place of `examples`; it is asked for
            `rows` only.
        """
        draws = self._draw(batch, epoch, step)
        rows = torch.arange(len(batch))[part]
        read = read or (lambda rows: self.examples[batch[rows].to(self.examples.device)])
        examples = self._changed(read(rows), rows, draws)
        if draws.partner is None:
            return Mixture(examples, batch[rows], batch[rows], 1.0)
        partners = draws.partner[rows]
        others = self._changed(read(partners), partners, draws)
        if draws.box is None:
            examples = torch.lerp(others.float(), examples.float(), draws.share)
        else:
            inside: Any = (..., *draws.box)
            examples[inside] = others[inside]
        return Mixture(examples, batch[rows], batch[partners], draws.share)

    def rows(self, batch: Tensor, epoch: int, step: int, part: slice) -> Tensor:
        """Rows of the batch that its part is made from, in ascending order; with partners."""
        rows = torch.arange(len(batch))[part]
        partner, *_ = self._mixture(len(batch), epoch, step)
        return rows if partner is None else torch.cat([rows, partner[rows]]).unique()

    # --- the draws ------------------------------------------------------------------------------

    def _draw(self, batch: Tensor, epoch: int, step: int) -> _Draws:
        r = self.recipe
        count = len(batch)
        numbers = generator(r.seed, epoch, step)
        nodes, outside = [], []
        for n in self.grid:
            shift = torch.randint(-r.shift, r.shift + 1, (count, 1), generator=numbers)
            i = torch.arange(n) + shift
            outside.append((i < 0) | (i >= n))
            nodes.append(reflected(i, n))
        if r.flip != "never":
            if r.flip == "alternate":
                flip = (self.mirrored[batch] + epoch) % 2 == 1
            else:
                flip = torch.rand(count, generator=generator(r.seed, epoch, step, _FLIP)) < 0.5
            nodes[-1] = torch.where(flip[:, None], nodes[-1].flip(1), nodes[-1])
            outside[-1] = torch.where(flip[:, None], outside[-1].flip(1), outside[-1])
        blank = None
        if r.cutout:
            numbers = generator(r.seed, epoch, step, _CUTOUT)
            blank = [self._interval(n, count, numbers) for n in self.grid]
        return _Draws(nodes, outside, blank, *self._mixture(count, epoch, step))

    def _interval(self, n: int, count: int, numbers: torch.Generator) -> Tensor:
        """Of n nodes, `cutout` ones around a random one; fewer at a border."""
        side = self.recipe.cutout
        first = torch.randint(n, (count, 1), generator=numbers) - side // 2
        i = torch.arange(n)
        return (first <= i) & (i < first + side)

    def _mixture(
        self, count: int, epoch: int, step: int
    ) -> tuple[Tensor | None, float, tuple[slice, ...] | None]:
        """Partners, share and box of a batch."""
        r = self.recipe
        if not (r.mixup or r.cutmix):
            return None, 1.0, None
        numbers = np.random.default_rng(hashed(r.seed, epoch, step, _MIX))  # torch's has no Beta
        partner = torch.from_numpy(numbers.permutation(count))
        cut = r.cutmix > 0 and (r.mixup == 0 or numbers.random() < 0.5)
        alpha = r.cutmix if cut else r.mixup
        share = float(numbers.beta(alpha, alpha))
        if not cut:
            return partner, share, None
        box = []
        side = (1 - share) ** (1 / len(self.grid))  # of the box, as a part of the grid's
        for n in self.grid:
            length = round(side * n)
            start = int(numbers.integers(n - length + 1))
            box.append(slice(start, start + length))
        area = math.prod(s.stop - s.start for s in box) / math.prod(self.grid)
        return partner, 1 - area, tuple(box)

    # --- the examples ---------------------------------------------------------------------------

    def _changed(self, chosen: Tensor, rows: Tensor, draws: _Draws) -> Tensor:
        """The examples in these rows of the batch, read at their nodes by one gather."""
        shape, device = chosen.shape, chosen.device

        def mine(axes: list[Tensor]) -> list[Tensor]:
            return [axis[rows].to(device) for axis in axes]

        flat = _combined(mine(draws.nodes), lambda i, j, n: i * n + j)
        index = flat.flatten(1)[:, None].expand(-1, shape[1], -1)
        examples = chosen.flatten(2).gather(2, index).view(shape)
        if self.recipe.border == "zero" and self.recipe.shift:
            gone = _combined(mine(draws.outside), lambda i, j, n: i | j)
            examples.masked_fill_(gone[:, None], 0)
        if draws.blank is not None:
            gone = _combined(mine(draws.blank), lambda i, j, n: i & j)
            blank = self.blank.view(-1, *[1] * len(self.grid))
            examples = torch.where(gone[:, None], blank, examples)
        return examples


def reflected(i: Tensor, n: int) -> Tensor:
    """The node of 0, ..., n - 1 seen at `i`, up to n - 1 outside, in a mirror at the end."""
    i = i.abs()  # at 0 ...
    return n - 1 - (n - 1 - i).abs()  # ... and at n - 1


def _combined(axes: list[Tensor], combine: Callable[[Tensor, Tensor, int], Tensor]) -> Tensor:
    """One ``(B, *grid)`` tensor from one (B, n) tensor for each axis."""
    result = axes[0]
    for axis in axes[1:]:
        one = axis.view(len(axis), *[1] * (result.ndim - 1), -1)
        result = combine(result[..., None], one, axis.shape[1])
    return result
