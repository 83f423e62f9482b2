"""Settings of all tests; and pages of the documentation as tests, whose code does what they say."""

import os
import tempfile
from contextlib import ExitStack
from typing import Any

from hypothesis import settings
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser

# Figures are drawn into memory, and no example of hypothesis has to be quick: machines are shared.
os.environ.setdefault("MPLBACKEND", "Agg")
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


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
