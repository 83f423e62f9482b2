"""Grids, their coarsening, and what they refuse."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mgcore
import mgnet
from benchmarks.nested import check_nested
from mgcore import Grid


def test_geometry():
    grid = Grid((9, 5), (2.0, 1.0))
    assert grid.spacing == (0.25, 0.25)
    assert grid.interior == (7, 3)
    assert grid.size == 21
    x, y = grid.coordinates()
    np.testing.assert_allclose(x[:, 0], np.arange(9) / 4)
    np.testing.assert_allclose(y[0], np.arange(5) / 4)


def test_a_number_is_the_shape_of_a_line_and_the_length_of_every_side():
    assert Grid(17).shape == (17,)
    assert Grid((5, 5, 5), 2).extent == (2.0, 2.0, 2.0)
    assert Grid(np.array([5, 9])).shape == (5, 9)


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.lists(st.floats(0.01, 100), min_size=3, max_size=3),
)
def test_the_chain_ends_with_one_unknown_and_narrows_mesh_widths(powers, lengths):
    grids = list(Grid([2**s + 1 for s in powers], lengths[: len(powers)]).chain())
    assert grids[-1].size == 1
    for fine, coarse in pairwise(grids):
        halved = fine.halved_axes()
        able = [h for h, n in zip(fine.spacing, fine.shape, strict=True) if n > 3]
        for n, m, h, half in zip(fine.shape, coarse.shape, fine.spacing, halved, strict=True):
            assert m == ((n + 1) // 2 if half else n)
            limit = 1.55 if len(powers) == 2 else 1.5
            assert half == (n > 3 and h < limit * min(able))


def test_around_a_periodic_axis_there_are_three_nodes_or_more():
    for n in range(3, 200):
        sizes = [grid.shape[0] for grid in Grid((n, n), sides="periodic").chain()]
        assert min(sizes) >= 3


@pytest.mark.parametrize("sides", ["dirichlet", "neumann"])
def test_pictures_of_3_to_2_on_the_unit_square_have_both_axes_halved(sides):
    assert Grid((600, 400), sides=sides).halved_axes() == (True, True)
    assert Grid((120, 80, 80), sides=sides).halved_axes() == (True, False, False)
    x, y = np.linspace(0, 1, 97), np.linspace(0, 1, 65)
    assert Grid(coordinates=(x, y), sides=sides).halved_axes() == (True, True)
    assert Grid(coordinates=(x**1.5, y), sides=sides).halved_axes() == (True, False)
    g = np.random.default_rng(0).standard_normal((600, 400))
    assert mgcore.solve_poisson(g, sides=sides).nit <= 8


@given(
    st.lists(st.integers(3, 40), min_size=1, max_size=3),
    st.lists(st.floats(0.01, 100), min_size=3, max_size=3),
    st.booleans(),
)
def test_a_mesh_width_says_the_extent(shape, widths, periodic):
    sides = "periodic" if periodic else "neumann"
    grid = Grid(shape, spacing=widths[: len(shape)], sides=sides)
    np.testing.assert_allclose(grid.spacing, widths[: len(shape)], rtol=1e-14)
    assert grid == Grid(shape, grid.extent, sides)
    assert Grid(shape, spacing=2).spacing == pytest.approx((2.0,) * len(shape))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"spacing": 1, "extent": 1.0}, "spacing and extent both .* give one of them"),
        ({"spacing": 1, "coordinates": [range(5)] * 2}, "spacing and coordinates both"),
        ({"spacing": -1}, "spacing must be positive and finite"),
        ({"spacing": (1, 1, 1)}, "spacing needs one length or one for each of 2 axes"),
        ({"spacing": "wide"}, "spacing must be one or more numbers"),
    ],
)
@pytest.mark.parametrize("library", [mgcore, mgnet])
def test_mesh_widths_that_do_not_fit(how, message, library):
    for call in (
        lambda: library.poisson_levels((5, 5), **how),
        lambda: library.solve_poisson(np.ones((5, 5)), **how),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_periodic_axis_of_given_nodes_needs_its_length():
    x = np.linspace(0, 0.5, 64, endpoint=False)
    with pytest.raises(ValueError, match="needs as its extent the distance from a node to its own"):
        Grid(coordinates=[x], sides="periodic")
    assert Grid(coordinates=[x], sides="periodic", extent=0.5).extent == (0.5,)


def test_coordinates_of_a_line_are_an_array():
    x = np.linspace(0, 1, 9) ** 2
    assert (Grid(coordinates=x).axes[0].nodes == x).all()
    with pytest.raises(ValueError, match="coordinates must be an array of numbers for each axis"):
        Grid(coordinates="ab")


def test_an_extent_beside_coordinates_is_that_of_periodic_axes():
    x, y = np.linspace(1, 3, 5) ** 2, np.arange(7.0)
    grid = Grid(coordinates=(x, y), extent=(8, 7), sides=["neumann", "periodic"])
    assert grid.extent == (8.0, 7.0)
    assert Grid(coordinates=(x, y)).extent == (8.0, 6.0)
    with pytest.raises(ValueError, match="axis 1 is 6 long by its coordinates and 8 by extent"):
        Grid(coordinates=(x, y), extent=8)


def test_one_axis_takes_its_pair_of_sides_alone():
    pair = ("dirichlet", "neumann")
    assert Grid(9, sides=pair) == Grid(9, sides=[pair])
    assert Grid((9, 9), sides=pair).sides == (("dirichlet",) * 2, ("neumann",) * 2)
    with pytest.raises(ValueError, match="on both sides or on none"):
        Grid(9, sides=("periodic", "neumann"))


def test_a_solve_by_its_mesh_width():
    g = np.random.default_rng(0).standard_normal((17, 9))
    expected = mgcore.solve_poisson(g, extent=(8.0, 4.0)).u
    for library in (mgcore, mgnet):
        np.testing.assert_allclose(library.solve_poisson(g, spacing=0.5).u, expected, atol=1e-10)


def test_unequal_mesh_widths_coarsen_the_short_ones_first():
    shapes = [grid.shape for grid in Grid((33, 9)).chain()]
    assert shapes == [(33, 9), (17, 9), (9, 9), (5, 5), (3, 3)]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (2, "3 nodes or more"),
        ((), "one, two or three axes"),
        ((5, 5, 5, 5), "one, two or three axes"),
        (5.5, "whole numbers"),
        ("5", "whole numbers"),
        (None, "a shape or coordinates"),
        ((5, float("nan")), "whole numbers"),
    ],
)
def test_shapes_that_do_not_fit(shape, message):
    with pytest.raises(ValueError, match=message):
        Grid(shape)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (100, r"2\^s \+ 1.*\(129,\) or \(65,\)"),
        ((100, 129), r"\(129, 129\) or \(65, 129\)"),
        ((128, 128), r"nearest that fit are \(129, 129\) or"),
        ((18, 63), r"nearest that fit are \(17, 65\) or"),
    ],
)
def test_who_needs_nested_grids_names_the_nearest(shape, message):
    with pytest.raises(ValueError, match=message):
        check_nested(Grid(shape))


@pytest.mark.parametrize(
    ("extent", "message"),
    [
        (0.0, "positive and finite"),
        ((1, -1), "positive and finite"),
        (float("inf"), "positive and finite"),
        (float("nan"), "positive and finite"),
        ((1, 1, 1), "one length or one for each of 2 axes"),
        ("wide", "numbers"),
    ],
)
def test_extents_that_do_not_fit(extent, message):
    with pytest.raises(ValueError, match=message):
        Grid((5, 5), extent)


def test_who_changes_coordinates_does_not_move_the_grid():
    grid = Grid((5, 5))
    x, y = grid.coordinates()
    x -= 0.5
    assert y.min() == 0
    assert grid.coordinates()[0].min() == 0

    def saddle(x, y):
        x -= 0.5
        y -= 0.5
        return x**2 - y**2

    zero = np.zeros((17, 17))
    expected = mgcore.solve_poisson(zero, boundary=lambda x, y: (x - 0.5) ** 2 - (y - 0.5) ** 2)
    np.testing.assert_array_equal(mgcore.solve_poisson(zero, boundary=saddle).u, expected.u)


def test_nodes_in_single_precision_beside_an_extent():
    radius = np.linspace(0, 0.3, 17, dtype="float32")
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    how = {"sides": ["dirichlet", "periodic"], "extent": (0.3, 2 * np.pi)}
    grid = Grid((17, 32), coordinates=(radius, angle), **how)
    assert grid.extent == pytest.approx((0.3, 2 * np.pi))
    with pytest.raises(ValueError, match="leave it out, or give the same"):
        Grid((17, 32), coordinates=(radius, angle), **how | {"extent": (0.3001, 2 * np.pi)})
