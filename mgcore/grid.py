"""Grids of nodes on a box, and the chain of coarser grids below one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isclose, prod
from typing import Any

import numpy as np

from mgcore.axis import SCOPE, Axis, Robin, Side, pair_of_sides
from mgcore.cached import cached_property

__all__ = ["Grid"]

# What is shorter than so many times the smallest mesh width is halved with it. Pictures of 3 to 2
# on the unit square have 1.5 and a bit, and cycles that halve both axes cost a third. In space two
# short axes beside such a long one would converge at .34 for .15, graded meshes at .57 for .12.
_LIKE, _LIKE_ON_PICTURES = 1.5, 1.55


class Grid:
    """Nodes on a box, boundary nodes included: a product of axes.

    Parameters
    ----------
    shape : int or sequence of int, optional
        Nodes along each of one to three axes, 3 or more each. Along a periodic axis the end is not
        counted twice: node n would be node 0. May be left out where `coordinates` are given.
    extent : float or sequence of float, optional
        Length of the box along each axis, by default 1; one number is the length of every side.
        Where `coordinates` are given they say it, but for periodic axes; if given, it must agree.
    sides : str or Robin or sequence of them
        "dirichlet", "neumann", "periodic" or ``Robin(beta)``: one for all sides, or for each axis
        one or a pair (lower, upper); in 1D the pair alone will do.
    coordinates : sequence of array, optional
        The nodes along each axis, increasing: a graded mesh.
    spacing : float or sequence of float, optional
        Mesh width along each axis, or along all: another way to tell the extent.

    Raises
    ------
    ValueError
        For what does not fit; the message says what does.

    Examples
    --------
    >>> Grid((5, 9), spacing=0.5).extent
    (2.0, 4.0)
    >>> Grid((4, 8), spacing=0.5, sides="periodic").extent
    (2.0, 4.0)
    """

    def __init__(
        self,
        shape: int | Sequence[int] | None = None,
        extent: float | Sequence[float] | None = None,
        sides: Any = "dirichlet",
        coordinates: Sequence[Any] | None = None,
        spacing: float | Sequence[float] | None = None,
    ):
        if coordinates is not None:
            lines = _lines(coordinates)
            given = tuple(map(len, lines))
            if shape is not None and _numbers(shape, "shape", int) != given:
                raise ValueError(f"coordinates are those of {given} nodes, not of {shape}")
            shape = given
        elif shape is None:
            raise ValueError("a grid needs a shape or coordinates")
        shape = _numbers(shape, "shape", int)
        if not 1 <= len(shape) <= 3:
            raise ValueError(f"grids have one, two or three axes, got shape {shape} ({SCOPE})")
        if any(n < 3 for n in shape):
            raise ValueError(f"each axis needs 3 nodes or more, got shape {shape}")
        pairs = _sides(sides, len(shape))
        if spacing is None:
            lengths = _lengths(1.0 if extent is None else extent, "extent", len(shape))
        elif extent is None and coordinates is None:
            cells = [n - (pair[0] != "periodic") for n, pair in zip(shape, pairs, strict=True)]
            widths = _lengths(spacing, "spacing", len(shape))
            lengths = tuple(n * h for n, h in zip(cells, widths, strict=True))
        else:
            other = "extent" if coordinates is None else "coordinates"
            raise ValueError(f"spacing and {other} both say how long the box is; give one of them")
        if coordinates is None:
            alike: dict[Any, Axis] = {}  # equal axes are one, and set up once
            self.axes = tuple(
                alike.setdefault(kind, Axis.uniform(*kind))
                for kind in zip(shape, lengths, pairs, strict=True)
            )
        else:
            kinds = zip(lines, lengths, pairs, strict=True)
            told = extent is not None
            self.axes = tuple(_graded(number, *kind, told) for number, kind in enumerate(kinds))

    @classmethod
    def _of(cls, axes: Sequence[Axis]) -> Grid:
        grid = cls.__new__(cls)
        grid.axes = tuple(axes)
        return grid

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Nodes along each axis."""
        return tuple(axis.n for axis in self.axes)

    @cached_property
    def extent(self) -> tuple[float, ...]:
        """Length of the box along each axis."""
        return tuple(axis.length for axis in self.axes)

    @cached_property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.axes)

    @cached_property
    def sides(self) -> tuple[tuple[Side, Side], ...]:
        """The conditions on the lower and the upper side of each axis."""
        return tuple(axis.sides for axis in self.axes)

    @cached_property
    def spacing(self) -> tuple[float, ...]:
        """Mesh width h along each axis, on a graded one their mean."""
        return tuple(axis.length / len(axis.widths) for axis in self.axes)

    @cached_property
    def unknown(self) -> tuple[slice, ...]:
        """The nodes where u is sought: all but those with Dirichlet's values."""
        return tuple(axis.unknown for axis in self.axes)

    @cached_property
    def interior(self) -> tuple[int, ...]:
        """Unknowns along each axis."""
        return tuple(axis.size for axis in self.axes)

    @cached_property
    def size(self) -> int:
        """Number of unknowns."""
        return prod(self.interior)

    @cached_property
    def dirichlet(self) -> bool:
        """Whether u is given on every side."""
        return all(side == "dirichlet" for pair in self.sides for side in pair)

    @cached_property
    def even(self) -> bool:
        """Whether mesh widths are equal along each axis."""
        return all(axis.even for axis in self.axes)

    @property
    def floating(self) -> bool:
        """Whether no side holds u: without a reaction, u is then known up to a constant."""
        return all(
            side in ("neumann", "periodic") or (isinstance(side, Robin) and side.beta == 0)
            for pair in self.sides
            for side in pair
        )

    def coordinates(self) -> tuple[np.ndarray, ...]:
        """Coordinates of the nodes, one float64 array for each axis, shaped to broadcast.

        Examples
        --------
        >>> x, y = Grid((5, 9)).coordinates()
        >>> x.shape, y.shape
        ((5, 1), (1, 9))
        """
        # Copies, as equal axes are one, and what a caller does to them must not move the grid.
        return np.ix_(*(axis.nodes.copy() for axis in self.axes))

    @cached_property
    def condition(self) -> float:
        """Condition number of the second differences, the constant aside where it is in the kernel.

        Exact on even meshes with Dirichlet's values: eigenvalues are sum 2 a_i (1 - cos theta_i),
        a_i = h_i^-2, with theta_i from pi/m_i to pi - pi/m_i along an axis of m_i mesh widths.
        Elsewhere the smallest mesh width, and for the lowest frequency that of a box twice as
        long, say more than there is.
        """
        widths = [float(axis.widths.min()) for axis in self.axes]
        a = [(min(widths) / h) ** 2 for h in widths]  # no square overflows
        if self.dirichlet and self.even:
            m = [n - 1.0 for n in self.shape]
        else:
            m = [2 * axis.length / h for axis, h in zip(self.axes, widths, strict=True)]
        # 1 - cos t = 2 sin(t/2)^2, which keeps its digits for small t.
        sines = [np.sin(np.pi / (2 * n)) ** 2 for n in m]
        smallest = sum(2 * weight * s for weight, s in zip(a, sines, strict=True))
        largest = sum(2 * weight * (1 - s) for weight, s in zip(a, sines, strict=True))
        if not self.dirichlet:  # one axis alone may carry the lowest frequency
            smallest = min(2 * weight * s for weight, s in zip(a, sines, strict=True))
        return float(largest / smallest)

    def halved_axes(self) -> tuple[bool, ...]:
        """Which axes the next coarser grid halves; none where all are too short.

        Axes are halved whose mesh width is below 1.5 times the smallest of those that still can
        be, on even meshes in 2D 1.55 times. Strong couplings are along short mesh widths, and only
        errors that point smoothing made smooth, those along strong couplings, can be seen on a
        coarser grid.
        """
        picture = self.ndim == 2 and all(axis.even_inside for axis in self.axes)
        limit = _LIKE_ON_PICTURES if picture else _LIKE
        able = [h for h, axis in zip(self.spacing, self.axes, strict=True) if axis.can_coarsen]
        return tuple(
            axis.can_coarsen and h < limit * min(able)
            for h, axis in zip(self.spacing, self.axes, strict=True)
        )

    @cached_property
    def nested(self) -> bool:
        """Whether this is an even grid of 2^s + 1 nodes along each axis, with Dirichlet's values.

        Halved evenly, it ends at one unknown.
        """
        powers = all((n - 1) & (n - 2) == 0 for n in self.shape)
        return powers and self.dirichlet and self.even

    def coarser(self) -> Grid | None:
        """The next coarser grid, None if there is none."""
        halved = self.halved_axes()
        if not any(halved):
            return None
        pairs = zip(self.axes, halved, strict=True)
        return Grid._of([axis.coarser if half else axis for axis, half in pairs])

    def chain(self, coarsest: int = 1) -> Iterator[Grid]:
        """This grid and coarser ones, the last the first with `coarsest` unknowns or less."""
        grid: Grid | None = self
        while grid is not None:
            yield grid
            grid = grid.coarser() if grid.size > coarsest else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return self.sides, self.extent, tuple(axis.nodes.tobytes() for axis in self.axes)

    def __repr__(self) -> str:
        extent = " x ".join(f"{length:g}" for length in self.extent)
        return f"<Grid: {' x '.join(map(str, self.shape))} nodes on {extent}>"


