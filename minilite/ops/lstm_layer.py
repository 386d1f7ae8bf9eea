"""One LSTM: its tensors, what they have to be, and its step in float, which LSTM operators share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minilite.graph import Array, Node, TensorType
from minilite.ops.base import refuse
from minilite.ops.checks import check_quantized
from minilite.ops.recurrent import (
    WEIGHT_BYTES,
    activate,
    check_kind,
    check_shape,
    check_state,
    given,
    has,
    product,
)

INPUT, FORGET, CELL, OUTPUT = range(4)
"""The gates, in the order in which their tensors stand."""

_NONE = (-1, -1, -1, -1)


@dataclass(frozen=True)
class Layout:
    """At which positions of an operator's inputs the tensors of one LSTM stand; by gate where there are four.

    Attributes
    ----------
    peephole:
        Weights from the cell state to the gates; the cell gate has none (-1).
    norm:
        Layer normalization; -1 where the operator has no such inputs.
    auxiliary, auxiliary_weights:
        A second input and its weights.
    """

    weights: tuple[int, int, int, int]
    recurrent: tuple[int, int, int, int]
    peephole: tuple[int, int, int, int]
    bias: tuple[int, int, int, int]
    projection: int
    projection_bias: int
    output_state: int
    cell_state: int
    norm: tuple[int, int, int, int] = _NONE
    auxiliary: int = -1
    auxiliary_weights: tuple[int, int, int, int] = _NONE


@dataclass(frozen=True)
class Sizes:
    """Of one LSTM: units of the input, cells, and of the output, which differs with a projection only."""

    inputs: int
    cells: int
    outputs: int


def layer_sizes(node: Node, layout: Layout) -> Sizes:
    """From the weights of the output gate."""
    cells, inputs = node.input(layout.weights[OUTPUT]).shape
    return Sizes(inputs, cells, node.input(layout.recurrent[OUTPUT]).shape[-1])


def has_input_gate(node: Node, layout: Layout) -> bool:
    """Without one (CIFG) it is one less the forget gate."""
    return has(node, layout.weights[INPUT])


def gates_of(node: Node, layout: Layout) -> tuple[int, ...]:
    """The gates that are computed."""
    return (INPUT, FORGET, CELL, OUTPUT) if has_input_gate(node, layout) else (FORGET, CELL, OUTPUT)


def check_layer(node: Node, layout: Layout, batch: int, inputs: int, *, diagonal: bool = False) -> Sizes:
    """Refuse tensors that are missing, or of other types or shapes than the LSTM's sizes ask for.

    ``diagonal``: recurrent weights may be vectors, which stand for diagonal matrices.
    """
    integer = node.input(0).type is TensorType.INT8
    for position in (layout.weights[OUTPUT], layout.recurrent[OUTPUT]):
        if len(node.input(position).shape) != 2 and not (diagonal and position == layout.recurrent[OUTPUT]):
            refuse(node, "must be a matrix", rule="rank", tensor=node.input(position))
    sizes = layer_sizes(node, layout)
    _check_weights(node, layout, sizes, inputs, diagonal=diagonal)
    _check_vectors(node, layout, sizes, integer=integer)
    if not has(node, layout.projection) and sizes.outputs != sizes.cells:
        refuse(
            node,
            f"has {sizes.outputs} outputs, but {sizes.cells} cells: without a projection they are the same",
            rule="projection",
        )
    state, cell = (TensorType.INT8, TensorType.INT16) if integer else (TensorType.FLOAT32,) * 2
    check_state(node, layout.output_state, state, batch * sizes.outputs)
    check_state(node, layout.cell_state, cell, batch * sizes.cells)
    for clip in (node.options.cell_clip, node.options.proj_clip):
        if not clip >= 0:
            refuse(node, f"clips at {clip}, which must not be negative", rule="clip")
    return sizes


def _check_weights(node: Node, layout: Layout, sizes: Sizes, inputs: int, *, diagonal: bool) -> None:
    kind = node.input(layout.weights[OUTPUT]).type
    integer = node.input(0).type is TensorType.INT8
    allowed = (TensorType.INT8,) if integer else (TensorType.FLOAT32, *WEIGHT_BYTES)
    check_kind(node, node.input(layout.weights[OUTPUT]), *allowed)
    if has(node, layout.weights[INPUT]) != has(node, layout.recurrent[INPUT]):
        refuse(node, "has only half of the input gate's weights", rule="input-gate")
    for gate in gates_of(node, layout):
        w, r = node.input(layout.weights[gate]), node.input(layout.recurrent[gate])
        check_kind(node, w, kind)
        check_shape(node, w, (sizes.cells, inputs))
        if diagonal and len(r.shape) == 1:
            check_kind(node, r, TensorType.FLOAT32)
            check_shape(node, r, (sizes.cells,))
        else:
            check_kind(node, r, kind)
            check_shape(node, r, (sizes.cells, sizes.outputs))
        for tensor in (w, r):
            if tensor.type in WEIGHT_BYTES:
                check_quantized(node, tensor, zero_scales=True)
    if has(node, layout.projection):
        projection = node.input(layout.projection)
        check_kind(node, projection, kind)
        check_shape(node, projection, (sizes.outputs, sizes.cells))
        if kind in WEIGHT_BYTES:
            check_quantized(node, projection, zero_scales=True)
    elif has(node, layout.projection_bias):
        refuse(node, "has a projection's bias, but not its weights", rule="projection")


def _check_vectors(node: Node, layout: Layout, sizes: Sizes, *, integer: bool) -> None:
    """Biases, peephole and normalization weights: one for each cell, for all gates or for none."""
    kind = node.input(layout.weights[OUTPUT]).type
    bias = TensorType.INT32 if integer else TensorType.FLOAT32
    groups = (
        (layout.bias, bias, True),
        (layout.peephole, TensorType.INT16 if integer else kind, False),
        (layout.norm, TensorType.INT16 if integer else TensorType.FLOAT32, False),
    )
    gates = gates_of(node, layout)
    for positions, wanted, needed in groups:
        present = [has(node, positions[gate]) for gate in gates if positions[gate] >= 0]
        if not all(present) and (needed or any(present)):
            refuse(node, "has these weights for some gates only", rule="gates")
        for gate in gates if any(present) else ():
            if positions[gate] < 0:
                continue
            vector = node.input(positions[gate])
            check_kind(node, vector, wanted)
            check_shape(node, vector, (sizes.cells,))
            if wanted in (*WEIGHT_BYTES, TensorType.INT16):
                check_quantized(node, vector, zero_scales=True)
        if not has_input_gate(node, layout) and has(node, positions[INPUT]):
            refuse(node, "has weights of an input gate that it lacks", rule="input-gate")
    if has(node, layout.projection_bias):
        check_kind(node, node.input(layout.projection_bias), bias)
        check_shape(node, node.input(layout.projection_bias), (sizes.outputs,))


def is_normalized(node: Node, layout: Layout) -> bool:
    """Whether the sums of each gate are normalized over the cells."""
    return has(node, layout.norm[FORGET])


def run_float_layer(
    node: Node,
    layout: Layout,
    inputs: Sequence[Array | None],
    x: Array,
    auxiliary: Array | None = None,
    *,
    backwards: bool = False,
) -> tuple[Array, Array, Array]:
    """Outputs [time, batch, outputs] and both states, of weights in float or quantized ones.

    ``LstmStepFloat`` and ``LstmStepHybrid`` of TFLite's ``kernels/lstm_eval.cc``.

    Parameters
    ----------
    x, auxiliary:
        [time, batch, units].
    backwards:
        Begin with the last step.
    """
    time, batch = x.shape[:2]
    sizes = layer_sizes(node, layout)
    gates = gates_of(node, layout)
    # What does not depend on the state: one product for all steps.
    fed = {gate: _input_sums(node, layout, inputs, x, auxiliary, gate) for gate in gates}
    hidden = given(inputs, layout.output_state).reshape(batch, sizes.outputs)
    cell = given(inputs, layout.cell_state).reshape(batch, sizes.cells)
    outputs = np.empty((time, batch, sizes.outputs), x.dtype)

    def gate_of(gate: int, step: int, hidden: Array, cell: Array) -> Array:
        sums = fed[gate][step] + _recurrent_product(node, inputs, hidden, layout.recurrent[gate])
        peephole = layout.peephole[gate]
        if has(node, peephole):
            sums = sums + _vector(node, inputs, peephole, x.dtype) * cell
        if is_normalized(node, layout):
            sums = _normalize(sums) * given(inputs, layout.norm[gate]) + given(inputs, layout.bias[gate])
        return activate(node, sums) if gate == CELL else logistic(sums)

    for step in range(time - 1, -1, -1) if backwards else range(time):
        forget = gate_of(FORGET, step, hidden, cell)
        entering = gate_of(INPUT, step, hidden, cell) if INPUT in gates else 1 - forget
        cell = forget * cell + entering * gate_of(CELL, step, hidden, cell)
        if node.options.cell_clip > 0:
            cell = np.clip(cell, -node.options.cell_clip, node.options.cell_clip)
        hidden = gate_of(OUTPUT, step, hidden, cell) * activate(node, cell)
        if has(node, layout.projection):
            hidden = _project(node, layout, inputs, hidden)
        outputs[step] = hidden
    return outputs, hidden, cell


def _input_sums(
    node: Node, layout: Layout, inputs: Sequence[Array | None], x: Array, auxiliary: Array | None, gate: int
) -> Array:
    """Bias and products of the inputs, for all steps; the bias comes later where sums are normalized."""
    sums = np.zeros((1, layer_sizes(node, layout).cells), x.dtype)
    if not is_normalized(node, layout):
        sums = sums + given(inputs, layout.bias[gate])
    for values, position in ((x, layout.weights[gate]), (auxiliary, layout.auxiliary_weights[gate])):
        if values is not None:
            sums = sums + product(node, inputs, values.reshape(-1, values.shape[-1]), position)
    return sums.reshape(*x.shape[:2], -1)


def _recurrent_product(node: Node, inputs: Sequence[Array | None], hidden: Array, position: int) -> Array:
    weights = given(inputs, position)
    return weights * hidden if weights.ndim == 1 else product(node, inputs, hidden, position)


def _vector(node: Node, inputs: Sequence[Array | None], position: int, dtype: np.dtype[np.generic]) -> Array:
    """Peephole weights, in float."""
    weights, quantization = given(inputs, position), node.input(position).quantization
    if node.input(position).type not in WEIGHT_BYTES:
        return weights
    assert quantization is not None
    return (weights.view(np.int8) * quantization.scale).astype(dtype)


def _project(node: Node, layout: Layout, inputs: Sequence[Array | None], hidden: Array) -> Array:
    projected = product(node, inputs, hidden, layout.projection)
    if has(node, layout.projection_bias):
        projected = projected + given(inputs, layout.projection_bias)
    clip = node.options.proj_clip
    return np.clip(projected, -clip, clip) if clip > 0 else projected


def logistic(x: Array) -> Array:
    """``1 / (1 + exp(-x))``."""
    result: Array = 1 / (1 + np.exp(-x))
    return result


_VARIANCE_GUARD = 1e-8


def _normalize(sums: Array) -> Array:
    """Each row less its mean, divided by its deviation (``PortableMeanStddevNormalization``)."""
    centred = sums - sums.mean(axis=1, keepdims=True)
    variance = (centred * centred).mean(axis=1, keepdims=True)
    normal: Array = centred / np.sqrt(variance + sums.dtype.type(_VARIANCE_GUARD))
    return normal
