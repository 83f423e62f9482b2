"""What is given on the sides of a box: values of u and fluxes, read once for every backend.

Levels know zero values and zero fluxes only. A flux q = a du/dn (+ beta u) is put into the
right-hand side of the nodes on its side, where it is q over the length that belongs to such a node.
Values of u are continued into the box and taken out (see :mod:`mgcore.boundary`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf
from numbers import Real
from typing import Any

import numpy as np

from mgcore.boundary import Lift, face_of
from mgcore.gate import check_shape, real_array
from mgcore.grid import Grid

__all__ = ["ROUNDED", "Given", "Reader", "unlike_batches"]

#: A right-hand side less its mean is zero where it is below so many units of rounding of the mean.
ROUNDED = 4


class Reader:
    """How one backend takes values from a caller: here as NumPy's arrays of one dtype.

    Parameters
    ----------
    dtype : dtype
    """

    def __init__(self, dtype: Any):
        self.dtype = np.dtype(dtype)

    def read(self, values: Any, name: str) -> Any:
        """`values` as an array, checked, and not copied where it is one."""
        return real_array(values, name)

    def own(self, values: Any, shape: tuple[int, ...]) -> Any:
        """An array that was read as one of this backend's, broadcast to `shape`."""
        own = np.empty(shape, self.dtype)
        with np.errstate(over="ignore"):  # whoever asks for finite values looks at the result
            own[...] = values
        return own


@dataclass(frozen=True)
class Given:
    """What a caller gives on the sides of a box, side by side.

    Attributes
    ----------
    grid : Grid
    reader : Reader
        Of the backend whose arrays these are.
    faces : sequence of pairs
        For each axis what is given on its lower and upper side: u where the side is Dirichlet's,
        elsewhere the flux. ``(*batch, *nodes)`` with length 1 along that axis, finite; None where
        all is zero and nobody asks for gradients.
    """

    grid: Grid
    reader: Reader
    faces: Sequence[Sequence[Any]]

    @classmethod
    def told(cls, boundary: Any, grid: Grid, reader: Reader) -> Given:
        """What `boundary` says, as documented at :func:`mgcore.solve`.

        Raises
        ------
        ValueError
            For what does not fit the sides, is not finite, or would be ignored.
        """
        if isinstance(boundary, Given):
            return boundary
        if boundary is None or (isinstance(boundary, Real) and boundary == 0):
            return cls(grid, reader, [[None, None]] * grid.ndim)
        pairs = _side_by_side(boundary, grid.ndim)
        if pairs is None and not callable(boundary):
            boundary = _checked(boundary, reader)
            if grid.ndim == 1 and tuple(boundary.shape[-1:]) == (2,):  # an axis has 3 nodes or more
                pairs = [(boundary[..., 0], boundary[..., 1])]
        if pairs is None:
            faces = _everywhere(boundary, grid, reader)
        else:
            faces = [
                [_alone(value, grid, number, end, reader) for end, value in enumerate(pair)]
                for number, pair in enumerate(pairs)
            ]
            _leading(faces, grid.ndim)  # checks it
            _agree(faces, grid)
        return cls(grid, reader, [[_needed(face) for face in pair] for pair in faces])

    @property
    def batch(self) -> tuple[int, ...]:
        """Leading axes of what is given."""
        return _leading(self.faces, self.grid.ndim)

    def member(self, index: tuple[int, ...], batch: tuple[int, ...]) -> Given:
        """What belongs to one right-hand side of a batch; () of () where there is one alone."""
        own = self.batch
        if not own:
            return self
        if len(own) > len(batch) or any(
            n not in (1, m) for n, m in zip(own[::-1], batch[::-1], strict=False)
        ):
            raise unlike_batches(batch, own)
        nodes = -self.grid.ndim
        faces = [
            [None if face is None else np.broadcast_to(face, batch + face.shape[nodes:])[index]
             for face in pair]
            for pair in self.faces
        ]  # fmt: skip
        return Given(self.grid, self.reader, faces)

    def lift(self) -> Lift | None:
        """A continuation of the values of u into the box; None where there are none but zero."""
        sides = self.grid.sides
        held = [
            [face if side == "dirichlet" else None for face, side in zip(*both, strict=True)]
            for both in zip(self.faces, sides, strict=True)
        ]
        if all(face is None for pair in held for face in pair):
            return None
        shares = []
        for number, (axis, pair) in enumerate(zip(self.grid.axes, sides, strict=True)):
            way, both = axis.nodes - axis.nodes[0], pair == ("dirichlet", "dirichlet")
            shape = (axis.n, *(1,) * (self.grid.ndim - number - 1))
            upper = self.reader.own((way / way[-1] if both else way**0).reshape(shape), shape)
            lower = 1 - upper if both else upper
            shares.append([
                line if side == "dirichlet" else None
                for line, side in zip((lower, upper), pair, strict=True)
            ])  # fmt: skip
        return Lift(held, shares)

    def continued(self) -> Any:
        """The lift as one array, ``(*batch, *nodes)``; None where it is zero."""
        lift = self.lift()
        if lift is None:
            return None
        values, nodes = lift.lines(0, self.grid.shape[0]), self.grid.shape
        if tuple(values.shape[-self.grid.ndim :]) == nodes:
            return values
        return self.reader.own(values, (*values.shape[: values.ndim - self.grid.ndim], *nodes))

    @property
    def flows(self) -> bool:
        """Whether there is a flux through some side."""
        return next(self._fluxes(), None) is not None

    def add_fluxes(self, g: Any) -> Any:
        """Put the fluxes into `g` in place, ``(*batch, *nodes)``, and return it."""
        for number, end, face in self._fluxes():
            mass = float(self.grid.axes[number].mass[-end])
            g[face_of(number, end, self.grid.ndim)] += face / mass
        return g

    def _fluxes(self) -> Iterator[tuple[int, int, Any]]:
        for number, (pair, sides) in enumerate(zip(self.faces, self.grid.sides, strict=True)):
            for end, (face, side) in enumerate(zip(pair, sides, strict=True)):
                if face is not None and side != "dirichlet":
                    yield number, end, face


