"""What is said of the sides of a box: the same words, and the same answers, on both backends."""

import numpy as np
import pytest
import torch

import mgcore
import mgnet
from mgcore import Robin

LIBRARIES = pytest.mark.parametrize("library", [mgcore, mgnet])
X, Y = np.linspace(0, 1, 14), np.linspace(0, 2, 19)
PLANE = 1 + 2 * X[:, None] - Y
HOW = {"extent": (1, 2), "rtol": 1e-12}
HELD, FLOWS = ("dirichlet", "dirichlet"), ("neumann", "neumann")


def numbers(u):
    return u.detach().numpy() if isinstance(u, torch.Tensor) else u


@LIBRARIES
@pytest.mark.parametrize(
    ("sides", "boundary"),
    [
        ([HELD, HELD], PLANE),
        ([HELD, HELD], PLANE.tolist()),
        ([HELD, HELD], lambda x, y: 1 + 2 * x - y),
        ([HELD, HELD], [(1 - Y, 3 - Y), (1 + 2 * X, 2 * X - 1)]),
        ([HELD, HELD], [((1 - Y).tolist(), lambda x, y: 3 - y), (lambda x, y: PLANE, 2 * X - 1)]),
        ([HELD, FLOWS], [(1 - Y, 3 - Y), (1, -1.0)]),
        ([HELD, FLOWS], [(lambda x, y: 1 - y, 3 - Y), (np.ones(14), lambda x, y: -1 + 0 * x)]),
        ([FLOWS, ("dirichlet", "neumann")], [(-2, 2), (1 + 2 * X, -1)]),
        ([("neumann", "dirichlet"), (Robin(0), HELD[0])], [(-2, 3 - Y), (1.0, 2 * X - 1)]),
        ([("dirichlet", Robin(2.0)), FLOWS], [(1 - Y, 2 + 2 * (3 - Y)), (1, -1)]),
    ],
)
def test_a_plane_is_found_whatever_is_known_of_it(library, sides, boundary):
    u = library.solve_poisson(np.zeros(PLANE.shape), sides=sides, boundary=boundary, **HOW).u
    np.testing.assert_allclose(numbers(u), PLANE, atol=1e-10)


@LIBRARIES
@pytest.mark.parametrize("other", ["dirichlet", "neumann", ("dirichlet", "neumann"), "periodic"])
def test_values_that_disagree_in_a_corner_hold_beside_it(library, other):
    """u = 1 where a box begins and 0 where it ends, whatever is known on its other sides."""
    g = np.zeros((17, 12))
    boundary = [(1.0, 0.0), None if other == "periodic" else (0.0, 0.0)]
    u = numbers(library.solve_poisson(g, sides=["dirichlet", other], boundary=boundary).u)
    np.testing.assert_array_equal(u[0, 1:-1], 1.0)
    np.testing.assert_array_equal(u[-1], 0.0)
    if other in ("neumann", "periodic"):
        np.testing.assert_allclose(u, np.linspace(1, 0, 17)[:, None] + 0 * g, atol=1e-7)
    else:
        np.testing.assert_array_equal(u[:, 0], 0.0)
        assert 0.01 < u[8, 6] < 0.99


@LIBRARIES
def test_batches_of_what_is_given_on_sides(library):
    x = np.linspace(0, 1, 17)
    lines = np.stack([1 - 2 * x, 2 + x])
    g = np.zeros((2, 17))
    for boundary in ([(1, -1), (2, 3)], np.array([(1.0, -1.0), (2.0, 3.0)]), lines, lines.tolist()):
        u = library.solve_poisson(g, ndim=1, boundary=boundary).u
        np.testing.assert_allclose(numbers(u), lines, atol=1e-12)
    for boundary in ([(1, -2), (2, 1)], np.array([(1, -2), (2, 1)])):  # flux at the upper end
        u = library.solve_poisson(g, ndim=1, sides=("dirichlet", "neumann"), boundary=boundary).u
        np.testing.assert_allclose(numbers(u), lines, atol=1e-7)
    u = library.solve_poisson(g, ndim=1, boundary=(3, lambda x: 4 * x)).u  # of all members
    np.testing.assert_allclose(numbers(u), [3 + x, 3 + x], atol=1e-12)
    # In 2D sides whose values belong to members, to all of them, and that are functions.
    factors = np.array([1.0, -2.0])[:, None]
    boundary = [(factors * (1 - Y), factors * (3 - Y)), (factors, lambda x, y: 0 * x)]
    many = library.solve_poisson(
        np.zeros((2, *PLANE.shape)), ndim=2, sides=[HELD, FLOWS], boundary=boundary, **HOW
    ).u
    for k, factor in enumerate((1.0, -2.0)):
        given = [(factor * (1 - Y), factor * (3 - Y)), (factor, 0)]
        one = library.solve_poisson(
            np.zeros(PLANE.shape), sides=[HELD, FLOWS], boundary=given, **HOW
        ).u
        np.testing.assert_allclose(numbers(many[k]), numbers(one), atol=1e-10)


