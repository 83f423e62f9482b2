"""How a level goes from its iterates to the next one, where that is not ``u <- u + e``.

A correction e = B (g - A u) can be added to the last iterate, or to a weighted sum of several: the
semi-iterative methods of linear algebra, here with trained weights. A level is given a rule as its
`iteration`. For iteration i the rule has weights for the last iterates, u^i the last of them, and a
factor for e::

    u^{i+1} = weights[-1] u^i + weights[-2] u^{i-1} + ... + factor e^i

The weights add up to 1. Then a solution of A u = g stays where it is (Hackbusch, "Iterative
Solution of Large Sparse Systems of Equations", ch. 8), and r = g - A u is the same sum of earlier
residuals, less A (factor e): a :class:`mgnet.ResidualLevel` needs no further convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Chebyshev", "Iteration", "Multistep"]

Weights = tuple[list[Tensor | float], Tensor | float]


class Iteration(nn.Module):
    """The plain rule ``u^{i+1} = u^i + e^i``, from which the others start.

    Parameters
    ----------
    iterations : int
        After so many the rule begins anew, as a level does with its kernels.
    """

    def __init__(self, iterations: int):
        super().__init__()
        self.iterations = iterations

    def weights(self, i: int) -> Weights:
        """Weights of u^i and of iterates before it, their sum 1, and a factor for e^i."""
        i %= self.iterations
        return self._later(i) if i else ([1.0], 1.0)  # the first iteration has nothing before it

    def _later(self, i: int) -> Weights:
        return [1.0], 1.0

    def extra_repr(self) -> str:
        """The number of iterations."""
        return f"iterations={self.iterations}"


class Multistep(Iteration):
    """A weighted sum of all earlier iterates: ``u^{i+1} = sum_{j <= i} w_ij u^j + e^i``.

    Parameters
    ----------
    iterations : int
        After so many the rule begins anew.

    Notes
    -----
    Trained are the w_ij with j < i, zero at the start; w_ii = 1 - sum_{j < i} w_ij. They are kept
    in one vector, row after row.
    """

    def __init__(self, iterations: int):
        super().__init__(iterations)
        self.w = nn.Parameter(torch.zeros(iterations * (iterations - 1) // 2))

    def _later(self, i: int) -> Weights:
        w = self.w[i * (i - 1) // 2 : i * (i + 1) // 2]
        return [*w, 1 - w.sum()], 1.0


class Chebyshev(Iteration):
    """Chebyshev's rule: ``u^{i+1} = omega_i (u^i + e^i - u^{i-1}) + u^{i-1}``.

    Parameters
    ----------
    iterations : int
        After so many the rule begins anew.

    Notes
    -----
    Trained are omega_1, omega_2, ..., 1 at the start; the first iteration, which has no u^{i-1}, is
    u + e. Where I - B A has its eigenvalues in [-rho, rho], the choice omega_1 = 1/(1 - rho^2/2),
    omega_{i+1} = 1/(1 - rho^2 omega_i/4) reduces the error in k iterations by T_k(x/rho)/T_k(1/rho)
    for the eigenvalue x, and no polynomial is smaller there (Golub & Varga 1961).
    """

    def __init__(self, iterations: int):
        super().__init__(iterations)
        self.omega = nn.Parameter(torch.ones(iterations - 1))

    def _later(self, i: int) -> Weights:
        omega = self.omega[i - 1]
        return [1 - omega, omega], omega
