"""Class folders: which files, which crops, workers and parts, and training through the example."""

import multiprocessing
import os
import re
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from steps import stop_at
from torch import nn

import mgnet
from examples import train_folder
from mgnet import MgNet
from mgnet.__main__ import seen
from mgnet.checkpoint import read_checkpoint
from mgnet.class_folders import FolderClassification
from mgnet.command import advice
from mgnet.decoding import centre_box, read_picture
from mgnet.processes import Processes
from mgnet.recipe import Recipe
from mgnet.tasks import Step
from mgnet.training import Interrupted, Trainer

COLOURS = {"blue": (40, 60, 220), "green": (30, 180, 60), "red": (220, 40, 50)}
CPU = torch.device("cpu")

# Of torch, where there are fewer cores than workers.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


def draw(path, colour, rng):
    """A coloured disc or square on a grey, noisy ground, of random size."""
    width, height = rng.integers(36, 60, 2)
    ground = rng.integers(90, 160, (height, width, 1)) + rng.integers(-20, 20, (height, width, 3))
    image = Image.fromarray(ground.astype(np.uint8))
    pencil = ImageDraw.Draw(image)
    x, y, r = (
        width / 2 + rng.integers(-4, 5),
        height / 2 + rng.integers(-4, 5),
        rng.integers(11, 16),
    )
    shape = pencil.ellipse if rng.random() < 0.5 else pencil.rectangle
    shape((x - r, y - r, x + r, y + r), fill=colour)
    image.save(path)


def fill(folder, count, seed):
    rng = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for k in range(count):
            draw(folder / name / f"{k:03d}{('.jpg', '.png', '.JPEG')[k % 3]}", colour, rng)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures") / "shapes"
    fill(folder / "train", 32, 0)
    fill(folder / "val", 10, 1)
    (folder / "train" / "red" / "notes.txt").write_text("no picture")
    (folder / "train" / "red" / "._000.jpg").write_bytes(b"what some systems leave behind")
    return folder


def prepared(folder, *, workers=0, size=24, recipe=None, **options):
    task = FolderClassification(folder, size, workers=workers, **options)
    recipe = recipe or Recipe(batch_size=16, shift=0)
    task.prepare(recipe, CPU, torch.contiguous_format)
    return task


def plan(task, *, epoch=0, accumulate=1, processes=None, steps=3):
    order = torch.randperm(task.size, generator=torch.Generator().manual_seed(epoch))
    for step, indices in enumerate(order.split(16)[:steps]):
        parts = (processes or Processes()).share(16, accumulate)
        yield Step(indices, epoch, step, parts)


def batches(task, **options):
    return [list(parts) for parts in task.batches(plan(task, **options))]


def joined(parts):
    """One batch made of its parts: examples, first and second labels."""
    examples = torch.cat([mixture.examples for mixture, _, _ in parts])
    return examples, *(torch.cat([part[k] for part in parts]) for k in (1, 2))


def assert_same(a, b):
    assert all(torch.equal(x, y) for x, y in zip(joined(a), joined(b), strict=True))


# --- files ----------------------------------------------------------------------------------------


def test_pictures_of_the_classes_in_order(pictures):
    task = FolderClassification(pictures, 24)
    assert task.classes == ("blue", "green", "red")
    assert (task.size, task.shape, task.dim) == (96, (3, 24, 24), 2)
    assert task.labels.tolist() == [0] * 32 + [1] * 32 + [2] * 32 + [0] * 10 + [1] * 10 + [2] * 10
    assert task.measures == ("loss", "accuracy")
    assert task.name.startswith("shapes, 96 + 30 pictures of 3 classes, 24 x 24 pixels, crops from")


