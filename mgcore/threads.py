"""How many threads kernels run on, and where it must be a single one."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from numbers import Integral
from typing import Any

import numba

__all__ = ["count", "limited", "turn"]

_local = threading.local()  # .limit: the number asked for in this thread
_one_at_a_time = threading.Lock()
_forked = False
_started: str | None = None


def count() -> int:
    """Threads that kernels called from here run on.

    What :func:`limited` or :func:`numba.set_num_threads` asked for, by default NUMBA_NUM_THREADS,
    the number of cores. One in a process that was forked after its parent had started threads:
    GNU OpenMP, a common layer under Numba, ends such processes, and others hang.
    """
    if _forked:
        return 1
    limit = getattr(_local, "limit", None)
    if limit is not None:
        return int(limit)
    if _layer() is None:  # asking Numba would start the threads, before a fork perhaps
        return _most()
    return int(numba.get_num_threads())


@contextmanager
def limited(threads: int | None) -> Iterator[None]:
    """Run the kernels of a `with` block on so many threads; None leaves things as they are.

    Raises
    ------
    ValueError
        If it is not a whole number from 1 to NUMBA_NUM_THREADS.
    """
    if threads is None:
        yield
        return
    most = _most()
    if not isinstance(threads, Integral) or isinstance(threads, bool) or not 1 <= threads <= most:
        raise ValueError(
            f"threads must be a whole number from 1 to {most}, got {threads!r}; the environment "
            "variable NUMBA_NUM_THREADS, set before Python starts, allows more"
        )
    before = getattr(_local, "limit", None)
    mask = None
    if threads > 1 and not _forked:
        mask = numba.get_num_threads()
        numba.set_num_threads(int(threads))
    _local.limit = int(threads)
    try:
        yield
    finally:
        _local.limit = before
        if mask is not None:
            numba.set_num_threads(mask)


def turn() -> Any:
    """A context for one parallel kernel: under a layer that bears one at a time, a lock.

    Numba's workqueue layer, its last resort where neither TBB nor OpenMP is found, aborts the
    process on concurrent calls; until the first call has started a layer nobody knows which.
    """
    return nullcontext() if _layer() in ("omp", "tbb") else _one_at_a_time


def _most() -> int:
    return int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]


def _layer() -> str | None:
    """The threading layer, None before somebody has started it; it never changes then."""
    global _started
    if _started is None:
        with suppress(ValueError):
            _started = str(numba.threading_layer())
    return _started


def _after_fork() -> None:
    global _forked, _one_at_a_time
    _forked = _layer() not in (None, "tbb")
    _one_at_a_time = threading.Lock()  # the parent's may have been taken


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
