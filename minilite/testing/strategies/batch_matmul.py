"""Cases of BATCH_MATMUL."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minilite.graph import TensorType
from minilite.ops.batch_matmul import BatchMatMulOptions
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import SEEDS, broadcast_shapes, scales, specs, values, with_inputs
from minilite.testing.models import TensorSpec, constant, one_op, tensor

_SIZES = st.one_of(st.integers(1, 6), st.sampled_from([16, 17, 33]))


def _matrix(draw: st.DrawFn, spec: TensorSpec, *, known: bool) -> TensorSpec:
    """The same tensor, or a constant of that type."""
    if not known:
        return spec
    data = values(np.random.default_rng(draw(SEEDS)), spec.shape, spec.type)
    return constant(
        data,
        spec.type,
        scale=spec.scale,
        zero_point=spec.zero_point,
        quantized_dimension=spec.quantized_dimension,
    )


@st.composite
def _shapes(draw: st.DrawFn, options: BatchMatMulOptions) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two stacks of matrices, of rank 5 at most, as TFLite takes them."""
    x_batch, y_batch = draw(broadcast_shapes(2, max_rank=3))
    rows, depth, columns = draw(_SIZES), draw(_SIZES), draw(_SIZES)
    x = (depth, rows) if options.adj_x else (rows, depth)
    y = (columns, depth) if options.adj_y else (depth, columns)
    return (*x_batch, *x), (*y_batch, *y)


_OPTIONS = st.builds(
    BatchMatMulOptions, adj_x=st.booleans(), adj_y=st.booleans(), asymmetric_quantize_inputs=st.booleans()
)


@strategy("BATCH_MATMUL", variants=("float32",))
@st.composite
def float_products(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Either operand a constant at times."""
    options = draw(_OPTIONS)
    x, y = draw(_shapes(options))
    known_y = draw(st.booleans())
    known_x = not known_y and draw(st.booleans())
    specs = [_matrix(draw, tensor(x), known=known_x), _matrix(draw, tensor(y), known=known_y)]
    return draw(with_inputs(one_op(name, specs, [tensor()], options), special=None, largest=1e18))


@strategy("BATCH_MATMUL", variants=("int8", "int8-int32", "int16", "int16-int8"))
@st.composite
def integer_products(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Integers on both sides."""
    options = draw(_OPTIONS)
    x_shape, y_shape = draw(_shapes(options))
    left, _, right = variant.partition("-")
    x_kind = TensorType[left.upper()]
    y_kind = TensorType.INT8 if right else x_kind
    x = draw(specs(x_shape, x_kind))
    y = draw(specs(y_shape, y_kind))
    if x_kind is TensorType.INT16:
        y = tensor(y_shape, y_kind, scale=y.scale)
    if right == "int32":
        out = tensor((), TensorType.INT32)
    else:
        depth = x_shape[-2 if options.adj_x else -1]
        spread = {"int8": 60.0, "int16": 10000.0, "int16-int8": 40.0}[variant]
        assert isinstance(x.scale, float)
        assert isinstance(y.scale, float)
        scale = float(np.float32(x.scale * y.scale * spread * depth**0.5))
        zero = draw(st.integers(-128, 127)) if variant == "int8" else 0
        out = tensor((), x_kind, scale=scale, zero_point=zero)
    return draw(with_inputs(one_op(name, [x, _matrix(draw, y, known=draw(st.booleans()))], [out], options)))


@strategy("BATCH_MATMUL", variants=("hybrid",))
@st.composite
def hybrid_products(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Float matrices by int8 ones."""
    options = draw(_OPTIONS)
    x, y = draw(_shapes(options))
    axis = len(y) - (2 if options.adj_y else 1)
    scale: Any = draw(scales())
    per_channel = draw(st.booleans()) and y[axis] > 1
    if per_channel:
        scale = np.resize([scale, draw(scales())], y[axis]).tolist()
    weights = tensor(
        y,
        TensorType.INT8,
        scale=scale,
        zero_point=[0] * y[axis] if per_channel else 0,
        quantized_dimension=axis if per_channel else 0,
    )
    inputs = [tensor(x), _matrix(draw, weights, known=draw(st.booleans()))]
    return draw(with_inputs(one_op(name, inputs, [tensor()], options)))


def _has_two_batch_axes(case: Case) -> bool:
    shapes = (case.graph.main.tensors[i].shape[:-2] for i in (0, 1))
    return any(sum(size > 1 for size in batch) > 1 for batch in shapes)


known_fault(
    "BATCH_MATMUL",
    "hybrid",
    runtime="litert-ref",
    reason="with two or more batch axes it takes the scales and offsets of other matrices: it steps by one "
    "matrix along each axis",
    when=_has_two_batch_axes,
)


def _has_stack_of_rank_5(case: Case) -> bool:
    shape = case.graph.main.tensors[1].shape
    return len(shape) == 5 and shape[0] > 1


known_fault(
    "BATCH_MATMUL",
    "hybrid",
    runtime="litert-ref",
    reason="of an int8 operand of rank 5 it sums the rows of the first stack only, for zero points",
    when=_has_stack_of_rank_5,
)
