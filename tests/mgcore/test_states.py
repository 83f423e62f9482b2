"""States handed from level to level: any that the coarser level made, and no other."""

import numpy as np
import pytest

import mgcore

#: A chain for each kind of level above each kind that may stand below it.
CHAINS = {
    "PoissonLevel, PoissonLevel": {"shape": (65, 65)},
    "PoissonLevel, StencilLevel": {"shape": (43, 97), "extent": (42, 96), "coarsest": 20},
    "BoxLevel, BoxLevel": {"shape": (41, 33), "sides": "neumann"},
    "BoxLevel, StencilLevel": {"shape": (40, 30), "sides": [("neumann", "dirichlet"), "neumann"],
                               "coarsest": None},
    "StencilLevel, StencilLevel": {"shape": (33, 41), "smoother": "zebra"},
}  # fmt: skip


@pytest.fixture(params=CHAINS)
def levels(request):
    levels = mgcore.poisson_levels(**{"coarsest": 60, **CHAINS[request.param]})
    assert ", ".join(type(level).__name__ for level in levels[:2]) == request.param
    return levels


USES = {
    "prolong": lambda level, state, coarse: level.prolong(state, coarse),
    "ascend": lambda level, state, coarse: level.ascend(state, coarse, 1),
    "interpolate": lambda level, state, coarse: level.interpolate(state, coarse),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_state_from_start_serves_as_that_from_restrict(levels, use):
    """Of the same u: once given to `start`, once added where `restrict` had left zero."""
    fine, coarse = levels[:2]
    rng = np.random.default_rng(0)
    g, e = (rng.standard_normal(level.grid.shape) for level in (fine, coarse))
    inside = np.zeros_like(e)
    inside[coarse.grid.unknown] = e[coarse.grid.unknown] - e[coarse.grid.unknown].mean()
    state = fine.start(g, g)
    own = coarse.add(fine.restrict(state), inside)
    expected = fine.solution(use(fine, state, own)).copy()
    found = fine.solution(use(fine, fine.start(g, g), coarse.start(0 * e, coarse.solution(own))))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * abs(expected).max())


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_states_of_other_levels_are_refused(levels, use):
    fine, coarse, *coarser = levels
    state = fine.start(np.ones(fine.grid.shape))
    others = [fine, *coarser, mgcore.poisson_levels((65, 65), smoother="zebra")[0]]
    strangers = [level.start(np.ones(level.grid.shape)) for level in others]
    for wrong in (*strangers, coarse, None):
        with pytest.raises(ValueError, match="a coarser state of .* fits here, got another one"):
            use(fine, state, wrong)
