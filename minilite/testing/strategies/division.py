"""Cases of division."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minilite.fixed_point import reciprocal
from minilite.graph import Array, TensorType
from minilite.ops.division import quotient_scaling
from minilite.quantization import leading_sign_bits
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import type_of, with_inputs
from minilite.testing.strategies.elementwise import binary_graph, changed


@strategy("DIV", variants=("float32", "int32", "int16", "uint8", "int8"))
@strategy("FLOOR_DIV", "FLOOR_MOD", variants=("float32", "int32", "int16_plain", "int8_plain"))
@strategy("FLOOR_MOD", variants=("int64",))
@st.composite
def quotients(draw: st.DrawFn, name: str, variant: str) -> Case:
    """No divisor is 0, but for floats that may be divided by it."""
    kind = type_of(variant.removesuffix("_plain"))
    graph = binary_graph(draw, name, variant)
    case = draw(with_inputs(graph, special=None))
    if kind is TensorType.FLOAT32 and name != "FLOOR_DIV":
        return case
    quantization = graph.main.tensors[1].quantization
    zero = 0 if quantization is None else quantization.zero_point

    def without_zeros(divisors: Array) -> Array:
        divisors[divisors == zero] = zero + 1 if zero < 100 else zero - 1
        return divisors

    return changed(case, 1, without_zeros)


def _shifts_too_far(case: Case) -> bool:
    """Whether the scaled quotient of any two values would be shifted left, or right by a register's width."""
    (node,) = case.graph.main.nodes()
    dividends, divisors = (
        values.astype(np.int64) - tensor.quantization.zero_point
        for values, tensor in zip(case.inputs, node.inputs, strict=True)
        if tensor is not None and tensor.quantization is not None
    )
    _, shift = quotient_scaling(node)
    _, inverse_shift = reciprocal(np.abs(divisors))
    headroom = leading_sign_bits(np.where(divisors < 0, -dividends, dividends))
    total = shift - inverse_shift - headroom
    return bool(np.any((total > 0) | (total < -31)))


known_fault(
    "DIV",
    "int16",
    "uint8",
    "int8",
    runtime="litert-ref",
    reason="shifts by a negative number, or by more bits than a register has, where the quotient is out of "
    "the output's range or next to 0: 0 divided by anything is 1",
    when=_shifts_too_far,
)
