"""Pictures in class folders, too many for memory: decoded by workers while they are trained on."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import tee
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mgnet import gate
from mgnet.augment import Augmentation, Mixture
from mgnet.decoding import SUFFIXES, centre_box, pillow, random_box, read_picture
from mgnet.pictures import split
from mgnet.recipe import Recipe
from mgnet.seeds import generator, hashed
from mgnet.tasks import Labelled, Step

__all__ = ["FolderClassification", "lost_worker"]

TRAIN = ("train", "training")
TEST = ("val", "validation", "valid", "test")

#: Stream of the crops' draws; those of mgnet.augment are 1 to 3.
_CROP = 4

#: Test pictures are cut out of the middle after the shorter side was made 256 pixels for 224.
MIDDLE = 224 / 256

#: A thousand pictures tell mean and deviation of a channel to a few hundredths of the latter.
SAMPLE = 1000


class _Job(NamedTuple):
    """Pictures to decode: by random crops of this (seed, epoch), or their middle."""

    numbers: list[int]
    draws: tuple[int, int] | None


class _Files(Dataset):
    """Decodes pictures, in a worker or here. Tells errors as text: a worker's have a traceback."""

    def __init__(self, folder: Path, names: list[str], size: int, smallest: float):
        self.folder, self.size, self.smallest = folder, size, smallest
        # One array: of a list, each worker would in time have a copy, as it counts references.
        self.names = np.array([os.fsencode(name) for name in names])

    def __getitem__(self, job: _Job) -> Tensor | str:
        pictures = torch.empty(len(job.numbers), 3, self.size, self.size, dtype=torch.uint8)
        for picture, number in zip(pictures, job.numbers, strict=True):
            path = self.folder / os.fsdecode(self.names[number])
            box: Callable[[int, int], Any] = partial(centre_box, part=MIDDLE)
            if job.draws is not None:
                key = hashed(*job.draws, number, _CROP)
                numbers = np.random.default_rng(key)
                box = partial(random_box, smallest=self.smallest, numbers=numbers)
            try:
                picture.copy_(read_picture(path, self.size, box))
            except ValueError as error:  # without the file, the pictures are others, see `name`
                return f"{error} (to resume, a picture of that name has to be there)"
        return pictures


