"""Train MgNet on CIFAR-10 or CIFAR-100 (or MNIST, Fashion-MNIST, digits).

    python examples/train_cifar.py --data DIR --epochs 14

Without --data the files are downloaded and checked. After each epoch `--out` holds log.csv and
checkpoint.pt, at the end curve.png; --resume goes on exactly where a run stopped, or with other
learning rates where --lr or --sgd-lr name some. The accuracy reported is the last epoch's. What
was reached, on which machine, is in docs/results.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import sys
from dataclasses import fields
from pathlib import Path

import torch

from mgnet import MgNet, data, gate
from mgnet.checkpoint import CHECKPOINT, RATES
from mgnet.cost import count_parameters, multiply_adds
from mgnet.folder import claimed
from mgnet.training import (
    DivergenceError,
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
    for field in fields(Recipe):
        note, default = " ", field.default
        if field.name in ("precision", "channels_last"):
            note, default = "what a few timed steps show to be fastest", None
        elif field.name == "flip":
            note, default = "not for digits", None
        elif field.name in RATES:
            note, default = f"{default}, or what the resumed run has", None
        option = f"--{field.name.replace('_', '-')}"
        if isinstance(field.default, bool):
            add(option, action=argparse.BooleanOptionalAction, default=default, help=note)
        else:
            add(option, type=type(field.default), default=default, help=note)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> list[Epoch]:
    """Train by the command line and say what went wrong in one sentence."""
    argv = sys.argv[1:] if argv is None else argv
    args = arguments(argv)
    resume = [] if args.resume else ["--resume"]
    command = shlex.join(["python", sys.argv[0], *argv, *resume])
    try:
        return train(args)
    except DivergenceError as error:
        hint = ""
        if (Path(args.out) / CHECKPOINT).exists():
            saved = saved_recipe(args.out)
            used = {n: getattr(args, n) or getattr(saved, n) for n in RATES}
            lower = [
                f"--{n.replace('_', '-')} {min(rate, getattr(saved, n)) / 10:g}"
                for n, rate in used.items()
            ]  # behind those given, which they overrule
            hint = f"\nfor example: {command} {' '.join(lower)}"
        sys.exit(f"train_cifar: {error}{hint}")
    except (OSError, ValueError) as error:  # one clear sentence, no traceback
        sys.exit(f"train_cifar: {error}")
    except Interrupted as stop:
        sys.exit(f"{stop}\ngo on with: {command}")
    except KeyboardInterrupt:  # before training, or for a second time
        sys.exit("train_cifar: interrupted; the last checkpoint, if there is one, stays")


def train(args: argparse.Namespace) -> list[Epoch]:
    """Train, printing a line for each epoch."""
    gate.device(args.device)
    if args.resume:
        saved = saved_recipe(args.out)
    elif (Path(args.out) / CHECKPOINT).exists():
        raise ValueError(
            f"{args.out} holds a run already: go on with it by --resume, or name another --out"
        )
    given = {f.name: getattr(args, f.name) for f in fields(Recipe)}
    if args.flip is None:  # a mirrored digit is no digit
        given["flip"] = args.dataset not in ("digits", "mnist")
    if args.resume:
        given |= {name: getattr(saved, name) for name in RATES if given[name] is None}
    recipe = Recipe(**{name: value for name, value in given.items() if value is not None})
    with claimed(Path(args.out)):
        pass  # refused now if at all, rather than when the data are read
    pictures = data.load(args.dataset, args.data)
    torch.manual_seed(recipe.seed)
    shape = tuple(pictures.train_images.shape[1:])
    channels = args.channels[0] if len(args.channels) == 1 else args.channels
    model = MgNet(shape[0], len(pictures.classes), channels, args.steps, form=args.form)
    if args.resume:  # what was fastest when the run began, so that it goes on exactly
        choice = ([saved.precision], [saved.channels_last])
    else:
        choice = (["bfloat16", "float32"], [True, False])
    recipe = fastest_layout(
        model, pictures, recipe, args.device,
        precisions=choice[0] if args.precision is None else [args.precision],
        channels_last=choice[1] if args.channels_last is None else [args.channels_last],
    )  # fmt: skip
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
        for name in RATES:
            before, now = getattr(saved, name), getattr(recipe, name)
            if now != before:
                print(f"goes on with {name} {now:g}, {before:g} until now", flush=True)
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
