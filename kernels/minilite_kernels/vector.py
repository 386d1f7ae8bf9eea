"""What a tile is, and how operations on tiles are written.

A *tile* is ``rows x vectors`` SIMD registers, each ``WIDTH`` 32-bit lanes wide, as a value of a Numba
function. An operation on tiles (see ``simd``, ``simd_integer``) has two bodies: NumPy code that says
what it means (run under ``NUMBA_DISABLE_JIT=1``, where a tile is an array ``[rows, vectors * WIDTH]``)
and LLVM IR that says it fast.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils, config
from numba.core.datamodel import models, register_default
from numba.core.registry import cpu_target
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

Array = np.ndarray[Any, np.dtype[Any]]


def _compiled_features() -> frozenset[str]:
    """The CPU features that Numba compiles for, by LLVM's names.

    Those of the host, unless ``NUMBA_CPU_NAME``, ``NUMBA_CPU_FEATURES`` or ``NUMBA_ENABLE_AVX`` take some
    away: LLVM ends the process when it is given an instruction that its target does not have.
    """
    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    return frozenset(name[1:] for name in features.split(",") if name.startswith("+"))


FEATURES = _compiled_features()


def vector_width() -> int:
    """32-bit lanes of the widest vector: 16 (AVX-512), 8 (AVX2) or 4 (NEON, SSE, others).

    ``MINILITE_SIMD_WIDTH`` forces a narrower one, to test it on a wider machine.
    """
    forced = os.environ.get("MINILITE_SIMD_WIDTH")
    if forced:
        if forced not in ("4", "8", "16"):
            raise ValueError(f"MINILITE_SIMD_WIDTH={forced!r}: use 4, 8 or 16")
        return int(forced)
    if {"avx512f", "avx512bw", "avx512vl"} <= FEATURES:
        return 16
    return 8 if "avx2" in FEATURES else 4


WIDTH = vector_width()

PORTABLE = bool(os.environ.get("MINILITE_SIMD_PORTABLE"))
"""Leave out instructions that only some hosts have, to test the general form on one that has them."""

# Rows and vectors of the matrix tiles: as many accumulators as the register file holds beside the
# operands (32 registers on AVX-512 and NEON, 16 on AVX2).
TILE_ROWS, TILE_VECTORS = {16: (14, 2), 8: (6, 2), 4: (8, 2)}[WIDTH]

# A host without fused multiply-add would call a library function for each one.
FUSED = "fma" in FEATURES or "aarch64" in binding.get_default_triple()

_FLOAT, _I1, _I8, _I32, _I64 = ir.FloatType(), ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
_LANES = {types.float32: _FLOAT, types.int32: _I32}


class TileType(types.Type):
    """Numba's type of a tile; ``element`` is float32 or int32."""

    def __init__(self, rows: int, vectors: int, element: types.Type) -> None:
        self.rows, self.vectors, self.element = rows, vectors, element
        super().__init__(f"tile({rows}x{vectors}x{WIDTH}, {element})")

    @property
    def vector(self) -> ir.VectorType:
        """The LLVM type of one register."""
        return ir.VectorType(_LANES[self.element], WIDTH)


@register_default(TileType)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager: Any, tile: TileType) -> None:
        super().__init__(manager, tile, ir.ArrayType(tile.vector, tile.rows * tile.vectors))


