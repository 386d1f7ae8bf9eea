"""Cases of GATHER, GATHER_ND, SCATTER_ND, ONE_HOT and of segments."""

from __future__ import annotations

from math import prod

import numpy as np
from hypothesis import strategies as st

from minilite.graph import Array, Shape, TensorType
from minilite.ops.indexing import GatherOptions, OneHotOptions
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import SEEDS, shapes, specs, type_of, values
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from minilite.testing.strategies.selection import parameter

INDICES = st.sampled_from([np.int32, np.int32, np.int64, np.int16])

_WORDS = (b"", b"a", b"two words", "ä".encode(), b"\xff\x00")


def _elements(rng: np.random.Generator, shape: Shape, kind: TensorType, *, special: bool) -> Array:
    if kind is TensorType.STRING:
        words: Array = np.empty(prod(shape), object)
        words[:] = [_WORDS[i] for i in rng.integers(len(_WORDS), size=words.size)]
        return words.reshape(shape)
    if kind in (TensorType.FLOAT16, TensorType.BFLOAT16):
        return rng.integers(0, 1 << 15, shape, np.uint16).view(kind.dtype)
    return values(rng, shape, kind, special=special)


@st.composite
def _given(draw: st.DrawFn, /, indices: Array) -> tuple[TensorSpec, list[Array]]:
    """Positions that are an input of the model, or constants."""
    if draw(st.booleans()):
        return constant(indices), []
    return tensor(indices.shape, constant(indices).type), [indices]


_MOVED = ("float32", "int32", "int64", "int16", "uint8", "int8", "bool")


@strategy("GATHER", variants=(*_MOVED, "float16", "string"))
@st.composite
def gathers(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Any axis, batches, positions of any rank."""
    kind = type_of(variant)
    shape = draw(shapes(1, 1 if kind is TensorType.STRING else 4))
    axis = draw(st.integers(0, len(shape) - 1))
    batch_dims = draw(st.sampled_from([0, 0, axis]))
    at = (*shape[:batch_dims], *draw(shapes(0, 2, st.integers(1, 5))))
    rng = np.random.default_rng(draw(SEEDS))
    indices = rng.integers(0, shape[axis], at).astype(draw(INDICES))
    from_behind = batch_dims < len(at) and draw(st.booleans())
    options = GatherOptions(
        axis=axis - draw(st.sampled_from([0, len(shape)])),
        batch_dims=batch_dims - len(at) if from_behind else batch_dims,
    )
    x = draw(specs(shape, kind)) if kind is not TensorType.INT16 else tensor(shape, kind)
    spec, more = draw(_given(indices))
    y = tensor((), kind, scale=x.scale, zero_point=x.zero_point)
    graph = one_op(name, [x, spec], [y], options, version=5)
    return Case(graph, (_elements(rng, shape, kind, special=draw(st.booleans())), *more))


@strategy("GATHER_ND", variants=(*_MOVED, "string"))
@st.composite
def gathers_nd(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Coordinates of any depth, from none to all axes."""
    kind = type_of(variant)
    shape = draw(shapes(1, 4))
    depth = draw(st.integers(1, len(shape)))
    coordinates, rng = draw(_coordinates(shape[:depth]))
    spec, more = draw(_given(coordinates))
    graph = one_op(name, [tensor(shape, kind), spec], [tensor((), kind)], version=5)
    return Case(graph, (_elements(rng, shape, kind, special=draw(st.booleans())), *more))


@st.composite
def _coordinates(
    draw: st.DrawFn, /, limits: Shape, dtype: type | None = None
) -> tuple[Array, np.random.Generator]:
    rng = np.random.default_rng(draw(SEEDS))
    outer = draw(shapes(0, 2, st.integers(1, 5)))
    coordinates = rng.integers(0, limits, (*outer, len(limits)))
    return coordinates.astype(dtype or draw(INDICES)), rng


@strategy("SCATTER_ND", variants=("float32", "int32", "int64", "uint8", "int8", "bool"))
@st.composite
def scatters(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Slices of any rank for any axes, some for one place."""
    kind = type_of(variant)
    shape = draw(shapes(1, 4))
    depth = draw(st.integers(1, len(shape)))
    coordinates, rng = draw(_coordinates(shape[:depth], np.int32))
    outer = coordinates.shape[:-1]
    if not outer and depth == len(shape):
        coordinates, outer = coordinates[None], (1,)
    slices = (*outer, *shape[depth:])
    spec, more = draw(_given(coordinates))
    sizes, sizes_given = draw(parameter(np.array(shape, np.int32)))
    data = _elements(rng, slices, kind, special=False)
    graph = one_op(name, [spec, tensor(slices, kind), sizes], [tensor((), kind)])
    return Case(graph, (*more, data, *sizes_given))


@strategy("ONE_HOT", variants=("float32", "int32", "int64", "uint8", "int8", "bool"))
@st.composite
def one_hots(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Any axis and depth, indices beyond both ends."""
    kind = type_of(variant)
    shape = draw(shapes(0, 3))
    depth = draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(SEEDS))
    indices = rng.integers(-2, depth + 2, shape).astype(draw(st.sampled_from([np.int32, np.int64])))
    count, more = draw(parameter(np.array(depth, np.int32)))
    on, off = (constant(values(rng, draw(st.sampled_from([(), (1,)])), kind)) for _ in range(2))
    options = OneHotOptions(axis=draw(st.integers(-1, len(shape))))
    x = tensor(shape, constant(indices).type)
    graph = one_op(name, [x, count, on, off], [tensor((), kind)], options)
    return Case(graph, (indices, *more))


@strategy("SEGMENT_SUM", variants=("float32", "int32"))
@st.composite
def neighbours(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Segments of one and more rows."""
    kind = type_of(variant)
    shape = draw(shapes(1, 3))
    rng = np.random.default_rng(draw(SEEDS))
    segments = np.cumsum(rng.integers(0, 2, shape[0])).astype(np.int32)
    segments -= segments[0]
    spec, more = draw(_given(segments))
    graph = one_op(name, [tensor(shape, kind), spec], [tensor((), kind)])
    return Case(graph, (values(rng, shape, kind), *more))


@strategy("UNSORTED_SEGMENT_SUM", "UNSORTED_SEGMENT_PROD", variants=("float32", "int32"))
@strategy("UNSORTED_SEGMENT_MAX", "UNSORTED_SEGMENT_MIN", variants=("float32", "int32"))
@st.composite
def segments(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Segments that are empty or left out, for elements of any leading axes."""
    kind = type_of(variant)
    shape = draw(shapes(1, 4))
    rank = draw(st.integers(1, len(shape)))
    count = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(SEEDS))
    where = rng.integers(-1, count, shape[:rank]).astype(np.int32)
    spec, more = draw(_given(where))
    number, number_given = draw(parameter(np.full(draw(st.sampled_from([(), (1,)])), count, np.int32)))
    graph = one_op(name, [tensor(shape, kind), spec, number], [tensor((), kind)])
    special = name not in ("UNSORTED_SEGMENT_SUM", "UNSORTED_SEGMENT_PROD") or kind is TensorType.INT32
    data = values(rng, shape, kind, special=special and draw(st.booleans()))
    return Case(graph, (data, *more, *number_given))


known_fault("SEGMENT_SUM", "float32", "int32", runtime="litert-ref", reason="the resolver lacks the operator")
