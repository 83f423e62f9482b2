"""Multigrid in scipy's Krylov methods."""

import numpy as np
import pytest
from scipy.sparse.linalg import cg

from mgcore import Robin, guests, poisson_levels, solve

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
    levels = poisson_levels(**case, smoother=smoother)
    A, B = guests.as_linear_operator(levels), guests.as_preconditioner(levels)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, A.shape[0]))
    x, y = x - x.mean(), y - y.mean()  # singular problems have no other right-hand sides
    for operator in (A, B):
        assert abs(x @ operator(y) - y @ operator(x)) <= 1e-11 * abs(x @ operator(x)) + 1e-9
        assert x @ operator(x) > 0


@pytest.mark.parametrize("case", CASES)
def test_conjugate_gradients_need_few_steps_and_find_what_solve_finds(case):
    levels = poisson_levels(**case, smoother="redblack")
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
        (lambda: guests.as_linear_operator([None]), "made by"),
    ],
)
def test_bad_input_gets_one_clear_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
