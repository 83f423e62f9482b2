"""What all levels on NumPy arrays that Numba's kernels work on have in common."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from mgcore.gate import node_array, output_array
from mgcore.grid import Grid
from mgcore.level import SolverLevel, describe
from mgcore.smoothers import Smoother

__all__ = ["ArrayLevel"]

S = TypeVar("S")


class ArrayLevel(SolverLevel[S]):
    """A level whose node values are NumPy arrays of one dtype.

    Parameters
    ----------
    grid : Grid
    smoother : Smoother
    dtype : str
    coarse : ArrayLevel or None
        The next coarser level; without one, `smooth` solves directly.
    """

    #: What the heading of the table of levels says of plain kernels where passes might have run.
    remark = ""

    def __init__(self, grid: Grid, smoother: Smoother, dtype: str, coarse: Any):
        self.grid, self.smoother, self.coarse = grid, smoother, coarse
        self.dtype = np.dtype(dtype)
        self.size = grid.size
        self.eps = float(np.finfo(self.dtype).eps)
        # Full weighting adds up to 64 of them.
        self.largest_safe = float(np.finfo(self.dtype).max) / 256

    @property
    def direct(self) -> bool:
        """Whether `smooth` solves exactly, as it does on the coarsest grid."""
        return self.coarse is None

    def nodes(self, values: Any, name: str) -> np.ndarray:
        """`values` as a node array of this level's dtype."""
        return node_array(values, self.grid, self.dtype, name)

    def check_out(self, out: Any) -> None:
        """Refuse what cannot take the solution."""
        output_array(out, self.grid, self.dtype)

    def describe(self) -> dict[str, str]:
        """The level's row in the table of levels."""
        return describe(self.grid, "direct" if self.coarse is None else str(self.smoother))
