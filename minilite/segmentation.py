"""From a photo to labelled pixels: what stands before and behind a segmentation model.

The photo is resized to the model's input, the model runs, and its scores or labels are brought back
to the photo's own size. Which of the two it gives is read off the output's type and shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from minilite.catalogue import PLUS_MINUS_ONE, KnownModel, Normalisation, known_models
from minilite.errors import ImageError, InvokeError
from minilite.graph import Array, Shape, Tensor, TensorType
from minilite.images import Picture
from minilite.palette import VOID, Colour, colour_of

if TYPE_CHECKING:
    from minilite.model import Model

Labels = npt.NDArray[np.uint8]
"""Height x width, one label for each pixel."""

BACKGROUND = "background"

BAND_ELEMENTS = 1 << 17
"""Scores are looked at and enlarged this many at a time: little memory, which stays in the cache."""


@dataclass(frozen=True)
class ClassShare:
    """A class that was found, and the share of the picture it covers (0 to 1)."""

    label: int
    name: str
    share: float
    colour: Colour


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A photo with a label for each of its pixels.

    Attributes
    ----------
    photo:
        uint8 ``(height, width, 3)``.
    labels:
        uint8 ``(height, width)``.
    classes:
        The classes found, largest first.
    run_ms:
        Time the model took, in milliseconds, without the resizing around it.
    """

    photo: Picture
    labels: Labels
    classes: tuple[ClassShare, ...]
    run_ms: float


class Segmenter:
    """A model that labels the pixels of photos.

    Parameters
    ----------
    labels:
        Class names by label; a label without a name is called ``class <label>``.
    normalisation:
        What a float input is given. A uint8 input is given the pixels themselves: its scale and zero
        point are the normalisation.

    Raises
    ------
    ImageError
        The model does not take one RGB picture, or its first output is neither a score for each
        pixel and class nor a label for each pixel.
    """

    def __init__(
        self, model: Model, labels: Sequence[str] = (), normalisation: Normalisation = PLUS_MINUS_ONE
    ) -> None:
        self.model = model
        self.labels = tuple(labels)
        self.normalisation = normalisation
        self.input = _picture_input(model.inputs)
        self.output = model.outputs[0]
        self.output_shape = _label_plane(self.output, self.input) or _score_planes(self.output)

    def __call__(self, photo: Picture) -> Segmentation:
        """Label every pixel of a photo (uint8 ``(height, width, 3)`` RGB).

        Raises
        ------
        ImageError
            The photo is not such an array.
        InvokeError
            The model failed, or what it gave are no labels.
        """
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or photo.size == 0:
            raise ImageError(
                f"a photo is a uint8 array (height, width, 3), given {photo.dtype} {photo.shape}: "
                "images.load_image and images.to_rgb make one",
                rule="photo",
            )
        values = model_input(photo, self.input, self.normalisation)
        start = perf_counter()
        output = np.asarray(self.model(values)[0])
        run_ms = (perf_counter() - start) * 1e3
        height, width = photo.shape[:2]
        planes = output.reshape(self.output_shape)
        resize = resize_labels if planes.ndim == 2 else labels_from_scores
        labels = resize(planes, (height, width))
        return Segmentation(photo, labels, class_shares(labels, self.labels), run_ms)


def segmenter_for(model: Model, known: KnownModel | None) -> Segmenter:
    """A segmenter with a known model's labels and normalisation.

    Any other model is fed as the starter model is, and a model with as many classes gets its labels.
    """
    starter = known_models()["deeplabv3"]
    if known is not None:
        return Segmenter(model, known.labels, known.normalisation)
    classes = model.outputs[0].shape[-1:]
    labels = starter.labels if classes == (len(starter.labels),) else ()
    return Segmenter(model, labels, starter.normalisation)


def model_input(photo: Picture, tensor: Tensor, normalisation: Normalisation) -> Array:
    """A photo as the value of an input tensor ``(1, height, width, 3)``.

    It is resized with Pillow's bilinear filter, whose support grows when it makes a picture smaller:
    each input pixel averages all of the photo it stands for. Sampling only the four nearest pixels, as
    RESIZE_BILINEAR does, would skip most of a large photo and turn fine texture into noise.
    """
    _, height, width, _ = tensor.shape
    resized = np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR))
    if tensor.type is TensorType.UINT8:
        return resized[np.newaxis]
    values = (resized.astype(np.float32) - np.float32(normalisation.mean)) / np.float32(normalisation.std)
    if tensor.type is TensorType.INT8:
        assert tensor.quantization is not None, "_picture_input lets no other int8 through"
        steps = np.rint(values / tensor.quantization.scale) + tensor.quantization.zero_point
        values = np.clip(steps, -128, 127).astype(np.int8)
    return values[np.newaxis]


