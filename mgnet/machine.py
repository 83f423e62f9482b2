"""What a result was computed with: command, commit, versions, processor."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

__all__ = ["describe_machine"]


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Command, commit, versions and hardware of this process."""
    return {
        "command": sys.argv,
        "commit": _commit(),
        "versions": {"python": platform.python_version()}
        | {name: _version(name) for name in ("mgcore", "torch", "numpy")},
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


#: What a result depends on, of a clone.
SOURCES = ("mgcore", "mgnet", "examples", "benchmarks")


def _commit() -> str:
    """The commit of the clone that this file belongs to, with a mark where sources have changed."""
    clone = Path(__file__).parents[1]
    if not (clone / ".git").exists():  # installed; a commit around it would be somebody else's
        return "no clone"
    commit = _git(clone, "rev-parse", "--short=12", "HEAD")
    changed = _git(clone, "status", "--porcelain", "--", *SOURCES)
    if commit is None or changed is None:
        return "unknown"
    return commit + "-dirty" * bool(changed)


def _git(clone: Path, *arguments: str) -> str | None:
    """What git prints; None where it fails, or is not there."""
    try:
        found = subprocess.run(
            ["git", *arguments], cwd=clone, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() if found.returncode == 0 else None


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    said = dict(re.split(r"\s*:\s*", line, maxsplit=1) for line in lines if ":" in line)
    name = said.get("model name", platform.machine())
    # Virtual machines have names like "AMD EPYC" for processors of any generation.
    numbers = [f"{key.split()[-1]} {said[key]}" for key in ("cpu family", "model") if key in said]
    return ", ".join([name, *numbers])
