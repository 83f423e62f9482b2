"""Sums over node values without BLAS.

Its threads, once they have summed a grid, wait for more to do on the cores that kernels run on: a
solve that takes turns with them is twice as slow on a busy machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["length", "weighted"]


def length(values: np.ndarray) -> np.float64:
    """||values||_2, in double precision."""
    axes = list(range(values.ndim))
    return np.sqrt(np.einsum(values, axes, values, axes, [], dtype=np.float64))


def weighted(values: np.ndarray, weights: Sequence[np.ndarray]) -> float:
    """The sum over all axes of values times weights, of which there is one line for each axis."""
    for line in reversed(weights):
        values = np.einsum("...i,i->...", values, line)
    return float(values)
