"""Cases of choosing by a condition."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minilite.graph import TensorType
from minilite.testing.cases import Case, strategy
from minilite.testing.draw import shapes, type_of, with_inputs
from minilite.testing.models import one_op, tensor
from minilite.testing.strategies.elementwise import changed, operand_shapes

_ANY = ("float32", "float16", "int8", "uint8", "int16", "int32", "uint32", "int64", "bool", "complex64")


@strategy("SELECT", variants=_ANY)
@st.composite
def selections(draw: st.DrawFn, name: str, variant: str) -> Case:
    """A condition for each element, for each slice of the first axis, or for all."""
    kind, shape = type_of(variant), draw(shapes(0, 5, st.integers(1, 4)))
    condition = draw(st.sampled_from([shape, (), shape[:1]]))
    inputs = [tensor(condition, TensorType.BOOL), tensor(shape, kind), tensor(shape, kind)]
    return draw(with_inputs(one_op(name, inputs, [tensor((), kind)]), special=None))


@strategy("SELECT_V2", variants=_ANY)
@st.composite
def broadcasting_selections(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Three tensors that broadcast."""
    kind = type_of(variant)
    condition, x, y = draw(operand_shapes(3))
    inputs = [tensor(condition, TensorType.BOOL), tensor(x, kind), tensor(y, kind)]
    return draw(with_inputs(one_op(name, inputs, [tensor((), kind)]), special=None))


@strategy("WHERE", variants=("bool", "float32", "int64", "int32", "uint32", "int8", "uint8"))
@st.composite
def indices(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Something or nothing that is not 0."""
    kind = type_of(variant)
    condition = tensor(draw(shapes(1, 5, st.integers(1, 4))), kind)
    case = draw(with_inputs(one_op(name, [condition], [tensor((), TensorType.INT64)]), special=None))
    kept = draw(st.sampled_from([0, 1, 1, 1]))
    # Not a product: infinity times zero is no number.
    return changed(case, 0, lambda values: values if kept else np.zeros_like(values))
