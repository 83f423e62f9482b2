"""The lecture's tables, trained again on a small machine: in order of worth, within a budget.

    python examples/reproduce.py --data DIR --hours 3
    python examples/reproduce.py --data DIR --tables mnist hearts
    python examples/reproduce.py --show

A run that is done is kept in the summary and never trained again, unless its row has changed; one
that the budget or Ctrl-C interrupts goes on with the next call. Several processes may share a
summary and --out: each leaves out what another one is at work on. --show prints the tables as they
stand. Accuracies are those of the last epoch, on test examples, without averages over views.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from mgnet import baselines, command, data, gate, zoo
from mgnet.checkpoint import CHECKPOINT, CheckpointError, read_checkpoint
from mgnet.cost import count_parameters
from mgnet.folder import BusyError, atomic, claimed
from mgnet.interruption import Interrupted
from mgnet.machine import describe_machine
from mgnet.pictures import PictureSet
from mgnet.plotting import plot_sizes
from mgnet.recipe import PRESETS, Recipe
from mgnet.training import DivergenceError

SUMMARY = Path(__file__).parents[1] / "docs" / "reproduced.json"

#: One recipe for every network of the small tables.
SHORT = Recipe(epochs=6, momentum=0.9, label_smoothing=0.1)

#: A quarter of the published widths.
NARROW = (16, 32, 64, 128)


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes
    ----------
    table, label : str
    network : str
        Name in the zoo, or of one of :data:`mgnet.baselines.BASELINES`.
    dataset : str
    options : dict
        Of the network, in place of the entry's.
    recipe : Recipe
    seeds : int
    published : str
        In per cent.
    """

    table: str
    label: str
    network: str
    dataset: str = "cifar10"
    options: dict[str, Any] = field(default_factory=dict)
    recipe: Recipe = SHORT
    seeds: int = 3
    published: str = ""

    def digest(self) -> str:
        """Changes with everything that the row says the numbers depend on.

        What of the recipe is as by default is left out: an option that is added later changes no
        digest.
        """
        recipe = {
            option.name: value
            for option in fields(self.recipe)
            if (value := getattr(self.recipe, option.name)) != option.default
        }
        content = json.dumps([self.network, self.dataset, self.options, recipe], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]


#: Parameters and per cent of CIFAR-10 that others have published, trained for hundreds of epochs:
#: ThriftyNets, a network of depthwise and gated layers, CondenseNet-50, CondenseNetV2 twice.
FEW_PARAMETERS = (
    (40_000, 91.0), (97_530, 94.4), (220_000, 93.78), (480_000, 95.35), (780_000, 95.65),
)  # fmt: skip

# --- the rows -------------------------------------------------------------------------------------


def _mnist() -> Iterator[Row]:
    recipe = replace(SHORT, flip="never")
    plain, long = replace(recipe, shift=0, label_smoothing=0.0), replace(recipe, epochs=10)
    rows: list[tuple[str, str, dict[str, Any], Recipe, int, str]] = [
        ("one hidden layer of 1000", "one-hidden-layer", {}, plain, 1, "98.75"),
        ("LeNet-5", "lenet-5", {}, recipe, 1, ""),
        ("MgNet, Hat-[5,10,15,20]", "mgnet-hat", {"channels": NARROW}, long, 3, "99.68"),
        ("MgNet, ReLU", "mgnet-hat", {"channels": NARROW, "sigma": "relu"}, long, 3, ""),
        ("MgNet, Hat-[20,15,10,5]", "mgnet-hat-reversed", {"channels": NARROW}, long, 3, "99.64"),
    ]
    for label, network, options, how, seeds, published in rows:
        yield Row("mnist", label, network, "mnist", options, how, seeds, published)
    for name, entry in baselines.BASELINES.items():
        lecture = [r.accuracy for r in entry.results if not r.note]
        yield Row("mnist", name, name, "mnist", seeds=1, published="".join(lecture[:1]))


def _hearts() -> Iterator[Row]:
    recipe = Recipe(
        epochs=100, batch_size=16, lr=0.06, sgd_lr=0.1, label_smoothing=0.1, shift=4,
        flip="never", precision="float32", layout="contiguous",
    )  # fmt: skip
    for name in ("ecg200", "ecgfivedays", "twoleadecg", "ecg5000"):
        how = recipe if name != "ecg5000" else replace(recipe, epochs=40)
        if name in ("ecgfivedays", "twoleadecg"):  # 23 training examples
            how = replace(recipe, batch_size=8, epochs=200)
        yield Row("hearts", "MgNet", "mgnet-pulse", name, recipe=how, seeds=5)
        yield Row("hearts", "ResNet", "resnet-pulse", name, recipe=how, seeds=5)
        for model in ("svm-gaussian", "svm-linear", "logistic-ridge"):
            yield Row("hearts", model, model, name, seeds=1)


