"""Pictures out: the paletted mask, and the photo with its classes laid over it and a legend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from minilite.images import Picture
from minilite.palette import voc_colours
from minilite.segmentation import BACKGROUND, ClassShare, Labels, Segmentation

ALPHA = 0.5
INK, FAINT_INK, PAPER, EDGE = "#1c1e21", "#6b7075", "#ffffff", "#c9ccd1"


def mask_image(labels: Labels) -> Image.Image:
    """The labels as a paletted image (mode ``P``) in PASCAL VOC's colours: pixel values are labels."""
    image = Image.fromarray(labels)
    image.putpalette(voc_colours().tobytes())
    return image


def tinted(segmentation: Segmentation, alpha: float = ALPHA) -> Picture:
    """The photo with each class but the background tinted in its colour and outlined in white.

    ``alpha`` is the colour's part of a tinted pixel, 0 to 1.
    """
    labels, photo = segmentation.labels, segmentation.photo
    background = [found.label for found in segmentation.classes if found.name == BACKGROUND]
    colours = voc_colours()
    weights = np.full(256, alpha, np.float32)
    weights[background] = 0.0
    result = np.empty_like(photo)
    # A row at a time: a large photo as float32 would take four times its own memory.
    for row in range(photo.shape[0]):
        weight = weights[labels[row], np.newaxis]
        result[row] = np.rint(photo[row] * (1 - weight) + colours[labels[row]] * weight)
    outline = _outline(labels, max(1, round(min(labels.shape) / 400)))
    outline &= weights[labels] > 0
    result[outline] = 255
    return result


def _outline(labels: Labels, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Pixels within ``width`` of another label, seen along rows and columns."""
    edge = np.zeros(labels.shape, np.bool_)
    for distance in range(1, width + 1):
        across = labels[:, distance:] != labels[:, :-distance]
        edge[:, distance:] |= across
        edge[:, :-distance] |= across
        down = labels[distance:] != labels[:-distance]
        edge[distance:] |= down
        edge[:-distance] |= down
    return edge


def overlay_image(segmentation: Segmentation, alpha: float = ALPHA) -> Image.Image:
    """The tinted photo, and below it a strip with the classes found and their shares.

    The photo keeps its size and stands at the top left; the strip covers nothing of it. Only a photo
    too narrow for the legend's longest entry is continued in white on the right.
    """
    photo = Image.fromarray(tinted(segmentation, alpha))
    strip = legend(segmentation.classes, photo.width)
    canvas = Image.new("RGB", (max(photo.width, strip.width), photo.height + strip.height), PAPER)
    canvas.paste(photo, (0, 0))
    canvas.paste(strip, (0, photo.height))
    return canvas


def side_by_side(
    segmentation: Segmentation, title: str, note: str = "", panel: int = 460, truth: Labels | None = None
) -> Image.Image:
    """A figure: input, truth if known, mask and overlay, each ``panel`` pixels wide, with a legend below.

    ``title`` stands above them at the left, ``note`` smaller at the right.
    """
    margin, gap, letters = 32, 16, 18
    height = round(panel * segmentation.photo.shape[0] / segmentation.photo.shape[1])
    known = [] if truth is None else [("truth", mask_image(truth).convert("RGB"), Image.Resampling.NEAREST)]
    panels = (
        ("input", Image.fromarray(segmentation.photo), Image.Resampling.LANCZOS),
        *known,
        ("mask", mask_image(segmentation.labels).convert("RGB"), Image.Resampling.NEAREST),
        ("overlay", Image.fromarray(tinted(segmentation)), Image.Resampling.LANCZOS),
    )
    width = 2 * margin + len(panels) * (panel + gap) - gap
    strip = legend(segmentation.classes, width - 2 * (margin - letters), letters)
    top, caption = 84, 30
    figure = Image.new("RGB", (width, top + height + caption + strip.height + margin), PAPER)
    draw = ImageDraw.Draw(figure)
    draw.text((margin, top - 24), title, INK, ImageFont.load_default(28), anchor="ls")
    draw.text((width - margin, top - 24), note, FAINT_INK, ImageFont.load_default(letters), anchor="rs")
    for number, (name, image, resampling) in enumerate(panels):
        left = margin + number * (panel + gap)
        figure.paste(image.resize((panel, height), resampling), (left, top))
        middle = (left + panel / 2, top + height + caption / 2 + 4)
        draw.text(middle, name, FAINT_INK, ImageFont.load_default(16), anchor="mm")
    # The legend's own margin is as wide as its letters: its entries line up with the panels.
    figure.paste(strip, (margin - letters, top + height + caption))
    return figure


def legend(classes: Sequence[ClassShare], width: int, size: int | None = None) -> Image.Image:
    """A white strip that lists classes in rows: colour, name, share of the picture.

    ``size`` is the height of the letters in pixels, by default in proportion to ``width``.
    """
    size = size or int(np.clip(width / 36, 13, 96))
    font = ImageFont.load_default(size)
    chip, gap, margin, line = size, size // 2, size, round(size * 1.8)
    entries = [(found, found.name, percent(found.share)) for found in classes]
    widths = [
        round(chip + 2 * gap + font.getlength(name) + font.getlength(share)) for _, name, share in entries
    ]
    places, x, y = [], margin, 0
    for entry_width in widths:
        if x > margin and x + entry_width + margin > width:
            x, y = margin, y + line
        places.append((x, y))
        x += entry_width + 2 * gap
    needed = max((x + w for (x, _), w in zip(places, widths, strict=True)), default=0) + margin
    strip = Image.new("RGB", (max(width, needed), y + line + margin), PAPER)
    draw = ImageDraw.Draw(strip)
    for (found, name, share), (left, top) in zip(entries, places, strict=True):
        middle = top + (margin + line) // 2
        box = (left, middle - chip // 2, left + chip, middle + chip - chip // 2)
        draw.rounded_rectangle(box, radius=chip // 5, fill=found.colour, outline=EDGE)
        text = left + chip + gap
        draw.text((text, middle), name, INK, font, anchor="lm")
        draw.text((text + font.getlength(name) + gap, middle), share, FAINT_INK, font, anchor="lm")
    return strip


def percent(share: float) -> str:
    """A share as people read it: ``12.3 %``, ``<0.1 %``."""
    return "<0.1 %" if 0 < share < 0.001 else f"{share:.1%}".replace("%", " %")
