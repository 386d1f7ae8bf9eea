"""Cases of spectra."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from minilite import flexbuffer
from minilite.graph import TensorType
from minilite.testing.cases import Case, strategy
from minilite.testing.draw import SEEDS, shapes, type_of, values, with_inputs
from minilite.testing.models import constant, one_op, tensor
from minilite.testing.strategies.selection import parameter

FLOAT = TensorType.FLOAT32
POWERS = st.sampled_from([2, 4, 8, 16, 64])


@strategy("RFFT2D", variants=("float32",))
@st.composite
def spectra(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Signals that are cut, filled up, or as long as the transform."""
    height, width = draw(st.sampled_from([1, 2, 4, 8])), draw(POWERS)
    shape = (
        *draw(shapes(0, 2, st.integers(1, 3))),
        draw(st.one_of(st.just(height), st.integers(1, 9))),
        draw(st.one_of(st.just(width), st.integers(1, 70))),
    )
    lengths, more = draw(parameter(np.array([height, width], np.int32)))
    graph = one_op(name, [tensor(shape), lengths], [tensor((), TensorType.COMPLEX64)])
    return Case(graph, (values(np.random.default_rng(draw(SEEDS)), shape, FLOAT), *more))


@strategy("REAL", "IMAG", "COMPLEX_ABS", variants=("complex64", "complex128"))
@st.composite
def parts(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Complex numbers."""
    kind = type_of(variant)
    out = FLOAT if kind is TensorType.COMPLEX64 else TensorType.FLOAT64
    graph = one_op(name, [tensor(draw(shapes()), kind)], [tensor((), out)])
    return draw(with_inputs(graph))


@strategy("AudioSpectrogram", variants=("float32",))
@st.composite
def spectrograms(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Windows that overlap, touch, leave gaps, or do not fit."""
    window = draw(st.integers(2, 40))
    options = {
        "window_size": window,
        "stride": draw(st.integers(1, 50)),
        "magnitude_squared": draw(st.booleans()),
    }
    shape = (draw(st.integers(1, 200)), draw(st.integers(1, 3)))
    graph = one_op(name, [tensor(shape)], [tensor()], custom_options=flexbuffer.encode(options))
    return draw(with_inputs(graph))


@strategy("Mfcc", variants=("float32",))
@st.composite
def cepstra(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Filter banks of any width, also beyond the spectrum."""
    channels = draw(st.integers(1, 40))
    low = draw(st.sampled_from([0, 20, 300]))
    options = {
        "upper_frequency_limit": draw(st.sampled_from([1000, 4000, 9000])),
        "lower_frequency_limit": low,
        "filterbank_channel_count": channels,
        "dct_coefficient_count": draw(st.integers(1, channels)),
    }
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.sampled_from([2, 17, 129, 257])))
    rate = constant(np.array([16000], np.int32))
    graph = one_op(name, [tensor(shape), rate], [tensor()], custom_options=flexbuffer.encode(options))
    rng = np.random.default_rng(draw(SEEDS))
    return Case(graph, (rng.standard_normal(shape).astype(np.float32) ** 2,))
