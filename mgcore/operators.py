"""Operators as data: how strongly each unknown of a grid is coupled to its neighbours.

``(A u)_x = sum_k w_k(x) (u_x - u_{x + o_k}) + own(x) u_x`` holds every operator here: second
differences on any mesh and with any sides, coefficients, nine-point stencils, Galerkin's coarse
operators. Weights are kept as couplings, and what is left of the diagonal apart, because residuals
are formed from differences (see :func:`mgcore.kernels.common.second_difference`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from scipy import sparse

from mgcore.axis import SCOPE, Table
from mgcore.cached import cached_property
from mgcore.grid import Grid
from mgcore.stencil import Offset, Stencil, cube
from mgcore.sums import weighted

__all__ = ["Operator", "galerkin", "of_stencil", "slim", "transfer_matrix"]

# What rounding leaves of a sum of weights that is zero, in parts of the largest of them.
_ROUNDING = 64 * np.finfo(float).eps


class Operator:
    """A on the unknowns of one grid.

    Attributes
    ----------
    grid : Grid
    couplings : mapping of offset to ndarray
        w_k, positive for -Laplace; each has one axis for each of the grid's, of length 1 where it
        does not vary, else one value for each unknown.
    own : ndarray
        What the diagonal has beyond the sum of the couplings, shaped like them.
    """

    def __init__(self, grid: Grid, couplings: Mapping[Offset, np.ndarray], own: np.ndarray):
        self.grid, self.couplings, self.own = grid, couplings, own

    @property
    def singular(self) -> bool:
        """Whether A takes constants to zero, and so knows u up to a constant."""
        return self.grid.floating and not self.own.any()

    @property
    def diagonal(self) -> np.ndarray:
        """The diagonal of A, shaped like the couplings."""
        return sum(self.couplings.values(), self.own)

    @property
    def uniform_diagonal(self) -> float | None:
        """The diagonal where it is one number, else None."""
        diagonal = self.diagonal
        return diagonal.item() if diagonal.size == 1 else None

    @property
    def compact(self) -> bool:
        """Whether neighbours lie along axes alone, so that two colours are enough."""
        return all(sum(map(abs, offset)) == 1 for offset in self.couplings)

    @property
    def symmetric(self) -> bool:
        """Whether diag(volumes) A is symmetric."""
        couplings = Stencil({(0,) * self.grid.ndim: 0.0, **self.couplings})
        if couplings.constant:
            return couplings.even()
        weighted = sparse.diags_array(self.volumes().reshape(-1)) @ self.matrix()
        return bool(abs(weighted - weighted.T).max() <= 1e-12 * abs(weighted).max())

    def strength(self) -> list[float]:
        """How strongly A couples nodes along each axis, on the mean."""
        sums = [0.0] * self.grid.ndim
        for offset, weight in self.couplings.items():
            for axis, step in enumerate(offset):
                sums[axis] += abs(step) * float(np.mean(weight))
        return sums

    def high_frequencies(self) -> tuple[float, float]:
        """Bounds of the eigenvalues of D^-1 A for what the next coarser grid does not see.

        Those of the symbol, node by node: where weights vary they are taken as they are at that
        node. High frequencies have a theta of pi/2 or more along some halved axis.
        """
        halved = self.grid.halved_axes()
        if not any(halved):  # all frequencies are, on the coarsest grid
            halved = (True,) * self.grid.ndim
        # Between two Dirichlet sides, pi over the number of mesh widths is the lowest frequency.
        ends = [
            0.0 if half or set(axis.sides) != {"dirichlet"} else np.pi / len(axis.widths)
            for axis, half in zip(self.grid.axes, halved, strict=True)
        ]
        # The symbol of a compact operator is monotone in each cosine: extremes are at three thetas.
        count = 3 if self.compact else 13
        theta = np.meshgrid(*[np.linspace(end, np.pi - end, count) for end in ends], indexing="ij")
        high = np.any([t >= np.pi / 2 - 1e-9 for t, half in zip(theta, halved, strict=True)
                       if half], axis=0)  # fmt: skip
        diagonal = self.diagonal
        if not self.couplings:
            return 1.0, 1.0
        # Opposite neighbours have cosines in common; of varying weights a few thousand are enough.
        shares = list(np.broadcast_arrays(*[w / diagonal for w in self.couplings.values()]))
        step = max(1, shares[0].size // 4096)
        shares = [share.reshape(-1)[::step, None] for share in shares]
        value = np.broadcast_to(self.own / diagonal, np.shape(diagonal)).reshape(-1)[::step, None]
        for offset, share in zip(self.couplings, shares, strict=True):
            phase = sum(o * t[high] for o, t in zip(offset, theta, strict=True) if o)
            value = value + share * (1 - np.cos(phase))
        return float(value.min()), float(value.max())

    def stencil(self) -> Stencil:
        """The same as a stencil on the unknowns."""
        centre = (0,) * self.grid.ndim
        return Stencil({centre: self.diagonal, **{o: -w for o, w in self.couplings.items()}})

    def volumes(self) -> np.ndarray:
        """The volume that belongs to each unknown: diag(volumes) A is symmetric for diffusion."""
        masses = [axis.mass[axis.unknown] for axis in self.grid.axes]
        return reduce(np.multiply.outer, masses)

    def mean(self, values: np.ndarray) -> float:
        """The mean over the box of what is given at the unknowns, in double precision."""
        masses = [axis.mass[axis.unknown] for axis in self.grid.axes]
        return weighted(values, [mass / mass.sum() for mass in masses])

    @cached_property
    def bound(self) -> float:
        """A bound of ||A||: twice the largest entry of the diagonal."""
        return 2 * float(np.max(self.diagonal))

    @property
    def condition(self) -> float:
        """The grid's condition number, times by how much the couplings along an axis differ."""
        ratio = 1.0
        for axis in range(self.grid.ndim):
            for offset, weight in self.couplings.items():
                positive = weight[weight > 0]
                if offset[axis] and positive.size:
                    ratio = max(ratio, float(positive.max() / positive.min()))
        return self.grid.condition * ratio

    def matrix(self) -> sparse.csr_array:
        """The sparse matrix, unknowns in C order."""
        shape = self.grid.interior
        size = self.grid.size
        rows = np.arange(size).reshape(shape)
        entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        diagonal = np.broadcast_to(self.diagonal, shape)
        entries.append((rows.ravel(), rows.ravel(), diagonal.ravel()))
        for offset, weight in self.couplings.items():
            to, there = _neighbour(self.grid, rows, offset)
            value = np.broadcast_to(weight, shape)
            entries.append((rows[there], to[there], -value[there]))
        i, j, w = (np.concatenate(parts) for parts in zip(*entries, strict=True))
        return sparse.coo_array((w, (i, j)), shape=(size, size)).tocsr()


