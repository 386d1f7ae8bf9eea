"""Sizes: padding, windows that slide over a picture, broadcasting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from minilite.graph import Padding, Shape


def padded_size(padding: Padding, size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Output size along one axis, and the padding before it (TFLite's ``kernels/padding.h``).

    SAME pads as much as the last window lacks, the odd pixel behind. It depends on the input size: a
    kernel of 3 and a stride of 2 pads (0, 1) for 8 pixels and (1, 1) for 9. VALID pads nothing; for a
    window wider than the input the size is 0 or less. All arguments are at least 1.
    """
    extent = (kernel - 1) * dilation + 1
    if padding is Padding.VALID:
        return (size - extent) // stride + 1, 0
    out = -(-size // stride)
    return out, max((out - 1) * stride + extent - size, 0) // 2


@dataclass(frozen=True)
class Tap:
    """One position in a window, and where it meets the picture.

    Attributes
    ----------
    y, x:
        Row and column in the window.
    inputs, outputs:
        Index an NHWC array: the input pixels that this tap reads, and the output pixels they go to.
    """

    y: int
    x: int
    inputs: tuple[slice, slice, slice]
    outputs: tuple[slice, slice, slice]


@dataclass(frozen=True)
class Window:
    """A window that slides over an NHWC picture: what convolutions and pools share.

    Attributes
    ----------
    groups:
        Output channels see only the input channels of their group; a depthwise convolution has as
        many groups as input channels.
    """

    batch: int
    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    out_c: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    pad_top: int
    pad_left: int
    groups: int = 1

    @property
    def output_shape(self) -> Shape:
        """NHWC."""
        return self.batch, self.out_h, self.out_w, self.out_c

    @property
    def multiplier(self) -> int:
        """Output channels of one group."""
        return self.out_c // self.groups

    def taps(self) -> Iterator[Tap]:
        """The taps that meet the picture, in row order.

        Taps outside the picture are left out rather than fed with zeros: a quantized zero is not 0,
        and averages count only pixels that are there.
        """
        every = slice(None)
        rows = meetings(self.kernel_h, self.dilation_h, self.pad_top, self.stride_h, self.in_h, self.out_h)
        columns = meetings(
            self.kernel_w, self.dilation_w, self.pad_left, self.stride_w, self.in_w, self.out_w
        )
        for y, in_rows, out_rows in rows:
            for x, in_columns, out_columns in columns:
                yield Tap(y, x, (every, in_rows, in_columns), (every, out_rows, out_columns))


def meetings(
    kernel: int, dilation: int, pad: int, stride: int, in_size: int, out_size: int
) -> list[tuple[int, slice, slice]]:
    """Along one axis of a window: the taps that meet the picture, each with its inputs and outputs."""
    # A pool's window may be a billion wide: do not look at taps that are outside wherever it stands.
    first = max(-(-(pad - (out_size - 1) * stride) // dilation), 0)
    last = min((in_size - 1 + pad) // dilation, kernel - 1)
    met = ((tap, _meeting(tap * dilation - pad, stride, in_size, out_size)) for tap in range(first, last + 1))
    return [(tap, *slices) for tap, slices in met if slices is not None]


def _meeting(offset: int, stride: int, in_size: int, out_size: int) -> tuple[slice, slice] | None:
    """Inputs and outputs with ``input = output * stride + offset`` where both exist, along one axis."""
    first = max(-(offset // stride), 0)
    last = min((in_size - 1 - offset) // stride, out_size - 1)
    if first > last:
        return None
    return (
        slice(first * stride + offset, last * stride + offset + 1, stride),
        slice(first, last + 1),
    )


def broadcast(a: Shape, b: Shape) -> Shape | None:
    """The shape both broadcast to, aligned at the last axis; None if they do not fit.

    A size of 1 stretches, to 0 as well.
    """
    rank = max(len(a), len(b))
    out = []
    for x, y in zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True):
        if x != y and 1 not in (x, y):
            return None
        out.append(y if x == 1 else x)
    return tuple(out)


@dataclass(frozen=True)
class BroadcastAxis:
    """An axis of the output of several tensors that broadcast.

    Attributes
    ----------
    strides:
        Elements from one position to the next, for each tensor; 0 where it is stretched.
    """

    size: int
    strides: tuple[int, ...]


def broadcast_axes(*shapes: Shape) -> tuple[BroadcastAxis, ...]:
    """How tensors that broadcast are walked, in as few axes as possible, but at least one.

    Axes of size 1 are left out, and neighbours along which the same tensors are stretched are one.
    """
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    merged: list[tuple[int, tuple[bool, ...]]] = []
    for sizes in zip(*padded, strict=True):
        size = next((n for n in sizes if n != 1), 1)
        moves = tuple(n == size for n in sizes)
        if size == 1:
            continue
        if merged and merged[-1][1] == moves:
            merged[-1] = (merged[-1][0] * size, moves)
        else:
            merged.append((size, moves))
    axes: list[BroadcastAxis] = []
    passed = [1] * len(shapes)
    for size, moves in reversed(merged or [(1, (True,) * len(shapes))]):
        axes.append(BroadcastAxis(size, tuple(n if m else 0 for n, m in zip(passed, moves, strict=True))))
        passed = [n * size if m else n for n, m in zip(passed, moves, strict=True)]
    return tuple(reversed(axes))


def normalized_axis(axis: int, rank: int) -> int | None:
    """``axis`` counted from the front, or None if there is no such axis."""
    return axis % rank if -rank <= axis < rank else None
