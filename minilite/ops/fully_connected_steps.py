"""How products with a constant matrix become kernel steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from minilite.graph import Array, Node, Tensor, TensorType
from minilite.ops.base import Lowering
from minilite.ops.hybrid import open_range
from minilite.ops.lowering import grain
from minilite.quantization import FUSED_ACTIVATIONS, output_range

_I8, _I16 = TensorType.INT8, TensorType.INT16


def unit_scales(node: Node) -> npt.NDArray[np.float64]:
    """The factor from sums to the output's steps, for each unit or for all: multiplied in float64."""
    x, w, y = node.input(0).quantization, node.input(1).quantization, node.outputs[0].quantization
    assert x is not None
    assert w is not None
    assert y is not None
    factors: Any = np.float64(x.scale) * w.scales.astype(np.float64) / np.float64(y.scale)
    return np.asarray(factors, np.float64)


def weights_zero_point(node: Node) -> int:
    """Weights of one scale keep the zero point that the file gives them; with more there is none."""
    quantization = node.input(1).quantization
    assert quantization is not None
    return 0 if quantization.per_channel else quantization.zero_point


def keep(weights: Array) -> Array:
    """Weights [units, depth] as they lie in the file."""
    return weights


_FEW_ROWS = 4
"""So few rows read each weight once for each of them faster than tiles are multiplied."""


def _cut(node: Node, weights: Tensor) -> tuple[Any, int, int]:
    """The product as kernels take it, its extent and its grain: chunks of rows, or of panels of units."""
    from minilite_kernels import fully_connected, matmul

    units = node.output.shape[-1]
    depth, rows = weights.size // units, node.output.size // units
    by_rows = rows >= 2 * matmul.ROWS
    product = fully_connected.Product(rows, depth, units, int(by_rows))
    if by_rows:
        return product, rows, grain(rows, depth * units / 4, matmul.ROWS)
    panels = fully_connected.panels_of(units)
    return product, panels, grain(panels, depth * rows * matmul.PANEL / 4, fully_connected.TOGETHER)


def lower_float_product(
    lowering: Lowering,
    node: Node,
    weights: Tensor,
    turn: Callable[[Array], Array],
    bias: Array | None,
    limits: tuple[float, float],
) -> bool:
    """A float product of the first input's rows, as a kernel step.

    ``turn`` makes [units, depth] of the constant ``weights``.
    """
    from minilite_kernels import fully_connected, matmul

    product, extent, chunk = _cut(node, weights)
    added = np.zeros(product.units, np.float32) if bias is None else bias.ravel()
    low, high = limits
    shared: dict[str, Any] = {
        "x": node.input(0),
        "weights": lowering.constant(weights, _pack_float, turn),
        "bias": matmul.pack_columns(added),
        "out": node.output,
        "low": low,
        "high": high,
    }
    if product.rows < _FEW_ROWS:
        kernel = fully_connected.multiply_float
        lowering.step(kernel, node, extent=extent, grain=chunk, p=product, **shared)
        return True
    lowering.step(
        matmul.matmul_float,
        node,
        extent=product.rows,
        grain=grain(product.rows, product.depth * product.units, matmul.ROWS),
        depth=product.depth,
        columns=product.units,
        stride=product.units,
        offset=0,
        **shared,
    )
    return True


def _pack_float(weights: Array, turn: Callable[[Array], Array]) -> Array:
    from minilite_kernels import matmul

    return matmul.pack_panels(turn(weights))


def lower_integer_product(node: Node, lowering: Lowering) -> bool:
    """A product of uint8, int8 or int16 as a kernel step; False where its sums may not fit."""
    x, w = node.input(0), node.input(1)
    assert w.data is not None
    assert x.quantization is not None
    units, depth = w.shape
    scales = np.broadcast_to(unit_scales(node), (units,))
    zero = weights_zero_point(node)
    bias = np.zeros(units, np.int64)
    given = node.optional_input(2)
    if given is not None and given.data is not None:
        bias = bias + given.data.ravel()
    largest = np.abs(bias).max(initial=0) + depth * 255 * 255
    if not np.isfinite(scales).all() or (x.type is not _I16 and largest >= 1 << 31):
        return False
    lower = _lower_words if x.type is _I16 else _lower_bytes
    lower(node, lowering, bias, scales, zero)
    return True


