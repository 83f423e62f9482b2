"""Multigrid as a guest of other solvers: A and one cycle as operators of scipy.sparse.linalg.

The functions of this file are methods of what :func:`mgcore.poisson_levels` returns:
``levels.as_linear_operator()``. Vectors hold the unknowns in C order, the nodes of Dirichlet sides
left out. Rows are weighted with the volume that belongs to their node, in units of the mean one: on
an even mesh with Dirichlet sides that changes nothing; elsewhere it makes A symmetric, as conjugate
gradients need it. The right-hand side is weighted in the same way: ``levels.weigh(g)``.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from mgcore.box_level import BoxLevel
from mgcore.chain import rungs
from mgcore.cycle import Cycle, cycle_pair, run
from mgcore.diffusion import Medium
from mgcore.gate import real_array
from mgcore.operators import Operator
from mgcore.poisson_level import PoissonLevel
from mgcore.stencil_level import StencilLevel, stencil_levels

__all__ = ["as_linear_operator", "as_preconditioner", "operator", "spread", "weigh"]


def operator(levels: Sequence[Any]) -> Operator:
    """The finest operator: its couplings, its stencil, its sparse matrix."""
    return _finest(levels).operator


def weigh(levels: Sequence[Any], g: Any, boundary: Any = 0.0) -> np.ndarray:
    """A right-hand side at the nodes as the vector that belongs to :func:`as_linear_operator`.

    In a problem that knows u up to a constant, the mean of g is taken out.

    Parameters
    ----------
    levels : Hierarchy
        From :func:`mgcore.poisson_levels`.
    g : array_like
        Node values, of the grid's shape.
    boundary
        What is given on the sides, as for :func:`mgcore.solve`; :func:`spread` must be told, too.
    """
    fine = _finest(levels)
    posed = fine.pose(fine.nodes(g, "g"), boundary)
    right = posed.g if posed.lift is None else fine.without(posed.g, posed.lift)
    return (right[fine.grid.unknown] * _volumes(fine)).reshape(-1)


def spread(levels: Sequence[Any], x: Any, boundary: Any = 0.0) -> np.ndarray:
    """A vector of unknowns as node values, those of `boundary` on Dirichlet sides."""
    fine = _finest(levels)
    u = _spread(fine, x)
    lift = fine.pose(np.zeros_like(u), boundary).lift
    return u if lift is None else fine.plus(u, lift)


def _finest(levels: Sequence[Any]) -> PoissonLevel | BoxLevel | StencilLevel:
    """The first of the levels, if they are this package's."""
    fine = levels[0]
    if not isinstance(fine, PoissonLevel | BoxLevel | StencilLevel):
        raise ValueError(f"levels must be made by mgcore.poisson_levels, got {type(fine).__name__}")
    return fine


def _volumes(level: Any) -> np.ndarray:
    """Those of the unknowns over their mean, in the level's dtype."""
    return level.volumes.astype(level.dtype, copy=False)


def _spread(level: Any, x: Any) -> np.ndarray:
    u = np.zeros(level.grid.shape, level.dtype)
    u[level.grid.unknown] = np.reshape(real_array(x, "x"), level.grid.interior)
    return u


def as_linear_operator(levels: Sequence[Any]) -> LinearOperator:
    """A on the finest grid, for scipy's Krylov methods.

    Parameters
    ----------
    levels : Hierarchy
        From :func:`mgcore.poisson_levels`.

    Returns
    -------
    LinearOperator
        diag(v) A with v the volumes of the nodes over their mean, of shape (n, n) for n unknowns:
        symmetric, if a stencil given as the operator is its own image in the origin.
    """
    fine = _finest(levels)
    grid, volumes = fine.grid, _volumes(fine)
    zero = np.zeros(grid.shape, fine.dtype)

    def product(x: np.ndarray) -> np.ndarray:
        applied = -fine.defect(zero, _spread(fine, x))[grid.unknown]
        return (applied * volumes).reshape(-1)

    shape = (fine.size, fine.size)
    back = product if fine.operator.symmetric else None
    return LinearOperator(shape, matvec=product, rmatvec=back, dtype=fine.dtype)


