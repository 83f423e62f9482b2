"""`cached_property` without a lock, for which a process forked meanwhile would wait for ever.

Until Python 3.12 one lock serves a property of all instances, and is held while the value is worked
out. Here, as there since, two threads may both work it out; one of two equal values stays.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

__all__ = ["cached_property"]

if TYPE_CHECKING or sys.version_info >= (3, 12):
    cached_property = functools.cached_property
else:

    class cached_property(functools.cached_property):  # noqa: N801 - as that is called
        """A property that is worked out once for each instance."""

        def __get__(self, instance: Any, owner: Any = None) -> Any:
            if instance is None:
                return self
            # Found at the first use only: then the instance's own attribute comes first.
            value = instance.__dict__[self.attrname] = self.func(instance)
            return value
