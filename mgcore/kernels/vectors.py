"""Vectors for kernels: the neighbouring numbers of an array that one register holds.

Compilers vectorise simple loops by themselves. A loop that carries numbers from one stage of a pass
to the next in registers is beyond them, as they would have to prove first that none of its stores
meets one of its loads. So the fused passes say what they mean::

    x = load(S, k)                  S[k], S[k + 1], ..., as many as lanes(S)
    store(S, k, x + r / d)          numbers among vectors: d = spread(S, 4.0)
    evens(x, y), odds(x, y)         the even and the odd ones of x followed by y
    low(x, y), high(x, y)           the other way: the first and the last ones of x0 y0 x1 y1 ...
    lagging(x, y)                   y moved up by one, behind the last of x
    leading(x, y)                   x moved down by one, ahead of the first of y
    masked(x, first, stop)          x from lane `first` to `stop`, zero elsewhere
    add_squares(total, x), total_of(total), where total = no_squares(S)     in double precision
    offset(k)                       k as an offset, however it was computed
    prefetch(S, k)                  S[k] will be wanted soon: get it into the first-level cache

Offsets k are unsigned, or Numba would look for negative ones. In compiled code these are Numba's
(mgcore/numba_private.py), in interpreted code NumPy's (interpreted.py).
"""

from numba import config

if config.DISABLE_JIT:
    from mgcore.kernels.interpreted import (
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
else:
    from mgcore.numba_private import (
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
