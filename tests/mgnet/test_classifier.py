"""Classifiers: what they see, and files from which they are built again."""

import copy
import json
import os
import shutil
import sys

import numpy as np
import pytest
import torch
from torch import nn

import mgnet
from mgnet import MgNet
from mgnet.classifier import Classifier, Normalise
from mgnet.data import load as load_data
from mgnet.folder import FolderError
from mgnet.loading import load
from mgnet.pictures import PictureSet
from mgnet.recipe import Recipe
from mgnet.training import Trainer

RECIPE = Recipe(
    epochs=2, batch_size=128, shift=1, flip="never", lr=0.24,
    precision="float32", layout="contiguous",  # as in a file, so that numbers are the same
)  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    torch.manual_seed(0)
    model = MgNet(1, 10, channels=(8, 16), steps=(2, 1), sigma=["relu", "hat-6-trained"])
    trainer = Trainer(model, digits, RECIPE, folder=tmp_path_factory.mktemp("run"), progress=False)
    trainer.fit()
    return trainer


def test_normalisation_is_part_of_the_model(digits, run):
    x = digits.test_images[:7]
    mean, std = (255 * s for s in digits.channel_statistics())
    by_hand = run.model.network.eval()((x.float() - mean) / std)
    torch.testing.assert_close(run.model(x), by_hand)


def test_a_constant_channel_becomes_zero():
    x = torch.full((2, 1, 3), 7.0)
    assert not Normalise(torch.tensor([7.0]), torch.tensor([0.0]))(x).any()


def test_a_channel_that_is_constant_but_for_rounding_is_not_blown_up():
    examples = np.full((999, 1, 7), 0.1, np.float32)
    examples[::2] = np.nextafter(examples[0], 1)
    pulses = PictureSet.from_arrays(examples, np.arange(999) % 3)
    mean, std = pulses.channel_statistics()
    assert 0 < std < 1e-7
    assert Normalise(mean, std)(torch.full((1, 1, 7), 0.10001)).abs().max() < 1e-4
    # A small deviation of numbers that are small themselves is one.
    assert Normalise(torch.tensor([0.0]), torch.tensor([1e-9])).std == 1e-9


def test_prediction(digits, run):
    seen = run.model.predict(digits.test_images)
    assert seen.probabilities.shape == (360, 10)
    np.testing.assert_allclose(seen.probabilities.sum(1), 1, rtol=1e-5)
    assert seen.names == [str(k) for k in seen.labels]
    accuracy = (seen.labels == digits.test_labels.numpy()).mean()
    assert accuracy == pytest.approx(run.history[-1].test["accuracy"])
    assert run.model.predict(digits.test_images[3].numpy()).labels == seen.labels[3]
    assert len(repr(seen)) < 120


def test_confusion(digits, run):
    matrix = run.model.confusion(digits.test_images, digits.test_labels)
    assert matrix.sum(1).tolist() == np.bincount(digits.test_labels, minlength=10).tolist()
    accuracy = run.history[-1].test["accuracy"]
    assert np.trace(matrix) / matrix.sum() == pytest.approx(accuracy)


def test_features_are_u_on_every_level(digits, run):
    features = run.model.features(digits.test_images[:3])
    assert [tuple(u.shape) for u in features] == [(3, 8, 8, 8), (3, 16, 4, 4)]
    scores = run.model.network.head(features[-1].flatten(2).mean(2))
    torch.testing.assert_close(run.model(digits.test_images[:3]), scores)


def test_averages_over_views(digits, run):
    x = digits.test_images[:9]
    mean = (run.model.scores(x) + run.model.scores(x.flip(-1))) / 2
    torch.testing.assert_close(run.model.scores(x, flip=True), mean)
    moved = [x[..., [1, 0, 1, 2, 3, 4, 5, 6]][..., [1, 0, 1, 2, 3, 4, 5, 6], :]]
    moved += [x[..., [1, 2, 3, 4, 5, 6, 7, 6]][..., [1, 2, 3, 4, 5, 6, 7, 6], :]]
    mean = sum(map(run.model.scores, [x, *moved])) / 3
    torch.testing.assert_close(run.model.scores(x, shift=1), mean)


