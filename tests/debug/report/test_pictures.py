from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minilite.debug.report import pictures
from minilite.graph import Array, Tensor, TensorType
from minilite.testing import models

PLENTY = 1e9


def record(value: Array, **attributes: Any) -> Tensor:
    kind = {"f": TensorType.FLOAT32, "u": TensorType.UINT8, "i": TensorType.INT32}[value.dtype.kind]
    return models.make_tensor(models.tensor(value.shape, kind, **attributes), 0, "t")


def tiles(sheet: pictures.Sheet) -> Array:
    """The tiles of a sheet, ``(channels, height, width)``."""
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(sheet.png))))
    height, width, columns = (sheet.described[name] for name in ("height", "width", "columns"))
    rows = picture.reshape(-1, height, columns, width).swapaxes(1, 2)
    channels = sheet.described["channels"]
    return rows.reshape(-1, height, width)[: channels if isinstance(channels, int) else len(channels)]


def shown(value: Array, allowance: float = PLENTY, **attributes: Any) -> pictures.Sheet:
    made = pictures.sheet(value, record(value, **attributes), allowance)
    assert made is not None
    return made


def test_each_channel_is_stretched_to_its_own_range() -> None:
    value = np.array([[[0, 10], [1, 10]], [[2, 10], [31, 10]]], np.float32)[np.newaxis]
    sheet = shown(value)
    assert tiles(sheet).tolist() == [[[0, 8], [16, 248]], [[0, 0], [0, 0]]]
    assert (sheet.described["low"], sheet.described["high"]) == ([0, 10], [31, 10])


def test_what_is_not_finite_has_a_grey_of_its_own() -> None:
    value = np.array([[np.nan, 1], [np.inf, 3]], np.float32).reshape(1, 2, 2, 1)
    sheet = shown(value)
    assert tiles(sheet).tolist() == [[[255, 0], [255, 248]]]
    assert (sheet.described["low"], sheet.described["high"]) == ([1], [3])
    nothing = shown(np.full((1, 2, 2, 1), np.nan, np.float32))
    assert nothing.described["low"] == [None]


def test_ranges_of_quantized_values_are_real() -> None:
    value = np.array([10, 20, 30, 40], np.uint8).reshape(1, 2, 2, 1)
    sheet = shown(value, scale=0.5, zero_point=20)
    assert (sheet.described["low"], sheet.described["high"]) == ([-5], [10])


def test_large_pictures_are_averaged_and_labels_sampled() -> None:
    value = np.zeros((1, 512, 512, 1), np.float32)
    value[:, ::2] = 2
    sheet = shown(value)
    assert (sheet.described["height"], sheet.described["full"]) == (256, [512, 512])
    assert sheet.described["low"] == sheet.described["high"] == [1]
    labels = np.zeros((1, 512, 512, 1), np.int32)
    labels[:, ::2] = 2
    assert set(np.unique(tiles(shown(labels)))) <= {0, 248}
    assert "averaged" in sheet.described["note"]


@pytest.mark.parametrize("allowance", [3_000, 20_000, 200_000])
def test_the_allowance_holds_and_what_is_left_out_is_said(allowance: int) -> None:
    noise = np.random.default_rng(0).normal(size=(1, 48, 48, 256)).astype(np.float32)
    noise[..., 7] *= 100
    sheet = shown(noise, allowance)
    assert len(sheet.png) <= allowance
    channels = sheet.described["channels"]
    assert isinstance(channels, list)
    assert 7 in channels
    assert channels == sorted(channels)
    assert f"{len(channels)} of 256 channels" in sheet.described["note"]
    assert len(tiles(sheet)) == len(channels) == len(sheet.described["low"])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 5, 6, 7), (5, 6, 7)),
        ((2, 5, 6, 7), (5, 6, 7)),
        ((3, 4), (3, 4, 1)),
        ((1, 1, 3, 4), (3, 4, 1)),
        ((2, 3, 4), (3, 4, 2)),
        ((2, 3, 4, 5, 6), (4, 5, 6)),
        ((1, 1, 1, 9), None),
        ((9,), None),
        ((), None),
        ((0, 4), None),
        ((1, 0, 4, 2), None),
    ],
)
def test_values_of_any_rank_become_planes(shape: tuple[int, ...], expected: tuple[int, ...] | None) -> None:
    found = pictures.planes(np.zeros(shape, np.float32))
    assert (None if found is None else found.values.shape) == expected


def test_lines_keep_the_extremes_of_their_stretches() -> None:
    value = np.zeros(100_000, np.float32)
    value[51_234] = 5
    line = pictures.line(value, record(value))
    assert line is not None
    assert line["count"] == 100_000
    assert len(line["low"]) == len(line["high"]) < 1000
    assert (max(line["high"]), max(line["low"])) == (5, 0)
    few = np.array([1, np.nan], np.float32)
    assert pictures.line(few, record(few)) == {"values": [1, None]}


def test_histograms_count_every_finite_value() -> None:
    value = np.array([0, 0, 1, 2, 3, 3, 3, np.nan, np.inf], np.float32)
    found = pictures.histogram(value, record(value))
    assert found is not None
    assert (found["low"], found["high"], sum(found["counts"])) == (0, 3, 7)
    assert (found["counts"][0], found["counts"][-1]) == (2, 3)
    whole = np.array([1, 1, 4], np.int32)
    assert pictures.histogram(whole, record(whole)) == {"low": 0.5, "high": 4.5, "counts": [2, 0, 0, 1]}
    assert pictures.histogram(value[7:8], record(value[7:8])) is None


def test_three_channels_are_colours() -> None:
    value = np.zeros((1, 16, 16, 3), np.float32)
    value[..., 0] = 1
    base64_text = pictures.colours(value, record(value))
    assert base64_text is not None
    picture = Image.open(io.BytesIO(base64.b64decode(base64_text)))
    assert picture.getpixel((3, 3)) == (255, 0, 0)
    assert pictures.colours(value[..., :2], record(value[..., :2])) is None
