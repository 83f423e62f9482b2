"""Memory that a solve needed, kept for the next one."""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, TypeVar

__all__ = ["MOST", "Pool"]

#: So many workspaces are kept for a level; more solves than these at the same time make new ones.
MOST = 4

W = TypeVar("W")


class Pool(Generic[W]):
    """Workspaces of one level that nobody uses just now, `MOST` at most.

    Threads share it without a lock, which a process forked meanwhile would inherit as it is: a
    deque takes and gives in one step. Signal handlers may do so, too. Deep copies of a level, and
    levels that come from a pickle, begin with an empty pool.
    """

    def __init__(self) -> None:
        self._kept: deque[W] = deque(maxlen=MOST)

    def take(self) -> W | None:
        """A workspace that is the caller's alone from now on, None where there is none."""
        try:
            return self._kept.pop()
        except IndexError:
            return None

    def give(self, workspace: W) -> None:
        """Keep a workspace that the caller uses no longer."""
        self._kept.append(workspace)

    def __len__(self) -> int:
        return len(self._kept)

    def __reduce__(self) -> tuple[Any, ...]:
        return Pool, ()
