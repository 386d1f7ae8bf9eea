"""LSTMs computed in integers: the gates in 16 bits, with fixed-point logistic and tanh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minilite import fixed_point
from minilite.fixed_point import saturate_to_bits, truncated_quotient
from minilite.graph import Array, Node, Quantization, Tensor
from minilite.ops.base import refuse
from minilite.ops.checks import check_quantized
from minilite.ops.lstm_layer import CELL, FORGET, INPUT, OUTPUT, Layout, gates_of, is_normalized, layer_sizes
from minilite.ops.recurrent import given, has
from minilite.quantization import (
    Int64Array,
    integer_range,
    multiply_by_quantized_multiplier_double_rounding,
    multiply_by_quantized_multiplier_double_rounding_up,
    quantize_multiplier,
    rounding_divide_by_pot,
)

_GATE_INTEGER_BITS = 3
"""What a gate sums up has 3 integer bits of 16: a scale of 2**-12."""

_HIDDEN = 4
"""The intermediate tensor that quantizes the output before its projection; those before it are the gates'."""

Multiplier = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]


def check_integer_layer(node: Node, layout: Layout) -> None:
    """Refuse an LSTM of int8 without the quantization that its kernel needs."""
    tensors = intermediates(node)
    if len(tensors) != _HIDDEN + 1:
        refuse(
            node,
            f"of int8 has {len(tensors)} intermediate tensors, but must have {_HIDDEN + 1}: they say how "
            "gates and hidden state are quantized",
            rule="intermediates",
        )
    needed = [node.input(0), node.input(layout.output_state), node.input(layout.cell_state), node.output]
    needed += tensors if is_normalized(node, layout) else tensors[_HIDDEN:]
    for tensor in needed:
        check_quantized(node, tensor)
    cell = node.input(layout.cell_state)
    exponent = _cell_exponent(node, layout)
    if exponent is None or not -15 <= exponent <= -9:
        scale = _quantization(cell).scale
        refuse(node, f"has the scale {scale}, but must have 2**-15 to 2**-9", rule="cell-scale", tensor=cell)


def intermediates(node: Node) -> list[Tensor]:
    """Tensors that only say how the operator quantizes what it computes in between."""
    return [node.subgraph.tensors[index] for index in node.operator.intermediates]


def _cell_exponent(node: Node, layout: Layout) -> int | None:
    """The power of two that the cell state's scale is; None if it is not (``CheckedLog2``)."""
    log = np.log2(np.float64(_quantization(node.input(layout.cell_state)).scale))
    exponent = int(np.round(log))
    return exponent if abs(log - exponent) < 1e-3 else None


def _quantization(tensor: Tensor) -> Quantization:
    assert tensor.quantization is not None
    return tensor.quantization


@dataclass(frozen=True)
class _Gate:
    """One gate's integers: weights transposed, sums that do not depend on the values, and multipliers."""

    weights: Array
    recurrent: Array
    bias: Array
    recurrent_bias: Array
    multiplier: Multiplier
    recurrent_multiplier: Multiplier
    peephole: Array | None
    peephole_multiplier: Multiplier | None
    norm: _Norm | None


@dataclass(frozen=True)
class _Norm:
    """Layer normalization of a gate: weights, bias, and what a variance of nothing is taken for."""

    weights: Array
    bias: Array
    multiplier: Multiplier
    guard: int


