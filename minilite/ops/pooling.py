"""Pools: AVERAGE_POOL_2D, L2_POOL_2D and MAX_POOL_2D."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minilite.graph import Activation, Array, Node, Padding, Shape, TensorType
from minilite.ops.base import EXACT, Int8, Lowering, Mask, Op, Tolerance, operator, refuse, rounding
from minilite.ops.checks import (
    Types,
    check_activation,
    check_arity,
    check_positive,
    check_quantized,
    check_rank,
    check_same_quantization,
    check_types,
)
from minilite.ops.fields import Terms, field_of_window, places, taken
from minilite.ops.lowering import grain, kernel_window
from minilite.quantization import integer_range, is_quantized, output_range
from minilite.shapes import Window, padded_size
from minilite.telling import tell

_F32, _I16 = TensorType.FLOAT32, TensorType.INT16


@dataclass(frozen=True)
class Pool2DOptions:
    """Schema table ``Pool2DOptions``."""

    padding: Padding = Padding.SAME
    stride_w: int = 0
    stride_h: int = 0
    filter_width: int = 0
    filter_height: int = 0
    fused_activation_function: Activation = Activation.NONE


def pooling_geometry(shape: Shape, options: Pool2DOptions) -> Window:
    """Sizes, strides and padding of a pool over a picture of ``shape``."""
    batch, in_h, in_w, channels = shape
    out_h, pad_top = padded_size(options.padding, in_h, options.filter_height, options.stride_h)
    out_w, pad_left = padded_size(options.padding, in_w, options.filter_width, options.stride_w)
    return Window(
        batch=batch,
        in_h=in_h,
        in_w=in_w,
        in_c=channels,
        out_h=out_h,
        out_w=out_w,
        out_c=channels,
        kernel_h=options.filter_height,
        kernel_w=options.filter_width,
        stride_h=options.stride_h,
        stride_w=options.stride_w,
        dilation_h=1,
        dilation_w=1,
        pad_top=pad_top,
        pad_left=pad_left,
        groups=channels,
    )


class _Pool(Op):
    """What all pools share. The input is [batch, height, width, channels]; scales are left alone."""

    options = Pool2DOptions
    types: tuple[Types, ...] = tuple((t, t) for t in (_F32, TensorType.UINT8, TensorType.INT8, _I16))

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        check_types(node, self.types)
        x = node.input(0)
        check_rank(node, x, 4, "batch, height, width, channels")
        check_activation(node)
        check_positive(node, "stride_w", "stride_h", "filter_width", "filter_height")
        if is_quantized(x):
            check_quantized(node, x)
            check_quantized(node, node.output)
            check_same_quantization(node, x, node.output)
        geometry = pooling_geometry(node.input(0).shape, node.options)
        if min(geometry.out_h, geometry.out_w) < 1:
            refuse(
                node,
                f"the window covers {geometry.kernel_h} x {geometry.kernel_w} pixels, more than the "
                f"{geometry.in_h} x {geometry.in_w} of {x}: no output is left",
                rule="empty-output",
            )
        return (geometry.output_shape,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        assert x is not None
        pooled = self._pool(x, pooling_geometry(node.input(0).shape, node.options))
        limits = output_range(node.options.fused_activation_function, node.output)
        clamped = np.clip(pooled, *limits).astype(x.dtype)
        tell("clamp to {low} ... {high}", clamped, low=limits[0], high=limits[1])
        return (clamped,)

    tells_elements = True

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        return (field_of_window(pooling_geometry(node.input(0).shape, node.options), wanted[0]),)

    def terms(
        self, node: Node, inputs: Sequence[Array | None], field: Sequence[Mask | None], place: Shape
    ) -> Terms | None:
        (x,) = inputs
        assert x is not None
        seen = places(field[0])
        factors = None if self.compares else np.full(len(seen), 1 / max(len(seen), 1))
        return Terms(self.meaning, 0, seen, self._values(taken(x, seen)), factors)

    compares: ClassVar[bool] = False
    """Whether a window's pixels are compared rather than added."""
    meaning: ClassVar[str] = "the mean of the pixels inside the picture"

    def _values(self, pixels: Array) -> Array:
        """What is added of each pixel."""
        return pixels

    def _pool(self, x: Array, geometry: Window) -> Array:
        raise NotImplementedError

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import pooling

        g = pooling_geometry(node.input(0).shape, node.options)
        kernel = self._kernel(node, g)
        if kernel is None:
            return False
        low, high = output_range(node.options.fused_activation_function, node.output)
        rows = g.batch * g.out_h
        # An element that comes from memory takes as long as some four multiply-adds in a matrix tile.
        cost = 4 * g.in_c * (min(g.kernel_h, g.in_h) * g.in_w + min(g.kernel_w, g.in_w) * g.out_w)
        line = np.int32 if is_quantized(node.input(0)) else np.float32
        lowering.step(
            kernel,
            node,
            extent=rows,
            grain=grain(rows, cost),
            x=node.input(0),
            out=node.output,
            line=lowering.scratch(line, g.in_w * g.in_c + pooling.PADDING),
            w=kernel_window(g),
            low=low,
            high=high,
            **self._kernel_arguments(node),
        )
        return True

    def _kernel(self, node: Node, geometry: Window) -> Any:
        """The kernel for this node, or None."""
        raise NotImplementedError

    def _kernel_arguments(self, node: Node) -> dict[str, Any]:
        """What this pool's kernel takes and others do not."""
        return {}

    def tolerance(self, node: Node) -> Tolerance:
        if is_quantized(node.input(0)):
            return EXACT
        return rounding(node.options.filter_height * node.options.filter_width, 0)


