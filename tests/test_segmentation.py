from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilite.catalogue import Normalisation
from minilite.errors import ImageError, InvokeError
from minilite.graph import Array, Quantization, Shape, Tensor, TensorType
from minilite.overlay import legend, mask_image, overlay_image, percent, tinted
from minilite.palette import VOID, colour_of, voc_colours
from minilite.segmentation import (
    ClassShare,
    Segmentation,
    Segmenter,
    class_shares,
    labels_from_scores,
    model_input,
    resize_labels,
    segmenter_for,
)

F32, U8, I8, I64 = TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8, TensorType.INT64
STEPS = Quantization(np.array([0.01], np.float32), np.array([3], np.int64))


def tensor(shape: Shape, kind: TensorType = F32, quantization: Quantization | None = None) -> Tensor:
    return Tensor(0, "t", kind, shape, shape, quantization)


@dataclass
class FakeModel:
    """What a Segmenter needs of a model."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    compute: Callable[[Array], Array]

    def __call__(self, values: Array) -> tuple[Array]:
        return (self.compute(values),)


def segmenter(picture: Tensor, output: Tensor, compute: Any = None, **settings: Any) -> Segmenter:
    return Segmenter(cast(Any, FakeModel((picture,), (output,), compute)), **settings)


# Colours


def test_voc_colours() -> None:
    assert [colour_of(label) for label in (0, 1, 2, 3, 4, 8, 15, 20)] == [
        (0, 0, 0),
        (128, 0, 0),
        (0, 128, 0),
        (128, 128, 0),
        (0, 0, 128),
        (64, 0, 0),
        (192, 128, 128),
        (0, 64, 128),
    ]
    assert colour_of(VOID) == (224, 224, 192)
    assert len(np.unique(voc_colours(), axis=0)) == 256


# Into the model


def test_float_input_is_normalised() -> None:
    photo = np.array([[[0, 51, 255]]], np.uint8)
    values = model_input(photo, tensor((1, 1, 1, 3)), Normalisation(127.5, 127.5))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, [[[[-1.0, -0.6, 1.0]]]], rtol=1e-6)
    values = model_input(photo, tensor((1, 1, 1, 3)), Normalisation(0.0, 255.0))
    np.testing.assert_allclose(values, [[[[0.0, 0.2, 1.0]]]], rtol=1e-6)


def test_uint8_input_gets_the_pixels_and_int8_the_quantised_ones() -> None:
    photo = np.array([[[0, 51, 255]]], np.uint8)
    norm = Normalisation(127.5, 127.5)
    assert model_input(photo, tensor((1, 1, 1, 3), U8, STEPS), norm).tolist() == [[[[0, 51, 255]]]]
    values = model_input(photo, tensor((1, 1, 1, 3), I8, STEPS), norm)
    assert values.dtype == np.int8
    assert values.tolist() == [[[[-97, -57, 103]]]]


def test_a_large_photo_is_averaged_not_sampled() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    values = model_input(stripes, tensor((1, 4, 4, 3), U8), Normalisation(0, 1))
    assert values.shape == (1, 4, 4, 3)
    assert np.abs(values.astype(int) - 128).max() <= 6


# Out of the model


def test_scores_are_interpolated_between_half_pixel_centres() -> None:
    # Class 0 falls from 3 to 0 while class 1 stays at 1: they meet two thirds of the way
    # between the centres 0.25 and 0.75 of the width, at 0.5833; twelve pixels: after the seventh.
    scores = np.array([[[3.0, 1.0], [0.0, 1.0]]], np.float32)
    assert labels_from_scores(scores, (1, 12)).tolist() == [[0] * 7 + [1] * 5]


def test_a_class_that_wins_only_between_pixels_is_found() -> None:
    scores = np.array([[[9.0, 8.0, 0.0], [0.0, 8.0, 9.0]]], np.float32)
    assert labels_from_scores(scores, (1, 10)).tolist() == [[0, 0, 0, 1, 1, 1, 1, 2, 2, 2]]


def test_a_tie_goes_to_the_lowest_label() -> None:
    assert labels_from_scores(np.zeros((2, 2, 5), np.float32), (3, 3)).tolist() == [[0] * 3] * 3


def test_scores_that_are_not_numbers_do_not_stop_it() -> None:
    assert labels_from_scores(np.full((2, 2, 3), np.nan, np.float32), (4, 4)).shape == (4, 4)


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(2, 6)),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
)
def test_labels_equal_the_argmax_of_all_enlarged_scores(
    seed: int, shape: tuple[int, int, int], size: tuple[int, int]
) -> None:
    scores = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    weights = []
    for source, target in zip(shape, size, strict=False):
        centres = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
        weights.append(np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(source))))
    enlarged = np.einsum("yh,xw,hwc->yxc", *weights, scores.astype(np.float64))
    best = np.sort(enlarged, axis=-1)
    clear = best[..., -1] - best[..., -2] > 1e-5
    labels = labels_from_scores(scores, size)
    np.testing.assert_array_equal(labels[clear], enlarged.argmax(-1)[clear])


def test_bands_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(1).normal(size=(9, 7, 4)).astype(np.float32)
    whole = labels_from_scores(scores, (50, 40))
    monkeypatch.setattr("minilite.segmentation.BAND_ELEMENTS", 3 * 40)
    np.testing.assert_array_equal(labels_from_scores(scores, (50, 40)), whole)


def test_labels_are_resized_to_the_nearest() -> None:
    assert resize_labels(np.array([[1, 2], [3, 4]]), (4, 4)).tolist() == [
        [1, 1, 2, 2],
        [1, 1, 2, 2],
        [3, 3, 4, 4],
        [3, 3, 4, 4],
    ]
    assert resize_labels(np.array([[1, 2, 3]]), (1, 1)).tolist() == [[2]]


def test_labels_out_of_range_are_refused() -> None:
    with pytest.raises(InvokeError, match="labels from 0 to 256"):
        resize_labels(np.array([[0, 256]]), (4, 4))


# The whole way


@pytest.mark.parametrize("shape", [(1, 6), (1, 2, 3), (1, 2, 3, 1)])
def test_integer_outputs_are_labels(shape: Shape) -> None:
    labels = np.array([0, 0, 7, 7, 0, 0], np.int64).reshape(shape)
    segment = segmenter(tensor((1, 2, 3, 3)), tensor(shape, I64), lambda _: labels, labels=["sky"])
    found = segment(np.zeros((4, 6, 3), np.uint8))
    assert found.labels.tolist() == [[0, 0, 0, 0, 7, 7]] * 2 + [[7, 7, 0, 0, 0, 0]] * 2
    assert [(c.label, c.name) for c in found.classes] == [(0, "sky"), (7, "class 7")]
    assert [c.share for c in found.classes] == pytest.approx([2 / 3, 1 / 3])
    assert found.run_ms >= 0


@pytest.mark.parametrize(("kind", "quantization"), [(F32, None), (U8, STEPS), (I8, STEPS)])
def test_planes_are_scores(kind: TensorType, quantization: Quantization | None) -> None:
    scores = np.array([[[[9, 1], [1, 9]]]], kind.dtype)
    segment = segmenter(tensor((1, 8, 8, 3)), tensor((1, 1, 2, 2), kind, quantization), lambda _: scores)
    assert segment(np.zeros((1, 4, 3), np.uint8)).labels.tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("picture", "output", "message"),
    [
        (tensor((1, 8, 8, 1)), tensor((1, 8, 8, 2)), "needs one RGB picture"),
        (tensor((2, 8, 8, 3)), tensor((1, 8, 8, 2)), "needs one RGB picture"),
        (Tensor(0, "t", F32, (1, 1, 1, 3), (1, -1, -1, 3)), tensor((1, 8, 8, 2)), "of a fixed size"),
        (tensor((1, 8, 8, 3), I8), tensor((1, 8, 8, 2)), "needs one RGB picture"),
        (tensor((1, 8, 8, 3)), tensor((1, 1001)), "first output is tensor 0 't' .FLOAT32 1x1001"),
        (tensor((1, 8, 8, 3)), tensor((1, 8, 8, 1)), "2 to 255 classes"),
        (tensor((1, 8, 8, 3)), tensor((1, 63), I64), "needs scores"),
    ],
)
def test_other_models_are_refused(picture: Tensor, output: Tensor, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        segmenter(picture, output)


@pytest.mark.parametrize(
    "photo", [np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8)]
)
def test_a_photo_must_be_rgb_bytes(photo: Array) -> None:
    segment = segmenter(tensor((1, 8, 8, 3)), tensor((1, 8, 8, 2)))
    with pytest.raises(ImageError, match="a photo is a uint8 array"):
        segment(photo)


def test_unknown_models_get_voc_names_only_for_21_classes() -> None:
    def names(classes: int) -> tuple[str, ...]:
        fake = FakeModel((tensor((1, 8, 8, 3)),), (tensor((1, 8, 8, classes)),), lambda _: np.zeros(1))
        return segmenter_for(cast(Any, fake), None).labels

    assert names(21)[15] == "person"
    assert names(20) == ()


# Pictures


def _segmentation() -> Segmentation:
    labels = np.zeros((20, 30), np.uint8)
    labels[5:15, 10:20] = 15
    photo = np.full((20, 30, 3), 100, np.uint8)
    names = ["background", *[""] * 14, "person"]
    return Segmentation(photo, labels, class_shares(labels, names), 1.0)


def test_mask_pixels_are_labels() -> None:
    labels = np.array([[0, 15], [255, 8]], np.uint8)
    image = mask_image(labels)
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image), labels)
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), voc_colours()[labels])


def test_background_keeps_the_photo_and_classes_are_blended_and_outlined() -> None:
    result = tinted(_segmentation(), 0.25)
    assert result[0, 0].tolist() == [100, 100, 100]
    assert result[10, 15].tolist() == [123, 107, 107]
    assert result[5, 15].tolist() == [255, 255, 255]
    assert result[4, 15].tolist() == [100, 100, 100]


def test_the_legend_covers_nothing_of_the_photo() -> None:
    found = _segmentation()
    image = np.asarray(overlay_image(found))
    np.testing.assert_array_equal(image[:20, :30], tinted(found))
    assert image.shape[0] > 20
    assert (image[20:] == (192, 128, 128)).all(-1).any()


def test_a_legend_wraps_rather_than_grow_wide() -> None:
    classes = [ClassShare(label, f"a rather long name {label}", 0.1, colour_of(label)) for label in range(9)]
    assert legend(classes, 600).width == 600
    assert legend(classes, 600).height > legend(classes[:1], 600).height


@pytest.mark.parametrize(
    ("share", "text"), [(0.1234, "12.3 %"), (1.0, "100.0 %"), (1e-5, "<0.1 %"), (0.0, "0.0 %")]
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text
