"""Figures: every function draws on matplotlib axes it is given and returns them.

Nothing else in mgcore imports matplotlib, and this file does so at the first figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mgcore.cycle import Cycle
from mgcore.solve import Solution

__all__ = ["new_axes", "plot_cycle", "plot_field", "plot_residuals", "plot_solution"]


def new_axes(count: int = 1, size: tuple[float, float] = (5.0, 4.0)) -> list[Any]:
    """Axes side by side in a new figure, `size` inches each."""
    import matplotlib.pyplot as plt

    width, height = size
    _, axes = plt.subplots(
        1, count, figsize=(count * width, height), squeeze=False, layout="constrained"
    )
    return list(axes[0])


def plot_cycle(ax: Any, cycle: Cycle, names: Sequence[str] | None = None) -> Any:
    """Draw a cycle as a path over the levels, the steps beside each visit.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    cycle : Cycle
    names : sequence of str, optional
        What to call each level, the finest first, such as "1025 x 1025".

    Returns
    -------
    matplotlib.axes.Axes
    """
    x = np.arange(len(cycle))
    level = np.array([visit.level for visit in cycle])
    fresh = np.array([visit.fresh for visit in cycle])
    depth = int(level.max()) + 1
    ax.plot(x, level, "-", color="0.6", linewidth=1, zorder=1)
    size = 120 if len(cycle) < 30 else 16
    ax.scatter(x, level, s=size, color="C0", zorder=2)
    ax.scatter(x[fresh], level[fresh], s=size, color="C1", zorder=3, label="cubic interpolation")
    if len(cycle) < 30:
        for i, visit in enumerate(cycle):
            text = str(visit.steps)
            ax.annotate(text, (i, visit.level), color="white", ha="center", va="center", fontsize=8)
    ax.set_ylim(depth - 0.5, -0.5)
    ax.set_yticks(range(depth), names if names is not None else range(depth))
    ax.set_ylabel("level" if names is None else "grid")
    ax.set_xticks([])
    for side in ("top", "right", "bottom"):
        ax.spines[side].set_visible(False)
    return ax


def plot_residuals(ax: Any, solution: Solution, label: str | None = None) -> Any:
    """Relative residual norms of a solve against the cycles, logarithmic.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    solution : Solution
    label : str, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    first = solution.residuals[0] or 1.0
    ax.semilogy([r / first for r in solution.residuals], "o-", label=label)
    ax.set_xticks(range(solution.nit + 1) if solution.nit < 15 else [0, solution.nit])
    ax.set_xlabel("cycle")
    ax.set_ylabel(r"residual $\|g - A u\|_2$, relative to the first")
    ax.grid(alpha=0.3)
    return ax


def plot_field(ax: Any, u: Any, extent: Sequence[float] = (1.0, 1.0), **options: Any) -> Any:
    """Node values in 2D as a picture, the first axis to the right and the second upwards.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    u : array_like
        Shape (n0, n1).
    extent : sequence of float
        Lengths of the box.
    **options
        For `imshow`.

    Returns
    -------
    matplotlib.axes.Axes
    """
    box = (0.0, extent[0], 0.0, extent[1])
    image = ax.imshow(np.asarray(u).T, origin="lower", extent=box, **options)
    ax.figure.colorbar(image, ax=ax, shrink=0.85)
    ax.set_xlabel("x")
    ax.set_ylabel("y")
    return ax


def plot_solution(ax: Any, solution: Solution, **options: Any) -> Any:
    """u of a solve: a curve in 1D, a picture in 2D, and in 3D the section through the middle.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
        None makes a new figure.
    solution : Solution
    **options
        For `plot` in 1D, `imshow` in 2D and 3D.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        For a batch; `dataclasses.replace(solution, u=solution.u[k])` is one of its members.
    """
    grid, u = solution.grid, solution.u
    if hasattr(u, "detach"):  # a tensor, wherever it is
        u = u.detach().cpu()
    u = np.asarray(u)
    if u.shape != grid.shape:
        raise ValueError(
            f"u is a batch of shape {u.shape}; draw one member, say "
            "dataclasses.replace(solution, u=solution.u[0]).plot()"
        )
    ax = new_axes()[0] if ax is None else ax
    if grid.ndim == 1:
        ax.plot(*grid.coordinates(), u, **options)
        ax.set_xlabel("x")
        ax.set_ylabel("u")
        return ax
    if grid.ndim == 3:
        u = u[..., grid.shape[2] // 2]
        ax.set_title(f"z = {grid.extent[2] / 2:g}")
    return plot_field(ax, u, grid.extent, **options)
