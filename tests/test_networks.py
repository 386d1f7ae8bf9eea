"""Whole networks, operator by operator, against LiteRT's reference kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minilite import ops
from minilite.graph import ABSENT, Array, Graph, TensorType
from minilite.loader import load_graph
from minilite.prepare import prepare
from minilite.reference import ReferenceExecutor

FLOAT, UINT8 = "deeplabv3_257_mv_gpu.tflite", "deeplabv3_jejunet_256_uint8.tflite"


def photo(graph: Graph) -> Array:
    """A picture in the form of the model's input: a real one where scikit-image has it, else noise."""
    tensor = graph.main.tensors[graph.main.inputs[0]]
    _, height, width, _ = tensor.shape
    try:
        import skimage.data
    except ImportError:
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    else:
        astronaut: Any = skimage.data.astronaut
        pixels = astronaut()[:height, 100 : 100 + width]
    scaled = pixels if tensor.type is TensorType.UINT8 else pixels.astype(np.float32) / 127.5 - 1
    return np.asarray(scaled, tensor.dtype)[None]


@dataclass(frozen=True)
class Case:
    """A network, its input, and each tensor as LiteRT's reference kernels make it."""

    graph: Graph
    x: Array
    theirs: Callable[[int], Array]

    def run(self, **settings: Any) -> ReferenceExecutor:
        executor = ReferenceExecutor(self.graph, **settings)
        executor.view(self.graph.main.inputs[0])[...] = self.x
        executor.run()
        return executor


@pytest.fixture(scope="module")
def network(litert: Any, model_path: Callable[[str], Path]) -> Callable[[str], Case]:
    """``network(file name)``, run on LiteRT once: its reference kernels take seconds."""

    @cache
    def load(name: str) -> Case:
        path = model_path(name)
        graph = prepare(load_graph(path))
        interpreter = litert.Interpreter(
            str(path),
            experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
        x = photo(graph)
        interpreter.set_tensor(graph.main.inputs[0], x)
        interpreter.invoke()
        return Case(graph, x, lambda index: np.asarray(interpreter.get_tensor(index)))

    return load


@pytest.mark.parametrize("name", [FLOAT, UINT8])
def test_each_operator_makes_of_litert_inputs_what_litert_made(
    network: Callable[[str], Case], name: str
) -> None:
    case = network(name)
    for node in case.graph.main.nodes():
        op = ops.find(node.operator.name)
        assert op is not None
        inputs = [None if i == ABSENT else case.theirs(i) for i in node.operator.inputs]
        bound = op.tolerance(node).bound(inputs)
        for tensor, value in zip(node.outputs, op.evaluate(node, inputs), strict=True):
            ours, theirs = value.astype(tensor.dtype), case.theirs(tensor.index)
            error = np.max(np.abs(ours.astype(np.float64) - theirs))
            assert error <= bound, f"{node.operator}, {tensor}: {error} > {bound}"


def test_uint8_deeplab_is_equal_in_every_intermediate(network: Callable[[str], Case]) -> None:
    case = network(UINT8)
    executor = case.run(keep_all=True)
    for node in case.graph.main.nodes():
        for tensor in node.outputs:
            ours, theirs = executor.view(tensor.index), case.theirs(tensor.index)
            np.testing.assert_array_equal(ours, theirs, f"{node.operator}: {tensor}")


def test_float_deeplab_is_as_near_to_the_truth_as_litert(network: Callable[[str], Case]) -> None:
    case = network(FLOAT)
    output = case.graph.main.outputs[0]
    truth = case.run(float_type=np.float64).view(output)
    ours, theirs = case.run().view(output), case.theirs(output)
    assert np.array_equal(ours.argmax(-1), theirs.argmax(-1))
    # Both round as often; the order of the additions decides by how much each is off.
    assert np.max(np.abs(ours - truth)) <= 2 * np.max(np.abs(theirs - truth))