def _taps(geometry: Window) -> int:
    """The most pixels that a window sees."""
    return min(geometry.kernel_h, geometry.in_h) * min(geometry.kernel_w, geometry.in_w)


@operator("AVERAGE_POOL_2D")
class AveragePool2D(_Pool):
    """Mean of the pixels of a window that are inside the picture.

    Integers are averaged as they are and rounded half away from zero (TFLite's
    ``reference/pooling.h``, ``reference/integer_ops/pooling.h``).
    """

    int8 = Int8(same_scale=True)

    def _pool(self, x: Array, geometry: Window) -> Array:
        integer = np.issubdtype(x.dtype, np.integer)
        sums, counts = _sums(x.astype(np.int64) if integer else x, geometry)
        means: Array
        means = np.sign(sums) * ((np.abs(sums) + counts // 2) // counts) if integer else sums / counts
        tell("sum of pixels", sums)
        rounded = ", ties away from zero" if integer else ""
        exact = (lambda: sums / counts) if integer else None
        tell(f"/ {{count}} pixels{rounded}", means, count=counts, unrounded=exact)
        return means

    def _kernel(self, node: Node, geometry: Window) -> Any:
        from minilite_kernels import pooling

        x = node.input(0)
        if not is_quantized(x):
            return pooling.average_pool_float
        largest = max(map(abs, integer_range(x.dtype)))
        return pooling.average_pool_integer if largest * _taps(geometry) < 1 << 31 else None


def _sums(x: Array, geometry: Window) -> tuple[Array, Array]:
    """Sums over windows in the type of ``x``, and of how many pixels each; in the order of the taps."""
    sums = np.zeros(geometry.output_shape, x.dtype)
    counts = np.zeros((1, geometry.out_h, geometry.out_w, 1), x.dtype)
    for tap in geometry.taps():
        sums[tap.outputs] += x[tap.inputs]
        counts[tap.outputs] += 1
    return sums, counts


@operator("L2_POOL_2D")
class L2Pool2D(_Pool):
    """Root of the mean square of the pixels of a window, float32 only (TFLite's ``reference/pooling.h``)."""

    types = ((_F32, _F32),)
    meaning = "the mean of the squares of the pixels inside the picture, of which the root is taken"

    def _values(self, pixels: Array) -> Array:
        return pixels * pixels

    def _pool(self, x: Array, geometry: Window) -> Array:
        sums, counts = _sums(x * x, geometry)
        roots: Array = np.sqrt(sums / counts)
        tell("sum of squares", sums)
        tell("the root of it / {count} pixels", roots, count=counts)
        return roots

    def _kernel(self, node: Node, geometry: Window) -> Any:
        from minilite_kernels import pooling

        return pooling.l2_pool


@operator("MAX_POOL_2D")
class MaxPool2D(_Pool):
    """Largest pixel of a window (TFLite's ``reference/pooling.h``, ``reference/integer_ops/pooling.h``).

    A NaN is never the largest; where nothing else is in the window, the type's lowest value is given.
    """

    int8 = Int8(same_scale=True)
    compares = True
    meaning = "the largest of the pixels inside the picture"

    def _pool(self, x: Array, geometry: Window) -> Array:
        largest = np.full(geometry.output_shape, lowest(x.dtype), x.dtype)
        for tap in geometry.taps():
            here, pixels = largest[tap.outputs], x[tap.inputs]
            np.copyto(here, pixels, where=pixels > here)
        tell("the largest pixel", largest)
        return largest

    def _kernel(self, node: Node, geometry: Window) -> Any:
        from minilite_kernels import pooling

        return pooling.max_pool

    def _kernel_arguments(self, node: Node) -> dict[str, Any]:
        return {"lowest": lowest(node.input(0).dtype)}

    def tolerance(self, node: Node) -> Tolerance:
        return EXACT


def lowest(dtype: npt.DTypeLike) -> float:
    """The smallest number of a type; of floats the smallest float32."""
    return integer_range(dtype)[0] if np.issubdtype(dtype, np.integer) else float(np.finfo(np.float32).min)
