"""Train MgNet on CIFAR-10 or CIFAR-100 (or MNIST, Fashion-MNIST, digits).

    python examples/train_cifar.py --data DIR --epochs 14

Without --data the files are downloaded and checked. After each epoch `--out` holds log.csv and
checkpoint.pt, at the end curve.png; --resume goes on exactly where a run stopped. The accuracy
reported is the last epoch's. What was reached, on which machine, is in docs/results.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from dataclasses import fields, replace
from pathlib import Path

import torch

from mgnet import MgNet, data
from mgnet.cost import count_parameters, multiply_adds
from mgnet.data import DataError
from mgnet.training import (
    Epoch,
    Interrupted,
    Recipe,
    Trainer,
    fastest_layout,
    saved_recipe,
)


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; every field of the recipe is an option."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--dataset", default="cifar10", choices=data.DATA_SETS)
    add("--data", metavar="DIR", help="folder with the files (default: $MGNET_DATA, or download)")
    add("--out", default="runs/cifar", metavar="DIR", help="folder for log and checkpoint")
    add("--resume", action="store_true", help="go on with the checkpoint in --out")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--compile", action="store_true", help="run the steps through torch.compile")
    add("--channels", type=int, nargs="+", default=[32, 64, 128, 256])
    add("--steps", type=int, nargs="+", default=[2, 2, 2, 2])
    add("--form", default="residual", choices=("residual", "feature"))
    add("--layout", default="fastest", choices=("fastest", "recipe"),
        help="time precisions and memory layouts first, or take the recipe's")  # fmt: skip
    for field in fields(Recipe):
        option = f"--{field.name.replace('_', '-')}"
        if isinstance(field.default, bool):
            add(option, action=argparse.BooleanOptionalAction, default=field.default, help=" ")
        else:
            add(option, type=type(field.default), default=field.default, help=" ")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> list[Epoch]:
    """Train by the command line and say what went wrong in one sentence."""
    args = arguments(argv)
    try:
        return train(args)
    except (DataError, ValueError) as error:  # bad input has one clear sentence; no traceback
        sys.exit(f"train_cifar: {error}")
    except Interrupted as stop:
        command = " ".join(["python", *sys.argv, *([] if args.resume else ["--resume"])])
        sys.exit(f"{stop}\ngo on with: {command}")


def train(args: argparse.Namespace) -> list[Epoch]:
    """Train, printing a line for each epoch."""
    recipe = Recipe(**{f.name: getattr(args, f.name) for f in fields(Recipe)})
    pictures = data.load(args.dataset, args.data)
    torch.manual_seed(recipe.seed)
    shape = tuple(pictures.train_images.shape[1:])
    channels = args.channels[0] if len(args.channels) == 1 else args.channels
    model = MgNet(shape[0], len(pictures.classes), channels, args.steps, form=args.form)
    if args.layout == "fastest":
        if args.resume:  # what was fastest when the run began, so that it goes on exactly
            saved = saved_recipe(args.out)
            recipe = replace(recipe, precision=saved.precision, channels_last=saved.channels_last)
        else:
            recipe = fastest_layout(model, pictures, recipe, args.device)
    print(
        f"MgNet {args.channels} {args.steps} on {args.dataset}: "
        f"{count_parameters(model):,} parameters, "
        f"{multiply_adds(model, shape) / 1e6:,.1f} million multiply-adds a picture\n"
        f"{model.cycle}\n{recipe}",
        flush=True,
    )

    def show(row: Epoch) -> None:
        print(
            f"epoch {row.epoch:3d}  loss {row.train_loss:.4f}  train {row.train_accuracy:.2%}  "
            f"test {row.test_accuracy:.2%}  {row.images_per_second:,.0f} images/s",
            flush=True,
        )

    trainer = Trainer(
        model, pictures, recipe,
        device=args.device, folder=args.out, compile=args.compile, on_epoch=show,
    )  # fmt: skip
    if args.resume:
        trainer.resume(args.out)
    history = trainer.fit()
    print(f"last epoch: {history[-1].test_accuracy:.2%} of the test pictures")
    if recipe.flip:
        print(f"averaged over both mirror images: {trainer.evaluate(mirror=True)[1]:.2%}")
    draw(history, Path(args.out) / "curve.png")
    return history


def draw(history: list[Epoch], path: Path) -> None:
    """The learning curve, where matplotlib is installed."""
    if importlib.util.find_spec("matplotlib") is None:
        return
    import matplotlib.pyplot as plt

    from mgnet.plotting import plot_history

    fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    plot_history(ax, history)
    fig.savefig(path, dpi=120)
    plt.close(fig)


if __name__ == "__main__":
    main()
