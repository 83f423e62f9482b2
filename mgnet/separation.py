"""Two sets and a hyperplane between them: separability, logistic regression, the widest margin.

The lecture's A_1 and A_2 are the rows of `x` where `first` is True and where it is False.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.optimize
import scipy.special
from scipy.spatial import KDTree
from sklearn.svm import SVC

__all__ = [
    "Hyperplane",
    "clouds",
    "disc_and_ring",
    "logistic_regression",
    "maximum_margin",
    "separable",
    "with_radius",
]


class Hyperplane(NamedTuple):
    """w x + b = 0, the set A_1 on its positive side.

    Attributes
    ----------
    w : ndarray
        (features,)
    b : float
    """

    w: np.ndarray
    b: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """W x + b of every row of `x`."""
        return x @ self.w + self.b

    def margin(self, x: np.ndarray, first: np.ndarray) -> float:
        """The distance from the hyperplane to the nearest point, negative if one is misplaced."""
        return float((_signs(first) * self(x)).min() / np.linalg.norm(self.w))

    def angle(self, other: Hyperplane) -> float:
        """The angle between the directions w of two hyperplanes, in degrees."""
        a, b = (plane.w / np.linalg.norm(plane.w) for plane in (self, other))
        # Of small angles the cosine knows half of the digits.
        return float(np.degrees(2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b))))


def separable(x: np.ndarray, first: np.ndarray) -> bool:
    """Whether some w x + b is positive on all of A_1 and negative on all of A_2.

    Parameters
    ----------
    x : ndarray
        (points, features)
    first : ndarray of bool
        (points,), True for the points of A_1.

    Notes
    -----
    A linear program: if there is such a w, a multiple of it has s (w x + b) >= 1 everywhere.
    """
    x, signs = _checked(x, first)
    sizes = np.ptp(x, axis=0)  # the solver takes coefficients of 1e-9 for zeros
    x = (x - x.mean(0)) / np.where(sizes > 0, sizes, 1)
    system = -signs[:, None] * np.column_stack([x, np.ones(len(x))])
    answer = scipy.optimize.linprog(
        np.zeros(system.shape[1]), A_ub=system, b_ub=-np.ones(len(x)), bounds=(None, None)
    )
    return bool(answer.status == 0)


def maximum_margin(x: np.ndarray, first: np.ndarray) -> Hyperplane:
    """The hyperplane whose nearest point is as far away as can be: scikit-learn's linear SVM.

    Parameters
    ----------
    x, first
        As in :func:`separable`.

    Returns
    -------
    Hyperplane
        Scaled such that the nearest points have w x + b = 1 and -1.

    Raises
    ------
    ValueError
        If the sets are not separable, or their gap is too small for the numbers of a computer.
    """
    x, signs = _checked(x, first)
    if not separable(x, first):
        raise ValueError("sets that no hyperplane separates have no margin; add a feature to x")
    # Multipliers are about one over the square of the margin: measured in gaps, far below C.
    middle, gap = x.mean(0), KDTree(x[signs > 0]).query(x[signs < 0])[0].min()
    svm = SVC(kernel="linear", C=1e8, tol=1e-8).fit((x - middle) / gap, signs > 0)
    w = svm.coef_[0] / gap
    plane = Hyperplane(w, float(svm.intercept_[0] - w @ middle))
    if (signs * plane(x)).min() < 0.99:
        raise ValueError("the margin is too small beside the size of the sets to be computed")
    return plane


def logistic_regression(x: np.ndarray, first: np.ndarray, penalty: float) -> Hyperplane:
    """The minimiser of L_lambda = sum_j -log p(x_j) + lambda w.w.

    Parameters
    ----------
    x, first
        As in :func:`separable`.
    penalty : float
        lambda, positive: without it separable sets have no minimiser, since a longer w is always
        better.

    Returns
    -------
    Hyperplane
        With w = w_1 - w_2 and b = b_1 - b_2 of the lecture's two scores.

    Raises
    ------
    ValueError
        If lambda is not positive, or there is only one set.

    Notes
    -----
    p(x) = 1 / (1 + exp(-s (w x + b))), s = 1 on A_1 and -1 on A_2, is the lecture's softmax of two
    scores. b is not penalised, which would tie the result to the origin of x. As lambda -> 0 the
    direction of w tends to that of :func:`maximum_margin`, and ``|w|`` grows as log(1/lambda) over
    the margin (Rosset, Zhu & Hastie, J. Mach. Learn. Res. 5, 2004).

    Newton's method with a step that never raises L. Near lambda = 0 the curvature is of the size
    of lambda: methods of first order stop long before, and a full step adds about one to every
    s (w x + b), so log(1/lambda) of them are needed.
    """
    x, signs = _checked(x, first)
    if not penalty > 0:
        raise ValueError(f"the penalty lambda must be positive, got {penalty}")
    rows = signs[:, None] * np.column_stack([x, np.ones(len(x))])
    ridge = np.append(np.full(x.shape[1], 2.0 * penalty), 0.0)

    def loss(theta: np.ndarray) -> float:
        return float(np.logaddexp(0, -rows @ theta).sum() + theta**2 @ ridge / 2)

    theta = np.zeros(len(ridge))
    for _ in range(1000):
        p = scipy.special.expit(-rows @ theta)  # of the wrong set
        gradient = ridge * theta - p @ rows
        hessian = (rows.T * (p * (1 - p))) @ rows + np.diag(ridge)
        step = np.linalg.solve(hessian, -gradient)
        slope = gradient @ step
        here, length = loss(theta), 1.0
        if -slope < 1e-10 * here:  # this step is the last: Newton's method squares what is missing
            theta = theta + step
            break
        while loss(theta + length * step) > here + 0.25 * length * slope:
            length /= 2
        theta = theta + length * step
    return Hyperplane(theta[:-1], float(theta[-1]))


# --- sets to look at ------------------------------------------------------------------------------


def clouds(stray: float = 0.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Two clouds of 20 points in the plane, one point of A_1 on its way into A_2.

    Parameters
    ----------
    stray : float
        How far it has gone: 0 in the middle of its own set, 1 in the middle of the other.
    seed : int

    Returns
    -------
    x : ndarray
        (40, 2); the stray is the first row.
    first : ndarray of bool
        (40,)
    """
    rng = np.random.default_rng(seed)
    middles = np.array([[1.0, 0.6], [-1.0, -0.6]])
    # Uniform in a disc: with the tails of a normal distribution the nearest points are an accident.
    radius, turn = 0.8 * np.sqrt(rng.random(40)), 2 * np.pi * rng.random(40)
    first = np.arange(40) < 20
    x = np.where(first[:, None], *middles) + radius[:, None] * np.stack(
        [np.cos(turn), np.sin(turn)], 1
    )
    x[0] = (1 - stray) * middles[0] + stray * middles[1]
    return x, first