def run_integer_layer(
    node: Node, layout: Layout, inputs: Sequence[Array | None], x: Array
) -> tuple[Array, Array, Array]:
    """Outputs int8 [time, batch, outputs], and both states.

    ``LstmStepInteger8x8_16`` of TFLite's ``kernels/lstm_eval.cc``, with the multipliers of
    ``PopulateQuantizedLstmParams8x8_16`` of ``lstm.cc``. ``x`` is int8 [time, batch, units].
    """
    time, batch = x.shape[:2]
    sizes = layer_sizes(node, layout)
    gates = {gate: _gate(node, layout, inputs, gate) for gate in gates_of(node, layout)}
    hidden = given(inputs, layout.output_state).reshape(batch, sizes.outputs).astype(np.int64)
    cell = given(inputs, layout.cell_state).reshape(batch, sizes.cells).astype(np.int64)
    exponent = _cell_exponent(node, layout)
    assert exponent is not None
    clip = _quantized_clip(node.options.cell_clip, node.input(layout.cell_state))
    outputs = np.empty((time, batch, sizes.outputs), np.int8)

    def sums_of(gate: int, step: int, hidden: Int64Array, cell: Int64Array) -> Int64Array:
        return _gate_sums(gates[gate], x[step].astype(np.int64), hidden, cell)

    for step in range(time):
        forget = _logistic(sums_of(FORGET, step, hidden, cell))
        entering = _logistic(sums_of(INPUT, step, hidden, cell)) if INPUT in gates else 32767 - forget
        update = fixed_point.tanh(sums_of(CELL, step, hidden, cell), _GATE_INTEGER_BITS, 16)
        kept = rounding_divide_by_pot(forget * cell, 15)
        cell = saturate_to_bits(kept + rounding_divide_by_pot(entering * update, 30 + exponent), 16)
        if clip:
            cell = np.clip(cell, -clip, clip)
        opening = _logistic(sums_of(OUTPUT, step, hidden, cell))
        active = fixed_point.tanh(cell, 15 + exponent, 16)
        hidden = _output(node, layout, inputs, opening * active)
        outputs[step] = hidden
    return outputs, hidden.astype(np.int8), cell.astype(np.int16)


def _gate(node: Node, layout: Layout, inputs: Sequence[Array | None], gate: int) -> _Gate:
    weights = given(inputs, layout.weights[gate]).T.astype(np.int64)
    recurrent = given(inputs, layout.recurrent[gate]).T.astype(np.int64)
    x, state = _quantization(node.input(0)), _quantization(node.input(layout.output_state))
    normalized = is_normalized(node, layout)
    scale = _quantization(intermediates(node)[gate]).scale if normalized else np.float32(2.0**-12)
    bias = given(inputs, layout.bias[gate])
    own = np.zeros_like(bias) if normalized else bias
    position = layout.peephole[gate]
    peephole = given(inputs, position).astype(np.int64) if has(node, position) else None
    exponent = _cell_exponent(node, layout)
    assert exponent is not None
    return _Gate(
        weights=weights,
        recurrent=recurrent,
        bias=own - x.zero_point * weights.sum(axis=0),
        recurrent_bias=-state.zero_point * recurrent.sum(axis=0),
        multiplier=_multiplier(_scale(node, layout.weights[gate]) * x.scale / scale),
        recurrent_multiplier=_multiplier(_scale(node, layout.recurrent[gate]) * state.scale / scale),
        peephole=peephole,
        # This one is multiplied in float64.
        peephole_multiplier=None
        if peephole is None
        else _multiplier(np.float32(2.0**exponent * np.float64(_scale(node, position)) / np.float64(scale))),
        norm=_norm(node, layout, inputs, gate) if normalized else None,
    )


def _norm(node: Node, layout: Layout, inputs: Sequence[Array | None], gate: int) -> _Norm:
    scale = _scale(node, layout.norm[gate])
    return _Norm(
        weights=given(inputs, layout.norm[gate]).astype(np.int64),
        bias=given(inputs, layout.bias[gate]).astype(np.int64),
        multiplier=_multiplier(scale),
        guard=max(1, int(np.float32(10000) * scale)),
    )


def _scale(node: Node, position: int) -> np.float32:
    return _quantization(node.input(position)).scale


def _multiplier(scale: np.float32) -> Multiplier:
    return quantize_multiplier(np.float64(scale))


def _quantized_clip(clip: float, tensor: Tensor) -> int:
    """A clip in a tensor's units, cut off as C does; 0: none."""
    scaled = np.float32(clip) / _quantization(tensor).scale
    return int(np.clip(scaled, *integer_range(tensor.dtype)))


