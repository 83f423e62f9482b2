"""Fused passes for any sides and sizes give what the general kernels give one after the other.

The small ones also run with NUMBA_BOUNDSCHECK=1 and NUMBA_DISABLE_JIT=1: see test_kernels.py.
"""

import numpy as np
import pytest

import mgcore
from mgcore import Robin, poisson_levels, threads
from mgcore.box_level import BoxLevel
from mgcore.kernels.halves import CORRECTED, GIVEN, NORM, NOTHING, RESTRICTION, ZERO
from mgcore.kernels.plane_box import FACES, NODES, TABLES
from mgcore.stencil_level import StencilLevel

pytestmark = pytest.mark.usefixtures("on_several_threads")

D, N, P, R = "dirichlet", "neumann", "periodic", Robin(0.7)


def graded(n, length):
    """Coordinates that no two mesh widths of are the same."""
    x = np.linspace(0, 1, n)
    return length * (x + 0.06 * np.sin(2 * np.pi * x)) + 0.02 * length * x**2


# Even and odd numbers of nodes, rows of a vector and less and of several, each kind of side at each
# end of each axis, and next to each other kind.
CASES = {
    "neumann": ((21, 18), N, 1),
    "dirichlet": ((20, 37), D, 1),
    "periodic": ((18, 12), P, 1),
    "periodic rows": ((22, 70), [(N, R), P], 1),
    "periodic columns": ((20, 11), [P, (R, D)], 1),
    "mixed": ((13, 83), [(D, N), (N, D)], 1),
    "robin": ((17, 40), [(R, D), R], 1),
    "long rows": ((9, 613), [(N, D), (D, R)], 1),
    "three strips": ((65, 20), [(N, D), P], 3),
    "three periodic strips": ((64, 15), [P, N], 3),
    "two strips": ((46, 90), D, 2),
    "neumann space": ((9, 11, 13), N, 1),
    "periodic space": ((12, 8, 14), P, 1),
    "mixed space": ((11, 14, 17), [(D, N), P, R], 1),
    "robin space": ((9, 13, 11), R, 1),
    "every side": ((11, 9, 7), [(N, R), (R, D), (D, N)], 1),
    "thin space": ((8, 5, 5), [P, (N, D), (R, N)], 1),
    "two planes": ((4, 9, 7), [D, R, N], 1),
    "long planes": ((7, 41, 259), [(D, N), (N, R), (N, D)], 1),
    "two strips of space": ((26, 11, 8), [(N, D), N, P], 2),
    "three periodic strips of space": ((36, 8, 15), [P, P, (D, R)], 3),
}


def sides_within(case):
    """The sides of planes of a case in space."""
    sides = CASES[case][1]
    return sides[1:] if isinstance(sides, list) else [sides]


#: Whether the mesh is graded, and which coefficients there are.
MEDIA = {
    "even": (False, ""),
    "graded": (True, ""),
    "even, a": (False, "a"),
    "graded, a and c": (True, "ac"),
    "graded, harmonic a": (True, "h"),
    "even, harmonic a and c": (False, "hc"),
    "graded, separable": (True, "s"),
    "layers": (False, "layers"),
}
#: In space passes are even within planes; media of layers are for them alone.
PROBLEMS = [
    (case, medium)
    for case, (shape, _, _) in CASES.items()
    for medium in (("even", "layers") if len(shape) == 3 else [m for m in MEDIA if m != "layers"])
    if medium != "layers" or not any(R in np.ravel(side) for side in sides_within(case))
]


def coefficients(shape, which):
    """None; a; a and c; the same with harmonic means; or an a for each axis, of which alone it
    depends, if at all.
    """
    rng = np.random.default_rng(1)
    if which == "layers":
        return {"coefficient": [rng.uniform(0.5, 2, (shape[0], 1, 1)) + np.zeros(shape), 0.7, 1.3]}
    if which == "s":
        return {"coefficient": [rng.uniform(0.5, 2, (shape[0], 1)) + np.zeros(shape), 0.7]}
    a = rng.uniform(0.5, 2, shape)
    how = {"coefficient": a} if which else {}
    how |= {"mean": "harmonic"} if "h" in which else {}
    return how | ({"reaction": rng.uniform(0, 3, shape)} if "c" in which else {})


def applied(table, values, axis):
    """A map along one axis, term by term."""
    values = np.moveaxis(values, axis, -1)
    terms = [values[..., k] * w for k, w in zip(table.index, table.weight, strict=True)]
    return np.moveaxis(sum(terms), -1, axis)


def build(case, dtype, medium, **how):
    (shape, sides, _), (graded_mesh, which) = CASES[case], MEDIA[medium]
    how |= {"sides": sides, "dtype": dtype, "coarsest": 1, **coefficients(shape, which)}
    if graded_mesh or which == "layers":
        lines = [graded(n, n - 1.0) for n in shape]
        if which == "layers":
            lines[1:] = [np.arange(n) for n in shape[1:]]
        how["coordinates"] = lines
        lengths = [1.06 * n if k == 0 or graded_mesh else n for k, n in enumerate(shape)]
        kinds = sides if isinstance(sides, list) else [sides] * len(shape)
        how["extent"] = [
            length if kind == P else line[-1] - line[0]
            for length, kind, line in zip(lengths, kinds, lines, strict=True)
        ]
    else:
        how |= {"shape": shape, "extent": [n - 1.0 for n in shape]}
    return poisson_levels(**how)