def as_preconditioner(levels: Sequence[Any], cycle: str | Sequence[Any] = "v") -> LinearOperator:
    """One cycle from zero as an approximate inverse of :func:`as_linear_operator`, symmetric.

    In a problem that knows u up to a constant, it is that of vectors whose mean was taken out.

    Parameters
    ----------
    levels : Hierarchy
        From :func:`mgcore.poisson_levels`, with full weighting.
    cycle : {"v", "w"} or sequence of Visit
        With as many steps after as before the correction, which makes the inverse symmetric:
        coloured sweeps go backwards after the correction.

    Raises
    ------
    ValueError
        For levels or cycles that make no symmetric inverse.
    """
    chain = _symmetric_levels(levels)
    first, _ = cycle_pair(cycle, len(chain))
    if first.fresh or cycle == "f" or not _symmetric(first, len(chain) - 1):
        raise ValueError(
            "a preconditioner for conjugate gradients needs a cycle that reads the same backwards "
            f"and turns around on the coarsest grid, such as 'v' or 'w', got {cycle!r}"
        )
    for level in chain:
        _check_symmetric(level)
    fine = chain[0]
    volumes = _volumes(fine)
    parts = (volumes / volumes.sum()).reshape(-1)

    def product(r: np.ndarray) -> np.ndarray:
        r = np.reshape(r, -1)  # scipy may give a column
        if fine.singular:
            r = r - parts * r.sum()
        g = _spread(fine, r)
        g[fine.grid.unknown] /= volumes
        u = fine.finish(run(chain, first, fine.start(g)))[fine.grid.unknown].reshape(-1)
        return u - parts @ u if fine.singular else u

    shape = (fine.size, fine.size)
    return LinearOperator(shape, matvec=product, rmatvec=product, dtype=fine.dtype)


def _symmetric(cycle: Cycle, coarsest: int) -> bool:
    """Whether the sweeps after a cycle's corrections mirror those before, and no other is there."""
    levels = [-1, *(visit.level for visit in cycle), -1]
    turns = (here for before, here, after in zip(levels, levels[1:], levels[2:], strict=False)
             if before <= here >= after)  # fmt: skip
    return Cycle(reversed(cycle)) == cycle and all(here == coarsest for here in turns)


def _check_symmetric(level: StencilLevel) -> None:
    """Refuse an operator, or a kernel for B, with which a cycle is not symmetric."""
    operator = level.operator
    if not operator.symmetric:
        raise ValueError("a symmetric preconditioner needs an operator that is symmetric")
    if level.coarse is None:  # is solved
        return
    uniform = operator.uniform_diagonal is not None and np.ptp(level.volumes) < 1e-9
    for kernel in (sweep.kernel for sweep in level.smoother.sweeps(operator)):
        if kernel is not None and not (uniform and kernel.even(rtol=1e-6)):
            raise ValueError(
                "a kernel is a symmetric smoother only if it is its own image in the origin, and "
                "all nodes have one volume and one diagonal; use another smoother, such as "
                "'redblack'"
            )


def _symmetric_levels(levels: Sequence[Any]) -> list[StencilLevel]:
    """The levels as StencilLevels that sweep backwards after corrections."""
    fine = _finest(levels)
    if isinstance(fine, PoissonLevel):
        ladder = rungs(
            [level.grid for level in levels], Medium.given(fine.grid), fine.restriction, "linear"
        )
        chain = stencil_levels(ladder, fine.smoother, fine.dtype.name)
    else:
        chain = [copy.copy(getattr(level, "general", level)) for level in levels]
        for level, below in zip(chain, [*chain[1:], None], strict=True):
            level.coarse = below
    if not all(level.adjoint for level in chain[:-1]):
        raise ValueError("a symmetric preconditioner needs full weighting as the restriction")
    for level in chain:
        level.backwards = True
    return chain
