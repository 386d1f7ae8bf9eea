"""What operators check before they accept a node: number of tensors, types, ranks, quantization."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from minilite import flexbuffer
from minilite.errors import InvokeError
from minilite.graph import Array, Node, Shape, Tensor, TensorType
from minilite.ops.base import refuse
from minilite.quantization import FUSED_ACTIVATIONS, is_quantized
from minilite.shapes import broadcast, normalized_axis

Types = tuple[TensorType, ...]

NUMBERS: Types = (
    TensorType.FLOAT32,
    TensorType.INT32,
    TensorType.INT64,
    TensorType.UINT8,
    TensorType.INT8,
    TensorType.INT16,
)
"""The numbers that most kernels have a loop for."""


def check_arity(node: Node, inputs: tuple[int, int], outputs: int = 1) -> None:
    """Refuse another number of inputs than ``inputs`` (least, most), or of outputs."""
    least, most = inputs
    given = len(node.inputs)
    if not least <= given <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        refuse(node, f"takes {wanted} input(s), the file gives it {given}", rule="input-count")
    if len(node.outputs) != outputs:
        refuse(node, f"makes {outputs} output(s), the file gives it {len(node.outputs)}", rule="output-count")


def check_types(node: Node, allowed: Collection[Types]) -> None:
    """Refuse tensor types that are no row of ``allowed``: inputs, then outputs.

    An input that is left out agrees with any type, and optional ones stand last.
    """
    tensors = (*node.inputs, *node.outputs)
    given = [None if t is None else t.type for t in tensors]
    count = len(node.inputs)
    if tuple(given) in allowed:
        return
    rows = [(*row[:count], *row[-len(node.outputs) :]) for row in allowed]
    if any(all(a in (None, b) for a, b in zip(given, row, strict=True)) for row in rows):
        return
    known = "; ".join(_row(row[:count], row[count:]) for row in dict.fromkeys(rows))
    refuse(
        node,
        f"types {_row(given[:count], given[count:])} are not supported; supported are {known}",
        rule="types",
    )


def _row(inputs: Collection[TensorType | None], outputs: Collection[TensorType | None]) -> str:
    def names(types: Collection[TensorType | None]) -> str:
        return ", ".join("absent" if t is None else t.name for t in types)

    return f"{names(inputs)} -> {names(outputs)}"


def check_numbers(node: Node, tensor: Tensor) -> None:
    """Refuse what is no array of numbers: strings, resources and variants."""
    if tensor.type.bits == 0:
        refuse(node, f"has elements of type {tensor.type.name}, not numbers", rule="types", tensor=tensor)


def check_rank(node: Node, tensor: Tensor, rank: int, axes: str) -> None:
    """Refuse a tensor of another rank; ``axes`` names them, such as ``"batch, height, width, channels"``."""
    if len(tensor.shape) != rank:
        refuse(
            node,
            f"has rank {len(tensor.shape)}, but must have rank {rank}: {axes}",
            rule="rank",
            tensor=tensor,
        )


def check_positive(node: Node, *fields: str) -> None:
    """Refuse options that are zero or negative: strides, dilations, window sizes."""
    for field in fields:
        value = getattr(node.options, field)
        if value < 1:
            refuse(node, f"{field} is {value}, but must be at least 1", rule=field.replace("_", "-"))


def check_activation(node: Node) -> None:
    """Refuse a fused activation that is not a clamp."""
    activation = node.options.fused_activation_function
    if activation not in FUSED_ACTIVATIONS:
        known = ", ".join(a.name for a in sorted(FUSED_ACTIVATIONS))
        refuse(
            node,
            f"fused activation {activation.name} is not supported; supported are {known}",
            rule="fused-activation",
        )


def check_bias(node: Node, bias: Tensor | None, size: int, each: str) -> None:
    """Refuse a bias of another number of elements than one for ``each``: a unit, an output channel."""
    if bias is not None and bias.size != size:
        refuse(node, f"must have {size} elements, one for each {each}", rule="bias-size", tensor=bias)


def check_quantized(
    node: Node,
    tensor: Tensor,
    *,
    channels: tuple[int, int] | None = None,
    zero_scales: bool = False,
    negative_scales: bool = False,
) -> None:
    """Refuse missing or useless quantization.

    Only with ``channels`` (an axis, its size) may the tensor have more than one scale: one for each
    slice of that axis. Scales of zero and negative ones are for weights: converters give the first to a
    filter of zeros, and networks whose normalization was folded into the scales have the second.
    """
    q = tensor.quantization
    if q is None:
        refuse(
            node,
            "has no scale and zero point; convert the model with quantization parameters",
            rule="quantization-missing",
            tensor=tensor,
        )
    usable = np.isfinite(q.scales) & (
        (q.scales > 0) | (zero_scales & (q.scales == 0)) | (negative_scales & (q.scales < 0))
    )
    if not usable.all():
        wrong = q.scales[~usable][0]
        refuse(
            node, f"has the scale {wrong}, not a positive number", rule="quantization-scale", tensor=tensor
        )
    if not q.per_channel:
        return
    if channels is None:
        refuse(
            node,
            f"has {len(q.scales)} scales, but must have one",
            rule="quantization-per-tensor",
            tensor=tensor,
        )
    if (q.dimension, len(q.scales)) != channels:
        refuse(
            node,
            f"has {len(q.scales)} scales along axis {q.dimension}, "
            f"but must have {channels[1]} along axis {channels[0]}",
            rule="quantization-per-channel",
            tensor=tensor,
        )


def check_same_quantization(node: Node, tensor: Tensor, other: Tensor) -> None:
    """Refuse two tensors of quantized type with different scales or zero points.

    As in TFLite, a tensor without quantization and one with a scale for each channel count as 0 and 0.
    """
    if not is_quantized(tensor):
        return
    a, b = _units(tensor), _units(other)
    if a != b:
        refuse(
            node,
            f"has scale {a[0]} and zero point {a[1]}, but {other} has {b[0]} and {b[1]}: they must be equal",
            rule="quantization-equal",
            tensor=tensor,
        )


def check_symmetric(node: Node, tensor: Tensor) -> None:
    """Refuse a quantized tensor whose zero point is not 0."""
    assert tensor.quantization is not None
    if tensor.quantization.zero_point != 0:
        refuse(
            node,
            f"has the zero point {tensor.quantization.zero_point}, but int16 must have 0",
            rule="quantization-symmetric",
            tensor=tensor,
        )


def check_broadcast(node: Node) -> Shape:
    """The shape that all inputs broadcast to; refuse those that do not fit together."""
    shape: Shape | None = ()
    shapes = [tensor.shape for tensor in node.inputs if tensor is not None]
    for each in shapes:
        shape = None if shape is None else broadcast(shape, each)
    if shape is None:
        refuse(
            node,
            f"shapes {' and '.join(map(str, shapes))} do not broadcast: aligned at the last axis, "
            "sizes must be equal or 1",
            rule="broadcast",
        )
    return shape


def check_values(node: Node, position: int, wrong: Array, message: str, *, rule: str) -> None:
    """Refuse, while running, values of an input: those that ``wrong`` marks; the first is named."""
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise InvokeError(
            f"{node.input(position)}: {message} at {index}",
            op_index=node.operator.index,
            op_name=node.operator.name,
            tensor=node.input(position).index,
            rule=rule,
        )


def check_size(node: Node, tensor: Tensor, size: int, rule: str) -> None:
    """Refuse another number of elements, whatever their shape."""
    if tensor.size != size:
        wanted = "one element" if size == 1 else f"{size} elements"
        refuse(node, f"has {tensor.size} elements, but must have {wanted}", rule=rule, tensor=tensor)


def check_axis(node: Node, tensor: Tensor, value: int, *, rank: int | None = None, what: str = "axis") -> int:
    """An axis of ``tensor`` counted from the front; refuses one that does not exist.

    ``rank`` is that of the axes it counts among, if not the tensor's.
    """
    axis = normalized_axis(value, len(tensor.shape) if rank is None else rank)
    if axis is None:
        refuse(node, f"{what} {value} does not exist in {tensor}", rule="axis-range", tensor=tensor)
    return axis


def check_indices(node: Node, tensor: Tensor, indices: Array, limits: Sequence[int] | int) -> None:
    """Refuse, at run time, indices that point outside; the message names the first.

    Parameters
    ----------
    indices:
        The values of ``tensor``, which is named.
    limits:
        What the indices have to stay below; one for each position on the last axis, or one for all.
    """
    wrong = (indices < 0) | (indices >= np.asarray(limits, np.int64))
    if not wrong.any():
        return
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    limit = limits if isinstance(limits, int) else limits[place[-1]]
    refuse(node, outside(int(indices[place]), place, limit), rule="index-range", tensor=tensor)


def outside(value: int, place: Sequence[int], limit: int) -> str:
    """What is said of an index that is not in ``range(limit)``."""
    where = f"is outside 0..{limit - 1}" if limit else "points into an empty axis"
    return f"index {value} at {list(place)} {where}"


@lru_cache(maxsize=64)
def _decoded(options: bytes) -> Any:
    """Decoded once, not for every run; nobody changes it."""
    return flexbuffer.decode(options)


def flexbuffer_options(node: Node) -> dict[str, Any]:
    """The options of a custom operator that are written as a FlexBuffer's map."""
    values = _decoded(node.operator.custom_options)
    if not isinstance(values, dict):
        refuse(node, f"its options are {type(values).__name__}, not a map", rule="custom-options")
    return values


