"""ConvLevel: one grid of the cycle with A, B, R, Pi and P as convolutions, fixed or trained.

On every grid the cycle repeats ``u <- u + B (g - A u)``. The solver's A, B, R and P are fixed
stencils; MgNet trains them and puts an activation sigma around B and behind R and Pi. Both are
this class, and :func:`mgcore.cycle.run` walks both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgcore.level import Level

__all__ = ["ConvLevel", "FixedConv", "State", "batch_norm", "conv", "convolve"]

_CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_STRAIGHT = (F.conv1d, F.conv2d, F.conv3d)
_TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)

FORMS = ("feature", "residual")


class State(NamedTuple):
    """What a ConvLevel passes around; every step makes a new one, so autograd works.

    Attributes
    ----------
    u : Tensor or None
        The iterate, ``(batch, channels, *interior)``; None stands for zero.
    g : Tensor
        The right-hand side; in the residual form r = g - A u instead.
    batch : tuple of int
        Batch axes of the caller's array, for a solver's `solution`.
    owed : (Module, Tensor) or None
        In the residual form A and the last e, while A e is still to be taken from r. It is
        computed when r is next read: after the very last step nobody does.
    """

    u: Tensor | None
    g: Tensor
    batch: tuple[int, ...] = ()
    owed: tuple[nn.Module, Tensor] | None = None


class ConvLevel(nn.Module, Level[State]):
    r"""One grid: ``u <- u + after(B(before(g - A u)))``.

    Parameters
    ----------
    A, B : Module or sequence of Module
        Convolutions that keep the grid. One module is shared by all iterations; of a sequence,
        iteration i takes number i, and starts again where the sequence ends.
    B_up : Module or sequence of Module, optional
        The kernels for the way up; by default those of the way down.
    before, after : Module or sequence of Module, optional
        sigma on either side of B (batch normalisation included), for both ways; by default
        nothing.
    Pi, R : Module, optional
        Restrictions of u and of the residual, their sigma included. Without Pi the coarser
        problem starts from zero: the correction scheme. The coarsest level has neither.
    P : Module, optional
        Prolongation of the coarser level's correction. Only cycles that come up again need it.
    sweeps : int
        Kernels that make one smoothing step: 2 for red-black, k for Chebyshev(k).
    form : {"feature", "residual"}
        What the state holds beside u: g, as in the lecture's (u, g) algorithm, or the residual
        r = g - A u, which ``r <- r - A e`` keeps up to date with fewer convolutions. With one A
        for all iterations the two are the same map; with one A per iteration they are different
        networks.

    Raises
    ------
    ValueError
        For an unknown form, an empty sequence, or `sweeps` below 1.

    Notes
    -----
    A chain is linked by ``fine.coarse = coarse``: the coarser level's A makes the right-hand side
    A' u' of its problem. The coarser level does not become a submodule of the finer.

    With shared A the residual form is a pre-activation ResNet block,
    ``r <- r - A after(B(before(r)))`` (He & Xu 2019, theorem on MgNet and pre-act ResNet).
    """

    #: The next coarser level, None on the coarsest; whoever builds the chain sets it.
    coarse: ConvLevel | None

    def __init__(
        self,
        A: nn.Module | Sequence[nn.Module],
        B: nn.Module | Sequence[nn.Module],
        *,
        B_up: nn.Module | Sequence[nn.Module] | None = None,
        before: nn.Module | Sequence[nn.Module] | None = None,
        after: nn.Module | Sequence[nn.Module] | None = None,
        Pi: nn.Module | None = None,
        R: nn.Module | None = None,
        P: nn.Module | None = None,
        sweeps: int = 1,
        form: str = "feature",
    ):
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"unknown form {form!r}; known are {', '.join(map(repr, FORMS))}")
        if sweeps < 1:
            raise ValueError(f"sweeps must be 1 or more, got {sweeps}")
        self.A = _as_list(A, "A")
        self.B = _as_list(B, "B")
        self.B_up = None if B_up is None else _as_list(B_up, "B_up")
        self.before = None if before is None else _as_list(before, "before")
        self.after = None if after is None else _as_list(after, "after")
        self.Pi, self.R, self.P = Pi, R, P
        self.sweeps = sweeps
        self.form = form
        self.coarse = None

    def __setattr__(self, name: str, value: Any) -> None:
        # The coarser level's parameters are its own: it must not become a submodule of this one.
        if name == "coarse":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def extra_repr(self) -> str:
        """What the table of submodules does not tell."""
        return f"form={self.form!r}, sweeps={self.sweeps}"

    # --- the Level protocol ---------------------------------------------------------------------

    def start(self, g: Tensor, u: Tensor | None = None) -> State:
        """The state for A u = g from the first guess `u`, zero unless given."""
        if self.form == "residual" and u is not None:
            return State(u, g - self.A[0](u))
        return State(u, g)

    def smooth(self, state: State, steps: int) -> State:
        """`steps` iterations with the kernels of the way down."""
        return self._iterate(state, self.B, steps)

    def restrict(self, state: State) -> State:
        """u' = Pi u; g' = R (g - A u) + A' u' (in the residual form r' = R r)."""
        if self.R is None:
            raise ValueError(
                "this level has no restriction R, so a cycle cannot leave it downwards"
            )
        r = self.R(self._residual(state, self.A[-1]))
        u = None if self.Pi is None or state.u is None else self.Pi(state.u)
        if u is None or self.form == "residual":
            return State(u, r)
        if self.coarse is None:
            raise ValueError("this level does not know the coarser one; set level.coarse to it")
        return State(u, r + self.coarse.A[0](u))

    def prolong(self, state: State, coarse: State) -> State:
        """u + P (u' - Pi u); in the residual form r - A P (u' - Pi u) as well."""
        if self.P is None:
            raise ValueError("this level has no prolongation P, so a cycle cannot come up to it")
        e = coarse.u
        if self.Pi is not None and state.u is not None:
            first_guess = self.Pi(state.u)
            e = -first_guess if e is None else e - first_guess
        return state if e is None else self._correct(state, self.P(e), self.A[-1])

    def interpolate(self, state: State, coarse: State) -> State:
        """Refused: taking a coarse solution itself makes sense for a discretised equation only."""
        raise ValueError(
            "a ConvLevel has no interpolation for fresh visits; full multigrid needs levels from "
            "mgnet.poisson_levels"
        )

    def solution(self, state: State) -> Tensor:
        """The iterate u, ``(batch, channels, *interior)``."""
        return torch.zeros_like(state.g) if state.u is None else state.u

    def residual(self, state: State) -> Tensor:
        """r = g - A u with the level's last A, ``(batch, channels, *interior)``."""
        return self._residual(state, self.A[-1])

    def residual_norm(self, state: State) -> Tensor:
        """||g - A u||_2 for each member of the batch."""
        return torch.linalg.vector_norm(self._residual(state, self.A[-1]).flatten(1), dim=1)

    def ascend(self, state: State, coarse: State, steps: int) -> State:
        """Prolong, then smooth with the kernels of the way up."""
        kernels = self.B if self.B_up is None else self.B_up
        return self._iterate(self.prolong(state, coarse), kernels, steps)

    # --- the iteration --------------------------------------------------------------------------

    def _iterate(self, state: State, kernels: nn.ModuleList, steps: int) -> State:
        for i in range(steps * self.sweeps):
            A = _pick(self.A, i)
            state = _settled(state)
            e = self._residual(state, A)
            if self.before is not None:
                e = _pick(self.before, i)(e)
            e = _pick(kernels, i)(e)
            if self.after is not None:
                e = _pick(self.after, i)(e)
            state = self._correct(state, e, A)
        return state

    def _residual(self, state: State, A: nn.Module) -> Tensor:
        g = _settled(state).g
        return g if self.form == "residual" or state.u is None else g - A(state.u)

    def _correct(self, state: State, e: Tensor, A: nn.Module) -> State:
        u = e if state.u is None else state.u + e
        if self.form == "residual":
            return _settled(state)._replace(u=u, owed=(A, e))
        return state._replace(u=u)


def _settled(state: State) -> State:
    """The state with r <- r - A e done, if that is owed."""
    if state.owed is None:
        return state
    A, e = state.owed
    return state._replace(g=state.g - A(e), owed=None)


def conv(
    dim: int, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1
) -> nn.Module:
    """A trained convolution without bias: padding keeps the grid, stride 2 halves it."""
    return _CONV[dim](
        in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False
    )


def batch_norm(dim: int, channels: int) -> nn.Module:
    """Batch normalisation with a trained scale and shift for each channel."""
    return _BATCH_NORM[dim](channels)


class FixedConv(nn.Module):
    """A one-channel convolution with a given stencil, which is not trained.

    Parameters
    ----------
    stencil : Tensor
        Weights, one axis for each dimension of the grid, odd lengths; copied.
    stride, padding : int or tuple of int
    transpose : bool
        The transposed convolution: a prolongation with the stencil of a restriction.

    Notes
    -----
    `requires_grad_()` on the module turns the stencil into the start of a trained one.
    """

    def __init__(
        self,
        stencil: Tensor,
        *,
        stride: int | tuple[int, ...] = 1,
        padding: int = 0,
        transpose: bool = False,
    ):
        super().__init__()
        self.weight = nn.Parameter(stencil[None, None].clone(), requires_grad=False)
        self.stride, self.padding, self.transpose = stride, padding, transpose

    def forward(self, x: Tensor) -> Tensor:
        """Apply the stencil to ``(batch, 1, *grid)``."""
        return convolve(x, self.weight, self.stride, self.padding, transpose=self.transpose)


def convolve(
    x: Tensor,
    weight: Tensor,
    stride: int | tuple[int, ...] = 1,
    padding: int = 0,
    *,
    transpose: bool = False,
) -> Tensor:
    """Convolution in 1D, 2D or 3D, in the full precision of its dtype.

    On a GPU cuDNN rounds float32 inputs to the 10 bits of TF32 unless told otherwise. Networks can
    live with that; the residual of an equation, a small difference of large numbers, cannot.
    """
    apply: Any = (_TRANSPOSED if transpose else _STRAIGHT)[x.ndim - 3]
    if x.is_cuda and x.dtype == torch.float32:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return apply(x, weight, None, stride, padding)
    return apply(x, weight, None, stride, padding)


def _as_list(modules: nn.Module | Sequence[nn.Module], name: str) -> nn.ModuleList:
    if isinstance(modules, nn.Module) and not isinstance(modules, nn.ModuleList):
        modules = [modules]
    if len(modules) == 0:
        raise ValueError(f"{name} needs at least one module, got an empty list")
    return nn.ModuleList(modules)


def _pick(modules: nn.ModuleList, i: int) -> nn.Module:
    return modules[i % len(modules)]
