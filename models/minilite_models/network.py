"""Convolutional networks layer by layer, as the TFLite converter would write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minilite import ops
from minilite.building import GraphBuilder, constant, tensor
from minilite.graph import Activation, Graph, Shape, Signature, TensorType
from minilite_models.weights import Layer, Seeded, Weights

NONE, RELU, RELU6 = Activation.NONE, Activation.RELU, Activation.RELU6

_MOMENT_OF_INPUT = 1 / 3
"""Mean square of values spread evenly over -1 ... 1."""

_SUFFIXES = {NONE: "BiasAdd", RELU: "Relu", RELU6: "Relu6"}


class Network:
    """A network in the making; each layer takes and gives tensor numbers of the file.

    Pictures are [1, height, width, channels]. Windows are padded as SAME, batch normalisation is folded into
    weights and bias, and rectifiers are fused into what they follow.

    Parameters
    ----------
    weights:
        Where they come from; by default seed 0.
    resizable:
        Compute sizes during the run (SHAPE), so that the input may be given another height and width
        (``resize_tensor_input``); else they are constants.
    align_corners:
        Whether the corners of a picture stay in place when it is resized, as in DeepLab's code, or its
        borders (half-pixel centres, as PyTorch's ``align_corners=False``).
    """

    def __init__(
        self, weights: Weights | None = None, *, resizable: bool = False, align_corners: bool = True
    ) -> None:
        self.weights: Weights = Seeded() if weights is None else weights
        self.resizable = resizable
        self.align_corners = align_corners
        self.builder = GraphBuilder()
        self._moments: dict[int, float] = {}

    def shape(self, x: int) -> Shape:
        """A tensor's shape."""
        return self.builder.tensors[x].shape

    def size(self, x: int) -> tuple[int, int]:
        """Height and width."""
        _, height, width, _ = self.shape(x)
        return height, width

    def channels(self, x: int) -> int:
        """The last size."""
        return self.shape(x)[-1]

    def input(self, height: int, width: int, channels: int = 3, name: str = "input") -> int:
        """A picture, of values from -1 to 1."""
        x = self.builder.input(tensor((1, height, width, channels), name=name))
        if self.resizable:
            self._open(x)
        self._moments[x] = _MOMENT_OF_INPUT
        return x

    def conv(
        self,
        x: int,
        layer: str,
        channels: int,
        size: int = 1,
        *,
        stride: int = 1,
        rate: int = 1,
        activation: Activation = NONE,
    ) -> int:
        """A convolution of ``size`` x ``size`` taps; ``rate`` pixels apart it is an atrous one."""
        depth = self.channels(x)
        shape = (channels, size, size, depth)
        filters = self._filters(x, Layer(layer, "weights", shape, 0, size * size * depth, self._moments[x]))
        return self._windowed("CONV_2D", x, filters, layer, stride, rate, activation)

    def depthwise(
        self,
        x: int,
        layer: str,
        size: int = 3,
        *,
        stride: int = 1,
        rate: int = 1,
        activation: Activation = NONE,
    ) -> int:
        """A convolution of each channel by itself."""
        shape = (1, size, size, self.channels(x))
        filters = self._filters(x, Layer(layer, "depthwise_weights", shape, 3, size * size, self._moments[x]))
        return self._windowed(
            "DEPTHWISE_CONV_2D", x, filters, layer, stride, rate, activation, depth_multiplier=1
        )

    def separable(
        self,
        x: int,
        layer: str,
        channels: int,
        *,
        stride: int = 1,
        rate: int = 1,
        between: Activation = NONE,
        activation: Activation = NONE,
    ) -> int:
        """An atrous separable convolution: 3 x 3 of each channel, what is ``between``, then 1 x 1."""
        x = self.depthwise(x, f"{layer}_depthwise", stride=stride, rate=rate, activation=between)
        return self.conv(x, f"{layer}_pointwise", channels, activation=activation)

    def max_pool(self, x: int, name: str, size: int, stride: int) -> int:
        """The largest value of each window."""
        options = _options(
            "MAX_POOL_2D", filter_width=size, filter_height=size, stride_w=stride, stride_h=stride
        )
        y = self.builder.add("MAX_POOL_2D", [x], tensor(name=f"{name}/MaxPool"), options)
        return self._made(y, self._moments[x], x)

    def mean(self, x: int, name: str) -> int:
        """The mean over all pixels: [1, 1, 1, channels]."""
        axes = self._integers([1, 2], f"{name}/axes")
        options = _options("MEAN", keep_dims=True)
        y = self.builder.add("MEAN", [x, axes], tensor(name=f"{name}/Mean"), options)
        return self._made(y, self._moments[x])

    def relu(self, x: int, name: str) -> int:
        """A rectifier by itself, where the value before it is needed, too."""
        y = self.builder.add("RELU", [x], tensor(name=f"{name}/Relu"))
        return self._made(y, self._moments[x] / 2, x)

    def add(self, a: int, b: int, name: str, activation: Activation = NONE) -> int:
        """Sum of two pictures."""
        options = _options("ADD", fused_activation_function=activation)
        y = self.builder.add("ADD", [a, b], tensor(name=name), options)
        return self._made(y, self._moments[a] + self._moments[b], a)

    def concat(self, parts: Sequence[int], name: str) -> int:
        """Channels side by side."""
        y = self.builder.add("CONCATENATION", parts, tensor(name=name), _options("CONCATENATION", axis=3))
        squares = sum(self._moments[part] * self.channels(part) for part in parts)
        return self._made(y, squares / self.channels(y), *parts)

    def resize(self, x: int, name: str, like: int) -> int:
        """Bilinear interpolation to the height and width of another picture."""
        if self.resizable:
            size = self._size_of(like, name)
        else:
            size = self._integers(self.size(like), f"{name}/size")
        options = _options(
            "RESIZE_BILINEAR", align_corners=self.align_corners, half_pixel_centers=not self.align_corners
        )
        spec = tensor((1, *self.size(like), self.channels(x)), name=name)
        version = 1 if self.align_corners else 3
        y = self.builder.add("RESIZE_BILINEAR", [x, size], spec, options, version=version)
        return self._made(y, self._moments[x], like)

    def argmax(self, x: int, name: str) -> int:
        """The channel with the largest value, int64 [1, height, width]; of equal ones the first."""
        axis = self._integers(3, f"{name}/dimension")
        spec = tensor(type=TensorType.INT64, name=name)
        y = self.builder.add("ARG_MAX", [x, axis], spec, _options("ARG_MAX", output_type=TensorType.INT64))
        return self._made(y, 0.0, x)

    def graph(self, output: int, description: str) -> Graph:
        """The network whose output this is.

        Raises
        ------
        TensorValueError
            Weights were given that no layer has.
        """
        self.weights.check_all_used()
        (picture,) = self.builder.inputs
        signature = Signature("serving_default", 0, {"input": picture}, {"output": output})
        return replace(self.builder.graph(output, description=description), signatures=(signature,))

    def _filters(self, x: int, layer: Layer) -> list[int]:
        weights, biases = self.weights.of(layer)
        return [
            x,
            self.builder.tensor(constant(weights, name=f"{layer.name}/{layer.kind}")),
            self.builder.tensor(constant(biases, name=f"{layer.name}/biases")),
        ]

    def _windowed(
        self,
        name: str,
        x: int,
        inputs: Sequence[int],
        layer: str,
        stride: int,
        rate: int,
        activation: Activation,
        **fields: Any,
    ) -> int:
        options = _options(
            name,
            stride_w=stride,
            stride_h=stride,
            dilation_w_factor=rate,
            dilation_h_factor=rate,
            fused_activation_function=activation,
            **fields,
        )
        spec = tensor(name=f"{layer}/{_SUFFIXES[activation]}")
        version = 2 if fields and rate > 1 else 1  # Of DEPTHWISE_CONV_2D the first with a dilation.
        y = self.builder.add(name, inputs, spec, options, version=version)
        return self._made(y, 1.0 if activation is NONE else 0.5, x)

    def _integers(self, values: Any, name: str) -> int:
        return self.builder.tensor(constant(np.array(values, np.int32), name=name))

    def _size_of(self, x: int, name: str) -> int:
        """Height and width of what a picture is during the run, int32 [2]."""
        spec = tensor(type=TensorType.INT32, name=f"{name}/Shape")
        shape = self.builder.add("SHAPE", [x], spec, _options("SHAPE", out_type=TensorType.INT32))
        ends = [
            self._integers([n], f"{name}/size/{part}") for n, part in ((1, "begin"), (3, "end"), (1, "step"))
        ]
        return self.builder.add(
            "STRIDED_SLICE", [shape, *ends], tensor(type=TensorType.INT32, name=f"{name}/size")
        )

    def _made(self, y: int, moment: float, *sources: int) -> int:
        """Note what is known of a new tensor; its height and width are open if those of a source are."""
        self._moments[y] = moment
        if any(-1 in self.builder.tensors[source].shape_signature for source in sources):
            self._open(y)
        return y

    def _open(self, x: int) -> None:
        made = self.builder.tensors[x]
        signature = (made.shape[0], -1, -1, *made.shape[3:])
        self.builder.tensors[x] = replace(made, shape_signature=signature)


def _options(operator: str, /, **fields: Any) -> Any:
    """An operator's options, the schema's defaults where nothing is said."""
    op = ops.find(operator)
    assert op is not None
    assert op.options is not None
    return op.options(**fields)
