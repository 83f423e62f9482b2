"""The models without a network in the lecture's tables: logistic regression and SVMs.

They are scikit-learn's; what is here is their hyperparameters and one way to measure them. All
work on the values of an example as one vector, divided by their root mean square over the training
examples, so results do not depend on units. On MNIST, in per cent (docs/results.md has times)::

    python -m mgnet.baselines mnist --data DIR

    baseline        train %  test %
    logistic          93.49   92.65
    logistic-ridge    93.17   92.58
    svm-linear        92.51   92.35
    svm-polynomial    99.16   97.71
    svm-gaussian      99.99   98.37
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC, LinearSVC
from torch import Tensor

from mgnet import data
from mgnet.pictures import PictureSet
from mgnet.zoo import Result, hint

__all__ = ["BASELINES", "Baseline", "Score", "UnitScale", "baseline", "evaluate"]


class UnitScale(TransformerMixin, BaseEstimator):
    """Divides all values by one number, the root mean square of the training examples.

    Attributes
    ----------
    scale_ : float
    """

    def fit(self, X: np.ndarray, y: Any = None) -> UnitScale:
        """Find that number; 1 if all values are zero."""
        self.scale_ = float(np.sqrt(np.square(X, dtype=np.float64).mean())) or 1.0
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """X / scale, in float64."""
        return np.divide(X, self.scale_, dtype=np.float64)


@dataclass(frozen=True)
class Baseline:
    """A model of scikit-learn with its hyperparameters.

    Attributes
    ----------
    name, family : str
    structure : str
        In words.
    estimator : callable
        Makes the classifier for a number of training examples.
    linear : bool
        Whether it is W x + b, so that its size is fixed.
    results : tuple of Result
        Test accuracies, published and measured.
    """

    name: str
    family: str
    structure: str
    estimator: Callable[[int], BaseEstimator]
    linear: bool
    results: tuple[Result, ...] = ()

    def pipeline(self, examples: int) -> Pipeline:
        """A new scikit-learn pipeline, to be fitted to so many examples, (examples, features)."""
        return Pipeline([("scale", UnitScale()), ("classifier", self.estimator(examples))])

    def parameters(self, features: int, classes: int) -> int | None:
        """How many numbers are trained; None where that depends on the examples, as in kernel SVMs.

        Two classes need one hyperplane.
        """
        return (features + 1) * (classes if classes > 2 else 1) if self.linear else None


@dataclass(frozen=True)
class Score:
    """What a baseline reached.

    Attributes
    ----------
    train_accuracy, test_accuracy : float
        From 0 to 1.
    seconds : float
        Of training.
    auc : float or None
        With two classes, the area under the ROC curve of the test examples, class 1 the positive
        one; None with more classes, or if the test examples are all of one.
    """

    train_accuracy: float
    test_accuracy: float
    seconds: float
    auc: float | None = None


def _results(ours: str, published: str = "") -> tuple[Result, ...]:
    return (Result("MNIST", published, ours=ours, command="python -m mgnet.baselines mnist"),)


#: The baselines by name. Values of C belong to examples of root mean square 1.
BASELINES: dict[str, Baseline] = {
    entry.name: entry
    for entry in (
        # Without ridge there may be no minimum (the lecture's theorem), and on MNIST the test
        # accuracy falls before one is near. 100 iterations, scikit-learn's default, end it.
        Baseline(
            "logistic", "linear", "logistic regression without ridge, 100 iterations of L-BFGS",
            lambda examples: LogisticRegression(C=np.inf, max_iter=100), True,
            _results("92.65", "92.56"),
        ),
        # The lecture's sum of losses + lambda |W|^2 has lambda = 1 / (2 C) = examples / 1200: 50 on
        # MNIST. A fixed lambda would leave nothing of W where there are a hundred examples.
        Baseline(
            "logistic-ridge", "linear", "logistic regression, mean loss + |W|^2 / 1200",
            lambda examples: LogisticRegression(C=600 / examples, max_iter=1000), True,
            _results("92.58"),
        ),
        # One hyperplane for each class against the rest.
        Baseline(
            "svm-linear", "SVM", "linear, hinge loss, C = 600 / examples, class against rest",
            lambda examples: LinearSVC(
                loss="hinge", C=600 / examples, max_iter=10_000, random_state=0
            ), True,
            _results("92.35", "87.73"),
        ),
        # All of it scikit-learn's defaults, which give the lecture's numbers.
        Baseline(
            "svm-polynomial", "SVM", "kernel (gamma x y)^3, gamma = 1 / (features variance), C = 1",
            lambda examples: SVC(
                kernel="poly", degree=3, gamma="scale", coef0=0.0, C=1.0, cache_size=1000
            ), False, _results("97.71", "97.71"),
        ),
        # gamma as above; C = 10, where scikit-learn's default is 1, was not tuned.
        Baseline(
            "svm-gaussian", "SVM",
            "kernel exp(-gamma |x - y|^2), gamma = 1 / (features variance), C = 10",
            lambda examples: SVC(kernel="rbf", gamma="scale", C=10.0, cache_size=1000), False,
            _results("98.37"),
        ),
    )
}  # fmt: skip


def baseline(name: str) -> Baseline:
    """The baseline with this name; ValueError with all names if there is none."""
    if name in BASELINES:
        return BASELINES[name]
    raise ValueError(
        f"unknown baseline {name!r}; {hint(name, BASELINES)}known are {', '.join(BASELINES)}"
    )


def evaluate(model: Baseline | str, data: PictureSet) -> Score:
    """Train a baseline and measure it.

    Parameters
    ----------
    model : Baseline or str
        Or its name.
    data : PictureSet
        Pictures, series or volumes.

    Returns
    -------
    Score

    Raises
    ------
    ValueError
        For an unknown name, or if all training labels are the same.

    Examples
    --------
    >>> from mgnet.data import load
    >>> evaluate("svm-gaussian", load("digits")).test_accuracy > 0.97
    True
    """
    entry = baseline(model) if isinstance(model, str) else model
    x, y = _vectors(data.train_images), data.train_labels.cpu().numpy()
    x_test, y_test = _vectors(data.test_images), data.test_labels.cpu().numpy()
    if (y == y[0]).all():
        raise ValueError(
            f"all training labels are {data.classes[y[0]]!r}: two classes are needed at least"
        )
    pipeline = entry.pipeline(len(x))
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what ends it is part of the recipe
        pipeline.fit(x, y)
    seconds = time.perf_counter() - began
    auc = None
    if len(data.classes) == 2 and len(np.unique(y_test)) == 2:
        auc = float(roc_auc_score(y_test, pipeline.decision_function(x_test)))
    train, test = (float((pipeline.predict(a) == b).mean()) for a, b in ((x, y), (x_test, y_test)))
    return Score(train, test, seconds, auc)


def _vectors(images: Tensor) -> np.ndarray:
    """Each example as one vector, (N, features)."""
    return images.flatten(1).cpu().numpy()


def main(arguments: list[str] | None = None) -> None:
    """Print a table of baselines on one data set."""
    parser = argparse.ArgumentParser(prog="python -m mgnet.baselines", description=main.__doc__)
    parser.add_argument("dataset", choices=data.DATA_SETS)
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(BASELINES)}; all by default")
    parser.add_argument("--data", metavar="DIR", help="folder with the files (else $MGNET_DATA)")
    args = parser.parse_args(arguments)
    try:
        entries = [baseline(name) for name in args.names or BASELINES]
        examples = data.load(args.dataset, args.data)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(examples)
    print("baseline        train %  test %   AUC %  seconds")
    for entry in entries:
        score = evaluate(entry, examples)
        auc = "-" if score.auc is None else f"{100 * score.auc:.2f}"
        print(
            f"{entry.name:<16}{100 * score.train_accuracy:7.2f} {100 * score.test_accuracy:7.2f}"
            f" {auc:>7} {score.seconds:8.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
