"""The chain of levels for any operator, sides and mesh."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from mgcore.axis import Table
from mgcore.grid import Grid
from mgcore.operators import Medium, galerkin, of_stencil
from mgcore.smoothers import Smoother
from mgcore.stencil import Stencil
from mgcore.stencil_level import StencilLevel
from mgcore.transfer import prolongation as prolongation_weights
from mgcore.transfer import restriction as restriction_weights

__all__ = ["general_levels"]


def general_levels(
    grid: Grid,
    equation: Medium | Stencil,
    smoother: Smoother,
    restriction: str,
    prolongation: str,
    dtype: str,
) -> list[StencilLevel]:
    """Levels from the finest to the coarsest.

    A medium is seen anew on every grid; a stencil is the finest operator, and R A P the coarser.
    """
    prolongation_weights(prolongation, (True,) * grid.ndim)  # these check the names
    restriction_weights(restriction, (True,) * grid.ndim)
    grids = list(grid.chain())
    operators = [of_stencil(grid, equation) if isinstance(equation, Stencil)
                 else equation.operator()]  # fmt: skip
    transfers: list[dict[str, Any]] = []
    for fine, coarse in pairwise(grids):
        halved = [a is not b for a, b in zip(fine.axes, coarse.axes, strict=True)]
        up, cubic = (_along(fine, halved, name) for name in ("linear", "cubic"))
        down = _restrictions(fine, halved, restriction)
        transfers.append({
            "restrictions": down, "prolongation": up, "interpolation": cubic,
            "adjoint": restriction == "full",
        })  # fmt: skip
        if isinstance(equation, Stencil):
            full = _along(fine, halved, "full_weighting")
            operators.append(galerkin(operators[-1], coarse, full, up))
        else:
            equation = equation.coarser(coarse, halved)
            operators.append(equation.operator())
    levels: list[StencilLevel] = []
    for number in reversed(range(len(grids))):
        below = levels[0] if levels else None
        how = transfers[number] if below else {}
        levels.insert(0, StencilLevel(operators[number], smoother, dtype, below, **how))
    return levels


def _along(grid: Grid, halved: list[bool], name: str) -> list[Table]:
    """A transfer of :class:`~mgcore.axis.Axis` along the axes that are halved."""
    return [
        getattr(axis, name)() if half else axis.identity()
        for axis, half in zip(grid.axes, halved, strict=True)
    ]


def _restrictions(grid: Grid, halved: list[bool], name: str) -> list[list[Table]]:
    """Products of transfers whose sum is the restriction `name`."""
    if name == "half" and all(halved):  # (1/8) [1; 1 4 1; 1] is the mean of two
        first, second = grid.axes
        return [
            [first.full_weighting().times(0.5), second.injection()],
            [first.injection().times(0.5), second.full_weighting()],
        ]
    return [_along(grid, halved, "injection" if name == "injection" else "full_weighting")]
