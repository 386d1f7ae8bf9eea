"""A tensor's value as something to look at: channels as one sheet of thumbnails, a line, or a few numbers.

A sheet is one 8-bit grey PNG with a tile for each channel, each stretched to its own range, which stands
beside it: the page colours tiles and puts them on a common scale. ``SHADES`` shades take half the bytes of
256, and nobody sees the difference in a thumbnail.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, replace
from math import ceil, isfinite, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from minilite.graph import Array, Tensor, TensorType

SHADES = 32
NOT_FINITE = 255
"""The grey of NaN and infinity in a sheet."""
_STEP = 8

BYTES_PER_PIXEL = 0.5
"""What a pixel of a sheet takes, about, once it is a PNG in base64."""

_EDGES = (256, 192, 128, 96, 64, 48, 32)
"""Sizes a tile may have; a picture that is smaller keeps its own."""

_FEW_VALUES, _POINTS = 16, 480


@dataclass(frozen=True, eq=False)
class Planes:
    """A value as pictures: ``(height, width, channels)``, and what was left out to make it so."""

    values: Array
    axes: str
    note: str = ""


@dataclass(frozen=True, eq=False)
class Sheet:
    """What the page is told of a tensor's channels, and the PNG as base64.

    ``described`` has the size of a tile, the channels shown and the range of each in real numbers.
    """

    described: dict[str, Any]
    png: str


def real_values(value: Array, tensor: Tensor) -> Array:
    """The numbers a value stands for: of quantized ones ``scale * (code - zero_point)``, in float32."""
    quantization = tensor.quantization
    if tensor.type is TensorType.BFLOAT16 and value.dtype == np.uint16:
        return (value.astype(np.uint32) << 16).view(np.float32)
    if value.dtype.kind == "c":
        return np.abs(value)
    if quantization is None or value.dtype.kind not in "iu":
        return value
    shape = [1] * value.ndim
    if quantization.per_channel:
        shape[quantization.dimension] = -1
    scales = quantization.scales.reshape(shape if value.ndim else ())
    zero_points = quantization.zero_points.reshape(shape if value.ndim else ())
    real: Array = (value.astype(np.float32) - zero_points.astype(np.float32)) * scales
    return real


def planes(value: Array) -> Planes | None:
    """A value of two axes or more as pictures; None for what is a line or a number.

    Of ``(1, height, width, channels)`` a picture is a channel. Of other values axes of length 1 are left
    out: two axes are one heat map, three a heat map for each of the first.
    """
    if value.ndim == 4 and value.shape[1] > 1 and value.shape[2] > 1 and value.size:
        note = f"the first of {value.shape[0]} in the batch" if value.shape[0] > 1 else ""
        return Planes(value[0], "height × width, one tile a channel", note)
    kept = value.squeeze()
    if kept.ndim < 2 or not kept.size:
        return None
    if kept.ndim == 2:
        return Planes(kept[:, :, np.newaxis], "rows × columns")
    if kept.ndim == 3:
        return Planes(np.moveaxis(kept, 0, -1), "rows × columns, one tile for each index of the first axis")
    note = f"the first of {kept.shape[:-3]} along the leading axes"
    return Planes(kept.reshape(-1, *kept.shape[-3:])[0], "height × width, one tile a channel", note)


def sheet(value: Array, tensor: Tensor, allowance: float) -> Sheet | None:
    """A value's channels as thumbnails in at most ``allowance`` bytes of base64; None for what has none.

    First tiles get smaller, down to 32 pixels; then channels are left out, those whose values spread least.
    What was left out is said in ``described["note"]``.
    """
    found = planes(value) if value.dtype.kind in "biufc" else None
    if found is None:
        return None
    # Labels and indices have no mean: they are sampled.
    sampled = value.dtype.kind in "biu" and tensor.quantization is None
    edge = _edge(found.values.shape, allowance)
    height, width = _tile(found.values.shape, edge)
    channels = found.values.shape[2]
    count = min(channels, max(1, int(allowance / (height * width * BYTES_PER_PIXEL))))
    made = _sheet(found, tensor, (height, width), count, sampled)
    # What a pixel takes is known now: once more with as many channels as there is room for.
    fitting = min(channels, max(1, int(count * allowance / len(made.png) * 0.95)))
    if fitting < count or fitting > 1.1 * count:
        made = _sheet(found, tensor, (height, width), fitting, sampled)
    while len(made.png) > allowance and fitting > 1:
        fitting = max(1, int(fitting * 0.9))
        made = _sheet(found, tensor, (height, width), fitting, sampled)
    return made


def wanted_bytes(value: Array) -> float:
    """What a value's sheet would take, about, if it might take all it wants."""
    found = planes(value) if value.dtype.kind in "biufc" else None
    if found is None:
        return 0.0
    height, width = _tile(found.values.shape, _edge(found.values.shape, float("inf")))
    return BYTES_PER_PIXEL * height * width * int(found.values.shape[2])


