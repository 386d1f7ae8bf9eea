"""The bytes of a constant and its elements: how a .tflite file packs each type."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np

from minilite.errors import ModelFormatError
from minilite.graph import Array, TensorType


def decode(raw: Array, kind: TensorType, where: str) -> Array:
    """A buffer's elements in a row, read-only: a view where the file holds them as NumPy does.

    Parameters
    ----------
    raw:
        uint8, the whole buffer.
    kind:
        The tensor's type.
    where:
        The file and the tensor, for messages.
    """
    if kind is TensorType.STRING:
        elements = _unpack_strings(raw, where)
    elif kind is TensorType.INT4:
        elements = _unpack_int4(raw)
    elif kind.bits == 0:
        raise ModelFormatError(f"{where}: a constant cannot be of type {kind.name}", rule="constant-type")
    else:
        whole = raw.size // kind.dtype.itemsize * kind.dtype.itemsize
        elements = raw[:whole].view(kind.dtype)
        if not elements.flags.aligned:
            elements = elements.copy()
    elements.flags.writeable = False
    return elements


def encode(data: Array, kind: TensorType) -> Array:
    """A constant as the bytes of its buffer, uint8."""
    if kind is TensorType.STRING:
        return _pack_strings(data.reshape(-1).tolist())
    flat = np.ascontiguousarray(data).reshape(-1)
    if kind is TensorType.INT4:
        return _pack_int4(flat)
    return flat.view(np.uint8)


def _unpack_int4(raw: Array) -> Array:
    """Two's complement nibbles, low one first, each as an int8."""
    pairs = raw.view(np.int8)
    return np.stack([np.left_shift(pairs, 4) >> 4, pairs >> 4], axis=-1).reshape(-1)


def _pack_int4(elements: Array) -> Array:
    nibbles = np.append(elements, np.zeros(elements.size % 2, np.int8)).view(np.uint8) & 0xF
    return nibbles[0::2] | (nibbles[1::2] << 4)


def _unpack_strings(raw: Array, where: str) -> Array:
    """Count, offset of each string and of the end, characters (TFLite's ``string_util.h``)."""
    header = raw[: raw.size // 4 * 4].view("<i4")
    count = int(header[0]) if header.size else -1
    offsets = header[1 : count + 2].tolist()
    if (
        not 0 <= count <= header.size - 2
        or offsets != sorted(offsets)
        or not (4 * (count + 2) <= offsets[0] and offsets[-1] <= raw.size)
    ):
        raise ModelFormatError(f"{where}: its strings lie outside its buffer", rule="string-offsets")
    strings = np.empty(count, object)
    strings[:] = [raw[start:end].tobytes() for start, end in itertools.pairwise(offsets)]
    return strings


def _pack_strings(strings: Iterable[bytes]) -> Array:
    texts = list(strings)
    header = 4 * (len(texts) + 2)
    ends = header + np.cumsum([0, *map(len, texts)])
    packed = np.array([len(texts), *ends], "<i4").tobytes() + b"".join(texts)
    return np.frombuffer(packed, np.uint8)
