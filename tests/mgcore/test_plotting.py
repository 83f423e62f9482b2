"""Figures draw on the axes they are given."""

import matplotlib as mpl
import numpy as np
import pytest

import mgcore
from mgcore import plotting


@pytest.fixture
def ax():
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    yield ax
    fig.canvas.draw()
    plt.close(fig)


@pytest.mark.parametrize("n", [3, 10])
def test_cycle(ax, n):
    cycle = mgcore.full_multigrid(n)
    assert plotting.plot_cycle(ax, cycle) is ax
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [v.level for v in cycle])


def test_residuals(ax):
    solution = mgcore.solve_poisson(np.ones((17, 17)))
    assert plotting.plot_residuals(ax, solution, "fmg") is ax
    drawn = ax.lines[0].get_ydata()
    np.testing.assert_allclose(drawn, np.array(solution.residuals) / solution.residuals[0])


def test_field_has_its_first_axis_to_the_right(ax):
    u = np.arange(15.0).reshape(5, 3)
    assert plotting.plot_field(ax, u, (2.0, 1.0)) is ax
    np.testing.assert_array_equal(ax.images[0].get_array(), u.T)
    assert ax.get_xlim() == (0, 2)
