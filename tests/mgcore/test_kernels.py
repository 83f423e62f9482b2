"""Kernels against plain NumPy, over shapes and coarsenings.

These tests and those of fused passes, of vectors and of general kernels also run with
NUMBA_BOUNDSCHECK=1 and NUMBA_DISABLE_JIT=1: see the last one.
"""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mgcore import Grid
from mgcore.kernels import KERNELS
from mgcore.transfer import prolongation, restriction

pytestmark = pytest.mark.usefixtures("on_several_threads")

SHAPES = [(9,), (3,), (9, 5), (3, 9), (17, 17), (5, 9, 3), (9, 9, 9)]
DTYPES = ["float64", "float32"]


def arrays(shape, dtype, count, seed=0):
    rng = np.random.default_rng(seed)
    out = [rng.standard_normal(shape).astype(dtype) for _ in range(count)]
    for array in out:
        array[border(shape)] = 0
    return out


def border(shape):
    mask = np.ones(shape, bool)
    mask[(slice(1, -1),) * len(shape)] = False
    return mask


def stiffness(shape, dtype):
    extent = (1.0, 0.7, 1.3)[: len(shape)]
    return tuple(np.dtype(dtype).type(h**-2) for h in Grid(shape, extent).spacing)


def apply_A(u, a):
    """A u in the interior, zero on the border."""
    out = np.zeros(u.shape)
    inside = (slice(1, -1),) * u.ndim
    for axis, weight in enumerate(a):
        v = np.moveaxis(u.astype(float), axis, 0)
        second = np.zeros_like(v)
        second[1:-1] = 2 * v[1:-1] - v[:-2] - v[2:]
        out[inside] += weight * np.moveaxis(second, 0, axis)[inside]
    return out


def close(a, b, dtype):
    scale = max(1.0, abs(b).max())
    np.testing.assert_allclose(a, b, rtol=0, atol=scale * (1e-13 if dtype == "float64" else 1e-5))


def parity(shape):
    return sum(np.ix_(*(np.arange(n) for n in shape))) % 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
class TestOnOneGrid:
    def test_residual_and_norm(self, shape, dtype):
        k, a = KERNELS[len(shape)], stiffness(shape, dtype)
        u, g, r = arrays(shape, dtype, 3)
        u += 1  # any border values
        k.residual(u, g, r, a)
        expected = g - apply_A(u, a)
        expected[border(shape)] = 0
        close(r, expected, dtype)
        assert k.norm(u, g, a) == pytest.approx(np.linalg.norm(expected), rel=1e-5)
        assert k.length(u) == pytest.approx(np.linalg.norm(u[~border(shape)]), rel=1e-5)

    def test_jacobi(self, shape, dtype):
        k, a = KERNELS[len(shape)], stiffness(shape, dtype)
        u, g, new = arrays(shape, dtype, 3)
        k.jacobi(u, g, new, a, u.dtype.type(0.7))
        expected = u + 0.7 / (2 * sum(a)) * (g - apply_A(u, a))
        expected[border(shape)] = 0
        close(new, expected, dtype)

    @pytest.mark.parametrize("odd", [0, 1])
    def test_one_color(self, shape, dtype, odd):
        k, a = KERNELS[len(shape)], stiffness(shape, dtype)
        u, g = arrays(shape, dtype, 2)
        before = u.copy()
        k.color(u, g, a, u.dtype.type(1.15), odd)
        updated = before + 1.15 / (2 * sum(a)) * (g - apply_A(before, a))
        touched = (parity(shape) == odd) & ~border(shape)
        close(u, np.where(touched, updated, before), dtype)

    def test_lexicographic(self, shape, dtype):
        k, a = KERNELS[len(shape)], stiffness(shape, dtype)
        u, g = arrays(shape, dtype, 2)
        expected = u.astype(float)
        for node in itertools.product(*(range(1, n - 1) for n in shape)):
            local = tuple(slice(i - 1, i + 2) for i in node)
            centre = (1,) * len(shape)
            expected[node] += (g[node] - apply_A(expected[local], a)[centre]) / (2 * sum(a))
        k.lexicographic(u, g, a, u.dtype.type(1))
        close(u, expected, dtype)


def coarsenings(ndim):
    return [halved for halved in itertools.product((0, 1), repeat=ndim) if any(halved)]


def pair(halved, coarse_nodes=5):
    coarse = (coarse_nodes,) * len(halved)
    return tuple(2 * n - 1 if half else n for n, half in zip(coarse, halved, strict=True)), coarse


