"""How convolutions become kernel steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from minilite.graph import Array, Node, Tensor, TensorType
from minilite.ops.base import Lowering
from minilite.ops.convolution_parameters import (
    has_wide_sums,
    quantized_multipliers,
    weight_scales,
    zero_points,
)
from minilite.ops.lowering import grain, kernel_window, shifts_fit
from minilite.quantization import is_quantized, output_range, reduced_multiplier
from minilite.shapes import Window

if TYPE_CHECKING:
    from minilite_kernels.quantized import Levels


def has_constant_weights(node: Node) -> bool:
    """Whether weights and bias are constants, so that they can be packed once."""
    bias = node.optional_input(2)
    return node.input(1).is_constant and (bias is None or bias.is_constant)


def has_finite_weights(node: Node) -> bool:
    """Whether float weights times zero are zero: kernels multiply where the window leaves the picture."""
    weights = node.input(1).data
    return weights is not None and bool(np.isfinite(weights).all())


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


def lower_float(
    node: Node, lowering: Lowering, g: Window, addition: tuple[Node, Tensor] | None = None
) -> None:
    """CONV_2D on float32; with an ``addition``, an ADD and the tensor it adds to the result, that too."""
    from minilite_kernels import convolution, matmul

    depth = g.kernel_h * g.kernel_w * (g.in_c // g.groups)
    low, high = output_range(node.options.fused_activation_function, node.output)
    pixels = g.batch * g.out_h * g.out_w
    chunk = grain(pixels, depth * g.out_c, matmul.ROWS)
    shared = {
        "x": node.input(0),
        "weights": lowering.constant(node.input(1), pack_float, g.groups),
        "bias": _padded_bias(node, g),
        "low": low,
        "high": high,
    }
    if addition is None:
        place = lowering.place(node.output)
        shared |= {"out": place.whole, "stride": place.stride, "offset": place.offset}
    matmul_kernel, convolve_kernel = matmul.matmul_float, convolution.convolve_float
    if addition is not None:
        add, addend = addition
        sum_low, sum_high = output_range(add.options.fused_activation_function, add.output)
        shared |= {"addend": addend, "out": add.output, "sum_low": sum_low, "sum_high": sum_high}
        matmul_kernel, convolve_kernel = matmul.matmul_add_float, convolution.convolve_add_float
    if (g.kernel_h, g.kernel_w, g.stride_h, g.stride_w, g.groups) == (1, 1, 1, 1, 1):
        # The picture is the matrix: nothing to gather.
        lowering.step(matmul_kernel, node, extent=pixels, grain=chunk, depth=depth, columns=g.out_c, **shared)
        return
    if addition is None and _reads_lines(g, depth):
        lowering.step(
            convolution.convolve_lines_float,
            node,
            extent=g.batch * g.out_h,
            grain=grain(g.batch * g.out_h, g.out_w * depth * g.out_c),
            lines=lowering.scratch(
                np.float32, g.kernel_h * ((matmul.ROWS - 1) * g.stride_w + g.kernel_w) * g.in_c
            ),
            w=kernel_window(g),
            out_c=g.out_c,
            **shared,
        )
        return
    chunk = _chunk_of_patches(chunk, 4 * depth)
    lowering.step(
        convolve_kernel,
        node,
        extent=pixels,
        grain=chunk,
        patches=lowering.scratch(np.float32, chunk * depth),
        w=kernel_window(g),
        groups=g.groups,
        out_c=g.out_c,
        **shared,
    )


def _reads_lines(g: Window, depth: int) -> bool:
    """Whether ``convolve_lines_float`` can do it, and rows are long enough to fill its tiles."""
    from minilite_kernels import matmul

    return g.groups == 1 and g.dilation_w == 1 and depth <= matmul.BLOCK and g.out_w >= 3 * matmul.ROWS


def takes_bias(node: Node, g: Window) -> bool:
    """Whether the float kernels can read the bias: a constant, or computed and as wide as their panels."""
    from minilite_kernels import matmul

    bias = node.optional_input(2)
    return bias is None or bias.is_constant or (g.groups == 1 and matmul.pad_columns(g.out_c) == g.out_c)


def _padded_bias(node: Node, g: Window) -> Array | Tensor:
    bias = node.optional_input(2)
    return bias if bias is not None and not bias.is_constant else _packed_columns(bias_or_zeros(node, g), g)


def lower_quantized(node: Node, lowering: Lowering, g: Window) -> None:
    """CONV_2D on uint8, int8 or int16."""
    from minilite_kernels import matmul, quantized

    depth = g.kernel_h * g.kernel_w * (g.in_c // g.groups)
    levels = quantized_levels(node)
    kind = node.input(0).dtype
    # Bytes are multiplied unsigned by signed: int8 pictures and uint8 filters move by 128.
    moved_x, moved_w = levels.x_zero - levels.flip, levels.weight_zero
    move = 128 if kind == np.uint8 else 0
    bias = bias_or_zeros(node, g) + depth * moved_x * moved_w - moved_x * _totals(node, lowering, move)
    pixels = g.batch * g.out_h * g.out_w
    chunk = _chunk_of_patches(grain(pixels, depth * g.out_c / 2, matmul.ROWS), kind.itemsize * depth)
    lowering.step(
        quantized.convolve_quantized,
        node,
        extent=pixels,
        grain=chunk,
        x=node.input(0),
        weights=lowering.constant(node.input(1), _pack_quantized, move, kind.itemsize, g.groups),
        bias=_packed_columns(bias.astype(np.int32), g),
        **scaling_tables(node, partial(_packed_columns, g=g)),
        out=node.output,
        patches=lowering.scratch(kind, chunk * quantized.pad_depth(depth, kind)),
        sums=lowering.scratch(np.int32, chunk),
        w=kernel_window(g),
        groups=g.groups,
        out_c=g.out_c,
        levels=levels,
    )


def quantized_levels(node: Node) -> Levels:
    """Zero points and range of a quantized node as kernels take them."""
    from minilite_kernels.quantized import Levels

    x_zero, weight_zero = zero_points(node)
    low, high = output_range(node.options.fused_activation_function, node.output)
    assert node.output.quantization is not None
    kind = node.input(0).type
    return Levels(
        x_zero=x_zero,
        flip=-128 if kind is TensorType.INT8 else 0,
        weight_zero=weight_zero - 128 if kind is TensorType.UINT8 else 0,
        zero=node.output.quantization.zero_point,
        low=low,
        high=high,
    )


def lower_hybrid(node: Node, lowering: Lowering, g: Window, *, symmetric: bool, together: bool) -> None:
    """CONV_2D on float32 with integer weights."""
    from minilite_kernels import hybrid, matmul, quantized

    depth = g.kernel_h * g.kernel_w * (g.in_c // g.groups)
    pixels = g.batch * g.out_h * g.out_w
    chunk = _chunk_of_patches(grain(pixels, depth * g.out_c / 2, matmul.ROWS), depth)
    totals = _packed_columns(_totals(node, lowering, 0).astype(np.int32), g)
    low, high = output_range(node.options.fused_activation_function, node.output)
    lowering.step(
        hybrid.convolve_hybrid,
        node,
        extent=pixels,
        grain=chunk,
        **quantized_rows(node, lowering, g.batch, symmetric=symmetric),
        weights=lowering.constant(node.input(1), _pack_quantized, 0, 1, g.groups),
        totals=totals,
        scales=_packed_columns(weight_scales(node), g),
        bias=_packed_columns(bias_or_zeros(node, g), g),
        out=node.output,
        patches=lowering.scratch(np.int8, chunk * quantized.pad_depth(depth, np.int8)),
        initial=lowering.scratch(np.int32, len(totals)),
        factors=lowering.scratch(np.float32, len(totals)),
        w=kernel_window(g),
        groups=g.groups,
        out_c=g.out_c,
        together=together,
        low=low,
        high=high,
    )


def quantized_rows(node: Node, lowering: Lowering, rows: int, *, symmetric: bool) -> dict[str, Tensor]:
    """The node's float input as int8 rows: the steps, and what hybrid kernels then read."""
    from minilite_kernels import hybrid

    x = node.input(0)
    length = x.size // rows if rows else 0
    parts = hybrid.parts_of(length)
    ranges = lowering.temporary(TensorType.FLOAT32, 2 * rows * parts)
    made = {
        "x": lowering.temporary(TensorType.INT8, x.size),
        "row_scales": lowering.temporary(TensorType.FLOAT32, rows),
        "row_zeros": lowering.temporary(TensorType.INT32, rows),
    }
    shared: dict[str, Any] = {"extent": rows * parts, "length": length, "parts": parts}
    items = grain(rows * parts, 4 * min(length, hybrid.PART))
    lowering.step(hybrid.find_ranges, node, x=x, ranges=ranges, grain=items, **shared)
    lowering.step(
        hybrid.quantize_rows,
        node,
        x=x,
        ranges=ranges,
        out=made["x"],
        scales=made["row_scales"],
        zeros=made["row_zeros"],
        symmetric=symmetric,
        grain=items,
        **shared,
    )
    return made


