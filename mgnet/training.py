"""Training a classifier of pictures: one recipe, exact resume, the last epoch reported.

The data set stays on the device as uint8; crops and flips are made there, a batch at a time. All
randomness is a function of (seed, epoch, step), so a run that was interrupted and resumed goes
through the very numbers of one that was not.
"""

from __future__ import annotations

import copy
import csv
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from mgnet import gate
from mgnet.checkpoint import (
    CHECKPOINT,
    RATES,
    CheckpointError,
    compare_checkpoint,
    non_finite,
    read_checkpoint,
    read_checksum,
    write_checkpoint,
)
from mgnet.data import PictureSet
from mgnet.folder import FolderError, atomic, claimed
from mgnet.optim import Muon

__all__ = [
    "CheckpointError",
    "DivergenceError",
    "Epoch",
    "FolderError",
    "Interrupted",
    "Recipe",
    "Trainer",
    "fastest_layout",
    "saved_recipe",
]

LOG = "log.csv"


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a training run.

    Attributes
    ----------
    epochs, batch_size : int
    optimizer : {"muon", "sgd"}
        "muon" turns every kernel but the stem's by :class:`mgnet.optim.Muon` and trains the rest
        by SGD; "sgd" trains everything by Nesterov SGD.
    lr, momentum : float
        Of Muon.
    sgd_lr, sgd_momentum, weight_decay : float
        Of SGD; the decay acts on kernels and matrices, not on biases and batch normalisation.
    label_smoothing : float
    warmup : float
        Fraction of all steps in which the rate grows linearly from zero; afterwards it falls
        linearly to zero.
    shift : int
        Pictures are shifted by up to so many pixels a way, reflected at the border.
    flip : bool
        Mirror every picture in every other epoch (which ones first is random).
    seed : int
    precision : {"bfloat16", "float32", "float64"}
        Everything below float32 runs under autocast.
    channels_last : bool
    """

    epochs: int = 10
    batch_size: int = 256
    optimizer: str = "muon"
    lr: float = 0.24
    momentum: float = 0.6
    sgd_lr: float = 0.1
    sgd_momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    warmup: float = 0.0
    shift: int = 2
    flip: bool = True
    seed: int = 0
    precision: str = "float32"
    channels_last: bool = False

    def __post_init__(self) -> None:
        if self.optimizer not in ("muon", "sgd"):
            raise ValueError(f"unknown optimizer {self.optimizer!r}; known are 'muon', 'sgd'")
        if self.precision not in ("bfloat16", "float32", "float64"):
            raise ValueError(
                f"unknown precision {self.precision!r}; known are 'bfloat16', 'float32', 'float64'"
            )
        for name, least in (("epochs", 1), ("batch_size", 2), ("shift", 0), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < least:
                raise ValueError(f"{name} must be a whole number, {least} or more, got {value!r}")
        if self.seed >= 2**63:
            raise ValueError(f"seed must be below 2^63, got {self.seed}")
        for name in ("momentum", "sgd_momentum", "warmup", "label_smoothing"):
            value = getattr(self, name)
            if not isinstance(value, Real) or not 0 <= float(value) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {value!r}")
        for name in ("lr", "sgd_lr", "weight_decay"):
            value = getattr(self, name)
            if not isinstance(value, Real) or not 0 <= float(value) < float("inf"):
                raise ValueError(f"{name} must be zero or more, got {value!r}")
        for name in ("flip", "channels_last"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ValueError(f"{name} must be True or False, got {getattr(self, name)!r}")
        for field in fields(self):  # a NumPy number in a checkpoint could not be read back
            plain: Any = type(field.default)
            object.__setattr__(self, field.name, plain(getattr(self, field.name)))

    def rate(self, progress: float) -> float:
        """Factor of the learning rates when `progress`, in [0, 1), of the steps are done."""
        if progress < self.warmup:
            return progress / self.warmup
        return (1 - progress) / (1 - self.warmup)


@dataclass(frozen=True)
class Epoch:
    """A row of the log: means over one epoch, accuracies in [0, 1]."""

    epoch: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float
    images_per_second: float


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM came; the message names the checkpoint that holds all done so far."""


class DivergenceError(ArithmeticError):
    """Loss or weights are no finite numbers any more; the last good checkpoint was left alone."""


