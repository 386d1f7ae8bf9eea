"""Cases of activations."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minilite.graph import Shape, TensorType
from minilite.ops.activation import GeluOptions
from minilite.ops.rectifier import LeakyReluOptions
from minilite.ops.softmax import SoftmaxOptions
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import shapes, specs, type_of, with_inputs
from minilite.testing.models import TensorSpec, one_op, tensor
from minilite.testing.strategies.unary import element_shapes

_F32, _U8, _I8, _I16 = TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8, TensorType.INT16


@strategy("RELU", "RELU6", variants=("float32", "uint8", "int8", "int16"))
@strategy("RELU_N1_TO_1", "RELU_0_TO_1", variants=("float32", "uint8", "int8"))
@strategy("HARD_SWISH", variants=("float32", "uint8", "int8"))
@strategy("ELU", variants=("float32", "int8"))
@strategy("GELU", variants=("float32", "uint8", "int8"))
@strategy("LEAKY_RELU", variants=("float32", "uint8", "int8", "int16"))
@st.composite
def activations(draw: st.DrawFn, name: str, variant: str) -> Case:
    """A tensor of any shape; for quantized ones two scales."""
    kind = type_of(variant)
    x, y = draw(specs(draw(element_shapes()), kind)), draw(specs((), kind))
    if name == "HARD_SWISH" and kind is not _F32:
        # The output must not be more than 128 times as fine as the input.
        assert isinstance(x.scale, float)
        y = draw(specs((), kind, low=max(1e-3, x.scale / 64), high=1.0))
    graph = one_op(name, [x], [y], draw(_options(name)))
    return draw(with_inputs(graph, special=None if kind is _F32 else False))


@st.composite
def _options(draw: st.DrawFn, name: str) -> Any:
    if name == "GELU":
        return GeluOptions(approximate=draw(st.booleans()))
    if name == "LEAKY_RELU":
        alpha = draw(st.one_of(st.sampled_from([0.01, 0.1, 0.25, 0.0, 1.5]), st.floats(-1, 1, width=32)))
        return LeakyReluOptions(alpha=float(np.float32(alpha)))
    return None


@strategy("LOGISTIC", "TANH", variants=("float32", "uint8", "int8", "int16"))
@st.composite
def sigmoids(draw: st.DrawFn, name: str, variant: str) -> Case:
    """LOGISTIC with the output scale that it must have; TANH of bytes with any."""
    kind = type_of(variant)
    x, y = draw(specs(draw(element_shapes()), kind)), draw(specs((), kind))
    if kind is _I16:
        scales = st.one_of(
            st.sampled_from([2.0**-12, 2.0**-11, 2.0**-13]), st.floats(2.0**-17, 2.0**-7, width=32)
        )
        x = tensor(x.shape, kind, scale=draw(scales))
        y = tensor((), kind, scale=2.0**-15)
    elif kind is not _F32 and name == "LOGISTIC":
        y = tensor((), kind, scale=2.0**-8, zero_point=0 if kind is _U8 else -128)
    elif kind is not _F32 and draw(st.booleans()):
        y = tensor((), kind, scale=2.0**-7, zero_point=128 if kind is _U8 else 0)
    graph = one_op(name, [x], [y])
    return draw(with_inputs(graph, special=None if kind is _F32 else False))


@strategy("PRELU", variants=("float32", "uint8", "int8"))
@st.composite
def prelus(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Alpha in the shape of the values or one that broadcasts to it, constant or not."""
    kind = type_of(variant)
    shape = draw(shapes(0, 4, st.integers(1, 9)))
    axes = tuple(size if draw(st.booleans()) else 1 for size in shape)
    alpha = draw(specs(axes[draw(st.integers(0, len(axes))) :], kind))
    graph = one_op(name, [draw(specs(shape, kind)), alpha], [draw(specs((), kind))])
    return draw(with_inputs(graph, special=None if kind is _F32 else False))


_ROWS: st.SearchStrategy[Shape] = shapes(
    1, 4, st.one_of(st.integers(1, 6), st.sampled_from([19, 70]))
).filter(lambda shape: int(np.prod(shape)) < 5000)


@strategy("SOFTMAX", variants=("float32", "uint8", "int8", "int16", "uint8 to int16", "int8 to int16"))
@st.composite
def softmaxes(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Rows, and a beta that is mostly one."""
    source, _, target = variant.partition(" to ")
    kind, made = type_of(source), type_of(target or source)
    x = draw(specs(draw(_ROWS), kind))
    options = SoftmaxOptions(beta=draw(st.sampled_from([1.0, 1.0, 0.5, 2.0, float(np.float32(0.1)), 10.0])))
    graph = one_op(name, [x], [_shares(made)], options)
    return draw(with_inputs(graph, special=None if kind is _F32 else False))


def _shares(kind: TensorType) -> TensorSpec:
    """A quantized tensor of values in [0, 1]."""
    if kind is _F32:
        return tensor(type=kind)
    if kind is _I16:
        return tensor((), kind, scale=2.0**-15)
    return tensor((), kind, scale=2.0**-8, zero_point=0 if kind is _U8 else -128)


@strategy("LOG_SOFTMAX", variants=("float32", "uint8", "int8"))
@st.composite
def log_softmaxes(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Rows."""
    kind = type_of(variant)
    x = draw(specs(draw(_ROWS), kind))
    y = tensor((), kind, scale=1 / 16, zero_point=255 if kind is _U8 else 127)
    graph = one_op(name, [x], [tensor() if kind is _F32 else y])
    return draw(with_inputs(graph, special=None if kind is _F32 else False))


def _is_coarse(case: Case) -> bool:
    """Whether the output's steps are more than 2**8 times as wide as the input's."""
    x, y = (t.quantization for t in case.graph.main.tensors)
    assert x is not None
    assert y is not None
    return float(y.scale) / float(x.scale) > 2.0**8


known_fault(
    "HARD_SWISH",
    "uint8",
    "int8",
    runtime="litert-ref",
    reason="divides 16 bits by 2**16 with a mask of 16 bits, so that nothing becomes a step (gemmlowp's "
    "RoundingDivideByPOT)",
    when=_is_coarse,
)
known_fault(
    "ELU",
    "float32",
    "int8",
    runtime="litert-ref",
    reason="BUILTIN_REF does not have the operator",
    instead="litert-builtin",
)
