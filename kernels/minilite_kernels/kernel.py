"""From a Python function to a compiled kernel that a plan calls by address.

A kernel is a leaf: flat arrays, integers, floats and records of integers (``NamedTuple``) in, outputs
written over ``range(start, stop)`` of its extent::

    @kernel
    def add(a: Input, b: Input, out: Output, low: float, high: float, start: int, stop: int) -> None:
        for i in range(start, stop):
            ...

The function's signature is the only declaration. A plan packs arguments *by name* into a row of
64-bit slots, and the compiled entry unpacks the same row in the same order, so that the two cannot
disagree. The types of the arrays choose the specialization; sizes never do.
"""

from __future__ import annotations

import ctypes
import hashlib
import inspect
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType
from typing import Annotated, Any, Literal, get_type_hints

import numba
import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import config
from numba.extending import intrinsic

from minilite_kernels.compilation import compile_cached

Array = np.ndarray[Any, np.dtype[Any]]

Input = Annotated[Array, "input"]
"""A flat array that the kernel reads."""
Output = Annotated[Array, "output"]
"""A flat array that the kernel writes, and does not read before."""
Scratch = Annotated[Array, "scratch"]
"""A flat array of the calling thread's own, with no particular content."""

Fault = Annotated[Array, "fault"]
"""Where a kernel notes that data are wrong (``note_fault``); the run then ends in an error."""

Role = Literal["input", "output", "scratch", "fault", "int", "float", "record"]

FAULT_WORDS = 3
"""int64 words of a fault: 1 + the place of the wrong value (0: none), the value, what it has to be below."""

ENTRY = types.void(types.CPointer(types.int64), types.int64, types.int64, types.int64)
"""Signature of every compiled entry: (row, address of the thread's scratch, start, stop)."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel and where it stands in the row."""

    name: str
    role: Role
    slot: int
    record: Any = None
    """For the role ``record``: the NamedTuple of integers that the argument is."""

    @property
    def slots(self) -> int:
        """Slots taken: an array's address and length, a record's fields, or one."""
        return 2 if self.is_array else len(self.record._fields) if self.record else 1

    @property
    def is_array(self) -> bool:
        """Whether the row holds an address and a length."""
        return self.role in ("input", "output", "scratch", "fault")


