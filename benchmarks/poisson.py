"""mgcore beside what a user would take otherwise, in one run, every solution checked.

    python -m benchmarks.poisson

Peers: the direct solver by sine transforms of scipy.fft on as many threads, PyAMG's ruge_stuben,
PETSc's multigrid where petsc4py is installed, and for one V cycle the time in which a STREAM triad
moves the bytes that no cycle can avoid. Peers take turns, so that a noisy machine disturbs all of
them; times are medians, given per unknown. Solutions are compared with the direct one, those with
set-up included and V(1,1) by their residuals, and a wrong one ends the run. Writes
results/poisson.csv, results/poisson.md and figures/poisson.png.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial, reduce
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange
from scipy import sparse

import mgcore
from benchmarks.convergence import sines
from benchmarks.direct import DirectSolver
from benchmarks.nested import check_nested
from benchmarks.report import Goal, markdown, publish
from mgcore import Grid, threads
from mgcore.plotting import COLOURS

SIZES_2D = (513, 1025, 2049, 4097, 8193)
SIZES_3D = (65, 129, 257)
FMG, IN_ONE_CALL, DST = "full multigrid", "full multigrid by solve_poisson", "sine transforms"
ACCURATE, IN_TURN = "to discretisation error", "sizes in turn"
LOOSE, TIGHT = "residual x 1e-08", "residual x 1e-10"
WITH_SET_UP = f"{LOOSE}, set-up included"
V_CYCLE, PASS = "V(1,1)", "one pass"
# Tasks whose solvers are named without them, and those that are parts of a solve.
ALONE, PARTS = (ACCURATE, V_CYCLE, PASS), (V_CYCLE, PASS)


class Row(NamedTuple):
    """One solver on one problem."""

    task: str
    nodes: str
    solver: str
    ns_per_unknown: float
    error: float  # max |u - u_h| in parts of the error that the task allows


Solver = Callable[[np.ndarray], np.ndarray]


def race(
    calls: Mapping[str, Callable[[], Any]], unknowns: int | Mapping[str, int], rounds: int
) -> dict[str, float]:
    """Median ns per unknown of each call, over rounds in which they take turns.

    A turn lasts a tenth of a second at least, in repeated calls, and begins with one that is not
    counted: the peer before has filled the caches with its own arrays.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()
            began, repeats = time.perf_counter(), 0
            while repeats == 0 or time.perf_counter() - began < 0.1:
                call()
                repeats += 1
            seconds[name].append((time.perf_counter() - began) / repeats)
    sizes = dict.fromkeys(calls, unknowns) if isinstance(unknowns, int) else unknowns
    return {name: statistics.median(s) / sizes[name] * 1e9 for name, s in seconds.items()}


def check(task: str, solver: str, error: float) -> float:
    """Refuse to time wrong solutions; `error` is in parts of what is allowed."""
    if not error <= 1:
        raise RuntimeError(f"{task}: {solver} is wrong, {error:.3g} times the error allowed")
    return error


def label(shape: Sequence[int]) -> str:
    """2049^2."""
    return f"{shape[0]}^{len(shape)}"


# --- tasks --------------------------------------------------------------------------------------


def full_multigrid(shape: tuple[int, ...], g: np.ndarray) -> Callable[[], np.ndarray]:
    """One full multigrid for g, with levels and memory that are set up once."""
    levels = mgcore.poisson_levels(shape, smoother="sor")
    fine, cycle, u = levels[0], mgcore.full_multigrid(len(levels)), np.empty(shape)
    return lambda: fine.finish(mgcore.run(levels, cycle, fine.start(g, out=u)), out=u)


