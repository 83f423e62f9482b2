"""What vectors.py explains, on NumPy's arrays: for kernels that are interpreted.

With NUMBA_DISABLE_JIT=1 all kernels run in Python, where they can be stepped through and print what
they hold. A vector is an array of as many numbers as in compiled code. What NumPy would let pass is
an error here: a slice that reaches beyond its array, or begins before it.
"""

import numpy as np

from mgcore.numba_private import REGISTER_BITS

__all__ = [
    "add_squares",
    "evens",
    "high",
    "lagging",
    "lanes",
    "leading",
    "load",
    "low",
    "masked",
    "no_squares",
    "odds",
    "offset",
    "prefetch",
    "spread",
    "store",
    "total_of",
]


def lanes(S):
    """How many numbers a vector of S holds."""
    return (REGISTER_BITS or 256) // (8 * S.itemsize)


def _part(S, k, count):
    if not 0 <= k <= S.size - count:
        raise IndexError(f"{count} numbers from {k} on reach out of an array of {S.size}")
    return S[k : k + count]


def load(S, k):
    """The vector of S[k], S[k + 1], ..."""
    return _part(S, k, lanes(S)).copy()


def store(S, k, x):
    """S[k], S[k + 1], ... = x."""
    if x.dtype != S.dtype:
        raise TypeError(f"numbers of {x.dtype} for an array of {S.dtype}")
    _part(S, k, x.size)[:] = x


def spread(S, number):
    """The number in all lanes of a vector of S."""
    return np.full(lanes(S), number, S.dtype)


def evens(x, y):
    """The even ones of x followed by y."""
    return np.concatenate((x, y))[::2]


def odds(x, y):
    """The odd ones of x followed by y."""
    return np.concatenate((x, y))[1::2]


def low(x, y):
    """The first ones of x0 y0 x1 y1 ..."""
    return np.stack((x, y), axis=1).ravel()[: x.size]


def high(x, y):
    """The last ones of x0 y0 x1 y1 ..."""
    return np.stack((x, y), axis=1).ravel()[x.size :]


def lagging(x, y):
    """Y moved up by one, behind the last of x."""
    return np.concatenate((x[-1:], y[:-1]))


def leading(x, y):
    """X moved down by one, ahead of the first of y."""
    return np.concatenate((x[1:], y[:1]))


def masked(x, first, stop):
    """X from lane `first` to `stop`, zero elsewhere."""
    lane = np.arange(x.size)
    return np.where((first <= lane) & (lane < stop), x, x.dtype.type(0))


def no_squares(S):
    """Zero in all lanes, in double precision."""
    return np.zeros(lanes(S))


def add_squares(total, x):
    """Total + x^2, lane by lane, in double precision."""
    return total + x.astype(np.float64) ** 2


def total_of(total):
    """The sum of all lanes."""
    while total.size > 1:
        total = total[::2] + total[1::2]
    return total[0]


def offset(k):
    """K, however it was computed."""
    return int(k)


def prefetch(S, k):
    """Nothing: memory is not the problem here."""
