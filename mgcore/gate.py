"""The gate for user input: node values are checked once here, and kernels trust them."""

from __future__ import annotations

import warnings
from contextlib import suppress
from numbers import Integral
from typing import Any

import numpy as np
from numpy.ma import MaskedArray  # np.ma would import it in the middle of a solve, and of a fork

from mgcore.grid import Grid

__all__ = [
    "DTYPES",
    "apart",
    "batch_of",
    "check_callback",
    "check_dtype",
    "check_kind",
    "check_shape",
    "check_weights",
    "default_precision",
    "node_array",
    "not_finite",
    "output_array",
    "real_array",
    "refuse_tensor",
    "stiffness",
]

#: Names of the dtypes that solvers compute in.
DTYPES = ("float64", "float32")


def check_callback(callback: Any) -> None:
    """Refuse what cannot be called."""
    if callback is not None and not callable(callback):
        raise ValueError(f"callback must be callable, got {callback!r}")


def check_dtype(dtype: Any) -> str:
    """The name of a dtype that solvers compute in, from a name, a NumPy or a torch dtype."""
    name = dtype if isinstance(dtype, str) else str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        with suppress(TypeError):
            name = np.dtype(dtype).name
    if name not in DTYPES:
        raise ValueError(f"dtype must be {' or '.join(map(repr, DTYPES))}, got {dtype!r}")
    return name


def default_precision(dtype: Any) -> str:
    """What a right-hand side of this NumPy or torch dtype is computed in if nobody says."""
    name = dtype.name if isinstance(dtype, np.dtype) else str(dtype).removeprefix("torch.")
    return "float32" if name == "float32" else "float64"


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


# A single unknown along an axis, beside so many nodes along the others, is hardly meant.
_LONG = 17


def batch_of(shape: tuple[int, ...], ndim: int | None) -> tuple[int, ...]:
    """The leading axes of g that count right-hand sides: those before the last `ndim`.

    Without `ndim` there are none; a warning at the caller's caller says where that looks wrong.
    """
    if ndim is None:
        short = [axis for axis, n in enumerate(shape) if n == 3]
        long = [n for n in shape if n >= _LONG]
        if short and len(short) + len(long) == len(shape) and long:
            front = "" if short == list(range(len(short))) else "move it to the front and "
            warnings.warn(
                f"g of shape {shape} is solved in {len(shape)} dimensions, with a single unknown "
                f"along axis {short[0]}; if that axis counts right-hand sides, {front}pass "
                f"ndim={len(long)}, and if not, ndim={len(shape)}",
                stacklevel=3,
            )
        if len(shape) > 3:
            raise ValueError(
                f"grids have one, two or three axes, got g of shape {shape}; if leading axes count "
                "right-hand sides, pass ndim, the number of axes of the grid"
            )
        return ()
    if not isinstance(ndim, Integral) or isinstance(ndim, bool) or not 1 <= ndim <= 3:
        raise ValueError(f"ndim must be 1, 2 or 3, got {ndim!r}")
    if len(shape) < ndim:
        raise ValueError(f"g of shape {shape} has fewer axes than the {ndim} of the grid")
    batch = shape[: len(shape) - int(ndim)]
    if 0 in batch:
        raise ValueError(f"g is an empty batch, shape {shape}")
    return batch


def real_array(values: Any, name: str) -> np.ndarray:
    """`values` as an array of real numbers, or a clear error."""
    if isinstance(values, MaskedArray):
        raise ValueError(f"{name} is a masked array; fill in its values first")
    refuse_tensor(values, name)
    if values is None or callable(values):
        raise ValueError(
            f"{name} must be numbers or an array of them, got {values!r}; take a function's values "
            "at the nodes, grid.coordinates() or your own x and y"
        )
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        # Nested lists of unequal lengths, tensors on a GPU, ...
        raise ValueError(
            f"{name} must be an array of real numbers, one for each node, and NumPy makes none of "
            f"this {type(values).__name__}: {str(error).splitlines()[0]}"
        ) from error
    check_kind(array.dtype, name)
    return array