def _edge(shape: tuple[int, ...], allowance: float) -> int:
    """The largest tile of which all channels fit; many channels begin smaller, since nobody sees more."""
    channels = shape[2]
    largest = 256 if channels <= 4 else 96 if channels <= 32 else 64
    edges = [edge for edge in _EDGES if edge <= largest]
    for edge in edges:
        height, width = _tile(shape, edge)
        if height * width * channels * BYTES_PER_PIXEL <= allowance:
            return edge
    return edges[-1]


def _tile(shape: tuple[int, ...], edge: int) -> tuple[int, int]:
    """Height and width of a tile: the longer side at most ``edge``, the shorter one not less than 8."""
    height, width = shape[:2]
    factor = min(1.0, edge / max(height, width))
    return max(min(height, 8), round(height * factor)), max(min(width, 8), round(width * factor))


def _sheet(found: Planes, tensor: Tensor, tile: tuple[int, int], count: int, sampled: bool) -> Sheet:
    height, width, channels = found.values.shape
    chosen = np.arange(channels) if count >= channels else _widest(found.values, count)
    values = real_values(_chosen(found.values, chosen), _sliced(tensor, chosen, channels))
    small = _sampled(values, tile) if sampled else _averaged(values, tile)
    codes, low, high = _shades(small)
    columns = max(1, min(len(chosen), ceil(sqrt(len(chosen) * tile[0] / tile[1]))))
    rows = ceil(len(chosen) / columns)
    canvas = np.zeros((rows * columns, *tile), np.uint8)
    canvas[: len(chosen)] = np.moveaxis(codes, -1, 0)
    picture = canvas.reshape(rows, columns, *tile).swapaxes(1, 2).reshape(rows * tile[0], columns * tile[1])
    notes = [found.note]
    if len(chosen) < channels:
        notes.append(f"{len(chosen)} of {channels} channels, those whose values spread widest")
    if tile != (height, width):
        notes.append(
            f"each {width}×{height} {'sampled' if sampled else 'averaged'} down to {tile[1]}×{tile[0]}"
        )
    described = {
        "height": tile[0],
        "width": tile[1],
        "columns": columns,
        "full": [height, width],
        "channels": chosen.tolist() if len(chosen) < channels else len(chosen),
        "total": channels,
        "low": [number(x) for x in low],
        "high": [number(x) for x in high],
        "axes": found.axes,
        "note": "; ".join(filter(None, notes)),
    }
    return Sheet(described, png_base64(Image.fromarray(picture)))


def _sliced(tensor: Tensor, chosen: npt.NDArray[np.intp], channels: int) -> Tensor:
    """The tensor's record for the chosen channels, which per-channel scales have to follow."""
    quantization = tensor.quantization
    if quantization is None or not quantization.per_channel:
        return tensor
    if len(quantization.scales) != channels:  # along another axis than the one shown: codes are shown
        return replace(tensor, quantization=None)
    parts = replace(
        quantization,
        scales=quantization.scales[chosen],
        zero_points=quantization.zero_points[chosen],
        dimension=2,
    )
    return replace(tensor, quantization=parts)


def _chosen(values: Array, chosen: npt.NDArray[np.intp]) -> Array:
    return values if len(chosen) == values.shape[2] else values[:, :, chosen]


def _widest(values: Array, count: int) -> npt.NDArray[np.intp]:
    """The channels with the widest range, in their order; what is not finite counts as wide."""
    with np.errstate(invalid="ignore", over="ignore"):
        spread = values.max((0, 1)).astype(np.float64) - values.min((0, 1)).astype(np.float64)
    spread[~np.isfinite(spread)] = np.inf
    return np.sort(np.argsort(-spread, kind="stable")[:count])


def _averaged(values: Array, tile: tuple[int, int]) -> Array:
    if values.shape[:2] == tile:
        return values
    height, width = values.shape[:2]
    rows = np.arange(tile[0]) * height // tile[0]
    columns = np.arange(tile[1]) * width // tile[1]
    areas = np.outer(np.diff(rows, append=height), np.diff(columns, append=width))[:, :, np.newaxis]
    with np.errstate(invalid="ignore", over="ignore"):
        sums = np.add.reduceat(np.add.reduceat(values, rows, 0, np.float32), columns, 1, np.float32)
    averaged: Array = sums / areas
    return averaged


