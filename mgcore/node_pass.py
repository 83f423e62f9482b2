"""Fused passes for -Laplace u on node arrays with zero borders: calls."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from mgcore.diffusion import Diffusion
from mgcore.fused_pass import Pass, Room
from mgcore.gate import stiffness
from mgcore.grid import Grid
from mgcore.kernels import FUSED
from mgcore.space_pass import keeping_u, node_plane, told

__all__ = ["NodePass"]


class NodePass(Pass):
    """Red-black steps on one grid, with what comes before and after.

    See kernels/plane_fused.py and kernels/space_fused.py.

    Parameters
    ----------
    operator : Diffusion
        -Laplace on a grid whose axes are all halved.
    coarse : Grid
    omega : float
    dtype : dtype
    """

    def __init__(self, operator: Diffusion, coarse: Grid, omega: float, dtype: np.dtype):
        grid, real = operator.grid, dtype.type
        super().__init__(grid, coarse, dtype)
        self._shape = grid.shape
        if grid.ndim == 3:
            planes = node_plane(grid), node_plane(coarse)
            self.told = told(operator, coarse, planes, (0, 0), omega, dtype)
            self.told_to_keep_u = keeping_u(self.told)
        else:
            a = tuple(map(real, stiffness(grid, dtype.name)))
            self.told, self.told_to_keep_u = (real(omega), *a), (real(0), *a)

    @property
    def _module(self) -> ModuleType:
        return FUSED[len(self._shape)]

    @property
    def kernels(self) -> tuple[Any, Any]:
        """The passes on the plane, or in space."""
        return self._module.sweep_strip, self._module.sweep

    def space(self, strips: int) -> np.ndarray:
        """Scratch for so many strips."""
        scratch: np.ndarray = self._module.workspace(self._shape, strips, self.dtype)
        return scratch

    def restrict(self, r: np.ndarray, coarse: np.ndarray, room: Room) -> None:
        """Write the full weighting of r into `coarse`."""
        self._module.restrict(r, coarse, room.space, len(room.space))
