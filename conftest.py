"""Settings of all tests; and pages of the documentation as tests, whose code does what they say."""

import os
import sys
import tempfile
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import settings
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser

# Figures are drawn into memory, and no example of hypothesis has to be quick: machines are shared.
os.environ.setdefault("MPLBACKEND", "Agg")
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
_THREADS = max(1, (os.cpu_count() or 1) // _WORKERS)

# The files that take longest, the longest first: were one the last, the other workers would wait.
_LONG = (
    "test_kernels.py", "test_site.py", "test_pages.py", "test_examples.py", "test_box_passes.py",
    "test_processes.py", "test_fused.py", "test_operators.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, as `--no-loadscope-reorder` lets workers do."""
    places = {name: place for place, name in enumerate(_LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def pytest_runtest_setup() -> None:
    """Leave torch as many cores as a worker's share.

    Before every test: Numba's first parallel kernel tells OpenMP, which torch shares, to use all.
    """
    if "torch" in sys.modules and _WORKERS > 1:
        sys.modules["torch"].set_num_threads(_THREADS)


def elsewhere(namespace: dict[str, Any]) -> None:
    """Run a page in a folder of its own, which ends with it."""
    stack = namespace["_stack"] = ExitStack()
    stack.callback(os.chdir, os.getcwd())
    os.chdir(stack.enter_context(tempfile.TemporaryDirectory()))


pytest_collect_file = Sybil(
    [PythonCodeBlockParser()],
    patterns=["README.md", "docs/howto/*.md"],
    setup=elsewhere,
    teardown=lambda namespace: namespace["_stack"].close(),
).pytest()
