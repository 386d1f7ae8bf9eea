"""LSTM, UNIDIRECTIONAL_SEQUENCE_LSTM, BIDIRECTIONAL_SEQUENCE_LSTM."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minilite.graph import Activation, Array, Node, Shape, TensorType
from minilite.ops.base import EXACT, Tolerance, operator, refuse, rounding
from minilite.ops.checks import check_arity, check_rank
from minilite.ops.hybrid import check_float_activation
from minilite.ops.lstm_basic import basic_output_shapes, run_basic
from minilite.ops.lstm_layer import (
    FORGET,
    OUTPUT,
    Layout,
    check_layer,
    gates_of,
    is_normalized,
    layer_sizes,
    run_float_layer,
)
from minilite.ops.lstm_quantized import check_integer_layer, run_integer_layer
from minilite.ops.recurrent import (
    HYBRID_STEP,
    WEIGHT_BYTES,
    Recurrent,
    States,
    check_kind,
    check_shape,
    given,
    has,
    time_first,
)

F32, I8 = TensorType.FLOAT32, TensorType.INT8

LAYOUT = Layout(
    weights=(1, 2, 3, 4),
    recurrent=(5, 6, 7, 8),
    peephole=(9, 10, -1, 11),
    bias=(12, 13, 14, 15),
    projection=16,
    projection_bias=17,
    output_state=18,
    cell_state=19,
    norm=(20, 21, 22, 23),
)


class LSTMKernelType(enum.IntEnum):
    """Which tensors an LSTM has (schema ``LSTMKernelType``)."""

    FULL = 0
    BASIC = 1


@dataclass(frozen=True)
class LSTMOptions:
    """Schema table ``LSTMOptions``."""

    fused_activation_function: Activation = Activation.NONE
    cell_clip: float = 0.0
    proj_clip: float = 0.0
    kernel_type: LSTMKernelType = LSTMKernelType.FULL
    asymmetric_quantize_inputs: bool = False


@dataclass(frozen=True)
class UnidirectionalSequenceLSTMOptions:
    """Schema table ``UnidirectionalSequenceLSTMOptions``."""

    fused_activation_function: Activation = Activation.NONE
    cell_clip: float = 0.0
    proj_clip: float = 0.0
    time_major: bool = False
    asymmetric_quantize_inputs: bool = False
    diagonal_recurrent_tensors: bool = False


@dataclass(frozen=True)
class BidirectionalSequenceLSTMOptions:
    """Schema table ``BidirectionalSequenceLSTMOptions``."""

    fused_activation_function: Activation = Activation.NONE
    cell_clip: float = 0.0
    proj_clip: float = 0.0
    merge_outputs: bool = False
    time_major: bool = True
    asymmetric_quantize_inputs: bool = False


def lstm_tolerance(node: Node, layout: Layout, steps: int) -> Tolerance:
    """Gates and states are of the size of one, whatever is summed, so that errors are of the size of eps."""
    if node.input(0).type is I8:
        return EXACT
    sizes = layer_sizes(node, layout)
    # Normalized sums are divided by their deviation, which may be well below one.
    length = steps * (sizes.inputs + sizes.cells + sizes.outputs) * (8 if is_normalized(node, layout) else 1)
    hybrid = node.input(layout.weights[FORGET]).type in WEIGHT_BYTES
    if hybrid and (steps > 1 or has(node, layout.projection)):
        return rounding(steps * HYBRID_STEP)
    return rounding(length)


def lstm_multiply_adds(node: Node, layout: Layout, rows: int) -> int:
    """Of all gates and the projection."""
    sizes = layer_sizes(node, layout)
    gates = len(gates_of(node, layout)) * sizes.cells * (sizes.inputs + sizes.outputs)
    projection = sizes.outputs * sizes.cells if has(node, layout.projection) else 0
    return rows * (gates + projection)


@operator("UNIDIRECTIONAL_SEQUENCE_LSTM")
class UnidirectionalSequenceLSTM(Recurrent):
    """An LSTM over a sequence (TFLite's ``kernels/unidirectional_sequence_lstm.cc``, ``lstm_eval.cc``).

    Inputs: sequence [batch, time, units], or [time, batch, units] with ``time_major``; then for the gates
    input, forget, cell and output: weights [cells, units], recurrent weights [cells, outputs], peephole
    weights [cells] (not of the cell gate), biases [cells]; projection [outputs, cells] and its bias
    [outputs]; the output state [batch, outputs] and the cell state [batch, cells], both variables; layer
    normalization weights [cells] of the gates, which an old file leaves out (20 inputs). Optional are all
    of the input gate (CIFG), of the peephole weights, of the projection and of the normalization. Recurrent
    weights of rank 1 are diagonal matrices. Output: the sequence of outputs.

    Types: float32; float32 with int8 or uint8 matrices and peephole weights ("hybrid"); int8 with int16
    cell state, peephole and normalization weights and int32 biases (``lstm_quantized``).
    """

    options = UnidirectionalSequenceLSTMOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_lstm_arity(node)
        x = node.input(0)
        check_rank(node, x, 3, "batch, time, units, or time, batch, units")
        check_types_of_values(node)
        batch = x.shape[1 if node.options.time_major else 0]
        sizes = check_layer(node, LAYOUT, batch, x.shape[2], diagonal=x.type is F32)
        if x.type is I8:
            check_integer_layer(node, LAYOUT)
        return ((*x.shape[:2], sizes.outputs),)

    def run(self, node: Node, inputs: Sequence[Array | None]) -> tuple[tuple[Array, ...], States]:
        x = time_first(given(inputs, 0), node.options.time_major)
        outputs, hidden, cell = _run_layer(node, inputs, x)
        states = {LAYOUT.output_state: hidden, LAYOUT.cell_state: cell}
        return (time_first(outputs, node.options.time_major),), states

    def multiply_adds(self, node: Node) -> int:
        time, batch, _ = node.input(0).shape
        return lstm_multiply_adds(node, LAYOUT, time * batch)

    def tolerance(self, node: Node) -> Tolerance:
        return lstm_tolerance(node, LAYOUT, node.input(0).shape[0 if node.options.time_major else 1])


def _run_layer(node: Node, inputs: Sequence[Array | None], x: Array) -> tuple[Array, Array, Array]:
    run = run_integer_layer if node.input(0).type is I8 else run_float_layer
    return run(node, LAYOUT, inputs, x)


def check_lstm_arity(node: Node) -> None:
    """Refuse another number of inputs than 24, or 20 in files of before layer normalization."""
    check_arity(node, (20, 24))
    if len(node.inputs) not in (20, 24):
        refuse(node, f"takes 20 or 24 inputs, the file gives it {len(node.inputs)}", rule="input-count")


def check_types_of_values(node: Node) -> None:
    """Refuse inputs and outputs that are neither all float32 nor all int8."""
    check_kind(node, node.input(0), F32, I8)
    for output in node.outputs:
        check_kind(node, output, node.input(0).type)
    check_float_activation(node)


@operator("LSTM")
class Lstm(Recurrent):
    """One step of an LSTM (TFLite's ``kernels/lstm.cc``, ``lstm_eval.cc``).

    With the kernel type FULL: as UNIDIRECTIONAL_SEQUENCE_LSTM, on an input [batch, units] and without
    diagonal weights; output [batch, outputs]. With BASIC (``lstm_basic``): input [batch, units], previous
    activation [batch, cells], weights [4 * cells, units + cells] of the gates input, cell, forget and
    output, bias [4 * cells], previous state [batch, cells]; outputs activation, state and two workspaces,
    which hold the weights' factors and products. Of float32, or of uint8 with a state of int16.
    """

    options = LSTMOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        if is_basic(node):
            return basic_output_shapes(node)
        check_lstm_arity(node)
        x = node.input(0)
        check_rank(node, x, 2, "batch, units")
        check_types_of_values(node)
        sizes = check_layer(node, LAYOUT, *x.shape)
        if x.type is I8:
            check_integer_layer(node, LAYOUT)
        return ((x.shape[0], sizes.outputs),)

    def run(self, node: Node, inputs: Sequence[Array | None]) -> tuple[tuple[Array, ...], States]:
        if is_basic(node):
            return run_basic(node, inputs)
        outputs, hidden, cell = _run_layer(node, inputs, given(inputs, 0)[np.newaxis])
        return (outputs[0],), {LAYOUT.output_state: hidden, LAYOUT.cell_state: cell}

    def multiply_adds(self, node: Node) -> int:
        if is_basic(node):
            return node.outputs[2].shape[0] * node.input(2).size
        return lstm_multiply_adds(node, LAYOUT, node.input(0).shape[0])

    def tolerance(self, node: Node) -> Tolerance:
        if is_basic(node):
            return rounding(node.input(2).shape[1]) if node.input(0).type is F32 else EXACT
        return lstm_tolerance(node, LAYOUT, 1)


def is_basic(node: Node) -> bool:
    """Whether an LSTM has the five inputs of the BASIC kernel."""
    return node.options.kernel_type is LSTMKernelType.BASIC


def _direction(first: int, states: int, auxiliary: int) -> Layout:
    def four(start: int) -> tuple[int, int, int, int]:
        return (start, start + 1, start + 2, start + 3)

    return Layout(
        weights=four(first),
        recurrent=four(first + 4),
        peephole=(first + 8, first + 9, -1, first + 10),
        bias=four(first + 11),
        projection=first + 15,
        projection_bias=first + 16,
        output_state=states,
        cell_state=states + 1,
        auxiliary=39,
        auxiliary_weights=four(auxiliary),
    )


FORWARD, BACKWARD = _direction(1, 35, 40), _direction(18, 37, 44)


@operator("BIDIRECTIONAL_SEQUENCE_LSTM")
class BidirectionalSequenceLSTM(Recurrent):
    """Two LSTMs over a sequence, one from its end (TFLite's ``kernels/bidirectional_sequence_lstm.cc``).

    Inputs: sequence [time, batch, units], or [batch, time, units] without ``time_major``; the forward and
    the backward LSTM's tensors, as UNIDIRECTIONAL_SEQUENCE_LSTM has them up to the projection's bias; the
    states of both; an optional auxiliary sequence, and four weights for it of each direction. If there are
    no such weights the auxiliary sequence is what the backward LSTM reads instead of the first.
    Outputs: the sequences of both, with ``merge_outputs`` one beside the other in one tensor.

    Types: float32, and float32 with int8 or uint8 weights.
    """

    options = BidirectionalSequenceLSTMOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        merged = node.options.merge_outputs
        check_arity(node, (48, 48), outputs=1 if merged else 2)
        x = node.input(0)
        check_rank(node, x, 3, "time, batch, units, or batch, time, units")
        check_kind(node, x, F32)
        check_types_of_values(node)
        batch = x.shape[1 if node.options.time_major else 0]
        self._check_auxiliary(node)
        forward = check_layer(node, FORWARD, batch, x.shape[2]).outputs
        backward_input = node.input(39) if _reads_auxiliary_backwards(node) else x
        backward = check_layer(node, BACKWARD, batch, backward_input.shape[2]).outputs
        if merged:
            return ((*x.shape[:2], forward + backward),)
        return (*x.shape[:2], forward), (*x.shape[:2], backward)

    def _check_auxiliary(self, node: Node) -> None:
        weights = [has(node, p) for d in (FORWARD, BACKWARD) for p in d.auxiliary_weights[FORGET:]]
        if any(weights) and not (all(weights) and has(node, 39)):
            refuse(node, "has some of what an auxiliary input needs only", rule="auxiliary")
        if not has(node, 39):
            return
        auxiliary, x = node.input(39), node.input(0)
        check_kind(node, auxiliary, F32)
        check_rank(node, auxiliary, 3, "as the first input")
        check_shape(node, auxiliary, (*x.shape[:2], auxiliary.shape[2]))
        if not any(weights):
            return
        for layout in (FORWARD, BACKWARD):
            cells = node.input(layout.weights[OUTPUT]).shape[0]
            for gate in gates_of(node, layout):
                tensor = node.input(layout.auxiliary_weights[gate])
                check_kind(node, tensor, node.input(layout.weights[gate]).type)
                check_shape(node, tensor, (cells, auxiliary.shape[2]))

    def run(self, node: Node, inputs: Sequence[Array | None]) -> tuple[tuple[Array, ...], States]:
        time_major = node.options.time_major
        x = time_first(given(inputs, 0), time_major)
        auxiliary = time_first(given(inputs, 39), time_major) if has(node, 39) else None
        backward_x = x
        if _reads_auxiliary_backwards(node):
            assert auxiliary is not None
            backward_x, auxiliary = auxiliary, None
        forward = run_float_layer(node, FORWARD, inputs, x, auxiliary)
        backward = run_float_layer(node, BACKWARD, inputs, backward_x, auxiliary, backwards=True)
        states: dict[int, Array] = {}
        for layout, (_, hidden, cell) in ((FORWARD, forward), (BACKWARD, backward)):
            states |= {layout.output_state: hidden, layout.cell_state: cell}
        outputs = [time_first(sequence, time_major) for sequence, _, _ in (forward, backward)]
        return (np.concatenate(outputs, axis=2),) if node.options.merge_outputs else tuple(outputs), states

    def multiply_adds(self, node: Node) -> int:
        time, batch, _ = node.input(0).shape
        return sum(lstm_multiply_adds(node, layout, time * batch) for layout in (FORWARD, BACKWARD))

    def tolerance(self, node: Node) -> Tolerance:
        steps = node.input(0).shape[0 if node.options.time_major else 1]
        return max((lstm_tolerance(node, d, steps) for d in (FORWARD, BACKWARD)), key=lambda t: t.amount)


def _reads_auxiliary_backwards(node: Node) -> bool:
    return has(node, 39) and not has(node, FORWARD.auxiliary_weights[FORGET])
