"""One grid of the solver on torch: fixed stencils, any device, batches, and gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mgcore.boundary import does_not_broadcast, evaluate, on_border, transfinite_lift
from mgcore.chain import Rung
from mgcore.gate import (
    check_kind,
    check_shape,
    real_array,
)
from mgcore.grid import Grid
from mgcore.level import Posed, describe
from mgcore.sides import at_border, continuation
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
        self.eps = torch.finfo(dtype).eps
        self.condition = operator.condition
        self.room = torch.finfo(dtype).max / 3
        self._dtype = str(dtype).removeprefix("torch.")

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
        self._check_place(out, "out")

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
        u = self._strip(e)
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

        Gradients with respect to `boundary` are there where all sides are Dirichlet's.
        """
        if self.grid.dirichlet:
            return Posed(g, self._lift(at_border(boundary, self.grid)))
        blank = np.zeros(self.grid.shape, self._dtype)
        posed = continuation(boundary, self.grid, self.operator, blank, project=False)
        g = g + torch.as_tensor(posed.g).to(g)
        lift = None if posed.lift is None else torch.as_tensor(posed.lift).to(g)
        if not self.singular:
            return Posed(g, lift)
        means = self._mean(g)
        return Posed(g - means, lift, float(means.detach().abs().max()))

    def _lift(self, boundary: Any) -> Tensor | None:
        """The transfinite lift of the border values, None where all of them are zero."""
        border = self._tensor(self._border(boundary), "boundary")
        values = border[..., torch.as_tensor(on_border(self.grid.shape), device=border.device)]
        if not values.isfinite().all():
            raise ValueError("boundary holds NaN or infinity at border nodes")
        if not values.any() and not values.requires_grad:
            return None
        fractions = [
            border.new_tensor((axis.nodes - axis.nodes[0]) / axis.length).reshape(
                -1, *[1] * (self.grid.ndim - number - 1)
            )
            for number, axis in enumerate(self.grid.axes)
        ]
        return transfinite_lift(border, fractions)

    def without(self, g: Tensor, lift: Tensor) -> Tensor:
        """g - A lift at the unknowns, zero on Dirichlet sides."""
        batches = [tuple(x.shape[: x.ndim - self.grid.ndim]) for x in (g, lift)]
        try:
            batch = torch.broadcast_shapes(*batches)
        except RuntimeError:
            raise ValueError(
                f"g and boundary are batches of different shapes: {batches[0]}, {batches[1]}"
            ) from None
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
        if not isinstance(values, Tensor):
            # A copy in the native order of bytes and axes: torch refuses or warns of others.
            values = torch.from_numpy(np.array(real_array(values, name), self._dtype, order="C"))
            values = values.to(self._couplings.own)
        check_kind(values.dtype, name)
        self._check_place(values, name)
        check_shape(tuple(values.shape), self.grid, name, batch=True)
        if values.numel() == 0:
            raise ValueError(f"{name} is an empty batch, shape {tuple(values.shape)}")
        return values

    def _check_place(self, values: Tensor, name: str) -> None:
        """Refuse tensors that would have to be converted: who does so should know."""
        ours = self._couplings.own
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
            ours = self._couplings.own
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
    return torch.linalg.vector_norm(values, dim=-1, dtype=torch.float64).cpu().numpy()
