"""Train a network on pictures of your own, in a folder for each class.

    python examples/train_folder.py DIR --epochs 30
    python examples/train_folder.py DIR --size 64 --workers 4 --network mgnet-narrow

DIR holds train/CLASS/NAME.jpg and val/CLASS/NAME.jpg, as for ImageNet, or only CLASS/NAME.jpg; then
a part is set aside for testing. Pictures are decoded while they are trained on, by --workers
processes, and are never all in memory. Needs Pillow: pip install 'mgcore[pictures]'.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from mgnet import command
from mgnet.class_folders import FolderClassification
from mgnet.training import Trainer


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that say where the pictures are and how they are cut."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # fewer, where the system lends this process some of them
        cores = len(os.sched_getaffinity(0))
    workers = max(1, min(8, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    add = parser.add_argument
    add("folder", metavar="DIR", help="folder with the classes")
    add("--size", type=int, default=224, help="pixels a side (default: 224)")
    add("--workers", type=int, default=workers, metavar="N",
        help=f"processes that decode, for each that trains (default here: {workers})")  # fmt: skip
    add("--smallest-crop", type=float, default=0.08, metavar="PART",
        help="least part of a picture in a crop to train on (default: 0.08)")  # fmt: skip
    add("--test-fraction", type=float, default=0.2, metavar="PART",
        help="what is set aside where DIR has no train (default: 0.2)")  # fmt: skip


def make_task(args: argparse.Namespace) -> FolderClassification:
    """The pictures by the command line."""
    return FolderClassification(
        args.folder,
        args.size,
        smallest_crop=args.smallest_crop,
        test_fraction=args.test_fraction,
        workers=args.workers,
    )


SCRIPT = command.Script(
    __doc__,
    (),
    network="mgnet-imagenet",
    small_network="mgnet-narrow",
    out="runs/folder",
    recipe={"epochs": 10, "momentum": 0.6, "label_smoothing": 0.1},
    always={"shift": 0},  # a random crop has moved already
    options=add_options,
    task=make_task,
)


def main(argv: Sequence[str] | None = None) -> list[Trainer]:
    """Train by the command line."""
    return command.main(SCRIPT, argv)


if __name__ == "__main__":
    main()
