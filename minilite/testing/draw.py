"""What strategies of cases are drawn with: tensors with their quantization, and values that hit edges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minilite.graph import Array, Graph, Quantization, Shape, Tensor, TensorType
from minilite.testing.cases import Case
from minilite.testing.models import TensorSpec, constant, one_op, tensor

QUANTIZED = (TensorType.INT8, TensorType.UINT8, TensorType.INT16)

SEEDS = st.integers(0, 2**32 - 1)


def type_of(variant: str) -> TensorType:
    """The tensor type of a variant that is called as one: ``"float32"``."""
    return TensorType[variant.upper()]


def shapes(
    min_rank: int = 0, max_rank: int = 4, sizes: st.SearchStrategy[int] | None = None
) -> st.SearchStrategy[Shape]:
    """Small shapes."""
    sizes = st.integers(1, 6) if sizes is None else sizes
    return st.lists(sizes, min_size=min_rank, max_size=max_rank).map(tuple)


@st.composite
def broadcast_shapes(
    draw: st.DrawFn, count: int = 2, max_rank: int = 4, sizes: st.SearchStrategy[int] | None = None
) -> tuple[Shape, ...]:
    """Shapes that broadcast together: sizes of 1 and axes left out in front, in any of them."""
    whole = draw(shapes(0, max_rank, st.integers(1, 5) if sizes is None else sizes))

    def stretched() -> Shape:
        kept = tuple(size if draw(st.booleans()) else 1 for size in whole)
        return kept[draw(st.integers(0, len(kept))) :]

    made = [whole, *(stretched() for _ in range(count - 1))]
    return tuple(draw(st.permutations(made)))


def scales(low: float = 1e-3, high: float = 1.0) -> st.SearchStrategy[float]:
    """Quantization scales: round powers of two, where ties lie, and any others."""
    powers = st.integers(int(np.ceil(np.log2(low))), int(np.floor(np.log2(high)))).map(lambda e: 2.0**e)
    return st.one_of(powers, st.floats(low, high).map(lambda scale: float(np.float32(scale))))


def zero_points(kind: TensorType) -> st.SearchStrategy[int]:
    """Zero points from the type's whole range, its ends and middle often; 0 for int16, as TFLite asks."""
    if kind is TensorType.INT16:
        return st.just(0)
    info = np.iinfo(kind.dtype)
    low, high = int(info.min), int(info.max)
    return st.one_of(st.sampled_from([low, high, (low + high + 1) // 2]), st.integers(low, high))


@st.composite
def specs(
    draw: st.DrawFn, /, shape: Sequence[int], kind: TensorType, *, low: float = 1e-3, high: float = 1.0
) -> TensorSpec:
    """A tensor; a scale in [low, high] and a zero point if its type is quantized."""
    if kind not in QUANTIZED:
        return tensor(shape, kind)
    return tensor(shape, kind, scale=draw(scales(low, high)), zero_point=draw(zero_points(kind)))


def values(
    rng: np.random.Generator,
    shape: Sequence[int],
    kind: TensorType,
    *,
    special: bool = False,
    zero_point: int = 0,
) -> Array:
    """Values of a type that hit edges.

    Floats are normal at several magnitudes, with zeros, halves and integers among them; ``special``
    adds infinities, NaN, denormals and negative zeros. Integers of 8 and 16 bits come from the whole
    range, with both ends and ``zero_point`` often; of 32 and 64 bits from a range that sums fit in, or
    with ``special`` from the whole.
    """
    size = tuple(shape)
    if kind is TensorType.BOOL:
        return rng.integers(0, 2, size).astype(np.bool_)
    if kind is TensorType.STRING:
        strings = np.empty(size, object)
        strings.reshape(-1)[:] = [rng.bytes(int(rng.integers(6))) for _ in range(strings.size)]
        return strings
    if kind.dtype.kind == "c":
        real, imaginary = (rng.standard_normal(size).astype(np.float32) for _ in range(2))
        return (real + 1j * imaginary).astype(kind.dtype)
    if kind.dtype.kind == "f":
        drawn = rng.standard_normal(size) * rng.choice([0.01, 1.0, 1.0, 8.0])
        edges = np.array([0.0, 0.5, -0.5, 1.0, -1.0, 1.5, 2.5, -2.5, 6.0, -3.0, 3.0])
        if special:
            edges = np.append(edges, [np.nan, np.inf, -np.inf, -0.0, 1e-40, -1e-40, 3.4e38])
        with np.errstate(over="ignore"):  # float16 has no 3.4e38: an infinity
            return np.where(rng.random(size) < 0.15, rng.choice(edges, size), drawn).astype(kind.dtype)
    info: Any = np.iinfo(kind.dtype)
    low, high = int(info.min), int(info.max)
    if kind is TensorType.INT4:
        low, high = -8, 7
    elif kind.bits > 16 and not special:
        low, high = max(low, -(1 << 20)), min(high, 1 << 20)
    drawn = rng.integers(low, high, size, kind.dtype, endpoint=True)
    ends = np.array([low, high, zero_point], kind.dtype)
    return np.where(rng.random(size) < 0.1, rng.choice(ends, size), drawn)


def spec_values(rng: np.random.Generator, spec: TensorSpec, *, special: bool = False) -> Array:
    """Values for a tensor that a strategy made."""
    zero_point = spec.zero_point if isinstance(spec.zero_point, int) else 0
    return values(rng, spec.shape, spec.type, special=special, zero_point=zero_point)


@st.composite
def with_inputs(
    draw: st.DrawFn, graph: Graph, *, special: bool | None = False, largest: float | None = None
) -> Case:
    """The case of a graph with drawn values for all its inputs; ``special=None`` draws that, too.

    ``largest`` limits finite floats where they are added in an order of the runtime's own: whether large
    ones overflow on the way would depend on it.
    """
    rng = np.random.default_rng(draw(SEEDS))
    odd = draw(st.booleans()) if special is None else special
    tensors = [graph.main.tensors[i] for i in graph.main.inputs]
    drawn = [_tensor_values(rng, t, odd) for t in tensors]
    if largest is not None:
        drawn = [np.where(np.isfinite(v), np.clip(v, -largest, largest), v).astype(v.dtype) for v in drawn]
    return Case(graph, tuple(drawn))


def _tensor_values(rng: np.random.Generator, tensor: Tensor, special: bool) -> Array:
    quantization: Quantization | None = tensor.quantization
    zero_point = quantization.zero_point if quantization is not None else 0
    return values(rng, tensor.shape, tensor.type, special=special, zero_point=zero_point)


# --- what moves elements and computes none ---------------------------------------------------------

_MOVED = {
    "float32": (TensorType.FLOAT32,),
    "quantized": QUANTIZED,
    "integer": (TensorType.INT32, TensorType.INT64, TensorType.UINT32),
    "other": (TensorType.BOOL, TensorType.FLOAT16, TensorType.COMPLEX64),
    "string": (TensorType.STRING,),
}

MOVED = ("float32", "quantized", "integer", "other")
"""Variants of operators that take all types alike."""


SCALAR_STRING = "its Python set_tensor writes the address of an array of rank 0, not the string in it"
"""Reason of a known fault."""


def moved(variant: str) -> st.SearchStrategy[TensorSpec]:
    """A tensor without sizes, of one of the types of a variant."""
    return st.sampled_from(_MOVED[variant]).flatmap(lambda kind: specs((), kind))


def units_of(spec: TensorSpec, shape: Sequence[int]) -> TensorSpec:
    """A tensor of the same type, scale and zero point."""
    return replace(spec, shape=tuple(shape))


def moved_shapes(min_rank: int = 0, max_rank: int = 5) -> st.SearchStrategy[Shape]:
    """Shapes of few elements, some of none, a few of many axes."""
    sizes = st.sampled_from([1, 2, 2, 3, 3, 4, 5, 0])
    usual = shapes(min_rank, max_rank, sizes)
    return st.one_of(usual, usual, shapes(min(6, max_rank), max_rank + 3, st.integers(1, 2)))


def makes(*kinds: TensorType) -> Callable[[Case], bool]:
    """For ``known_fault``: whether the operator's first output has one of these types."""

    def concerns(case: Case) -> bool:
        main = case.graph.main
        return main.tensors[main.outputs[0]].type in kinds

    return concerns


def is_empty(case: Case) -> bool:
    """For ``known_fault``: whether the operator's first input has no elements."""
    return case.graph.main.tensors[0].size == 0


def ranks(least: int, most: int = 99) -> Callable[[Case], bool]:
    """For ``known_fault``: whether the operator's first element input has so many axes."""

    def concerns(case: Case) -> bool:
        return least <= len(case.graph.main.tensors[0].shape) <= most

    return concerns


def axes(rank: int) -> st.SearchStrategy[int]:
    """An axis, counted from the front or from the back."""
    return st.integers(-rank, rank - 1)


@st.composite
def with_integers(
    draw: st.DrawFn,
    name: str,
    inputs: Sequence[Any],
    outputs: Sequence[TensorSpec],
    options: Any = None,
    *,
    version: int = 1,
    special: bool | None = None,
) -> Case:
    """A case whose inputs of axes, sizes or positions (arrays) are constants, or all given at run time."""
    computed = draw(st.sampled_from([False, False, True]))
    tensors = [
        value
        if isinstance(value, TensorSpec)
        else tensor(value.shape, constant(value).type)
        if computed
        else constant(value)
        for value in inputs
    ]
    case = draw(with_inputs(one_op(name, tensors, outputs, options, version=version), special=special))
    given = iter(case.inputs)
    values = [
        drawn if isinstance(value, TensorSpec) else value
        for value, drawn in (
            (v, next(given)) for v, spec in zip(inputs, tensors, strict=True) if spec.data is None
        )
    ]
    return Case(case.graph, tuple(values))
