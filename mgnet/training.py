"""The training engine: steps, rates, exact resume, files, processes.

What is trained for is a task (:mod:`mgnet.tasks`), how is a recipe (:mod:`mgnet.recipe`). All
randomness is a function of (seed, epoch, step), so on a CPU a run that was interrupted and resumed
goes through the very numbers of one that was not. On a GPU, cuDNN adds gradients up in any order.
"""

from __future__ import annotations

import math
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from copy import copy, deepcopy
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from mgnet import gate
from mgnet.checkpoint import (
    Checkpoint,
    CheckpointError,
    compare_checkpoint,
    non_finite,
    read_checkpoint,
)
from mgnet.classifier import Classifier
from mgnet.folder import FolderError
from mgnet.interruption import Interrupted, stop_flag
from mgnet.journal import Epoch
from mgnet.optim import make_optimizers, momenta
from mgnet.pictures import PictureSet
from mgnet.precision import autocast, memory_format, parameter_dtype, resolved
from mgnet.processes import ALONE, LostProcessError, Processes, peers
from mgnet.recipe import Recipe
from mgnet.run_folder import RunFolder
from mgnet.seeds import generator, hashed
from mgnet.tasks import Classification, Labelled, Step, Task

__all__ = [
    "CheckpointError",
    "DivergenceError",
    "Epoch",
    "FolderError",
    "Interrupted",
    "LostProcessError",
    "Recipe",
    "Trainer",
]


#: After so many steps the loss is looked at: a GPU waits for that, so not after each.
CHECKED = 100

#: An epoch of so many seconds is saved before the test, too: what stops a program may not wait.
LONG = 60

#: After so many steps several processes on GPUs agree on whether to stop: they wait for that, too.
ASKED = 10


class DivergenceError(ArithmeticError):
    """Loss or weights are no finite numbers any more; the last good checkpoint was left alone."""