def labels_from_scores(scores: Array, size: tuple[int, int]) -> Labels:
    """The best class at each pixel of a picture of ``size``, from scores ``(height, width, classes)``.

    The scores are interpolated, not the labels, so that borders between classes come out smooth. Both
    grids cover the same picture: pixel centres lie at half coordinates, as in the resize of the photo.
    Quantised scores need no dequantising, which keeps their order. The lowest label wins a tie.
    """
    height, width = size
    candidates = _possible_winners(scores)
    planes = np.ascontiguousarray(np.moveaxis(scores[..., candidates], -1, 0), np.float32)
    top, bottom, down = _neighbours(scores.shape[0], height)
    left, right, across = _neighbours(scores.shape[1], width)
    labels = np.full(size, candidates[0], np.uint8)
    rows = max(1, BAND_ELEMENTS // width)
    for first in range(0, height, rows):
        band = slice(first, first + rows)
        best = np.full(labels[band].shape, -np.inf, np.float32)
        for label, plane in zip(candidates, planes, strict=True):
            lines = _mix(plane[top[band]], plane[bottom[band]], down[band, np.newaxis])
            score = _mix(lines[:, left], lines[:, right], across)
            np.copyto(labels[band], label, where=score > best)
            np.maximum(best, score, out=best)
    return labels


def resize_labels(labels: Array, size: tuple[int, int]) -> Labels:
    """Labels ``(height, width)`` at another size: each pixel takes the label its centre falls on."""
    if labels.min() < 0 or labels.max() > VOID:
        raise InvokeError(
            f"the model gave labels from {labels.min()} to {labels.max()}, a mask holds 0 to {VOID}: "
            "is its output really a label for each pixel?",
            rule="label-range",
        )
    rows, columns = (
        (2 * np.arange(target) + 1) * source // (2 * target)
        for source, target in zip(labels.shape, size, strict=True)
    )
    return labels.astype(np.uint8)[np.ix_(rows, columns)]


def class_shares(labels: Labels, names: Sequence[str]) -> tuple[ClassShare, ...]:
    """The classes that occur, largest share first."""
    counts = np.bincount(labels.ravel(), minlength=256)
    found = sorted(np.flatnonzero(counts).tolist(), key=lambda label: -counts[label])
    return tuple(
        ClassShare(label, _name(label, names), float(counts[label] / labels.size), colour_of(label))
        for label in found
    )


def _name(label: int, names: Sequence[str]) -> str:
    if label < len(names):
        return names[label]
    return "void" if label == VOID else f"class {label}"


def _neighbours(source: int, target: int) -> tuple[Array, Array, npt.NDArray[np.float32]]:
    """For each target position: the source positions before and after it, and how far between."""
    position = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
    low = position.astype(np.intp)
    return low, np.minimum(low + 1, source - 1), (position - low).astype(np.float32)


def _mix(a: Array, b: Array, share: Array) -> npt.NDArray[np.float32]:
    mixed: npt.NDArray[np.float32] = a + (b - a) * share
    return mixed


def _possible_winners(scores: Array) -> list[int]:
    """The classes that can be best anywhere once the scores are interpolated.

    Between four neighbours a class never rises above its highest score there, and the winner never
    falls below the best of the classes' lowest scores. Most photos show a few classes only, so that
    this spares enlarging the others.
    """
    height, width, classes = scores.shape
    rows = max(1, BAND_ELEMENTS // (width * classes))
    loses_everywhere = np.ones(classes, np.bool_)
    for first in range(0, height, rows):
        below = (0, 1 if first + rows >= height else 0)
        padded = np.pad(scores[first : first + rows + 1], (below, (0, 1), (0, 0)), mode="edge")
        corners = (padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:])
        highest, lowest = reduce(np.maximum, corners), reduce(np.minimum, corners)
        # Written with "less" so that a NaN keeps its class.
        loses_everywhere &= (highest < lowest.max(axis=-1, keepdims=True)).all(axis=(0, 1))
    return [int(label) for label in np.flatnonzero(~loses_everywhere)]


def _picture_input(inputs: Sequence[Tensor]) -> Tensor:
    takes = ", ".join(map(str, inputs))
    if len(inputs) == 1:
        tensor = inputs[0]
        quantised = tensor.type is TensorType.INT8 and tensor.quantization is not None
        is_picture = len(tensor.shape) == 4 and tensor.shape[0] == 1 and tensor.shape[3] == 3
        is_picture = is_picture and -1 not in tensor.shape_signature[1:]
        if is_picture and (tensor.type in (TensorType.FLOAT32, TensorType.UINT8) or quantised):
            return tensor
    raise ImageError(
        f"the model takes {takes}; segmentation needs one RGB picture of a fixed size: 1 x height x "
        "width x 3, float32, uint8 or quantised int8",
        rule="segmentation-input",
    )


def _label_plane(output: Tensor, image: Tensor) -> Shape | None:
    """Height and width of an output that is a label for each pixel, or None."""
    integers = (TensorType.INT32, TensorType.INT64, TensorType.UINT8, TensorType.INT8)
    if output.type not in integers or output.quantization is not None or output.shape[:1] != (1,):
        return None
    _, height, width, _ = image.shape
    if output.shape[1:] == (height * width,):
        return height, width
    if len(output.shape) == 3 or (len(output.shape) == 4 and output.shape[3] == 1):
        return output.shape[1:3]
    return None


def _score_planes(output: Tensor) -> Shape:
    """Height, width and classes of an output that is a score for each pixel and class."""
    shape = output.shape
    if len(shape) == 4 and shape[0] == 1 and 2 <= shape[3] <= VOID:
        return shape[1:]
    raise ImageError(
        f"the model's first output is {output}; segmentation needs scores (1 x height x width x classes, "
        f"2 to {VOID} classes) or integer labels (1 x height x width, with or without a last 1, or flat)",
        rule="segmentation-output",
    )
