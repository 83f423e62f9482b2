"""Checkpoint files: damage of any kind is noticed, and nothing is taken from what does not fit."""

import io
import random
import tracemalloc
from collections import OrderedDict
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mgnet import MgNet
from mgnet.checkpoint import CheckpointError, non_finite, read_checkpoint, write_checkpoint
from mgnet.data import load
from mgnet.training import Recipe, Trainer, saved_recipe

RECIPE = Recipe(epochs=3, batch_size=128, shift=1, precision="float32")


def trainer(folder=None, recipe=RECIPE):
    torch.manual_seed(0)
    model = MgNet(1, 10, channels=4, steps=(1,))
    return Trainer(model, load("digits"), recipe, folder=folder, progress=False)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """After two of three epochs."""
    folder = tmp_path_factory.mktemp("run")

    def stop(row):
        if row.epoch == 2:
            raise StopIteration

    run = trainer(folder)
    run.on_epoch = stop
    with pytest.raises(StopIteration):
        run.fit()
    return folder / "checkpoint.pt"


def content(run):
    """All that a run would save, as bytes."""
    buffer = io.BytesIO()
    torch.save(run._content(), buffer)
    return buffer.getvalue()


# --- damage ---------------------------------------------------------------------------------------


def assert_refused(path, raw, match="not a checkpoint|is damaged"):
    path.write_bytes(raw)
    with pytest.raises(CheckpointError, match=match) as refusal:
        read_checkpoint(path)
    assert "\n" not in str(refusal.value)


def test_any_flipped_bit_is_noticed(checkpoint, tmp_path):
    raw = checkpoint.read_bytes()
    bits = random.Random(0).sample(range(8 * len(raw)), 500)
    bits += range(8 * (len(raw) - 80), 8 * len(raw))  # the line with the sum itself
    for bit in bits:
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        assert_refused(tmp_path / "checkpoint.pt", flipped)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_other_damage_is_noticed(checkpoint, tmp_path_factory, data):
    raw = checkpoint.read_bytes()
    start = data.draw(st.integers(0, len(raw) - 1))
    stop = data.draw(st.integers(start, len(raw)))
    instead = data.draw(st.binary(max_size=80))
    damaged = raw[:start] + instead + raw[stop:]
    if damaged != raw:
        assert_refused(tmp_path_factory.getbasetemp() / "damaged.pt", damaged)


@pytest.mark.parametrize("keep", [0, 1, 40, 71, 72, 73, 1000, -73, -72, -71, -1])
def test_a_file_that_was_cut_short_is_noticed(checkpoint, tmp_path, keep):
    assert_refused(tmp_path / "checkpoint.pt", checkpoint.read_bytes()[:keep])


def test_a_file_without_a_sum_is_of_an_older_version(checkpoint, tmp_path):
    torch.save(torch.load(checkpoint, weights_only=True), tmp_path / "checkpoint.pt")
    raw = (tmp_path / "checkpoint.pt").read_bytes()
    assert_refused(
        tmp_path / "checkpoint.pt", raw, match="is of an older version of mgnet: it does"
    )


def test_torch_reads_a_checkpoint_too(checkpoint):
    saved = read_checkpoint(checkpoint)[1]
    weights = torch.load(checkpoint, weights_only=True)["model"]
    assert weights.keys() == saved["model"].keys()
    assert all(torch.equal(weights[name], saved["model"][name]) for name in weights)


