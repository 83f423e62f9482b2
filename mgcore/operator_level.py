"""What levels on Numba arrays share that are for more than Dirichlet sides on even meshes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, TypeVar

import numpy as np

from mgcore.array_level import ArrayLevel
from mgcore.boundary import clear_sides
from mgcore.cached import cached_property
from mgcore.chain import Rung
from mgcore.level import Posed
from mgcore.pool import Pool
from mgcore.sides import ROUNDED, Given, Reader
from mgcore.smoothers import Smoother
from mgcore.sums import length

__all__ = ["OperatorLevel"]

S = TypeVar("S")


class OperatorLevel(ArrayLevel[S]):
    """A level of an :class:`~mgcore.operators.Operator`: its properties, and norms of node values.

    Where the unknowns lie in a state is the business of subclasses.

    Parameters
    ----------
    rung : Rung
    smoother : Smoother
    dtype : str
    coarse : OperatorLevel or None
        The next coarser level; without one, `smooth` solves directly.
    """

    def __init__(self, rung: Rung, smoother: Smoother, dtype: str, coarse: Any):
        super().__init__(rung.operator.grid, smoother, dtype, coarse)
        self.operator = rung.operator
        self.adjoint = rung.adjoint
        self._pool: Pool[S] = Pool()
        self._sweeps = smoother.sweeps(self.operator)  # checks that it fits

    def __getstate__(self) -> dict[str, Any]:
        """Without the volumes, as large as the grid, which are worked out when they are needed."""
        return {name: value for name, value in self.__dict__.items() if name != "volumes"}

    @cached_property
    def volumes(self) -> np.ndarray:
        """The volumes that belong to the unknowns, over their mean."""
        volumes = self.operator.volumes()
        return volumes / volumes.mean()

    @property
    def singular(self) -> bool:  # type: ignore[override]
        """Whether u is known up to a constant alone."""
        return self.operator.singular

    @cached_property
    def condition(self) -> float:  # type: ignore[override]
        """Condition number of A."""
        return self.operator.condition

    def pose(self, g: np.ndarray, boundary: Any) -> Posed:
        """The right-hand side with the fluxes of the sides in it, and a continuation of values.

        Where u is known up to a constant, the mean is taken out. `g` itself is left as it is.
        """
        given = Given.told(boundary, self.grid, Reader(self.dtype)).member((), ())
        if given.flows:
            g = given.add_fluxes(g.copy())
        if not self.singular:
            return Posed(g, given.continued())
        g, removed = self._without_mean(g)
        return Posed(g, None, removed)

    def _without_mean(self, g: np.ndarray) -> tuple[np.ndarray, float]:
        """A new g of mean zero over the box, and what was taken out of it.

        The mean is taken out twice: the first one is rounded, by as much as g is larger than what
        is left of it.
        """
        removed = float(self.dtype.type(self.operator.mean(g)))
        g = g - self.dtype.type(removed)
        rest = self.operator.mean(g)
        g -= self.dtype.type(rest)
        removed += rest
        if self.largest(g) <= ROUNDED * self.eps * abs(removed):
            g.fill(0)
        return g, removed

    def norm(self, values: np.ndarray) -> np.float64:
        """||values||_2 over the unknowns."""
        return length(values[self.grid.unknown])

    def largest(self, values: np.ndarray) -> np.float64:
        """The largest absolute value over the unknowns, NaN if there is one."""
        return np.float64(abs(values[self.grid.unknown]).max())

    def without(self, g: np.ndarray, lift: np.ndarray) -> np.ndarray:
        """g - A lift at the unknowns, zero elsewhere."""
        return self.defect(g, lift)

    def plus(self, u: np.ndarray, lift: np.ndarray) -> np.ndarray:
        """`u` plus the lift, border included, as a new array."""
        return u + lift

    def misfit(self, g: np.ndarray, u: np.ndarray) -> np.float64:
        """||g - A u||_2 over the unknowns; `u` may have any values at Dirichlet nodes."""
        return self.norm(self.defect(g, u))

    def roundoff(self, u: np.ndarray) -> np.float64:
        """eps ||A|| ||u||_2, with ||A|| at most twice the largest diagonal entry."""
        return np.float64(self.eps * self.operator.bound * self.norm(u))

    # --- iterates as node values ------------------------------------------------------------------

    @abstractmethod
    def _take(self, state: S, u: np.ndarray) -> None:
        """Write the iterate into an array over the unknowns."""

    def finish(
        self, state: S, *, lift: np.ndarray | None = None, out: np.ndarray | None = None
    ) -> np.ndarray:
        """The iterate plus the lift; the state is for the next problem."""
        u = self._at_nodes(state, out)
        norm = state.norm  # type: ignore[attr-defined]
        self._recycle(state, length(u) if norm is None else norm)
        if lift is not None:
            u += lift
        return u

    def _recycle(self, state: S, norm: Any) -> None:
        """Keep a state for the next problem, unless its norm says that it holds NaN or infinity.

        Passes multiply by zero where there are no unknowns: what lies there has to be finite.
        """
        if np.isfinite(norm):
            self._pool.give(state)

    def solution(self, state: S) -> np.ndarray:
        """u at the nodes, zero on Dirichlet sides; with mean zero where that is free."""
        return self._at_nodes(state)

    def _at_nodes(self, state: S, out: np.ndarray | None = None) -> np.ndarray:
        u = np.zeros(self.grid.shape, self.dtype) if out is None else out
        if out is not None:
            clear_sides(u, self.grid)
        if state.zero:  # type: ignore[attr-defined]
            u[self.grid.unknown] = 0
        else:
            self._take(state, u[self.grid.unknown])
            if self.singular:
                self._centre(u)
        return u

    def _centre(self, u: np.ndarray) -> None:
        """Take the mean over the box out of unknowns, in place."""
        u -= self.dtype.type(self.operator.mean(u))
