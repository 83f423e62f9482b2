"""Restrictions and prolongations by name: products of transfers along axes, and their weights.

Along an axis a transfer is a table of :class:`mgcore.axis.Axis`, on any mesh and with any sides. On
evenly halved axes it is a stencil, symmetric and three points wide, that is told by its weights at
distance 0 and 1; a product by ``weights[|di|, |dj|, ...]``, shape (2,) * ndim. That is all that
kernels for such grids and Fourier analysis, which has no grid, need to know: so the numbers of
these stencils stand here, and what follows from the nodes stands there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

__all__ = ["PROLONGATIONS", "RESTRICTIONS", "check_names", "prolongation", "restriction", "terms"]

#: Transfers of an axis to the coarser one, by their names there, at distance 0 and 1.
_LINES = {"full_weighting": (1 / 2, 1 / 4), "injection": (1.0, 0.0), "identity": (1.0, 0.0)}

#: Restrictions that are known by name.
RESTRICTIONS = ("full", "half", "injection")

#: Prolongations that are known by name.
PROLONGATIONS = ("linear",)


def check_names(restriction: str, prolongation: str, ndim: int) -> None:
    """Refuse transfers that are not known, or not for so many axes.

    Raises
    ------
    ValueError
        The message says which are known.
    """
    for kind, name, known in (
        ("prolongation", prolongation, PROLONGATIONS),
        ("restriction", restriction, RESTRICTIONS),
    ):
        if name not in known:
            raise ValueError(f"unknown {kind} {name!r}; known are {', '.join(map(repr, known))}")
    if restriction == "half" and ndim != 2:
        raise ValueError(f"half weighting is a 2D stencil, the grid has {ndim} axes")


def terms(name: str, halved: Sequence[bool]) -> list[list[str]]:
    """The restriction `name` as the mean of products: for each axis the name of a transfer.

    Parameters are those of :func:`restriction`; names are those of :class:`mgcore.axis.Axis`.
    """
    check_names(name, "linear", len(halved))
    if name == "half" and all(halved):  # (1/8) [1; 1 4 1; 1] is the mean of two
        return [["full_weighting", "injection"], ["injection", "full_weighting"]]
    transfer = "injection" if name == "injection" else "full_weighting"
    return [[transfer if half else "identity" for half in halved]]


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
    products = [_product([_LINES[line] for line in each]) for each in terms(name, halved)]
    return reduce(np.add, products) / len(products)


def prolongation(name: str, halved: Sequence[bool]) -> np.ndarray:
    """Weights with which a coarse node reaches the fine nodes around it; (bi/tri)linear.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    check_names("full", name, len(halved))
    return _product([(1.0, 1 / 2) if half else (1.0, 0.0) for half in halved])


def _product(lines: Sequence[tuple[float, float]]) -> np.ndarray:
    return reduce(np.multiply.outer, map(np.array, lines))
