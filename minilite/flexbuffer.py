"""The options of custom operators that are written as a FlexBuffer: bytes to Python values, within bounds."""

from __future__ import annotations

from typing import Any

from flatbuffers import flexbuffers

from minilite.errors import ModelFormatError

MAX_DEPTH = 32
MAX_VALUES = 1 << 16
"""Values that one buffer may unfold to. Offsets may point to the same bytes again and again, so that a
small buffer can promise more than memory holds."""

_WIDTHS = (1, 2, 4, 8)


def decode(buffer: bytes) -> Any:
    """The root value: a number, a string, bytes, None, a list or a dict of such.

    Parameters
    ----------
    buffer:
        A whole FlexBuffer, as ``Operator.custom_options`` holds it. Empty bytes give an empty dict.

    Raises
    ------
    ModelFormatError
        It is no FlexBuffer, or unfolds to more than ``MAX_VALUES`` values or ``MAX_DEPTH`` levels.
    """
    if not buffer:
        return {}
    if len(buffer) < 3 or buffer[-1] not in _WIDTHS:
        raise ModelFormatError(
            f"custom options of {len(buffer)} bytes are not a FlexBuffer: its last byte is a width",
            rule="flexbuffer",
        )
    try:
        return _Decoder().value(flexbuffers.GetRoot(buffer), 0)
    except ModelFormatError:
        raise
    except Exception as error:  # The package raises whatever its arithmetic runs into.
        raise ModelFormatError(
            f"custom options of {len(buffer)} bytes are not a FlexBuffer: {error}", rule="flexbuffer"
        ) from error


def encode(value: Any) -> bytes:
    """The FlexBuffer of a value: what ``decode`` reads."""
    return bytes(flexbuffers.Dumps(value))


class _Decoder:
    """Walks a FlexBuffer, counting what it has unfolded."""

    def __init__(self) -> None:
        self.values = 0

    def value(self, reference: Any, depth: int) -> Any:
        self.values += 1
        if depth > MAX_DEPTH or self.values > MAX_VALUES:
            raise ModelFormatError(
                f"custom options unfold to more than {MAX_VALUES} values or {MAX_DEPTH} levels",
                rule="flexbuffer",
            )
        if reference.IsMap:
            mapping = reference.AsMap
            keys = [key.AsKey for key in self._elements(mapping.Keys)]
            elements = self._elements(mapping.Values)
            return {key: self.value(v, depth + 1) for key, v in zip(keys, elements, strict=True)}
        if reference.IsVector:
            return [self.value(v, depth + 1) for v in self._elements(reference.AsVector)]
        if reference.IsTypedVector:
            return [self.value(v, depth + 1) for v in self._elements(reference.AsTypedVector)]
        if reference.IsFixedTypedVector:
            return [self.value(v, depth + 1) for v in self._elements(reference.AsFixedTypedVector)]
        return reference.Value

    def _elements(self, vector: Any) -> list[Any]:
        count = len(vector)
        if count > MAX_VALUES:
            raise ModelFormatError(
                f"custom options claim a vector of {count} values, more than the {MAX_VALUES} allowed",
                rule="flexbuffer",
            )
        return [vector[i] for i in range(count)]
