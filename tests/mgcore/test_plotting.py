"""Figures draw on the axes they are given."""

import dataclasses

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

import mgcore
from mgcore import plotting
from mgcore.watch import watch


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


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_solution_draws_itself(ax, ndim):
    shape = (9, 17, 5)[:ndim]
    g = np.random.default_rng(0).standard_normal(shape)
    solution = mgcore.solve_poisson(g, extent=(3.0, 2.0, 1.0)[:ndim], boundary=1.0)
    assert solution.plot(ax) is ax
    if ndim == 1:
        np.testing.assert_array_equal(
            ax.lines[0].get_xydata().T, [np.linspace(0, 3, 9), solution.u]
        )
        return
    middle = solution.u if ndim == 2 else solution.u[:, :, 2]
    np.testing.assert_array_equal(ax.images[0].get_array(), middle.T)
    assert (*ax.get_xlim(), *ax.get_ylim()) == (0, 3, 0, 2)
    assert ax.get_title() == ("" if ndim == 2 else "z = 0.5")


def test_axes_are_made_where_none_are_given(ax):
    import matplotlib.pyplot as plt

    solution = mgcore.solve_poisson(np.ones((9, 9)))
    own = solution.plot(cmap="gray")
    assert own is not ax
    assert own.images[0].get_cmap().name == "gray"
    plt.close(own.figure)


def test_tensors_and_batches(ax):
    torch, mgnet = pytest.importorskip("torch"), pytest.importorskip("mgnet")
    g = torch.ones(2, 9, 9, dtype=torch.float64, requires_grad=True)
    levels = mgnet.poisson_levels((9, 9))
    mgcore.solve(levels, g[0]).plot(ax)
    batch = mgcore.solve(levels, g)
    with pytest.raises(ValueError, match="draw one member"):
        batch.plot(ax)
    dataclasses.replace(batch, u=batch.u[0]).plot(ax)
    first, second = (image.get_array() for image in ax.images)
    np.testing.assert_allclose(first, second, rtol=1e-7)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_step_of_a_cycle(ndim):
    import matplotlib.pyplot as plt

    levels = mgcore.poisson_levels((9,) * ndim)
    steps = list(watch(levels, np.ones((9,) * ndim), cycle="v"))
    step = steps[2]  # two visits made, on levels 0 and 1, the coarsest problem open
    axes = plotting.new_axes(4)
    assert plotting.plot_step(axes, step) is axes
    path, *panels = axes
    assert list(path.lines[-1].get_xdata()) == [1]
    assert list(path.lines[-1].get_ydata()) == [1]
    for ax, error in zip(panels, step.errors, strict=True):
        assert ax.get_title().endswith(f"error {abs(error).max():.1e}")
        if ndim == 1:
            np.testing.assert_array_equal(ax.lines[0].get_ydata(), error)
        else:
            middle = error if ndim == 2 else error[..., error.shape[2] // 2]
            np.testing.assert_array_equal(ax.images[0].get_array(), middle.T)
    plt.close("all")


def test_large_errors_are_drawn_small():
    import matplotlib.pyplot as plt

    levels = mgcore.poisson_levels((513, 513))
    (first, *_) = watch(levels, np.ones((513, 513)))
    _, ax = plotting.plot_step(plotting.new_axes(2), first)
    assert ax.images[0].get_array().shape == (129, 129)
    plt.close("all")


def test_an_animation_shows_every_step(tmp_path):
    import matplotlib.pyplot as plt

    levels = mgcore.poisson_levels((9, 9))
    steps = list(watch(levels, np.ones((9, 9)), cycle="v", cycles=2))
    plotting.animate(steps).save(tmp_path / "a.gif", writer="pillow")
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == len(steps) == 1 + 2 * len(mgcore.v_cycle(len(levels)))
    plt.close("all")
