"""Figures of the trained side: every function draws on matplotlib axes and returns them.

Besides their colours, which are those of :mod:`mgcore.plotting`, lines differ in their dashes and
points in their shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mgcore.plotting import COLOURS
from mgnet.greedy import Greedy
from mgnet.journal import Epoch

__all__ = [
    "plot_approximation",
    "plot_basis",
    "plot_boundaries",
    "plot_digits",
    "plot_features",
    "plot_fit",
    "plot_greedy",
    "plot_history",
    "plot_modes",
    "plot_norms",
    "plot_picture",
    "plot_sizes",
    "plot_stencil",
]

DASHES = ("-", "--", "-.", ":")


def plot_history(ax: Any, history: Sequence[Epoch]) -> Any:
    """Accuracy on training and test examples, epoch by epoch; the loss where there is none.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    history : sequence of Epoch
        One at least.

    Returns
    -------
    matplotlib.axes.Axes
    """
    last = history[-1].test
    measure = "accuracy" if "accuracy" in last else "loss"
    factor, unit = (100, " (%)") if measure == "accuracy" else (1, "")
    epochs = [row.epoch for row in history]
    train = [factor * row.train[measure] for row in history]
    test = [factor * row.test[measure] for row in history]
    ax.plot(epochs, train, label="training, augmented")
    ax.plot(epochs, test, label="test")
    ax.plot(epochs[-1:], test[-1:], "o", color="C1")
    ax.set(xlabel="epoch", ylabel=f"{measure}{unit}")
    figure = f"{last[measure]:.2%}" if measure == "accuracy" else f"{last[measure]:.4g}"
    ax.set_title(f"test {measure} after the last epoch: {figure}")
    ax.legend(frameon=False)
    ax.grid(alpha=0.3)
    return ax


def plot_sizes(
    ax: Any, families: Mapping[str, Sequence[tuple[int, float]]], *, lines: bool = True
) -> Any:
    """Accuracy against the number of parameters, a line for each family of networks.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    families : mapping
        Name to pairs (parameters, accuracy in [0, 1]).
    lines : bool
        Or points alone, for families that have several networks of a size.

    Returns
    -------
    matplotlib.axes.Axes
    """
    for k, (name, pairs) in enumerate(families.items()):
        parameters, accuracies = zip(*sorted(pairs), strict=True)
        look = {} if lines else {"ls": "", "mfc": "none", "mew": 2}  # one may lie behind another
        ax.semilogx(parameters, [100 * a for a in accuracies], marker="osD^"[k % 4], ms=8,
                    color=COLOURS[k % 7], label=name, **look)  # fmt: skip
    ax.set(xlabel="parameters", ylabel="test accuracy (%)")
    ax.legend(frameon=False, loc="lower right")
    ax.grid(alpha=0.3)
    return ax


def plot_boundaries(
    ax: Any,
    x: np.ndarray,
    first: np.ndarray,
    boundaries: Mapping[str, Callable[[np.ndarray], np.ndarray]],
    stray: int | None = None,
) -> Any:
    """Two sets of points in the plane and the curves where functions are zero.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    x : ndarray
        (points, 2)
    first : ndarray of bool
        (points,), which points are of A_1.
    boundaries : mapping
        Name to a function of (points, 2) that gives (points,).
    stray : int, optional
        A point to mark.

    Returns
    -------
    matplotlib.axes.Axes
    """
    for chosen, name, mark, colour in (
        (first, "$A_1$", "o", COLOURS[0]),
        (~first, "$A_2$", "s", COLOURS[5]),
    ):
        ax.scatter(*x[chosen].T, marker=mark, s=70, color=colour, edgecolor="black", label=name)
    if stray is not None:
        ax.scatter(*x[stray], marker="o", s=300, facecolor="none", edgecolor="black", linewidth=2)
    reach = 1.15 * abs(x).max()
    line = np.linspace(-reach, reach, 121)
    grid = np.stack(np.meshgrid(line, line), -1)
    for k, (name, function) in enumerate(boundaries.items()):
        style = {"colors": [COLOURS[(1, 6, 2)[k % 3]]], "linestyles": [DASHES[(0, 1, 2)[k % 3]]]}
        values = function(grid.reshape(-1, 2)).reshape(grid.shape[:2])
        ax.contour(line, line, values, [0.0], linewidths=3, **style)
        ax.plot([], [], color=style["colors"][0], ls=style["linestyles"][0], lw=3, label=name)
    ax.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal", xlim=(-reach, reach))
    ax.set_ylim(-reach, reach)
    _legend_above(ax)
    return ax


def plot_norms(ax: Any, penalties: np.ndarray, norms: np.ndarray, here: int) -> Any:
    """The length of the weights as the penalty falls, to the right.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    penalties, norms : ndarray
        lambda and ``|w|`` of each minimiser.
    here : int
        Which of them to mark.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax.semilogx(penalties, norms, color=COLOURS[0], linewidth=3)
    ax.plot(penalties[here], norms[here], "o", color=COLOURS[1], markersize=14)
    ax.invert_xaxis()
    ax.set(xlabel=r"$\lambda$, falling", ylabel=r"$\|w_\lambda\|$", ylim=(0, None))
    ax.grid(alpha=0.3)
    return ax


