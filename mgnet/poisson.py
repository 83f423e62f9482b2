"""The solver of mgcore on torch: fixed stencils, any device, batches, and gradients.

Same words and same iterates as in :mod:`mgcore.poisson`; :func:`mgcore.solve` and
:func:`mgcore.cycle.run` walk the levels of either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from itertools import pairwise
from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgcore.boundary import does_not_broadcast, evaluate, on_border, transfinite_lift
from mgcore.gate import (
    DTYPES,
    batch_of,
    check_dtype,
    check_kind,
    check_shape,
    default_precision,
    real_array,
    stiffness,
)
from mgcore.grid import Grid, check_nested
from mgcore.level import Hierarchy, Posed
from mgcore.poisson_level import describe, title
from mgcore.smoothers import Smoother
from mgcore.smoothers import smoother as smoother_record
from mgcore.solve import Solution, iterate, print_progress, report
from mgcore.transfer import prolongation as prolongation_weights
from mgcore.transfer import restriction as restriction_weights
from mgnet import gate
from mgnet.kernel import SymmetricKernel
from mgnet.level import FeatureLevel, FixedConv, State

__all__ = ["Laplacian", "PoissonLevel", "poisson_levels", "solve_poisson"]


class Laplacian(nn.Module):
    """-Laplace by second differences: the (2d + 1)-point stencil, with padding 1 the zero border.

    Parameters
    ----------
    stiffness : Tensor
        h^-2 along each axis, shape (d,).

    Notes
    -----
    A convolution multiplies u by the diagonal, which spoils float32 solutions on fine grids; see
    :func:`mgcore.kernels.common.second_difference`. On a CPU it is slower, too.
    """

    stiffness: Tensor

    def __init__(self, stiffness: Tensor):
        super().__init__()
        self.register_buffer("stiffness", stiffness)

    def forward(self, u: Tensor) -> Tensor:
        """A u at interior nodes, ``(batch, 1, *interior)``, where borders are zero."""
        return self.inside(F.pad(u, (1, 1) * len(self.stiffness)))

    def inside(self, nodes: Tensor) -> Tensor:
        """A u at the interior nodes, from u at all nodes, ``(batch, 1, *nodes)``."""
        total: Any = 0.0
        for axis, a in enumerate(self.stiffness, 2):
            u = nodes
            for other in range(2, nodes.ndim):
                u = u if other == axis else u.narrow(other, 1, u.shape[other] - 2)
            total = total - a * u.diff(dim=axis).diff(dim=axis)
        return total


M = TypeVar("M", bound=Callable[..., Any])


def _in_full_precision(method: M) -> M:
    """The method, under `torch.autocast` too: coarser formats have too few digits for it."""

    @wraps(method)
    def alone(self: PoissonLevel, *arguments: Any) -> Any:
        with torch.autocast(self._laplacian.stiffness.device.type, enabled=False):
            return method(self, *arguments)

    return cast(M, alone)


class PoissonLevel(FeatureLevel):
    """-Laplace u = g with zero Dirichlet values on one grid, as stencils.

    Made by :func:`poisson_levels`. The state holds interior values, ``(batch, 1, *interior)``;
    `start` strips the border and `solution` restores it. A has padding 1, which is the zero
    border; R and P are convolutions with stride 2 and no padding.
    """

    def __init__(
        self,
        grid: Grid,
        smoother: Smoother | SymmetricKernel,
        restriction: str,
        prolongation: str,
        dtype: torch.dtype,
        device: torch.device,
    ):
        halved = grid.halved_axes()
        strides = tuple(2 if half else 1 for half in halved)
        name = str(dtype).removeprefix("torch.")
        weights = stiffness(grid, name)
        self_coupling = 2 * sum(weights)
        kind: dict[str, Any] = {"dtype": dtype, "device": device}

        def transfer(weights: np.ndarray, transpose: bool) -> nn.Module:
            stencil = torch.as_tensor(_unfold(weights, halved), **kind)
            return FixedConv(stencil, stride=strides, transpose=transpose)

        coarsest = not any(halved)
        super().__init__(
            A=Laplacian(torch.tensor(weights, **kind)),
            B=_kernels(smoother, grid, self_coupling, kind),
            R=None if coarsest else transfer(restriction_weights(restriction, halved), False),
            P=None if coarsest else transfer(prolongation_weights(prolongation, halved), True),
            sweeps=1 if isinstance(smoother, SymmetricKernel) else len(smoother.sweeps(grid)),
        )
        self.grid, self.smoother = grid, str(smoother)
        self._halved = halved
        self._inside: Any = (..., *(slice(1, -1),) * grid.ndim)
        self.size = grid.size
        self.eps = torch.finfo(dtype).eps
        self.condition = grid.condition
        self.room = torch.finfo(dtype).max / 3
        self._dtype = name
        self.diagonal = self_coupling
        self.restriction, self.prolongation = restriction, prolongation

    # --- the Level protocol, where a solver differs from a network --------------------------------

    def start(self, g: Any, u: Any = None) -> State:
        """The state for A u = g from node values, ``(*batch, *nodes)``; borders are ignored."""
        g = self._tensor(g, "g")
        if u is not None:
            u = self._tensor(u, "u")
            try:
                g, u = torch.broadcast_tensors(g, u)
            except RuntimeError:
                raise ValueError(
                    f"g and u are batches of different shapes: {tuple(g.shape)}, {tuple(u.shape)}"
                ) from None
            u = self._strip(u)
        return State(u, self._strip(g), tuple(g.shape[: g.ndim - self.grid.ndim]))

    @_in_full_precision
    def smooth(self, state: State, steps: int) -> State:
        """`steps` steps of the smoother; on the coarsest grid the exact solution."""
        if self.coarse is None:
            return state._replace(u=state.g / self.diagonal)
        return super().smooth(state, steps)

    @_in_full_precision
    def restrict(self, state: State) -> State:
        """The coarser problem A' e = R (g - A u), starting from zero."""
        return super().restrict(state)

    @_in_full_precision
    def prolong(self, state: State, coarse: State) -> State:
        """u + P e."""
        return super().prolong(state, coarse)

    @_in_full_precision
    def ascend(self, state: State, coarse: State, steps: int) -> State:
        """Prolong, then smooth."""
        return super().ascend(state, coarse, steps)

    @_in_full_precision
    def interpolate(self, state: State, coarse: State) -> State:
        """u, by cubic interpolation of the coarser solution."""
        if coarse.u is None:
            return state._replace(u=None)
        u = self._pad(coarse.u)
        for axis, half in enumerate(self._halved):
            u = _cubic(u, axis + 2) if half else u
        return state._replace(u=u[self._inside])

    def solution(self, state: State) -> Tensor:
        """The iterate at the nodes, ``(*batch, *nodes)``, zero on the border."""
        return self._restore(super().solution(state), state.batch)

    @torch.no_grad()
    def residual_norm(self, state: State) -> np.ndarray:  # type: ignore[override]
        """||g - A u||_2 over the interior nodes, shape ``(*batch,)``.

        A measure without gradient: build a loss from `residual`.
        """
        return _norm(self._residual(state, self.A[0]).flatten(1)).reshape(state.batch)

    # --- what solve asks of the finest level ------------------------------------------------------

    @property
    def direct(self) -> bool:
        """Whether `smooth` solves exactly, as it does on the coarsest grid."""
        return self.coarse is None

    def nodes(self, values: Any, name: str) -> Tensor:
        """`values` as a tensor of this level's dtype and device, which tensors must have."""
        return self._tensor(values, name)

    def traced(self, state: State) -> bool:
        """Whether gradients are asked for with respect to g or the first guess."""
        return torch.is_grad_enabled() and any(
            values is not None and values.requires_grad for values in (state.u, state.g)
        )

    @torch.no_grad()
    def norm(self, values: Tensor) -> np.ndarray:
        """||values||_2 over the interior nodes, shape ``(*batch,)``."""
        return _norm(values[self._inside].flatten(-self.grid.ndim))

    @torch.no_grad()
    def largest(self, values: Tensor) -> np.ndarray:
        """The largest absolute value over the interior nodes, or NaN, shape ``(*batch,)``."""
        largest = values[self._inside].abs().flatten(-self.grid.ndim).amax(-1)
        return largest.to("cpu", torch.float64).numpy()

    def pose(self, g: Tensor, boundary: Any) -> Posed:
        """The same g, and the transfinite lift of the border values unless all are zero."""
        border = self._tensor(self._border(boundary), "boundary")
        values = border[..., torch.as_tensor(on_border(self.grid.shape), device=border.device)]
        if not values.isfinite().all():
            raise ValueError("boundary holds NaN or infinity at border nodes")
        if not values.any() and not values.requires_grad:
            return Posed(g, None)
        shape = self.grid.shape
        lift = transfinite_lift(
            border,
            [
                torch.linspace(0, 1, n, dtype=border.dtype, device=border.device).reshape(
                    -1, *[1] * (len(shape) - axis - 1)
                )
                for axis, n in enumerate(shape)
            ],
        )
        return Posed(g, lift)

    def without(self, g: Tensor, lift: Tensor) -> Tensor:
        """g - A lift at the interior nodes, zero on the border."""
        batches = [tuple(x.shape[: x.ndim - self.grid.ndim]) for x in (g, lift)]
        try:
            batch = torch.broadcast_shapes(*batches)
        except RuntimeError:
            raise ValueError(
                f"g and boundary are batches of different shapes: {batches[0]}, {batches[1]}"
            ) from None
        applied = self._laplacian.inside(lift.reshape(-1, 1, *self.grid.shape))
        r = g[self._inside] - applied.reshape(*batches[1], *self.grid.interior)
        return self._restore(r.reshape(-1, 1, *self.grid.interior), tuple(batch))

    def plus(self, u: Tensor, lift: Tensor, sign: int = 1) -> Tensor:
        """`u` + sign times the lift, border included."""
        return u + sign * lift

    def defect(self, g: Tensor, u: Tensor) -> Tensor:
        """g - A u at the nodes, zero on the border; `u` may have any border values."""
        return self.without(g, u)

    @torch.no_grad()
    def misfit(self, g: Tensor, u: Tensor) -> np.ndarray:
        """||g - A u||_2 over the interior nodes, ``(*batch,)``; `u` may have any border values."""
        return self.norm(self.defect(g, u))

    def residual(self, state: State) -> Tensor:
        """g - A u at the nodes, zero on the border."""
        return self._restore(self._residual(state, self.A[0]), state.batch)

    @torch.no_grad()
    def roundoff(self, u: Tensor) -> np.ndarray:
        """eps ||A|| ||u||_2 for each member of the batch, with ||A|| <= twice its diagonal."""
        return self.eps * 2 * self.diagonal * self.norm(u)

    def describe(self) -> dict[str, str]:
        """The level's row in the table of levels."""
        return describe(self.grid, "direct" if self.coarse is None else self.smoother)

    # --- node values and interior values ----------------------------------------------------------

    def _tensor(self, values: Any, name: str) -> Tensor:
        if not isinstance(values, Tensor):
            # A copy in the native order of bytes and axes: torch refuses or warns of others.
            values = torch.from_numpy(np.array(real_array(values, name), self._dtype, order="C"))
            values = values.to(self._laplacian.stiffness)
        check_kind(values.dtype, name)
        self._check_place(values, name)
        check_shape(tuple(values.shape), self.grid, name, batch=True)
        if values.numel() == 0:
            raise ValueError(f"{name} is an empty batch, shape {tuple(values.shape)}")
        return values

    def _check_place(self, values: Tensor, name: str) -> None:
        """Refuse tensors that would have to be converted: who does so should know."""
        ours = self._laplacian.stiffness
        if (values.dtype, values.device) != (ours.dtype, ours.device):
            theirs, here = (
                f"{str(x.dtype).removeprefix('torch.')} on {x.device}" for x in (values, ours)
            )
            raise ValueError(
                f"{name} is {theirs}, these levels are {here}; make levels with its dtype and "
                f"device, or convert it by {name}.to({ours.dtype}, device={str(ours.device)!r})"
            )

    def _border(self, boundary: Any) -> Any:
        """Border values as node values; tensors stay tensors, so that gradients reach them."""
        values = boundary(*self.grid.coordinates()) if callable(boundary) else boundary
        if isinstance(values, tuple | list) and any(isinstance(v, Tensor) for v in values):
            ours = self._laplacian.stiffness
            values = torch.stack(
                [v if isinstance(v, Tensor) else ours.new_tensor(v) for v in values]
            )
        if not isinstance(values, Tensor):
            return evaluate((lambda *_: values) if callable(boundary) else values, self.grid)
        if not callable(boundary) and values.ndim:
            if self.grid.ndim == 1 and values.shape[-1] == 2:  # both ends
                inner = values.new_zeros(*values.shape[:-1], *self.grid.interior)
                values = torch.cat([values[..., :1], inner, values[..., 1:]], -1)
            return values
        try:
            shape = torch.broadcast_shapes(values.shape, self.grid.shape)  # a batch may stay one
        except RuntimeError:
            shape = values.shape
        if shape[-self.grid.ndim :] != self.grid.shape:
            raise does_not_broadcast(tuple(values.shape), self.grid)
        return values.expand(shape)

    @property
    def _laplacian(self) -> Laplacian:
        return self.A[0]  # type: ignore[return-value]

    def _strip(self, nodes: Tensor) -> Tensor:
        interior = nodes[self._inside]
        return interior.reshape(-1, 1, *self.grid.interior)

    def _pad(self, u: Tensor) -> Tensor:
        return F.pad(u, (1, 1) * self.grid.ndim)

    def _restore(self, u: Tensor, batch: tuple[int, ...]) -> Tensor:
        return self._pad(u).reshape(*batch, *self.grid.shape)