def _units(tensor: Tensor) -> tuple[float, int]:
    q = tensor.quantization
    return (0.0, 0) if q is None or q.per_channel else (float(q.scale), q.zero_point)


def check_elements(node: Node, tensor: Tensor) -> None:
    """Refuse a tensor whose elements cannot be moved: handles of resources; strings can."""
    if tensor.type is not TensorType.STRING:
        check_numbers(node, tensor)


def check_same_type(node: Node, *tensors: Tensor | None) -> None:
    """Refuse tensors whose type is not that of the first."""
    first, *others = tensors
    assert first is not None
    for tensor in others:
        if tensor is not None and tensor.type is not first.type:
            refuse(node, f"must have the type of {first}", rule="types", tensor=tensor)


def check_integers(
    node: Node, tensor: Tensor, shape: tuple[int | None, ...], *, narrow: bool = False
) -> None:
    """Refuse an input of axes, sizes or positions that is not int32 or int64, or not of that shape.

    None in the shape is any size. ``narrow`` allows 8 and 16 bits as well.
    """
    kinds = (*_WIDE, *_NARROW) if narrow else _WIDE
    if tensor.type not in kinds:
        known = ", ".join(kind.name for kind in kinds)
        refuse(node, f"must have one of the types {known}", rule="types", tensor=tensor)
    if len(tensor.shape) != len(shape) or any(
        b not in (None, a) for a, b in zip(tensor.shape, shape, strict=True)
    ):
        wanted = "x".join("n" if size is None else str(size) for size in shape) or "scalar"
        refuse(node, f"must have the shape {wanted}", rule="integers-shape", tensor=tensor)


