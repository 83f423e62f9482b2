"""What tests of kernels set up."""

import pytest

from mgcore import threads
from mgcore.kernels import compilation


@pytest.fixture
def on_several_threads(monkeypatch):
    """Run kernels on as many threads as are asked for, small arrays and busy cores or not."""
    monkeypatch.setattr(compilation, "SMALL", 0)
    monkeypatch.setattr(threads._Cores, "withdrawn", lambda self: False)