class _Scale(nn.Module):
    """r -> omega D^-1 r, everywhere or at some of the points."""

    factor: Tensor

    def __init__(self, factor: Tensor):
        super().__init__()
        self.register_buffer("factor", factor)

    def forward(self, r: Tensor) -> Tensor:
        return self.factor * r


def poisson_levels(
    shape: int | Sequence[int],
    *,
    extent: float | Sequence[float] = 1.0,
    smoother: str | Smoother | SymmetricKernel = "sor",
    restriction: str = "full",
    prolongation: str = "linear",
    dtype: Any = "float64",
    device: str | torch.device = "cpu",
) -> Hierarchy[PoissonLevel]:
    """The chain of grids for -Laplace u = g on torch.

    Parameters
    ----------
    shape, extent, restriction, prolongation
        As in :func:`mgcore.poisson_levels`.
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
    grids = list(check_nested(Grid(shape, extent)).chain())
    record = smoother if isinstance(smoother, SymmetricKernel) else smoother_record(smoother)
    name, where = check_dtype(dtype), gate.device(device)
    levels = [
        PoissonLevel(grid, record, restriction, prolongation, getattr(torch, name), where)
        for grid in grids
    ]
    for fine, coarse in pairwise(levels):
        fine.coarse = coarse
    return Hierarchy(levels, title(grids[0], f"{name} on {device}", restriction, prolongation))


def solve_poisson(
    g: Any,
    *,
    ndim: int | None = None,
    boundary: Any = 0.0,
    extent: float | Sequence[float] = 1.0,
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
    throw: bool = False,
) -> Solution:
    """Solve -Laplace u = g on a box with Dirichlet border values, on torch.

    Takes the words of :func:`mgcore.solve_poisson`, but for `threads`: torch's number of threads,
    `torch.set_num_threads`, is one for the whole process.

    Parameters
    ----------
    g : Tensor or array_like
        Right-hand side at the nodes, 2^s + 1 along each of one to three axes, boundary included;
        values on the border are ignored.
    ndim : int, optional
        Axes of the grid, the last ones of `g`; the axes before count right-hand sides, which are
        solved together and stop with the worst. By default all axes are the grid's.
    boundary, extent, u0, rtol, atol, maxiter, cycle, callback, progress, throw
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
        nodes, extent=extent, smoother=smoother, dtype=precision, device=device or "cpu"
    )
    how: Any = {"rtol": rtol, "atol": atol, "maxiter": maxiter}
    how["callback"] = print_progress(callback) if progress else callback
    return report(iterate(levels, g, u0, boundary=boundary, cycle=cycle, **how), throw)


