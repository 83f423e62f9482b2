"""Python processes of their own, for tests of what a process can do once only."""

import os
import subprocess
import sys

import pytest

__all__ = ["python"]


def python(code, *arguments, timeout=300, **environment):
    """What a Python process prints that must end well, and in time."""
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {key: str(value) for key, value in environment.items()},
        capture_output=True, text=True, check=False, timeout=timeout,
    )  # fmt: skip
    if "threading layer" in result.stderr and environment.get("NUMBA_THREADING_LAYER") == "omp":
        pytest.skip("this build of Numba has no OpenMP layer")
    assert result.returncode == 0, result.stderr[-2000:]
    return result
