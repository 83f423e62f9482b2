"""Muon, momentum that is orthogonalised before it moves a kernel; and which weights it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from mgnet.recipe import Recipe

__all__ = ["Muon", "make_optimizers", "momenta", "turned"]


def make_optimizers(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the kernels behind the stem, if `recipe` says so, and SGD for everything else.

    Parameters
    ----------
    model : Module
        What is in its `stem` is left to SGD: a picture has few channels to turn.
    recipe : Recipe

    Returns
    -------
    list of Optimizer
        Muon and SGD, or SGD alone where there are no kernels or the recipe wants none turned. SGD
        has two groups, the second of biases and normalisations.
    """
    kernels = turned(model) if recipe.optimizer == "muon" else []
    taken = set(map(id, kernels))
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in taken]
    everywhere = recipe.weight_decay if recipe.decay == "all" else 0.0
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": everywhere},
    ]
    sgd = torch.optim.SGD(groups, recipe.sgd_lr, recipe.sgd_momentum, nesterov=recipe.nesterov)
    return [Muon(kernels, recipe.lr, recipe.momentum), sgd] if kernels else [sgd]


def turned(model: nn.Module) -> list[nn.Parameter]:
    """The kernels of a model that Muon is for; of a linear or fully connected one, none."""
    stem = getattr(model, "stem", None)
    outside = set() if stem is None else set(map(id, stem.parameters()))
    return [
        p for p in model.parameters() if p.requires_grad and p.ndim > 2 and id(p) not in outside
    ]


def momenta(optimizer: torch.optim.Optimizer) -> dict[int, dict[str, Tensor]]:
    """What an optimizer's state dict holds for each parameter after steps, in shape and dtype."""
    name = "momentum" if isinstance(optimizer, Muon) else "momentum_buffer"
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return {k: {name: p} for k, p in enumerate(parameters)}


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised, on kernels kept at a fixed norm.

    For a kernel W, reshaped to a matrix of its output channels as rows::

        M <- mu M + grad;   W <- sqrt(rows) W / ||W||_F;   W <- W - lr orth(grad + mu M)

    where orth replaces all singular values by (about) 1. Behind batch normalisation the length of
    a kernel does not matter, only its direction does: keeping the length fixed makes `lr` the
    size of the turn.

    Parameters
    ----------
    params : iterable of Parameter
        Kernels of two axes or more.
    lr : float
        Spectral norm of a step.
    momentum : float

    Notes
    -----
    K. Jordan, Muon: an optimizer for hidden layers in neural networks (2024).
    :class:`torch.optim.Muon` takes matrices only and does not keep the norm.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = Recipe.lr,
        momentum: float = Recipe.momentum,
    ):
        if lr < 0 or not 0 <= momentum < 1:
            raise ValueError(f"lr must be >= 0 and 0 <= momentum < 1, got {lr} and {momentum}")
        super().__init__(params, {"lr": lr, "momentum": momentum})
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim < 2:
                    raise ValueError(f"Muon turns matrices and kernels, got shape {tuple(p.shape)}")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                buffer = state["momentum"].mul_(group["momentum"]).add_(p.grad)
                step = p.grad.add(buffer, alpha=group["momentum"])
                p.mul_(len(p) ** 0.5 / p.norm().clamp_min(1e-12))
                p.sub_(orthogonalise(step.flatten(1)).view_as(p), alpha=group["lr"])
        return loss


def orthogonalise(G: Tensor, steps: int = 3) -> Tensor:
    """Move the singular values of a matrix to about 1 by Newton-Schulz iteration.

    Parameters
    ----------
    G : Tensor
        (rows, columns), any floating dtype; the products run in bfloat16 or better.
    steps : int

    Returns
    -------
    Tensor
        U f(S) V^T, in the dtype of `G`. With three steps f(s) lies between .6 and 1.3 for singular
        values above a fiftieth of ||G||_F; smaller ones are multiplied by about 40.

    Notes
    -----
    X <- a X + (b X X^T + c (X X^T)^2) X with the coefficients of Jordan (2024), which trade
    exactness near 1 for a steep slope at 0: three steps are enough for training.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    X = G if G.dtype == torch.float64 else G.bfloat16()
    X = X / (X.norm() + 1e-7)
    tall = X.shape[0] > X.shape[1]  # work on the small side
    X = X.mT if tall else X
    for _ in range(steps):
        S = X @ X.mT
        X = a * X + (b * S + c * S @ S) @ X
    return (X.mT if tall else X).to(G.dtype)
