"""The geometry of a window that slides over an image: convolutions and pooling."""

from __future__ import annotations

from typing import NamedTuple

from minilite_kernels.kernel import helper


class Window(NamedTuple):
    """Sizes in elements; ``x`` is [batch, in_h, in_w, in_c], the output [batch, out_h, out_w, ...].

    ``pad_top`` and ``pad_left`` are the rows and columns before the image; what follows it needs no
    number.
    """

    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    pad_top: int
    pad_left: int


@helper
def valid_taps(origin: int, size: int, taps: int, dilation: int) -> tuple[int, int]:
    """Taps ``[first, last)`` with ``0 <= origin + tap * dilation < size``."""
    first = (-origin + dilation - 1) // dilation if origin < 0 else 0
    last = (size - 1 - origin) // dilation + 1 if origin < size else 0
    return min(first, taps), max(0, min(last, taps))


@helper
def interior_columns(w: Window) -> tuple[int, int]:
    """Output columns ``[first, last)`` whose whole window lies inside the image's width."""
    room = w.in_w - 1 + w.pad_left - (w.kernel_w - 1) * w.dilation_w
    first = min((w.pad_left + w.stride_w - 1) // w.stride_w, w.out_w)
    last = room // w.stride_w + 1 if room >= 0 else 0
    return first, max(first, min(last, w.out_w))