def test_tensors_of_another_kind_or_shape_are_refused():
    one, g = torch.ones(3, dtype=torch.float64), np.ones((2, 9))
    for boundary, message in (
        ([one, one[:2]], r"boundary is a list of tensors of different shapes, \(3,\), \(2,\)"),
        ((one[0].float(), 1.0), "boundary is float32 on cpu, these levels are float64"),
        ((lambda x: one[0].float(), 1.0), "boundary is float32 on cpu, these levels are float64"),
        ((one[0].cfloat(), 1.0), "boundary is complex"),
    ):
        with pytest.raises(ValueError, match=message):
            mgnet.solve_poisson(g, ndim=1, sides=("dirichlet", "neumann"), boundary=boundary)


def test_tensors_say_what_arrays_say():
    g, sides = (
        np.random.default_rng(0).standard_normal(PLANE.shape),
        [("neumann", "dirichlet"), HELD],
    )
    t = torch.from_numpy
    for theirs, ours in (
        (PLANE, t(PLANE)),
        ([(3.0, 3 - Y), None], [(torch.tensor(3.0).double(), t(3 - Y)), None]),
        ([(3.0, None), (2 * X, 1)], [(lambda x, y: t(3 + 0 * y), None), (t(2 * X), 1)]),
    ):
        expected = mgcore.solve_poisson(g, sides=sides, boundary=theirs, **HOW).u
        u = mgnet.solve_poisson(t(g), sides=sides, boundary=ours, **HOW).u
        np.testing.assert_allclose(u.numpy(), expected, atol=1e-10)
    single = torch.ones(33, 33)
    how = {"sides": ["neumann", "dirichlet"], "rtol": 1e-6}
    u = mgnet.solve_poisson(single * 0, boundary=single, **how).u
    torch.testing.assert_close(u, single, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("form", ["pair", "stacked", "functions", "batch"])
def test_gradients_with_respect_to_values_and_fluxes(form):
    """-u'' = 0, u(0) = a, u'(1) = q: u = a + q x."""
    x = np.linspace(0, 1, 33)
    a, q = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (3.0, 0.0))
    boundary = {
        "pair": (a, q),
        "stacked": torch.stack([a, q]),
        "functions": (lambda x: a, lambda x: q * torch.from_numpy(x)),
        "batch": [(1.0, 1.0), (a, q)],
    }[form]
    sides = ("dirichlet", "neumann")
    g = torch.zeros((2, 33) if form == "batch" else 33, dtype=torch.float64)
    u = mgnet.solve_poisson(g, ndim=1, sides=sides, boundary=boundary, rtol=1e-11).u
    u = u[1] if form == "batch" else u
    np.testing.assert_allclose(u.detach().numpy(), 3.0, atol=1e-9)
    u[8].backward()
    assert a.grad == pytest.approx(1.0)
    assert q.grad == pytest.approx(x[8])


def test_gradients_with_respect_to_sides_that_meet():
    """A sum over u in a harmonic problem, by central differences of the values on two sides."""
    rng = np.random.default_rng(1)
    values = [torch.from_numpy(rng.standard_normal(n)).requires_grad_() for n in (9, 8)]

    def total(left, low):
        sides = [("dirichlet", "neumann"), ("dirichlet", Robin(1.0))]
        boundary = [(left, low[0]), (low, 0.5)]
        g = torch.ones(8, 9, dtype=torch.float64)
        return mgnet.solve_poisson(g, sides=sides, boundary=boundary, rtol=1e-13).u.sum()

    torch.autograd.gradcheck(total, values, atol=1e-5)


