"""A canvas shows its last state, and nothing of those before."""

import io
import weakref
from urllib.request import urlopen

import numpy as np
import pytest

from mgcore.canvas import Canvas

plt = pytest.importorskip("matplotlib.pyplot")
pytestmark = pytest.mark.usefixtures("own_settings_of_figures")


def drawn(canvas, values):
    ax = canvas.clear().subplots()
    ax.plot(values)
    ax.set_title(r"$\lambda$")
    return plt.imread(io.BytesIO(canvas.png()))


def test_a_state_looks_the_same_whatever_was_there_before():
    canvas = Canvas(4, 3)
    first = drawn(canvas, [0, 1, 0])
    second = drawn(canvas, [1, 0, 1])
    assert first.shape == (300, 400, 4)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(drawn(canvas, [0, 1, 0]), first)
    np.testing.assert_array_equal(drawn(Canvas(4, 3), [0, 1, 0]), first)


def test_no_figure_is_left_to_pyplot():
    before = plt.get_fignums()
    drawn(Canvas(4, 3), [0, 1])
    assert plt.get_fignums() == before


def test_pages_with_other_fonts_do_not_disturb_each_other():
    large, small = Canvas(4, 3, font=20), Canvas(4, 3, font=8)
    alone = drawn(large, [0, 1])
    drawn(small, [0, 1])
    np.testing.assert_array_equal(drawn(large, [0, 1]), alone)


def test_a_data_url_holds_the_same_picture():
    canvas = Canvas(4, 3)
    canvas.clear().subplots().plot([0, 1])
    with urlopen(canvas.url()) as picture:
        assert picture.read() == canvas.png()


def test_what_was_drawn_before_is_gone_at_once():
    canvas = Canvas(4, 3)
    canvas.clear()
    gone = weakref.ref(canvas.clear().subplots())
    canvas.png()
    canvas.clear()
    assert gone() is None