def test_a_checkpoint_is_in_memory_once(checkpoint, tmp_path):
    saved = read_checkpoint(checkpoint).content
    del saved["checksum"]
    saved["model"]["large"] = torch.zeros(2**22)
    write_checkpoint(tmp_path / "checkpoint.pt", saved)
    tracemalloc.start()
    try:
        read_checkpoint(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * 2**24  # but for the tensors, which torch keeps elsewhere


# --- sound files with other things in them --------------------------------------------------------


def put(*path, value):
    def change(saved):
        for key in path[:-1]:
            saved = saved[key]
        saved[path[-1]] = value

    return change


def drop(*path):
    def change(saved):
        for key in path[:-1]:
            saved = saved[key]
        del saved[path[-1]]

    return change


def first_momentum(saved):
    return next(iter(saved["optimizers"][0]["state"].values()))


nan = float("nan")
MALFORMED = [
    (drop("epoch"), "not a checkpoint of a training run, or one of another version"),
    (put("more", value=1), "not a checkpoint of a training run, or one of another version"),
    (put("epoch", value="2"), "epoch is of type str"),
    (put("epoch", value=True), "epoch is of type bool"),
    (put("epoch", value=2.0), "epoch is of type float"),
    (put("epoch", value=99), "99 epochs of 3 are done"),
    (put("epoch", value=-1), "-1 epochs of 3"),
    (put("epoch", value=1), "history is not one of 1 epochs"),
    (put("step", value=12), "12 steps of 11 are done"),
    (put("step", value=-1), "-1 steps of 11"),
    (lambda s: s.update(epoch=3, step=1), "1 steps of 11 are done after 3 epochs of 3"),
    (put("seconds", value=-1.0), "seconds are below 0"),
    (put("seconds", value=nan), "seconds is not finite"),
    (put("seconds", value="long"), "seconds is of type str"),
    (put("sums", value=torch.zeros(3)), "sums over an epoch are not one number for each"),
    (put("sums", value=torch.zeros(2).double()), "sums over an epoch are not one number for"),
    (put("sums", value=[0.0, 0.0]), "sums is of type list"),
    (put("model", value=[]), "model is of type list"),
    (drop("model", "network.head.bias"), "another model: network.head.bias is missing there"),
    (put("model", "network.head.bias", value=5), "another model: network.head.bias is int there"),
    (put("model", "network.head.bias", value=torch.zeros(9)), r"head.bias is \(9,\) there"),
    (
        put("model", "network.head.bias", value=torch.zeros(10).half()),
        "network.head.bias is of another type",
    ),
    (
        put("model", "network.head.bias", value=torch.full((10,), nan)),
        "head.bias is not finite",
    ),
    (put("model", 5, value=torch.zeros(1)), "another model: 5 is"),
    (put("optimizers", value=[]), "0 optimizers instead of 2"),
    (put("optimizers", 0, value=5), "an optimizer must hold state, param_groups"),
    (drop("optimizers", 0, "state"), "an optimizer must hold state, param_groups"),
    (put("optimizers", 0, "state", value=[]), "an optimizer has no state"),
    (put("optimizers", 0, "param_groups", value=[]), "an optimizer has other parameters"),
    (put("optimizers", 0, "param_groups", value=5), "an optimizer has other parameters"),
    (put("optimizers", 0, "param_groups", value=[5]), "an optimizer has other parameters"),
    (put("optimizers", 0, "param_groups", 0, "params", value=[0, 1]), "has other parameters"),
    (put("optimizers", 0, "param_groups", 0, "params", value=torch.ones(2)), "other parameters"),
    (put("optimizers", 0, "param_groups", 0, "params", value=[torch.ones(2)]), "other parameters"),
    (put("optimizers", 0, "state", 0, value=5), "state of parameter 0 does not fit"),
    (put("optimizers", 0, "state", 0, value={}), "state of parameter 0 does not fit"),
    (put("optimizers", 0, "state", 99, value={}), "state of parameter 99 does not fit"),
    (lambda s: first_momentum(s).update(momentum=torch.zeros(2)), "parameter 0 does not fit"),
    (lambda s: first_momentum(s)["momentum"].fill_(nan), "momentum is not finite"),
    (put("recipe", value=5), "recipe is of type int"),
    (drop("recipe", "shift"), r"another recipe: shift 2 \(now 1\); resume with that"),
    (put("recipe", "lr", value="fast"), "recipe of another version: lr is 'fast' there"),
    (put("recipe", "beta", value=0.9), "recipe of another version: beta is 0.9 there"),
    (put("recipe", "shift", value=2), r"another recipe: shift 2 \(now 1\); resume with that"),
    (drop("identity", "data"), "identity must hold the texts data, model"),
    (put("identity", "more", value="x"), "identity must hold the texts data, model"),
    (put("identity", "data", value=5), "identity must hold the texts data, model"),
    (put("identity", "data", value="cats"), "another data: cats there, digits, 1437"),
    (put("identity", "model", value=""), "another model: nothing there"),
    (put("history", value={}), "history is of type dict"),
    (put("history", value=[]), "history is not one of 2 epochs"),
    (put("history", 0, value=5), "history is not one of 2 epochs"),
    (drop("history", 0, "seconds"), "history is not one of 2 epochs"),
    (put("history", 0, "more", value=1.0), "history is not one of 2 epochs"),
    (put("history", 0, "train", "loss", value="low"), "history is not one of 2 epochs"),
    (put("history", 0, "seconds", value=-1.0), "out of order, or its seconds below 0"),
    (put("history", 0, "test", "loss", value=nan), "history.0.test.loss is not finite"),
    (put("history", 0, "epoch", value=2), "epochs are out of order"),
    (put("scaler", value={"scale": 2.0}), "the scale of the gradients is missing, or has no use"),
    (put("average", value={"x": torch.zeros(1)}), "averaged weights are not those of the model"),
    (put("record", value=[]), "record is of type list"),
]


@pytest.mark.parametrize(("change", "message"), MALFORMED)
def test_what_does_not_fit_changes_nothing(checkpoint, tmp_path, change, message):
    saved = read_checkpoint(checkpoint)[1]
    del saved["checksum"]
    change(saved)
    write_checkpoint(tmp_path / "checkpoint.pt", saved)
    run = trainer()
    before = content(run)
    with pytest.raises(CheckpointError, match=message) as refusal:
        run.resume(tmp_path)
    assert "\n" not in str(refusal.value)
    assert content(run) == before


def test_the_unchanged_file_fits(checkpoint, tmp_path):
    saved = read_checkpoint(checkpoint)[1]
    del saved["checksum"]
    write_checkpoint(tmp_path / "checkpoint.pt", saved)
    run = trainer()
    before = content(run)
    run.resume(tmp_path)
    assert content(run) != before
    assert run.epoch == 2
    assert len(run.fit()) == 3


def test_what_was_read_is_left_alone(checkpoint):
    saved = read_checkpoint(checkpoint)
    before = first_momentum(saved.content)["momentum"].clone()
    run = trainer()
    run.resume(saved)
    run.fit()
    assert torch.equal(first_momentum(saved.content)["momentum"], before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("beta", value=1), "recipe of another version: beta is unknown"),
        (
            put("lr", value="fast"),
            "that cannot be: lr must be a number, 0 or more, got 'fast'",
        ),
        (put("epochs", value=0), "recipe that cannot be: epochs must be a whole number"),
    ],
)
def test_a_recipe_of_another_version(checkpoint, tmp_path, change, message):
    saved = read_checkpoint(checkpoint)[1]
    del saved["checksum"]
    change(saved["recipe"])
    write_checkpoint(tmp_path / "checkpoint.pt", saved)
    with pytest.raises(CheckpointError, match=message):
        saved_recipe(tmp_path)