def plot_fit(ax: Any, x: np.ndarray, f: np.ndarray, fit: np.ndarray) -> Any:
    """A function of one variable and an approximation of it.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    x, f, fit : ndarray
        (points,)

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax.plot(x, f, "--", color=COLOURS[6], lw=2, label="$f$")
    ax.plot(x, fit, color=COLOURS[0], lw=3, label="$f_n$")
    ax.set(xlabel="$x$")
    _legend_above(ax)
    return ax


def plot_approximation(ax: Any, greedy: Greedy, n: int, *, kinks: bool = True) -> Any:
    """f and f_n in 1D; in 2D f_n as a picture; the kinks of the n neurons in both.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    greedy : Greedy
    n : int
        Neurons.
    kinks : bool
        Whether they have any: polynomials have none.

    Returns
    -------
    matplotlib.axes.Axes
    """
    n = min(n, len(greedy))
    values = greedy.approximation(n)
    if greedy.points.shape[1] == 1:
        every = slice(None, None, max(1, len(values) // 512))
        plot_fit(ax, greedy.points[every, 0], greedy.f[every], values[every])
        if kinks:
            w, b = greedy.neurons[:n].T
            lowest = 1.25 * greedy.f.min()
            ax.plot(-b / w, np.full(n, lowest), "|", color=COLOURS[1], ms=16, mew=2, label="kinks")
        _legend_above(ax, 3)
        return ax
    side = round(len(values) ** 0.5)
    ax.imshow(
        values.reshape(side, side).T, origin="lower", extent=(-1, 1, -1, 1), cmap="cividis",
        vmin=greedy.f.min(), vmax=greedy.f.max(),
    )  # fmt: skip
    for w0, w1, b in greedy.neurons[: n if kinks else 0]:
        foot, along = np.array([-b * w0, -b * w1]), np.array([-w1, w0])
        ax.plot(*np.stack([foot - 3 * along, foot + 3 * along], 1), "w-", lw=0.8, alpha=0.7)
    ax.set(xlim=(-1, 1), ylim=(-1, 1), xlabel="$x_1$", ylabel="$x_2$")
    ax.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1], title="$f_n$ and its kinks" if kinks else "$f_n$")
    return ax


def plot_greedy(ax: Any, greedy: Greedy, n: int, exponents: Mapping[str, float]) -> Any:
    """The error against the number of neurons, and lines of given slopes.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    greedy : Greedy
    n : int
        Where to put a mark.
    exponents : mapping
        Name to exponent p of a line C n^p.

    Returns
    -------
    matplotlib.axes.Axes
    """
    count, errors = np.arange(1, len(greedy.errors)), greedy.errors[1:]
    ax.loglog(count, errors, color=COLOURS[0], lw=3, label="greedy")
    ax.plot(min(n, len(greedy)), greedy.error(n), "o", color=COLOURS[0], ms=14)
    along = np.array([4.0, 128.0])
    # All lines leave from one point, beside the curve: only their slopes mean something.
    at = 2.5 * greedy.error(4)
    for k, (name, p) in enumerate(exponents.items()):
        ax.loglog(along, at * (along / 4) ** p, DASHES[(1 + k) % 4], color=COLOURS[(1 + k) % 7],
                  lw=3, label=name)  # fmt: skip
    ax.minorticks_off()
    for axis, values in ((ax.xaxis, count), (ax.yaxis, errors)):
        if max(values) < 10 * min(values):  # no powers of ten to label
            axis.set_ticks(ends := [values[0], values[-1]], [f"{end:.2g}" for end in ends])
    ax.set(xlabel="neurons $n$", ylabel=r"$\|f - f_n\| / \|f\|$")
    _legend_above(ax, 3)
    ax.grid(alpha=0.3)
    return ax


def plot_picture(ax: Any, x: np.ndarray, title: str = "", *, signed: bool = False) -> Any:
    """A picture without axes, grey where it has no colours.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    x : ndarray
        (rows, columns), drawn from its least value to its largest, or (rows, columns, 3) in [0, 1].
    title : str
    signed : bool
        Zero in the middle of the scale: what is negative blue, what is positive red.

    Returns
    -------
    matplotlib.axes.Axes
    """
    if signed:
        most = float(np.quantile(abs(x), 0.995)) or 1.0
        ax.imshow(x, cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
    else:
        ax.imshow(x, cmap="gray", interpolation="nearest")
    ax.set_title(title)
    ax.set_axis_off()
    return ax


def plot_stencil(ax: Any, weights: np.ndarray, title: str = "", digits: int = 1) -> Any:
    """A kernel as a table of coloured numbers.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    weights : ndarray
        (rows, columns)
    title : str
    digits : int
        Decimals shown.

    Returns
    -------
    matplotlib.axes.Axes
    """
    most = abs(weights).max() or 1.0
    ax.imshow(weights, cmap="RdBu_r", vmin=-2 * most, vmax=2 * most)  # black is read on all of it
    for (i, j), weight in np.ndenumerate(weights):
        ax.text(j, i, f"{round(float(weight), digits) + 0.0:g}", ha="center", va="center")
    ax.set_title(title)
    ax.set(xticks=[], yticks=[])
    return ax


def plot_features(ax: Any, features: np.ndarray, columns: int, title: str = "") -> Any:
    """The strongest channels of one level, side by side, each on its own scale from zero.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    features : ndarray
        (channels, rows, columns of pixels)
    columns : int
        How many channels to show.
    title : str

    Returns
    -------
    matplotlib.axes.Axes
    """
    order = np.argsort(-features.std((1, 2)), kind="stable")[:columns]
    chosen = np.maximum(features[order], 0)
    chosen = chosen / np.maximum(chosen.max((1, 2), keepdims=True), 1e-12)
    gap = np.full((chosen.shape[1], max(1, chosen.shape[2] // 12)), np.nan)
    strip = np.hstack([part for one in chosen for part in (one, gap)][:-1])
    ax.imshow(strip, cmap="magma", vmin=0, vmax=1, interpolation="nearest")
    ax.set_title(title)
    ax.set_axis_off()
    return ax


def plot_basis(ax: Any, x: np.ndarray, phi: np.ndarray, chosen: Sequence[int]) -> Any:
    """Some of the neurons of a network in 1D.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    x : ndarray
        (points,)
    phi : ndarray
        (neurons, points)
    chosen : sequence of int
        Which neurons to draw.

    Returns
    -------
    matplotlib.axes.Axes
    """
    for k, i in enumerate(chosen):
        ax.plot(x, phi[i], DASHES[k % 4], color=COLOURS[k % 7], lw=3)
    ax.set(xlabel="$x$", ylabel=r"$\varphi_i(x)$")
    ax.grid(alpha=0.3)
    return ax


def plot_modes(
    ax: Any, steps: Sequence[int], parts: Mapping[str, np.ndarray], now: int | None = None
) -> Any:
    """What is left of some modes of an error, step by step of the training.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    steps : sequence of int
        Positive.
    parts : mapping
        Name of a mode to its part of the error at each of the steps.
    now : int, optional
        A step to mark.

    Returns
    -------
    matplotlib.axes.Axes
    """
    for k, (name, part) in enumerate(parts.items()):
        ax.loglog(steps, part, DASHES[k % 4], color=COLOURS[k % 7], lw=3, label=name)
    if now is not None:
        ax.axvline(now, color=COLOURS[6], lw=2, alpha=0.5)
    ax.minorticks_off()
    ax.set(xlabel="steps of training", ylabel="left of the mode", ylim=(1e-3, 2))
    _legend_above(ax)
    ax.grid(alpha=0.3)
    return ax


def plot_digits(ax: Any, solvers: Mapping[str, tuple[float, float]]) -> Any:
    """The time that a solver takes for each decimal digit, as bars.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    solvers : mapping
        Name to (factor of a cycle, seconds of a cycle). What does not converge has no bar; bars
        more than twenty times as long as the shortest one are cut, and have an arrow.

    Returns
    -------
    matplotlib.axes.Axes
    """
    names = list(solvers)
    digits = [seconds / -np.log10(f) if 0 < f < 1 else 0.0 for f, seconds in solvers.values()]
    most = 20 * min((d for d in digits if d > 0), default=1e-9)
    shown = [1e6 * min(d, most) for d in digits]
    bars = ax.barh(names, shown, color=COLOURS[: len(names)])
    labels = [
        f" {f:.3f}, {1e6 * seconds:.0f} µs" if f < 1 else f" {f:.2g}, diverges"
        for f, seconds in solvers.values()
    ]
    arrows = ["→" if d > most else "" for d in digits]
    ax.bar_label(bars, [arrow + label for arrow, label in zip(arrows, labels, strict=True)])
    ax.set(xlabel="µs for a digit", xlim=(0, 2.6 * max(*shown, 1e-3)))
    ax.set_title("factor, time of a cycle")
    ax.invert_yaxis()
    return ax


def _legend_above(ax: Any, columns: int = 2) -> None:
    """The names above the axes, where they hide nothing."""
    ax.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, frameon=False,
        columnspacing=1.0, handlelength=1.8,
    )  # fmt: skip