@dataclass(frozen=True)
class ScratchSpace:
    """A scratch argument: ``size`` elements of ``dtype`` at ``offset`` bytes of a thread's scratch."""

    dtype: np.dtype[Any]
    size: int
    offset: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes taken."""
        return self.size * self.dtype.itemsize


class Kernel:
    """A leaf function, its parameter row and its compiled specializations."""

    def __init__(self, function: Callable[..., None]) -> None:
        self.name = function.__name__
        self.function = _named_apart(function)
        self.__doc__ = function.__doc__
        self.parameters = _parameters(function)
        self.slots = sum(p.slots for p in self.parameters)
        self._entries: dict[tuple[str, ...], Entry] = {}

    def __repr__(self) -> str:
        return f"<kernel {self.name}>"

    @property
    def is_ours(self) -> bool:
        """Whether its source is in this package, where ``sources_digest`` notices an edit."""
        return _is_ours(self.function)

    @property
    def arrays(self) -> tuple[Parameter, ...]:
        """The array parameters, in order."""
        return tuple(p for p in self.parameters if p.is_array)

    def entry(self, arguments: Mapping[str, Any]) -> Entry:
        """The specialization for the types of these arguments; not compiled yet if it is new."""
        dtypes = tuple(np.dtype(arguments[p.name].dtype).name for p in self.arrays)
        if dtypes not in self._entries:
            self._entries[dtypes] = Entry(self, dtypes)
        return self._entries[dtypes]

    def pack(self, arguments: Mapping[str, Any], row: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        """Write the arguments into ``row`` (int64, ``slots`` long). The arrays must outlive the row.

        Raises
        ------
        TypeError
            Names that are missing or unknown, arrays that are not flat and contiguous.
        """
        names = {p.name for p in self.parameters}
        if names != set(arguments):
            raise TypeError(
                f"kernel {self.name}: missing {sorted(names - set(arguments))}, "
                f"unknown {sorted(set(arguments) - names)}"
            )
        for p in self.parameters:
            row[p.slot : p.slot + p.slots] = _pack(self.name, p, arguments[p.name])

    def __call__(self, start: int, stop: int, **arguments: Any) -> None:
        """Run over ``range(start, stop)`` on arrays: what tests and experiments call.

        Scratch arguments may be given as ``ScratchSpace`` or as arrays. Under
        ``NUMBA_DISABLE_JIT`` this is the Python function itself; under ``NUMBA_BOUNDSCHECK`` it is
        compiled in a way that reports a bad index to the caller.
        """
        for name, value in arguments.items():
            if isinstance(value, ScratchSpace):
                arguments[name] = np.zeros(value.size, value.dtype)
        if config.DISABLE_JIT or config.BOUNDSCHECK:
            scalars = {p.name: float(arguments[p.name]) for p in self.parameters if p.role == "float"}
            self.leaf(*({**arguments, **scalars}[p.name] for p in self.parameters), start, stop)
            return
        row = np.zeros(self.slots, np.int64)
        # A scratch array is passed by its own address, relative to a thread's scratch at 0.
        self.pack(arguments, row)
        self.entry(arguments).function(row.ctypes.data, 0, start, stop)

    @cached_property
    def leaf(self) -> Callable[..., None]:
        """The function as Numba compiles it into the entries."""
        return _compiled_inside(self.function)


def kernel(function: Callable[..., None]) -> Kernel:
    """Make a leaf function a kernel. Its last two parameters are ``start`` and ``stop``."""
    return Kernel(function)


def helper(function: Callable[..., Any]) -> Any:
    """Decorator for functions that kernels call: compiled into each of them, no interface of its own."""
    return _compiled_inside(_named_apart(function))


_compiled_inside = numba.njit(error_model="numpy", nogil=True)


def _is_ours(function: Callable[..., Any]) -> bool:
    return function.__module__.startswith(f"{__package__}.")


def _named_apart(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that a factory made a name of its own: its ``__qualname__`` tells what it closes over.

    Machine code is kept on disk and linked by names. All functions that one factory makes have the same,
    and a process would run, for the second of them, what another process kept for the first.
    """
    cells = function.__closure__
    if not cells or not _is_ours(function):
        return function
    names = zip(function.__code__.co_freevars, cells, strict=True)
    known = ", ".join(f"{name}={_told(function, name, cell)}" for name, cell in names)
    digest = hashlib.sha256(known.encode()).hexdigest()[:12]
    function.__qualname__ = f"{function.__qualname__}_{digest}"
    return function


