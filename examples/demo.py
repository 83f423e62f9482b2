"""The whole project in a minute: one driver solves a PDE, then reads handwritten digits.

    python -m examples.demo

First -Laplace u = g on 1025 x 1025 nodes by one full multigrid and V cycles; then an MgNet, the
same `u <- u + B (g - A u)` with trained A and B, on scikit-learn's 1,797 scans of digits. Both are
walked by `mgcore.cycle.run`. Prints tables, writes figures/demo.png and figures/digits.png.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import mgcore
from mgnet import MgNet, data
from mgnet.cost import count_parameters, multiply_adds
from mgnet.training import Epoch, Recipe, Trainer

FIGURES = Path("figures")


class Poisson(NamedTuple):
    """A solved problem: levels, right-hand side, result, error against the exact solution."""

    levels: mgcore.level.Hierarchy
    g: np.ndarray
    solution: mgcore.Solution
    error: float
    seconds: float


class Digits(NamedTuple):
    """A trained network with its data."""

    network: MgNet
    trainer: Trainer
    pictures: data.PictureSet
    seconds: float


def solve(n: int = 1025) -> Poisson:
    """-Laplace u = g with u = sin(pi x) sin(2 pi y) + a ridge along a diagonal."""
    x, y = mgcore.Grid((n, n)).coordinates()
    wave = np.sin(np.pi * x) * np.sin(2 * np.pi * y)
    width = 0.1
    t = (x - y) / width
    ridge = np.exp(-(t**2))
    exact = wave + ridge
    # -Laplace of exp(-t^2), t = (x - y) / width
    g = 5 * np.pi**2 * wave + 2 * (2 - 4 * t**2) / width**2 * ridge
    levels = mgcore.poisson_levels((n, n), smoother="sor")
    mgcore.solve(levels, g, boundary=exact, rtol=0, maxiter=1)  # compiles, or loads kernels
    began = time.perf_counter()
    solution = mgcore.solve(levels, g, boundary=exact)
    seconds = time.perf_counter() - began
    return Poisson(levels, g, solution, float(abs(solution.u - exact).max()), seconds)


def train(epochs: int = 30, progress: bool = True) -> Digits:
    """A MgNet of three levels on 8 x 8 scans."""
    began = time.perf_counter()
    pictures = data.load("digits")
    torch.manual_seed(0)
    model = MgNet(in_channels=1, num_classes=10, channels=(16, 32, 64), steps=(2, 2, 2))
    recipe = Recipe(epochs=epochs, batch_size=64, lr=0.24, shift=1, flip="never")

    def show(row: Epoch) -> None:
        if row.epoch % 5 == 0:
            print(row, flush=True)

    trainer = Trainer(model, pictures, recipe, progress=progress, on_epoch=show)
    trainer.fit()
    return Digits(model, trainer, pictures, time.perf_counter() - began)


def draw_poisson(poisson: Poisson, path: Path) -> None:
    """Right-hand side, solution, the cycle that was walked and the residuals."""
    import matplotlib.pyplot as plt

    from mgcore.plotting import plot_cycle, plot_field, plot_residuals

    fig, axes = plt.subplots(2, 2, figsize=(10, 7.5), layout="constrained")
    plot_field(axes[0, 0], poisson.g, cmap="RdBu_r").set_title("right-hand side g")
    plot_field(axes[0, 1], poisson.solution.u, cmap="viridis").set_title("solution u")
    names = [" x ".join(map(str, level.grid.shape)) for level in poisson.levels]
    plot_cycle(axes[1, 0], poisson.solution.cycle, names)
    axes[1, 0].legend(loc="upper center", bbox_to_anchor=(0.4, 1.0), frameon=False)
    axes[1, 0].set_title("full multigrid, as it was walked")
    plot_residuals(axes[1, 1], poisson.solution)
    axes[1, 1].set_title("one full multigrid, then V(1,1)")
    engine: Any = fig.get_layout_engine()
    engine.set(rect=(0, 0, 0.98, 1))  # square pictures are moved after room was made for their bars
    fig.savefig(path, dpi=120)
    plt.close(fig)


def draw_digits(digits: Digits, path: Path) -> None:
    """The slash cycle, the learning curve, features on every level and some digits read."""
    import matplotlib.pyplot as plt

    from mgcore.plotting import plot_cycle
    from mgnet.plotting import plot_history

    trainer, pictures = digits.trainer, digits.pictures
    model = digits.network
    classifier: Any = trainer.model
    read = classifier.predict(pictures.test_images).labels
    wrong = (read != pictures.test_labels.numpy()).nonzero()[0].tolist()
    shown = (wrong + [i for i in range(len(read)) if i not in wrong])[:12]

    fig = plt.figure(figsize=(10, 7.5), layout="constrained")
    halves: Any = fig.subfigures(2, 1)
    top, bottom = halves
    left, right = top.subplots(1, 2)
    names = [f"{8 // 2**k} x {8 // 2**k}, {c} channels" for k, c in enumerate(model.channels)]
    plot_cycle(left, model.cycle, names).set_title("MgNet: the way down of a V, with trained A, B")
    plot_history(right, trainer.history).set_ylim(50, 101)
    for ax, i in zip(bottom.subplots(2, 6).flat, shown, strict=True):
        ax.imshow(pictures.test_images[i, 0].numpy(), cmap="gray_r")
        label, answer = int(pictures.test_labels[i]), int(read[i])
        ax.set_title(
            f"{label} read as {answer}" if answer != label else f"{label}",
            fontsize=9, color="C3" if answer != label else "black",
        )  # fmt: skip
        ax.set_axis_off()
    bottom.suptitle(f"test digits, the misread first: {len(wrong)} of {len(read)}")
    fig.savefig(path, dpi=120)
    plt.close(fig)


def main() -> None:
    """Run both halves, print the tables, write the figures."""
    FIGURES.mkdir(exist_ok=True)
    print("1. A PDE: -Laplace u = g on 1025 x 1025 nodes", flush=True)
    print("   (the first run on a machine compiles the kernels, up to 20 seconds)\n", flush=True)
    poisson = solve()
    print(poisson.levels)
    print("\nthe cycle that was walked, a column for each visit: steps, o direct solve, ^ cubic")
    print(poisson.solution.cycle)
    print(f"\n{poisson.solution}")
    print(
        f"largest error against the exact solution {poisson.error:.2e}; {poisson.seconds:.3f} s, "
        f"{poisson.seconds / poisson.levels[0].size * 1e9:.0f} ns an unknown\n"
    )
    print("2. A network: MgNet reads 1,797 handwritten digits\n", flush=True)
    digits = train(progress=sys.stderr.isatty())
    model = digits.network
    print("\nthe cycle that every digit went through, by the same driver:")
    print(model.cycle)
    print(
        f"\n{count_parameters(model):,} parameters, "
        f"{multiply_adds(model, (1, 8, 8)) / 1e6:.1f} million multiply-adds a digit, "
        f"{digits.seconds:.0f} s; last epoch {digits.trainer.history[-1].test['accuracy']:.2%} "
        f"of {len(digits.pictures.test_labels)} test digits\n"
    )
    draw_poisson(poisson, FIGURES / "demo.png")
    draw_digits(digits, FIGURES / "digits.png")
    print(f"figures: {FIGURES / 'demo.png'}, {FIGURES / 'digits.png'}")


if __name__ == "__main__":
    main()