class Trainer:
    """Trains a model for a task and keeps log and checkpoints.

    Parameters
    ----------
    model : Module
        A network of ``(batch, channels, *grid)``, or a classifier that is to be trained further. It
        is trained itself, on `device`: what a whitened stem needs is found from the data at once.
    data : PictureSet or Task
        Labelled examples, or what else there is to be trained for.
    recipe : Recipe
    device : str or torch.device
    folder : path, optional
        Where run.json goes at first, log.csv and checkpoint.pt after every epoch, and curve.png and
        weights.safetensors at the end; nothing is written without it. One run at a time trains in
        a folder: its process locks the file .lock there, which stays.
    compile : bool
        Run the steps through :func:`torch.compile`.
    progress : bool
        Show a bar for each epoch on stderr, where that is a terminal.
    on_epoch : callable, optional
        Called with each finished :class:`mgnet.journal.Epoch`.
    tensorboard : bool
        Write the log for TensorBoard, too; needs the package tensorboard.
    processes : Processes
        This one's place among those that train together: :func:`mgnet.processes.joined`.

    Attributes
    ----------
    model : Module
        What is trained: for labelled examples a :class:`mgnet.classifier.Classifier`, which
        normalises them.
    trained : Module
        The same, or with `recipe.ema` the average of its weights over the last steps.
    recipe : Recipe
        The given one with what it left open decided; `choice` says it in words.
    record : dict
        From what :func:`mgnet.load` builds the model again; empty if that cannot be said.
    history : list of Epoch

    Raises
    ------
    ValueError
        If recipe, data, model and device do not go together; the message says how.
    """

    def __init__(
        self,
        model: nn.Module,
        data: PictureSet | Task,
        recipe: Recipe,
        *,
        device: str | torch.device = "cpu",
        folder: str | os.PathLike[str] | None = None,
        compile: bool = False,
        progress: bool = True,
        on_epoch: Callable[[Epoch], None] | None = None,
        tensorboard: bool = False,
        processes: Processes = ALONE,
    ):
        _check_types(model, data, recipe)
        # What it prepares is this run's own: the caller may have another trainer for the same task.
        self.task = copy(data) if isinstance(data, Task) else Classification(data)
        self.device, self.processes = gate.device(device), processes
        if recipe.batch_size > self.task.size:
            raise ValueError(
                f"batches of {recipe.batch_size} are larger than the {self.task.size} training "
                "examples; choose a smaller batch_size"
            )
        if recipe.batch_size % (recipe.accumulate * processes.count):
            raise ValueError(
                f"batch_size {recipe.batch_size} cannot be shared by {processes.count} processes "
                f"in {recipe.accumulate} equal parts each"
            )
        if not any(p.requires_grad for p in model.parameters()):
            raise ValueError("no parameter of the model is trainable: requires_grad is False")
        if any(t.is_meta for t in (*model.parameters(), *model.buffers())):
            raise ValueError(
                "the model is on the meta device, without weights: build it on the CPU"
            )
        self.files = RunFolder(folder, writes=processes.first, tensorboard=tensorboard)
        self.folder = self.files.path
        self.progress, self.on_epoch = progress and processes.first, on_epoch
        self.asked = recipe
        self.model = self.task.model(model)
        self._decide(recipe)
        # What a checkpoint must agree on besides the weights' names and shapes.
        network = model.network if isinstance(model, Classifier) else model
        self.identity = {"data": self.task.identity, "model": str(network)}
        self.record = self._record()
        self.optimizers = make_optimizers(self.model, self.recipe)
        self.base_rates = [[g["lr"] for g in o.param_groups] for o in self.optimizers]
        self.scaler = self._scaler(self.recipe.precision)
        self.average: Any = None
        if recipe.ema:
            # Statistics of normalisations are averaged as the weights are.
            self.average = AveragedModel(
                self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True
            )
        self.parallel: Any = self.model
        if processes.count > 1:
            self.parallel = DistributedDataParallel(self.model)
        self.forward: Any = torch.compile(self.parallel) if compile else self.parallel
        self.steps = self.task.size // recipe.batch_size  # the last, smaller batch is left out
        self.epoch = self.step = 0  # the next step to take
        self.sums = torch.zeros(len(self.task.measures), device=self.device)
        self.history: list[Epoch] = []
        self.seconds = 0.0
        self._kept: tuple[int, int] | None = None  # epoch and step of the last checkpoint

    def _decide(self, recipe: Recipe) -> None:
        """Settle precision and layout, and have model and data in them."""
        dim = self.task.dim
        self.recipe, self.choice = resolved(recipe, self.device, dim)
        self.dtype = parameter_dtype(self.recipe)
        layout = memory_format(self.recipe, dim)
        self.model.to(self.device, self.dtype, memory_format=layout)  # type: ignore[call-overload]
        self.task.prepare(self.recipe, self.device, layout)

    def _scaler(self, precision: str) -> torch.amp.GradScaler:
        """What keeps gradients of float16 from underflow."""
        return torch.amp.GradScaler(self.device.type, enabled=precision == "float16")

    @property
    def trained(self) -> nn.Module:
        """The model, or the average of its weights, as it is measured and used."""
        return self.model if self.average is None else self.average.module

    # --- training -------------------------------------------------------------------------------

    def fit(self) -> list[Epoch]:
        """Train to the recipe's last epoch and return the history, resumed part included.

        Raises
        ------
        Interrupted
            After SIGINT or SIGTERM: the step under way was finished, of several processes on GPUs
            up to `ASKED` steps, and a checkpoint written.
        DivergenceError
            If loss or weights are not finite; the checkpoint is then an older one, or none.
        CheckpointError
            Before the first step, if the folder holds another run, which was not resumed.
        FolderError
            Before the first step, if nothing can be written to the folder or another process
            trains there; later, if a file cannot be written. What was done so far is then still
            here: `fit` goes on with it.
        LostProcessError
            If another process of the run has ended.
        """
        devices = [self.device] if self.device.type == "cuda" else []
        with (
            stop_flag() as stop,
            torch.random.fork_rng(devices),  # every step seeds torch's own generators
            self.files.claim(),
        ):
            if self.epoch < self.recipe.epochs or self._kept is None:
                self.files.begin(self._about(), self.device)
            for optimizer in self.optimizers:  # an error may have left a part of a batch
                optimizer.zero_grad(set_to_none=True)
            while self.epoch < self.recipe.epochs:
                self._train_epoch(stop)
                if self.processes.any(stop.is_set(), self.device):  # since the last step
                    self._interrupt()
            if self._kept != (self.epoch, self.step):  # the disk was full after the last epoch
                self._write()
            self.files.finish(self.trained, self.record, self.history, self._row())
            if self.processes.any(stop.is_set(), self.device):  # meanwhile
                self._interrupt()
        return self.history

    def _train_epoch(self, stop: threading.Event) -> None:
        self.model.train()
        count, first, stopped = self.processes.count, self.step, False
        with self._bar() as bar, self._under_way():
            for parts in self.task.batches(self._plan()):
                self._train_step(parts)
                bar.update()
                if self.step % 20 == 0 and not bar.disable:
                    # Of earlier steps, after which it stopped, this process has the sums of all.
                    seen = self.recipe.batch_size * (first + (self.step - first) / count)
                    bar.set_postfix(self._named((self.sums / seen).tolist()))
                if self.step % CHECKED == 0 and self.processes.any(
                    not self.sums[0].isfinite(), self.device
                ):
                    raise self._diverged("the loss is not finite")
                free = count == 1 or self.device.type == "cpu"  # to ask costs next to nothing
                asked = free or self.step % ASKED == 0 or self.step == self.steps
                if asked and self.processes.any(stop.is_set(), self.device):
                    stopped = True
                    break
        if stopped:
            self._interrupt()
        self._end_epoch()

    @contextmanager
    def _under_way(self) -> Iterator[None]:
        """A context of steps: their time is counted, and an error costs none of those before it."""
        began = time.perf_counter()
        try:
            yield
            self._synchronize()
        except DivergenceError:
            raise
        except Exception:  # a damaged picture, say
            self.seconds += time.perf_counter() - began
            if self.processes.count == 1:  # of several, the others are in the middle of a step
                with suppress(Exception):  # the first error is the one to tell
                    self.save()
            raise
        self.seconds += time.perf_counter() - began

    def _plan(self) -> Iterator[Step]:
        """The steps of the epoch that are still to be taken."""
        r = self.recipe
        order = torch.randperm(self.task.size, generator=generator(r.seed, self.epoch))
        parts = self.processes.share(r.batch_size, r.accumulate)
        batches = order.split(r.batch_size)
        for step, indices in enumerate(islice(batches, self.step, self.steps), self.step):
            yield Step(indices, self.epoch, step, parts)

    def _train_step(self, parts: Iterator[Any]) -> None:
        r = self.recipe
        factor = r.rate((self.epoch * self.steps + self.step) / (r.epochs * self.steps))
        for optimizer, rates in zip(self.optimizers, self.base_rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        # For a sigma that draws, such as dropout: another stream for each process.
        torch.manual_seed(hashed(r.seed, self.epoch, self.step, -1 - self.processes.rank))
        sums = torch.zeros_like(self.sums)
        for k, batch in enumerate(parts):
            waits = self.processes.count > 1 and k + 1 < r.accumulate
            with self.parallel.no_sync() if waits else nullcontext(), peers():
                measured = self.task.loss(self._call, batch)
                self.scaler.scale(measured["loss"] / r.accumulate).backward()
            values = torch.stack([measured[name].detach() for name in self.task.measures])
            share = r.batch_size // (r.accumulate * self.processes.count)
            sums += values.to(sums.dtype) * share
        self._update()
        self.sums += sums
        self.step += 1

    def _update(self) -> None:
        """Move the weights by their gradients."""
        if self.recipe.clip:
            for optimizer in self.optimizers:
                self.scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
        self.scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.model)

    def _call(self, *inputs: Tensor) -> Tensor:
        """The model in the precision of the run, its result in that of the weights."""
        with autocast(self.recipe, self.device):
            return self.forward(*inputs).to(self.dtype)

    def _end_epoch(self) -> None:
        """Measure, check, log and save."""
        seen = self.steps * self.recipe.batch_size
        train = self._named((self._gather_sums() / seen).tolist())
        if not math.isfinite(train["loss"]):
            raise self._diverged(f"the loss is {train['loss']}")
        self._check_weights()
        if self.seconds > LONG:
            self._write()
        try:
            test = self.evaluate()
        except BaseException:  # a damaged picture: the steps of the epoch are not lost for that
            with suppress(Exception):  # the first error is the one to tell
                self._write()
            raise
        if not math.isfinite(test["loss"]):
            raise self._diverged(f"the test loss is {test['loss']}")
        row = replace(
            self._row(), train=train, test=test, seconds=self.seconds,
            examples_per_second=seen / self.seconds,
        )  # fmt: skip
        self.history.append(row)
        self.epoch, self.step, self.seconds = self.epoch + 1, 0, 0.0
        self.sums.zero_()
        self._write()
        self.files.show(row)
        if self.on_epoch is not None and self.processes.first:
            self.on_epoch(row)

    def evaluate(self) -> dict[str, float]:
        """Means over the test examples of what the task measures.

        Returns
        -------
        dict
            "loss", and "accuracy" in [0, 1] or what else the task measures.
        """

        def test(*where: Any) -> tuple[list[dict[str, float]], int]:
            sums, count = self.task.test(*where)
            return [sums], count

        return self._means(test)[0]

    def evaluate_views(self, *views: Mapping[str, Any]) -> list[dict[str, float]]:
        """What `evaluate` gives a classifier whose scores are averages, reading examples once.

        Parameters
        ----------
        *views : dict
            Each with `flip` and `shift` as in :meth:`mgnet.Classifier.scores`.

        Raises
        ------
        ValueError
            If the task has no labelled examples.
        """
        if not isinstance(self.task, Labelled):
            raise ValueError(f"a {type(self.task).__name__} has no scores to average")
        return self._means(partial(self.task.test_views, views=views))

    def _means(
        self, test: Callable[..., tuple[list[dict[str, float]], int]]
    ) -> list[dict[str, float]]:
        """Means of all processes from what `test` adds up in each."""
        self.processes.agree(self.trained)
        self.trained.eval()
        with torch.no_grad(), autocast(self.recipe, self.device), self.processes.alike():
            sums, count = test(self.trained, lambda size: self.processes.share(size)[0])
        rows = [[*(one[name] for name in self.task.measures), count] for one in sums]
        numbers = torch.tensor(rows, dtype=torch.float64)
        if self.processes.count > 1:  # NCCL adds on GPUs only; alone it may be one without float64
            numbers = numbers.to(self.device)
        added = self.processes.add(numbers).tolist()
        return [self._named([total / count for total in totals]) for *totals, count in added]

    def _row(self) -> Epoch:
        """The row of the epoch under way, nothing measured yet."""
        blank = self._named([0.0] * len(self.task.measures))
        watched = {
            f"{name}.{key}": value
            for name, module in self.model.named_modules()
            if hasattr(module, "watched")
            for key, value in module.watched().items()
        }
        return Epoch(self.epoch + 1, blank, blank, 0.0, 0.0, watched)

    def _named(self, numbers: list[float]) -> dict[str, float]:
        return dict(zip(self.task.measures, numbers, strict=True))

    def _bar(self) -> Any:
        return tqdm(
            total=self.steps, initial=self.step, unit="step", leave=False,
            desc=f"epoch {self.epoch + 1}/{self.recipe.epochs}",
            disable=None if self.progress else True,
        )  # fmt: skip

    # --- files ----------------------------------------------------------------------------------

    def save(self) -> None:
        """Write checkpoint and log, each whole or not at all; nothing without a folder.

        Raises
        ------
        DivergenceError, CheckpointError, FolderError
            As `fit` does; nothing is written then.
        """
        if (name := non_finite(self._content())) is not None:
            raise self._diverged(f"{name} is not finite")
        self._write()

    def _write(self) -> None:
        """Save what has been checked."""
        self.files.save(self._content(), self.history, self._row())
        self._kept = self.epoch, self.step

    def _about(self) -> dict[str, Any]:
        """The configuration of the run."""
        return {
            "data": self.task.name, "record": self.record, "recipe": asdict(self.recipe),
            "processes": self.processes.count, "compiled": self.forward is not self.parallel,
        }  # fmt: skip

    def resume(self, path: str | os.PathLike[str] | Checkpoint) -> Recipe:
        """Take up a run where its checkpoint left it, with this recipe's rates and epochs.

        With those of the checkpoint, too, the run goes on as if it had not stopped, on a CPU
        exactly so. With more epochs a run goes on that was finished, its rates as the schedule has
        them at that part of the longer run.

        Parameters
        ----------
        path : path or Checkpoint
            A checkpoint, or the folder that holds one, or what was read of it.

        Returns
        -------
        Recipe
            The one of the run until now.

        Raises
        ------
        CheckpointError
            If there is none, it is damaged, or it is of another model, data set or recipe, rates
            and epochs aside. Nothing has changed then.
        """
        path, saved = checkpoint = read_checkpoint(path)
        # Everything is compared before anything is loaded.
        buffers = [momenta(o) for o in self.optimizers]
        here = self._content()
        here["recipe"] = _left_open(self.asked, here["recipe"], saved["recipe"])
        scaler = self._scaler(here["recipe"]["precision"])
        here["scaler"] = scaler.state_dict()
        compare_checkpoint(path, saved, here, buffers, asdict(self._row()), self.steps)
        before = saved_recipe(checkpoint)
        if here["recipe"] != asdict(self.recipe):
            self._decide(Recipe(**here["recipe"]))
        self.model.load_state_dict(saved["model"])
        if self.average is not None:
            self.average.module.load_state_dict(saved["average"])
            self.average.n_averaged.fill_(saved["epoch"] * self.steps + saved["step"])
        for optimizer, there in zip(self.optimizers, saved["optimizers"], strict=True):
            groups = optimizer.state_dict()["param_groups"]  # these follow from the recipe
            state = deepcopy(there["state"])  # torch would go on in the very tensors
            optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.scaler = scaler
        self.scaler.load_state_dict(saved["scaler"])
        self.epoch, self.step, self.seconds = saved["epoch"], saved["step"], saved["seconds"]
        # The first process has the sums of all.
        self.sums = saved["sums"].to(self.device) * self.processes.first
        self.history = [Epoch(**row) for row in saved["history"]]
        self.files.checksum = saved["checksum"]
        if path == self.files.checkpoint:
            self._kept = self.epoch, self.step
        return before

    def _content(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "model": self.model.state_dict(),
            "average": {} if self.average is None else self.average.module.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "scaler": self.scaler.state_dict(),
            "recipe": asdict(self.recipe), "record": self.record, "identity": self.identity,
            "epoch": self.epoch, "step": self.step, "sums": self.sums, "seconds": self.seconds,
            "history": [asdict(row) for row in self.history],
        }  # fmt: skip

    def _record(self) -> dict[str, Any]:
        """From what the model is built again; nothing if that cannot be said."""
        if not isinstance(self.model, Classifier):
            return {}
        try:
            return self.model.record()
        except ValueError as error:  # a network of the caller's own
            if self.folder and self.processes.first:  # said now rather than when it is to be loaded
                text = f"mgnet.load will not read what this run writes: {error}"
                warnings.warn(text, UserWarning, stacklevel=3)
            return {}

    def _check_weights(self) -> None:
        """Raise in all processes where one has a number that is not finite."""
        name = non_finite(self._content())
        if self.processes.any(name is not None, self.device):
            raise self._diverged(f"{name or 'a number of another process'} is not finite")

    def _diverged(self, what: str) -> DivergenceError:
        rates = f"sgd_lr {self.recipe.sgd_lr:g}"
        if len(self.optimizers) > 1:  # there is a Muon
            rates = f"lr {self.recipe.lr:g}, {rates}"
        advice = f"{what} in epoch {self.epoch + 1}: lower the learning rates ({rates})"
        checkpoint = self.files.checkpoint
        if checkpoint is None or not checkpoint.exists():
            return DivergenceError(f"{advice}; there is no checkpoint yet to resume from")
        return DivergenceError(f"{advice} and resume from {checkpoint}, the last good checkpoint")

    def _interrupt(self) -> None:
        where = f"in epoch {self.epoch + 1}, after step {self.step} of {self.steps}"
        if self.epoch == self.recipe.epochs:
            where = "after the last epoch"
        if self.folder is None:
            raise Interrupted(f"interrupted {where}; nothing was saved, as no folder was given")
        self.processes.agree(self.model)
        self._gather_sums()
        self._check_weights()
        with self.processes.alike():
            self._write()
        raise Interrupted(f"interrupted {where}; saved in {self.files.checkpoint}")

    def _gather_sums(self) -> Tensor:
        """The sums of all processes, which the first one has from now on, zeros the others."""
        total = self.processes.add(self.sums)
        self.sums = total * self.processes.first
        return total

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _check_types(model: Any, data: Any, recipe: Any) -> None:
    for name, value, kinds in (
        ("model", model, (nn.Module,)),
        ("data", data, (PictureSet, Task)),
        ("recipe", recipe, (Recipe,)),
    ):
        if not isinstance(value, kinds):
            known = " or a ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"{name} must be a {known}, got {type(value).__name__}")


def _left_open(asked: Recipe, decided: dict[str, Any], saved: dict[str, Any]) -> dict[str, Any]:
    """The recipe where what was asked to be decided is as the saved one has it."""
    same = {n: saved[n] for n in ("precision", "layout") if getattr(asked, n) == "auto"}
    if same.get("precision") == "float64":  # which is never decided, but asked for
        del same["precision"]
    return decided | same


def saved_recipe(path: str | os.PathLike[str] | Checkpoint) -> Recipe:
    """The recipe of the run that wrote a checkpoint, or the one in a folder.

    Raises
    ------
    CheckpointError
        If there is none, or the recipe is not one of this version.
    """
    path, saved = read_checkpoint(path)
    if unknown := set(saved["recipe"]) - set(asdict(Recipe())):
        name = min(map(str, unknown))
        raise CheckpointError(f"{path} has a recipe of another version: {name} is unknown")
    try:
        return Recipe(**saved["recipe"])
    except ValueError as error:
        raise CheckpointError(f"{path} has a recipe that cannot be: {error}") from None
