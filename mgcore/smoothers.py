"""Smoothers as data: what one smoothing step does, for any backend to carry out.

Every smoother here is a sequence of sweeps ``u <- u + omega D^-1 (g - A u)`` at some of the
points, D the diagonal of A, or the part of A along lines. The records are the hyperparameters;
`sweeps` turns them into numbers for the A of one level.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi
from numbers import Integral, Real
from types import UnionType
from typing import Any, NamedTuple

import numpy as np

from mgcore.operators import Operator
from mgcore.stencil import Stencil

__all__ = [
    "SMOOTHERS",
    "Chebyshev",
    "GaussSeidel",
    "Jacobi",
    "Kernel",
    "Smoother",
    "Sweep",
    "Zebra",
    "pointwise",
    "smoother",
]


class Sweep(NamedTuple):
    """One pass over the points of a grid.

    Attributes
    ----------
    omega : float
        Relaxation factor.
    points : {"all", "red", "black", "lexicographic"}
        "all" points at once from old values; the points whose node indices have an even ("red")
        or odd ("black") sum; or one point after the other, the first axis slowest.
    kernel : Stencil, optional
        B is this stencil times omega D^-1, with points "all"; else omega D^-1 alone. On torch also
        an :class:`mgnet.SymmetricKernel`, whose stencil is still to be trained.
    lines : int, optional
        D is the part of A along lines of this axis, which are solved as a whole; a line is "red" or
        "black" as its node indices along the other axes say.
    """

    omega: float
    points: str
    kernel: Any = None
    lines: int | None = None


@dataclass(frozen=True)
class Jacobi:
    """Weighted Jacobi.

    Parameters
    ----------
    omega : float, optional
        Relaxation factor in (0, 2). If not given, the one that smooths best: 2/3 in 1D, 4/5 in
        2D, 6/7 in 3D, with smoothing factors .333, .600, .714 on equal mesh widths (Trottenberg,
        Oosterlee & Schueller, Multigrid, 2001, section 2.1).
    """

    omega: float | None = None

    def __post_init__(self) -> None:
        if self.omega is not None:
            _check_omega(self.omega)

    def sweeps(self, operator: Operator) -> tuple[Sweep, ...]:
        """The sweeps of one step on the operator's grid."""
        ndim = operator.grid.ndim
        best = 2 * ndim / (2 * ndim + 1)
        return (Sweep(best if self.omega is None else self.omega, "all"),)

    def __str__(self) -> str:
        return "Jacobi" if self.omega is None else f"Jacobi {self.omega:g}"


@dataclass(frozen=True)
class Chebyshev:
    """The polynomial in A that damps high frequencies most, as `degree` Jacobi sweeps.

    Parameters
    ----------
    degree : int
        Degree k, 1 or more; a step costs k Jacobi sweeps.

    Notes
    -----
    1/T_k(theta/delta) T_k((theta - t)/delta) is the smallest polynomial on [theta - delta, theta
    + delta] that is 1 at 0; its roots are the sweeps' 1/omega. (Golub & Varga 1961; Adams et al.,
    J. Comput. Phys. 188, 2003.) The sweeps run from small to large omega, which keeps rounding
    errors small.

    The eigenvalues of D^-1 A are sum a_i (1 - cos theta_i) / sum a_i, a_i = h_i^-2. High
    frequencies, which the coarser grid does not see, have a theta_i of pi/2 or more along some
    halved axis; the others are bounded by 0 and pi along halved axes, and along an axis of m mesh
    widths that is not halved by pi/m and pi - pi/m. Where all axes are halved this is [a, 2], with
    equal mesh widths a = 1, 1/2, 1/3 in 1D, 2D, 3D.
    """

    degree: int = 2

    def __post_init__(self) -> None:
        if not isinstance(self.degree, Integral) or not 1 <= self.degree <= 1000:
            raise ValueError(
                f"the degree of Chebyshev must be a whole number, 1 or more and 1000 at most, got "
                f"{self.degree!r}"
            )

    def sweeps(self, operator: Operator) -> tuple[Sweep, ...]:
        """The sweeps of one step on the operator's grid."""
        lower, upper = operator.high_frequencies()
        theta, delta = (upper + lower) / 2, (upper - lower) / 2
        k = self.degree
        roots = [theta + delta * cos(pi * (j + 0.5) / k) for j in range(k)]
        return tuple(Sweep(1 / root, "all") for root in roots)

    def __str__(self) -> str:
        return f"Chebyshev({self.degree})"


@dataclass(frozen=True)
class GaussSeidel:
    """Gauss-Seidel, or SOR where omega is not 1.

    Parameters
    ----------
    order : {"redblack", "lexicographic"}
        Red points first, then black, before and after the coarse-grid correction alike; or point
        after point, which runs on one thread.
    omega : float
        Relaxation factor in (0, 2).
    """

    order: str = "redblack"
    omega: float = 1.0

    def __post_init__(self) -> None:
        if self.order not in ("redblack", "lexicographic"):
            raise ValueError(
                f"unknown order {self.order!r} of Gauss-Seidel; known are 'redblack', "
                "'lexicographic'"
            )
        _check_omega(self.omega)

    def sweeps(self, operator: Operator) -> tuple[Sweep, ...]:
        """The sweeps of one step on the operator's grid."""
        points = ("red", "black") if self.order == "redblack" else ("lexicographic",)
        return tuple(Sweep(self.omega, kind) for kind in points)

    def __str__(self) -> str:
        order = "red-black" if self.order == "redblack" else "lexicographic"
        return f"{order} Gauss-Seidel" if self.omega == 1 else f"{order} SOR {self.omega:g}"


