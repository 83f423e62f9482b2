"""The command line of a training script: options, messages, several seeds, several processes.

A script says what it trains by default and calls :func:`main`; every field of
:class:`mgnet.recipe.Recipe` is an option.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from mgnet import data, gate, record, zoo
from mgnet.activations import Heaviside
from mgnet.checkpoint import CHECKPOINT, Checkpoint, CheckpointError, read_checkpoint
from mgnet.class_folders import lost_worker
from mgnet.cost import count_parameters, multiply_adds
from mgnet.folder import atomic, check
from mgnet.interruption import Interrupted
from mgnet.mgnet import FORMS, ITERATIONS, RESTRICTIONS
from mgnet.optim import turned
from mgnet.pictures import PictureSet
from mgnet.processes import LostProcessError, Processes, first_to_report, joined, own_device
from mgnet.recipe import MAY_CHANGE, PRESETS, Recipe
from mgnet.stem import STEMS
from mgnet.tasks import Classification, Labelled, Task
from mgnet.training import DivergenceError, Trainer, saved_recipe

__all__ = ["Script", "advice", "main", "train"]

_SWITCH = argparse.BooleanOptionalAction

#: What of a network can be said on the command line; the entry of the zoo says the rest.
NETWORK_OPTIONS: dict[str, dict[str, Any]] = {
    "channels": {"type": int, "nargs": "+", "metavar": "INT", "help": "on all levels, or on each"},
    "steps": {"type": int, "nargs": "+", "metavar": "INT", "help": "iterations on each level"},
    "share_A": {"action": _SWITCH, "help": "one A for all iterations of a level, or one for each"},
    "share_B": {"action": _SWITCH, "help": "the same for B"},
    "form": {"choices": tuple(FORMS), "help": "whether a level carries (u, g) or (u, r)"},
    "iteration": {"choices": tuple(ITERATIONS), "help": "what earlier iterates u depends on"},
    "sigma": {"nargs": "+", "metavar": "NAME",
              "help": "activation, or one for each level: relu, gelu, prelu, hat-5, hat-5-trained, "
              "... (mgnet.activations)"},
    "share_sigma": {"action": _SWITCH, "help": "one sigma for all places of a level"},
    "norm": {"action": _SWITCH, "help": "batch normalisation before every sigma"},
    "Pi": {"action": _SWITCH, "help": "start a level from Pi u, or from zero"},
    "restriction": {"choices": RESTRICTIONS, "help": "kernels with stride 2, or max pooling"},
    "logit_scale": {"type": float, "metavar": "FLOAT", "help": "factor of the class scores"},
    "stem": {"choices": tuple(STEMS), "help": "for small or large pictures, or few epochs"},
}  # fmt: skip

#: Below so many pixels a side, networks for large pictures have no grid left.
SMALL = 128


@dataclass(frozen=True)
class Script:
    """What a training script does unless its command line says otherwise.

    Attributes
    ----------
    about : str
        Its docstring; the first line is shown by --help.
    datasets : tuple of str
        What can be trained on, the default first; empty if `task` makes its own.
    network : str
        Name in the zoo.
    network_options : dict
        Options of that one, in place of the entry's, where --network does not name it: sequences.
    small_network : str, optional
        Another one for examples of less than `SMALL` pixels a side.
    out : str
        Folder for the run.
    recipe : dict
        What of the preset "fast" is other here.
    always : dict
        What of any preset is other here: a mirrored digit is no digit.
    options : callable, optional
        Adds the script's own options to a parser.
    task : callable, optional
        Makes the task from the parsed command line, in place of a data set.
    """

    about: str
    datasets: tuple[str, ...]
    network: str
    out: str
    network_options: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    always: dict[str, Any] = field(default_factory=dict)
    small_network: str | None = None
    options: Callable[[argparse.ArgumentParser], None] | None = None
    task: Callable[[argparse.Namespace], Task] | None = None


def main(script: Script, argv: Sequence[str] | None = None) -> list[Trainer]:
    """Train by the command line, and say what went wrong in one sentence.

    Returns
    -------
    list of Trainer
        One for each seed, trained.
    """
    name = Path(sys.argv[0]).stem
    argv = sys.argv[1:] if argv is None else list(argv)
    args = _parsed(_parser(script), argv)
    try:
        return _run(script, args)
    except DivergenceError as error:
        _exit(f"{name}: {error}{_lower_rates(args, argv)}")
    except LostProcessError as error:
        _exit(f"{name}: {error}; go on with: {_again(args, argv)}")
    except (OSError, ValueError) as error:  # one clear sentence, no traceback
        _exit(f"{name}: {error}")
    except (MemoryError, RuntimeError) as error:
        said = advice(error, GIVEN_MEMORY if _begun(_folders(args)) else LESS_MEMORY)
        if said is None:
            raise
        _exit(f"{name}: {said}")
    except Interrupted as stop:
        _exit(f"{stop}\ngo on with: {_again(args, argv)}")
    except KeyboardInterrupt:  # before training, or for a second time
        _exit(f"{name}: interrupted; the last checkpoint, if there is one, stays")


#: What helps where memory is full.
LESS_MEMORY = (
    "run a batch in parts by --accumulate, take a smaller --batch-size or a smaller network"
)
#: The same for a run that has begun: its batches are what they are.
GIVEN_MEMORY = "end what else is running, or go on with --resume on a machine with more"


def advice(error: Exception, less_memory: str = LESS_MEMORY) -> str | None:
    """What a user can do about an error that is none of this program's; None for its own."""
    text = str(error)
    line = text.partition("\n")[0]
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return f"torch.compile fails ({line}): install a C++ compiler, or leave out --compile"
    memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    if memory or "can't allocate memory" in text or "not enough memory" in text:
        return f"memory is full ({line or 'no more to be had'}): {less_memory}"
    lost = lost_worker(error)  # torch says so wherever the program is just then
    return None if lost is None else str(lost)


