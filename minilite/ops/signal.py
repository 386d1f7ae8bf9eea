"""Spectra: RFFT2D, REAL, IMAG, COMPLEX_ABS, and the custom operators AudioSpectrogram and Mfcc."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops.base import Op, Tolerance, operator, refuse, rounding, ulps
from minilite.ops.checks import (
    check_arity,
    check_rank,
    check_size,
    check_types,
    constant_integers,
    flexbuffer_options,
)

Float64Array = npt.NDArray[np.float64]

FILTERBANK_FLOOR = 1e-12
"""The least that Mfcc takes a logarithm of."""


@dataclass(frozen=True)
class Rfft2dOptions:
    """Schema table ``Rfft2dOptions``."""


@operator("RFFT2D")
class Rfft2d(Op):
    """Spectrum of the last two axes of real numbers, half of the last as the rest is its mirror.

    Inputs: float32 [..., height, width] and the lengths of the transform, int32 [2], powers of two; the
    signal is cut or filled with zeros to them. The output is complex64 [..., length, length / 2 + 1],
    computed in float64 (TFLite's ``kernels/rfft2d.cc``).
    """

    options = Rfft2dOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 2))
        check_types(node, ((TensorType.FLOAT32, TensorType.INT32, TensorType.COMPLEX64),))
        if len(node.input(0).shape) < 2:
            refuse(node, "must have at least two axes", rule="rank", tensor=node.input(0))
        check_size(node, node.input(1), 2, "fft-length-size")
        lengths = constant_integers(node.input(1))
        return (None if lengths is None else self._output_shape(node, lengths),)

    def _output_shape(self, node: Node, lengths: Sequence[int]) -> Shape:
        for length in lengths:
            if length < 1 or length & (length - 1):
                refuse(
                    node,
                    f"length {length} is not a power of two",
                    rule="fft-length",
                    tensor=node.input(1),
                )
        return (*node.input(0).shape[:-2], lengths[0], lengths[1] // 2 + 1)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, lengths = inputs
        assert x is not None
        assert lengths is not None
        sizes = [int(length) for length in lengths]
        shape = self._output_shape(node, sizes)
        if not x.size:
            return (np.zeros(shape, np.complex64),)
        return (np.fft.rfft2(x.astype(np.float64), sizes).astype(node.output.dtype),)

    def tolerance(self, node: Node) -> Tolerance:
        lengths = constant_integers(node.input(1))
        # float64 is rounded once, to within a unit of the largest value that there can be.
        return rounding((node.input(0).size if lengths is None else lengths[0] * lengths[1]) / 4, 0)


class _OfComplex(Op):
    """What REAL, IMAG and COMPLEX_ABS share (TFLite's ``kernels/complex_support.cc``)."""

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        check_types(
            node,
            (
                (TensorType.COMPLEX64, TensorType.FLOAT32),
                (TensorType.COMPLEX128, TensorType.FLOAT64),
            ),
        )
        return (node.input(0).shape,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        assert x is not None
        return (self._part(x),)

    def _part(self, x: Array) -> Array:
        raise NotImplementedError


@operator("REAL")
class Real(_OfComplex):
    """The real part."""

    def _part(self, x: Array) -> Array:
        return x.real


@operator("IMAG")
class Imag(_OfComplex):
    """The imaginary part."""

    def _part(self, x: Array) -> Array:
        return x.imag


@operator("COMPLEX_ABS")
class ComplexAbs(_OfComplex):
    """The magnitude, without overflow on the way."""

    def _part(self, x: Array) -> Array:
        return np.asarray(np.hypot(x.real, x.imag))  # in float32 more exact than np.abs

    def tolerance(self, node: Node) -> Tolerance:
        return ulps(1)


@operator("AudioSpectrogram")
class AudioSpectrogram(Op):
    """Squared magnitudes of the spectra of windows of sound (``kernels/audio_spectrogram.cc``).

    The input is [samples, channels]; the output [channels, windows, bins]. A window of ``window_size``
    samples under a periodic Hann curve is filled with zeros to a power of two; windows begin ``stride``
    samples apart. Without ``magnitude_squared`` the square root is taken.
    """

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        check_types(node, ((TensorType.FLOAT32, TensorType.FLOAT32),))
        x = node.input(0)
        check_rank(node, x, 2, "samples, channels")
        window, stride = self._window(node)
        samples, channels = x.shape
        return ((channels, max(0, 1 + (samples - window) // stride), 1 + _power_of_two(window) // 2),)

    def _window(self, node: Node) -> tuple[int, int]:
        options = flexbuffer_options(node)
        window, stride = int(options.get("window_size", 0)), int(options.get("stride", 0))
        if window < 2 or stride < 1:
            refuse(
                node,
                f"options window_size {window} and stride {stride} must be at least 2 and 1",
                rule="window",
            )
        return window, stride

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        assert x is not None
        window, stride = self._window(node)
        (shape,) = self.output_shapes(node)
        assert shape is not None
        if 0 in shape:  # a window may be longer than memory
            return (np.zeros(shape, x.dtype),)
        hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(window) / window)
        starts = np.arange(shape[1])[:, None] * stride
        framed = x.T.astype(np.float64)[:, starts + np.arange(window)] * hann
        spectrum = np.fft.rfft(framed, _power_of_two(window))
        squared = (spectrum.real**2 + spectrum.imag**2).astype(x.dtype)
        return (squared if flexbuffer_options(node).get("magnitude_squared") else np.sqrt(squared),)

    def tolerance(self, node: Node) -> Tolerance:
        length = _power_of_two(self._window(node)[0])
        if flexbuffer_options(node).get("magnitude_squared"):
            return rounding(length * length / 4, 0, 0)
        return rounding(length / 4, 0)


def _power_of_two(size: int) -> int:
    """The least power of two that is not below."""
    return 1 << (size - 1).bit_length()


@dataclass(frozen=True)
class _MfccOptions:
    upper_frequency_limit: float
    lower_frequency_limit: float
    filterbank_channel_count: int
    dct_coefficient_count: int


@operator("Mfcc")
class Mfcc(Op):
    """Mel-frequency cepstral coefficients of squared magnitudes (TFLite's ``kernels/mfcc.cc``).

    Inputs: spectra [channels, windows, bins] as AudioSpectrogram makes them, and the sample rate, int32,
    one element. The output is [channels, windows, coefficients].
    """

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 2))
        check_types(node, ((TensorType.FLOAT32, TensorType.INT32, TensorType.FLOAT32),))
        x = node.input(0)
        check_rank(node, x, 3, "channels, windows, bins")
        check_size(node, node.input(1), 1, "sample-rate-size")
        if x.shape[2] < 2:
            refuse(node, "must have at least two bins", rule="bins", tensor=x)
        return ((*x.shape[:2], self._checked(node).dct_coefficient_count),)

    def _checked(self, node: Node) -> _MfccOptions:
        values = flexbuffer_options(node)
        # Limits are whole numbers: TFLite cuts them off.
        given = {name: int(values.get(name, 0)) for name in _MfccOptions.__dataclass_fields__}
        options = _MfccOptions(**given)
        if not 1 <= options.dct_coefficient_count <= options.filterbank_channel_count:
            refuse(
                node,
                f"dct_coefficient_count is {options.dct_coefficient_count}, but must be from 1 to the "
                f"filterbank_channel_count, {options.filterbank_channel_count}",
                rule="dct-coefficient-count",
            )
        if not 0 <= options.lower_frequency_limit < options.upper_frequency_limit:
            refuse(
                node,
                f"frequency limits {options.lower_frequency_limit} and {options.upper_frequency_limit} must "
                "be at least 0 and rise",
                rule="frequency-limits",
            )
        return options

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, rate = inputs
        assert x is not None
        assert rate is not None
        options, sample_rate = self._checked(node), int(rate.ravel()[0])
        if sample_rate < 1:
            refuse(
                node, f"is {sample_rate}, but must be at least 1", rule="sample-rate", tensor=node.input(1)
            )
        filters = _mel_filters(x.shape[2], sample_rate, options)
        if filters is None:  # the upper limit is beyond the spectrum
            return (np.zeros((*x.shape[:2], options.dct_coefficient_count), x.dtype),)
        bands = np.sqrt(x.astype(np.float64)) @ filters
        cepstrum = np.log(np.maximum(bands, FILTERBANK_FLOOR)) @ _cosines(options)
        return (cepstrum.astype(x.dtype),)

    def tolerance(self, node: Node) -> Tolerance:
        # float64 is rounded once; a coefficient is a sum of logarithms that are of the order of ten.
        return rounding(self._checked(node).filterbank_channel_count)


def _mel(frequency: npt.ArrayLike) -> Float64Array:
    mel: Float64Array = 1127.0 * np.log1p(np.asarray(frequency, np.float64) / 700.0)
    return mel


def _mel_filters(bins: int, sample_rate: int, options: _MfccOptions) -> Float64Array | None:
    """Weights [bins, channels]: overlapping triangles on the mel scale; None if they leave the spectrum.

    Each bin counts for the channels before and behind it, by how near it is to their centres.
    """
    count = options.filterbank_channel_count
    low, high = _mel(options.lower_frequency_limit), _mel(options.upper_frequency_limit)
    spacing = (high - low) / (count + 1)
    centres = low + spacing * np.arange(1, count + 2)
    width = 0.5 * sample_rate / (bins - 1)
    first = int(1.5 + options.lower_frequency_limit / width)  # never the constant part
    last = int(options.upper_frequency_limit / width)
    if last >= bins:
        return None
    weights = np.zeros((bins, count + 2))
    for i in range(first, last + 1):
        mel = _mel(i * width)
        # The channel behind the bin: the first whose centre is not below it.
        behind = min(int(np.searchsorted(centres, mel, side="left")), count)
        before = centres[behind - 1] if behind else low
        share = (centres[behind] - mel) / (centres[behind] - before)
        weights[i, behind] += share
        weights[i, behind + 1] += 1 - share
    # Column 0 is the channel before the first, the last one that behind the last.
    return weights[:, 1 : count + 1]


def _cosines(options: _MfccOptions) -> Float64Array:
    """Weights [channels, coefficients] of a discrete cosine transform of the second kind."""
    count = options.filterbank_channel_count
    angles = np.pi / count * np.outer(np.arange(count) + 0.5, np.arange(options.dct_coefficient_count))
    cosines: Float64Array = np.sqrt(2.0 / count) * np.cos(angles)
    return cosines
