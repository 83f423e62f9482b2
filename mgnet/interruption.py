"""SIGINT and SIGTERM as a flag, so that a step under way is finished first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Interrupted", "stop_flag"]


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM came; the message names the checkpoint that holds all done so far."""


@contextmanager
def stop_flag() -> Iterator[threading.Event]:
    """Set a flag at the first SIGINT or SIGTERM; what comes after that acts as usual."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag  # only the main thread may set handlers
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # A job in the background ignores Ctrl-C, and goes on doing so; None is a handler in C, which
    # could not be put back.
    usual = {
        number: previous
        for number, previous in usual.items()
        if previous not in (signal.SIG_IGN, None)
    }

    def restore() -> None:
        for number, previous in usual.items():
            signal.signal(number, previous)

    def handler(number: int, frame: Any) -> None:
        flag.set()
        restore()

    try:
        for number in usual:
            signal.signal(number, handler)
        yield flag
    finally:
        restore()
