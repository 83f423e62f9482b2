"""ConvLevel: one grid of the cycle with A, B, R, Pi and P as convolutions, fixed or trained.

On every grid the cycle repeats ``u <- u + B (g - A u)``. The solver's A, B, R and P are fixed
stencils; MgNet trains them and puts an activation sigma around B and behind R and Pi. Both are
ConvLevels, and :func:`mgcore.cycle.run` walks both. There are two kinds: a :class:`FeatureLevel`
carries (u, g), a :class:`ResidualLevel` carries (u, r).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from mgcore.cycle import Visit, run
from mgcore.level import Level
from mgnet import gate
from mgnet.iteration import Iteration

__all__ = [
    "ConvLevel",
    "FeatureLevel",
    "ResidualLevel",
    "ResidualState",
    "State",
    "states_on_the_way_down",
]


class State(NamedTuple):
    """What a FeatureLevel passes around; every step makes a new one, so autograd works.

    Attributes
    ----------
    u : Tensor or None
        The iterate, ``(batch, channels, *interior)``; None stands for zero.
    g : Tensor
        The right-hand side.
    batch : tuple of int
        Batch axes of the caller's array, for a solver's `solution`.
    """

    u: Tensor | None
    g: Tensor
    batch: tuple[int, ...] = ()


class ResidualState(NamedTuple):
    """What a ResidualLevel passes around.

    Attributes
    ----------
    u : Tensor or None
        The iterate, ``(batch, channels, *interior)``; None stands for zero.
    r : Tensor
        The residual g - A u, but for what is owed.
    owed : (Module, Tensor) or None
        A and the last e, while A e is still to be taken from r. It is computed when r is next
        read: after the very last step nobody does.
    """

    u: Tensor | None
    r: Tensor
    owed: tuple[nn.Module, Tensor] | None = None


S = TypeVar("S", bound=State | ResidualState)


class ConvLevel(nn.Module, Level[S]):
    """One grid: ``u <- u + after(B(before(g - A u)))``. Use one of its two kinds.

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
    iteration : Iteration, optional
        How earlier iterates enter the next one, a rule of :mod:`mgnet.iteration`; each visit of
        the level begins it anew. By default u + e follows u.

    Raises
    ------
    ValueError
        For an empty sequence, or `sweeps` below 1.

    Notes
    -----
    A chain is linked by ``fine.coarse = coarse``: the coarser level's A makes the right-hand side
    A' u' of its problem. The coarser level does not become a submodule of the finer.

    A kind says what its state holds: `start`, `_residual`, `_correct`, `_blend` and `_below` are
    its own.
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
        iteration: Iteration | None = None,
    ):
        super().__init__()
        gate.whole("sweeps", sweeps, 1)
        self.A = _as_list(A, "A")
        self.B = _as_list(B, "B")
        self.B_up = None if B_up is None else _as_list(B_up, "B_up")
        self.before = None if before is None else _as_list(before, "before")
        self.after = None if after is None else _as_list(after, "after")
        self.Pi, self.R, self.P = Pi, R, P
        self.sweeps = sweeps
        self.iteration = iteration
        self.coarse = None

    def __setattr__(self, name: str, value: Any) -> None:
        # The coarser level's parameters are its own: it must not become a submodule of this one.
        if name == "coarse":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def extra_repr(self) -> str:
        """What the table of submodules does not tell."""
        return f"sweeps={self.sweeps}"

    # --- what the kinds differ in -----------------------------------------------------------------

    @abstractmethod
    def _residual(self, state: S, A: nn.Module) -> Tensor:
        """r = g - A u."""

    @abstractmethod
    def _correct(self, state: S, e: Tensor, A: nn.Module) -> S:
        """The state of u + e."""

    @abstractmethod
    def _blend(self, states: Sequence[S], weights: Sequence[Tensor | float]) -> S:
        """The state of the weighted sum of the iterates of `states`; the weights add up to 1."""

    @abstractmethod
    def _below(self, u: Tensor | None, r: Tensor) -> S:
        """The coarser level's state with the iterate `u` and the residual `r`."""

    @abstractmethod
    def idle(self, steps: int, *, from_zero: bool) -> list[nn.Module]:
        """The As that a slash cycle reads nowhere.

        Parameters
        ----------
        steps : int
            Iterations on this level; it is the last one if it has no R.
        from_zero : bool
            Whether they begin with u = 0.
        """

    def _settled(self, state: S) -> S:
        """The state with nothing left to compute in it."""
        return state

    # --- the Level protocol -----------------------------------------------------------------------

    def smooth(self, state: S, steps: int) -> S:
        """`steps` iterations with the kernels of the way down."""
        return self._iterate(state, self.B, steps)

    def restrict(self, state: S) -> S:
        """u' = Pi u and r' = R (g - A u), as the coarser level's state."""
        if self.R is None:
            raise ValueError(
                "this level has no restriction R, so a cycle cannot leave it downwards"
            )
        r = self.R(self._residual(state, self.A[-1]))
        u = None if self.Pi is None or state.u is None else self.Pi(state.u)
        return self._below(u, r)

    def prolong(self, state: S, coarse: S) -> S:
        """Correct u by P (u' - Pi u)."""
        if self.P is None:
            raise ValueError("this level has no prolongation P, so a cycle cannot come up to it")
        e = coarse.u
        if self.Pi is not None and state.u is not None:
            first_guess = self.Pi(state.u)
            e = -first_guess if e is None else e - first_guess
        return state if e is None else self._correct(state, self.P(e), self.A[-1])

    def interpolate(self, state: S, coarse: S) -> S:
        """Refused: taking a coarse solution itself makes sense for a discretised equation only."""
        raise ValueError(
            "a ConvLevel has no interpolation for fresh visits; full multigrid needs levels from "
            "mgnet.poisson_levels"
        )

    def solution(self, state: S) -> Tensor:
        """The iterate u, ``(batch, channels, *interior)``."""
        if state.u is None:
            return torch.zeros_like(self._residual(state, self.A[-1]))  # g itself, where u = 0
        return state.u

    def residual(self, state: S) -> Tensor:
        """r = g - A u with the level's last A, ``(batch, channels, *interior)``."""
        return self._residual(state, self.A[-1])

    def residual_norm(self, state: S) -> Tensor:
        """||g - A u||_2 for each member of the batch."""
        return torch.linalg.vector_norm(self._residual(state, self.A[-1]).flatten(1), dim=1)

    def ascend(self, state: S, coarse: S, steps: int) -> S:
        """Prolong, then smooth with the kernels of the way up."""
        kernels = self.B if self.B_up is None else self.B_up
        return self._iterate(self.prolong(state, coarse), kernels, steps)

    # --- the iteration ----------------------------------------------------------------------------

    def _iterate(self, state: S, kernels: nn.ModuleList, steps: int) -> S:
        earlier: list[S] = []
        for i in range(steps * self.sweeps):
            A = _pick(self.A, i)
            state = self._settled(state)
            e = self._residual(state, A)
            if self.before is not None:
                e = _pick(self.before, i)(e)
            e = _pick(kernels, i)(e)
            if self.after is not None:
                e = _pick(self.after, i)(e)
            if self.iteration is not None:
                weights, factor = self.iteration.weights(i)
                earlier = [*earlier, state][-len(weights) :]
                state, e = self._blend(earlier, weights), factor * e
            state = self._correct(state, e, A)
        return state

    def _unread(self, reads: set[int]) -> list[nn.Module]:
        """The As without those that `reads` numbers, in the way of iterations."""
        read = {i % len(self.A) for i in reads}
        return [A for i, A in enumerate(self.A) if i not in read]


