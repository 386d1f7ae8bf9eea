"""Cases of arithmetic on two tensors."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from minilite import ops
from minilite.quantization import FUSED_ACTIVATIONS
from minilite.testing.cases import Case, strategy
from minilite.testing.draw import broadcast_shapes, specs, type_of, with_inputs
from minilite.testing.models import one_op


@strategy("ADD", "SUB", "MUL", variants=("float32", "uint8", "int8", "int32", "int64"))
@st.composite
def arithmetic(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Two tensors that broadcast, and a fused activation."""
    kind = type_of(variant)
    a, b = draw(broadcast_shapes(2))
    op = ops.find(name)
    assert op is not None
    assert op.options is not None
    options: Any = op.options(fused_activation_function=draw(st.sampled_from(sorted(FUSED_ACTIVATIONS))))
    inputs = [draw(specs(a, kind)), draw(specs(b, kind))]
    graph = one_op(name, inputs, [draw(specs((), kind, low=1e-2))], options, version=2)
    return draw(with_inputs(graph, special=None if variant == "float32" else False))