def accurate(shape: tuple[int, ...], rounds: int) -> list[Row]:
    """Smooth g, solved to the discretisation error: one full multigrid against the DST.

    The error allowed is .3 of the discretisation error in the max norm, in 3D .6: there one V(1,1)
    a level leaves more.
    """
    grid = Grid(shape)
    exact, g = sines(grid.coordinates())
    inside = (slice(1, -1),) * grid.ndim
    direct, multigrid = DirectSolver(grid, threads.count()), full_multigrid(shape, g)

    def in_one_call() -> np.ndarray:
        return mgcore.solve_poisson(g, rtol=0, maxiter=1).u

    u_h = direct(g).copy()
    allowed = (0.6 if grid.ndim == 3 else 0.3) * abs(u_h - exact[inside]).max()
    del exact
    task = ACCURATE
    errors = {}
    for name, call in ((FMG, multigrid), (IN_ONE_CALL, in_one_call)):
        errors[name] = check(task, name, abs(call()[inside] - u_h).max() / allowed)
    del u_h
    calls = {FMG: multigrid, IN_ONE_CALL: in_one_call, DST: lambda: direct(g)}
    times = race(calls, grid.size, rounds)
    return [Row(task, label(shape), name, t, errors.get(name, 0.0)) for name, t in times.items()]


def reduced(shape: tuple[int, ...], rtol: float, rounds: int, smooth: bool = False) -> list[Row]:
    """Random g (or g = 1), residual reduced by `rtol`: solve_poisson against the DST.

    The error allowed is rtol ||g|| in the norm of A u - g: no multiple of it is lost in u.
    """
    grid = Grid(shape)
    g = np.ones(shape) if smooth else np.random.default_rng(0).standard_normal(shape)
    direct = DirectSolver(grid, threads.count())
    task = f"{'g = 1, ' if smooth else ''}residual x {rtol:.0e}"
    # Rounding errors of u_h, through A: far more of ||g|| where g is smooth.
    rounding = np.finfo(float).eps * (max(shape) ** 2 if smooth else 1e4)
    calls: dict[str, Callable[[], Any]] = {
        "solve_poisson": lambda: mgcore.solve_poisson(g, rtol=rtol),
        "solve_poisson, mixed": lambda: mgcore.solve_poisson(g, rtol=rtol, precision="mixed"),
    }
    u_h = np.zeros(shape)
    u_h[(slice(1, -1),) * grid.ndim] = direct(g)
    fine = mgcore.poisson_levels(shape)[0]
    scale = fine.norm(g)
    errors = {}
    for name, call in calls.items():
        # A (u - u_h) = A u - g but for rounding.
        solution = call()
        left = fine.residual_norm(fine.start(np.zeros(shape), solution.u - u_h))
        errors[name] = check(task, name, left / scale / (1.01 * rtol + rounding))
    del u_h
    times = race(calls | {DST: lambda: direct(g)}, grid.size, rounds)
    return [Row(task, label(shape), name, t, errors.get(name, 0.0)) for name, t in times.items()]


def at_all_sizes(shapes: Sequence[tuple[int, ...]], rounds: int) -> list[Row]:
    """One full multigrid at all sizes, which take turns; :func:`accurate` checks what it gives."""
    calls = {
        label(shape): full_multigrid(shape, sines(Grid(shape).coordinates())[1]) for shape in shapes
    }
    times = race(calls, {label(shape): Grid(shape).size for shape in shapes}, rounds)
    return [Row(IN_TURN, nodes, FMG, t, 0.0) for nodes, t in times.items()]


def by_matrix(shape: tuple[int, ...], ours: tuple[int, ...], rounds: int) -> list[Row]:
    """Random g to 1e-8 by peers that take a sparse matrix, set-up included, and solve_poisson.

    Peers solve on `shape`, solve_poisson on `ours`: large matrices take too long.
    """
    rtol, grid, fine = 1e-8, Grid(shape), mgcore.poisson_levels(ours)[0]
    A = laplacian(grid)
    b = np.random.default_rng(0).standard_normal(shape)[(slice(1, -1),) * grid.ndim].ravel()
    g = np.random.default_rng(0).standard_normal(ours)
    calls: dict[str, Callable[[], Any]] = {
        "solve_poisson": partial(mgcore.solve_poisson, g, rtol=rtol),
        "solve_poisson, mixed": partial(mgcore.solve_poisson, g, rtol=rtol, precision="mixed"),
    }
    left = {
        name: float(fine.residual_norm(fine.start(g, call().u)) / fine.norm(g))
        for name, call in calls.items()
    }
    nodes, unknowns = dict.fromkeys(calls, label(ours)), dict.fromkeys(calls, fine.size)
    for name, make in (("PyAMG ruge_stuben", pyamg_solver), ("PETSc CG + PCMG", petsc_solver)):
        try:
            solve = make(A, rtol, grid)
        except ImportError as missing:
            print(f"without {name}: {missing}", file=sys.stderr)
            continue
        left[name] = float(np.linalg.norm(b - A @ solve(b)) / np.linalg.norm(b))
        calls[name], nodes[name], unknowns[name] = partial(solve, b), label(shape), grid.size
    errors = {name: check(WITH_SET_UP, name, left[name] / (1.01 * rtol)) for name in calls}
    times = race(calls, unknowns, rounds)
    return [Row(WITH_SET_UP, nodes[name], name, t, errors[name]) for name, t in times.items()]


