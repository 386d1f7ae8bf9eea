"""Cases of convolutions of volumes."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minilite.graph import Padding, TensorType
from minilite.ops.convolution_3d import Conv3DOptions
from minilite.quantization import FUSED_ACTIVATIONS
from minilite.shapes import padded_size
from minilite.testing.cases import Case, strategy
from minilite.testing.draw import SEEDS, values, with_inputs
from minilite.testing.models import TensorSpec, constant, one_op, tensor

_F32 = TensorType.FLOAT32
_CHANNELS = st.sampled_from([1, 2, 3, 5, 17])


@strategy("CONV_3D", "CONV_3D_TRANSPOSE", variants=("float32",))
@st.composite
def volumes(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Any window that leaves an output; transposed, the same window read backwards."""
    padding = draw(st.sampled_from(Padding))
    sizes, kernel, made, strides, dilations = [], [], [], [], []
    for _ in range(3):
        taps, dilation = draw(st.integers(1, 3)), draw(st.sampled_from([1, 1, 1, 2, 3]))
        least = (taps - 1) * dilation + 1 if padding is Padding.VALID else 1
        size, stride = least + draw(st.integers(0, 5)), draw(st.integers(1, 3))
        sizes.append(size)
        kernel.append(taps)
        strides.append(stride)
        dilations.append(dilation)
        made.append(padded_size(padding, size, taps, stride, dilation)[0])
    activation = draw(st.sampled_from(sorted(FUSED_ACTIVATIONS)))
    options = Conv3DOptions(
        padding,
        stride_d=strides[0],
        stride_h=strides[1],
        stride_w=strides[2],
        fused_activation_function=activation,
        dilation_d_factor=dilations[0],
        dilation_h_factor=dilations[1],
        dilation_w_factor=dilations[2],
    )
    rng = np.random.default_rng(draw(SEEDS))
    batch, depth, filters = draw(st.integers(1, 2)), draw(_CHANNELS), draw(_CHANNELS)
    bias: list[TensorSpec | None] = [constant(values(rng, (filters,), _F32))] if draw(st.booleans()) else []
    inputs: list[TensorSpec | None]
    if name == "CONV_3D":
        weights = constant(values(rng, (*kernel, depth, filters), _F32))
        inputs = [tensor((batch, *sizes, depth)), weights, *bias]
    else:
        weights = constant(values(rng, (*kernel, filters, depth), _F32))
        shape = constant([batch, *sizes, filters], TensorType.INT32)
        inputs = [shape, weights, tensor((batch, *made, depth)), *bias]
    return draw(with_inputs(one_op(name, inputs, [tensor()], options), special=None, largest=1e18))