def _sides(given: Any, ndim: int) -> list[tuple[Side, Side]]:
    """A pair for each axis."""
    if isinstance(given, str | Robin):
        return [pair_of_sides(given)] * ndim
    if ndim == 1 and isinstance(given, Sequence) and len(given) == 2:
        return [pair_of_sides(given)]
    if not isinstance(given, Sequence) or len(given) != ndim:
        raise ValueError(
            f"sides need one condition, or one or a pair for each of {ndim} axes, got {given!r}"
        )
    return [pair_of_sides(axis) for axis in given]


def _lines(coordinates: Sequence[Any]) -> list[np.ndarray]:
    """Coordinates as one array for each axis, checked."""
    try:
        if np.ndim(coordinates[0]) == 0:  # those of the one axis there is
            coordinates = [coordinates]
        arrays = [np.array(line, float).reshape(-1) for line in coordinates]
    except (TypeError, ValueError, IndexError, KeyError):
        raise ValueError(
            f"coordinates must be an array of numbers for each axis, got {coordinates!r}"
        ) from None
    for axis, line in enumerate(arrays):
        if len(line) < 3 or not np.isfinite(line).all() or not (np.diff(line) > 0).all():
            raise ValueError(
                f"coordinates of axis {axis} must be three or more finite numbers that increase"
            )
    return arrays


