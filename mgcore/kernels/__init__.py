"""Numba functions on arrays and nothing else: no classes, no policy.

One file for each dimension, with the same functions; plane_fused.py and space_fused.py do what one
half of a cycle needs in one pass over memory, in stages that wave.py introduces, on scratch that
halves.py lays out. Their arrays are C-contiguous node arrays of one dtype, border nodes included;
borders of `u` hold zero unless said otherwise and are never written. `a` holds h^-2 of each axis,
`k` 1 for each axis that the coarser grid halves and 0 for the others. general.py, zebra.py and
transfers.py are for any operator and all dimensions, on flat arrays that mgcore/slabs.py lays out.
plane_box_fused.py has the passes in 2D for any sides, meshes and coefficients, on arrays that
mgcore/layout.py lays out, on which space_fused.py runs as well. Nothing is checked here: callers
vouch for shapes and dtypes.
"""

from types import ModuleType
from typing import Any

from numba import config

from mgcore.kernels import line, plane, plane_box_fused, plane_fused, space, space_fused
from mgcore.kernels.plane_box import FACES, NODES, TABLES
from mgcore.numba_private import why_no_vectors

#: The module of kernels for 1, 2 and 3 axes.
KERNELS: dict[int, ModuleType] = {1: line, 2: plane, 3: space}
#: Why there are no fused passes, None where there are. Interpreted ones do with NumPy's vectors.
WHY_PLAIN = None if config.DISABLE_JIT else why_no_vectors()
#: The module of fused passes for 2 and 3 axes, where compiled code has vectors.
FUSED: dict[int, ModuleType] = {} if WHY_PLAIN else {2: plane_fused, 3: space_fused}
#: The passes for any sides and meshes in 2D, on one strip and on several, by what they read of a.
PLANES: dict[int, tuple[Any, Any]] = {
    TABLES: (plane_box_fused.plane_strip, plane_box_fused.plane),
    FACES: (plane_box_fused.faces_strip, plane_box_fused.faces_plane),
    NODES: (plane_box_fused.nodes_strip, plane_box_fused.nodes_plane),
}
#: The passes for any sides in 3D.
SPACES: tuple[Any, Any] = (space_fused.sweep_strip, space_fused.sweep)
