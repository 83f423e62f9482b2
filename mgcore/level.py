"""What the driver asks of a level, and the table that a chain of levels prints."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar, overload

import numpy as np

from mgcore.grid import Grid

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

__all__ = ["Hierarchy", "Level", "Posed", "SolverLevel", "check_state", "describe"]

S = TypeVar("S")


class Posed(NamedTuple):
    """A problem as levels take it: with zero values and zero fluxes on all sides.

    Attributes
    ----------
    g : array
        The right-hand side, with the fluxes given on the sides in it.
    lift : array or Lift or None
        A continuation of the given values of u into the box; None where all are zero.
    removed : float
        The constant that was subtracted from g: where u is sought up to a constant, there is one
        only if g has mean zero.
    """

    g: Any
    lift: Any
    removed: float = 0.0


class Level(Protocol[S]):
    """One grid of a chain: whatever has these methods can be walked by :func:`mgcore.cycle.run`.

    `S` is the level's state, opaque to the driver. A level holds what is set up once and does not
    change; what a cycle changes lives in the state, so one chain serves several threads. A level
    may update its state in place (Numba) or return a new one (torch, for autograd); the driver
    always goes on with the state that comes back.
    """

    #: The next coarser level, None on the coarsest; set by whoever builds the chain.
    coarse: Any

    @abstractmethod
    def start(self, g: Any, u: Any = None) -> S:
        """The state for the problem A u = g with the first guess `u`, zero unless given."""

    @abstractmethod
    def smooth(self, state: S, steps: int) -> S:
        """`steps` smoothing iterations u <- u + B (g - A u)."""

    @abstractmethod
    def restrict(self, state: S) -> Any:
        """The state in which the next coarser level starts.

        First guess u' = Pi u and right-hand side R (g - A u) + A' u' (the full approximation
        scheme); with Pi = 0 this is the plain correction scheme.
        """

    @abstractmethod
    def prolong(self, state: S, coarse: Any) -> S:
        """Correct u from the coarser level's state: u + P (u' - Pi u)."""

    @abstractmethod
    def interpolate(self, state: S, coarse: Any) -> S:
        """Replace u by the coarser level's solution, interpolated to fourth order."""

    @abstractmethod
    def solution(self, state: S) -> Any:
        """The iterate u, as a caller wants it back."""

    @abstractmethod
    def residual_norm(self, state: S) -> Any:
        """||g - A u||_2 over the unknowns, zero-dimensional or one for each of a batch.

        That of a :class:`SolverLevel` is a NumPy array, whatever the backend.
        """

    def descend(self, state: S, steps: int) -> tuple[S, Any]:
        """Smooth, then restrict: this level's state and the coarser one's.

        A backend may fuse the two into one pass over memory.
        """
        state = self.smooth(state, steps)
        return state, self.restrict(state)

    def ascend(self, state: S, coarse: Any, steps: int) -> S:
        """Prolong, then smooth; a backend may fuse the two into one pass over memory."""
        return self.smooth(self.prolong(state, coarse), steps)