def test_options_of_recipes_that_a_checkpoint_does_not_know_are_at_their_defaults(
    checkpoint, tmp_path
):
    saved = read_checkpoint(checkpoint)[1]
    del saved["checksum"]
    for name in ("cutmix", "lr", "seed"):
        del saved["recipe"][name]
    write_checkpoint(tmp_path / "checkpoint.pt", saved)
    assert saved_recipe(tmp_path) == saved_recipe(checkpoint)
    run = trainer()
    run.resume(tmp_path)
    assert len(run.fit()) == 3
    with pytest.raises(CheckpointError, match=r"another recipe: seed 0 \(now 1\)"):
        trainer(recipe=replace(RECIPE, seed=1)).resume(tmp_path)


def test_what_is_not_finite_is_named():
    good = OrderedDict(a=torch.ones(3), b=[1.0, {"c": torch.zeros(2)}], n=torch.tensor(3), s="nan")
    assert non_finite(good) is None
    good["b"][1]["c"][1] = float("inf")
    assert non_finite(good) == "b.1.c"
    assert non_finite({"x": (1, nan)}) == "x.1"
    assert non_finite({"clip": 1e300}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"train_images": lambda data: 255 - data.train_images},
        {"train_labels": lambda data: data.train_labels.flip(0)},
        {"classes": lambda data: tuple(reversed(data.classes))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_data_of_the_same_name_and_size_are_not_the_same(checkpoint, change):
    data = load("digits")
    other = replace(data, **{name: make(data) for name, make in change.items()})
    torch.manual_seed(0)
    run = Trainer(MgNet(1, 10, channels=4, steps=(1,)), other, RECIPE, progress=False)
    with pytest.raises(CheckpointError, match="made with another data: digits"):
        run.resume(checkpoint)


def test_a_factor_of_the_scores_is_part_of_the_model(checkpoint):
    model = MgNet(1, 10, channels=4, steps=(1,), logit_scale=9.0)
    run = Trainer(model, load("digits"), RECIPE, progress=False)
    with pytest.raises(CheckpointError, match="made with another model"):
        run.resume(checkpoint)
