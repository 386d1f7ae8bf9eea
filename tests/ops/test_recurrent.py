"""Operators with state: literals, runs in a row, refusals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minilite.errors import PrepareError
from minilite.executor import create_executor
from minilite.graph import Activation, Array, Graph, TensorType
from minilite.ops.lstm import LSTMKernelType, LSTMOptions, UnidirectionalSequenceLSTMOptions
from minilite.ops.rnn import RNNOptions, SequenceRNNOptions
from minilite.ops.svdf import SVDFOptions
from minilite.prepare import prepare
from minilite.testing import cases
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from minilite.testing.parity import compare_outputs
from minilite.writer import write_graph

I16 = TensorType.INT16


def state(*shape: int, **attributes: Any) -> TensorSpec:
    return tensor(shape, is_variable=True, **attributes)


def runs(graph: Graph, inputs: Sequence[Array], backend: str = "numpy") -> list[list[Array]]:
    """The outputs of a run for each value of the only input; the state lasts from run to run."""
    executor = create_executor(prepare(graph), backend=backend, threads=1)
    outputs = []
    for value in inputs:
        executor.view(graph.main.inputs[0])[...] = value
        executor.run()
        outputs.append([executor.view(index).copy() for index in graph.main.outputs])
    executor.close()
    return outputs


# --- literals --------------------------------------------------------------------------------------


def rnn(activation: Activation = Activation.NONE, **options: Any) -> Graph:
    """Two units: the input doubled, and half of the first unit's last value."""
    tensors = [
        tensor((1, 1)),
        constant(np.array([[2], [0]], np.float32)),
        constant(np.array([[0, 0], [0.5, 0]], np.float32)),
        constant(np.array([1, 0], np.float32)),
        state(1, 2),
    ]
    return one_op("RNN", tensors, [tensor()], RNNOptions(activation, **options))


@pytest.mark.parametrize("backend", ["numpy", "auto"])
def test_rnn_feeds_its_output_back(backend: str) -> None:
    found = runs(rnn(), [np.full((1, 1), v, np.float32) for v in (3, 4)], backend)
    np.testing.assert_array_equal(found[0][0], [[7, 0]])
    np.testing.assert_array_equal(found[1][0], [[9, 3.5]])
    ((clamped,),) = runs(rnn(Activation.RELU6), [np.full((1, 1), 3, np.float32)])
    np.testing.assert_array_equal(clamped, [[6, 0]])


def test_a_sequence_is_as_many_single_steps() -> None:
    graph = rnn()
    main = graph.main
    single = runs(graph, [np.full((1, 1), v, np.float32) for v in (3, 4)])
    x, *rest = (TensorSpec(t.shape, t.type, data=t.data, is_variable=t.is_variable) for t in main.tensors[:5])
    for time_major in (False, True):
        sequence = replace(x, shape=(2, 1, 1) if time_major else (1, 2, 1))
        options = SequenceRNNOptions(time_major=time_major)
        graph = one_op("UNIDIRECTIONAL_SEQUENCE_RNN", [sequence, *rest], [tensor()], options)
        ((found,),) = runs(graph, [np.array([3, 4], np.float32).reshape(sequence.shape)])
        np.testing.assert_array_equal(found.reshape(2, 2), [single[0][0][0], single[1][0][0]])


def test_svdf_remembers_its_inputs() -> None:
    # One unit of rank 2 over two steps: 10 * (x[t-1] + 2 x[t]) + 3 x[t], and a bias.
    tensors = [
        tensor((1, 1)),
        constant(np.array([[10], [1]], np.float32)),
        constant(np.array([[1, 2], [0, 3]], np.float32)),
        constant(np.array([0.5], np.float32)),
        state(1, 4),
    ]
    graph = one_op("SVDF", tensors, [tensor()], SVDFOptions(rank=2))
    found = runs(graph, [np.full((1, 1), v, np.float32) for v in (1, 2, 0)])
    assert [y.item() for (y,) in found] == [23.5, 56.5, 20.5]


def lstm_tensors(cells: int = 1, **inputs: Any) -> list[TensorSpec | None]:
    """One input; gates that are wide open unless ``inputs`` say otherwise (by position)."""
    zero, one = np.zeros((cells, 1), np.float32), np.ones((cells, 1), np.float32)
    square = np.zeros((cells, cells), np.float32)
    open_, none = np.full(cells, 100, np.float32), np.zeros(cells, np.float32)
    arrays: list[Array | None] = [zero, zero, one, zero, *[square] * 4, None, None, None]
    arrays += [open_, open_, none, open_, None, None]
    tensors: list[TensorSpec | None] = [tensor((1, 1))]
    tensors += [None if a is None else constant(a) for a in arrays]
    tensors += [state(1, cells), state(1, cells)]
    for position, spec in inputs.items():
        tensors[int(position[1:])] = spec
    return tensors


