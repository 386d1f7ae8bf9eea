"""Two tensors compared: EQUAL, LESS and their kind, MAXIMUM, MINIMUM."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from minilite.graph import Array, Node, TensorType
from minilite.ops.base import Int8, operator
from minilite.ops.binary import Binary, Work, centred, check_fixed_point, computes_fixed_point, same_types
from minilite.ops.checks import Types
from minilite.ops.elementwise import split
from minilite.quantization import Int64Array, multiply_by_quantized_multiplier_double_rounding

LEFT_SHIFT = 8
"""Guard bits that quantized values are given before they are compared."""

NUMBERS = (
    TensorType.FLOAT32,
    TensorType.FLOAT16,
    TensorType.INT32,
    TensorType.INT64,
    TensorType.INT16,
    TensorType.UINT8,
    TensorType.INT8,
)


def compared(*types: TensorType) -> tuple[Types, ...]:
    """Rows for ``check_types``: two inputs of one of these types give BOOL."""
    return tuple((kind, kind, TensorType.BOOL) for kind in types)


class Comparison(Binary):
    """Two tensors to BOOL (TFLite's ``kernels/comparisons.cc``, ``reference/comparisons.h``).

    Quantized values of different scales are compared in fixed point, with 8 bits behind the point of
    their real values: what is nearer together counts as equal.
    """

    rows = compared(*NUMBERS)
    ufunc: ClassVar[np.ufunc]

    def check(self, node: Node) -> None:
        if computes_fixed_point(node):
            check_fixed_point(node)

    def combine(self, node: Node, a: Array, b: Array) -> Array:
        if self.rescales(node):
            a, b = (_rescaled(node, position, values) for position, values in enumerate((a, b)))
        truth: Array = type(self).ufunc(a, b)
        return truth

    def rescales(self, node: Node) -> bool:
        """Whether the inputs are brought to real values before they are compared."""
        return computes_fixed_point(node)

    def work(self, node: Node) -> Work | None:
        from minilite_kernels import elementwise

        name = type(self).ufunc.__name__
        # What is greater is less the other way round.
        turned = name.replace("greater", "less")
        return Work(getattr(elementwise, turned), order=(0, 1) if turned == name else (1, 0))


class Order(Comparison):
    """int16 of one scale is compared as it stands; TFLite's kernels do so with any two scales."""

    def rescales(self, node: Node) -> bool:
        if not computes_fixed_point(node):
            return False
        a, b = node.input(0).quantization, node.input(1).quantization
        assert a is not None
        assert b is not None
        return bool(node.input(0).type is not TensorType.INT16 or a.scale != b.scale)


def value_scaling(node: Node, position: int) -> tuple[int, int]:
    """Multiplier and shift from an input's units to real values."""
    quantization = node.input(position).quantization
    assert quantization is not None
    return split(np.float64(quantization.scale))


def _rescaled(node: Node, position: int, values: Array) -> Int64Array:
    shifted = centred(node, position, values) << LEFT_SHIFT
    return multiply_by_quantized_multiplier_double_rounding(shifted, *value_scaling(node, position))


@operator("EQUAL")
class Equal(Comparison):
    """``a == b``; strings as well."""

    rows = compared(*NUMBERS, TensorType.BOOL, TensorType.STRING)
    ufunc = np.equal


@operator("NOT_EQUAL")
class NotEqual(Comparison):
    """``a != b``; strings as well."""

    rows = compared(*NUMBERS, TensorType.BOOL, TensorType.STRING)
    ufunc = np.not_equal


@operator("LESS")
class Less(Order):
    """``a < b``."""

    ufunc = np.less


@operator("LESS_EQUAL")
class LessEqual(Order):
    """``a <= b``."""

    ufunc = np.less_equal


@operator("GREATER")
class Greater(Order):
    """``a > b``."""

    ufunc = np.greater


@operator("GREATER_EQUAL")
class GreaterEqual(Order):
    """``a >= b``."""

    ufunc = np.greater_equal


class _Extreme(Binary):
    """The one or the other of two values (TFLite's ``kernels/maximum_minimum.cc``).

    Where one is NaN, the second is taken. Quantized values are compared and copied as they stand: all
    three tensors have one scale and zero point.
    """

    rows = same_types(*NUMBERS)
    compiled = (TensorType.FLOAT32, TensorType.INT32, TensorType.INT8)
    prefers: ClassVar[np.ufunc]

    def combine(self, node: Node, a: Array, b: Array) -> Array:
        return np.where(type(self).prefers(a, b), a, b)

    def work(self, node: Node) -> Work | None:
        from minilite_kernels import elementwise

        return Work(elementwise.maximum if type(self).prefers is np.greater else elementwise.minimum)


@operator("MAXIMUM")
class Maximum(_Extreme):
    """The larger of two values."""

    int8 = Int8(same_scale=True)
    prefers = np.greater


@operator("MINIMUM")
class Minimum(_Extreme):
    """The smaller of two values."""

    int8 = Int8(same_scale=True)
    prefers = np.less
