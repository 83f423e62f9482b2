"""The networks that the lecture names: how to build it, and what is published about it."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from mgnet.classic import AlexNet, LeNet5, LogisticRegression, OneHiddenLayer, PlainCNN
from mgnet.densenet import DenseNet
from mgnet.mgnet import MgNet
from mgnet.resnet import PreActResNet, ResNet

__all__ = ["LECTURE_SETS", "ZOO", "DataSet", "Network", "Result", "build", "hint", "network"]


@dataclass(frozen=True)
class DataSet:
    """Shape of a picture, channels first, and the number of classes."""

    picture: tuple[int, ...]
    classes: int


#: The data sets of the lecture, which does not say how long a pulse wave is: 1,024 is a choice.
LECTURE_SETS = {
    "MNIST": DataSet((1, 28, 28), 10),
    "CIFAR-10": DataSet((3, 32, 32), 10),
    "CIFAR-100": DataSet((3, 32, 32), 100),
    "ImageNet": DataSet((3, 224, 224), 1000),
    "pulse": DataSet((1, 1024), 2),
}


@dataclass(frozen=True)
class Result:
    """What is published about a network on one data set, and what we have measured.

    Attributes
    ----------
    data : str
        One of `LECTURE_SETS`.
    accuracy : str
        Test accuracy in per cent as printed, empty if none is.
    parameters : str
        Their number as printed, such as "8.2M" or "3,450"; empty if none is.
    note : str
        What has to be known about these numbers: why the count is another one than ours, or where
        they come from if not from the lecture.
    ours : str
        Test accuracy in per cent that we have reached, in the last epoch where there are epochs;
        empty if we have not trained it.
    command : str
        What has given that; docs/results.md says on which machine.
    """

    data: str
    accuracy: str = ""
    parameters: str = ""
    note: str = ""
    ours: str = ""
    command: str = ""

    def agrees(self, count: int) -> bool:
        """Whether `count`, rounded or cut off after the printed digits, is what is printed."""
        if not self.parameters:
            return True
        digits = self.parameters.removesuffix("M")
        if digits == self.parameters:
            return count == int(digits.replace(",", ""))
        unit = 10 ** (6 - len(digits.partition(".")[2]))
        return int(digits.replace(".", "")) in (count // unit, (count + unit // 2) // unit)


@dataclass(frozen=True)
class Network:
    """An entry of the zoo.

    Attributes
    ----------
    name, family : str
    structure : str
        In words.
    builder : callable
        Makes the network from `num_classes`, `in_channels` or the shape of a `picture`, and other
        options.
    data : str
        The data set that gives both unless the caller does.
    results : tuple of Result
    """

    name: str
    family: str
    structure: str
    builder: Callable[..., nn.Module]
    data: str
    results: tuple[Result, ...] = ()

    def build(
        self, num_classes: int | None = None, in_channels: int | None = None, **options: Any
    ) -> nn.Module:
        """Make the network, untrained, with other `options` than those of the entry.

        Raises
        ------
        ValueError
            For an option that the network does not have, or a value that it refuses.
        """
        data = LECTURE_SETS[self.data]
        c = data.picture[0] if in_channels is None else in_channels
        classes = data.classes if num_classes is None else num_classes
        return self.build_for((c, *data.picture[1:]), classes, **options)

    def build_for(self, shape: Sequence[int], num_classes: int, **options: Any) -> nn.Module:
        """Make the network for examples of a shape, ``(channels, *grid)``; else as `build`."""
        known = inspect.signature(self.builder).parameters
        if unknown := [option for option in options if option not in known]:
            raise ValueError(
                f"{self.name} has no option {', '.join(unknown)}; it knows {', '.join(known)}"
            )
        follows = {
            "num_classes": num_classes, "in_channels": shape[0],
            "picture": tuple(shape), "dim": len(shape) - 1,
        }  # fmt: skip
        given = {name: value for name, value in follows.items() if name in known}
        return self.builder(**(given | options))


def build(
    name: str, num_classes: int | None = None, in_channels: int | None = None, **options: Any
) -> nn.Module:
    """Make a network of the zoo, untrained.

    Parameters
    ----------
    name : str
        ``python -m mgnet`` lists the names.
    num_classes, in_channels : int, optional
        By default those of the data set that the network is listed with.
    **options
        What else the network's class takes, in place of what the entry says.

    Raises
    ------
    ValueError
        For an unknown name or option, one of :data:`mgnet.baselines.BASELINES`, or a value that
        the network refuses.

    Examples
    --------
    >>> model = build("mgnet-64", num_classes=100)
    >>> sum(p.numel() for p in model.parameters())
    527268
    >>> build("resnet18-A", channels=(16, 32, 64, 128)).head.in_features
    128
    """
    return network(name).build(num_classes, in_channels, **options)


def network(name: str) -> Network:
    """The entry with this name; ValueError with the nearest names if there is none."""
    if isinstance(name, str) and name in ZOO:
        return ZOO[name]
    from mgnet.baselines import BASELINES  # needs this module, and half a second for scikit-learn

    if isinstance(name, str) and name in BASELINES:
        raise ValueError(
            f"{name} is a model of scikit-learn, no network: "
            f"mgnet.baselines.evaluate({name!r}, data) measures it, "
            f"mgnet.baselines.baseline({name!r}).pipeline(N) makes it for N examples"
        )
    names = [*ZOO, *BASELINES]
    raise ValueError(f"unknown network {name!r}; {hint(name, names)}`python -m mgnet` lists all")


def hint(name: Any, names: Iterable[str]) -> str:
    """Those of the names that `name` may stand for, as a part of a message."""
    spelled = {known.lower(): known for known in names}
    found = difflib.get_close_matches(str(name).lower(), spelled, n=3, cutoff=0.4)
    return f"near are {', '.join(spelled[word] for word in found)}; " if found else ""


# --- the entries ------------------------------------------------------------------------------

WIDTHS = (64, 128, 256, 512)


def _classic() -> list[Network]:
    return [
        Network(
            "logistic-regression", "linear", "W f + b on 28 x 28 pixels", LogisticRegression,
            "MNIST", (Result("MNIST", "92.56"),),
        ),
        Network(
            "one-hidden-layer", "fully connected", "1000 neurons on 28 x 28 pixels",
            OneHiddenLayer, "MNIST",
            (Result(
                "MNIST", "98.75", ours="98.29",
                command="python examples/reproduce.py --data DIR --tables mnist --compile",
            ),),
        ),
        Network(
            "lenet-5", "CNN", "common variant: full convolutions, average pooling, tanh", LeNet5,
            "MNIST",
            (Result(
                "MNIST", ours="99.18",
                command="python examples/reproduce.py --data DIR --tables mnist --compile",
            ),),
        ),
        Network("alexnet", "CNN", "one-GPU variant of 2014", AlexNet, "ImageNet"),
        Network(
            "alexnet-small", "CNN", "one-GPU variant, for 32 x 32 pixels",
            partial(AlexNet, stem="small"), "CIFAR-10",
        ),
        Network(
            "plain-cnn", "CNN", "eqs. 13, 14: [2,2,2,2], [64,128,256,512]", PlainCNN, "CIFAR-10",
        ),
        Network(
            "densenet-bc-100", "DenseNet", "growth 12, [16,16,16]", DenseNet, "CIFAR-10",
            (
                Result("CIFAR-10", "95.46", "0.77M", "not of the lecture: a peer"),
                Result("CIFAR-100", "77.12", "", "not of the lecture: a peer"),
            ),
        ),
    ]  # fmt: skip


_KINDS: dict[str, tuple[Callable[..., nn.Module], str, tuple[int, ...]]] = {
    "resnet18": (ResNet, "ResNet", (2, 2, 2, 2)),
    "preact-resnet18": (PreActResNet, "pre-act ResNet", (2, 2, 2, 2)),
    "resnet34": (ResNet, "ResNet", (3, 4, 6, 3)),
    "preact-resnet34": (PreActResNet, "pre-act ResNet", (3, 4, 6, 3)),
}

#: Accuracies on CIFAR-10 and CIFAR-100 and the count, by the kernels that a stage shares.
_TABLE = {
    "resnet18": {"": "94.22 76.08 11M", "A": "94.34 76.32 8.1M",
                 "B": "93.95 74.23 9.7M", "AB": "93.30 74.85 6.6M"},
    "preact-resnet18": {"": "94.31 76.33 11M", "A": "94.54 76.43 8.1M",
                        "B": "93.96 74.45 9.7M", "AB": "93.63 74.46 6.6M"},
    "resnet34": {"": "94.43 76.31 21M", "A": "94.78 76.44 13M",
                 "B": "93.98 74.48 15M", "AB": "93.55 74.46 6.7M"},
    "preact-resnet34": {"": "94.70 77.38 21M", "A": "94.91 77.41 13M",
                        "B": "94.08 75.32 15M", "AB": "94.01 74.12 6.7M"},
}  # fmt: skip

_DEEPER = "that of pre-act ResNet-1001 (10.2M), by the authors' own README"
_HUNDRED = "the count is that with 100 classes"
_HEADLESS = "11.2M without the head of 1000 classes"
_ON_IMAGENET = (Result("ImageNet", "72.12", "11.2M", _HEADLESS),)
_OTHER_TABLES = {
    "resnet18": (
        Result("CIFAR-10", "95.28", "11.2M", "from another paper"),
        Result("CIFAR-100", "77.54", "11.2M", "from another paper"),
        Result("CIFAR-10", "94.64", "11.2M", "beside hat networks"),
        Result("CIFAR-100", "76.21", "11.2M", "beside hat networks"),
    ),
    "preact-resnet18": (
        Result("CIFAR-10", "95.08", "10.2M", _DEEPER),
        Result("CIFAR-100", "77.29", "11.2M", _DEEPER),
    ),
}


def _resnets() -> list[Network]:
    words = {
        "": "A and B for each block", "A": "A shared by a stage, B for each block",
        "B": "A for each block, B shared by a stage", "AB": "A and B shared by a stage",
    }  # fmt: skip
    small, large = [], []
    for base, rows in _TABLE.items():
        kind, family, steps = _KINDS[base]
        for shared, row in rows.items():
            ten, hundred, count = row.split()
            builder = partial(kind, steps=steps, share_A="A" in shared, share_B="B" in shared)
            note = _HUNDRED if "B" in shared else ""  # elsewhere the head is below the last digit
            results = (Result("CIFAR-10", ten, count, note), Result("CIFAR-100", hundred, count))
            more = () if shared else _OTHER_TABLES.get(base, ())
            name = f"{base}-{shared}" if shared else base
            structure = f"{_brackets(steps)}, {words[shared]}"
            small.append(Network(name, family, structure, builder, "CIFAR-10", results + more))
            # Kernels that are shared are published on small pictures only.
            imagenet = _ON_IMAGENET if name == "resnet18" else ()
            builder = partial(builder, stem="large")
            structure += ", large stem"
            large.append(
                Network(f"{name}-imagenet", family, structure, builder, "ImageNet", imagenet)
            )
    return small + large


def _brackets(numbers: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, numbers))}]"


_UNKNOWN = "cannot be reconciled: the published network is not described"
_OURS = "channels not published; ours are those for ImageNet"
_ELSEWHERE = "iteration known from other implementations; nothing is published"
_COURSE = "from a course at Penn State, 2022"


def _mgnet(name: str, structure: str, *results: Result, **options: Any) -> Network:
    family = "hat MgNet" if "sigma" in options else "MgNet"
    builder = partial(MgNet, **options)
    return Network(name, family, structure, builder, results[0].data, results)


def _mgnets() -> list[Network]:
    shared, own = "A and B shared", "A shared, B for each iteration"
    return [
        _mgnet(
            "mgnet-256", f"[2,2,2,2], 256, {shared}",
            Result("CIFAR-10", "96.00", "8.2M"), Result("CIFAR-100", "79.94", "8.3M"),
            channels=256,
        ),
        _mgnet(
            "mgnet-512", f"[2,2,2,2], 512, {shared}", Result("CIFAR-100", "81.35", "33.1M"),
            channels=512,
        ),
        _mgnet(
            "mgnet-1024", f"[2,2,2,2], 1024, {shared}", Result("CIFAR-100", "82.46", "132.2M"),
            channels=1024,
        ),
        _mgnet(
            "mgnet-imagenet", f"[2,2,2,2], [64,128,256,512], {own}, large stem",
            Result("ImageNet", "73.36", "13.0M"),
            channels=WIDTHS, share_B=False, stem="large",
        ),
        _mgnet(
            "mgnet-imagenet-wide", f"[3,4,6,3], [128,256,512,1024], {own}, large stem",
            Result("ImageNet", "78.59", "71.3M"),
            channels=(128, 256, 512, 1024), steps=(3, 4, 6, 3), share_B=False, stem="large",
        ),
        _mgnet(
            "mgnet-64-short", "[1,1,1,1], 64", Result("CIFAR-10", "", "520,394", _COURSE),
            channels=64, steps=(1, 1, 1, 1),
        ),
        _mgnet(
            "mgnet-64", f"[2,2,2,2], 64, {shared}", Result("CIFAR-10", "", "521,418", _COURSE),
            channels=64,
        ),
        _mgnet(
            "mgnet-64-own-B", f"[2,2,2,2], 64, {own}",
            Result("CIFAR-10", "", "668,874", _COURSE),
            channels=64, share_B=False,
        ),
        *(
            _mgnet(
                f"mgnet-64-{iteration}", f"[2,2,2,2], 64, {shared}, {words}",
                Result("CIFAR-10", note=_ELSEWHERE),
                channels=64, iteration=iteration,
            )
            for iteration, words in (
                ("multistep", "each iterate a trained sum of all before"),
                ("chebyshev", "each iterate a trained sum of two before"),
            )
        ),
        _mgnet(
            "mgnet-pooled", f"[1,1,1], [64,256,256], {shared}, pooled R, no Pi, whitened stem",
            Result(
                "CIFAR-10", note="a network of our own; ours with GELU", ours="94.13",
                command="OMP_NUM_THREADS=1 torchrun --nproc-per-node=2 examples/train_cifar.py "
                "--compile --epochs 40 --cutout 8 --sigma gelu",
            ),
            channels=(64, 256, 256), steps=(1, 1, 1), stem="whitened", restriction="pooled",
            Pi=False, logit_scale=1 / 9,
        ),
        _mgnet(
            "mgnet-fast", f"[2,2,2], [64,128,256], {shared}, whitened stem",
            Result(
                "CIFAR-10", note="a network of our own, for an hour and a half", ours="92.36",
                command="python examples/train_cifar.py --network mgnet-fast --epochs 24 "
                "--cutout 8 --compile",
            ),
            channels=(64, 128, 256), steps=(2, 2, 2), stem="whitened",
        ),
        _mgnet(
            "mgnet-narrow", f"[2,2,2,2], [32,64,128,256], {shared}",
            Result(
                "CIFAR-10", note="a network of our own", ours="91.49",
                command="python examples/reproduce.py --data DIR --tables sizes --compile",
            ),
            channels=(32, 64, 128, 256),
        ),
        _mgnet(
            "mgnet-pulse", f"1D, [4,4,4,4,4], 8, {shared}, no Pi",
            Result("pulse", "84.68", "3,450", "structure found from the count"),
            channels=8, steps=(4, 4, 4, 4, 4), Pi=False, dim=1,
        ),
        Network(
            "resnet-pulse", "ResNet", "1D, [2,2,2,2], [16,32,64,128], A and B for each block",
            partial(ResNet, channels=(16, 32, 64, 128), dim=1), "pulse",
            (Result("pulse", "84.73", "232,642", _UNKNOWN),),
        ),
    ]  # fmt: skip


def _hat(*supports: float, trainable: bool = False) -> dict[str, Any]:
    """The options for Hat-[...], one support for each level."""
    trained = "-trained" if trainable else ""
    return {"sigma": [f"hat-{M}{trained}" for M in supports], "share_sigma": True}


def _hats() -> list[Network]:
    """What the two tables on the hat activation hold, ReLU beside it."""
    words = "[2,2,2,2], [64,128,256,512], A and B shared"
    up, down = (5, 10, 15, 20), (20, 15, 10, 5)
    supports = "supports not published; ours are [5,10,15,20]"
    return [
        _mgnet(
            "mgnet-shared", words,
            Result("CIFAR-10", "94.74", "3.1M", _UNKNOWN),
            Result("CIFAR-100", "77.07", "5.7M", _UNKNOWN),
            channels=WIDTHS,
        ),
        _mgnet(
            "mgnet-hat", f"{words}, Hat-[5,10,15,20]",
            Result("CIFAR-10", "93.23", "", _OURS),
            Result("CIFAR-100", "70.96", "", _OURS),
            Result("MNIST", "99.68", "", _OURS),
            Result("CIFAR-10", "94.95", "3.1M", f"{_UNKNOWN}, nor its supports"),
            Result("CIFAR-100", "77.54", "5.7M", f"{_UNKNOWN}, nor its supports"),
            channels=WIDTHS, **_hat(*up),
        ),
        _mgnet(
            "mgnet-hat-reversed", f"{words}, Hat-[20,15,10,5]",
            Result("CIFAR-10", "92.87", "", _OURS),
            Result("CIFAR-100", "70.56", "", _OURS),
            Result("MNIST", "99.64", "", _OURS),
            channels=WIDTHS, **_hat(*down),
        ),
        _mgnet(
            "mgnet-hat-trained", f"{words}, Hat-[5,10,15,20] trained",
            Result("CIFAR-10", "94.15", "", _OURS),
            Result("CIFAR-100", "72.24", "", _OURS),
            channels=WIDTHS, **_hat(*up, trainable=True),
        ),
        _mgnet(
            "mgnet-hat-trained-reversed", f"{words}, Hat-[20,15,10,5] trained",
            Result("CIFAR-10", "93.99", "", _OURS),
            Result("CIFAR-100", "72.18", "", _OURS),
            channels=WIDTHS, **_hat(*down, trainable=True),
        ),
        _mgnet(
            "mgnet-imagenet-shared", f"{words}, large stem", Result("ImageNet", "72.36", "9.9M"),
            channels=WIDTHS, stem="large",
        ),
        _mgnet(
            "mgnet-hat-imagenet", f"{words}, large stem, Hat-[10,20,30,40]",
            Result("ImageNet", "72.69", "9.9M"),
            channels=WIDTHS, stem="large", **_hat(10, 20, 30, 40),
        ),
        _mgnet(
            "mgnet-hat-imagenet-reversed", f"{words}, large stem, Hat-[40,30,20,10]",
            Result("ImageNet", "71.87"),
            channels=WIDTHS, stem="large", **_hat(40, 30, 20, 10),
        ),
        Network(
            "resnet18-hat", "hat ResNet", "[2,2,2,2], A and B for each block, Hat-[5,10,15,20]",
            partial(ResNet, **_hat(*up)), "CIFAR-10",
            (
                Result("CIFAR-10", "94.79", "11.2M", supports),
                Result("CIFAR-100", "76.47", "11.2M", supports),
            ),
        ),
        Network(
            "resnet18-hat-imagenet", "hat ResNet",
            "[2,2,2,2], A and B for each block, large stem, Hat-[5,10,15,20]",
            partial(ResNet, stem="large", **_hat(*up)), "ImageNet",
            (Result("ImageNet", "72.46", "11.2M", f"{_HEADLESS}; {supports}"),),
        ),
    ]  # fmt: skip


#: The networks by name, in the order of the table that ``python -m mgnet`` prints.
ZOO: dict[str, Network] = {
    entry.name: entry for entry in (*_classic(), *_resnets(), *_mgnets(), *_hats())
}
