"""Means of coefficients along an axis, for the next coarser grid."""

import numpy as np
from numba import prange

from mgcore.kernels.compilation import parallel, serial

__all__ = ["means"]


@serial
def _invert(values):
    """values = 1 / values."""
    for i in range(len(values)):
        values[i] = 1 / values[i]


@serial
def _line(values, index, weight, out):
    """Means of a line's nodes."""
    for k in range(len(out)):
        total = 0.0
        for m in range(len(index)):
            total += weight[m, k] * values[index[m, k]]
        out[k] = total


@serial
def _add(values, weight, harmonic, out):
    """Add nodes, or their inverses, that lie side by side."""
    if harmonic:
        for i in range(len(out)):
            out[i] += weight / values[i]
    else:
        for i in range(len(out)):
            out[i] += weight * values[i]


@parallel
def means(values, index, weight, harmonic, out):
    """out = sum_m w_m v_m, or 1 / sum_m (w_m / v_m) where harmonic.

    Parameters
    ----------
    values : ndarray
        (before, nodes, behind): the axis, and those before and behind it as one each.
    index, weight : ndarray
        (terms, coarse nodes): see :class:`mgcore.axis.Table`.
    harmonic : bool
    out : ndarray
        (before, coarse nodes, behind).
    """
    before, coarse, behind = out.shape
    if behind == 1:
        for o in prange(before):
            line = np.copy(values[o, :, 0])
            if harmonic:
                _invert(line)
            _line(line, index, weight, out[o, :, 0])
            if harmonic:
                _invert(out[o, :, 0])
    else:
        for place in prange(before * coarse):
            o, k = place // coarse, place % coarse
            out[o, k] = 0
            for m in range(len(index)):
                if weight[m, k] != 0:
                    _add(values[o, index[m, k]], weight[m, k], harmonic, out[o, k])
            if harmonic:
                _invert(out[o, k])
