"""Random numbers as a function of where they are needed: (seed, epoch, step, ...)."""

from __future__ import annotations

import torch

__all__ = ["generator", "hashed"]


def hashed(*key: int) -> int:
    """A number below 2^63 that depends on all of `key`; nearby keys give unrelated ones.

    Of each number the 32 lowest bits count.
    """
    seed = 0
    for number in key:  # a multiplicative congruential hash
        seed = ((seed ^ (number & 0xFFFFFFFF)) * 6364136223846793005 + 1442695040888963407) % 2**63
    return seed


def generator(*key: int) -> torch.Generator:
    """A generator on the CPU that depends on all numbers of `key`, the same on every machine."""
    return torch.Generator().manual_seed(hashed(*key))
