"""The front door: -Laplace u = g on a box, by geometric multigrid on Numba arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise, takewhile
from typing import Any

from mgcore.batch import Solver, one_by_one
from mgcore.box_level import BoxLevel, in_one_pass
from mgcore.chain import Rung, grids, rungs
from mgcore.cycle import Cycle, walkable
from mgcore.diffusion import Medium, equation, named
from mgcore.gate import (
    DTYPES,
    batch_of,
    check_callback,
    check_dtype,
    check_weights,
    default_precision,
    real_array,
    stiffness,
)
from mgcore.grid import Grid
from mgcore.kernels import WHY_PLAIN
from mgcore.level import Hierarchy
from mgcore.mixed import MixedLevel
from mgcore.poisson_level import PoissonLevel, title
from mgcore.smoothers import Smoother, pointwise
from mgcore.smoothers import smoother as smoother_record
from mgcore.solution import Solution, print_progress, report
from mgcore.solve import iterate
from mgcore.stencil import Stencil
from mgcore.stencil_level import StencilLevel, stencil_levels
from mgcore.threads import limited

__all__ = ["poisson_levels", "solve_poisson"]


def poisson_levels(
    shape: int | Sequence[int] | None = None,
    *,
    extent: float | Sequence[float] | None = None,
    spacing: float | Sequence[float] | None = None,
    sides: Any = "dirichlet",
    coordinates: Sequence[Any] | None = None,
    coefficient: Any = 1.0,
    mean: str = "arithmetic",
    reaction: Any = 0.0,
    operator: Stencil | None = None,
    smoother: str | Smoother = "sor",
    restriction: str = "full",
    prolongation: str = "linear",
    coarsest: int | None = None,
    dtype: Any = "float64",
    fused: bool = True,
) -> Hierarchy[Any]:
    """The chain of grids for -div(a grad u) + c u = g, set up once for any number of solves.

    Parameters
    ----------
    shape : int or sequence of int, optional
        Nodes along each of one to three axes, boundary included, 3 or more each. Along a periodic
        axis the end is not counted twice. May be left out where `coordinates` are given.
    extent, spacing : float or sequence of float, optional
        Length of the box along each axis, or the mesh width; one number is for every axis. Give one
        of them; by default the box has the length 1 along each axis. Coordinates begin at 0, for
        functions that are given as `boundary`; where they do not, pass them as `coordinates`.
    sides : str or Robin or sequence of them
        What is known at the ends of each axis: "dirichlet" (u), "neumann" (the flux a du/dn),
        "periodic" or ``mgcore.Robin(beta)`` (a du/dn + beta u); one for all, or for each axis one
        or a pair (lower, upper), in 1D the pair alone. The values themselves are given to
        :func:`mgcore.solve`.
    coordinates : sequence of array, optional
        The nodes along each axis, increasing: a graded mesh.
    coefficient : float, array_like or list of them
        a > 0 at the nodes or in the cells between them; a list has one for each axis. With periodic
        sides alone there are as many cells as nodes, and an array is that at the nodes.
    mean : {"arithmetic", "harmonic"}
        Of two values of a at nodes, for the face between them.
    reaction : float or array_like
        c >= 0 at the nodes.
    operator : Stencil, optional
        Constant weights of up to 3^d points in place of -div(a grad u) + c u.
    smoother : str or record
        A name of :data:`mgcore.smoothers.SMOOTHERS` or a record of that module. The default,
        red-black SOR, is the fastest; "zebra" is for one axis that couples much more strongly.
    restriction : {"full", "half", "injection"}
        Half weighting in 2D only. Injection needs smoothers that leave residuals smooth, such as
        Chebyshev; with red-black orders it diverges.
    prolongation : {"linear"}
        (Bi/tri)linear; full multigrid takes new solutions up by cubic interpolation.
    coarsest : int, optional
        Coarsening ends at so many unknowns or less, which are solved directly. By default that is
        where a direct solve takes as long as a visit: 33^2 nodes or 17^3, where coefficients
        vary about 80 unknowns. With 1, grids of 2^s + 1 nodes go down to three along each axis.
    dtype : {"float64", "float32"}
    fused : bool
        Whether smoothing and transfers go in one pass over memory where they can. False, for
        debugging and comparison, runs the plain kernels sweep by sweep: the same to rounding, and
        slower.

    Returns
    -------
    Hierarchy
        Levels for :func:`mgcore.solve` and :func:`mgcore.cycle.run`; `print` shows their table.

    Raises
    ------
    ValueError
        For a shape, extent or name that does not fit; the message says what does.
    """
    grid = Grid(shape, extent, sides, coordinates, spacing)
    problem = equation(grid, coefficient, mean, reaction, operator)
    if not isinstance(fused, bool):
        raise ValueError(f"fused must be True or False, got {fused!r}")
    dtype = check_dtype(dtype)
    return _levels(grid, problem, smoother, restriction, prolongation, dtype, fused, coarsest)


def _levels(
    grid: Grid,
    problem: Medium | Stencil,
    smoother: str | Smoother,
    restriction: str,
    prolongation: str,
    dtype: str,
    fused: bool = True,
    coarsest: int | None = None,
) -> Hierarchy[Any]:
    """Levels with kernels of their own where there are some, else general ones."""
    record = smoother_record(smoother)
    stiffness(grid, dtype)  # checks it
    chain = grids(grid, problem, coarsest)
    own = _with_kernels(chain, problem) if pointwise(record) else 0
    levels: list[Any] = []
    if own < len(chain):
        seen = Medium.constant(chain[own]) if own else problem
        ladder = rungs(chain[own:], seen, restriction, prolongation)
        check_weights(ladder[0].operator.bound, dtype)
        levels += _general(ladder, record, dtype, fused, below=own > 0)
    for each in reversed(chain[:own]):
        coarse = levels[0] if levels else None
        level = PoissonLevel(each, record, restriction, prolongation, dtype, coarse, fused=fused)
        levels.insert(0, level)
    heading = title(named(problem), grid, dtype, restriction, prolongation)
    remarks = dict.fromkeys(level.remark for level in levels if level.remark)
    return Hierarchy(levels, "; ".join([heading, *remarks]))


def _general(
    ladder: Sequence[Rung], smoother: Smoother, dtype: str, fused: bool, below: bool
) -> list[BoxLevel | StencilLevel]:
    """Levels for any operator, sides and meshes, maybe `below` finer ones of another kind.

    The finest ones are in one pass each, as far down as there is one.
    """
    pairs = [] if below else pairwise(ladder)
    boxes = sum(1 for _ in takewhile(lambda pair: in_one_pass(*pair, smoother), pairs))
    plain = WHY_PLAIN if fused else "fused=False"
    first = 0 if plain else boxes
    levels: list[BoxLevel | StencilLevel] = [
        *stencil_levels(ladder[first:], smoother, dtype, fused)
    ]
    for rung in reversed(ladder[:first]):
        levels.insert(0, BoxLevel(rung, smoother, dtype, levels[0]))
    if plain and boxes:
        levels[0].remark = f"plain kernels: {plain}"
    return levels


def _with_kernels(chain: Sequence[Grid], problem: Medium | Stencil) -> int:
    """How many of the finest grids have kernels of their own: see PoissonLevel.

    Those are for -Laplace with Dirichlet sides on even meshes that are halved evenly. In 2D passes
    read and write rows in whole vectors, of which there are none at the end of other rows.
    """
    if not chain[0].dirichlet or not isinstance(problem, Medium) or not problem.plain:
        return 0
    if chain[0].nested:
        return len(chain)
    evenly = (
        fine.even and coarse.even and (fine.ndim != 2 or (fine.shape[-1] - 1) % 32 == 0)
        for fine, coarse in pairwise(chain)
    )
    return sum(1 for _ in takewhile(bool, evenly))


def solve_poisson(
    g: Any,
    *,
    ndim: int | None = None,
    boundary: Any = 0.0,
    extent: float | Sequence[float] | None = None,
    spacing: float | Sequence[float] | None = None,
    sides: Any = "dirichlet",
    coordinates: Sequence[Any] | None = None,
    coefficient: Any = 1.0,
    mean: str = "arithmetic",
    reaction: Any = 0.0,
    operator: Stencil | None = None,
    u0: Any = None,
    rtol: float | None = None,
    atol: float = 0.0,
    maxiter: int = 50,
    cycle: str | Sequence[Any] = "fmg",
    smoother: str | Smoother = "sor",
    precision: str | None = None,
    threads: int | None = None,
    callback: Callable[[Solution], Any] | None = None,
    progress: bool = False,
    project: bool = True,
    throw: bool = False,
) -> Solution:
    """Solve -Laplace u = g on a box, or -div(a grad u) + c u = g, with any sides.

    Parameters
    ----------
    g : array_like
        Right-hand side at the nodes of one to three axes, boundary included; values where u is
        given are ignored.
    ndim : int, optional
        Axes of the grid, the last ones of `g`; the axes before count right-hand sides. By default
        all axes are the grid's. A batch is solved one by one on the same levels; `residuals` and
        all else that a solution tells besides u are of the member that did worst.
    boundary : float, array_like, callable or sequence of pairs
        Values of u on Dirichlet sides: a number, an array of the shape of `g` whose border is used,
        or a function of the nodes' coordinates (arrays that broadcast). Or for each axis a pair of
        what is given on its lower and upper side, of u or of the flux (outwards positive). See
        :func:`mgcore.solve`.
    extent, spacing, sides, coordinates, coefficient, mean, reaction, operator
        The box and the equation, see :func:`poisson_levels`. Where no side holds u and c = 0, the
        mean of g (with the fluxes) is taken out, if `project` does not refuse that, and the mean of
        u is zero, both over the box: nodes on its sides count by half.
    u0 : array_like, optional
        First guess; of a batch for all members or for each. A good one pays with cycle="v": full
        multigrid finds as much from nothing.
    rtol, atol : float
        Stop when ||g - A u||_2 <= max(rtol ||b||_2, atol) over the unknowns, b the
        right-hand side once the border values are taken out. By default rtol is 1e-8, in float32
        1e-4. With both zero, `maxiter` cycles are run.
    maxiter : int
        Cycles at most.
    cycle : {"fmg", "v", "w", "f"} or sequence of Visit
        "fmg" is one full multigrid, then V(1,1).
    smoother : str or record
        See :func:`poisson_levels`.
    precision : {None, "float64", "float32", "mixed"}
        By default float32 for a float32 `g`, else float64. "mixed" corrects a float64 solution by
        float32 cycles: as accurate as float64, and faster for rough right-hand sides and in 3D (see
        docs/performance.md). `maxiter`, `nit`, `residuals` and callbacks then count corrections, of
        several cycles each.
    threads : int, optional
        Threads to run on, by default what NUMBA_NUM_THREADS says, or all cores.
    callback : callable, optional
        Called with the :class:`mgcore.Solution` so far after every cycle; may raise StopIteration,
        which ends the work on this right-hand side.
    progress : bool
        Print a line for each cycle on stderr.
    project : bool
        See :func:`mgcore.solve`.
    throw : bool
        Raise an error where the solve fails, instead of a warning.

    Returns
    -------
    Solution

    Raises
    ------
    ValueError
        For input that does not fit; the message says what does.
    ConvergenceError
        Where the solve fails and `throw` is set; it carries the solution.

    Warns
    -----
    ConvergenceWarning
        Where the solve fails otherwise.
    UserWarning
        Where an axis of three nodes beside long ones looks like a batch.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(0, 1, 129)
    >>> g = 5 * np.pi**2 * np.outer(np.sin(np.pi * x), np.sin(2 * np.pi * x))
    >>> solution = solve_poisson(g)
    >>> solution.success
    True
    >>> float(abs(solution.u - g / (5 * np.pi**2)).max()) < 2e-4
    True
    """
    g = real_array(g, "g")
    batch = batch_of(g.shape, ndim)
    precision = default_precision(g.dtype) if precision is None else precision
    if precision not in (*DTYPES, "mixed"):
        raise ValueError(
            f"precision must be 'float64', 'float32', 'mixed' or None, got {precision!r}"
        )
    cycle = walkable(cycle)
    grid = Grid(g.shape[len(batch) :], extent, sides, coordinates, spacing)
    problem = equation(grid, coefficient, mean, reaction, operator)
    how: Any = {"cycle": cycle, "rtol": rtol, "atol": atol, "maxiter": maxiter}
    how["callback"] = print_progress(callback) if progress else callback
    with limited(threads):
        if precision == "mixed":
            solve_one = _mixed(grid, problem, smoother, **how)
        else:
            solve_one = _plain(grid, problem, smoother, precision, **how, project=project)
        if not batch:
            return report(solve_one(g, u0, boundary, None), throw)
        dtype = "float64" if precision == "mixed" else precision
        return report(one_by_one(solve_one, grid, dtype, g, u0, boundary), throw)


def _plain(
    grid: Grid, problem: Medium | Stencil, smoother: str | Smoother, precision: str, **how: Any
) -> Solver:
    """Cycles in one dtype."""
    levels = _levels(grid, problem, smoother, "full", "linear", precision)
    return lambda g, u0, boundary, out: iterate(levels, g, u0, boundary=boundary, out=out, **how)


def _mixed(
    grid: Grid, problem: Medium | Stencil, smoother: str | Smoother, *,
    cycle: Any, rtol: float | None, atol: float, callback: Any, maxiter: int,
) -> Solver:  # fmt: skip
    """Corrections by float32 cycles, with Dirichlet's values on all sides."""
    check_callback(callback)
    stiffness(grid, "float64")  # checks it
    if (
        not grid.nested
        or not _with_kernels([grid], problem)
        or not pointwise(smoother_record(smoother))
    ):
        raise ValueError(
            "precision='mixed' is for -Laplace u = g with Dirichlet sides, 2^s + 1 equally spaced "
            "nodes along each axis and a smoother of points, not lines or a kernel; use 'float64'"
        )
    # In units of the smallest mesh width nothing over- or underflows in float32.
    unit = min(grid.spacing)
    scaled = [length / unit for length in grid.extent]
    inner = poisson_levels(grid.shape, extent=scaled, smoother=smoother, dtype="float32")
    outer = PoissonLevel(grid, smoother_record(smoother), "full", "linear", "float64", None)
    rtol = 1e-8 if rtol is None else rtol

    def solve_one(g: Any, u0: Any, boundary: Any, out: Any) -> Solution:
        level = MixedLevel(outer, inner, length=unit, cycle=cycle, rtol=rtol, atol=atol)

        def counted(solution: Solution) -> Solution:
            return replace(solution, work_units=level.work_units, cycle=level.first)

        return counted(
            iterate(
                [level], g, u0, boundary=boundary, cycle=Cycle([(0, 1)]), out=out,
                rtol=rtol, atol=atol, maxiter=maxiter,
                callback=None if callback is None else lambda so_far: callback(counted(so_far)),
            )
        )  # fmt: skip

    return solve_one
