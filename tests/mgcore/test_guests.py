"""Multigrid in scipy's Krylov methods."""

from functools import partial

import numpy as np
import pytest
from helpers import several
from scipy.sparse.linalg import cg

from mgcore import Kernel, Robin, Stencil, guests, poisson_levels, solve

CASES = [
    {"shape": (33, 65)},
    {"shape": (20, 30), "sides": ["neumann", ("dirichlet", Robin(1.0))]},
    {"shape": (20, 31), "sides": "periodic"},
    {"shape": (9, 12, 10), "sides": ["neumann", "periodic", "dirichlet"]},
    {"coordinates": [np.linspace(0, 1, 30) ** 1.2, np.linspace(0, 1, 20)]},
]


@pytest.mark.parametrize("smoother", ["sor", "jacobi", "chebyshev", "lexicographic", "zebra"])
@pytest.mark.parametrize("case", CASES)
def test_operator_and_preconditioner_are_symmetric_and_near_inverses(case, smoother):
    levels = several(poisson_levels(**case, smoother=smoother, coarsest=1))
    A, B = guests.as_linear_operator(levels), guests.as_preconditioner(levels)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, A.shape[0]))
    x, y = x - x.mean(), y - y.mean()  # singular problems have no other right-hand sides
    for operator in (A, B):
        assert abs(x @ operator(y) - y @ operator(x)) <= 1e-11 * abs(x @ operator(x)) + 1e-9
        assert x @ operator(x) > 0


@pytest.mark.parametrize("case", CASES)
def test_conjugate_gradients_need_few_steps_and_find_what_solve_finds(case):
    levels = several(poisson_levels(**case, smoother="redblack", coarsest=1))
    grid = levels[0].grid
    g = np.random.default_rng(1).standard_normal(grid.shape)
    steps = []
    x, info = cg(
        guests.as_linear_operator(levels), guests.weigh(levels, g), rtol=1e-10,
        M=guests.as_preconditioner(levels), callback=steps.append,
    )  # fmt: skip
    assert info == 0
    assert len(steps) <= 14
    u, ours = guests.spread(levels, x), solve(levels, g, rtol=1e-11).u
    if getattr(levels[0], "singular", False):
        u = u - (u * levels[0].volumes).mean()
    np.testing.assert_allclose(u, ours, atol=1e-8 * abs(ours).max())


WIND = Stencil.of_array([-1.5, 2.0, -0.5])
EVEN = Stencil.of_array([0.1, 0.6, 0.1])
LOPSIDED = Kernel(Stencil.of_array([0.1, 0.6, 0.2]))


@pytest.mark.parametrize("sides", ["neumann", "periodic"])
def test_of_a_singular_problem_the_inverse_is_symmetric_on_all_vectors(sides):
    levels = poisson_levels((20, 30), sides=sides, coarsest=1)
    A, B = levels.as_linear_operator(), levels.as_preconditioner()
    x, y = np.random.default_rng(0).standard_normal((2, A.shape[0]))
    for operator in (A, B):
        assert abs(x @ operator(y) - y @ operator(x)) <= 1e-12 * abs(x @ operator(x))
        np.testing.assert_array_equal(operator @ x[:, None], operator(x)[:, None])
    assert abs(B(levels.weigh(np.ones((20, 30))))).max() < 1e-12
    assert abs(levels[0].volumes.reshape(-1) @ B(y)) < 1e-12


@pytest.mark.parametrize("sides", ["dirichlet", ["neumann", ("dirichlet", Robin(2.0))]])
def test_what_sides_give_goes_into_the_vector_and_comes_back(sides):
    levels = poisson_levels((32, 33), sides=sides)
    g = np.random.default_rng(0).standard_normal((32, 33))
    b = levels.weigh(g, 1.5)
    x, _ = cg(levels.as_linear_operator(), b, M=levels.as_preconditioner(), rtol=1e-12)
    expected = solve(levels, g, boundary=1.5, rtol=1e-12).u
    np.testing.assert_allclose(levels.spread(x, 1.5), expected, atol=1e-10)


def test_a_kernel_smooths_symmetrically_where_all_nodes_are_alike():
    levels = poisson_levels((33, 33), smoother=Kernel(Stencil.tensor([[0.1, 0.8, 0.1]] * 2)),
                            coarsest=1)  # fmt: skip
    B = levels.as_preconditioner()
    x, y = np.random.default_rng(0).standard_normal((2, B.shape[0]))
    assert abs(x @ B(y) - y @ B(x)) <= 1e-13 * abs(x @ B(x))


@pytest.mark.parametrize("scale", [1.0, 1e-9])
def test_a_kernel_that_is_not_symmetric_is_refused_whatever_its_scale(scale):
    skew = Kernel(scale * Stencil.of_array([[0, 0.1, 0], [0.1, 0.8, 0.2], [0, 0.1, 0]]))
    levels = poisson_levels((33, 33), smoother=skew, coarsest=1)
    with pytest.raises(ValueError, match="its own image in the origin"):
        levels.as_preconditioner()


def test_an_operator_that_is_not_symmetric_does_not_pass_for_its_transpose():
    A = poisson_levels((9, 9), operator=Stencil.of_array(
        [[0, -1, 0], [-1.5, 4, -0.5], [0, -1, 0]])).as_linear_operator()  # fmt: skip
    with pytest.raises(NotImplementedError):
        A.rmatvec(np.ones(49))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: guests.as_preconditioner(
                poisson_levels(9, restriction="injection", coarsest=1)
            ),
            "full",
        ),
        (lambda: guests.as_preconditioner(poisson_levels(999), cycle="fmg"), "reads the same"),
        (lambda: guests.as_preconditioner(poisson_levels(999), cycle="f"), "reads the same"),
        *(
            (partial(guests.as_preconditioner, poisson_levels(33, coarsest=1), cycle), "turns ar")
            for cycle in ([(0, 1)], [(0, 1), (1, 1), (0, 1)], [(0, 1), (0, 1)])
        ),
        (lambda: guests.as_linear_operator([None]), "made by"),
        (lambda: guests.spread([None], np.zeros(7)), "made by"),
        (
            lambda: guests.spread(poisson_levels(9), 1j * np.ones(7)),
            "x is complex128; solve for the real",
        ),
        (
            lambda: poisson_levels(9).as_preconditioner() @ (1j * np.ones(7)),
            "x is complex128; solve for the real",
        ),
        (lambda: poisson_levels(99, operator=WIND).as_preconditioner(), "operator that is symm"),
        (lambda: poisson_levels(299, smoother=LOPSIDED).as_preconditioner(), "its own image"),
        (
            lambda: poisson_levels(
                299, smoother=Kernel(EVEN), coefficient=np.linspace(1, 2, 299)
            ).as_preconditioner(),
            "one diagonal",
        ),
        (
            lambda: poisson_levels(299, smoother=Kernel(EVEN), sides="neumann").as_preconditioner(),
            "one volume",
        ),
    ],
)
def test_bad_input_gets_one_clear_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
