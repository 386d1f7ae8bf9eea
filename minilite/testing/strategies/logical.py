"""Cases of truth values and bits."""

from __future__ import annotations

from hypothesis import strategies as st

from minilite.testing.cases import Case, strategy
from minilite.testing.draw import shapes, type_of, with_inputs
from minilite.testing.models import one_op, tensor
from minilite.testing.strategies.elementwise import changed, operand_shapes

_INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32")


@strategy("LOGICAL_AND", "LOGICAL_OR", variants=("bool",))
@strategy("BITWISE_XOR", "RIGHT_SHIFT", variants=_INTEGERS)
@st.composite
def bits(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Two tensors that broadcast; shifts of all sizes, often of those that a type has bits."""
    kind = type_of(variant)
    a, b = draw(operand_shapes())
    graph = one_op(name, [tensor(a, kind), tensor(b, kind)], [tensor((), kind)])
    case = draw(with_inputs(graph, special=True))
    if name == "RIGHT_SHIFT" and draw(st.booleans()):
        case = changed(case, 1, lambda shift: shift % 40)
    return case


@strategy("LOGICAL_NOT", variants=("bool",))
@st.composite
def negations(draw: st.DrawFn, name: str, variant: str) -> Case:
    """One tensor."""
    kind = type_of(variant)
    graph = one_op(name, [tensor(draw(shapes(0, 5)), kind)], [tensor((), kind)])
    return draw(with_inputs(graph))
