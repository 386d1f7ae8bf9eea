"""The DeepLab family by name, in the three types that the TFLite converter writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from minilite.calibration import calibrate
from minilite.errors import ModelNotFoundError
from minilite.executor import Progress
from minilite.graph import Array, Graph
from minilite.post_training import to_float16, to_int8
from minilite_models import scenes
from minilite_models.backbones import (
    RESNET_50,
    RESNET_101,
    Backbone,
    mobilenet_v2,
    resnet,
    resnet_50,
    resnet_101,
    xception,
)
from minilite_models.deeplab import Settings, deeplab_v1, deeplab_v2, deeplab_v3, deeplab_v3plus

TYPES = ("float32", "float16", "int8")

SAMPLES = 4
"""Scenes that int8 models are calibrated with by default."""

_SMALLEST_SCENE = 32


@dataclass(frozen=True)
class Network:
    """A network of the family.

    Attributes
    ----------
    make:
        ``make(settings)``, and where there are backbones ``backbone=`` and ``output_stride=``.
    backbones:
        By name; the first is the default. None: the network has one of its own.
    output_stride:
        The default.
    """

    description: str
    make: Callable[..., Graph]
    backbones: dict[str, Backbone]
    output_stride: int


_BACKBONES: dict[str, Backbone] = {
    "mobilenetv2": mobilenet_v2,
    "resnet50": resnet_50,
    "resnet101": resnet_101,
    "xception": xception,
}

_WITHOUT_GRID: dict[str, Backbone] = {
    "resnet101": partial(resnet, units=RESNET_101, multi_grid=(), name="resnet_v1_101"),
    "resnet50": partial(resnet, units=RESNET_50, multi_grid=(), name="resnet_v1_50"),
}
"""The multi-grid came with v3."""

FAMILY: dict[str, Network] = {
    "deeplabv1": Network("VGG-16, atrous, large field of view (fc6 3 x 3 at rate 12)", deeplab_v1, {}, 8),
    "deeplabv1-7x7": Network(
        "VGG-16, atrous, fc6 7 x 7 at rate 4", partial(deeplab_v1, large_field_of_view=False), {}, 8
    ),
    "deeplabv2": Network("atrous spatial pyramid of four rates, summed", deeplab_v2, _WITHOUT_GRID, 8),
    "deeplabv3": Network("pyramid with image-level features, multi-grid", deeplab_v3, _BACKBONES, 16),
    "deeplabv3plus": Network("v3 with separable convolutions and a decoder", deeplab_v3plus, _BACKBONES, 16),
}


def build(
    name: str, settings: Settings, *, backbone: str | None = None, output_stride: int | None = None
) -> Graph:
    """A network of the family, in float32.

    Parameters
    ----------
    backbone, output_stride:
        By default the network's own. DeepLab v1 has no other.

    Raises
    ------
    ModelNotFoundError
        There is no such network, or it has no such backbone or output stride.
    """
    if name not in FAMILY:
        raise ModelNotFoundError(f"no network {name!r} here: there are {', '.join(FAMILY)}", rule="network")
    network = FAMILY[name]
    stride = output_stride or network.output_stride
    if not network.backbones:
        if backbone is not None or stride != network.output_stride:
            raise ModelNotFoundError(
                f"{name} is a VGG-16 with an output stride of {network.output_stride}, and nothing else",
                rule="network",
            )
        return network.make(settings)
    chosen = backbone or next(iter(network.backbones))
    if chosen not in network.backbones or stride not in (8, 16, 32):
        raise ModelNotFoundError(
            f"no {name} with backbone {chosen!r} and output stride {stride} here: there are "
            f"{', '.join(network.backbones)}, and 8, 16 and 32",
            rule="network",
        )
    return network.make(settings, backbone=network.backbones[chosen], output_stride=stride)


def convert(
    graph: Graph,
    type: str,
    *,
    samples: Sequence[Sequence[Array]] = (),
    float_io: bool = False,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
    compiling: Progress | None = None,
) -> Graph:
    """A float32 network in one of ``TYPES``.

    Parameters
    ----------
    samples:
        What int8 is calibrated with (see ``minilite.calibration``); by default ``SAMPLES`` scenes.
    float_io:
        Inputs and outputs of int8 models in float32.
    threads, progress, compiling:
        See ``minilite.calibration.calibrate``.
    """
    if type == "float32":
        return graph
    if type == "float16":
        return to_float16(graph)
    assert type == "int8"
    _, height, width, _ = graph.main.tensors[graph.main.inputs[0]].shape
    given = samples or [[picture] for picture in example_pictures(height, width, SAMPLES)]
    ranges = calibrate(graph, given, threads=threads, progress=progress, compiling=compiling)
    return to_int8(graph, ranges, float_io=float_io)


def example_pictures(height: int, width: int, count: int) -> Iterator[Array]:
    """Drawn scenes as inputs: float32 [1, height, width, 3] from -1 to 1."""
    for seed in range(count):
        image = scenes.draw(seed, max(height, width, _SMALLEST_SCENE)).image[:height, :width]
        yield image[np.newaxis].astype(np.float32) / np.float32(127.5) - 1
