"""Small networks with a known defect in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from minilite import ops
from minilite.calibration import calibrate
from minilite.debug.sides import Side, own_side
from minilite.graph import Array, Graph, Node, Quantization, TensorType
from minilite.ops.depthwise_convolution import DepthwiseConv2DOptions
from minilite.ops.pooling import Pool2DOptions
from minilite.post_training import to_int8
from tests.networks import Network

POOL, LAST = 2, 3
"""Operators of ``network``."""


def network() -> Graph:
    """Operators 0 CONV_2D 3x3, 1 DEPTHWISE_CONV_2D, 2 AVERAGE_POOL_2D, 3 CONV_2D 1x1, 4 ADD: float32."""
    net = Network()
    x = net.input(1, 8, 8, 4)
    stem = net.convolution(x, 8, 4, taps=3)
    # With a bias: LiteRT's optimized kernels die of a depthwise convolution without one.
    weights, bias = (net.rng.standard_normal(shape).astype(np.float32) for shape in ((1, 3, 3, 8), (8,)))
    options = DepthwiseConv2DOptions(stride_w=1, stride_h=1, depth_multiplier=1)
    middle = net.add("DEPTHWISE_CONV_2D", stem, net.constant(weights), net.constant(bias), options=options)
    pooled = net.add("AVERAGE_POOL_2D", middle, options=_window(3))
    last = net.convolution(pooled, 8, 8)
    return net_graph(net, net.add("ADD", last, stem))


def pools() -> Graph:
    """int8: MAX_POOL_2D, AVERAGE_POOL_2D, MAX_POOL_2D."""
    net = Network()
    quantized: dict[str, Any] = {
        "type": TensorType.INT8,
        "quantization": Quantization(np.array([0.5], np.float32), np.array([3], np.int64)),
    }
    x = net.input(1, 8, 8, 4, **quantized)
    for name in ("MAX_POOL_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D"):
        x = net.add(name, x, options=_window(3), **quantized)
    return net_graph(net, x)


def _window(size: int) -> Pool2DOptions:
    return Pool2DOptions(stride_w=1, stride_h=1, filter_width=size, filter_height=size)


def net_graph(net: Network, output: int) -> Graph:
    """What was collected with the shapes that operators give, as a file has it."""
    prepared = net.graph(output)
    tensors = (replace(t, shape_signature=t.shape) for t in prepared.main.tensors)
    return replace(prepared, subgraphs=(replace(prepared.main, tensors=tuple(tensors)),))


def float_input(seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((1, 8, 8, 4)).astype(np.float32)


@cache
def int8_network() -> Graph:
    """The same quantized: equal operators, in the same order."""
    graph = network()
    return to_int8(graph, calibrate(graph, [[float_input(seed)] for seed in range(3)], backend="numpy"))


def int8_input() -> Array:
    return np.random.default_rng(1).integers(-128, 127, (1, 8, 8, 4), np.int8, endpoint=True)


def flipped(graph: Graph, operator: int) -> Graph:
    """A copy in which one weight of an operator has lost its sign."""
    number = graph.main.operators[operator].inputs[1]
    tensors = list(graph.main.tensors)
    held = tensors[number].data
    assert held is not None
    weights = held.copy()
    place = np.unravel_index(np.argmax(np.abs(weights.astype(np.float64))), weights.shape)
    weights[place] = -weights[place]
    weights.flags.writeable = False
    tensors[number] = replace(tensors[number], data=weights, buffer=0)
    return replace(graph, subgraphs=(replace(graph.main, tensors=tuple(tensors)),))


def plant(monkeypatch: pytest.MonkeyPatch, graph: Graph, operator: int, step: float = 1) -> None:
    """From now on one operator's reference makes one element a step too large."""
    op: Any = ops.find(graph.main.operators[operator].name)
    right = type(op).evaluate

    def wrong(self: Any, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (made,) = right(self, node, inputs)
        if node.operator.index == operator:
            made = made.copy()
            middle = np.argsort(made, axis=None)[made.size // 2]  # far from the clamps
            made.flat[middle] += made.dtype.type(step)
        return (made,)

    monkeypatch.setattr(type(op), "evaluate", wrong)


def run(graph: Graph, x: Array, backend: str = "numpy") -> Side:
    return own_side(backend, graph, [x])