class FeatureLevel(ConvLevel[State]):
    """One grid that carries (u, g), as in the lecture: ``u <- u + after(B(before(g - A u)))``.

    Parameters are those of :class:`ConvLevel`.
    """

    def start(self, g: Tensor, u: Tensor | None = None) -> State:
        """The state for A u = g from the first guess `u`, zero unless given."""
        return State(u, g)

    def idle(self, steps: int, *, from_zero: bool) -> list[nn.Module]:
        """The As that a slash cycle reads nowhere: where u = 0, A u is not computed."""
        reads = set(range(steps))
        if from_zero:
            reads -= {0}  # else the finer level's restriction reads number 0 as well
        if self.R is not None:
            reads |= {len(self.A) - 1}
        return self._unread(reads)

    def _residual(self, state: State, A: nn.Module) -> Tensor:
        return state.g if state.u is None else state.g - A(state.u)

    def _correct(self, state: State, e: Tensor, A: nn.Module) -> State:
        return state._replace(u=_add(state.u, e))

    def _blend(self, states: Sequence[State], weights: Sequence[Tensor | float]) -> State:
        return states[-1]._replace(u=_sum([state.u for state in states], weights))

    def _below(self, u: Tensor | None, r: Tensor) -> State:
        if u is None:
            return State(None, r)
        if self.coarse is None:
            raise ValueError("this level does not know the coarser one; set level.coarse to it")
        return State(u, r + self.coarse.A[0](u))  # g' = R (g - A u) + A' u'


