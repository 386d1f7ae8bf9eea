"""Small networks of several operators: a builder, and links that extend one at random.

A *link* draws one operator that takes a tensor of the network and adds what it makes. Those of
operators that minilite does not have, or that a tensor does not suit, are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minilite import ops
from minilite.building import GraphBuilder
from minilite.errors import PrepareError
from minilite.graph import Array, Graph, Padding, Shape, Subgraph, TensorType
from minilite.quantization import FUSED_ACTIVATIONS
from minilite.testing import draw as drawing
from minilite.testing.draw import values
from minilite.testing.models import TensorSpec, constant, tensor


def joined(*subgraphs: Subgraph) -> Graph:
    """A graph of several subgraphs, the first its main one."""
    made: list[Subgraph] = []
    buffers = 1
    for index, subgraph in enumerate(subgraphs):
        tensors = tuple(replace(t, buffer=buffers + t.index) for t in subgraph.tensors)
        buffers += len(tensors)
        name = "main" if index == 0 else f"subgraph_{index}"
        made.append(replace(subgraph, index=index, name=name, tensors=tensors))
    return Graph(tuple(made), description="subgraphs")


Link = Callable[["Growth", int, str], "int | None"]
"""``link(growth, x, name)``: add operator ``name`` behind tensor ``x``; None if it does not suit."""


class Growth:
    """A network that is being drawn: what links are given."""

    def __init__(self, draw: st.DrawFn, kind: TensorType, shape: Shape) -> None:
        self.draw, self.kind = draw, kind
        self.rng = np.random.default_rng(draw(drawing.SEEDS))
        self.net = GraphBuilder()
        self.net.input(self.spec(shape))

    def extend(self, function: Link, x: int, name: str) -> None:
        """Add a link; nothing is left of one that minilite refuses, for a type it does not have."""
        tensors, operators = len(self.net.tensors), len(self.net.operators)
        try:
            function(self, x, name)
        except PrepareError:
            del self.net.tensors[tensors:], self.net.operators[operators:]

    @property
    def is_quantized(self) -> bool:
        """Whether tensors have scales."""
        return self.kind in drawing.QUANTIZED

    def spec(self, shape: Sequence[int] = (), low: float = 0.02, high: float = 0.2) -> TensorSpec:
        """A tensor of the network's type, with a quantization of its own."""
        return self.draw(drawing.specs(shape, self.kind, low=low, high=high))

    def like(self, number: int) -> TensorSpec:
        """A tensor with the quantization of another."""
        given = self.net.tensors[number].quantization
        if given is None:
            return tensor((), self.kind)
        return tensor((), self.kind, scale=float(given.scale), zero_point=given.zero_point)

    def shape(self, number: int) -> Shape:
        """A tensor's shape."""
        return self.net.tensors[number].shape

    def activation(self) -> Any:
        """A fused activation."""
        return self.draw(st.sampled_from(sorted(FUSED_ACTIVATIONS)))

    def mates(self, x: int, *, same_quantization: bool = False) -> list[int]:
        """Tensors of the same shape, itself among them, that can be combined with one."""
        found = [t.index for t in self.net.tensors if t.shape == self.shape(x) and t.data is None]
        if same_quantization and self.is_quantized:
            mine = self.like(x)
            found = [n for n in found if _quantization(self.like(n)) == _quantization(mine)]
        return found

    def weights(self, shape: Shape, axis: int, input_number: int) -> list[int]:
        """A filter and a bias for an input, the filter quantized by channel along ``axis`` if int8."""
        channels = shape[axis]
        if not self.is_quantized:
            scale = 1 / max(1.0, np.sqrt(np.prod(shape) / channels))
            parts = [self.rng.standard_normal(shape) * scale, self.rng.standard_normal(channels)]
            return [self.net.tensor(constant(part.astype(np.float32))) for part in parts]
        per_channel = self.kind is not TensorType.UINT8 and self.draw(st.booleans())
        scales = self.rng.uniform(0.004, 0.02, channels if per_channel else 1).astype(np.float32)
        unsigned = self.kind is TensorType.UINT8
        zero_point = int(self.rng.integers(100, 156)) if unsigned else 0
        filter_kind = TensorType.UINT8 if unsigned else TensorType.INT8
        raw = values(self.rng, shape, filter_kind, zero_point=zero_point)
        filter_values = raw if unsigned else np.maximum(raw, -127)
        filter_number = self.net.tensor(
            constant(
                filter_values,
                filter_kind,
                scale=scales.tolist(),
                zero_point=[zero_point] * len(scales),
                quantized_dimension=axis,
            )
        )
        quantization = self.net.tensors[input_number].quantization
        assert quantization is not None
        bias = self.rng.integers(-2000, 2000, channels).astype(np.int32)
        bias_scales = (scales * quantization.scale).tolist()
        bias_number = self.net.tensor(constant(bias, scale=bias_scales, zero_point=[0] * len(scales)))
        return [filter_number, bias_number]


