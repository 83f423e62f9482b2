"""Data sets by name: CIFAR, MNIST, Fashion-MNIST, scikit-learn's digits, and series of heart beats.

CIFAR is read from the official *binary* archives, MNIST and Fashion-MNIST from their IDX files:
no pickle is ever opened. Files come from a folder you name, or are downloaded once with pooch;
either way their sizes and MD5 sums are checked before a byte is used. Heart beats are text files of
the UCR archive, taken from a folder, and checked for their numbers of rows and columns.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from mgnet.pictures import PictureSet

__all__ = ["DATA_SETS", "DOWNLOADED", "DataError", "PictureSet", "load"]

#: Environment variable that names the folder to look in when `load` is given none.
DATA_VARIABLE = "MGNET_DATA"


class DataError(OSError):
    """A data file is missing, damaged or not what it should be; the message says what to do."""


class _File(NamedTuple):
    name: str
    size: int
    md5: str


@dataclass(frozen=True)
class _Source:
    """Where a data set comes from and what its files must be."""

    folder: str
    page: str
    files: tuple[_File, ...]
    read: Callable[[_Source, Path], PictureSet]
    archive: tuple[str, str] | None = None  # URL and MD5 of one archive of all files
    base_url: str = ""  # or the folder that holds each file


@dataclass(frozen=True)
class _Series:
    """A data set of the UCR archive: FOLDER_TRAIN.tsv and FOLDER_TEST.tsv, label in column 0.

    The archive is passed on as text, its numbers written with more or fewer digits, and there are
    no official sums to compare with. So what is checked is what its pages state: counts and labels.
    """

    folder: str
    train: int
    test: int
    length: int
    labels: tuple[int, ...]
    incomplete: tuple[str, int] | None = None  # a NumPy file with fewer test rows, taken as well


def load(
    name: str, data: str | os.PathLike[str] | None = None, download: bool = True
) -> PictureSet:
    """Load a data set of pictures or of heart beats.

    Parameters
    ----------
    name : str
        Pictures: "cifar10", "cifar100", "mnist", "fashion-mnist", "digits". Heart beats, series of
        one channel: "ecg200", "ecgfivedays", "twoleadecg", "ecg5000".
    data : path, optional
        A folder that holds the files, or the official archive's folder of them. If not given, the
        environment variable MGNET_DATA; if that is not set, the files are downloaded to the user's
        cache. "digits" comes with scikit-learn and needs neither. Heart beats are not downloaded:
        their files are ECG200/ECG200_TRAIN.tsv and ECG200/ECG200_TEST.tsv, for example, in this
        folder or in its folder ucr.
    download : bool
        Whether a download is allowed where no folder is named.

    Returns
    -------
    PictureSet

    Raises
    ------
    ValueError
        For an unknown name.
    DataError
        For a file that is missing, has a wrong size or a wrong MD5 sum, or cannot be fetched.

    Notes
    -----
    Heart beats keep the archive's labels as names of their classes, in ascending order. Where
    ECG5000_TEST_4499of4500.npy lies in place of ECG5000_TEST.tsv, it is used, and the set's name
    says so. H. A. Dau et al., The UCR Time Series Classification Archive, 2018.
    """
    if name == "digits":
        return _digits()
    if name in _SERIES:
        return _heart_beats(name, data if data is not None else os.environ.get(DATA_VARIABLE))
    if name not in _SOURCES:
        raise ValueError(f"unknown data set {name!r}; known are {', '.join(DATA_SETS)}")
    source = _SOURCES[name]
    data = data if data is not None else os.environ.get(DATA_VARIABLE)
    if data is not None:
        folder = _find(source, Path(data).expanduser())
    elif download:
        folder = _download(source)
    else:
        raise DataError(f"no folder given for {name}: pass data=DIR or set {DATA_VARIABLE}")
    for file in source.files:
        _check(folder / file.name, file, source.page)
    return source.read(source, folder)


def _find(source: _Source, data: Path) -> Path:
    if not data.is_dir():
        raise DataError(f"the data folder {data} does not exist")
    for folder in (data / source.folder, data):
        if (folder / source.files[0].name).exists():
            return folder
    raise DataError(
        f"{data} holds no {source.folder}/{source.files[0].name}: name the folder into which the "
        f"files from {source.page} were unpacked, or none, here and in {DATA_VARIABLE}, to have "
        "them downloaded"
    )


def _download(source: _Source) -> Path:
    import pooch

    cache = Path(pooch.os_cache("mgcore"))
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # Of several processes one fetches and unpacks; the others find all of it there.
        with FileLock(cache / f".{source.folder}.lock"):
            _fetch(source, cache)
    except (OSError, ValueError) as error:  # no network; or a hash that pooch finds wrong
        raise DataError(
            f"could not download {source.folder} ({error}); fetch its files from {source.page} by "
            f"hand and name their folder by data=DIR or {DATA_VARIABLE}"
        ) from error
    return cache / source.folder


def _fetch(source: _Source, cache: Path) -> None:
    import pooch

    if source.archive is not None:
        url, md5 = source.archive
        pooch.retrieve(
            url, f"md5:{md5}", path=cache, fname=url.rsplit("/", 1)[-1],
            processor=pooch.Untar(extract_dir="."), progressbar=True,
        )  # fmt: skip
    for file in source.files if source.archive is None else ():
        pooch.retrieve(
            source.base_url + file.name, f"md5:{file.md5}", path=cache / source.folder,
            fname=file.name, progressbar=True,
        )  # fmt: skip


def _check(path: Path, file: _File, page: str) -> None:
    advice = f"name another folder, or fetch the file again from {page}"
    if not path.exists():
        raise DataError(f"{path} is missing; fetch it from {page}")
    size = path.stat().st_size
    if size != file.size:
        kind = "truncated" if size < file.size else "too long"
        raise DataError(f"{path} is {kind}: {size:,} bytes instead of {file.size:,}; {advice}")
    with path.open("rb") as stream:
        md5 = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if md5 != file.md5:
        raise DataError(f"{path} is damaged: MD5 {md5} instead of {file.md5}; {advice}")


# --- formats ------------------------------------------------------------------------------------


def _read_cifar(path: Path, label_bytes: int) -> tuple[Tensor, Tensor]:
    """Records of `label_bytes` labels (the last one is used) and 3x32x32 pixel bytes."""
    records = np.fromfile(path, np.uint8).reshape(-1, label_bytes + 3072)
    images = records[:, label_bytes:].reshape(-1, 3, 32, 32).copy()
    return torch.from_numpy(images), torch.from_numpy(records[:, label_bytes - 1].astype(np.int64))


def _cifar(source: _Source, folder: Path, name: str, label_bytes: int, names: str) -> PictureSet:
    parts = [_read_cifar(folder / file.name, label_bytes) for file in source.files]
    images, labels = zip(*parts, strict=True)
    # The names are a text beside the data, not needed for training; numbers will do.
    listed, count = folder / names, 10**label_bytes
    classes = listed.read_text(errors="replace").split() if listed.exists() else []
    if len(classes) != count:
        classes = list(map(str, range(count)))
    return PictureSet(
        name, torch.cat(images[:-1]), torch.cat(labels[:-1]), images[-1], labels[-1], tuple(classes)
    )


def _read_idx(path: Path) -> Tensor:
    """An IDX file of unsigned bytes, gzipped: magic 0, 0, 8, rank; big-endian sizes; the data."""
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3]
    shape = tuple(np.frombuffer(raw, ">u4", rank, 4).astype(int))
    return torch.from_numpy(np.frombuffer(raw, np.uint8, -1, 4 + 4 * rank).reshape(shape).copy())


def _idx(source: _Source, folder: Path, name: str, classes: Sequence[str]) -> PictureSet:
    x, y, x_test, y_test = (_read_idx(folder / file.name) for file in source.files)
    return PictureSet(name, x[:, None], y.long(), x_test[:, None], y_test.long(), tuple(classes))


def _heart_beats(name: str, data: str | os.PathLike[str] | None) -> PictureSet:
    series = _SERIES[name]
    train, test = (f"{series.folder}_{part}.tsv" for part in ("TRAIN", "TEST"))
    advice = (
        f"take {train} and {test} from the UCR archive ({_UCR}), put them into "
        f"DIR/{series.folder}, and pass data=DIR or set {DATA_VARIABLE}"
    )
    if data is None:
        raise DataError(f"{name} is not downloaded: {advice}")
    data = Path(data).expanduser()
    if not data.is_dir():
        raise DataError(f"the data folder {data} does not exist")
    folders = (data / series.folder, data / "ucr" / series.folder, data)
    folder = next((folder for folder in folders if (folder / train).exists()), None)
    if folder is None:
        raise DataError(f"{data} holds no {series.folder}/{train}: {advice}")
    path, count = folder / test, series.test
    if not path.exists() and series.incomplete and (folder / series.incomplete[0]).exists():
        path, count = folder / series.incomplete[0], series.incomplete[1]
        name = f"{name} ({path.name})"
    rows, rows_test = _rows(folder / train, series.train, series), _rows(path, count, series)
    return PictureSet.from_arrays(
        rows[:, 1:],
        rows[:, 0].astype(int),
        rows_test[:, 1:],
        rows_test[:, 0].astype(int),
        name=name,
    )


def _rows(path: Path, count: int, series: _Series) -> np.ndarray:
    """Label and values of each series, (count, 1 + length)."""
    if not path.exists():
        raise DataError(f"{path} is missing; take it from the UCR archive ({_UCR})")
    advice = f"take the file from the UCR archive ({_UCR}) again"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty file is told of below
            npy = path.suffix == ".npy"
            rows = np.load(path) if npy else np.loadtxt(path, delimiter="\t", ndmin=2)
    except (ValueError, EOFError) as error:  # no numbers, lines of several lengths, no NumPy file
        raise DataError(f"{path} is damaged ({error}); {advice}") from None
    if rows.shape != (count, 1 + series.length):
        raise DataError(
            f"{path} is damaged: its shape is {rows.shape} instead of "
            f"{(count, 1 + series.length)}; {advice}"
        )
    if not np.isfinite(rows).all() or set(rows[:, 0]) != set(series.labels):
        raise DataError(
            f"{path} is damaged: it must hold finite numbers, and in its first column the labels "
            f"{', '.join(map(str, series.labels))}; {advice}"
        )
    return rows


def _digits() -> PictureSet:
    """1,797 scans of handwritten digits, 8x8 with 17 grey values: 1,437 for training, 360 for test.

    E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI repository (1998).
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pictures, labels = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(
        (pictures * 15).astype(np.uint8).reshape(-1, 1, 8, 8), labels.astype(np.int64),
        test_size=360, random_state=0, stratify=labels,
    )  # fmt: skip
    x, y, x_test, y_test = map(torch.from_numpy, (x, y, x_test, y_test))
    return PictureSet("digits", x, y, x_test, y_test, tuple(map(str, range(10))))


