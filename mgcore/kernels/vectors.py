"""Vectors for kernels: the neighbouring numbers of an array that one register holds.

Compilers vectorise simple loops by themselves. A loop that carries numbers from one stage of a pass
to the next in registers is beyond them, as they would have to prove first that none of its stores
meets one of its loads. So the fused passes say what they mean::

    x = load(S, k)                  S[k], S[k + 1], ..., as many as lanes(S)
    store(S, k, x + omega * r)      numbers among vectors: omega = spread(S, 1.15)
    evens(x, y), odds(x, y)         the even and the odd ones of x followed by y
    low(x, y), high(x, y)           the other way: the first and the last ones of x0 y0 x1 y1 ...
    lagging(x, y)                   y moved up by one, behind the last of x
    leading(x, y)                   x moved down by one, ahead of the first of y
    masked(x, first, stop)          x from lane `first` to `stop`, zero elsewhere
    add_squares(total, x), total_of(total), where total = no_squares(S)     in double precision
    offset(k)                       k as an offset, however it was computed
    prefetch(S, k)                  S[k] will be wanted soon: get it into the first-level cache

They exist in compiled code alone; offsets k are unsigned, or Numba would look for negative ones.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import config
from numba.core import types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic, models, overload, register_model

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

# Leave to fuse multiplications and additions, as for scalars: see compilation.py.
_FLAGS = ("contract", "nsz")
_I32 = ir.IntType(32)


def _register_bits() -> int:
    features = config.CPU_FEATURES  # type: ignore[attr-defined]
    if features is None:
        features = get_host_cpu_features()
    return 512 if "+avx512f" in features else 256


class Vector(types.Type):
    """The Numba type of `lanes` numbers of type `dtype`."""

    def __init__(self, dtype: Any, lanes: int | None = None):
        self.dtype = dtype
        self.lanes = _register_bits() // dtype.bitwidth if lanes is None else lanes
        super().__init__(f"Vector({dtype}, {self.lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector):
        element = manager.lookup(kind.dtype).get_value_type()
        super().__init__(manager, kind, ir.VectorType(element, kind.lanes))


@intrinsic
def lanes(context, S):
    """How many numbers a vector of S holds."""
    count = Vector(S.dtype).lanes

    def generate(context, builder, signature, arguments):
        return ir.Constant(ir.IntType(64), count)

    return types.uint64(S), generate


def _address(context, builder, array_type, array, k, kind):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [k]), kind.as_pointer())


@intrinsic
def load(context, S, k):
    """The vector of S[k], S[k + 1], ..."""
    vector = Vector(S.dtype)

    def generate(context, builder, signature, arguments):
        kind = context.get_value_type(vector)
        address = _address(context, builder, S, *arguments, kind)
        return builder.load(address, align=S.dtype.bitwidth // 8)

    return vector(S, k), generate


@intrinsic
def store(context, S, k, x):
    """S[k], S[k + 1], ... = x."""

    def generate(context, builder, signature, arguments):
        array, k, value = arguments
        address = _address(context, builder, S, array, k, value.type)
        builder.store(value, address, align=S.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(S, k, x), generate


def _filled(builder, number, count):
    kind = ir.VectorType(number.type, count)
    nothing = ir.Constant(kind, ir.Undefined)
    one = builder.insert_element(nothing, number, ir.Constant(_I32, 0))
    return builder.shuffle_vector(
        one, nothing, ir.Constant(ir.VectorType(_I32, count), [0] * count)
    )


@intrinsic
def spread(context, S, number):
    """The number in all lanes of a vector of S."""
    vector = Vector(S.dtype)

    def generate(context, builder, signature, arguments):
        number = context.cast(builder, arguments[1], signature.args[1], S.dtype)
        return _filled(builder, number, vector.lanes)

    return vector(S, number), generate


def _arithmetic(operation: Callable, instruction: str) -> None:
    @intrinsic
    def elementwise(context, x, y):
        def generate(context, builder, signature, arguments):
            return getattr(builder, instruction)(*arguments, flags=_FLAGS)

        return x(x, y), generate

    @overload(operation)
    def operate(x, y):
        if isinstance(x, Vector) and x == y:
            return lambda x, y: elementwise(x, y)


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")


def _picking(pick: Callable[[int], list[int]], meaning: str) -> Any:
    """An intrinsic that picks lanes of x followed by y."""

    def picked(context, x, y):
        mask = ir.Constant(ir.VectorType(_I32, x.lanes), pick(x.lanes))

        def generate(context, builder, signature, arguments):
            return builder.shuffle_vector(*arguments, mask)

        return x(x, y), generate

    picked.__doc__ = meaning
    return intrinsic(picked)


evens = _picking(lambda n: list(range(0, 2 * n, 2)), "The even ones of x followed by y.")
odds = _picking(lambda n: list(range(1, 2 * n, 2)), "The odd ones of x followed by y.")
low = _picking(
    lambda n: [k for j in range(n // 2) for k in (j, n + j)], "The first ones of x0 y0 x1 y1 ..."
)
high = _picking(
    lambda n: [k for j in range(n // 2, n) for k in (j, n + j)], "The last ones of x0 y0 x1 y1 ..."
)
lagging = _picking(
    lambda n: list(range(n - 1, 2 * n - 1)), "y moved up by one, behind the last of x."
)
leading = _picking(lambda n: list(range(1, n + 1)), "x moved down by one, ahead of the first of y.")


@intrinsic
def masked(context, x, first, stop):
    """x from lane `first` to `stop`, zero elsewhere."""

    def generate(context, builder, signature, arguments):
        value, first, stop = arguments
        count = signature.args[0].lanes
        lane = ir.Constant(ir.VectorType(ir.IntType(64), count), list(range(count)))
        inside = builder.and_(
            builder.icmp_signed(">=", lane, _filled(builder, first, count)),
            builder.icmp_signed("<", lane, _filled(builder, stop, count)),
        )
        return builder.select(inside, value, ir.Constant(value.type, [0.0] * count))

    return x(x, types.int64, types.int64), generate


@intrinsic
def no_squares(context, S):
    """Zero in all lanes, in double precision."""
    vector = Vector(types.float64, Vector(S.dtype).lanes)

    def generate(context, builder, signature, arguments):
        return ir.Constant(context.get_value_type(vector), [0.0] * vector.lanes)

    return vector(S), generate


@intrinsic
def add_squares(context, total, x):
    """total + x^2, lane by lane, in double precision."""

    def generate(context, builder, signature, arguments):
        total, x = arguments
        if x.type != total.type:
            x = builder.fpext(x, total.type)
        return builder.fadd(total, builder.fmul(x, x, flags=_FLAGS), flags=_FLAGS)

    return total(total, x), generate


@intrinsic
def total_of(context, total):
    """The sum of all lanes."""

    def generate(context, builder, signature, arguments):
        (vector,) = arguments
        terms = [
            builder.extract_element(vector, ir.Constant(_I32, lane)) for lane in range(total.lanes)
        ]
        while len(terms) > 1:
            pairs = zip(terms[::2], terms[1::2], strict=True)
            terms = [builder.fadd(x, y) for x, y in pairs]
        return terms[0]

    return types.float64(total), generate


@intrinsic
def offset(context, k):
    """k, unsigned, of which the compiler knows nothing more.

    The offsets of a dozen rows are sums of products with shared terms. Left to itself the compiler
    spends seconds on which parts of them to keep in registers, and then keeps too many.
    """

    def generate(context, builder, signature, arguments):
        kind = arguments[0].type
        return builder.asm(ir.FunctionType(kind, [kind]), "", "=r,0", arguments, False)

    return types.uint64(types.int64), generate


@intrinsic
def prefetch(context, S, k):
    """Tell the memory that S[k] will be wanted soon."""

    def generate(context, builder, signature, arguments):
        array, k = arguments
        byte = ir.IntType(8)
        address = _address(context, builder, S, array, k, byte)
        form = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), _I32, _I32, _I32])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte.as_pointer()], form)
        read, first_level, data = (ir.Constant(_I32, n) for n in (0, 3, 1))
        builder.call(function, [address, read, first_level, data])
        return context.get_dummy_value()

    return types.void(S, k), generate
