"""Write the packaged models ``shapes`` and ``shapes-int8`` from what tools/train_shapes.py has trained."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import train_shapes
from minilite_models import scenes
from minilite_models.deeplab import Settings, deeplab_v3
from minilite_models.weights import Given
from torch import nn

from minilite.calibration import calibrate
from minilite.graph import Graph
from minilite.model import Model
from minilite.post_training import to_int8
from minilite.writer import write_graph

Arrays = dict[str, npt.NDArray[np.float32]]

EPSILON = 1e-5
"""Of PyTorch's batch normalisation."""

CALIBRATION = range(train_shapes.TRAINING_SEED, train_shapes.TRAINING_SEED + 64)
"""Scenes whose ranges the int8 model is made for."""


def arrays(model: train_shapes.DeepLabV3) -> Arrays:
    """The network's weights by the names, and in the layout, that ``minilite_models`` gives them."""
    layers = {"MobilenetV2/Conv": model.stem, "image_pooling": model.pooled}
    for number, block in enumerate(model.blocks):
        scope = f"MobilenetV2/expanded_conv_{number}" if number else "MobilenetV2/expanded_conv"
        parts = {"expand": block.expand, "depthwise": block.depthwise, "project": block.project}
        layers |= {
            f"{scope}/{name}": part for name, part in parts.items() if isinstance(part, train_shapes.ConvNorm)
        }
    layers |= {f"aspp{number}": branch for number, branch in enumerate(model.branches)}
    found: Arrays = {}
    for name, layer in layers.items():
        found |= _convolution(name, layer)
    # The builder joins the image's features first, the training last.
    join = _convolution("concat_projection", model.join)
    weights = join["concat_projection/weights"]
    join["concat_projection/weights"] = np.roll(weights, train_shapes.ASPP_CHANNELS, -1)
    return found | join | _convolution("logits/semantic", nn.Sequential(model.classify))


def _convolution(name: str, layer: nn.Sequential) -> Arrays:
    """A convolution, and its batch normalisation if it has one."""
    found: dict[str, Any] = {}
    for module in layer:
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            found[f"{name}/depthwise_weights"] = module.weight[:, 0].permute(1, 2, 0)[None]
        elif isinstance(module, nn.Conv2d):
            found[f"{name}/weights"] = module.weight.permute(0, 2, 3, 1)
            if module.bias is not None:
                found[f"{name}/biases"] = module.bias
        elif isinstance(module, nn.BatchNorm2d):
            found[f"{name}/BatchNorm/gamma"] = module.weight
            found[f"{name}/BatchNorm/beta"] = module.bias
            found[f"{name}/BatchNorm/moving_mean"] = module.running_mean
            found[f"{name}/BatchNorm/moving_variance"] = module.running_var
    return {key: np.ascontiguousarray(value.detach().numpy()) for key, value in found.items()}


def float_model(model: train_shapes.DeepLabV3) -> Graph:
    """The trained network as a graph, batch normalisation folded."""
    settings = Settings(
        size=(scenes.SIZE, scenes.SIZE),
        classes=len(scenes.CLASSES),
        width=train_shapes.WIDTH,
        weights=Given(arrays(model), epsilon=EPSILON),
        align_corners=False,
    )
    return deeplab_v3(
        settings,
        output_stride=train_shapes.OUTPUT_STRIDE,
        rates=train_shapes.RATES,
        channels=train_shapes.ASPP_CHANNELS,
    )


def int8_model(graph: Graph) -> Graph:
    """The same in int8, per channel, quantized after the training."""
    return to_int8(graph, calibrate(graph, ([picture] for picture in pictures(CALIBRATION))))


def pictures(seeds: range) -> Iterator[npt.NDArray[np.float32]]:
    """Scenes as the network is given them: ``(1, 224, 224, 3)`` from -1 to 1."""
    for seed in seeds:
        yield scenes.draw(seed).image[np.newaxis].astype(np.float32) / np.float32(127.5) - 1


@torch.no_grad()
def largest_difference(graph: Graph, model: train_shapes.DeepLabV3, seeds: range) -> float:
    """Between the scores that minilite and PyTorch compute."""
    run = Model(graph)
    worst = 0.0
    for picture in pictures(seeds):
        expected = model(torch.from_numpy(picture).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
        worst = max(worst, float(np.abs(run(picture)[0] - expected).max()))
    return worst


def main() -> None:
    """Write both files, and print what ``models.toml`` says of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=Path("training/checkpoint.pt"))
    parser.add_argument("--folder", type=Path, default=Path("models/minilite_models"))
    options = parser.parse_args()
    training = train_shapes.Training.fresh(0)
    training.restore(options.checkpoint)
    model = training.average.eval()
    graph = float_model(model)
    difference = largest_difference(graph, model, range(8))
    print(f"step {training.step}; minilite and PyTorch differ by {difference:.1e}")
    for name, made in (("shapes", graph), ("shapes_int8", int8_model(graph))):
        data = write_graph(made)
        path = options.folder / f"{name}.tflite"
        path.write_bytes(data)
        print(f'file = "{path.name}"\nsha256 = "{hashlib.sha256(data).hexdigest()}"\nbytes = {len(data)}')


if __name__ == "__main__":
    main()
