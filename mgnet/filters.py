"""Kernels by hand: edges in photographs, and pictures as piecewise constants on coarser grids.

A convolution of a picture is a :class:`mgcore.Stencil` on its pixels, as the A of a Poisson problem
is one on its nodes.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.ndimage

from mgcore.stencil import Stencil
from mgnet.decoding import pillow

__all__ = [
    "AVERAGE",
    "KERNELS",
    "Extraction",
    "convolve",
    "extract",
    "left_out",
    "photograph",
    "photograph_file",
    "piecewise_constant",
    "widened",
]

#: The kernels of the lecture, and the first one turned. The last is -Laplace, h = 1.
KERNELS = {
    "vertical edges": Stencil.of_array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    "horizontal edges": Stencil.of_array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
    "-Laplace": Stencil.of_array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]]),
}

#: The lecture's kernel of ones, as a mean: pictures keep their range.
AVERAGE = Stencil.of_array(np.full((3, 3), 1 / 9))


class Extraction(NamedTuple):
    """A picture on its way to a feature, step by step, all of one shape.

    Attributes
    ----------
    smooth, filtered, positive, average : ndarray
        G * x, K * G * x, sigma(K * G * x) and its average.
    """

    smooth: np.ndarray
    filtered: np.ndarray
    positive: np.ndarray
    average: np.ndarray


def convolve(kernel: Stencil, x: np.ndarray) -> np.ndarray:
    """(K * x)_ij = sum_st K_st x_{i+s, j+t}, the picture going on as in a mirror.

    Parameters
    ----------
    kernel : Stencil
    x : ndarray
        (rows, columns)
    """
    return kernel.apply(x, "mirror")


def extract(x: np.ndarray, kernel: Stencil, width: float = 0.0) -> Extraction:
    """Gaussian, kernel, ReLU, average; with -Laplace, the Laplacian of Gaussian of the lecture.

    Parameters
    ----------
    x : ndarray
        (rows, columns)
    kernel : Stencil
    width : float
        Standard deviation of the Gaussian G in pixels, 0 for none.
    """
    smooth = scipy.ndimage.gaussian_filter(x, width, mode="mirror") if width else x
    filtered = convolve(kernel, smooth)
    positive = np.maximum(filtered, 0)
    return Extraction(smooth, filtered, positive, convolve(AVERAGE, positive))


def widened(coarse: np.ndarray, level: int) -> np.ndarray:
    """A picture of V_level as one of V_1: every value fills its block."""
    side = 2 ** (level - 1)
    return np.repeat(np.repeat(coarse, side, axis=0), side, axis=1)


def left_out(x: np.ndarray, level: int) -> float:
    """||x - P x|| / ||x - mean||, P onto V_level: how much of a picture's contrast is finer.

    Where x is smooth this doubles from level to level; at an edge it grows by a factor of sqrt(2).
    """
    finer = x - widened(piecewise_constant(x, level), level)
    return float(np.linalg.norm(finer) / np.linalg.norm(x - x.mean()))


def piecewise_constant(x: np.ndarray, level: int) -> np.ndarray:
    """The projection of a picture onto V_level: pixels of V_1 in blocks of 2^(level - 1) a side.

    Parameters
    ----------
    x : ndarray
        (rows, columns), in V_1.
    level : int
        1 or more; V_1 contains V_2, and so on.

    Returns
    -------
    ndarray
        (rows, columns) / 2^(level - 1): one value for each block, its mean, which is nearest to x
        in L2 of all constants.

    Raises
    ------
    ValueError
        If the blocks do not fill the picture, or the level is below 1.
    """
    if level < 1:
        raise ValueError(f"V_1 is the finest, got level {level}")
    side = 2 ** (level - 1)
    rows, columns = x.shape
    if rows % side or columns % side:
        raise ValueError(f"a picture of {rows} x {columns} has no blocks of {side} x {side} pixels")
    return x.reshape(rows // side, side, columns // side, side).mean((1, 3))


def photograph_file(name: str = "china") -> Path:
    """The file of a photograph that comes with scikit-learn: "china", a temple, or "flower".

    Raises
    ------
    ValueError
        For another name.
    """
    import sklearn.datasets

    if name not in ("china", "flower"):
        raise ValueError(f"the photographs are 'china' and 'flower', got {name!r}")
    return Path(sklearn.datasets.__file__).with_name("images") / f"{name}.jpg"


def photograph(name: str = "china") -> np.ndarray:
    """The brightness of that photograph, reduced to half its size.

    Parameters
    ----------
    name : str
        As in :func:`photograph_file`.

    Returns
    -------
    ndarray
        (208, 320), between 0 and 1; 11 rows are cut off, so that sides can be halved four times.
    """
    with pillow().open(photograph_file(name)) as image:
        pixels = np.asarray(image.convert("L"))[5:421] / 255
    return piecewise_constant(pixels, 2)
