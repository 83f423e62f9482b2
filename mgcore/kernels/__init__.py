"""Numba functions on arrays and nothing else: no classes, no policy.

One file for each dimension, with the same functions, and one of fused passes in 2D. Arrays are
C-contiguous node arrays of one dtype, border nodes included; borders of `u` hold zero unless said
otherwise and are never written. `a` holds h^-2 of each axis, `k` 1 for each axis that the coarser
grid halves and 0 for the others. Nothing is checked here: callers vouch for shapes and dtypes.
"""

from types import ModuleType

from mgcore.kernels import line, plane, space

#: The module of kernels for 1, 2 and 3 axes.
KERNELS: dict[int, ModuleType] = {1: line, 2: plane, 3: space}