@pytest.mark.parametrize(("case", "medium"), PROBLEMS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
class TestPasses:
    @pytest.fixture(autouse=True)
    def problem(self, case, dtype, medium):
        self.fused, self.plain = (build(case, dtype, medium, fused=on)[0] for on in (True, False))
        assert type(self.fused) is BoxLevel
        assert type(self.plain) is StencilLevel
        if self.fused.grid.ndim == 2:
            assert self.fused._pass.kind == self.kind(MEDIA[medium][1])
        rng = np.random.default_rng(0)
        self.u, self.g = rng.standard_normal((2, *self.fused.grid.shape)).astype(dtype)
        self.e = rng.standard_normal(self.fused.coarse.grid.shape).astype(dtype)
        self.strips = CASES[case][2]
        self.tolerance = 1e-13 if dtype == "float64" else 2e-5

    def kind(self, which):
        if which in ("", "s"):
            return TABLES
        robin = any(R in axis.sides for axis in self.fused.grid.axes)
        return FACES if "h" in which or robin else NODES

    def close(self, values, expected):
        scale = max(abs(expected).max(), 1)
        assert abs(values - expected).max() <= self.tolerance * scale

    def outside(self, layout, values):
        """Where there are no unknowns there are zeros, but around periodic axes."""
        around = values.copy()
        around[layout.inside] = 0
        for number, axis in enumerate(layout.grid.axes):
            if axis.periodic:
                ends = layout.inside[number]
                np.moveaxis(around, number, 0)[[ends.start - 1, ends.stop]] = 0
        return around

    @pytest.mark.parametrize("sink", [NOTHING, RESTRICTION, NORM])
    @pytest.mark.parametrize("source", [GIVEN, ZERO, CORRECTED])
    def test_sweep(self, case, source, sink):
        plain, fused = self.plain, self.fused
        layout, below, unknown = fused._layout, fused._below, fused.coarse.grid.unknown
        u = None if source == ZERO else self.u
        expected, state = plain.start(self.g, u), fused.start(self.g, u)
        if source == CORRECTED:
            expected = plain.prolong(expected, plain.coarse.start(self.e, self.e))
        expected = plain.smooth(expected, 1)
        e = below.zeros()
        below.nodes(e)[unknown] = self.e[unknown]
        below.layer(e)
        if source == ZERO:  # rubbish that must not be read
            state.u[layout.inside] = np.nan
        space, (_, several) = fused._pass.space(self.strips), fused._pass.kernels
        sums, coarse = np.zeros(self.strips), state.coarse_g
        for _ in range(2):  # the second time with what the first one left in scratch
            again = state.u.copy()
            told = fused._pass.told
            several(again, state.g, source, e, sink, coarse, sums, *told, space, self.strips)
            self.close(again[layout.inside], plain._interior(expected.values))
            assert not self.outside(layout, again).any()
        if sink == RESTRICTION:
            restricted = plain.coarse.scale(plain.restrict(expected))
            r = plain.residual(expected)
            for axis, table in enumerate(fused._rung.down[0]):
                r = applied(table, r, axis)
            self.close(coarse[below.inside], r[unknown])
            assert np.linalg.norm(coarse[below.inside]) == pytest.approx(restricted, rel=1e-4)
            assert not self.outside(below, coarse).any()
        elif sink == NORM:
            assert np.sqrt(sums.sum()) == pytest.approx(plain.residual_norm(expected), rel=1e-4)
        else:
            assert not coarse.any()
            assert not sums.any()

    def test_no_step_leaves_the_iterate_alone(self, case):
        """What comes before and after a step, without one and between steps."""
        plain, fused = self.plain, self.fused
        expected, state = plain.start(self.g, self.u), fused.start(self.g, self.u)
        for _ in range(2):
            norm = plain.residual_norm(expected)
            assert fused.residual_norm(state) == pytest.approx(norm, rel=1e-4)
            self.close(state.u[fused._layout.inside], plain._interior(expected.values))
            expected, lower = plain.descend(expected, 0)
            state, coarse = fused.descend(state, 0)
            for level, below in ((plain, lower), (fused, coarse)):
                level.coarse.smooth(below, 1)
            self.close(fused.coarse.solution(coarse), plain.coarse.solution(lower))
            expected = plain.smooth(plain.prolong(expected, lower), 1)
            state = fused.smooth(fused.ascend(state, coarse, 0), 1)
            self.close(state.u[fused._layout.inside], plain._interior(expected.values))
        self.close(fused.residual(state), plain.residual(expected))
        self.close(
            fused.solution(fused.interpolate(state, coarse)),
            plain.solution(plain.interpolate(expected, lower)),
        )


@pytest.mark.parametrize("cycle", [mgcore.v_cycle, mgcore.w_cycle, mgcore.full_multigrid])
@pytest.mark.parametrize("threads_", [1, 2])
@pytest.mark.parametrize(
    ("shape", "sides", "which"),
    [
        ((129, 128), [(D, N), P], ""),
        ((200, 150), D, ""),
        ((129, 129), D, "a"),
        ((128, 96), P, ""),
        ((128, 96), P, "ac"),
    ],
)
def test_levels_fuse_without_a_trace(shape, sides, which, cycle, threads_):
    if threads_ > threads.count():
        pytest.skip("needs two threads")
    g, u = np.random.default_rng(0).standard_normal((2, *shape))
    solutions, norms = [], []
    for fused in (True, False):
        levels = poisson_levels(
            shape, extent=[n - 1.0 for n in shape], sides=sides, fused=fused,
            **coefficients(shape, which),
        )  # fmt: skip
        assert isinstance(levels[0], BoxLevel if fused else StencilLevel)
        assert isinstance(levels[-1], StencilLevel)
        assert ("plain kernels: fused=False" in str(levels)) != fused
        with threads.limited(threads_):
            state = levels[0].start(g, u)
            levels[0].residual_norm(state)
            for _ in range(2):
                state = mgcore.run(levels, cycle(len(levels), 2, 1), state)
            norms.append(levels[0].residual_norm(state))
            solutions.append(levels[0].solution(state))
        assert norms[-1] == pytest.approx(np.linalg.norm(
            levels[0].residual(state)[levels[0].grid.unknown]), rel=1e-8)  # fmt: skip
    assert abs(solutions[0] - solutions[1]).max() <= 1e-12 * abs(solutions[1]).max()
    assert norms[0] == pytest.approx(norms[1], rel=1e-8)


def test_scratch_forgets_what_was_not_finite():
    g = np.random.default_rng(0).standard_normal((40, 30))
    levels = poisson_levels(g.shape, sides=[(R, D), N])
    fresh = mgcore.solve(levels, g, rtol=0, maxiter=2).u
    levels = poisson_levels(g.shape, sides=[(R, D), N])
    state = levels[0].start(np.full_like(g, np.inf))
    levels[0].finish(mgcore.run(levels, mgcore.v_cycle(len(levels)), state))
    np.testing.assert_array_equal(mgcore.solve(levels, g, rtol=0, maxiter=2).u, fresh)


def test_another_coarse_state_must_fit():
    levels = poisson_levels((81, 65), sides="neumann", coarsest=1)
    g = np.random.default_rng(0).standard_normal((81, 65))
    for fine in levels[:2]:
        state = fine.start(g[tuple(map(slice, fine.grid.shape))])
        for other in (state, None, levels[3].start(np.zeros(levels[3].grid.shape))):
            with pytest.raises(ValueError, match="a coarser state of .* fits here, got"):
                fine.ascend(state, other, 1)


def test_a_coarse_state_of_ones_own():
    levels = poisson_levels((40, 30), sides=[(R, D), N])
    assert [type(level) for level in levels] == [BoxLevel, StencilLevel]
    rng = np.random.default_rng(0)
    g, e = rng.standard_normal((40, 30)), rng.standard_normal(levels[1].grid.shape)
    other = levels[1].start(e)
    plain = poisson_levels((40, 30), sides=[(R, D), N], fused=False)
    found = levels[0].prolong(levels[0].start(g, g), levels[1].smooth(other, 1))
    expected = plain[0].prolong(plain[0].start(g, g), plain[1].smooth(plain[1].start(e), 1))
    np.testing.assert_allclose(levels[0].solution(found), plain[0].solution(expected), atol=1e-13)


@pytest.mark.parametrize("which", ["s", "ac"])
@pytest.mark.parametrize(
    ("shape", "sides"),
    [((84, 54), D), ((84, 55), N), ((84, 54), P), ((85, 55), [(D, R), (N, D)])],
    ids=["dirichlet", "neumann", "periodic", "mixed"],
)
def test_a_misfit_is_that_of_the_general_kernels(shape, sides, which):
    level = poisson_levels(
        shape, extent=[n - 1.0 for n in shape], sides=sides, coarsest=1,
        **coefficients(shape, which),
    )[0]  # fmt: skip
    assert isinstance(level, BoxLevel)
    g, u = np.random.default_rng(0).standard_normal((2, *shape))
    inside = np.zeros(shape)
    inside[level.grid.unknown] = u[level.grid.unknown]
    for values in (inside, u):  # Dirichlet sides that are zero, and others
        assert level.misfit(g, values) == pytest.approx(level.general.misfit(g, values), rel=1e-12)
    kept = len(level._pool)
    inside[5, 5] = np.nan
    assert np.isnan(level.misfit(g, inside))
    assert len(level._pool) < kept  # no state with a NaN is for the next problem
