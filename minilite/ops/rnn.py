"""RNN, UNIDIRECTIONAL_SEQUENCE_RNN, BIDIRECTIONAL_SEQUENCE_RNN: layers that feed their output back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minilite.graph import Activation, Array, Node, Shape, TensorType
from minilite.ops.base import Tolerance, operator, refuse, rounding
from minilite.ops.checks import check_arity, check_quantized, check_rank
from minilite.ops.hybrid import check_float_activation
from minilite.ops.recurrent import (
    HYBRID_STEP,
    WEIGHT_BYTES,
    Recurrent,
    States,
    activate,
    check_kind,
    check_shape,
    check_state,
    given,
    has,
    product,
    time_first,
)

_F32 = TensorType.FLOAT32


@dataclass(frozen=True)
class RNNOptions:
    """Schema table ``RNNOptions``."""

    fused_activation_function: Activation = Activation.NONE
    asymmetric_quantize_inputs: bool = False


@dataclass(frozen=True)
class SequenceRNNOptions:
    """Schema table ``SequenceRNNOptions``."""

    time_major: bool = False
    fused_activation_function: Activation = Activation.NONE
    asymmetric_quantize_inputs: bool = False


@dataclass(frozen=True)
class BidirectionalSequenceRNNOptions:
    """Schema table ``BidirectionalSequenceRNNOptions``."""

    time_major: bool = False
    fused_activation_function: Activation = Activation.NONE
    merge_outputs: bool = False
    asymmetric_quantize_inputs: bool = False


@dataclass(frozen=True)
class Layout:
    """At which positions of an operator's inputs the tensors of one layer stand; -1: it has none."""

    weights: int = 1
    recurrent: int = 2
    bias: int = 3
    state: int = 4
    auxiliary_weights: int = -1


def check_layer(node: Node, layout: Layout, batch: int, inputs: int) -> int:
    """The layer's units; refuse tensors of other types or shapes than they ask for."""
    weights = node.input(layout.weights)
    check_rank(node, weights, 2, "units, inputs")
    units = weights.shape[0]
    check_kind(node, weights, _F32, *WEIGHT_BYTES)
    check_shape(node, weights, (units, inputs))
    check_shape(node, node.input(layout.recurrent), (units, units))
    for position in (layout.weights, layout.recurrent, layout.auxiliary_weights):
        if has(node, position):
            check_kind(node, node.input(position), weights.type)
            if weights.type in WEIGHT_BYTES:
                check_quantized(node, node.input(position), zero_scales=True)
    check_kind(node, node.input(layout.bias), _F32)
    check_shape(node, node.input(layout.bias), (units,))
    check_state(node, layout.state, _F32, batch * units)
    check_float_activation(node)
    for tensor in (node.input(0), *node.outputs):
        check_kind(node, tensor, _F32)
    return units


def run_layer(
    node: Node,
    layout: Layout,
    inputs: Sequence[Array | None],
    x: Array,
    auxiliary: Array | None = None,
    *,
    backwards: bool = False,
) -> tuple[Array, Array]:
    """Outputs [time, batch, units] and the state (``RnnBatchStep`` of ``internal/kernel_utils.cc``).

    ``x`` and ``auxiliary`` are [time, batch, units]; ``backwards`` begins with the last step.
    """
    time, batch = x.shape[:2]
    fed = given(inputs, layout.bias) + product(node, inputs, x.reshape(time * batch, -1), layout.weights)
    if auxiliary is not None:
        rows = auxiliary.reshape(time * batch, -1)
        fed = fed + product(node, inputs, rows, layout.auxiliary_weights)
    outputs = fed.reshape(time, batch, -1)
    state = given(inputs, layout.state).reshape(batch, -1)
    for step in range(time - 1, -1, -1) if backwards else range(time):
        state = activate(node, outputs[step] + product(node, inputs, state, layout.recurrent))
        outputs[step] = state
    return outputs, state


def layer_tolerance(node: Node, layout: Layout, steps: int) -> Tolerance:
    """For values of the size of one; with quantized weights see ``HYBRID_STEP``."""
    units, inputs = node.input(layout.weights).shape
    if steps > 1 and node.input(layout.weights).type in WEIGHT_BYTES:
        return rounding(steps * HYBRID_STEP)
    return rounding(steps * (units + inputs))


@operator("RNN")
class Rnn(Recurrent):
    """``activation(bias + weights @ input + recurrent weights @ state)``, which is the next state.

    TFLite's ``kernels/basic_rnn.cc``. Inputs: [batch, units of the input]; weights [units, units of the
    input]; recurrent weights [units, units]; bias [units]; state [batch, units], a variable. Output
    [batch, units]. Types: float32, and float32 with int8 or uint8 weights.
    """

    options = RNNOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (5, 5))
        check_rank(node, node.input(0), 2, "batch, units")
        batch, inputs = node.input(0).shape
        return ((batch, check_layer(node, Layout(), batch, inputs)),)

    def run(self, node: Node, inputs: Sequence[Array | None]) -> tuple[tuple[Array, ...], States]:
        outputs, state = run_layer(node, Layout(), inputs, given(inputs, 0)[np.newaxis])
        return (outputs[0],), {4: state}

    def multiply_adds(self, node: Node) -> int:
        return node.input(0).shape[0] * (node.input(1).size + node.input(2).size)

    def tolerance(self, node: Node) -> Tolerance:
        return layer_tolerance(node, Layout(), 1)


