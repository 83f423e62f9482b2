"""Other sides, sizes, meshes and coefficients, beside constant Dirichlet problems and PyAMG.

    python -m benchmarks.operators

How much a V cycle and a step of the smoother cost per unknown where sides are not Dirichlet's,
sizes not 2^s + 1, meshes graded, coefficients variable or one axis strong, in parts of what they
cost with Dirichlet sides on 2^s + 1 nodes; the convergence factor; set-up; and set-up and solve to
1e-8 beside PyAMG's ruge_stuben on the same sparse matrix. Peers take turns; times are medians.
Every solution is checked in the residual of that matrix, PyAMG's with rows weighted by volumes,
which make it symmetric; a wrong one ends the run. Writes results/operators.csv and
results/operators.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import mgcore
from benchmarks.nested import check_nested
from benchmarks.poisson import check, machine, pyamg_solver, race
from benchmarks.report import Goal, markdown, nodes, publish
from mgcore import guests
from mgcore.convergence import asymptotic_factor
from mgcore.smoothers import Kernel

PLAIN = "Dirichlet, 2^s + 1"
RTOL = 1e-8


class Row(NamedTuple):
    """One problem."""

    problem: str
    nodes: str
    factor: float
    v_cycle_ns: float
    times_dirichlet: float
    step_ns: float
    times_step: float
    set_up_ns: float
    solve_ns: float
    pyamg_ns: float
    times_pyamg: float


def problems(n: int, ndim: int) -> dict[str, dict[str, Any]]:
    """What :func:`mgcore.poisson_levels` takes, by name; n is 2^s + 1."""
    default = {"smoother": "sor"}
    x = np.linspace(0, 1, n)
    waves = sum(np.ix_(*[np.sin(4 * t + k) for k, t in enumerate([x] * ndim)]))
    other = round(0.97 * n)
    found: dict[str, dict[str, Any]] = {
        PLAIN: {"shape": (n,) * ndim},
        "Neumann": {"shape": (n,) * ndim, "sides": "neumann"},
        "periodic": {"shape": (n - 1,) * ndim, "sides": "periodic"},
        "mixed sides": {
            "shape": (n, n - 1, n)[:ndim],
            "sides": [("dirichlet", "neumann"), "periodic", mgcore.Robin(1.0)][:ndim],
        },
        f"Dirichlet, {other} nodes": {"shape": (other,) * ndim},
        "graded": {"coordinates": [x + 0.05 * np.sin(2 * np.pi * x)] * ndim},
        "variable a": {"shape": (n,) * ndim, "coefficient": np.exp(waves)},
        "one strong axis, lines": {
            "shape": (n,) * ndim,
            "coefficient": [1.0, 1e-4, 1e-4][:ndim],
            "smoother": "zebra",
        },
    }
    if ndim == 2:
        found["nine points"] = {"shape": (n, n), "operator": nine_points(n)}
    return {name: default | how for name, how in found.items()}


def nine_points(n: int) -> mgcore.Stencil:
    """Mehrstellen, (1/6) h^-2 [-1 -4 -1; -4 20 -4; -1 -4 -1]."""
    weights = np.array([[-1.0, -4, -1], [-4, 20, -4], [-1, -4, -1]])
    return mgcore.Stencil.of_array(weights * (n - 1.0) ** 2 / 6)


def smoothers(n: int, ndim: int) -> dict[str, dict[str, Any]]:
    """What else is timed for one step: a 3x3 kernel as the smoother."""
    kernel = mgcore.Stencil.tensor([[0.25, 1.0, 0.25]] * ndim)
    return {"3x3 kernel": {"shape": (n,) * ndim, "smoother": Kernel(0.1 * kernel)}}


def one_step(levels: Any, g: np.ndarray) -> Callable[[], Any]:
    """A smoothing step on memory that is set up once."""
    state = levels[0].start(g, g)
    return lambda: levels[0].smooth(state, 1)


def one_cycle(levels: Any, g: np.ndarray) -> Callable[[], Any]:
    """A V(1,1) on memory that is set up once."""
    state, cycle = levels[0].start(g), mgcore.v_cycle(len(levels))
    return lambda: mgcore.run(levels, cycle, state)


def measure(n: int, ndim: int, rounds: int) -> list[Row]:
    """All problems of one size."""
    rng = np.random.default_rng(0)
    built = {
        name: mgcore.poisson_levels(**how) for name, how in problems(n, ndim).items()
    }  # fmt: skip
    rights = {name: rng.standard_normal(levels[0].grid.shape) for name, levels in built.items()}
    sizes = {name: levels[0].size for name, levels in built.items()}
    cycles = race({k: one_cycle(v, rights[k]) for k, v in built.items()}, sizes, rounds)
    stepping = built | {
        name: mgcore.poisson_levels(**how) for name, how in smoothers(n, ndim).items() if ndim == 2
    }
    steps = race(
        {k: one_step(v, rights.get(k, rights[PLAIN])) for k, v in stepping.items()},
        {k: v[0].size for k, v in stepping.items()}, rounds,
    )  # fmt: skip
    set_ups = race(
        {k: partial(mgcore.poisson_levels, **how) for k, how in problems(n, ndim).items()},
        sizes, rounds,
    )  # fmt: skip
    rows = []
    for name, how in problems(n, ndim).items():
        levels, g = built[name], rights[name]
        print(f"{name}, {n}^{ndim} ...", file=sys.stderr, flush=True)
        factor = asymptotic_factor(levels, mgcore.v_cycle(len(levels)), cycles=12, last=5)
        times = beside_pyamg(how, levels, g, min(rounds, 3))
        rows.append(
            Row(
                name, nodes(levels[0].grid.shape), factor, cycles[name],
                cycles[name] / cycles[PLAIN], steps[name], steps[name] / steps[PLAIN],
                set_ups[name], times["mgcore"], times.get("PyAMG", np.nan),
                times.get("PyAMG", np.nan) / times["mgcore"],
            )
        )  # fmt: skip
    for name in stepping.keys() - built.keys():
        nan, where = np.nan, nodes(stepping[name][0].grid.shape)
        relative = steps[name] / steps[PLAIN]
        rows.append(Row(name, where, nan, nan, nan, steps[name], relative, nan, nan, nan, nan))
    return rows


def beside_pyamg(
    how: Mapping[str, Any], levels: Any, g: np.ndarray, rounds: int
) -> dict[str, float]:
    """Set-up and solve, ns per unknown; the matrix is PyAMG's for nothing."""
    operator = guests.operator(levels)
    A, grid = operator.matrix(), levels[0].grid
    weights = operator.volumes().reshape(-1)
    b = g[grid.unknown].reshape(-1)
    if operator.singular:
        b = b - (b @ weights) / weights.sum()

    def ours() -> np.ndarray:
        fresh = mgcore.poisson_levels(**how)
        return mgcore.solve(fresh, g, rtol=RTOL).u

    left = float(np.linalg.norm(b - A @ ours()[grid.unknown].reshape(-1)) / np.linalg.norm(b))
    check("set-up and solve", "mgcore", left / (1.01 * RTOL))
    calls: dict[str, Callable[[], Any]] = {"mgcore": ours}
    weighted = (A * weights[:, None]).tocsr()
    weighted.indices = weighted.indices.astype(np.int32)
    weighted.indptr = weighted.indptr.astype(np.int32)
    try:
        peer = pyamg_solver(weighted, RTOL, grid)
        x = peer(b * weights)
    except ImportError as missing:
        print(f"without PyAMG: {missing}", file=sys.stderr)
    else:
        left = float(np.linalg.norm(weights * (b - A @ x)) / np.linalg.norm(weights * b))
        check("set-up and solve", "PyAMG", left / (1.01 * RTOL))
        calls["PyAMG"] = lambda: peer(b * weights)
    return race(calls, levels[0].size, rounds)


