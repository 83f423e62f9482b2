"""Pages of the documentation as tests: their code runs, and prints what they say it does."""

import os
import tempfile
from contextlib import ExitStack
from typing import Any

from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser


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