_scaled = multiply_by_quantized_multiplier_double_rounding


def _gate_sums(gate: _Gate, x: Array, hidden: Int64Array, cell: Int64Array) -> Int64Array:
    """What goes into a gate's activation, in 16 bits with 3 integer bits: saturated after each addition."""
    sums = saturate_to_bits(_scaled(x @ gate.weights + gate.bias, *gate.multiplier), 16)
    recurrent = _scaled(hidden @ gate.recurrent + gate.recurrent_bias, *gate.recurrent_multiplier)
    sums = saturate_to_bits(sums + recurrent, 16)
    if gate.peephole is not None and gate.peephole_multiplier is not None:
        sums = saturate_to_bits(sums + _scaled_by_vectors(gate.peephole * cell, gate.peephole_multiplier), 16)
    return sums if gate.norm is None else _normalize(sums, gate.norm)


_VECTOR = 16
"""So many cells the peephole kernel takes at once, and rounds as vector instructions do."""


def _scaled_by_vectors(products: Int64Array, multiplier: Multiplier) -> Int64Array:
    """``NeonVectorBatchVectorCwiseProductAccumulate``, which on x86 the reference kernels use, too."""
    whole = products.shape[1] // _VECTOR * _VECTOR
    vectors = multiply_by_quantized_multiplier_double_rounding_up(products[:, :whole], *multiplier)
    rest = _scaled(products[:, whole:], *multiplier)
    return np.concatenate([vectors, rest], axis=1)


def _normalize(sums: Int64Array, norm: _Norm) -> Int64Array:
    """Layer normalization with 10 more fractional bits (``PortableApplyLayerNorm``)."""
    cells = sums.shape[1]
    mean = truncated_quotient(sums.sum(axis=1, keepdims=True) * 1024, cells)
    squares = (sums * sums).sum(axis=1, keepdims=True)
    variance = truncated_quotient(squares * ((1 << 20) // cells) - mean * mean, 1 << 20)
    inverse = fixed_point.inverse_sqrt(np.where(variance < 1, norm.guard, variance))
    normal = _scaled(1024 * sums - mean, *inverse)
    weighted = (normal * norm.weights + norm.bias).astype(np.int32).astype(np.int64)
    rounded = truncated_quotient(weighted + np.where(weighted > 0, 512, -512), 1024)
    multiplier, shift = norm.multiplier
    return saturate_to_bits(_scaled(rounded, multiplier, shift + 12), 16)


def _logistic(sums: Int64Array) -> Int64Array:
    return fixed_point.logistic(sums, _GATE_INTEGER_BITS, 16)


def _output(node: Node, layout: Layout, inputs: Sequence[Array | None], products: Int64Array) -> Int64Array:
    """The new output state, of products of the output gate and the active cell state (2**-30)."""
    hidden = _quantization(intermediates(node)[_HIDDEN])
    multiplier = _multiplier(np.float32(2.0**-15 / np.float64(hidden.scale) * 2.0**-15))
    scaled = _scaled(products, *multiplier)
    if not has(node, layout.projection):
        return saturate_to_bits(scaled + hidden.zero_point, 8)
    # The kernel takes the zero point with the other sign, on both sides of the product.
    values = saturate_to_bits(scaled - hidden.zero_point, 8)
    weights = given(inputs, layout.projection).T.astype(np.int64)
    sums = values @ weights + hidden.zero_point * weights.sum(axis=0)
    if has(node, layout.projection_bias):
        sums = sums + given(inputs, layout.projection_bias)
    state = _quantization(node.input(layout.output_state))
    real = _scale(node, layout.projection) * hidden.scale / state.scale
    projected = saturate_to_bits(_scaled(sums, *_multiplier(real)) + state.zero_point, 8)
    clip = _quantized_clip(node.options.proj_clip, node.output)
    return np.clip(projected, -clip, clip) if clip else projected
