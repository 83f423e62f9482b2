"""What a network costs: parameters and multiply-adds."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["count_parameters", "multiply_adds"]


def count_parameters(model: nn.Module) -> int:
    """Number of parameters, shared ones once, fixed ones included."""
    return sum(p.numel() for p in model.parameters())


def multiply_adds(model: nn.Module, picture: Sequence[int]) -> int:
    """Multiply-adds of one forward pass for one picture.

    Parameters
    ----------
    model : Module
    picture : sequence of int
        Shape without the batch axis, such as (3, 32, 32).

    Returns
    -------
    int
        Convolutions and matrix products are counted, as is usual; nothing is computed.
    """
    shadow = copy.deepcopy(model).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shadow(torch.empty(1, *picture, device="meta"))
    return counter.get_total_flops() // 2
