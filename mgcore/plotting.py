"""Figures: every function draws on matplotlib axes it is given and returns them.

Nothing else in mgcore imports matplotlib, and this file does so at the first figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mgcore.cycle import Cycle
from mgcore.fourier import alias
from mgcore.solution import Solution
from mgcore.watch import Step

__all__ = [
    "COLOURS",
    "animate",
    "new_axes",
    "plot_alias",
    "plot_constraint",
    "plot_convergence",
    "plot_cost",
    "plot_cycle",
    "plot_factors",
    "plot_field",
    "plot_residuals",
    "plot_solution",
    "plot_spectrum",
    "plot_step",
    "plot_surface",
    "plot_symbol",
]

#: Told apart with any kind of colour vision (Okabe & Ito, Color universal design, 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")

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


def plot_field(
    ax: Any,
    u: Any,
    extent: Sequence[float] = (1.0, 1.0),
    coordinates: Sequence[Any] | None = None,
    **options: Any,
) -> Any:
    """Node values in 2D as a picture, the first axis to the right and the second upwards.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    u : array_like
        Shape (n0, n1).
    extent : sequence of float
        Lengths of the box.
    coordinates : sequence of array_like, optional
        Of the nodes along both axes, in place of `extent`.
    **options
        For `imshow`, or for `pcolormesh` where nodes are not equally spaced.

    Returns
    -------
    matplotlib.axes.Axes
    """
    x, y = ((0.0, length) for length in extent) if coordinates is None else coordinates
    if all(np.allclose(np.diff(t), t[1] - t[0], rtol=1e-6, atol=0) for t in (x, y)):
        box = (x[0], x[-1], y[0], y[-1])
        image = ax.imshow(np.asarray(u).T, origin="lower", extent=box, **options)
    else:
        image = ax.pcolormesh(x, y, np.asarray(u).T, shading="nearest", **options)
        ax.set(aspect="equal", xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
    _colours(ax, image)
    ax.set_xlabel("x")
    ax.set_ylabel("y")
    return ax


def _colours(ax: Any, image: Any, **options: Any) -> Any:
    """The colour bar of a picture, as tall as that, whatever its place and its aspect."""
    return ax.figure.colorbar(image, cax=ax.inset_axes((1.04, 0, 0.06, 1)), **options)


def plot_solution(ax: Any, solution: Solution, **options: Any) -> Any:
    """u of a solve: a curve in 1D, a picture in 2D, and in 3D the section through the middle.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
        None makes a new figure.
    solution : Solution
    **options
        For `plot` in 1D, for the picture in 2D and 3D as in :func:`plot_field`.

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
    x, y, *z = map(np.ravel, grid.coordinates())
    if grid.ndim == 3:
        u = u[..., grid.shape[2] // 2]
        ax.set_title(f"z = {z[0][grid.shape[2] // 2]:g}")
    return plot_field(ax, u, coordinates=(x, y), **options)


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


# --- errors and their frequencies -----------------------------------------------------------------


def plot_surface(ax: Any, u: Any, height: float | None = None, facets: int = 32) -> Any:
    """Node values in 2D as a surface over the unit square.

    Parameters
    ----------
    ax : mpl_toolkits.mplot3d.axes3d.Axes3D
        Axes with ``projection="3d"``.
    u : array_like
        Shape (n0, n1).
    height : float, optional
        The vertical axis ends at so much above and below zero; by default at the largest value.
    facets : int
        No more are drawn along each axis: what a screen shows, and quickly. Nodes are left out, so
        oscillations from node to node of a larger grid are not seen as what they are.

    Returns
    -------
    Axes3D
    """
    u = np.asarray(u, float)
    strides = [max(1, -(-(n - 1) // facets)) for n in u.shape]
    x, y = np.meshgrid(*[np.linspace(0, 1, n) for n in u.shape], indexing="ij")
    every = tuple(slice(None, None, stride) for stride in strides)
    u = u if height is None else np.clip(u, -height, height)  # axes in space do not clip
    height = float(abs(u).max()) or 1.0 if height is None else height
    ax.plot_surface(
        x[every], y[every], u[every], cmap="cividis", vmin=-height, vmax=height, rcount=facets,
        ccount=facets, linewidth=0, antialiased=False,
    )  # fmt: skip
    ax.set(zlim=(-height, height), xticks=[0, 1], yticks=[0, 1], zticks=[-height, 0, height])
    ax.set(xlabel="x", ylabel="y")
    ax.zaxis.set_major_formatter("{x:.2g}")
    return ax


def plot_spectrum(
    ax: Any, amplitudes: Any, largest: float | None = None, mode: Sequence[int] | None = None
) -> Any:
    """Amplitudes of sine modes in 2D, logarithmic, and the frequencies that a coarser grid sees.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    amplitudes : array_like
        From :func:`mgcore.fourier.spectrum`.
    largest : float, optional
        Where the colours end, by default at the largest amplitude; they begin at a thousandth.
    mode : sequence of int, optional
        Of one mode, to be marked.

    Returns
    -------
    matplotlib.axes.Axes
    """
    from matplotlib.colors import LogNorm

    size = abs(np.asarray(amplitudes, float))
    largest = float(size.max()) or 1.0 if largest is None else largest
    norm = LogNorm(1e-3 * largest, largest, clip=True)
    image = ax.imshow(
        size.T + 1e-300, origin="lower", extent=(0, 1, 0, 1), norm=norm, cmap="cividis"
    )
    _colours(ax, image, label="amplitude", format="{x:g}").minorticks_off()
    return _frequencies(ax, [k / (n + 1) for k, n in zip(mode, size.shape, strict=True)]
                        if mode is not None else None)  # fmt: skip


def plot_symbol(
    ax: Any,
    amplification: Any,
    title: str = "",
    halved: Sequence[bool] = (True, True),
    at: Sequence[float] | None = None,
    bar: bool = True,
    whole: bool = False,
) -> Any:
    """What a smoothing step leaves of each frequency in 2D.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    amplification : array_like
        Shape (n, n), from :func:`mgcore.fourier.amplification` at frequencies from 0 to pi, or with
        `whole` from -pi to pi.
    title : str
    halved : sequence of bool
        Axes that the coarser grid halves: it sees what lies inside the dashed line.
    at : sequence of float, optional
        Frequencies over pi that are marked.
    bar : bool
        Whether the colours are explained beside it, which one of several pictures in a row may do.
    whole : bool
        A stencil with corners is not its own mirror image: a quarter of its symbol is not enough.

    Returns
    -------
    matplotlib.axes.Axes
    """
    from matplotlib import colormaps

    least = -1 if whole else 0
    image = ax.imshow(
        np.asarray(amplification).T, origin="lower", extent=(least, 1, least, 1),
        vmin=0, vmax=1 + 1e-9,  # 1 and its rounding stay, what is more grows
        cmap=colormaps["cividis"].with_extremes(over=COLOURS[1]),
    )  # fmt: skip
    if bar:
        _colours(ax, image, label="left by one step", extend="max")
    ax.set_title(title)
    return _frequencies(ax, at, halved, least)


def _frequencies(
    ax: Any,
    at: Sequence[float] | None = None,
    halved: Sequence[bool] = (True, True),
    least: int = 0,
) -> Any:
    """Axes of frequencies from `least` pi to pi, a line around those that the coarser grid sees."""
    right, top = (0.5 if half else 1.0 for half in halved)
    x, y = [right, right, 0], [0, top, top]
    if least:
        x, y = [right, right, -right, -right, right], [-top, top, top, -top, -top]
    ax.plot(x, y, "w--", linewidth=3)
    if at is not None:
        ax.plot(*[[t] for t in at], "o", color=COLOURS[1], markersize=12, markeredgecolor="w",
                markeredgewidth=2)  # fmt: skip
    ticks = [-1, 0, 1] if least else [0, 0.5, 1]
    ax.set(xlim=(least, 1), ylim=(least, 1), xticks=ticks, yticks=ticks)
    ax.set(xlabel="θ₁ / π", ylabel="θ₂ / π")  # no formula, which takes longer to set than all else
    return ax


def plot_alias(ax: Any, k: int, m: int) -> Any:
    """sin(k pi x) on m mesh widths, and the mode as which every second node sees it.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    k : int
        From 1 to m - 1.
    m : int
        Even.

    Returns
    -------
    matplotlib.axes.Axes
    """
    seen, sign = alias(k, m)
    x, fine = np.linspace(0, 1, 8 * m + 1), np.linspace(0, 1, m + 1)
    ax.plot(x, np.sin(k * np.pi * x), color="0.75", linewidth=1.5)
    ax.plot(fine, np.sin(k * np.pi * fine), ".", color=COLOURS[0], markersize=8, label=f"mode {k}")
    ax.plot(x, sign * np.sin(seen * np.pi * x) * (2 * seen != m), color=COLOURS[1], linewidth=2.5)
    name = "every second node: " + ("zero" if 2 * seen == m else f"mode {seen}")
    ax.plot(
        fine[::2], np.sin(k * np.pi * fine[::2]), "o", color=COLOURS[1], markersize=8, label=name
    )
    ax.set(xlabel="x", xlim=(0, 1), ylim=(-1.15, 1.15), yticks=[-1, 0, 1])
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    return ax


# --- factors and cost -----------------------------------------------------------------------------


def plot_factors(
    ax: Any,
    predicted: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    measured: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    xlabel: str = "smoothing steps a cycle",
    like: Mapping[str, str] = {},
) -> Any:
    """Convergence factors, predicted as lines and measured as points.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    predicted, measured : mapping
        Name to x, increasing, and factors. What has the same place in both has the same colour.
    xlabel : str
    like : mapping
        Names of points to those of the lines whose colour they have instead.

    Returns
    -------
    matplotlib.axes.Axes
    """
    for number, (name, (x, factors)) in enumerate(predicted.items()):
        style = ("-", "--", "-.", ":")[number % 4]
        ax.plot(x, factors, style, color=COLOURS[number % 7], linewidth=2.5, label=name)
    for number, (name, (x, factors)) in enumerate(measured.items()):
        place = list(predicted).index(like[name]) if name in like else number
        marker = ("o", "s", "D", "^")[place % 4]
        # Hollow and of two sizes, as points of two methods may be the same.
        ax.plot(
            x, factors, marker, color=COLOURS[place % 7], fillstyle="none", markeredgewidth=2.5,
            markersize=13 - 5 * (number % 2), label=name,
        )  # fmt: skip
    highest = max(max(factors) for _, factors in [*predicted.values(), *measured.values()])
    ax.set(xlabel=xlabel, ylabel="factor of a cycle", ylim=(0, 2 * highest))  # room for the names
    ax.legend(frameon=False)
    ax.grid(alpha=0.3)
    return ax


def plot_convergence(ax: Any, residuals: Mapping[str, Sequence[float]]) -> Any:
    """Residual norms of several methods against their cycles, each relative to its first.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    residuals : mapping
        Name to the norms, that before the first cycle first.

    Returns
    -------
    matplotlib.axes.Axes
    """
    for number, (name, norms) in enumerate(residuals.items()):
        style = ("-", "--", "-.", ":")[number % 4]
        relative = np.asarray(norms) / (norms[0] or 1.0)
        ax.semilogy(relative, style, color=COLOURS[number % 7], linewidth=2.5, label=name)
    ax.yaxis.set_major_formatter(_power_of_ten)
    ax.minorticks_off()
    ax.set(xlabel="cycle", ylabel="residual, relative")
    ax.legend(frameon=False)
    ax.grid(alpha=0.3)
    return ax


def _power_of_ten(x: float, _: Any) -> str:
    """10 and its exponent as text: formulae take longer to set than all else."""
    return "10" + str(round(np.log10(x))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def plot_cost(ax: Any, sizes: Sequence[int], seconds: Mapping[str, Sequence[float]]) -> Any:
    """Time against the number of unknowns N, and a line of times that grow as N does.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    sizes : sequence of int
        N of each grid.
    seconds : mapping
        Name to the time on each grid.

    Returns
    -------
    matplotlib.axes.Axes
    """
    for number, (name, times) in enumerate(seconds.items()):
        marker = ("o-", "s--", "D-.", "^:")[number % 4]
        milliseconds = [1e3 * t for t in times]
        ax.loglog(sizes, milliseconds, marker, color=COLOURS[number % 7], label=name)
    last = 1e3 * min(times[-1] for times in seconds.values())
    ax.loglog(sizes, [0.5 * last * n / sizes[-1] for n in sizes], color="0.6", label="as N")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:,g}")
    ax.minorticks_off()
    ax.set(xlabel="unknowns N", ylabel="milliseconds")
    ax.legend(frameon=False)
    ax.grid(alpha=0.3)
    return ax


def plot_constraint(ax: Any, u: Any) -> Any:
    """u >= 0 in 2D as a picture, with a line around where it is held at zero.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    u : array_like
        Node values on the unit square.

    Returns
    -------
    matplotlib.axes.Axes
    """
    u = np.asarray(u, float)
    plot_field(ax, u, cmap="cividis", vmin=0)
    held = (u <= 0).astype(float)
    held[[0, -1]] = held[[1, -2]]  # the border always is
    held[:, [0, -1]] = held[:, [1, -2]]
    if held.any() and not held.all():
        lines = [np.linspace(0, 1, n) for n in u.shape]
        ax.contour(*lines, held.T, [0.5], colors="w", linewidths=2)
    return ax
