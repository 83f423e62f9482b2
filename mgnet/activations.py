"""Activations sigma of the lecture that torch does not have, and the choice of one for each level.

A network takes sigma as a text, such as "relu" or "hat-5"; as a module, which is copied for each
place; or as a callable that makes one. Or as a list with one of these for each level, the finest
first: ``["hat-5", "hat-10"]`` or ``[nn.PReLU(c) for c in channels]``. Texts can be written down, on
a command line or beside weights; :func:`describe` finds that of a module.

====================  ============================================================
text                  sigma
====================  ============================================================
relu, gelu, silu      torch's, as are sigmoid and tanh
prelu                 PReLU, one trained slope for each place
prelu-per-channel     the same, one for each channel
hat-M                 :class:`Hat` of support M, such as "hat-5"
hat-M-trained         a hat whose support is trained and begins as M
heaviside             :class:`Heaviside`, forward only
====================  ============================================================
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mgnet import gate

__all__ = ["Hat", "Heaviside", "Sigma", "describe", "per_level"]

Maker = Callable[[], nn.Module]
Sigma = str | nn.Module | Maker | Sequence[str | nn.Module | Maker]


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
    support moves by weight decay alone, towards 1, where a recipe has one for single numbers
    (``decay="all"``).

    Examples
    --------
    >>> Hat(4)(torch.tensor([-1.0, 1.0, 2.0, 3.0, 5.0]))
    tensor([0., 1., 2., 1., 0.])
    """

    def __init__(self, support: float, trainable: bool = False):
        super().__init__()
        gate.factor("support", support)
        self.trainable = trainable
        self._given = float(support)
        if trainable:
            self.log_support = nn.Parameter(torch.tensor(math.log(support)))

    @property
    def support(self) -> Any:
        """M: a number, or where it is trained a tensor without axes."""
        return self.log_support.exp() if self.trainable else self._given

    def forward(self, x: Tensor) -> Tensor:
        """Hat_M of every entry of `x`."""
        return torch.relu(torch.minimum(x, self.support - x))

    def extra_repr(self) -> str:
        """The support that was given: a run's networks have one text, trained or not."""
        return f"support={self._given:.4g}, trainable={self.trainable}"

    def watched(self) -> dict[str, float]:
        """The support where it is trained: a training run logs it."""
        return {"support": float(self.support.detach())} if self.trainable else {}

    def describe(self) -> str:
        """The text that makes the hat as it was at the start: "hat-5" or "hat-5-trained"."""
        number = repr(self._given).removesuffix(".0")
        return f"hat-{number}-trained" if self.trainable else f"hat-{number}"


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


_KINDS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "prelu": nn.PReLU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "heaviside": Heaviside,
}

_PER_CHANNEL = "prelu-per-channel"


def _from_text(text: str, channels: int | None) -> nn.Module:
    """The activation that a text stands for, where there are so many channels."""
    if text in _KINDS:
        return _KINDS[text]()
    if text == _PER_CHANNEL:
        if channels is None:
            raise ValueError(
                f"{text!r} needs a network whose levels have one number of channels each: take "
                "'prelu'"
            )
        return nn.PReLU(channels)
    kind, _, number = text.removesuffix("-trained").partition("-")
    try:
        if kind == "hat" and 0 < float(number) < math.inf:
            return Hat(float(number), text.endswith("-trained"))
    except ValueError:
        pass
    raise ValueError(
        f"unknown activation {text!r}; known are {', '.join(_KINDS)}, {_PER_CHANNEL}, hat-M for a "
        "hat of support M, such as hat-5, and hat-5-trained"
    )


def describe(sigma: Sigma) -> str | list[str]:
    """The text of what a network takes as sigma, or a list of texts, one for each level.

    Parameters
    ----------
    sigma
        A text; a class that has one, such as nn.ReLU, or a partial of it, such as
        ``partial(Hat, 5)``; a module of such a class. A list of these.

    Raises
    ------
    ValueError
        If no text makes the same, or a text is unknown.

    Examples
    --------
    >>> describe([nn.ReLU, Hat(5)])
    ['relu', 'hat-5']
    """
    if isinstance(sigma, (list, tuple, nn.ModuleList)):
        return [_text(choice) for choice in sigma]
    return _text(sigma)


def _text(sigma: Any) -> str:
    if isinstance(sigma, str):
        sigma = _from_text(sigma, channels=2)  # another number than that of a plain PReLU
    # Other callables are not asked: making a module may draw random numbers.
    if sigma in _KINDS.values() or (isinstance(sigma, partial) and _has_text(sigma.func)):
        sigma = sigma()
    if type(sigma) is Hat:
        return sigma.describe()
    for name, known in _KINDS.items():
        if type(sigma) is known and _same(sigma, known()):
            return name
    if type(sigma) is nn.PReLU and _same(sigma, nn.PReLU(sigma.num_parameters)):
        return _PER_CHANNEL
    raise ValueError(
        f"no text stands for the activation {sigma!r}; texts are {', '.join(_KINDS)}, "
        f"{_PER_CHANNEL}, hat-5 and hat-5-trained"
    )


def _has_text(kind: Any) -> bool:
    return kind is Hat or kind in _KINDS.values()


def _same(a: nn.Module, b: nn.Module) -> bool:
    """Whether two modules of one class have the same options and the same numbers."""
    numbers = zip(a.parameters(), b.parameters(), strict=True)
    return repr(a) == repr(b) and all(
        p.is_meta or q.is_meta or torch.equal(p.to(q), q) for p, q in numbers
    )


def per_level(
    sigma: Sigma, channels: Sequence[int | None], *, share: bool = False
) -> list[Callable[[], nn.Module]]:
    """A function for each level that gives sigma for the next place on it.

    Parameters
    ----------
    sigma : str, Module, callable returning one, or list of these
        A list has one entry for each level; anything else serves all of them.
    channels : sequence of int or None
        Of each level; None where they are not the same at all of its places.
    share : bool
        One module for all places of a level, so one set of trained numbers, instead of a copy for
        each.

    Raises
    ------
    ValueError
        If a list has another length, or an entry is an unknown text, or neither a module nor makes
        one.

    Examples
    --------
    >>> [make() for make in per_level(["hat-5-trained", "prelu-per-channel"], [4, 8])]
    [Hat(support=5, trainable=True), PReLU(num_parameters=8)]
    """
    levels = len(channels)
    choices = list(sigma) if isinstance(sigma, (list, tuple, nn.ModuleList)) else [sigma] * levels
    if len(choices) != levels:
        raise ValueError(
            f"a list for sigma needs one entry for each level, got {len(choices)} for "
            f"{levels} levels"
        )
    return [_maker(*pair, share) for pair in zip(choices, channels, strict=True)]


def _maker(choice: Any, channels: int | None, share: bool) -> Callable[[], nn.Module]:
    if share:
        one = _made_by(choice, channels)
        return lambda: one
    return lambda: _made_by(choice, channels)


def _made_by(sigma: Any, channels: int | None) -> nn.Module:
    if isinstance(sigma, nn.Module):
        return copy.deepcopy(sigma)
    if isinstance(sigma, str):
        return _from_text(sigma, channels)
    try:
        made = sigma()
    except TypeError:  # a function of tensors, or nothing that can be called
        made = None
    if not isinstance(made, nn.Module):
        raise ValueError(
            "sigma must be a module or a callable that makes one, such as nn.ReLU, or a text, such "
            f"as 'relu', got {sigma!r}"
        )
    return made