def test_looking_leaves_the_mode(digits, run):
    run.model.train()
    run.model.predict(digits.test_images[:2])
    assert run.model.training
    run.model.eval()


@pytest.mark.parametrize("name", ["", "checkpoint.pt", "weights.safetensors"])
def test_a_run_is_loaded_from_any_of_its_files(digits, run, name):
    again = mgnet.load(run.folder / name)
    assert not again.training
    assert again.classes == tuple(map(str, range(10)))
    run.model.eval()
    assert torch.equal(again(digits.test_images), run.model(digits.test_images))


def test_a_folder_without_its_checkpoint_is_loaded_from_its_weights(digits, run, tmp_path):
    shutil.copy(run.folder / "weights.safetensors", tmp_path)
    run.model.eval()
    again = mgnet.load(tmp_path)
    assert torch.equal(again(digits.test_images), run.model(digits.test_images))


def test_averaged_weights_are_the_ones_that_count(digits, tmp_path):
    recipe = Recipe(**(RECIPE.__dict__ | {"ema": 0.8, "epochs": 1}))
    trainer = Trainer(
        MgNet(1, 10, channels=4, steps=(1,)), digits, recipe, folder=tmp_path, progress=False
    )
    trainer.fit()
    there = trainer.trained(digits.test_images)
    assert not torch.equal(there, trainer.model.eval()(digits.test_images))
    for name in ("checkpoint.pt", "weights.safetensors"):
        assert torch.equal(load(tmp_path / name)(digits.test_images), there)


def test_half_precision_halves_the_file(digits, run, tmp_path):
    run.model.save(tmp_path / "full.safetensors")
    run.model.save(tmp_path / "half.safetensors", half=True)
    full, half = ((tmp_path / f"{n}.safetensors").stat().st_size for n in ("full", "half"))
    assert half < 0.7 * full
    again = load(tmp_path / "half.safetensors")
    assert next(again.parameters()).dtype == torch.float32
    torch.testing.assert_close(
        again(digits.test_images), run.model(digits.test_images), rtol=1e-2, atol=2e-2
    )


@pytest.mark.parametrize(("name", "value"), [("mean", 1e5), ("std", 1e-9)])
def test_numbers_that_half_precision_does_not_have(run, tmp_path, name, value):
    model = copy.deepcopy(run.model)
    getattr(model.normalise, name).fill_(value)
    with pytest.raises(ValueError, match=f"normalise.{name} does not fit into float16"):
        model.save(tmp_path / "half.safetensors", half=True)
    assert os.listdir(tmp_path) == []


def test_other_networks_are_loaded_with_what_they_are_built_of(digits, tmp_path):
    for name in ("resnet18-A", "preact-resnet18-AB", "mgnet-64-chebyshev", "logistic-regression"):
        shape = {"picture": (1, 8, 8)} if name == "logistic-regression" else {}
        network = mgnet.build(name, 10, 1, **shape)
        model = Classifier(network, Normalise(torch.zeros(1), torch.ones(1)), digits.classes)
        model.save(tmp_path / f"{name}.safetensors")
        again = load(tmp_path / f"{name}.safetensors")
        assert torch.equal(again(digits.test_images[:4]), model.eval()(digits.test_images[:4]))


def test_weights_are_known_by_what_is_in_the_file(run, tmp_path):
    run.model.save(tmp_path / "digits.bin")
    run.model.save(tmp_path / "digits.pt")
    for name in ("digits.bin", "digits.pt"):
        assert load(tmp_path / name).classes == run.model.classes


def test_weights_that_cannot_be_written(run, tmp_path):
    path = tmp_path / "missing" / "weights.safetensors"
    with pytest.raises(FolderError, match="weights.safetensors could not be .*No such"):
        run.model.save(path)


