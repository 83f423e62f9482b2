"""Fused passes give what their parts give one after the other.

The small ones of TestPasses also run with NUMBA_BOUNDSCHECK=1 and NUMBA_DISABLE_JIT=1: see
test_kernels.py.
"""

import numba
import numpy as np
import pytest

import mgcore
from mgcore import Grid, threads
from mgcore.diffusion import Medium
from mgcore.kernels import FUSED, KERNELS, wave
from mgcore.kernels.halves import (
    CORRECTED,
    GIVEN,
    INTERPOLATED,
    NORM,
    NOTHING,
    RESTRICTION,
    ZERO,
    half_size,
)
from mgcore.level import Level
from mgcore.space_pass import node_plane, told
from mgcore.transfer import restriction

pytestmark = pytest.mark.usefixtures("on_several_threads")


def random_nodes(shape, dtype, seed):
    values = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    for axis in range(values.ndim):
        np.moveaxis(values, axis, 0)[[0, -1]] = 0
    return values


def fenced(values):
    """A copy, and the memory around it: vectors reach beyond rows, but must not beyond arrays."""
    memory = np.full(values.size + 200, np.nan, values.dtype)
    inside = memory[100:-100].reshape(values.shape)
    inside[:] = values
    return inside, (memory[:100], memory[-100:])


# Rows of 5 and 9 nodes are shorter than a vector, as those of 17 in single precision; planes of
# 257 rows are taken in parts; rows that fill 4 MB are prefetched; a strip needs four coarse lines.
SHAPES = [
    *[(5, 5), (9, 17), (5, 33), (33, 5), (17, 17), (33, 33), (65, 33), (129, 129), (33, 2049)],
    *[(257, 2049), (5, 5, 5), (9, 17, 5), (17, 5, 9), (17, 17, 17), (33, 9, 17), (17, 65, 65)],
    *[(5, 257, 33), (9, 5, 2049)],
]
CASES = [
    pytest.param(shape, n, id=f"{'x'.join(map(str, shape))}-{n}")  # in use: see test_kernels.py
    for shape in SHAPES
    for n in range(1, 5)
    if n == 1 or shape[0] // 2 > 4 * n
]