# --- sources ------------------------------------------------------------------------------------

_CIFAR = "https://www.cs.toronto.edu/~kriz/"
_GARMENTS = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip

_SOURCES = {
    "cifar10": _Source(
        "cifar-10-batches-bin",
        _CIFAR + "cifar.html",
        (
            _File("data_batch_1.bin", 30_730_000, "5dd7e06a14cb22eb9f671a540d1b7c25"),
            _File("data_batch_2.bin", 30_730_000, "5ea93a67294ea407fff1d09f752e9692"),
            _File("data_batch_3.bin", 30_730_000, "942cd6a4bcdd0dd3c604fbe906cb4421"),
            _File("data_batch_4.bin", 30_730_000, "ae636b3ba5c66a11e91e8cb52e771fcb"),
            _File("data_batch_5.bin", 30_730_000, "53f37980c15c3d472c316c40844f3f0d"),
            _File("test_batch.bin", 30_730_000, "803d5f7f4d78ea53de84dbe85f74fb6d"),
        ),
        lambda s, d: _cifar(s, d, "cifar10", 1, "batches.meta.txt"),
        archive=(_CIFAR + "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
    ),
    "cifar100": _Source(
        "cifar-100-binary",
        _CIFAR + "cifar.html",
        (
            _File("train.bin", 153_700_000, "6172c7755cfe09b2fe270c85cebc1b15"),
            _File("test.bin", 30_740_000, "4499cfba6c016c1be1438163640a0898"),
        ),
        lambda s, d: _cifar(s, d, "cifar100", 2, "fine_label_names.txt"),
        archive=(_CIFAR + "cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),
    ),
    "mnist": _Source(
        "mnist",
        "https://github.com/cvdfoundation/mnist",  # the author's own server hands them out no more
        (
            _File("train-images-idx3-ubyte.gz", 9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            _File("train-labels-idx1-ubyte.gz", 28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
            _File("t10k-images-idx3-ubyte.gz", 1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
            _File("t10k-labels-idx1-ubyte.gz", 4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
        ),
        lambda s, d: _idx(s, d, "mnist", tuple(map(str, range(10)))),
        base_url="https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    "fashion-mnist": _Source(
        "fashion-mnist",
        "https://github.com/zalandoresearch/fashion-mnist",
        (
            _File("train-images-idx3-ubyte.gz", 26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            _File("train-labels-idx1-ubyte.gz", 29_515, "25c81989df183df01b3e8a0aad5dffbe"),
            _File("t10k-images-idx3-ubyte.gz", 4_422_102, "bef4ecab320f06d8554ea6380940ec79"),
            _File("t10k-labels-idx1-ubyte.gz", 5_148, "bb300cfdad3c16e7a12a480ee83cd310"),
        ),
        lambda s, d: _idx(s, d, "fashion-mnist", _GARMENTS),
        base_url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
}

#: Its files are this archive's, one folder for each data set; text of other sites has other forms.
_UCR = "https://www.cs.ucr.edu/~eamonn/time_series_data_2018/"

_SERIES = {
    "ecg200": _Series("ECG200", 100, 100, 96, (-1, 1)),
    "ecgfivedays": _Series("ECGFiveDays", 23, 861, 136, (1, 2)),
    "twoleadecg": _Series("TwoLeadECG", 23, 1139, 82, (1, 2)),
    "ecg5000": _Series(
        "ECG5000", 500, 4500, 140, (1, 2, 3, 4, 5), ("ECG5000_TEST_4499of4500.npy", 4499)
    ),
}

#: What :func:`load` can download.
DOWNLOADED = tuple(_SOURCES)

#: Names that :func:`load` knows.
DATA_SETS = (*_SOURCES, "digits", *_SERIES)