def disc_and_ring(stray: float = 0.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """20 points in a disc and 20 in a ring around it: no line separates them, a circle does.

    Parameters
    ----------
    stray : float
        How far a point of the disc has gone: 0 in the middle, 1 in the ring.
    seed : int

    Returns
    -------
    x, first
        As in :func:`clouds`.
    """
    rng = np.random.default_rng(seed)
    first = np.arange(40) < 20
    inner, outer = np.where(first, 0.0, 1.1), np.where(first, 0.7, 1.6)
    radius = np.sqrt(inner**2 + (outer**2 - inner**2) * rng.random(40))
    turn = 2 * np.pi * rng.random(40)
    x = radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)
    x[0] = [1.35 * stray, 0.0]
    return x, first


def with_radius(x: np.ndarray) -> np.ndarray:
    """The feature map (x, y) -> (x, y, x^2 + y^2): a plane up there is a circle down here."""
    return np.column_stack([x, (x**2).sum(1)])


def _signs(first: np.ndarray) -> np.ndarray:
    return np.where(first, 1.0, -1.0)


def _checked(x: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points and the sign of each; an error for what are not two sets."""
    x, first = np.asarray(x, float), np.asarray(first)
    if x.ndim != 2 or first.shape != x.shape[:1] or first.dtype != bool:
        raise ValueError(
            f"points must be (points, features) and `first` one bool for each, got {x.shape} and "
            f"{first.dtype} of shape {first.shape}"
        )
    if first.all() or not first.any():
        raise ValueError("one of the two sets is empty")
    return x, _signs(first)
