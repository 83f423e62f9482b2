"""How kernels are compiled and called."""

import sys
from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any

import numba
import numpy as np
from numba import config
from numba.core import event

from mgcore import threads
from mgcore.kernels.cache import keep
from mgcore.numba_private import INLINED, LEAN, copied

__all__ = ["SMALL", "allocating", "inlined", "parallel", "serial", "summing", "unsigned"]

#: Bytes of an array for which several cores gain nothing, or so little that a solve that begins
#: with such an array gains less than a fifth.
SMALL = 600_000

# Fused multiply-adds are the one liberty taken: sums are not reordered. Without the GIL, other
# Python threads go on meanwhile. Unless told otherwise, callees of inlined functions are inlined.
_ALLOCATING = {
    "fastmath": {"contract", "nsz"}, "error_model": "numpy", "nogil": True, "forceinline": False,
}  # fmt: skip
_OPTIONS = {**_ALLOCATING, **LEAN}

#: Makes offsets of whole numbers: unsigned ones, in which Numba need not look for negative ones. In
#: interpreted kernels they are Python's, as NumPy makes floats of unsigned and signed ones.
unsigned: Any = int if config.DISABLE_JIT else np.uint64  # type: ignore[attr-defined]


def _compiled(function: Callable, **options: Any) -> Any:
    compiled = numba.njit(**options)(function)
    if compiled is not function:  # as it is under NUMBA_DISABLE_JIT
        keep(compiled)
    return compiled


def serial(function: Callable) -> Any:
    """Compile a function that runs on one thread, and allocates and returns no arrays."""
    return _compiled(function, **_OPTIONS)


def allocating(function: Callable) -> Any:
    """Like `serial`, for what returns an array."""
    return _compiled(function, **_ALLOCATING)


def inlined(function: Callable) -> Any:
    """Like `serial`, copied to wherever it is called: constants among the arguments prune it.

    Only compiled functions may call it, and only their code is kept.
    """
    compiled = numba.njit(**{**_OPTIONS, **INLINED})(function)
    return compiled if compiled is function else copied(compiled)


def summing(function: Callable) -> Any:
    """Like `serial`, with leave to reorder sums, which lets them vectorise."""
    return _compiled(function, **{**_OPTIONS, "fastmath": {"reassoc", "contract", "nsz"}})


def parallel(function: Callable) -> Callable:
    """Compile a function with parallel loops, safe to call from threads and forked processes.

    Where there is one thread to use, or the first array is small, the loops are
    compiled as plain ones and no threads are touched: see :func:`mgcore.threads.usable`.
    """
    many = _compiled(function, parallel=True, **_ALLOCATING)
    # Under another name, as Numba would find the parallel code in its cache.
    twin = FunctionType(function.__code__, function.__globals__, function.__name__ + "_alone")
    twin.__qualname__ += "_alone"
    alone = _compiled(twin, **_ALLOCATING)

    @wraps(function)
    def call(*arguments: Any) -> Any:
        if arguments[0].nbytes < SMALL or threads.usable() == 1:
            return alone(*arguments)
        with threads.turn():
            return many(*arguments)

    return call


class _Notice(event.Listener):
    """Says once what takes so long."""

    said = False

    def on_start(self, event: Any) -> None:
        module = event.data["dispatcher"].py_func.__module__ or ""
        if self.said or not module.startswith("mgcore."):
            return
        self.said = True
        if _interactive():
            print(
                "mgcore: compiling its kernels for this machine. This takes up to half a minute, "
                "once: they are cached.",
                file=sys.stderr, flush=True,
            )  # fmt: skip

    def on_end(self, event: Any) -> None:
        pass


def _interactive() -> bool:
    terminal = sys.stderr is not None and sys.stderr.isatty()
    return terminal or hasattr(sys, "ps1") or "ipykernel" in sys.modules


event.register("numba:compile", _Notice())
