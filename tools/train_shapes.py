"""Train the packaged model ``shapes`` on scenes drawn as it goes (``pip install 'minilite[train]'``).

DeepLab v3 on MobileNetV2, output stride 8, for 224 x 224 pixels. Training begins with small pictures, which
are quick, and ends with full ones; scenes are the same at any size. Every scene is seen once. The same seed,
versions and one thread make the same weights; an interrupted training goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
import torch
from minilite_models import scenes
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

WIDTH = 0.35
OUTPUT_STRIDE = 8
RATES = (3, 6, 9)
ASPP_CHANNELS = 64

BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, repeats and first stride: MobileNetV2 (Sandler et al. 2018), table 2."""

STAGES = ((96, 1500), (128, 900), (160, 2300), (192, 700), (224, 600))
"""Side of the pictures, and steps."""

SIDE = STAGES[-1][0]

BATCH = 16
LEARNING_RATE = 3e-3
WARM_UP = 100
PERIOD, COSINE_STEPS = 4400, 3100
"""Steps of half a cosine, and how many of them are taken before a straight line down to nothing."""
RESTARTS = ((4700, 1.2e-3, 700), (5400, 8e-4, 600))
"""Where larger pictures begin, from which learning rate, and for how many steps."""
WEIGHT_DECAY = 1e-2
AVERAGE = 0.995
"""What the averaged weights, which are kept, have of themselves after a step."""

TRAINING_SEED = 1_000_000_000
"""The first scene of the training. Smaller seeds are unseen."""

VALIDATION = range(10_000, 10_050)
"""Scenes that the log's figures come from."""


