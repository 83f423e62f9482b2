"""Random problems against an independent solver: whatever is called a success is one.

Nothing here uses multigrid, or differences in the precision under test. The exact solution u_h of
the difference equations comes from a sparse factorisation in float64, refined with residuals in
extended precision; :func:`mgcore.solve` says in its notes what each success promises of u - u_h.
"""

from dataclasses import dataclass
from functools import reduce

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import splu

import mgcore
import mgnet
from benchmarks.poisson import laplacian
from mgcore import Chebyshev, GaussSeidel, Grid, Jacobi, Status

# More unknowns than these, in 1D, 2D and 3D, make the factorisation slow.
MOST = (10_000, 20_000, 8_000)


def differences(u, grid):
    """-Laplace u at interior nodes, from node values of any precision."""
    total = 0
    for axis, h in enumerate(grid.spacing):
        inside = tuple(slice(None) if a == axis else slice(1, -1) for a in range(grid.ndim))
        v = np.moveaxis(u[inside], axis, 0)
        step = u.dtype.type(h)
        second = ((v[1:-1] - v[:-2]) - (v[2:] - v[1:-1])) / (step * step)
        total = total + np.moveaxis(second, 0, axis)
    return total


def exact_solution(g, border, grid):
    """u_h as node values in extended precision."""
    inside = (slice(1, -1),) * grid.ndim
    u = np.array(border, dtype=np.longdouble)
    u[inside] = 0
    factors = splu(laplacian(grid).tocsc())
    for _ in range(4):
        r = g[inside].astype(np.longdouble) - differences(u, grid)
        size = abs(r).max() or np.longdouble(1)
        u[inside] += size * factors.solve((r / size).astype(float).ravel()).reshape(r.shape)
    return u


def lowest_eigenvalue(grid):
    return sum(
        4 / h**2 * np.sin(np.pi * h / length / 2) ** 2
        for h, length in zip(grid.spacing, grid.extent, strict=True)
    )