def _sharing() -> Iterator[Row]:
    for base in ("resnet18", "preact-resnet18"):
        for shared in ("", "A", "B", "AB"):
            name = f"{base}-{shared}" if shared else base
            entry = zoo.ZOO[name]
            for dataset, table in (("cifar10", "CIFAR-10"), ("cifar100", "CIFAR-100")):
                if dataset == "cifar100" and name not in ("preact-resnet18", "preact-resnet18-A"):
                    continue
                published = next(r.accuracy for r in entry.results if r.data == table)
                options = {"channels": NARROW}
                yield Row("sharing", name, name, dataset, options, published=published)


def _equal() -> Iterator[Row]:
    """About 700,000 parameters each."""
    like = {"channels": (18, 35, 70, 140)}
    rows: list[tuple[str, str, dict[str, Any]]] = [
        ("ResNet-18, [16,32,64,128]", "resnet18", {"channels": NARROW}),
        ("pre-act ResNet-18, [16,32,64,128]", "preact-resnet18", {"channels": NARROW}),
        ("MgNet, [18,35,70,140]", "mgnet-narrow", like),
        ("MgNet, multistep", "mgnet-narrow", {**like, "iteration": "multistep"}),
        ("MgNet, Chebyshev", "mgnet-narrow", {**like, "iteration": "chebyshev"}),
    ]
    for label, name, options in rows:
        yield Row("equal", label, name, options=options)


def _activations() -> Iterator[Row]:
    options = {"channels": NARROW}
    for sigma in ("relu", "prelu", "gelu"):
        yield Row("activations", sigma, "mgnet-shared", options={**options, "sigma": sigma})
    rows = (
        ("Hat-[5,10,15,20]", "mgnet-hat", "93.23"),
        ("Hat-[20,15,10,5]", "mgnet-hat-reversed", "92.87"),
        ("Hat-[5,10,15,20] trained", "mgnet-hat-trained", "94.15"),
        ("Hat-[20,15,10,5] trained", "mgnet-hat-trained-reversed", "93.99"),
    )
    for label, name, published in rows:
        yield Row("activations", label, name, options=options, published=published)


def _hour() -> Iterator[Row]:
    """CIFAR-10 in one to two hours of two cores, twice that of one."""
    recipe = replace(PRESETS["fast"], epochs=40, cutout=8)
    label, options = "MgNet, pooled, GELU", {"sigma": "gelu"}
    yield Row("hour", label, "mgnet-pooled", options=options, recipe=recipe)


def _sizes() -> Iterator[Row]:
    recipe = replace(SHORT, epochs=12)
    for width in (2, 4, 8, 16, 32):
        options = {"channels": tuple(width * 2**level for level in range(4))}
        for kind, name in (("MgNet", "mgnet-narrow"), ("ResNet", "resnet18")):
            label = f"{kind}, {width} to {8 * width}"
            yield Row("sizes", label, name, options=options, recipe=recipe, seeds=1)
    shape: dict[str, Any] = {"growth": 8, "layers": (4,) * 3}
    label = "DenseNet-BC, growth 8, 4 a block"
    yield Row("sizes", label, "densenet-bc-100", options=shape, recipe=recipe, seeds=1)


def _published() -> Iterator[Row]:
    """The authors' recipe, 300 epochs: for a GPU."""
    recipe = PRESETS["published"]
    for name in ("mgnet-256", "preact-resnet18-A", "resnet18", "mgnet-64"):
        for dataset, table in (("cifar10", "CIFAR-10"), ("cifar100", "CIFAR-100")):
            found = [r.accuracy for r in zoo.ZOO[name].results if r.data == table]
            yield Row("published", name, name, dataset, {}, recipe, 1, "".join(found[:1]))


#: In order of worth.
TABLES = {
    "mnist": _mnist, "hearts": _hearts, "sharing": _sharing, "activations": _activations,
    "equal": _equal, "sizes": _sizes, "hour": _hour, "published": _published,
}  # fmt: skip


# --- running them ---------------------------------------------------------------------------------


