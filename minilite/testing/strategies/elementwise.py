"""Cases of arithmetic on two tensors that broadcast, and of sums of many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minilite import ops
from minilite.graph import Activation, Array, Graph, Shape, TensorType
from minilite.quantization import FUSED_ACTIVATIONS
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import (
    broadcast_shapes,
    shapes,
    specs,
    type_of,
    with_inputs,
)
from minilite.testing.models import TensorSpec, one_op, tensor

INT16, INT8, UINT8 = TensorType.INT16, TensorType.INT8, TensorType.UINT8


ACTIVATIONS = st.sampled_from(sorted(FUSED_ACTIVATIONS))


@st.composite
def operand_shapes(draw: st.DrawFn, count: int = 2) -> tuple[Shape, ...]:
    """Shapes that broadcast: rows longer than a vector, up to six short axes, no elements now and then."""
    kind = draw(st.sampled_from(["short", "short", "long", "many", "empty"]))
    if kind == "long":
        sizes = st.sampled_from([1, 2, 3, 17, 40])
        return draw(broadcast_shapes(count, 3, sizes))
    if kind == "many":
        return draw(broadcast_shapes(count, 6, st.integers(1, 3)))
    return draw(broadcast_shapes(count, 4, st.integers(0 if kind == "empty" else 1, 5)))


def plain(shape: Shape, kind: TensorType) -> TensorSpec:
    """A tensor without quantization, whatever its type."""
    return tensor(shape, kind)


def binary_graph(draw: st.DrawFn, name: str, variant: str, **options: Any) -> Graph:
    """Two operands, an output and a fused activation, of a variant ``<type>[_plain]``."""
    kind = type_of(variant.removesuffix("_plain"))
    a, b = draw(operand_shapes())
    if variant.endswith("_plain"):
        inputs, output = [plain(a, kind), plain(b, kind)], plain((), kind)
    else:
        inputs, output = [draw(specs(a, kind)), draw(specs(b, kind))], draw(specs((), kind, low=1e-2))
    op = ops.find(name)
    assert op is not None
    record: Any = None
    if op.options is not None:
        record = op.options(fused_activation_function=draw(ACTIVATIONS), **options)
    return one_op(name, inputs, [output], record, version=1 if record is None else 2)


def changed(case: Case, position: int, change: Callable[[Array], Array]) -> Case:
    """The case with other values of one input."""
    inputs = list(case.inputs)
    inputs[position] = change(inputs[position])
    return Case(case.graph, tuple(inputs))


@strategy("ADD", "SUB", "MUL", variants=("float32", "uint8", "int8", "int32", "int64"))
@strategy("ADD", "MUL", variants=("float16", "int16_plain"))
@strategy("MUL", variants=("int16", "uint32"))
@st.composite
def arithmetic(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Two tensors that broadcast, and a fused activation."""
    return draw(with_inputs(binary_graph(draw, name, variant), special=None))


@strategy("ADD", "SUB", variants=("int16",))
@st.composite
def int16_sums(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Any scales."""
    graph = binary_graph(draw, name, variant, pot_scale_int16=draw(st.booleans()))
    if _has_pot_scales(graph):
        graph = binary_graph(draw, name, variant, pot_scale_int16=False)
    return draw(with_inputs(graph))


def _has_pot_scales(graph: Graph) -> bool:
    exponents = [np.log2(t.quantization.scale) for t in graph.main.tensors if t.quantization is not None]
    return all(abs(exponent - round(exponent)) < 2e-3 for exponent in exponents)


@strategy("ADD", "SUB", variants=("int16_pot",))
@st.composite
def pot_sums(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Scales that are powers of two: one input has the output's, the other is not larger."""
    a, b = draw(operand_shapes())
    exponent = draw(st.integers(-12, 0))
    given = draw(st.permutations([exponent, exponent - draw(st.integers(0, 10))]))
    inputs = [tensor(s, INT16, scale=2.0**e) for s, e in zip((a, b), given, strict=True)]
    op = ops.find(name)
    assert op is not None
    assert op.options is not None
    options: Any = op.options(fused_activation_function=draw(ACTIVATIONS))
    return draw(with_inputs(one_op(name, inputs, [tensor((), INT16, scale=2.0**exponent)], options)))


@strategy("MUL", variants=("complex64",))
@st.composite
def complex_products(draw: st.DrawFn, name: str, variant: str) -> Case:
    """No activation."""
    a, b = draw(operand_shapes())
    kind = type_of(variant)
    return draw(with_inputs(one_op(name, [tensor(a, kind), tensor(b, kind)], [tensor((), kind)])))


@strategy("MUL", variants=("int16_int8", "int16_uint8"))
@st.composite
def narrowing_products(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Numbers below one with 15 fractional bits, to 7."""
    a, b = draw(operand_shapes())
    kind = type_of(variant.removeprefix("int16_"))
    op = ops.find(name)
    assert op is not None
    assert op.options is not None
    options: Any = op.options(fused_activation_function=draw(ACTIVATIONS))
    inputs = [tensor(shape, INT16, scale=2.0**-15) for shape in (a, b)]
    output = tensor((), kind, scale=2.0**-7, zero_point=128 if kind is UINT8 else 0)
    return draw(with_inputs(one_op(name, inputs, [output], options)))


@strategy("SQUARED_DIFFERENCE", variants=("float32", "int32", "int8"))
@st.composite
def squared_differences(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Two tensors that broadcast; output scales as small as the squares of the inputs'."""
    kind = type_of(variant)
    a, b = draw(operand_shapes())
    output = draw(specs((), kind, low=1e-3, high=8.0))
    graph = one_op(name, [draw(specs(a, kind)), draw(specs(b, kind))], [output])
    return draw(with_inputs(graph, special=None))


@strategy("ADD_N", variants=("float32", "int32"))
@st.composite
def sums_of_many(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Two to six tensors of one shape."""
    kind = type_of(variant)
    shape = draw(shapes(0, 4))
    parts = [tensor(shape, kind)] * draw(st.integers(2, 6))
    return draw(with_inputs(one_op(name, parts, [tensor((), kind)]), special=None))


def _shapes_differ(case: Case) -> bool:
    a, b = case.graph.main.tensors[:2]
    return a.shape != b.shape


def _is_clamped_from_below_zero(case: Case) -> bool:
    options: Any = case.graph.main.operators[0].options
    return bool(options.fused_activation_function is Activation.RELU_N1_TO_1)


known_fault(
    "ADD",
    "int16_pot",
    runtime="litert-ref",
    reason="checks for equal shapes, and aborts where they differ; SUB broadcasts",
    when=_shapes_differ,
    crashes=True,
)
known_fault(
    "MUL",
    "int16_int8",
    "int16_uint8",
    runtime="litert-ref",
    reason="checks for equal shapes, and aborts where they differ",
    when=_shapes_differ,
    crashes=True,
)
known_fault(
    "MUL",
    "uint32",
    runtime="litert-ref",
    reason="clamps from below at -1, which is the largest uint32: all becomes 1",
    when=_is_clamped_from_below_zero,
)