_PATCH_BYTES = 1 << 18
"""Scratch for gathered patches: they stay in the second-level cache while all filters pass over them."""


def _chunk_of_patches(chunk: int, patch_bytes: int) -> int:
    """Pixels of a chunk, so many that their patches stay in the cache."""
    from minilite_kernels.matmul import ROWS

    return min(chunk, max(1, _PATCH_BYTES // (patch_bytes * ROWS)) * ROWS)


def _packed_columns(values: Array, g: Window) -> Array:
    from minilite_kernels import matmul

    return matmul.in_groups(matmul.pack_columns, values, g.groups)


def pack_float(filters: Array, groups: int) -> Array:
    """Filters [out_c, kernel_h, kernel_w, in_c] as the panels of ``minilite_kernels.matmul``."""
    from minilite_kernels import matmul

    return matmul.in_groups(matmul.pack_panels, filters.reshape(len(filters), -1), groups)


def _pack_quantized(filters: Array, move: int, itemsize: int, groups: int) -> Array:
    from minilite_kernels import matmul, quantized

    rows = signed_filters(filters, move).reshape(len(filters), -1)
    return matmul.in_groups(quantized.pack_lanes, rows.astype(f"i{itemsize}", copy=False), groups)


def _totals(node: Node, lowering: Lowering, move: int) -> Array:
    """The sum of each filter's weights, each less ``move``."""
    filters = lowering.constant(node.input(1), np.ravel).reshape(node.output.shape[-1], -1)
    totals: Array = signed_filters(filters, move).sum(axis=1, dtype=np.int64)
    return totals


def signed_filters(filters: Array, move: int) -> Array:
    """8-bit filters as int8; uint8 ones less 128 if that is ``move``, else their bits."""
    return (filters ^ filters.dtype.type(move)).view(np.int8) if move else filters.view(np.int8)