class Trainer:
    """Trains a model on a set of pictures and keeps log and checkpoints.

    Parameters
    ----------
    model : Module
        Classifier of (batch, channels, height, width). If it has a `stem`, Muon leaves that to SGD.
    data : PictureSet
    recipe : Recipe
    device : str or torch.device
    folder : path, optional
        Where log.csv and checkpoint.pt go, after every epoch; nothing is written without it. One
        run at a time trains in a folder: its process locks the file .lock there, which stays.
    compile : bool
        Run the steps through :func:`torch.compile`.
    progress : bool
        Show a bar for each epoch on stderr, where that is a terminal.
    on_epoch : callable, optional
        Called with each finished :class:`Epoch`.

    Attributes
    ----------
    history : list of Epoch

    Raises
    ------
    ValueError
        If recipe, pictures, model and device do not go together; the message says how.
    """

    def __init__(
        self,
        model: nn.Module,
        data: PictureSet,
        recipe: Recipe,
        *,
        device: str | torch.device = "cpu",
        folder: str | os.PathLike[str] | None = None,
        compile: bool = False,
        progress: bool = True,
        on_epoch: Callable[[Epoch], None] | None = None,
    ):
        if recipe.batch_size > len(data.train_images):
            raise ValueError(
                f"batches of {recipe.batch_size} are larger than the {len(data.train_images)} "
                "training pictures; choose a smaller batch_size"
            )
        if recipe.shift >= min(data.train_images.shape[2:]):
            raise ValueError(
                f"shift {recipe.shift} is not smaller than the pictures, "
                f"{tuple(data.train_images.shape[2:])}"
            )
        if not any(p.requires_grad for p in model.parameters()):
            raise ValueError("no parameter of the model is trainable: requires_grad is False")
        if any(t.is_meta for t in (*model.parameters(), *model.buffers())):
            raise ValueError(
                "the model is on the meta device, without weights: build it on the CPU"
            )
        self.recipe, self.device = recipe, gate.device(device)
        self.folder = None if folder is None else Path(folder)
        self.progress, self.on_epoch = progress, on_epoch
        self.layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        dtype = torch.float64 if recipe.precision == "float64" else torch.float32
        self.model = model.to(self.device, dtype, memory_format=self.layout)  # type: ignore[call-overload]
        self.call: Any = torch.compile(self.model) if compile else self.model
        self.dtype = dtype
        mean, std = data.channel_statistics()
        self.mean = mean.to(self.device, dtype)[:, None, None]
        # A channel that is the same everywhere stays zero.
        self.std = std.clamp_min(1e-3).to(self.device, dtype)[:, None, None]
        self.images = data.train_images.to(self.device)
        self.labels = data.train_labels.to(self.device)
        self.test_images = data.test_images.to(self.device)
        self.test_labels = data.test_labels.to(self.device)
        self.optimizers = _optimizers(self.model, recipe)
        self.base_rates = [[g["lr"] for g in o.param_groups] for o in self.optimizers]
        self.steps = len(self.images) // recipe.batch_size  # the last, smaller batch is left out
        self.epoch = self.step = 0  # the next step to take
        self.sums = torch.zeros(2, device=self.device)  # of loss, of hits
        # Which pictures start mirrored is random; then it alternates (Jordan 2024).
        first = torch.randint(2, (len(self.images),), generator=_generator(recipe.seed, -1))
        self.mirrored = first.to(self.device)
        # What a checkpoint must agree on besides the weights' names and shapes.
        self.identity = {"data": f"{data.name}, {len(self.images)} pictures", "model": str(model)}
        self.classes = len(data.classes)
        self.history: list[Epoch] = []
        self.seconds = 0.0
        self.checksum: str | None = None  # of the checkpoint that this run wrote or resumed from
        self.claimed = False  # whether the folder is

    # --- training -------------------------------------------------------------------------------

    def fit(self) -> list[Epoch]:
        """Train to the recipe's last epoch and return the history, resumed part included.

        Raises
        ------
        Interrupted
            After SIGINT or SIGTERM: the step under way was finished and a checkpoint written.
        DivergenceError
            If loss or weights are not finite; the checkpoint is then an older one, or none.
        CheckpointError
            Before the first step, if the folder holds another run, which was not resumed.
        FolderError
            Before the first step, if nothing can be written to the folder or another process
            trains there; later, if a file cannot be written. What was done so far is then still
            here: `fit` goes on with it.
        """
        with _stop_flag() as stop, self._claimed_folder():
            while self.epoch < self.recipe.epochs:
                self._train_epoch(stop)
                if stop.is_set():  # since the epoch's last step
                    self._interrupt()
            self._write_log()  # a finished run that stopped between both files lacks its last row
        return self.history

    def _train_epoch(self, stop: threading.Event) -> None:
        r = self.recipe
        order = torch.randperm(len(self.images), generator=_generator(r.seed, self.epoch))
        order = order.to(self.device)
        bar = tqdm(
            total=self.steps, initial=self.step, unit="step", leave=False,
            desc=f"epoch {self.epoch + 1}/{r.epochs}", disable=None if self.progress else True,
        )  # fmt: skip
        self.model.train()
        began = time.perf_counter()
        while self.step < self.steps:
            batch = order[self.step * r.batch_size : (self.step + 1) * r.batch_size]
            self._train_step(batch)
            bar.update()
            if self.step % 20 == 0 and not bar.disable:
                loss, hits = (self.sums / (self.step * r.batch_size)).tolist()
                bar.set_postfix(loss=f"{loss:.3f}", accuracy=f"{hits:.1%}")
            if stop.is_set():
                self.seconds += time.perf_counter() - began
                bar.close()
                self._interrupt()
        self._synchronize()
        self.seconds += time.perf_counter() - began
        bar.close()
        seen = self.steps * r.batch_size
        loss, hits = (self.sums / seen).tolist()
        if not math.isfinite(loss):
            raise self._diverged(f"the loss is {loss}")
        self._check_weights()
        test_loss, test_accuracy = self.evaluate()
        if not math.isfinite(test_loss):
            raise self._diverged(f"the test loss is {test_loss}")
        row = Epoch(
            self.epoch + 1, loss, hits, test_loss, test_accuracy,
            self.seconds, seen / self.seconds,
        )  # fmt: skip
        self.history.append(row)
        self.epoch, self.step, self.seconds = self.epoch + 1, 0, 0.0
        self.sums.zero_()
        self.save()
        if self.on_epoch is not None:
            self.on_epoch(row)

    def _train_step(self, batch: Tensor) -> None:
        r = self.recipe
        factor = r.rate((self.epoch * self.steps + self.step) / (r.epochs * self.steps))
        for optimizer, rates in zip(self.optimizers, self.base_rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        pictures = self._augmented(batch)
        labels = self.labels[batch]
        with self._autocast():
            scores = self.call(self._normalised(pictures))
        if scores.ndim != 2 or scores.shape[1] < self.classes:
            raise ValueError(
                f"the model must give (batch, {self.classes}) scores for {self.classes} classes, "
                f"got {tuple(scores.shape)}"
            )
        scores = scores.to(self.dtype)
        loss = F.cross_entropy(scores, labels, label_smoothing=r.label_smoothing)
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        hits = (scores.detach().argmax(1) == labels).sum()
        self.sums += torch.stack([loss.detach() * len(batch), hits]).float()
        self.step += 1

    def _augmented(self, batch: Tensor) -> Tensor:
        """Shifted and mirrored pictures, by one gather with reflected indices."""
        r = self.recipe
        generator = _generator(r.seed, self.epoch, self.step)
        size = self.images.shape[2:]
        index = []
        for n in size:
            shift = torch.randint(-r.shift, r.shift + 1, (len(batch), 1), generator=generator)
            i = (torch.arange(n) + shift).abs()  # reflect at 0 ...
            index.append((n - 1 - (n - 1 - i).abs()).to(self.device))  # ... and at n - 1
        rows, columns = index
        if r.flip:
            flip = (self.mirrored[batch] + self.epoch) % 2 == 1
            columns = torch.where(flip[:, None], size[1] - 1 - columns, columns)
        pictures = self.images[batch]
        at = torch.arange(len(batch), device=self.device)[:, None, None]
        gathered = pictures.permute(0, 2, 3, 1)[at, rows[:, :, None], columns[:, None, :]]
        return gathered.permute(0, 3, 1, 2)

    def _normalised(self, pictures: Tensor) -> Tensor:
        x = (pictures.to(self.dtype) / 255 - self.mean) / self.std
        return x.contiguous(memory_format=self.layout)

    def _autocast(self) -> torch.autocast:
        enabled = self.recipe.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    # --- evaluation -----------------------------------------------------------------------------

    @torch.no_grad()
    def scores(self, pictures: Tensor, *, mirror: bool = False, batch_size: int = 500) -> Tensor:
        """Class scores of uint8 pictures, (N, classes); `mirror` averages over mirror images."""
        self.model.eval()
        parts = []
        for some in pictures.to(self.device).split(batch_size):
            with self._autocast():
                score = self.model(self._normalised(some)).to(self.dtype)
                if mirror:
                    score = (score + self.model(self._normalised(some.flip(-1)))) / 2
            parts.append(score)
        return torch.cat(parts)

    def evaluate(self, *, mirror: bool = False) -> tuple[float, float]:
        """Loss and accuracy on the test pictures."""
        scores = self.scores(self.test_images, mirror=mirror)
        loss = F.cross_entropy(scores, self.test_labels).item()
        hits = (scores.argmax(1) == self.test_labels).sum().item()
        return loss, hits / len(self.test_labels)

    # --- checkpoints ----------------------------------------------------------------------------

    def save(self) -> None:
        """Write checkpoint and log, each whole or not at all; nothing without a folder.

        Raises
        ------
        DivergenceError, CheckpointError, FolderError
            As `fit` does; nothing is written then.
        """
        if self.folder is None:
            return
        self._check_weights()
        with self._claimed_folder():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.checksum = write_checkpoint(self.folder / CHECKPOINT, self._content())
            self._write_log()

    def _write_log(self) -> None:
        if self.folder is None:
            return
        with atomic(self.folder / LOG) as path, path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, [f.name for f in fields(Epoch)])
            writer.writeheader()
            writer.writerows(asdict(row) for row in self.history)

    def resume(self, path: str | os.PathLike[str]) -> None:
        """Take up a run where its checkpoint left it, with the learning rates of this recipe.

        With those of the checkpoint, too, the run goes on exactly as if it had not stopped.

        Parameters
        ----------
        path : path
            A checkpoint, or the folder that holds one.

        Raises
        ------
        CheckpointError
            If there is none, it is damaged, or it is of another model, data set or recipe, learning
            rates aside. Nothing has changed then.
        """
        path, saved = read_checkpoint(path)
        # Everything is compared before anything is loaded.
        buffers = [_momenta(o) for o in self.optimizers]
        row = asdict(Epoch(1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
        compare_checkpoint(path, saved, self._content(), buffers, row, self.steps)
        self.model.load_state_dict(saved["model"])
        for optimizer, there in zip(self.optimizers, saved["optimizers"], strict=True):
            groups = optimizer.state_dict()["param_groups"]  # these follow from the recipe
            optimizer.load_state_dict({"state": there["state"], "param_groups": groups})
        self.epoch, self.step, self.seconds = saved["epoch"], saved["step"], saved["seconds"]
        self.sums = saved["sums"].to(self.device)
        self.history = [Epoch(**row) for row in saved["history"]]
        self.checksum = saved["checksum"]
        torch.set_rng_state(saved["random"]["cpu"])
        if "cuda" in saved["random"] and self.device.type == "cuda":
            torch.cuda.set_rng_state(saved["random"]["cuda"], self.device)

    def _content(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "model": self.model.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "recipe": asdict(self.recipe),
            "epoch": self.epoch, "step": self.step,
            "sums": self.sums, "seconds": self.seconds,
            "history": [asdict(row) for row in self.history],
            "identity": self.identity,
            "random": self._random_state(),
        }  # fmt: skip

    def _check_weights(self) -> None:
        """Raise where a number that a checkpoint would hold is not finite."""
        if (name := non_finite(self._content())) is not None:
            raise self._diverged(f"{name} is not finite")

    def _diverged(self, what: str) -> DivergenceError:
        rates = ", ".join(f"{name} {getattr(self.recipe, name):g}" for name in RATES)
        advice = f"{what} in epoch {self.epoch + 1}: lower the learning rates ({rates})"
        if self.folder is None or not (self.folder / CHECKPOINT).exists():
            return DivergenceError(f"{advice}; there is no checkpoint yet to resume from")
        return DivergenceError(
            f"{advice} and resume from {self.folder / CHECKPOINT}, the last good checkpoint"
        )

    @contextmanager
    def _claimed_folder(self) -> Iterator[None]:
        """Keep other runs out of the folder, and this one out of a folder that holds another."""
        if self.folder is None or self.claimed:
            yield
            return
        with claimed(self.folder, (CHECKPOINT, LOG)):
            self._refuse_another_run(self.folder / CHECKPOINT, self.folder / LOG)
            self.claimed = True
            try:
                yield
            finally:
                self.claimed = False

    def _refuse_another_run(self, checkpoint: Path, log: Path) -> None:
        if checkpoint.exists():
            if self.checksum is None or read_checksum(checkpoint) != self.checksum:
                raise CheckpointError(
                    f"{self.folder} holds another run: resume that, or name another folder"
                )
        elif log.exists():
            raise CheckpointError(
                f"{log} belongs to a run whose checkpoint is gone: move it away, or name another "
                "folder"
            )

    def _random_state(self) -> dict[str, Tensor]:
        """State of torch's own generators, for a sigma that draws, such as dropout."""
        state = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self.device)
        return state

    def _interrupt(self) -> None:
        where = f"in epoch {self.epoch + 1}, after step {self.step} of {self.steps}"
        if self.epoch == self.recipe.epochs:
            where = "after the last epoch"
        if self.folder is None:
            raise Interrupted(f"interrupted {where}; nothing was saved, as no folder was given")
        self.save()
        raise Interrupted(f"interrupted {where}; saved in {self.folder / CHECKPOINT}")

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def fastest_layout(
    model: nn.Module,
    data: PictureSet,
    recipe: Recipe,
    device: str | torch.device = "cpu",
    *,
    precisions: Sequence[str] = ("bfloat16", "float32"),
    channels_last: Sequence[bool] = (True, False),
) -> Recipe:
    """`recipe` with the precision and memory layout that train `model` fastest on this machine.

    A few steps of a copy are timed in float32 and bfloat16, channels first and last: bfloat16 is
    two to three times faster on processors with instructions for it, and far slower on others.

    Parameters
    ----------
    precisions, channels_last : sequence
        What to choose from; nothing is timed where there is no choice.

    Returns
    -------
    Recipe
        `recipe` with `precision` and `channels_last` set.
    """
    candidates = [
        replace(recipe, precision=p, channels_last=c) for p in precisions for c in channels_last
    ]
    if len(candidates) == 1:
        return candidates[0]

    def seconds(candidate: Recipe) -> float:
        # The copy spares the caller's parameters and the statistics of its batch normalisation.
        trainer = Trainer(copy.deepcopy(model), data, candidate, device=device, progress=False)
        batch = torch.arange(min(64, candidate.batch_size), device=trainer.device)
        times = []
        for _ in range(4):
            began = time.perf_counter()
            trainer._train_step(batch)
            trainer._synchronize()
            times.append(time.perf_counter() - began)
        return min(times[1:])

    return min(candidates, key=seconds)


def _optimizers(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    kernels = [
        p for name, p in trained.items()
        if recipe.optimizer == "muon" and p.ndim > 2 and not name.startswith("stem.")
    ]  # fmt: skip
    taken = set(map(id, kernels))
    rest = [p for p in trained.values() if id(p) not in taken]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    sgd = torch.optim.SGD(
        groups, recipe.sgd_lr, recipe.sgd_momentum, nesterov=recipe.sgd_momentum > 0
    )
    return [Muon(kernels, recipe.lr, recipe.momentum), sgd] if kernels else [sgd]


def _generator(*key: int) -> torch.Generator:
    """A generator on the CPU that depends on all numbers of `key`, the same on every machine."""
    seed = 0
    for number in key:  # a multiplicative congruential hash: nearby keys give unrelated seeds
        seed = ((seed ^ (number & 0xFFFFFFFF)) * 6364136223846793005 + 1442695040888963407) % 2**63
    return torch.Generator().manual_seed(seed)


def saved_recipe(path: str | os.PathLike[str]) -> Recipe:
    """The recipe of the run that wrote a checkpoint, or the one in a folder.

    Raises
    ------
    CheckpointError
        If there is none, or the recipe is not one of this version.
    """
    path, saved = read_checkpoint(path)
    names, found = {f.name for f in fields(Recipe)}, set(saved["recipe"])
    if found != names:
        name = min(map(str, found ^ names))
        raise CheckpointError(
            f"{path} has a recipe of another version: {name} is "
            f"{'missing' if name in names else 'unknown'}"
        )
    try:
        return Recipe(**saved["recipe"])
    except ValueError as error:
        raise CheckpointError(f"{path} has a recipe that cannot be: {error}") from None


@contextmanager
def _stop_flag() -> Iterator[threading.Event]:
    """Set a flag at the first SIGINT or SIGTERM; what comes after that acts as usual."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag  # only the main thread may set handlers
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # A job in the background ignores Ctrl-C, and goes on doing so; None is a handler in C, which
    # could not be put back.
    usual = {
        number: previous
        for number, previous in usual.items()
        if previous not in (signal.SIG_IGN, None)
    }

    def restore() -> None:
        for number, previous in usual.items():
            signal.signal(number, previous)

    def handler(number: int, frame: Any) -> None:
        flag.set()
        restore()

    try:
        for number in usual:
            signal.signal(number, handler)
        yield flag
    finally:
        restore()


def _momenta(optimizer: torch.optim.Optimizer) -> dict[int, dict[str, Tensor]]:
    """What an optimizer's state dict holds for each parameter after steps, in shape and dtype."""
    name = "momentum" if isinstance(optimizer, Muon) else "momentum_buffer"
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return {k: {name: p} for k, p in enumerate(parameters)}
