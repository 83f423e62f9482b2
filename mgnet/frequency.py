"""The frequency principle in one dimension: which modes of an error gradient descent learns first.

A network with one hidden layer, f_n = sum_i a_i phi(w x + b_i) on [0, 1], begins with the lecture's
two bases on nodes x_i = i h, h = 1/n::

    hat    phi_i(x) = phi((x - x_{i-1}) / (2 h))       support 2 h, height 1
    ReLU   r_i(x)  = ReLU((x - x_{i-1}) / (2 h))

Both span the piecewise linear functions that vanish at 0. In between lie wider hats: phi with
support M instead of 1 is twice ReLU on [0, 1] as soon as h M >= 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mgnet.activations import Hat

__all__ = [
    "ShallowNetwork",
    "condition_number",
    "descend",
    "gram",
    "midpoints",
    "neurons",
    "sines",
    "spectrum",
    "train",
]


def midpoints(count: int = 512) -> np.ndarray:
    """The points of the midpoint rule on [0, 1]; every integral here is a mean over them."""
    return (np.arange(count) + 0.5) / count


def neurons(x: np.ndarray, n: int, support: float = 1.0) -> np.ndarray:
    """The values of n neurons before training.

    Parameters
    ----------
    x : ndarray
        (points,)
    n : int
        Neurons, and mesh widths of [0, 1].
    support : float
        M: 1 gives the lecture's hat basis, ``math.inf`` its ReLU basis, but for a factor 2 that
        makes the hat's peak 1.

    Returns
    -------
    ndarray
        (n, points)
    """
    t = n / 2 * x - np.arange(n)[:, None] / 2  # (x - x_{i-1}) / (2 h)
    return 2 * np.maximum(np.minimum(t, support - t), 0)


def gram(phi: np.ndarray) -> np.ndarray:
    """The integrals of phi_i phi_j, (n, n), the mass matrix of finite elements for hats."""
    return phi @ phi.T / phi.shape[1]


def condition_number(phi: np.ndarray) -> float:
    """Largest over smallest eigenvalue of the mass matrix.

    Below 6 for hats however many there are; about n^4 for ReLU.
    """
    values = np.linalg.eigvalsh(gram(phi))
    return float(values[-1] / values[0])


def descend(phi: np.ndarray, f: np.ndarray, steps: Sequence[int]) -> np.ndarray:
    """The errors f - f_n after so many steps of gradient descent for the a_i alone.

    Parameters
    ----------
    phi : ndarray
        (n, points)
    f : ndarray
        (points,)
    steps : sequence of int

    Returns
    -------
    ndarray
        (len(steps), points)

    Notes
    -----
    Exactly, in the eigenvectors of the mass matrix G: a step of length 1 / lambda_max for
    ||f - sum_i a_i phi_i||^2 / 2 from a = 0 leaves (1 - lambda / lambda_max)^t of an eigenvector's
    part of the error after t steps.
    """
    values, vectors = np.linalg.eigh(gram(phi))
    right = vectors.T @ (phi @ f) / len(f)
    ratio = np.minimum(values / values[-1], 1 - 1e-16)
    t = np.asarray(steps, float)[:, None]
    # 1 - (1 - ratio)^t, without cancellation where the ratio is tiny.
    learned = -np.expm1(t * np.log1p(-ratio)) / values
    return f - (learned * right) @ vectors.T @ phi


def sines(x: np.ndarray, frequencies: Sequence[int]) -> np.ndarray:
    """The sum of sin(2 pi k x) over the frequencies k."""
    return np.sin(2 * np.pi * np.multiply.outer(frequencies, x)).sum(0)


def spectrum(errors: np.ndarray, highest: int) -> np.ndarray:
    """How much of sin(2 pi k x), k = 1 to `highest`, is in each error.

    Parameters
    ----------
    errors : ndarray
        (..., points), at :func:`midpoints`.
    highest : int
        The largest k.

    Returns
    -------
    ndarray
        (..., highest): ``2 |integral of e sin(2 pi k x)|``, which is 1 for sin(2 pi k x) itself.
    """
    x = midpoints(errors.shape[-1])
    modes = np.sin(2 * np.pi * np.multiply.outer(np.arange(1, highest + 1), x))
    return 2 * abs(errors @ modes.T) / len(x)


class ShallowNetwork(nn.Module):
    """f_n(x) = sum_i a_i phi(w_i x + b_i), all of it trained, from a = 0 and the basis above.

    Parameters
    ----------
    n : int
        Neurons.
    support : float
        M of the hat, ``math.inf`` for ReLU.
    """

    def __init__(self, n: int, support: float = 1.0):
        super().__init__()
        self.sigma = nn.ReLU() if support == float("inf") else Hat(support)
        self.a = nn.Parameter(torch.zeros(n, dtype=torch.float64))
        self.w = nn.Parameter(torch.full((n,), n / 2, dtype=torch.float64))
        self.b = nn.Parameter(-torch.arange(n, dtype=torch.float64) / 2)

    def hidden(self, x: Tensor) -> Tensor:
        """The values of the neurons, (points, n)."""
        return 2 * self.sigma(torch.addcmul(self.b, x[:, None], self.w))

    def forward(self, x: Tensor) -> Tensor:
        """The values f_n at the points `x`, (points,)."""
        return self.hidden(x) @ self.a


def train(
    network: ShallowNetwork, f: np.ndarray, steps: Sequence[int], *, rate: float = 0.002
) -> np.ndarray:
    """Train a, w and b by Adam; the errors after so many steps.

    Parameters
    ----------
    network : ShallowNetwork
        Trained in place.
    f : ndarray
        (points,), at :func:`midpoints`.
    steps : sequence of int
        Rising.
    rate : float

    Returns
    -------
    ndarray
        (len(steps), points), f - f_n.
    """
    target, x = torch.as_tensor(f), torch.as_tensor(midpoints(len(f)))
    optimizer = torch.optim.Adam(network.parameters(), rate)
    errors, wanted = [], set(steps)
    for step in range(max(wanted) + 1):
        error = target - network(x)
        if step in wanted:
            errors.append(error.detach().numpy().copy())
        if step == max(wanted):  # the network is the one of the last error
            break
        optimizer.zero_grad()
        error.square().mean().backward()
        optimizer.step()
    return np.array(errors)
