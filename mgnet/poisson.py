"""The front door of the solver on torch: fixed stencils, any device, batches, and gradients.

Same words and same iterates as in :mod:`mgcore.poisson`; :func:`mgcore.solve` and
:func:`mgcore.cycle.run` walk the levels of either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from mgcore.chain import grids, rungs
from mgcore.diffusion import equation, named
from mgcore.gate import (
    DTYPES,
    batch_of,
    check_dtype,
    check_kind,
    check_weights,
    default_precision,
    real_array,
    stiffness,
)
from mgcore.grid import Grid
from mgcore.level import Hierarchy
from mgcore.poisson_level import title
from mgcore.smoothers import Smoother
from mgcore.smoothers import smoother as smoother_record
from mgcore.solution import Solution, print_progress, report
from mgcore.solve import iterate
from mgcore.stencil import Stencil
from mgnet import gate
from mgnet.kernel import SymmetricKernel
from mgnet.poisson_level import PoissonLevel

__all__ = ["poisson_levels", "solve_poisson"]


def poisson_levels(
    shape: int | Sequence[int] | None = None,
    *,
    extent: float | Sequence[float] | None = None,
    spacing: float | Sequence[float] | None = None,
    sides: Any = "dirichlet",
    coordinates: Sequence[Any] | None = None,
    coefficient: Any = 1.0,
    mean: str = "arithmetic",
    reaction: Any = 0.0,
    operator: Stencil | None = None,
    smoother: str | Smoother | SymmetricKernel = "sor",
    restriction: str = "full",
    prolongation: str = "linear",
    coarsest: int | None = None,
    dtype: Any = "float64",
    device: str | torch.device = "cpu",
) -> Hierarchy[PoissonLevel]:
    """The chain of grids for -div(a grad u) + c u = g on torch.

    Parameters
    ----------
    shape, extent, spacing, sides, coordinates
    coefficient, mean, reaction, operator, restriction, prolongation, coarsest
        As in :func:`mgcore.poisson_levels`. `coefficient` and `reaction` may be tensors, of which
        the values are taken: there are no gradients with respect to them.
    smoother : str, record or SymmetricKernel
        As there, but for lexicographic Gauss-Seidel; or a kernel, to be trained or trained.
    dtype : str or torch.dtype
        float64 or float32.
    device : str or torch.device

    Returns
    -------
    Hierarchy
        Levels for :func:`mgcore.solve`, which takes one right-hand side or a batch,
        ``(*batch, *nodes)``, and for :func:`mgcore.cycle.run`. Each level is a Module. NumPy arrays
        are converted; tensors must have the levels' dtype and device.

    Raises
    ------
    ValueError
        For a shape, extent or name that does not fit; the message says what does.

    Notes
    -----
    :func:`mgcore.cycle.run` looks at no number, so that `torch.compile` makes one graph of a walk
    from `start` to `solution`, and `torch.func.vmap` and its relatives go through it:

    >>> import mgcore
    >>> levels = poisson_levels(17)
    >>> cycle = mgcore.v_cycle(len(levels))
    >>> def walk(g):
    ...     return levels[0].solution(mgcore.run(levels, cycle, levels[0].start(g)))
    >>> torch.func.vmap(walk)(torch.rand(5, 17, dtype=torch.float64)).shape
    torch.Size([5, 17])

    :func:`mgcore.solve` does, to see when to stop. `torch.autocast` changes nothing in either.
    """
    grid = Grid(shape, extent, sides, coordinates, spacing)
    record = smoother_record(smoother, Smoother | SymmetricKernel)
    name, where = check_dtype(dtype), gate.device(device)
    stiffness(grid, name)  # checks it
    coefficient, reaction = _values(coefficient, "coefficient"), _values(reaction, "reaction")
    problem = equation(grid, coefficient, mean, reaction, operator)
    chain = grids(grid, problem, coarsest)
    records = rungs(chain, problem, restriction, prolongation)
    check_weights(records[0].operator.bound, name)
    levels = [
        PoissonLevel(rung, below, record, getattr(torch, name), where)
        for rung, below in zip(records, [*chain[1:], None], strict=True)
    ]
    for fine, coarse in pairwise(levels):
        fine.coarse = coarse
    return _Levels(levels, title(named(problem), grid, _PLACE, restriction, prolongation))


# Stands in a heading for the dtype and device of levels, which may move.
_PLACE = "{dtype on device}"


class _Levels(Hierarchy[PoissonLevel]):
    """Levels on torch, whose heading says where and in what precision they are by now."""

    @property
    def title(self) -> str:
        """What the levels solve, and how."""
        return self._title.replace(_PLACE, self[0].place)

    @title.setter
    def title(self, title: str) -> None:
        self._title = title


def _values(given: Any, name: str) -> Any:
    """What operators are made of, by NumPy: the values of tensors, also of those in a list."""
    if isinstance(given, tuple | list):
        return [_values(each, name) for each in given]
    if not isinstance(given, Tensor):
        return given
    check_kind(given.dtype, name)
    if given.requires_grad and torch.is_grad_enabled():
        raise ValueError(
            f"{name} asks for gradients, which u has with respect to g and boundary alone; pass "
            f"{name}.detach()"
        )
    return given.detach().to("cpu", torch.float64).numpy()


def solve_poisson(
    g: Any,
    *,
    ndim: int | None = None,
    boundary: Any = 0.0,
    extent: float | Sequence[float] | None = None,
    spacing: float | Sequence[float] | None = None,
    sides: Any = "dirichlet",
    coordinates: Sequence[Any] | None = None,
    coefficient: Any = 1.0,
    mean: str = "arithmetic",
    reaction: Any = 0.0,
    operator: Stencil | None = None,
    u0: Any = None,
    rtol: float | None = None,
    atol: float = 0.0,
    maxiter: int = 50,
    cycle: str | Sequence[Any] = "fmg",
    smoother: str | Smoother | SymmetricKernel = "sor",
    precision: str | None = None,
    device: str | torch.device | None = None,
    callback: Callable[[Solution], Any] | None = None,
    progress: bool = False,
    project: bool = True,
    throw: bool = False,
) -> Solution:
    """Solve -Laplace u = g on a box, or -div(a grad u) + c u = g, with any sides, on torch.

    Takes the words of :func:`mgcore.solve_poisson`, but for `threads`: torch's number of threads,
    `torch.set_num_threads`, is one for the whole process.

    Parameters
    ----------
    g : Tensor or array_like
        Right-hand side at the nodes of one to three axes, boundary included; values where u is
        given are ignored.
    ndim : int, optional
        Axes of the grid, the last ones of `g`; the axes before count right-hand sides, which are
        solved together and stop with the worst. By default all axes are the grid's.
    boundary, extent, spacing, sides, coordinates, coefficient, mean, reaction, operator
    u0, rtol, atol, maxiter, cycle, callback, progress, project, throw
        As in :func:`mgcore.solve_poisson`. Tensors must have the dtype and device of the solve.
    smoother : str, record or SymmetricKernel
        As in :func:`poisson_levels`.
    precision : {None, "float64", "float32"}
        The dtype to compute in: by default float32 for a float32 `g`, else float64.
    device : str or torch.device, optional
        By default that of `g`, the CPU for a NumPy array.

    Returns
    -------
    mgcore.Solution
        Its `u` is a tensor of that dtype on that device, with gradients with respect to `g` and
        `boundary`, if they ask for them. Those are the gradients of the cycles that were run, as
        accurate as `rtol` makes u for a rough `g`; of a good first guess and where g = 0, as many
        cycles are run as that takes.

    Raises
    ------
    ValueError
        For input that does not fit; the message says what does.
    ConvergenceError
        Where the solve fails and `throw` is set; it carries the solution.

    Warns
    -----
    ConvergenceWarning
        Where the solve fails otherwise.

    Examples
    --------
    >>> g = torch.ones(17, 17, requires_grad=True)
    >>> u = solve_poisson(g, rtol=1e-6).u
    >>> u.dtype
    torch.float32
    >>> u[8, 8].backward()  # the gradient is the Green's function of the node in the middle
    >>> bool(g.grad[8, 8] == g.grad.max())
    True
    """
    g = g if isinstance(g, Tensor) else real_array(g, "g")
    check_kind(g.dtype, "g")
    shape = tuple(g.shape)
    nodes = shape[len(batch_of(shape, ndim)) :]
    precision = default_precision(g.dtype) if precision is None else precision
    if precision not in DTYPES:
        raise ValueError(
            f"precision must be 'float64', 'float32' or None on torch, got {precision!r}; "
            "mgcore.solve_poisson knows 'mixed'"
        )
    if isinstance(g, Tensor):
        g = g.to(gate.device(g.device if device is None else device), getattr(torch, precision))
        device = g.device
    levels = poisson_levels(
        nodes, extent=extent, spacing=spacing, sides=sides, coordinates=coordinates,
        coefficient=coefficient, mean=mean, reaction=reaction, operator=operator, smoother=smoother,
        dtype=precision, device=device or "cpu",
    )  # fmt: skip
    how: Any = {"rtol": rtol, "atol": atol, "maxiter": maxiter}
    how["callback"] = print_progress(callback) if progress else callback
    how["project"] = project
    return report(iterate(levels, g, u0, boundary=boundary, cycle=cycle, **how), throw)
