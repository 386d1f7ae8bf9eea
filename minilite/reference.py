"""The NumPy backend: each operator's own meaning, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minilite import ops
from minilite.errors import InvokeError, MiniliteError, TensorValueError
from minilite.graph import ABSENT, Array, Graph, Node, Subgraph, Tensor, TensorType


class ReferenceExecutor:
    """Runs a subgraph through ``Op.evaluate``.

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
        self._nodes = tuple(self.subgraph.nodes())
        self._last_use = {t: i for i, node in enumerate(self._nodes) for t in node.operator.inputs}
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
        raise TensorValueError(
            f"{self.subgraph.tensors[tensor]} is an intermediate value, and those are not kept: "
            "run with keep_all=True (Interpreter: experimental_preserve_all_tensors=True)",
            tensor=tensor,
            rule="not-kept",
        )

    def run(self, first: int = 0, last: int | None = None) -> None:
        """Run operators ``first`` up to but not including ``last``; see ``Executor.run``."""
        last = len(self._nodes) if last is None else last
        if not self._keep_all and (first, last) != (0, len(self._nodes)):
            raise InvokeError(
                "a part of the graph can be run only if all values are kept: use keep_all=True",
                rule="partial-run",
            )
        for index in range(first, last):
            self._evaluate(self._nodes[index])
            if not self._keep_all:
                self._free(index)

    def close(self) -> None:
        """Release the values."""
        self._values.clear()

    def _evaluate(self, node: Node) -> None:
        op = ops.find(node.operator.name)
        assert op is not None  # prepare() has asked each operator for its shapes
        inputs = [None if i == ABSENT else self._values[i] for i in node.operator.inputs]
        try:
            # Float overflow and NaN are results, as they are in TFLite.
            with np.errstate(all="ignore"):
                results = op.evaluate(node, inputs)
            for tensor, value in zip(node.outputs, results, strict=True):
                self._store(node, tensor, value)
        except Exception as error:
            raise self._failure(node, inputs, error) from error

    def _store(self, node: Node, tensor: Tensor, value: Array) -> None:
        value = value.astype(self._dtype(tensor), copy=False)
        held = self._values.get(tensor.index)
        if held is not None and held.shape == value.shape:
            held[...] = value
        else:
            self._values[tensor.index] = value.copy() if self._is_kept(tensor) else value

    def _free(self, index: int) -> None:
        for number in {*self._nodes[index].operator.inputs, *self._nodes[index].operator.outputs} - {ABSENT}:
            tensor = self.subgraph.tensors[number]
            if self._last_use.get(number, -1) <= index and tensor.data is None and not self._is_kept(tensor):
                self._values.pop(number, None)

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

    def _failure(self, node: Node, inputs: Sequence[Array | None], error: Exception) -> MiniliteError:
        tensors = ", ".join(str(t) for t in node.inputs if t is not None)
        return InvokeError(
            f"{node.operator} failed on {tensors} -> {', '.join(map(str, node.outputs))}: {error}",
            op_index=node.operator.index,
            op_name=node.operator.name,
            rule=getattr(error, "rule", None),
        )
