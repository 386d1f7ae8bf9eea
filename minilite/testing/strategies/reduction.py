"""Cases of reductions along axes."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from hypothesis import strategies as st

from minilite.graph import Array, Shape, TensorType
from minilite.ops.reduction import ReducerOptions
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import SEEDS, shapes, specs, type_of, values
from minilite.testing.models import TensorSpec, constant, one_op, tensor

_NUMBERS = ("float32", "int32", "int64", "uint8", "int8", "int16")

SIZES = st.one_of(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6), st.sampled_from([0, 1, 33, 130]))


@st.composite
def _axes(draw: st.DrawFn, rank: int) -> tuple[int, ...]:
    """Some axes, all or none, from the front or from behind, now and then one of them twice."""
    if rank == 0:
        return draw(st.sampled_from([(), (0,), (-1,)]))
    picked = draw(st.lists(st.integers(-rank, rank - 1), max_size=rank))
    return tuple(draw(st.sampled_from([picked, [*range(rank)], [-1], [rank - 1], picked])))


@st.composite
def _output(draw: st.DrawFn, name: str, x: TensorSpec, length: int) -> TensorSpec:
    """An output whose scale suits the values that come out."""
    if x.scale is None:
        return tensor(type=x.type)
    if name in ("REDUCE_MAX", "REDUCE_MIN"):
        return tensor(type=x.type, scale=x.scale, zero_point=x.zero_point)
    assert isinstance(x.scale, float)
    y = draw(specs((), x.type, low=x.scale / 2, high=x.scale * 16))
    if name == "SUM":
        assert isinstance(y.scale, float)
        return replace(y, scale=float(np.float32(y.scale * max(1.0, length**0.5))))
    return y


@st.composite
def _reductions(draw: st.DrawFn, name: str, kind: TensorType, sizes: st.SearchStrategy[int] = SIZES) -> Case:
    shape: Shape = draw(shapes(0, 5, sizes).filter(lambda shape: prod(shape) < 20000))
    axes = draw(_axes(len(shape)))
    x = draw(specs(shape, kind, low=1e-2))
    if name.startswith("REDUCE_") and draw(st.booleans()):
        x = tensor(shape, kind)  # raw integers
    if name == "REDUCE_PROD" and kind is TensorType.UINT8:
        x = tensor(shape, kind)
    length = prod(shape[axis] for axis in {axis % len(shape) for axis in axes}) if shape else 1
    rng = np.random.default_rng(draw(SEEDS))
    data = values(rng, shape, kind, special=draw(st.booleans()), zero_point=_zero_point(x))
    inputs: list[Array] = [np.asarray(_bounded(data))]
    where = np.array(axes, np.int32)
    # A computed axis is another input of the model; LiteRT cannot read an empty result of computed shape.
    computed = 0 not in shape and draw(st.integers(0, 3)) == 0
    axis = tensor(where.shape, TensorType.INT32) if computed else constant(where)
    if computed:
        inputs.append(where)
    options = ReducerOptions(keep_dims=draw(st.booleans()))
    version = 1 if name in ("REDUCE_ANY", "REDUCE_ALL") else 2
    graph = one_op(name, [x, axis], [draw(_output(name, x, length))], options, version=version)
    return Case(graph, tuple(inputs))


def _zero_point(spec: TensorSpec) -> int:
    return spec.zero_point if isinstance(spec.zero_point, int) else 0


def _bounded(data: Array) -> Array:
    """Numbers of which some may be added before they overflow: whether they do depends on the order."""
    if data.dtype.kind != "f":
        return data
    return np.where(np.isfinite(data), np.clip(data, -1e30, 1e30), data)


@strategy("MEAN", variants=_NUMBERS)
@strategy("SUM", "REDUCE_PROD", "REDUCE_MAX", "REDUCE_MIN", variants=(*_NUMBERS, "bool"))
@strategy("REDUCE_ANY", "REDUCE_ALL", variants=("bool",))
def reductions(name: str, variant: str) -> st.SearchStrategy[Case]:
    """Any axes of any shape, constant or computed."""
    return _reductions(name, type_of(variant))


def _is_empty(case: Case) -> bool:
    return case.inputs[0].size == 0


known_fault(
    "SUM",
    "int8",
    "int16",
    runtime="litert-ref",
    reason="reads any quantized input as uint8 (QuantizedMeanOrSum of kernels/reduce.cc)",
)
known_fault(
    "SUM",
    "uint8",
    runtime="litert-ref",
    reason="the sum of nothing is a raw zero, which is the zero point only by chance",
    when=_is_empty,
)
known_fault(
    "REDUCE_PROD",
    "int8",
    "int16",
    runtime="litert-ref",
    reason="a quantized product of nothing is whatever stood in memory",
    when=_is_empty,
)
