"""Cases of LSTM operators; their states are given and compared, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minilite.graph import Activation, TensorType
from minilite.ops.lstm import (
    BACKWARD,
    FORWARD,
    LAYOUT,
    BidirectionalSequenceLSTMOptions,
    LSTMKernelType,
    LSTMOptions,
    UnidirectionalSequenceLSTMOptions,
)
from minilite.ops.lstm_layer import FORGET, layer_sizes
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import SEEDS, values
from minilite.testing.models import TensorSpec, constant, one_op, tensor, with_variables_outside

_SIZES = st.one_of(st.integers(1, 6), st.sampled_from([16, 17, 35]))
_ACTIVATIONS = st.sampled_from([Activation.TANH, Activation.TANH, Activation.RELU6, Activation.RELU_N1_TO_1])


class Maker:
    """Makes the tensors of an LSTM, so small that sums stay of the size of one."""

    def __init__(self, draw: st.DrawFn, kind: TensorType) -> None:
        self.draw, self.kind = draw, kind
        self.rng = np.random.default_rng(draw(SEEDS))

    def matrix(self, rows: int, columns: int) -> TensorSpec:
        """Weights that keep the size of what they are multiplied by."""
        return self._weights(self.rng.uniform(-1, 1, (rows, columns)) / columns**0.5)

    def diagonal(self, cells: int) -> TensorSpec:
        """Weights of a diagonal matrix."""
        return self._weights(self.rng.uniform(-1, 1, cells))

    def vector(self, cells: int, low: float = -1, high: float = 1) -> TensorSpec:
        """What is float in float operators and hybrid ones."""
        return constant(self.rng.uniform(low, high, cells).astype(np.float32))

    def _weights(self, real: Any) -> TensorSpec:
        if self.kind is TensorType.FLOAT32:
            return constant(real.astype(np.float32))
        scale = float(np.float32(np.abs(real).max() / 127))
        quantized = np.clip(np.round(real / scale), -127, 127).astype(np.int8)
        return constant(quantized.view(self.kind.dtype), self.kind, scale=scale)


def layer(
    make: Maker, inputs: int, cells: int, outputs: int, *, projected: bool, diagonal: bool = False
) -> tuple[list[TensorSpec | None], bool]:
    """The 17 tensors after the input, and whether sums may be normalized; CIFG and peephole are drawn."""
    draw = make.draw
    cifg, peephole = draw(st.booleans()), draw(st.booleans())
    gates = [None if cifg else True, True, True, True]
    tensors: list[TensorSpec | None] = [make.matrix(cells, inputs) if g else None for g in gates]
    for gate in gates:
        round_ = make.vector(cells) if diagonal and draw(st.booleans()) else make.matrix(cells, outputs)
        tensors.append(round_ if gate else None)
    tensors += [make.diagonal(cells) if peephole and g else None for g in (gates[0], True, True)]
    tensors += [make.vector(cells) if g else None for g in gates]
    tensors += [make.matrix(outputs, cells) if projected else None]
    tensors += [make.vector(outputs) if projected and draw(st.booleans()) else None]
    return tensors, cifg


def state(shape: tuple[int, ...]) -> TensorSpec:
    """A variable."""
    return tensor(shape, is_variable=True)


def with_states(
    make: Maker, name: str, tensors: Sequence[TensorSpec | None], outputs: int, options: Any
) -> Case:
    """The case of an operator whose variables are given and compared as well as its outputs."""
    graph = with_variables_outside(one_op(name, tensors, [tensor() for _ in range(outputs)], options))
    drawn = []
    for index in graph.main.inputs:
        given = graph.main.tensors[index]
        normal = make.rng.uniform(-1, 1, given.shape) * (1 if given.is_variable else 2)
        drawn.append(np.where(make.rng.random(given.shape) < 0.1, 0, normal).astype(np.float32))
    return Case(graph, tuple(drawn))


FLOAT_KINDS = {"float32": TensorType.FLOAT32, "hybrid": TensorType.INT8, "hybrid-uint8": TensorType.UINT8}


def _common(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "fused_activation_function": draw(_ACTIVATIONS),
        "cell_clip": draw(st.sampled_from([0.0, 0.5])),
        "proj_clip": draw(st.sampled_from([0.0, 0.25])),
        "asymmetric_quantize_inputs": draw(st.booleans()),
    }


@strategy("LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", variants=tuple(FLOAT_KINDS))
@st.composite
def one_direction(draw: st.DrawFn, name: str, variant: str) -> Case:
    """All options of a full LSTM; quantized weights mostly over one step, where tolerances are tight."""
    make = Maker(draw, FLOAT_KINDS[variant])
    sequence = name != "LSTM"
    time = draw(st.sampled_from([1, 1, 3] if variant != "float32" else [1, 2, 5])) if sequence else 1
    batch, inputs, cells = draw(st.integers(1, 3)), draw(_SIZES), draw(_SIZES)
    projected = draw(st.booleans())
    outputs = draw(_SIZES) if projected else cells
    diagonal = sequence and not projected and draw(st.booleans())
    tensors, cifg = layer(make, inputs, cells, outputs, projected=projected, diagonal=diagonal)
    time_major = draw(st.booleans())
    shape = ((time, batch) if time_major else (batch, time)) if sequence else (batch,)
    every: list[TensorSpec | None] = [tensor((*shape, inputs)), *tensors]
    every += [state((batch, outputs)), state((batch, cells))]
    # The deviation of a few sums may be next to nothing: what is divided by it is nothing but rounding.
    if cells > 4 and draw(st.booleans()):
        every += [None if cifg and i == 0 else make.vector(cells, 0.25, 1) for i in range(4)]
    elif draw(st.booleans()):
        every += [None] * 4
    if sequence:
        options: Any = UnidirectionalSequenceLSTMOptions(
            time_major=time_major, diagonal_recurrent_tensors=diagonal, **_common(draw)
        )
    else:
        options = LSTMOptions(**_common(draw))
    return with_states(make, name, every, 1, options)


@strategy("BIDIRECTIONAL_SEQUENCE_LSTM", variants=tuple(FLOAT_KINDS))
@st.composite
def two_directions(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Merged outputs or two, an auxiliary input with weights, or without for the backward LSTM."""
    make = Maker(draw, FLOAT_KINDS[variant])
    time = draw(st.sampled_from([1, 1, 3] if variant != "float32" else [1, 2, 5]))
    batch, inputs, cells = draw(st.integers(1, 3)), draw(_SIZES), draw(_SIZES)
    projected = draw(st.booleans())
    outputs = draw(_SIZES) if projected else cells
    forward, forward_cifg = layer(make, inputs, cells, outputs, projected=projected)
    backward, backward_cifg = layer(make, inputs, cells, outputs, projected=projected)
    time_major = draw(st.booleans())
    shape = (time, batch) if time_major else (batch, time)
    states = [state((batch, size)) for size in (outputs, cells, outputs, cells)]
    auxiliary: list[TensorSpec | None] = [None] * 9
    how = draw(st.sampled_from(["none", "weights", "backwards"]))
    if how == "weights":
        size = draw(_SIZES)
        weights = [
            None if cifg and i == 0 else make.matrix(cells, size)
            for cifg in (forward_cifg, backward_cifg)
            for i in range(4)
        ]
        auxiliary = [tensor((*shape, size)), *weights]
    elif how == "backwards":
        auxiliary[0] = tensor((*shape, inputs))
    merge = draw(st.booleans())
    options = BidirectionalSequenceLSTMOptions(merge_outputs=merge, time_major=time_major, **_common(draw))
    tensors = [tensor((*shape, inputs)), *forward, *backward, *states, *auxiliary]
    return with_states(make, name, tensors, 1 if merge else 2, options)


