"""A stencil: which neighbours an operator reads, and with which weights.

The operator A of a Poisson problem, the B of a smoother, restriction and prolongation are all of
this kind, and so are the kernels of a convolutional network. The methods here are NumPy slices, to
be read and to be compared with; :mod:`mgcore.kernels.runs` is the fast way to apply one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from numbers import Integral
from typing import Any

import numpy as np

__all__ = ["BEYOND", "Stencil"]

#: How the layer around an array is filled, by numpy.pad's names.
BEYOND = {"zero": "constant", "mirror": "reflect", "wrap": "wrap"}

Offset = tuple[int, ...]


class Stencil:
    """(A u)_x = sum_k w_k(x) u_{x + o_k} on an array of nodes.

    Parameters
    ----------
    weights : mapping of offset to weight
        An offset is a tuple with one whole number for each axis. A weight is a number, or an array
        that broadcasts against the nodes where it varies (of length 1 along axes where it does
        not).
    every : int or sequence of int
        The operator is wanted at every so many nodes along each axis alone: 2 makes a restriction.
    between : int or sequence of int
        The values given belong to every so many nodes, and zeros stand between: 2 makes a
        prolongation.

    Raises
    ------
    ValueError
        For offsets of different lengths, or weights of another number of axes.

    Examples
    --------
    >>> A = Stencil.laplacian((1.0, 1.0))
    >>> A.apply(np.ones((3, 3)))
    array([[2., 1., 2.],
           [1., 0., 1.],
           [2., 1., 2.]])
    >>> R = Stencil.tensor([[1 / 4, 1 / 2, 1 / 4]] * 2, every=2)
    >>> print(R @ A @ (4 * R).transpose())
    [[-0.0625 -0.125  -0.0625]
     [-0.125   0.75   -0.125 ]
     [-0.0625 -0.125  -0.0625]]
    """

    def __init__(
        self,
        weights: Mapping[Offset, Any],
        *,
        every: int | Sequence[int] = 1,
        between: int | Sequence[int] = 1,
    ):
        if not weights:
            raise ValueError("a stencil needs at least one weight")
        lengths = {len(offset) for offset in weights}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(f"offsets need one number for each axis, got {list(weights)}")
        self.ndim = lengths.pop()
        if not all(isinstance(k, Integral) for offset in weights for k in offset):
            raise ValueError(f"offsets count nodes in whole numbers, got {list(weights)}")
        self.weights = {
            tuple(map(int, offset)): self._weight(weight) for offset, weight in weights.items()
        }
        self.every, self.between = self._per_axis(every), self._per_axis(between)

    def _weight(self, weight: Any) -> np.ndarray:
        array = np.asarray(weight)
        if array.dtype.kind not in "biuf":
            raise ValueError(f"a weight must be a real number or numbers, got {weight!r}")
        array = array.astype(np.result_type(array.dtype, np.float32), copy=False)
        if array.ndim not in (0, self.ndim):
            raise ValueError(
                f"a weight is a number or has {self.ndim} axes, as its offsets, got shape "
                f"{array.shape}"
            )
        return array

    def _per_axis(self, values: Any) -> Offset:
        listed = (values,) * self.ndim if isinstance(values, Integral) else tuple(values)
        whole = all(isinstance(value, Integral) and int(value) >= 1 for value in listed)
        if len(listed) != self.ndim or not whole:
            raise ValueError(f"a stride needs a whole number for each axis, got {values!r}")
        return tuple(map(int, listed))

    # --- making one -------------------------------------------------------------------------------

    @classmethod
    def of_array(cls, weights: Any, **strides: Any) -> Stencil:
        """The constant stencil of an array of odd lengths, its centre in the middle.

        Zeros are left out.
        """
        array = np.asarray(weights)
        if np.iscomplexobj(array):
            raise ValueError("the weights of a stencil are real numbers")
        array = array.astype(float)
        if array.ndim == 0 or any(n % 2 == 0 for n in array.shape):
            raise ValueError(f"an array of weights needs odd lengths, got shape {array.shape}")
        centre = [n // 2 for n in array.shape]
        found = {
            tuple(int(i - c) for i, c in zip(index, centre, strict=True)): weight
            for index, weight in np.ndenumerate(array)
            if weight != 0
        }
        return cls(found or {(0,) * array.ndim: 0.0}, **strides)

    @classmethod
    def tensor(cls, lines: Sequence[Sequence[float]], **strides: Any) -> Stencil:
        """The product of stencils of one axis each."""
        return cls.of_array(_outer([np.asarray(line, float) for line in lines]), **strides)

    @classmethod
    def laplacian(cls, a: Sequence[float]) -> Stencil:
        """-Laplace by second differences; a = h^-2 along each axis."""
        centre = (0,) * len(a)
        weights: dict[Offset, float] = {centre: 2.0 * sum(a)}
        for axis, value in enumerate(a):
            for sign in (-1, 1):
                weights[(*centre[:axis], sign, *centre[axis + 1 :])] = -float(value)
        return cls(weights)

    @classmethod
    def diffusion(cls, eps: float, angle: float = 0.0) -> Stencil:
        """-u_ss - eps u_tt in 2D, on mesh widths of 1: strong along s, weak across.

        Parameters
        ----------
        eps : float
            How strong diffusion is along t, between 0 and 1.
        angle : float
            From the first axis to s, in radians.

        Returns
        -------
        Stencil
            With c, s = cos, sin of the angle, second differences of -(c^2 + eps s^2) u_xx
            - (s^2 + eps c^2) u_yy, and central ones of -2 (1 - eps) c s u_xy across corners.

        Raises
        ------
        ValueError
            Unless 0 <= eps <= 1.
        """
        if not 0 <= eps <= 1:
            raise ValueError(f"eps must lie between 0 and 1, got {eps!r}")
        c, s = np.cos(angle), np.sin(angle)
        stencil = cls.laplacian((c**2 + eps * s**2, s**2 + eps * c**2))
        corner = (1 - eps) * c * s / 2
        if abs(corner) < 1e-15:
            return stencil
        corners: dict[Offset, Any] = {(i, j): -i * j * corner for i in (-1, 1) for j in (-1, 1)}
        return cls({**stencil.weights, **corners})

    # --- what it does -----------------------------------------------------------------------------

    def apply(self, u: Any, beyond: str | Sequence[str] = "zero") -> np.ndarray:
        """A u, where values beyond the array are `beyond`.

        Parameters
        ----------
        u : array_like
            One value for each node, with as many axes as the offsets.
        beyond : {"zero", "mirror", "wrap"} or sequence of them
            For all axes or for each: nothing is there; u goes on as in a mirror through the last
            node; u goes on with its first nodes.
        """
        u = np.asarray(u)
        rules = (beyond,) * self.ndim if isinstance(beyond, str) else tuple(beyond)
        if u.ndim != self.ndim or len(rules) != self.ndim or not set(rules) <= set(BEYOND):
            raise ValueError(
                f"a stencil of {self.ndim} axes takes arrays of as many, and for `beyond` "
                f"{', '.join(map(repr, BEYOND))}; got shape {u.shape} and {beyond!r}"
            )
        reach = self.reach
        zeros = [r if rule == "zero" else 0 for r, rule in zip(reach, rules, strict=True)]
        lengths = [n * step for n, step in zip(u.shape, self.between, strict=True)]
        wide = np.zeros([n + 2 * r for n, r in zip(lengths, zeros, strict=True)], u.dtype)
        inside = zip(zeros, lengths, self.between, strict=True)
        wide[tuple(slice(r, r + n, step) for r, n, step in inside)] = u
        for axis, rule in enumerate(rules):
            if rule != "zero":
                around = [(0, 0)] * self.ndim
                around[axis] = (reach[axis],) * 2
                wide = np.pad(wide, around, BEYOND[rule])  # type: ignore[call-overload]
        total: Any = 0.0
        for offset, weight in self.weights.items():
            window = tuple(
                slice(r + o, length - r + o, step)
                for o, r, length, step in zip(offset, reach, wide.shape, self.every, strict=True)
            )
            total = total + weight * wide[window]
        return total

    def symbol(self, theta: Sequence[Any]) -> np.ndarray:
        """sum_k w_k exp(i theta . o_k): by what a Fourier mode is multiplied.

        Parameters
        ----------
        theta : sequence of array
            Frequencies along each axis, in radians a node; they broadcast.

        Raises
        ------
        ValueError
            Where weights vary, or nodes are left out: then modes do not stay modes.
        """
        if not self.constant or {*self.every, *self.between} != {1}:
            raise ValueError("only a stencil with constant weights at every node has a symbol")
        total: Any = 0.0
        for offset, weight in self.weights.items():
            phase: Any = sum(o * np.asarray(t) for o, t in zip(offset, theta, strict=True))
            total = total + weight * np.exp(1j * phase)
        return total

    def transpose(self) -> Stencil:
        """The adjoint, values beyond the array being zero: of a restriction a prolongation."""
        turned = {
            tuple(-o for o in offset): _shifted(weight, tuple(-o for o in offset))
            for offset, weight in self.weights.items()
        }
        return Stencil(turned, every=self.between, between=self.every)

    def __matmul__(self, other: Stencil) -> Stencil:
        """The stencil of A B: first `other`, then this one; weights beyond the array are zero.

        Raises
        ------
        ValueError
            For different numbers of axes, or a prolongation before anything but a restriction.
        """
        if self.ndim != other.ndim:
            raise ValueError(f"stencils of {self.ndim} and {other.ndim} axes have no product")
        if {*self.between, *other.every} != {1}:
            raise ValueError("what is taken at every second node cannot be widened again")
        if not (self.constant and other.constant) and {*self.every, *other.between} != {1}:
            raise ValueError("transfers whose weights vary have no product here")
        found: dict[Offset, Any] = {}
        for o, w in self.weights.items():
            for p, v in other.weights.items():
                offset = tuple(a + b for a, b in zip(o, p, strict=True))
                found[offset] = found.get(offset, 0.0) + w * _shifted(v, o)
        every, between = self.every, other.between
        # Where values stand at every second node alone and results are wanted there alone, both can
        # be numbered anew.
        common = [int(np.gcd(e, b)) for e, b in zip(every, between, strict=True)]
        kept = {
            tuple(o // c for o, c in zip(offset, common, strict=True)): w
            for offset, w in found.items()
            if all(o % c == 0 for o, c in zip(offset, common, strict=True))
        }
        return Stencil(
            kept or {(0,) * self.ndim: 0.0},
            every=[e // c for e, c in zip(every, common, strict=True)],
            between=[b // c for b, c in zip(between, common, strict=True)],
        )

    def __mul__(self, factor: float) -> Stencil:
        scaled = {offset: weight * factor for offset, weight in self.weights.items()}
        return Stencil(scaled, every=self.every, between=self.between)

    __rmul__ = __mul__

    # --- what it is -------------------------------------------------------------------------------

    @property
    def constant(self) -> bool:
        """Whether no weight varies."""
        return all(weight.size == 1 for weight in self.weights.values())

    @property
    def finite(self) -> bool:
        """Whether no weight is NaN or infinite."""
        return all(np.isfinite(weight).all() for weight in self.weights.values())

    @property
    def diagonal(self) -> np.ndarray:
        """The weight of the node itself."""
        return self.weights.get((0,) * self.ndim, np.zeros(()))

    @property
    def row_sum(self) -> Any:
        """The sum of all weights: A applied to the constant 1, far from any border."""
        return sum(self.weights.values())

    @property
    def reach(self) -> Offset:
        """The largest distance of a neighbour along each axis."""
        return tuple(max(abs(offset[axis]) for offset in self.weights) for axis in range(self.ndim))

    def even(self, axes: Sequence[int] | None = None, rtol: float = 1e-12) -> bool:
        """Whether the weights stay the same when axes are turned around; by default all of them.

        They may differ by `rtol` times the largest one. A constant stencil that is even along all
        axes at once is symmetric as an operator.

        Raises
        ------
        ValueError
            Where weights vary.
        """
        if not self.constant:
            raise ValueError("only a stencil with constant weights is compared with its image")
        turned = range(self.ndim) if axes is None else axes
        most = rtol * max(abs(weight.item()) for weight in self.weights.values())
        for offset, weight in self.weights.items():
            image = tuple(-o if axis in turned else o for axis, o in enumerate(offset))
            opposite = self.weights.get(image)
            if abs(weight.item() - (0.0 if opposite is None else opposite.item())) > most:
                return False
        return True

    def neighbours(self) -> Iterator[tuple[Offset, np.ndarray]]:
        """Offsets and weights, but for the node's own."""
        centre = (0,) * self.ndim
        return ((o, w) for o, w in self.weights.items() if o != centre)

    def to_array(self) -> np.ndarray:
        """The weights of a constant stencil in an array, centre in the middle."""
        if not self.constant:
            raise ValueError("weights that vary do not fit one array")
        array = np.zeros([2 * r + 1 for r in self.reach])
        for offset, weight in self.weights.items():
            array[tuple(o + r for o, r in zip(offset, self.reach, strict=True))] = weight.item()
        return array

    def __str__(self) -> str:
        if self.constant:
            return str(self.to_array())
        return f"varying weights at {', '.join(map(str, self.weights))}"

    def __repr__(self) -> str:
        kind = "constant" if self.constant else "varying"
        return f"<Stencil: {len(self.weights)} {kind} weights on {self.ndim} axes>"


def cube(ndim: int) -> list[Offset]:
    """All 3^d offsets."""
    return list(product((-1, 0, 1), repeat=ndim))


def _outer(lines: Sequence[np.ndarray]) -> np.ndarray:
    total = np.ones(())
    for line in lines:
        total = np.multiply.outer(total, line)
    return total


def _shifted(weight: np.ndarray, offset: Offset) -> np.ndarray:
    """weight(x + offset) as a function of x, zero where that is beyond the array."""
    for axis, step in enumerate(offset):
        if step == 0 or weight.ndim == 0 or weight.shape[axis] == 1:
            continue
        moved = np.zeros_like(weight)
        n = weight.shape[axis]
        if abs(step) < n:
            to = [slice(None)] * weight.ndim
            source = list(to)
            to[axis] = slice(max(-step, 0), n - max(step, 0))
            source[axis] = slice(max(step, 0), n - max(-step, 0))
            moved[tuple(to)] = weight[tuple(source)]
        weight = moved
    return weight
