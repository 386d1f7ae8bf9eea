"""Colours for class labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

VOID = 255
"""The label that stands for "no class" in PASCAL VOC's masks."""

VOID_COLOUR = (224, 224, 192)

Colour = tuple[int, int, int]


def voc_colours() -> npt.NDArray[np.uint8]:
    """The colour of each label, ``(256, 3)`` RGB, as PASCAL VOC defines it (``VOCcolormap.m``).

    The bits of the label are dealt out to red, green and blue in turn, lowest first, and fill each
    channel from its highest bit down. Any palette entry is so distinct from its neighbours.
    """
    labels = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for round_ in range(8):
        for channel in range(3):
            bit = (labels >> (3 * round_ + channel)) & 1
            colours[:, channel] |= (bit << (7 - round_)).astype(np.uint8)
    colours[VOID] = VOID_COLOUR
    return colours


def colour_of(label: int) -> Colour:
    """The PASCAL VOC colour of one label as plain integers."""
    red, green, blue = voc_colours()[label].tolist()
    return red, green, blue
