"""One axis of a grid: its nodes, its two sides, and how it is coarsened.

Everything that a box of nodes needs is a product of its axes: second differences, transfers, the
volume that belongs to a node. So borders and graded meshes are the business of this file alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from numbers import Real
from typing import Any

import numpy as np

from mgcore.cached import cached_property

__all__ = ["SCOPE", "SIDES", "Axis", "Robin", "Side", "Table", "pair_of_sides"]

#: Where an error for what is not solved sends its reader.
SCOPE = "the README's table 'What is solved, and what is not' has more"


@dataclass(frozen=True)
class Robin:
    """The side condition a du/dn + beta u = q, n pointing outwards.

    Parameters
    ----------
    beta : float
        Zero or more; zero is Neumann's condition.
    """

    beta: float

    def __post_init__(self) -> None:
        if not isinstance(self.beta, Real) or not 0 <= self.beta < inf:
            raise ValueError(f"beta of a Robin side must be zero or more, got {self.beta!r}")

    def __str__(self) -> str:
        return f"Robin {self.beta:g}"


#: Side conditions that are known by name; a Robin record is the fourth kind.
SIDES = ("dirichlet", "neumann", "periodic")

Side = str | Robin


@dataclass(frozen=True, eq=False)
class Table:
    """A linear map along one axis: out_x = sum_m weight[m, x] in_{index[m, x]}.

    Attributes
    ----------
    index, weight : ndarray
        Shape (terms, n); indices count nodes, weights of zero fill up.
    """

    index: np.ndarray
    weight: np.ndarray

    def times(self, factor: float) -> Table:
        """The map times a number."""
        return Table(self.index, self.weight * factor)


@dataclass(frozen=True, eq=False)
class Axis:
    """Nodes along one axis and what is asked of u at its two ends.

    Parameters
    ----------
    nodes : ndarray
        Coordinates, increasing, two or more.
    sides : pair of {"dirichlet", "neumann", "periodic"} or Robin
        Lower and upper side. Where values are given ("dirichlet") the end node is no unknown;
        elsewhere it is. "periodic" is both or none.
    length : float
        Of a periodic axis: from the first node to its own image beyond the last one. Else the
        distance of the ends.
    """

    nodes: np.ndarray
    sides: tuple[Side, Side]
    length: float

    @classmethod
    def uniform(cls, n: int, length: float, sides: tuple[Side, Side]) -> Axis:
        """Equal mesh widths."""
        return cls(np.linspace(0, length, n, endpoint=sides[0] != "periodic"), sides, length)

    @property
    def n(self) -> int:
        """Number of nodes."""
        return len(self.nodes)

    @property
    def periodic(self) -> bool:
        """Whether u goes on with its first nodes behind the last one."""
        return self.sides[0] == "periodic"

    @cached_property
    def unknown(self) -> slice:
        """The nodes where u is sought."""
        given = [side == "dirichlet" for side in self.sides]
        return slice(int(given[0]), self.n - int(given[1]))

    @property
    def size(self) -> int:
        """Number of nodes where u is sought."""
        return self.unknown.stop - self.unknown.start

    @cached_property
    def widths(self) -> np.ndarray:
        """Mesh widths between neighbours, of a periodic axis the one across its end, too."""
        widths = np.diff(self.nodes)
        if self.periodic:
            widths = np.append(widths, self.length - widths.sum())
        # Rounding of the nodes, divided by h^2, must not make weights that vary from node to node.
        same = np.ptp(widths) <= 1e-9 * widths.max()
        return np.full(len(widths), self.length / len(widths)) if same else widths

    @cached_property
    def even(self) -> bool:
        """Whether all mesh widths are the same up to rounding of the nodes."""
        return bool((self.widths == self.widths[0]).all())

    @cached_property
    def even_inside(self) -> bool:
        """Whether they are but for those at the ends, where coarsening an even axis leaves some."""
        inside = self.widths[1:-1]
        return bool((abs(inside - inside[:1]) <= 1e-9 * inside[:1]).all())

    @cached_property
    def mass(self) -> np.ndarray:
        """The length that belongs to each node: half the mesh widths beside it."""
        h = self.widths / 2
        if self.periodic:
            return h + np.roll(h, 1)
        return np.append(h, 0.0) + np.append(0.0, h)

    def second_difference(self, faces: Any = 1.0) -> tuple[Any, Any, np.ndarray]:
        """-(a u')' at the nodes where u is sought, in finite volumes.

        Parameters
        ----------
        faces : array
            a between neighbours, the first axis running over :attr:`widths`.

        Returns
        -------
        lower, upper, own : array
            (A u)_x = lower (u_x - u_{x-1}) + upper (u_x - u_{x+1}) + own u_x.
        """
        faces = np.asarray(faces, float)
        ones = (1,) * (faces.ndim - 1)
        flow = faces / self.widths.reshape(-1, *ones)
        none = np.zeros((1, *flow.shape[1:])) if flow.ndim else np.zeros(1)
        if self.periodic:
            upper, lower = flow, np.roll(flow, 1, axis=0)
        else:
            upper = np.concatenate([flow, none])
            lower = np.concatenate([none, flow])
        mass = self.mass.reshape(-1, *ones)
        own = np.zeros(self.n)
        for end, side in zip((0, -1), self.sides, strict=True):
            if isinstance(side, Robin):
                own[end] += side.beta / self.mass[end]
        inside = self.unknown
        return (lower / mass)[inside], (upper / mass)[inside], own[inside]

    # --- the next coarser axis --------------------------------------------------------------------

    @property
    def can_coarsen(self) -> bool:
        """Whether every second node would still be an axis."""
        return self.n > (4 if self.periodic else 3)

    @cached_property
    def kept(self) -> np.ndarray:
        """The nodes that the next coarser axis keeps: every second one, and the ends.

        An odd number of mesh widths leaves one over, at a Dirichlet side if there is one: kept
        beside it, it does no harm, however short, as its node is held by the side. Elsewhere two
        nodes close together would be smoothed as if they were one, and badly: there the one that is
        left over is kept if it is not much shorter than its neighbour, else joined with two more.
        So coarse meshes of any number of nodes stay about as even as the fine one is. Of five nodes
        around three are kept: two would be each other's neighbours on both sides.
        """
        m = len(self.widths)
        held = [side == "dirichlet" for side in self.sides]
        ends = np.arange(0, m + 1, 2)  # of coarse mesh widths
        if m % 2 and held == [True, False]:
            ends = np.append(0, np.arange(1, m + 1, 2))
        elif m % 2:
            longer = self.widths[-1] > 0.8 * self.widths[-2]
            alone = held[1] or longer or (self.periodic and m == 5)
            ends = np.append(ends if alone else ends[:-1], m)
        return ends[:-1] if self.periodic else ends

    @cached_property
    def coarser(self) -> Axis:
        """The axis of the nodes kept."""
        return Axis(self.nodes[self.kept], self.sides, self.length)

    def _parents(self) -> tuple[np.ndarray, np.ndarray]:
        """For each node the kept one at or below it, and the part of the way to the next."""
        kept = self.kept
        below = np.searchsorted(kept, np.arange(self.n), side="right") - 1
        coarse = self.nodes[kept]
        ends = np.append(coarse, self.nodes[0] + self.length) if self.periodic else coarse
        below = np.minimum(below, len(ends) - 2)
        part = (self.nodes - ends[below]) / (ends[below + 1] - ends[below])
        return below, part

    @cached_property
    def linear(self) -> Table:
        """Linear interpolation from the nodes kept to all."""
        below, part = self._parents()
        index = np.stack([below, (below + 1) % len(self.kept)])
        return _tidy(index, np.stack([1 - part, part]))

    @cached_property
    def full_weighting(self) -> Table:
        """The adjoint of :meth:`linear` with respect to the lengths that belong to nodes.

        Integrals are kept, which singular problems need. On even nodes [1/4, 1/2, 1/4].
        """
        up = self.linear
        coarse, n = self.coarser, self.n
        # By distance from the node kept; two at most, and a ring of nodes has a short way round.
        reach = 2
        weight = np.zeros((2 * reach + 1, coarse.n))
        for to, part in zip(up.index, up.weight, strict=True):
            distance = np.arange(n) - self.kept[to]
            if self.periodic:
                distance = (distance + n // 2) % n - n // 2
            used = part != 0
            np.add.at(
                weight, (distance[used] + reach, to[used]),
                (part * self.mass / coarse.mass[to])[used],
            )  # fmt: skip
        index = self.kept + np.arange(-reach, reach + 1)[:, None]
        index = index % n if self.periodic else np.clip(index, 0, n - 1)
        return _tidy(index, weight)

    @cached_property
    def joined(self) -> Table:
        """Means over the mesh widths that each one of the coarser axis consists of."""
        first, m = self.kept[: len(self.coarser.widths)], len(self.widths)
        each = np.arange(3)[:, None]  # three at most
        there = each < np.diff(first, append=m)
        index = np.minimum(first + each, m - 1)
        return _tidy(index, there * self.widths[index] / self.coarser.widths)

    @cached_property
    def between(self) -> Table:
        """Means of the two nodes at the ends of each mesh width."""
        first = np.arange(len(self.widths))
        return Table(np.stack([first, (first + 1) % self.n]), np.full((2, len(first)), 0.5))

    @cached_property
    def injection(self) -> Table:
        """The values at the nodes kept."""
        return Table(self.kept[None], np.ones((1, len(self.kept))))

    @cached_property
    def cubic(self) -> Table:
        """Cubic interpolation from the nodes kept to all; beside an end from its four nodes."""
        below, _ = self._parents()
        coarse_n = len(self.kept)
        terms = min(4, coarse_n)
        first = below - 1 if self.periodic else np.clip(below - 1, 0, coarse_n - terms)
        index = first + np.arange(terms)[:, None]
        turns, inside = np.divmod(index, coarse_n)
        x = self.nodes[self.kept][inside] + turns * self.length
        weight = np.ones(index.shape)
        for m in range(terms):
            for other in range(terms):
                if other != m:
                    weight[m] *= (self.nodes - x[other]) / (x[m] - x[other])
        at = np.searchsorted(self.kept, np.arange(self.n))
        exact = np.isin(np.arange(self.n), self.kept)
        weight[:, exact] = inside[:, exact] == at[exact]
        return _tidy(inside, weight)

    @cached_property
    def identity(self) -> Table:
        """The same values: of an axis that the coarser grid does not halve."""
        return Table(np.arange(self.n)[None], np.ones((1, self.n)))


def _tidy(index: np.ndarray, weight: np.ndarray) -> Table:
    """Leave out terms whose weights are all zero."""
    used = [m for m in range(len(weight)) if weight[m].any()]
    return Table(index[used], weight[used])


def pair_of_sides(given: Any) -> tuple[Side, Side]:
    """Both sides of an axis from one condition or a pair, or a clear error."""
    pair = (given, given) if isinstance(given, str | Robin) else given
    if not isinstance(pair, Sequence) or len(pair) != 2:
        raise ValueError(f"an axis has two sides, the lower and the upper one; got {given!r}")
    for side in pair:
        if not isinstance(side, Robin) and side not in SIDES:
            raise ValueError(
                f"unknown side {side!r}; known are {', '.join(map(repr, SIDES))} and Robin(beta) "
                f"({SCOPE})"
            )
    if (pair[0] == "periodic") != (pair[1] == "periodic"):
        raise ValueError(f"an axis is periodic on both sides or on none, got {given!r}")
    return pair[0], pair[1]
