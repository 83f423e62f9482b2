"""Number formats and memory layouts: which are fastest here, and computing in them."""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch

from mgnet.recipe import Recipe

__all__ = ["autocast", "memory_format", "parameter_dtype", "resolved"]

_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


def resolved(recipe: Recipe, device: torch.device, dim: int) -> tuple[Recipe, str]:
    """The recipe with "auto" replaced by what trains fastest on `device`, and that in words.

    What the processor can do decides, and nothing is timed, so the same command on the same
    machine computes the same, however busy that is.

    Parameters
    ----------
    recipe : Recipe
    device : torch.device
    dim : int
        Axes of the grid: 1 for series, 2 for pictures, 3 for volumes.

    Returns
    -------
    Recipe, str

    Raises
    ------
    ValueError
        If the layout is one that series do not have.
    """
    if recipe.layout == "channels_last" and dim not in _LAST:
        raise ValueError("layout 'channels_last' is for pictures and volumes: series have one")
    precision, layout, reason = _fastest(device)
    layout = layout if dim in _LAST else "contiguous"
    chosen = replace(
        recipe,
        precision=precision if recipe.precision == "auto" else recipe.precision,
        layout=layout if recipe.layout == "auto" else recipe.layout,
    )
    words = f"{chosen.precision}, {chosen.layout.replace('_', ' ')}"
    return chosen, f"{words}: {reason}" if recipe.precision == "auto" else words


def _fastest(device: torch.device) -> tuple[str, str, str]:
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device) >= (8, 0):
            return "bfloat16", "channels_last", "the GPU multiplies bfloat16"
        return "float16", "channels_last", "the GPU multiplies float16, not bfloat16"
    if device.type == "cpu" and _multiplies_bfloat16():
        return "bfloat16", "channels_last", "the processor multiplies bfloat16"
    # Emulated bfloat16 is several times slower than float32.
    return "float32", "channels_last", f"no fast bfloat16 on {device.type}"


def _multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for products of bfloat16 numbers."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:  # not Linux: Apple's have them from the M2 on, and torch does not use them
        return False
    arm = platform.machine() in ("aarch64", "arm64")
    return bool(flags & ({"bf16"} if arm else {"avx512_bf16", "amx_bf16"}))


def parameter_dtype(recipe: Recipe) -> torch.dtype:
    """In which the weights are kept: float32 under autocast, too."""
    return torch.float64 if recipe.precision == "float64" else torch.float32


def memory_format(recipe: Recipe, dim: int) -> torch.memory_format:
    """The layout of ``(batch, channels, *grid)`` with `dim` axes of the grid."""
    return _LAST[dim] if recipe.layout == "channels_last" else torch.contiguous_format


def autocast(recipe: Recipe, device: torch.device) -> AbstractContextManager:
    """The context in which a network runs."""
    if recipe.precision in ("float32", "float64"):
        return nullcontext()
    return torch.autocast(device.type, getattr(torch, recipe.precision))
