"""The gate for user input: node values are checked once here, and kernels trust them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from mgcore.grid import Grid

__all__ = [
    "DTYPES",
    "check_dtype",
    "check_kind",
    "check_shape",
    "node_array",
    "not_finite",
    "real_array",
]

#: Names of the dtypes that solvers compute in.
DTYPES = ("float64", "float32")


def check_dtype(dtype: Any) -> str:
    """The name of a dtype that solvers compute in, from a name, a NumPy or a torch dtype."""
    name = dtype if isinstance(dtype, str) else str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        with suppress(TypeError):
            name = np.dtype(dtype).name
    if name not in DTYPES:
        raise ValueError(f"dtype must be {' or '.join(map(repr, DTYPES))}, got {dtype!r}")
    return name


def check_kind(dtype: Any, name: str) -> None:
    """Refuse what is not a real number of enough digits, by its NumPy or torch dtype."""
    kind = str(dtype).removeprefix("torch.")
    if isinstance(dtype, np.dtype) and dtype.kind not in "biufc":
        raise ValueError(f"{name} must hold real numbers, got dtype {kind}; convert it first")
    if kind.startswith("complex"):
        raise ValueError(f"{name} is {kind}; solve for the real and the imaginary part separately")
    if kind in ("float16", "bfloat16") or kind.startswith("float8"):
        raise ValueError(
            f"{name} is {kind}, too coarse for second differences; convert it to float32 or float64"
        )


def real_array(values: Any, name: str) -> np.ndarray:
    """`values` as an array of real numbers, or a clear error."""
    if isinstance(values, np.ma.MaskedArray):
        raise ValueError(f"{name} is a masked array; fill in its values first")
    try:
        array = np.asarray(values)
    except ValueError:  # nested lists of unequal lengths
        raise ValueError(f"{name} must be an array of real numbers, one for each node") from None
    check_kind(array.dtype, name)
    return array


def check_shape(shape: tuple[int, ...], grid: Grid, name: str, batch: bool = False) -> None:
    """Refuse node values that do not lie on `grid`."""
    nodes = shape[len(shape) - grid.ndim :] if batch else shape
    if nodes != grid.shape:
        wanted = f"(*batch, {', '.join(map(str, grid.shape))})" if batch else str(grid.shape)
        raise ValueError(
            f"{name} has shape {shape}, but the grid's nodes, boundary included, need {wanted}"
        )


def not_finite(name: str) -> ValueError:
    """The error for NaN or infinity at an interior node."""
    return ValueError(
        f"{name} holds NaN or infinity at interior nodes, or numbers too large for the dtype"
    )


def node_array(values: Any, grid: Grid, dtype: np.dtype, name: str) -> np.ndarray:
    """`values` as a C-contiguous, writeable array of `dtype`, copied only where it must be.

    Raises
    ------
    ValueError
        If the shape is not the grid's or the numbers are not real.
    """
    array = real_array(values, name)
    check_shape(array.shape, grid, name)
    with np.errstate(over="ignore"):  # whoever asks for finite values looks at the result
        array = np.ascontiguousarray(array, dtype)
    # Numba compiles kernels anew for read-only arrays; a copy is cheaper.
    return array if array.flags.writeable else array.copy()
