"""cached_property: worked out once, and nobody waits for anybody."""

import threading
from concurrent.futures import ThreadPoolExecutor

from mgcore.cached import cached_property


class Lazy:
    """Counts how often its value is worked out."""

    def __init__(self, work=lambda: None):
        self.work, self.count = work, 0

    @cached_property
    def value(self):
        """A value."""
        self.work()
        self.count += 1
        return self.count


def test_a_value_is_worked_out_once():
    lazy = Lazy()
    assert "value" not in vars(lazy)
    assert (lazy.value, lazy.value, lazy.count) == (1, 1, 1)
    assert vars(lazy)["value"] == 1
    assert Lazy.value.__doc__ == "A value."


def test_one_instance_does_not_wait_for_another():
    # What a thread of the parent holds when a process is forked, the child would wait for.
    entered, leave = threading.Event(), threading.Event()

    def work():
        entered.set()
        assert leave.wait(30)

    with ThreadPoolExecutor(2) as pool:
        try:
            slow = pool.submit(lambda: Lazy(work).value)
            assert entered.wait(30)
            assert pool.submit(lambda: Lazy().value).result(timeout=10) == 1
            assert not slow.done()
        finally:
            leave.set()
        assert slow.result(30) == 1
