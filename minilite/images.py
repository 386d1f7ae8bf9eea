"""Pictures in: any file Pillow reads becomes 8-bit RGB, upright, with nothing transparent. And out."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from minilite.errors import ImageError

Picture = npt.NDArray[np.uint8]
"""Height x width x 3, RGB."""


def load_image(path: str | Path, frame: int = 0) -> Picture:
    """Read a picture; of an animation, one frame, counted from 0.

    Returns
    -------
    uint8 ``(height, width, 3)`` RGB, turned upright as its EXIF orientation says. Transparency is
    laid over white. 16-bit grey is scaled to 8 bits.

    Raises
    ------
    ImageError
        The file is missing, empty, no picture, damaged, or too large (Pillow's limit against
        decompression bombs), or has no such frame.
    """
    with _opened(Path(path)) as image:
        frames = getattr(image, "n_frames", 1)
        if not 0 <= frame < frames:
            raise ImageError(
                f"{path} has {frames} frame(s), numbered from 0: there is no frame {frame}",
                rule="image-frame",
            )
        image.seek(frame)
        return to_rgb(image)


def load_frames(path: str | Path) -> Iterator[Picture]:
    """Read every frame of an animation, one after the other; a still picture has one.

    Each is given as ``load_image`` gives it, and raises the same errors.
    """
    with _opened(Path(path)) as image:
        for frame in ImageSequence.Iterator(image):
            yield to_rgb(frame)


def to_rgb(image: Image.Image) -> Picture:
    """A Pillow image as ``load_image`` returns it."""
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, colours)
    elif image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    return np.array(image.convert("RGB"))


def check_target(path: Path) -> None:
    """Refuse a file that a picture cannot be written to, before there is a picture to lose.

    Raises
    ------
    ImageError
        The folder is missing or may not be written, the name stands for a folder, or Pillow writes no
        format of that suffix.
    """
    folder = path.parent
    fault = None
    if path.is_dir():
        fault = "is a folder: add a file name"
    elif not folder.is_dir():
        fault = f"cannot be written: there is no folder {folder}, make it first"
    elif not os.access(path if path.exists() else folder, os.W_OK):
        fault = "cannot be written: no permission"
    elif Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        fault = f"has the suffix {path.suffix!r}, in which no picture can be written: use .png"
    if fault is not None:
        raise ImageError(f"{path} {fault}", rule="image-target")


def save_image(image: Image.Image, path: Path) -> None:
    """Write a picture in the format its suffix says.

    Raises
    ------
    ImageError
        It cannot be written; see also ``check_target``.
    """
    check_target(path)
    try:
        # Of PNG's levels, 3 takes less than half the time of the default 6 and a sixth more space.
        image.save(path, compress_level=3)
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be written: {error}", rule="image-target") from error


def _eight_bits(values: npt.NDArray[np.generic]) -> Picture:
    """Grey values that Pillow would clip at 255, scaled instead."""
    if values.dtype.kind == "f":
        full = 1.0 if values.max() <= 1.0 else 255.0
    else:
        # Pillow before 11.3 opens 16-bit grey files as 32-bit integers: the range tells.
        full = 65535.0 if values.max() <= 65535 else float(np.iinfo(np.int32).max)
    return np.rint(np.clip(values.astype(np.float64) / full, 0.0, 1.0) * 255.0).astype(np.uint8)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The file opened by Pillow; whatever goes wrong inside is an ``ImageError``."""
    _check_file(path)
    try:
        with warnings.catch_warnings():
            # Pillow warns at half its limit; phones take pictures of that size.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                yield image
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{path} is not a picture that Pillow can read: give a JPEG, PNG, GIF, TIFF, WebP or BMP file",
            rule="image-format",
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{path} has more pixels than Pillow's limit against decompression bombs allows ({error}): "
            "shrink the picture first",
            rule="image-size",
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise ImageError(
            f"{path} is damaged and cannot be decoded ({error}): save or download it again",
            rule="image-damaged",
        ) from error


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise ImageError(f"{path} is a folder: name one picture in it", rule="image-file")
    if not path.exists():
        raise ImageError(f"{path} does not exist: check the name of the picture", rule="image-file")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise ImageError(f"{path} cannot be opened: {error.strerror}", rule="image-file") from error
    if empty:
        raise ImageError(f"{path} is empty (0 bytes): save or download it again", rule="image-damaged")
