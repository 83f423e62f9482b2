"""Figures of training: every function draws on matplotlib axes it is given and returns them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mgnet.journal import Epoch

__all__ = ["plot_history", "plot_sizes"]


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


def plot_sizes(ax: Any, families: Mapping[str, Sequence[tuple[int, float]]]) -> Any:
    """Accuracy against the number of parameters, a line for each family of networks.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    families : mapping
        Name to pairs (parameters, accuracy in [0, 1]).

    Returns
    -------
    matplotlib.axes.Axes
    """
    for name, pairs in families.items():
        parameters, accuracies = zip(*sorted(pairs), strict=True)
        ax.semilogx(parameters, [100 * a for a in accuracies], "o-", label=name)
    ax.set(xlabel="parameters", ylabel="test accuracy (%)")
    ax.legend(frameon=False, loc="lower right")
    ax.grid(alpha=0.3)
    return ax
