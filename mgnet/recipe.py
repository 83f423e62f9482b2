"""How a network is trained: one frozen record, from which the command line is made as well."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mgnet import gate

__all__ = ["MAY_CHANGE", "PRECISIONS", "PRESETS", "Recipe", "option"]

PRECISIONS = ("auto", "bfloat16", "float16", "float32", "float64")


def option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    least: float | None = None,
    below: float = math.inf,
) -> Any:
    """A field of a record: its default, what it means, and the values that it may have."""
    limits = {"choices": choices, "least": least, "below": below}
    return dataclasses.field(default=default, metadata={"help": help, **limits})


def _documented(record: type) -> type:
    """The record with its fields listed in the docstring."""
    lines = [inspect.getdoc(record) or "", "", "Attributes", "----------"]
    for field in dataclasses.fields(record):
        kind = " or ".join(map(repr, field.metadata["choices"])) or field.type
        help = field.metadata["help"]
        lines.append(f"{field.name} : {kind}, default {field.default!r}")
        lines.append(f"    {help[0].upper()}{help[1:]}.")
    record.__doc__ = "\n".join(lines)
    return record


@_documented
@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a training run.

    Raises
    ------
    ValueError
        For a value that cannot be; the message says which can.
    """

    epochs: int = option(10, "passes over the training set", least=1)
    batch_size: int = option(256, "examples of a step, of all processes together", least=2)
    accumulate: int = option(1, "parts in which a batch is run, to save memory", least=1)
    optimizer: str = option(
        "muon",
        "muon turns every kernel but the stem's by mgnet.optim.Muon and trains the rest by SGD",
        choices=("muon", "sgd"),
    )
    lr: float = option(0.06, "learning rate of Muon", least=0)
    momentum: float = option(0.6, "momentum of Muon", least=0, below=1)
    sgd_lr: float = option(0.1, "learning rate of SGD", least=0)
    sgd_momentum: float = option(0.9, "momentum of SGD", least=0, below=1)
    nesterov: bool = option(True, "whether the momentum of SGD is Nesterov's")
    weight_decay: float = option(5e-4, "weight decay of SGD", least=0)
    decay: str = option(
        "kernels", "what decays: kernels and matrices, or biases and normalisations as well",
        choices=("kernels", "all"),
    )  # fmt: skip
    schedule: str = option(
        "linear", "how rates fall: linearly or as a cosine to zero, or by a tenth in steps",
        choices=("linear", "cosine", "steps"),
    )  # fmt: skip
    warmup: float = option(0.0, "part of all steps in which rates rise from 0", least=0, below=1)
    step_epochs: int = option(50, "epochs between two steps of the schedule 'steps'", least=1)
    clip: float = option(0.0, "largest norm of a gradient, 0 for any", least=0)
    ema: float = option(
        0.0, "decay of averaged weights, which are then those measured; 0 for none",
        least=0, below=1,
    )  # fmt: skip
    label_smoothing: float = option(0.1, "part of a label that all classes share", least=0, below=1)
    shift: int = option(2, "examples are shifted by up to so many pixels a way", least=0)
    border: str = option(
        "reflect", "what a shift brings in", choices=("reflect", "zero"),
    )  # fmt: skip
    flip: str = option(
        "alternate", "mirrored in every other epoch, at random, or never",
        choices=("alternate", "random", "never"),
    )  # fmt: skip
    cutout: int = option(0, "side of a square that is blanked, 0 for none", least=0)
    mixup: float = option(0.0, "alpha of the Beta law that mixes two examples, 0 never", least=0)
    cutmix: float = option(0.0, "the same for a box taken from another example", least=0)
    seed: int = option(0, "from which all that is random follows", least=0, below=2**32)
    precision: str = option(
        "auto", "of convolutions and products; below float32 under autocast", choices=PRECISIONS
    )
    layout: str = option(
        "auto", "order of numbers in memory", choices=("auto", "channels_last", "contiguous")
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = _checked(field.name, getattr(self, field.name), field.default, field.metadata)
            object.__setattr__(self, field.name, value)
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be run in {self.accumulate} equal parts"
            )
        if self.optimizer == "sgd" and self.lr != Recipe.lr:
            raise ValueError(
                f"lr={self.lr} would do nothing, as it is Muon's: the rate of SGD is sgd_lr"
            )
        if self.nesterov and self.sgd_momentum == 0:
            object.__setattr__(self, "nesterov", False)

    def rate(self, progress: float) -> float:
        """Factor of the learning rates when `progress`, in [0, 1), of the steps are done."""
        if progress < self.warmup:
            return progress / self.warmup
        if self.schedule == "steps":
            # The small number keeps an epoch's first step from rounding down into the last one.
            return 0.1 ** int(progress * self.epochs / self.step_epochs + 1e-9)
        left = (1 - progress) / (1 - self.warmup)
        return left if self.schedule == "linear" else (1 - math.cos(math.pi * left)) / 2


def _checked(name: str, value: Any, default: Any, limits: Mapping[str, Any]) -> Any:
    """`value` in the plain type of `default`; ValueError where it is not within the limits.

    A NumPy number would be unreadable in a checkpoint.
    """
    if isinstance(default, str):
        gate.one_of(name, value, limits["choices"])
        return str(value)
    if isinstance(default, bool):
        if not isinstance(value, bool | np.bool_):
            raise ValueError(f"{name} must be True or False, got {value!r}")
        return bool(value)
    check = gate.whole if isinstance(default, int) else gate.number
    check(name, value, limits["least"], limits["below"])
    return type(default)(value)


#: What of a recipe may change when a run is resumed.
MAY_CHANGE = ("lr", "sgd_lr", "epochs")

#: Recipes by name. "fast" brings a network of our own to 93 % of CIFAR-10 in half an hour of two
#: cores (docs/results.md); Recipe() itself is gentler, for small sets. "published" is that of the
#: authors' code (SGD, 300 epochs, the rate a tenth every 50; He & Xu 2019), except that here the
#: last epoch is reported, not the best one.
PRESETS = {
    "fast": Recipe(epochs=18, momentum=0.9, label_smoothing=0.2, shift=4),
    "published": Recipe(
        epochs=300, batch_size=128, optimizer="sgd", nesterov=False, decay="all",
        schedule="steps", label_smoothing=0.0, shift=4, border="zero", flip="random",
    ),
}  # fmt: skip
