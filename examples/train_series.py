"""Train the one-dimensional MgNet of 3,450 parameters to tell heart beats apart.

    python examples/train_series.py --data DIR --dataset ecg200 --seeds 5

DIR holds a folder for each set of the UCR archive, such as ECG200/ECG200_TRAIN.tsv.
"""

from __future__ import annotations

from collections.abc import Sequence

from mgnet import command
from mgnet.training import Trainer

SCRIPT = command.Script(
    __doc__,
    ("ecg200", "ecgfivedays", "twoleadecg", "ecg5000"),
    network="mgnet-pulse",
    out="runs/series",
    # That of the table in docs/results.md; there the two sets of 23 training series have 200 epochs
    # and batches of 8, and ecg5000 has 40 epochs.
    recipe={
        "batch_size": 16,
        "epochs": 100,
        "momentum": 0.6,
        "label_smoothing": 0.1,
        "precision": "float32",
        "layout": "contiguous",
    },
    always={"flip": "never"},
)


def main(argv: Sequence[str] | None = None) -> list[Trainer]:
    """Train by the command line."""
    return command.main(SCRIPT, argv)


if __name__ == "__main__":
    main()