def goals(rows: list[Row]) -> list[Goal]:
    """The goals, and what was reached."""
    most = {"Neumann": 1.3, "periodic": 1.3, "mixed sides": 1.3, "variable a": 3.0}
    out = []
    for row in rows:
        limit = most.get(row.problem, 1.3 if row.problem.startswith("Dirichlet,") else None)
        where = f"{row.problem}, {row.nodes}"
        if limit and row.problem != PLAIN:
            cost = row.times_dirichlet
            measure = f"{where}: V(1,1) per unknown, times Dirichlet's"
            out.append(Goal(measure, f"at most {limit:g} x", f"{cost:.2f} x", cost <= limit))
        if row.problem in ("nine points", "3x3 kernel"):
            measure = f"{where}: a smoothing step per unknown, times Dirichlet's"
            out.append(Goal(measure, "at most 2 x", f"{row.times_step:.2f} x", row.times_step <= 2))
        if row.problem in ("Neumann", "graded", "variable a") and np.isfinite(row.times_pyamg):
            faster = row.times_pyamg
            measure = f"{where}: set-up and solve, times faster than PyAMG"
            out.append(Goal(measure, "30 x", f"{faster:.1f} x", faster >= 30))
    return out


def main(argv: list[str] | None = None) -> list[Goal]:
    """Measure, check, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size-2d", type=int, default=1025, help="nodes a side, 2^s + 1 (1025)")
    parser.add_argument("--size-3d", type=int, default=129, help="nodes a side, 2^s + 1 (129)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each race (7)")
    args = parser.parse_args(argv)
    for n, ndim in ((args.size_2d, 2), (args.size_3d, 3)):
        check_nested(mgcore.Grid((n,) * ndim))
    rows = measure(args.size_2d, 2, args.rounds) + measure(args.size_3d, 3, args.rounds)
    reached = goals(rows)
    head = [
        "problem", "nodes", "factor", "V(1,1)", "times Dirichlet's", "step",
        "times Dirichlet's", "set-up", "set-up and solve", "PyAMG",
        "times faster",
    ]  # fmt: skip
    lines = [
        [r.problem, r.nodes, f"{r.factor:.3f}", f"{r.v_cycle_ns:.1f}", f"{r.times_dirichlet:.2f}",
         f"{r.step_ns:.2f}", f"{r.times_step:.2f}", f"{r.set_up_ns:.1f}",
         f"{r.solve_ns:.0f}", f"{r.pyamg_ns:.0f}", f"{r.times_pyamg:.1f}"]
        for r in rows
    ]  # fmt: skip
    lines = [["" if cell == "nan" else cell for cell in line] for line in lines]
    measured = f"Nanoseconds per unknown, {machine()}:\n\n{markdown(head, lines)}"
    publish("operators", measured, rows, reached)
    return reached


if __name__ == "__main__":
    main()
