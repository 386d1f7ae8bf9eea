"""The BASIC kernel of LSTM: one matrix for all gates, and states that are outputs as well."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minilite import fixed_point
from minilite.graph import Array, Node, Quantization, Shape, TensorType
from minilite.ops.base import refuse
from minilite.ops.checks import check_arity, check_quantized, check_rank, check_types
from minilite.ops.lstm_layer import logistic
from minilite.ops.recurrent import States, check_shape, given
from minilite.quantization import (
    Int64Array,
    multiply_by_quantized_multiplier_double_rounding_up,
    quantize_multiplier,
    rounding_divide_by_pot,
)

_F32, _U8, _I16, _I32 = TensorType.FLOAT32, TensorType.UINT8, TensorType.INT16, TensorType.INT32

INPUT, ACTIVATION, WEIGHTS, BIAS, STATE = range(5)

_TYPES = (
    (_F32,) * 9,
    (_U8, _U8, _U8, _I32, _I16, _U8, _I16, _U8, _I16),
)

_STATE_INTEGER_BITS = 4
"""The kernel's only format of a state in 16 bits: a scale of 2**-11."""


def basic_output_shapes(node: Node) -> tuple[Shape, ...]:
    """Check the five inputs, and give the shapes of activation, state, and two workspaces."""
    check_arity(node, (5, 5), outputs=4)
    check_types(node, _TYPES)
    for position, axes in ((INPUT, "batch, units"), (ACTIVATION, "batch, cells"), (WEIGHTS, "gates, units")):
        check_rank(node, node.input(position), 2, axes)
    batch, units = node.input(INPUT).shape
    cells = node.input(ACTIVATION).shape[1]
    check_shape(node, node.input(ACTIVATION), (batch, cells))
    check_shape(node, node.input(STATE), (batch, cells))
    check_shape(node, node.input(WEIGHTS), (4 * cells, units + cells))
    check_shape(node, node.input(BIAS), (4 * cells,))
    if node.input(INPUT).type is _U8:
        _check_scales(node)
    return (batch, cells), (batch, cells), (batch, units + cells), (batch, 4 * cells)


def _check_scales(node: Node) -> None:
    for tensor in (node.input(WEIGHTS), node.input(BIAS), node.outputs[1]):
        check_quantized(node, tensor)
    scale = _quantization(node, -1).scale
    if abs(np.log2(np.float64(scale)) + 15 - _STATE_INTEGER_BITS) >= 1e-3:
        refuse(
            node, f"has the scale {scale}, but must have 2**-11", rule="cell-scale", tensor=node.outputs[1]
        )


def _quantization(node: Node, position: int) -> Quantization:
    """Of an input, or of the state that is an output (-1)."""
    tensor = node.outputs[1] if position < 0 else node.input(position)
    assert tensor.quantization is not None
    return tensor.quantization


def run_basic(node: Node, inputs: Sequence[Array | None]) -> tuple[tuple[Array, ...], States]:
    """The four outputs; the first two are the next step's state (``LstmCell`` of ``optimized_ops.h``)."""
    joined = np.concatenate([given(inputs, INPUT), given(inputs, ACTIVATION)], axis=1)
    run = _integer_cell if node.input(INPUT).type is _U8 else _float_cell
    activation, state, sums = run(node, inputs, joined)
    outputs = (activation, state, joined, sums)
    states = {ACTIVATION: activation, STATE: state}
    return outputs, {p: value for p, value in states.items() if node.input(p).is_variable}


def _float_cell(node: Node, inputs: Sequence[Array | None], joined: Array) -> tuple[Array, Array, Array]:
    sums = joined @ given(inputs, WEIGHTS).T + given(inputs, BIAS)
    entering, update, forget, opening = np.split(sums, 4, axis=1)
    state = logistic(entering) * np.tanh(update) + logistic(forget) * given(inputs, STATE)
    return logistic(opening) * np.tanh(state), state, sums


def _integer_cell(node: Node, inputs: Sequence[Array | None], joined: Array) -> tuple[Array, Array, Array]:
    """uint8 around 128 in steps of a 128th; sums with 3 integer bits of 16, the state with 4."""
    weights = given(inputs, WEIGHTS).astype(np.float64) - _quantization(node, WEIGHTS).zero_point
    sums = ((joined.astype(np.float64) - 128) @ weights.T).astype(np.int64) + given(inputs, BIAS)
    multiplier = quantize_multiplier(4096 * np.float64(_quantization(node, BIAS).scale))
    scaled = multiply_by_quantized_multiplier_double_rounding_up(sums, *multiplier)
    scaled = fixed_point.saturate_to_bits(scaled, 16)
    entering, update, forget, opening = np.split(scaled, 4, axis=1)
    product = fixed_point.multiply(_logistic(entering), _tanh(update), 16)
    kept = fixed_point.multiply(_logistic(forget), given(inputs, STATE), 16)
    new = fixed_point.multiply_by_pot(product, -_STATE_INTEGER_BITS, 16)
    state = fixed_point.saturate_to_bits(new + kept, 16)
    active = _tanh(fixed_point.multiply_by_pot(state, _STATE_INTEGER_BITS - 3, 16))
    activation = rounding_divide_by_pot(fixed_point.multiply(_logistic(opening), active, 16), 8)
    levels = 128 + np.clip(activation, -128, 127)
    return levels.astype(np.uint8), state.astype(np.int16), scaled.astype(np.int16)


def _logistic(sums: Int64Array) -> Int64Array:
    return fixed_point.logistic(sums, 3, 16)


def _tanh(sums: Int64Array) -> Int64Array:
    return fixed_point.tanh(sums, 3, 16)
