"""Train a network of the lecture on handwritten digits or on garments.

    python examples/train_mnist.py --data DIR
    python examples/train_mnist.py --dataset fashion-mnist --network lenet-5

The options are those of train_cifar.py. Digits are not mirrored: a mirrored digit is no digit.
"""

from __future__ import annotations

from collections.abc import Sequence

from mgnet import command
from mgnet.training import Trainer

SCRIPT = command.Script(
    __doc__,
    ("mnist", "fashion-mnist", "digits"),
    network="mgnet-hat",
    network_options={"channels": [16, 32, 64, 128]},  # a quarter of the lecture's for ImageNet
    out="runs/mnist",
    recipe={"epochs": 10, "label_smoothing": 0.1, "shift": 2},  # of the table in docs/results.md
    always={"flip": "never"},
)


def main(argv: Sequence[str] | None = None) -> list[Trainer]:
    """Train by the command line."""
    return command.main(SCRIPT, argv)


if __name__ == "__main__":
    main()