@strategy("LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", variants=("int8",))
@st.composite
def integer_lstm(draw: st.DrawFn, name: str, variant: str) -> Case:
    """int8 values, int16 cell state."""
    make = IntegerMaker(draw)
    sequence = name != "LSTM"
    time = draw(st.sampled_from([1, 2, 4])) if sequence else 1
    batch, inputs, cells = draw(st.integers(1, 3)), draw(_SIZES), draw(_SIZES)
    projected = draw(st.booleans())
    outputs = draw(_SIZES) if projected else cells
    time_major = draw(st.booleans())
    shape = ((time, batch) if time_major else (batch, time)) if sequence else (batch,)
    tensors, cifg = make.layer(inputs, cells, outputs, projected=projected)
    zero = st.integers(-128, 127)
    out = {"scale": draw(st.sampled_from([2.0**-7, 0.01])), "zero_point": draw(zero)}
    every: list[TensorSpec | None] = [
        tensor((*shape, inputs), TensorType.INT8, scale=0.02, zero_point=draw(zero)),
        *tensors,
        tensor((batch, outputs), TensorType.INT8, is_variable=True, **out),
        tensor((batch, cells), TensorType.INT16, is_variable=True, scale=2.0 ** draw(st.integers(-15, -9))),
    ]
    if draw(st.booleans()):
        every += [None if cifg and i == 0 else make.normalization(cells) for i in range(4)]
    between = [tensor((), TensorType.INT16, scale=2.0**-11) for _ in range(4)]
    hidden = out if not projected else {"scale": 2.0**-7, "zero_point": draw(zero)}
    common = _common(draw)
    if sequence:
        options: Any = UnidirectionalSequenceLSTMOptions(time_major=time_major, **common)
    else:
        options = LSTMOptions(**common)
    graph = one_op(
        name,
        every,
        [tensor((), TensorType.INT8, **out)],
        options,
        intermediates=[*between, tensor((), TensorType.INT8, **hidden)],
    )
    graph = with_variables_outside(graph)
    tensors_given = [graph.main.tensors[i] for i in graph.main.inputs]
    return Case(graph, tuple(values(make.rng, t.shape, t.type) for t in tensors_given))


