"""A segmentation in the report: the photo, the mask of labels, the classes found."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from minilite.catalogue import KnownModel
from minilite.debug.report.pictures import jpeg_base64, png_base64
from minilite.debug.report.tensors import Pictures
from minilite.errors import ImageError, InvokeError
from minilite.images import Picture
from minilite.model import Model
from minilite.overlay import mask_image, percent
from minilite.segmentation import BACKGROUND, Segmentation, resize_labels, segmenter_for

LONGEST = 900
"""Pixels of the longer side that a photo keeps."""


def segmented(model: Model, known: KnownModel | None, photo: Picture) -> Segmentation | None:
    """The photo's segmentation, or None where the model's output is none.

    Many models have an output of pixels and channels; labels are those whose height and width are the
    input's, and three channels only if they are shares that sum to one, else they are a picture.
    """
    try:
        segmenter = segmenter_for(model, known)
        if segmenter.output_shape[:2] != segmenter.input.shape[1:3]:
            return None
        if known is None and segmenter.output_shape[2:] in ((1,), (3,)) and not _sums_to_one(model):
            return None
        return segmenter(photo)
    except (ImageError, InvokeError):
        return None


def _sums_to_one(model: Model) -> bool:
    zeros = np.zeros(model.inputs[0].shape, model.inputs[0].dtype)
    sums = np.asarray(model(zeros)[0], np.float64).sum(-1)
    return bool(np.abs(sums - 1).max() < 1e-3)


def add_segmentation(found: Segmentation, store: Pictures) -> dict[str, Any]:
    """Put photo and mask among the pictures; what the page is told of them."""
    photo = Image.fromarray(found.photo)
    photo.thumbnail((LONGEST, LONGEST))
    size = (photo.height, photo.width)
    labels = found.labels if found.labels.shape == size else resize_labels(found.labels, size)
    store.add("photo", jpeg_base64(photo))
    background = [item.label for item in found.classes if item.name == BACKGROUND]
    # The palette's index is the label, so that the page can tell what is under the pointer.
    transparent = {"transparency": background[0]} if background else {}
    store.add("mask", png_base64(mask_image(labels), **transparent))
    return {
        "photo": "photo",
        "mask": "mask",
        "width": photo.width,
        "height": photo.height,
        "full": [found.photo.shape[1], found.photo.shape[0]],
        "ms": round(found.run_ms, 3),
        "classes": [
            {
                "label": item.label,
                "name": item.name,
                "share": percent(item.share),
                "part": round(item.share, 6),
                "colour": list(item.colour),
                "background": item.name == BACKGROUND,
            }
            for item in found.classes
        ],
    }
