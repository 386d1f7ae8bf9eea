"""Networks of several operators in a few lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilite import ops
from minilite.graph import Array, Graph, Operator, Quantization, Shape, Subgraph, Tensor, TensorType
from minilite.ops.convolution import Conv2DOptions
from minilite.ops.depthwise_convolution import DepthwiseConv2DOptions
from minilite.ops.joining import ConcatenationOptions
from minilite.ops.reshaping import ReshapeOptions
from minilite.prepare import prepare

FLOAT = TensorType.FLOAT32


class Network:
    """Collects tensors and operators; each call gives the number of the tensor it made."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self.inputs: list[int] = []

    def tensor(self, *shape: int, type: TensorType = FLOAT, **fields: Any) -> int:
        index = len(self.tensors)
        fields.setdefault("shape_signature", shape)
        self.tensors.append(Tensor(index, f"t{index}", type, shape, buffer=index + 1, **fields))
        return index

    def input(self, *shape: int, type: TensorType = FLOAT, **fields: Any) -> int:
        self.inputs.append(self.tensor(*shape, type=type, **fields))
        return self.inputs[-1]

    def constant(self, values: Array) -> int:
        values.flags.writeable = False
        types = {kind.array_dtype: kind for kind in reversed(TensorType) if kind.bits != 4}
        return self.tensor(*values.shape, type=types[values.dtype], data=values)

    def add(self, name: str, *inputs: int, options: Any = None, shape: Shape = (), **output: Any) -> int:
        result = self.tensor(*shape, **output)
        self.do(name, *inputs, options=options, outputs=(result,))
        return result

    def do(self, name: str, *inputs: int, options: Any = None, outputs: tuple[int, ...] = ()) -> None:
        """An operator with these outputs, or with none."""
        op = ops.find(name)
        assert op is not None
        if options is None and op.options is not None:
            options = op.options()
        self.operators.append(Operator(len(self.operators), name, inputs, outputs, options))

    def convolution(self, x: int, channels: int, in_channels: int, taps: int = 1) -> int:
        weights = self.rng.standard_normal((channels, taps, taps, in_channels)).astype(np.float32)
        bias = self.rng.standard_normal(channels).astype(np.float32)
        options = Conv2DOptions(stride_w=1, stride_h=1)
        return self.add("CONV_2D", x, self.constant(weights), self.constant(bias), options=options)

    def depthwise(self, x: int, channels: int, taps: int = 3) -> int:
        weights = self.rng.standard_normal((1, taps, taps, channels)).astype(np.float32)
        options = DepthwiseConv2DOptions(stride_w=1, stride_h=1, depth_multiplier=1)
        return self.add("DEPTHWISE_CONV_2D", x, self.constant(weights), options=options)

    def reshape(self, x: int, *shape: int) -> int:
        return self.add("RESHAPE", x, options=ReshapeOptions(new_shape=shape))

    def concatenation(self, *parts: int) -> int:
        return self.add("CONCATENATION", *parts, options=ConcatenationOptions(axis=-1))

    def graph(self, *outputs: int) -> Graph:
        """The prepared graph."""
        return prepare(Graph((self.subgraph(*outputs),)))

    def subgraph(self, *outputs: int, index: int = 0) -> Subgraph:
        """What was collected, as it would stand in a file."""
        name = f"subgraph_{index}" if index else "main"
        return Subgraph(index, name, tuple(self.tensors), tuple(self.operators), tuple(self.inputs), outputs)


def branches(*, python_step: bool = False, size: int = 16) -> Graph:
    """A convolution, three branches of it side by side, and their concatenation: an ASPP in small.

    Tensors are numbered as they are made; ``python_step`` puts an operator without a kernel before
    the concatenation.
    """
    net = Network()
    x = net.input(1, size, size, 16)
    stem = net.convolution(x, 32, 16, taps=3)
    one = net.convolution(stem, 32, 32)
    two = net.depthwise(stem, 32)
    three = net.convolution(stem, 16, 32)
    if python_step:
        two = net.add("ADD_N", two, two)
    joined = net.concatenation(one, two, three)
    flat = net.reshape(joined, size * size, 80)
    return net.graph(net.add("ADD", flat, flat))


def computed_shape() -> Graph:
    """``y = (reshape(x + x, shape) + itself) + itself``: x [12], the shape an input of two sizes."""
    net = Network()
    x, shape = net.input(12), net.input(2, type=TensorType.INT32)
    total = net.add("ADD", x, x, shape=(12,))
    reshaped = net.add("RESHAPE", total, shape, options=ReshapeOptions(), shape=(1, 1))
    twice = net.add("ADD", reshaped, reshaped, shape=(1, 1))
    return net.graph(net.add("ADD", twice, twice, shape=(1, 1)))


def uint8(scale: float, zero_point: int) -> dict[str, Any]:
    """Fields of a quantized tensor."""
    quantization = Quantization(np.array([scale], np.float32), np.array([zero_point], np.int64))
    return {"type": TensorType.UINT8, "quantization": quantization}


def floats(*values: float) -> Array:
    """A row of float32."""
    return np.array(values, np.float32)


def ints(*values: int) -> Array:
    """A row of int32."""
    return np.array(values, np.int32)


def longs(*values: int) -> Array:
    """A row of int64."""
    return np.array(values, np.int64)
