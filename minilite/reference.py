"""The NumPy backend: each operator's own meaning, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from minilite import ops
from minilite.calls import SubgraphCalls
from minilite.errors import InvokeError, MiniliteError
from minilite.executor import not_kept
from minilite.graph import ABSENT, Array, Graph, Node, Operator, Shape, Subgraph, Tensor, TensorType
from minilite.prepare import infer_shapes


class ReferenceExecutor:
    """Runs a subgraph through ``Op.evaluate``; keeps the contract of ``Executor``.

    Parameters
    ----------
    graph:
        A prepared graph (see ``prepare.prepare``).
    keep_all:
        Keep every intermediate tensor, so that ``view`` gives any of them after ``run``. Otherwise one
        is freed once no operator needs it.
    in_order:
        Let parts of the graph be run; values are freed when their last reader has run.
    float_type:
        The type that float32 tensors are computed and held in; ``float64`` gives the values that
        float32 results are judged by.
    resources:
        What outlives a run (see ``ops.Runtime``); executors of one model share it.
    """

    backend = "numpy"

    def __init__(
        self,
        graph: Graph,
        *,
        subgraph: int = 0,
        keep_all: bool = False,
        in_order: bool = False,
        float_type: npt.DTypeLike = np.float32,
        resources: dict[Any, Any] | None = None,
    ) -> None:
        self.subgraph: Subgraph = graph.subgraphs[subgraph]
        self._prepared = self.subgraph
        self._dynamic = dynamic_outputs(self._prepared)
        self.resources: dict[Any, Any] = {} if resources is None else resources
        self._keep_all, self._in_order = keep_all, in_order
        self._float_type = np.dtype(float_type)
        self._calls = SubgraphCalls(
            graph, partial(ReferenceExecutor, float_type=float_type, resources=self.resources)
        )
        self._last_use = {t: op.index for op in self.subgraph.operators for t in op.inputs}
        self._values: dict[int, Array] = {}
        for tensor in self.subgraph.tensors:
            if tensor.data is not None:
                self._values[tensor.index] = tensor.data.astype(self._dtype(tensor), copy=False)
            elif self._is_kept(tensor):
                self._values[tensor.index] = self._initial(tensor)
        if self._float_type != np.float32:
            self._evaluate_folded()

    def view(self, tensor: int) -> Array:
        """A tensor's value; see ``Executor.view``."""
        if tensor in self._values:
            return self._values[tensor]
        raise not_kept(self.subgraph.tensors[tensor])

    def write(self, tensor: int, value: Array) -> None:
        """See ``Executor.write``."""
        if self._prepared.tensors[tensor].is_dynamic:
            self._values[tensor] = value.copy()
            self.subgraph = known_shapes(self.subgraph, {tensor: value.shape})
        elif self._is_kept(self._prepared.tensors[tensor]):
            self._values[tensor][...] = value
        else:  # In the memory that it has now others may live, too: a reshaped value is a view.
            self._values[tensor] = value.copy()

    def run(self, first: int = 0, last: int | None = None) -> None:
        """Run operators ``first`` up to but not including ``last``; see ``Executor.run``."""
        operators = self.subgraph.operators
        last = len(operators) if last is None else last
        if not (self._keep_all or self._in_order) and (first, last) != (0, len(operators)):
            raise InvokeError(
                "a part of the graph can be run only with keep_all=True, or in_order=True",
                rule="partial-run",
            )
        self.subgraph = unknown_shapes(self.subgraph, self._dynamic, first)
        for operator in operators[first:last]:
            node = Node(self.subgraph, operator)
            if not node.is_folded:
                self._evaluate(node)
            if not self._keep_all:
                self._free(operator)

    def is_compiled(self, operator: int) -> bool:
        """See ``Executor.is_compiled``: none is."""
        return False

    def assign(self, tensor: Tensor, value: Array) -> None:
        """See ``ops.Runtime.assign``."""
        self._values[tensor.index][...] = value

    def call(self, subgraph: int, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """See ``ops.Runtime.call``."""
        return self._calls(subgraph, inputs)

    def close(self) -> None:
        """Nothing to stop; the memory goes with the executor."""

    def _evaluate(self, node: Node) -> None:
        results = evaluate(node, self._values, self)
        for tensor, value in zip(node.outputs, results, strict=True):
            self._store(tensor, value)
        if any(tensor.is_dynamic for tensor in node.outputs):
            shapes = {t.index: value.shape for t, value in zip(node.outputs, results, strict=True)}
            self.subgraph = known_shapes(self.subgraph, shapes)

    def _evaluate_folded(self) -> None:
        """Constants that ``prepare`` has computed in float32, in the type that all else is computed in."""
        for node in self.subgraph.nodes():
            # Integers are what they were; those of a shape may be known without their input.
            if node.is_folded and any(tensor.type is TensorType.FLOAT32 for tensor in node.outputs):
                for tensor, value in zip(node.outputs, evaluate(node, self._values, self), strict=True):
                    self._values[tensor.index] = value.astype(self._dtype(tensor), copy=False)

    def _store(self, tensor: Tensor, value: Array) -> None:
        value = value.astype(self._dtype(tensor), copy=False)
        held = self._values.get(tensor.index)
        if not self._is_kept(tensor):
            self._values[tensor.index] = value
        elif held is not None and held.shape == value.shape:
            held[...] = value
        else:
            self._values[tensor.index] = value.copy()

    def _free(self, operator: Operator) -> None:
        # Step by step, a value that nobody reads is there for who looks on.
        done = operator.inputs if self._in_order else (*operator.inputs, *operator.outputs)
        for number in set(done) - {ABSENT}:
            tensor = self.subgraph.tensors[number]
            used_up = self._last_use.get(number, -1) <= operator.index
            if used_up and tensor.data is None and not self._is_kept(tensor):
                self._values.pop(number, None)

    def _is_kept(self, tensor: Tensor) -> bool:
        outside = tensor.index in self.subgraph.inputs or tensor.index in self.subgraph.outputs
        return self._keep_all or tensor.is_variable or outside

    def _dtype(self, tensor: Tensor) -> np.dtype[Any]:
        return self._float_type if tensor.type is TensorType.FLOAT32 else tensor.type.array_dtype

    def _initial(self, tensor: Tensor) -> Array:
        return initial_value(tensor, self._dtype(tensor))


def initial_value(tensor: Tensor, dtype: npt.DTypeLike) -> Array:
    """Zeros; a quantized variable starts at the zero point, which stands for a real zero; empty strings."""
    if tensor.type is TensorType.STRING:
        return np.full(tensor.shape, b"", object)
    fill = 0
    if tensor.is_variable and tensor.quantization is not None:
        fill = tensor.quantization.zero_point
    return np.full(tensor.shape, fill, dtype)


def evaluate(node: Node, values: Mapping[int, Array], runtime: ops.Runtime) -> tuple[Array, ...]:
    """Run an operator's own meaning on the values of its inputs, by tensor number.

    Raises
    ------
    InvokeError
        Whatever goes wrong, with the operator and its tensors named.
    """
    op = ops.find(node.operator.name)
    assert op is not None  # prepare() has asked each operator for its shapes
    try:
        if any(tensor.is_dynamic for tensor in node.outputs):
            infer_shapes(node)  # prepare() could not ask for it: the inputs' shapes are there only now
        inputs = [None if i == ABSENT else values[i] for i in node.operator.inputs]
        # Float overflow and NaN are results, as they are in TFLite.
        with np.errstate(all="ignore"):
            results = op.execute(node, inputs, runtime)
    except Exception as error:
        raise _failure(node, error) from error
    if len(results) != len(node.outputs):
        raise InvokeError(
            f"{node.operator} made {len(results)} values for {len(node.outputs)} outputs",
            op_index=node.operator.index,
            op_name=node.operator.name,
            rule="output-count",
        )
    for tensor, value in zip(node.outputs, results, strict=True):
        if not tensor.is_dynamic and value.shape != tensor.shape:
            raise InvokeError(
                f"{node.operator}: {tensor} came out with shape {value.shape}",
                op_index=node.operator.index,
                op_name=node.operator.name,
                tensor=tensor.index,
                rule="output-shape",
            )
    return results


def known_shapes(subgraph: Subgraph, shapes: Mapping[int, Shape]) -> Subgraph:
    """The subgraph with tensors, by number, whose shapes are known now."""
    if not shapes:
        return subgraph
    tensors = list(subgraph.tensors)
    for number, shape in shapes.items():
        tensor = tensors[number]
        if tensor.is_dynamic or tensor.shape != shape:
            tensors[number] = replace(tensor, shape=shape, is_dynamic=False)
    return replace(subgraph, tensors=tuple(tensors))


def dynamic_outputs(prepared: Subgraph) -> list[tuple[int, Tensor]]:
    """The tensors whose shapes only a run can tell, each behind the place of the operator that makes it."""
    return [(n.operator.index, t) for n in prepared.nodes() for t in n.outputs if t.is_dynamic]


def unknown_shapes(subgraph: Subgraph, dynamic: Sequence[tuple[int, Tensor]], first: int) -> Subgraph:
    """The subgraph before operator ``first`` runs: shapes of an earlier run mean nothing for this one."""
    stale = [t for place, t in dynamic if place >= first and subgraph.tensors[t.index] is not t]
    if not stale:
        return subgraph
    tensors = list(subgraph.tensors)
    for tensor in stale:
        tensors[tensor.index] = tensor
    return replace(subgraph, tensors=tuple(tensors))


def _failure(node: Node, error: Exception) -> InvokeError:
    inputs = ", ".join(str(t) for t in node.inputs if t is not None)
    outputs = ", ".join(map(str, node.outputs))
    reason = str(error) if isinstance(error, MiniliteError) else f"{type(error).__name__}: {error}"
    return InvokeError(
        f"{node.operator} failed on {inputs} -> {outputs}: {reason}",
        op_index=node.operator.index,
        op_name=node.operator.name,
        rule=getattr(error, "rule", None),
    )
