"""Resizing pictures: RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops.base import EXACT, Int8, Lowering, Mask, Op, Tolerance, operator, refuse, rounding
from minilite.ops.checks import check_arity, check_rank, check_types, constant_integers
from minilite.ops.fields import Terms, field_of_move, nothing, taken
from minilite.ops.lowering import grain
from minilite.quantization import round_half_away
from minilite.telling import tell

_TYPES = tuple(
    (t, TensorType.INT32, t)
    for t in (TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8, TensorType.INT16)
)

FIXED_POINT_BITS = 10
"""Fractional bits of the coordinates of signed integer pictures."""

Interpolation = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], Array]
"""For each output position: lower and upper input position, and the distance from the lower one."""


@dataclass(frozen=True)
class ResizeBilinearOptions:
    """Schema table ``ResizeBilinearOptions``."""

    align_corners: bool = False
    half_pixel_centers: bool = False


@dataclass(frozen=True)
class ResizeNearestNeighborOptions:
    """Schema table ``ResizeNearestNeighborOptions``."""

    align_corners: bool = False
    half_pixel_centers: bool = False


def interpolation(
    in_size: int, out_size: int, options: ResizeBilinearOptions, dtype: npt.DTypeLike = np.float32
) -> Interpolation:
    """Where each output position lies between input positions, in floating point.

    Both sizes are at least 1. The distance is not limited to [0, 1]: where a half-pixel centre falls
    outside the picture both positions are the same, and weights such as 1.25 and -0.25 add up to 1
    (``ComputeInterpolationValues`` of TFLite's ``reference/resize_bilinear.h``).
    """
    real: Any = np.dtype(dtype).type
    scale = _scale(in_size, out_size, options, real)
    position = np.arange(out_size).astype(dtype)
    half = real(0.5) if options.half_pixel_centers else real(0)
    position = (position + half) * scale - half
    lower = np.clip(np.floor(position), 0, in_size - 1).astype(np.int32)
    upper = np.minimum(np.ceil(position), in_size - 1).astype(np.int32)
    return lower, upper, position - lower.astype(dtype)


def _scale(
    in_size: int, out_size: int, options: ResizeBilinearOptions | ResizeNearestNeighborOptions, real: Any
) -> Any:
    """How far apart output pixels are in the input, in the floating-point type ``real``."""
    if options.align_corners and out_size > 1:
        return real(in_size - 1) / real(out_size - 1)
    return real(in_size) / real(max(out_size, 1))


def interpolation_fixed_point(in_size: int, out_size: int, options: ResizeBilinearOptions) -> Interpolation:
    """As ``interpolation``, with int32 distances in units of 1/1024.

    ``ComputeInterpolationValuesInteger`` of TFLite's ``reference/resize_bilinear.h``.
    """
    one = 1 << FIXED_POINT_BITS
    if options.align_corners and out_size > 1:
        scale = (one * (in_size - 1) + (out_size - 1) // 2) // (out_size - 1)
    else:
        scale = (one * in_size + out_size // 2) // out_size
    position = np.arange(out_size, dtype=np.int64) * scale
    if options.half_pixel_centers:
        position += scale // 2 - one // 2
    lower = np.clip(position // one, 0, in_size - 1)
    upper = np.minimum((position + one - 1) // one, in_size - 1)
    return lower.astype(np.int32), upper.astype(np.int32), (position - lower * one).astype(np.int32)


def nearest_neighbors(
    in_size: int, out_size: int, options: ResizeNearestNeighborOptions
) -> npt.NDArray[np.int32]:
    """The input position that each output position takes its value from.

    Computed in float32, whose rounding decides here and there (``GetNearestNeighbor`` of TFLite's
    ``reference/resize_nearest_neighbor.h``). ``in_size`` is at least 1.
    """
    scale = _scale(in_size, out_size, options, np.float32)
    half = np.float32(0.5 if options.half_pixel_centers else 0)
    position = (np.arange(out_size).astype(np.float32) + half) * scale
    whole = round_half_away(position) if options.align_corners else np.floor(position)
    return np.clip(whole, 0, in_size - 1).astype(np.int32)


class _Resize(Op):
    """What both share: a picture [batch, height, width, channels]; its new height and width, int32 [2]."""

    least: int
    """The smallest height and width that can be asked for."""

    where = (1,)

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 2))
        check_types(node, _TYPES)
        x, size = node.input(0), node.input(1)
        check_rank(node, x, 4, "batch, height, width, channels")
        if size.shape != (2,):
            refuse(node, "must have the shape (2,): height, width", rule="size-shape", tensor=size)
        wanted = constant_integers(size)
        return (None if wanted is None else self._shape(node, wanted),)

    def _shape(self, node: Node, size: Sequence[int]) -> Shape:
        x = node.input(0)
        if min(size) < self.least or (0 in x.shape[1:3] and 0 not in size):
            refuse(
                node,
                f"cannot resize {x.shape[1]} x {x.shape[2]} pixels to {size[0]} x {size[1]}: "
                f"sizes must be at least {self.least}, and no pixels cannot become some",
                rule="resize-size",
                tensor=x,
            )
        return (x.shape[0], *size, x.shape[3])


@operator("RESIZE_BILINEAR")
class ResizeBilinear(_Resize):
    """Bilinear interpolation of a picture [batch, height, width, channels] to a size [2] (int32).

    Quantized values are interpolated as they are, whatever the scales of input and output. A single pixel,
    and a picture of the size that it has already, are copied. uint8 is
    computed in float32 and rounded half up, int8 and int16 in fixed point and rounded half away from zero
    (TFLite's ``kernels/resize_bilinear.cc``, ``reference/resize_bilinear.h``).
    """

    options = ResizeBilinearOptions
    int8 = Int8(same_scale=True)
    least = 1

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        shapes = super().output_shapes(node)
        if node.options.align_corners and node.options.half_pixel_centers:
            refuse(node, "align_corners and half_pixel_centers exclude each other", rule="resize-mode")
        return shapes

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, size = inputs
        assert x is not None
        assert size is not None
        _, out_h, out_w, _ = self._shape(node, size.tolist())
        if x.shape[1:3] in ((1, 1), (out_h, out_w)):
            # Nothing lies between: copied, as what is mixed with nothing, so that infinities stay.
            return (np.broadcast_to(x, (len(x), out_h, out_w, x.shape[3])),)
        rows, columns, one = _tables(node, x, (out_h, out_w))
        if x.dtype in _FIXED:
            fixed = _interpolate(x.astype(np.int64), rows, columns, one)
            half = one * one // 2
            result = np.sign(fixed) * ((np.abs(fixed) + half) // (one * one))
            tell(f"sum of pixels with weights in units of 1/{one * one}", fixed)
            tell(f"/ {one * one}, ties away from zero", result, unrounded=lambda: fixed / (one * one))
            return (result.astype(x.dtype),)
        real = _interpolate(x.astype(columns[2].dtype), rows, columns, one)
        tell("sum of pixels with their weights", real)
        if x.dtype != np.uint8:
            return (real,)
        # Adding one half and cutting off is what TFLite does for every integer that comes this way.
        rounded = (real + np.float32(0.5)).astype(x.dtype)
        tell("+ 0.5, cut off", rounded, unrounded=lambda: real)
        return (rounded,)

    tells_elements = True

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        x = inputs[0]
        assert x is not None
        (upper, lower, _), (left, right, _), _ = _tables(node, x, wanted[0].shape[1:3])
        field = nothing(inputs)
        rows = np.zeros((len(x), x.shape[1], *wanted[0].shape[2:]), np.bool_)
        for place, pair in enumerate(zip(upper, lower, strict=True)):
            for row in pair:
                rows[:, row] |= wanted[0][:, place]
        pixels = np.zeros(x.shape, np.bool_)
        for place, pair in enumerate(zip(left, right, strict=True)):
            for column in pair:
                pixels[:, :, column] |= rows[:, :, place]
        field[0] = pixels
        return tuple(field)

    def terms(
        self, node: Node, inputs: Sequence[Array | None], field: Sequence[Mask | None], place: Shape
    ) -> Terms | None:
        x = inputs[0]
        assert x is not None
        rows, columns, one = _tables(node, x, node.output.shape[1:3])
        image, y_out, x_out, channel = place
        # Two of the four are one where a weight is 0, or at a border.
        weights: dict[tuple[int, ...], float] = {}
        for y, dy in _neighbours(rows, y_out, one):
            for column, dx in _neighbours(columns, x_out, one):
                at = (image, y, column, channel)
                weights[at] = weights.get(at, 0.0) + dy * dx
        seen = np.array(sorted(weights), np.int64)
        factors = np.array([weights[at] for at in sorted(weights)])
        return Terms("pixels with their weights", 0, seen, taken(x, seen), factors)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import resize

        if constant_integers(node.input(1)) is None:
            return False
        batch, in_h, in_w, channels = node.input(0).shape
        _, out_h, out_w, _ = node.output.shape
        if (in_h, in_w) == (out_h, out_w):
            lowering.alias(node.output, node.input(0))
            return True
        if (in_h, in_w) == (1, 1):
            sizes = {"pixels": out_h * out_w, "channels": channels}
            chunk = grain(batch * out_h * out_w, 4 * channels)
            repeated = {"x": node.input(0), "out": node.output, **sizes}
            extent = batch * out_h * out_w
            lowering.step(resize.repeat_pixel, node, extent=extent, grain=chunk, **repeated)
            return True
        if node.input(0).dtype in _FIXED:
            line = lowering.scratch(np.int32, in_w * channels + resize.PADDING)
            step = _step(node, interpolation_fixed_point)
            lowering.step(resize.resize_bilinear_integer, node, out=node.output, line=line, **step)
        else:
            lowering.step(resize.resize_bilinear, node, out=node.output, **bilinear_step(node, lowering))
        return True

    def tolerance(self, node: Node) -> Tolerance:
        return rounding(4, 0) if node.input(0).type is TensorType.FLOAT32 else EXACT


def bilinear_step(node: Node, lowering: Lowering) -> dict[str, Any]:
    """What the kernels of a RESIZE_BILINEAR in float32 arithmetic take, but for the output."""
    from minilite_kernels import resize

    _, _, in_w, channels = node.input(0).shape
    above, below = (lowering.scratch(np.float32, in_w * channels + resize.PADDING) for _ in range(2))
    rounding = 0.5 if node.input(0).type is TensorType.UINT8 else 0.0
    return {**_step(node, interpolation), "above": above, "below": below, "rounding": rounding}


def interpolates_floats(node: Node) -> bool:
    """Whether ``bilinear_step`` is how a RESIZE_BILINEAR runs: nothing is only copied, or in fixed point."""
    x = node.input(0)
    copied = x.shape[1:3] in ((1, 1), node.output.shape[1:3])
    return not copied and x.dtype not in _FIXED and constant_integers(node.input(1)) is not None


def _step(node: Node, tables: Callable[..., Interpolation]) -> dict[str, Any]:
    batch, in_h, in_w, channels = node.input(0).shape
    _, out_h, out_w, _ = node.output.shape
    row_lower, row_upper, row_weight = tables(in_h, out_h, node.options)
    column_lower, column_upper, column_weight = tables(in_w, out_w, node.options)
    return {
        "extent": batch * out_h,
        "grain": grain(batch * out_h, 16 * out_w * channels),
        "x": node.input(0),
        "row_lower": row_lower,
        "row_upper": row_upper,
        "row_weight": row_weight,
        "column_lower": column_lower,
        "column_upper": column_upper,
        "column_weight": column_weight,
        "in_h": in_h,
        "in_w": in_w,
        "channels": channels,
    }


_FIXED = (np.int8, np.int16)
"""Types of pictures that are interpolated in fixed point."""


def _tables(node: Node, x: Array, size: Shape) -> tuple[Interpolation, Interpolation, Any]:
    """Rows and columns for a new height and width, and what the weights of two neighbours add up to."""
    pairs = tuple(zip(x.shape[1:3], size, strict=True))
    if x.dtype in _FIXED:
        rows, columns = (interpolation_fixed_point(*pair, node.options) for pair in pairs)
        return rows, columns, 1 << FIXED_POINT_BITS
    real = np.float32 if x.dtype == np.uint8 or x.dtype.kind != "f" else x.dtype
    rows, columns = (interpolation(*pair, node.options, real) for pair in pairs)
    return rows, columns, np.float32(1)


def _neighbours(table: Interpolation, place: int, one: Any) -> list[tuple[int, float]]:
    """The input positions around an output position, with their weights as shares of 1."""
    lower, upper, distance = (values[place] for values in table)
    share = float(distance) / float(one)
    return [(int(lower), 1 - share), (int(upper), share)]


def _interpolate(x: Array, rows: Interpolation, columns: Interpolation, one: Any) -> Array:
    """Weighted sum of four neighbours; products and sums in TFLite's order, which decides the last bit."""
    top, bottom, dy = rows
    left, right, dx = columns
    dy, dx = dy[:, None, None], dx[:, None]
    upper = x[:, top] * (one - dy)
    lower = x[:, bottom] * dy
    result: Array = (
        upper[:, :, left] * (one - dx)
        + lower[:, :, left] * (one - dx)
        + upper[:, :, right] * dx
        + lower[:, :, right] * dx
    )
    return result


@operator("RESIZE_NEAREST_NEIGHBOR")
class ResizeNearestNeighbor(_Resize):
    """The nearest pixel of a picture [batch, height, width, channels], for a size [2] (int32).

    Values are moved as they are, whatever the scales of input and output (TFLite's
    ``kernels/resize_nearest_neighbor.cc``, ``reference/resize_nearest_neighbor.h``).
    """

    options = ResizeNearestNeighborOptions
    int8 = Int8(same_scale=True)
    least = 0

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        return field_of_move(self, node, inputs, wanted[0])

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, size = inputs
        assert x is not None
        assert size is not None
        _, out_h, out_w, _ = self._shape(node, size.tolist())
        rows = nearest_neighbors(x.shape[1], out_h, node.options)
        columns = nearest_neighbors(x.shape[2], out_w, node.options)
        return (x.take(columns, axis=2).take(rows, axis=1),)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import resize

        if constant_integers(node.input(1)) is None:
            return False
        batch, in_h, in_w, channels = node.input(0).shape
        _, out_h, out_w, _ = node.output.shape
        lowering.step(
            resize.resize_nearest,
            node,
            extent=batch * out_h,
            grain=grain(batch * out_h, 8 * out_w * channels),
            x=node.input(0),
            rows=nearest_neighbors(in_h, out_h, node.options),
            columns=nearest_neighbors(in_w, out_w, node.options),
            out=node.output,
            line=lowering.scratch(node.output.dtype, out_w * channels + resize.PADDING),
            in_h=in_h,
            in_w=in_w,
            channels=channels,
        )
        return True
