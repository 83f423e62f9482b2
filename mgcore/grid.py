"""Grids of nodes with 2^s + 1 nodes along each axis, and the chain of coarser grids below one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import cos, pi, prod

import numpy as np

__all__ = ["Grid"]


@dataclass(frozen=True)
class Grid:
    """A uniform grid on a box, boundary nodes included.

    Parameters
    ----------
    shape : int or sequence of int
        Nodes along each of one to three axes, each 2^s + 1 with s >= 1.
    extent : float or sequence of float
        Length of the box along each axis; one number is the length of every side.

    Raises
    ------
    ValueError
        For a shape that cannot be coarsened down to one unknown, naming the nearest that can, or
        an extent that is not positive and finite.
    """

    shape: tuple[int, ...]
    extent: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        shape = _numbers(self.shape, "shape", int)
        extent = _numbers(self.extent, "extent", float)
        if not 1 <= len(shape) <= 3:
            raise ValueError(f"grids have one, two or three axes, got shape {shape}")
        if any(n < 3 or (n - 1) & (n - 2) for n in shape):
            near = " or ".join(map(str, _nearest(shape)))
            raise ValueError(
                f"each axis needs 2^s + 1 nodes, boundary included, got shape {shape}; "
                f"the nearest that fit are {near}"
            )
        extent = extent * len(shape) if len(extent) == 1 else extent
        if len(extent) != len(shape):
            raise ValueError(
                f"extent needs one length or one for each of {len(shape)} axes, got {extent}"
            )
        if not all(0 < length < float("inf") for length in extent):
            raise ValueError(f"extent must be positive and finite, got {extent}")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "extent", extent)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Mesh width h along each axis."""
        return tuple(length / (n - 1) for length, n in zip(self.extent, self.shape, strict=True))

    @property
    def interior(self) -> tuple[int, ...]:
        """Interior nodes along each axis."""
        return tuple(n - 2 for n in self.shape)

    @property
    def size(self) -> int:
        """Number of unknowns: interior nodes."""
        return prod(self.interior)

    def coordinates(self) -> tuple[np.ndarray, ...]:
        """Coordinates of the nodes, one float64 array for each axis, shaped to broadcast.

        Examples
        --------
        >>> x, y = Grid((5, 9)).coordinates()
        >>> x.shape, y.shape
        ((5, 1), (1, 9))
        """
        axes = [
            np.linspace(0, length, n) for length, n in zip(self.extent, self.shape, strict=True)
        ]
        return np.ix_(*axes)

    @property
    def condition(self) -> float:
        """Condition number of the second differences at the interior nodes, zero on the border.

        Their eigenvalues are sum 2 a_i (1 - cos theta_i), a_i = h_i^-2, with theta_i from pi/m_i to
        pi - pi/m_i along an axis of m_i mesh widths.
        """
        a = [(min(self.spacing) / h) ** 2 for h in self.spacing]  # no square overflows
        cosines = [cos(pi / (n - 1)) for n in self.shape]
        largest, smallest = (
            sum(weight * (1 + sign * c) for weight, c in zip(a, cosines, strict=True))
            for sign in (1, -1)
        )
        return largest / smallest

    def halved_axes(self) -> tuple[bool, ...]:
        """Which axes the next coarser grid halves; none on the coarsest.

        Axes are halved whose mesh width is below 1.5 times the smallest of those that still can
        be. Strong couplings are along short mesh widths, and only errors that point smoothing
        made smooth, those along strong couplings, can be seen on a coarser grid.
        """
        able = [h for h, n in zip(self.spacing, self.shape, strict=True) if n > 3]
        return tuple(
            n > 3 and h < 1.5 * min(able) for h, n in zip(self.spacing, self.shape, strict=True)
        )

    def coarser(self) -> Grid | None:
        """The next coarser grid, None if this one has a single unknown."""
        halved = self.halved_axes()
        if not any(halved):
            return None
        shape = tuple(
            (n + 1) // 2 if half else n for n, half in zip(self.shape, halved, strict=True)
        )
        return Grid(shape, self.extent)

    def chain(self) -> Iterator[Grid]:
        """This grid and all coarser ones, down to one unknown."""
        grid: Grid | None = self
        while grid is not None:
            yield grid
            grid = grid.coarser()


def _numbers(values: object, name: str, kind: type) -> tuple:
    """One number or a sequence of them as a tuple of `kind`, or a clear error."""
    listed = values if isinstance(values, Sequence | np.ndarray) else (values,)
    try:
        numbers = tuple(kind(value) for value in listed)
        whole = all(float(n) == float(value) for n, value in zip(numbers, listed, strict=True))
        if isinstance(values, str) or (not whole and kind is int):
            raise TypeError
    except (TypeError, ValueError, OverflowError):
        word = "whole numbers" if kind is int else "numbers"
        raise ValueError(f"{name} must be one or more {word}, got {values!r}") from None
    return numbers


def _nearest(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The one or two shapes with 2^s + 1 nodes along each axis that are closest to `shape`."""

    def neighbours(n: int) -> set[int]:
        s = max(1, (max(n, 3) - 1).bit_length() - 1)
        return {2**s + 1, 2 ** (s + 1) + 1 if n > 2**s + 1 else 2**s + 1}

    def distance(candidate: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        return sum(abs(m - n) for m, n in zip(candidate, shape, strict=True)), candidate

    return sorted(product(*map(neighbours, shape)), key=distance)[:2]