def laplacian(grid: Grid) -> sparse.csr_matrix:
    """A at the interior nodes."""
    total: Any = 0.0
    for axis, h in enumerate(grid.spacing):
        factors = [sparse.identity(n) for n in grid.interior]
        n = grid.interior[axis]
        factors[axis] = sparse.diags([-1.0, 2.0, -1.0], [-1, 0, 1], (n, n)) / h**2
        total = total + reduce(sparse.kron, factors)
    return sparse.csr_matrix(total)


def pyamg_solver(A: sparse.csr_matrix, rtol: float, grid: Grid) -> Solver:
    """Classical algebraic multigrid of PyAMG."""
    import pyamg

    return lambda b: pyamg.ruge_stuben_solver(A).solve(b, tol=rtol)


def petsc_solver(A: sparse.csr_matrix, rtol: float, grid: Grid) -> Solver:
    """Conjugate gradients with PETSc's geometric multigrid on Galerkin's matrices, on one process.

    Its grids include the border, where u is zero by equations of their own, d u = 0.
    """
    from petsc4py import PETSc

    inside = np.zeros(grid.shape, dtype=bool)
    inside[(slice(1, -1),) * grid.ndim] = True
    P = sparse.identity(inside.size, format="csc")[:, inside.ravel()]
    B = sparse.csr_matrix(P @ A @ P.T + A[0, 0] * (sparse.identity(inside.size) - P @ P.T))
    B.sort_indices()
    options = {
        "ksp_type": "cg", "ksp_norm_type": "unpreconditioned", "ksp_rtol": rtol,
        "pc_type": "mg", "pc_mg_levels": int(np.log2(min(grid.shape) - 1)),
        "pc_mg_galerkin": "both", "mg_levels_ksp_type": "chebyshev", "mg_levels_ksp_max_it": 2,
        "mg_levels_pc_type": "jacobi",
    }  # fmt: skip

    def solve(b: np.ndarray) -> np.ndarray:
        grids = PETSc.DMDA().create(grid.shape[::-1], dof=1, stencil_width=1, stencil_type="star")
        csr = (B.indptr.astype(PETSc.IntType), B.indices.astype(PETSc.IntType), B.data)
        matrix, method = PETSc.Mat().createAIJ(B.shape, csr=csr), PETSc.KSP().create()
        method.setDM(grids)
        method.setDMActive(False)  # for its transfers alone
        method.setOperators(matrix)
        for name, value in options.items():
            PETSc.Options()[name] = value
        method.setFromOptions()
        right, x = PETSc.Vec().createWithArray(P @ b), matrix.createVecRight()
        method.solve(right, x)
        u = P.T @ x.getArray()
        for petsc_object in (grids, matrix, method, right, x):
            petsc_object.destroy()
        return u

    return solve


@numba.njit(parallel=True, cache=True)
def triad(a, b, c, s):
    """STREAM's triad a = b + s c."""
    for i in prange(a.shape[0]):
        for j in range(a.shape[1]):
            a[i, j] = b[i, j] + s * c[i, j]


# Bytes that a V(1,1) moves for each unknown in float64, each half of it one pass over memory:
#
#     down   read u 8, read g 8, write u 8; write the coarser g 2, which is fetched before, 2     28
#     up     read u 8, read g 8, write u 8; read the coarser u 2                                  26
#
# On coarser grids u is zero on the way down and need not be read, but is fetched to be written, the
# same 8. All grids together are 1 + 1/4 + 1/16 + ... = 4/3 of the finest. A triad reads 16, writes
# 8 and fetches them before, 8.
V_CYCLE_BYTES, TRIAD_BYTES = (28 + 26) * 4 / 3, 32


