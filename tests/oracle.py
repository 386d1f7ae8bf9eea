"""One-operator models run on minilite's NumPy reference, its plans, and LiteRT's reference kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from minilite.executor import Executor, numba_is_available
from minilite.graph import Array, Graph, TensorType
from minilite.prepare import prepare
from minilite.reference import ReferenceExecutor
from minilite.testing.models import TensorSpec, tensor
from minilite.testing.parity import compare_outputs
from minilite.writer import write_graph

if TYPE_CHECKING:
    from minilite.plan import Plan

BYTES = (TensorType.UINT8, TensorType.INT8)


def each_type(*types: TensorType) -> pytest.MarkDecorator:
    """Run a test with each of these as ``kind``."""
    return pytest.mark.parametrize("kind", types, ids=[kind.name for kind in types])


def evaluate(graph: Graph, *inputs: Array) -> tuple[Array, ...]:
    """The outputs, computed by ``Op.evaluate``; a compiled plan, if shapes are fixed, has to agree."""
    prepared = prepare(graph)
    outputs = run(ReferenceExecutor(prepared), inputs)
    shapes = [prepared.main.tensors[index].shape for index in prepared.main.outputs]
    has_strings = any(tensor.type is TensorType.STRING for tensor in prepared.main.tensors)
    if numba_is_available() and not has_strings and shapes == [value.shape for value in outputs]:
        assert_plan_agrees(prepared, inputs, outputs)
    return outputs


def run(executor: Executor, inputs: Sequence[Array]) -> tuple[Array, ...]:
    """The outputs of one run."""
    for index, value in zip(executor.subgraph.inputs, inputs, strict=True):
        executor.view(index)[...] = value
    executor.run()
    return tuple(executor.view(index) for index in executor.subgraph.outputs)


def assert_plan_agrees(prepared: Graph, inputs: Sequence[Array], outputs: Sequence[Array]) -> Plan:
    """The plan, whose outputs are these, within the operator's tolerance."""
    from minilite.scheduler import PlanExecutor

    executor = PlanExecutor(prepared, threads=2)
    assert_within_tolerance(prepared, inputs, run(executor, inputs), outputs)
    executor.close()
    return executor.plan


def assert_within_tolerance(
    prepared: Graph, inputs: Sequence[Array], given: Sequence[Array], expected: Sequence[Array]
) -> None:
    """Outputs of a model of one operator, against the right ones."""
    for comparison in compare_outputs(prepared, inputs, given, expected):
        assert comparison.agrees, comparison.fault


def evaluate_litert(litert: Any, graph: Graph, *inputs: Array) -> tuple[Array, ...]:
    """The outputs, computed by LiteRT's resolver BUILTIN_REF, which no delegate changes."""
    interpreter = litert.Interpreter(
        model_content=write_graph(prepare(graph, fold=False)),
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    for index, value in zip(graph.main.inputs, inputs, strict=True):
        interpreter.set_tensor(index, value)
    interpreter.invoke()
    return tuple(_litert_value(interpreter, index) for index in graph.main.outputs)


def _litert_value(interpreter: Any, index: int) -> Array:
    details = next(d for d in interpreter.get_output_details() if d["index"] == index)
    if not np.prod(details["shape"]):
        # LiteRT cannot read a tensor of no elements whose shape it knew only at run time.
        dtype = object if details["dtype"] is np.bytes_ else details["dtype"]
        return np.empty(details["shape"], dtype)
    value: Array = interpreter.get_tensor(index)
    return value


def assert_agrees(litert: Any, graph: Graph, *inputs: Array, exact: bool = False) -> tuple[Array, ...]:
    """Minilite's outputs, which are LiteRT's: within the operator's tolerance, or ``exact`` in every bit."""
    ours = evaluate(graph, *inputs)
    theirs = evaluate_litert(litert, graph, *inputs)
    if exact:
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b, strict=True)
    else:
        assert_within_tolerance(prepare(graph), inputs, ours, theirs)
    return ours


def quantized(
    kind: TensorType, scale: float, zero_point: int, shape: tuple[int, ...] = (), **attributes: Any
) -> TensorSpec:
    """A quantized tensor; the zero point counts from the type's smallest value, for uint8 and int8 alike."""
    offset = int(np.iinfo(kind.dtype).min)
    return tensor(shape, kind, scale=scale, zero_point=zero_point + offset, **attributes)


def random_values(rng: np.random.Generator, shape: tuple[int, ...], kind: TensorType) -> Array:
    """Normal floats, or integers from the type's whole range; for 32 and 64 bits a range that sums fit in."""
    if kind is TensorType.FLOAT32:
        return rng.standard_normal(shape).astype(np.float32)
    info = np.iinfo(kind.dtype)
    low, high = max(int(info.min), -(1 << 20)), min(int(info.max), 1 << 20)
    return rng.integers(low, high, shape, kind.dtype, endpoint=True)