class ResidualLevel(ConvLevel[ResidualState]):
    """One grid that carries (u, r): ``e = after(B(before(r))); u <- u + e; r <- r - A e``.

    Parameters are those of :class:`ConvLevel`.

    Notes
    -----
    Put g = r + A u into a :class:`FeatureLevel`'s iteration. With one A for all iterations the two
    kinds are the same map, and this one needs fewer convolutions; with one A per iteration they
    are different networks.

    r alone is a pre-activation ResNet block, ``r <- r - A after(B(before(r)))`` (He & Xu 2019,
    theorem on MgNet and pre-act ResNet).
    """

    def start(self, g: Tensor, u: Tensor | None = None) -> ResidualState:
        """The state for A u = g from the first guess `u`, zero unless given."""
        return ResidualState(u, g if u is None else g - self.A[0](u))

    def idle(self, steps: int, *, from_zero: bool) -> list[nn.Module]:
        """The As that a slash cycle reads nowhere: nobody reads r after the very last iteration."""
        return self._unread(set(range(steps if self.R is not None else steps - 1)))

    def _settled(self, state: ResidualState) -> ResidualState:
        if state.owed is None:
            return state
        A, e = state.owed
        return ResidualState(state.u, state.r - A(e))

    def _residual(self, state: ResidualState, A: nn.Module) -> Tensor:
        return self._settled(state).r

    def _correct(self, state: ResidualState, e: Tensor, A: nn.Module) -> ResidualState:
        return ResidualState(_add(state.u, e), self._settled(state).r, owed=(A, e))

    def _blend(
        self, states: Sequence[ResidualState], weights: Sequence[Tensor | float]
    ) -> ResidualState:
        u = _sum([state.u for state in states], weights)
        return ResidualState(u, _sum([state.r for state in states], weights))

    def _below(self, u: Tensor | None, r: Tensor) -> ResidualState:
        return ResidualState(u, r)


def _add(u: Tensor | None, e: Tensor) -> Tensor:
    return e if u is None else u + e


def _sum(tensors: Sequence[Tensor | None], weights: Sequence[Tensor | float]) -> Any:
    """The weighted sum, None standing for zero."""
    terms = [w * t for t, w in zip(tensors, weights, strict=True) if t is not None]
    return sum(terms[1:], terms[0]) if terms else None


def states_on_the_way_down(
    levels: Sequence[ConvLevel], cycle: Sequence[Visit], state: State | ResidualState
) -> list[Any]:
    """The states in which a slash cycle leaves its levels, the finest first."""
    recorders = [_Recorder(level) for level in levels]
    run(recorders, cycle, state)
    return [recorder.state for recorder in recorders]


class _Recorder:
    """A level that keeps the state in which it was left; a slash cycle asks for nothing else."""

    def __init__(self, level: ConvLevel):
        self.level = level

    def smooth(self, state: Any, steps: int) -> Any:
        self.state = self.level.smooth(state, steps)
        return self.state

    def descend(self, state: Any, steps: int) -> Any:
        self.state, coarse = self.level.descend(state, steps)
        return self.state, coarse


def _as_list(modules: nn.Module | Sequence[nn.Module], name: str) -> nn.ModuleList:
    if isinstance(modules, nn.Module) and not isinstance(modules, nn.ModuleList):
        modules = [modules]
    if len(modules) == 0:
        raise ValueError(f"{name} needs at least one module, got an empty list")
    return nn.ModuleList(modules)


def _pick(modules: nn.ModuleList, i: int) -> nn.Module:
    return modules[i % len(modules)]
