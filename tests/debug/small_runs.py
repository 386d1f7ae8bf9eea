"""Small models of each kind of graph, with inputs: what holds for any run is held to these."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilite.graph import Graph, TensorType
from minilite.testing.models import one_op, tensor
from tests.networks import computed_shape, floats
from tests.ops.test_control import choice, powers
from tests.ops.test_resource import counter
from tests.small_models import chain_graph, quantized_graph


def texts() -> Graph:
    """Whether two texts are equal, for each of two pairs."""
    return one_op("EQUAL", [tensor((2,), TensorType.STRING)] * 2, [tensor((2,), TensorType.BOOL)])


X = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
SHAPED: list[Any] = [np.arange(12, dtype=np.float32), np.array([3, 4], np.int32)]

RUNS: dict[str, tuple[Graph, list[Any]]] = {
    "chain": (chain_graph(), [X]),
    "quantized": (quantized_graph(), [np.full((1, 2), 130, np.uint8)]),
    "if": (choice(), [np.array(True), floats(1, 2)]),
    "while": (powers(), [floats(3)]),
    "variable": (counter(), [floats(1, 2)]),
    "dynamic": (computed_shape(), SHAPED),
    "strings": (texts(), [["a", "b"], ["a", "c"]]),
}