def one_cycle(shape: tuple[int, ...], rounds: int) -> list[Row]:
    """V(1,1) against the time in which a triad moves the bytes that it cannot avoid.

    Where the arrays lie in memory makes a triad up to a third faster or slower, so both get new
    ones in each round.
    """
    grid = Grid(shape)
    levels = mgcore.poisson_levels(shape, smoother="sor")
    cycle = mgcore.v_cycle(len(levels))
    g = np.random.default_rng(0).standard_normal(shape)
    state = levels[0].start(g)
    for _ in range(8):
        state = mgcore.run(levels, cycle, state)
    task = name = V_CYCLE
    left = levels[0].residual_norm(state) / levels[0].norm(g)
    error = check(task, name, left / 0.1**8)
    del state
    bound = f"STREAM triad, {V_CYCLE_BYTES / TRIAD_BYTES:.2f} of them"
    times = []
    for _ in range(rounds):
        a, b, c, state = np.zeros(shape), g.copy(), g.copy(), levels[0].start(g.copy())
        calls = {
            name: partial(mgcore.run, levels, cycle, state),
            bound: partial(triad, a, b, c, 0.5),
        }
        times.append(race(calls, grid.size, 1))
    cycles, triads = (statistics.median(t[key] for t in times) for key in (name, bound))
    return [
        Row(task, label(shape), name, cycles, error),
        Row(task, label(shape), bound, triads * V_CYCLE_BYTES / TRIAD_BYTES, 0.0),
    ]


def single_passes(shape: tuple[int, ...], rounds: int) -> list[Row]:
    """The passes over the finest grid, one by one; their results are checked by the tests."""
    grid = Grid(shape)
    levels = mgcore.poisson_levels(shape, smoother="sor")
    fine, state = levels[0], levels[0].start(np.random.default_rng(0).standard_normal(shape))
    mgcore.run(levels, mgcore.full_multigrid(len(levels)), state)
    coarse = fine.restrict(state)

    def up(norm: bool) -> None:
        state.watch(norm)
        fine.ascend(state, coarse, 1)

    def arrival() -> None:
        fine.interpolate(state, coarse)
        fine.descend(state, 1)

    def weighting() -> None:
        state.restart()
        fine.restrict(state)

    calls: dict[str, Callable[[], Any]] = {
        "down": lambda: fine.descend(state, 1),
        "down from cubic interpolation": arrival,
        "up": partial(up, False),
        "up, with the norm": partial(up, True),
        "weighting of g": weighting,
    }
    times = race(calls, grid.size, rounds)
    return [Row(PASS, label(shape), name, t, 0.0) for name, t in times.items()]


def peak_memory(shape: tuple[int, ...], boundary: Any, precision: str) -> float:
    """Peak memory of a solve beyond g and u, in arrays of the finest grid."""
    g = np.ones(shape)
    solve = partial(mgcore.solve_poisson, g, boundary=boundary, precision=precision)
    solve()  # compiling and loading kernels takes memory, too
    tracemalloc.start()
    u = solve().u
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (peak - u.nbytes) / u.nbytes


STARTUP = """
import time
began = time.perf_counter()
import mgcore
imported = time.perf_counter()
import numpy as np
mgcore.solve_poisson(np.ones(({n},) * {ndim}))
print(imported - began, time.perf_counter() - imported)
"""


def startup(n: int, ndim: int) -> dict[str, float]:
    """Seconds of `import mgcore` and of the first solve, with an empty and a full cache."""
    with tempfile.TemporaryDirectory() as cache:
        times = {}
        for kind in ("cold", "warm"):
            result = subprocess.run(
                [sys.executable, "-c", STARTUP.format(n=n, ndim=ndim)], check=True,
                env=os.environ | {"NUMBA_CACHE_DIR": cache}, capture_output=True, text=True,
            )  # fmt: skip
            times["import"], times[kind] = map(float, result.stdout.split())
    return times


# --- what comes of it ---------------------------------------------------------------------------


