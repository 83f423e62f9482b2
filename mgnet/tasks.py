"""What a network is trained for: how batches are made, what the loss is, what is measured.

The engine, :class:`mgnet.training.Trainer`, knows steps, rates, files and processes; all it asks a
task is in :class:`Task`.
"""

from __future__ import annotations

import hashlib
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgnet import gate
from mgnet.augment import Augmentation, Mixture
from mgnet.classifier import Classifier, Normalise
from mgnet.pictures import PictureSet
from mgnet.recipe import Recipe
from mgnet.seeds import generator
from mgnet.stem import Whitening

__all__ = ["Classification", "Labelled", "Step", "Task"]

#: So many examples tell the covariance of patches: each has hundreds of these.
ENOUGH = 5000


class Step(NamedTuple):
    """Where a step of a run stands, and what of its batch this process computes.

    Attributes
    ----------
    indices : Tensor
        (B,) numbers of the examples in the batch, of all processes together, on the CPU.
    epoch, step : int
        Counted from 0.
    parts : sequence of slice
        This process's shares of the batch, which it runs one after another.
    """

    indices: Tensor
    epoch: int
    step: int
    parts: Sequence[slice]


class Task(ABC):
    """What the engine asks of a task.

    Attributes
    ----------
    name : str
        Of the data.
    identity : str
        A checkpoint is resumed with data of the same identity only: the name, if nothing else.
    size : int
        Number of training examples.
    dim : int
        Axes of the grid: 1, 2 or 3.
    shape : tuple of int
        Of an example, ``(channels, *grid)``.
    classes : tuple of str
        Names of the labels; empty if there are none.
    measures : tuple of str
        What is measured, "loss" first.
    """

    name: str
    size: int
    dim: int
    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    measures: tuple[str, ...] = ("loss",)

    @property
    def identity(self) -> str:
        """What a checkpoint says of the data."""
        return self.name

    @abstractmethod
    def model(self, network: nn.Module) -> nn.Module:
        """The module that is trained, made of the caller's."""

    @abstractmethod
    def prepare(self, recipe: Recipe, device: torch.device, layout: torch.memory_format) -> None:
        """Get ready to make batches by `recipe`, on `device`, in the given layout.

        Raises
        ------
        ValueError
            If the recipe does not go with the data.
        """

    @abstractmethod
    def batch(self, step: Step, part: slice) -> Any:
        """The examples of one part of a batch: a function of `step`, part and seed alone."""

    def batches(self, steps: Iterable[Step]) -> Iterator[Iterator[Any]]:
        """For each step its parts, one after another. A task may read ahead."""
        for step in steps:
            yield (self.batch(step, part) for part in step.parts)

    @abstractmethod
    def loss(self, call: Callable[..., Tensor], batch: Any) -> dict[str, Tensor]:
        """Means of all `measures` over a part of a batch, the loss with its gradient.

        Parameters
        ----------
        call : callable
            The model, in the precision of the run.
        batch
            What `batch` returned.
        """

    @abstractmethod
    def test(self, model: nn.Module, part: Callable[[int], slice]) -> tuple[dict[str, float], int]:
        """Sums of all `measures` over test examples, and the number of these.

        Parameters
        ----------
        model : Module
            In evaluation mode and in the precision of the run.
        part : callable
            What this process does of so many test examples.
        """