class SolverLevel(Level[S], Protocol[S]):
    """What :func:`mgcore.solve` asks of the finest level besides.

    Node values are arrays of the backend (NumPy or torch); solve only adds and subtracts them.
    Norms are NumPy's, whatever the backend: float64, zero-dimensional or one for each of a batch.
    """

    #: The nodes.
    grid: Grid
    #: Whether a state holds a batch; if not, :func:`mgcore.solve` goes through its members.
    batches: bool = False
    #: Whether u is known up to a constant alone.
    singular: bool = False
    #: Number of unknowns.
    size: int
    #: Round-off unit of the level's dtype.
    eps: float
    #: Condition number of A.
    condition: float
    #: Numbers in g up to this do not overflow on their way through a cycle.
    largest_safe: float

    @property
    @abstractmethod
    def direct(self) -> bool:
        """Whether `smooth` solves exactly, as it does on the coarsest grid."""

    @property
    def overwrites(self) -> bool:
        """Whether `smooth` makes nothing of the iterate that it finds."""
        return self.direct

    @abstractmethod
    def nodes(self, values: Any, name: str) -> Any:
        """Validate `values` as node values; return them as an array of this level's kind."""

    @abstractmethod
    def check_out(self, out: Any) -> None:
        """Refuse what cannot take the solution."""

    @abstractmethod
    def start(self, g: Any, u: Any = None, *, lift: Any = None, out: Any = None) -> S:
        """The state for A (u - lift) = g - A lift.

        Parameters
        ----------
        g : array
            Node values.
        u : array, optional
            Node values of the first guess; those on Dirichlet sides are ignored. Without it that is
            the lift.
        lift : optional
            What `pose` made of the border values; zero unless given.
        out : array, optional
            Node values that may be overwritten from now on, as `finish` will; may be `u` itself.
        """

    @abstractmethod
    def finish(self, state: S, *, lift: Any = None, out: Any = None) -> Any:
        """The iterate plus the lift; nobody may use the state again.

        `lift` and `out` are those that the state was started with, and what comes back may be
        `out`.
        """

    def deliver(self, u: Any, out: Any) -> Any:
        """`out`, with what is in `u`."""
        if u is not out:
            out[...] = u
        return out

    @abstractmethod
    def add(self, state: S, e: Any) -> S:
        """The state with the node values `e` added to its iterate."""

    @abstractmethod
    def scale(self, state: S) -> np.ndarray | np.float64:
        """The norm of the state's right-hand side, g - A lift."""

    def traced(self, state: S) -> bool:
        """Whether gradients are asked for with respect to what the state was made of."""
        return False

    @abstractmethod
    def norm(self, values: Any) -> np.ndarray | np.float64:
        """||values||_2 over the unknowns."""

    @abstractmethod
    def largest(self, values: Any) -> np.ndarray | np.float64:
        """The largest absolute value over the unknowns, NaN if there is one; shaped like a norm."""

    @abstractmethod
    def pose(self, g: Any, boundary: Any) -> Posed:
        """The problem with what is given on the sides taken in, from node values `g`."""

    @abstractmethod
    def without(self, g: Any, lift: Any) -> Any:
        """g - A lift at the interior nodes, zero on the border."""

    @abstractmethod
    def plus(self, u: Any, lift: Any) -> Any:
        """`u` plus the lift, border included, as a new array."""

    @abstractmethod
    def defect(self, g: Any, u: Any) -> Any:
        """g - A u as node values, zero on the border, for node values `u` with any border."""

    @abstractmethod
    def misfit(self, g: Any, u: Any) -> np.ndarray | np.float64:
        """The norm of `defect`."""

    @abstractmethod
    def residual(self, state: S) -> Any:
        """g - A u as node values, zero on the border."""

    @abstractmethod
    def roundoff(self, u: Any) -> np.ndarray | np.float64:
        """eps ||A|| ||u||_2 for node values: the residual that rounding `u` may make."""


L = TypeVar("L")


def check_state(level: Any, state: Any) -> None:
    """Refuse a state that another level made: its arrays lie differently in memory."""
    if not level.fits(state):
        raise ValueError(
            f"a coarser state of {level.grid.shape} nodes in {level.dtype} fits here, got another "
            "one: states come from the level's start, restrict or descend"
        )


def describe(grid: Grid, method: str) -> dict[str, str]:
    """A row of the table of levels."""
    return {
        "nodes": " x ".join(map(str, grid.shape)),
        "mesh width": " x ".join(f"{h:.3g}" for h in dict.fromkeys(grid.spacing)),
        "unknowns": f"{grid.size:,}",
        "solver": method,
    }


class Hierarchy(Sequence[L], Generic[L]):
    """A chain of levels, the finest first; prints as a table.

    Each level tells its row by a method `describe()`, a dict of column name to text.
    """

    def __init__(self, levels: Sequence[L], title: str):
        self._levels = tuple(levels)
        self.title = title

    def __len__(self) -> int:
        return len(self._levels)

    @overload
    def __getitem__(self, index: int) -> L: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[L]: ...
    def __getitem__(self, index: int | slice) -> L | Sequence[L]:
        return self._levels[index]

    def __iter__(self) -> Iterator[L]:
        return iter(self._levels)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Unknowns of each level, the finest first."""
        return tuple(level.size for level in self._levels)  # type: ignore[attr-defined]

    # --- as a guest of scipy's Krylov methods, see mgcore.guests ----------------------------------

    def as_linear_operator(self) -> LinearOperator:
        """A on the finest grid: :func:`mgcore.guests.as_linear_operator`."""
        from mgcore import guests

        return guests.as_linear_operator(self)

    def as_preconditioner(self, cycle: str | Sequence[Any] = "v") -> LinearOperator:
        """One symmetric cycle: :func:`mgcore.guests.as_preconditioner`."""
        from mgcore import guests

        return guests.as_preconditioner(self, cycle)

    def weigh(self, g: Any, boundary: Any = 0.0) -> np.ndarray:
        """A right-hand side as a vector of unknowns: :func:`mgcore.guests.weigh`."""
        from mgcore import guests

        return guests.weigh(self, g, boundary)

    def spread(self, x: Any, boundary: Any = 0.0) -> np.ndarray:
        """A vector of unknowns as node values: :func:`mgcore.guests.spread`."""
        from mgcore import guests

        return guests.spread(self, x, boundary)

    def __str__(self) -> str:
        rows = [level.describe() for level in self._levels]  # type: ignore[attr-defined]
        table = [["level", *rows[0]]]
        table += [[str(number), *row.values()] for number, row in enumerate(rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in table
        ]
        return "\n".join([self.title, *lines])

    def __repr__(self) -> str:
        return f"<Hierarchy: {self.title}, {len(self)} levels>"