def rounded(channels: float) -> int:
    """The next multiple of 8, not more than a tenth below."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near


class ConvNorm(nn.Sequential):
    """Convolution, batch normalisation, activation; padded as TensorFlow's SAME: more at the end."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int = 1,
        *,
        stride: int = 1,
        rate: int = 1,
        groups: int = 1,
        activation: type[nn.Module] | None = nn.ReLU6,
    ) -> None:
        padding = (size - 1) // 2 * rate if stride == 1 else 0
        layers: list[nn.Module] = [nn.ZeroPad2d((0, 1, 0, 1))] if stride == 2 else []
        layers += [
            nn.Conv2d(inputs, outputs, size, stride, padding, rate, groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        super().__init__(*layers, *([activation()] if activation else []))


class Block(nn.Module):
    """An inverted residual with a linear bottleneck."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, rate: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = ConvNorm(inputs, inner) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(inner, inner, 3, stride=stride, rate=rate, groups=inner)
        self.project = ConvNorm(inner, outputs, activation=None)
        self.residual = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """``(n, inputs, h, w)`` to ``(n, outputs, h / stride, w / stride)``."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class DeepLabV3(nn.Module):
    """Chen et al. 2017, with the backbone of Sandler et al. 2018, section 6.3."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        channels = rounded(32 * WIDTH)
        self.stem = ConvNorm(3, channels, 3, stride=2)
        blocks, total, rate = [], 2, 1
        for expansion, wide, repeats, first in BLOCKS:
            for factor in (first, *[1] * (repeats - 1)):
                stride, atrous = (1, factor) if total >= OUTPUT_STRIDE else (factor, 1)
                blocks.append(Block(channels, rounded(wide * WIDTH), expansion, stride, rate))
                channels, total, rate = rounded(wide * WIDTH), total * stride, rate * atrous
        self.blocks = nn.ModuleList(blocks)
        self.branches = nn.ModuleList(
            [ConvNorm(channels, ASPP_CHANNELS, activation=nn.ReLU)]
            + [ConvNorm(channels, ASPP_CHANNELS, 3, rate=r, activation=nn.ReLU) for r in RATES]
        )
        self.pooled = ConvNorm(channels, ASPP_CHANNELS, activation=nn.ReLU)
        self.join = ConvNorm(ASPP_CHANNELS * (len(RATES) + 2), ASPP_CHANNELS, activation=nn.ReLU)
        self.classify = nn.Conv2d(ASPP_CHANNELS, classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        """``(n, 3, h, w)`` from -1 to 1, to scores ``(n, classes, h, w)``."""
        y = self.stem(x)
        for block in self.blocks:
            y = block(y)
        pooled = self.pooled(y.mean((2, 3), keepdim=True)).expand(-1, -1, *y.shape[2:])
        y = self.classify(self.join(torch.cat([*(branch(y) for branch in self.branches), pooled], 1)))
        return functional.interpolate(y, x.shape[2:], mode="bilinear", align_corners=False)


class Scenes(Dataset[tuple[Tensor, Tensor]]):
    """The scenes of a range of seeds, as what the network is given and what it shall say."""

    def __init__(self, seeds: range, size: int) -> None:
        self.seeds, self.size = seeds, size

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Image float32 ``(3, size, size)``, labels int64 ``(size, size)``."""
        scene = scenes.draw(self.seeds[index], self.size)
        image = torch.from_numpy(scene.image).permute(2, 0, 1).float() / 127.5 - 1
        return image, torch.from_numpy(scene.truth).long()


def batches(first_step: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """``(step, images, labels)`` from a step to the last; a process of its own draws ahead."""
    start = 0
    for size, steps in STAGES:
        begin = max(start, first_step)
        seeds = range(TRAINING_SEED + begin * BATCH, TRAINING_SEED + (start + steps) * BATCH)
        if seeds:
            loader = DataLoader(Scenes(seeds, size), BATCH, num_workers=1, prefetch_factor=4)
            for offset, (images, labels) in enumerate(loader):
                yield begin + offset, images, labels
        start += steps


def learning_rate(step: int) -> float:
    """A short climb, then half a cosine, which ends as a straight line; half a cosine after each restart."""
    for first, highest, steps in reversed(RESTARTS):
        if step >= first:
            return highest * min(1, (step - first + 1) / WARM_UP) * _half_cosine((step - first) / steps)
    if step >= COSINE_STEPS:
        last = RESTARTS[0][0]
        return learning_rate(COSINE_STEPS - 1) * (last - step) / (last - COSINE_STEPS + 1)
    return LEARNING_RATE * min(1, (step + 1) / WARM_UP) * _half_cosine(step / PERIOD)


def _half_cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * share))


@torch.no_grad()
def iou(model: nn.Module, seeds: range, size: int = SIDE) -> npt.NDArray[np.float64]:
    """Intersection over union of each class, over all pixels of some scenes."""
    classes = len(scenes.CLASSES)
    confusion = np.zeros((classes, classes), np.int64)
    model.eval()
    for image, truth in Scenes(seeds, size):
        found = model(image[None])[0].argmax(0)
        confusion += np.bincount((truth * classes + found).numpy().ravel(), minlength=classes**2).reshape(
            confusion.shape
        )
    hits = confusion.diagonal()
    return hits / (confusion.sum(0) + confusion.sum(1) - hits)


@dataclass
class Training:
    """A network, its average and its optimiser, at a step."""

    model: DeepLabV3
    average: DeepLabV3
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0

    @classmethod
    def fresh(cls, seed: int) -> Training:
        """Random weights."""
        torch.manual_seed(seed)
        model = DeepLabV3(len(scenes.CLASSES)).to(memory_format=torch.channels_last)
        decayed = [p for p in model.parameters() if p.ndim > 1]
        rest = [p for p in model.parameters() if p.ndim == 1]
        groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": rest, "weight_decay": 0.0}]
        return cls(model, copy.deepcopy(model), torch.optim.AdamW(groups))

    def learn(self, images: Tensor, labels: Tensor) -> float:
        """One step; the loss before it."""
        self.model.train()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step)
        loss = functional.cross_entropy(
            self.model(images.contiguous(memory_format=torch.channels_last)), labels
        )
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        keep = min(AVERAGE, self.step / (self.step + 10))
        for mean, value in zip(
            self.average.state_dict().values(), self.model.state_dict().values(), strict=True
        ):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - keep)
        return loss.item()

    def save(self, path: Path) -> None:
        """A checkpoint that replaces the last one only when it is whole."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]


def train(training: Training, folder: Path, every: int) -> None:
    """Train to the end; a checkpoint and a line of the log every so many steps."""
    checkpoint, log = folder / "checkpoint.pt", folder / "training.csv"
    losses: list[float] = []
    start = perf_counter() - training.seconds
    for step, images, labels in batches(training.step):
        losses.append(training.learn(images, labels))
        if (step + 1) % every == 0:
            training.seconds = perf_counter() - start
            mean = iou(training.average, VALIDATION).mean()
            row = [
                step + 1,
                images.shape[-1],
                f"{learning_rate(step):.2e}",
                f"{np.mean(losses):.4f}",
                f"{mean:.4f}",
                f"{training.seconds:.0f}",
            ]
            _append(log, row)
            print(*row, flush=True)
            training.save(checkpoint)
            losses.clear()


def _append(log: Path, row: Sequence[object]) -> None:
    new = not log.exists()
    with log.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["step", "size", "learning_rate", "loss", "mean_iou", "seconds"])
        writer.writerow(row)


def main() -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("training"), help="checkpoint and log")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=100, help="steps between checkpoints")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.folder.mkdir(parents=True, exist_ok=True)
    training = Training.fresh(options.seed)
    if (options.folder / "checkpoint.pt").exists():
        training.restore(options.folder / "checkpoint.pt")
    train(training, options.folder, options.every)


if __name__ == "__main__":
    main()
