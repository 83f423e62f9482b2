"""Which points are red and which black: what coloured sweeps take in turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mgcore.operators import Operator
from mgcore.smoothers import Sweep

__all__ = ["colours", "visited"]


def colours(nodes: Sequence[np.ndarray], compact: bool) -> list[np.ndarray]:
    """Which points have which colour, the red half of the colours first.

    Parameters
    ----------
    nodes : sequence of ndarray
        Numbers of the nodes along each axis.
    compact : bool
        Two colours by the sum of these numbers, red where it is even; or 2^d by their parities,
        where neighbours lie across corners, too.

    Returns
    -------
    list of ndarray of bool
        Of the shape of the nodes.
    """
    parities = np.ix_(*(number % 2 for number in nodes))
    if compact:
        odd = np.asarray(sum(parities)) % 2
        return [np.equal(odd, 0), np.equal(odd, 1)]
    codes = np.asarray(sum(parity << axis for axis, parity in enumerate(parities)))
    return [np.equal(codes, code) for code in range(2 ** len(nodes))]


def visited(operator: Operator, sweep: Sweep, nodes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The points that a sweep goes to, colour after colour.

    Parameters
    ----------
    operator : Operator
        Whose couplings say how many colours it takes.
    sweep : Sweep
    nodes : sequence of ndarray
        Numbers of the nodes along each axis.

    Returns
    -------
    list of ndarray of bool
        Of the shape of the nodes; of lines with length 1 along these. A single True for sweeps over
        all points.
    """
    if sweep.points not in ("red", "black"):
        return [np.ones((1,) * len(nodes), bool)]
    axis = sweep.lines
    if axis is None:
        masks = colours(nodes, operator.compact)
    else:  # in the plane lines have two neighbours, whatever couples them
        across = [offset[:axis] + offset[axis + 1 :] for offset in operator.couplings]
        one = np.zeros(1, int)
        masks = colours(
            [one if k == axis else numbers for k, numbers in enumerate(nodes)],
            compact=all(sum(map(abs, offset)) <= 1 for offset in across),
        )
    half = len(masks) // 2
    chosen = masks[:half] if sweep.points == "red" else masks[half:]
    return [mask for mask in chosen if mask.any()]
