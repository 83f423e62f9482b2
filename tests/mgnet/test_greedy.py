"""The orthogonal greedy algorithm: rates of the theorem, and what a polynomial sigma cannot do."""

import numpy as np
import pytest
from numpy.polynomial import legendre

from mgnet.greedy import bump, orthogonal_greedy, power, relu_power, theorem_rate


def test_the_exponents_of_the_theorem():
    assert [theorem_rate(k, 1) for k in range(4)] == [-1, -2, -3, -4]
    assert theorem_rate(1, 2) == -1.25
    # In high dimensions the gain over n^(-1/2) is gone.
    assert theorem_rate(3, 10**6) == pytest.approx(-0.5, abs=1e-5)


@pytest.mark.parametrize("k", [0, 1, 2])
def test_the_slope_in_one_dimension(k):
    found = orthogonal_greedy(bump, relu_power(k), 1, 64)
    assert found.slope() == pytest.approx(theorem_rate(k, 1), abs=0.3)


@pytest.mark.parametrize("k", [1, 2])
def test_the_slope_in_two_dimensions_is_the_theorems_at_least(k):
    found = orthogonal_greedy(bump, relu_power(k), 2, 96)
    assert found.slope() < theorem_rate(k, 2) + 0.1


@pytest.mark.parametrize("k", [1, 3, 5])
def test_a_polynomial_stops_at_the_best_polynomial(k):
    found = orthogonal_greedy(bump, power(k), 1, 30)
    assert len(found) == k + 1
    x, f = found.points[:, 0], found.f
    best = legendre.legval(x, legendre.legfit(x, f, k))
    expected = np.linalg.norm(f - best) / np.linalg.norm(f)
    assert found.errors[-1] == pytest.approx(expected, rel=1e-6)
    assert expected > 1e-3


def test_beyond_the_last_neuron_all_stays_as_it_is():
    found = orthogonal_greedy(bump, power(2), 1, 30)
    assert found.error(2) == found.errors[2] > found.error(3)
    assert found.error(3) == found.error(128) == found.errors[-1]
    np.testing.assert_array_equal(found.approximation(3), found.approximation(128))


def test_smooth_neurons_end_where_rounding_hides_what_is_left():
    found = orthogonal_greedy(bump, relu_power(3), 1, 128)
    assert 80 < len(found) <= 128
    assert found.error(128) < 1e-7
    assert (np.diff(found.errors) < 0).all()


def test_a_polynomial_in_two_dimensions_has_all_monomials_and_no_more():
    found = orthogonal_greedy(bump, power(3), 2, 30)
    assert len(found) == 10  # (k + 1)(k + 2) / 2


def test_each_approximation_is_the_projection_onto_its_neurons():
    sigma = relu_power(1)
    found = orthogonal_greedy(bump, sigma, 1, 12)
    x = found.points[:, 0]
    for n in (1, 5, 12):
        w, b = found.neurons[:n].T
        neurons = sigma(x[:, None] * w + b)
        best, *_ = np.linalg.lstsq(neurons, found.f, rcond=None)
        np.testing.assert_allclose(found.approximation(n), neurons @ best, atol=1e-9)
        left = found.f - found.approximation(n)
        error = np.linalg.norm(left) / np.linalg.norm(found.f)
        assert found.errors[n] == pytest.approx(error, rel=1e-9)
    assert (np.diff(found.errors) < 0).all()


def test_the_first_neuron_has_most_in_common_with_f():
    found = orthogonal_greedy(bump, relu_power(1), 1, 1)
    x, f = found.points[:, 0], found.f
    best = max(abs(np.maximum(w * x + b, 0) @ f) for w in (-1, 1) for b in np.linspace(-1, 1, 201))
    w, b = found.neurons[0]
    assert abs(np.maximum(w * x + b, 0) @ f) >= 0.999 * best


def test_a_neuron_of_the_dictionary_is_found_at_once():
    found = orthogonal_greedy(lambda x: np.maximum(1 - x - 2 / 1024 / 2, 0), relu_power(1), 1, 5)
    assert found.errors[1] < 1e-12


def test_bad_input():
    with pytest.raises(ValueError, match="d = 1 and d = 2"):
        orthogonal_greedy(bump, relu_power(1), 3, 5)


def test_nothing_to_measure():
    with pytest.raises(ValueError, match="a line from n = 8 on needs more than 4 neurons"):
        orthogonal_greedy(bump, power(3), 1, 30).slope()
    with pytest.raises(ValueError, match="f is zero at all points"):
        orthogonal_greedy(np.zeros_like, power(3), 1, 30)