_WIDE = (TensorType.INT32, TensorType.INT64)
_NARROW = (TensorType.INT8, TensorType.INT16, TensorType.BOOL)


def check_scale(node: Node, tensor: Tensor, scale: float, *, relative: float = 0.0) -> None:
    """Refuse another scale than the one that a fixed-point kernel is written for."""
    assert tensor.quantization is not None
    given = float(tensor.quantization.scale)
    if abs(given - scale) > relative * scale:
        refuse(
            node, f"has the scale {given}, but must have {scale}", rule="quantization-scale", tensor=tensor
        )


def check_zero_point(node: Node, tensor: Tensor, zero_point: int) -> None:
    """Refuse another zero point than the one that a fixed-point kernel is written for."""
    assert tensor.quantization is not None
    given = tensor.quantization.zero_point
    if given != zero_point:
        refuse(
            node,
            f"has the zero point {given}, but must have {zero_point}",
            rule="quantization-zero-point",
            tensor=tensor,
        )


def constant_integers(tensor: Tensor) -> tuple[int, ...] | None:
    """The values of a constant shape, axis or size tensor; None if it is computed."""
    return None if tensor.data is None else integers(tensor.data)


def integers(values: Array | None) -> tuple[int, ...]:
    """The values of a shape, axis or size tensor."""
    assert values is not None
    return tuple(int(value) for value in values.ravel().tolist())
