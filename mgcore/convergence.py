"""Measured convergence: the asymptotic factor of a cycle on real grids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mgcore.cycle import Visit, run

__all__ = ["asymptotic_factor"]


def asymptotic_factor(
    levels: Sequence[Any],
    cycle: Sequence[Visit],
    *,
    cycles: int = 60,
    last: int = 10,
    seed: int = 0,
) -> float:
    """The factor by which a cycle reduces the error once the worst errors are left.

    Parameters
    ----------
    levels : Hierarchy
        From :func:`mgcore.poisson_levels` or :func:`mgnet.poisson_levels`.
    cycle : sequence of Visit
    cycles : int
        Cycles run from a random initial error with g = 0; the first ones look far better than
        those to come.
    last : int
        Cycles over which the geometric mean of ||u_k|| / ||u_{k-1}|| is taken.
    seed : int

    Returns
    -------
    float
        0 where the error vanished, as it does in 1D with red-black Gauss-Seidel.

    Raises
    ------
    ValueError
        If `last` is not below `cycles`.
    """
    if not 0 < last < cycles:
        raise ValueError(f"last must be positive and below cycles, got {last} of {cycles}")
    fine = levels[0]
    shape = fine.grid.shape
    state = fine.start(np.zeros(shape), np.random.default_rng(seed).standard_normal(shape))
    norms = []
    for _ in range(cycles):
        state = run(levels, cycle, state)
        norms.append(_norm(fine.solution(state)))
    return (norms[-1] / norms[-1 - last]) ** (1 / last) if norms[-1] > 0 else 0.0


def _norm(u: Any) -> float:
    largest = float(abs(u).max())
    # Squares of the tiny errors of late cycles would underflow.
    return largest * float(((u / largest) ** 2).sum()) ** 0.5 if largest else 0.0