# --- where u is known up to a constant ------------------------------------------------------------

G = np.random.default_rng(2).standard_normal((100, 130))


@LIBRARIES
@pytest.mark.parametrize("sides", ["neumann", "periodic", ["periodic", Robin(0)]])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("constant", [1.0, 0.1, -7e5])
def test_a_constant_right_hand_side_is_none(library, sides, dtype, constant):
    solution = library.solve_poisson(np.full(G.shape, constant, dtype), sides=sides)
    assert (solution.nit, solution.success) == (0, True)
    assert not numbers(solution.u).any()
    assert solution.removed == pytest.approx(constant)


@LIBRARIES
@pytest.mark.parametrize(("dtype", "constant"), [("f8", 1e8), ("f8", -1e8), ("f4", 1e4)])
def test_a_large_mean_leaves_no_rounding(library, dtype, constant):
    g = (constant + G).astype(dtype)
    before = g.copy()
    solution = library.solve_poisson(g, sides="neumann")
    assert solution.success
    assert solution.nit < 10
    np.testing.assert_array_equal(g, before)
    left = (g.astype(float) - constant).astype(dtype)
    expected = mgcore.solve_poisson(left, sides="neumann")
    error = np.linalg.norm(numbers(solution.u) - expected.u) / np.linalg.norm(expected.u)
    assert error < (1e-7 if dtype == "f8" else 1e-3)
    assert solution.removed - constant == pytest.approx(
        expected.removed, abs=1e-6 if dtype == "f8" else 1e-3
    )


@LIBRARIES
def test_what_was_removed_has_its_sign(library):
    for constant in (-3.0, 3.0):
        solution = library.solve_poisson(G + constant, sides="neumann")
        expected = mgcore.Grid(G.shape, sides="neumann").axes
        mean = constant + np.einsum(
            "ij,i,j", G, expected[0].mass, expected[1].mass
        )  # of a box of volume 1
        assert solution.removed == pytest.approx(mean)
        with pytest.raises(ValueError, match=f"has mean {mean:.3g}, and only one"):
            library.solve_poisson(G + constant, sides="neumann", project=False)
    # Fluxes count: q on all sides of the unit square is what 4 q makes inside.
    boundary = [(0.5, 0.5), (0.5, 0.5)]
    solution = library.solve_poisson(0 * G, sides="neumann", boundary=boundary)
    assert solution.removed == pytest.approx(2.0)


def test_gradients_of_a_constant_right_hand_side():
    """u = A^+ g also where that is zero: the gradient of u_x is that of a rough g."""
    gradients = []
    for g in (np.ones((12, 10)), G[:12, :10]):
        traced = torch.from_numpy(g.copy()).requires_grad_()
        mgnet.solve_poisson(traced, sides="neumann", rtol=1e-12).u[3, 4].backward()
        gradients.append(traced.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-8, atol=1e-9)


def test_the_largest_mean_of_a_batch_is_told():
    g = torch.from_numpy(np.stack([G, G - 5, G + 2, 0 * G]))
    one = mgcore.solve_poisson(G, sides="neumann").removed
    assert mgnet.solve_poisson(g, ndim=2, sides="neumann").removed == pytest.approx(one - 5)


# --- what is refused, and what is left alone ------------------------------------------------------

NO_SIDE, PERIODIC = "no side holds u; fluxes are given side by side", "axis 0 is periodic, nothing"
PAIRS = "for each of {} axes None or a pair"


