"""Cases of pools."""

from __future__ import annotations

import dataclasses
import struct

import numpy as np
from hypothesis import strategies as st

from minilite.graph import Padding
from minilite.ops.pooling import Pool2DOptions
from minilite.quantization import FUSED_ACTIVATIONS
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import SEEDS, specs, type_of, with_inputs
from minilite.testing.models import one_op, tensor


@strategy("AVERAGE_POOL_2D", "MAX_POOL_2D", variants=("float32", "uint8", "int8", "int16"))
@strategy("L2_POOL_2D", variants=("float32",))
@st.composite
def pools(draw: st.DrawFn, name: str, variant: str) -> Case:
    """A window that overlaps every border, or is as large as the picture."""
    kind = type_of(variant)
    sizes = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    shape = (draw(st.integers(0, 3)), *sizes, draw(st.sampled_from([1, 2, 3, 8, 16, 17, 33])))
    x = draw(specs(shape, kind))
    y = tensor((), kind, scale=x.scale, zero_point=x.zero_point)
    graph = one_op(name, [x], [y], draw(pool_options(sizes)), version=1 if name == "L2_POOL_2D" else 2)
    # Sums stay finite: where they overflow, the order of additions decides what comes out.
    largest = None if name == "MAX_POOL_2D" else 1e18
    return draw(with_inputs(graph, special=None, largest=largest))


@st.composite
def pool_options(draw: st.DrawFn, sizes: tuple[int, int]) -> Pool2DOptions:
    """Windows for a picture of ``sizes`` that leave an output."""
    padding = draw(st.sampled_from(Padding))
    whole = draw(st.booleans()) and draw(st.booleans())
    most = sizes if padding is Padding.VALID else (14, 14)
    height, width = sizes if whole else draw(st.tuples(*(st.integers(1, min(m, 5)) for m in most)))
    return Pool2DOptions(
        padding,
        stride_w=draw(st.integers(1, 4)),
        stride_h=draw(st.integers(1, 4)),
        filter_width=width,
        filter_height=height,
        fused_activation_function=draw(st.sampled_from(sorted(FUSED_ACTIVATIONS))),
    )


@strategy("MaxPoolingWithArgmax2D", variants=("float32",))
@st.composite
def pools_with_places(draw: st.DrawFn, name: str, variant: str) -> Case:
    """As MAX_POOL_2D, the options as MediaPipe's models have them."""
    sizes = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    x = tensor((draw(st.integers(0, 2)), *sizes, draw(st.integers(1, 4))))
    graph = one_op(name, [x], [tensor(), tensor()], custom_options=_raw(draw(pool_options(sizes))))
    return draw(with_inputs(graph, special=None))


@strategy("MaxUnpooling2D", variants=("float32",))
@st.composite
def unpools(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Places inside and outside of the windows, which may overlap."""
    height, width = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    sizes = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    shape = (draw(st.integers(0, 2)), *sizes, draw(st.integers(1, 3)))
    any_strides = st.tuples(st.integers(1, 4), st.integers(1, 4))
    strides = (width, height) if draw(st.booleans()) else draw(any_strides)
    options = Pool2DOptions(draw(st.sampled_from(Padding)), *strides, width, height)
    graph = one_op(name, [tensor(shape), tensor(shape)], [tensor()], custom_options=_raw(options))
    case = draw(with_inputs(graph, special=None))
    rng = np.random.default_rng(draw(SEEDS))
    most = height * width - 1 if draw(st.booleans()) else 30
    places = rng.integers(0 if most < 30 else -9, most, shape, endpoint=True) + np.float32(0.1)
    return Case(graph, (case.inputs[0], places.astype(np.float32)))


def _raw(options: Pool2DOptions) -> bytes:
    """C's ``TfLitePoolParams``, whose paddings are numbered from 1."""
    numbers = dataclasses.astuple(options)
    return struct.pack("<6i", numbers[0] + 1, *numbers[1:])


for _operator in ("MaxPoolingWithArgmax2D", "MaxUnpooling2D"):
    known_fault(
        _operator,
        "float32",
        runtime="litert-ref",
        reason="has it only in its XNNPACK delegate, which BUILTIN_REF leaves out",
    )
    known_fault(
        _operator,
        "float32",
        runtime="litert",
        reason="numbers places column by column, as the bits of integers in a tensor of floats; "
        "MediaPipe's own kernels row by row, as floats",
    )
