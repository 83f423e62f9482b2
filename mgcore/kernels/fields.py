"""What passes over a plane box read of coefficients, from a on faces and c at nodes."""

from numba import prange

from mgcore.kernels.box import COLUMNS, DIAGONAL, OWN, ROWS
from mgcore.kernels.compilation import inlined, parallel

__all__ = ["lay_out"]


@inlined
def _of(values, i, j):
    """The value of a row and a column, along axes of length 1 always the first; before them one."""
    if i < 0 or j < 0:
        return 1.0
    return values[i if values.shape[0] > 1 else 0, j if values.shape[1] > 1 else 0]


@parallel
def lay_out(faces_across, faces_along, c, row_faces, column_faces, across, along, first, out):
    """a on the faces above and to the left, 1 / diagonal and c, halves of rows apart.

    Parameters
    ----------
    faces_across, faces_along : ndarray
        a on the faces across either axis, as a medium has them.
    c : ndarray
        At the nodes.
    row_faces, column_faces : ndarray of int
        The face before each unknown of an axis, and before the node behind them; -1 for none.
    across, along : ndarray
        (2, unknowns): couplings to the nodes before and behind, for an a of one.
    first : tuple of int
        The first unknowns along both axes.
    out : ndarray
        (unknowns + 2, halves, room): rows of fields; with or without those of c.
    """
    m, n = across.shape[1], along.shape[1]
    for i in prange(m + 1):
        row, x = out[i + 1], first[0] + i
        for j in range(n + 1):
            y = first[1] + j
            odd, k = y % 2, y // 2
            if i < m:
                row[COLUMNS + odd, k] = _of(faces_along, x, column_faces[j])
            if j < n:
                row[ROWS + odd, k] = _of(faces_across, row_faces[i], y)
            if i < m and j < n:
                above, below = row[ROWS + odd, k], _of(faces_across, row_faces[i + 1], y)
                left, right = row[COLUMNS + odd, k], _of(faces_along, x, column_faces[j + 1])
                own = _of(c, x, y)
                vertical = across[0, i] * above + across[1, i] * below
                diagonal = vertical + (along[0, j] * left + along[1, j] * right) + own
                row[DIAGONAL + odd, k] = 1 / diagonal
                if out.shape[1] > OWN:
                    row[OWN + odd, k] = own