@LIBRARIES
@pytest.mark.parametrize(
    ("shape", "sides", "boundary", "message"),
    [
        *(
            ((9, 12), s, b, NO_SIDE)
            for b in (2.0, np.ones((9, 12)), lambda x, y: x, np.nan)
            for s in ("neumann", "periodic", Robin(1.0))
        ),
        *(
            ((9, 12), ["periodic", s], [pair, None], PERIODIC)
            for pair in ((1.0, None), (None, np.ones(12)), (lambda x, y: 1.0, 0.0))
            for s in ("neumann", "dirichlet")
        ),
        *(
            (shape, s, b, "boundary holds NaN or infinity at border nodes")
            for shape in ((9, 9), (9, 12))
            for s in ("dirichlet", ["dirichlet", "neumann"])
            for b in (
                np.nan,
                np.inf,
                np.full(shape, np.nan),
                [(np.nan, 0.0), None],
                [(0.0, np.inf), (0.0, 0.0)],
                [None, (lambda x, y: x * np.nan, None)],
                lambda x, y: x + np.inf,
            )
        ),
        ((9, 12), "dirichlet", [(1, 2), (3,)], PAIRS.format(2)),
        ((9, 12), "dirichlet", [(1, 2), 3], PAIRS.format(2)),
        ((9, 12), "dirichlet", [(1, 2), None, None], PAIRS.format(2)),
        ((9,), "dirichlet", [(1, 2), (3,)], PAIRS.format(1)),
        ((9,), "dirichlet", [(1, 2), None], PAIRS.format(1)),
        ((9, 12), "neumann", [(np.ones(5), None), None], r"must broadcast to its nodes, \(12,\)"),
        ((9, 12), "dirichlet", [("open", None), None], "said by sides="),
        ((9, 12), ["dirichlet", "neumann"], "open", "said by sides="),
        ((9, 12), "dirichlet", lambda x, y: np.ones(5), r"returned shape \(5,\), which does not"),
        ((9, 12), "dirichlet", [(10**400, 1), None], "beyond the range of floats"),
        ((9, 12), "dirichlet", [(np.ones((2, 12)), np.ones((3, 12))), None], "different shapes"),
        *(
            ((9, 12), "dirichlet", [(np.ones((2, 12)), None), (x, None)], "different shapes: ")
            for x in (np.ones((3, 9)), lambda x, y: np.ones((3, 9, 1)))
        ),
        ((9, 12), "dirichlet", np.ones((0, 9, 12)), "empty batch"),
    ],
)
def test_what_fits_no_side_gets_one_clear_sentence(library, shape, sides, boundary, message):
    with pytest.raises(ValueError, match=message) as caught:
        library.solve_poisson(np.ones(shape), sides=sides, boundary=boundary)
    assert "\n" not in str(caught.value)


@LIBRARIES
def test_batches_that_do_not_fit(library):
    g = np.ones((2, 9, 12))
    for boundary in (np.ones((3, 9, 12)), [(np.ones((3, 12)), None), None]):
        for sides in ("dirichlet", ["neumann", "dirichlet"]):
            with pytest.raises(ValueError, match=r"batches of different shapes: \(2,\), \(3,\)"):
                library.solve_poisson(g, ndim=2, sides=sides, boundary=boundary)
    with pytest.raises(ValueError, match=r"different shapes: \(\), \(2,\)"):
        mgcore.solve_poisson(g[0], boundary=g)


@LIBRARIES
@pytest.mark.parametrize("sides", ["dirichlet", ["neumann", "dirichlet"]])
def test_zeros_are_taken_anywhere_and_the_caller_s_arrays_are_left_alone(library, sides):
    g, border = np.random.default_rng(3).standard_normal((2, 9, 12))
    sets = [(g, border), (g, [(border[0], border[-1]), (border[:, 0], None)])]
    if library is mgnet:
        sets += [tuple(map(torch.from_numpy, (g, border)))]
    for right, boundary in sets:
        before = g.copy(), border.copy()
        library.solve_poisson(right, sides=sides, boundary=boundary)
        np.testing.assert_array_equal(g, before[0])
        np.testing.assert_array_equal(border, before[1])
    for zero in (0, 0.0, np.zeros((9, 12)), [None, (0, None)], [(0, 0), (0.0, 0)]):
        for kind in ("neumann", "periodic", "dirichlet"):
            assert library.solve_poisson(np.zeros((9, 12)), sides=kind, boundary=zero).nit == 0


def test_none_on_all_sides_is_zero():
    g = np.ones((9, 17))
    np.testing.assert_array_equal(
        mgcore.solve_poisson(g, boundary=None).u, mgcore.solve_poisson(g, boundary=0).u
    )
