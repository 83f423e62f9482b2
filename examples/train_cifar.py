"""Train a network of the lecture on CIFAR-10 or CIFAR-100, reproducibly.

    python examples/train_cifar.py --data DIR --compile
    torchrun --nproc-per-node=4 examples/train_cifar.py --network mgnet-256 --preset published

Without --data the files are downloaded and checked. --out holds run.json, after each epoch log.csv
and checkpoint.pt, at the end curve.png and weights.safetensors; --resume goes on exactly where a
run stopped, or with other rates or more epochs. The accuracy reported is the last epoch's. What was
reached, on which machine, is in docs/results.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from mgnet import command
from mgnet.training import Trainer

SCRIPT = command.Script(
    __doc__,
    ("cifar10", "cifar100"),
    network="mgnet-pooled",
    out="runs/cifar",
)


def main(argv: Sequence[str] | None = None) -> list[Trainer]:
    """Train by the command line."""
    return command.main(SCRIPT, argv)


if __name__ == "__main__":
    main()
