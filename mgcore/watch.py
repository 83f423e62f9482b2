"""A solve seen visit by visit: the error that is left on every level, to draw and to explain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from mgcore.cycle import Cycle, cycle_pair, walk
from mgcore.solve import Problem, iterate

__all__ = ["Step", "watch"]


class Step(NamedTuple):
    """Where a cycle stands.

    Attributes
    ----------
    number : int
        Of the cycle under way, 1 for the first.
    cycle : Cycle
        Its visits.
    visits : int
        How many of its visits have been made, 0 before the first.
    errors : tuple of ndarray or None
        For each level e = A^-1 (g - A u) at its nodes, what its problem still lacks; None where no
        problem is open. On the finest grid that is the error of the iterate.
    """

    number: int
    cycle: Cycle
    visits: int
    errors: tuple[np.ndarray | None, ...]


def watch(
    levels: Sequence[Any],
    g: Any,
    u0: Any = None,
    *,
    boundary: Any = 0.0,
    cycle: str | Sequence[Any] = "fmg",
    cycles: int = 1,
) -> Iterator[Step]:
    """Solve as :func:`mgcore.solve` does, and give the error on every level after each visit.

    Parameters
    ----------
    levels, g, u0, boundary, cycle
        See :func:`mgcore.solve`; one right-hand side at a time.
    cycles : int
        How many cycles are run.

    Yields
    ------
    Step
        The first before anything has been done, the others after one visit each. A cycle with fresh
        visits overwrites what it starts from; with `u0` it runs on the residual equation, whose
        error is the same.

    Notes
    -----
    Errors are solutions of A e = r, found by cycles on the levels themselves: each visit costs a
    solve on its level.

    Examples
    --------
    >>> import numpy as np
    >>> from mgcore import poisson_levels
    >>> levels = poisson_levels((9, 9), coarsest=1)
    >>> for step in watch(levels, np.ones((9, 9)), cycle="v"):
    ...     print(step.visits, *["-" if e is None else f"{e.max():.4f}" for e in step.errors])
    0 0.0728 - -
    1 0.0683 0.0634 -
    2 0.0683 0.0454 0.0320
    3 0.0683 0.0454 0.0000
    4 0.0683 0.0009 -
    5 0.0036 - -
    """
    first, then = cycle_pair(cycle, len(levels), direct=levels[-1].direct)
    problem, fine = Problem(levels, g, u0, boundary, project=True), levels[0]
    state = problem.state

    def step(visits: int) -> Step:
        return Step(number, this, visits, tuple(errors.get(level) for level in range(len(levels))))

    for number in range(1, cycles + 1):
        this = first if number == 1 else then
        if this.fresh and (problem.begun or number > 1):
            state = fine.start(fine.residual(state))
        if number == 1:
            errors = {0: _error(levels, 0, state)}
            yield step(0)
        for visits, (visit, states) in enumerate(walk(levels, this, state), 1):
            here = visit.level
            errors = {level: e for level, e in errors.items() if level < here}
            for level in {here, here + 1} & states.keys():  # a descent opens the problem below
                errors[level] = _error(levels, level, states[level])
            yield step(visits)
        state = states[0]


def _error(levels: Sequence[Any], number: int, state: Any) -> np.ndarray:
    """A^-1 (g - A u) on one level."""
    e = iterate(levels[number:], levels[number].residual(state)).u
    return e.detach().cpu().numpy() if hasattr(e, "detach") else e
