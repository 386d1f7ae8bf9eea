"""Any map of 8- or 16-bit integers: a table of all its results."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from minilite_kernels import vector
from minilite_kernels.kernel import Input, Output, kernel
from minilite_kernels.vector import Array, Emitter, operation

AT_ONCE = 64 if "avx512vbmi" in vector.FEATURES and vector.WIDTH == 16 and not vector.PORTABLE else 0
"""Bytes that one step of ``lookup_bytes`` looks up; 0 where the host has no instruction for it."""

_BYTES = ir.VectorType(ir.IntType(8), 64)


def _look_up(x: Array, offset: int, table: Array, out: Array) -> None:
    out[offset : offset + 64] = table[x[offset : offset + 64].view(np.uint8)]


@operation(_look_up)
def _look_up_vector(context: Any, x: Any, offset: Any, table: Any, out: Any) -> Any:
    """``out[offset + i] = table[x[offset + i]]`` for 64 bytes, the table's 256 in four registers."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        e = Emitter(context, builder, signature, arguments)
        values, offset, entries, results = e.data(0), arguments[1], e.data(2), e.data(3)
        kind = ir.FunctionType(_BYTES, [_BYTES] * 3)
        permute = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpermi2var.qi.512")
        place = e.load(values, offset, _BYTES)
        parts = [e.load(entries, e.offset(ir.IntType(64)(0), 64 * i), _BYTES) for i in range(4)]
        lower, upper = (builder.call(permute, [parts[i], place, parts[i + 1]]) for i in (0, 2))
        is_upper = builder.icmp_signed("<", place, ir.Constant(_BYTES, [0] * 64))
        e.store(builder.select(is_upper, upper, lower), results, offset, None)
        return context.get_dummy_value()

    return types.void(x, types.intp, table, out), emit


@kernel
def lookup_bytes(x: Input, table: Input, out: Output, start: int, stop: int) -> None:
    """From 8 bits to 8 bits: ``table[x]``, the table in the order of the bits."""
    x, out = x[start:stop], out[start:stop]
    done = 0
    if AT_ONCE:
        done = out.size // AT_ONCE * AT_ONCE
        for i in range(0, done, AT_ONCE):
            _look_up_vector(x, i, table, out)
    for i in range(done, out.size):
        out[i] = table[np.int64(x[i]) & 0xFF]


@kernel
def lookup(x: Input, table: Input, out: Output, mask: int, start: int, stop: int) -> None:
    """From 8 or 16 bits to anything: ``table[x & mask]``, the table in the order of the bits."""
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        out[i] = table[np.int64(x[i]) & mask]
