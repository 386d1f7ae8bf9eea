"""Custom options: what is decoded, and that nothing but a ``ModelFormatError`` comes of bad bytes."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minilite.errors import ModelFormatError
from minilite.flexbuffer import MAX_VALUES, decode, encode

# By hand: the int8 7 in one byte, its packed type (int, width 1), the root's width.
SEVEN = bytes([7, (1 << 2) | 0, 1])


def test_a_number() -> None:
    assert decode(SEVEN) == 7


def test_no_bytes_are_no_options() -> None:
    assert decode(b"") == {}


@given(
    st.recursive(
        st.one_of(st.integers(-(2**40), 2**40), st.booleans(), st.floats(width=32, allow_nan=False)),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdef_", min_size=1), inner, max_size=4)
        ),
    )
)
def test_what_is_encoded_is_decoded(value: Any) -> None:
    assert decode(encode(value)) == value


@settings(max_examples=200)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_damaged_bytes_end_in_a_value_or_an_error(seed: int, data: st.DataObject) -> None:
    good = bytearray(encode({"a": [1, 2.5, "x"], "b": {"c": list(range(seed % 9))}, "d": True}))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ModelFormatError):
        decode(bytes(good))


def test_a_cycle_is_refused() -> None:
    # A vector of one element, which is the vector itself: length 1, offset 0 back to itself, type vector.
    vector = struct.pack("<BB", 1, 0) + bytes([10 << 2])
    with pytest.raises(ModelFormatError):
        decode(vector + bytes([2, 10 << 2, 1]))


def test_what_unfolds_without_end_is_refused() -> None:
    # Each level holds the one below it eight times: 8 ** 8 values in some hundred bytes.
    data, below = bytearray(encode_level([], 0)), 1
    for _ in range(8):
        start = len(data)
        data += encode_level([start + 1 + i - below for i in range(8)], 10 << 2)
        below = start + 1
    root = len(data)
    with pytest.raises(ModelFormatError, match=str(MAX_VALUES)):
        decode(bytes(data) + bytes([root - below, 10 << 2, 1]))


def encode_level(offsets: list[int], packed_type: int) -> bytes:
    """An untyped vector: length, offsets, types, one byte each."""
    return bytes([len(offsets), *offsets, *[packed_type] * len(offsets)])
