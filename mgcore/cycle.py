"""The driver: a multigrid cycle is data, and one interpreter walks it.

A cycle says which grids are visited in which order and how many smoothing steps each visit
takes; level 0 is the finest grid. The builders below are pure functions of the number of levels.
:func:`run` walks any cycle over any levels that follow :class:`mgcore.level.Level`: Numba
arrays, torch tensors, or the layers of an MgNet classifier. Nothing in this file knows which.

The standard library is all that is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from numbers import Integral
from typing import Any, NamedTuple

__all__ = [
    "CYCLES",
    "Cycle",
    "Visit",
    "cycle_pair",
    "f_cycle",
    "full_multigrid",
    "run",
    "slash_cycle",
    "v_cycle",
    "w_cycle",
    "walk",
    "walkable",
]


class Visit(NamedTuple):
    """One stop of a cycle.

    Attributes
    ----------
    level : int
        The grid visited, 0 the finest.
    steps : int
        Smoothing steps taken there. A direct solver on the coarsest grid ignores it.
    fresh : bool
        Arriving from the coarser grid, take its solution itself (by cubic interpolation)
        instead of a correction: full multigrid's first visit of each grid.
    """

    level: int
    steps: int
    fresh: bool = False


class Cycle(tuple[Visit, ...]):
    r"""A checked tuple of visits that prints as a diagram and counts its work.

    Parameters
    ----------
    visits : iterable of Visit or (level, steps) or (level, steps, fresh)
    levels : int, optional
        Levels of the chain that the cycle is for, if the last of them solves exactly: a visit there
        is drawn as `o`. The builders set it; two cycles are equal if their visits are.

    Raises
    ------
    ValueError
        If there is no visit, a number is negative or not whole, two visits in a row are more than
        one level apart, a visit rises above the first, a fresh one does not come from below, or
        there are not so many levels.

    Examples
    --------
    >>> print(v_cycle(3, 2, 1))
    level 0  2       1
              \     /
    level 1    2   1
                \ /
    level 2      o
    """

    levels: int | None

    def __new__(cls, visits: Iterable[Any], levels: int | None = None) -> Cycle:
        """Check the visits and keep them."""
        self = super().__new__(cls, (Visit(*visit) for visit in visits))
        self.levels = levels
        if not self:
            raise ValueError("a cycle needs at least one visit, got an empty one")
        previous = None
        for visit in self:
            numbers = (visit.level, visit.steps)
            if not all(isinstance(n, Integral) and n >= 0 for n in numbers):
                raise ValueError(f"levels and steps are whole numbers, 0 or more, got {visit}")
            if visit.level < self[0].level:
                raise ValueError(f"a cycle may not rise above the level it starts on, got {visit}")
            rise = None if previous is None else previous.level - visit.level
            if rise is not None and abs(rise) > 1:
                raise ValueError(
                    f"two visits in a row may differ by one level at most, got {previous}, {visit}"
                )
            if visit.fresh and rise != 1:
                raise ValueError(f"a fresh visit must come from the next coarser level, {visit}")
            previous = visit
        deepest = max(visit.level for visit in self)
        if levels is not None and deepest >= levels:
            raise ValueError(f"a cycle for {levels} levels may not visit level {deepest}")
        return self

    @property
    def fresh(self) -> bool:
        """Whether any visit takes a coarse solution instead of a correction."""
        return any(visit.fresh for visit in self)

    def work_units(self, sizes: Sequence[int]) -> float:
        """Smoothing work in units of one step on the finest grid.

        Parameters
        ----------
        sizes : sequence of int
            Unknowns of each level, the finest first.

        Returns
        -------
        float
            Sum of steps on level l times N_l / N_0; transfers and the solve on the coarsest
            grid, the last of `sizes`, are not counted. V(1,1) in 2D: 2 (1 + 1/4 + ...) = 2.67.
        """
        coarsest = len(sizes) - 1
        return sum(v.steps * sizes[v.level] / sizes[0] for v in self if v.level != coarsest)

    def __str__(self) -> str:
        """Draw the cycle, a row for each level: steps, `^` where fresh, `o` the coarsest solve.

        Smoothing on the deepest level visited is no solve if there are coarser ones, or if nobody
        said how many `levels` there are.
        """
        rows = 2 * max(visit.level for visit in self) + 1
        pitch = 2 if len(self) <= 36 else 1  # columns for each visit: strokes need a second one
        canvas = [[" "] * (pitch * len(self)) for _ in range(rows)]
        for k, visit in enumerate(self):
            inside = 0 < k < len(self) - 1
            if (inside or self.levels == 1) and visit.level + 1 == self.levels:
                mark = "o"
            elif visit.fresh:
                mark = "^"
            else:
                mark = {0: "."}.get(visit.steps, str(visit.steps) if visit.steps < 10 else "+")
            canvas[2 * visit.level][pitch * k] = mark
            fall = visit.level - self[k - 1].level if k and pitch == 2 else 0
            if fall:
                upper = min(visit.level, self[k - 1].level)
                canvas[2 * upper + 1][2 * k - 1] = "\\" if fall > 0 else "/"
        names = [f"level {y // 2}" if y % 2 == 0 else "" for y in range(rows)]
        width = max(map(len, names))
        lines = [
            f"{name:{width}}  {''.join(row)}".rstrip()
            for name, row in zip(names, canvas, strict=True)
        ]
        return "\n".join(lines if pitch == 2 else lines[::2])


def v_cycle(n: int, pre: int = 1, post: int = 1) -> Cycle:
    """V(pre, post) on `n` levels: down with `pre` steps, the coarsest solve, up with `post`."""
    return _gamma_cycle(n, pre, post, lambda below: below)


def w_cycle(n: int, pre: int = 1, post: int = 1) -> Cycle:
    """W(pre, post) on `n` levels: the coarser problem is visited twice in a row."""
    return _gamma_cycle(n, pre, post, lambda below: below + below)


def f_cycle(n: int, pre: int = 1, post: int = 1) -> Cycle:
    """F(pre, post) on `n` levels: an F cycle on the coarser problem, then a V cycle on it."""
    return _gamma_cycle(n, pre, post, lambda below: below + _v_from(below[0].level, n, pre, post))


def full_multigrid(n: int, pre: int = 1, post: int = 1) -> Cycle:
    """Full multigrid on `n` levels: each grid starts from the coarser solution, then V(pre, post).

    The right-hand side travels down without smoothing; the coarsest problem is solved; on the way
    up each grid takes the coarser solution by cubic interpolation (a `fresh` visit).
    """
    _at_least_one(n)
    visits = [Visit(level, 0) for level in range(n - 1)] + [_solve(n, pre, post)]
    for level in reversed(range(n - 1)):
        visits += [Visit(level, 0, fresh=True), *_v_from(level, n, pre, post)]
    return Cycle(visits, n)


def slash_cycle(steps: Sequence[int]) -> Cycle:
    r"""The way down alone, `steps[l]` steps on level l: a slash (``\``) cycle, MgNet's path."""
    return Cycle(Visit(level, count) for level, count in enumerate(steps))


