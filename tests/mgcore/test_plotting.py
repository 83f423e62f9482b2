"""Figures draw on the axes they are given."""

import dataclasses

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

import mgcore
from mgcore import fourier, plotting
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


def test_nodes_are_drawn_where_they_are(ax):
    x, y = np.linspace(0, 1, 9) ** 1.5, np.linspace(-1, 1, 5)
    mgcore.solve_poisson(np.ones((9, 5)), coordinates=(x, y)).plot(ax)
    (mesh,) = ax.collections
    corners = mesh.get_coordinates()[0, :, 0]  # between nodes
    np.testing.assert_allclose(corners[1:-1], (x[1:] + x[:-1]) / 2)
    assert (*ax.get_xlim(), *ax.get_ylim()) == (0, 1, -1, 1)
    mgcore.solve_poisson(np.ones((5, 5, 4))).plot(ax)
    assert ax.get_title() == "z = 0.666667"


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

    levels = mgcore.poisson_levels((9,) * ndim, coarsest=1)
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


# --- errors and their frequencies -----------------------------------------------------------------


def test_a_surface_is_reduced_and_keeps_its_scale():
    import matplotlib.pyplot as plt

    ax = plt.figure().add_subplot(projection="3d")
    u = np.random.default_rng(0).standard_normal((129, 65))
    assert plotting.plot_surface(ax, u, height=5.0) is ax
    assert ax.get_zlim() == pytest.approx((-5, 5), abs=0.5)
    ax.figure.canvas.draw()
    assert 0 < len(ax.collections[0].get_paths()) <= 33**2
    plt.close("all")


def test_a_spectrum_has_its_mode_where_it_belongs(ax):
    x = np.linspace(0, 1, 17)
    u = np.outer(np.sin(3 * np.pi * x), np.sin(12 * np.pi * x))
    assert plotting.plot_spectrum(ax, fourier.spectrum(u), mode=(3, 12)) is ax
    drawn = ax.images[0].get_array()
    assert np.unravel_index(drawn.argmax(), drawn.shape) == (11, 2)
    (mark,) = ax.lines[-1].get_xydata()
    np.testing.assert_allclose(mark, (3 / 16, 12 / 16))


def test_a_symbol_shows_what_the_coarser_grid_sees(ax):
    assert plotting.plot_symbol(ax, np.eye(5), "title", halved=(True, False)) is ax
    corners = ax.lines[0].get_xydata()
    np.testing.assert_array_equal(corners, [(0.5, 0), (0.5, 1), (0, 1)])
    assert ax.get_title() == "title"


@pytest.mark.parametrize("k", [3, 8, 13])
def test_an_alias_goes_through_the_values_at_every_second_node(ax, k):
    assert plotting.plot_alias(ax, k, 16) is ax
    _, _, seen, nodes = ax.lines
    x, y = nodes.get_data()
    np.testing.assert_allclose(np.interp(x, *seen.get_data()), y, atol=1e-12)


# --- factors and cost -----------------------------------------------------------------------------


def test_factors_have_the_same_colour_predicted_and_measured(ax):
    curves = {"a": ([1, 2], [0.5, 0.25]), "b": ([1, 2], [0.3, 0.1])}
    assert plotting.plot_factors(ax, curves, {"c": ([1], [0.5]), "d": ([1], [0.3])}) is ax
    colours = [line.get_color() for line in ax.lines]
    assert colours[:2] == colours[2:]
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), curves["b"][1])


def test_a_factor_has_the_colour_that_is_asked_for(ax):
    curves = {"a": ([1, 2], [0.5, 0.25]), "b": ([1, 2], [0.3, 0.1])}
    plotting.plot_factors(ax, curves, {"measured": ([1], [0.5])}, like={"measured": "b"})
    colours = {line.get_label(): line.get_color() for line in ax.lines}
    assert colours["measured"] == colours["b"] != colours["a"]


def test_residuals_of_several_methods_start_at_one(ax):
    assert plotting.plot_convergence(ax, {"a": [4.0, 1.0], "b": [0.0, 0.0]}) is ax
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [1, 0.25])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), [0, 0])


def test_cost_has_a_line_of_times_that_grow_as_n_does(ax):
    assert plotting.plot_cost(ax, [10, 100, 1000], {"a": [1e-3, 5e-3, 4e-2]}) is ax
    times, linear = (line.get_ydata() for line in ax.lines)
    np.testing.assert_allclose(times, [1, 5, 40])
    np.testing.assert_allclose(linear, [0.2, 2, 20])


@pytest.mark.parametrize("held", [True, False])
def test_a_line_lies_around_where_u_is_held(ax, held):
    x, y = mgcore.Grid((33, 33)).coordinates()
    u = np.maximum(0, 0.1 - (x - 0.5) ** 2 - (y - 0.5) ** 2) if held else 1 + x + y
    assert plotting.plot_constraint(ax, u) is ax
    lines = [path for c in ax.collections for path in c.get_paths() if len(path.vertices)]
    if not held:
        assert not lines
        return
    distance = np.hypot(*(np.concatenate([p.vertices for p in lines]) - 0.5).T)
    np.testing.assert_allclose(distance, 0.1**0.5, atol=0.03)
