"""Many right-hand sides, solved one after the other on the same levels and in the same memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from mgcore.gate import apart, real_array
from mgcore.grid import Grid
from mgcore.sides import Given, Reader
from mgcore.solution import Solution
from mgcore.verdict import Status

__all__ = ["Solver", "one_by_one"]

#: Solves for one right-hand side, from g, u0, boundary and out, without a word about failures.
Solver = Callable[[Any, Any, Any, Any], Solution]


def one_by_one(
    solve_one: Solver,
    grid: Grid,
    dtype: Any,
    g: np.ndarray,
    u0: Any,
    boundary: Any,
    out: np.ndarray | None = None,
) -> Solution:
    """Solve for every member of a batch: all u, and what else the worst of them has to say.

    Parameters
    ----------
    solve_one : callable
    grid : Grid
    dtype : dtype
        That of the solutions.
    g : ndarray
        ``(*batch, *nodes)``.
    u0 : array_like, optional
        What all members share, or an array with the leading axes of `g`.
    boundary
        What :func:`mgcore.solve` takes, for all members or with the leading axes of `g`.
    out : ndarray, optional
        Where the solutions go, of the shape of `g`.

    Raises
    ------
    ValueError
        For arrays that do not fit the batch.
    """
    batch = g.shape[: g.ndim - grid.ndim]
    if 0 in batch:
        raise ValueError(f"g is an empty batch, shape {g.shape}")
    if isinstance(out, np.ndarray):  # a member's solution must not overwrite the next one's g
        g, u0 = apart(g, out), u0 if u0 is out else apart(u0, out)
    starts = _guesses(u0, batch, grid)
    given = Given.told(boundary, grid, Reader(dtype))
    if out is None:
        u = np.empty(g.shape, dtype)
    elif isinstance(out, np.ndarray) and out.shape == g.shape:
        u = out
    else:
        raise ValueError(f"out must be a NumPy array of the shape {g.shape} of g")
    worst = None
    for member in np.ndindex(batch):
        solution = solve_one(g[member], starts(member), given.member(member, batch), u[member])
        worst = solution if worst is None else max(worst, solution, key=_badness)
    assert worst is not None
    return replace(worst, u=u)


def _badness(solution: Solution) -> tuple[Any, ...]:
    status = solution.status
    failure = not status.success and status is not Status.CALLBACK
    return failure, status, solution.nit, solution.residuals[-1]


def _guesses(u0: Any, batch: tuple[int, ...], grid: Grid) -> Callable[[tuple[int, ...]], Any]:
    """What of `u0` belongs to one member: its part of an array with leading axes, else all."""
    if u0 is None:
        return lambda _: None
    array = real_array(u0, "u0")
    own = max(0, array.ndim - grid.ndim)
    if own == 0:
        return lambda _: u0
    try:
        array = np.broadcast_to(array, batch + array.shape[own:])
    except ValueError:
        raise ValueError(f"u0 of shape {array.shape} does not fit the batch {batch} of g") from None
    return lambda member: array[member]
