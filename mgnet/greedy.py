"""Orthogonal greedy approximation by ridge functions: one neuron after the other.

A network with one hidden layer is f_n = sum_i a_i sigma(w_i x + b_i). The greedy algorithm takes as
next neuron the one that has most in common with what is left, then fits all a_i anew. For
sigma = ReLU^k it has the best rate that such networks can have::

    ||f - f_n||_L2 <= C n^(-1/2 - (2 k + 1) / (2 d))

(Siegel & Xu, IEEE Trans. Inf. Theory 68, 2022; Makovoz 1996 for the rate of the best f_n).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Greedy", "bump", "orthogonal_greedy", "power", "relu_power", "theorem_rate"]

Activation = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Greedy:
    """What the greedy algorithm has found; every f_n for n = 0, 1, ... at once.

    Attributes
    ----------
    points : ndarray
        (points, d), where functions are known.
    f : ndarray
        (points,), what was approximated.
    neurons : ndarray
        (N, d + 1), w and b of each neuron in the order of its choice.
    errors : ndarray
        (N + 1,), ||f - f_n||_L2 / ||f||_L2 for n = 0 to N.
    basis : ndarray
        (N, points); the first n are an orthonormal basis of the span of the first n neurons.
    coefficients : ndarray
        (N,), of f in that basis.
    """

    points: np.ndarray
    f: np.ndarray
    neurons: np.ndarray
    errors: np.ndarray
    basis: np.ndarray
    coefficients: np.ndarray

    def __len__(self) -> int:
        return len(self.neurons)

    def approximation(self, n: int) -> np.ndarray:
        """f_n at the points; the last one where there are not so many neurons."""
        return self.coefficients[:n] @ self.basis[:n]

    def error(self, n: int) -> float:
        """||f - f_n||_L2 / ||f||_L2; the last one where there are not so many neurons."""
        return float(self.errors[min(n, len(self))])

    def slope(self, first: int = 8) -> float:
        """The measured exponent: of the line through log(error) over log(n) from n = `first` on.

        Raises
        ------
        ValueError
            If there are no two neurons from there on.
        """
        if len(self) <= first:
            raise ValueError(f"a line from n = {first} on needs more than {len(self)} neurons")
        n = np.arange(first, len(self.errors))
        return float(np.polyfit(np.log(n), np.log(self.errors[first:]), 1)[0])


def relu_power(k: int) -> Activation:
    """sigma(t) = ReLU(t)^k; the Heaviside function for k = 0."""
    return lambda t: np.where(t > 0, t, 0.0) ** k if k else (t > 0).astype(float)


def power(k: int) -> Activation:
    """sigma(t) = t^k, a polynomial: no network with it leaves the polynomials of degree k."""
    return lambda t: t**k


def theorem_rate(k: int, d: int) -> float:
    """The exponent -1/2 - (2 k + 1) / (2 d) of the theorem for ReLU^k in d dimensions."""
    return -0.5 - (2 * k + 1) / (2 * d)


def bump(*x: np.ndarray) -> np.ndarray:
    """A smooth function to approximate in any dimension: exp(x_1) times the product of sines."""
    return np.exp(x[0]) * np.prod([np.sin(np.pi * axis) for axis in x], axis=0)


def orthogonal_greedy(
    f: Callable[..., np.ndarray],
    sigma: Activation,
    d: int,
    n: int,
    *,
    side: int | None = None,
    directions: int = 64,
    offsets: int | None = None,
) -> Greedy:
    """Approximate f on [-1, 1]^d by n neurons, chosen one after the other.

    Parameters
    ----------
    f : callable
        Of d arrays, the coordinates.
    sigma : callable
        Such as :func:`relu_power`.
    d : {1, 2}
    n : int
        Neurons; fewer are found where what is left of f is orthogonal to all, but for rounding: as
        f lies in their span, or from some 100 smooth neurons on (ReLU^3 in 1D).
    side : int, optional
        Points of the midpoint rule along each axis: 2,048 in 1D, 40 in 2D.
    directions : int
        Directions w in 2D; in 1D they are 1 and -1.
    offsets : int, optional
        Values of b for each direction: 1,024 in 1D, 50 in 2D, evenly over those where the kink of
        a neuron meets the domain.

    Returns
    -------
    Greedy

    Raises
    ------
    ValueError
        For another d, or where f is zero at all points.

    Notes
    -----
    With r = f - f_{n-1}: g_n maximises ``|<g, r>_L2|`` over all neurons g of the dictionary, and
    f_n is the orthogonal projection of f onto the span of g_1, ..., g_n.
    """
    if d not in (1, 2):
        raise ValueError(f"the dictionary is written out for d = 1 and d = 2, got {d}")
    side = side or (2048, 40)[d - 1]
    points, w = _midpoints(side, d)
    values = np.asarray(f(*points.T), float)
    dictionary = _neurons(d, directions, offsets or (1024, 50)[d - 1])
    g = sigma(dictionary[:, :d] @ points.T + dictionary[:, d:])  # (neurons, points)

    norm = np.sqrt(w * values @ values)
    if norm == 0:
        raise ValueError("f is zero at all points: there is nothing to approximate")
    basis = np.empty((n, len(values)))
    coefficients = np.empty(n)
    chosen: list[int] = []
    rest, errors = values.copy(), [1.0]
    for i in range(n):
        best = int(np.argmax(abs(g @ rest)))
        q = g[best].copy()
        before = np.sqrt(w * q @ q)
        for _ in range(2):  # one pass of Gram-Schmidt leaves what rounding makes of near-dependence
            q -= w * (basis[:i] @ q) @ basis[:i]
        length = np.sqrt(w * q @ q)
        if best in chosen or length < 1e-12 * before:
            break
        chosen.append(best)
        basis[i] = q / length
        coefficients[i] = w * basis[i] @ rest
        rest -= coefficients[i] * basis[i]
        errors.append(float(np.sqrt(w * rest @ rest) / norm))
    found = len(chosen)
    return Greedy(
        points, values, dictionary[chosen], np.array(errors), basis[:found], coefficients[:found]
    )


def _midpoints(side: int, d: int) -> tuple[np.ndarray, float]:
    """Points (side^d, d) of [-1, 1]^d, and the weight of each."""
    line = (np.arange(side) + 0.5) * 2 / side - 1
    grid = np.meshgrid(*[line] * d, indexing="ij")
    return np.stack([axis.ravel() for axis in grid], 1), (2 / side) ** d


def _neurons(d: int, directions: int, offsets: int) -> np.ndarray:
    """W of length 1 and b of all neurons of the dictionary, (neurons, d + 1)."""
    if d == 1:
        w = np.array([[1.0], [-1.0]])
    else:
        angle = 2 * np.pi * np.arange(directions) / directions
        w = np.stack([np.cos(angle), np.sin(angle)], 1)
    reach = abs(w).sum(1)  # w x runs from -reach to reach on the cube
    level = (np.arange(offsets) + 0.5) * 2 / offsets - 1
    b = reach[:, None] * level
    return np.column_stack([np.repeat(w, offsets, axis=0), b.ravel()])