def goals(
    rows: list[Row], memory: dict[str, float], starts: dict[str, dict[str, float]]
) -> list[Goal]:
    """The table of goals, from what was measured; a goal whose sizes were not run is left out."""
    found = {(r.task, r.nodes, r.solver): r.ns_per_unknown for r in rows}
    out = []

    def ratio(measure: str, ours: tuple, peer: tuple, at_least: float) -> None:
        if ours in found and peer in found:
            times = found[peer] / found[ours]
            out.append(Goal(measure, f"{at_least:.3g} x", f"{times:.2f} x", times >= at_least))

    def at_most(measure: str, most: float, t: float) -> None:
        out.append(Goal(measure, f"at most {most:g} s", f"{t:.2f} s", t <= most))

    for nodes, wanted in (("4097^2", 3.5), ("257^3", 2.5)):
        measure = f"{nodes}: one full multigrid, times faster than {DST}"
        ratio(measure, (ACCURATE, nodes, FMG), (ACCURATE, nodes, DST), wanted)
    for kind in ("solve_poisson", "solve_poisson, mixed"):
        measure = f"2049^2: random g, residual x 1e-10 by {kind}, times faster than {DST}"
        ratio(measure, (TIGHT, "2049^2", kind), (TIGHT, "2049^2", DST), 1 / 1.2)
        for nodes, of in (("2049^2", "1025^2"), ("129^3", "129^3")):
            measure = (
                f"{nodes}: random g, residual x 1e-8 by {kind}, times faster than PyAMG ({of})"
            )
            peer = (WITH_SET_UP, of, "PyAMG ruge_stuben")
            ratio(measure, (WITH_SET_UP, nodes, kind), peer, 100)
    for r in rows:
        if r.solver.startswith("STREAM") and r.nodes == "4097^2":  # smaller ones fit caches
            times = found[V_CYCLE, r.nodes, V_CYCLE] / r.ns_per_unknown
            measure = f"{r.nodes}: V(1,1), times the time of its bytes"
            out.append(Goal(measure, "at most 1.4 x", f"{times:.2f} x", times <= 1.4))
    in_turn = {r.nodes: r.ns_per_unknown for r in rows if r.task == IN_TURN}
    if "4097^2" in in_turn:
        for nodes, t in in_turn.items():
            times = t / in_turn["4097^2"]
            measure = f"{nodes}: one full multigrid per unknown, times that of 4097^2"
            out.append(Goal(measure, "at most 1.5 x", f"{times:.2f} x", times <= 1.5))
    for measure, arrays in memory.items():
        most = 2.0 if "border" in measure else 1.5
        out.append(Goal(measure, f"at most {most} arrays", f"{arrays:.2f} arrays", arrays <= most))

    for what, seconds in starts.items():
        at_most(f"first solve, {what}, cold cache", 20.0, seconds["cold"])
        at_most(f"first solve, {what}, warm cache", 1.0, seconds["warm"])
    if starts:
        at_most("import mgcore", 0.6, max(seconds["import"] for seconds in starts.values()))
    return out


