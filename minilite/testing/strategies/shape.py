"""Cases of shapes as values, and of tensors made from little."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minilite.ops.shape import ShapeOptions
from minilite.testing.cases import Case, strategy
from minilite.testing.draw import (
    MOVED,
    broadcast_shapes,
    moved,
    moved_shapes,
    type_of,
    units_of,
    with_inputs,
    with_integers,
)
from minilite.testing.models import constant, one_op, tensor

INDEX = st.sampled_from([np.int32, np.int64])


@strategy("SHAPE", variants=("int32", "int64"))
@st.composite
def shapes(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Of a tensor of any type and shape."""
    x = units_of(draw(moved(draw(st.sampled_from(MOVED)))), draw(moved_shapes()))
    kind = type_of(variant)
    return draw(with_inputs(one_op(name, [x], [tensor((), kind)], ShapeOptions(kind))))


@strategy("RANK", variants=("int32",))
@st.composite
def ranks(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Of a tensor of any type and shape."""
    x = units_of(draw(moved(draw(st.sampled_from(MOVED)))), draw(moved_shapes()))
    return draw(with_inputs(one_op(name, [x], [tensor((), type_of(variant))])))


@strategy("BROADCAST_ARGS", variants=("int32", "int64"))
@st.composite
def broadcast_args(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Two shapes that broadcast, of different ranks."""
    kind = type_of(variant)
    pair = [np.array(shape, kind.dtype) for shape in draw(broadcast_shapes(2))]
    return draw(with_integers(name, pair, [tensor((), kind)]))


@strategy("FILL", variants=(*MOVED, "string"))
@st.composite
def fills(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Any shape."""
    kind, shape = draw(moved(variant)), np.array(draw(moved_shapes()), draw(INDEX))
    value = constant(np.array(b"text", object), kind.type) if variant == "string" else kind
    return draw(with_integers(name, [shape, value], [kind]))


@strategy("RANGE", variants=("float32", "int32", "int64"))
@st.composite
def ranges(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Steps up and down, that meet the limit or pass it."""
    kind = type_of(variant)
    step = draw(st.integers(1, 7)) * draw(st.sampled_from([1, -1]))
    start, distance = draw(st.integers(-20, 20)), draw(st.integers(0, 40))
    scale = draw(st.sampled_from([1.0, 0.1, 0.3])) if variant == "float32" else 1
    numbers = [start, start + distance * (1 if step > 0 else -1), step]
    scalars = [np.array(number * scale, kind.dtype) for number in numbers]
    return draw(with_integers(name, scalars, [tensor((), kind)]))
