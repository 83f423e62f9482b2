"""Local Fourier analysis: how well smoothers smooth and two grids converge, far from any border.

On an infinite grid a constant stencil multiplies each mode ``exp(i theta . x)``, x counting nodes,
by its symbol. A grid of every second node cannot tell ``theta`` from ``theta + pi alpha``, alpha in
{0, 1}^d, and colours mix the same 2^d *harmonics*: so whatever is made of sweeps and transfers is a
small matrix for each ``theta`` in [-pi/2, pi/2]^d, and its convergence factor the largest spectral
radius of all of them (Brandt, Math. Comp. 31, 1977; Stueben & Trottenberg, Multigrid methods:
fundamental algorithms, 1982, sections 7 and 8; Trottenberg, Oosterlee & Schueller, Multigrid, 2001,
chapter 4).

Matrices here have the harmonics in C order of alpha, the mode ``theta`` itself first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import product
from numbers import Integral
from typing import Any

import numpy as np
from scipy.fft import dstn

from mgcore import transfer
from mgcore.colours import visited
from mgcore.gate import real_array
from mgcore.grid import Grid
from mgcore.operators import Operator, of_stencil
from mgcore.smoothers import Smoother
from mgcore.smoothers import smoother as smoother_record
from mgcore.stencil import Stencil

__all__ = [
    "alias",
    "amplification",
    "rediscretised",
    "roughness",
    "smoother_symbol",
    "smoothing_factor",
    "spectrum",
    "two_grid_factor",
    "two_grid_symbol",
]

Theta = Sequence[Any]

# At theta = 0 both A and its coarse twin vanish. So near to it, what is computed from both keeps
# eight digits, and factors have come as close to their limit.
_NEARLY_ZERO = 1e-4

# Frequencies along each axis where the search for the largest factor begins: by number of axes. An
# odd number has 0 and both of +-pi/2 among them, and without these colours look better than they
# are.
_BEGIN = {1: 257, 2: 33, 3: 13}


# --- smoothers ------------------------------------------------------------------------------------


def smoother_symbol(
    operator: Stencil,
    smoother: str | Smoother,
    theta: Theta,
    *,
    halved: Sequence[bool] | None = None,
) -> np.ndarray:
    """What one smoothing step does to an error made of harmonics.

    Parameters
    ----------
    operator : Stencil
        A, constant weights of up to 3^d points.
    smoother : str or record
        See :mod:`mgcore.smoothers`.
    theta : sequence of array
        Frequencies along each axis, in radians a node; they broadcast.
    halved : sequence of bool, optional
        Axes that the coarser grid halves, by default all: Chebyshev's polynomial depends on them.

    Returns
    -------
    ndarray
        Complex matrices, shape ``(*theta, 2^d, 2^d)``: amplitudes of harmonics after the step from
        those before.

    Raises
    ------
    ValueError
        For a stencil that is no operator here, or an unknown smoother.

    Notes
    -----
    A sweep over all points multiplies harmonics by ``1 - omega A / D``, a lexicographic one by
    ``1 - omega A / (D + omega L)``, L the part of A that reads new values, one over lines by
    ``1 - omega A / T``, T the part of A along them. A sweep over one colour is that over all points
    but for a mask, and the mask, a sum of modes ``exp(i pi gamma . x)``, moves harmonics around.
    """
    halved = _halved(operator, halved)
    record = _operator(operator, halved)
    angles = _harmonics(theta)
    A, diagonal = operator.symbol(angles), operator.diagonal.item()
    shape, cell = (2,) * operator.ndim, [np.arange(2)] * operator.ndim
    step = np.broadcast_to(np.eye(2**operator.ndim, dtype=complex), (*A.shape, A.shape[-1]))
    for sweep in smoother_record(smoother).sweeps(record):
        omega = sweep.omega
        correction = omega * A / diagonal
        if sweep.points == "lexicographic":
            correction = omega * A / (diagonal + omega * _earlier(operator).symbol(angles))
        elif sweep.lines is not None:
            correction = omega * A / _along(operator, sweep.lines).symbol(angles)
        elif sweep.kernel is not None:
            correction = correction * sweep.kernel.symbol(angles)
        for mask in visited(record, sweep, cell):
            step = step - _mixing(np.broadcast_to(mask, shape)) @ (correction[..., None] * step)
    return step


def _along(operator: Stencil, axis: int) -> Stencil:
    """The part of a stencil that couples nodes along an axis."""
    return Stencil({
        offset: weight for offset, weight in operator.weights.items()
        if not any(step for k, step in enumerate(offset) if k != axis)
    })  # fmt: skip


def amplification(
    operator: Stencil, smoother: str | Smoother, theta: Theta, steps: int = 1
) -> np.ndarray:
    """What `steps` smoothing steps leave of a mode, in the 2-norm.

    For pointwise smoothers that is ``|symbol|^steps``.

    Parameters
    ----------
    operator, smoother, theta
        See :func:`smoother_symbol`.
    steps : int

    Returns
    -------
    ndarray
        Shaped like `theta`. Where colours make other harmonics of a mode, those count as well.
    """
    step = np.linalg.matrix_power(smoother_symbol(operator, smoother, theta), steps)
    return np.linalg.norm(step[..., 0], axis=-1)


def smoothing_factor(
    operator: Stencil,
    smoother: str | Smoother = "redblack",
    *,
    steps: int = 1,
    halved: Sequence[bool] | None = None,
) -> float:
    """By how much a step reduces at least what the coarser grid cannot see.

    Parameters
    ----------
    operator, smoother, halved
        See :func:`smoother_symbol`.
    steps : int
        Steps taken before low frequencies are removed; a mean for each is returned. Colours turn
        low frequencies into high ones, so for them it matters.

    Returns
    -------
    float
        mu = max rho(Q S^steps)^(1/steps), with S the symbol and Q what leaves high frequencies
        alone (Trottenberg, Oosterlee & Schueller 2001, section 4.5).

    Examples
    --------
    >>> laplacian = Stencil.laplacian((1.0, 1.0))
    >>> for smoother in ("jacobi", "lexicographic", "redblack"):
    ...     print(f"{smoothing_factor(laplacian, smoother):.3f}")
    0.600
    0.500
    0.250
    """
    _count(steps, "steps", 1)
    halved = _halved(operator, halved)
    rough = [k for k, alpha in enumerate(_alphas(operator.ndim)) if _is_high(alpha, halved)]

    def factor(theta: Theta) -> np.ndarray:
        step = smoother_symbol(operator, smoother, theta, halved=halved)
        step = np.linalg.matrix_power(step, steps)
        return _radius(step[..., rough, :][..., rough]) ** (1 / steps)

    return _largest(factor, operator.ndim)


# --- two grids ------------------------------------------------------------------------------------


def two_grid_symbol(
    operator: Stencil,
    smoother: str | Smoother,
    theta: Theta,
    *,
    pre: int = 1,
    post: int = 1,
    restriction: str = "full",
    coarse: str | Stencil = "rediscretised",
    halved: Sequence[bool] | None = None,
) -> np.ndarray:
    """What one cycle on two grids, exact on the coarser one, does to an error made of harmonics.

    ``S^post (I - P A'^-1 R A) S^pre``; parameters as for :func:`two_grid_factor`.

    Returns
    -------
    ndarray
        Complex matrices, shape ``(*theta, 2^d, 2^d)``.
    """
    halved = _halved(operator, halved)
    R, P = (_wide(transfer.restriction(restriction, halved)),
            _wide(transfer.prolongation("linear", halved)))  # fmt: skip
    angles = _harmonics(theta)
    # The coarse mode of each harmonic: those that differ along halved axes only have the same.
    seen = [2 * t if half else t for t, half in zip(angles, halved, strict=True)]
    A, below = operator.symbol(angles), _coarse(coarse, operator, R, P, halved).symbol(seen)
    # P makes 2^k harmonics of a coarse mode, k the number of halved axes.
    up = P.symbol(angles) / 2 ** sum(halved) / below
    low = [tuple(a for a, half in zip(alpha, halved, strict=True) if not half)
           for alpha in _alphas(operator.ndim)]  # fmt: skip
    same = np.array([[first == second for second in low] for first in low])
    correction = np.eye(len(low)) - same * (up[..., :, None] * (R.symbol(angles) * A)[..., None, :])
    step = smoother_symbol(operator, smoother, theta, halved=halved)
    power = np.linalg.matrix_power
    return power(step, post) @ correction @ power(step, pre)


def two_grid_factor(
    operator: Stencil,
    smoother: str | Smoother = "redblack",
    *,
    pre: int = 1,
    post: int = 1,
    restriction: str = "full",
    coarse: str | Stencil = "rediscretised",
    halved: Sequence[bool] | None = None,
) -> float:
    """The asymptotic factor of a cycle on two grids, exact on the coarser one.

    Parameters
    ----------
    operator : Stencil
        A, constant weights of up to 3^d points.
    smoother : str or record
        See :mod:`mgcore.smoothers`.
    pre, post : int
        Smoothing steps before and after the correction. Only their sum matters, as it does on real
        grids but for what borders change.
    restriction : {"full", "half", "injection"}
        See :func:`mgcore.transfer.restriction`; interpolation is (bi/tri)linear.
    coarse : {"rediscretised", "galerkin"} or Stencil
        The coarser operator: see :func:`rediscretised`; or R A P; or any other.
    halved : sequence of bool, optional
        Axes that the coarser grid halves, by default all.

    Returns
    -------
    float
        The largest spectral radius over all frequencies, to three digits or more.

    Raises
    ------
    ValueError
        For what does not fit the operator; the message says what does.

    Examples
    --------
    >>> laplacian = Stencil.laplacian((1.0, 1.0))
    >>> print(f"{two_grid_factor(laplacian, 'redblack'):.3f}")
    0.074
    """
    _count(pre, "pre", 0)
    _count(post, "post", 0)
    how: Any = {"pre": pre, "post": post, "restriction": restriction, "coarse": coarse}

    def factor(theta: Theta) -> np.ndarray:
        return _radius(two_grid_symbol(operator, smoother, theta, halved=halved, **how))

    return _largest(factor, operator.ndim)


def rediscretised(operator: Stencil, halved: Sequence[bool] | None = None) -> Stencil:
    """The same second differences with twice the mesh width along halved axes.

    Parameters
    ----------
    operator : Stencil
        Symmetric, constant weights. What their sum leaves is a reaction, and stays.
    halved : sequence of bool, optional
        By default all axes.

    Raises
    ------
    ValueError
        Where that is not known: for a stencil that is not symmetric, or that couples nodes across
        corners of which one axis alone is halved.
    """
    halved = _halved(operator, halved)
    weights: dict[Any, Any] = {}
    for offset, weight in operator.neighbours():
        moved = {half for o, half in zip(offset, halved, strict=True) if o}
        back = operator.weights.get(tuple(-o for o in offset), np.zeros(()))
        if len(moved) > 1 or not np.isclose(weight, back, rtol=1e-12, atol=0):
            raise ValueError(
                "how this operator looks on the coarser grid is not known: pass coarse='galerkin' "
                "or a Stencil"
            )
        weights[offset] = weight / 4 if moved == {True} else weight
    own = np.asarray(operator.row_sum) - sum(weights.values())
    return Stencil({(0,) * operator.ndim: own, **weights})


# --- errors on a grid -----------------------------------------------------------------------------


def spectrum(u: Any) -> np.ndarray:
    """Amplitudes c_k of u = sum_k c_k prod_i sin(k_i pi x_i), u being zero on the border.

    Parameters
    ----------
    u : array_like
        Node values with m_i + 1 nodes along each axis, border included.

    Returns
    -------
    ndarray
        Shape (m_1 - 1, ...), the first one for k = (1, ...): the frequency of mode k is
        ``theta = k pi / m``.

    Examples
    --------
    >>> x = np.linspace(0, 1, 9)
    >>> print(np.round(spectrum(np.sin(3 * np.pi * x)), 12) + 0.0)
    [0. 0. 1. 0. 0. 0. 0.]
    """
    u = real_array(u, "u").astype(float)
    if u.ndim == 0 or min(u.shape) < 3:
        raise ValueError(f"u needs three nodes or more along each axis, got shape {u.shape}")
    inside = u[(slice(1, -1),) * u.ndim]
    return dstn(inside, type=1) / np.prod([n - 1 for n in u.shape])


def roughness(u: Any, sides: str = "dirichlet", halved: Sequence[bool] | None = None) -> float:
    """How large the part of u is that a grid of every second node cannot see.

    Parameters
    ----------
    u : array_like
        Node values, with the border where there is one: zero there with "dirichlet".
    sides : {"dirichlet", "neumann", "periodic"}
        All of them.
    halved : sequence of bool, optional
        Axes along which the other grid has every second node; by default all.

    Returns
    -------
    float
        The norm of the waves with ``|theta_i| >= pi / 2`` along some of these axes, which is to be
        compared with that of other u: u itself is mirrored at the sides, with the other sign where
        it is zero, and so made periodic.

    Raises
    ------
    ValueError
        For other sides, or values that are not real numbers.
    """
    if sides not in ("dirichlet", "neumann", "periodic"):
        raise ValueError(f"sides must be 'dirichlet', 'neumann' or 'periodic', got {sides!r}")
    u = real_array(u, "u").astype(float)
    halved = (True,) * u.ndim if halved is None else tuple(halved)
    if sides != "periodic":
        sign: Any = "even" if sides == "neumann" else "odd"
        u = np.pad(u, [(0, n - 2) for n in u.shape], "reflect", reflect_type=sign)
    # Waves over the whole axis, counted: theta as a fraction would miss pi / 2 by rounding.
    waves = [np.minimum(np.arange(n), n - np.arange(n)) for n in u.shape]
    rough = [half & (4 * k >= len(k)) for k, half in zip(waves, halved, strict=True)]
    return float(np.linalg.norm(np.fft.fftn(u)[reduce(np.logical_or.outer, rough)]))


def alias(k: int, m: int) -> tuple[int, int]:
    """What sin(k pi x) on m mesh widths looks like at every second node.

    Returns
    -------
    mode, sign : int
        It is sign times sin(mode pi x) there; mode is m / 2, which vanishes there, or below.

    Raises
    ------
    ValueError
        For an odd m, or a mode that the m - 1 nodes do not have.
    """
    if m % 2 or not 0 < k < m:
        raise ValueError(f"a mode needs an even m and k from 1 to m - 1, got k = {k}, m = {m}")
    return (k, 1) if 2 * k <= m else (m - k, -1)


# --- how it is done -------------------------------------------------------------------------------


def _alphas(ndim: int) -> list[tuple[int, ...]]:
    return list(product((0, 1), repeat=ndim))


def _harmonics(theta: Theta) -> list[np.ndarray]:
    """theta + pi alpha along each axis, the harmonics along a last axis of the arrays."""
    angles = np.broadcast_arrays(*[np.asarray(t, float) for t in theta])
    shifts = np.pi * np.array(_alphas(len(angles))).T
    return [t[..., None] + shift for t, shift in zip(angles, shifts, strict=True)]


def _is_high(alpha: Sequence[int], halved: Sequence[bool]) -> bool:
    return any(a and half for a, half in zip(alpha, halved, strict=True))


def _mixing(mask: np.ndarray) -> np.ndarray:
    """The matrix on harmonics of what keeps values at some points and takes the others to zero.

    The mask is sum_gamma c_gamma exp(i pi gamma . x), and takes harmonic beta to beta + gamma.
    """
    c = np.fft.fftn(mask).real.reshape(-1) / mask.size
    number = np.arange(c.size)  # whose bits are alpha
    return c[number[:, None] ^ number]


def _earlier(operator: Stencil) -> Stencil:
    """The part of A that reads points with smaller numbers, the last axis counting fastest."""
    centre = (0,) * operator.ndim
    earlier: dict[Any, Any] = {offset: w for offset, w in operator.neighbours() if offset < centre}
    return Stencil(earlier or {centre: 0.0})


def _operator(operator: Stencil, halved: Sequence[bool]) -> Operator:
    """The operator on a large periodic grid whose mesh widths have it halved as wanted."""
    n = 256
    extent = [float(n if half else 2 * n) for half in halved]
    return of_stencil(Grid((n,) * operator.ndim, extent, "periodic"), operator)


def _halved(operator: Stencil, halved: Sequence[bool] | None) -> tuple[bool, ...]:
    if not isinstance(operator, Stencil) or operator.ndim > 3:
        raise ValueError(f"the operator must be a Stencil on one to three axes, got {operator!r}")
    axes = (True,) * operator.ndim if halved is None else tuple(map(bool, halved))
    if len(axes) != operator.ndim or not any(axes):
        raise ValueError(
            f"halved needs True or False for each of {operator.ndim} axes and True for one or "
            f"more, got {halved!r}"
        )
    return axes


def _wide(weights: np.ndarray) -> Stencil:
    """A transfer, given by distance, as a stencil on the fine grid."""
    return Stencil.of_array(weights[np.ix_(*[[1, 0, 1]] * weights.ndim)])


def _coarse(
    coarse: str | Stencil, operator: Stencil, R: Stencil, P: Stencil, halved: Sequence[bool]
) -> Stencil:
    if isinstance(coarse, Stencil):
        return coarse
    if coarse == "rediscretised":
        return rediscretised(operator, halved)
    if coarse == "galerkin":
        steps = [2 if half else 1 for half in halved]
        down, up = Stencil(R.weights, every=steps), Stencil(P.weights, between=steps)
        return down @ operator @ up
    raise ValueError(
        f"unknown coarse operator {coarse!r}; known are 'rediscretised', 'galerkin' and Stencils"
    )


def _radius(matrices: np.ndarray) -> np.ndarray:
    return abs(np.linalg.eigvals(matrices)).max(axis=-1)


def _largest(factor: Callable[[Theta], np.ndarray], ndim: int) -> float:
    """The largest factor over [-pi/2, pi/2]^d: on a grid of frequencies, then closer around it."""
    n = _BEGIN[ndim]
    line = np.linspace(-np.pi / 2, np.pi / 2, n)
    lines = [line[n // 2 :], *[line] * (ndim - 1)]  # -theta has the complex conjugate matrix
    width, best = np.pi / (n - 1), 0.0
    for _ in range(5):
        lines = [np.where(abs(t) < _NEARLY_ZERO, _NEARLY_ZERO, t) for t in lines]
        theta = np.meshgrid(*lines, indexing="ij")
        values = factor(theta)
        where = np.unravel_index(values.argmax(), values.shape)
        best = max(best, float(values[where]))
        around = [t[where] + width * np.linspace(-1, 1, 5) for t in theta]
        lines = [np.clip(t, -np.pi / 2, np.pi / 2) for t in around]
        width /= 2
    return best


def _count(value: Any, name: str, least: int) -> None:
    if not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be a whole number, {least} or more, got {value!r}")
