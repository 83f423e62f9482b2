"""What fused passes over a plane box read of variable coefficients: a on faces or at nodes, and c.

Rows of fields lie as rows of u do in scratch, even and odd nodes apart. Beyond the unknowns there
are ones, as diagonals are divided by.
"""

from __future__ import annotations

import numpy as np

from mgcore.axis import Axis, Robin
from mgcore.diffusion import Diffusion
from mgcore.kernels.common import aligned
from mgcore.kernels.plane_box import AT_NODES, COLUMNS, FACES, HALVES, NODES, ROWS, TABLES
from mgcore.layout import Layout

__all__ = ["fields", "kind_of"]


def kind_of(operator: Diffusion) -> int:
    """What passes read of a: TABLES, FACES or NODES of :mod:`mgcore.kernels.plane_box`."""
    medium = operator.medium
    if medium.separable and not medium.reaction.any():
        return TABLES
    # A Robin side is a coupling that no a is part of.
    robin = any(isinstance(side, Robin) for axis in operator.grid.axes for side in axis.sides)
    return FACES if medium.nodes is None or robin else NODES


def fields(operator: Diffusion, kind: int, layout: Layout, room: int) -> np.ndarray:
    """a and, where there is one, c, as passes read them.

    Parameters
    ----------
    operator : Diffusion
        On a grid of two axes.
    kind : int
        FACES or NODES, as :func:`kind_of` says.
    layout : Layout
        Of the arrays for u and g, whose dtype is that of fields.
    room : int
        Numbers for half a row.

    Returns
    -------
    ndarray
        (unknown rows + 2, halves, room): see COLUMNS and its like in
        :mod:`mgcore.kernels.plane_box`.
    """
    grid, medium = operator.grid, operator.medium
    owned = bool(medium.reaction.any())
    halves = HALVES[kind] + 2 * owned
    out: np.ndarray = aligned((grid.interior[0] + 2, halves, room), layout.dtype)
    rows, columns = grid.unknown
    for edge in (out[:1], out[-1:], out[:, :, :1], out[:, :, columns.stop // 2 :]):
        edge[:] = 1
    if kind == NODES:
        assert medium.nodes is not None
        _put_nodes(medium.nodes, grid.axes[1], out[-layout.first[0] :, AT_NODES : AT_NODES + 2])
    else:
        for number, half in ((1, COLUMNS), (0, ROWS)):
            others = (rows, slice(None)) if number else (slice(None), columns)
            axis, shape = grid.axes[number], list(grid.shape)
            shape[number] = len(axis.widths)
            before = _before(np.broadcast_to(medium.faces[number], shape)[others], axis, number)
            _put(before, columns.start, out[1:, half : half + 2])
    if owned:
        c = np.broadcast_to(medium.reaction, grid.shape)
        _put(c[grid.unknown], columns.start, out[1:, -2:])
    return out


def _put(values: np.ndarray, first: int, out: np.ndarray, factor: float = 1.0) -> None:
    """Rows of values times a factor, that of node `first` first, to halves of rows."""
    for c in (0, 1):
        skipped = (first + c) % 2
        part, begin = values[:, skipped::2], (first + skipped) // 2
        np.multiply(part, factor, out=out[: len(values), c, begin : begin + part.shape[1]])


def _put_nodes(a: np.ndarray, axis: Axis, out: np.ndarray) -> None:
    """Half of a at all nodes, as the mean of two of them is what a face has."""
    _put(a, 0, out, 0.5)
    if axis.periodic:
        # Node -1 is an odd one, sought behind the even half: see plane_box.places_of.
        out[: len(a), 0, -1] = a[:, -1] / 2
        out[: len(a), 0, axis.n // 2] = a[:, 0] / 2


def _before(faces: np.ndarray, axis: Axis, number: int) -> np.ndarray:
    """The a of the faces before the unknowns of an axis, and behind the last; one for none."""
    first, stop = axis.unknown.start - 1, axis.unknown.stop
    shape = list(faces.shape)
    shape[number] = stop - first
    found = np.ones(shape)
    of, to = np.moveaxis(faces, number, 0), np.moveaxis(found, number, 0)
    begin, end = max(first, 0), min(stop, len(of))
    to[begin - first : end - first] = of[begin:end]
    if axis.periodic:
        to[0] = of[-1]
    return found
