"""The chain of grids for any operator, sides and mesh, as records to build levels from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral
from typing import NamedTuple

from mgcore.axis import Table
from mgcore.diffusion import Medium
from mgcore.grid import Grid
from mgcore.inverse import most_unknowns
from mgcore.operators import Operator, galerkin, of_stencil
from mgcore.stencil import Stencil
from mgcore.transfer import check_names, terms

__all__ = ["Rung", "grids", "rungs"]


class Rung(NamedTuple):
    """One grid of a chain: what it takes to make a level of it.

    Attributes
    ----------
    operator : Operator
        A, with its grid.
    down : sequence of sequence of Table
        Products of transfers along the axes, from nodes to nodes, whose sum is the restriction to
        the next coarser grid; empty on the coarsest.
    up, cubic : sequence of Table
        Linear prolongation and cubic interpolation from the coarser grid; empty on the coarsest.
    adjoint : bool
        Whether the restriction is the adjoint of the prolongation.
    """

    operator: Operator
    down: Sequence[Sequence[Table]] = ()
    up: Sequence[Table] = ()
    cubic: Sequence[Table] = ()
    adjoint: bool = True


def grids(grid: Grid, equation: Medium | Stencil, coarsest: int | None = None) -> list[Grid]:
    """The grids from the finest to the coarsest.

    Parameters
    ----------
    grid : Grid
    equation : Medium or Stencil
    coarsest : int, optional
        Coarsening ends at so many unknowns, by default at as many as are solved directly in the
        time of a visit.

    Raises
    ------
    ValueError
        If `coarsest` is not a whole number of one or more.
    """
    if coarsest is None:
        coarsest = most_unknowns(equation, grid.ndim)
    if not isinstance(coarsest, Integral) or isinstance(coarsest, bool) or coarsest < 1:
        raise ValueError(
            f"coarsest must be a number of unknowns, 1 or more, or None, got {coarsest!r}"
        )
    return list(grid.chain(int(coarsest)))


def rungs(
    chain: Sequence[Grid], equation: Medium | Stencil, restriction: str, prolongation: str
) -> list[Rung]:
    """The records of a chain of :func:`grids`, or of the last ones of such a chain.

    A medium is seen anew on every grid; a stencil is the finest operator, and R A P the coarser.

    Raises
    ------
    ValueError
        For a transfer or an equation that does not fit the grid.
    """
    finest = chain[0]
    check_names(restriction, prolongation, finest.ndim)
    if isinstance(equation, Stencil):
        operator = of_stencil(finest, equation)
    else:
        operator = equation.operator()
    found: list[Rung] = []
    for fine, coarse in pairwise(chain):
        halved = [a is not b for a, b in zip(fine.axes, coarse.axes, strict=True)]
        up, cubic = (_along(fine, _where(halved, name)) for name in ("linear", "cubic"))
        down = _restrictions(fine, halved, restriction)
        found.append(Rung(operator, down, up, cubic, restriction == "full"))
        if isinstance(equation, Stencil):
            full = _along(fine, _where(halved, "full_weighting"))
            operator = galerkin(operator, coarse, full, up)
        else:
            equation = equation.coarser(coarse, halved)
            operator = equation.operator()
    return [*found, Rung(operator)]


def _where(halved: list[bool], name: str) -> list[str]:
    """The name of a transfer for the axes that are halved."""
    return [name if half else "identity" for half in halved]


def _along(grid: Grid, names: list[str]) -> list[Table]:
    """Transfers of :class:`~mgcore.axis.Axis`, one along each axis."""
    return [getattr(axis, name) for axis, name in zip(grid.axes, names, strict=True)]


def _restrictions(grid: Grid, halved: list[bool], name: str) -> list[list[Table]]:
    """Products of transfers whose sum is the restriction `name`."""
    products = [_along(grid, names) for names in terms(name, halved)]
    return [[first.times(1 / len(products)), *rest] for first, *rest in products]