def _quantization(spec: TensorSpec) -> Any:
    return spec.scale, spec.zero_point


_links: list[tuple[str, Link]] = []


def link(*operators: str) -> Callable[[Link], Link]:
    """Decorator: the function adds these operators."""

    def register(function: Link) -> Link:
        _links.extend((name, function) for name in operators)
        return function

    return register


def links() -> tuple[tuple[str, Link], ...]:
    """Operators, and the function that adds each."""
    return tuple(_links)


@st.composite
def networks(draw: st.DrawFn, kind: TensorType, most: int = 8) -> Graph:
    """A network of up to ``most`` operators: each takes the last tensor or an earlier one."""
    shape = (draw(st.integers(1, 2)), *(draw(st.integers(3, 9)) for _ in range(2)), draw(st.integers(1, 9)))
    growth = Growth(draw, kind, shape)
    available = [(name, function) for name, function in _links if ops.find(name) is not None]
    for _ in range(draw(st.integers(2, most))):
        name, function = draw(st.sampled_from(available))
        computed = [t.index for t in growth.net.tensors if t.data is None]
        x = computed[-1] if draw(st.booleans()) else draw(st.sampled_from(computed))
        if growth.shape(x):
            growth.extend(function, x, name)
    if not growth.net.operators:
        growth.extend(_reshape, growth.net.inputs[0], "RESHAPE")
    return growth.net.graph(description="a random network")


def options(operator: str, /, **fields: Any) -> Any:
    """An operator's options."""
    op = ops.find(operator)
    assert op is not None
    assert op.options is not None
    return op.options(**fields)


def _window(growth: Growth, x: int, taps: int) -> dict[str, Any]:
    """Padding and strides of a window that fits."""
    padding = growth.draw(st.sampled_from(Padding)) if taps <= min(growth.shape(x)[1:3]) else Padding.SAME
    stride = growth.draw(st.integers(1, 2))
    return {"padding": padding, "stride_w": stride, "stride_h": stride}


@link("CONV_2D")
def _convolution(growth: Growth, x: int, name: str) -> int | None:
    if len(growth.shape(x)) != 4:
        return None
    taps, out = growth.draw(st.sampled_from((1, 1, 3))), growth.draw(st.integers(1, 20))
    window = _window(growth, x, taps)
    weights = growth.weights((out, taps, taps, growth.shape(x)[3]), 0, x)
    chosen = options(name, **window, fused_activation_function=growth.activation())
    return growth.net.add(name, [x, *weights], growth.spec(), chosen)


@link("DEPTHWISE_CONV_2D")
def _depthwise_convolution(growth: Growth, x: int, name: str) -> int | None:
    if len(growth.shape(x)) != 4:
        return None
    taps, multiplier = growth.draw(st.sampled_from((1, 3, 3))), growth.draw(st.sampled_from((1, 1, 2)))
    window = _window(growth, x, taps)
    weights = growth.weights((1, taps, taps, growth.shape(x)[3] * multiplier), 3, x)
    activation = growth.activation()
    chosen = options(name, **window, depth_multiplier=multiplier, fused_activation_function=activation)
    return growth.net.add(name, [x, *weights], growth.spec(), chosen)


@link("MAX_POOL_2D", "AVERAGE_POOL_2D")
def _pool(growth: Growth, x: int, name: str) -> int | None:
    if len(growth.shape(x)) != 4:
        return None
    taps = growth.draw(st.integers(1, 3))
    size = {"filter_width": taps, "filter_height": taps}
    chosen = options(name, **_window(growth, x, taps), **size, fused_activation_function=growth.activation())
    return growth.net.add(name, [x], growth.like(x), chosen)