#: The cycles that :func:`mgcore.solve` knows by name.
CYCLES: dict[str, Callable[..., Cycle]] = {
    "v": v_cycle,
    "w": w_cycle,
    "f": f_cycle,
    "fmg": full_multigrid,
}


def walkable(cycle: Any) -> Any:
    """What a caller gave as a cycle, in a form that can be walked again and again."""
    once = isinstance(cycle, Iterable) and not isinstance(cycle, Sequence)
    return tuple(cycle) if once else cycle


def cycle_pair(cycle: str | Sequence[Any], n: int, *, direct: bool = True) -> tuple[Cycle, Cycle]:
    """The first cycle on `n` levels and the one that is repeated.

    `direct` says that the last level solves exactly, which a diagram shows.
    """
    if isinstance(cycle, str):
        if cycle not in CYCLES:
            raise ValueError(
                f"unknown cycle {cycle!r}; known are {', '.join(map(repr, CYCLES))} and tuples of "
                "visits (see mgcore.cycle)"
            )
        return _named(cycle, n, direct)
    try:
        given = cycle if isinstance(cycle, Cycle) else Cycle(cycle)
    except TypeError:
        raise ValueError(f"a cycle is a name or a sequence of visits, got {cycle!r}") from None
    levels = {visit.level for visit in given}
    if given[0].level or given[-1].level or max(levels) >= n:
        raise ValueError(
            f"a cycle must begin and end on level 0 and visit levels below {n} alone, "
            f"this one goes from {given[0].level} to {given[-1].level} by way of {max(levels)}"
        )
    given = _on(given, n, direct)
    return given, given


