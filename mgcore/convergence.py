"""Measured convergence: the asymptotic factor of a cycle on real grids, and what a cycle costs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mgcore.cycle import Cycle, Visit, cycle_pair, run

__all__ = ["asymptotic_factor", "cycle_seconds", "refuse_fresh", "smoothed"]


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
        If `last` is not below `cycles`, or the cycle has fresh visits, which begin a problem and
        reduce no error.
    """
    cycle, _ = cycle_pair(cycle, len(levels))
    refuse_fresh(cycle)
    if not 0 < last < cycles:
        raise ValueError(f"last must be positive and below cycles, got {last} of {cycles}")
    fine = levels[0]
    zero = np.zeros(fine.grid.shape)
    u: Any = np.random.default_rng(seed).standard_normal(zero.shape)
    u /= _norm(u)
    factors = []
    for _ in range(cycles):
        # Each begins with an error of one: else there would soon be no numbers small enough.
        u = fine.solution(run(levels, cycle, fine.start(zero, u)))
        u = u.detach() if hasattr(u, "detach") else u  # no gradient is wanted through all cycles
        factors.append(_norm(u))
        if factors[-1] < 4 * max(zero.shape) * fine.eps:  # is rounding
            return 0.0
        u = u / factors[-1]
    return float(np.exp(np.mean(np.log(factors[-last:]))))


def smoothed(level: Any, error: np.ndarray, steps: int) -> np.ndarray:
    """What `steps` smoothing steps on a level leave of an error.

    Parameters
    ----------
    level : PoissonLevel or the like
        From :func:`mgcore.poisson_levels`; not the coarsest, which solves directly.
    error : ndarray
        Node values.
    steps : int

    Returns
    -------
    ndarray
        Node values, zero on Dirichlet sides.

    Examples
    --------
    >>> from mgcore import poisson_levels
    >>> fine = poisson_levels((33, 33), smoother="jacobi", coarsest=1)[0]
    >>> x = np.arange(33) / 32
    >>> wave = np.outer(np.sin(24 * np.pi * x), np.sin(24 * np.pi * x))
    >>> print(f"{smoothed(fine, wave, 1).max() / wave.max():.3f}")  # 1 - .8 (1 + cos pi/4)
    0.366
    """
    return level.solution(level.smooth(level.start(np.zeros_like(error), error), steps))


def refuse_fresh(cycle: Sequence[Visit]) -> None:
    """ValueError for a cycle that begins problems, as full multigrid does."""
    if Cycle(cycle).fresh:
        raise ValueError(
            "full multigrid begins a problem anew, so it has no factor by which an error is "
            "reduced: take the cycle that is repeated, such as v_cycle(number of levels)"
        )


def cycle_seconds(
    chains: Mapping[str, tuple[Sequence[Any], Sequence[Visit]]], turns: int = 5
) -> dict[str, float]:
    """What one cycle takes, of several solvers that take turns.

    Parameters
    ----------
    chains : mapping
        Name to levels and cycle.
    turns : int
        Each turn times one cycle of every solver; the first, which may compile, does not count.

    Returns
    -------
    dict
        Name to seconds, the least of all turns: what other programs on the machine do makes no
        time shorter.

    Raises
    ------
    ValueError
        If `turns` is not positive.
    """
    if turns < 1:
        raise ValueError(f"at least one turn is needed, got {turns}")
    least = dict.fromkeys(chains, float("inf"))
    states = {}
    for name, (levels, _) in chains.items():
        shape = levels[0].grid.shape
        states[name] = levels[0].start(np.ones(shape), np.zeros(shape))
    for turn in range(turns + 1):
        for name, (levels, cycle) in chains.items():
            began = time.perf_counter()
            states[name] = run(levels, cycle, states[name])
            if turn:
                least[name] = min(least[name], time.perf_counter() - began)
    return least


def _norm(u: Any) -> float:
    return float((u * u).sum()) ** 0.5  # of an array or a tensor
