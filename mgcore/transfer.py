"""Restrictions and prolongations as stencils, for any backend to apply.

A stencil is symmetric and three points wide along each halved axis, so it is told by its weights
at distance 0 and 1: ``weights[|di|, |dj|, ...]``, shape (2,) * ndim. Along an axis that the coarser
grid keeps, the weight at distance 1 is zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

__all__ = ["PROLONGATIONS", "RESTRICTIONS", "prolongation", "restriction"]

#: The lines of a tensor-product restriction at distance 0 and 1.
_LINES = {"full": (1 / 2, 1 / 4), "injection": (1.0, 0.0)}

#: Restrictions that are known by name.
RESTRICTIONS = ("full", "half", "injection")

#: Prolongations that are known by name.
PROLONGATIONS = ("linear",)


def restriction(name: str, halved: Sequence[bool]) -> np.ndarray:
    """Weights of the restriction `name`.

    Parameters
    ----------
    name : {"full", "half", "injection"}
        Full weighting, the adjoint of linear interpolation over 2^k for k halved axes; half
        weighting (1/8) [1; 1 4 1; 1], in 2D only; injection.
    halved : sequence of bool
        Axes that the coarser grid halves.

    Returns
    -------
    ndarray
        Shape (2,) * ndim. Half weighting where one axis alone is halved is that axis' full
        weighting.

    Raises
    ------
    ValueError
        For an unknown name, or half weighting that is not in 2D.
    """
    if name not in RESTRICTIONS:
        raise ValueError(
            f"unknown restriction {name!r}; known are {', '.join(map(repr, RESTRICTIONS))}"
        )
    if name == "half" and len(halved) != 2:
        raise ValueError(f"half weighting is a 2D stencil, the grid has {len(halved)} axes")
    if name == "half" and all(halved):
        return np.array([[1 / 2, 1 / 8], [1 / 8, 0.0]])
    return _product(_LINES["injection" if name == "injection" else "full"], halved)


def prolongation(name: str, halved: Sequence[bool]) -> np.ndarray:
    """Weights with which a coarse node reaches the fine nodes around it; (bi/tri)linear.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if name not in PROLONGATIONS:
        raise ValueError(
            f"unknown prolongation {name!r}; known are {', '.join(map(repr, PROLONGATIONS))}"
        )
    return _product((1.0, 1 / 2), halved)


def _product(line: tuple[float, float], halved: Sequence[bool]) -> np.ndarray:
    return reduce(np.multiply.outer, [np.array(line if half else (1.0, 0.0)) for half in halved])