def machine() -> str:
    """The processor, threads and versions, in a line."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "numba"))
    layer = "none started"
    with suppress(ValueError):  # no kernel was run on several threads
        layer = numba.threading_layer()
    cores = f"{threads.count()} threads ({layer})"
    return f"{name}, {cores}, Python {platform.python_version()}, {packages}"


def by_size(rows: Sequence[Row]) -> str:
    """Times as a Markdown table: a row for each solver and task, a column for each size.

    The DST does the same whatever the task: its first time stands for all.
    """
    sizes = list(dict.fromkeys(r.nodes for r in rows))
    times: dict[str, dict[str, float]] = {}
    for r in rows:
        times.setdefault(series(r), {}).setdefault(r.nodes, r.ns_per_unknown)
    lines = [
        [name, *(f"{t[nodes]:.3g}" if nodes in t else "" for nodes in sizes)]
        for name, t in times.items()
    ]
    return markdown(["", *sizes], lines)


def series(row: Row) -> str:
    """What tables and the plot call the solver and its task."""
    alone = row.solver == DST or row.task in ALONE
    return row.solver if alone else f"{row.solver}, {row.task}"


def draw(rows: list[Row], path: Path) -> None:
    """Time per unknown against size: full multigrid, and random g solved to 1e-8 by all."""
    import matplotlib.pyplot as plt

    drawn = [
        r
        for r in rows
        if r.task in (ACCURATE, LOOSE)
        or (r.task == WITH_SET_UP and not r.solver.startswith("solve_poisson"))
    ]
    names = dict.fromkeys(map(series, drawn))
    looks = {name: look for name, *look in zip(names, "osD^vPX", COLOURS, strict=False)}
    fig, panels = plt.subplots(1, 2, figsize=(10, 6), sharey=True, layout="constrained")
    for ax, ndim in zip(panels, (2, 3), strict=True):
        curves: dict[str, dict[int, list[float]]] = {}
        for r in drawn:
            n, d = map(int, r.nodes.split("^"))
            if d == ndim:
                curve = curves.setdefault(series(r), {})
                curve.setdefault((n - 2) ** d, []).append(r.ns_per_unknown)
        for name, points in curves.items():
            times = [statistics.median(points[size]) for size in sorted(points)]
            marker, colour = looks[name]
            ax.loglog(sorted(points), times, marker=marker, color=colour, label=name)
        ax.set_title(f"{ndim}D")
        ax.set_xlabel("unknowns")
        ax.grid(alpha=0.3, which="both")
    panels[0].set_ylabel("ns per unknown")
    handles: dict[str, Any] = {}
    for ax in panels:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", frameon=False, ncols=2)
    fig.savefig(path, dpi=120)
    plt.close(fig)


def main(argv: list[str] | None = None) -> list[Goal]:
    """Measure, check, print, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes-2d", type=int, nargs="+", default=SIZES_2D, help="nodes a side")
    parser.add_argument("--sizes-3d", type=int, nargs="+", default=SIZES_3D, help="nodes a side")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each race (7)")
    parser.add_argument("--no-startup", action="store_true", help="do not compile again")
    args = parser.parse_args(argv)
    shapes = [(n,) * 2 for n in args.sizes_2d] + [(n,) * 3 for n in args.sizes_3d]
    for shape in shapes:
        check_nested(Grid(shape))  # refuses what does not fit before anything is measured

    rows = []
    for shape in shapes:
        print(f"{label(shape)} ...", file=sys.stderr, flush=True)
        rows += accurate(shape, args.rounds)
        if prod(shape) < 2e7:
            rows += reduced(shape, 1e-8, args.rounds) + reduced(shape, 1e-10, args.rounds)
            rows += reduced(shape, 1e-8, args.rounds, smooth=True)
        if prod(shape) < 3e6:
            ours = (2049,) * 2 if shape == (1025,) * 2 else shape
            rows += by_matrix(shape, ours, min(args.rounds, 3))
        if len(shape) == 2:
            rows += one_cycle(shape, args.rounds) + single_passes(shape, args.rounds)
    rows += at_all_sizes([shape for shape in shapes if len(shape) == 2], args.rounds)
    memory = {}
    for shape in ((min(max(args.sizes_2d), 2049),) * 2, (min(max(args.sizes_3d), 129),) * 3):
        for precision in ("float64", "mixed"):
            beside = f"{label(shape)}: memory beside g and u, {precision}"
            memory[beside] = peak_memory(shape, 0.0, precision)
            memory[f"{beside}, non-zero border"] = peak_memory(
                shape, lambda *x: sum(np.cos(t) for t in x), precision
            )
    starts = {} if args.no_startup else {"2D": startup(513, 2), "3D": startup(65, 3)}
    reached = goals(rows, memory, starts)

    solves = [r for r in rows if r.task not in PARTS]
    parts = [r for r in rows if r.task in PARTS]
    measured = (
        f"Nanoseconds per unknown, {machine()}:\n\n{by_size(solves)}\n\n"
        "Parts of a cycle (below 4097^2 a triad's arrays fit the caches in part):\n\n"
        f"{by_size(parts)}"
    )
    draw(rows, publish("poisson", measured, rows, reached))
    print("results/poisson.csv, results/poisson.md, figures/poisson.png")
    return reached


if __name__ == "__main__":
    main()