def lstm(tensors: Sequence[TensorSpec | None], **options: Any) -> Graph:
    return one_op("LSTM", tensors, [tensor()], LSTMOptions(**options))


def steps(graph: Graph, *values: float) -> list[float]:
    found = runs(graph, [np.full((1, 1), v, np.float32) for v in values])
    return [float(y.ravel()[0]) for (y, *_) in found]


def test_lstm_with_open_gates_adds_its_inputs_up() -> None:
    assert steps(lstm(lstm_tensors()), 1, 2, 3) == [1, 3, 6]
    assert steps(lstm(lstm_tensors(), cell_clip=4), 1, 2, 3, 1) == [1, 3, 4, 4]
    tanh = steps(lstm(lstm_tensors(), fused_activation_function=Activation.TANH), 1)
    assert tanh == [pytest.approx(np.tanh(np.tanh(1)), rel=1e-6)]


def test_lstm_gates() -> None:
    shut = constant(np.array([-100], np.float32))
    assert steps(lstm(lstm_tensors(p13=shut)), 1, 2) == [1, 2]  # forgets
    assert steps(lstm(lstm_tensors(p12=shut)), 1, 2) == [0, 0]  # takes nothing in
    assert steps(lstm(lstm_tensors(p15=shut)), 1, 2) == [0, 0]  # gives nothing out
    # Without an input gate it takes in what it forgets: half and half.
    half = constant(np.zeros(1, np.float32))
    assert steps(lstm(lstm_tensors(p1=None, p5=None, p12=None, p13=half)), 8, 0) == [4, 2]


def test_lstm_peephole() -> None:
    # The output gate sees the new cell state: shut while it is below 100 / 100.
    tensors = lstm_tensors(
        p9=constant(np.zeros(1, np.float32)),
        p10=constant(np.zeros(1, np.float32)),
        p11=constant(np.array([100], np.float32)),
        p15=constant(np.array([-200], np.float32)),
    )
    assert steps(lstm(tensors), 1, 2) == [pytest.approx(0, abs=1e-30), pytest.approx(3)]


def test_lstm_projection() -> None:
    tensors = lstm_tensors(p16=constant(np.array([[2]], np.float32)), p17=constant(np.array([1], np.float32)))
    assert steps(lstm(tensors), 1, 2) == [3, 7]
    assert steps(lstm(tensors, proj_clip=5), 1, 2) == [3, 5]


def test_lstm_normalization() -> None:
    # Sums 3 and 1 of the cell gate have the mean 2 and the deviation 1.
    weights = constant(np.array([[3], [1]], np.float32))
    ones = constant(np.ones(2, np.float32))
    tensors = [*lstm_tensors(2, p3=weights), *[ones] * 4]
    graph = lstm(tensors)
    ((y,),) = runs(graph, [np.ones((1, 1), np.float32)])
    np.testing.assert_allclose(y, [[1, -1]], rtol=1e-5)


def test_diagonal_recurrent_weights() -> None:
    matrix = np.diag([1, 2]).astype(np.float32)
    options = UnidirectionalSequenceLSTMOptions(diagonal_recurrent_tensors=True)
    outputs = []
    for recurrent in (constant(matrix), constant(np.array([1, 2], np.float32))):
        sequence = [tensor((1, 3, 1)), *lstm_tensors(2, p7=recurrent)[1:]]
        graph = one_op("UNIDIRECTIONAL_SEQUENCE_LSTM", sequence, [tensor()], options)
        outputs.append(runs(graph, [np.array([1, 0, 0], np.float32).reshape(1, 3, 1)])[0][0])
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], [[[1, 1], [2, 3], [4, 9]]])