@link("FULLY_CONNECTED")
def _fully_connected(growth: Growth, x: int, name: str) -> int | None:
    out = growth.draw(st.integers(1, 20))
    weights = growth.weights((out, growth.shape(x)[-1]), 0, x)
    chosen = options(name, keep_num_dims=True, fused_activation_function=growth.activation())
    return growth.net.add(name, [x, *weights], growth.spec(), chosen)


@link("ADD", "ADD", "SUB", "MUL")
def _arithmetic(growth: Growth, x: int, name: str) -> int | None:
    """With a branch of the same shape, or with a constant for each channel."""
    if growth.draw(st.booleans()):
        other = growth.draw(st.sampled_from(growth.mates(x)))
    else:
        spec = growth.spec(growth.shape(x)[-1:])
        data: Array = drawing.spec_values(growth.rng, spec)
        other = growth.net.tensor(replace(spec, data=data))
    pair = growth.draw(st.permutations([x, other]))
    chosen = options(name, fused_activation_function=growth.activation())
    return growth.net.add(name, pair, growth.spec(), chosen)


@link("CONCATENATION")
def _concatenation(growth: Growth, x: int, name: str) -> int | None:
    mates = growth.mates(x, same_quantization=True)
    parts = [x, *growth.draw(st.lists(st.sampled_from(mates), min_size=1, max_size=2))]
    rank = len(growth.shape(x))
    return growth.net.add(
        name, parts, growth.like(x), options(name, axis=growth.draw(st.integers(-rank, rank - 1)))
    )


@link("RESHAPE")
def _reshape(growth: Growth, x: int, name: str) -> int | None:
    """Rows and columns together, and sometimes apart again."""
    batch, *inner, channels = growth.shape(x) if len(growth.shape(x)) > 1 else (1, *growth.shape(x))
    if growth.draw(st.booleans()):
        shape: tuple[int, ...] = (batch, 1, int(np.prod(inner)), channels)
    else:
        shape = (-1, channels)
    return growth.net.add(name, [x], growth.like(x), options(name, new_shape=shape))


@link("RELU", "RELU6")
def _clamp(growth: Growth, x: int, name: str) -> int | None:
    return growth.net.add(name, [x], growth.spec())


@link("LOGISTIC")
def _logistic(growth: Growth, x: int, name: str) -> int | None:
    spec = growth.spec()
    if growth.is_quantized:
        low = int(np.iinfo(growth.kind.dtype).min)
        spec = replace(spec, scale=1 / 256, zero_point=low)
    return growth.net.add(name, [x], spec)


@link("HARD_SWISH")
def _hard_swish(growth: Growth, x: int, name: str) -> int | None:
    return growth.net.add(name, [x], growth.spec())


@link("SOFTMAX")
def _softmax(growth: Growth, x: int, name: str) -> int | None:
    spec = growth.spec()
    if growth.is_quantized:
        low = int(np.iinfo(growth.kind.dtype).min)
        spec = replace(spec, scale=1 / 256, zero_point=low)
    return growth.net.add(name, [x], spec, options(name, beta=1.0))


@link("PAD")
def _pad(growth: Growth, x: int, name: str) -> int | None:
    rank = len(growth.shape(x))
    paddings = growth.rng.integers(0, 2, (rank, 2)).astype(np.int32)
    return growth.net.add(name, [x, growth.net.tensor(constant(paddings))], growth.like(x))


@link("TRANSPOSE")
def _transpose(growth: Growth, x: int, name: str) -> int | None:
    order = np.array(growth.draw(st.permutations(range(len(growth.shape(x))))), np.int32)
    return growth.net.add(name, [x, growth.net.tensor(constant(order))], growth.like(x))


@link("MEAN")
def _mean(growth: Growth, x: int, name: str) -> int | None:
    if len(growth.shape(x)) != 4:
        return None
    axes = growth.net.tensor(constant(np.array([1, 2], np.int32)))
    return growth.net.add(name, [x, axes], growth.spec(), options(name, keep_dims=True))


@link("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
def _resize(growth: Growth, x: int, name: str) -> int | None:
    if len(growth.shape(x)) != 4:
        return None
    size = growth.net.tensor(constant(growth.rng.integers(1, 10, 2).astype(np.int32)))
    align, half = growth.draw(st.sampled_from(((False, False), (True, False), (False, True))))
    chosen = options(name, align_corners=align, half_pixel_centers=half)
    return growth.net.add(name, [x, size], growth.like(x), chosen)
