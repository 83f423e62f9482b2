"""How many threads kernels run on, where it must be a single one, and what a fork must wait for."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from numbers import Integral
from typing import Any

import numba

from mgcore.numba_private import LOCKS, global_compiler_lock

__all__ = ["count", "limited", "turn", "unforked", "usable"]

_local = threading.local()  # .limit: the number asked for in this thread
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


def usable() -> int:
    """Threads that kernels better run on just now: `count`, or one while the machine is busy."""
    asked = count()
    return 1 if asked > 1 and _cores.withdrawn() else asked


@contextmanager
def turn() -> Iterator[None]:
    """A context for one parallel kernel, which it times; with a lock where one runs at a time.

    Numba's workqueue layer, its last resort where neither TBB nor OpenMP is found, aborts the
    process on concurrent calls; until the first call has started a layer nobody knows which.

    The lock is the compiler's own, which that first call needs as well: with two of them, a thread
    that compiles and one that waits for its turn might each hold what the other wants. A signal
    handler that solves holds it a second time, and does no harm: Python runs handlers before and
    after a kernel, never inside.
    """
    alone = nullcontext() if _layer() in ("omp", "tbb") else global_compiler_lock
    with alone, _cores.watched():
        yield


def unforked() -> AbstractContextManager[Any]:
    """A context in which other threads wait before they fork.

    OpenBLAS takes its threads away before a fork, also while another thread waits for what they
    work out: factorisations and large products would never end.
    """
    return global_compiler_lock


class _Cores:
    """Whether the cores are there for us, told by how long threads wait for one.

    A parallel loop ends when the last of its threads has had its turn. With other processes on the
    same cores that takes milliseconds, however short the loop. One thread is faster then; several
    are tried again after a while, ever longer. Threads that solve at the same time share this
    without a lock: the worst that comes of it is a judgement on other loops.
    """

    # Seconds: of parallel loops to judge by; of the first and the longest time on one thread.
    _ENOUGH, _FIRST, _LONGEST = 0.005, 0.05, 1.0
    # For how many of the threads, on average, there is no core: of two .05 if nobody else wants
    # one, .5 to 1 if somebody does.
    _BUSY = 0.2
    # Asking takes time, the more threads the process has: so often as that is a fiftieth.
    _SELDOM = 50

    def __init__(self) -> None:
        self._loops = self._waited = self._asked = self._until = self._cost = 0.0
        self._pause = self._FIRST

    def withdrawn(self) -> bool:
        """Whether it is too early to try several threads again."""
        return time.perf_counter() < self._until

    @contextmanager
    def watched(self) -> Iterator[None]:
        """A context for one parallel loop."""
        began = time.perf_counter()
        if not self._loops and began - self._asked > self._FIRST:  # what was told then is old
            self._waited = _waited()
        yield
        now = time.perf_counter()
        self._loops += now - began
        if self._loops < max(self._ENOUGH, self._SELDOM * self._cost):
            return
        before, self._waited, self._asked = self._waited, _waited(), now
        self._cost = time.perf_counter() - now
        busy = self._waited - before > self._BUSY * count() * self._loops
        self._loops = 0.0
        if busy:
            self._until = now + self._pause
        self._pause = min(2 * self._pause, self._LONGEST) if busy else self._FIRST


def _waited() -> float:
    """Seconds for which threads of this process could run and had no core, all added up.

    Linux tells it (Documentation/scheduler/sched-stats.rst); elsewhere it is zero.
    """
    nanoseconds = 0
    with suppress(OSError, ValueError, IndexError):
        for thread in os.listdir("/proc/self/task"):
            with suppress(OSError), open(f"/proc/self/task/{thread}/schedstat", "rb") as file:
                nanoseconds += int(file.read().split()[1])
    return 1e-9 * nanoseconds


_cores = _Cores()


def _most() -> int:
    return int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]


def _layer() -> str | None:
    """The threading layer, None before somebody has started it; it never changes then."""
    global _started
    if _started is None:
        with suppress(ValueError):
            _started = str(numba.threading_layer())
    return _started


# In the child nobody would ever give back the LOCKS that another thread holds, and what they guard
# would be half done for ever.


def _before_fork() -> None:
    for lock in LOCKS:
        lock.__enter__()


def _after_fork() -> None:
    for lock in reversed(LOCKS):
        lock.__exit__(None, None, None)


def _after_fork_in_child() -> None:
    global _forked
    _forked = _layer() not in (None, "tbb")
    _after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child
    )
