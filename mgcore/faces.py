"""Gradient and divergence, between the nodes of a grid and the faces of the volumes around them.

A face lies between two neighbours, and so across one axis. What lives there, the gradient of node
values or a flow, has an array for each axis, as long along that axis as there are mesh widths::

    o --|-- o --|-- o --|-- o      o nodes, | faces, in 1D

The divergence of the gradient is then the operator of :func:`mgcore.poisson_levels`, without any
averaging: ``-divergence(gradient(u, grid), grid)`` is A u of -Laplace where u is sought, to the
last digits, on any mesh and in one to three dimensions; a Robin side's beta u is not in it. That
is what projections of a flow need.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mgcore.boundary import clear_sides
from mgcore.gate import check_shape, real_array
from mgcore.grid import Grid

__all__ = ["divergence", "gradient"]


def gradient(u: Any, grid: Grid) -> list[np.ndarray]:
    """Differences between neighbours over their distance, on the faces between them.

    Parameters
    ----------
    u : array_like
        Node values, those on the sides included.
    grid : Grid
        ``levels[0].grid`` or ``solution.grid``.

    Returns
    -------
    list of ndarray
        du/dx_k for each axis k: the shape of the nodes, but along axis k one less, and as many
        where that axis is periodic.

    Raises
    ------
    ValueError
        If `u` does not lie on the grid.

    Examples
    --------
    >>> grid = Grid((4, 3), spacing=(0.5, 1.0))
    >>> x, y = grid.coordinates()
    >>> du_dx, du_dy = gradient(2 * x + y, grid)
    >>> du_dx.shape, du_dy.shape
    ((3, 3), (4, 2))
    >>> bool((du_dx == 2).all() and (du_dy == 1).all())
    True
    """
    u = _floating(u, "u")
    _check_grid(grid)
    check_shape(u.shape, grid, "u")
    found = []
    for k, axis in enumerate(grid.axes):
        step = np.roll(u, -1, k) - u if axis.periodic else np.diff(u, axis=k)
        found.append(step / _along(axis.widths, k, grid.ndim, u.dtype))
    return found


def divergence(v: Sequence[Any], grid: Grid) -> np.ndarray:
    """What flows out of the volume around each node, over that volume.

    Parameters
    ----------
    v : sequence of array_like
        A component for each axis, on its faces, as :func:`gradient` gives them.
    grid : Grid

    Returns
    -------
    ndarray
        At the nodes. Nothing flows through the sides of the box: a flow there is a flux, and given
        as `boundary` of a solve. Zero at nodes on Dirichlet sides, which have no volume.

    Raises
    ------
    ValueError
        If `v` does not lie on the faces of the grid.
    """
    _check_grid(grid)
    shapes = [
        tuple(len(axis.widths) if j == k else axis.n for j, axis in enumerate(grid.axes))
        for k in range(grid.ndim)
    ]
    faces = [_floating(component, "v") for component in v]
    if [component.shape for component in faces] != shapes:
        raise ValueError(
            f"v needs a component on the faces across each axis, of shapes {shapes}, got "
            f"{[component.shape for component in faces]}"
        )
    total = np.zeros(grid.shape, np.result_type(*faces))
    for k, (flow, axis) in enumerate(zip(faces, grid.axes, strict=True)):
        # (v_{i+1/2} - v_{i-1/2}) / mass_i, mass the length that belongs to node i
        if axis.periodic:
            out = flow - np.roll(flow, 1, k)
        else:
            out = np.diff(flow, axis=k, prepend=0, append=0)
        total += out / _along(axis.mass, k, grid.ndim, total.dtype)
    clear_sides(total, grid)
    return total


def _check_grid(grid: Any) -> None:
    if not isinstance(grid, Grid):
        raise ValueError(f"grid must be a Grid, such as solution.grid, got {grid!r}")


def _floating(values: Any, name: str) -> np.ndarray:
    array = real_array(values, name)
    return array if array.dtype.kind == "f" else array.astype(float)


def _along(values: np.ndarray, axis: int, ndim: int, dtype: Any) -> np.ndarray:
    """Values along one axis, shaped to broadcast."""
    return values.reshape([-1 if k == axis else 1 for k in range(ndim)]).astype(dtype)