def operation(meaning: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Pair NumPy code (the meaning) with an intrinsic's typing function (the speed)."""

    def pair(typing_function: Callable[..., Any]) -> Any:
        if config.DISABLE_JIT:
            return meaning
        return intrinsic(prefer_literal=True)(typing_function)

    return pair


class Emitter:
    """Short names for the IR that the operations below are made of."""

    def __init__(self, context: Any, builder: Any, signature: Signature, arguments: Any) -> None:
        self.context, self.builder, self.types, self.arguments = context, builder, signature.args, arguments

    def data(self, position: int) -> Any:
        """Pointer to the first element of the array argument at ``position``."""
        array = self.context.make_array(self.types[position])
        return array(self.context, self.builder, self.arguments[position]).data

    def offset(self, base: Any, *terms: Any) -> Any:
        """``base`` plus integers or IR values."""
        for term in terms:
            base = self.builder.add(base, _I64(term) if isinstance(term, int) else term)
        return base

    def clamped_row(self, row: int, last: Any, stride: Any) -> Any:
        """``min(row, last) * stride``."""
        b = self.builder
        number = b.select(b.icmp_signed("<", _I64(row), last), _I64(row), last)
        return b.mul(number, stride)

    def splat(self, scalar: Any, lanes: int = WIDTH) -> Any:
        """A scalar in every lane."""
        undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, _I32(0))
        zeros = ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def constant(self, value: int, vector: ir.VectorType) -> Any:
        """A number in every lane."""
        return ir.Constant(vector, [value] * vector.count)

    def load(self, pointer: Any, offset: Any, vector: ir.VectorType) -> Any:
        """A vector from ``pointer[offset:]``."""
        # Alignment of one element: rows start anywhere.
        address = self.builder.bitcast(self.builder.gep(pointer, [offset]), vector.as_pointer())
        return self.builder.load(address, align=_bytes(vector.element))

    def masked_load(self, pointer: Any, offset: Any, vector: ir.VectorType, mask: Any) -> Any:
        """The lanes that ``mask`` has from ``pointer[offset:]``, zeros in the others, which are not read."""
        b = self.builder
        address = b.bitcast(b.gep(pointer, [offset]), vector.as_pointer())
        name = f"llvm.masked.load.{_mangled(vector)}.p0{_mangled(vector)}"
        kind = ir.FunctionType(vector, [vector.as_pointer(), _I32, mask.type, vector])
        function = cgutils.get_or_insert_function(b.module, kind, name)
        return b.call(function, [address, _I32(_bytes(vector.element)), mask, ir.Constant(vector, None)])

    def mask(self, columns: Any, first: int) -> Any:
        """Lanes ``i`` with ``first + i < columns``."""
        b = self.builder
        # In lanes of 32 bits, which compare twice as many at once.
        most = _I64(1 << 30)
        limit = b.trunc(b.select(b.icmp_signed("<", columns, most), columns, most), _I32)
        lane = ir.Constant(ir.VectorType(_I32, WIDTH), [first + i for i in range(WIDTH)])
        return b.icmp_signed("<", lane, self.splat(limit))

    def store(self, value: Any, pointer: Any, offset: Any, mask: Any) -> None:
        """The lanes that ``mask`` has, or all, to ``pointer[offset:]``."""
        b = self.builder
        vector = value.type
        address = b.bitcast(b.gep(pointer, [offset]), vector.as_pointer())
        if mask is None:
            b.store(value, address, align=_bytes(vector.element))
            return
        name = f"llvm.masked.store.{_mangled(vector)}.p0{_mangled(vector)}"
        kind = ir.FunctionType(ir.VoidType(), [vector, vector.as_pointer(), _I32, mask.type])
        function = cgutils.get_or_insert_function(b.module, kind, name)
        b.call(function, [value, address, _I32(_bytes(vector.element)), mask])

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """``a * b + c``, rounded once where the host can."""
        if not FUSED:
            return self.builder.fadd(self.builder.fmul(a, b), c)
        kind = ir.FunctionType(a.type, [a.type] * 3)
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.fma.{_mangled(a.type)}")
        return self.builder.call(function, [a, b, c])

    def square_root(self, a: Any) -> Any:
        """The square root of each lane."""
        kind = ir.FunctionType(a.type, [a.type])
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.sqrt.{_mangled(a.type)}")
        return self.builder.call(function, [a])


def _bytes(element: Any) -> int:
    return 4 if isinstance(element, ir.FloatType) else element.width // 8


def _mangled(vector: ir.VectorType) -> str:
    """The type as it stands in the names of LLVM's intrinsics."""
    element = "f32" if isinstance(vector.element, ir.FloatType) else f"i{vector.element.width}"
    return f"v{vector.count}{element}"


def each_register(tile: TileType) -> list[tuple[int, int, int]]:
    """(row, vector, place in the tile's aggregate)."""
    return [(i, j, i * tile.vectors + j) for i in range(tile.rows) for j in range(tile.vectors)]


def tile_rows(offset: int, stride: int, last: int, rows: int, columns: int) -> Array:
    """Index array [rows, columns] of a tile in a flat array."""
    starts = offset + np.minimum(np.arange(rows), last) * stride
    return starts[:, None] + np.arange(columns)


def map_tile(e: Emitter, tile: TileType, function: Callable[[int, int, Any], Any], value: Any) -> Any:
    """A tile whose registers are ``function(row, vector, register)`` of another's."""
    result = ir.Constant(e.context.get_value_type(tile), ir.Undefined)
    for row, vector, place in each_register(tile):
        register = e.builder.extract_value(value, place) if value is not None else None
        result = e.builder.insert_value(result, function(row, vector, register), place)
    return result