def refuse_tensor(values: Any, name: str) -> None:
    """Send torch's tensors to where they are kept on their device and get gradients."""
    if any(kind.__module__.partition(".")[0] == "torch" for kind in type(values).__mro__):
        raise ValueError(
            f"{name} is a torch tensor: solve by mgnet.solve_poisson, which keeps its dtype and "
            f"device and gives gradients, or pass {name}.numpy(force=True)"
        )


def check_shape(shape: tuple[int, ...], grid: Grid, name: str, batch: bool = False) -> None:
    """Refuse node values that do not lie on `grid`."""
    nodes = shape[len(shape) - grid.ndim :] if batch else shape
    if nodes != grid.shape:
        wanted = f"(*batch, {', '.join(map(str, grid.shape))})" if batch else str(grid.shape)
        if shape[len(shape) - grid.ndim :] == grid.shape and name in ("g", "u0", "u"):
            wanted += "; a batch of right-hand sides is for mgcore.solve"
        raise ValueError(
            f"{name} has shape {shape}, but the grid's nodes, boundary included, need {wanted}"
        )


def stiffness(grid: Grid, dtype: str) -> tuple[float, ...]:
    """h^-2 along each axis of `grid`, or a clear error where they are no use in `dtype`."""
    with np.errstate(all="ignore"):
        weights = tuple(float(np.float64(h) ** -2) for h in grid.spacing)
    if not _has_room(max(weights), dtype):
        raise ValueError(
            f"mesh widths {grid.spacing} are too small or too large for {dtype}, which must hold "
            "their squares' inverses with room to spare; measure the box in other units"
        )
    return weights


def check_weights(bound: float, dtype: str) -> None:
    """Refuse an operator whose norm, at most `bound`, is too small or too large for `dtype`."""
    if not _has_room(bound, dtype):
        raise ValueError(
            f"the operator's weights of about {bound:.0e} are too small or too large for {dtype}; "
            "divide coefficient and reaction, or the stencil, g, fluxes and beta of Robin sides by "
            "the same number"
        )


def _has_room(weight: float, dtype: str) -> bool:
    """Whether numbers of this size leave `dtype` room for u, g and their sums."""
    room = float(np.finfo(dtype).max) ** 0.8
    return 1 / room < weight < room


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
    if (
        type(values) is np.ndarray and (values.dtype, values.shape) == (dtype, grid.shape)
        and values.flags.c_contiguous and values.flags.writeable
    ):  # fmt: skip
        return values  # nothing to be done, at each step of a time loop
    array = real_array(values, name)
    check_shape(array.shape, grid, name)
    with np.errstate(over="ignore"):  # whoever asks for finite values looks at the result
        array = np.ascontiguousarray(array, dtype)
    # Numba compiles kernels anew for read-only arrays; a copy is cheaper.
    return array if array.flags.writeable else array.copy()


def output_array(out: Any, grid: Grid, dtype: np.dtype) -> np.ndarray:
    """`out` itself, if it can take a solution.

    Raises
    ------
    ValueError
        If it is not a writeable C-contiguous array of the grid's shape and this dtype.
    """
    if (
        not isinstance(out, np.ndarray)
        or (out.shape, out.dtype) != (grid.shape, dtype)
        or not (out.flags.c_contiguous and out.flags.writeable)
    ):
        told = f"{out.dtype} of shape {out.shape}" if isinstance(out, np.ndarray) else type(out)
        raise ValueError(
            f"out must be a writeable C-contiguous NumPy array, {dtype} of shape {grid.shape}, got "
            f"{told}; make one by np.empty({grid.shape}, {str(dtype)!r})"
        )
    return out


def apart(values: Any, out: Any) -> Any:
    """`values`, as a copy where they share memory with `out`."""
    shared = isinstance(values, np.ndarray) and np.may_share_memory(values, out)
    return values.copy() if shared else values
