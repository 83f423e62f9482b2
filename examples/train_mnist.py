"""Train a network of the lecture on handwritten digits or on garments.

    python examples/train_mnist.py --data DIR
    python examples/train_mnist.py --network mgnet-hat --channels 16 32 64 128 --dataset mnist

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
    out="runs/mnist",
    mirrored=False,
)


def main(argv: Sequence[str] | None = None) -> list[Trainer]:
    """Train by the command line."""
    return command.main(SCRIPT, argv)


if __name__ == "__main__":
    main()
