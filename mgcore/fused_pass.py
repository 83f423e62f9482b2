"""What passes of a level over memory have in common: how they are called, and their scratch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from mgcore.axis import Axis
from mgcore.grid import Grid
from mgcore.kernels import compilation
from mgcore.kernels.halves import NORM
from mgcore.threads import count, usable

__all__ = ["Pass", "Room", "node_by_node"]


@dataclass(slots=True)
class Room:
    """Scratch of a pass: one row of `space` for each thread, room for the `sums` of each.

    `relaxing` says whether the last pass took a step.
    """

    space: np.ndarray
    sums: np.ndarray
    relaxing: bool = True


class Pass(ABC):
    """Red-black steps on one grid, with what comes before and after.

    Parameters
    ----------
    grid, coarse : Grid
        Of this level and the next coarser one; not all pairs of grids have passes.
    dtype : dtype

    Attributes
    ----------
    kernels : tuple
        The pass on one strip and on several.
    told, told_to_keep_u : tuple
        What they are told of the level; and with an omega of zero.
    """

    told: tuple[Any, ...]
    told_to_keep_u: tuple[Any, ...]

    def __init__(self, grid: Grid, coarse: Grid, dtype: np.dtype):
        self.dtype = dtype
        self._most = max(1, (coarse.shape[0] - 2) // 8)
        self._small = grid.size * dtype.itemsize < compilation.SMALL

    @property
    @abstractmethod
    def kernels(self) -> tuple[Any, Any]:
        """Looked up, not kept: a pickled pass would have them compiled anew."""

    @abstractmethod
    def space(self, strips: int) -> np.ndarray:
        """Scratch for so many strips."""

    def room(self) -> Room:
        """Scratch for the threads there are."""
        strips = 1 if self._small else min(count(), self._most)
        return Room(self.space(strips), np.zeros(strips))

    def prepare(self, room: Room, relaxing: bool) -> None:
        """Have the scratch ready for a pass that takes a step, or none."""
        room.relaxing = relaxing

    def __call__(
        self, u: np.ndarray, g: np.ndarray, source: np.int64, e: np.ndarray, sink: np.int64,
        coarse: np.ndarray, room: Room, relaxing: bool = True,
    ) -> float:  # fmt: skip
        """One step; the norm of the residual, where that is the sink.

        With `relaxing` False no step, but what comes before and after.
        """
        self.prepare(room, relaxing)
        told = self.told if relaxing else self.told_to_keep_u
        (alone, several), strips = self.kernels, len(room.space)
        arguments = (u, g, source, e, sink, coarse, room.sums, *told, room.space)
        if strips == 1 or usable() == 1:
            strips = 1
            alone(*arguments, 0, 1)
        else:
            several(*arguments, strips)
        return float(np.sqrt(room.sums[:strips].sum())) if sink == NORM else 0.0


def node_by_node(axis: Axis, coarse: Axis) -> bool:
    """Whether an axis is halved, its coarse nodes being 0, 2, 4 and so on, and maybe the last.

    A periodic axis has an even number of nodes, so that colours take turns across its end.
    """
    kept = axis.kept
    if axis is coarse or (axis.periodic and axis.n % 2) or len(kept) < 2:
        return False
    if (kept[:-1] != 2 * np.arange(len(kept) - 1)).any():
        return False
    return bool(kept[-1] in (2 * len(kept) - 2, 2 * len(kept) - 3))