@dataclass(frozen=True)
class Problem:
    """Everything that a solve is told."""

    shape: tuple
    extent: tuple
    side: str  # what g is
    size: float  # of g
    border: str
    border_size: float
    guess: str
    precision: str
    backend: str
    smoother: object
    coarsest: int | None
    cycle: str
    rtol: float | None
    threads: int
    seed: int

    @property
    def grid(self):
        return Grid(self.shape, self.extent)

    def arrays(self):
        """g, border values and first guess as node values in the precision of the problem."""
        rng = np.random.default_rng(self.seed)
        x = [t / t.max() for t in self.grid.coordinates()]
        g = {
            "rough": lambda: rng.standard_normal(self.shape),
            "ones": lambda: np.ones(self.shape),
            "sines": lambda: reduce(np.multiply, [np.sin(3 * t) for t in x]),
            "point": lambda: (np.arange(np.prod(self.shape)) == np.prod(self.shape) // 2) * 1.0,
            "zero": lambda: np.zeros(self.shape),
        }[self.side]()
        border = {
            "zero": lambda: np.zeros(self.shape),
            "constant": lambda: np.ones(self.shape),
            "linear": lambda: np.broadcast_to(sum(x, 0.25), self.shape),
            "rough": lambda: rng.standard_normal(self.shape),
        }[self.border]()
        guess = {
            "none": lambda: None,
            "zero": lambda: np.zeros(self.shape),
            "rough": lambda: abs(g).max() * rng.standard_normal(self.shape),
        }[self.guess]()
        dtype = np.float32 if self.precision == "float32" else float
        arrays = (self.size * g.reshape(self.shape), self.border_size * border, guess)
        return [None if a is None else a.astype(dtype) for a in arrays]

    def solve(self):
        g, border, guess = self.arrays()
        how = {"boundary": border, "cycle": self.cycle, "rtol": self.rtol, "maxiter": 200}
        grid = {"extent": self.extent, "smoother": self.smoother}
        if self.backend == "numpy" and (self.coarsest is None or self.precision == "mixed"):
            return mgcore.solve_poisson(
                g,
                ndim=len(self.shape),
                u0=guess,
                precision=self.precision,
                threads=self.threads,
                **how,
                **grid,
            )
        library = mgcore if self.backend == "numpy" else mgnet
        grid |= {"coarsest": self.coarsest, "dtype": self.precision}
        with mgcore.threads.limited(self.threads):
            return mgcore.solve(library.poisson_levels(self.shape, **grid), g, guess, **how)


@st.composite
def problems(draw):
    ndim = draw(st.integers(1, 3))
    powers = draw(st.lists(st.integers(1, 12), min_size=ndim, max_size=ndim))
    while np.prod([2**s - 1 for s in powers]) > MOST[ndim - 1]:  # halve the longest side
        powers[powers.index(max(powers))] -= 1
    backend = draw(st.sampled_from(["numpy", "numpy", "torch"]))
    smoothers = ["sor", "sor", "redblack", "jacobi", Chebyshev(2), Chebyshev(3), Jacobi(0.5)]
    smoothers += [GaussSeidel("redblack", 0.5)]
    smoothers += [GaussSeidel("lexicographic")] if backend == "numpy" else []
    precisions = ["float64", "float32"] + (["mixed"] if backend == "numpy" else [])
    return Problem(
        shape=tuple(2**s + 1 for s in powers),
        extent=tuple(10 ** draw(st.floats(-2, 2)) for _ in range(ndim)),
        side=draw(st.sampled_from(["rough", "ones", "sines", "point", "zero"])),
        size=10.0 ** draw(st.sampled_from([0, 0, -15, 15])),
        border=draw(st.sampled_from(["zero", "zero", "constant", "linear", "rough"])),
        border_size=10.0 ** draw(st.sampled_from([0, 3, -15])),
        guess=draw(st.sampled_from(["none", "none", "zero", "rough"])),
        precision=draw(st.sampled_from(precisions)),
        backend=backend,
        smoother=draw(st.sampled_from(smoothers)),
        coarsest=draw(st.sampled_from([1, 1, None, 9])),
        cycle=draw(st.sampled_from(["fmg", "fmg", "v", "w", "f"])),
        rtol=draw(st.sampled_from([None, None, 1e-3, 1e-6, 1e-12])),
        threads=draw(st.sampled_from(sorted({1, min(2, mgcore.threads.count())}))),
        seed=draw(st.integers(0, 3)),
    )


def check(problem):
    g, border, _ = problem.arrays()
    grid = problem.grid
    inside = (slice(1, -1),) * grid.ndim
    eps = float(np.finfo("f4" if problem.precision == "float32" else "f8").eps)

    solution = problem.solve()
    u = np.asarray(solution.u).astype(np.longdouble)
    u_h = exact_solution(g, border, grid)
    error, size = np.linalg.norm((u - u_h)[inside]), np.linalg.norm(u_h[inside])
    residual = np.linalg.norm(g[inside] - differences(u, grid))
    rounding = float(eps * grid.condition * lowest_eigenvalue(grid) * np.linalg.norm(u))

    assert solution.success, solution.message
    # What is reported is what u has; computing a residual makes errors of its own, those of
    # products with first differences of u, which are smaller than u as a mesh width is.
    slack = rounding * (0.1 + 2 / np.sqrt(grid.condition))
    assert solution.residuals[-1] == pytest.approx(float(residual), rel=0.02, abs=slack)
    if solution.status is Status.CONVERGED:
        lift = exact_lift(border, grid)
        b = np.linalg.norm(g[inside] - differences(lift, grid))
        rtol = problem.rtol or (1e-4 if problem.precision == "float32" else 1e-8)
        # A b of rounding errors may be zero in the solver's precision, and the first residual is
        # then what rtol refers to.
        noise = eps * grid.condition * lowest_eigenvalue(grid) * np.linalg.norm(lift)
        target = rtol * (b if b > noise else max(b, solution.residuals[0]))
        assert error <= 1.02 * target / lowest_eigenvalue(grid) + eps * size
    else:
        assert solution.status is Status.ROUNDOFF
        assert error <= 32 * eps * max(size, np.linalg.norm(u))
    return solution


def exact_lift(border, grid):
    """The continuation of border values that the notes of solve speak of."""
    fractions = [
        np.linspace(0, 1, n, dtype=np.longdouble).reshape(-1, *[1] * (grid.ndim - axis - 1))
        for axis, n in enumerate(grid.shape)
    ]
    rest = border.astype(np.longdouble)
    for axis, t in enumerate(fractions):
        lower, upper = (np.take(rest, [end], axis) for end in (0, -1))
        rest = rest - (1 - t) * lower - t * upper
    return border - rest


@pytest.mark.slow
def test_a_success_is_a_solution():
    depths = []

    @seed(1)  # a failure is that of a change, and not of chance
    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(problems())
    def run(problem):
        depths.append(check(problem).cycle.levels)

    run()
    assert np.mean(np.array(depths) > 1) > 0.4
