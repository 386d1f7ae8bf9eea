"""Cases of windows over arrays of any rank."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minilite.graph import TensorType
from minilite.ops.windows import ReduceWindowFunction, ReduceWindowOptions
from minilite.testing.cases import Case, strategy
from minilite.testing.draw import QUANTIZED, SEEDS, shapes, specs, type_of, values, with_inputs
from minilite.testing.models import constant, one_op, tensor

_NUMBERS = ("float32", "float64", "bool", "uint8", "int8", "int16", "int32", "int64")


@strategy("REDUCE_WINDOW", variants=_NUMBERS)
@st.composite
def reductions(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Windows with strides and dilations, some of them larger than the array."""
    kind = type_of(variant)
    shape = draw(shapes(1, 4, st.integers(1, 7)))
    axes = [draw(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2))) for _ in shape]
    rng = np.random.default_rng(draw(SEEDS))
    function = draw(st.sampled_from([f for f in ReduceWindowFunction if f]))
    x = draw(specs(shape, kind))
    units = {"scale": x.scale, "zero_point": x.zero_point} if kind in QUANTIZED else {}
    initial = constant(values(rng, (), kind, special=True), kind, **units)
    window = [constant(list(numbers), TensorType.INT64) for numbers in zip(*axes, strict=True)]
    graph = one_op(
        name, [x, initial, *window], [tensor((), kind, **units)], ReduceWindowOptions(function), version=1
    )
    return draw(with_inputs(graph, special=None))


@strategy("DILATE", variants=(*_NUMBERS, "float16", "uint16", "uint32", "uint64", "complex64"))
@st.composite
def dilations(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Any rank from 1 on."""
    kind = type_of(variant)
    shape = draw(shapes(1, 5, st.integers(1, 4)))
    x = draw(specs(shape, kind))
    units = {"scale": x.scale, "zero_point": x.zero_point} if kind in QUANTIZED else {}
    rng = np.random.default_rng(draw(SEEDS))
    between = constant(values(rng, (), kind, special=kind.dtype.kind == "f"), kind, **units)
    steps = constant([draw(st.integers(1, 3)) for _ in shape], TensorType.INT32)
    graph = one_op(name, [x, steps, between], [tensor((), kind, **units)])
    return draw(with_inputs(graph, special=kind.dtype.kind == "f"))
