"""The networks that DeepLab computes its features with, made atrous."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple, Protocol

from minilite_models.network import NONE, RELU, RELU6, Network


class Features(NamedTuple):
    """What a backbone gives: tensor numbers.

    Attributes
    ----------
    low:
        Features at a quarter of the picture's size, for the decoder of DeepLab v3+.
    high:
        The last features, at the output stride.
    """

    low: int
    high: int


class Backbone(Protocol):
    """A picture to its features."""

    def __call__(self, net: Network, x: int, *, width: float, output_stride: int) -> Features:
        """Channels are multiplied by ``width``; the last features are ``output_stride`` times smaller."""


def scaled(channels: int, width: float, divisor: int = 8) -> int:
    """Channels times width, as a multiple of ``divisor`` that is not a tenth less.

    As ``_make_divisible`` of the MobileNets' own code does it; the papers leave it unsaid.
    """
    wanted = channels * width
    near = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return near if near >= 0.9 * wanted else near + divisor


def atrous(strides: Sequence[int], output_stride: int, *, begun: int = 1) -> Iterator[tuple[int, int]]:
    """The stride and the rate of each layer, so that no more than ``output_stride`` is left out.

    What a stride would have left out, the layers behind it leave out between their taps: Chen et al. 2017
    ("Rethinking atrous convolution"), section 3.1. ``begun`` is the stride of what comes before.
    """
    total, rate = begun, 1
    for stride in strides:
        if total * stride <= output_stride:
            total *= stride
            yield stride, rate
        else:
            yield 1, rate
            rate *= stride


MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, repeats and first stride: Sandler et al. 2018, table 2."""


def mobilenet_v2(
    net: Network, x: int, *, width: float = 1.0, output_stride: int = 16, divisor: int = 8
) -> Features:
    """MobileNetV2 up to its last inverted residual, as DeepLab uses it.

    Sandler et al. 2018 ("MobileNetV2: inverted residuals and linear bottlenecks"), table 2 and section 6.3.
    Channels are multiples of ``divisor``. The low-level features are the expanded ones of the last block at a
    quarter of the size.
    """
    x = net.conv(x, "MobilenetV2/Conv", scaled(32, width, divisor), 3, stride=2, activation=RELU6)
    blocks = [
        (expansion, channels, stride if number == 0 else 1)
        for expansion, channels, repeats, stride in MOBILENET_V2
        for number in range(repeats)
    ]
    low, total = x, 2
    for number, ((expansion, channels, _), (stride, rate)) in enumerate(
        zip(blocks, atrous([b[2] for b in blocks], output_stride, begun=2), strict=True)
    ):
        scope = f"MobilenetV2/expanded_conv_{number}" if number else "MobilenetV2/expanded_conv"
        depth = scaled(channels, width, divisor)
        total *= stride
        inner, x = _inverted_residual(net, x, scope, expansion, depth, stride, rate)
        low = inner if total == 4 else low
    return Features(low, x)


def _inverted_residual(
    net: Network, x: int, scope: str, expansion: int, channels: int, stride: int, rate: int
) -> tuple[int, int]:
    """Sandler et al. 2018, section 3.3 and table 1: what was filtered, and the output."""
    inner = x
    if expansion > 1:
        inner = net.conv(x, f"{scope}/expand", expansion * net.channels(x), activation=RELU6)
    inner = net.depthwise(inner, f"{scope}/depthwise", stride=stride, rate=rate, activation=RELU6)
    y = net.conv(inner, f"{scope}/project", channels)
    if stride == 1 and channels == net.channels(x):
        y = net.add(y, x, f"{scope}/add")
    return inner, y


RESNET_50, RESNET_101 = (3, 4, 6, 3), (3, 4, 23, 3)
"""Units of each block: He et al. 2016, table 1."""

MULTI_GRID = (1, 2, 4)
"""Rates of the last block's units, in units of its own: Chen et al. 2017, section 3.2.1 and table 5."""


def resnet(
    net: Network,
    x: int,
    *,
    width: float = 1.0,
    output_stride: int = 16,
    units: Sequence[int] = RESNET_50,
    multi_grid: Sequence[int] = MULTI_GRID,
    name: str = "resnet_v1_50",
) -> Features:
    """A residual network of bottlenecks.

    He et al. 2016 ("Deep residual learning"), table 1; as in DeepLab's code a block's stride is that of its
    last unit, in the 3 x 3 convolution. Low-level features are those of the first block before its stride
    (behind the addition, where DeepLab's code takes them before).

    Parameters
    ----------
    units:
        Of each of the four blocks.
    multi_grid:
        Rates of the last block's first units; those of further units are 1.
    """
    x = net.conv(x, f"{name}/conv1", scaled(64, width), 7, stride=2, activation=RELU)
    x = net.max_pool(x, f"{name}/pool1", 3, 2)
    strides = [
        2 if unit == count - 1 and block < 3 else 1
        for block, count in enumerate(units)
        for unit in range(count)
    ]
    steps = atrous(strides, output_stride, begun=4)
    low = x
    for block, count in enumerate(units):
        depth = scaled(64 * 2**block, width)
        for unit, (stride, rate) in enumerate(islice(steps, count)):
            grid = multi_grid[unit] if block == 3 and unit < len(multi_grid) else 1
            scope = f"{name}/block{block + 1}/unit_{unit + 1}/bottleneck_v1"
            if block == 0 and unit == count - 1 and count > 1:
                low = x
            x = _bottleneck(net, x, scope, depth, stride, rate * grid)
    return Features(low, x)