@pytest.mark.skipif(sys.platform == "win32", reason="files have other permissions there")
def test_others_may_read_the_weights_as_they_may_other_files(run):
    modes = {path.name: path.stat().st_mode for path in run.folder.iterdir()}
    assert modes["weights.safetensors"] == modes["log.csv"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on files")
def test_on_a_full_disk_the_weights_of_before_stay(run, tmp_path):
    import resource

    path = tmp_path / "weights.safetensors"
    run.model.save(path)
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(FolderError, match="could not be written .*; the one of before stays"):
            run.model.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


class Own(nn.Module):
    dim = 2

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(x.flatten(1))


def test_a_network_of_one_s_own_trains_and_says_why_it_cannot_be_built_again(digits, tmp_path):
    with pytest.warns(UserWarning, match="mgnet.load will not read what .* Own is none of"):
        trainer = Trainer(Own(), digits, RECIPE, folder=tmp_path, progress=False)
    trainer.fit()
    assert trainer.model.predict(digits.test_images[:2]).labels.shape == (2,)
    for name in ("checkpoint.pt", "weights.safetensors"):
        with pytest.raises(ValueError, match="does not say how its network is built"):
            load(tmp_path / name)
    with pytest.raises(ValueError, match="build it yourself"):
        trainer.model.save(tmp_path / "own.safetensors")
    with pytest.raises(ValueError, match="Own has no levels"):
        trainer.model.features(digits.test_images[:2])


def spoiled(path, **changes):
    """The file with another record."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(path, "pt") as stream:
        about = json.loads(stream.metadata()["mgnet"])
    target = path.parent.parent / "spoiled.safetensors"
    save_file(load_file(path), target, {"mgnet": json.dumps(about | changes)})
    return target


def test_files_that_are_none(run, tmp_path):
    path = run.folder / "weights.safetensors"
    with pytest.raises(ValueError, match="there is no file"):
        load(tmp_path / "weights.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(ValueError, match="is damaged, or not a file of mgnet's"):
        load(tmp_path / "text.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="is damaged"):
        load(tmp_path / "cut.safetensors")
    with pytest.raises(ValueError, match="does not say how its network is built: unknown network"):
        load(spoiled(path, network="Net"))
    with pytest.raises(ValueError, match="the weights in .* are not those of its network"):
        load(spoiled(path, network="LeNet5", options=LENET))


LENET = {"in_channels": 1, "num_classes": 10, "sigma": "tanh"}


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (torch.rand(2, 1, 8, 8), r"trained on uint8 from 0 to 255, got torch.float32; multiply"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), r"must be \(N, 1, n, n\) or one \(1, n, n\)"),
        (torch.zeros(8, 8, dtype=torch.uint8), "examples must be"),
        ("cat.jpg", "examples must be a tensor or an array of numbers, got str"),
        (None, "examples must be a tensor or an array of numbers, got NoneType"),
        (np.array([None, "a"], object), "a tensor or an array of numbers, got object"),
        ([np.zeros((1, 8, 8)), np.zeros((1, 8, 9))], "an array of numbers, got list"),
        ([torch.zeros(1, 8, 8, requires_grad=True)], "an array of numbers, got list"),
        (torch.zeros(1, 1, 8, 8, device="meta"), "examples must be a dense tensor with values"),
    ],
)
def test_examples_of_another_kind(run, examples, message):
    for look in (run.model.predict, run.model.scores, run.model.features):
        with pytest.raises(ValueError, match=message):
            look(examples)


def test_a_list_of_examples_is_an_array_of_them(digits, run):
    x = digits.test_images[:3]
    for some in (list(x.numpy()), list(x)):
        np.testing.assert_array_equal(run.model.scores(some), run.model.scores(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": True}, "batch_size must be positive whole numbers"),
        ({"shift": 8}, "shift must be a whole number, 0 or more and below 8, got 8"),
        ({"flip": 1}, "flip must be True"),
    ],
)
def test_views_that_cannot_be(digits, run, options, message):
    with pytest.raises(ValueError, match=message):
        run.model.scores(digits.test_images[:3], **options)


@pytest.mark.parametrize("classes", [["a"], list("abc")])
def test_each_score_has_a_name(classes):
    unit = Normalise(torch.zeros(1), torch.ones(1))
    model = Classifier(MgNet(1, 2, channels=4, steps=(1,)), unit, classes)
    with pytest.raises(ValueError, match=rf"must give \(batch, {len(classes)}\) scores"):
        model.predict(torch.zeros(1, 1, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": "ab"}, "classes must be the names of the labels"),
        ({"classes": []}, "classes must name one class"),
        ({"dtype": "int8"}, "examples are uint8 or float32, got 'int8'"),
        ({"middle": -3}, "middle must be above 0, 1 at most, got -3"),
    ],
)
def test_classifiers_that_cannot_be(options, message):
    unit = Normalise(torch.zeros(1), torch.ones(1))
    with pytest.raises(ValueError, match=message):
        Classifier(nn.Identity(), unit, **{"classes": ["a", "b"], **options})


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ([0.0], [-1.0], "std 0 or more"),
        ([float("nan")], [1.0], "mean must be finite"),
        ([0.0] * 3, [1.0], "mean is of 3 channels and std of 1"),
        ([0], [1.0], "mean must be a floating-point tensor"),
    ],
)
def test_normalisations_that_cannot_be(mean, std, message):
    with pytest.raises(ValueError, match=message):
        Normalise(torch.tensor(mean), torch.tensor(std))
    with pytest.raises(ValueError, match="must be a floating-point tensor"):
        Normalise(np.zeros(1), np.ones(1))


def test_numbers_that_are_none_are_no_class():
    unit = Normalise(torch.zeros(1), torch.ones(1))
    model = Classifier(MgNet(1, 2, channels=4, steps=(1,)), unit, ["a", "b"], "float32")
    examples = np.ones((3, 1, 8, 8), np.float32)
    examples[1, 0, 3, 3] = np.nan
    with pytest.raises(ValueError, match="example 1 has a number that is not finite"):
        model.predict(examples)


def test_arrays_that_torch_would_not_take(digits, run):
    x = digits.test_images[:3].numpy().copy()
    x.setflags(write=False)  # as Pillow's are
    torch.testing.assert_close(run.model.predict(x[::-1]).probabilities,
                               run.model.predict(x).probabilities[::-1].copy())  # fmt: skip
    half = copy.deepcopy(run.model).bfloat16().predict(x)
    assert half.probabilities.dtype == np.float32


def test_a_fully_connected_network_of_series():
    x = np.random.default_rng(0).standard_normal((40, 32)).astype(np.float32)
    series = PictureSet.from_arrays(x, np.arange(40) % 2)
    network = mgnet.build("one-hidden-layer", 2, picture=(1, 32), width=5)
    trainer = Trainer(network, series, Recipe(epochs=1, batch_size=8), progress=False)
    trainer.fit()
    assert len(trainer.model.predict(series.test_images).labels) == len(series.test_images)


@pytest.mark.parametrize("name", ["lenet-5", "alexnet-small"])
def test_networks_without_levels_have_no_features(name):
    network = mgnet.build(name, 2, 1)
    model = Classifier(network, Normalise(torch.zeros(1), torch.ones(1)), ["a", "b"], "float32")
    with pytest.raises(ValueError, match="has no levels to look at"):
        model.features(torch.ones(1, 1, 32, 32))


def test_labels_that_do_not_fit(digits, run):
    with pytest.raises(ValueError, match="3 examples need as many labels"):
        run.model.confusion(digits.test_images[:3], [1, 2])
    for labels in (["1", "2", "3"], [0.7, 1.0, 2.0]):
        with pytest.raises(ValueError, match="labels must be whole numbers, places in classes"):
            run.model.confusion(digits.test_images[:3], labels)
    with pytest.raises(ValueError, match="labels must run from 0 to 9"):
        run.model.confusion(digits.test_images[:3], [1, 2, 10])
