"""The NumPy backend: each operator's own meaning, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from minilite import ops
from minilite.errors import InvokeError, MiniliteError
from minilite.executor import not_kept
from minilite.graph import ABSENT, Array, Graph, Node, Operator, Shape, Subgraph, Tensor, TensorType


class ReferenceExecutor:
    """Runs a subgraph through ``Op.evaluate``; keeps the contract of ``Executor``.

    Parameters
    ----------
    graph:
        A prepared graph (see ``prepare.prepare``).
    keep_all:
        Keep every intermediate tensor, so that ``view`` gives any of them after ``run``. Otherwise one
        is freed once no operator needs it.
    float_type:
        The type that float32 tensors are computed and held in; ``float64`` gives the values that
        float32 results are judged by.
    """

    backend = "numpy"

    def __init__(
        self,
        graph: Graph,
        *,
        subgraph: int = 0,
        keep_all: bool = False,
        float_type: npt.DTypeLike = np.float32,
    ) -> None:
        self.subgraph: Subgraph = graph.subgraphs[subgraph]
        self._keep_all = keep_all
        self._float_type = np.dtype(float_type)
        self._last_use = {t: op.index for op in self.subgraph.operators for t in op.inputs}
        self._dynamic: set[int] = set()
        self.resources: dict[Any, Any] = {}
        self._values: dict[int, Array] = {}
        for tensor in self.subgraph.tensors:
            if tensor.data is not None:
                self._values[tensor.index] = tensor.data.astype(self._dtype(tensor), copy=False)
            elif self._is_kept(tensor):
                self._values[tensor.index] = self._initial(tensor)

    def view(self, tensor: int) -> Array:
        """A tensor's value; see ``Executor.view``."""
        if tensor in self._values:
            return self._values[tensor]
        raise not_kept(self.subgraph.tensors[tensor])

    def run(self, first: int = 0, last: int | None = None) -> None:
        """Run operators ``first`` up to but not including ``last``; see ``Executor.run``."""
        operators = self.subgraph.operators
        last = len(operators) if last is None else last
        if not self._keep_all and (first, last) != (0, len(operators)):
            raise InvokeError(
                "a part of the graph can be run only if all values are kept: use keep_all=True",
                rule="partial-run",
            )
        for operator in operators[first:last]:
            self._evaluate(operator)
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
        raise NotImplementedError

    def close(self) -> None:
        """Nothing to stop; the memory goes with the executor."""

    def _evaluate(self, operator: Operator) -> None:
        op = ops.find(operator.name)
        assert op is not None  # prepare() has asked each operator for its shapes
        node = Node(self.subgraph, operator)
        try:
            if not self._dynamic.isdisjoint(operator.inputs):
                # What came before was of another shape than prepare() knew.
                self._reshape(node, op.output_shapes(node))
                node = Node(self.subgraph, operator)
            inputs = [None if i == ABSENT else self._values[i] for i in operator.inputs]
            # Float overflow and NaN are results, as they are in TFLite.
            with np.errstate(all="ignore"):
                results = op.execute(node, inputs, self)
            for tensor, value in zip(node.outputs, results, strict=True):
                self._store(tensor, value)
            self._reshape(node, [value.shape for value in results])
        except Exception as error:
            raise _failure(node, error) from error

    def _store(self, tensor: Tensor, value: Array) -> None:
        value = value.astype(self._dtype(tensor), copy=False)
        held = self._values.get(tensor.index)
        if held is not None and held.shape == value.shape:
            held[...] = value
        else:
            self._values[tensor.index] = value.copy() if self._is_kept(tensor) else value

    def _reshape(self, node: Node, shapes: Sequence[Shape | None]) -> None:
        """Give a node's outputs the shapes they turned out to have."""
        tensors = list(self.subgraph.tensors)
        for tensor, shape in zip(node.outputs, shapes, strict=True):
            if shape is not None and shape != tensor.shape:
                tensors[tensor.index] = replace(tensor, shape=shape)
                self._dynamic.add(tensor.index)
        if not self._dynamic.isdisjoint(node.operator.outputs):
            self.subgraph = replace(self.subgraph, tensors=tuple(tensors))

    def _free(self, operator: Operator) -> None:
        for number in {*operator.inputs, *operator.outputs} - {ABSENT}:
            tensor = self.subgraph.tensors[number]
            used_up = self._last_use.get(number, -1) <= operator.index
            if used_up and tensor.data is None and not self._is_kept(tensor):
                del self._values[number]

    def _is_kept(self, tensor: Tensor) -> bool:
        outside = tensor.index in self.subgraph.inputs or tensor.index in self.subgraph.outputs
        return self._keep_all or tensor.is_variable or outside

    def _dtype(self, tensor: Tensor) -> np.dtype[Any]:
        return self._float_type if tensor.type is TensorType.FLOAT32 else tensor.dtype

    def _initial(self, tensor: Tensor) -> Array:
        """Zeros; a quantized variable starts at the zero point, which stands for a real zero."""
        fill = 0
        if tensor.is_variable and tensor.quantization is not None:
            fill = tensor.quantization.zero_point
        return np.full(tensor.shape, fill, self._dtype(tensor))


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
