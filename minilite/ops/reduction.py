"""Along axes: MEAN, SUM, REDUCE_PROD, REDUCE_MAX, REDUCE_MIN, REDUCE_ANY, REDUCE_ALL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops.base import EXACT, Int8, Lowering, Mask, Op, Tolerance, operator, refuse, rounding
from minilite.ops.checks import (
    NUMBERS,
    check_arity,
    check_axis,
    check_quantized,
    check_same_quantization,
    check_types,
    constant_integers,
)
from minilite.ops.fields import Places, Terms, nothing, places, taken
from minilite.ops.lowering import SMALL_STEP, grain, shifts_fit
from minilite.quantization import (
    Int64Array,
    integer_range,
    is_quantized,
    multiply_by_reduced_multiplier_single_rounding,
    quantize_multiplier,
    real_zero,
    requantize,
)
from minilite.telling import tell

if TYPE_CHECKING:
    from minilite_kernels.reduction import Layout


_ADDED = (TensorType.FLOAT32, TensorType.INT32, TensorType.UINT8, TensorType.INT8)
_COMPARED = (TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8)
"""What kernels are compiled for: the types that models reduce."""


@dataclass(frozen=True)
class ReducerOptions:
    """Schema table ``ReducerOptions``."""

    keep_dims: bool = False


_MOST_LANES = 1024
"""Elements that a kernel reduces side by side: they stay in the nearest cache."""


_LEAST_CHUNKS = 12
"""Rows are cut into so many blocks of columns where there are fewer rows."""

_SHORT_ROW = 16
"""Elements below which rows of one column are reduced many at a time."""


class _Reduction(Op):
    """What all share: axes from an int32 tensor, which may be negative or repeat themselves.

    A scalar has no axis, and whatever the tensor names is ignored; without axes each element is reduced
    by itself (TFLite's ``kernels/reduce.cc``, ``reference/reduce.h``).
    """

    options = ReducerOptions
    types: ClassVar[tuple[TensorType, ...]] = NUMBERS

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 2))
        check_types(node, tuple((t, TensorType.INT32, t) for t in self.types))
        self._check_quantization(node)
        axes = constant_integers(node.input(1))
        return (None if axes is None else self._output_shape(node, self.axes(node, axes)),)

    def axes(self, node: Node, values: Sequence[int]) -> tuple[int, ...]:
        """The axes to reduce, each once and in order; refuses those that the input does not have."""
        x = node.input(0)
        if not x.shape:
            return ()
        return tuple(sorted({check_axis(node, x, value) for value in values}))

    def _output_shape(self, node: Node, axes: Sequence[int]) -> Shape:
        sizes = enumerate(node.input(0).shape)
        if node.options.keep_dims:
            return tuple(1 if axis in axes else size for axis, size in sizes)
        return tuple(size for axis, size in sizes if axis not in axes)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, values = inputs
        assert x is not None
        assert values is not None
        axes = self.axes(node, values.ravel().tolist())
        reduced = self._reduce(node, _rows(x, axes))
        return (reduced.reshape(self._output_shape(node, axes)),)

    tells_elements = True

    where = (1,)

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        x, values = inputs
        assert x is not None
        assert values is not None
        axes = self.axes(node, values.ravel().tolist())
        kept = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
        field = nothing(inputs)
        field[0] = np.broadcast_to(wanted[0].reshape(kept), x.shape).copy()
        return tuple(field)

    def terms(
        self, node: Node, inputs: Sequence[Array | None], field: Sequence[Mask | None], place: Shape
    ) -> Terms | None:
        x = inputs[0]
        assert x is not None
        seen = places(field[0])
        return self._terms(node, seen, taken(x, seen))

    def _terms(self, node: Node, seen: Places, values: Array) -> Terms | None:
        """The terms of an element that is reduced from these."""
        return Terms(f"what {node.operator.name} looks at", 0, seen, values)

    def _reduce(self, node: Node, rows: Array) -> Array:
        """``rows`` [*kept axes, elements] reduced along the last axis."""
        raise NotImplementedError

    def span(self, node: Node) -> tuple[int, int, int] | None:
        """(outer, length, inner) if all reduced axes are neighbours, which is what kernels take.

        Axes of size 1 are neighbours of any. None if they are not, are computed, or nothing is there.
        """
        x, axes = node.input(0), constant_integers(node.input(1))
        if axes is None or x.size == 0:
            return None
        reduced = [axis for axis in self.axes(node, axes) if x.shape[axis] > 1]
        if not reduced:
            return x.size, 1, 1
        first, last = reduced[0], reduced[-1]
        if any(x.shape[axis] > 1 and axis not in reduced for axis in range(first, last)):
            return None
        return prod(x.shape[:first]), prod(x.shape[first : last + 1]), prod(x.shape[last + 1 :])

    def _lower(self, node: Node, lowering: Lowering, kernel: Any, lanes: Any, **arguments: Any) -> bool:
        """A step of a kernel that takes the tensor in a ``Layout``, with ``lanes`` of that type."""
        span = self.span(node)
        if span is None:
            return False
        layout = _layout(*span)
        extent = span[0] * layout.blocks if layout.fold else -(-span[0] // layout.width)
        # Moving the values takes as long as some 8 multiply-adds each.
        chunk = grain(extent, 8 * node.input(0).size // extent)
        arguments |= {"x": node.input(0), "out": node.output, "w": layout}
        scratch = lowering.scratch(lanes, layout.width * max(layout.fold, 1))
        lowering.step(kernel, node, extent=extent, grain=chunk, lanes=scratch, **arguments)
        return True

    def _check_quantization(self, node: Node) -> None:
        """Refuse quantized tensors that the operator cannot use."""
        raise NotImplementedError

    def length(self, node: Node) -> int:
        """How many elements become one; the most there can be if axes are computed."""
        x = node.input(0)
        axes = constant_integers(node.input(1))
        return prod(x.shape if axes is None else (x.shape[axis] for axis in self.axes(node, axes)))


def _layout(outer: int, length: int, inner: int) -> Layout:
    """How a kernel goes about it: which elements it reduces side by side."""
    from minilite_kernels.reduction import Layout

    if inner == 1 and length < _SHORT_ROW and outer > 1:
        return Layout(outer, length, inner, blocks=1, width=min(outer, _MOST_LANES // 4), fold=0)
    # Several blocks only where there are columns enough for each, and work enough to share.
    blocks = 1
    if outer < _LEAST_CHUNKS and length * inner > SMALL_STEP:
        blocks = max(1, min(inner // 64, _LEAST_CHUNKS))
    width = -(-inner // blocks)
    blocks = -(-inner // width)
    fold = 1
    while blocks == 1 and 2 * fold <= length and 2 * fold * width <= _MOST_LANES:
        fold *= 2
    return Layout(outer, length, inner, blocks, width, fold)


def _rows(x: Array, axes: Sequence[int]) -> Array:
    """The elements to be reduced side by side on the last axis, in their order; the other axes before."""
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    length = prod(x.shape[axis] for axis in axes)
    rows = x.transpose(*kept, *axes).reshape(*(x.shape[axis] for axis in kept), length)
    # NumPy adds in pairs, which loses less, only along the last axis of memory.
    return np.ascontiguousarray(rows)


def _check_zero_point_of_int16(node: Node) -> None:
    for tensor in (node.input(0), node.output):
        q = tensor.quantization
        if tensor.type is TensorType.INT16 and q is not None and q.zero_point != 0:
            refuse(
                node,
                f"has zero point {q.zero_point}, but int16 must have 0",
                rule="quantization-zero-point",
                tensor=tensor,
            )


class _Addition(_Reduction):
    """What MEAN and SUM share: quantized sums without their zero points, brought to the output's scale."""

    def _check_quantization(self, node: Node) -> None:
        if is_quantized(node.input(0)):
            check_quantized(node, node.input(0))
            check_quantized(node, node.output)
            _check_zero_point_of_int16(node)

    def scaling(self, node: Node, length: int) -> tuple[int, int]:
        """Multiplier and shift from a sum of ``length`` steps of the input to steps of the output."""
        a, b = node.input(0).quantization, node.output.quantization
        assert a is not None
        assert b is not None
        multiplier, shift = quantize_multiplier(float(a.scale) / float(b.scale))
        return int(multiplier), int(shift)

    def _quantized(self, node: Node, rows: Array) -> Array:
        length = rows.shape[-1]
        quantization = node.input(0).quantization
        assert quantization is not None
        # Of 32 bits in C; what overflows is lost.
        sums = (rows.sum(axis=-1, dtype=np.int64) - quantization.zero_point * length).astype(np.int32)
        tell(f"sum of {length} elements - {length} times the zero point {quantization.zero_point}", sums)
        limits = integer_range(node.output.dtype)
        return requantize(sums, *self.scaling(node, length), node.output, limits)

    def _terms(self, node: Node, seen: Places, values: Array) -> Terms | None:
        factors = np.full(len(seen), self._share(len(seen)))
        if not is_quantized(node.input(0)):
            return Terms("elements added", 0, seen, values, factors)
        zero = real_zero(node.input(0))
        return Terms(f"elements - {zero} added", 0, seen, values.astype(np.int64) - zero, factors)

    def _share(self, length: int) -> float:
        """What each of so many elements is multiplied by."""
        return 1.0

    def _lower_sum(self, node: Node, lowering: Lowering, *, mean: bool) -> bool:
        from minilite_kernels import reduction
        from minilite_kernels.requantize import Scaling

        x, length = node.input(0), self.length(node)
        divisor = length if mean else 1
        if x.type not in _ADDED:
            return False
        if x.type is TensorType.FLOAT32:
            return self._lower(node, lowering, reduction.sum_float, np.float32, divisor=divisor)
        if not is_quantized(x):
            return self._lower(node, lowering, reduction.sum_integer, np.int64, divisor=divisor)
        a, b = x.quantization, node.output.quantization
        assert a is not None
        assert b is not None
        if not length or not shifts_fit(self.scaling(node, length)[1]):
            return False
        low, high = integer_range(x.dtype)
        scaling = Scaling(a.zero_point * length, *self.scaling(node, length))
        units = {"scaling": scaling, "out_zero": b.zero_point, "low": low, "high": high}
        return self._lower(node, lowering, reduction.sum_quantized, np.int32, **units)


@operator("SUM")
class Sum(_Addition):
    """Sum; integers wrap, of booleans it is whether any is true.

    A quantized sum of nothing is a real zero, where TFLite leaves a raw one.
    """

    types = (*NUMBERS, TensorType.BOOL)

    def _reduce(self, node: Node, rows: Array) -> Array:
        if is_quantized(node.input(0)):
            return self._quantized(node, rows)
        return np.asarray(np.add.reduce(rows, axis=-1, dtype=rows.dtype))

    def lower(self, node: Node, lowering: Lowering) -> bool:
        return self._lower_sum(node, lowering, mean=False)

    def tolerance(self, node: Node) -> Tolerance:
        return rounding_of_sum(self.length(node), 0)


@operator("MEAN")
class Mean(_Addition):
    """Sum divided by the number of elements, integers towards zero.

    The mean of nothing is not a number, for integers 0. A quantized mean takes the division into the
    multiplier (``QuantizedMeanOrSum`` of TFLite's ``reference/reduce.h``).
    """

    int8 = Int8()

    def _reduce(self, node: Node, rows: Array) -> Array:
        length = rows.shape[-1]
        if rows.dtype.kind == "f":
            return np.asarray(np.add.reduce(rows, axis=-1) / rows.dtype.type(length))
        if length == 0:
            return np.zeros(rows.shape[:-1], rows.dtype)
        if is_quantized(node.input(0)):
            return self._quantized(node, rows)
        sums: Int64Array = np.asarray(np.add.reduce(rows, axis=-1, dtype=np.int64))
        means: Int64Array = sums // length + ((sums < 0) & (sums % length != 0))
        return means.astype(rows.dtype)

    def _share(self, length: int) -> float:
        return 1 / max(length, 1)

    def scaling(self, node: Node, length: int) -> tuple[int, int]:
        multiplier, shift = super().scaling(node, length)
        # As many more bits as the quotient leaves free, within what the shift afterwards can take.
        spare = min(length.bit_length() - 1, 32, 31 + shift)
        return (multiplier << spare) // length, shift - spare

    def lower(self, node: Node, lowering: Lowering) -> bool:
        return self._lower_sum(node, lowering, mean=True)

    def tolerance(self, node: Node) -> Tolerance:
        length = self.length(node)
        return rounding_of_sum(length, 0, divisor=length)


def rounding_of_sum(length: int, *factors: int, divisor: int = 1) -> Tolerance:
    """For a sum of ``length`` numbers of one sign, added one by one.

    Partial sums grow to ``length`` times the largest number, and the errors of rounding them as the
    square root of their count: together ``length ** 1.5 / 6`` units, of which four times as many are
    allowed. (A strict bound, their sum, would let an element of a long sum go missing.)
    """
    length = max(length, 1)
    return rounding(length * max(1.0, length**0.5 / 4) / max(divisor, 1), *factors)


@operator("REDUCE_PROD")
class ReduceProd(_Reduction):
    """Product, one factor after the other; integers wrap.

    int8 and int16 with a quantization are rescaled after each factor, so that nothing overflows, with 16
    bits of multiplier (``QuantizedReduceProd`` of TFLite's ``reference/reduce.h``). Without one their raw
    values are multiplied.
    """

    types = (*NUMBERS, TensorType.BOOL)

    def _check_quantization(self, node: Node) -> None:
        x, y = node.input(0), node.output
        if not is_quantized(x) or (x.quantization is None and y.quantization is None):
            return
        if x.type is TensorType.UINT8:
            refuse(
                node,
                "quantized uint8 is not supported, int8 and int16 are",
                rule="quantized-uint8",
                tensor=x,
            )
        check_quantized(node, x)
        check_quantized(node, y)
        _check_zero_point_of_int16(node)

    def _reduce(self, node: Node, rows: Array) -> Array:
        if is_quantized(node.input(0)) and node.input(0).quantization is not None:
            return self._quantized(node, rows)
        if rows.shape[-1] == 0:
            return np.ones(rows.shape[:-1], rows.dtype)
        # One by one, as it depends on the order whether a product overflows on the way.
        return np.multiply.accumulate(rows, axis=-1, dtype=rows.dtype)[..., -1]

    def _quantized(self, node: Node, rows: Array) -> Array:
        a, b = node.input(0).quantization, node.output.quantization
        assert a is not None
        assert b is not None
        limits = integer_range(node.output.dtype)
        length = rows.shape[-1]
        if length == 0:
            one = int(np.round(1 / float(b.scale))) + b.zero_point
            return np.full(rows.shape[:-1], np.clip(one, *limits), rows.dtype)
        multiplier, shift = quantize_multiplier(float(a.scale) / float(b.scale) ** (1.0 / length))
        factors = rows.astype(np.int64) - a.zero_point
        product: Int64Array = factors[..., 0]
        for i in range(1, length):
            product = _scaled_product(product * factors[..., i], multiplier, shift)
        product = _scaled_product(product, multiplier, shift)
        clamped = np.clip(product + b.zero_point, *limits)
        tell("+ zero point {zero_point}, clamp to the type", clamped, zero_point=b.zero_point)
        return clamped.astype(rows.dtype)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels.reduction import reduce_prod

        x, span = node.input(0), self.span(node)
        if span is None or is_quantized(x) or x.type not in _ADDED:
            return False
        outer, length, inner = span
        layout = {"length": length, "inner": inner}
        chunk = grain(outer * inner, 8 * length)
        lowering.step(reduce_prod, node, extent=outer * inner, grain=chunk, x=x, out=node.output, **layout)
        return True

    def tolerance(self, node: Node) -> Tolerance:
        return EXACT


def _scaled_product(value: Int64Array, multiplier: Any, shift: Any) -> Int64Array:
    """What is left of it in 32 bits."""
    scaled = multiply_by_reduced_multiplier_single_rounding(value, multiplier, shift)
    return scaled.astype(np.int32).astype(np.int64)


class _Extreme(_Reduction):
    """What REDUCE_MAX and REDUCE_MIN share: raw values compared, scales left alone.

    The comparison begins with the end of the type's finite range, so that a NaN is never chosen and no
    infinity beyond that end; over all axes it begins with the first element, whatever that is.
    """

    types = (*NUMBERS, TensorType.BOOL)
    choose: ClassVar[np.ufunc]
    sign: ClassVar[int]
    """1 for the largest, -1 for the smallest."""

    def _check_quantization(self, node: Node) -> None:
        x, y = node.input(0), node.output
        if is_quantized(x) and (x.quantization is not None or y.quantization is not None):
            check_quantized(node, x)
            check_quantized(node, y)
            check_same_quantization(node, x, y)
            _check_zero_point_of_int16(node)

    def _terms(self, node: Node, seen: Places, values: Array) -> Terms | None:
        return Terms("what is compared", 0, seen, values, smallest_first=self.sign < 0)

    def start(self, dtype: np.dtype[Any]) -> Any:
        """What every element is compared with first."""
        if dtype.kind == "b":
            return self.sign < 0
        if dtype.kind == "f":
            return -self.sign * np.finfo(np.float32).max
        return integer_range(dtype)[0 if self.sign > 0 else 1]

    def _reduce(self, node: Node, rows: Array) -> Array:
        if rows.ndim > 1 or not rows.size:
            return np.asarray(self.choose.reduce(rows, axis=-1, initial=self.start(rows.dtype)))
        if np.isnan(rows[0]):
            return rows[:1]
        return np.asarray(self.choose.reduce(rows))

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import reduction

        x = node.input(0)
        if x.type not in _COMPARED:
            return False
        kernel = reduction.reduce_max if self.sign > 0 else reduction.reduce_min
        start = np.array([self.start(x.dtype)], x.dtype)
        axes = constant_integers(node.input(1)) or ()
        starts = {
            "lowest" if self.sign > 0 else "highest": start,
            "whole": len(self.axes(node, axes)) == len(x.shape),
        }
        return self._lower(node, lowering, kernel, x.dtype, **starts)


@operator("REDUCE_MAX")
class ReduceMax(_Extreme):
    """The largest element."""

    choose, sign = np.fmax, 1


@operator("REDUCE_MIN")
class ReduceMin(_Extreme):
    """The smallest element."""

    choose, sign = np.fmin, -1


class _Logical(_Reduction):
    """What REDUCE_ANY and REDUCE_ALL share."""

    types = (TensorType.BOOL,)
    combine: ClassVar[np.ufunc]

    def _check_quantization(self, node: Node) -> None:
        pass

    def _reduce(self, node: Node, rows: Array) -> Array:
        return np.asarray(self.combine.reduce(rows, axis=-1))


@operator("REDUCE_ANY")
class ReduceAny(_Logical):
    """Whether any element is true; of none: false."""

    combine = np.logical_or


@operator("REDUCE_ALL")
class ReduceAll(_Logical):
    """Whether every element is true; of none: true."""

    combine = np.logical_and