@lru_cache  # checking the visits takes longer than a cycle on a small grid
def _named(name: str, n: int, direct: bool) -> tuple[Cycle, Cycle]:
    first = _on(CYCLES[name](n), n, direct)
    return first, _on(v_cycle(n), n, direct) if name == "fmg" else first


def _on(cycle: Cycle, n: int, direct: bool) -> Cycle:
    levels = n if direct else None
    return cycle if cycle.levels == levels else Cycle(cycle, levels)


def _at_least_one(n: int) -> None:
    if n < 1:
        raise ValueError(f"a cycle needs at least one level, got {n}")


def _solve(n: int, pre: int, post: int) -> Visit:
    # A level without a direct solver smooths here as often as the others do on both ways.
    return Visit(n - 1, pre + post)


def _gamma_cycle(
    n: int, pre: int, post: int, repeat: Callable[[list[Visit]], list[Visit]]
) -> Cycle:
    """A cycle whose visits below a level are `repeat` of one cycle on the next level.

    The coarsest problem is solved exactly, so it is visited once whatever `repeat` says.
    """
    _at_least_one(n)
    visits = [_solve(n, pre, post)]
    for level in reversed(range(n - 1)):
        below = visits if level == n - 2 else repeat(visits)
        visits = [Visit(level, pre), *below, Visit(level, post)]
    return Cycle(visits, n)


def _v_from(level: int, n: int, pre: int, post: int) -> list[Visit]:
    down = [Visit(k, pre) for k in range(level, n - 1)]
    up = [Visit(k, post) for k in reversed(range(level, n - 1))]
    return [*down, _solve(n, pre, post), *up]


def run(levels: Sequence[Any], cycle: Sequence[Visit], state: Any) -> Any:
    """Walk `cycle` over `levels` and return the last visited state.

    Parameters
    ----------
    levels : sequence of Level
        The grids, the finest first; see :class:`mgcore.level.Level`.
    cycle : sequence of Visit
        Made by a builder of this module or by :class:`Cycle`, which checks it.
    state
        The state of the first visited level, as its `start` returned it. What is in it is that
        level's own business: the driver only hands it on.

    Returns
    -------
    state
        The state of the last visited level, for its `solution` and `residual_norm`.
    """
    for visit, states in walk(levels, cycle, state):  # noqa: B007
        pass
    return states[visit.level]


def walk(
    levels: Sequence[Any], cycle: Sequence[Visit], state: Any
) -> Iterator[tuple[Visit, dict[int, Any]]]:
    """Walk as :func:`run` does, and stop after every visit to look around.

    Parameters
    ----------
    levels, cycle, state
        See :func:`run`.

    Yields
    ------
    visit : Visit
        The one that has just been made.
    states : dict of int to state
        The open problem of each level, the visited one's among them: to be read before the walk
        goes on, as levels may change their states in place.
    """
    states = {cycle[0].level: state}  # one open problem for each grid on the way down
    previous = cycle[0].level
    for visit, following in zip(cycle, (*cycle[1:], None), strict=True):
        here, steps, fresh = visit
        level = levels[here]
        if previous > here:  # from below: that problem is closed
            coarse = states.pop(previous)
            if fresh:
                states[here] = level.interpolate(states[here], coarse)
            else:
                states[here] = level.ascend(states[here], coarse, steps)
                steps = 0
        if following is not None and following.level > here:
            states[here], states[here + 1] = level.descend(states[here], steps)
        elif steps or previous <= here:
            states[here] = level.smooth(states[here], steps)
        previous = here
        yield visit, states
