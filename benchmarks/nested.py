"""Grids of 2^s + 1 nodes along each axis, the only ones that some benchmarks are for."""

from __future__ import annotations

from itertools import product

from mgcore import Grid

__all__ = ["check_nested"]


def check_nested(grid: Grid) -> Grid:
    """Refuse a grid that cannot be halved evenly down to one unknown, naming the nearest that can.

    Raises
    ------
    ValueError
    """
    if any((n - 1) & (n - 2) for n in grid.shape):
        near = " or ".join(map(str, _nearest(grid.shape)))
        raise ValueError(
            f"here each axis needs 2^s + 1 nodes, boundary included, got shape {grid.shape}; "
            f"the nearest that fit are {near}"
        )
    return grid


def _nearest(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The one or two shapes with 2^s + 1 nodes along each axis that are closest to `shape`."""

    def neighbours(n: int) -> set[int]:
        s = max(1, (max(n, 3) - 1).bit_length() - 1)
        return {2**s + 1, 2 ** (s + 1) + 1 if n > 2**s + 1 else 2**s + 1}

    def distance(candidate: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        return sum(abs(m - n) for m, n in zip(candidate, shape, strict=True)), candidate

    return sorted(product(*map(neighbours, shape)), key=distance)[:2]