def test_the_name_tells_lists_of_files_apart(pictures, tmp_path):
    copy = tmp_path / "shapes"
    shutil.copytree(pictures, copy)
    name = FolderClassification(pictures, 24).name
    assert FolderClassification(copy, 24).name == name  # wherever it is
    (copy / "train" / "red" / "more.txt").write_text("")
    assert FolderClassification(copy, 24).name == name
    os.rename(copy / "train" / "red" / "000.jpg", copy / "train" / "red" / "zero.jpg")
    assert FolderClassification(copy, 24).name != name
    assert FolderClassification(pictures, 25).name != name
    assert FolderClassification(pictures, 24, smallest_crop=0.5).name != name


def test_a_part_is_set_aside(pictures):
    task = FolderClassification(pictures / "train", 24, test_fraction=0.25, seed=3)
    assert task.labels.tolist() == [0] * 24 + [1] * 24 + [2] * 24 + [0] * 8 + [1] * 8 + [2] * 8
    assert len(set(task.files.names.tolist())) == 96
    again = FolderClassification(pictures / "train", 24, test_fraction=0.25, seed=3)
    assert again.name == task.name
    assert again.files.names.tolist() == task.files.names.tolist()
    assert FolderClassification(pictures / "train", 24, test_fraction=0.25).name != task.name


def test_other_names_of_the_test_folder(pictures, tmp_path):
    copy = tmp_path / "shapes"
    shutil.copytree(pictures, copy)
    os.rename(copy / "val", copy / "test")
    assert len(FolderClassification(copy, 24).labels) == 126
    shutil.rmtree(copy / "test")
    with pytest.raises(ValueError, match=r"has train but none of val, .*name .*train to have a pa"):
        FolderClassification(copy, 24)


def test_a_class_may_be_called_train(pictures, tmp_path):
    copy = tmp_path / "vehicles"
    shutil.copytree(pictures / "train", copy)
    for name, instead in (("blue", "train"), ("red", "test")):
        os.rename(copy / name, copy / instead)
        task = FolderClassification(copy, 24)
        assert instead in task.classes
        assert len(task.classes) == 3
        assert len(task.labels) == 96


