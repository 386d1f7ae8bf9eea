"""Cases of tensors put together and taken apart."""

from __future__ import annotations

from hypothesis import strategies as st

from minilite.graph import TensorType
from minilite.ops.joining import (
    ConcatenationOptions,
    PackOptions,
    SplitOptions,
    SplitVOptions,
    UnpackOptions,
)
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import (
    MOVED,
    axes,
    is_empty,
    makes,
    moved,
    moved_shapes,
    specs,
    units_of,
    with_inputs,
)
from minilite.testing.models import constant, one_op


@strategy("CONCATENATION", variants=MOVED)
@st.composite
def concatenations(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Parts of any sizes along an axis; uint8 parts with units of their own."""
    whole = draw(moved(variant))
    shape = list(draw(moved_shapes(min_rank=1)))
    axis = draw(axes(len(shape)))
    parts = []
    for _ in range(draw(st.integers(1, 5))):
        shape[axis] = draw(st.integers(0, 5))
        part = units_of(whole, shape)
        if whole.type is TensorType.UINT8 and draw(st.booleans()):
            part = draw(specs(shape, TensorType.UINT8))
        parts.append(part)
    return draw(with_inputs(one_op(name, parts, [whole], ConcatenationOptions(axis)), special=None))


known_fault("CONCATENATION", "other", runtime="litert-ref", when=makes(TensorType.COMPLEX64),
            reason="refuses COMPLEX64")  # fmt: skip


@strategy("PACK", variants=MOVED)
@st.composite
def packs(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Tensors of one shape, the same one perhaps twice, along a new axis."""
    kind, shape = draw(moved(variant)), draw(moved_shapes())
    count = draw(st.integers(1, 5))
    options = PackOptions(count, draw(axes(len(shape) + 1)))
    graph = one_op(name, [units_of(kind, shape)] * count, [kind], options)
    return draw(with_inputs(graph, special=None))


known_fault("PACK", "other", runtime="litert-ref", reason="refuses BOOL, FLOAT16 and COMPLEX64")


@strategy("UNPACK", variants=MOVED)
@st.composite
def unpacks(draw: st.DrawFn, name: str, variant: str) -> Case:
    """All slices along an axis."""
    kind, shape = draw(moved(variant)), list(draw(moved_shapes(min_rank=1)))
    axis = draw(axes(len(shape)))
    count = shape[axis] = draw(st.integers(1, 5))
    graph = one_op(name, [units_of(kind, shape)], [kind] * count, UnpackOptions(count, axis))
    return draw(with_inputs(graph, special=None))


known_fault("UNPACK", "other", runtime="litert-ref", when=makes(TensorType.COMPLEX64, TensorType.FLOAT16),
            reason="refuses FLOAT16 and COMPLEX64")  # fmt: skip
known_fault("UNPACK", "integer", runtime="litert-ref", when=makes(TensorType.UINT32, TensorType.INT64),
            reason="refuses UINT32 and INT64")  # fmt: skip
known_fault("UNPACK", *MOVED, runtime="litert-ref", when=is_empty, reason="refuses tensors of no elements")


@strategy("SPLIT", variants=MOVED)
@st.composite
def splits(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Equal parts along an axis that is a constant or computed."""
    kind, shape = draw(moved(variant)), list(draw(moved_shapes(min_rank=1)))
    axis, count = draw(axes(len(shape))), draw(st.integers(1, 4))
    shape[axis] = count * draw(st.integers(0 if 0 in shape else 1, 3))
    which = constant(axis, TensorType.INT32)
    graph = one_op(name, [which, units_of(kind, shape)], [kind] * count, SplitOptions(count))
    return draw(with_inputs(graph, special=None))


@strategy("SPLIT_V", variants=MOVED)
@st.composite
def uneven_splits(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Parts of drawn sizes, one of them perhaps left open."""
    kind, shape = draw(moved(variant)), list(draw(moved_shapes(min_rank=1)))
    axis = draw(axes(len(shape)))
    parts = draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    shape[axis] = sum(parts)
    if draw(st.booleans()):
        parts[draw(st.integers(0, len(parts) - 1))] = -1
    wanted = constant(parts, draw(st.sampled_from([TensorType.INT32, TensorType.INT64])))
    inputs = [units_of(kind, shape), wanted, constant(axis, TensorType.INT32)]
    graph = one_op(name, inputs, [kind] * len(parts), SplitVOptions(len(parts)))
    return draw(with_inputs(graph, special=None))


for _name in ("SPLIT", "SPLIT_V"):
    known_fault(_name, "other", runtime="litert-ref", reason="refuses BOOL, FLOAT16 and COMPLEX64")
    known_fault(
        _name, "integer", runtime="litert-ref", when=makes(TensorType.UINT32), reason="refuses UINT32"
    )