def unlike_batches(g: tuple[int, ...], boundary: tuple[int, ...]) -> ValueError:
    """The error for border values of another batch than the right-hand sides'."""
    return ValueError(
        f"g and boundary are batches of different shapes: {g}, {boundary}; what is given on a side "
        "has the shape of its nodes, behind that of the batch"
    )


# --- the forms in which callers say it ------------------------------------------------------------


def _side_by_side(boundary: Any, ndim: int) -> Sequence[tuple[Any, Any]] | None:
    """For each axis a pair, where sides are told one by one; None where they are not.

    Node values as nested lists have three numbers or more along each axis, so what has two or less
    is a pair. In 1D the pair may stand alone, and several pairs are a batch.
    """
    if not isinstance(boundary, tuple | list):
        return None
    inner = {len(entry) for entry in boundary if isinstance(entry, tuple | list)}
    if ndim == 1 and len(boundary) == 2 and not inner and all(map(_single, boundary)):
        return [tuple(boundary)]
    short = bool(inner) and min(inner) <= 2 and (ndim > 1 or len(boundary) == 1)
    if not short and len(inner) < 2 and not any(entry is None for entry in boundary):
        return None
    pairs = [(None, None) if entry is None else entry for entry in boundary]
    if len(pairs) != ndim or not all(isinstance(p, tuple | list) and len(p) == 2 for p in pairs):
        raise ValueError(
            f"boundary, told side by side, needs for each of {ndim} axes None or a pair of what is "
            "on its two sides, (lower, upper)"
        )
    return pairs


def _single(value: Any) -> bool:
    """Whether this is one number for a side, or something that makes numbers."""
    return value is None or callable(value) or getattr(value, "ndim", 0) == 0


def _checked(value: Any, reader: Reader, name: str = "boundary") -> Any:
    """Numbers as the reader reads them."""
    if isinstance(value, str):
        raise ValueError(
            f"boundary must be values of u on the border (a number, an array or a function), got "
            f"{value!r}; what kind of condition holds there is said by sides="
        )
    if isinstance(value, Real):
        try:
            value = float(value)
        except OverflowError:
            raise ValueError("boundary is a number beyond the range of floats") from None
    return reader.read(value, name)


def _everywhere(boundary: Any, grid: Grid, reader: Reader) -> list[list[Any]]:
    """One function, number or array of node values for all Dirichlet sides."""
    held = [side == "dirichlet" for pair in grid.sides for side in pair]
    if not callable(boundary) and boundary.ndim:
        check_shape(tuple(boundary.shape), grid, "boundary", batch=True)
    if not any(held) and (callable(boundary) or bool((boundary != 0).any())):
        raise ValueError(
            "boundary says values of u, and no side holds u; fluxes are given side by side, for "
            "each axis a pair (lower, upper) or None"
        )

    def face(number: int, end: int) -> Any:
        if grid.sides[number][end] != "dirichlet":
            return None
        if callable(boundary):
            return _called(boundary, grid, number, end, reader)
        values = boundary[face_of(number, end, grid.ndim)] if boundary.ndim else boundary
        return _own(values, grid, number, reader)

    return [[face(number, end) for end in (0, 1)] for number in range(grid.ndim)]


