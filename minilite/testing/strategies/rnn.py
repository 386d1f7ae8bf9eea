"""Cases of RNN operators and SVDF; their states are given and compared, too."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from minilite.graph import Activation, Array, TensorType
from minilite.ops.rnn import BidirectionalSequenceRNNOptions, RNNOptions, SequenceRNNOptions
from minilite.ops.svdf import SVDFOptions
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import values
from minilite.testing.models import TensorSpec, constant, one_op, tensor, with_variables_outside
from minilite.testing.strategies.lstm import FLOAT_KINDS, Maker, state, with_states

_SIZES = st.one_of(st.integers(1, 6), st.sampled_from([16, 17]))
_ACTIVATIONS = st.sampled_from([Activation.TANH, Activation.RELU, Activation.RELU6, Activation.RELU_N1_TO_1])


def _layer(make: Maker, batch: int, inputs: int, units: int) -> list[TensorSpec | None]:
    recurrent = make.matrix(units, units)
    return [make.matrix(units, inputs), recurrent, make.vector(units), state((batch, units))]


@strategy("RNN", "UNIDIRECTIONAL_SEQUENCE_RNN", variants=tuple(FLOAT_KINDS))
@st.composite
def one_direction(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Quantized weights mostly over one step, where tolerances are tight."""
    make = Maker(draw, FLOAT_KINDS[variant])
    batch, inputs, units = draw(st.integers(1, 3)), draw(_SIZES), draw(_SIZES)
    common: dict[str, Any] = {
        "fused_activation_function": draw(_ACTIVATIONS),
        "asymmetric_quantize_inputs": draw(st.booleans()),
    }
    layer = _layer(make, batch, inputs, units)
    if name == "RNN":
        return with_states(make, name, [tensor((batch, inputs)), *layer], 1, RNNOptions(**common))
    time, time_major = draw(st.sampled_from([1, 1, 3])), draw(st.booleans())
    shape = (time, batch) if time_major else (batch, time)
    options = SequenceRNNOptions(time_major=time_major, **common)
    return with_states(make, name, [tensor((*shape, inputs)), *layer], 1, options)


