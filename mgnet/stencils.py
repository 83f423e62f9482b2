"""Operators, transfers and smoothers as modules of torch, made from mgcore's records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgcore.axis import Table
from mgcore.colours import visited
from mgcore.grid import Grid
from mgcore.inverse import inverse
from mgcore.lines import bands
from mgcore.operators import Operator
from mgcore.smoothers import Smoother
from mgcore.stencil import Stencil
from mgnet.conv import convolve
from mgnet.kernel import SymmetricKernel

__all__ = ["Couplings", "Inverse", "Transfer", "smoothing_kernels"]

#: Numbers in the inverses of all lines of a grid, at most: a gigabyte in float64.
_ENTRIES = 2**27


class Couplings(nn.Module):
    """A u = sum_k w_k (u_x - u_{x + o_k}) + own u_x at the unknowns of one grid.

    Parameters
    ----------
    operator : mgcore.operators.Operator
    kind : dict
        dtype and device of the weights.

    Notes
    -----
    A convolution multiplies u by the diagonal, which spoils float32 solutions on fine grids; see
    :func:`mgcore.kernels.common.second_difference`. On a CPU it is slower, too.
    """

    own: Tensor

    def __init__(self, operator: Operator, kind: dict[str, Any]):
        super().__init__()
        self.grid = operator.grid
        # Neighbours of the same weight share one product: their differences cancel before it.
        alike: dict[tuple[Any, bytes], list[tuple[int, ...]]] = {}
        for offset, weight in operator.couplings.items():
            alike.setdefault((weight.shape, weight.tobytes()), []).append(offset)
        self.offsets = tuple(alike.values())
        for k, (first, *_) in enumerate(self.offsets):
            self.register_buffer(f"weight{k}", torch.tensor(operator.couplings[first], **kind))
        self.register_buffer("own", torch.tensor(operator.own, **kind))
        self._owned = bool(operator.own.any())

    def forward(self, u: Tensor) -> Tensor:
        """A u at the unknowns, ``(batch, 1, *interior)``, with zeros on Dirichlet sides."""
        wide = _widened(u, [axis.periodic for axis in self.grid.axes])
        return self._inside(wide, u)

    def at_nodes(self, nodes: Tensor) -> Tensor:
        """A u at the unknowns, from u at all nodes, ``(batch, 1, *nodes)``."""
        # Nodes on Dirichlet sides are the layer already.
        missing = [[int(side != "dirichlet") for side in pair] for pair in self.grid.sides]
        wide = _widened(nodes, [axis.periodic for axis in self.grid.axes], missing)
        inside: Any = (..., *self.grid.unknown)
        return self._inside(wide, nodes[inside])

    def _inside(self, wide: Tensor, u: Tensor) -> Tensor:
        total: Any = self.own * u if self._owned else 0.0
        for k, offsets in enumerate(self.offsets):
            differences: Any = 0.0
            for offset in offsets:
                there = wide
                for axis, (step, n) in enumerate(zip(offset, u.shape[2:], strict=True), 2):
                    there = there.narrow(axis, 1 + step, n)
                differences = differences + (u - there)
            total = total + getattr(self, f"weight{k}") * differences
        return total


class Transfer(nn.Module):
    """A sum of products of transfers along the axes, between the unknowns of two grids.

    Parameters
    ----------
    products : sequence of sequence of mgcore.axis.Table
    source, target : Grid
    kind : dict
        dtype and device of the weights.
    """

    def __init__(
        self,
        products: Sequence[Sequence[Table]],
        source: Grid,
        target: Grid,
        kind: dict[str, Any],
    ):
        super().__init__()
        self.terms: list[list[list[tuple[str, str]]]] = []
        for number, product in enumerate(products):
            self.terms.append([])
            axes = zip(product, source.axes, target.axes, strict=True)
            for axis, (table, of, to) in enumerate(axes):
                pairs = []
                for m, (index, weight) in enumerate(zip(table.index, table.weight, strict=True)):
                    # Counted from the first unknown; nodes on Dirichlet sides hold zeros.
                    at = index[to.unknown] - of.unknown.start
                    w = np.where((at >= 0) & (at < of.size), weight[to.unknown], 0.0)
                    names = (f"index{number}{axis}{m}", f"weight{number}{axis}{m}")
                    where = torch.as_tensor(np.where(w == 0, 0, at), device=kind["device"])
                    self.register_buffer(names[0], where)
                    self.register_buffer(names[1], torch.tensor(w, **kind))
                    pairs.append(names)
                same = len(pairs) == 1 and of.size == to.size and (table.weight == 1).all()
                self.terms[-1].append([] if same else pairs)

    def forward(self, values: Tensor) -> Tensor:
        """The transferred values, ``(batch, 1, *interior)`` to the same of the other grid."""
        total: Any = 0.0
        for product in self.terms:
            moved = values
            for axis, pairs in enumerate(product, 2):
                if pairs:
                    moved = self._along(moved, axis, pairs)
            total = total + moved
        return total

    def _along(self, values: Tensor, axis: int, pairs: list[tuple[str, str]]) -> Tensor:
        shape = [-1 if k == axis else 1 for k in range(values.ndim)]
        total: Any = 0.0
        for index, weight in pairs:
            taken = values.index_select(axis, getattr(self, index))
            total = total + taken * getattr(self, weight).reshape(shape)
        return total


class Inverse(nn.Module):
    """A^-1 on the coarsest grid, from :func:`mgcore.inverse.inverse`.

    Parameters
    ----------
    operator : mgcore.operators.Operator
    kind : dict
        dtype and device of the matrices.
    """

    values: Tensor

    def __init__(self, operator: Operator, kind: dict[str, Any]):
        super().__init__()
        record = inverse(operator)
        self.shape, self.diagonal = record.shape, record.values is not None
        for number, matrix in enumerate(record.into):
            self.register_buffer(f"into{number}", torch.tensor(matrix, **kind))
        if self.diagonal:
            self.register_buffer("values", torch.tensor(record.values, **kind))
            for number, matrix in enumerate(record.back):
                self.register_buffer(f"back{number}", torch.tensor(matrix, **kind))

    def forward(self, g: Tensor) -> Tensor:
        """A^-1 g, ``(batch, 1, *interior)``."""
        x = self._along("into", g.reshape(-1, *self.shape))
        if self.diagonal:
            x = self._along("back", x * self.values)
        return x.reshape(g.shape)

    def _along(self, name: str, x: Tensor) -> Tensor:
        for number in range(len(self.shape)):
            matrix = getattr(self, f"{name}{number}")
            x = (x.movedim(number + 1, -1) @ matrix.T).movedim(-1, number + 1)
        return x


def smoothing_kernels(
    smoother: Smoother | SymmetricKernel, operator: Operator, kind: dict[str, Any]
) -> list[nn.Module]:
    """The Bs of one smoothing step."""
    grid = operator.grid
    nodes = [np.arange(s.start, s.stop) for s in grid.unknown]
    kernels: list[nn.Module] = []
    inverses: dict[int, Tensor] = {}  # of lines along an axis, the same for red and black ones
    for sweep in smoother.sweeps(operator):
        if sweep.points == "lexicographic":
            raise ValueError(
                "lexicographic Gauss-Seidel goes point after point, each using the one before, "
                "which convolutions cannot; use 'redblack' here, or mgcore.poisson_levels"
            )
        for mask in visited(operator, sweep, nodes):
            if (axis := sweep.lines) is not None:
                if axis not in inverses:
                    inverses[axis] = _inverses(operator, axis, kind)
                factor = torch.tensor(sweep.omega * mask, **kind)
                kernels.append(_Lines(factor, inverses[axis], axis))
                continue
            scale = _Scale(torch.tensor(mask * (sweep.omega / operator.diagonal), **kind))
            kernel = sweep.kernel
            if isinstance(kernel, Stencil):
                kernel = _Fixed(kernel, kind)
            kernels.append(scale if kernel is None else _Convolved(scale, kernel, grid))
    return kernels


class _Scale(nn.Module):
    """r -> omega D^-1 r, everywhere or at some of the points."""

    factor: Tensor

    def __init__(self, factor: Tensor):
        super().__init__()
        self.register_buffer("factor", factor)

    def forward(self, r: Tensor) -> Tensor:
        return self.factor * r


class _Lines(nn.Module):
    """r -> omega T^-1 r at some of the lines along an axis, T what A is along them."""

    factor: Tensor
    inverses: Tensor

    def __init__(self, factor: Tensor, inverses: Tensor, axis: int):
        super().__init__()
        self.register_buffer("factor", factor)
        self.register_buffer("inverses", inverses)
        self.axis = axis - factor.ndim  # from the end, whatever comes before the grid's

    def forward(self, r: Tensor) -> Tensor:
        lines = (self.factor * r).movedim(self.axis, -1)
        solved = (self.inverses @ lines[..., None])[..., 0]
        return solved.movedim(-1, self.axis)


def _inverses(operator: Operator, axis: int, kind: dict[str, Any]) -> Tensor:
    """T^-1 of every line along an axis, of a single one where all are alike."""
    n = operator.grid.interior[axis]
    below, diagonal, above = (np.moveaxis(band, axis, -1) for band in bands(operator, axis))
    shape = (*np.broadcast_shapes(below.shape[:-1], diagonal.shape[:-1], above.shape[:-1]), n)
    if np.prod(shape) * n > _ENTRIES:
        raise ValueError(
            f"{np.prod(shape[:-1])} lines of {n} unknowns that differ would take a matrix each on "
            "torch: use mgcore.poisson_levels, which eliminates along them"
        )
    i = np.arange(n)
    lines = np.zeros((*shape, n))
    lines[..., i, i] = diagonal
    periodic = operator.grid.axes[axis].periodic
    for band, j in ((below, i - 1), (above, i + 1)):  # one beyond either end is the other end
        there = periodic | ((j >= 0) & (j < n))
        lines[..., i, j % n] += np.broadcast_to(band, shape) * there
    return torch.tensor(np.linalg.inv(lines), **kind)


class _Fixed(nn.Module):
    """A constant stencil of up to 3^d points in the place of a :class:`SymmetricKernel`."""

    weights: Tensor

    def __init__(self, kernel: Stencil, kind: dict[str, Any]):
        super().__init__()
        around = [(1 - reach, 1 - reach) for reach in kernel.reach]
        self.register_buffer("weights", torch.tensor(np.pad(kernel.to_array(), around), **kind))

    def stencil(self) -> Tensor:
        """The weights in an array of 3^d."""
        return self.weights


class _Convolved(nn.Module):
    """r -> K omega D^-1 r, K a kernel of 3^d points, fixed or trained."""

    def __init__(self, scale: _Scale, kernel: _Fixed | SymmetricKernel, grid: Grid):
        super().__init__()
        self.scale, self.kernel = scale, kernel
        self.periodic = [axis.periodic for axis in grid.axes]

    def forward(self, r: Tensor) -> Tensor:
        r = _widened(self.scale(r), self.periodic)
        return convolve(r, self.kernel.stencil().to(r)[None, None], padding=0)


def _widened(
    u: Tensor, periodic: Sequence[bool], sides: Sequence[Sequence[int]] | None = None
) -> Tensor:
    """u with one layer around: of its other end along periodic axes, else of zeros.

    `sides` says on which sides there is none yet, for each axis (lower, upper); by default on both.
    """
    for number, around in enumerate(periodic):
        axis = u.ndim - len(periodic) + number
        if around:
            u = torch.cat([u.narrow(axis, u.shape[axis] - 1, 1), u, u.narrow(axis, 0, 1)], axis)
        else:
            missing = [1, 1] if sides is None else list(sides[number])
            u = F.pad(u, [0, 0] * (u.ndim - axis - 1) + missing)
    return u