class Summary:
    """What is done, in a file that several processes may share."""

    def __init__(self, path: Path):
        self.path = path

    def read(self) -> list[dict[str, Any]]:
        """What all have added by now."""
        try:
            return json.loads(self.path.read_text())
        except FileNotFoundError:
            return []
        except ValueError as error:
            raise ValueError(f"{self.path} is damaged ({error}): name another --summary") from None

    def find(self, row: Row, seed: int) -> dict[str, Any] | None:
        """The result of a row as it stands now, or of the same run in another table."""
        wanted = row.digest(), seed
        return next((e for e in self.read() if (e["digest"], e["seed"]) == wanted), None)

    def add(self, row: Row, seed: int, **result: Any) -> None:
        """Keep a result; one of the row as it was before is dropped."""
        key = {"table": row.table, "label": row.label, "dataset": row.dataset, "seed": seed}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(f".{self.path.name}.lock")), atomic(self.path) as path:
            others = [e for e in self.read() if any(e[name] != key[name] for name in key)]
            entries = [*others, {**key, "digest": row.digest(), **result}]
            lines = ",\n".join(json.dumps(entry) for entry in entries)
            path.write_text(f"[\n{lines}\n]\n")


def run_folder(row: Row, seed: int, out: Path) -> Path:
    """Where a run is while it is under way."""
    return out / row.table / f"{row.digest()}-seed{seed}"


