"""The DeepLab family on LiteRT's reference kernels: the same floats within bounds, the same integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from minilite_models import family
from minilite_models.backbones import resnet, xception
from minilite_models.deeplab import Settings, deeplab_v1, deeplab_v2, deeplab_v3, deeplab_v3plus

from minilite.errors import ModelNotFoundError
from minilite.graph import Array, Graph, TensorType
from minilite.loader import load_graph
from minilite.model import Model
from minilite.prepare import prepare
from minilite.testing.intermediates import oracle_fault
from minilite.testing.oracle import Oracle
from minilite.writer import write_graph

SHALLOW = partial(resnet, units=(2, 1, 2, 3))

NETWORKS: dict[str, Callable[[Settings], Graph]] = {
    "v1": deeplab_v1,
    "v1-7x7": partial(deeplab_v1, large_field_of_view=False),
    "v2": partial(deeplab_v2, backbone=partial(SHALLOW, multi_grid=())),
    "v3": partial(deeplab_v3, channels=24),
    "v3-stride8": partial(deeplab_v3, backbone=SHALLOW, output_stride=8, channels=24),
    "v3plus": partial(deeplab_v3plus, channels=24, low_channels=8),
    "v3plus-xception": partial(
        deeplab_v3plus, backbone=partial(xception, middle_units=1), channels=24, low_channels=8
    ),
}
WIDE, TALL = (33, 49), (50, 35)
"""Maps of 3 x 4 and 4 x 3 at an output stride of 16: all rates are wider."""


@cache
def made(name: str, size: tuple[int, int], kind: str, **settings: Any) -> tuple[Graph, bytes]:
    graph = NETWORKS[name](Settings(size, classes=5, width=0.06, **settings))
    content = write_graph(family.convert(graph, kind, threads=1))
    return load_graph(content), content


def picture(graph: Graph, size: tuple[int, int]) -> Array:
    tensor = graph.main.tensors[graph.main.inputs[0]]
    rng = np.random.default_rng(1)
    if tensor.type is TensorType.INT8:
        return rng.integers(-128, 128, (1, *size, 3), np.int8)
    return rng.uniform(-1, 1, (1, *size, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def oracle(litert: Any) -> Iterator[Oracle]:
    with Oracle("litert-ref") as started:
        yield started


@pytest.mark.parametrize("kind", family.TYPES)
@pytest.mark.parametrize("size", [WIDE, TALL], ids=["33x49", "50x35"])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_agree_with_litert(name: str, size: tuple[int, int], kind: str, oracle: Oracle) -> None:
    graph, content = made(name, size, kind)
    x = picture(graph, size)
    assert oracle.load(content).status == "ran"
    (expected,) = oracle.invoke([x]).outputs
    for backend in ("numpy", "auto"):
        with Model(graph, backend=backend, threads=2) as model:
            (scores,) = model(x)
        if kind == "int8":
            np.testing.assert_array_equal(scores, expected, strict=True)
        else:
            np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert oracle_fault(prepare(graph), content, [x], oracle) is None


@pytest.mark.parametrize("kind", ["float32", "int8"])
@pytest.mark.parametrize("name", ["v2", "v3", "v3plus"])
def test_resizable_networks_take_other_sizes(name: str, kind: str, oracle: Oracle) -> None:
    graph, content = made(name, WIDE, kind, resizable=True, argmax=True)
    fixed, _ = made(name, TALL, kind, argmax=True)
    index = graph.main.inputs[0]
    with Model(graph, threads=1) as model:
        for size in (WIDE, TALL):
            x = picture(graph, size)
            (labels,) = model(x)
            assert labels.shape == (1, *size)
            assert oracle.load(content, resize=[(index, [1, *size, 3])]).status == "ran"
            answer = oracle.invoke([x])
            assert answer.status == "ran", answer.message
            np.testing.assert_array_equal(labels, answer.outputs[0], strict=True)
    if kind == "float32":
        with Model(fixed, threads=1) as model:
            np.testing.assert_array_equal(model(x)[0], labels)


def test_int8_scores_are_near_the_float_ones() -> None:
    for name in ("v1", "v3plus"):
        graph, _ = made(name, WIDE, "float32")
        x = next(family.example_pictures(*WIDE, 1))
        with Model(graph) as floating, Model(made(name, WIDE, "int8")[0]) as quantized:
            scores = floating(x)[0]
            tensor = quantized.outputs[0].quantization
            source = quantized.inputs[0].quantization
            assert tensor is not None
            assert source is not None
            steps = np.clip(np.rint(x / source.scale) + source.zero_point, -128, 127).astype(np.int8)
            restored = (quantized(steps)[0].astype(np.float32) - tensor.zero_point) * tensor.scale
        assert np.abs(restored - scores).mean() < 0.05 * scores.std()


def test_smaller_types_make_smaller_files() -> None:
    graph = deeplab_v3(Settings(WIDE, width=0.5))
    sizes = [len(write_graph(family.convert(graph, kind))) for kind in family.TYPES]
    assert sizes[1] < 0.55 * sizes[0]
    assert sizes[2] < 0.33 * sizes[0]


def test_every_network_can_be_built_with_each_of_its_backbones() -> None:
    small = Settings((33, 33), classes=2, width=0.02)
    for name, network in family.FAMILY.items():
        for backbone in network.backbones or [None]:
            graph = family.build(name, small, backbone=backbone)
            assert graph.main.tensors[graph.main.outputs[0]].shape == (1, 33, 33, 2)


@pytest.mark.parametrize(
    ("name", "choice"),
    [("deeplabv4", {}), ("deeplabv1", {"backbone": "resnet50"}), ("deeplabv3", {"output_stride": 12})],
)
def test_what_there_is_not_is_said(name: str, choice: dict[str, Any]) -> None:
    with pytest.raises(ModelNotFoundError, match=name):
        family.build(name, Settings(), **choice)