def test_folders_that_do_not_fit(pictures, tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        FolderClassification(tmp_path / "none")
    with pytest.raises(
        ValueError, match="a folder of pictures for each of two classes or more, fo"
    ):
        FolderClassification(tmp_path)
    copy = tmp_path / "shapes"
    shutil.copytree(pictures, copy)
    shutil.rmtree(copy / "val" / "green")
    with pytest.raises(ValueError, match=r"class green is in .*train but not in .*val"):
        FolderClassification(copy)
    (copy / "val" / "green").mkdir()
    with pytest.raises(ValueError, match=r"green holds no pictures \(\.bmp, .*\.webp\)"):
        FolderClassification(copy)
    for name in ("green", "red"):
        shutil.rmtree(copy / "train" / name)
    with pytest.raises(ValueError, match="found blue$"):
        FolderClassification(copy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size must be a whole number, 1 or more, got 0"),
        ({"size": 24.5}, "size must be a whole number"),
        ({"workers": -1}, "workers must be a whole number, 0 or more"),
        ({"smallest_crop": 0}, "smallest_crop must be above 0, 1 at most, got 0"),
        ({"test_fraction": 1.5}, "test_fraction must be between 0 and 1"),
    ],
)
def test_numbers_that_cannot_be(pictures, options, message):
    with pytest.raises(ValueError, match=message):
        FolderClassification(pictures / "train", **options)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_file_is_named(pictures, tmp_path, workers):
    copy = tmp_path / "shapes"
    shutil.copytree(pictures, copy)
    (copy / "train" / "green" / "003.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    task = prepared(copy, workers=workers)
    with pytest.raises(
        ValueError, match=r"^\S*green/003\.jpg (is no picture|cannot be read).* \(to resume, a"
    ) as error:
        batches(task, steps=6)
    assert "\n" not in str(error.value)
    # What the advice says lets the run go on; the other way out would make the pictures others.
    shutil.copy(pictures / "train" / "green" / "000.jpg", copy / "train" / "green" / "003.jpg")
    assert prepared(copy).name == task.name
    assert len(batches(task, steps=6)) == 6
    (copy / "train" / "green" / "003.jpg").unlink()
    assert prepared(copy).name != task.name


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a started process would not see the patch")
def test_a_worker_that_is_killed_is_said_in_one_sentence(pictures, monkeypatch):
    task = prepared(pictures, workers=1)
    monkeypatch.setattr(type(task.files), "__getitem__", lambda self, job: os._exit(9))
    with pytest.raises(OSError, match=r"that decodes pictures has ended .*: take fewer workers"):
        batches(task)


@pytest.mark.skipif(sys.platform == "win32", reason="there a process cannot be sent SIGTERM")
def test_workers_leave_a_signal_to_the_whole_group_to_the_one_that_trains(pictures):
    got = []
    for step in prepared(pictures, workers=2).batches(plan(prepared(pictures), steps=6)):
        got += list(step)
        for worker in multiprocessing.active_children():
            worker.terminate()  # SIGTERM
    assert len(got) == 6


def test_a_lost_worker_is_said_in_one_sentence_wherever_torch_says_so():
    error = RuntimeError("DataLoader worker (pid 5) is killed by signal: Killed. \nMore.")
    assert re.match(r"a process that decodes .* \(DataLoader.*Killed\. \): take", advice(error))


# --- batches --------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"mixup": 0.5}])
def test_workers_change_nothing(pictures, options):
    recipe = Recipe(batch_size=16, shift=1, cutout=3, **options)
    here, there = (
        batches(prepared(pictures, workers=n, recipe=recipe), accumulate=2, epoch=1) for n in (0, 2)
    )
    assert len(here) == len(there) == 3
    for a, b in zip(here, there, strict=True):
        assert_same(a, b)


@pytest.mark.parametrize("options", [{}, {"mixup": 0.5}, {"cutmix": 1.0, "flip": "random"}])
def test_parts_are_slices_of_the_whole(pictures, options):
    task = prepared(pictures, recipe=Recipe(batch_size=16, **options))
    whole = batches(task, epoch=2)
    micro = batches(task, epoch=2, accumulate=4)
    shares = [batches(task, epoch=2, accumulate=2, processes=Processes(rank, 2)) for rank in (0, 1)]
    for k, batch in enumerate(whole):
        assert len(micro[k]) == 4
        assert_same(batch, micro[k])
        assert_same(batch, shares[0][k] + shares[1][k])


def test_a_process_decodes_its_own_share_only(pictures, monkeypatch):
    task = prepared(pictures)
    decoded = []
    whole = type(task.files).__getitem__
    monkeypatch.setattr(
        type(task.files), "__getitem__",
        lambda self, job: decoded.extend(job.numbers) or whole(self, job),
    )  # fmt: skip
    batches(task, processes=Processes(1, 2))
    assert decoded == [number for step in plan(task) for number in step.indices[8:].tolist()]


def test_read_ahead_or_alone_a_batch_is_the_same(pictures):
    task = prepared(pictures)
    ahead = batches(task)
    for step, batch in zip(plan(task), ahead, strict=True):
        assert_same(batch, [task.batch(step, step.parts[0])])


def test_crops_change_from_epoch_to_epoch_and_with_the_seed(pictures):
    def first(epoch, seed):
        task = prepared(pictures, recipe=Recipe(batch_size=16, seed=seed, flip="never"))
        step = Step(torch.arange(16), epoch, 0, [slice(0, 16)])
        return task.batch(step, slice(0, 16))[0].examples

    assert torch.equal(first(0, 0), first(0, 0))
    for epoch, seed in ((1, 0), (0, 1)):
        same = (first(epoch, seed) == first(0, 0)).flatten(1).all(1)
        assert not same.any()


def test_test_pictures_are_the_middle(pictures):
    task = prepared(pictures, size=32)
    examples, labels = (torch.cat(x) for x in zip(*task.tests(lambda n: slice(0, n)), strict=True))
    assert labels.tolist() == [0] * 10 + [1] * 10 + [2] * 10
    path = pictures / "val" / "green" / "003.jpg"
    middle = read_picture(path, 32, lambda w, h: centre_box(w, h, 0.875))
    assert torch.equal(examples[13], middle)
    # Of two processes each has a half.
    halves = [torch.cat([x for x, _ in task.tests(lambda n, s=s: s)]) for s in
              (slice(0, 13), slice(13, 30))]  # fmt: skip
    assert torch.equal(torch.cat(halves), examples)
    assert list(task.tests(lambda n: slice(5, 5))) == []


def test_pictures_are_decoded_once_for_several_views(pictures, monkeypatch):
    task = FolderClassification(pictures, 24)
    recipe = Recipe(epochs=1, batch_size=16, shift=0, precision="float32")
    run = Trainer(MgNet(3, 3, channels=4, steps=(1,)), task, recipe, progress=False)
    views = {}, {"flip": True}, {"flip": True, "shift": 1}
    expected = [row for view in views for row in run.evaluate_views(view)]
    assert expected[0] == run.evaluate()
    assert len({row["loss"] for row in expected}) == 3
    decoded = []
    whole = type(task.files).__getitem__
    monkeypatch.setattr(
        type(task.files), "__getitem__",
        lambda self, job: decoded.extend(job.numbers) or whole(self, job),
    )  # fmt: skip
    assert run.evaluate_views(*views) == expected
    assert decoded == list(range(96, 126))


@pytest.mark.usefixtures("in_an_empty_folder")
def test_views_at_the_end_of_a_run_are_scored_together(pictures, monkeypatch, capsys):
    read = []
    tests = FolderClassification.tests
    monkeypatch.setattr(
        FolderClassification, "tests", lambda self, part: read.append(part) or tests(self, part)
    )
    train_folder.main([str(pictures), *TINY, "--epochs", "1", "--workers", "0", "--out", "run"])
    assert "averaged over both mirror images and moves by a pixel" in capsys.readouterr().out
    assert len(read) == 2  # in the epoch and behind it


def test_statistics_are_those_of_training_pictures(pictures):
    task = prepared(pictures)
    sample = task.sample(200)
    assert sample.shape == (96, 3, 24, 24)
    mean, std = task.statistics()
    torch.testing.assert_close(mean, sample.double().mean((0, 2, 3)).float())
    flat = sample.transpose(0, 1).flatten(1).double()
    torch.testing.assert_close(std, flat.std(1, correction=0).float())
    assert task.sample(5).shape == (5, 3, 24, 24)


def test_without_pillow(pictures, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ValueError, match=r"pip install 'mgcore\[pictures\]'"):
        FolderClassification(pictures)


def test_five_guesses_where_there_are_more_classes(tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for name in "abcdefg":
            (tmp_path / part / name).mkdir(parents=True)
            draw(tmp_path / part / name / "1.png", (0, 0, 0), rng)
    task = FolderClassification(tmp_path, 16)
    assert task.measures == ("loss", "accuracy", "top5")
    recipe = Recipe(epochs=1, batch_size=7, shift=0, precision="float32", cutmix=1.0)
    run = Trainer(MgNet(3, 7, channels=4, steps=(1,)), task, recipe, progress=False)
    (row,) = run.fit()
    tests = run.task.tests(lambda n: slice(0, n))
    examples, labels = (torch.cat(x) for x in zip(*tests, strict=True))
    guesses = run.model.predict(examples).probabilities.argsort(1)[:, ::-1][:, :5]
    assert row.test["top5"] == pytest.approx((guesses == labels.numpy()[:, None]).any(1).mean())
    scores = torch.arange(14.0).view(2, 7)
    hits = task._hits(scores, torch.tensor([2, 1]))
    assert hits["accuracy"].tolist() == [False, False]
    assert hits["top5"].tolist() == [True, False]


# --- training -------------------------------------------------------------------------------------

TINY = [
    "--size", "24", "--network", "mgnet-narrow", "--channels", "8", "16", "--steps", "1", "1",
    "--batch-size", "16", "--precision", "float32", "--smallest-crop", "0.3", "--device", "cpu",
]  # fmt: skip


@pytest.fixture
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train_folder.py"])


@pytest.mark.usefixtures("in_an_empty_folder")
def test_it_learns_and_resumes_exactly(pictures, monkeypatch, capsys):
    options = [str(pictures), *TINY, "--epochs", "5"]
    (whole,) = train_folder.main([*options, "--out", "whole", "--workers", "0"])
    assert whole.history[-1].test["accuracy"] > 0.9
    assert "million multiply-adds" in capsys.readouterr().out

    step = Trainer._train_step

    def interrupted_step(self, parts):
        step(self, parts)
        if (self.epoch, self.step) == (2, 3):
            os.kill(os.getpid(), 2)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_train_step", interrupted_step)
        with pytest.raises(SystemExit, match="interrupted in epoch 3, after step 3 of 6; saved"):
            train_folder.main([*options, "--out", "run", "--workers", "2"])
    train_folder.main([*options, "--out", "run", "--workers", "1", "--resume"])
    there, here = (read_checkpoint(name)[1] for name in ("whole", "run"))
    for name, weight in there["model"].items():
        assert torch.equal(here["model"][name], weight), name
    assert [row["test"] for row in here["history"]] == [row["test"] for row in there["history"]]

    model = mgnet.load("run")
    predict = model.predict
    assert model.classes == ("blue", "green", "red")
    assert model.shape == (3, 24, 24)
    # A file is shown to it as those that it was tested with were.
    monkeypatch.setattr(model, "predict", lambda picture: shown.append(picture) or predict(picture))
    task, path, shown = prepared(pictures), pictures / "val" / "red" / "000.jpg", []
    assert seen(model, path).startswith("red")
    (tested, _), *_ = task.tests(lambda n: slice(20, 21))
    assert torch.equal(shown[0], tested[0])

    with pytest.raises(SystemExit, match="made with another data: shapes, 96 .* there, train, "):
        train_folder.main([str(pictures / "train"), *options[1:], "--out", "run", "--resume"])


@pytest.mark.filterwarnings("ignore:mgnet.load will not read")
def test_dropout_resumes_exactly(pictures, tmp_path):
    task = FolderClassification(pictures, 24)

    def with_dropout():
        torch.manual_seed(0)
        network = MgNet(3, 3, channels=(4, 8), steps=(1, 1), sigma=lambda: nn.Dropout(0.1))
        recipe = Recipe(epochs=2, batch_size=16, shift=0, precision="float32")
        return Trainer(network, task, recipe, folder=tmp_path, progress=False)

    whole = with_dropout()
    whole.fit()
    for name in os.listdir(tmp_path):
        (tmp_path / name).unlink()
    first = with_dropout()
    stop_at(first, 0, 3)
    with pytest.raises(Interrupted):
        first.fit()
    second = with_dropout()
    second.resume(tmp_path)
    second.fit()
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], weight), name


def test_a_classifier_trained_further_knows_the_last_size(pictures):
    network = MgNet(3, 3, channels=4, steps=(1, 1))
    model = FolderClassification(pictures, 16).model(network)
    assert FolderClassification(pictures, 24).model(model).shape == (3, 24, 24)


@pytest.mark.usefixtures("in_an_empty_folder")
def test_the_network_depends_on_the_size(pictures, monkeypatch):
    built = []
    monkeypatch.setattr(
        "mgnet.command.train", lambda network, *args, **options: built.append(network)
    )
    base = [str(pictures), "--workers", "0", "--out", "run"]
    for size in ("64", "128"):
        train_folder.main([*base, "--size", size])
    small, large = built
    assert small.channels == (32, 64, 128, 256)
    assert large.channels == (64, 128, 256, 512)
    assert all(network.head.out_features == 3 for network in built)


@pytest.mark.usefixtures("in_an_empty_folder")
def test_what_is_wrong_is_said_in_one_sentence(tmp_path):
    with pytest.raises(SystemExit, match="^train_folder: there is no folder nowhere$"):
        train_folder.main(["nowhere", *TINY])
