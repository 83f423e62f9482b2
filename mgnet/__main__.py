"""``python -m mgnet``: the table of all networks, and what a network sees in pictures."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial

from mgnet.classifier import Classifier
from mgnet.decoding import centre_box, read_picture
from mgnet.loading import load
from mgnet.pretrained import load_pretrained


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, or answer by the command line."""
    try:
        _answer(argv)
    except BrokenPipeError:  # `python -m mgnet | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to flush
        sys.exit(1)
    except (OSError, ValueError) as error:  # one clear sentence, no traceback
        sys.exit(f"mgnet: {error}")
    except KeyboardInterrupt:
        sys.exit("mgnet: interrupted")


def _answer(argv: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mgnet",
        description="Multigrid networks: a table of them, and what one sees in pictures.",
    )
    commands = parser.add_subparsers(dest="command", title="commands")
    commands.add_parser("table", help="all networks and baselines; so does no command at all")
    classify = commands.add_parser("classify", help="name what a network sees in pictures")
    classify.add_argument("pictures", nargs="+", metavar="PICTURE", help="of any size")
    classify.add_argument("--weights", metavar="FILE", help="of the network, or the folder of a "
                          "training run (default: the network that comes with mgnet)")  # fmt: skip
    args = parser.parse_args(argv)
    if args.command != "classify":
        from mgnet.table import table  # and with it scikit-learn

        print(table(), flush=True)
        return
    model = load(args.weights) if args.weights else load_pretrained()
    for path in args.pictures:
        print(f"{path}: {seen(model, path)}", flush=True)


def seen(model: Classifier, path: str) -> str:
    """The three most probable classes of the square in the middle of a picture.

    The square is as large as those that the network was tested with.

    Raises
    ------
    ValueError
        If the file is no picture, or the network one for something else.
    """
    if model.dtype != "uint8" or model.shape is None:
        raise ValueError("the network's file does not name 8-bit pictures and their size")
    if len(model.shape) != 3 or model.shape[0] not in (1, 3):
        raise ValueError(f"the network takes examples of shape {model.shape}, no pictures")
    channels, size, width = model.shape
    if size != width:
        raise ValueError(f"the network takes pictures of {size} x {width} pixels, no square ones")
    picture = read_picture(path, size, partial(centre_box, part=model.middle), channels)
    (probabilities,) = model.predict(picture).probabilities
    best = sorted(zip(probabilities, model.classes, strict=True), reverse=True)[:3]
    return ", ".join(f"{name} {probability:.1%}" for probability, name in best)


if __name__ == "__main__":
    main()
