"""What is given on the sides of a box: values of u, fluxes, and how a problem takes them in.

Levels know zero values and zero fluxes only. A flux q = a du/dn (+ a beta u) is put into the
right-hand side of the nodes on its side, where it is q over the length that belongs to such a node.
Values of u are continued into the box and taken out (see :mod:`mgcore.boundary`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mgcore.boundary import evaluate
from mgcore.gate import check_shape, real_array
from mgcore.grid import Grid
from mgcore.level import Posed
from mgcore.operators import Operator

__all__ = ["at_border", "continuation", "is_nested"]


def continuation(
    boundary: Any, grid: Grid, operator: Operator, g: np.ndarray, project: bool = True
) -> Posed:
    """Take in what is given on the sides; `g` itself is left as it is.

    Parameters
    ----------
    boundary : float, array_like, callable, or sequence
        Values of u on Dirichlet sides; or for each axis a pair (lower, upper) of values, for
        Dirichlet sides of u, for others the flux. Each is a number, an array of the face's shape
        (or broadcasting to it), or a function of the coordinates.
    project : bool
        Whether to take the mean out of g where the problem is singular.
    """
    faces = _given(boundary, grid)
    dtype, own = g.dtype, g
    values: list[list[np.ndarray | None]] = []
    for number, (axis, pair) in enumerate(zip(grid.axes, faces, strict=True)):
        values.append([])
        for end, side, face in zip((0, -1), axis.sides, pair, strict=True):
            values[-1].append(face if side == "dirichlet" else None)
            if side in ("dirichlet", "periodic") or face is None or not face.any():
                continue
            at = tuple(end if k == number else slice(None) for k in range(grid.ndim))
            g = g.copy() if g is own else g
            g[at] += (face / axis.mass[end]).astype(dtype)
    lift = _lift(values, grid, dtype)
    removed = 0.0
    if operator.singular and project:
        removed = operator.mean(g)
        g = g - dtype.type(removed)
    return Posed(g, lift, removed)


def is_nested(boundary: Any, ndim: int) -> bool:
    """Whether sides are told one by one: for each axis a pair, or None."""
    if not isinstance(boundary, tuple | list) or (ndim == 1 and len(boundary) != 1):
        return False  # in 1D two pairs are a batch of two
    pairs = [isinstance(pair, tuple | list) and len(pair) == 2 for pair in boundary]
    return bool(pairs) and (all(pairs) or any(pair is None for pair in boundary))


def at_border(boundary: Any, grid: Grid) -> Any:
    """Values of u told side by side as one array of node values; others as they are."""
    if not is_nested(boundary, grid.ndim):
        return boundary
    values = np.zeros(grid.shape)
    for number, pair in enumerate(_given(boundary, grid)):
        for end, face in zip((0, -1), pair, strict=True):
            if face is not None:
                values[tuple(end if k == number else slice(None) for k in range(grid.ndim))] = face
    return values


def _given(boundary: Any, grid: Grid) -> list[list[np.ndarray | None]]:
    """For each axis and end what is given there, of the shape of that face."""
    if grid.ndim == 1 and not callable(boundary) and np.shape(boundary) == (2,):
        boundary = [tuple(boundary)]
    found: list[list[np.ndarray | None]] = []
    if is_nested(boundary, grid.ndim):
        if len(boundary) != grid.ndim:
            raise ValueError(
                f"boundary needs a pair (lower, upper) for each of {grid.ndim} axes, got "
                f"{len(boundary)}"
            )
        for number, pair in enumerate(boundary):
            pair = (None, None) if pair is None else pair
            if len(pair) != 2:
                raise ValueError(f"axis {number} has two sides, a lower and an upper one")
            ends = zip(pair, (0, -1), strict=True)
            found.append([_face(value, grid, number, end) for value, end in ends])
        return found
    if not callable(boundary):
        whole = real_array(evaluate(boundary, grid), "boundary")
        check_shape(whole.shape, grid, "boundary")
    for number, axis in enumerate(grid.axes):
        found.append([])
        for end, side in zip((0, -1), axis.sides, strict=True):
            if side != "dirichlet":
                found[-1].append(None)
            elif callable(boundary):
                found[-1].append(_face(boundary, grid, number, end))
            else:
                at = tuple(end if k == number else slice(None) for k in range(grid.ndim))
                found[-1].append(np.array(whole[at], float))
    return found


def _face(value: Any, grid: Grid, number: int, end: int) -> np.ndarray | None:
    """One side's values in the shape of its face."""
    if value is None:
        return None
    shape = tuple(n for k, n in enumerate(grid.shape) if k != number)
    if callable(value):
        coordinates = list(grid.coordinates())
        coordinates[number] = np.take(coordinates[number], [end], number)
        full = real_array(value(*coordinates), "boundary(x, ...)").astype(float)
        if full.ndim == grid.ndim:
            full = np.take(full, 0 if full.shape[number] == 1 else end, number)
    else:
        full = real_array(value, "boundary").astype(float)
    try:
        full = np.broadcast_to(full, shape)
    except ValueError:
        raise ValueError(
            f"the values on a side of axis {number} must broadcast to its nodes, {shape}; got "
            f"shape {full.shape}"
        ) from None
    if not np.isfinite(full).all():
        raise ValueError("boundary holds NaN or infinity at border nodes")
    return full


def _lift(values: Sequence[Sequence[np.ndarray | None]], grid: Grid, dtype: np.dtype) -> Any:
    """Transfinite interpolation between the Dirichlet sides; constant from a single one."""
    if not any(face is not None and face.any() for pair in values for face in pair):
        return None
    lift = np.zeros(grid.shape)
    for number, (axis, pair) in enumerate(zip(grid.axes, values, strict=True)):
        given = [side == "dirichlet" for side in axis.sides]
        if not any(given):
            continue
        t = (axis.nodes - axis.nodes[0]) / (axis.nodes[-1] - axis.nodes[0])
        t = t.reshape([-1 if k == number else 1 for k in range(grid.ndim)])
        parts = {(True, True): (1 - t, t), (True, False): (t * 0 + 1, None),
                 (False, True): (None, t * 0 + 1)}[given[0], given[1]]  # fmt: skip
        more = np.zeros(grid.shape)
        for end, part, face in zip((0, -1), parts, pair, strict=True):
            if part is None:
                continue
            lack = -np.take(lift, [end], number)
            if face is not None:
                lack = lack + np.expand_dims(face, number)
            more = more + part * lack
        lift = lift + more
    return lift.astype(dtype)
