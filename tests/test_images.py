from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minilite.errors import ImageError
from minilite.images import load_frames, load_image

RED, WHITE = [255, 0, 0], [255, 255, 255]


def test_rgb_stays_as_it_is(tmp_path: Path) -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    loaded = load_image(tmp_path / "a.png")
    assert loaded.dtype == np.uint8
    np.testing.assert_array_equal(loaded, pixels)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, [[10, 20, 30]]),
        (2, [[30, 20, 10]]),
        (3, [[30, 20, 10]]),
        (6, [[10], [20], [30]]),
        (8, [[30], [20], [10]]),
    ],
)
def test_exif_orientation_is_applied(orientation: int, expected: list[list[int]], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.array([[10, 20, 30]], np.uint8)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(load_image(tmp_path / "a.png")[..., 0], expected)


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    rgba = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 51]]], np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png").tolist() == [[RED, WHITE, [204, 204, 204]]]


def test_transparent_palette_entry_is_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png", transparency=1)
    assert load_image(tmp_path / "a.png").tolist() == [[RED, WHITE]]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB", "RGBX"])
def test_every_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    image = Image.new("RGB", (5, 4), (255, 255, 255))
    image = image.convert("LA").convert("PA") if mode == "PA" else _convert(image, mode)
    suffix = ".tiff" if mode in ("CMYK", "LAB") else ".png"
    if mode in ("HSV", "PA", "RGBX", "YCbCr"):
        from minilite.images import to_rgb

        loaded = to_rgb(image)
    else:
        image.save(tmp_path / f"a{suffix}")
        loaded = load_image(tmp_path / f"a{suffix}")
    assert loaded.shape == (4, 5, 3)
    assert loaded.dtype == np.uint8
    assert loaded.min() >= 250


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if mode == "LAB":
        return Image.merge("LAB", [image.getchannel(0), *[Image.new("L", image.size, 128)] * 2])
    return image.convert(mode)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_grey_is_scaled_not_clipped(suffix: str, tmp_path: Path) -> None:
    values = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    assert load_image(tmp_path / f"a.{suffix}")[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("full", [1.0, 255.0])
def test_float_grey(full: float, tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.0, 0.2 * full, full]], np.float32)).save(tmp_path / "a.tiff")
    assert load_image(tmp_path / "a.tiff")[0, :, 1].tolist() == [0, 51, 255]


def test_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert load_image(tmp_path / "a.gif")[0, 0].tolist() == RED
    for number, expected in enumerate(load_frames(tmp_path / "a.gif")):
        assert load_image(tmp_path / "a.gif", number).tolist() == expected.tolist()
    with pytest.raises(ImageError, match=f"has {len(frames)} frame.*no frame {len(frames)}"):
        load_image(tmp_path / "a.gif", len(frames))
    assert [frame[2, 3].tolist() for frame in load_frames(tmp_path / "a.gif")] == [
        RED,
        [0, 255, 0],
        [0, 0, 255],
    ]


def _png(path: Path) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)
    Image.fromarray(noise).save(path)
    return path.read_bytes()


def test_bad_files_say_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    good = _png(path)
    for content, message in [
        (b"", "is empty"),
        (b"just text", "is not a picture"),
        (good[: len(good) // 2], "is damaged"),
        (good[:100] + b"\0" * 200 + good[300:], "is damaged"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ImageError, match=message):
            load_image(path)
    with pytest.raises(ImageError, match="is a folder"):
        load_image(tmp_path)
    with pytest.raises(ImageError, match="does not exist"):
        load_image(tmp_path / "none.png")


def test_a_broken_frame_is_an_image_error(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 40, 40), np.uint8)
    frames = [Image.fromarray(frame) for frame in noise]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    path.write_bytes(path.read_bytes()[:-800])
    with pytest.raises(ImageError, match="is damaged"):
        list(load_frames(path))


def test_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _png(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match="shrink the picture"):
        load_image(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    assert load_image(tmp_path / "a.png").shape == (50, 50, 3)
