"""Segment drawn scenes and a few well-known photos with DeepLab, and leave figures to look at: ``make demo``.

The scenes need nothing but the package; the photos need a model that is downloaded once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
from minilite_models import scenes
from PIL import Image, ImageDraw, ImageFont

import minilite
from minilite.catalogue import FoundModel, find_model
from minilite.errors import DownloadError, MiniliteError, ModelNotFoundError
from minilite.images import load_image, save_image
from minilite.overlay import INK, PAPER, legend, mask_image, percent, side_by_side
from minilite.segmentation import Segmentation, Segmenter, segmenter_for

SHAPES = "shapes"
SCENES = range(6)
"""Seeds that the model has not been trained on."""

MODELS = ("deeplabv3", "deeplabv3_uint8")
"""For photos: the first that is there."""


def photos() -> dict[str, Path]:
    """The demo photos that installed packages bring along, by name."""
    sources: dict[str, Callable[[], Path]] = {
        "astronaut": lambda: _scikit_image("astronaut.png"),
        "chelsea": lambda: _scikit_image("chelsea.png"),
        "coffee": lambda: _scikit_image("coffee.png"),
        "grace_hopper": _grace_hopper,
    }
    found = {}
    for name, source in sources.items():
        try:
            path = source()
        except ImportError:
            continue
        if path.exists():
            found[name] = path
    return found


def _scikit_image(name: str) -> Path:
    import skimage  # noqa: PLC0415 - an optional extra

    return Path(skimage.__file__).parent / "data" / name


def _grace_hopper() -> Path:
    from matplotlib import cbook  # noqa: PLC0415 - an optional extra

    return Path(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))


def photo_model() -> tuple[str, FoundModel]:
    """The first DeepLab for photos that is there or can be downloaded."""
    missing: list[MiniliteError] = []
    for name in MODELS:
        try:
            return name, find_model(name)
        except (ModelNotFoundError, DownloadError) as error:
            missing.append(error)
    raise missing[0]


def run(output: Path) -> None:
    """Write the figures into ``output``: of scenes, and of photos where there is a model for them."""
    output.mkdir(parents=True, exist_ok=True)
    segment_scenes(output)
    pictures = photos()
    if not pictures:
        print("No photos are segmented, none is installed: pip install 'minilite[demo]' brings them")
        return
    try:
        name, found = photo_model()
    except (ModelNotFoundError, DownloadError) as error:
        print(f"No photos are segmented, their model is missing. {error}")
        return
    segment_photos(name, found, pictures, output)


def segment_scenes(output: Path) -> None:
    """Segment drawn scenes, beside what is true, and say how much of it was found."""
    segment = ready(SHAPES, find_model(SHAPES))
    figures, right = [], []
    for seed in SCENES:
        scene = scenes.draw(seed)
        result = segment(scene.image)
        right.append(float(np.mean(result.labels == scene.truth)))
        note = f"{SHAPES}: {result.run_ms:.0f} ms, {percent(right[-1])} of the pixels right"
        figures.append(side_by_side(result, f"Scene {seed}", note, panel=320, truth=scene.truth))
        target = output / f"scene_{seed}.png"
        save_image(figures[-1], target)
        print(f"{target}: {shares(result)}; {percent(right[-1])} of the pixels right")
    save_image(contact_sheet(figures), output / "scenes.png")
    print(f"{output / 'scenes.png'}: all of them; {percent(float(np.mean(right)))} of the pixels right")


def segment_photos(name: str, found: FoundModel, pictures: Mapping[str, Path], output: Path) -> None:
    """Segment every demo photo."""
    segment = ready(name, found)
    figures, results = [], {}
    for title, path in pictures.items():
        results[title] = result = segment(load_image(path))
        note = f"{name} on {segment.model.backend}, {segment.model.threads} threads: {result.run_ms:.0f} ms"
        figures.append(side_by_side(result, title.replace("_", " ").title(), note))
        target = output / f"{title}.png"
        save_image(figures[-1], target)
        print(f"{target}: {shares(result)}")
    save_image(contact_sheet(figures), output / "all.png")
    save_image(masks_side_by_side(results), output / "masks.png")
    print(f"{output / 'all.png'}: all of them")


def ready(name: str, found: FoundModel) -> Segmenter:
    """The model, loaded; says how long that took."""
    start = perf_counter()
    model = minilite.load(found.path)
    seconds = perf_counter() - start
    print(f"{name} is ready after {seconds:.1f} s ({model.backend}, {model.threads} threads)")
    return segmenter_for(model, found.known)


def shares(result: Segmentation) -> str:
    """The classes found, and how much of the picture each covers."""
    return ", ".join(f"{item.name} {percent(item.share)}" for item in result.classes)


def contact_sheet(figures: Sequence[Image.Image]) -> Image.Image:
    """The figures one below the other."""
    sheet = Image.new("RGB", (max(f.width for f in figures), sum(f.height for f in figures)), PAPER)
    top = 0
    for figure in figures:
        sheet.paste(figure, (0, top))
        top += figure.height
    return sheet


def masks_side_by_side(results: Mapping[str, Segmentation], height: int = 300) -> Image.Image:
    """The masks alone, with what was found below each."""
    margin, letters = 24, 15
    columns = []
    for name, result in results.items():
        width = round(height * result.labels.shape[1] / result.labels.shape[0])
        mask = mask_image(result.labels).convert("RGB").resize((width, height), Image.Resampling.NEAREST)
        strip = legend([item for item in result.classes if item.share >= 0.001], width + 2 * letters, letters)
        columns.append((name.replace("_", " ").title(), mask, strip))
    below = max(strip.height for _, _, strip in columns)
    size = (margin + sum(mask.width + margin for _, mask, _ in columns), 2 * margin + 40 + height + below)
    sheet = Image.new("RGB", size, PAPER)
    draw, left, top = ImageDraw.Draw(sheet), margin, margin + 30
    for title, mask, strip in columns:
        draw.text((left, top - 12), title, INK, ImageFont.load_default(22), anchor="ls")
        sheet.paste(mask, (left, top))
        sheet.paste(strip, (left - letters, top + height))
        left += mask.width + margin
    return sheet


def main() -> int:
    """Run the demo; 2 if it cannot be run here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for the figures")
    try:
        run(parser.parse_args().output)
    except MiniliteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
