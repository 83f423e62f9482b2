"""-div(a grad u) + c u: coefficients as callers give them, on one grid and on coarser ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, prod
from typing import Any

import numpy as np

from mgcore.axis import SCOPE, Axis, Robin, Table
from mgcore.cached import cached_property
from mgcore.gate import check_shape, real_array
from mgcore.grid import Grid
from mgcore.kernels.means import means
from mgcore.operators import Operator, slim
from mgcore.stencil import Offset, Stencil

__all__ = ["MEANS", "Diffusion", "Medium", "equation", "named"]

#: How a coefficient between two nodes is made of those at the nodes.
MEANS = ("arithmetic", "harmonic")

# Eigenvalues along an axis are at least about 10 a / length^2, rounding makes up to a few hundred
# eps beta / length of them.
_LARGEST_BETA = 1e12


@dataclass(frozen=True, eq=False)
class Medium:
    """The coefficients of -div(a grad u) + c u on one grid.

    Attributes
    ----------
    grid : Grid
    faces : tuple of ndarray
        For each axis the a of the faces between neighbours along it: mesh widths along that axis,
        nodes along the others, or length 1 where it does not vary.
    reaction : ndarray
        c at the nodes, or of length 1.
    nodes : ndarray or None
        a at the nodes, where that of each face is the mean of those at its two.
    """

    grid: Grid
    faces: tuple[np.ndarray, ...]
    reaction: np.ndarray
    nodes: np.ndarray | None = None

    @classmethod
    def given(
        cls, grid: Grid, coefficient: Any = 1.0, reaction: Any = 0.0, mean: str = "arithmetic"
    ) -> Medium:
        """The medium that a caller describes.

        Parameters
        ----------
        grid : Grid
        coefficient : float, ndarray, or sequence of them
            a > 0 at the nodes, or in the cells between them (one less along each axis, as many
            along a periodic one); or one of these for each axis: a diagonal tensor.
        reaction : float or ndarray
            c >= 0 at the nodes.
        mean : {"arithmetic", "harmonic"}
            Of two values at nodes, for the face between them. Values of cells are averaged
            arithmetically over the cells around a face.

        Raises
        ------
        ValueError
            For coefficients of another shape, or that are not positive and finite.
        """
        if mean not in MEANS:
            raise ValueError(f"unknown mean {mean!r}; known are {', '.join(map(repr, MEANS))}")
        listed = isinstance(coefficient, tuple | list) and len(coefficient) == grid.ndim
        each = [_checked(grid, a) for a in (coefficient if listed else [coefficient])]
        each = each if listed else each * grid.ndim
        faces = [_faces(grid, a, axis, mean) for axis, a in enumerate(each)]
        c = real_array(reaction, "reaction").astype(float)
        if c.ndim:
            check_shape(c.shape, grid, "reaction")
        if not (c >= 0).all() or not (c < inf).all():
            raise ValueError(f"reaction must be zero or more and finite ({SCOPE})")
        nodes = None
        if mean == "arithmetic" and not listed and each[0].shape == grid.shape:
            nodes = each[0]
        c = slim(c.reshape(c.shape or (1,) * grid.ndim))
        for axis, its in zip(grid.axes, faces, strict=True):
            _check_robin(axis, float(its.min()))
        return cls(grid, tuple(map(slim, faces)), c, nodes)

    @classmethod
    def constant(cls, grid: Grid) -> Medium:
        """That of -Laplace: a = 1, c = 0."""
        one = np.ones((1,) * grid.ndim)
        return cls(grid, (one,) * grid.ndim, 0 * one)

    @property
    def plain(self) -> bool:
        """Whether this is -Laplace: a = 1, c = 0."""
        return all(a.flat[0] == 1 and (a == 1).all() for a in self.faces) and (
            not self.reaction.any()
        )

    @property
    def separable(self) -> bool:
        """Whether a varies along the axis of its flux alone, and c not at all."""
        lines = all(a.size == a.shape[number] for number, a in enumerate(self.faces))
        return lines and self.reaction.size == 1

    def coarser(self, coarse: Grid, halved: Sequence[bool]) -> Medium:
        """The medium that the next coarser grid sees.

        Faces in a row carry a flux one after the other, so their a has a harmonic mean, weighted by
        mesh widths; faces side by side share it, and are averaged as right-hand sides are.
        """
        faces = []
        for number, a in enumerate(self.faces):
            for k, (axis, half) in enumerate(zip(self.grid.axes, halved, strict=True)):
                if not half or a.shape[k] == 1:
                    continue
                if k == number:
                    a = _averaged(a, k, axis.joined, harmonic=True)
                else:
                    a = _averaged(a, k, axis.full_weighting)
            faces.append(a)
        c = self.reaction
        for k, (axis, half) in enumerate(zip(self.grid.axes, halved, strict=True)):
            if half and c.shape[k] > 1:
                c = _averaged(c, k, axis.full_weighting)
        return Medium(coarse, tuple(faces), c)

    def operator(self) -> Diffusion:
        """-div(a grad u) + c u by finite volumes around the nodes."""
        return Diffusion(self)


class Diffusion(Operator):
    """-div(a grad u) + c u by finite volumes around the nodes.

    Couplings are made of the medium where somebody asks for them: kernels take fluxes instead (see
    :mod:`mgcore.kernel_tables`).

    Parameters
    ----------
    medium : Medium
    """

    def __init__(self, medium: Medium):
        self.grid, self.medium = medium.grid, medium

    @cached_property
    def couplings(self) -> Mapping[Offset, np.ndarray]:  # type: ignore[override]
        """See :class:`~mgcore.operators.Operator`."""
        grid, found = self.grid, {}
        for number, (axis, faces) in enumerate(zip(grid.axes, self.medium.faces, strict=True)):
            if faces.shape[number] == 1:
                faces = np.repeat(faces, len(axis.widths), number)
            lower, upper, _ = axis.second_difference(np.moveaxis(faces, number, 0))
            for sign, weight in ((-1, lower), (1, upper)):
                offset = tuple(sign if k == number else 0 for k in range(grid.ndim))
                weight = np.moveaxis(weight, 0, number)
                found[offset] = slim(_at_unknowns(grid, weight, but=number))
        return found

    @cached_property
    def own(self) -> np.ndarray:  # type: ignore[override]
        """See :class:`~mgcore.operators.Operator`."""
        grid = self.grid
        own = _at_unknowns(grid, self.medium.reaction)
        for number, axis in enumerate(grid.axes):
            _, _, border = axis.second_difference(np.ones(len(axis.widths)))
            if border.any():
                own = own + border.reshape([-1 if k == number else 1 for k in range(grid.ndim)])
        return slim(own)

    @property
    def compact(self) -> bool:
        """See :class:`~mgcore.operators.Operator`."""
        return True

    @property
    def symmetric(self) -> bool:
        """See :class:`~mgcore.operators.Operator`."""
        return True

    @property
    def uniform_diagonal(self) -> float | None:
        """See :class:`~mgcore.operators.Operator`."""
        if self.own.size > 1 or any(faces.size > 1 for faces in self.medium.faces):
            return None
        total = self.own.item()
        for axis, faces in zip(self.grid.axes, self.medium.faces, strict=True):
            both = np.add(*axis.second_difference()[:2])
            if np.ptp(both) > 1e-14 * both[0]:
                return None
            total += both[0] * faces.item()
        return total

    @cached_property
    def bound(self) -> float:
        """See :class:`~mgcore.operators.Operator`; with the largest of each term."""
        total = float(self.own.max())
        for axis, largest in zip(self.grid.axes, self._largest, strict=True):
            lower, upper, _ = axis.second_difference(np.ones(len(axis.widths)))
            total += largest * float((lower + upper).max())
        return 2 * total

    @cached_property
    def _largest(self) -> tuple[float, ...]:
        """The largest a of each axis."""
        return tuple(float(faces.max()) for faces in self.medium.faces)

    @property
    def condition(self) -> float:
        """See :class:`~mgcore.operators.Operator`.

        With the largest and smallest a and mesh width of each axis.
        """
        ratio = 1.0
        for axis, faces, a in zip(self.grid.axes, self.medium.faces, self._largest, strict=True):
            weights = np.concatenate(axis.second_difference(np.ones(len(axis.widths)))[:2])
            weights = weights[weights > 0]
            ratio = max(ratio, float(a / faces.min() * (weights.max() / weights.min())))
        return self.grid.condition * ratio


def equation(
    grid: Grid, coefficient: Any, mean: str, reaction: Any, operator: Stencil | None
) -> Medium | Stencil:
    """What a caller wants solved, checked: a medium, or a stencil in its place."""
    medium = Medium.given(grid, coefficient, reaction, mean)
    if operator is None:
        return medium
    if not isinstance(operator, Stencil):
        raise ValueError(
            "the operator must be a Stencil, such as mgcore.Stencil.of_array(weights), got "
            f"{type(operator).__name__}"
        )
    if not medium.plain:
        raise ValueError("an operator stands for coefficient and reaction; give one or the other")
    return operator


def named(problem: Medium | Stencil) -> str:
    """The equation that is solved, in a few signs."""
    if isinstance(problem, Stencil):
        return f"A u = g, A of {len(problem.weights)} points,"
    if problem.plain:
        return "-Laplace u = g"
    return f"-div(a grad u){' + c u' if problem.reaction.any() else ''} = g"


def _averaged(values: np.ndarray, k: int, table: Table, harmonic: bool = False) -> np.ndarray:
    """Means along axis k with the weights of a table."""
    shape = values.shape[:k], values.shape[k], values.shape[k + 1 :]
    out = np.empty((prod(shape[0]), table.weight.shape[1], prod(shape[2])))
    values = np.ascontiguousarray(values).reshape(len(out), shape[1], out.shape[2])
    means(values, table.index, table.weight, harmonic, out)
    return out.reshape(*shape[0], -1, *shape[2])


def _at_unknowns(grid: Grid, values: np.ndarray, but: int | None = None) -> np.ndarray:
    """Values at the unknowns from those at nodes, along all axes but one and those of length 1."""
    window = tuple(
        slice(None) if k == but or values.shape[k] == 1 else s for k, s in enumerate(grid.unknown)
    )
    return values[window]


def _check_robin(axis: Axis, a: float) -> None:
    """Refuse a beta so large that its rounding hides the eigenvalues of -(a u')' along the axis."""
    for side in axis.sides:
        if isinstance(side, Robin) and side.beta * axis.length > _LARGEST_BETA * a:
            raise ValueError(
                f"beta {side.beta:g} of a Robin side is more than {_LARGEST_BETA:g} times a over "
                f"the length {axis.length:g} of the axis: u is q / beta there, a side 'dirichlet'"
            )


def _checked(grid: Grid, a: Any) -> np.ndarray:
    """A coefficient as a caller gives it, as a new array."""
    values = real_array(a, "coefficient").astype(float)
    cells = tuple(len(axis.widths) for axis in grid.axes)
    # NaN is neither more than zero nor less than infinity.
    if values.shape not in ((), grid.shape, cells) or not 0 < values.min() <= values.max() < inf:
        raise ValueError(
            f"coefficient must be positive and finite: a number, one value for each of the nodes "
            f"{grid.shape} or of the cells {cells}, or a list with one of these for each axis "
            f"({SCOPE})"
        )
    return values


def _faces(grid: Grid, values: np.ndarray, number: int, mean: str) -> np.ndarray:
    """a on the faces across one axis: mesh widths along that axis, along others nodes or 1."""
    axis = grid.axes[number]
    if values.ndim == 0:
        return values.reshape((1,) * grid.ndim)
    if values.shape == grid.shape:
        return _averaged(values, number, axis.between, harmonic=mean == "harmonic")
    for k, other in enumerate(grid.axes):
        if k == number:
            continue
        shape = [-1 if j == k else 1 for j in range(grid.ndim)]
        half = values * other.widths.reshape(shape) / 2  # beside a node on either side
        if other.periodic:
            half = half + np.roll(half, 1, k)
        else:
            none = np.zeros_like(np.take(half, [0], k))
            half = np.concatenate([half, none], k) + np.concatenate([none, half], k)
        values = half / other.mass.reshape(shape)
    return values
