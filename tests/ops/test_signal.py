"""Spectra: RFFT2D, REAL, IMAG, COMPLEX_ABS, AudioSpectrogram, Mfcc."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite import flexbuffer
from minilite.errors import InvokeError, PrepareError
from minilite.graph import Graph, TensorType
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from tests.oracle import evaluate

C64, I32 = TensorType.COMPLEX64, TensorType.INT32


def rfft2d(shape: tuple[int, ...], lengths: TensorSpec) -> Graph:
    return one_op("RFFT2D", [tensor(shape), lengths], [tensor((), C64)])


def test_rfft2d() -> None:
    x = np.array([[1, 2, 3, 4]], np.float32)
    (y,) = evaluate(rfft2d((1, 4), constant(np.array([1, 4], np.int32))), x)
    np.testing.assert_array_equal(y, [[10, -2 + 2j, -2]])
    # Cut to two columns and filled up to two rows.
    (y,) = evaluate(rfft2d((1, 4), constant(np.array([2, 2], np.int32))), x)
    np.testing.assert_array_equal(y, [[3, -1], [3, -1]])


def test_computed_lengths_are_checked() -> None:
    graph = rfft2d((1, 4), tensor((2,), I32))
    with pytest.raises(InvokeError, match="length 3 is not a power of two"):
        evaluate(graph, np.zeros((1, 4), np.float32), np.array([1, 3], np.int32))


def test_parts_of_complex_numbers() -> None:
    x = np.array([3 + 4j, 3e30 - 4e30j], np.complex64)
    for name, expected in (("REAL", [3, 3e30]), ("IMAG", [4, -4e30]), ("COMPLEX_ABS", [5, 5e30])):
        (y,) = evaluate(one_op(name, [tensor((2,), C64)], [tensor()]), x)
        np.testing.assert_array_equal(y, np.array(expected, np.float32))


def spectrogram(shape: tuple[int, ...], **options: Any) -> Graph:
    return one_op("AudioSpectrogram", [tensor(shape)], [tensor()], custom_options=flexbuffer.encode(options))


def test_spectrogram_of_a_constant() -> None:
    # Under a Hann window of 4 (0, 0.5, 1, 0.5) ones have the spectrum 2, -1, 0.
    graph = spectrogram((7, 2), window_size=4, stride=2, magnitude_squared=True)
    (y,) = evaluate(graph, np.ones((7, 2), np.float32))
    np.testing.assert_allclose(y, np.broadcast_to([4, 1, 0], (2, 2, 3)), atol=1e-6)
    graph = spectrogram((7, 2), window_size=4, stride=2, magnitude_squared=False)
    (y,) = evaluate(graph, np.ones((7, 2), np.float32))
    np.testing.assert_allclose(y, np.broadcast_to([2, 1, 0], (2, 2, 3)), atol=1e-6)
    assert evaluate(spectrogram((3, 1), window_size=4, stride=1), np.ones((3, 1), np.float32))[0].shape == (
        1,
        0,
        3,
    )


def test_a_window_longer_than_the_sound_costs_nothing() -> None:
    graph = spectrogram((3, 1), window_size=1 << 50, stride=1)
    assert evaluate(graph, np.ones((3, 1), np.float32))[0].shape == (1, 0, (1 << 49) + 1)


def mfcc(shape: tuple[int, ...], rate: int = 16000, **options: int) -> Graph:
    defaults = {
        "upper_frequency_limit": 4000,
        "lower_frequency_limit": 20,
        "filterbank_channel_count": 40,
        "dct_coefficient_count": 13,
    }
    inputs = [tensor(shape), constant(np.array(rate, np.int32))]
    return one_op("Mfcc", inputs, [tensor()], custom_options=flexbuffer.encode(defaults | options))


def test_mfcc_of_silence_is_the_floor() -> None:
    (y,) = evaluate(mfcc((1, 2, 257)), np.zeros((1, 2, 257), np.float32))
    floor = np.sqrt(2 / 40) * 40 * np.log(1e-12)
    np.testing.assert_allclose(y[0, 0, 0], floor, rtol=1e-6)
    np.testing.assert_allclose(y[..., 1:], 0, atol=1e-5)


def test_mfcc_beyond_the_spectrum_is_zero() -> None:
    (y,) = evaluate(mfcc((1, 1, 17), upper_frequency_limit=9000), np.ones((1, 1, 17), np.float32))
    np.testing.assert_array_equal(y, np.zeros((1, 1, 13)))


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("fft-length", rfft2d((2, 2), constant(np.array([2, 6], np.int32)))),
        ("fft-length-size", rfft2d((2, 2), constant(np.array([2], np.int32)))),
        ("rank", rfft2d((2,), constant(np.array([2, 2], np.int32)))),
        ("types", one_op("REAL", [tensor((2,))], [tensor()])),
        ("window", spectrogram((4, 1), window_size=1, stride=1)),
        ("window", spectrogram((4, 1), window_size=4)),
        ("dct-coefficient-count", mfcc((1, 1, 17), dct_coefficient_count=41)),
        ("frequency-limits", mfcc((1, 1, 17), upper_frequency_limit=20)),
        ("custom-options", one_op("Mfcc", [tensor((1, 1, 9)), constant(np.int32(1))], [tensor()],
                                  custom_options=flexbuffer.encode(3))),
    ],
)  # fmt: skip
def test_refuses(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule
