"""Training steps of this project beside the same networks trained the published way.

    python -m benchmarks.training --compile

Pictures of 3 x 32 x 32 numbers lie in memory; a step is forward, loss, backward and the optimizer's
step. In one run, for MgNet with 256 channels, with 64, for the pyramid (32, 64, 128, 256) and for
ResNet-18:

- "as published": MgNet as its authors' code computes it (:mod:`benchmarks.published`), in float32,
  contiguous and eager. ResNet-18, which is the same modules everywhere, is "plain" that way;
- "here": the residual form in the precision and the layout that :mod:`mgnet.precision` chooses for
  the device; with --compile once more through :func:`torch.compile`;
- "here, Muon": with the optimizer of the default recipe. All other rows have SGD with momentum, as
  published, so that they differ in nothing else;
- of the pyramid, "here" in float32 in both layouts, too.

Wanted on a CPU that multiplies bfloat16: "here" at least 3.3 times as fast as the published way
with 64 channels, 2.5 times with the pyramid. On a GPU: 30 % of the peak with 256 channels.

All of a network take turns, matrix products among them, so that a noisy machine disturbs all of
them; speeds are medians over the rounds, with the slowest and the fastest beside them. First steps
are not counted. The share of the peak is 3 x 2 x multiply-adds of the row's own forward pass (the
backward pass costs twice the forward one, a multiply-add is two operations), a second, in parts of
the best rate of a square matrix product in the same precision.

Memory is the peak of a fresh process that takes a few steps of that row alone: on CUDA what torch
has allocated, on a CPU all that is resident, Python and torch included. Compiled code is there by
then, and only loaded.

Before anything is timed, both forms must have the same number of parameters and, with the same
weights, the same scores to 1e-4. Writes results/training.csv, results/training.md and
figures/training.png.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.published import CLASSES, PICTURE, Published, check_same
from benchmarks.report import Goal, markdown, publish
from mgnet import MgNet, gate
from mgnet.cost import count_parameters, multiply_adds
from mgnet.machine import describe_machine
from mgnet.optim import make_optimizers
from mgnet.precision import autocast, memory_format, parameter_dtype, resolved
from mgnet.recipe import PRESETS, Recipe
from mgnet.resnet import ResNet

__all__ = ["NETWORKS", "Row", "Training", "ways"]

PUBLISHED, PLAIN, HERE = "as published", "plain", "here"
COMPILED, MUON = "here, compiled", "here, Muon"
#: How many times faster than the published way, on a CPU with bfloat16.
WANTED = {"mgnet-64": 3.3, "mgnet-narrow": 2.5}
#: What share of a GPU's peak for bfloat16.
WANTED_SHARE = {"mgnet-256": 0.3}


# --- the networks, and the ways of training them ------------------------------------------------


@dataclass(frozen=True)
class Network:
    """A network of the benchmark.

    Attributes
    ----------
    channels : tuple of int
    build : callable
        Makes it as this project has it, from its channels.
    published : callable
        Makes it the published way.
    batch : dict
        Pictures of a step by type of device; others take as many as a CPU.
    """

    channels: tuple[int, ...]
    build: Callable[..., nn.Module]
    published: Callable[..., nn.Module]
    batch: Mapping[str, int]

    def narrow(self) -> Network:
        """The same with a sixteenth of the channels, two pictures a step: to test the benchmark."""
        return replace(self, channels=tuple(c // 16 for c in self.channels), batch={"cpu": 2})


def _mgnet(channels: tuple[int, ...], cpu: int) -> Network:
    return Network(channels, MgNet, Published, {"cpu": cpu, "cuda": 256})


# With 256 channels a picture takes 28 GFLOP and, in float32, some 40 MB: few of them on a CPU.
NETWORKS = {
    "mgnet-256": _mgnet((256,) * 4, cpu=32),
    "mgnet-64": _mgnet((64,) * 4, cpu=128),
    "mgnet-narrow": _mgnet((32, 64, 128, 256), cpu=128),
    "resnet18": Network((64, 128, 256, 512), ResNet, ResNet, {"cpu": 64, "cuda": 256}),
}


class Way(NamedTuple):
    """A way of training a network."""

    name: str
    recipe: Recipe
    published: bool = False
    compiled: bool = False


def ways(name: str, device: torch.device, compiled: bool = False) -> list[Way]:
    """The ways in which a network is trained here, the one to compare with first."""
    # What is random cannot be learnt: a low rate keeps the numbers in their range.
    plain = replace(PRESETS["published"], sgd_lr=0.01, precision="float32", layout="contiguous")
    here, _ = resolved(replace(plain, precision="auto", layout="auto"), device, 2)
    muon, _ = resolved(Recipe(lr=0.01, sgd_lr=0.01), device, 2)
    mgnet = name != "resnet18"
    found = [Way(PUBLISHED if mgnet else PLAIN, plain, published=True), Way(HERE, here)]
    if compiled:
        found.append(Way(COMPILED, here, compiled=True))
    if mgnet:
        found.append(Way(MUON, muon))
    if name == "mgnet-narrow":
        for layout in ("channels_last", "contiguous"):
            words = f"here, float32, {layout.replace('_', ' ')}"
            found.append(Way(words, replace(plain, layout=layout)))
    return found


class Training:
    """A network that is trained in one way, with pictures that lie on the device."""

    def __init__(self, network: Network, way: Way, batch: int, device: torch.device):
        torch.manual_seed(0)
        build = network.published if way.published else network.build
        self.model: Any = build(channels=network.channels)
        self.multiply_adds = multiply_adds(self.model, PICTURE)
        self.recipe, self.device, self.batch = way.recipe, device, batch
        layout, dtype = memory_format(way.recipe, 2), parameter_dtype(way.recipe)
        self.model.to(device, dtype, memory_format=layout)  # type: ignore[call-overload]
        # A run has one batch size, and its code is made for that. Here torch would see another one
        # in each network, and make code for any size from the second on.
        self.forward = torch.compile(self.model, dynamic=False) if way.compiled else self.model
        self.optimizers = make_optimizers(self.model, way.recipe)
        self.scaler = torch.amp.GradScaler(device.type, enabled=way.recipe.precision == "float16")
        pictures = torch.randn(batch, *PICTURE).to(device, dtype)
        self.pictures = pictures.contiguous(memory_format=layout)
        self.labels = torch.randint(CLASSES, (batch,)).to(device)

    def step(self) -> Tensor:
        """Take one step; returns the loss."""
        with autocast(self.recipe, self.device):
            scores = self.forward(self.pictures)
        smoothing = self.recipe.label_smoothing
        loss = cross_entropy(scores.float(), self.labels, label_smoothing=smoothing)
        self.scaler.scale(loss).backward()
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
        self.scaler.update()
        return loss.detach()


# --- measuring ----------------------------------------------------------------------------------


def seconds(call: Callable[[], Any], repeats: int, device: torch.device) -> float:
    """Of one call, the mean of `repeats`."""
    synchronize(device)
    began = time.perf_counter()
    for _ in range(repeats):
        call()
    synchronize(device)
    return (time.perf_counter() - began) / repeats


def synchronize(device: torch.device) -> None:
    """Wait for what the device still computes."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def product_rate(n: int, precision: str, repeats: int, device: torch.device) -> float:
    """Operations a second of the product of two n x n matrices."""
    a, b = torch.randn(2, n, n, device=device).to(getattr(torch, precision))
    before = torch.get_float32_matmul_precision()
    try:
        if device.type == "cuda" and torch.backends.cudnn.allow_tf32:
            # cuDNN's float32 convolutions use TF32 unless told otherwise, products do not.
            torch.set_float32_matmul_precision("high")
        a @ b
        return 2 * n**3 / seconds(lambda: a @ b, repeats, device)
    finally:
        torch.set_float32_matmul_precision(before)


class Row(NamedTuple):
    """One network trained in one way; speeds are pictures a second."""

    network: str
    way: str
    precision: str
    layout: str
    batch: int
    parameters: int
    multiply_adds: int
    median: float
    slowest: float
    fastest: float
    times_published: float
    share_of_peak: float
    memory_mib: float  # nan where it was not measured
    first_step_s: float  # with compiling


class Plan(NamedTuple):
    """How much is measured, and where."""

    device: torch.device
    networks: Mapping[str, Network]
    compiled: bool
    batch: int | None  # for all networks; None for each its own
    rounds: int
    steps: int
    products: tuple[int, ...]  # sides of the matrices

    def pictures(self, name: str) -> int:
        """Pictures of a step."""
        batch = self.networks[name].batch
        return self.batch or batch.get(self.device.type, batch["cpu"])


def measure(plan: Plan) -> tuple[list[Row], dict[str, float]]:
    """All rows, without memory, and the best rate of a matrix product by precision.

    A product is multiplied as often as it takes to keep a GPU busy for some milliseconds.
    """
    timed: list[tuple[str, Way, Training, float, list[float]]] = []
    peaks: dict[str, float] = {}
    repeats = 10 if plan.device.type == "cuda" else 1
    for name, network in plan.networks.items():
        print(f"{name} ...", file=sys.stderr, flush=True)
        entries: list[tuple[str, Way, Training, float, list[float]]] = []
        for way in ways(name, plan.device, plan.compiled):
            training = Training(network, way, plan.pictures(name), plan.device)
            first = seconds(training.step, 1, plan.device)
            training.step()  # compiled code may be made anew for the second step
            entries.append((name, way, training, first, []))
        precisions = dict.fromkeys(way.recipe.precision for _, way, *_ in entries)
        for _ in range(plan.rounds):
            for _, _, training, _, times in entries:
                times.append(seconds(training.step, plan.steps, plan.device))
            for precision in precisions:
                for n in plan.products:
                    rate = product_rate(n, precision, repeats, plan.device)
                    peaks[precision] = max(rate, peaks.get(precision, 0.0))
        for _, way, training, *_ in entries:
            if not math.isfinite(training.step().item()):
                raise RuntimeError(f"{name}, {way.name}: the loss is no finite number")
        timed += entries
    rows: list[Row] = []
    for name, way, training, first, times in timed:
        speeds = sorted(training.batch / t for t in times)
        median = training.batch / statistics.median(times)
        base = next((row.median for row in rows if row.network == name), median)
        share = 3 * 2 * training.multiply_adds * median / peaks[way.recipe.precision]
        rows.append(
            Row(
                name, way.name, way.recipe.precision, way.recipe.layout, training.batch,
                count_parameters(training.model), training.multiply_adds, median, speeds[0],
                speeds[-1], median / base, share, math.nan, first,
            )
        )  # fmt: skip
    return rows, peaks


_CACHE = "TORCHINDUCTOR_CACHE_DIR"
_ALONE = "import json, sys; from benchmarks.training import alone; alone(**json.loads(sys.argv[1]))"


def peak_memory(plan: Plan) -> tuple[dict[tuple[str, str], float], float]:
    """MiB that a few steps take, each way of each network in a process of its own.

    The second result is what of it such a process has taken before there is a network.
    """
    torch.cuda.empty_cache()  # what torch keeps here, those processes would lack on a GPU
    found, before = {}, 0.0
    for name, network in plan.networks.items():
        for way in ways(name, plan.device, plan.compiled):
            print(f"memory of {name}, {way.name} ...", file=sys.stderr, flush=True)
            case = {
                "name": name, "way": way.name, "batch": plan.pictures(name),
                "device": str(plan.device), "narrow": network != NETWORKS[name],
            }  # fmt: skip
            done = subprocess.run(
                [sys.executable, "-c", _ALONE, json.dumps(case)], stdout=subprocess.PIPE,
                check=True, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            )  # fmt: skip
            before, found[name, way.name] = (float(b) / 2**20 for b in done.stdout.split()[-2:])
    return found, before


@contextmanager
def compiling_anew() -> Iterator[None]:
    """Keep what torch has compiled in other runs out of sight."""
    before = os.environ.get(_CACHE)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[_CACHE] = folder
        try:
            yield
        finally:
            del os.environ[_CACHE]
            if before is not None:
                os.environ[_CACHE] = before


def alone(name: str, way: str, batch: int, device: str, narrow: bool) -> None:
    """Take a few steps in this process; print its peak memory before and behind them, in bytes."""
    network = NETWORKS[name].narrow() if narrow else NETWORKS[name]
    where = torch.device(device)
    before = allocated_peak(where)
    chosen = next(w for w in ways(name, where, compiled=True) if w.name == way)
    training = Training(network, chosen, batch, where)
    for _ in range(3):
        training.step()
    print(before, allocated_peak(where))


def allocated_peak(device: torch.device) -> int:
    """Most that torch has allocated on a GPU; elsewhere the largest resident set; in bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        # Linux hands ru_maxrss down: a child's is never below what its parent had at the start.
        status = Path("/proc/self/status").read_text().split()
        return 1024 * int(status[status.index("VmHWM:") + 1])
    except (OSError, ValueError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most


# --- what comes of it ---------------------------------------------------------------------------


def goals(rows: Sequence[Row], device: torch.device) -> list[Goal]:
    """The goals where bfloat16 is multiplied, and what was reached."""
    out = []
    for row in rows:
        if row.way not in (HERE, COMPILED) or row.precision != "bfloat16":
            continue
        if device.type == "cpu" and row.network in WANTED:
            wanted, times = WANTED[row.network], row.times_published
            measure = f"{row.network}: {row.way}, times as fast as published"
            out.append(Goal(measure, f"{wanted} x", f"{times:.2f} x", times >= wanted))
        if device.type == "cuda" and row.network in WANTED_SHARE:
            wanted, share = WANTED_SHARE[row.network], row.share_of_peak
            measure = f"{row.network}: {row.way}, share of the peak"
            out.append(Goal(measure, f"{wanted:.0%}", f"{share:.0%}", share >= wanted))
    return out


def by_network(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    head = [
        "network", "batch", "way", "precision, layout", "GMAC", "images/s", "slowest - fastest",
        "times the first", "share of peak", "peak memory, MiB", "first step, s",
    ]  # fmt: skip
    lines = []
    for r in rows:
        memory = "" if math.isnan(r.memory_mib) else f"{r.memory_mib:.0f}"
        lines.append(
            [
                r.network, str(r.batch), r.way, f"{r.precision}, {r.layout.replace('_', ' ')}",
                f"{r.multiply_adds / 1e9:.3g}", _speed(r.median),
                f"{_speed(r.slowest)} - {_speed(r.fastest)}", f"{r.times_published:.2f}",
                f"{r.share_of_peak:.0%}", memory, f"{r.first_step_s:.3g}",
            ]
        )  # fmt: skip
    return markdown(head, lines)


def _speed(s: float) -> str:
    """Three digits at least, and no exponent."""
    return f"{s:,.0f}" if s >= 100 else f"{s:.3g}"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Pictures a second of every way, a panel for each network."""
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(row.network for row in rows))
    counts = [sum(row.network == name for row in rows) for name in names]
    fig, panels = plt.subplots(
        len(names), 1, figsize=(9, 1 + 0.45 * sum(counts) + 0.5 * len(names)), squeeze=False,
        layout="constrained", height_ratios=counts,
    )  # fmt: skip
    for ax, name in zip(panels[:, 0], names, strict=True):
        shown = [row for row in rows if row.network == name]
        spread = [
            [r.median - r.slowest for r in shown],
            [r.fastest - r.median for r in shown],
        ]
        bars = ax.barh(
            [r.way for r in shown], [r.median for r in shown], xerr=spread, height=0.6,
            color=["C7", *["C0"] * (len(shown) - 1)], error_kw={"linewidth": 1},
        )  # fmt: skip
        words = [f"{r.times_published:.2f} x, {r.share_of_peak:.0%} of peak" for r in shown]
        ax.bar_label(bars, words, fontsize=8, padding=6)
        ax.margins(x=0.25)
        ax.invert_yaxis()
        ax.set_title(f"{name}, batches of {shown[0].batch}", fontsize=10)
        ax.grid(axis="x", alpha=0.3)
    panels[-1, 0].set_xlabel("training pictures a second")
    fig.savefig(path, dpi=120)
    plt.close(fig)


def machine(device: torch.device) -> str:
    """The processor, threads and versions, in a line."""
    about = describe_machine(device)
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return f"{about['device']} ({device}), {about['threads']} threads, {versions}"


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Check, measure, print, write, draw."""
    args = _arguments(argv)
    try:
        device = gate.device(args.device)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    networks = {name: NETWORKS[name] for name in dict.fromkeys(args.networks)}
    if args.quick:
        networks = {name: network.narrow() for name, network in networks.items()}
    on_gpu = device.type == "cuda"
    plan = Plan(
        device, networks, args.compile, args.batch,
        rounds=args.rounds or (2 if args.quick else 7),
        steps=args.steps or (1 if args.quick else 20 if on_gpu else 2),
        products=(64,) if args.quick else (4096, 8192) if on_gpu else (1024, 2048, 4096),
    )  # fmt: skip

    for network in networks.values():
        if network.published is Published:
            check_same(network.channels)
    with compiling_anew():
        rows, peaks = measure(plan)
        # Last, for processes that measure memory to find compiled what they run.
        memory, before = ({}, 0.0) if args.no_memory else peak_memory(plan)
    rows = [r._replace(memory_mib=memory.get((r.network, r.way), math.nan)) for r in rows]
    products = ", ".join(f"{rate / 1e9:,.0f} in {name}" for name, rate in peaks.items())
    measured = (
        f"Training steps, medians of {plan.rounds} rounds of {plan.steps} steps, "
        f"{machine(device)}. Matrix products, GFLOP/s: {products}."
    )
    if before:
        measured += f" Of the memory, {before:.0f} MiB are taken before there is a network."
    measured += f"\n\n{by_network(rows)}"
    draw(rows, publish("training", measured, rows, [] if args.quick else goals(rows, device)))
    print("results/training.csv, results/training.md, figures/training.png")
    return rows


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu, cuda")
    add("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="default: all")
    add("--compile", action="store_true", help="also through torch.compile")
    add("--batch", type=_positive, help="pictures of a step (each network its own)")
    add("--rounds", type=_positive, help="turns of each way (7)")
    add("--steps", type=_positive, help="steps of a turn (2 on a CPU, 20 on a GPU)")
    add("--no-memory", action="store_true", help="do not measure the peak memory")
    add("--quick", action="store_true", help="narrow networks, to test the benchmark itself")
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {text}")
    return int(text)


if __name__ == "__main__":
    main()
