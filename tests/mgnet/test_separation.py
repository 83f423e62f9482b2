"""Separation: the lecture's theorem on lambda, and hyperplanes that are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from mgnet.separation import (
    clouds,
    disc_and_ring,
    logistic_regression,
    maximum_margin,
    separable,
    with_radius,
)


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=12), st.integers(1, 11))
def test_on_a_line_sets_are_separable_if_they_do_not_interlock(values, cut):
    x, first = np.array(values, float), np.arange(len(values)) < cut
    if first.all():
        return
    a, b = x[first], x[~first]
    assert separable(x[:, None], first) == (a.max() < b.min() or b.max() < a.min())


def test_the_widest_margin_by_hand():
    x = np.array([[0.0, 0], [2, 1], [2, -1], [5, 0]])
    plane = maximum_margin(x, np.array([True, False, False, False]))
    np.testing.assert_allclose([*plane.w, plane.b], [-1, 0, 1], atol=1e-6)
    assert plane.margin(x, np.array([True, False, False, False])) == pytest.approx(1, abs=1e-6)


def test_angles_by_hand():
    x = np.array([[0.0, 0], [2, 0]])
    plane = maximum_margin(x, np.array([True, False]))
    for degrees in (1e-7, 30, 179):
        turned = np.radians(180 + degrees)
        other = plane._replace(w=np.array([np.cos(turned), np.sin(turned)]))
        assert plane.angle(other) == pytest.approx(degrees, rel=1e-6)


@pytest.mark.parametrize("penalty", [10.0, 0.1, 1e-3])
@pytest.mark.parametrize("stray", [0.0, 1.0])
def test_logistic_regression_is_scikit_learns(penalty, stray):
    x, first = clouds(stray)
    ours = logistic_regression(x, first, penalty)
    theirs = LogisticRegression(C=1 / (2 * penalty), tol=1e-12, max_iter=10_000).fit(x, first)
    np.testing.assert_allclose(ours.w, theirs.coef_[0], rtol=1e-4, atol=1e-6)
    assert ours.b == pytest.approx(theirs.intercept_[0], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("stray", [0.3, 0.5])
def test_as_lambda_falls_the_line_turns_into_that_of_the_svm(seed, stray):
    # Against scikit-learn's own SVM, not by way of ours. w = |w| (direction + O(1/|w|)), so the
    # angle falls as 1 / log(1/lambda) at least; where only two points carry the margin, faster.
    x, first = clouds(stray, seed=seed)
    svm = SVC(kernel="linear", C=1e8, tol=1e-8).fit(x, first)
    direction = svm.coef_[0] / np.linalg.norm(svm.coef_)
    angles, norms = [], []
    for penalty in (1e-1, 1e-30, 1e-60, 1e-120):
        w = logistic_regression(x, first, penalty).w
        norms.append(np.linalg.norm(w))
        angles.append(np.degrees(np.linalg.norm(w / norms[-1] - direction)))
    assert angles[-1] < 0.4 < 4 < angles[0]
    assert angles[2] < 0.55 * angles[1] + 1e-5
    assert angles[3] < 0.55 * angles[2] + 1e-5
    line = logistic_regression(x, first, 1e-120)
    best = 1 / np.linalg.norm(svm.coef_)
    assert 0.99 * best < line.margin(x, first) <= best * (1 + 1e-6)


def test_weights_run_away_as_log_of_lambda_over_the_margin():
    x, first = clouds()
    margin = maximum_margin(x, first).margin(x, first)
    penalties = np.array([1e-12, 1e-14, 1e-16])
    norms = [np.linalg.norm(logistic_regression(x, first, p).w) for p in penalties]
    slopes = -np.diff(norms) / np.diff(np.log(penalties))
    # The logarithm of a logarithm is missing, a few per cent here.
    np.testing.assert_allclose(slopes * margin, 1, rtol=0.06)


def test_inseparable_sets_have_a_minimiser_without_a_penalty():
    x, first = clouds(stray=1.0)
    assert not separable(x, first)
    lines = [logistic_regression(x, first, penalty) for penalty in (1e-8, 1e-12)]
    np.testing.assert_allclose(lines[0].w, lines[1].w, rtol=1e-6)
    with pytest.raises(ValueError, match="no hyperplane separates"):
        maximum_margin(x, first)


@pytest.mark.parametrize("seed", range(3))
def test_a_likelihood_above_one_half_classifies_and_small_penalties_lead_there(seed):
    x, first = clouds(seed=seed)
    found = 0
    for penalty in 10.0 ** np.arange(2, -6, -1):
        line = logistic_regression(x, first, penalty)
        likelihood = np.prod(1 / (1 + np.exp(-np.where(first, 1, -1) * line(x))))
        if likelihood > 1 / 2:
            assert line.margin(x, first) > 0
            found += 1
    assert found


def test_the_feature_map_separates_a_disc_from_a_ring():
    x, first = disc_and_ring()
    assert not separable(x, first)
    lifted = with_radius(x)
    np.testing.assert_allclose(lifted[:, 2], np.linalg.norm(x, axis=1) ** 2)
    plane = maximum_margin(lifted, first)
    # Mostly the radius decides.
    assert plane.w[2] < -3 * abs(plane.w[:2]).max()


def test_bad_input():
    x, first = clouds()
    with pytest.raises(ValueError, match="must be positive"):
        logistic_regression(x, first, 0.0)
    with pytest.raises(ValueError, match="one bool for each"):
        separable(x, first.astype(int))
    with pytest.raises(ValueError, match="one of the two sets is empty"):
        logistic_regression(x, np.ones(len(x), bool), 1.0)


@pytest.mark.parametrize("size", [1e-12, 1e-5, 1.0, 1e9])
@pytest.mark.parametrize("middle", [0.0, 3.0])
def test_units_and_origin_make_no_difference(size, middle):
    x, first = clouds(0.5)
    plane, there = maximum_margin(x, first), size * (x + middle)
    assert separable(there, first)
    moved = maximum_margin(there, first)
    np.testing.assert_allclose(moved(there), plane(x), rtol=1e-5, atol=1e-5)
    assert abs(moved(there)).min() == pytest.approx(1, abs=1e-5)


def test_lists_are_points_too():
    x, first = [[0.0], [1.0]], [True, False]
    assert separable(x, first)
    assert maximum_margin(x, first).w[0] == pytest.approx(-2)
    assert logistic_regression(x, first, 0.1).w[0] < 0


def test_features_in_units_of_their_own_and_gaps_that_are_small():
    x = np.array([[0, 0], [1e9, 0], [0, 1], [1e9, 1]])
    first = np.array([True, True, False, False])
    assert separable(x, first)
    x = np.array([[0.0], [99_999], [100_000], [2e5]])  # the gap is 5e-6 of the whole
    plane = maximum_margin(x, first)
    np.testing.assert_allclose(plane(x[1:3]), [1, -1], rtol=1e-3)
