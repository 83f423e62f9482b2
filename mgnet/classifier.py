"""A classifier as it is used: normalisation, network, names of the classes."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mgnet import arrays, gate, record
from mgnet.augment import reflected
from mgnet.checkpoint import non_finite
from mgnet.weights import write_weights

__all__ = ["Classifier", "Normalise", "Prediction"]

_DTYPES = ("uint8", "float32")


class Normalise(nn.Module):
    """(x - mean) / std, channel by channel.

    Parameters
    ----------
    mean, std : Tensor
        (channels,) in the units of x: of a uint8 picture between 0 and 255. A channel that is the
        same everywhere, but for rounding, becomes zero.

    Raises
    ------
    ValueError
        If they are no floating-point tensors of one shape (channels,), a number is not finite or a
        deviation negative.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor):
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            if not isinstance(values, Tensor) or not values.is_floating_point() or values.ndim != 1:
                raise ValueError(
                    f"{name} must be a floating-point tensor of shape (channels,), got {values!r}"
                )
        if mean.shape != std.shape:
            raise ValueError(f"mean is of {len(mean)} channels and std of {len(std)}")
        if not (mean.isfinite().all() and std.isfinite().all() and (std >= 0).all()):
            raise ValueError(
                f"mean must be finite and std 0 or more, got {mean.tolist()} and {std.tolist()}"
            )
        self.register_buffer("mean", mean.clone())
        # A deviation below that is what rounding makes of a channel that does not vary.
        least = torch.finfo(std.dtype).eps * mean.abs()
        self.register_buffer("std", torch.where(std > least, std, 1))

    def forward(self, x: Tensor) -> Tensor:
        """`x` is ``(batch, channels, *grid)`` of any type; the result has that of the mean."""
        shape = (-1, *[1] * (x.ndim - 2))
        return (x.to(self.mean.dtype) - self.mean.view(shape)) / self.std.view(shape)


@dataclass(frozen=True)
class Prediction:
    """What a classifier sees in N examples.

    Attributes
    ----------
    labels : ndarray
        (N,) the most probable class of each.
    names : list of str
        Their names.
    probabilities : ndarray
        (N, classes), each row of sum 1.
    """

    labels: np.ndarray
    names: list[str]
    probabilities: np.ndarray

    def __repr__(self) -> str:
        some = [f"{n} {p:.0%}" for n, p in zip(self.names, self.probabilities.max(1), strict=True)]
        more = f", ... {len(some)} in all" if len(some) > 5 else ""
        return f"Prediction({', '.join(some[:5])}{more})"