def _neighbour(grid: Grid, numbers: np.ndarray, offset: Offset) -> tuple[np.ndarray, np.ndarray]:
    """The number of each unknown's neighbour, and whether there is one."""
    to, there = numbers, np.ones(numbers.shape, bool)
    for axis, step in enumerate(offset):
        if step == 0:
            continue
        to = np.roll(to, -step, axis)
        if not grid.axes[axis].periodic:
            n = numbers.shape[axis]
            inside = (np.arange(n) + step >= 0) & (np.arange(n) + step < n)
            there = there & inside.reshape([-1 if k == axis else 1 for k in range(numbers.ndim)])
    return to, there


def slim(weight: np.ndarray) -> np.ndarray:
    """The same with length 1 along axes along which nothing varies."""
    for axis, n in enumerate(weight.shape):
        first, last = np.take(weight, [0], axis), np.take(weight, [n - 1], axis)
        # All are looked at where the last one says that nothing may vary.
        if n > 1 and (last == first).all() and (weight == first).all():
            weight = first
    return weight


def of_stencil(grid: Grid, stencil: Stencil) -> Operator:
    """A constant stencil of up to 3^d points as the operator.

    Beside Dirichlet sides what lies beyond is zero, a periodic axis goes on, and at a Neumann side
    the neighbours beyond are those in the mirror.

    Raises
    ------
    ValueError
        For another number of axes, weights that vary, a wider stencil, a diagonal that is not
        positive, an uneven mesh or a Robin side.
    """
    if stencil.ndim != grid.ndim or not stencil.constant or max(stencil.reach) > 1:
        raise ValueError(
            f"the operator must be a constant stencil on {grid.ndim} axes that reaches no further "
            f"than the next node, got {stencil!r} ({SCOPE})"
        )
    if not grid.even or any(
        side not in ("dirichlet", "neumann", "periodic") for pair in grid.sides for side in pair
    ):
        raise ValueError(
            "a stencil as the operator needs even mesh widths and Dirichlet, Neumann or periodic "
            f"sides ({SCOPE})"
        )
    if not stencil.finite:
        raise ValueError(f"the operator needs weights that are finite numbers, got {stencil}")
    total = float(np.asarray(stencil.row_sum).item())
    largest = max(abs(float(w.item())) for w in stencil.weights.values())
    if not float(np.asarray(stencil.diagonal).item()) > 0 or total < -_ROUNDING * largest:
        raise ValueError(
            "the operator needs a positive weight at the node itself and a sum of weights of zero "
            f"or more ({SCOPE})"
        )
    own = np.full((1,) * grid.ndim, total if total > _ROUNDING * largest else 0.0)
    couplings: dict[Offset, Any] = {
        offset: np.full((1,) * grid.ndim, -float(weight.item()))
        for offset, weight in stencil.neighbours()
    }
    for number, axis in enumerate(grid.axes):
        if "neumann" in axis.sides and not stencil.even([number]):
            raise ValueError(
                f"the operator is not its own mirror image along axis {number}, and so has no "
                "Neumann sides there"
            )
        for end, side, beyond in ((0, axis.sides[0], -1), (-1, axis.sides[1], 1)):
            if side == "neumann":
                couplings = _mirrored(couplings, number, axis.size, end, beyond)
    return Operator(grid, {o: slim(w) for o, w in couplings.items()}, own)


