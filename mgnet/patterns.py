"""What the kernels of a trained convolution look like: their part along given stencils.

A convolution from c to c' channels has c c' kernels. Each is a point in the space of 3^d weights;
how all of them together lie there is one number for each direction.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["FIVE_POINT", "effect", "principal_patterns", "share"]

#: -Laplace, h = 1: the A that a multigrid solver is given.
FIVE_POINT = np.array([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]])


def share(weights: Tensor | np.ndarray, pattern: np.ndarray) -> float:
    """The part of a convolution that is multiples of one stencil.

    Parameters
    ----------
    weights : Tensor or ndarray
        ``(out, in, *kernel)``
    pattern : ndarray
        Of the kernel's shape, not zero.

    Returns
    -------
    float
        The sum of squares along the pattern over the sum of all squares. 1 if every kernel is a
        multiple of it; 1/9 on average for 3x3 kernels of independent random weights.
    """
    rows = _rows(weights)
    unit = np.ravel(pattern) / np.linalg.norm(pattern)
    return float(((rows @ unit) ** 2).sum() / (rows**2).sum())


def effect(weights: Tensor, pattern: np.ndarray, u: Tensor) -> float:
    """How much of what a convolution makes of u its part along one stencil makes.

    Parameters
    ----------
    weights : Tensor
        ``(out, in, k, k)``, k odd.
    pattern : ndarray
        ``(k, k)``, not zero.
    u : Tensor
        ``(batch, in, height, width)``

    Returns
    -------
    float
        The 2-norm of the part's result over that of the whole. Where u is smooth, a stencil whose
        weights add up to zero has less to do than its :func:`share` says.
    """
    unit = torch.from_numpy(pattern / np.linalg.norm(pattern)).to(weights)
    part = (weights * unit).sum((2, 3), keepdim=True) * unit
    with torch.no_grad():
        one, all_ = (F.conv2d(u, each, padding="same").norm() for each in (part, weights))
    return float(one / all_)


def principal_patterns(weights: Tensor | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The orthonormal stencils that kernels consist of, the one with the largest part first.

    Parameters
    ----------
    weights : Tensor or ndarray
        ``(out, in, *kernel)``

    Returns
    -------
    patterns : ndarray
        ``(3^d, *kernel)``, each of length 1, its largest weight positive.
    shares : ndarray
        (3^d,), the :func:`share` of each; they add up to 1.

    Notes
    -----
    The right singular vectors of the kernels as rows; as a sum over channels they are what a
    principal component analysis about zero gives.
    """
    rows = _rows(weights)
    _, values, patterns = np.linalg.svd(rows, full_matrices=False)
    largest = np.take_along_axis(patterns, abs(patterns).argmax(1)[:, None], 1)
    kernel = tuple(weights.shape[2:])
    return (patterns * np.sign(largest)).reshape(-1, *kernel), values**2 / (values**2).sum()


def _rows(weights: Tensor | np.ndarray) -> np.ndarray:
    """Each kernel as one row, (out in, 3^d)."""
    if isinstance(weights, Tensor):
        weights = weights.detach().cpu().double().numpy()
    return np.reshape(weights, (weights.shape[0] * weights.shape[1], -1))
