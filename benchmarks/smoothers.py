"""Fixed against trained smoothers: asymptotic factors of the same cycles on real grids.

    python -m benchmarks.smoothers

Trains one symmetric 3x3 kernel for all levels by back-propagation through V(1,1) cycles, starting
from Jacobi, then measures Jacobi, red-black Gauss-Seidel and the kernel by the same definition on
63^2, 127^2 and 255^2 unknowns. Prints a table with work units beside the factors; writes
results/smoothers.csv and .md, figures/smoothers.png and figures/spectrum.png.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.fft
import torch

import mgnet
from benchmarks.nested import check_nested
from benchmarks.report import table, write
from mgcore import Grid, v_cycle
from mgcore.convergence import asymptotic_factor
from mgnet import SymmetricKernel, train_smoother
from mgnet.poisson_level import PoissonLevel

SIZES = (63, 127, 255)
CYCLES = {"V(1,1)": (1, 1), "V(2,2)": (2, 2)}


class Row(NamedTuple):
    """One smoother in one cycle on one grid."""

    smoother: str
    cycle: str
    unknowns: str
    factor: float
    work_units: float


def measure(smoothers: dict[str, Any], sizes: tuple[int, ...] = SIZES) -> list[Row]:
    """Asymptotic factors of every smoother, cycle and grid, all on the torch solver."""
    rows = []
    for n in sizes:
        for cycle, steps in CYCLES.items():
            for name, smoother in smoothers.items():
                levels = mgnet.poisson_levels((n + 2, n + 2), smoother=smoother, coarsest=1)
                path = v_cycle(len(levels), *steps)
                with torch.no_grad():
                    factor = asymptotic_factor(levels, path)
                rows.append(Row(name, cycle, f"{n}^2", factor, path.work_units(levels.sizes)))
    return rows


def spectrum(smoother: Any, n: int = 63) -> np.ndarray:
    """What one step leaves of each sine mode of a random error, (n, n), modes 1 to n each way."""
    grid = Grid((n + 2, n + 2))
    level: PoissonLevel = mgnet.poisson_levels(grid.shape, smoother=smoother, coarsest=1)[0]
    error = np.random.default_rng(0).standard_normal(grid.shape)
    with torch.no_grad():
        state = level.smooth(level.start(np.zeros(grid.shape), error), 1)
    left = level.solution(state).numpy()
    inside = (slice(1, -1), slice(1, -1))
    return abs(scipy.fft.dstn(left[inside], type=1) / scipy.fft.dstn(error[inside], type=1))


def draw_factors(rows: list[Row], path: Path) -> None:
    """Bars of the factors, a group for each grid, a panel for each cycle."""
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(row.smoother for row in rows))
    grids = list(dict.fromkeys(row.unknowns for row in rows))
    fig, axes = plt.subplots(1, len(CYCLES), figsize=(10, 4), sharey=True, layout="constrained")
    for ax, cycle in zip(axes, CYCLES, strict=True):
        for k, name in enumerate(names):
            factors = [r.factor for r in rows if (r.smoother, r.cycle) == (name, cycle)]
            at = np.arange(len(grids)) + 0.27 * (k - 1)
            bars = ax.bar(at, factors, 0.25, label=name)
            ax.bar_label(bars, [f"{f:.3f}" for f in factors], fontsize=8, padding=2)
        ax.set_xticks(range(len(grids)), [f"${grid}$ unknowns" for grid in grids])
        ax.set_title(cycle)
        ax.grid(axis="y", alpha=0.3)
    axes[0].set_ylabel("asymptotic convergence factor")
    axes[-1].legend(frameon=False)
    fig.savefig(path, dpi=120)
    plt.close(fig)


def draw_spectra(smoothers: dict[str, Any], path: Path) -> None:
    """What one step leaves of every error mode, the smoothers side by side."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(smoothers), figsize=(10, 4.4), layout="constrained")
    for ax, (name, smoother) in zip(axes, smoothers.items(), strict=True):
        left = spectrum(smoother)
        n = len(left)
        image = ax.imshow(left.T, origin="lower", extent=(0, 1, 0, 1), vmin=0, vmax=1, cmap="magma")
        edge = ((n + 1) // 2 - 0.5) / n
        ax.plot([edge, edge, 0], [0, edge, edge], "w--", linewidth=1)
        high = np.ones((n, n), bool)
        high[: n // 2, : n // 2] = False
        ax.set_title(f"{name}\nhigh frequencies: at most {left[high].max():.2f} left")
        ax.set_xlabel(r"frequency $\theta_1 / \pi$")
        ax.set_ylabel(r"frequency $\theta_2 / \pi$")
        ax.text(0.02, edge + 0.02, "left to the coarser grid", color="white", fontsize=9)
    fig.colorbar(image, ax=axes, label="error left by one step", shrink=0.8)
    fig.savefig(path, dpi=120)
    plt.close(fig)


def main(argv: list[str] | None = None) -> list[Row]:
    """Train, measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=1000, help="training steps (1000)")
    parser.add_argument("--train-on", type=int, default=63, help="unknowns a side (63)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="unknowns a side")
    args = parser.parse_args(argv)
    for n in (args.train_on, *args.sizes):
        check_nested(Grid((n + 2, n + 2)))  # refuses what is not 2^s - 1 before the training

    kernel = SymmetricKernel([0.2, 0.0, 0.0])  # weighted Jacobi
    began = time.perf_counter()
    levels = mgnet.poisson_levels((args.train_on + 2,) * 2, smoother=kernel, coarsest=1)
    factors = train_smoother(levels, steps=args.steps)
    centre, edge, corner = kernel.weights.tolist()
    print(
        f"trained on {args.train_on}^2 unknowns by {args.steps} steps through V(1,1) in "
        f"{time.perf_counter() - began:.0f} s: factor {factors[0]:.3f} -> {factors[-1]:.3f}\n"
        f"kernel h^2 ({centre:.4f}, {edge:.4f}, {corner:.4f}), centre, edge, corner\n"
    )
    smoothers = {"Jacobi": "jacobi", "red-black Gauss-Seidel": "redblack", "trained 3x3": kernel}
    rows = measure(smoothers, tuple(args.sizes))
    print("cycle    unknowns  smoother                  factor  work units")
    lines = [
        f"{row.cycle:8} {row.unknowns:8}  {row.smoother:24}  {row.factor:6.3f}  "
        f"{row.work_units:10.2f}"
        for row in rows
    ]
    print("\n".join(lines))
    draw_factors(rows, write("smoothers", table(rows), rows))
    draw_spectra({"Jacobi": "jacobi", "trained 3x3": kernel}, Path("figures/spectrum.png"))
    print("\nresults/smoothers.csv, figures/smoothers.png, figures/spectrum.png")
    return rows


if __name__ == "__main__":
    main()