@dataclass(frozen=True, eq=False)
class Kernel:
    """B as a constant stencil: ``u <- u + h^2 K (g - A u)``, a convolution.

    Parameters
    ----------
    stencil : Stencil
        K, of up to 3^d points; h^2 is 2 d over the diagonal of A, which for -Laplace on equal mesh
        widths it is. Weighted Jacobi is the one point omega / (2 d). A trained kernel comes from
        :meth:`mgnet.SymmetricKernel.record`.
    """

    stencil: Stencil

    def __post_init__(self) -> None:
        stencil = self.stencil
        if not isinstance(stencil, Stencil) or not stencil.constant or max(stencil.reach) > 1:
            raise ValueError(
                f"a kernel must be a constant Stencil of up to 3^d points, got {stencil!r}"
            )
        if not stencil.finite:
            raise ValueError(f"a kernel needs weights that are finite numbers, got {stencil}")

    def sweeps(self, operator: Operator) -> tuple[Sweep, ...]:
        """The sweeps of one step on the operator's grid."""
        ndim = operator.grid.ndim
        if self.stencil.ndim != ndim:
            raise ValueError(f"a kernel for {self.stencil.ndim} axes on a grid with {ndim} axes")
        return (Sweep(2.0 * ndim, "all", self.stencil),)

    def __str__(self) -> str:
        return f"{'x'.join('3' * self.stencil.ndim)} kernel"


@dataclass(frozen=True)
class Zebra:
    """Line by line Gauss-Seidel: every second line along an axis is solved at once, then the rest.

    Along lines the coupling may be as strong as it likes, where point by point smoothers fail
    (Trottenberg, Oosterlee & Schueller 2001, sections 5.1 and 5.2). In space every line has
    neighbours of the other kind on all sides, as squares of a chessboard have.

    Parameters
    ----------
    axis : int or sequence of int, optional
        That the lines run along; or several, for lines along each in turn. By default, on each
        grid, the axis along which A couples most strongly.
    omega : float
        Relaxation factor in (0, 2).
    """

    axis: int | tuple[int, ...] | None = None
    omega: float = 1.0

    def __post_init__(self) -> None:
        axis = self.axis
        if isinstance(axis, Sequence) and axis and all(isinstance(k, Integral) for k in axis):
            object.__setattr__(self, "axis", tuple(axis))
        elif axis is not None and (isinstance(axis, bool) or not isinstance(axis, Integral)):
            raise ValueError(f"axis must be a number, several of them or None, got {axis!r}")
        _check_omega(self.omega)

    def sweeps(self, operator: Operator) -> tuple[Sweep, ...]:
        """The sweeps of one step on the operator's grid."""
        ndim = operator.grid.ndim
        if ndim == 1:
            raise ValueError("a line of a grid with one axis is all of it: take 'sor', of points")
        if self.axis is None:
            axes: tuple[int, ...] = (int(np.argmax(operator.strength())),)
        else:
            axes = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        for axis in axes:
            if not 0 <= axis < ndim:
                raise ValueError(f"lines run along one of {ndim} axes, 0 to {ndim - 1}, got {axis}")
        return tuple(
            Sweep(self.omega, kind, lines=int(axis)) for axis in axes for kind in ("red", "black")
        )

    def __str__(self) -> str:
        lines = "zebra lines" if self.axis is None else f"zebra lines along {self.axis}"
        return lines if self.omega == 1 else f"{lines}, omega {self.omega:g}"


Smoother = Jacobi | Chebyshev | GaussSeidel | Kernel | Zebra

#: Smoothers that are known by name. V(1,1) with "sor" converges at .046 in 2D, "redblack" at .119.
SMOOTHERS: dict[str, Callable[[], Smoother]] = {
    "jacobi": Jacobi,
    "chebyshev": Chebyshev,
    "lexicographic": lambda: GaussSeidel("lexicographic"),
    "redblack": GaussSeidel,
    "sor": lambda: GaussSeidel("redblack", 1.15),
    "zebra": Zebra,
}


def pointwise(smoother: Smoother) -> bool:
    """Whether sweeps are omega D^-1 at single points, as all kernels know them."""
    return not isinstance(smoother, Kernel | Zebra)


def smoother(choice: Any, kinds: UnionType = Smoother) -> Any:
    """The record for a name of `SMOOTHERS`; what is of these `kinds` is returned as it is."""
    if isinstance(choice, kinds):
        return choice
    if not isinstance(choice, str) or choice not in SMOOTHERS:
        raise ValueError(
            f"unknown smoother {choice!r}; known are {', '.join(map(repr, SMOOTHERS))} and the "
            "records of mgcore.smoothers"
        )
    return SMOOTHERS[choice]()


def _check_omega(omega: float) -> None:
    if not isinstance(omega, Real) or not 0 < omega < 2:
        raise ValueError(f"omega must lie between 0 and 2, got {omega}")