class Labelled(Task):
    """Examples with one label each, trained by cross entropy; where they come from is left open.

    Attributes
    ----------
    dtype : {"uint8", "float32"}
        Of the examples.
    labels : Tensor
        (N,), on the CPU, those of the training examples first.
    middle : float
        What of a picture file is an example to test with, as for a classifier.
    """

    measures: tuple[str, ...] = ("loss", "accuracy")
    dtype = "uint8"
    middle = 1.0
    labels: Tensor
    recipe: Recipe
    device: torch.device
    layout: torch.memory_format

    @abstractmethod
    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each channel, in the units of the examples."""

    @abstractmethod
    def sample(self, count: int) -> Tensor:
        """As many training examples or fewer, unchanged."""

    @abstractmethod
    def tests(self, part: Callable[[int], slice]) -> Iterator[tuple[Tensor, Tensor]]:
        """This process's part of the test examples, and their labels."""

    def model(self, network: nn.Module) -> nn.Module:
        """The network as a :class:`mgnet.classifier.Classifier` of these classes.

        Raises
        ------
        ValueError
            If it is a classifier already, of other classes or for examples of another kind.
        """
        if isinstance(network, Classifier):
            self._check(network)
            network.middle = self.middle
            network.shape = self.shape
            return network
        normalise = Normalise(*self.statistics())
        classifier = Classifier(
            network, normalise, self.classes, self.dtype, self.shape, self.middle
        )
        for module in network.modules():
            if isinstance(module, Whitening):
                module.fit(self.sample(ENOUGH), classifier.normalise)
        return classifier

    def _check(self, classifier: Classifier) -> None:
        """Refuse to train a classifier further that means other things by its input and output."""
        channels = len(classifier.normalise.mean)
        for what, its, ours in (
            ("classes", classifier.classes, self.classes),
            ("type of the examples", classifier.dtype, self.dtype),
            ("channels", channels, self.shape[0]),
        ):
            if its != ours:
                raise ValueError(
                    f"{what}: {reprlib.repr(its)} for the classifier, {reprlib.repr(ours)} in the "
                    "data; give it data of its kind, or have a new classifier made by passing "
                    "classifier.network"
                )

    def blank(self) -> Tensor:
        """What cutout leaves, (channels,): the mean, which is zero behind the normalisation."""
        # Without cutout nobody asks for it, and finding the mean takes time.
        mean = self.statistics()[0] if self.recipe.cutout else torch.zeros(self.shape[0])
        return (mean.round().to(torch.uint8) if self.dtype == "uint8" else mean).to(self.device)

    def labelled(self, mixture: Mixture) -> tuple[Mixture, Tensor, Tensor]:
        """A part of a batch: examples in the layout of the run, and their two labels."""
        examples = mixture.examples.contiguous(memory_format=self.layout)
        first, second = (self.labels[i].to(self.device) for i in (mixture.first, mixture.second))
        return mixture._replace(examples=examples), first, second

    def loss(
        self, call: Callable[..., Tensor], batch: tuple[Mixture, Tensor, Tensor]
    ) -> dict[str, Tensor]:
        """Cross entropy with smoothed labels; accuracy on the larger share of a mixture."""
        mixture, first, second = batch
        scores = call(mixture.examples)
        gate.scores(scores, len(self.classes))
        smoothing = self.recipe.label_smoothing
        loss = F.cross_entropy(scores, first, label_smoothing=smoothing)
        if mixture.share < 1:
            other = F.cross_entropy(scores, second, label_smoothing=smoothing)
            loss = mixture.share * loss + (1 - mixture.share) * other
        labels = first if mixture.share >= 0.5 else second
        hits = self._hits(scores.detach(), labels)
        return {"loss": loss} | {name: hit.to(loss.dtype).mean() for name, hit in hits.items()}

    def test(self, model: Any, part: Callable[[int], slice]) -> tuple[dict[str, float], int]:
        """Sums of cross entropy and hits."""
        (sums,), count = self.test_views(model, part, [{}])
        return sums, count

    def test_views(
        self, model: Any, part: Callable[[int], slice], views: Sequence[Mapping[str, Any]]
    ) -> tuple[list[dict[str, float]], int]:
        """What `test` gives with scores that are averaged as in `Classifier.scores`.

        Every example is read once for all `views`.
        """
        # Without gradients a batch takes a fraction of the memory that it does in training.
        most = min(500, 4 * self.recipe.batch_size // self.recipe.accumulate)
        sums, count = [dict.fromkeys(self.measures, 0.0) for _ in views], 0
        for examples, labels in self.tests(part):
            labels = labels.to(self.device)
            for total, view in zip(sums, views, strict=True):
                scores = model.scores(examples, **view, batch_size=most)
                total["loss"] += F.cross_entropy(scores, labels, reduction="sum").item()
                for name, hit in self._hits(scores, labels).items():
                    total[name] += hit.sum().item()
            count += len(labels)
        return sums, count

    def _hits(self, scores: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Which examples are classified right, by each of the `measures` but the loss."""
        hits = {"accuracy": scores.argmax(1) == labels}
        if "top5" in self.measures:
            hits["top5"] = (scores.topk(5).indices == labels[:, None]).any(1)
        return hits


class Classification(Labelled):
    """Labelled series, pictures or volumes that fit into memory.

    The examples stay on the device as they are stored; what augments them runs there, too.

    Parameters
    ----------
    data : PictureSet
    """

    def __init__(self, data: PictureSet):
        self.data = data
        self.size = len(data.train_images)
        self.shape = tuple(data.train_images.shape[1:])
        self.dim = len(self.shape) - 1
        self.classes, self.labels = data.classes, data.train_labels.cpu()
        self.dtype = "uint8" if data.train_images.dtype == torch.uint8 else "float32"
        self.name = f"{data.name}, {self.size} examples"

    @property
    def identity(self) -> str:
        """The name, and a digest of classes, labels and examples."""
        content = hashlib.sha256(repr((self.classes, self.shape, self.dtype)).encode())
        data = self.data
        for tensor in (self.labels, data.train_images, data.test_labels, data.test_images):
            content.update(tensor.cpu().contiguous().numpy().data)
        return f"{self.name}, sha256 {content.hexdigest()[:16]}"

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each channel of all training examples."""
        mean, std = self.data.channel_statistics()
        return mean * self.data.scale, std * self.data.scale

    def sample(self, count: int) -> Tensor:
        """Random ones, always the same: a set may be sorted by class."""
        chosen = torch.randperm(self.size, generator=generator(0))[:count].sort().values
        return self.data.train_images[chosen.to(self.data.train_images.device)]

    def prepare(self, recipe: Recipe, device: torch.device, layout: torch.memory_format) -> None:
        """Move the examples to the device."""
        self.recipe, self.device, self.layout = recipe, device, layout
        images = self.data.train_images.to(device)
        self.augmentation = Augmentation(images, recipe, self.blank())

    def batch(self, step: Step, part: slice) -> tuple[Mixture, Tensor, Tensor]:
        """Augmented examples and their two labels, equal unless they are mixtures."""
        return self.labelled(self.augmentation(step.indices, step.epoch, step.step, part))

    def tests(self, part: Callable[[int], slice]) -> Iterator[tuple[Tensor, Tensor]]:
        """All at once; the classifier takes them in batches."""
        mine = part(len(self.data.test_images))
        if mine.start < mine.stop:
            yield self.data.test_images[mine], self.data.test_labels[mine]