def _lower_bytes(node: Node, lowering: Lowering, bias: Array, scales: Array, zero: int) -> None:
    from minilite_kernels import fully_connected, matmul, quantized

    x, w, y = node.input(0), node.input(1), node.output
    assert w.data is not None
    assert x.quantization is not None
    assert y.quantization is not None
    product, extent, chunk = _cut(node, w)
    # The kernel multiplies unsigned by signed bytes: int8 values and uint8 weights move by 128.
    signed = x.type is _I8
    x_zero, weight_zero = x.quantization.zero_point + (128 if signed else 0), zero - (0 if signed else 128)
    totals = _signed_bytes(w.data).sum(axis=1, dtype=np.int64) - product.depth * weight_zero
    low, high = output_range(node.options.fused_activation_function, y)
    zero_point = y.quantization.zero_point
    few = product.rows < _FEW_ROWS
    lowering.step(
        fully_connected.multiply_bytes if few else fully_connected.multiply_bytes_tiled,
        node,
        extent=extent,
        grain=chunk,
        x=x,
        weights=lowering.constant(w, _pack_bytes),
        bias=matmul.pack_columns((bias - x_zero * totals).astype(np.int32)),
        scales=matmul.pack_columns(np.ascontiguousarray(scales)),
        out=y,
        values=lowering.scratch(x.dtype, matmul.ROWS * quantized.pad_depth(product.depth, x.dtype)),
        sums=lowering.scratch(np.int32, matmul.ROWS * fully_connected.AT_ONCE),
        p=product,
        levels=quantized.Levels(0, -128 if signed else 0, weight_zero, zero_point, low, high),
    )


def _signed_bytes(weights: Array) -> Array:
    """uint8 weights less 128, int8 weights as they are."""
    return weights if weights.dtype == np.int8 else (weights ^ 0x80).view(np.int8)


def _pack_bytes(weights: Array) -> Array:
    from minilite_kernels import quantized

    return quantized.pack_lanes(_signed_bytes(weights))


def _lower_words(node: Node, lowering: Lowering, bias: Array, scales: Array, zero: int) -> None:
    from minilite_kernels import fully_connected

    w, y = node.input(1), node.output
    assert y.quantization is not None
    units, depth = w.shape
    rows = y.size // units
    low, high = output_range(node.options.fused_activation_function, y)
    lowering.step(
        fully_connected.multiply_words,
        node,
        extent=units,
        grain=grain(units, depth * rows),
        x=node.input(0),
        weights=w,
        bias=bias,
        scales=np.ascontiguousarray(scales),
        out=y,
        p=fully_connected.Product(rows, depth, units, 0),
        weights_zero=zero,
        zero=y.quantization.zero_point,
        low=low,
        high=high,
    )


def lower_hybrid_product(node: Node, lowering: Lowering) -> bool:
    """A float product with integer weights as a kernel step; False where its activation is no clamp."""
    from minilite_kernels import fully_connected, matmul, quantized

    activation = node.options.fused_activation_function
    w, bias = node.input(1), node.optional_input(2)
    if activation not in FUSED_ACTIVATIONS:
        return False
    assert w.data is not None
    assert w.quantization is not None
    product, extent, chunk = _cut(node, w)
    units = product.units
    low, high = open_range(activation)
    added = np.zeros(units, np.float32) if bias is None or bias.data is None else bias.data.ravel()
    lowering.step(
        fully_connected.multiply_hybrid,
        node,
        extent=extent,
        grain=chunk,
        x=node.input(0),
        weights=lowering.constant(w, _pack_signed),
        nothing=np.zeros(matmul.pad_columns(units), np.int32),
        totals=matmul.pack_columns(w.data.view(np.int8).sum(axis=1, dtype=np.int32)),
        scales=matmul.pack_columns(np.broadcast_to(w.quantization.scales, (units,)).copy()),
        bias=matmul.pack_columns(added),
        out=node.output,
        values=lowering.scratch(np.int8, quantized.pad_depth(product.depth, np.int8)),
        sums=lowering.scratch(np.int32, fully_connected.AT_ONCE),
        p=product,
        asymmetric=int(node.options.asymmetric_quantize_inputs),
        low=low,
        high=high,
    )
    return True


def _pack_signed(weights: Array) -> Array:
    from minilite_kernels import quantized

    return quantized.pack_lanes(weights.view(np.int8))
