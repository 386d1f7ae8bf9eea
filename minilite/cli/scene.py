"""``minilite scene``: a picture to segment, and what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another scene.")] = 0,
    output: Annotated[Path, typer.Option(help="Picture to write; with --count, a folder.")] = Path(
        "scene.png"
    ),
    truth: Annotated[
        Path | None, typer.Option(help="Paletted PNG mask of what is there; with --count, a folder.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=32, max=4096, help="Height and width in pixels.", show_default="what shapes reads"),
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Scenes to draw, from the seed on, as OUTPUT/<seed>.png.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was drawn as JSON.")] = False,
) -> None:
    """Draw a scene of shapes, as the model "shapes" segments them, and its true labels."""
    from minilite_models import scenes
    from PIL import Image

    from minilite.cli._console import Printer, print_json, progress_bar
    from minilite.images import save_image
    from minilite.overlay import mask_image, percent
    from minilite.segmentation import class_shares

    seeds = range(seed, seed + (count or 1))
    targets = [
        (_target(output, n, count), None if truth is None else _target(truth, n, count)) for n in seeds
    ]
    for folder in {path.parent for pair in targets for path in pair if path is not None and count}:
        folder.mkdir(parents=True, exist_ok=True)
    _check(*targets[0])
    drawn = []
    with progress_bar() as show:
        for number, (picture, mask) in zip(seeds, targets, strict=True):
            show(number - seed, len(seeds), "drawing")
            scene = scenes.draw(number, size or scenes.SIZE)
            save_image(Image.fromarray(scene.image), picture)
            if mask is not None:
                save_image(mask_image(scene.truth), mask)
            drawn.append((number, picture, mask, class_shares(scene.truth, scenes.CLASSES)))
    if as_json:
        print_json(
            [
                {
                    "seed": number,
                    "picture": str(picture),
                    "truth": None if mask is None else str(mask),
                    "shares": {found.name: found.share for found in classes},
                }
                for number, picture, mask, classes in drawn
            ]
        )
        return
    printer = Printer()
    printer.table(
        [">seed", "picture", "truth", "classes"],
        [
            (
                str(number),
                str(picture),
                "" if mask is None else str(mask),
                ", ".join(f"{found.name} {percent(found.share)}" for found in classes),
            )
            for number, picture, mask, classes in drawn
        ],
    )


def _target(path: Path, seed: int, count: int | None) -> Path:
    return path if count is None else path / f"{seed}.png"


def _check(picture: Path, mask: Path | None) -> None:
    """Refuse what cannot be written before anything is drawn."""
    from minilite.errors import ImageError
    from minilite.images import check_target

    check_target(picture)
    if mask is not None:
        check_target(mask)
        if mask.resolve() == picture.resolve():
            raise ImageError(f"{mask} cannot be both scene and truth", rule="image-target")
