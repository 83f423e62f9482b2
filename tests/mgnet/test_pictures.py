"""Own pictures, series and volumes: what is taken, what becomes of it, what is refused and how."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mgnet import MgNet, data
from mgnet.pictures import PictureSet
from mgnet.training import Recipe, Trainer


def own(**changes):
    rng = np.random.default_rng(0)
    parts = {
        "name": "own",
        "train_images": rng.integers(0, 256, (6, 3, 8, 8), np.uint8),
        "train_labels": np.arange(6) % 2,
        "test_images": rng.integers(0, 256, (4, 3, 8, 8), np.uint8),
        "test_labels": np.arange(4) % 2,
        "classes": ["cat", "dog"],
    }
    return parts | changes


def test_the_name_in_data_is_the_same():
    assert data.PictureSet is PictureSet


def test_own_arrays_become_tensors():
    arrays = own(train_labels=np.array([0, 1, 1, 0, 1, 0], ">u2"), test_labels=[1, 0, 0, 1])
    arrays["test_images"] = arrays["test_images"][::-1, :, :, ::-1]
    pictures = PictureSet(**arrays)
    for part in ("train", "test"):
        images, labels = getattr(pictures, f"{part}_images"), getattr(pictures, f"{part}_labels")
        assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
        np.testing.assert_array_equal(images, arrays[f"{part}_images"])
        np.testing.assert_array_equal(labels, arrays[f"{part}_labels"])
    assert pictures.classes == ("cat", "dog")
    before = pictures.train_images.clone()
    arrays["train_images"][:] = 0  # the caller's array and the pictures go their own ways
    assert torch.equal(pictures.train_images, before)


@pytest.mark.parametrize("shape", [(3, 20), (1, 5, 4), (2, 3, 4, 5)])
@pytest.mark.parametrize("dtype", [">f8", "f4", "f2", torch.float64, torch.bfloat16])
def test_floats_of_any_size_and_dimension(shape, dtype):
    values = np.random.default_rng(0).normal(size=(6, *shape))
    given = torch.tensor(values, dtype=dtype) if isinstance(dtype, torch.dtype) else values
    given = given if isinstance(given, torch.Tensor) else values.astype(dtype)
    examples = PictureSet(**own(train_images=given, test_images=given[:4]))
    assert examples.train_images.dtype == torch.float32
    np.testing.assert_array_equal(examples.train_images, torch.as_tensor(
        given if isinstance(given, torch.Tensor) else given.astype("f8")).float())  # fmt: skip
    assert examples.scale == 1


def test_arrays_that_may_not_be_written_are_taken():
    arrays = own()
    arrays["train_images"].flags.writeable = False
    assert PictureSet(**arrays).train_images.shape == (6, 3, 8, 8)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_tensors_are_kept(dtype):
    images = torch.zeros(6, 3, 8, 8, dtype=dtype)
    made = PictureSet(**own(train_images=images, test_images=images[:4]))
    assert made.train_images is images


def test_own_arrays_are_trained_on():
    pictures = PictureSet(**own())
    recipe = Recipe(epochs=1, batch_size=3, shift=1)
    model = MgNet(3, 2, channels=4, steps=(1,))
    assert len(Trainer(model, pictures, recipe, progress=False).fit()) == 1


def test_a_repr_for_people():
    assert repr(PictureSet(**own())) == (
        "PictureSet('own', 6 + 4 examples of shape (3, 8, 8), uint8, 2 classes)"
    )
    assert len(repr(PictureSet(**own(train_images=np.zeros((6, 1, 999), "f8"),
                                     test_images=np.zeros((4, 1, 999)))))) < 100  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": np.zeros((6, 3, 8, 8), int)}, "got int64 .*uint8 if they run from 0"),
        ({"train_images": torch.zeros(6, 3, 8, 8).int()}, "got torch.int32 .*float32 otherwise"),
        ({"train_images": np.zeros((6, 3, 8, 8), complex)}, "must be uint8 or .*complex128"),
        ({"train_images": np.zeros((6, 3, 8, 8), object)}, "must be uint8 or .*, got object"),
        ({"test_images": torch.zeros(4, 3, 8, 8)}, "one shape and type.*torch.float32"),
        ({"test_images": torch.zeros(4, 3, 8, 8, device="meta")}, "dense tensor with values"),
        ({"test_images": torch.zeros(4, 3, 8, 8).to_sparse()}, "dense tensor with values"),
        ({"train_images": np.zeros((6, 8), np.uint8)}, r"\(N, channels, n\), .*, got"),
        ({"train_images": np.zeros((6, 1, 1, 1, 1, 1))}, r"\(N, channels, n\), .*, got"),
        ({"train_images": np.zeros((0, 3, 8, 8), np.uint8)}, r"shape \(0, 3, 8, 8\)"),
        ({"train_images": None}, "train_images must be uint8 .*, got object"),
        ({"train_images": [[1.0, 2.0], [1.0]]}, "one shape: pad or cut"),
        (
            {"train_images": np.ma.masked_less(np.ones((6, 3, 8, 8)) * np.arange(8), 1)},
            "train_images is masked",
        ),
        ({"test_images": np.zeros((4, 3, 9, 8), np.uint8)}, r"\(3, 8, 8\) and \(3, 9, 8\)"),
        ({"train_labels": np.arange(5) % 2}, r"integers of shape \(6,\), one for each example"),
        ({"train_labels": np.zeros((6, 1), int)}, r"got int64 of shape \(6, 1\)"),
        ({"train_labels": np.zeros(6)}, "train_labels must be integers .*, got float64"),
        ({"train_labels": torch.zeros(6).bool()}, "must be integers .*, got torch.bool"),
        ({"train_labels": list("abcdef")}, "train_labels must be integers"),
        (
            {"train_labels": np.arange(6) % 2 + 1},
            r"run from 0 to 1, as there are 2 classes, got 1 to 2: renumber them, by np.unique\(",
        ),
        ({"test_labels": np.array([0, 1, -1, 0])}, "test_labels must run from 0 .* got -1 to 1"),
        ({"classes": 2}, "classes must be the names of the labels 0, 1, ..., got 2"),
        ({"classes": "cat"}, "classes must be the names .*, got 'cat'"),
        ({"classes": {"cat", "dog"}}, "classes must be the names"),
        ({"classes": ()}, "one class at least"),
    ],
)
def test_own_pictures_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        PictureSet(**own(**changes))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_numbers_that_are_not_finite_are_refused(bad):
    values = np.zeros((6, 1, 9))
    values[4, 0, 3] = bad
    with pytest.raises(ValueError, match=r"train_images holds NaN, .* first in example 4"):
        PictureSet(**own(train_images=values, test_images=values[:4]))
    with pytest.raises(ValueError, match="train holds NaN, .* first in example 4"):
        PictureSet.from_arrays(torch.tensor(values), [0, 1] * 3)


# --- statistics ---------------------------------------------------------------------------------


def test_statistics_of_pictures_are_in_units_of_the_range():
    pictures = PictureSet(**own())
    mean, std = pictures.channel_statistics()
    values = own()["train_images"] / 255
    torch.testing.assert_close(mean, torch.tensor(values.mean((0, 2, 3))).float())
    torch.testing.assert_close(std, torch.tensor(values.std((0, 2, 3))).float())
    assert pictures.scale == 255


@pytest.mark.parametrize("offset", [0, 1e5])
def test_statistics_normalise_floats_even_with_a_large_mean(offset):
    x = np.random.default_rng(0).normal(size=(50, 2, 64)) * [[[1.0], [30.0]]] + offset
    made = PictureSet.from_arrays(x, np.arange(50) % 2, dim=1)
    mean, std = made.channel_statistics()
    assert mean.dtype == std.dtype == torch.float32
    values = (made.train_images.double() / made.scale - mean.double()[:, None]) / std[:, None]
    torch.testing.assert_close(values.mean((0, 2)), torch.zeros(2).double(), rtol=0, atol=5e-3)
    torch.testing.assert_close(values.std((0, 2)), torch.ones(2).double(), rtol=2e-3, atol=0)


# --- from_arrays --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "options", "result"),
    [
        ((10, 30), {}, (1, 30)),
        ((10, 1, 30), {}, (1, 30)),
        ((10, 2, 30), {"dim": 1}, (2, 30)),
        ((10, 30, 2), {"dim": 1, "channels_last": True}, (2, 30)),
        ((10, 30, 2), {"channels_last": True}, (2, 30)),
        ((10, 30, 2), {"dim": 1, "channels_last": False}, (30, 2)),
        ((10, 7, 9), {"dim": 2}, (1, 7, 9)),
        ((10, 3, 7, 9), {}, (3, 7, 9)),
        ((10, 3, 7, 3), {}, (3, 7, 3)),
        ((10, 7, 9, 3), {"channels_last": True}, (3, 7, 9)),
        ((10, 7, 9, 3), {"channels_last": False}, (7, 9, 3)),
        ((10, 7, 9, 8), {"dim": 3}, (1, 7, 9, 8)),
        ((10, 2, 7, 9, 8), {}, (2, 7, 9, 8)),
        ((10, 7, 9, 8, 2), {"channels_last": True}, (2, 7, 9, 8)),
    ],
)
@pytest.mark.parametrize("kind", ["uint8", "float", "tensor"])
def test_the_channel_axis(shape, options, result, kind):
    x = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    x = {"uint8": x, "float": x.astype(float), "tensor": torch.tensor(x)}[kind]
    before = x.clone() if kind == "tensor" else x.copy()
    made = PictureSet.from_arrays(x, np.arange(10) % 2, x[:4], [1, 0, 1, 0], **options)
    assert made.train_images.shape == (10, *result)
    assert made.test_images.shape == (4, *result)
    assert made.train_images.dtype == (torch.float32 if kind == "float" else torch.uint8)
    expected = np.asarray(x).reshape(10, -1)
    if options.get("channels_last"):
        expected = np.moveaxis(np.asarray(x), -1, 1).reshape(10, -1)
    np.testing.assert_array_equal(made.train_images.flatten(1), expected)
    assert (x == before).all()


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((10, 28, 28), {}, "train of shape .* pass dim=2 for pictures, dim=1 for series"),
        ((10, 28, 28), {"channels_last": False}, "pass dim=2 for pictures"),
        ((10, 32, 32, 3), {}, "channels_last=True if it is, .*False if there are 32 channels"),
        ((10, 96, 1), {"dim": 1}, "looks as if its last axis were the channels"),
        ((10, 32, 32), {"dim": 2, "channels_last": True}, "no channel axis with dim=2"),
        ((10,), {}, r"train must have shape \(N, n\)"),
        ((10, 1, 2, 2, 2, 2), {}, r"train must have shape \(N, n\)"),
        ((10, 30), {"dim": 2}, "must have 3 or 4 axes with dim=2"),
        ((10, 30), {"dim": 4}, "dim must be 1"),
        ((10, 30), {"channels_last": "yes"}, "channels_last must be True or False"),
        ((10, 0), {}, r"shape \(10, 1, 0\)"),
    ],
)
def test_ambiguous_shapes_are_refused_with_advice(shape, options, message):
    with pytest.raises(ValueError, match=message):
        PictureSet.from_arrays(np.zeros(shape), np.arange(10) % 2, **options)


STRINGS = "T" if hasattr(np.dtypes, "StringDType") else "U1"  # NumPy 1.26 has the latter only


def series(n):
    return np.arange(n * 8.0).reshape(n, 8)


@pytest.mark.parametrize(
    ("labels", "options", "classes", "numbers"),
    [
        ([1, 2, 1, 2], {}, ("1", "2"), [0, 1, 0, 1]),
        ([-1, 1, 1, -1], {}, ("-1", "1"), [0, 1, 1, 0]),
        ([0, 2, 5, 2], {}, ("0", "2", "5"), [0, 1, 2, 1]),
        (torch.tensor([7, 3, 7, 3], dtype=torch.uint8), {}, ("3", "7"), [1, 0, 1, 0]),
        ([True, False, True, False], {}, ("False", "True"), [1, 0, 1, 0]),
        (["dog", "cat", "cow", "cat"], {}, ("cat", "cow", "dog"), [2, 0, 1, 0]),
        (np.array(["dog", "cat"] * 2, object), {}, ("cat", "dog"), [1, 0, 1, 0]),
        (np.array([4, 3] * 2, object), {}, ("3", "4"), [1, 0, 1, 0]),
        (np.array(["b", "a"] * 2, STRINGS), {}, ("a", "b"), [1, 0, 1, 0]),
        (["dog", "cat"] * 2, {"classes": ["dog", "emu", "cat"]}, ("dog", "emu", "cat"),
         [0, 2, 0, 2]),
        ([0, 2, 0, 2], {"classes": ["a", "b", "c"]}, ("a", "b", "c"), [0, 2, 0, 2]),
        ([1, 2, 1, 2], {"classes": ["a", "b"]}, ("a", "b"), [0, 1, 0, 1]),
    ],
)  # fmt: skip
def test_labels_of_many_kinds(labels, options, classes, numbers):
    made = PictureSet.from_arrays(series(4), labels, series(4), labels, **options)
    assert made.classes == classes
    assert made.train_labels.tolist() == made.test_labels.tolist() == numbers


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([0.0, 1.0] * 3, {}, r"train_labels must be integers or strings, got float64: convert"),
        (np.array([0, 1] * 3, complex), {}, "integers or strings, got complex128"),
        (np.array(["a", None] * 3, object), {}, "integers or strings, got object"),
        (np.array(["a", 1] * 3, object), {}, "integers or strings, got object"),
        (np.eye(6), {}, r"shape \(6, 6\): make them so, by labels.argmax\(1\) if they are one-hot"),
        ([0, 1, 0, 1], {}, "train holds 6 examples and train_labels 4 labels"),
        ([3] * 6, {}, "one class only, 3; a classifier needs two"),
        ([0, 1] * 3, {"classes": ["a"]}, "classes names 1, but there are 2 different labels"),
        ([1, 5] * 3, {"classes": ["a", "b", "c"]}, "different labels, from 1 to 5"),
        ([0, 1] * 3, {"classes": ["a", "a"]}, "classes must be names that differ"),
        (["a", "b"] * 3, {"classes": ["a", "c"]}, "holds 'b', which is not in classes"),
        ([0, 0, 0, 0, 0, 1], {}, "class 1 has one example, which cannot be split"),
        ([0, 1] * 3, {"test_fraction": 0.01}, "leaves 5 and sets 1 aside, for 2 classes"),
        ([0, 1] * 3, {"test_fraction": 0.99}, "leaves 0 and sets 6 aside"),
        ([0, 1] * 3, {"test_fraction": 1}, "between 0 and 1, got 1"),
        ([0, 1] * 3, {"seed": 0.5}, "seed must be a whole number"),
        ([0, 1] * 3, {"test": series(6)}, "test and test_labels go together"),
        ([0, 1] * 3, {"test": series(2), "test_labels": [1, 2]}, "test_labels holds '2', which is"),
        ([0, 1] * 3, {"test": series(2), "test_labels": ["0", "1"]}, "both be integers"),
        ([0, 1] * 3, {"test": series(2), "test_labels": []}, "test_labels must be integers"),
        ([], {}, "must be integers or strings, got float64|holds 6 examples"),
        ([0, 1] * 3, {"test": series(2) > 3, "test_labels": [0, 1]}, "test must be uint8 or"),
    ],
)
def test_labels_that_do_not_fit(labels, options, message):
    with pytest.raises(ValueError, match=message):
        PictureSet.from_arrays(series(6), labels, **options)


def test_the_split_is_stratified_reproducible_and_in_order():
    labels = np.repeat(["a", "b", "c"], [60, 30, 10])
    made = PictureSet.from_arrays(series(100), labels, test_fraction=0.3)
    assert torch.bincount(made.train_labels).tolist() == [42, 21, 7]
    assert torch.bincount(made.test_labels).tolist() == [18, 9, 3]
    first = made.train_images[:, 0, 0]
    assert (first.diff() > 0).all()
    both = torch.cat([first, made.test_images[:, 0, 0]]).sort().values
    np.testing.assert_array_equal(both, series(100)[:, 0])
    again = PictureSet.from_arrays(series(100), labels, test_fraction=0.3)
    other = PictureSet.from_arrays(series(100), labels, test_fraction=0.3, seed=1)
    assert torch.equal(again.test_images, made.test_images)
    assert not torch.equal(other.test_images, made.test_images)


@settings(max_examples=60, deadline=None)
@given(
    labels=hnp.arrays(
        st.sampled_from(["i1", "u1", ">i4", "i8", "U3", "?"]), st.integers(8, 40), fill=st.nothing()
    ),
    seed=st.integers(0, 5),
)
def test_every_label_keeps_its_name_or_the_set_is_refused(labels, seed):
    examples = np.arange(len(labels), dtype=float)[:, None]
    kept = examples.copy(), labels.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            made = PictureSet.from_arrays(examples, labels, test_fraction=0.5, seed=seed)
        except ValueError as error:
            made, message = None, str(error)
    if made is None:
        assert any(words in message for words in ("one class only", "one example", "aside"))
        return
    seen = []
    for images, numbers in (
        (made.train_images, made.train_labels),
        (made.test_images, made.test_labels),
    ):
        for at, number in zip(images.flatten().int().tolist(), numbers.tolist(), strict=True):
            assert made.classes[number] == str(labels[at])
            seen.append(at)
    assert sorted(seen) == list(range(len(labels)))  # each example once
    np.testing.assert_array_equal(examples, kept[0])
    np.testing.assert_array_equal(labels, kept[1])