def _told(function: Callable[..., Any], name: str, cell: Any) -> str:
    """What a closed-over value is, in words that are the same in every process."""
    try:
        value = cell.cell_contents
    except ValueError:
        value = None
    value = getattr(value, "py_func", value)
    if isinstance(value, int | float | str | np.dtype):
        return repr(value)
    if isinstance(value, type | FunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    raise TypeError(
        f"{function.__module__}.{function.__qualname__} closes over {name}, whose value cannot be part of a "
        "name in the cache: make it a number, a string, a type or a function"
    )


@helper
def note_fault(fault: Any, place: int, value: int, limit: int) -> None:
    """Note that the index at ``place`` of its array is not in ``range(limit)``; the first place is kept.

    Threads that note at the same time may overwrite each other: any of their notes will do.
    """
    if fault[0] == 0 or place < fault[0] - 1:
        fault[0], fault[1], fault[2] = place + 1, value, limit


class Entry:
    """One kernel for one choice of array types: a C function at an address.

    ``compile`` loads it from the cache on disk or compiles it; everything else does so on demand.
    """

    def __init__(self, owner: Kernel, dtypes: tuple[str, ...]) -> None:
        self.kernel, self.dtypes = owner, dtypes
        self._compiled: Any = None

    @property
    def name(self) -> str:
        """Kernel and types, as progress shows it."""
        return f"{self.kernel.name}[{', '.join(self.dtypes)}]"

    @property
    def is_compiled(self) -> bool:
        """Whether the address is known already in this process."""
        return self._compiled is not None

    def compile(self) -> None:
        """Load or compile; harmless when done before."""
        if self._compiled is None:
            self._compiled = compile_cached(_entry_function(self), ENTRY, keep=self.kernel.is_ours)

    @property
    def address(self) -> int:
        """Where the machine code stands."""
        self.compile()
        return int(self._compiled.address)

    @cached_property
    def function(self) -> Callable[[int, int, int, int], None]:
        """The entry as a ctypes function; it runs without the interpreter lock."""
        prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
        return prototype(self.address)


def _parameters(function: Callable[..., None]) -> tuple[Parameter, ...]:
    hints = get_type_hints(function, include_extras=True)
    names = list(inspect.signature(function).parameters)
    if names[-2:] != ["start", "stop"]:
        raise TypeError(f"kernel {function.__name__}: the last parameters must be start and stop")
    parameters, slot = [], 0
    for name in names[:-2]:
        parameters.append(_parameter(name, hints[name], slot))
        slot += parameters[-1].slots
    return tuple(parameters)


def _parameter(name: str, hint: Any, slot: int) -> Parameter:
    if hint in (int, float):
        return Parameter(name, hint.__name__, slot)
    if hasattr(hint, "__metadata__"):
        return Parameter(name, hint.__metadata__[0], slot)
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        return Parameter(name, "record", slot, hint)
    raise TypeError(
        f"kernel parameter {name}: not int, float, Input, Output, Scratch or a NamedTuple: {hint}"
    )


def _pack(owner: str, parameter: Parameter, value: Any) -> tuple[int, ...]:
    if parameter.role == "int":
        return (int(value),)
    if parameter.role == "float":
        return struct.unpack("<q", struct.pack("<d", value))
    if parameter.role == "record":
        return tuple(map(int, value))
    if isinstance(value, ScratchSpace):
        return value.offset, value.size
    if value.ndim != 1 or not value.flags.c_contiguous:
        raise TypeError(f"kernel {owner}: {parameter.name} must be a flat contiguous array")
    return value.ctypes.data, value.size


# --- the entry: unpacks a row and calls the leaf --------------------------------------------------


@intrinsic
def _pointer(context: Any, address: Any, like: Any) -> Any:
    """An address as a pointer to elements of the type of ``like``."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(like)(types.int64, like), emit


@intrinsic
def _as_float(context: Any, bits: Any) -> Any:
    """The float64 with these 64 bits."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), emit


def _entry_function(entry: Entry) -> Callable[..., None]:
    """Python source of the entry, made from the kernel's parameters."""
    arguments, dtypes = [], iter(entry.dtypes)
    for p in entry.kernel.parameters:
        if p.is_array:
            base = "scratch + " if p.role == "scratch" else ""
            like = f"like_{next(dtypes)}"
            arguments.append(f"carray(pointer({base}row[{p.slot}], {like}), (row[{p.slot + 1}],))")
        elif p.role == "float":
            arguments.append(f"as_float(row[{p.slot}])")
        elif p.role == "record":
            fields = ", ".join(f"row[{p.slot + i}]" for i in range(p.slots))
            arguments.append(f"{p.record.__name__}({fields})")
        else:
            arguments.append(f"row[{p.slot}]")
    # The name of its files in the cache: kernels of one name in two modules must not meet there, nor what
    # a factory makes.
    leaf = entry.kernel.function
    name = re.sub(r"\W", "_", "_".join((leaf.__module__, leaf.__qualname__, *entry.dtypes)))
    source = f"def {name}(row, scratch, start, stop):\n    leaf({', '.join(arguments)}, start, stop)\n"
    scope: dict[str, Any] = {
        # What is loaded from the cache imports the module it was defined in.
        "__name__": __name__,
        "carray": carray,
        "pointer": _pointer,
        "as_float": _as_float,
        "leaf": entry.kernel.leaf,
        **{f"like_{d}": np.dtype(d).type(0) for d in entry.dtypes},
        **{p.record.__name__: p.record for p in entry.kernel.parameters if p.record},
    }
    exec(compile(source, f"<entry of {entry.kernel.function.__module__}>", "exec"), scope)
    return scope[name]