@strategy("BIDIRECTIONAL_SEQUENCE_RNN", variants=tuple(FLOAT_KINDS))
@st.composite
def two_directions(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Merged outputs or two, an auxiliary input with weights, or without for the backward layer."""
    make = Maker(draw, FLOAT_KINDS[variant])
    time, batch, inputs = draw(st.sampled_from([1, 1, 3])), draw(st.integers(1, 3)), draw(_SIZES)
    forward, backward = draw(_SIZES), draw(_SIZES)
    time_major, merge = draw(st.booleans()), draw(st.booleans())
    shape = (time, batch) if time_major else (batch, time)
    auxiliary: list[TensorSpec | None] = [None] * 3
    how = draw(st.sampled_from(["none", "weights", "backwards"]))
    if how == "weights":
        size = draw(st.sampled_from([inputs, draw(_SIZES)]))
        auxiliary = [tensor((*shape, size)), make.matrix(forward, size), make.matrix(backward, size)]
    elif how == "backwards":
        auxiliary[0] = tensor((*shape, inputs))
    layers = [*_layer(make, batch, inputs, forward), *_layer(make, batch, inputs, backward)]
    options = BidirectionalSequenceRNNOptions(
        time_major=time_major,
        fused_activation_function=draw(_ACTIVATIONS),
        merge_outputs=merge,
        asymmetric_quantize_inputs=draw(st.booleans()),
    )
    tensors = [tensor((*shape, inputs)), *layers, *auxiliary]
    return with_states(make, name, tensors, 1 if merge else 2, options)


def _auxiliary_size(case: Case) -> int:
    (node,) = case.graph.main.nodes()
    auxiliary = node.optional_input(9)
    return -1 if auxiliary is None else auxiliary.shape[2]


def _reads_another_auxiliary(case: Case) -> bool:
    (node,) = case.graph.main.nodes()
    size = _auxiliary_size(case)
    weighted = node.optional_input(10) is not None
    if weighted:
        hybrid = node.input(1).type is not TensorType.FLOAT32
        return size != node.input(0).shape[2] and (hybrid or node.options.time_major)
    return size >= 0 and not node.options.time_major


known_fault(
    "BIDIRECTIONAL_SEQUENCE_RNN",
    *FLOAT_KINDS,
    runtime="litert-ref",
    reason="it steps through an auxiliary input by the size of the first one; and with batches first and no "
    "auxiliary weights the backward layer reads the first input, too",
    when=_reads_another_auxiliary,
    crashes=True,
)


def _repeats_the_sequence(case: Case) -> bool:
    (node,) = case.graph.main.nodes()
    return node.options.time_major and node.input(0).shape[0] > 1


known_fault(
    "BIDIRECTIONAL_SEQUENCE_RNN",
    "hybrid",
    "hybrid-uint8",
    runtime="litert-ref",
    reason="with time first it runs through the whole sequence once for each of its steps",
    when=_repeats_the_sequence,
)


def _has_no_zero_points(case: Case) -> bool:
    (node,) = case.graph.main.nodes()
    options = node.options
    return options.merge_outputs and options.time_major and not options.asymmetric_quantize_inputs


known_fault(
    "BIDIRECTIONAL_SEQUENCE_RNN",
    "hybrid",
    "hybrid-uint8",
    runtime="litert-ref",
    reason="with merged outputs it reads zero points of the second batch, of which there are none",
    when=_has_no_zero_points,
    crashes=True,
)


@strategy("SVDF", variants=tuple(FLOAT_KINDS))
@st.composite
def filters(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Any rank, bias or none."""
    make = Maker(draw, FLOAT_KINDS[variant])
    batch, inputs, units = draw(st.integers(1, 3)), draw(_SIZES), draw(_SIZES)
    rank, memory = draw(st.integers(1, 3)), draw(_SIZES)
    tensors = [
        tensor((batch, inputs)),
        make.matrix(units * rank, inputs),
        make.matrix(units * rank, memory),
        make.vector(units) if draw(st.booleans()) else None,
        state((batch, units * rank * memory)),
    ]
    options = SVDFOptions(rank, draw(_ACTIVATIONS), draw(st.booleans()))
    return with_states(make, name, tensors, 1, options)


@strategy("SVDF", variants=("int8",))
@st.composite
def integer_filters(draw: st.DrawFn, name: str, variant: str) -> Case:
    """int8 values, int16 time weights and state."""
    make = Maker(draw, TensorType.INT8)
    batch, inputs, units = draw(st.integers(1, 3)), draw(_SIZES), draw(_SIZES)
    rank, memory = draw(st.integers(1, 3)), draw(_SIZES)
    times = constant(make.rng.integers(-3000, 3001, (units * rank, memory)), TensorType.INT16, scale=2.0**-12)
    bias = constant(make.rng.integers(-100000, 100001, units), TensorType.INT32)
    state_scale = draw(st.sampled_from([2.0**-9, 0.003]))
    held = tensor((batch, units * rank * memory), TensorType.INT16, scale=state_scale, is_variable=True)
    tensors = [
        tensor((batch, inputs), TensorType.INT8, scale=0.03, zero_point=draw(st.integers(-128, 127))),
        make.matrix(units * rank, inputs),
        times,
        bias if draw(st.booleans()) else None,
        held,
    ]
    scale = draw(st.sampled_from([2.0**-5, 2.0**-7, 0.02]))
    output = tensor((), TensorType.INT8, scale=scale, zero_point=draw(st.integers(-128, 127)))
    graph = with_variables_outside(one_op(name, tensors, [output], SVDFOptions(rank, Activation.RELU)))
    given: list[Array] = []
    for index in graph.main.inputs:
        given.append(values(make.rng, graph.main.tensors[index].shape, graph.main.tensors[index].type))
    return Case(graph, tuple(given))