def _alone(value: Any, grid: Grid, number: int, end: int, reader: Reader) -> Any:
    """What is given on one side, of its own shape or that broadcasts to it."""
    if callable(value):
        face = _called(value, grid, number, end, reader)
    else:
        values = _checked(0.0 if value is None else value, reader)
        nodes = (*grid.shape[:number], *grid.shape[number + 1 :])
        shape = tuple(values.shape)
        leading, own = shape[: -len(nodes) or None], shape[len(shape) - len(nodes) :]
        if len(shape) < len(nodes):
            leading, own = (), (1,) * (len(nodes) - len(shape)) + shape
        if any(n not in (1, m) for n, m in zip(own, nodes, strict=True)):
            raise ValueError(
                f"the values on a side of axis {number} must broadcast to its nodes, {nodes}; got "
                f"shape {shape}"
            )
        values = values.reshape(*leading, *own[:number], 1, *own[number:])
        face = _own(values, grid, number, reader)
    if _needed(face) is not None and grid.axes[number].periodic:
        raise ValueError(f"axis {number} is periodic, nothing is given on its sides; leave it None")
    return face


def _called(function: Callable[..., Any], grid: Grid, number: int, end: int, reader: Reader) -> Any:
    """What a function of the coordinates says of one side; it may say so of all nodes."""
    face = face_of(number, end, grid.ndim)
    coordinates = list(grid.coordinates())
    coordinates[number] = coordinates[number][face]
    values = _checked(function(*coordinates), reader, "boundary(x, ...)")
    own = tuple(values.shape[-grid.ndim :])
    if any(n not in (1, m) for n, m in zip(own[::-1], grid.shape[::-1], strict=False)):
        nodes = (*grid.shape[:number], 1, *grid.shape[number + 1 :])
        raise ValueError(
            f"boundary(x, ...) returned shape {tuple(values.shape)}, which does not broadcast to "
            f"the shape {nodes} of the nodes it was called with, nor to {grid.shape}, all nodes"
        )
    if values.ndim < grid.ndim:
        values = values.reshape((1,) * (grid.ndim - values.ndim) + own)
    return _own(values[face], grid, number, reader)


def _own(values: Any, grid: Grid, number: int, reader: Reader) -> Any:
    """Values on a side of one axis as the backend's own."""
    nodes = (*grid.shape[:number], 1, *grid.shape[number + 1 :])
    leading = tuple(values.shape[: max(0, values.ndim - grid.ndim)])
    if 0 in leading:
        raise ValueError(f"boundary is an empty batch, {leading}")
    return reader.own(values, (*leading, *nodes))


def _needed(face: Any) -> Any:
    """A face, checked; None if all is zero and nobody asks for gradients."""
    if face is None:
        return None
    largest = abs(face).max()
    if not largest < inf:
        raise ValueError("boundary holds NaN or infinity at border nodes")
    return face if largest > 0 or getattr(face, "requires_grad", False) else None


def _leading(faces: Sequence[Sequence[Any]], ndim: int) -> tuple[int, ...]:
    """The batch of which all faces are, or that they are for all members of."""
    found = [
        tuple(face.shape[: face.ndim - ndim]) for pair in faces for face in pair if face is not None
    ]
    try:
        return np.broadcast_shapes(*found)
    except ValueError:
        raise ValueError(
            "what boundary gives on the sides are batches of different shapes: "
            f"{', '.join(map(str, dict.fromkeys(found)))}"
        ) from None


def _agree(faces: list[list[Any]], grid: Grid) -> None:
    """Have values of u agree where two sides meet: those of the later axis hold there."""
    for number, other in product(reversed(range(grid.ndim)), range(grid.ndim)):
        for end, beyond in product((0, 1), (0, 1)) if number < other else ():
            if grid.sides[number][end] == grid.sides[other][beyond] == "dirichlet":
                edge = faces[other][beyond][face_of(number, end, grid.ndim)]
                # A new array, and of the batch of both.
                face = faces[number][end] + 0 * edge
                face[face_of(other, beyond, grid.ndim)] = edge
                faces[number][end] = face