class IntegerMaker(Maker):
    """Makes the tensors of an LSTM in integers."""

    def __init__(self, draw: st.DrawFn) -> None:
        super().__init__(draw, TensorType.INT8)

    def layer(
        self, inputs: int, cells: int, outputs: int, *, projected: bool
    ) -> tuple[list[TensorSpec | None], bool]:
        """The 17 tensors after the input, and whether there is no input gate."""
        cifg, peephole = self.draw(st.booleans()), self.draw(st.booleans())
        tensors, _ = layer(self, inputs, cells, outputs, projected=projected)
        tensors[0] = tensors[4] = tensors[8] = tensors[11] = None
        if not cifg:
            tensors[0], tensors[4] = self.matrix(cells, inputs), self.matrix(cells, outputs)
        for place in (8, 9, 10):
            tensors[place] = self._words(cells) if peephole and not (cifg and place == 8) else None
        for place in range(11 + cifg, 15):
            tensors[place] = constant(self.rng.integers(-5000, 5001, cells), TensorType.INT32)
        if tensors[16] is not None:
            tensors[16] = constant(self.rng.integers(-5000, 5001, outputs), TensorType.INT32)
        return tensors, cifg

    def normalization(self, cells: int) -> TensorSpec:
        """Weights of a layer normalization."""
        return self._words(cells)

    def _words(self, cells: int) -> TensorSpec:
        return constant(self.rng.integers(-32767, 32768, cells), TensorType.INT16, scale=2.0**-15)


