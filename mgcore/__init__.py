"""mgcore: geometric multigrid for -div(a grad u) + c u = g; its driver walks MgNet as well."""

from importlib.metadata import PackageNotFoundError as _NotInstalled
from importlib.metadata import version as _version

from mgcore.axis import Robin
from mgcore.convergence import asymptotic_factor
from mgcore.cycle import (
    Cycle,
    Visit,
    f_cycle,
    full_multigrid,
    run,
    slash_cycle,
    v_cycle,
    w_cycle,
)
from mgcore.faces import divergence, gradient
from mgcore.fourier import smoothing_factor, two_grid_factor
from mgcore.grid import Grid
from mgcore.poisson import poisson_levels, solve_poisson
from mgcore.smoothers import Chebyshev, GaussSeidel, Jacobi, Kernel, Zebra
from mgcore.solution import ConvergenceError, ConvergenceWarning, Solution
from mgcore.solve import solve
from mgcore.stencil import Stencil
from mgcore.verdict import Status

try:
    __version__ = _version("mgcore")
except _NotInstalled:  # the source folder on the path
    __version__ = "0+unknown"

__all__ = [
    "Chebyshev",
    "ConvergenceError",
    "ConvergenceWarning",
    "Cycle",
    "GaussSeidel",
    "Grid",
    "Jacobi",
    "Kernel",
    "Robin",
    "Solution",
    "Status",
    "Stencil",
    "Visit",
    "Zebra",
    "__version__",
    "asymptotic_factor",
    "divergence",
    "f_cycle",
    "full_multigrid",
    "gradient",
    "poisson_levels",
    "run",
    "slash_cycle",
    "smoothing_factor",
    "solve",
    "solve_poisson",
    "two_grid_factor",
    "v_cycle",
    "w_cycle",
]