def test_basic_lstm_of_bytes(litert: Any) -> None:
    # Sums of 0 leave all gates half open and take nothing in: half of the state is kept, 2 ** 10.
    tensors = [
        tensor((1, 1), TensorType.UINT8, scale=1 / 128, zero_point=128),
        tensor((1, 1), TensorType.UINT8, scale=1 / 128, zero_point=128),
        constant(np.full((4, 2), 7), TensorType.UINT8, scale=1.0, zero_point=7),
        constant(np.zeros(4), TensorType.INT32, scale=1 / 128),
        tensor((1, 1), I16, scale=2.0**-11),
    ]
    u8 = tensor((), TensorType.UINT8, scale=1 / 128, zero_point=128)
    i16 = tensor((), I16, scale=2.0**-11)
    graph = one_op("LSTM", tensors, [u8, i16, u8, i16], LSTMOptions(kernel_type=LSTMKernelType.BASIC))
    executor = create_executor(prepare(graph), backend="numpy")
    for index, value in zip(graph.main.inputs, (128, 128, 2048), strict=True):
        executor.view(index)[...] = value
    executor.run()
    activation, kept, joined, sums = (executor.view(i) for i in graph.main.outputs)
    # tanh(0.5) / 2 = 0.231, of 128 steps
    assert (activation.item(), kept.item(), sums.tolist()) == (128 + 30, 1024, [[0, 0, 0, 0]])
    np.testing.assert_array_equal(joined, [[128, 128]])


# --- runs in a row ---------------------------------------------------------------------------------

STATEFUL = [
    (name, variant)
    for name in cases.operators()
    for variant in cases.variants(name)
    if name in ("LSTM", "SVDF") or "SEQUENCE" in name or name == "RNN"
]


@pytest.mark.parametrize(("name", "variant"), STATEFUL, ids=[f"{n}-{v}" for n, v in STATEFUL])
@settings(max_examples=5)
@given(data=st.data())
def test_three_runs_in_a_row(litert_or_none: Any, name: str, variant: str, data: st.DataObject) -> None:
    """The state that a run leaves is what LiteRT's leaves, and what the next begins with."""
    case = data.draw(cases.cases(name, variant))
    prepared = prepare(case.graph)
    variables = {t.index for t in prepared.main.tensors if t.is_variable}
    fault = cases.fault_of(case, name, variant, "litert-ref")
    if litert_or_none is None or fault is not None:
        return
    interpreter = litert_or_none.Interpreter(
        model_content=write_graph(prepared),
        experimental_op_resolver_type=litert_or_none.OpResolverType.BUILTIN_REF,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    executor = create_executor(prepared, threads=1)
    for run in range(3):
        for index, value in zip(prepared.main.inputs, case.inputs, strict=True):
            if run == 0 or index not in variables:
                executor.view(index)[...] = value
                interpreter.set_tensor(index, value)
        before = [executor.view(index).copy() for index in prepared.main.inputs]
        executor.run()
        interpreter.invoke()
        ours = [executor.view(index).copy() for index in prepared.main.outputs]
        theirs = [interpreter.get_tensor(index) for index in prepared.main.outputs]
        for found in compare_outputs(prepared, before, ours, theirs):
            # Errors of one run are what the next begins with.
            assert found.agrees or found.error <= (run + 1) * 2 * found.bound, (run, found.fault)
    executor.close()


# --- refusals --------------------------------------------------------------------------------------


def with_input(graph: Graph, position: int, **changes: Any) -> Graph:
    tensors = list(graph.main.tensors)
    index = graph.main.operators[0].inputs[position]
    tensors[index] = replace(tensors[index], **changes)
    return replace(graph, subgraphs=(replace(graph.main, tensors=tuple(tensors)),))


LSTM_GRAPH = lstm(lstm_tensors())


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("variable", with_input(rnn(), 4, is_variable=False)),
        ("state-size", with_input(rnn(), 4, shape=(1, 3))),
        ("shape", with_input(rnn(), 2, shape=(2, 3))),
        ("types", with_input(rnn(), 3, type=TensorType.INT32)),
        ("rank", with_input(rnn(), 0, shape=(1,))),
        ("variable", with_input(LSTM_GRAPH, 19, is_variable=False)),
        ("shape", with_input(LSTM_GRAPH, 2, shape=(1, 2))),
        ("state-size", with_input(LSTM_GRAPH, 18, shape=(2, 1))),
        ("clip", lstm(lstm_tensors(), cell_clip=-1)),
        ("input-gate", lstm(lstm_tensors(p1=None))),
        ("gates", lstm(lstm_tensors(p12=None))),
        ("gates", lstm(lstm_tensors(p10=constant(np.zeros(1, np.float32))))),
        ("projection", lstm(lstm_tensors(p17=constant(np.zeros(1, np.float32))))),
        ("input-count", lstm(lstm_tensors()[:18])),
        ("input-count", lstm([*lstm_tensors(), None])),
    ],
)
def test_refuses(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule
