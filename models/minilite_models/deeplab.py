"""The DeepLab family: networks that say of each pixel what it belongs to.

Each function makes a graph that ``minilite.writer.write_graph`` writes as a .tflite file. Float inputs are
[1, height, width, 3] from -1 to 1; outputs are scores [1, height, width, classes], or labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from minilite.graph import Graph
from minilite_models.backbones import RESNET_101, Backbone, Features, mobilenet_v2, resnet, scaled
from minilite_models.network import RELU, Network
from minilite_models.weights import Weights

_RESNET_101: Backbone = partial(resnet, units=RESNET_101, multi_grid=(), name="resnet_v1_101")
"""As DeepLab v2 has it: the multi-grid is of v3."""


@dataclass(frozen=True)
class Settings:
    """What the networks of the family have in common.

    Attributes
    ----------
    size:
        Height and width of the picture, of any two sizes.
    classes:
        How many there are.
    width:
        What the backbone's channels are multiplied by.
    weights:
        Where they come from; by default drawn from seed 0.
    argmax:
        Give labels, int64 [1, height, width], instead of scores.
    resizable:
        Let the input be given another height and width (``resize_tensor_input``).
    align_corners:
        How pictures are resized, see ``Network``.
    """

    size: tuple[int, int] = (257, 257)
    classes: int = 21
    width: float = 1.0
    weights: Weights | None = None
    argmax: bool = False
    resizable: bool = False
    align_corners: bool = True

    def begin(self) -> tuple[Network, int]:
        """A network that has an input, and that."""
        net = Network(self.weights, resizable=self.resizable, align_corners=self.align_corners)
        return net, net.input(*self.size)

    def finish(self, net: Network, scores: int, picture: int, description: str) -> Graph:
        """The network with its scores brought to the size of the picture."""
        output = net.resize(scores, "ResizeBilinear", picture)
        if self.argmax:
            output = net.argmax(output, "SemanticPredictions")
        return net.graph(output, description)


def deeplab_v1(settings: Settings = Settings(), *, large_field_of_view: bool = True) -> Graph:
    """DeepLab: VGG-16 made fully convolutional, with holes.

    Chen et al. 2015 ("Semantic image segmentation with deep convolutional nets and fully connected CRFs"),
    section 3.1: the last two pools leave nothing out, conv5 has the rate 2, fc6 the rate 4 and 7 x 7 taps;
    scores are at an eighth of the size. With ``large_field_of_view`` fc6 has 3 x 3 taps at rate 12, and fc6
    and fc7 have 1024 channels instead of 4096: section 3.2, and DeepLab-LargeFOV of
    section 5, table 2. Pools are 3 x 3, as in the network that the authors have published. The fully
    connected CRF, which is no part of the network, is left out.
    """
    net, picture = settings.begin()
    x = picture
    for block, (depth, count, stride) in enumerate(
        ((64, 2, 2), (128, 2, 2), (256, 3, 2), (512, 3, 1), (512, 3, 1)), 1
    ):
        for number in range(1, count + 1):
            layer = f"conv{block}_{number}"
            rate = 2 if block == 5 else 1
            x = net.conv(x, layer, scaled(depth, settings.width), 3, rate=rate, activation=RELU)
        x = net.max_pool(x, f"pool{block}", 3, stride)
    size, rate, depth = (3, 12, 1024) if large_field_of_view else (7, 4, 4096)
    x = net.conv(x, "fc6", scaled(depth, settings.width), size, rate=rate, activation=RELU)
    x = net.conv(x, "fc7", scaled(depth, settings.width), activation=RELU)
    scores = net.conv(x, "fc8", settings.classes)
    name = "DeepLab v1, VGG-16" + (", large field of view" if large_field_of_view else "")
    return settings.finish(net, scores, picture, name)


def deeplab_v2(
    settings: Settings = Settings(),
    *,
    backbone: Backbone = _RESNET_101,
    output_stride: int = 8,
    rates: Sequence[int] = (6, 12, 18, 24),
) -> Graph:
    """DeepLab with atrous spatial pyramid pooling: classifiers of several rates, summed.

    Chen et al. 2017 ("DeepLab: semantic image segmentation with deep convolutional nets, atrous convolution
    and fully connected CRFs"), section 3.2, figure 4 and section 4.1.2: 3 x 3 convolutions at ``rates``
    (ASPP-L), behind a ResNet-101 with an output stride of 8 directly to the classes. The CRF is left out.
    """
    net, picture = settings.begin()
    x = backbone(net, picture, width=settings.width, output_stride=output_stride).high
    scores = net.conv(x, "fc1_c0", settings.classes, 3, rate=rates[0])
    for number, rate in enumerate(rates[1:], 1):
        branch = net.conv(x, f"fc1_c{number}", settings.classes, 3, rate=rate)
        scores = net.add(scores, branch, f"fc1_sum{number}")
    return settings.finish(net, scores, picture, f"DeepLab v2, output stride {output_stride}")


def deeplab_v3(
    settings: Settings = Settings(),
    *,
    backbone: Backbone = mobilenet_v2,
    output_stride: int = 16,
    rates: Sequence[int] | None = None,
    channels: int = 256,
) -> Graph:
    """DeepLab v3: atrous spatial pyramid pooling with image-level features, and no CRF.

    Chen et al. 2017 ("Rethinking atrous convolution for semantic image segmentation"), section 3.3 and figure
    5; with MobileNetV2 as in Sandler et al. 2018, section 6.3.

    Parameters
    ----------
    backbone:
        ``mobilenet_v2``, ``resnet_50`` or another of ``backbones``.
    output_stride:
        8, 16 or 32.
    rates:
        Of the 3 x 3 convolutions; by default 6, 12, 18 at an output stride of 16, the double at 8. None
        at all (``()``) is what the published networks for mobile devices have.
    channels:
        Of each branch.
    """
    net, picture = settings.begin()
    features = backbone(net, picture, width=settings.width, output_stride=output_stride)
    x = aspp(net, features.high, rates_of(output_stride, rates), channels)
    scores = net.conv(x, "logits/semantic", settings.classes)
    return settings.finish(net, scores, picture, f"DeepLab v3, output stride {output_stride}")


def deeplab_v3plus(
    settings: Settings = Settings(),
    *,
    backbone: Backbone = mobilenet_v2,
    output_stride: int = 16,
    rates: Sequence[int] | None = None,
    channels: int = 256,
    low_channels: int = 48,
) -> Graph:
    """DeepLab v3+: v3 as an encoder, with atrous separable convolutions, and a decoder.

    Chen et al. 2018 ("Encoder-decoder with atrous separable convolution for semantic image segmentation"),
    sections 3.1 and 4.1, figure 2: the encoder's output is brought to a quarter of the size, joined with
    ``low_channels`` of the backbone's low-level features, and refined by two 3 x 3 convolutions.

    Parameters
    ----------
    backbone, output_stride, rates, channels:
        See ``deeplab_v3``.
    low_channels:
        What low-level features are reduced to.
    """
    net, picture = settings.begin()
    features = backbone(net, picture, width=settings.width, output_stride=output_stride)
    x = aspp(net, features.high, rates_of(output_stride, rates), channels, separable=True)
    x = decoder(net, x, features, channels, low_channels)
    scores = net.conv(x, "logits/semantic", settings.classes)
    return settings.finish(net, scores, picture, f"DeepLab v3+, output stride {output_stride}")


def rates_of(output_stride: int, rates: Sequence[int] | None) -> Sequence[int]:
    """The rates asked for, or those of Chen et al. 2017, section 3.3: 6, 12, 18 at a stride of 16.

    At 8 they are the double; at 32, which the paper does not have, the half.
    """
    if rates is not None:
        return rates
    return tuple(96 // output_stride * n for n in (1, 2, 3))


def aspp(net: Network, x: int, rates: Sequence[int], channels: int, *, separable: bool = False) -> int:
    """Atrous spatial pyramid pooling.

    Chen et al. 2017 ("Rethinking ..."), section 3.3, figure 5: image-level features, a 1 x 1 convolution and
    3 x 3 ones of several rates side by side, joined by another 1 x 1. ``separable`` as in v3+, where each
    half of a separable convolution has its rectifier.
    """
    pooled = net.conv(net.mean(x, "image_pooling"), "image_pooling", channels, activation=RELU)
    branches = [net.resize(pooled, "image_pooling/ResizeBilinear", x)]
    branches.append(net.conv(x, "aspp0", channels, activation=RELU))
    for number, rate in enumerate(rates, 1):
        layer = f"aspp{number}"
        if separable:
            y = net.separable(x, layer, channels, rate=rate, between=RELU, activation=RELU)
        else:
            y = net.conv(x, layer, channels, 3, rate=rate, activation=RELU)
        branches.append(y)
    joined = net.concat(branches, "concat")
    return net.conv(joined, "concat_projection", channels, activation=RELU)


def decoder(net: Network, x: int, features: Features, channels: int, low_channels: int) -> int:
    """The encoder's output and low-level features to features at a quarter of the size.

    Chen et al. 2018, section 4.1: 1 x 1 to ``low_channels``, then [3 x 3, ``channels``] twice.
    """
    low = net.conv(features.low, "decoder/feature_projection0", low_channels, activation=RELU)
    x = net.concat([net.resize(x, "decoder/ResizeBilinear", low), low], "decoder/concat")
    for number in range(2):
        x = net.separable(x, f"decoder/decoder_conv{number}", channels, between=RELU, activation=RELU)
    return x
