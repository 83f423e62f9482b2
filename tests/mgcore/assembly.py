"""Sparse matrices assembled node by node: written apart from the solver, to compare with."""

from collections import defaultdict

import numpy as np
import scipy.sparse as sp

from mgcore import Robin


def assemble(coordinates, lengths, sides, a, c, g, values):
    """The matrix and right-hand side for all nodes, in C order; g may have several in a last axis.

    `values[axis][end]` are those on a side, of u or of the flux, of the shape of that face; where
    two Dirichlet sides meet they must agree.
    """
    shape = tuple(map(len, coordinates))
    number = np.arange(np.prod(shape)).reshape(shape)
    A = defaultdict(float)
    b = np.array(g, float).reshape(number.size, *np.shape(g)[len(shape) :])
    for node in np.ndindex(*shape):
        row = number[node]
        on = [
            (axis, end, node[:axis] + node[axis + 1 :])
            for axis in range(len(shape))
            for end in (0, 1)
            if node[axis] == end * (shape[axis] - 1)
        ]
        given = [values[k][end][face] for k, end, face in on if sides[k][end] == "dirichlet"]
        if given:
            A[row, row], b[row] = 1.0, given[0]
            continue
        A[row, row] += c[node]
        for axis, x in enumerate(coordinates):
            i, n = node[axis], shape[axis]
            around = lengths[axis] - (x[-1] - x[0]) if sides[axis][0] == "periodic" else 0.0
            below = x[i] - x[i - 1] if i > 0 else around
            above = x[i + 1] - x[i] if i < n - 1 else around
            volume = (below + above) / 2
            for h, j in ((below, i - 1), (above, i + 1)):
                if h > 0:
                    other = (*node[:axis], j % n, *node[axis + 1 :])
                    weight = (a[node] + a[other]) / 2 / h / volume
                    A[row, row] += weight
                    A[row, number[other]] -= weight
            for k, end, face in on:
                side = sides[k][end]
                if k == axis and side != "periodic":
                    b[row] += values[k][end][face] / volume
                    if isinstance(side, Robin):
                        A[row, row] += side.beta / volume
    rows, columns = zip(*A, strict=True)
    entries = (list(A.values()), (rows, columns))
    return sp.coo_array(entries, (number.size, number.size)).tocsr(), b


def volumes(coordinates, lengths, sides):
    """What belongs to each node."""
    total = np.ones(())
    for x, length, pair in zip(coordinates, lengths, sides, strict=True):
        h = np.diff(x) / 2
        v = np.append(h, 0) + np.append(0, h)
        if pair[0] == "periodic":
            v[[0, -1]] += (length - (x[-1] - x[0])) / 2
        total = np.multiply.outer(total, v)
    return total