@pytest.mark.parametrize(("shape", "strips"), CASES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
class TestPasses:
    @pytest.fixture(autouse=True)
    def problem(self, shape, strips, dtype):
        self.plain, self.fused = KERNELS[len(shape)], FUSED[len(shape)]
        self.real, self.k = np.dtype(dtype).type, (1,) * len(shape)
        self.coarse_shape = tuple((n + 1) // 2 for n in shape)
        self.u, self.e = random_nodes(shape, dtype, 1), random_nodes(self.coarse_shape, dtype, 2)
        self.g = np.random.default_rng(3).standard_normal(shape).astype(dtype)
        for axis in range(len(shape)):  # g on the border is not read
            np.moveaxis(self.g, axis, 0)[[0, -1]] = np.nan
        extent = (1.0, 0.7, 1.2)[: len(shape)]
        self.a = tuple(self.real(h**-2 / 100) for h in Grid(shape, extent).spacing)
        self.omega = self.real(1.15)
        self.told = (self.omega, *self.a)
        if len(shape) == 3:
            grid, coarse = Grid(shape, extent), Grid(self.coarse_shape, extent)
            planes = node_plane(grid), node_plane(coarse)
            operator = Medium.given(grid, 1 / 100).operator()
            self.told = told(operator, coarse, planes, (0, 0), 1.15, np.dtype(dtype))
        self.space = self.fused.workspace(shape, strips, dtype)
        self.tolerance = 1e-13 if dtype == "float64" else 2e-5

    def close(self, values, expected):
        assert abs(values - expected).max() <= self.tolerance * max(abs(expected).max(), 1)

    @pytest.mark.parametrize("sink", [NOTHING, RESTRICTION, NORM])
    @pytest.mark.parametrize("source", [GIVEN, ZERO, CORRECTED, INTERPOLATED])
    def test_sweep(self, shape, strips, source, sink):
        expected = self.u.copy()
        if source == ZERO:
            expected[:] = 0
        elif source == CORRECTED:
            self.plain.prolong(expected, self.e, self.k)
        elif source == INTERPOLATED:
            self.plain.interpolate(expected, self.e, self.k)
        self.plain.color(expected, self.g, self.a, self.omega, 0)
        self.plain.color(expected, self.g, self.a, self.omega, 1)

        u, sums = self.u.copy(), np.zeros(shape[0])
        coarse, coarse_fence = fenced(np.zeros_like(self.e))
        e, g = fenced(self.e)[0], fenced(self.g)[0]
        if source in (ZERO, INTERPOLATED):  # rubbish that must not be read
            u[(slice(1, -1),) * u.ndim] = np.nan
        for _ in range(2):  # scratch is left as it was found
            again, fence = fenced(u)
            self.fused.sweep(
                again, g, source, e, sink, coarse, sums, *self.told, self.space, strips
            )
            self.close(again, expected)
            assert np.isnan([*fence, *coarse_fence]).all()
        for axis in range(len(shape)):
            assert not np.moveaxis(again, axis, 0)[[0, -1]].any()
        r = np.zeros_like(u)
        self.plain.residual(expected, self.g, r, self.a)
        if sink == RESTRICTION:
            by_parts = np.zeros_like(coarse)
            weights = restriction("full", self.k).astype(r.dtype)
            self.plain.restrict(r, by_parts, weights, self.k)
            self.close(coarse, by_parts)
        elif sink == NORM:
            assert np.sqrt(sums.sum()) == pytest.approx(np.linalg.norm(r.astype(float)), rel=1e-4)
        else:
            assert not coarse.any()
            assert not sums.any()

    def test_restrict(self, strips, dtype):
        coarse, by_parts = np.zeros_like(self.e), np.zeros_like(self.e)
        self.plain.restrict(self.u, by_parts, restriction("full", self.k).astype(dtype), self.k)
        self.fused.restrict(self.u, coarse, self.space, strips)
        self.close(coarse, by_parts)
        assert not self.space.any()

    @pytest.mark.skipif(not numba.config.DISABLE_JIT, reason="compiled code hides its vectors")
    @pytest.mark.parametrize("source", [GIVEN, ZERO, CORRECTED, INTERPOLATED])
    def test_vectors_stay_in_their_slots(self, shape, strips, dtype, source, monkeypatch):
        # They reach beyond a row's end into its padding, never into what lies behind: that is no
        # index outside of the array, and nobody else would notice.
        name, seen = self.fused.__name__.rpartition(".")[2], set()
        half = half_size(shape[1] if name == "plane_fused" else shape[1] * shape[2])
        # Whole lines, which take both halves of a slot.
        whole = (11, 22) if name == "plane_fused" else (13, 20)

        def watched(operation):
            def call(S, k, *value):
                if S.base is not None and np.may_share_memory(S, self.space):
                    assert S.size == self.space.shape[1]
                    slot = k // (2 * half)
                    size = 2 * half if whole[0] <= slot < whole[1] else half
                    assert k % size + self.fused.lanes(S) <= size
                    seen.add(slot)
                return operation(S, k, *value)

            return call

        for operation in (self.fused.load, self.fused.store):
            for module in (self.fused, wave):  # that of the pass, and what passes share
                monkeypatch.setattr(module, operation.__name__, watched(operation))
        for sink in (RESTRICTION, NORM):
            coarse, sums = np.zeros_like(self.e), np.zeros(shape[0])
            self.fused.sweep(
                self.u.copy(), self.g, source, self.e, sink, coarse, sums, *self.told, self.space,
                strips,
            )  # fmt: skip
        assert len(seen) >= 8


@pytest.mark.parametrize("guess", [False, True])
@pytest.mark.parametrize(("pre", "post"), [(0, 0), (0, 1), (1, 0), (1, 1), (2, 3)])
@pytest.mark.parametrize("cycle", [mgcore.v_cycle, mgcore.w_cycle, mgcore.full_multigrid])
@pytest.mark.parametrize("shape", [(513, 513), (65, 65, 65)])
def test_levels_fuse_without_a_trace(shape, cycle, pre, post, guess):
    g, u = np.random.default_rng(0).standard_normal((2, *shape))
    solutions, norms = [], []
    for fused in (True, False):
        extent = [(n - 1) / 32 for n in shape]  # equal mesh widths: all axes are halved
        levels = mgcore.poisson_levels(
            shape, extent=extent, smoother="sor", fused=fused, coarsest=1
        )
        assert [level.fused for level in levels[:4]] == [fused] * 4
        assert ("plain kernels" in str(levels)) != fused
        state = levels[0].start(g, u if guess else None)
        levels[0].residual_norm(state)
        for _ in range(2):
            state = mgcore.run(levels, cycle(len(levels), pre, post), state)
        norms.append(levels[0].residual_norm(state))
        solutions.append(levels[0].solution(state).copy())
        assert norms[-1] == pytest.approx(np.linalg.norm(levels[0].residual(state)), rel=1e-8)
    scale = abs(solutions[1]).max()
    assert abs(solutions[0] - solutions[1]).max() <= 1e-12 * scale
    assert norms[0] == pytest.approx(norms[1], rel=1e-8, abs=1e-12 * scale)


def test_fused_is_a_choice():
    with pytest.raises(ValueError, match="fused must be True or False, got 'no'"):
        mgcore.poisson_levels((9, 9), fused="no")
    for fits in ({}, {"smoother": "sor"}, {"smoother": "redblack", "restriction": "full"}):
        assert mgcore.poisson_levels((9, 9), coarsest=1, **fits)[0].fused
    for plain in ({"smoother": "jacobi"}, {"restriction": "half"}, {"fused": False}):
        levels = mgcore.poisson_levels((9, 9), coarsest=1, **plain)
        assert not any(level.fused for level in levels)
        assert ("plain kernels: fused=False" in str(levels)) == ("fused" in plain)
    levels = mgcore.poisson_levels((9, 17), coarsest=1)
    assert not levels[0].fused  # one axis is halved alone
    assert levels[1].fused


def test_default_methods_are_the_parts():
    """With the fused methods taken away, the Protocol's defaults give the same."""
    g = np.random.default_rng(0).standard_normal((65, 65))
    levels = mgcore.poisson_levels((65, 65), smoother="sor")
    fused, parts = levels[0].start(g), levels[0].start(g)
    fused, coarse = levels[0].descend(fused, 2)
    parts, coarse_parts = Level.descend(levels[0], parts, 2)
    np.testing.assert_allclose(coarse.g, coarse_parts.g, atol=1e-10)
    for state in (coarse, coarse_parts):
        levels[1].solution(state)[1:-1, 1:-1] = g[2:-2:2, 2:-2:2]
    fused = levels[0].ascend(fused, coarse, 2)
    parts = Level.ascend(levels[0], parts, coarse_parts, 2)
    np.testing.assert_allclose(levels[0].solution(fused), levels[0].solution(parts), atol=1e-12)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("shape", [(33, 33), (17, 17, 17)])
class TestAnotherCoarseState:
    """What is handed in is what is used, whether or not it is the state's own."""

    @pytest.fixture(autouse=True)
    def problem(self, shape, fused):
        g, e = np.random.default_rng(0).standard_normal((2, *shape))
        self.levels = mgcore.poisson_levels(shape, smoother="sor", fused=fused, coarsest=1)
        self.fine, coarse = self.levels[:2]
        assert self.fine.fused == fused
        halves = (slice(None, None, 2),) * len(shape)
        self.states = [self.fine.descend(self.fine.start(g), 1) for _ in range(2)]
        for _, own in self.states:
            coarse.solution(own)[:] = random_nodes(own.u.shape, "float64", 1)
        # The second state is handed this one, and then its own with the same numbers.
        self.other = coarse.start(np.zeros_like(e[halves]), e[halves])

    def both(self, use):
        """What comes of the other state, and of a state's own that holds the same."""
        (state, _), (twin, own_twin) = self.states
        state = use(state, self.other)
        self.levels[1].solution(own_twin)[:] = self.levels[1].solution(self.other)
        twin = use(twin, own_twin)
        u = [self.fine.solution(s).copy() for s in (state, twin)]
        assert abs(u[0] - u[1]).max() <= 1e-13 * abs(u[1]).max()
        return u[0]

    @pytest.mark.parametrize("steps", [0, 1, 2])
    def test_ascend(self, steps):
        before = self.fine.solution(self.states[0][0]).copy()
        u = self.both(lambda state, coarse: self.fine.ascend(state, coarse, steps))
        if steps == 0:  # every other node is one of the coarser grid: u + e there
            every_other = (slice(None, None, 2),) * u.ndim
            e = self.levels[1].solution(self.other)
            np.testing.assert_allclose(u[every_other], before[every_other] + e, atol=1e-13)

    def test_interpolate(self):
        u = self.both(self.fine.interpolate)
        own = self.states[0][1]
        assert abs(own.u - random_nodes(own.u.shape, "float64", 1)).max() == 0  # not touched
        e = self.levels[1].solution(self.other)
        np.testing.assert_array_equal(u[(slice(None, None, 2),) * u.ndim], e)

    def test_interpolate_then_descend(self):
        self.both(
            lambda state, coarse: self.fine.descend(self.fine.interpolate(state, coarse), 1)[0]
        )

    def test_states_of_other_grids_are_refused(self, shape):
        state = self.states[0][0]
        coarsest = self.levels[2].start(np.zeros(self.levels[2].grid.shape))
        single = mgcore.poisson_levels(self.levels[1].grid.shape, dtype="float32")[0]
        for wrong in (state, coarsest, single.start(np.zeros(self.levels[1].grid.shape))):
            for use in (
                lambda coarse: self.fine.ascend(state, coarse, 0),
                lambda coarse: self.fine.ascend(state, coarse, 1),
                lambda coarse: self.fine.prolong(state, coarse),
                lambda coarse: self.fine.interpolate(state, coarse),
            ):
                with pytest.raises(ValueError, match="a coarser state of .* fits here, got"):
                    use(wrong)


@pytest.mark.skipif(threads.count() == 1, reason="needs two threads")
@pytest.mark.parametrize("shape", [(513, 513), (65, 65, 65)])
def test_results_do_not_depend_on_the_number_of_threads(shape):
    g = np.random.default_rng(0).standard_normal(shape)
    most = numba.get_num_threads()
    try:
        solutions = []
        for n in {1, most}:
            numba.set_num_threads(n)
            solutions.append(mgcore.solve_poisson(g, rtol=0, maxiter=3))
    finally:
        numba.set_num_threads(most)
    for solution in solutions[1:]:
        assert abs(solution.u - solutions[0].u).max() <= 1e-13 * abs(solution.u).max()
        assert solution.residuals == pytest.approx(solutions[0].residuals, rel=1e-10)


@pytest.mark.skipif(threads.count() == 1, reason="needs two threads")
@pytest.mark.parametrize("shape", [(513, 513), (65, 65, 65)])
def test_a_state_may_go_on_with_fewer_threads(shape):
    g = np.random.default_rng(0).standard_normal(shape)
    levels = mgcore.poisson_levels(shape, smoother="sor")
    cycle, norms = mgcore.v_cycle(len(levels)), []
    for later in (1, threads.count()):
        state = levels[0].start(g)
        levels[0].residual_norm(state)
        state = mgcore.run(levels, cycle, state)
        with threads.limited(later):
            state = mgcore.run(levels, cycle, state)
        norms.append(levels[0].residual_norm(state))
    assert norms[0] == pytest.approx(norms[1], rel=1e-10)


def test_the_memory_of_a_state_is_used_again():
    g, h, u = np.random.default_rng(0).standard_normal((3, 65, 65))
    levels = mgcore.poisson_levels((65, 65), smoother="sor")
    fine, cycle = levels[0], mgcore.full_multigrid(len(levels))
    with threads.limited(1):  # the same bits, however busy the cores are
        state = mgcore.run(levels, cycle, fine.start(g))
        fine.residual_norm(state)
        for first in (None, u):
            workspace = state.workspace
            fine.finish(state)
            state, fresh = fine.start(h, first), fine.start(h, first)
            assert state.workspace is workspace
            assert fresh.workspace is not workspace
            assert fine.residual_norm(state) == fine.residual_norm(fresh)
            state = mgcore.run(levels, cycle, state)
            fresh = mgcore.run(levels, cycle, fresh)
            np.testing.assert_array_equal(fine.solution(state), fine.solution(fresh))
