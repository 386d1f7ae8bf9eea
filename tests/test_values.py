from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from minilite.errors import TensorValueError
from minilite.graph import Quantization, Tensor, TensorType
from minilite.values import check, convert, dtype_advice, shape_advice, type_name

NUMBERS = st.sampled_from(
    [
        TensorType.FLOAT32,
        TensorType.FLOAT16,
        TensorType.INT8,
        TensorType.UINT8,
        TensorType.INT16,
        TensorType.INT32,
        TensorType.INT64,
        TensorType.BOOL,
    ]
)


def a_tensor(shape: tuple[int, ...], kind: TensorType = TensorType.FLOAT32, **fields: Any) -> Tensor:
    return Tensor(0, "x", kind, shape, fields.pop("signature", shape), **fields)


def written(value: Any, tensor: Tensor) -> Any:
    """What a model computes with once the value has been given."""
    memory = np.zeros(tensor.shape, tensor.dtype)
    memory[...] = convert(value, tensor, "input 0")
    return memory


@given(NUMBERS, npst.arrays(npst.integer_dtypes() | npst.unsigned_integer_dtypes(), 3))
def test_integers_arrive_whole_or_not_at_all(kind: TensorType, value: Any) -> None:
    try:
        result = written(value, a_tensor((3,), kind))
    except TensorValueError:
        assert kind.dtype != value.dtype.newbyteorder("=")
    else:
        np.testing.assert_array_equal(result, value)


@given(
    NUMBERS.filter(lambda kind: kind.dtype.kind in "iu"),
    st.lists(st.integers(-(2**70), 2**70) | st.integers(-300, 300), min_size=3, max_size=3),
)
def test_lists_of_integers_arrive_whole_or_not_at_all(kind: TensorType, value: list[int]) -> None:
    try:
        result = written(value, a_tensor((3,), kind))
    except TensorValueError:
        assert any(not np.iinfo(kind.dtype).min <= v <= np.iinfo(kind.dtype).max for v in value)
    else:
        assert [int(v) for v in result] == value


@pytest.mark.parametrize("kind", [TensorType.INT8, TensorType.UINT8, TensorType.INT64])
def test_lists_reach_both_ends_of_an_integer_type(kind: TensorType) -> None:
    limits = np.iinfo(kind.dtype)
    ends = [limits.min, limits.max]
    assert written(ends, a_tensor((2,), kind)).tolist() == ends
    for outside in (limits.min - 1, limits.max + 1):
        with pytest.raises(TensorValueError):
            written([0, outside], a_tensor((2,), kind))


@given(st.lists(st.integers(-1000, 1000), min_size=3, max_size=3))
def test_lists_of_whole_numbers_are_numbers_to_floating_point(value: list[int]) -> None:
    assert written(value, a_tensor((3,))).tolist() == value
    with pytest.raises(TensorValueError, match=r"expected float32, given int64\. Normalise"):
        convert(np.array(value, np.int64), a_tensor((3,)), "input 0")


@given(npst.arrays(npst.floating_dtypes(sizes=(16, 32, 64)), 3, elements={"min_value": -9, "max_value": 9}))
def test_floating_point_is_rounded_to_the_tensor_s_type(value: Any) -> None:
    np.testing.assert_array_equal(written(value, a_tensor((3,))), value.astype(np.float32))


@st.composite
def misplaced(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """An image tensor's shape, and that of a picture laid out another way."""
    height, width, channels = (draw(st.integers(5, 9)) for _ in range(3))
    given_shape = draw(
        st.sampled_from(
            [
                (height, width, channels),
                (1, 1, height, width, channels),
                (1, channels, height, width),
                (channels, height, width),
            ]
        )
    )
    return (1, height, width, channels), given_shape


@given(misplaced(), st.booleans())
def test_the_advice_for_a_shape_works_when_followed(
    case: tuple[tuple[int, ...], tuple[int, ...]], sizes_unknown: bool
) -> None:
    expected, given_shape = case
    signature = (-1, -1, -1, expected[3]) if sizes_unknown else expected
    advice = shape_advice(a_tensor(expected, signature=signature), given_shape)
    expression = re.search(r"(np\.transpose\(.*|x\[.*)\.$", advice)
    assert expression is not None, advice
    repaired = eval(expression[1], {"np": np, "x": np.zeros(given_shape)})
    assert len(repaired.shape) == 4
    assert repaired.shape[3] == expected[3]


@pytest.mark.parametrize(
    ("given_shape", "advice"),
    [
        ((1, 7, 6, 4), "Drop the alpha channel: x[..., :3]."),
        ((7, 6, 4), "Drop alpha, add a batch: x[np.newaxis, ..., :3]."),
        ((1, 9, 9, 3), "Resize or reshape it to (1, 7, 6, 3)."),
    ],
)
def test_advice_for_pictures(given_shape: tuple[int, ...], advice: str) -> None:
    assert shape_advice(a_tensor((1, 7, 6, 3)), given_shape) == advice


@given(
    st.sampled_from([TensorType.UINT8, TensorType.INT8, TensorType.INT16]),
    st.floats(2**-12, 8, width=32),
    st.integers(-100, 100),
)
def test_the_advice_to_quantize_works_when_followed(kind: TensorType, scale: float, zero_point: int) -> None:
    quantization = Quantization(np.array([scale], np.float32), np.array([zero_point]))
    tensor = a_tensor((5,), kind, quantization=quantization)
    advice = dtype_advice(tensor, np.dtype(np.float32))
    expression = advice.partition("pass ")[2].removesuffix(".")
    real = np.array([-1e6, -0.6, 0, 0.6, 1e6], np.float32)
    quantized = eval(expression, {"np": np, "x": real})
    check(quantized, tensor)
    limits = np.iinfo(kind.dtype)
    np.testing.assert_array_equal(quantized[[0, 4]], [limits.min, limits.max])
    assert quantized[2] == np.clip(zero_point, limits.min, limits.max)


def test_names_of_types() -> None:
    names = {
        "f4": "FLOAT32",
        "?": "BOOL",
        "u2": "UINT16",
        "c8": "COMPLEX64",
        "O": "STRING",
        "M8[s]": "NOTYPE",
    }
    assert {code: type_name(np.dtype(code)) for code in names} == names
    assert type_name(np.dtype(">f4")) == "FLOAT32"
