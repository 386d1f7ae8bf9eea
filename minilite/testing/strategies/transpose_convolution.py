"""Cases of transposed convolutions."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minilite.graph import Padding, TensorType
from minilite.ops.transpose_convolution import TransposeConvOptions
from minilite.quantization import FUSED_ACTIVATIONS
from minilite.shapes import padded_size
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import SEEDS, scales, specs, values, with_inputs, zero_points
from minilite.testing.models import TensorSpec, constant, one_op, tensor

_F32, _U8, _I8, _I16 = TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8, TensorType.INT16
_I32, _I64 = TensorType.INT32, TensorType.INT64

_TYPES = {
    "float32": (_F32, _F32, _F32),
    "uint8": (_U8, _U8, _I32),
    "int8": (_I8, _I8, _I32),
    "int16": (_I16, _I8, _I64),
    "int16_bias32": (_I16, _I8, _I32),
    "hybrid": (_F32, _I8, _F32),
}
"""Variant: the types of picture, filter and bias."""

_CHANNELS = st.sampled_from([1, 2, 3, 4, 8, 16, 17])


@st.composite
def _axis(draw: st.DrawFn, padding: Padding) -> tuple[int, int, int, int]:
    """Output size, input size, kernel, stride: often the kernel is as wide as the stride (no overlap)."""
    stride = draw(st.integers(1, 4))
    kernel = stride if draw(st.booleans()) else draw(st.integers(1, 5))
    least = kernel if padding is Padding.VALID else 1
    out = draw(st.integers(least, 14))
    size, _ = padded_size(padding, out, kernel, stride)
    return out, size, kernel, stride


@strategy("TRANSPOSE_CONV", variants=tuple(_TYPES))
@st.composite
def transposed(draw: st.DrawFn, name: str, variant: str) -> Case:
    """A convolution backwards: overlapping filters, gaps between them, pixels cut off at every border."""
    padding = draw(st.sampled_from(Padding))
    (out_h, in_h, kernel_h, stride_h), (out_w, in_w, kernel_w, stride_w) = (
        draw(_axis(padding)) for _ in range(2)
    )
    kind, weight_kind, bias_kind = _TYPES[variant]
    rng = np.random.default_rng(draw(SEEDS))
    depth, filters, batch = draw(_CHANNELS), draw(_CHANNELS), draw(st.sampled_from([1, 1, 2]))
    x, y = draw(specs((batch, in_h, in_w, depth), kind)), draw(specs((), kind, low=1e-2))
    w = _filter(draw, rng, (filters, kernel_h, kernel_w, depth), weight_kind)
    with_bias = draw(st.booleans())
    bias = [_bias(rng, filters, bias_kind, x, w)] if with_bias else []
    shape = constant([batch, out_h, out_w, filters], _I32)
    promised = bias_kind if variant == "int16_bias32" else _F32
    options = TransposeConvOptions(
        padding, stride_w, stride_h, draw(st.sampled_from(sorted(FUSED_ACTIVATIONS))), promised
    )
    graph = one_op(name, [shape, w, x, *bias], [y], options, version=4)
    return draw(
        with_inputs(graph, special=draw(st.booleans()) if variant == "float32" else False, largest=1e18)
    )


def _filter(
    draw: st.DrawFn, rng: np.random.Generator, shape: tuple[int, ...], kind: TensorType
) -> TensorSpec:
    data = values(rng, shape, kind)
    if kind is _F32:
        return constant(data)
    if kind is _U8 or draw(st.booleans()):
        zero = draw(zero_points(kind)) if kind is _U8 else 0
        return constant(data, kind, scale=draw(scales()), zero_point=zero)
    return constant(data, kind, scale=rng.uniform(1e-3, 0.1, shape[0]).astype(np.float32).tolist())


def _bias(rng: np.random.Generator, size: int, kind: TensorType, x: TensorSpec, w: TensorSpec) -> TensorSpec:
    if kind is _F32:
        return constant(10 * values(rng, (size,), kind))
    scale: Any = np.asarray(x.scale, np.float32) * np.atleast_1d(np.asarray(w.scale, np.float32))
    data = rng.integers(-(1 << 14), 1 << 14, size) << rng.integers(0, 16 if kind is _I64 else 4)
    return constant(data, kind, scale=scale)


@strategy("Convolution2DTransposeBias", variants=("float32",))
@st.composite
def transposed_with_bias(draw: st.DrawFn, name: str, variant: str) -> Case:
    """As MediaPipe's models have it."""
    padding, sizes = draw(st.sampled_from([1, 2])), draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    strides = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    kernel = strides if draw(st.booleans()) else draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    depth, filters = draw(_CHANNELS), draw(_CHANNELS)
    rng = np.random.default_rng(draw(SEEDS))
    weights = constant(values(rng, (filters, *kernel, depth), _F32))
    bias = constant(values(rng, (filters,), _F32))
    inputs = [tensor((draw(st.integers(0, 2)), *sizes, depth)), weights, bias]
    raw = struct.pack("<3i", padding, strides[1], strides[0])
    return draw(with_inputs(one_op(name, inputs, [tensor()], custom_options=raw), special=None, largest=1e18))


known_fault(
    "Convolution2DTransposeBias",
    "float32",
    runtime="litert-ref",
    reason="has it only in its XNNPACK delegate, which BUILTIN_REF leaves out",
)
