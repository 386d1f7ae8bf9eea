"""Matrix products on register tiles: the heart of every convolution and fully connected layer.

Weights are packed once into *panels*: ``PANEL`` output columns side by side, one row for each step of
the reduction, zero-padded, so that the inner loop reads them in one stream. A last panel of at most
``WIDTH`` columns is half as wide, so that narrow outputs waste less.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from minilite_kernels import simd, vector
from minilite_kernels.kernel import Array, Input, Output, helper, kernel

ROWS, VECTORS, WIDTH = vector.TILE_ROWS, vector.TILE_VECTORS, vector.WIDTH
PANEL = VECTORS * WIDTH

LOW_ROWS = min(ROWS, 11)
"""Rows of a lower tile, as fast, for matrices that end often: pictures line by line."""

BLOCK = 128
"""Products that are summed by themselves before they are added to the total.

One chain of additions as long as the reduction would lose more than twice as much to rounding: with
blocks the DeepLab scores lie nearer to float64 than those of either of LiteRT's paths.
"""


def pad_columns(columns: int) -> int:
    """Columns after padding to whole panels, the last one perhaps ``WIDTH`` wide."""
    rest = columns % PANEL
    return columns - rest + (0 if rest == 0 else WIDTH if rest <= WIDTH else PANEL)


def in_groups(pack: Callable[[Array], Array], values: Array, groups: int) -> Array:
    """``pack`` of each of ``groups`` equal parts of the columns, one after the other."""
    return np.concatenate([pack(part) for part in np.split(values, groups)])


def pack_panels(weights: Array) -> npt.NDArray[Any]:
    """``weights`` [columns, depth] -> flat panels, each [depth, panel width]."""
    columns, depth = weights.shape
    padded = np.zeros((pad_columns(columns), depth), weights.dtype)
    padded[:columns] = weights
    panels = [padded[n : n + PANEL].T.ravel() for n in range(0, len(padded), PANEL)]
    return np.concatenate(panels) if panels else padded.ravel()


def pack_columns(values: Array) -> npt.NDArray[Any]:
    """One value a column (a bias), zero-padded as the panels are."""
    padded = np.zeros(pad_columns(len(values)), values.dtype)
    padded[: len(values)] = values
    return padded


padded_columns = helper(pad_columns)
"""``pad_columns`` inside kernels."""


@helper
def multiply_tile(
    tile: Any, x: Any, start: int, depth: int, last: int, weights: Any, panel: int, width: int
) -> Any:
    """The tile plus the product of its rows of ``x`` (``depth`` apart) with one panel of weights."""
    for block in range(0, depth, BLOCK):
        part = simd.zeros_like(tile)
        for k in range(block, min(block + BLOCK, depth)):
            part = simd.outer_multiply_add(part, x, start + k, depth, last, weights, panel + k * width)
        tile = simd.add(tile, part)
    return tile


@helper
def finish(tile: Any, place: int, stride: int, last: int, valid: int, addend: Any, limits: Any) -> Any:
    """A tile of sums, clamped; with an ``addend``, an array laid out as the output, plus that, clamped again.

    ``limits`` are low and high of the sums, and of what comes of the addition.
    """
    tile = simd.clamp(tile, np.float32(limits[0]), np.float32(limits[1]))
    if addend is None:
        return tile
    tile = simd.add_rows(tile, addend, place, stride, last, valid)
    return simd.clamp(tile, np.float32(limits[2]), np.float32(limits[3]))


def _panels_of(height: int) -> Any:
    """``multiply_panels`` in tiles of ``height`` rows."""

    @helper
    def multiply(
        x: Any,
        x_offset: int,
        rows: int,
        depth: int,
        weights: Any,
        bias: Any,
        first: int,
        columns: int,
        out: Any,
        out_offset: int,
        out_stride: int,
        addend: Any,
        limits: Any,
    ) -> None:
        """``out[r, c] = clamp(bias[c] + sum_k x[r, k] * weights[c, k])``, then ``finish`` adds what there is.

        The bias, plus the sum of the first ``BLOCK`` products in the order of k, plus the next, and so on.
        ``x`` is [rows, depth] at ``x_offset``, ``out`` [rows, columns] at ``out_offset``, both flat, its rows
        ``out_stride`` apart; ``first`` is the packed column where these ``columns`` begin.
        """
        for column in range(0, columns, PANEL):
            packed = first + column
            panel = packed * depth
            valid = columns - column
            for row in range(0, rows, height):
                last = min(height, rows - row) - 1
                start = x_offset + row * depth
                target = out_offset + row * out_stride + column
                if rows == 1 and valid >= PANEL:
                    # A tile would compute the one row over and over.
                    line = simd.broadcast_row(bias, packed, 1, VECTORS)
                    line = multiply_tile(line, x, start, depth, 0, weights, panel, PANEL)
                    line = finish(line, target, out_stride, 0, valid, addend, limits)
                    simd.store(line, out, target, out_stride, 0, PANEL)
                elif valid > WIDTH:
                    tile = simd.broadcast_row(bias, packed, height, VECTORS)
                    tile = multiply_tile(tile, x, start, depth, last, weights, panel, PANEL)
                    tile = finish(tile, target, out_stride, last, valid, addend, limits)
                    simd.store(tile, out, target, out_stride, last, valid)
                else:
                    half = simd.broadcast_row(bias, packed, height, 1)
                    half = multiply_tile(half, x, start, depth, last, weights, panel, WIDTH)
                    half = finish(half, target, out_stride, last, valid, addend, limits)
                    simd.store(half, out, target, out_stride, last, valid)

    return multiply


multiply_panels = _panels_of(ROWS)
multiply_low_panels = _panels_of(LOW_ROWS)


@kernel
def matmul_float(
    x: Input,
    weights: Input,
    bias: Input,
    out: Output,
    depth: int,
    columns: int,
    stride: int,
    offset: int,
    low: float,
    high: float,
    start: int,
    stop: int,
) -> None:
    """Rows ``start..stop`` of ``clamp(x @ weights.T + bias)``: a 1x1 convolution of stride 1.

    ``x`` float32 [rows, depth]; ``weights`` from ``pack_panels``; ``bias`` from ``pack_columns``;
    ``out`` float32, its rows of ``columns`` values ``stride`` apart from ``offset`` on.
    """
    rows, place, limits = stop - start, offset + start * stride, (low, high, low, high)
    multiply_panels(
        x, start * depth, rows, depth, weights, bias, 0, columns, out, place, stride, None, limits
    )


@kernel
def matmul_add_float(
    x: Input,
    weights: Input,
    bias: Input,
    addend: Input,
    out: Output,
    depth: int,
    columns: int,
    low: float,
    high: float,
    sum_low: float,
    sum_high: float,
    start: int,
    stop: int,
) -> None:
    """As ``matmul_float``, plus ``addend`` [rows, columns], the sum limited to ``sum_low ... sum_high``."""
    rows, place, limits = stop - start, start * columns, (low, high, sum_low, sum_high)
    multiply_panels(
        x, start * depth, rows, depth, weights, bias, 0, columns, out, place, columns, addend, limits
    )
