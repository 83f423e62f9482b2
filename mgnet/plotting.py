"""Figures of training: every function draws on matplotlib axes it is given and returns them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mgnet.training import Epoch

__all__ = ["plot_history"]


def plot_history(ax: Any, history: Sequence[Epoch]) -> Any:
    """Accuracy on training and test pictures, epoch by epoch.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    history : sequence of Epoch

    Returns
    -------
    matplotlib.axes.Axes
    """
    epochs = [row.epoch for row in history]
    train, test = (
        [100 * getattr(row, f"{part}_accuracy") for row in history] for part in ("train", "test")
    )
    ax.plot(epochs, train, label="training, augmented")
    ax.plot(epochs, test, label="test")
    ax.plot(epochs[-1:], test[-1:], "o", color="C1")
    ax.set(xlabel="epoch", ylabel="accuracy (%)")
    ax.set_title(f"last epoch: {history[-1].test_accuracy:.2%} of the test pictures")
    ax.legend(frameon=False, loc="lower right")
    ax.grid(alpha=0.3)
    return ax
