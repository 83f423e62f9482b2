"""One grid of the solver on torch: fixed stencils, any device, batches, and gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mgcore.chain import Rung
from mgcore.gate import check_kind, check_shape, real_array
from mgcore.grid import Grid
from mgcore.level import Posed, describe
from mgcore.sides import ROUNDED, Given, Reader, unlike_batches
from mgcore.smoothers import Smoother
from mgnet.kernel import SymmetricKernel
from mgnet.level import FeatureLevel, State
from mgnet.stencils import Couplings, Inverse, Transfer, smoothing_kernels

__all__ = ["PoissonLevel"]


M = TypeVar("M", bound=Callable[..., Any])


def _in_full_precision(method: M) -> M:
    """The method, under `torch.autocast` too: coarser formats have too few digits for it."""

    @wraps(method)
    def alone(self: PoissonLevel, *arguments: Any) -> Any:
        with torch.autocast(self._couplings.own.device.type, enabled=False):
            return method(self, *arguments)

    return cast(M, alone)


class _Tensors(Reader):
    """Tensors stay what they are, so that gradients reach them; all else becomes such.

    Parameters
    ----------
    like : Tensor
        Has the dtype and device that tensors must have.
    name : str
        What is read, for errors.
    """

    def __init__(self, like: Tensor, name: str):
        self.like, self.name = like, name

    def read(self, values: Any, name: str) -> Any:
        """A tensor, or an array of NumPy where there is none in `values`."""
        if isinstance(values, Tensor):
            check_kind(values.dtype, name)
            return values
        if isinstance(values, tuple | list) and _holds_tensors(values):
            members = [self.read(value, name) for value in values]
            shapes = [tuple(member.shape) for member in members]
            if len(set(shapes)) > 1:
                told = ", ".join(map(str, dict.fromkeys(shapes)))
                raise ValueError(f"{name} is a list of tensors of different shapes, {told}")
            return torch.stack([self.own(member, shapes[0]) for member in members])
        return real_array(values, name)

    def own(self, values: Any, shape: tuple[int, ...]) -> Tensor:
        """An array or tensor that was read as a tensor, broadcast to `shape`."""
        if not isinstance(values, Tensor):
            # A copy in the native order of bytes and axes: torch refuses or warns of others.
            dtype = str(self.like.dtype).removeprefix("torch.")
            with np.errstate(over="ignore"):  # whoever asks for finite values looks at the result
                values = torch.from_numpy(np.array(values, dtype, order="C")).to(self.like)
        _check_place(values, self.like, self.name)
        return values.expand(shape)


def _holds_tensors(values: Any) -> bool:
    """Whether there is a tensor in nested lists."""
    if isinstance(values, tuple | list):
        return any(map(_holds_tensors, values))
    return isinstance(values, Tensor)


def _place(values: Tensor) -> str:
    """The dtype and the device of a tensor, as in "float64 on cpu"."""
    return f"{str(values.dtype).removeprefix('torch.')} on {values.device}"


def _check_place(values: Tensor, like: Tensor, name: str) -> None:
    """Refuse tensors that would have to be converted: who does so should know."""
    if (values.dtype, values.device) != (like.dtype, like.device):
        raise ValueError(
            f"{name} is {_place(values)}, these levels are {_place(like)}; make levels with its "
            f"dtype and device, or convert it by {name}.to({like.dtype}, "
            f"device={str(like.device)!r})"
        )


class PoissonLevel(FeatureLevel):
    """A u = g on one grid, with zero values and fluxes on its sides.

    Made by :func:`mgnet.poisson_levels`. The state holds the unknowns, ``(batch, 1, *interior)``;
    `start` takes them out of node values and `solution` puts them back.
    """

    volumes: Tensor
    #: A state holds a batch.
    batches = True

    def __init__(
        self,
        rung: Rung,
        coarse: Grid | None,
        smoother: Smoother | SymmetricKernel,
        dtype: torch.dtype,
        device: torch.device,
    ):
        operator = rung.operator
        grid = operator.grid
        kind: dict[str, Any] = {"dtype": dtype, "device": device}
        kernels = smoothing_kernels(smoother, operator, kind)
        super().__init__(
            A=Couplings(operator, kind),
            B=kernels,
            R=None if coarse is None else Transfer(rung.down, grid, coarse, kind),
            P=None if coarse is None else Transfer([rung.up], coarse, grid, kind),
            sweeps=len(kernels),
        )
        if coarse is None:
            self.inverse = Inverse(operator, kind)
        else:
            self.cubic = Transfer([rung.cubic], coarse, grid, kind)
        self.operator, self.grid, self.smoother = operator, grid, str(smoother)
        self.singular = operator.singular
        volumes = operator.volumes()
        self.register_buffer("volumes", torch.tensor(volumes / volumes.mean(), **kind))
        self._unknown: Any = (..., *grid.unknown)
        self.size = grid.size
        self.condition = operator.condition

    # Modules move: what depends on the dtype is that of the buffers.

    @property
    def eps(self) -> float:
        """Round-off unit of the level's dtype."""
        return torch.finfo(self.volumes.dtype).eps

    @property
    def largest_safe(self) -> float:
        """Numbers in g up to this do not overflow on their way through a cycle."""
        return torch.finfo(self.volumes.dtype).max / 3

    @property
    def place(self) -> str:
        """The dtype and the device, as in "float64 on cpu"."""
        return _place(self.volumes)

    # --- the Level protocol, where a solver differs from a network --------------------------------

    def start(self, g: Any, u: Any = None, *, lift: Tensor | None = None, out: Any = None) -> State:
        """The state for A (u - lift) = g - A lift, from node values ``(*batch, *nodes)``.

        Those on Dirichlet sides are ignored. See :class:`mgcore.level.SolverLevel`.
        """
        g = self._tensor(g, "g")
        u = None if u is None else self._tensor(u, "u")
        if lift is not None:
            g, u = self.without(g, lift), None if u is None else u - lift
        if u is not None:
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
            return state._replace(u=self.inverse(state.g))
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
        return state._replace(u=self.cubic(coarse.u))

    def solution(self, state: State) -> Tensor:
        """The iterate at the nodes, ``(*batch, *nodes)``, zero on Dirichlet sides.

        Where u is known up to a constant, the one with mean zero.
        """
        u = super().solution(state)
        if self.singular:
            u = u - self._mean(u)
        return self._restore(u, state.batch)

    @torch.no_grad()
    def residual_norm(self, state: State) -> np.ndarray:  # type: ignore[override]
        """||g - A u||_2 over the unknowns, shape ``(*batch,)``.

        A measure without gradient: build a loss from `residual`.
        """
        return _norm(self._residual(state, self.A[0]).flatten(1)).reshape(state.batch)

    # --- what solve asks of the finest level ------------------------------------------------------

    @property
    def direct(self) -> bool:
        """Whether `smooth` solves exactly, as it does on the coarsest grid."""
        return self.coarse is None

    @property
    def overwrites(self) -> bool:
        """Whether `smooth` makes nothing of the iterate that it finds."""
        return self.direct

    def nodes(self, values: Any, name: str) -> Tensor:
        """`values` as a tensor of this level's dtype and device, which tensors must have."""
        return self._tensor(values, name)

    def check_out(self, out: Any) -> None:
        """Refuse what cannot take the solution: a tensor has its gradient by being returned."""
        if not isinstance(out, Tensor) or out.requires_grad:
            told = "one that asks for gradients" if isinstance(out, Tensor) else type(out).__name__
            raise ValueError(f"out must be a tensor without gradients, got {told}")
        _check_place(out, self.volumes, "out")

    def finish(self, state: State, *, lift: Tensor | None = None, out: Any = None) -> Tensor:
        """The iterate plus the lift."""
        return self.solution(state) if lift is None else self.plus(self.solution(state), lift)

    def deliver(self, u: Tensor, out: Tensor) -> Tensor:
        """`out`, with what is in `u`: no gradients, which would be lost."""
        if u.requires_grad:
            raise ValueError("out keeps no gradients; leave it out, or solve in torch.no_grad()")
        if out.shape != u.shape:
            raise ValueError(f"out has shape {tuple(out.shape)}, the solution {tuple(u.shape)}")
        return out.copy_(u)

    def add(self, state: State, e: Tensor) -> State:
        """The state with the node values `e` added to its iterate."""
        u = self._strip(e.expand(*state.batch, *self.grid.shape))  # one may do for all of a batch
        u = u if state.u is None else state.u + u
        return state._replace(u=u - self._mean(u) if self.singular else u)

    def scale(self, state: State) -> np.ndarray:
        """||g||_2 over the unknowns, that of the state, shape ``(*batch,)``."""
        with torch.no_grad():
            return _norm(state.g.flatten(1)).reshape(state.batch)

    def traced(self, state: State) -> bool:
        """Whether gradients are asked for with respect to g or the first guess."""
        return torch.is_grad_enabled() and any(
            values is not None and values.requires_grad for values in (state.u, state.g)
        )

    @torch.no_grad()
    def norm(self, values: Tensor) -> np.ndarray:
        """||values||_2 over the unknowns, shape ``(*batch,)``."""
        return _norm(values[self._unknown].flatten(-self.grid.ndim))

    @torch.no_grad()
    def largest(self, values: Tensor) -> np.ndarray:
        """The largest absolute value over the unknowns, or NaN, shape ``(*batch,)``."""
        largest = values[self._unknown].abs().flatten(-self.grid.ndim).amax(-1)
        return largest.to("cpu", torch.float64).numpy()

    def pose(self, g: Tensor, boundary: Any) -> Posed:
        """g with the fluxes of the sides in it, and a continuation of values on Dirichlet sides.

        Where u is known up to a constant, the mean of each member is taken out. Gradients flow.
        """
        given = Given.told(boundary, self.grid, _Tensors(self.volumes, "boundary"))
        batches = [tuple(g.shape[: g.ndim - self.grid.ndim]), given.batch]
        try:
            batch = torch.broadcast_shapes(*batches)
        except RuntimeError:
            raise unlike_batches(*batches) from None
        if given.flows:
            g = given.add_fluxes(g.expand(*batch, *self.grid.shape).clone())
        if not self.singular:
            return Posed(g, given.continued())
        g, removed = self._without_mean(g)
        return Posed(g, None, removed)

    def _without_mean(self, g: Tensor) -> tuple[Tensor, float]:
        """g of mean zero over the box, and of what was taken out the largest of all members.

        The mean is taken out twice: the first one is rounded, by as much as g is larger than what
        is left of it.
        """
        first = self._mean(g)
        g = g - first
        rest = self._mean(g)
        g = g - rest
        sizes = g.detach().abs().flatten(-self.grid.ndim).amax(-1).reshape(first.shape)
        # What is left may be rounding alone; gradients go on as if it were not.
        g = g - torch.where(sizes <= ROUNDED * self.eps * first.abs(), g, 0.0).detach()
        means = torch.stack([first, rest]).detach().to("cpu", torch.float64).sum(0).flatten()
        return g, float(means[means.abs().argmax()])

    def without(self, g: Tensor, lift: Tensor) -> Tensor:
        """g - A lift at the unknowns, zero on Dirichlet sides."""
        batches = [tuple(x.shape[: x.ndim - self.grid.ndim]) for x in (g, lift)]
        batch = torch.broadcast_shapes(*batches)
        applied = self._couplings.at_nodes(lift.reshape(-1, 1, *self.grid.shape))
        r = g[self._unknown] - applied.reshape(*batches[1], *self.grid.interior)
        return self._restore(r.reshape(-1, 1, *self.grid.interior), tuple(batch))

    def plus(self, u: Tensor, lift: Tensor) -> Tensor:
        """`u` plus the lift, border included."""
        return u + lift

    def defect(self, g: Tensor, u: Tensor) -> Tensor:
        """g - A u at the nodes, zero on Dirichlet sides; `u` may have any values there."""
        return self.without(g, u)

    @torch.no_grad()
    def misfit(self, g: Tensor, u: Tensor) -> np.ndarray:
        """||g - A u||_2 over the unknowns, ``(*batch,)``; `u` may have any Dirichlet values."""
        return self.norm(self.defect(g, u))

    def residual(self, state: State) -> Tensor:
        """g - A u at the nodes, zero on the border."""
        return self._restore(self._residual(state, self.A[0]), state.batch)

    @torch.no_grad()
    def roundoff(self, u: Tensor) -> np.ndarray:
        """eps ||A|| ||u||_2 for each member of the batch, with ||A|| <= twice its diagonal."""
        return self.eps * self.operator.bound * self.norm(u)

    def describe(self) -> dict[str, str]:
        """The level's row in the table of levels."""
        return describe(self.grid, "direct" if self.coarse is None else self.smoother)

    # --- node values and interior values ----------------------------------------------------------

    def _tensor(self, values: Any, name: str) -> Tensor:
        reader = _Tensors(self.volumes, name)
        values = reader.read(values, name)
        if isinstance(values, Tensor):
            _check_place(values, self.volumes, name)
        check_shape(tuple(values.shape), self.grid, name, batch=True)
        if 0 in values.shape:
            raise ValueError(f"{name} is an empty batch, shape {tuple(values.shape)}")
        return values if isinstance(values, Tensor) else reader.own(values, values.shape)

    @property
    def _couplings(self) -> Couplings:
        return self.A[0]  # type: ignore[return-value]

    def _strip(self, nodes: Tensor) -> Tensor:
        return nodes[self._unknown].reshape(-1, 1, *self.grid.interior)

    def _restore(self, u: Tensor, batch: tuple[int, ...]) -> Tensor:
        sides = [int(side == "dirichlet") for pair in self.grid.sides[::-1] for side in pair]
        return F.pad(u, sides).reshape(*batch, *self.grid.shape)

    def _mean(self, values: Tensor) -> Tensor:
        """The mean over the box of unknowns, ``(batch, 1, *interior)``, kept to broadcast."""
        axes = tuple(range(values.ndim - self.grid.ndim, values.ndim))
        return (values * self.volumes).mean(axes, keepdim=True)


def _norm(values: Tensor) -> np.ndarray:
    """Norms along the last axis, summed in double precision: squares of 1e-25 are no float32."""
    norms = torch.linalg.vector_norm(values, dim=-1, dtype=torch.float64).cpu()
    try:
        return norms.numpy()
    except RuntimeError as error:
        raise ValueError(
            "a solve looks at its norms, which torch.func lets nobody do: walk a fixed number of "
            "cycles by mgcore.run there"
        ) from error
