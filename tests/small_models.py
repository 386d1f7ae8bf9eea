"""Graphs small enough to know their results by heart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from minilite import ops
from minilite.graph import Array, Graph, Operator, Quantization, Signature, Subgraph, Tensor, TensorType


def tensor(index: int, name: str, *shape: int, data: Array | None = None, **fields: Any) -> Tensor:
    if data is not None:
        data.flags.writeable = False
        shape = data.shape
    fields = {"type": TensorType.FLOAT32, "shape_signature": shape, "buffer": index + 1, **fields}
    return Tensor(index=index, name=name, shape=shape, data=data, **fields)


def operator(index: int, name: str, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> Operator:
    op = ops.find(name)
    assert op is not None
    return Operator(index, name, inputs, outputs, op.options() if op.options else None)


def chain(index: int = 0, name: str = "main") -> Subgraph:
    """``y = (x + [1, 2, 3]) + 10``: x 1x2x2x3, the sum in brackets is tensor 2, "hidden"."""
    tensors = (
        tensor(0, "serving_default_x:0", 1, 2, 2, 3),
        tensor(1, "bias", data=np.array([1, 2, 3], np.float32)),
        tensor(2, "hidden", 1, 2, 2, 3),
        tensor(3, "ten", data=np.array(10, np.float32)),
        tensor(4, "StatefulPartitionedCall:0", 1, 2, 2, 3),
    )
    operators = (operator(0, "ADD", (0, 1), (2,)), operator(1, "ADD", (2, 3), (4,)))
    return Subgraph(index, name, tensors, operators, (0,), (4,))


def chain_graph() -> Graph:
    return Graph((chain(),))


def chain_result(x: Array) -> Array:
    return np.asarray(x + np.array([1, 2, 3], np.float32) + np.float32(10))


def signed_graph() -> Graph:
    """The chain with the signature ``serve(image) -> scores``, which names the outputs out of order too."""
    signature = Signature("serve", 0, {"image": 0}, {"scores": 4, "also_hidden": 2})
    return Graph((replace(chain(), outputs=(4, 2)),), (signature,))


def two_entries_graph() -> Graph:
    """Two subgraphs, each with a signature of its own: ``plus(x, y)`` is not the main one."""
    tensors = (tensor(0, "a", 2), tensor(1, "b", 2), tensor(2, "sum", 2))
    second = Subgraph(1, "second", tensors, (operator(0, "ADD", (0, 1), (2,)),), (0, 1), (2,))
    signatures = (
        Signature("main", 0, {"x": 0}, {"y": 4}),
        Signature("plus", 1, {"y": 1, "x": 0}, {"sum": 2}),
    )
    return Graph((chain(), second), signatures)


def sum_graph() -> Graph:
    """``sum = a + b``: rows of any length."""
    tensors = tuple(
        tensor(i, name, 1, 2, shape_signature=(-1, 2)) for i, name in enumerate(("a", "b", "sum"))
    )
    return Graph((Subgraph(0, "main", tensors, (operator(0, "ADD", (0, 1), (2,)),), (0, 1), (2,)),))


def quantized_graph() -> Graph:
    """``y = x + x`` in uint8: x at scale 0.5 and zero point 128, y at scale 1 and zero point 10."""

    def quantized(scale: float, zero_point: int) -> dict[str, Any]:
        quantization = Quantization(np.array([scale], np.float32), np.array([zero_point], np.int64))
        return {"type": TensorType.UINT8, "quantization": quantization}

    tensors = (tensor(0, "x", 1, 4, **quantized(0.5, 128)), tensor(1, "y", 1, 4, **quantized(1.0, 10)))
    return Graph((Subgraph(0, "main", tensors, (operator(0, "ADD", (0, 0), (1,)),), (0,), (1,)),))