def _kernels(
    smoother: Smoother | SymmetricKernel, grid: Grid, diagonal: float, kind: dict[str, Any]
) -> list[nn.Module]:
    """The Bs of one smoothing step."""
    if isinstance(smoother, SymmetricKernel):
        if smoother.ndim != grid.ndim:
            raise ValueError(f"a kernel for {smoother.ndim} axes on a grid with {grid.ndim} axes")
        return [smoother.on(grid)]
    kernels: list[nn.Module] = []
    for omega, points in smoother.sweeps(grid):
        if points == "lexicographic":
            raise ValueError(
                "lexicographic Gauss-Seidel goes point after point, each using the one before, "
                "which convolutions cannot; use 'redblack' here, or mgcore.poisson_levels"
            )
        if points == "all":
            kernels.append(_Scale(torch.tensor(omega / diagonal, **kind)))
        else:
            # Colours go by node indices; interior index 0 is node 1.
            colour = sum(np.ix_(*(np.arange(1, n + 1) for n in grid.interior))) % 2
            mask = colour == (1 if points == "black" else 0)
            kernels.append(_Scale(torch.as_tensor(mask * (omega / diagonal), **kind)))
    return kernels


def _unfold(weights: np.ndarray, halved: Sequence[bool]) -> np.ndarray:
    """A stencil from its weights by distance: 3 points along halved axes, 1 along the others."""
    for axis, half in enumerate(halved):
        weights = np.take(weights, [1, 0, 1] if half else [0], axis)
    return weights


def _norm(values: Tensor) -> np.ndarray:
    """Norms along the last axis, summed in double precision: squares of 1e-25 are no float32."""
    return torch.linalg.vector_norm(values, dim=-1, dtype=torch.float64).cpu().numpy()


def _cubic(u: Tensor, axis: int) -> Tensor:
    """Cubic interpolation along one axis of node values: n nodes to 2 n - 1.

    The weights are those of :func:`mgcore.kernels.common.cubic`.
    """
    u = u.movedim(axis, -1)
    if u.shape[-1] == 3:
        a, b, c = u.unbind(-1)
        middle = torch.stack([6 * a + 12 * b - 2 * c, -2 * a + 12 * b + 6 * c], -1) / 16
    else:
        inside = 9 * (u[..., 1:-2] + u[..., 2:-1]) - (u[..., :-3] + u[..., 3:])
        side = u.new_tensor([5.0, 15.0, -5.0, 1.0])
        first, last = u[..., :4] @ side, u[..., -4:] @ side.flip(0)
        middle = torch.cat([first[..., None], inside, last[..., None]], -1) / 16
    pairs = torch.stack([u[..., :-1], middle], -1).flatten(-2)
    return torch.cat([pairs, u[..., -1:]], -1).movedim(-1, axis)
