"""``minilite segment``: a photo in, its classes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from minilite.cli._console import Printer
    from minilite.segmentation import ClassShare


def command(
    photo: Annotated[Path, typer.Argument(help="Any picture Pillow can read.")],
    model: Annotated[str, typer.Option(help="Name of a known model, or a .tflite file.")] = "deeplabv3",
    output: Annotated[
        Path | None,
        typer.Option(help="Overlay to write.", show_default="<photo>_overlay.png"),
    ] = None,
    mask: Annotated[Path | None, typer.Option(help="Paletted PNG mask to write.")] = None,
    frame: Annotated[int, typer.Option(min=0, help="Frame of an animation, from 0.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, show_default="all processors")] = None,
    backend: Annotated[str, typer.Option(help="auto, numba or numpy.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Label every pixel of a photo: classes, an overlay with a legend, a mask."""
    start = perf_counter()
    from minilite.cli._console import Printer, print_json
    from minilite.cli._loading import locate, open_model
    from minilite.images import load_image, save_image
    from minilite.overlay import mask_image, overlay_image
    from minilite.segmentation import segmenter_for

    output = output or Path(f"{photo.stem}_overlay.png")
    _check_targets(photo, output, mask)
    picture = load_image(photo, frame)
    found = locate(model)
    opened = open_model(found, backend=backend, threads=threads)
    segmenter = segmenter_for(opened, found.known)
    loaded = perf_counter()
    result = segmenter(picture)
    save_image(overlay_image(result), output)
    if mask is not None:
        save_image(mask_image(result.labels), mask)
    times = {
        "load": (loaded - start) * 1e3,
        "run": result.run_ms,
        "total": (perf_counter() - start) * 1e3,
    }
    if as_json:
        height, width = result.labels.shape
        print_json(
            {
                "photo": str(photo),
                "frame": frame,
                "width": width,
                "height": height,
                "model": str(found.path),
                "backend": opened.backend,
                "threads": opened.threads,
                "classes": [_as_data(item) for item in result.classes],
                "overlay": str(output),
                "mask": None if mask is None else str(mask),
                "milliseconds": times,
            }
        )
    else:
        _print(Printer(), result.classes, times, [path for path in (output, mask) if path is not None])


def _check_targets(photo: Path, output: Path, mask: Path | None) -> None:
    from minilite.errors import ImageError
    from minilite.images import check_target

    targets = [path for path in (output, mask) if path is not None]
    for path in targets:
        check_target(path)
        if path.exists() and photo.exists() and path.samefile(photo):
            raise ImageError(f"{path} is the photo itself: choose another name", rule="image-target")
    if mask is not None and mask.suffix.lower() != ".png":
        raise ImageError(f"{mask}: a mask is a PNG file, give it the suffix .png", rule="image-target")
    if mask is not None and mask.resolve() == output.resolve():
        raise ImageError(f"{mask} cannot be both overlay and mask", rule="image-target")


def _as_data(found: ClassShare) -> dict[str, Any]:
    return {"label": found.label, "name": found.name, "share": found.share, "colour": _hex(found.colour)}


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _print(
    printer: Printer, classes: Sequence[ClassShare], times: dict[str, float], written: Sequence[Path]
) -> None:
    from rich.text import Text

    def chip(found: ClassShare) -> Text:
        code = _hex(found.colour)
        return Text.assemble(("██ ", code), code) if printer.is_terminal else Text(code)

    printer.table(
        ["class", ">share %", "colour"],
        [(found.name, f"{found.share * 100:.2f}", chip(found)) for found in classes],
    )
    printer.line("  ".join(f"{name} {value:.1f} ms" for name, value in times.items()))
    for path in written:
        printer.line(f"wrote {path}")
