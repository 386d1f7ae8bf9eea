"""What tflite-runtime 2.14 does otherwise than LiteRT 2.3, whose reference kernels minilite follows.

Faults that both have are declared once, beside the operators' strategies, for LiteRT.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from minilite.graph import Activation
from minilite.testing.cases import Case, known_fault

_older = partial(known_fault, runtime="tflite-runtime")


def _has_nan(case: Case) -> bool:
    return any(value.dtype.kind == "f" and bool(np.isnan(value).any()) for value in case.inputs)


def _stacks_differ(case: Case) -> bool:
    """The operands of a matrix product have batches that broadcast."""
    tensors = [case.graph.main.tensors[i] for i in case.graph.main.operators[0].inputs]
    return tensors[0].shape[:-2] != tensors[1].shape[:-2]


def _clamps(case: Case) -> bool:
    return bool(case.graph.main.operators[0].options.fused_activation_function is not Activation.NONE)


_nan = "the index of a row with NaN depends on where it stands; LiteRT 2.3 passes over NaN"
_older("ARG_MAX", "float32", reason=_nan, when=_has_nan)
_older("ARG_MIN", "float32", reason=_nan, when=_has_nan)

_older(
    "BATCH_MATMUL",
    *("float32", "int8", "int8-int32", "int16"),
    reason="of operands whose batches broadcast it takes other matrices where one is transposed",
    when=_stacks_differ,
)
_older("BATCH_MATMUL", "hybrid", reason="scales are multiplied in another order: a unit in the last place")

_no_int4 = "does not know packed int4 and reads it as int8"
_older("CONV_2D", "hybrid_int4", "int16_int4", reason=_no_int4)
_older("FULLY_CONNECTED", "int16-int4", reason=_no_int4)

_order = "multiplies a hybrid product's scales in another order: units in the last place"
_older("DEPTHWISE_CONV_2D", "hybrid", "hybrid_uint8", reason=_order)
_older(
    "FULLY_CONNECTED",
    *("hybrid", "hybrid-asymmetric", "hybrid-per-channel", "hybrid-int4", "hybrid-uint8"),
    reason=_order,
)

_older(
    "FULLY_CONNECTED",
    *("int8", "int8-int4", "uint8-int16"),
    reason="rescales with two roundings; LiteRT 2.3 with one multiplication in double precision",
)
_older("FULLY_CONNECTED", "int8-per-channel", reason="takes the first channel's scale for all channels")
_older("FULLY_CONNECTED", "int16", reason="takes a bias of int32 for one of int64")

_older("DIV", "uint8", reason="quotients next to the middle of a step come out one step away")
_older(
    "EMBEDDING_LOOKUP",
    *("hybrid-int8", "hybrid-uint8"),
    reason="has one scale for the whole table and reads it from elsewhere where rows have their own",
)

_raw = "compares int16 as it stands, whatever the scales, or leaves the output as it was"
_older("EQUAL", "int16", reason=_raw)
_older("GREATER_EQUAL", "int16", reason=_raw)
_older("LESS", "int16", reason=_raw)

_older("MUL", "uint32", reason="a fused activation clamps to the bounds of int32", when=_clamps)

_older(
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    "float32",
    reason="gives other results where there are several batches",
    when=lambda case: case.inputs[0].shape[0] > 1,
)
_older(
    "AudioSpectrogram",
    "float32",
    reason="gives other results for the channels after the first",
    when=lambda case: case.inputs[0].shape[1] > 1,
)