def _sampled(values: Array, tile: tuple[int, int]) -> Array:
    rows, columns = (
        (2 * np.arange(target) + 1) * source // (2 * target)
        for source, target in zip(values.shape[:2], tile, strict=True)
    )
    return values[np.ix_(rows, columns)]


def _shades(values: Array) -> tuple[npt.NDArray[np.uint8], Array, Array]:
    """Each channel from its lowest to its highest finite value, and these two."""
    wide = values.astype(np.float64)
    finite = np.isfinite(wide)
    low = np.where(finite, wide, np.inf).min((0, 1))
    high = np.where(finite, wide, -np.inf).max((0, 1))
    spread = np.where((high > low) & np.isfinite(high - low), high - low, 1.0)
    with np.errstate(invalid="ignore", over="ignore"):
        parts = np.where(finite, (wide - np.where(np.isfinite(low), low, 0.0)) / spread, 0.0)
    codes = (np.rint(np.clip(parts, 0, 1) * (SHADES - 1)) * _STEP).astype(np.uint8)
    codes[~finite] = NOT_FINITE
    return codes, low, high


def line(value: Array, tensor: Tensor) -> dict[str, Any] | None:
    """A value along one axis: all its numbers, or the lowest and highest of each of some stretches."""
    if value.dtype.kind not in "biufc" or not value.size:
        return None
    real = np.asarray(real_values(value, tensor)).reshape(-1)
    if real.size <= _FEW_VALUES:
        return {"values": [number(x) for x in real.tolist()]}
    if real.size <= _POINTS:
        return {"count": real.size, "low": [number(x) for x in real.tolist()]}
    starts = np.arange(_POINTS) * real.size // _POINTS
    return {
        "count": real.size,
        "low": [number(x) for x in np.minimum.reduceat(real, starts).tolist()],
        "high": [number(x) for x in np.maximum.reduceat(real, starts).tolist()],
    }


def histogram(value: Array, tensor: Tensor, bins: int = 48) -> dict[str, Any] | None:
    """How often values occur, between the lowest and the highest finite real number."""
    if value.dtype.kind not in "biufc" or not value.size:
        return None
    real = np.asarray(real_values(value, tensor)).reshape(-1)
    finite = real[np.isfinite(real)] if real.dtype.kind == "f" else real
    if not finite.size:
        return None
    low, high = float(finite.min()), float(finite.max())
    if not isfinite(high - low) or high <= low:
        return {"low": low, "high": high, "counts": [int(finite.size)]}
    if real.dtype.kind in "biu" and high - low < bins:
        bins = int(high - low) + 1
        low, high = low - 0.5, high + 0.5
    scaled = (finite.astype(np.float32) - np.float32(low)) * np.float32(bins / (high - low))
    places = np.clip(scaled, 0, bins - 1).astype(np.int32)
    return {"low": low, "high": high, "counts": np.bincount(places, minlength=bins).tolist()}


def colours(value: Array, tensor: Tensor, edge: int = 320) -> str | None:
    """A value ``(1, height, width, 3)`` as an RGB picture, its lowest value black and its highest white."""
    if value.ndim != 4 or value.shape[3] != 3 or min(value.shape[1:3]) < 8 or value.dtype.kind not in "iuf":
        return None
    real = real_values(value[0], tensor).astype(np.float64)
    low, high = (0.0, 255.0) if value.dtype == np.uint8 else (float(real.min()), float(real.max()))
    if value.dtype == np.uint8:
        real = value[0].astype(np.float64)
    if not isfinite(high - low) or high <= low:
        return None
    picture = Image.fromarray(np.rint((real - low) / (high - low) * 255).astype(np.uint8))
    picture.thumbnail((edge, edge))
    return png_base64(picture)


def number(value: float) -> float | None:
    """A number for the page in six digits; None for what JSON does not have."""
    return float(f"{float(value):.6g}") if isfinite(value) else None


def png_base64(image: Image.Image, **options: Any) -> str:
    """A picture as the text that a ``data:`` address takes."""
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return base64.b64encode(file.getvalue()).decode()


def jpeg_base64(image: Image.Image) -> str:
    """A photo, smaller than as a PNG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    return base64.b64encode(file.getvalue()).decode()
