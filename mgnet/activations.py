"""Activations sigma of the lecture that torch does not have, and the choice of one for each level.

A network takes sigma as a module, which is copied for each place, or as a callable that makes one;
or as a list with one of these for each level, the finest first: ``[Hat(5), Hat(10)]`` or
``[nn.PReLU(c) for c in channels]``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Hat", "Heaviside", "Sigma", "per_level"]

Sigma = nn.Module | Callable[[], nn.Module] | Sequence[nn.Module | Callable[[], nn.Module]]


class Hat(nn.Module):
    """Hat_M(x) = relu(x) - 2 relu(x - M/2) + relu(x - M): slope 1, support [0, M].

    Parameters
    ----------
    support : float
        M, positive. As M grows the hat becomes ReLU.
    trainable : bool
        Train M, one scalar. What is trained is log M, so that M stays positive: a hat with M <= 0
        would be zero everywhere, and so would its gradient.

    Raises
    ------
    ValueError
        If `support` is not a positive number.

    Notes
    -----
    From Wang, Xu & Zhu, ICCS 2022. Computed as relu(min(x, M - x)), the same function and
    derivatives, but exactly zero for x >= M, where the three terms would leave a rounding error.

    The derivative in M is 1 on (M/2, M) and 0 elsewhere: while no input lies there, a trained
    support moves by weight decay alone, towards 1.

    Examples
    --------
    >>> Hat(4)(torch.tensor([-1.0, 1.0, 2.0, 3.0, 5.0]))
    tensor([0., 1., 2., 1., 0.])
    """

    def __init__(self, support: float, trainable: bool = False):
        super().__init__()
        if not isinstance(support, (int, float)) or not 0 < support < math.inf:
            raise ValueError(f"support must be a positive number, got {support!r}")
        self.trainable = trainable
        self._fixed = float(support)
        if trainable:
            self.log_support = nn.Parameter(torch.tensor(math.log(support)))

    @property
    def support(self) -> Any:
        """M: a number, or where it is trained a tensor without axes."""
        return self.log_support.exp() if self.trainable else self._fixed

    def forward(self, x: Tensor) -> Tensor:
        """Hat_M of every entry of `x`."""
        return torch.relu(torch.minimum(x, self.support - x))

    def extra_repr(self) -> str:
        """The support."""
        with torch.no_grad():
            return f"support={float(self.support):.4g}, trainable={self.trainable}"


class Heaviside(nn.Module):
    """H(x) = 1 for x > 0, else 0. Forward only.

    Raises
    ------
    RuntimeError
        In the backward pass: its derivative is zero wherever there is one, so nothing in front of
        it can be trained by gradients.
    """

    def forward(self, x: Tensor) -> Tensor:
        """H of every entry of `x`."""
        return _Step.apply(x)


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        raise RuntimeError(
            "Heaviside cannot be trained through: its derivative is zero almost everywhere; "
            "train with nn.Sigmoid, nn.ReLU or Hat instead"
        )


def per_level(sigma: Sigma, levels: int, *, share: bool = False) -> list[Callable[[], nn.Module]]:
    """A function for each level that gives sigma for the next place on it.

    Parameters
    ----------
    sigma : Module, callable returning one, or list of these
        A list has one entry for each level; anything else serves all of them.
    levels : int
    share : bool
        One module for all places of a level, so one set of trained numbers, instead of a copy for
        each.

    Raises
    ------
    ValueError
        If a list has another length, or an entry is neither a module nor makes one.
    """
    choices = list(sigma) if isinstance(sigma, (list, tuple, nn.ModuleList)) else [sigma] * levels
    if len(choices) != levels:
        raise ValueError(
            f"a list for sigma needs one entry for each level, got {len(choices)} for "
            f"{levels} levels"
        )
    return [_maker(choice, share) for choice in choices]


def _maker(choice: Any, share: bool) -> Callable[[], nn.Module]:
    if share:
        one = _made_by(choice)
        return lambda: one
    return lambda: _made_by(choice)


def _made_by(sigma: Any) -> nn.Module:
    if isinstance(sigma, nn.Module):
        return copy.deepcopy(sigma)
    try:
        made = sigma()
    except TypeError:  # a function of tensors, or nothing that can be called
        made = None
    if not isinstance(made, nn.Module):
        raise ValueError(
            f"sigma must be a module or a callable that makes one, such as nn.ReLU, got {sigma!r}"
        )
    return made
