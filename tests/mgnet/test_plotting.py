"""Figures of the trained side show the numbers they are given, on the axes they are given."""

import numpy as np
import pytest

from mgnet import plotting
from mgnet.greedy import orthogonal_greedy, relu_power
from mgnet.journal import Epoch
from mgnet.separation import clouds, maximum_margin


@pytest.fixture
def ax():
    from matplotlib.figure import Figure

    fig = Figure(layout="constrained")
    ax = fig.subplots()
    yield ax
    fig.canvas.draw()  # what cannot be drawn fails here


def test_history(ax):
    rows = [
        Epoch(k, {"loss": 1.0, "accuracy": 0.5 + 0.1 * k}, {"loss": 1.0, "accuracy": 0.1 * k}, 1, 1)
        for k in (1, 2, 3)
    ]
    assert plotting.plot_history(ax, rows) is ax
    train, test, last = ax.lines
    np.testing.assert_allclose(train.get_xydata(), [[1, 60], [2, 70], [3, 80]])
    np.testing.assert_allclose(test.get_xydata(), [[1, 10], [2, 20], [3, 30]])
    np.testing.assert_allclose(last.get_xydata(), [[3, 30]])
    assert ax.get_title() == "test accuracy after the last epoch: 30.00%"
    assert ax.get_ylabel() == "accuracy (%)"


def test_history_of_a_loss(ax):
    rows = [Epoch(k, {"loss": 2.0 / k}, {"loss": 1.0 / k}, 1, 1) for k in (1, 2)]
    plotting.plot_history(ax, rows)
    assert ax.lines[1].get_ydata().tolist() == [1.0, 0.5]
    assert ax.get_title() == "test loss after the last epoch: 0.5"


def test_boundaries(ax):
    x, first = clouds()
    plane = maximum_margin(x, first)
    assert plotting.plot_boundaries(ax, x, first, {"SVM": plane}, stray=0) is ax
    a, b, stray = (points.get_offsets() for points in ax.collections[:3])
    np.testing.assert_array_equal(a, x[first])
    np.testing.assert_array_equal(b, x[~first])
    np.testing.assert_array_equal(stray, x[:1])
    (line,) = ax.collections[3].get_paths()
    np.testing.assert_allclose(plane(line.vertices), 0, atol=1e-9)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["$A_1$", "$A_2$", "SVM"]


def test_norms(ax):
    penalties, norms = np.array([1.0, 0.1, 0.01]), np.array([1.0, 2.0, 3.0])
    assert plotting.plot_norms(ax, penalties, norms, 1) is ax
    assert ax.lines[1].get_xydata().tolist() == [[0.1, 2.0]]
    low, high = ax.get_xlim()
    assert low > high  # falling to the right


def test_greedy_and_its_approximation_in_one_dimension(ax):
    found = orthogonal_greedy(np.sin, relu_power(1), 1, 9, side=256, offsets=64)
    assert plotting.plot_greedy(ax, found, 4, {"theorem": -2.0}) is ax
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), found.errors[1:])
    assert ax.lines[1].get_xydata().tolist() == [[4, found.errors[4]]]
    x, y = ax.lines[2].get_data()
    assert np.log(y[1] / y[0]) / np.log(x[1] / x[0]) == pytest.approx(-2)
    ax.clear()
    assert plotting.plot_approximation(ax, found, 4) is ax
    np.testing.assert_allclose(ax.lines[1].get_ydata(), found.approximation(4))
    assert len(ax.lines[2].get_xdata()) == 4


def test_approximation_in_two_dimensions(ax):
    found = orthogonal_greedy(lambda x, y: x + y**2, relu_power(1), 2, 5, side=12, offsets=9)
    assert plotting.plot_approximation(ax, found, 5) is ax
    np.testing.assert_allclose(ax.images[0].get_array().T.ravel(), found.approximation(5))
    for line, (w0, w1, b) in zip(ax.lines, found.neurons, strict=True):
        np.testing.assert_allclose(np.array([w0, w1]) @ line.get_data() + b, 0, atol=1e-12)


@pytest.mark.parametrize("signed", [False, True])
def test_picture(ax, signed):
    x = np.arange(-6.0, 6).reshape(3, 4)
    assert plotting.plot_picture(ax, x, "title", signed=signed) is ax
    np.testing.assert_array_equal(ax.images[0].get_array(), x)
    low, high = ax.images[0].get_clim()
    assert (low == -high) is signed


def test_stencil(ax):
    weights = np.array([[0.0, -1, 0], [-1, 4, -1], [0, -1, 0]])
    assert plotting.plot_stencil(ax, weights) is ax
    assert [text.get_text() for text in ax.texts] == [f"{w:g}" for w in weights.flat]
    ax.clear()
    plotting.plot_stencil(ax, np.array([[-0.04, 0.25, -0.36]]))
    assert [text.get_text() for text in ax.texts] == ["0", "0.2", "-0.4"]


def test_features_are_shown_by_strength(ax):
    features = np.zeros((3, 4, 4))
    features[1, 0, 0], features[2, 1, 1] = 2.0, 8.0
    assert plotting.plot_features(ax, features, 2) is ax
    strip = ax.images[0].get_array()
    assert strip.shape == (4, 9)
    assert (strip[1, 1], strip[0, 5]) == (1, 1)  # the stronger one first, each on its own scale


def test_basis_and_spectrum(ax):
    x, phi = np.linspace(0, 1, 5), np.eye(5)[:3]
    assert plotting.plot_basis(ax, x, phi, [0, 2]) is ax
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), phi[2])
    ax.clear()
    assert plotting.plot_modes(ax, [1, 10], {"k = 1": np.array([1.0, 0.1])}, now=3) is ax
    assert ax.lines[0].get_ydata().tolist() == [1.0, 0.1]


def test_time_for_a_digit(ax):
    solvers = {"slow": (0.1, 2e-3), "fast": (0.01, 2e-3), "none": (1.5, 1e-3)}
    assert plotting.plot_digits(ax, solvers) is ax
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [2000, 1000, 0])
    assert "diverges" in ax.texts[2].get_text()


@pytest.mark.parametrize("lines", [True, False])
def test_sizes(ax, lines):
    assert plotting.plot_sizes(ax, {"a": [(20, 0.9), (10, 0.8)]}, lines=lines) is ax
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[10, 80], [20, 90]])
    assert ax.lines[0].get_linestyle() == ("-" if lines else "None")