def interpolated(coarse, halved, degree):
    """Fine node values by numpy polynomials through the coarse ones, axis by axis."""
    for axis, half in enumerate(halved):
        if not half:
            continue
        v = np.moveaxis(coarse, axis, 0)
        n = len(v)
        fine = np.zeros((2 * n - 1, *v.shape[1:]))
        fine[::2] = v
        for i in range(n - 1):
            width = min(degree + 1, n)
            first = min(max(i - (width - 1) // 2, 0), n - width)
            nodes = np.arange(first, first + width)
            for m, node in enumerate(nodes):
                others = np.delete(nodes, m)
                fine[2 * i + 1] += np.prod((i + 0.5 - others) / (node - others)) * v[node]
        coarse = np.moveaxis(fine, 0, axis)
    return coarse


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("halved", [h for d in (1, 2, 3) for h in coarsenings(d)])
class TestBetweenGrids:
    @pytest.mark.parametrize("name", ["full", "injection", "half"])
    def test_restriction(self, halved, dtype, name):
        if name == "half" and len(halved) != 2:
            pytest.skip("half weighting is a 2D stencil")
        fine, coarse = pair(halved)
        (r,), (out,) = arrays(fine, dtype, 1), arrays(coarse, dtype, 1, seed=1)
        weights = restriction(name, halved).astype(dtype)
        KERNELS[len(halved)].restrict(r, out, weights, halved)
        expected = np.zeros(coarse)
        for offset in itertools.product((-1, 0, 1), repeat=len(halved)):
            w = weights[tuple(map(abs, offset))]
            if w:
                for node in itertools.product(*(range(1, n - 1) for n in coarse)):
                    at = tuple((i << k) + o for i, k, o in zip(node, halved, offset, strict=True))
                    expected[node] += w * r[at]
        close(out, expected, dtype)

    def test_linear_prolongation_adds(self, halved, dtype):
        fine, coarse = pair(halved)
        (u,), (e,) = arrays(fine, dtype, 1), arrays(coarse, dtype, 1, seed=1)
        expected = u + interpolated(e.astype(float), halved, 1)
        KERNELS[len(halved)].prolong(u, e, halved)
        close(u, expected, dtype)

    @pytest.mark.parametrize("nodes", [3, 5, 9])
    def test_cubic_interpolation(self, halved, dtype, nodes):
        fine, coarse = pair(halved, nodes)
        (u,), (e,) = arrays(fine, dtype, 1), arrays(coarse, dtype, 1, seed=1)
        KERNELS[len(halved)].interpolate(u, e, halved)
        close(u, interpolated(e.astype(float), halved, 3), dtype)

    def test_full_weighting_is_the_adjoint_of_interpolation(self, halved, dtype):
        fine, coarse = pair(halved)
        (x,), (y,) = arrays(fine, dtype, 1), arrays(coarse, dtype, 1, seed=1)
        k = KERNELS[len(halved)]
        Rx, Py = np.zeros(coarse, dtype), np.zeros(fine, dtype)
        k.restrict(x, Rx, restriction("full", halved).astype(dtype), halved)
        k.prolong(Py, y, halved)
        c = 0.5 ** sum(halved)
        tolerance = 1e-12 if dtype == "float64" else 1e-4
        assert np.vdot(Rx, y) == pytest.approx(c * np.vdot(x, Py), rel=tolerance, abs=tolerance)


def test_weights_by_name():
    np.testing.assert_array_equal(restriction("half", (True, True)), [[0.5, 0.125], [0.125, 0]])
    np.testing.assert_array_equal(restriction("half", (False, True)), [[0.5, 0.25], [0, 0]])
    np.testing.assert_array_equal(prolongation("linear", (True,)), [1, 0.5])
    with pytest.raises(ValueError, match="known are 'full', 'half', 'injection'"):
        restriction("bilinear", (True,))
    with pytest.raises(ValueError, match="known are 'linear'"):
        prolongation("cubic", (True,))
    with pytest.raises(ValueError, match="2D stencil"):
        restriction("half", (True,) * 3)


# Shapes and strips of the fused passes, as their tests are named.
FUSED = [
    *["5x5-1", "9x17-1", "33x5-3", "33x33-1", "33x33-3"],
    *["5x5x5-1", "9x17x5-1", "33x9x17-1", "17x17x17-1"],
]
# Cases of the passes for any sides, which also run there.
BOXES = "float64 and (neumann or three or mixed or (periodic and columns)) and (graded or space)"


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["NUMBA_BOUNDSCHECK", "NUMBA_DISABLE_JIT"])
@pytest.mark.parametrize(
    ("file", "which"),
    [
        (__file__, "float64 and not (9-9-9 or shape6)"),
        ("test_fused.py", f"TestPasses and ({' or '.join(FUSED)})"),
        ("test_box_passes.py", f"TestPasses and ({BOXES})"),
        ("test_vectors.py", "test"),
        ("test_general.py", "float64 or step or product or norm or side_by_side"),
    ],
)
def test_kernels_stay_inside_their_arrays(variable, file, which):
    # With bounds checked, an index outside is an error; interpreted, it is one as well. That
    # kernels compiled without checks do not come from the cache is tested elsewhere.
    environment = os.environ | {variable: "1"}
    interpreted = variable == "NUMBA_DISABLE_JIT"
    if file != "test_general.py":  # which counts strips
        # Loops on one thread have the same code, and compile in a fraction of the time.
        environment["NUMBA_NUM_THREADS"] = "1"
    if file == "test_fused.py" and not interpreted:
        which = f"float32 and {which}"  # its vectors are the longest, and each dtype is compiled
    options = ["-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", "-k", which]
    command = [sys.executable, "-m", "pytest", str(Path(__file__).parent / file), *options]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:]
    passed = int(re.search(r"(\d+) passed", result.stdout)[1])
    if file == "test_fused.py":
        assert passed == (2 * len(FUSED) * (12 + 1 + 4) if interpreted else len(FUSED) * (12 + 1))
    else:
        assert passed > 10
