"""Values on their way into a tensor: which fit, which can be made to fit, and what to say of the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilite.errors import TensorValueError
from minilite.graph import Array, Shape, Tensor, TensorType

_PLAIN = (bool, int, float, complex, list, tuple)


def convert(value: Any, tensor: Tensor, label: str) -> Array:
    """The value as an array that may be written to ``tensor``, converted where nothing is lost by it.

    Any floating point suits a floating-point tensor; integers suit a wider integer. Whole numbers
    that are no array yet (a list, a scalar) suit floating point and every integer they fit in.
    Sizes may differ from the tensor's, the number of axes may not.

    Raises
    ------
    TensorValueError
        The value is of another type or rank; the message says what would fit.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise TensorValueError(
            f"{label}: no array can be made of it: {error}", tensor=tensor.index
        ) from error
    if tensor.type is TensorType.STRING and array.dtype.kind in "SUO":
        array = _strings(array, tensor, label)
    elif not _may_cast(array, tensor.dtype, plain=isinstance(value, _PLAIN)):
        raise TensorValueError(
            f"{label}: expected {tensor.dtype}, given {array.dtype}. {dtype_advice(tensor, array.dtype)}",
            tensor=tensor.index,
            rule="dtype",
        )
    if array.ndim != len(tensor.shape):
        raise TensorValueError(
            f"{label}: expected {len(tensor.shape)} axes {expected_shape(tensor)}, "
            f"given {array.ndim} {array.shape}. {shape_advice(tensor, array.shape)}",
            tensor=tensor.index,
            rule="rank",
        )
    return array


def _strings(array: Array, tensor: Tensor, label: str) -> Array:
    """Texts as the bytes that a string tensor holds: those of ``str`` in UTF-8."""
    texts = array.reshape(-1).tolist()
    made = np.empty(array.size, object)
    made[:] = [text.encode() if isinstance(text, str) else text for text in texts]
    strange = next((text for text in made if not isinstance(text, bytes)), None)
    if strange is not None:
        raise TensorValueError(
            f"{label}: expected texts, str or bytes, given {strange!r} among them",
            tensor=tensor.index,
            rule="dtype",
        )
    return made.reshape(array.shape)


def _may_cast(array: Array, target: np.dtype[Any], *, plain: bool) -> bool:
    given = array.dtype.newbyteorder("=")
    if given == target or (given.kind == "f" and target.kind == "f"):
        return True
    if given.kind not in "iu" or target.kind not in ("iuf" if plain else "iu"):
        return False
    if plain and target.kind in "iu":
        # NumPy chose the list's type, not the caller: what counts is whether all of it fits.
        limits = np.iinfo(target)
        return bool(np.all((array >= limits.min) & (array <= limits.max)))
    return plain or np.can_cast(given, target, "safe")


def check(array: Array, tensor: Tensor) -> Array:
    """Hold a value to TFLite's own rule: exactly the tensor's type and shape, byte order aside.

    Returns what may be written to the tensor: the array, or for texts the bytes of each.

    Raises
    ------
    TensorValueError
        Its first line is TFLite's.
    """
    texts = tensor.type is TensorType.STRING and array.dtype.kind in "SUO"
    if not texts and (array.dtype.newbyteorder("=") != tensor.dtype or array.dtype.kind == "O"):
        raise TensorValueError(
            f"Cannot set tensor: Got value of type {type_name(array.dtype)} but expected type "
            f"{tensor.type.name} for input {tensor.index}, name: {tensor.name} \n"
            f"{dtype_advice(tensor, array.dtype)}",
            tensor=tensor.index,
            rule="dtype",
        )
    if array.shape == tensor.shape:
        return _strings(array, tensor, f"Cannot set tensor {tensor.index}") if texts else array
    if array.ndim != len(tensor.shape):
        mismatch = f"Got {array.ndim} but expected {len(tensor.shape)} for input {tensor.index}."
    else:
        axis = next(i for i in range(array.ndim) if array.shape[i] != tensor.shape[i])
        mismatch = (
            f"Got {array.shape[axis]} but expected {tensor.shape[axis]} "
            f"for dimension {axis} of input {tensor.index}."
        )
    raise TensorValueError(
        f"Cannot set tensor: Dimension mismatch. {mismatch}\n"
        f"{tensor.name!r} takes {tensor.shape}, given {array.shape}. {shape_advice(tensor, array.shape)} "
        "To change the tensor itself, call resize_tensor_input() and then allocate_tensors().",
        tensor=tensor.index,
        rule="shape",
    )


def expected_shape(tensor: Tensor) -> Shape:
    """The sizes to ask for: as declared, with -1 where any will do."""
    return tensor.shape_signature if -1 in tensor.shape_signature else tensor.shape


def shape_advice(tensor: Tensor, given: Shape) -> str:
    """How a value of this shape is brought into the tensor's."""
    repairs = (
        ((1, *given), "add the batch axis: x[np.newaxis]"),
        (given[1:] if given[:1] == (1,) else None, "drop the leading axis: x[0]"),
        (_channels_last(given), "it looks like NCHW, the model takes NHWC: np.transpose(x, (0, 2, 3, 1))"),
        (
            _channels_last((1, *given)),
            "it looks like CHW, the model takes NHWC: np.transpose(x, (1, 2, 0))[np.newaxis]",
        ),
        ((*given[:-1], 3) if given[-1:] == (4,) else None, "drop the alpha channel: x[..., :3]"),
        (
            (1, *given[:-1], 3) if given[-1:] == (4,) else None,
            "drop alpha, add a batch: x[np.newaxis, ..., :3]",
        ),
    )
    for shape, advice in repairs:
        if shape is not None and _suits(shape, expected_shape(tensor)):
            return advice[0].upper() + advice[1:] + "."
    return f"Resize or reshape it to {expected_shape(tensor)}."


def _channels_last(shape: Shape) -> Shape | None:
    return (shape[0], shape[2], shape[3], shape[1]) if len(shape) == 4 else None


def _suits(shape: Shape, expected: Shape) -> bool:
    return len(shape) == len(expected) and all(
        want in (-1, size) for size, want in zip(shape, expected, strict=True)
    )


def dtype_advice(tensor: Tensor, given: np.dtype[Any]) -> str:
    """How a value of this type is brought into the tensor's."""
    target = tensor.dtype
    if given.kind not in "biufc":
        return f"Pass an array of numbers: np.asarray(x, np.{target})."
    if target.kind == "f" and given.kind in "iu":
        return f"Normalise it as the model was trained (for pictures often x / 127.5 - 1), as np.{target}."
    quantization = tensor.quantization
    if (
        given.kind == "f"
        and target.kind in "iu"
        and quantization is not None
        and not quantization.per_channel
    ):
        low, high = np.iinfo(target).min, np.iinfo(target).max
        return (
            f"The tensor is quantized: pass np.clip(np.round(x / {float(quantization.scale):.9g} "
            f"+ {quantization.zero_point}), {low}, {high}).astype(np.{target})."
        )
    return f"Pass x.astype(np.{target}) if its values fit."


def type_name(dtype: np.dtype[Any]) -> str:
    """TFLite's name of a NumPy type, as its messages write it."""
    if dtype.kind in "SUO":
        return "STRING"
    known = (dtype.kind in "biuf" and dtype.itemsize <= 8) or dtype in (np.complex64, np.complex128)
    return dtype.name.upper() if known else "NOTYPE"
