"""Data sets: real files where they are, and clear errors for damaged ones."""

import gzip
import hashlib
import os
import shutil
import struct
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mgnet import data
from mgnet.data import DataError, load

real = pytest.mark.skipif(
    "MGNET_DATA" not in os.environ, reason="MGNET_DATA names no folder with the real data sets"
)


@pytest.fixture(autouse=True)
def no_folder_from_outside(request, monkeypatch):
    if "data" not in request.keywords:
        monkeypatch.delenv("MGNET_DATA", raising=False)


@real
@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "shape", "train", "test", "classes"),
    [
        ("cifar10", (3, 32, 32), 50_000, 10_000, 10),
        ("cifar100", (3, 32, 32), 50_000, 10_000, 100),
        ("mnist", (1, 28, 28), 60_000, 10_000, 10),
    ],
)
def test_real_files(name, shape, train, test, classes):
    pictures = load(name)
    assert pictures.train_images.shape == (train, *shape)
    assert pictures.test_images.shape == (test, *shape)
    assert pictures.train_images.dtype == torch.uint8
    assert pictures.train_labels.dtype == torch.int64
    assert len(pictures.classes) == classes
    counts = torch.bincount(pictures.train_labels)
    assert len(counts) == classes
    if name != "mnist":
        assert (counts == train // classes).all()  # CIFAR is balanced


@real
@pytest.mark.data
def test_real_pictures_are_the_published_ones():
    # Channel means and deviations of CIFAR-10 as everybody quotes them, and its first picture.
    pictures = load("cifar10")
    mean, std = pictures.channel_statistics()
    torch.testing.assert_close(mean, torch.tensor([0.4914, 0.4822, 0.4465]), rtol=0, atol=5e-5)
    torch.testing.assert_close(std, torch.tensor([0.2470, 0.2435, 0.2616]), rtol=0, atol=5e-5)
    assert pictures.classes[pictures.train_labels[0]] == "frog"
    digits = load("mnist")
    assert digits.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert digits.train_images[0, 0, 14].sum() > digits.train_images[0, 0, 0].sum() == 0


SERIES = {
    "ecg200": (100, 100, 96, ("-1", "1"), [31, 69]),
    "ecgfivedays": (23, 861, 136, ("1", "2"), [14, 9]),
    "twoleadecg": (23, 1139, 82, ("1", "2"), [12, 11]),
    "ecg5000": (500, 4500, 140, ("1", "2", "3", "4", "5"), [292, 177, 10, 19, 2]),
}


@real
@pytest.mark.data
@pytest.mark.parametrize("name", SERIES)
def test_real_heart_beats(name):
    try:
        beats = load(name)
    except DataError as error:
        pytest.skip(str(error)) if "holds no" in str(error) else pytest.fail(str(error))
    train, test, length, classes, counts = SERIES[name]
    if name == "ecg5000" and beats.name != name:
        assert beats.name == "ecg5000 (ECG5000_TEST_4499of4500.npy)"
        test -= 1
    assert beats.train_images.shape == (train, 1, length)
    assert beats.test_images.shape == (test, 1, length)
    assert beats.train_images.dtype == beats.test_images.dtype == torch.float32
    assert beats.classes == classes
    assert torch.bincount(beats.train_labels).tolist() == counts
    mean, std = beats.channel_statistics()  # each series of the archive is normalised
    torch.testing.assert_close(mean, torch.zeros(1), rtol=0, atol=1e-3)
    torch.testing.assert_close(std, torch.ones(1), rtol=0.01, atol=0)


def test_digits_need_no_files():
    pictures = load("digits")
    assert pictures.train_images.shape == (1437, 1, 8, 8)
    assert pictures.test_images.shape == (360, 1, 8, 8)
    assert int(pictures.train_images.max()) == 240
    assert torch.equal(load("digits").test_images, pictures.test_images)
    both = torch.cat([pictures.train_labels, pictures.test_labels])
    assert len(both) == 1797


# --- small files in the official formats ----------------------------------------------------------


def pretend(monkeypatch, name, folder):
    """Let the files in `folder` be what the source of `name` consists of."""
    source = data._SOURCES[name]
    files = tuple(
        data._File(file.name, len(raw), hashlib.md5(raw).hexdigest())
        for file in source.files
        for raw in [(folder / file.name).read_bytes()]
    )
    changed = data._Source(source.folder, source.page, files, source.read, source.archive)
    monkeypatch.setitem(data._SOURCES, name, changed)


@pytest.mark.parametrize(("name", "label_bytes"), [("cifar10", 1), ("cifar100", 2)])
def test_cifar_records(tmp_path, monkeypatch, name, label_bytes):
    folder = tmp_path / data._SOURCES[name].folder
    folder.mkdir()
    rng = np.random.default_rng(0)
    written = []
    for file in data._SOURCES[name].files:
        records = rng.integers(0, 10, (3, label_bytes + 3072), np.uint8)
        records.tofile(folder / file.name)
        written.append(records)
    pretend(monkeypatch, name, folder)
    for where in (tmp_path, folder):  # the folder above, or the archive's own
        pictures = load(name, where)
        expected = np.concatenate(written[:-1])
        np.testing.assert_array_equal(pictures.train_labels, expected[:, label_bytes - 1])
        red = pictures.train_images[2, 0].numpy()
        np.testing.assert_array_equal(red.ravel(), expected[2, label_bytes : label_bytes + 1024])
        np.testing.assert_array_equal(pictures.test_labels, written[-1][:, label_bytes - 1])


def write_idx(path, array):
    header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def idx_folder(tmp_path, monkeypatch, name="fashion-mnist"):
    rng = np.random.default_rng(0)
    arrays = [
        rng.integers(0, 10, shape, np.uint8) for shape in ((4, 28, 28), (4,), (2, 28, 28), (2,))
    ]
    for file, array in zip(data._SOURCES[name].files, arrays, strict=True):
        write_idx(tmp_path / file.name, array)
    pretend(monkeypatch, name, tmp_path)
    return arrays


def test_idx_files(tmp_path, monkeypatch):
    arrays = idx_folder(tmp_path, monkeypatch)
    monkeypatch.setenv("MGNET_DATA", str(tmp_path))
    pictures = load("fashion-mnist")
    np.testing.assert_array_equal(pictures.train_images[:, 0], arrays[0])
    np.testing.assert_array_equal(pictures.test_labels, arrays[3])
    assert pictures.classes[9] == "ankle boot"


def test_class_names_from_a_text_that_does_not_fit(tmp_path, monkeypatch):
    folder = tmp_path
    for file in data._SOURCES["cifar10"].files:
        np.zeros((1, 3073), np.uint8).tofile(folder / file.name)
    pretend(monkeypatch, "cifar10", folder)
    (folder / "batches.meta.txt").write_bytes(b"only\xff three words")
    assert load("cifar10", folder).classes == tuple("0123456789")


# --- damaged and foreign folders ------------------------------------------------------------------


def test_a_truncated_file_is_named(tmp_path):
    (tmp_path / "data_batch_1.bin").write_bytes(b"123")
    with pytest.raises(
        DataError, match=r"data_batch_1.bin is truncated: 3 bytes instead of 30,730,000"
    ):
        load("cifar10", tmp_path)


def sparse_file(path, size):
    with path.open("wb") as stream:
        stream.truncate(size)


def test_a_file_that_is_too_long_is_named(tmp_path):
    sparse_file(tmp_path / "train.bin", 153_700_001)
    with pytest.raises(DataError, match="train.bin is too long"):
        load("cifar100", tmp_path)


def test_a_damaged_file_is_named(tmp_path):
    sparse_file(tmp_path / "data_batch_1.bin", 30_730_000)
    with pytest.raises(
        DataError, match=r"data_batch_1.bin is damaged: MD5 .* fetch the file again from"
    ):
        load("cifar10", tmp_path)


def test_a_missing_file_is_named(tmp_path, monkeypatch):
    idx_folder(tmp_path, monkeypatch)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte.gz is missing; fetch it from"):
        load("fashion-mnist", tmp_path)


def test_empty_foreign_and_missing_folders(tmp_path):
    with pytest.raises(DataError, match="holds no cifar-10-batches-bin/data_batch_1.bin"):
        load("cifar10", tmp_path)
    (tmp_path / "holiday.jpg").write_bytes(b"?")
    with pytest.raises(DataError, match="name the folder into which the files from"):
        load("mnist", tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        load("mnist", tmp_path / "nowhere")
    with pytest.raises(DataError, match="MGNET_DATA"):
        load("mnist", download=False)
    with pytest.raises(
        ValueError, match="known are cifar10, cifar100, mnist, fashion-mnist, digits, ecg200"
    ):
        load("imagenet")


# --- heart beats ----------------------------------------------------------------------------------


def write_series(folder, name="ecg200"):
    """Files like those of the archive, and what they hold."""
    source = data._SERIES[name]
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    tables = []
    for part, count in (("TRAIN", source.train), ("TEST", source.test)):
        labels = np.resize(source.labels, count)
        rows = np.column_stack([labels, rng.normal(size=(count, source.length)).round(4)])
        np.savetxt(folder / f"{source.folder}_{part}.tsv", rows, "%g", "\t")
        tables.append(rows)
    return tables


@pytest.mark.parametrize("where", ["", "ECG200", "ucr/ECG200"])
def test_heart_beats(tmp_path, where):
    train, test = write_series(tmp_path / "DIR" / where)
    beats = load("ecg200", tmp_path / "DIR")
    assert beats.name == "ecg200"
    assert beats.classes == ("-1", "1")
    for rows, images, labels in (
        (train, beats.train_images, beats.train_labels),
        (test, beats.test_images, beats.test_labels),
    ):
        np.testing.assert_array_equal(images[:, 0], rows[:, 1:].astype(np.float32))
        np.testing.assert_array_equal(labels, rows[:, 0] > 0)


def test_a_test_file_that_lacks_a_row_is_named(tmp_path):
    _, test = write_series(tmp_path / "ECG5000", "ecg5000")
    whole = load("ecg5000", tmp_path)
    part = tmp_path / "ECG5000" / "ECG5000_TEST_4499of4500.npy"
    np.save(part, test[:-1].astype(np.float32))
    assert load("ecg5000", tmp_path).name == "ecg5000"  # the whole file goes first
    (tmp_path / "ECG5000" / "ECG5000_TEST.tsv").unlink()
    most = load("ecg5000", tmp_path)
    assert most.name == "ecg5000 (ECG5000_TEST_4499of4500.npy)"
    assert torch.equal(most.test_images, whole.test_images[:-1])
    part.write_bytes(part.read_bytes()[:1000])
    with pytest.raises(DataError, match="4499of4500.npy is damaged"):
        load("ecg5000", tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "TEST.tsv is damaged"),
        (lambda text: "".join(text.splitlines(True)[:-1]), r"shape is \(99, 97\) instead of \(100"),
        (lambda text: text.replace("\t", ","), "TEST.tsv is damaged"),
        (lambda text: "3" + text[2:], "the labels -1, 1; take the file from"),
        (lambda text: text.replace("\t0.", "\tnan", 1), "is damaged"),
        (lambda text: "", "is damaged"),
        (None, "ECG200_TEST.tsv is missing; take it from"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_damaged_heart_beats_are_named(tmp_path, change, message):
    write_series(tmp_path / "ECG200")
    path = tmp_path / "ECG200" / "ECG200_TEST.tsv"
    if change is None:
        path.unlink()
    else:
        path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=message):
        load("ecg200", tmp_path)


def test_heart_beats_are_not_downloaded(tmp_path):
    with pytest.raises(DataError, match="ecg200 is not downloaded: .*DIR/ECG200, and pass data="):
        load("ecg200")
    with pytest.raises(DataError, match="holds no ECG200/ECG200_TRAIN.tsv: take"):
        load("ecg200", tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        load("ecg200", tmp_path / "nowhere")


# --- downloads ------------------------------------------------------------------------------------


def test_downloads_are_checked_and_cached(tmp_path, monkeypatch):
    """pooch fetches each file from the official address once; a wrong hash is refused."""
    import pooch

    served = tmp_path / "served"
    served.mkdir()
    idx_folder(served, monkeypatch)
    source = data._SOURCES["fashion-mnist"]
    asked = []

    def downloader(url, output_file, pooch):
        asked.append(url)
        with open(output_file, "wb") as stream:
            stream.write((served / url.rsplit("/", 1)[-1]).read_bytes())

    monkeypatch.setattr(pooch.core, "choose_downloader", lambda url, **_: downloader)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.setitem(
        data._SOURCES, "fashion-mnist",
        data._Source(source.folder, source.page, source.files, source.read, base_url="https://x.test/"),
    )  # fmt: skip
    with ThreadPoolExecutor(2) as threads:
        for loaded in threads.map(load, ["fashion-mnist"] * 2):  # as processes of a run do
            assert len(loaded.train_images) == 4
    assert asked == [f"https://x.test/{file.name}" for file in source.files]
    load("fashion-mnist")
    assert len(asked) == 4  # from the cache

    (served / source.files[0].name).write_bytes(b"something else")
    (tmp_path / "cache" / "mgcore" / source.folder / source.files[0].name).unlink()
    with pytest.raises(DataError, match="could not download fashion-mnist.*by hand"):
        load("fashion-mnist")


def test_an_archive_is_unpacked(tmp_path, monkeypatch):
    import pooch

    source = data._SOURCES["cifar100"]
    folder = tmp_path / source.folder
    folder.mkdir()
    for k, file in enumerate(source.files):
        np.full((2, 3074), k, np.uint8).tofile(folder / file.name)
    pretend(monkeypatch, "cifar100", folder)
    archive = tmp_path / "cifar-100-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, source.folder)
    raw = archive.read_bytes()

    def downloader(url, output_file, pooch):
        assert url == source.archive[0]
        Path(output_file).write_bytes(raw)

    monkeypatch.setattr(pooch.core, "choose_downloader", lambda url, **_: downloader)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    small = data._SOURCES["cifar100"]
    md5 = hashlib.md5(raw).hexdigest()
    monkeypatch.setitem(data._SOURCES, "cifar100", replace(small, archive=(source.archive[0], md5)))
    assert load("cifar100").test_labels.tolist() == [1, 1]
    shutil.rmtree(folder)
    assert load("cifar100").train_labels.tolist() == [0, 0]  # from the cache


def test_no_network_is_a_clear_error(tmp_path, monkeypatch):
    import pooch

    def downloader(url, output_file, pooch):
        raise OSError("no route to host")

    monkeypatch.setattr(pooch.core, "choose_downloader", lambda url, **_: downloader)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    with pytest.raises(DataError, match=r"could not download cifar-10.*no route to host.*data=DIR"):
        load("cifar10")