@operator("UNIDIRECTIONAL_SEQUENCE_RNN")
class UnidirectionalSequenceRNN(Recurrent):
    """RNN over a sequence [batch, time, units], or [time, batch, units] with ``time_major``.

    TFLite's ``kernels/unidirectional_sequence_rnn.cc``.
    """

    options = SequenceRNNOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (5, 5))
        x = node.input(0)
        check_rank(node, x, 3, "batch, time, units, or time, batch, units")
        units = check_layer(node, Layout(), x.shape[1 if node.options.time_major else 0], x.shape[2])
        return ((*x.shape[:2], units),)

    def run(self, node: Node, inputs: Sequence[Array | None]) -> tuple[tuple[Array, ...], States]:
        time_major = node.options.time_major
        outputs, state = run_layer(node, Layout(), inputs, time_first(given(inputs, 0), time_major))
        return (time_first(outputs, time_major),), {4: state}

    def multiply_adds(self, node: Node) -> int:
        time, batch, _ = node.input(0).shape
        return time * batch * (node.input(1).size + node.input(2).size)

    def tolerance(self, node: Node) -> Tolerance:
        return layer_tolerance(node, Layout(), node.input(0).shape[0 if node.options.time_major else 1])


FORWARD = Layout(auxiliary_weights=10)
BACKWARD = Layout(weights=5, recurrent=6, bias=7, state=8, auxiliary_weights=11)
_AUXILIARY = 9


@operator("BIDIRECTIONAL_SEQUENCE_RNN")
class BidirectionalSequenceRNN(Recurrent):
    """Two RNNs over a sequence, one from its end (TFLite's ``kernels/bidirectional_sequence_rnn.cc``).

    Inputs: sequence, as UNIDIRECTIONAL_SEQUENCE_RNN has it; weights, recurrent weights, bias and state of
    both; an optional auxiliary sequence, and weights for it of both. Without such weights the auxiliary
    sequence is what the backward RNN reads instead of the first. Outputs: both sequences, with
    ``merge_outputs`` one beside the other in one tensor.
    """

    options = BidirectionalSequenceRNNOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (12, 12), outputs=1 if node.options.merge_outputs else 2)
        x = node.input(0)
        check_rank(node, x, 3, "batch, time, units, or time, batch, units")
        batch = x.shape[1 if node.options.time_major else 0]
        self._check_auxiliary(node)
        backward_x = node.input(_AUXILIARY) if _reads_auxiliary_backwards(node) else x
        forward = check_layer(node, FORWARD, batch, x.shape[2])
        backward = check_layer(node, BACKWARD, batch, backward_x.shape[2])
        if node.options.merge_outputs:
            return ((*x.shape[:2], forward + backward),)
        return (*x.shape[:2], forward), (*x.shape[:2], backward)

    def _check_auxiliary(self, node: Node) -> None:
        weights = [has(node, layout.auxiliary_weights) for layout in (FORWARD, BACKWARD)]
        if any(weights) and not (all(weights) and has(node, _AUXILIARY)):
            refuse(node, "has some of what an auxiliary input needs only", rule="auxiliary")
        if not has(node, _AUXILIARY):
            return
        auxiliary, x = node.input(_AUXILIARY), node.input(0)
        check_kind(node, auxiliary, _F32)
        check_rank(node, auxiliary, 3, "as the first input")
        check_shape(node, auxiliary, (*x.shape[:2], auxiliary.shape[2]))
        for layout in (FORWARD, BACKWARD) if any(weights) else ():
            units = node.input(layout.weights).shape[0]
            check_shape(node, node.input(layout.auxiliary_weights), (units, auxiliary.shape[2]))

    def run(self, node: Node, inputs: Sequence[Array | None]) -> tuple[tuple[Array, ...], States]:
        time_major = node.options.time_major
        x = backward_x = time_first(given(inputs, 0), time_major)
        auxiliary = time_first(given(inputs, _AUXILIARY), time_major) if has(node, _AUXILIARY) else None
        if auxiliary is not None and _reads_auxiliary_backwards(node):
            backward_x, auxiliary = auxiliary, None
        forward, forward_state = run_layer(node, FORWARD, inputs, x, auxiliary)
        backward, backward_state = run_layer(node, BACKWARD, inputs, backward_x, auxiliary, backwards=True)
        outputs = (time_first(forward, time_major), time_first(backward, time_major))
        states = {FORWARD.state: forward_state, BACKWARD.state: backward_state}
        return (np.concatenate(outputs, axis=2),) if node.options.merge_outputs else outputs, states

    def multiply_adds(self, node: Node) -> int:
        time, batch, _ = node.input(0).shape
        weights = (node.optional_input(p) for p in (1, 2, 5, 6, 10, 11))
        return time * batch * sum(w.size for w in weights if w is not None)

    def tolerance(self, node: Node) -> Tolerance:
        steps = node.input(0).shape[0 if node.options.time_major else 1]
        return max((layer_tolerance(node, d, steps) for d in (FORWARD, BACKWARD)), key=lambda t: t.amount)


def _reads_auxiliary_backwards(node: Node) -> bool:
    return has(node, _AUXILIARY) and not has(node, FORWARD.auxiliary_weights)