class Classifier(nn.Module):
    """A network that takes examples as they are stored, uint8 pictures for instance.

    Parameters
    ----------
    network : Module
        Takes normalised ``(batch, channels, *grid)``, gives (batch, classes) scores.
    normalise : Normalise
    classes : sequence of str
        Names of the labels 0, 1, ...
    dtype : {"uint8", "float32"}
        Of the examples that it was trained on.
    shape : tuple of int, optional
        Of such an example, ``(channels, *grid)``; None where nobody has said.
    middle : float
        Of a picture file it is to be shown the square in the middle that has this part of the
        shorter side, as when it was tested.

    Raises
    ------
    ValueError
        If there is no class, or dtype or middle is another one.

    Examples
    --------
    >>> from mgnet import MgNet
    >>> picture = torch.randint(256, (3, 8, 8), dtype=torch.uint8)
    >>> gray = Normalise(torch.full((3,), 128.0), torch.full((3,), 64.0))
    >>> seer = Classifier(MgNet(3, 2, channels=4, steps=(1,)), gray, ["cat", "dog"])
    >>> seer.predict(picture).probabilities.shape
    (1, 2)
    """

    def __init__(
        self,
        network: nn.Module,
        normalise: Normalise,
        classes: Sequence[str],
        dtype: str = "uint8",
        shape: Sequence[int] | None = None,
        middle: float = 1.0,
    ):
        super().__init__()
        if dtype not in _DTYPES:
            raise ValueError(f"examples are {' or '.join(_DTYPES)}, got {dtype!r}")
        gate.part("middle", middle)
        self.network, self.normalise = network, normalise
        self.classes, self.dtype = gate.class_names(classes), dtype
        self.shape = None if shape is None else tuple(map(int, shape))
        self.middle = float(middle)

    @property
    def stem(self) -> nn.Module | None:
        """The network's, if it has one."""
        return getattr(self.network, "stem", None)

    def forward(self, examples: Tensor) -> Tensor:
        """Scores (batch, classes) of ``(batch, channels, *grid)``."""
        return self.network(self.normalise(examples))

    # --- use ------------------------------------------------------------------------------------

    def predict(self, examples: Tensor | np.ndarray, *, batch_size: int = 500) -> Prediction:
        """Labels, names and probabilities of examples.

        Parameters
        ----------
        examples : Tensor or ndarray
            ``(N, channels, *grid)`` or a single one without the first axis, of the type that the
            network was trained on. Its grid may be another one where the network can take that.
        batch_size : int
            How many are computed at once.

        Raises
        ------
        ValueError
            If the number of axes or channels is another one, or the type, or a number is not
            finite.
        """
        scores = self.scores(examples, batch_size=batch_size)
        exact = torch.promote_types(scores.dtype, torch.float32)  # NumPy has no bfloat16
        probabilities = scores.to(exact).softmax(1).cpu().numpy()
        labels = probabilities.argmax(1)
        return Prediction(labels, [self.classes[k] for k in labels], probabilities)

    def confusion(self, examples: Tensor | np.ndarray, labels: Tensor | np.ndarray) -> np.ndarray:
        """How often class i was taken for class j: entry (i, j) of a (classes, classes) matrix.

        Parameters
        ----------
        examples : Tensor or ndarray
            As for `predict`.
        labels : Tensor or ndarray
            (N,) whole numbers, places in `classes`.

        Returns
        -------
        ndarray
            int64, of sum N.

        Raises
        ------
        ValueError
            If labels are not places in `classes`, one for each example, or as in `predict`.
        """
        given = labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
        if given.size and given.dtype.kind not in "iub":
            raise ValueError(
                f"labels must be whole numbers, places in classes, got {given.dtype}: of names, "
                "take [model.classes.index(name) for name in names]"
            )
        given = given.astype(np.int64)
        seen = self.predict(examples).labels
        if given.shape != seen.shape:
            raise ValueError(f"{len(seen)} examples need as many labels, got shape {given.shape}")
        if given.size and not 0 <= given.min() <= given.max() < len(self.classes):
            raise ValueError(f"labels must run from 0 to {len(self.classes) - 1}")
        count = len(self.classes)
        return np.bincount(count * given + seen, minlength=count**2).reshape(count, count)

    def features(self, examples: Tensor | np.ndarray) -> list[Tensor]:
        """What the network computes on every level, the finest first: u, for an MgNet.

        Parameters
        ----------
        examples : Tensor or ndarray
            As for `predict`; all are computed at once.

        Returns
        -------
        list of Tensor
            ``(N, channels[l], *grid of level l)``

        Raises
        ------
        ValueError
            If the network has no levels, or shape or type of the examples are others.
        """
        if not hasattr(self.network, "features"):
            raise ValueError(f"{type(self.network).__name__} has no levels to look at")
        examples = self._examples(examples).to(self.normalise.mean.device)
        with _evaluating(self), torch.no_grad():
            network: Any = self.network
            return network.features(self.normalise(examples))

    def scores(
        self,
        examples: Tensor | np.ndarray,
        *,
        flip: bool = False,
        shift: int = 0,
        batch_size: int = 500,
    ) -> Tensor:
        """Scores (N, classes) in evaluation mode, without gradients.

        Parameters
        ----------
        examples : Tensor or ndarray
            As for `predict`.
        flip : bool
            Average over both mirror images (along the last axis).
        shift : int
            Average over moves by -shift, 0 and shift pixels along all axes at once, what lies
            outside reflected.
        batch_size : int

        Raises
        ------
        ValueError
            As `predict` does, if `shift` is not smaller than the grid, or if the network gives
            another number of scores than there are classes.
        """
        gate.positive(batch_size=batch_size)
        gate.switch("flip", flip, "both mirror images", "the examples as they are")
        examples = self._examples(examples)
        gate.whole("shift", shift, 0, min(examples.shape[2:]))
        device = self.normalise.mean.device
        with _evaluating(self), torch.no_grad():
            parts = [
                self._averaged(_views(part.to(device), flip, shift))
                for part in examples.split(batch_size)
            ]
        return torch.cat(parts)

    def _averaged(self, views: list[Tensor]) -> Tensor:
        scores = [self(view).to(self.normalise.mean.dtype) for view in views]
        gate.scores(scores[0], len(self.classes))
        return torch.stack(scores).mean(0)

    def _examples(self, examples: Tensor | np.ndarray) -> Tensor:
        if isinstance(examples, Tensor):
            given = arrays.dense("examples", examples)
        else:
            try:  # torch takes no views that go backwards
                given = torch.as_tensor(np.require(examples, requirements=["C", "W"]))
            except (RuntimeError, TypeError, ValueError):
                kind = getattr(examples, "dtype", type(examples).__name__)
                raise ValueError(
                    f"examples must be a tensor or an array of numbers, got {kind}"
                ) from None
        if self.dtype == "uint8" and given.dtype != torch.uint8:
            raise ValueError(
                f"the network was trained on uint8 from 0 to 255, got {given.dtype}; multiply "
                "pictures in [0, 1] by 255 and round: (255 * x).round().to(torch.uint8)"
            )
        if self.dtype == "float32" and not given.dtype.is_floating_point:
            raise ValueError(f"the network was trained on floating point, got {given.dtype}")
        dim = getattr(self.network, "dim", 2) if self.shape is None else len(self.shape) - 1
        channels = len(self.normalise.mean)
        given = given[None] if given.ndim == dim + 1 else given
        if given.ndim != dim + 2 or given.shape[1] != channels:
            axes = ", ".join(["n"] * dim)
            raise ValueError(
                f"examples must be (N, {channels}, {axes}) or one ({channels}, {axes}), got "
                f"{tuple(given.shape)}"
            )
        if given.dtype.is_floating_point:
            bad = ~given.flatten(1).isfinite().all(1)
            if bad.any():
                raise ValueError(f"example {int(bad.nonzero()[0])} has a number that is not finite")
        return given

    # --- files ----------------------------------------------------------------------------------

    def record(self) -> dict[str, Any]:
        """What it is built from, in plain values that JSON can write.

        Raises
        ------
        ValueError
            If the network is not one of this package, or was given a sigma that has no name.
        """
        return {
            **record.describe(self.network),
            "classes": list(self.classes),
            "channels": len(self.normalise.mean),
            "dtype": self.dtype,
            "shape": None if self.shape is None else list(self.shape),
            "middle": self.middle,
        }

    @classmethod
    def from_record(cls, about: Mapping[str, Any]) -> Classifier:
        """The classifier that a record describes, untrained.

        Raises
        ------
        KeyError, RuntimeError, TypeError, ValueError
            If the record is not one that :meth:`record` has made.
        """
        channels = about["channels"]
        unit = Normalise(torch.zeros(channels), torch.ones(channels))
        network = record.rebuild({key: about[key] for key in ("network", "options")})
        # Files of before have no shape or middle.
        return cls(
            network, unit, about["classes"], about["dtype"], about.get("shape"),
            about.get("middle", 1),
        )  # fmt: skip

    def save(self, path: str | os.PathLike[str], *, half: bool = False) -> None:
        """Write weights and record to a safetensors file, which :func:`mgnet.load` reads.

        Parameters
        ----------
        path : path
        half : bool
            Write float16: half the size, and scores that differ in the third digit.

        Raises
        ------
        FolderError
            If the file cannot be written. What was at `path` stays.
        ValueError
            If a number does not fit into float16, or as `record` does.
        """
        about = self.record()
        if half:
            weights = copy.deepcopy(self).half().state_dict()
            # A deviation that becomes zero would be divided by.
            name = "normalise.std" if (weights["normalise.std"] == 0).any() else non_finite(weights)
            if name is not None:
                raise ValueError(f"{name} does not fit into float16: save without half=True")
        write_weights(path, self, about, half=half)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and back to the one before."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)


def _views(examples: Tensor, flip: bool, shift: int) -> list[Tensor]:
    """The examples, moved and mirrored."""
    views = [examples]
    for move in (-shift, shift) if shift else ():
        view = examples
        for axis, n in enumerate(examples.shape[2:], 2):
            i = torch.arange(n, device=examples.device) + move
            view = view.index_select(axis, reflected(i, n))
        views.append(view)
    return views + [view.flip(-1) for view in views] if flip else views
