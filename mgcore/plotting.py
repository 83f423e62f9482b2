"""Figures: every function draws on matplotlib axes it is given and returns them.

Nothing else in mgcore imports matplotlib, and this file does so at the first figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mgcore.cycle import Cycle
from mgcore.solve import Solution
from mgcore.watch import Step

__all__ = [
    "animate",
    "new_axes",
    "plot_cycle",
    "plot_field",
    "plot_residuals",
    "plot_solution",
    "plot_step",
]

# Pictures of errors have no more pixels a side: a screen shows no more of them side by side.
_PIXELS = 130


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


def plot_step(axes: Sequence[Any], step: Step) -> Sequence[Any]:
    """Draw where a cycle stands: its path so far, and the error on the finest levels.

    Parameters
    ----------
    axes : sequence of matplotlib.axes.Axes
        The first for the path, each other one for a level, the finest first; coarser levels than
        there are axes are left out. In 1D an error is a curve, in 2D a picture, in 3D the section
        through the middle, each in its own scale: the title says the largest value.
    step : Step
        From :func:`mgcore.watch.watch`.

    Returns
    -------
    sequence of matplotlib.axes.Axes
    """
    path, *panels = axes
    cycle, visits = step.cycle, step.visits
    level = [visit.level for visit in cycle]
    path.plot(level, "-", color="0.8", linewidth=1)
    path.plot(level[: max(visits, 1)], "-", color="C0", linewidth=1.5)
    here = max(visits - 1, 0)
    path.plot([here], [level[here]], "o", color="C1" if visits else "0.6", markersize=9)
    path.set_ylim(max(level) + 0.5, -0.5)
    path.set_yticks(range(max(level) + 1))
    path.set_ylabel("level")
    path.set_xticks([])
    path.set_title(f"cycle {step.number}\nvisit {visits} of {len(cycle)}", fontsize="medium")
    for side in ("top", "right", "bottom"):
        path.spines[side].set_visible(False)
    for number, (ax, error) in enumerate(zip(panels, step.errors, strict=False)):
        _plot_error(ax, error, visits > 0 and number == level[here])
    for ax in panels[len(step.errors) :]:
        ax.set_axis_off()
    return axes


def _plot_error(ax: Any, error: np.ndarray | None, visited: bool) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_box_aspect(1)
    for spine in ax.spines.values():
        spine.set(color="C1" if visited else "0.8", linewidth=2 if visited else 1)
    if error is None:
        ax.set_title(" \n ", fontsize="medium")
        return
    nodes = " x ".join(map(str, error.shape))
    largest = float(abs(error).max())
    scale = largest or 1.0
    ax.set_title(f"{nodes}\nerror {largest:.1e}", fontsize="medium")
    if error.ndim == 1:
        ax.plot(np.linspace(0, 1, error.size), error, ".-", markersize=3)
        ax.set_ylim(-1.1 * scale, 1.1 * scale)
        return
    if error.ndim == 3:
        error = error[..., error.shape[2] // 2]
    stride = max(1, -(-max(error.shape) // _PIXELS))
    ax.imshow(
        error[::stride, ::stride].T, origin="lower", extent=(0, 1, 0, 1), cmap="RdBu_r",
        vmin=-scale, vmax=scale, interpolation="nearest",
    )  # fmt: skip


def animate(steps: Sequence[Step], panels: int = 4, seconds: float = 0.5) -> Any:
    """Cycles under way: :func:`plot_step` for every step, in a new figure.

    Parameters
    ----------
    steps : sequence of Step
        From :func:`mgcore.watch.watch`, of one cycle or of several in a row.
    panels : int
        Levels shown, the finest ones.
    seconds : float
        For each step.

    Returns
    -------
    matplotlib.animation.FuncAnimation
        `save` writes it, by Pillow as a GIF or an animated PNG; matplotlib's `show` plays it.
    """
    from matplotlib.animation import FuncAnimation

    axes = new_axes(1 + min(panels, len(steps[0].errors)), size=(2.1, 2.5))
    figure = axes[0].figure

    def draw(number: int) -> Sequence[Any]:
        for ax in axes:
            ax.clear()
        return plot_step(axes, steps[number])

    draw(0)
    figure.canvas.draw()
    figure.set_layout_engine("none")  # else numbers that change would shift everything
    return FuncAnimation(figure, draw, frames=len(steps), interval=1000 * seconds)
