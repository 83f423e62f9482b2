"""Logistic regression and SVMs: their scores, their sizes, and the accuracies of MNIST's table."""

import os
from dataclasses import fields

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from mgnet.baselines import BASELINES, Baseline, UnitScale, baseline, evaluate, main
from mgnet.data import load
from mgnet.pictures import PictureSet

#: Test accuracies on scikit-learn's digits that any sound implementation reaches.
DIGITS = {
    "logistic": 0.94, "logistic-ridge": 0.92, "svm-linear": 0.92,
    "svm-polynomial": 0.98, "svm-gaussian": 0.98,
}  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    return load("digits")


@pytest.mark.parametrize("name", BASELINES)
def test_digits(digits, name):
    score = evaluate(name, digits)
    assert score.test_accuracy > DIGITS[name]
    assert score.train_accuracy > score.test_accuracy
    assert score.seconds > 0
    assert score.auc is None  # that is for two classes
    again = evaluate(BASELINES[name], digits)
    for field in fields(score):
        if field.name != "seconds":
            assert getattr(again, field.name) == getattr(score, field.name)


def two_classes(n=200, units=1.0, dtype=torch.float32):
    """Series that differ by the place of a bump, with noise: classes overlap."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    at = np.where(labels == 1, 14.0, 10.0)[:, None]
    x = np.exp(-((np.arange(32) - at) ** 2) / 20) + 0.8 * rng.normal(size=(n, 32))
    return PictureSet.from_arrays(
        torch.tensor(units * x, dtype=dtype), np.where(labels, "late", "early"), test_fraction=0.5
    )


@pytest.mark.parametrize("name", BASELINES)
def test_series_of_two_classes_have_an_auc(name):
    score = evaluate(name, two_classes())
    assert 0.6 < score.test_accuracy <= score.auc < 1


@pytest.mark.parametrize("name", BASELINES)
def test_scores_do_not_depend_on_units(name):
    one, other = (evaluate(name, two_classes(units=units)) for units in (1.0, 2.0**20))
    assert (one.test_accuracy, one.auc) == (other.test_accuracy, other.auc)


def test_the_auc_is_the_share_of_pairs_in_the_right_order():
    data = two_classes()
    score = evaluate("svm-gaussian", data)
    x, y = data.train_images.flatten(1).numpy(), data.train_labels.numpy()
    values = BASELINES["svm-gaussian"].pipeline(len(x)).fit(x, y)
    values = values.decision_function(data.test_images.flatten(1).numpy())
    late, early = (values[data.test_labels.numpy() == k] for k in (1, 0))
    assert score.auc == pytest.approx((late[:, None] > early).mean(), abs=1e-12)


def test_no_auc_where_the_test_examples_are_of_one_class():
    data = two_classes()
    late = data.test_labels == 1
    one = PictureSet(
        "late", data.train_images, data.train_labels, data.test_images[late],
        data.test_labels[late], data.classes,
    )  # fmt: skip
    assert evaluate("logistic-ridge", one).auc is None


@pytest.mark.parametrize("name", [n for n, entry in BASELINES.items() if entry.linear])
@pytest.mark.parametrize("classes", [2, 10])
def test_sizes_are_those_of_what_is_fitted(digits, name, classes):
    some = digits.train_labels < classes
    x, y = digits.train_images[some].flatten(1).numpy(), digits.train_labels[some].numpy()
    classifier = BASELINES[name].pipeline(len(x)).fit(x, y)["classifier"]
    size = classifier.coef_.size + classifier.intercept_.size
    assert BASELINES[name].parameters(64, classes) == size


def test_kernel_machines_have_no_fixed_size():
    assert BASELINES["svm-polynomial"].parameters(784, 10) is None
    assert BASELINES["logistic"].parameters(784, 10) == 7_850


def test_the_ridge_is_the_one_of_the_lecture(digits):
    """At the minimum of the sum of losses + lambda |W|^2, 2 lambda W = sum of (e_y - p) x."""
    x, y = digits.train_images.flatten(1).numpy(), digits.train_labels.numpy()
    ridge = BASELINES["logistic-ridge"].pipeline(len(x))
    fitted = ridge.set_params(classifier__tol=1e-8).fit(x, y)
    towards = np.eye(10)[y] - fitted.predict_proba(x)
    W = towards.T @ fitted["scale"].transform(x) / (2 * len(x) / 1200)
    np.testing.assert_allclose(W, fitted["classifier"].coef_, atol=1e-4 * np.abs(W).max())


def test_unit_scale():
    x = np.random.default_rng(0).integers(0, 256, (20, 5), np.uint8)
    scale = clone(UnitScale()).fit(x)
    assert np.square(scale.transform(x)).mean() == pytest.approx(1)
    np.testing.assert_allclose(scale.transform(x[:3]) * scale.scale_, x[:3])
    assert (UnitScale().fit_transform(np.zeros((3, 2))) == 0).all()


def test_own_baselines_are_measured(digits):
    own = Baseline("own", "linear", "C = 1", lambda examples: LogisticRegression(), linear=True)
    assert evaluate(own, digits).test_accuracy > 0.94


def test_unknown_names_and_single_classes(digits):
    with pytest.raises(ValueError, match="unknown baseline 'svm-gauss'; near are svm-gaussian"):
        baseline("svm-gauss")
    with pytest.raises(ValueError, match="known are logistic, logistic-ridge, svm-linear"):
        evaluate("zzz", digits)
    images, labels = torch.zeros(4, 1, 8), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(ValueError, match="all training labels are 'a': two classes are needed"):
        evaluate("logistic", PictureSet("one", images, labels, images, labels, ("a", "b")))


def test_the_table(capsys):
    main(["digits", "svm-polynomial", "logistic-ridge"])
    first, header, *rows = capsys.readouterr().out.splitlines()
    assert first.startswith("PictureSet('digits', 1,437 + 360 examples")
    assert [row.split()[0] for row in rows] == ["svm-polynomial", "logistic-ridge"]
    assert len({len(line) for line in (header, *rows)}) == 1
    with pytest.raises(SystemExit):
        main(["digits", "svm"])
    assert "unknown baseline 'svm'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif("MGNET_DATA" not in os.environ, reason="MGNET_DATA names no folder")
@pytest.mark.parametrize(
    ("name", "least"), [("svm-linear", 0.83), ("svm-polynomial", 0.90), ("svm-gaussian", 0.94)]
)
def test_a_tenth_of_mnist(name, least):
    mnist = load("mnist")
    tenth = PictureSet(
        "a tenth", mnist.train_images[:6000], mnist.train_labels[:6000],
        mnist.test_images[:2000], mnist.test_labels[:2000], mnist.classes,
    )  # fmt: skip
    assert evaluate(name, tenth).test_accuracy > least
