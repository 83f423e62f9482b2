"""The coarsest grid: A^-1 as a few dense matrices, for any backend to apply.

Where A is a sum of operators along the axes, each with weights that vary along its own axis alone,
their eigenvectors V_i diagonalise A, and solving is two small products of matrices for each axis
(fast diagonalisation: Lynch, Rice & Thomas, Numer. Math. 6, 1964)::

    u = V_1 V_2 (lambda_1 + lambda_2)^-1 V_1^-1 V_2^-1 g

That is as fast as one visit of a grid of 31 x 31 unknowns and stands for all visits below. Any
other A has its inverse as one dense matrix, of fewer unknowns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigh

from mgcore.diffusion import Medium
from mgcore.operators import Operator
from mgcore.stencil import Stencil
from mgcore.threads import unforked

__all__ = ["DENSE", "SEPARABLE", "Inverse", "inverse", "most_unknowns"]

#: Unknowns for which a dense inverse pays, in set-up as in solves.
DENSE = 80

#: Unknowns for which fast diagonalisation pays, by the number of axes: 129 nodes along a line, 33^2
#: or 17^3, on all kinds of sides (``python -m benchmarks.coarsest``).
SEPARABLE = {1: 129, 2: 33**2, 3: 17**3}

# Unknowns of an axis up to which its eigenvectors are found by QR iteration.
_QR = 33


@dataclass(frozen=True, eq=False)
class Inverse:
    """A^-1 as ``back (values into g)``, products of matrices along the axes of `shape`.

    Attributes
    ----------
    shape : tuple of int
        How unknowns are laid out: along the grid's axes, or along a single one.
    into, back : tuple of ndarray
        For each axis V_i^-1 and V_i. A dense inverse is a single `into` with nothing behind it.
    values : ndarray or None
        1 / lambda, zero for constants where A is singular; of that shape.
    """

    shape: tuple[int, ...]
    into: tuple[np.ndarray, ...]
    values: np.ndarray | None = None
    back: tuple[np.ndarray, ...] = ()

    def astype(self, dtype: Any) -> Inverse:
        """The same in another precision."""
        values = None if self.values is None else self.values.astype(dtype)
        into, back = (
            tuple(np.ascontiguousarray(matrix, dtype) for matrix in matrices)
            for matrices in (self.into, self.back)
        )
        return Inverse(self.shape, into, values, back)

    def __call__(self, g: np.ndarray) -> np.ndarray:
        """A^-1 g, both in any shape of as many unknowns."""
        x = _along(self.into, g.reshape(self.shape))
        if self.values is not None:
            x = _along(self.back, x * self.values)
        return x.reshape(g.shape)


def _along(matrices: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
    """A product of matrices, one along each axis."""
    if len(matrices) == 1:
        return matrices[0] @ x
    if len(matrices) == 2:
        return matrices[0] @ x @ matrices[1].T
    first, second, third = matrices
    x = second @ (x.reshape(-1, len(third)) @ third.T).reshape(x.shape)
    return (first @ x.reshape(len(first), -1)).reshape(x.shape)


def most_unknowns(problem: Medium | Stencil, ndim: int) -> int:
    """Unknowns of the coarsest grid, at most, where nobody asked for another number."""
    separable = isinstance(problem, Medium) and problem.separable
    return SEPARABLE[ndim] if separable else DENSE


def inverse(operator: Operator) -> Inverse:
    """The inverse of an operator; of a singular one that of what is orthogonal to constants."""
    with unforked():
        return _inverse(operator)


def _inverse(operator: Operator) -> Inverse:
    lines = _lines(operator)
    # Along a line the dense inverse is one product; of a singular A it takes far longer to make.
    if lines is None or (operator.grid.ndim == 1 and not operator.singular):
        return Inverse((operator.grid.size,), (_dense(operator),))
    axes: list[Any] = []
    for number, (A, axis) in enumerate(zip(lines, operator.grid.axes, strict=True)):
        same = [k for k in range(number) if np.array_equal(lines[k], A)]
        axes.append(axes[same[0]] if same else _eigenvectors(A, axis.mass[axis.unknown]))
    if any(axis is None for axis in axes):
        return Inverse((operator.grid.size,), (_dense(operator),))
    into, eigenvalues, back = zip(*axes, strict=True)
    if operator.singular:  # constants along each axis: zero but for rounding
        eigenvalues = tuple(
            np.where(np.arange(len(v)) == abs(v).argmin(), 0.0, v) for v in eigenvalues
        )
    total: Any = sum(np.ix_(*eigenvalues))
    if not operator.singular and (total == 0).any():
        raise _no_inverse(operator)
    nothing = (total == 0) | (total == np.inf)
    values = np.where(nothing, 0.0, 1 / np.where(nothing, 1.0, total))
    return Inverse(operator.grid.interior, into, values, back)


def _dense(operator: Operator) -> np.ndarray:
    A = operator.matrix().toarray()
    if not operator.singular:
        try:
            return np.linalg.inv(A)
        except np.linalg.LinAlgError:
            raise _no_inverse(operator) from None
    # A symmetric matrix whose kernel is the constants: with them it has the inverse of its own.
    volumes = operator.volumes().reshape(-1)
    weighted = volumes[:, None] * A
    size = np.trace(weighted) / len(A)
    mean = np.full(A.shape, 1 / len(A))
    return (np.linalg.inv(weighted + size * mean) - mean / size) * volumes


def _no_inverse(operator: Operator) -> ValueError:
    return ValueError(
        f"the operator has no inverse on {operator.grid!r}, and not because u is sought up to a "
        "constant: give its stencil a larger weight at the node, or hold u on a side"
    )


def _lines(operator: Operator) -> list[np.ndarray] | None:
    """The matrices along the axes whose sum A is, None where there are none."""
    grid = operator.grid
    if not operator.compact:
        return None
    own = np.broadcast_to(operator.own, grid.interior)
    corner = own[(0,) * grid.ndim]
    lines, rest = [], np.zeros((1,) * grid.ndim)
    for number, axis in enumerate(grid.axes):
        n = axis.size
        along = own[tuple(slice(None) if k == number else 0 for k in range(grid.ndim))]
        rest = rest + _spread(along - corner, number, grid.ndim)
        A = np.diag(along - corner + (corner if number == 0 else 0.0))
        for offset, weight in operator.couplings.items():
            if not offset[number]:
                continue
            if weight.size != weight.shape[number]:
                return None
            w = np.broadcast_to(weight.reshape(-1), n)
            to = np.arange(n) + offset[number]
            there = np.full(n, True) if axis.periodic else (to >= 0) & (to < n)
            A[np.arange(n), np.arange(n)] += w
            np.add.at(A, (np.flatnonzero(there), to[there] % n), -w[there])
        lines.append(A)
    if abs(own - corner - rest).max() > 1e-13 * operator.bound:
        return None
    return lines


def _spread(values: np.ndarray, axis: int, ndim: int) -> np.ndarray:
    return values.reshape([-1 if k == axis else 1 for k in range(ndim)])


def _eigenvectors(
    A: np.ndarray, mass: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """V^-1, eigenvalues and V of a matrix that is symmetric once its rows are weighted, or None."""
    root = np.sqrt(mass)
    symmetric = root[:, None] * A / root
    if abs(symmetric - symmetric.T).max() > 1e-12 * abs(symmetric).max():
        return None
    # Divide and conquer is the more accurate way of long axes. But from 26 unknowns on it wakes
    # OpenBLAS's threads, which then wait for more work for a tenth of a second, on the cores that
    # kernels run on; QR iteration does so for longer axes only.
    driver = "ev" if len(A) <= _QR else "evd"
    eigenvalues, vectors = eigh(symmetric, driver=driver, check_finite=False)
    return vectors.T * root, eigenvalues, vectors / root[:, None]