class FolderClassification(Labelled):
    """Labelled pictures in one folder for each class, as ImageNet has them.

    DIR/train/CLASS/NAME.jpg and DIR/val/CLASS/NAME.jpg, where "train" may be "training", and "val"
    "valid", "validation" or "test"; or DIR/CLASS/NAME.jpg, of which a part is set aside. Files of
    other kinds are left out, and classes are numbered in the order of their names.

    Training pictures are random crops (:func:`mgnet.decoding.random_box`), then changed as the
    recipe says; of test pictures, the middle is taken: 7/8 of the shorter side. Which crop an
    example gives depends on seed, epoch and its number, not on the number of workers.

    Parameters
    ----------
    folder : path
    size : int
        Pixels a side.
    smallest_crop : float
        Least part of a picture's area in a crop.
    test_fraction : float
        What part of the pictures becomes the test set if there is none, the same of each class.
    seed : int
        Of that choice.
    workers : int
        Processes that decode; with 0 it is done between the steps.

    Raises
    ------
    ValueError
        If folders do not have this layout, a class has no pictures, there is one class only, a
        number cannot be, or Pillow is not installed.

    Notes
    -----
    With mixup and cutmix a process decodes the partners of its pictures, too, up to twice as many.
    """

    dim = 2
    middle = MIDDLE
    workers: int
    files: _Files
    labels: Tensor  # training, then test

    def __init__(
        self,
        folder: str | os.PathLike[str],
        size: int = 224,
        *,
        smallest_crop: float = 0.08,
        test_fraction: float = 0.2,
        seed: int = 0,
        workers: int = 0,
    ):
        pillow()
        gate.whole("size", size, 1)
        gate.whole("workers", workers, 0)
        gate.part("smallest_crop", smallest_crop)
        root = Path(folder)
        self.workers, self.device = int(workers), torch.device("cpu")
        self.classes, train, test = _found(root, test_fraction, seed)
        self.size, self.shape = len(train), (3, int(size), int(size))
        files = train + test
        self.files = _Files(root, [name for name, _ in files], int(size), float(smallest_crop))
        self.labels = torch.tensor([label for _, label in files])
        if len(self.classes) > 5:
            self.measures = ("loss", "accuracy", "top5")
        digest = hashlib.sha256()
        for part in (train, test):
            digest.update(b"\n".join(os.fsencode(name) for name, _ in part) + b"\n\n")
        self._statistics: tuple[Tensor, Tensor] | None = None
        self.name = (
            f"{root.resolve().name}, {len(train):,} + {len(test):,} pictures of "
            f"{len(self.classes)} classes, {size} x {size} pixels, crops from {smallest_crop:g} "
            f"on, files {digest.hexdigest()[:12]}"
        )

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each channel, of a sample of training pictures.

        ImageNet's would do for photographs, not for scans or pictures from a microscope.
        """
        if self._statistics is not None:
            return self._statistics
        counts = torch.zeros(3, 256, dtype=torch.float64)
        for pictures in self._decoded(self._sampled(SAMPLE)):
            for channel, count in zip(pictures.unbind(1), counts, strict=True):
                count += torch.bincount(channel.flatten(), minlength=256)
        counts /= counts.sum(1, keepdim=True)
        values = torch.arange(256, dtype=torch.float64)
        mean = counts @ values
        variance = (counts * (values - mean[:, None]) ** 2).sum(1)
        self._statistics = mean.float(), variance.sqrt().float()
        return self._statistics

    def sample(self, count: int) -> Tensor:
        """The middle of random ones, always the same."""
        return torch.cat(list(self._decoded(self._sampled(count))))

    def _sampled(self, count: int) -> Iterator[_Job]:
        chosen = torch.randperm(self.size, generator=generator(0))[:count].sort().values
        return (_Job(numbers.tolist(), None) for numbers in chosen.split(50))

    # --- training -------------------------------------------------------------------------------

    def prepare(self, recipe: Recipe, device: torch.device, layout: torch.memory_format) -> None:
        """Get ready; nothing is decoded yet, but what the recipe's cutout needs to be grey."""
        self.recipe, self.device, self.layout = recipe, device, layout
        shape = torch.empty(self.size, *self.shape, dtype=torch.uint8, device="meta")
        self.augmentation = Augmentation(shape, recipe, self.blank())

    def batch(self, step: Step, part: slice) -> tuple[Mixture, Tensor, Tensor]:
        """Augmented examples and their two labels, equal unless they are mixtures."""
        return self._augmented(step, part, _good(self.files[self._job(step, part)]))

    def batches(self, steps: Iterable[Step]) -> Iterator[Iterator[Any]]:
        """For each step its parts; workers are some parts ahead."""
        steps, ahead = tee(steps)
        decoded = self._decoded(self._job(step, part) for step in ahead for part in step.parts)
        for step in steps:
            yield self._parts(step, decoded)

    def _parts(self, step: Step, decoded: Iterator[Tensor]) -> Iterator[Any]:
        for part in step.parts:
            yield self._augmented(step, part, next(decoded))

    def _rows(self, step: Step, part: slice) -> Tensor:
        return self.augmentation.rows(step.indices, step.epoch, step.step, part)

    def _job(self, step: Step, part: slice) -> _Job:
        numbers = step.indices[self._rows(step, part)].tolist()
        return _Job(numbers, (self.recipe.seed, step.epoch))

    def _augmented(
        self, step: Step, part: slice, pictures: Tensor
    ) -> tuple[Mixture, Tensor, Tensor]:
        pictures = pictures.to(self.device, non_blocking=True)
        rows = self._rows(step, part)

        def read(wanted: Tensor) -> Tensor:
            return pictures[torch.searchsorted(rows, wanted).to(self.device)]

        return self.labelled(self.augmentation(step.indices, step.epoch, step.step, part, read))

    def tests(self, part: Callable[[int], slice]) -> Iterator[tuple[Tensor, Tensor]]:
        """The middle of the test pictures, in batches of the size that is trained with."""
        numbers = torch.arange(self.size, len(self.labels))
        mine = numbers[part(len(numbers))].split(self.recipe.batch_size // self.recipe.accumulate)
        jobs = (_Job(some.tolist(), None) for some in mine if len(some))
        for some, pictures in zip(mine, self._decoded(jobs), strict=False):
            yield pictures, self.labels[some]

    def _decoded(self, jobs: Iterable[_Job]) -> Iterator[Tensor]:
        """The pictures of each job, in order."""
        loader = DataLoader(
            self.files,
            sampler=jobs,
            batch_size=None,
            num_workers=self.workers,
            worker_init_fn=_leave_signals,
            pin_memory=self.device.type == "cuda",
            # It draws a number; from torch's stream, dropout in a resumed step would be another.
            generator=torch.Generator(),
        )
        try:
            for pictures in loader:
                yield _good(pictures)
        except RuntimeError as error:
            if (lost := lost_worker(error)) is None:
                raise
            raise lost from error


def _good(pictures: Tensor | str) -> Tensor:
    """The pictures, or the error that came in their place."""
    if isinstance(pictures, str):
        raise ValueError(pictures)
    return pictures


def _leave_signals(worker: int) -> None:
    """Leave signals that go to a whole group of processes to the one that trains, which saves."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def lost_worker(error: Exception) -> OSError | None:
    """What torch's error says and what helps, if it is that a process which decodes has ended."""
    text = str(error)
    if not text.startswith("DataLoader worker"):
        return None
    return OSError(
        f"a process that decodes pictures has ended ({text.splitlines()[0]}): take fewer workers "
        "or smaller batches, as memory or shared memory may be full"
    )


# --- the files ------------------------------------------------------------------------------------

_Names = list[tuple[str, int]]  # paths within the folder, with labels


def _found(root: Path, fraction: float, seed: int) -> tuple[tuple[str, ...], _Names, _Names]:
    """Classes, training and test files."""
    if not root.is_dir():
        raise ValueError(f"there is no folder {root}")
    train = next((name for name in TRAIN if _holds_classes(root / name)), None)
    if train is None:
        classes, files = _listed(root, "")
        labels = np.array([label for _, label in files])
        kept, aside = split(labels, classes, fraction, seed)
        return classes, [files[k] for k in kept], [files[k] for k in aside]
    test = next((name for name in TEST if _holds_classes(root / name)), None)
    if test is None:
        raise ValueError(
            f"{root} has {train} but none of {', '.join(TEST)} with folders of pictures: add one, "
            f"or name {root / train} to have a part of it set aside"
        )
    classes, files = _listed(root, train)
    others, tests = _listed(root, test)
    for name in sorted(set(classes) ^ set(others)):
        here, there = (test, train) if name in classes else (train, test)
        raise ValueError(f"class {name} is in {root / there} but not in {root / here}")
    return classes, files, tests


def _holds_classes(folder: Path) -> bool:
    """Whether there are folders of pictures in it: "train" may be a class, beside "car"."""
    return folder.is_dir() and any(
        any(_is_picture(name) for name in os.listdir(inside)) for inside in _folders(folder)
    )


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return sorted(Path(e) for e in entries if e.is_dir() and not e.name.startswith("."))


def _listed(root: Path, part: str) -> tuple[tuple[str, ...], _Names]:
    """The classes in a folder, and the pictures in their folders, both in order."""
    folder = root / part
    classes = [inside.name for inside in _folders(folder)]
    if len(classes) < 2:
        raise ValueError(
            f"{folder} must hold a folder of pictures for each of two classes or more, found "
            f"{', '.join(classes) or 'none'}"
        )
    files: _Names = []
    for label, name in enumerate(classes):
        with os.scandir(folder / name) as entries:
            pictures = sorted(e.name for e in entries if _is_picture(e.name))
        if not pictures:
            known = ", ".join(sorted(SUFFIXES))
            raise ValueError(f"{folder / name} holds no pictures ({known})")
        inside = f"{part}/{name}" if part else name
        files += [(f"{inside}/{picture}", label) for picture in pictures]
    return tuple(classes), files


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")
