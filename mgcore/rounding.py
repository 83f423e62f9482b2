"""The end of a solve: what rounding has left in u, found and taken out.

Cycles end with a residual of rounding errors. It may be large, as A is, and yet the error of u
small, as those errors are rough. So the error itself is asked for: A e = g - A u is solved, where u
is what the caller gets, border values included, and g - A u is exact but for its last digits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mgcore.cycle import run, v_cycle

__all__ = ["EXACT", "refine"]

#: An error that is found to be below this many units of rounding is none: `refine` leaves it. What
#: is found is an estimate, so twice that is promised.
EXACT = 16
# V cycles for one error, and corrections of u: one should do, if cycles are not slow.
_CYCLES, _CORRECTIONS = 5, 20


def refine(levels: Sequence[Any], g: Any, u: Any, target: Any) -> tuple[Any, Any, Any]:
    """Correct `u` until its residual is within the target or its error is one of rounding.

    Parameters
    ----------
    levels : sequence of SolverLevel
    g, u : array
        Node values of the backend's kind, those of u with border values; left as they are.
    target : ndarray
        Norm of the residual that is asked for, one or one for each of a batch.

    Returns
    -------
    u : array
        `u` itself where nothing was to be done.
    norm : ndarray
        ||g - A u||_2 of that u.
    exact : ndarray of bool
        Where the error of u, in the 2-norm, was found to be below `EXACT` eps ||u||_2. Nowhere if
        the last level does not solve directly: smooth errors are out of sight then.
    """
    fine, cycle = levels[0], v_cycle(len(levels))
    before = math.inf
    for _ in range(_CORRECTIONS if levels[-1].direct else 0):
        norm, limit = fine.misfit(g, u), EXACT * fine.eps * fine.norm(u)
        done = norm <= target
        if bool(done.all()):
            return u, norm, norm < 0  # of no member
        error = fine.start(fine.defect(g, u))
        e = fine.solution(run(levels, cycle, error)) + 0.0  # states may go on changing
        step = fine.norm(e)
        for _ in range(_CYCLES - 1):
            error = run(levels, cycle, error)
            previous, e = e, fine.solution(error) + 0.0
            last, step = step, fine.norm(e - previous)
            # What is still to come, as a geometric series: step q / (1 - q) with q = step / last.
            falls = last - step
            exact = (falls > 0) & (fine.norm(e) * falls + step * step <= limit * falls)
            if bool((done | exact).all()):
                fine.finish(error)
                return u, norm, exact
        fine.finish(error)
        largest = float((fine.norm(e) * ~(done | exact)).max())
        if not largest < before:
            break
        u, before = u + e, largest
    norm = fine.misfit(g, u)
    return u, norm, norm < 0  # of no member