resnet_50: Backbone = partial(resnet, units=RESNET_50, name="resnet_v1_50")
resnet_101: Backbone = partial(resnet, units=RESNET_101, name="resnet_v1_101")


def _bottleneck(net: Network, x: int, scope: str, depth: int, stride: int, rate: int) -> int:
    """He et al. 2016, figure 5, to the right."""
    y = net.conv(x, f"{scope}/conv1", depth, activation=RELU)
    y = net.conv(y, f"{scope}/conv2", depth, 3, stride=stride, rate=rate, activation=RELU)
    y = net.conv(y, f"{scope}/conv3", 4 * depth)
    if net.channels(x) != 4 * depth:
        x = net.conv(x, f"{scope}/shortcut", 4 * depth, stride=stride)
    elif stride > 1:
        x = net.max_pool(x, f"{scope}/shortcut", 1, stride)
    return net.add(x, y, f"{scope}/Relu", RELU)


class Module(NamedTuple):
    """Three separable convolutions of an Xception.

    Attributes
    ----------
    depths:
        Output channels of each.
    stride:
        Of the last.
    skip:
        Whether the input is added: ``"conv"`` behind a convolution, ``"sum"`` as it is, ``"none"``.
    """

    name: str
    depths: tuple[int, int, int]
    stride: int
    skip: str


def xception(
    net: Network, x: int, *, width: float = 1.0, output_stride: int = 16, middle_units: int = 16
) -> Features:
    """The aligned Xception: deeper, and separable convolutions with strides instead of pools.

    Chen et al. 2018 ("Encoder-decoder with atrous separable convolution"), section 3.2 and figure 4, with
    ``middle_units`` instead of the 16 of its middle flow. Low-level features are those of the second module
    before its stride.
    """
    scope = "xception_65"
    x = net.conv(x, f"{scope}/entry_flow/conv1_1", scaled(32, width), 3, stride=2, activation=RELU)
    x = net.conv(x, f"{scope}/entry_flow/conv1_2", scaled(64, width), 3, activation=RELU)
    modules = [
        Module("entry_flow/block1/unit_1", (128, 128, 128), 2, "conv"),
        Module("entry_flow/block2/unit_1", (256, 256, 256), 2, "conv"),
        Module("entry_flow/block3/unit_1", (728, 728, 728), 2, "conv"),
        *(Module(f"middle_flow/block1/unit_{n + 1}", (728, 728, 728), 1, "sum") for n in range(middle_units)),
        Module("exit_flow/block1/unit_1", (728, 1024, 1024), 2, "conv"),
        Module("exit_flow/block2/unit_1", (1536, 1536, 2048), 1, "none"),
    ]
    low = x
    steps = atrous([module.stride for module in modules], output_stride, begun=2)
    for module, (stride, rate) in zip(modules, steps, strict=True):
        depths = [scaled(depth, width) for depth in module.depths]
        inner, x = _xception_module(net, x, f"{scope}/{module.name}", depths, stride, rate, module.skip)
        low = inner if module.name == "entry_flow/block2/unit_1" else low
    return Features(low, x)


def _xception_module(
    net: Network, x: int, scope: str, depths: Sequence[int], stride: int, rate: int, skip: str
) -> tuple[int, int]:
    """The second separable convolution's output, and the module's.

    Where the input is added, rectifiers stand before the convolutions, so that sums keep their sign; else
    behind each half of one.
    """
    inside = RELU if skip == "none" else NONE
    y, second = x, x
    for number, depth in enumerate(depths, 1):
        layer = f"{scope}/xception_module/separable_conv{number}"
        y = net.relu(y, layer) if inside is NONE else y
        last = stride if number == len(depths) else 1
        y = net.separable(y, layer, depth, stride=last, rate=rate, between=inside, activation=inside)
        second = y if number == 2 else second
    if skip == "conv":
        x = net.conv(x, f"{scope}/xception_module/shortcut", depths[-1], stride=stride)
    if skip != "none":
        y = net.add(y, x, f"{scope}/xception_module/add")
    return second, y
