"""The DeepLab family's architecture: what the papers say, and what a published file holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from minilite_models.backbones import atrous, mobilenet_v2, resnet_50, scaled, xception
from minilite_models.deeplab import Settings, deeplab_v1, deeplab_v2, deeplab_v3, deeplab_v3plus
from minilite_models.weights import Given

from minilite.graph import Graph, Node, Shape
from minilite.loader import load_graph
from minilite.model import Model
from minilite.prepare import prepare

NARROW = Settings((65, 65), width=0.1)


def rates(graph: Graph, part: str) -> list[int]:
    """Of the convolutions of more than one tap whose name has this part."""
    return [node.options.dilation_h_factor for node in windows(graph, part)]


def windows(graph: Graph, part: str) -> Iterator[Node]:
    for node in graph.main.nodes():
        convolution = "CONV_2D" in node.operator.name
        if convolution and part in node.output.name and node.input(1).shape[1] > 1:
            yield node


def shape(graph: Graph, name: str) -> Shape:
    (found,) = (t.shape for t in graph.main.tensors if t.name == name)
    return found


def test_a_stride_too_many_becomes_a_rate_of_what_follows() -> None:
    strides = [1, 2, 1, 2, 1, 2, 1]
    assert list(atrous(strides, 4)) == [(1, 1), (2, 1), (1, 1), (2, 1), (1, 1), (1, 1), (1, 2)]
    assert list(atrous(strides, 4, begun=4)) == [(1, 1), (1, 1), (1, 2), (1, 2), (1, 4), (1, 4), (1, 8)]


@pytest.mark.parametrize(
    ("channels", "width", "expected"), [(32, 0.35, 16), (16, 0.35, 8), (24, 0.75, 24), (96, 1.4, 136)]
)
def test_channels_are_multiples_of_eight_and_not_a_tenth_less(
    channels: int, width: float, expected: int
) -> None:
    assert scaled(channels, width) == expected


def test_v1_has_the_rates_of_the_paper() -> None:
    graph = deeplab_v1(NARROW)
    assert rates(graph, "conv5") == [2, 2, 2]
    assert rates(graph, "conv4") == [1, 1, 1]
    assert rates(graph, "fc6") == [12]
    assert shape(graph, "fc8/BiasAdd") == (1, 9, 9, 21)
    small_field = deeplab_v1(NARROW, large_field_of_view=False)
    assert rates(small_field, "fc6") == [4]
    assert shape(small_field, "fc6/weights")[1:3] == (7, 7)


def test_v2_sums_four_rates_behind_a_resnet_101() -> None:
    graph = deeplab_v2(NARROW)
    assert rates(graph, "fc1_c") == [6, 12, 18, 24]
    assert len(rates(graph, "bottleneck_v1/conv2")) == 33
    assert rates(graph, "block3/") == [2] * 23
    assert rates(graph, "block4/") == [4, 4, 4]
    sums = [node for node in graph.main.nodes() if node.output.name.startswith("fc1_sum")]
    assert [node.operator.name for node in sums] == ["ADD"] * 3


@pytest.mark.parametrize(
    ("stride", "pyramid", "grid"), [(16, [6, 12, 18], [2, 4, 8]), (8, [12, 24, 36], [4, 8, 16])]
)
def test_v3_doubles_its_rates_with_half_the_stride(stride: int, pyramid: list[int], grid: list[int]) -> None:
    graph = deeplab_v3(NARROW, backbone=resnet_50, output_stride=stride)
    assert rates(graph, "aspp") == pyramid
    assert rates(graph, "block4/") == grid
    size = -(-65 // stride)
    assert shape(graph, "concat") == (1, size, size, 5 * 256)
    assert shape(graph, "image_pooling/Mean")[1:3] == (1, 1)


def test_v3plus_joins_low_level_features_at_a_quarter_of_the_size() -> None:
    for backbone in (mobilenet_v2, resnet_50, xception):
        graph = deeplab_v3plus(NARROW, backbone=backbone)
        assert shape(graph, "decoder/concat") == (1, 17, 17, 256 + 48)
        assert rates(graph, "aspp") == [6, 12, 18]
        names = [node.operator.name for node in windows(graph, "aspp")]
        assert names == ["DEPTHWISE_CONV_2D"] * 3


def test_xception_has_65_layers_with_weights() -> None:
    """Three for each of 20 modules, two at the beginning, and the shortcuts are not counted: 62 + 2 + fc."""
    graph = deeplab_v3plus(NARROW, backbone=xception)
    separable = [
        n for n in graph.main.nodes() if "xception_65" in n.output.name and "depthwise" in n.output.name
    ]
    assert len(separable) == 3 * 21


@pytest.mark.parametrize("size", [(33, 49), (50, 83), (64, 96)])
def test_scores_have_the_size_of_the_picture(size: tuple[int, int]) -> None:
    for make in (deeplab_v1, deeplab_v2, deeplab_v3, deeplab_v3plus):
        graph = make(Settings(size, classes=5, width=0.1))
        assert graph.main.tensors[graph.main.outputs[0]].shape == (1, *size, 5)


FULL_DEPTH: dict[str, Callable[[Settings], Graph]] = {
    "v1": deeplab_v1,
    "v2": deeplab_v2,
    "v3": deeplab_v3,
    "v3-resnet": partial(deeplab_v3, backbone=resnet_50, output_stride=8),
    "v3plus": deeplab_v3plus,
    "v3plus-xception": partial(deeplab_v3plus, backbone=xception),
}


@pytest.mark.parametrize("name", FULL_DEPTH)
@pytest.mark.parametrize("width", [0.15, 0.3])
def test_values_of_seeded_networks_neither_vanish_nor_explode(name: str, width: float) -> None:
    graph = FULL_DEPTH[name](Settings((97, 97), width=width))
    x = np.random.default_rng(0).uniform(-1, 1, (1, 97, 97, 3)).astype(np.float32)
    with Model(graph) as model:
        values = model.run_all(x)
    computed = [node.output for node in graph.main.nodes()]
    spreads = {t.name: float(np.std(values[t.index])) for t in computed}
    assert min(spreads.values()) > 0.03, min(spreads.items(), key=lambda item: item[1])
    assert max(spreads.values()) < 8, max(spreads.items(), key=lambda item: item[1])
    scores = values[graph.main.outputs[0]]
    assert scores.std((1, 2)).min() > 0.003  # Scores differ from pixel to pixel.


def test_the_published_network_is_one_of_them(model_path: Callable[[str], Path]) -> None:
    """Its weights, handed in by name, give its scores; it pools in another way and resizes twice."""
    published = load_graph(model_path("deeplabv3_257_mv_gpu.tflite"))
    arrays = {
        t.name.replace("/Conv2D_bias", "/biases").replace("/depthwise_bias", "/biases"): t.data
        for t in published.main.tensors
        if t.data is not None and t.dtype == np.float32
    }
    settings = Settings((257, 257), classes=21, width=0.5, weights=Given(arrays))
    made = deeplab_v3(settings, backbone=partial(mobilenet_v2, divisor=1), output_stride=8, rates=())

    def convolutions(graph: Graph) -> list[tuple[str, Shape, object]]:
        nodes = (n for n in prepare(graph).main.nodes() if "CONV_2D" in n.operator.name)
        return sorted((n.output.name.split("/B")[0], n.input(1).shape, n.options) for n in nodes)

    assert [c[1:] for c in convolutions(made)] == [c[1:] for c in convolutions(published)]
    x = np.random.default_rng(0).uniform(-1, 1, (1, 257, 257, 3)).astype(np.float32)
    with Model(made) as ours, Model(published) as theirs:
        expected = theirs(x)[0]
        np.testing.assert_allclose(ours(x)[0], expected, atol=1e-5 * np.abs(expected).max())
