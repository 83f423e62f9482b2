"""The frequency principle: two bases of one space, and what gradient descent makes of them."""

import math

import numpy as np
import pytest
import torch

from mgnet.frequency import (
    ShallowNetwork,
    condition_number,
    descend,
    gram,
    midpoints,
    neurons,
    sines,
    spectrum,
    train,
)

X = midpoints(2048)


def test_hats_are_finite_elements():
    n = 8
    phi = neurons(X, n)
    np.testing.assert_allclose(phi.max(1), 1, atol=0.01)
    mass = gram(phi)
    expected = (4 * np.eye(n) + np.eye(n, k=1) + np.eye(n, k=-1)) / (6 * n)
    expected[-1, -1] /= 2  # the last hat has its right half beyond 1
    np.testing.assert_allclose(mass, expected, atol=1e-5)


def test_both_bases_span_the_piecewise_linear_functions():
    n = 16
    hat, relu = neurons(X, n), neurons(X, n, math.inf)
    a, *_ = np.linalg.lstsq(relu.T, hat.T, rcond=None)
    np.testing.assert_allclose(relu.T @ a, hat.T, atol=1e-9)
    assert np.linalg.matrix_rank(np.vstack([hat, relu])) == n


def test_a_hat_as_wide_as_the_interval_is_relu():
    n = 16
    np.testing.assert_array_equal(neurons(X, n, n), neurons(X, n, math.inf))


def test_condition_numbers():
    assert all(condition_number(neurons(X, n)) < 6 for n in (8, 32, 128))
    relu = [condition_number(neurons(X, n, math.inf)) for n in (16, 32, 64)]
    orders = np.log2(np.divide(relu[1:], relu[:-1]))
    np.testing.assert_allclose(orders, 4, atol=0.2)


@pytest.mark.parametrize("support", [1.0, 4.0, math.inf])
def test_descent_is_the_loop(support):
    phi, f = neurons(X, 12, support), sines(X, [1, 3])
    length = 1 / np.linalg.eigvalsh(gram(phi))[-1]
    a, errors = np.zeros(12), []
    for step in range(51):
        if step in (0, 1, 50):
            errors.append(f - a @ phi)
        a += length * phi @ (f - a @ phi) / len(X)
    np.testing.assert_allclose(descend(phi, f, [0, 1, 50]), errors, atol=1e-9)


def test_of_hats_every_mode_falls_at_the_rate_of_its_symbol():
    # G = h (2 + cos theta) / 3 on the mode theta = 2 pi k h, and the largest is h.
    n, steps = 128, 3
    phi = neurons(X, n)
    for k in (2, 8, 24):
        theta = 2 * np.pi * k / n
        left = descend(phi, sines(X, [k]), [0, steps])
        # What can be learned of it: the rest is beyond piecewise linear functions.
        best = descend(phi, sines(X, [k]), [10**9])
        first, last = (spectrum(e - best, k)[0, -1] for e in left[:, None])
        assert last / first == pytest.approx((1 - (2 + np.cos(theta)) / 3) ** steps, abs=0.01)


def test_relu_learns_low_frequencies_long_before_high_ones_and_hats_do_not():
    k, steps = [1, 8], [0, 20, 10_000]
    f = sines(X, k)
    relu = spectrum(descend(neurons(X, 128, math.inf), f, steps), 8)[:, [0, 7]]
    hat = spectrum(descend(neurons(X, 128), f, steps), 8)[:, [0, 7]]
    np.testing.assert_allclose(hat[0], 1, atol=1e-6)
    assert (hat[1] < 0.02).all()
    assert relu[2, 0] < 0.02
    assert relu[2, 1] > 0.5


def test_spectrum_of_sines():
    np.testing.assert_allclose(spectrum(sines(X, [2, 5]), 6), [0, 1, 0, 0, 1, 0], atol=1e-9)


@pytest.mark.parametrize("support", [1.0, math.inf])
def test_a_network_begins_as_its_basis(support):
    network = ShallowNetwork(16, support)
    x = torch.as_tensor(X)
    np.testing.assert_allclose(network.hidden(x).T.detach(), neurons(X, 16, support), atol=1e-12)
    assert not network(x).any()


def test_with_all_weights_trained_the_order_of_learning_is_the_same():
    x, steps = midpoints(128), [0, 300]
    f = sines(x, [1, 5])
    relu, hat = (
        spectrum(train(ShallowNetwork(32, support), f, steps, rate=0.005), 5)[:, [0, 4]]
        for support in (math.inf, 1.0)
    )
    np.testing.assert_allclose([relu[0], hat[0]], 1, atol=1e-9)
    assert relu[1, 0] < 0.1 < 0.5 < relu[1, 1]  # the slow wave first
    assert hat[1, 1] < hat[1, 0] < 0.7  # the fast one


def test_the_network_that_is_left_has_the_last_error():
    f = sines(X, [1])
    network = ShallowNetwork(8)
    (error,) = train(network, f, [5])
    np.testing.assert_allclose(f - network(torch.as_tensor(X)).detach().numpy(), error, atol=1e-14)