def _parsed(parser: argparse.ArgumentParser, argv: Sequence[str]) -> argparse.Namespace:
    """The options; of several processes the first one says what is wrong with them, or --help."""
    if os.environ.get("RANK", "0") == "0":
        return parser.parse_args(argv)
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return parser.parse_args(argv)


def _exit(message: str) -> NoReturn:
    """End with a message; of several processes only the first that comes here says anything."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if not several:
        sys.exit(message)
    if first_to_report():
        print(message, file=sys.stderr, flush=True)
    os._exit(1)  # the clean-up of a process group may wait for processes that are gone


def _again(args: argparse.Namespace, argv: Sequence[str]) -> str:
    """The command that goes on, with as many processes, or begins anew if nothing was saved."""
    program = ["python"]
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count > 1:
        here = int(os.environ.get("LOCAL_WORLD_SIZE", count))
        nodes = [f"--nnodes={count // here}"] if count > here else []
        program = ["torchrun", *nodes, f"--nproc-per-node={here}"]
    resume = ["--resume"] if _begun(_folders(args)) and "--resume" not in argv else []
    return shlex.join([*program, sys.argv[0], *argv, *resume])


def _lower_rates(args: argparse.Namespace, argv: Sequence[str]) -> str:
    """A command that goes on with lower rates, where there is a checkpoint."""
    with suppress(CheckpointError):
        checkpoint = read_checkpoint(args.run_folder)
        saved = saved_recipe(checkpoint)
        lower = []
        muon = len(checkpoint.content["optimizers"]) > 1
        for name in ("lr", "sgd_lr") if muon else ("sgd_lr",):
            rate = min(getattr(args, name, None) or getattr(saved, name), getattr(saved, name))
            lower += [f"--{name.replace('_', '-')}", f"{rate / 10:g}"]
        # Behind those given, which they overrule.
        return f"\nfor example: {_again(args, argv)} {' '.join(lower)}"
    return ""


# --- the options ----------------------------------------------------------------------------------


def _parser(script: Script) -> argparse.ArgumentParser:
    """Only what is given is in the namespace, but for what has a default that nobody saves."""
    parser = argparse.ArgumentParser(
        description=script.about.split("\n")[0],
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    add = parser.add_argument
    if script.datasets:
        default = script.datasets[0]
        add("--dataset", default=default, choices=script.datasets, help=f"(default: {default})")
        fetched = ", else they are downloaded" if default in data.DOWNLOADED else ""
        files = f"folder with the files (default: $MGNET_DATA{fetched})"
        add("--data", default=None, metavar="DIR", help=files)
    if script.options is not None:
        script.options(parser)
    add("--out", default=script.out, metavar="DIR",
        help=f"folder for log and checkpoint (default: {script.out})")  # fmt: skip
    add("--resume", action="store_true", default=False, help="go on with the run in --out")
    add("--seeds", type=int, default=1, metavar="N",
        help="train N times, from --seed on, in folders of their own within --out; mean and "
        "spread (default: 1)")  # fmt: skip
    device = "cuda" if torch.cuda.is_available() else "cpu"
    add("--device", default=device, help=f"(default: {device})")
    add("--compile", action="store_true", default=False, help="run steps through torch.compile")
    add("--tensorboard", action="store_true", default=False, help="write for TensorBoard, too")
    add("--preset", choices=tuple(PRESETS), help="recipe to start from (default: fast)")
    network = parser.add_argument_group(
        "network", "what is not given is as in the entry of --network, which may not know all of it"
    )
    default = script.network
    for name, value in script.network_options.items():
        default += f" with {name} {' '.join(map(str, value))}"
    if script.small_network is not None:
        default += f", below {SMALL} pixels {script.small_network}"
    network.add_argument(
        "--network", metavar="NAME",
        help=f"a network that `python -m mgnet` lists (default: {default})",
    )  # fmt: skip
    for name, options in NETWORK_OPTIONS.items():
        network.add_argument(_dashed(name), **options)
    recipe = parser.add_argument_group(
        "recipe",
        "a resumed run keeps what neither an option nor --preset says; only rates and epochs can "
        "be others",
    )
    defaults = _preset(script, "fast")
    for option in dataclasses.fields(Recipe):
        default = getattr(defaults, option.name)
        help = f"{option.metadata['help']} (default: {default})"
        if isinstance(default, bool):
            recipe.add_argument(
                _dashed(option.name), action=argparse.BooleanOptionalAction, help=help
            )
        else:
            choices = option.metadata["choices"] or None
            recipe.add_argument(
                _dashed(option.name), type=type(default), choices=choices, help=help,
                metavar=None if choices else type(default).__name__.upper(),
            )  # fmt: skip
    return parser


def _preset(script: Script, name: str) -> Recipe:
    changes = script.recipe if name == "fast" else {}
    return replace(PRESETS[name], **(changes | script.always))


def _dashed(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _given(args: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(args, name) for name in names if hasattr(args, name)}


# --- the runs -------------------------------------------------------------------------------------


def _run(script: Script, args: argparse.Namespace) -> list[Trainer]:
    device = gate.device(own_device(args.device))
    if args.seeds < 1:
        raise ValueError(f"--seeds must be 1 or more, got {args.seeds}")
    with joined(device) as processes:
        folders = _folders(args)
        begun = _begun(folders)
        first = getattr(args, "seed", 0)
        with processes.alike():
            if processes.first:  # refused now if at all, rather than when the data are read
                _refuse(folders, begun, args.resume)
        task: PictureSet | Task = (
            script.task(args) if script.task else data.load(args.dataset, args.data)
        )
        # What a run that has not begun is like: read now, as the others may go on in another way.
        like = read_checkpoint(begun[0]) if begun else None
        trainers = []
        for k, folder in enumerate(folders):
            args.run_folder = folder
            seed = {"seed": first + k} if args.seeds > 1 else {}
            own = argparse.Namespace(**(vars(args) | seed))
            saved = like if [folder] == begun[:1] else None
            if saved is None and folder in begun:
                saved = read_checkpoint(folder)
            trainers.append(_train_one(script, own, task, folder, saved, like, device, processes))
        if args.seeds > 1 and processes.first:
            _spread(trainers, Path(args.out))
        return trainers


def _folders(args: argparse.Namespace) -> list[Path]:
    """The folder of each run."""
    if args.seeds == 1:
        return [Path(args.out)]
    first = getattr(args, "seed", 0)
    return [Path(args.out) / f"seed{first + k}" for k in range(args.seeds)]


def _begun(folders: Sequence[Path]) -> list[Path]:
    """Those that hold a checkpoint."""
    return [folder for folder in folders if (folder / CHECKPOINT).exists()]


def _refuse(folders: Sequence[Path], begun: Sequence[Path], resume: bool) -> None:
    if begun and not resume:
        raise ValueError(
            f"{begun[0]} holds a run already: go on with it by --resume, or name another --out"
        )
    if resume and not begun:
        raise CheckpointError(
            f"there is no checkpoint {' or '.join(str(folder / CHECKPOINT) for folder in folders)}"
        )
    for folder in folders:
        check(folder)
        if resume and folder not in begun:
            _print(f"{folder} has no checkpoint: its run begins, as that of {begun[0]} did")


def _train_one(
    script: Script,
    args: argparse.Namespace,
    task: PictureSet | Task,
    folder: Path,
    saved: Checkpoint | None,
    like: Checkpoint | None,
    device: torch.device,
    processes: Processes,
) -> Trainer:
    """Resume the run that was `saved`, or begin one that is `like` another, if there is one."""
    names = [option.name for option in dataclasses.fields(Recipe)]
    like = like if saved is None else saved
    if like is None or hasattr(args, "preset"):
        base = _preset(script, getattr(args, "preset", "fast"))
    else:
        base = saved_recipe(like)
    given = _given(args, names)
    if like is not None and saved is None:  # it begins as that one did, whatever became of it
        given = {name: value for name, value in given.items() if name not in ("lr", "sgd_lr")}
    muon = given.get("optimizer", base.optimizer) == "muon"
    idle: dict[str, Any] = {
        name: given.pop(name) for name in ("lr", "momentum") if name in given and not muon
    }
    recipe = replace(base, **given)
    _check_used({n: v for n, v in given.items() if v != getattr(base, n)}, recipe)
    torch.manual_seed(recipe.seed)
    network = _network(script, args, task, like)
    if any(isinstance(module, Heaviside) for module in network.modules()):
        raise ValueError(
            "heaviside cannot be trained through, as its derivative is zero almost everywhere: "
            "choose another --sigma"
        )
    if not turned(network):
        idle |= _given(args, ["lr", "momentum"])
    if idle:
        raise ValueError(
            f"{' and '.join(map(_dashed, idle))} would do nothing, as they are Muon's, which turns "
            "the kernels of convolutions: SGD has --sgd-lr and --sgd-momentum"
        )
    return train(
        network, task, recipe,
        folder=folder, resume=saved, device=device, compile=args.compile,
        tensorboard=args.tensorboard, processes=processes,
    )  # fmt: skip


def _check_used(given: Mapping[str, Any], recipe: Recipe) -> None:
    """Refuse options that would do nothing."""
    for name, used, wanted in (
        ("step_epochs", recipe.schedule == "steps", "--schedule steps"),
        ("border", recipe.shift > 0, "--shift 1 or more"),
    ):
        if name in given and not used:
            raise ValueError(f"{_dashed(name)} does nothing without {wanted}")


def _network(
    script: Script,
    args: argparse.Namespace,
    task: PictureSet | Task,
    like: Checkpoint | None,
) -> nn.Module:
    """The network that is asked for, or, where none is, one like that of a run."""
    options = _given(args, list(NETWORK_OPTIONS))
    for name, value in options.items():
        if isinstance(value, list) and len(value) == 1:
            options[name] = value[0]
    if like is not None and not hasattr(args, "network"):
        about = like.content["record"]
        if about:
            kept = {**about["options"], **options}
            return record.rebuild({"network": about["network"], "options": kept})
    task = Classification(task) if isinstance(task, PictureSet) else task
    small = min(task.shape[1:]) < SMALL
    default = script.small_network if small and script.small_network else script.network
    name = getattr(args, "network", default)
    if not hasattr(args, "network"):
        options = {**script.network_options, **options}
    return zoo.network(name).build_for(task.shape, len(task.classes), **options)


def train(
    network: nn.Module,
    task: PictureSet | Task,
    recipe: Recipe,
    *,
    folder: str | os.PathLike[str],
    resume: Checkpoint | None = None,
    **options: Any,
) -> Trainer:
    """Train with a line for each epoch, and one for the result.

    Parameters
    ----------
    network, task, recipe, folder
        As for :class:`mgnet.training.Trainer`.
    resume : Checkpoint, optional
        Of the run to go on with, from :func:`mgnet.checkpoint.read_checkpoint`.
    **options
        For the trainer.
    """
    trainer = Trainer(network, task, recipe, folder=folder, on_epoch=_print, **options)
    first = trainer.processes.first
    before = recipe if resume is None else trainer.resume(resume)
    if first:
        _print(_introduction(network, trainer))
        for name in MAY_CHANGE:
            was, now = getattr(before, name), getattr(recipe, name)
            if was != now:
                _print(f"goes on with {name} {now:g}, {was:g} until now")
    history = trainer.fit()
    result = {"last epoch": history[-1].test}
    if isinstance(trainer.task, Labelled):
        result |= _averages(trainer)
    if first:
        _print("\n".join(f"{name}: {_said(values)}" for name, values in result.items()))
    trainer.files.note(result=result)
    return trainer


def _averages(trainer: Trainer) -> dict[str, dict[str, float]]:
    """What a classifier reaches whose scores are averaged over views of an example."""
    flip = trainer.recipe.flip != "never"
    views: dict[str, dict[str, Any]] = {}
    if flip:
        views["averaged over both mirror images"] = {"flip": True}
    if min(trainer.task.shape[1:]) > 1:
        both = "both mirror images and " * flip
        views[f"averaged over {both}moves by a pixel"] = {"flip": flip, "shift": 1}
    return dict(zip(views, trainer.evaluate_views(*views.values()), strict=True))


def _introduction(network: nn.Module, trainer: Trainer) -> str:
    task = trainer.task
    lines = [f"{type(network).__name__} on {task.name}: {count_parameters(network):,} parameters"]
    if isinstance(task, Labelled):
        operations = multiply_adds(network, task.shape) / 1e6
        lines[0] += f", {operations:,.1f} million multiply-adds for an example"
    if hasattr(network, "cycle"):
        lines.append(str(network.cycle))
    return "\n".join([*lines, str(trainer.recipe), trainer.choice])


def _said(measured: dict[str, float]) -> str:
    if "accuracy" in measured:
        return f"{measured['accuracy']:.2%} of the test examples"
    return ", ".join(f"test {name} {value:.4g}" for name, value in measured.items())


def _spread(trainers: Sequence[Trainer], folder: Path) -> None:
    """Print and write mean and standard deviation over the seeds."""
    measure = "accuracy" if "accuracy" in trainers[0].task.measures else "loss"
    values = [t.history[-1].test[measure] for t in trainers]
    mean, spread = statistics.fmean(values), statistics.stdev(values)
    content = {
        "measure": measure, "mean": mean, "standard_deviation": spread,
        "seeds": dict(zip([t.recipe.seed for t in trainers], values, strict=True)),
    }  # fmt: skip
    form = "{:.2%}" if measure == "accuracy" else "{:.4g}"
    each = ", ".join(map(form.format, values))
    _print(
        f"{len(values)} seeds: {measure} {form.format(mean)}, standard deviation "
        f"{form.format(spread)} ({each})"
    )
    recipes = [replace(t.recipe, seed=0) for t in trainers]
    unlike = [n for n in MAY_CHANGE if len({getattr(recipe, n) for recipe in recipes}) > 1]
    if unlike:
        _print(f"these seeds were trained with different {' and '.join(unlike)}")
    first, last = trainers[0].recipe.seed, trainers[-1].recipe.seed
    with atomic(folder / f"seeds{first}-{last}.json") as path:
        path.write_text(json.dumps(content, indent=1) + "\n")


def _print(line: Any) -> None:
    print(line, flush=True)