def _mirrored(
    couplings: Mapping[Offset, np.ndarray], axis: int, n: int, end: int, beyond: int
) -> dict[Offset, np.ndarray]:
    """Couplings with what lies beyond one side moved to its image."""
    if not couplings:
        return {}
    moved = {o: np.repeat(w, n, axis) if w.shape[axis] == 1 else w.copy() for o, w in
             couplings.items()}  # fmt: skip
    at = [slice(None)] * len(next(iter(couplings)))
    at[axis] = slice(0, 1) if end == 0 else slice(n - 1, n)
    for offset in [o for o in moved if o[axis] == beyond]:
        image = (*offset[:axis], -beyond, *offset[axis + 1 :])
        if image not in moved:
            moved[image] = np.zeros_like(moved[offset])
        shape = np.broadcast_shapes(moved[image].shape, moved[offset].shape)
        moved[image] = np.broadcast_to(moved[image], shape).copy()
        moved[image][tuple(at)] += moved[offset][tuple(at)]
        moved[offset][tuple(at)] = 0.0
    return moved


def galerkin(fine: Operator, coarse: Grid, down: Sequence[Table], up: Sequence[Table]) -> Operator:
    """R A P on the coarser grid.

    Parameters
    ----------
    fine : Operator
    coarse : Grid
    down, up : sequence of Table
        The transfers along each axis, from nodes to nodes.
    """
    product = _constant_product(fine, coarse)
    if product is not None:
        return product
    R = transfer_matrix(down, fine.grid, coarse)
    P = transfer_matrix(up, coarse, fine.grid)
    product = (R @ fine.matrix() @ P).tocsr()
    numbers = np.arange(coarse.size).reshape(coarse.interior)
    couplings: dict[Offset, np.ndarray] = {}
    for offset in cube(coarse.ndim):
        if any(offset):
            to, there = _neighbour(coarse, numbers, offset)
            values = np.zeros(numbers.shape)
            values[there] = -np.asarray(product[numbers[there], to[there]]).reshape(-1)
            if values.any():
                couplings[offset] = slim(values)
    # A P 1 = 0 far from borders: what rounding leaves of it would act as a reaction.
    sums = np.asarray(product.sum(axis=1)).reshape(numbers.shape)
    sizes = np.asarray(abs(product).sum(axis=1)).reshape(numbers.shape)
    own = np.where((abs(sums) > _ROUNDING * sizes) & (not fine.singular), sums, 0.0)
    return Operator(coarse, couplings, slim(own))


def _constant_product(fine: Operator, coarse: Grid) -> Operator | None:
    """R A P where A and the transfers are the same at all nodes; None elsewhere."""
    halved = []
    for a, b in zip(fine.grid.axes, coarse.axes, strict=True):
        held = set(a.sides) in ({"dirichlet"}, {"periodic"})
        if not held or not (a is b or (a.even and b.even and len(a.widths) == 2 * len(b.widths))):
            return None
        halved.append(a is not b)
    if fine.own.size > 1 or any(w.size > 1 for w in fine.couplings.values()):
        return None
    weighting = [[1 / 4, 1 / 2, 1 / 4] if half else [1.0] for half in halved]
    R = Stencil.tensor(weighting, every=[2 if half else 1 for half in halved])
    product = R @ fine.stencil() @ (2.0 ** sum(halved) * R.transpose())
    total, size = float(np.sum(product.row_sum)), sum(map(np.abs, product.weights.values()))
    one = (1,) * coarse.ndim
    small = abs(total) <= _ROUNDING * float(np.sum(size)) or fine.singular
    own = np.full(one, 0.0 if small else total)
    return Operator(coarse, {o: -w.reshape(one) for o, w in product.neighbours() if w.any()}, own)


def transfer_matrix(tables: Sequence[Table], source: Grid, target: Grid) -> sparse.csr_array:
    """The sparse matrix of a product of transfers, between the unknowns of two grids."""
    lines = []
    for table, a, b in zip(tables, source.axes, target.axes, strict=True):
        terms, n = table.index.shape
        rows = np.tile(np.arange(n), terms)
        full = sparse.coo_array((table.weight.ravel(), (rows, table.index.ravel())), (n, a.n))
        lines.append(full.tocsr()[b.unknown, a.unknown])
    return reduce(lambda x, y: sparse.kron(x, y, format="csr"), lines)
