"""How convolutions become kernel steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minilite.graph import Array, Node
from minilite.ops.base import Lowering
from minilite.ops.convolution_parameters import has_wide_sums, quantized_multipliers, zero_points
from minilite.ops.lowering import grain, kernel_window, shifts_fit
from minilite.quantization import is_quantized, output_range, reduced_multiplier
from minilite.shapes import Window


def has_constant_weights(node: Node) -> bool:
    """Whether weights and bias are constants, so that they can be packed once."""
    bias = node.optional_input(2)
    return node.input(1).is_constant and (bias is None or bias.is_constant)


def bias_or_zeros(node: Node, geometry: Window) -> Array:
    """The bias [out_c] as kernels read it, int32 or float32; zeros where there is none."""
    bias = node.optional_input(2)
    dtype = np.int32 if is_quantized(node.input(0)) else np.float32
    if bias is not None and bias.data is not None:
        # Read in place, wherever the file has put it.
        return np.require(bias.data.reshape(-1), dtype, ["C", "A"])
    return np.zeros(geometry.out_c, dtype)


def scaling_tables(node: Node, pack: Callable[[Array], Array]) -> dict[str, Any]:
    """Multipliers and shifts of each output channel as the kernels take them."""
    multipliers, shifts = quantized_multipliers(node)
    if has_wide_sums(node):
        reduced = reduced_multiplier(multipliers).astype(np.int16)
        return {"multipliers": pack(reduced), "lefts": pack(0 * shifts), "rights": pack(15 - shifts)}
    left, right = np.maximum(shifts, 0), np.maximum(-shifts, 0)
    return {"multipliers": pack(multipliers), "lefts": pack(left), "rights": pack(right)}


def kernels_scale(node: Node, channel_axis: int) -> bool:
    """Whether kernels scale a quantized node's sums exactly: no shift or sum is absurd."""
    _, shifts = quantized_multipliers(node)
    if not has_wide_sums(node):
        return shifts_fit(shifts)
    # Kernels add in 32 bits what TFLite adds in 64.
    w, bias = node.input(1).data, node.optional_input(2)
    assert w is not None
    filters = np.moveaxis(w, channel_axis, 0).reshape(w.shape[channel_axis], -1)
    largest = float(1 << 15) * np.abs(filters.astype(np.float64)).sum(axis=1)
    if bias is not None and bias.data is not None:
        largest += np.abs(bias.data.astype(np.float64))
    return bool(np.all(shifts < 15) and np.all(largest < 1 << 31))


def lower_float(node: Node, lowering: Lowering, g: Window) -> None:
    """CONV_2D on float32."""
    from minilite_kernels import convolution, matmul

    depth = g.kernel_h * g.kernel_w * g.in_c
    low, high = output_range(node.options.fused_activation_function, node.output)
    pixels = g.batch * g.out_h * g.out_w
    chunk = grain(pixels, depth * g.out_c, matmul.ROWS)
    shared = {
        "x": node.input(0),
        "weights": lowering.constant(node.input(1), _pack_float),
        "bias": matmul.pack_columns(bias_or_zeros(node, g)),
        "out": node.output,
        "low": low,
        "high": high,
    }
    if (g.kernel_h, g.kernel_w, g.stride_h, g.stride_w) == (1, 1, 1, 1):
        # The picture is the matrix: nothing to gather.
        lowering.step(
            matmul.matmul_float, node, extent=pixels, grain=chunk, depth=depth, columns=g.out_c, **shared
        )
        return
    chunk = min(chunk, max(1, _PATCH_BYTES // (4 * depth * matmul.ROWS)) * matmul.ROWS)
    lowering.step(
        convolution.convolve_float,
        node,
        extent=pixels,
        grain=chunk,
        patches=lowering.scratch(np.float32, chunk * depth),
        w=kernel_window(g),
        out_c=g.out_c,
        **shared,
    )


def lower_quantized(node: Node, lowering: Lowering, g: Window) -> None:
    """CONV_2D on uint8, int8 or int16."""
    from minilite_kernels import matmul, quantized

    depth = g.kernel_h * g.kernel_w * g.in_c
    x_zero, weight_zero = zero_points(node)
    kind = node.input(0).dtype
    # Bytes are multiplied unsigned by signed: int8 pictures and uint8 filters move by 128.
    flip, moved_x, moved_w = {
        np.dtype(np.int8): (-128, x_zero + 128, weight_zero),
        np.dtype(np.uint8): (0, x_zero, weight_zero - 128),
        np.dtype(np.int16): (0, 0, 0),
    }[kind]
    weights = lowering.constant(node.input(1), _signed_filters)
    totals = weights.reshape(g.out_c, depth).sum(axis=1, dtype=np.int64)
    bias = bias_or_zeros(node, g) - moved_x * totals + depth * moved_x * moved_w
    pixels = g.batch * g.out_h * g.out_w
    chunk = grain(pixels, depth * g.out_c / 2, matmul.ROWS)
    chunk = min(chunk, max(1, _PATCH_BYTES // (kind.itemsize * depth * matmul.ROWS)) * matmul.ROWS)
    low, high = output_range(node.options.fused_activation_function, node.output)
    assert node.output.quantization is not None
    lowering.step(
        quantized.convolve_quantized,
        node,
        extent=pixels,
        grain=chunk,
        x=node.input(0),
        weights=lowering.constant(node.input(1), _pack_quantized, kind.itemsize),
        bias=matmul.pack_columns(bias.astype(np.int32)),
        **scaling_tables(node, matmul.pack_columns),
        out=node.output,
        patches=lowering.scratch(kind, chunk * quantized.pad_depth(depth, kind)),
        sums=lowering.scratch(np.int32, chunk),
        w=kernel_window(g),
        out_c=g.out_c,
        x_zero=x_zero,
        flip=flip,
        weight_zero=moved_w,
        zero=node.output.quantization.zero_point,
        low=low,
        high=high,
    )


_PATCH_BYTES = 1 << 18
"""Scratch for gathered patches: they stay in the second-level cache while all filters pass over them."""


def _pack_float(filters: Array) -> Array:
    from minilite_kernels import matmul

    return matmul.pack_panels(filters.reshape(len(filters), -1))


def _signed_filters(filters: Array) -> Array:
    """uint8 filters less 128, int8 filters as they are."""
    return filters if filters.dtype == np.int8 else (filters ^ 0x80).view(np.int8)


def _pack_quantized(filters: Array, itemsize: int) -> Array:
    from minilite_kernels import quantized

    rows = _signed_filters(filters).reshape(len(filters), -1)
    return quantized.pack_groups(rows.astype(f"i{itemsize}", copy=False))
