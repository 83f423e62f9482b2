"""Vectors do what NumPy does with slices.

These tests also run with NUMBA_BOUNDSCHECK=1 and NUMBA_DISABLE_JIT=1: see test_kernels.py.
"""

import numba
import numpy as np
import pytest

from mgcore import numba_private
from mgcore.kernels.compilation import serial
from mgcore.kernels.vectors import (
    add_squares,
    evens,
    high,
    lagging,
    lanes,
    leading,
    load,
    low,
    masked,
    no_squares,
    odds,
    offset,
    prefetch,
    spread,
    store,
    total_of,
)

DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])


@serial
def count(S):
    return lanes(S)


@serial
def calculate(S, out, j, k, number):
    x, y = load(S, np.uint64(j)), load(S, np.uint64(k))
    store(out, np.uint64(1), x * y - spread(S, number) + x / y)


@serial
def pick(S, out, j, k):
    x, y, n = load(S, np.uint64(j)), load(S, np.uint64(k)), lanes(S)
    place = np.uint64(0)
    for z in (evens(x, y), odds(x, y), low(x, y), high(x, y), lagging(x, y), leading(x, y)):
        store(out, place, z)
        place += n


@serial
def move(S, out, j, k):
    prefetch(S, offset(j))
    store(out, offset(k - 1), load(S, offset(j + 1)))


@serial
def inside(S, out, first, stop):
    store(out, np.uint64(0), masked(load(S, np.uint64(0)), first, stop))


@serial
def sum_of_squares(S, vectors):
    total = no_squares(S)
    for k in range(np.uint64(0), np.uint64(vectors) * lanes(S), lanes(S)):
        total = add_squares(total, load(S, k))
    return total_of(total)


@DTYPES
def test_a_vector_is_a_register(dtype):
    size = count(np.zeros(1, dtype)) * np.dtype(dtype).itemsize
    assert size in (32, 64)


@pytest.mark.parametrize(
    ("features", "bits"),
    [("+avx,+avx512f", 512), ("+avx,-avx512f", 256), ("+sse2,-avx", None), ("", None)],
)
def test_numba_is_told_what_processor_to_compile_for(monkeypatch, features, bits):
    monkeypatch.setattr(numba.config, "CPU_FEATURES", features)
    assert numba_private.register_bits() == bits


@DTYPES
def test_arithmetic(dtype):
    S = np.random.default_rng(0).standard_normal(100).astype(dtype)
    out, n = np.full(100, 7, dtype), count(S)
    calculate(S, out, 3, 40, 0.5)
    x, y = S[3 : 3 + n], S[40 : 40 + n]
    tolerance = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(
        out[1 : 1 + n], x * y - 0.5 + x / y, rtol=tolerance, atol=10 * tolerance
    )
    assert (out[[0, *range(1 + n, 100)]] == 7).all()


@DTYPES
def test_lanes_move(dtype):
    S = np.arange(200, dtype=dtype)
    out, n = np.zeros(200, dtype), count(S)
    pick(S, out, 5, 100)
    x, y = S[5 : 5 + n], S[100 : 100 + n]
    both, mixed = np.r_[x, y], np.ravel([x, y], order="F")
    expected = [
        both[::2], both[1::2], mixed[:n], mixed[n:], np.r_[x[-1], y[:-1]], np.r_[x[1:], y[0]]
    ]  # fmt: skip
    np.testing.assert_array_equal(out[: 6 * n], np.concatenate(expected))


@DTYPES
def test_offsets_may_be_computed(dtype):
    S, out = np.arange(100, dtype=dtype), np.zeros(100, dtype)
    n = count(S)
    move(S, out, 4, 8)
    np.testing.assert_array_equal(out, np.r_[[0] * 7, S[5 : 5 + n], [0] * (93 - n)])


@pytest.mark.skipif(
    not (numba.config.BOUNDSCHECK or numba.config.DISABLE_JIT), reason="nobody checks bounds"
)
@DTYPES
def test_vectors_that_reach_out_of_their_array_are_errors(dtype):
    S, out = np.arange(100, dtype=dtype), np.zeros(100, dtype)
    n = count(S)
    move(S, out, 99 - n, 101 - n)  # S[100 - n :] to out[100 - n :]
    np.testing.assert_array_equal(out[-n:], S[-n:])
    for j, k in ((100 - n, 1), (0, 102 - n), (-2, 1), (0, 0), (1000, 1), (0, 2**62)):
        with pytest.raises(IndexError, match="out of an? |out of its"):
            move(S, out, j, k)
    assert not out[:-n].any()


@DTYPES
@pytest.mark.parametrize(("first", "stop"), [(0, 2**40), (1, 100), (0, 3), (2, 4), (3, 3), (0, -1)])
def test_masked_lanes_are_zero_whatever_was_there(dtype, first, stop):
    S = np.arange(1, 101, dtype=dtype)
    n = count(S)
    outside = (np.arange(n) < first) | (np.arange(n) >= stop)
    S[:n][outside] = np.nan
    out = np.full(100, np.nan, dtype)
    inside(S, out, first, stop)
    np.testing.assert_array_equal(out[:n], np.where(outside, 0, np.arange(1, n + 1)))


@DTYPES
def test_squares_are_summed_in_double_precision(dtype):
    S = np.full(16 * 1000, 1 / 3, dtype)
    vectors = S.size // count(S)
    expected = S.size * float(S[0]) ** 2
    assert sum_of_squares(S, vectors) == pytest.approx(expected, rel=1e-13)
