"""Segment a few well-known photos with DeepLab and leave figures to look at: ``make demo``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

from PIL import Image

import minilite
from minilite.catalogue import FoundModel, find_model
from minilite.errors import DownloadError, MiniliteError, ModelNotFoundError
from minilite.images import load_image, save_image
from minilite.overlay import PAPER, percent, side_by_side
from minilite.segmentation import segmenter_for

MODELS = ("deeplabv3", "deeplabv3_uint8")


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


def first_model() -> tuple[str, FoundModel]:
    """The first DeepLab that is there or can be downloaded."""
    missing: list[MiniliteError] = []
    for name in MODELS:
        try:
            return name, find_model(name)
        except (ModelNotFoundError, DownloadError) as error:
            missing.append(error)
    raise ModelNotFoundError(
        f"{missing[0]}.\nThe demo segments with one of {', '.join(MODELS)} and has neither: "
        "MINILITE_MODELS=<folder> make demo",
        rule="demo-model",
    )


def run(output: Path) -> None:
    """Segment every demo photo and write the figures into ``output``."""
    pictures = photos()
    if not pictures:
        raise ModelNotFoundError(
            "no demo photo is installed: pip install 'minilite[demo]' brings them", rule="demo-photos"
        )
    model_name, found = first_model()
    output.mkdir(parents=True, exist_ok=True)
    start = perf_counter()
    model = minilite.load(found.path, progress=_show_compiling)
    seconds = perf_counter() - start
    print(f"{model_name} is ready after {seconds:.1f} s ({model.backend}, {model.threads} threads)")
    segment = segmenter_for(model, found.known)
    figures = []
    for name, path in pictures.items():
        result = segment(load_image(path))
        note = f"{model_name} on {model.backend}, {model.threads} threads: {result.run_ms:.0f} ms"
        figures.append(side_by_side(result, name.replace("_", " ").title(), note))
        target = output / f"{name}.png"
        save_image(figures[-1], target)
        shares = ", ".join(f"{item.name} {percent(item.share)}" for item in result.classes)
        print(f"{target}: {shares}")
    save_image(contact_sheet(figures), output / "all.png")
    print(f"{output / 'all.png'}: all of them")


def contact_sheet(figures: Sequence[Image.Image]) -> Image.Image:
    """The figures one below the other."""
    sheet = Image.new("RGB", (max(f.width for f in figures), sum(f.height for f in figures)), PAPER)
    top = 0
    for figure in figures:
        sheet.paste(figure, (0, top))
        top += figure.height
    return sheet


def _show_compiling(done: int, total: int, name: str) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(
            f"\rcompiling kernels, once on this machine: {done}/{total} {name:<40}", end=end, file=sys.stderr
        )


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
