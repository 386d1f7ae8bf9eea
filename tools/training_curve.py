"""Draw ``docs/training.png`` from ``docs/training.csv``, which tools/train_shapes.py has written."""

from __future__ import annotations

import csv
from pathlib import Path

from matplotlib import pyplot

DOCS = Path(__file__).parent.parent / "docs"


def main() -> None:
    """Loss and validation figure over steps; the picture's size as shades."""
    with (DOCS / "training.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    figure, left = pyplot.subplots(figsize=(8, 4.2), layout="constrained")
    right = left.twinx()
    left.plot(steps, [float(row["loss"]) for row in rows], color="#b5651d", label="cross-entropy, training")
    right.plot(steps, [float(row["mean_iou"]) for row in rows], color="#1f5fa8", label="mean IoU, validation")
    for shade, size in enumerate(sorted({int(row["size"]) for row in rows})):
        seen = [step for step, row in zip(steps, rows, strict=True) if int(row["size"]) == size]
        first = seen[0] - (steps[1] - steps[0])
        left.axvspan(first, seen[-1], color="black", alpha=0.04 + 0.04 * shade, linewidth=0)
        left.annotate(
            f"{size} x {size}",
            ((first + seen[-1]) / 2, 0.02),
            ha="center",
            xycoords=left.get_xaxis_transform(),
        )
    left.set(xlabel="step", ylabel="cross-entropy", ylim=(0, None), xlim=(0, steps[-1]))
    right.set(ylabel="mean IoU, validation", ylim=(0, 1))
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    figure.savefig(DOCS / "training.png", dpi=110)


if __name__ == "__main__":
    main()
