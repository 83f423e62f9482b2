"""Everything that rests on Numba's internals, which another version may lack or change.

- options that are not documented: :data:`LEAN`, :data:`INLINED` and :func:`copied`;
- how a dispatcher keeps compiled code: :func:`keep`, :func:`dumps`;
- the locks that a fork must wait for: :data:`LOCKS`;
- what processor Numba compiles for: :data:`REGISTER_BITS`;
- a type for vectors, and LLVM's code for what is done with them: `load`, `store` and so on, which
  mgcore/kernels/vectors.py explains.

This was tested with the versions from the first to below the second of :data:`VERSIONS`, which are
those that pyproject.toml asks for. With any other Numba nothing of it is used but the locks: its
own cache keeps the code, and plain kernels do what fused passes would.
"""

import operator
import re
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numba
from llvmlite import binding, ir
from numba import config, types
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import intrinsic, models, overload, register_model
from numba.np.ufunc import parallel

__all__ = [
    "INLINED",
    "KNOWN",
    "LEAN",
    "LOCKS",
    "REGISTER_BITS",
    "VERSIONS",
    "Vector",
    "add_squares",
    "copied",
    "dumps",
    "evens",
    "global_compiler_lock",
    "high",
    "keep",
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
    "register_bits",
    "spread",
    "store",
    "total_of",
    "why_no_vectors",
]

#: The first version of Numba that this was tested with, and the first one that it was not.
VERSIONS = "0.60", "0.69"


def _number(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:2]]


#: Whether this is a Numba whose internals are known here.
KNOWN = _number(VERSIONS[0]) <= _number(numba.__version__) < _number(VERSIONS[1])
try:
    from numba.core.caching import FunctionCache
    from numba.core.codegen import get_host_cpu_features
    from numba.core.serialize import dumps
except ImportError:
    KNOWN, FunctionCache = False, object

#: Options for functions that allocate no arrays. They need not count references to them, which was
#: a sixth and more of a pass over short rows. A function that returned an array would give back
#: memory that nobody counts.
LEAN = {"_nrt": False} if KNOWN else {}

#: Options for functions of which only callers' copies are wanted: see :func:`copied`.
INLINED: dict[str, bool] = {"forceinline": True}
if KNOWN:
    INLINED |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

#: What one thread may hold while another one forks, in the order in which Numba takes them: to
#: compile, to start a threading layer, to call LLVM.
LOCKS = (
    global_compiler_lock,
    getattr(parallel, "_backend_init_thread_lock", nullcontext()),
    getattr(binding.ffi.lib, "_lock", nullcontext()),
)


# --- functions that are copied into their callers -----------------------------------------------


def copied(dispatcher: Any) -> Any:
    """Let a dispatcher of :data:`INLINED` functions refuse to be called from Python.

    They have no code that Python could call, which was most of what a short function with records
    among its arguments compiled to. Numba would call it all the same, at address zero.
    """

    def add(code: Any) -> None:
        dispatcher.overloads[tuple(code.signature.args)] = code

    def refuse(*arguments: Any, **named: Any) -> None:
        raise TypeError(f"{dispatcher.__name__} is there for compiled functions alone")

    if KNOWN:
        dispatcher.add_overload, dispatcher._compile_for_args = add, refuse
    return dispatcher


# --- compiled code on disk ----------------------------------------------------------------------


def keep(dispatcher: Any, files: Callable[[Path, str], Any]) -> None:
    """Keep what a dispatcher compiles from now on in `files(folder, name)`, folders as Numba's.

    Those load and save data under keys, and flush. Where this Numba is not known, its own do.
    """
    if KNOWN:
        dispatcher._cache = _Cache(dispatcher.py_func, files)
    else:
        dispatcher.enable_caching()


class _Cache(FunctionCache):
    """The cache of one function: there are no errors, only things that are not there."""

    def __init__(self, function: Any, files: Callable[[Path, str], Any]):
        super().__init__(function)
        module = function.__module__.rpartition(".")[2]
        self._cache_file = files(Path(self.cache_path), f"{module}.{function.__qualname__}")

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with suppress(Exception):
            return super().load_overload(sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(Exception):
            super().save_overload(sig, data)


# --- vectors ------------------------------------------------------------------------------------

# Leave to fuse multiplications and additions, as for scalars: see kernels/compilation.py.
_FLAGS = ("contract", "nsz")
_I32, _I64 = ir.IntType(32), ir.IntType(64)


def register_bits() -> int | None:
    """What :data:`REGISTER_BITS` holds, asked anew, which takes a while."""
    if not KNOWN or not binding.get_process_triple().startswith("x86_64"):
        return None
    features = config.CPU_FEATURES
    features = (get_host_cpu_features() if features is None else features).split(",")
    return 512 if "+avx512f" in features else 256 if "+avx" in features else None


#: Bits of a vector register of the processor that Numba compiles for. None where vectors are not
#: used: with a Numba that is not known, on processors without AVX, and where there is no telling,
#: as Numba was told to compile for a generic one.
REGISTER_BITS = register_bits()


def why_no_vectors() -> str | None:
    """Why vectors are not used, None where they are."""
    if REGISTER_BITS:
        return None
    where = "on this processor" if KNOWN else f"with Numba {numba.__version__}"
    return f"no explicit vectors {where}"


class Vector(types.Type):
    """The Numba type of `lanes` numbers of type `dtype`."""

    def __init__(self, dtype: Any, lanes: int | None = None):
        self.dtype = dtype
        self.lanes = (REGISTER_BITS or 256) // dtype.bitwidth if lanes is None else lanes
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
        return ir.Constant(_I64, count)

    return types.uint64(S), generate


def _address(context, builder, array_type, array, k, kind):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [k]), kind.as_pointer())


def _check(context, builder, array_type, array, k, count):
    """Under NUMBA_BOUNDSCHECK, raise an error where array[k : k + count] is not all there."""
    if not context.enable_boundscheck:
        return
    size = context.make_array(array_type)(context, builder, array).nitems
    wrong = builder.or_(  # the sum may be beyond 2^64
        builder.icmp_unsigned(">", k, size),
        builder.icmp_unsigned(">", builder.add(k, ir.Constant(_I64, count)), size),
    )
    with builder.if_then(wrong, likely=False):
        message = "a vector reaches out of its array"
        context.call_conv.return_user_exc(builder, IndexError, (message,))


@intrinsic
def load(context, S, k):
    """The vector of S[k], S[k + 1], ..."""
    vector = Vector(S.dtype)

    def generate(context, builder, signature, arguments):
        kind = context.get_value_type(vector)
        _check(context, builder, S, *arguments, vector.lanes)
        address = _address(context, builder, S, *arguments, kind)
        return builder.load(address, align=S.dtype.bitwidth // 8)

    return vector(S, k), generate


@intrinsic
def store(context, S, k, x):
    """S[k], S[k + 1], ... = x."""

    def generate(context, builder, signature, arguments):
        array, k, value = arguments
        _check(context, builder, S, array, k, value.type.count)
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
_arithmetic(operator.truediv, "fdiv")


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
        lane = ir.Constant(ir.VectorType(_I64, count), list(range(count)))
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