def run(row: Row, seed: int, examples: PictureSet, args: argparse.Namespace) -> dict[str, Any]:
    """Train and measure one row with one seed; BusyError where another process does."""
    print(f"\n--- {row.table}: {row.label}, {row.dataset}, seed {seed}", flush=True)
    device = torch.device(args.device)
    machine = {k: v for k, v in describe_machine(device).items() if k in ("commit", "device")}
    folder = run_folder(row, seed, args.out)
    with claimed(folder):  # a trainer claims it by itself
        if row.network in baselines.BASELINES:
            score = baselines.evaluate(row.network, examples)
            return {"accuracy": score.test_accuracy, "auc": score.auc,
                    "seconds": round(score.seconds, 1), **machine}  # fmt: skip
    recipe = replace(row.recipe, seed=seed)
    torch.manual_seed(seed)
    shape, classes = examples.train_images.shape[1:], len(examples.classes)
    network = zoo.network(row.network).build_for(shape, classes, **row.options)
    saved = read_checkpoint(folder) if (folder / CHECKPOINT).exists() else None
    trainer = command.train(
        network, examples, recipe,
        folder=folder, resume=saved, device=device, compile=args.compile,
    )  # fmt: skip
    labels = examples.test_labels.numpy()
    model: Any = trainer.trained
    auc = None
    if classes == 2:
        auc = float(roc_auc_score(labels, model.predict(examples.test_images).probabilities[:, 1]))
    return {
        "accuracy": trainer.history[-1].test["accuracy"], "auc": auc,
        "train_accuracy": trainer.history[-1].train["accuracy"],
        "parameters": count_parameters(network), "epochs": recipe.epochs,
        "seconds": round(sum(epoch.seconds for epoch in trainer.history), 1),
        "watched": trainer.history[-1].watched, **machine,
    }  # fmt: skip


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """When the time is over, or by SIGTERM, the run under way saves and stops: Interrupted."""

    def stop(number: int, frame: Any) -> None:
        raise Interrupted("interrupted, or the time is over")

    # A trainer has a handler of its own while it takes steps; all else would just be killed.
    before = signal.signal(signal.SIGTERM, stop)
    timer = threading.Timer(seconds, lambda: os.kill(os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(signal.SIGTERM, before)


def reproduce(rows: Sequence[Row], summary: Summary, args: argparse.Namespace) -> bool:
    """Run what is missing, the first seeds of a table first; whether all is done now."""
    end = time.monotonic() + 3600 * args.hours
    tables = list(dict.fromkeys(row.table for row in rows))
    todo = [
        (row, seed)
        for table in tables
        for seed in range(max(row.seeds for row in rows if row.table == table))
        for row in rows
        if row.table == table and seed < row.seeds and summary.find(row, seed) is None
    ]
    print(f"{len(todo)} runs to do, for {args.hours:g} hours at most", flush=True)
    sets: dict[str, PictureSet] = {}
    missing: set[str] = set()  # data sets that are not there: other rows may have theirs
    for row, seed in todo:
        if time.monotonic() > end:
            return False
        if row.dataset in missing:
            continue
        if summary.find(row, seed) is not None:  # another process has done it meanwhile
            continue
        try:
            if row.dataset not in sets:
                sets[row.dataset] = data.load(row.dataset, args.data)
            with limited(max(0.0, end - time.monotonic())):
                result = run(row, seed, sets[row.dataset], args)
                summary.add(row, seed, **result, finished=time.strftime("%Y-%m-%d"))
        except data.DataError as error:
            missing.add(row.dataset)
            print(f"{row.table}, {row.dataset}: {error}", flush=True)
        except BusyError:
            print("another process is at work on it", flush=True)
        except DivergenceError as error:  # its recipe is what it is, so it would do so again
            summary.add(row, seed, diverged=str(error), finished=time.strftime("%Y-%m-%d"))
            print(f"this row diverges, and is not tried again: {error}", flush=True)
        except CheckpointError as error:
            folder = run_folder(row, seed, args.out)
            print(f"{error}: to begin this row anew, remove {folder}", flush=True)
        except (MemoryError, RuntimeError) as error:
            said = command.advice(error, "this row needs a machine with more")
            if said is None:
                raise
            print(said, flush=True)
        except KeyboardInterrupt as stop:  # Interrupted is one
            print(str(stop) or "interrupted")
            return False
    return all(summary.find(row, seed) is not None for row, seed in todo)


# --- the tables -----------------------------------------------------------------------------------


COLUMNS = ("network", "data", "parameters", "published %", "ours %", "seeds", "AUC %", "epochs",
           "minutes")  # fmt: skip


def markdown(rows: Sequence[Row], summary: Summary) -> str:
    """The tables as they stand: mean and standard deviation over the seeds that are done."""
    lines: list[str] = []
    for table in dict.fromkeys(row.table for row in rows):
        lines += [
            f"\n### {table}\n",
            f"| {' | '.join(COLUMNS)} |",
            f"|{'---|' * len(COLUMNS)}",
        ]
        for row in (row for row in rows if row.table == table):
            done = [e for s in range(row.seeds) if (e := summary.find(row, s)) is not None]
            if done:
                lines.append(_line(row, [e for e in done if "accuracy" in e], len(done)))
    return "\n".join(lines)


def _line(row: Row, done: Sequence[dict[str, Any]], seeds: int) -> str:
    """A row of a table, of `seeds` runs of which those that are `done` have not diverged."""
    if not done:
        return f"| {row.label} | {row.dataset} | diverged with {seeds} seeds |"
    parameters = done[0].get("parameters")
    minutes = statistics.fmean(e["seconds"] for e in done) / 60
    cells = [
        row.label, row.dataset, f"{parameters:,}" if parameters else "-", row.published or "-",
        _mean([e["accuracy"] for e in done]),
        str(seeds) if len(done) == seeds else f"{len(done)} of {seeds}, the others diverged",
        _mean([e["auc"] for e in done]) if done[0].get("auc") is not None else "-",
        str(done[0].get("epochs", "-")), f"{minutes:.1f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _mean(values: Sequence[float]) -> str:
    mean = f"{100 * statistics.fmean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {100 * statistics.stdev(values):.2f}"


def draw_sizes(summary: Summary) -> None:
    """Accuracy against parameters, as far as that is done, beside the summary."""
    families: dict[str, list[tuple[int, float]]] = {}
    for row in _sizes():
        entry = summary.find(row, 0)
        if entry is not None and "accuracy" in entry:
            pairs = families.setdefault(row.label.split(",")[0], [])
            pairs.append((entry["parameters"], entry["accuracy"]))
    if families:
        figure = Figure(figsize=(6, 4), layout="constrained")
        ax = plot_sizes(figure.subplots(), families)
        parameters, accuracies = zip(*FEW_PARAMETERS, strict=True)
        ax.plot(parameters, accuracies, "kx", label="published by others, longer training")
        ax.legend(frameon=False, loc="lower right")
        figure_path = summary.path.with_name("sizes.png")
        with atomic(figure_path) as path:
            figure.savefig(path, format="png", dpi=120)
        print(f"\nfigure: {figure_path}")


def main(argv: Sequence[str] | None = None) -> bool:
    """Run by the command line; whether all that was asked for is done."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    first = [name for name in TABLES if name != "published"]
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--tables", nargs="+", choices=tuple(TABLES), default=first, help="what to run, in order"
    )
    which.add_argument(
        "--preset", choices=["published"], help="the same as --tables published: for a GPU"
    )
    add("--hours", type=float, default=3.0, help="no run goes on for longer")
    add("--data", metavar="DIR", help="folder with the files (else $MGNET_DATA, or download)")
    add("--out", type=Path, default=Path("runs/reproduce"), help="folder for runs under way")
    add("--summary", type=Path, default=SUMMARY, help="file that holds what is done")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--compile", action="store_true", help="run steps through torch.compile")
    add("--show", action="store_true", help="train nothing, print the tables")
    args = parser.parse_args(argv)
    names = ["published"] if args.preset else args.tables
    rows = [row for name in names for row in TABLES[name]()]
    try:
        gate.device(args.device)
        summary = Summary(args.summary)
        done = args.show or reproduce(rows, summary, args)
        print(markdown(rows, summary))
        if not args.show:
            draw_sizes(summary)
    except (OSError, ValueError) as error:
        sys.exit(f"reproduce: {error}")
    if not done:
        print("\nnot all of it is done yet: the same command goes on")
    return done


if __name__ == "__main__":
    main()
