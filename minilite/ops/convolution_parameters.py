"""What a convolution's node says in numbers: geometry, multipliers, zero points, how sums are scaled."""

from __future__ import annotations

import numpy as np

from minilite.graph import Array, Node, TensorType
from minilite.quantization import Int32Array, quantize_multiplier
from minilite.shapes import Window, padded_size


def convolution_geometry(node: Node) -> Window:
    """Sizes, strides and padding of either convolution, from an accepted node."""
    batch, in_h, in_w, in_c = node.input(0).shape
    filters, kernel_h, kernel_w, last = node.input(1).shape
    depthwise = node.operator.name == "DEPTHWISE_CONV_2D"
    options = node.options
    out_h, pad_top = padded_size(options.padding, in_h, kernel_h, options.stride_h, options.dilation_h_factor)
    out_w, pad_left = padded_size(
        options.padding, in_w, kernel_w, options.stride_w, options.dilation_w_factor
    )
    return Window(
        batch=batch,
        in_h=in_h,
        in_w=in_w,
        in_c=in_c,
        out_h=out_h,
        out_w=out_w,
        out_c=last if depthwise else filters,
        kernel_h=kernel_h,
        kernel_w=kernel_w,
        stride_h=options.stride_h,
        stride_w=options.stride_w,
        dilation_h=options.dilation_h_factor,
        dilation_w=options.dilation_w_factor,
        pad_top=pad_top,
        pad_left=pad_left,
        groups=in_c if depthwise else in_c // last,
    )


def has_wide_sums(node: Node) -> bool:
    """Whether sums are scaled as 64-bit integers: int16 pictures, unless a bias has, or would have, 32."""
    bias = node.optional_input(2)
    promised = getattr(node.options, "quantized_bias_type", TensorType.FLOAT32)
    kind = promised if bias is None else bias.type
    return node.input(0).type is TensorType.INT16 and kind is not TensorType.INT32


def quantized_multipliers(node: Node) -> tuple[Int32Array, Int32Array]:
    """Multiplier and shift for each output channel of a quantized convolution.

    int8 and int16 multiply the scales in float64 (``PopulateConvolutionQuantizationParams`` of TFLite's
    ``kernels/kernel_util.cc``), the older uint8 in float32 (``GetQuantizedConvolutionMultipler``).
    """
    x, w, y = node.input(0).quantization, node.input(1).quantization, node.output.quantization
    assert x is not None
    assert w is not None
    assert y is not None
    single: Array = w.scales * x.scale
    double: Array = w.scales.astype(np.float64) * np.float64(x.scale)
    products = single if node.input(0).type is TensorType.UINT8 else double
    real = products.astype(np.float64) / np.float64(y.scale)
    return quantize_multiplier(np.broadcast_to(real, node.output.shape[-1:]))


def zero_points(node: Node) -> tuple[int, int]:
    """Zero points of input and weights; signed weights are symmetric whatever the file says."""
    x, w = node.input(0).quantization, node.input(1).quantization
    assert x is not None
    assert w is not None
    return x.zero_point, w.zero_point if node.input(0).type is TensorType.UINT8 else 0


def real_operand(node: Node, position: int, channel_axis: int) -> Array | None:
    """The real numbers that constant weights (position 1) or a bias (2) of a convolution stand for, float64.

    As the operator takes them, whatever else the file says of them; None where they are floats.
    """
    tensor = node.optional_input(position)
    if tensor is None or tensor.data is None or tensor.type is TensorType.FLOAT32:
        return None
    scales = weight_scales(node).astype(np.float64)
    if position == 2:
        x = node.input(0).quantization
        return None if x is None else tensor.data * (np.float64(x.scale) * scales)
    hybrid = node.input(0).type is TensorType.FLOAT32
    centred = tensor.data.view(np.int8) if hybrid else tensor.data.astype(np.int64) - zero_points(node)[1]
    shape = [1] * len(tensor.shape)
    shape[channel_axis] = -1
    return centred * scales.reshape(shape)


def weight_scales(node: Node) -> Array:
    """The scale of each output channel's weights, float32 [out_c]."""
    w = node.input(1).quantization
    assert w is not None
    return np.broadcast_to(w.scales, node.output.shape[-1:])