@strategy("LSTM", variants=("basic-float32", "basic-uint8"))
@st.composite
def basic_lstm(draw: st.DrawFn, name: str, variant: str) -> Case:
    """The BASIC kernel, its states variables or inputs."""
    make = Maker(draw, TensorType.FLOAT32 if variant.endswith("float32") else TensorType.UINT8)
    batch, units, cells = draw(st.integers(1, 3)), draw(_SIZES), draw(_SIZES)
    options = LSTMOptions(kernel_type=LSTMKernelType.BASIC)
    variable = draw(st.booleans())
    if make.kind is TensorType.FLOAT32:
        tensors = [
            tensor((batch, units)),
            tensor((batch, cells), is_variable=variable),
            make.matrix(4 * cells, units + cells),
            make.vector(4 * cells),
            tensor((batch, cells), is_variable=variable),
        ]
        return with_states(make, name, tensors, 4, options)

    def levels(*shape: int, is_variable: bool = False) -> TensorSpec:
        return tensor(shape, TensorType.UINT8, scale=1 / 128, zero_point=128, is_variable=is_variable)

    def words(*shape: int, scale: float = 2.0**-11, is_variable: bool = False) -> TensorSpec:
        return tensor(shape, TensorType.INT16, scale=scale, is_variable=is_variable)

    zero, scale = draw(st.integers(0, 255)), draw(st.sampled_from([2.0**-8, 2.0**-7, 0.01]))
    size = (4 * cells, units + cells)
    tensors = [
        levels(batch, units),
        levels(batch, cells, is_variable=variable),
        constant(values(make.rng, size, TensorType.UINT8), TensorType.UINT8, scale=scale, zero_point=zero),
        constant(make.rng.integers(-9999, 9999, 4 * cells), TensorType.INT32, scale=scale / 128),
        words(batch, cells, is_variable=variable),
    ]
    outputs = [levels(), words(), levels(), words(scale=2.0**-12)]
    graph = with_variables_outside(one_op(name, tensors, outputs, options))
    given = [graph.main.tensors[i] for i in graph.main.inputs]
    return Case(graph, tuple(values(make.rng, t.shape, t.type) for t in given))


def _projects_to_more(case: Case) -> bool:
    (node,) = case.graph.main.nodes()
    layouts = (FORWARD, BACKWARD) if node.operator.name.startswith("BIDIRECTIONAL") else (LAYOUT,)
    sizes = [layer_sizes(node, layout) for layout in layouts]
    return any(s.outputs > s.cells for s in sizes)


def _declare_scratch_fault(name: str) -> None:
    known_fault(
        name,
        "float32",
        runtime="litert-ref",
        reason="a projection to more outputs than cells writes past its scratch buffer, made for the cells",
        when=_projects_to_more,
        crashes=True,
    )


_declare_scratch_fault("LSTM")
_declare_scratch_fault("UNIDIRECTIONAL_SEQUENCE_LSTM")
_declare_scratch_fault("BIDIRECTIONAL_SEQUENCE_LSTM")


def _peeps_through_a_projection(case: Case) -> bool:
    (node,) = case.graph.main.nodes()
    sizes = layer_sizes(node, LAYOUT)
    return node.optional_input(LAYOUT.peephole[FORGET]) is not None and sizes.outputs != sizes.cells


def _declare_peephole_fault(name: str) -> None:
    known_fault(
        name,
        "int8",
        runtime="litert-ref",
        reason="it applies as many peephole weights as there are outputs, not as there are cells",
        when=_peeps_through_a_projection,
        crashes=True,
    )


_declare_peephole_fault("LSTM")
_declare_peephole_fault("UNIDIRECTIONAL_SEQUENCE_LSTM")


def _merges_rows(case: Case) -> bool:
    (node,) = case.graph.main.nodes()
    return node.options.merge_outputs and not node.options.time_major and node.input(0).shape[0] > 1


known_fault(
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    *FLOAT_KINDS,
    runtime="litert-ref",
    reason="with merged outputs and batches first it takes the state of a batch from the place that its "
    "output has, past the state's end",
    when=_merges_rows,
    crashes=True,
)
