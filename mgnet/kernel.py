"""One trained smoother for all levels: a symmetric 3^d kernel, and how it is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from tqdm import trange

from mgcore.convergence import refuse_fresh
from mgcore.cycle import Cycle, run, v_cycle
from mgcore.level import Hierarchy
from mgcore.operators import Operator
from mgcore.smoothers import Kernel, Sweep
from mgcore.stencil import Stencil

__all__ = ["SymmetricKernel", "train_smoother"]


class SymmetricKernel(nn.Module):
    """B as a 3^d kernel that all symmetries of the grid leave alone, times h^2.

    Parameters
    ----------
    weights : sequence of float
        d + 1 numbers, by the number of axes off the centre: in 2D centre, edge, corner. Weighted
        Jacobi is (omega/4, 0, 0).

    Notes
    -----
    On a level, h^2 stands for 2 d over the diagonal of A, which it is for -Laplace where mesh
    widths are equal. There -Laplace is the same stencil on every level up to that factor, so one
    kernel serves all; where mesh widths differ from axis to axis it is not, and the kernel is no
    more than a guess.
    """

    _off_centre: Tensor

    def __init__(self, weights: Sequence[float]):
        super().__init__()
        if not 2 <= len(weights) <= 4:
            raise ValueError(f"a kernel has 2, 3 or 4 weights in 1D, 2D or 3D, got {len(weights)}")
        self.weights = nn.Parameter(torch.tensor(list(weights), dtype=torch.float64))
        self.ndim = len(weights) - 1
        off_centre = torch.zeros((3,) * self.ndim, dtype=torch.long)
        for axis in range(self.ndim):
            off_centre += torch.tensor([1, 0, 1]).reshape(-1, *[1] * axis)
        self.register_buffer("_off_centre", off_centre, persistent=False)

    def stencil(self) -> Tensor:
        """The kernel without the factor h^2, shape (3,) * d."""
        return self.weights[self._off_centre]

    def record(self) -> Kernel:
        """The kernel as it is now, as a smoother for :func:`mgcore.poisson_levels`."""
        return Kernel(Stencil.of_array(self.stencil().detach().cpu().numpy()))

    def sweeps(self, operator: Operator) -> tuple[Sweep, ...]:
        """The sweeps of one step: those of the record, with what is trained as their kernel."""
        fixed = self.record().sweeps(operator)
        return tuple(sweep._replace(kernel=self) for sweep in fixed)

    def __str__(self) -> str:
        return f"{'x'.join('3' * self.ndim)} kernel"


def train_smoother(
    levels: Hierarchy,
    *,
    cycle: Callable[[int], Cycle] = v_cycle,
    steps: int = 1000,
    lr: float = 0.002,
    batch: int = 8,
    seed: int = 0,
    progress: bool = True,
) -> list[float]:
    """Train what is trainable in a solver's levels for the factor at which its cycles converge.

    Each step runs two cycles on errors that earlier steps left over, so these are the errors which
    the present smoother reduces worst, and descends along the gradient of the mean logarithm of
    the second cycle's factor, propagated back through both cycles.

    Parameters
    ----------
    levels : Hierarchy
        From :func:`mgnet.poisson_levels`, with a :class:`SymmetricKernel` as smoother; trained in
        place.
    cycle : callable
        Builds the cycle from the number of levels; V(1,1) if not given.
    steps : int
        Steps of Adam.
    lr : float
        Its rate at the start, which falls linearly to zero.
    batch : int
        Errors carried along.
    seed : int
        Of the errors to begin with.
    progress : bool
        Show a bar on stderr, where that is a terminal.

    Returns
    -------
    list of float
        The mean factor at each step.

    Raises
    ------
    ValueError
        If nothing in the levels is trainable, there is one level alone, or the cycle has fresh
        visits.
    """
    trainable = {id(p): p for level in levels for p in level.parameters() if p.requires_grad}
    if not trainable:
        raise ValueError("no parameter of these levels is trainable; use a SymmetricKernel")
    if len(levels) == 1:
        raise ValueError(
            "a single level is solved directly and smooths nothing; make levels with coarsest=1"
        )
    path = cycle(len(levels))
    refuse_fresh(path)
    fine = levels[0]
    generator = torch.Generator().manual_seed(seed)
    error = torch.randn(batch, *fine.grid.shape, generator=generator, dtype=torch.float64)
    error = fine.nodes(error.numpy(), "error")
    zero = torch.zeros_like(error)
    optimizer = torch.optim.Adam(trainable.values(), lr)
    rate = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    factors = []
    for _ in trange(steps, desc="training", disable=None if progress else True, leave=False):
        once = fine.solution(run(levels, path, fine.start(zero, error)))
        twice = fine.solution(run(levels, path, fine.start(zero, once)))
        ratio = _norm(twice) / _norm(once)
        loss = ratio.log().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        with torch.no_grad():
            error = twice / _norm(twice).reshape(-1, *[1] * fine.grid.ndim)
        factors.append(loss.exp().item())
    return factors


def _norm(u: Tensor) -> Tensor:
    return u.flatten(1).norm(dim=1)