def _lengths(given: Any, name: str, ndim: int) -> tuple[float, ...]:
    """A positive number for each axis."""
    lengths: tuple[float, ...] = _numbers(given, name, float)
    lengths = lengths * ndim if len(lengths) == 1 else lengths
    if len(lengths) != ndim:
        raise ValueError(f"{name} needs one length or one for each of {ndim} axes, got {lengths}")
    if not all(0 < length < float("inf") for length in lengths):
        raise ValueError(f"{name} must be positive and finite, got {lengths}")
    return lengths


def _graded(
    number: int, line: np.ndarray, length: float, sides: tuple[Side, Side], told: bool
) -> Axis:
    """One axis of given nodes; the caller may have `told` its length."""
    span = float(line[-1] - line[0])
    if sides[0] != "periodic":
        if told and not isclose(span, length, rel_tol=1e-6):  # nodes may come in float32
            raise ValueError(
                f"axis {number} is {span:g} long by its coordinates and {length:g} by extent, "
                "which is for periodic axes: leave it out, or give the same"
            )
        return Axis(line, sides, span)
    if not told or not span < length:
        raise ValueError(
            f"a periodic axis needs as its extent the distance from a node to its own image, more "
            f"than the {span:g} between its first and last node, got {length if told else None}"
        )
    return Axis(line, sides, length)


def _numbers(values: object, name: str, kind: type) -> tuple:
    """One number or a sequence of them as a tuple of `kind`, or a clear error."""
    listed = values if isinstance(values, Sequence | np.ndarray) else (values,)
    try:
        numbers = tuple(kind(value) for value in listed)
        whole = all(float(n) == float(value) for n, value in zip(numbers, listed, strict=True))
        truth = any(isinstance(value, bool | np.bool_) for value in listed)
        if truth or isinstance(values, str) or (not whole and kind is int):
            raise TypeError
    except (TypeError, ValueError, OverflowError):
        word = "whole numbers" if kind is int else "numbers"
        raise ValueError(f"{name} must be one or more {word}, got {values!r}") from None
    return numbers
