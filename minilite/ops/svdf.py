"""SVDF: a layer over the last steps of a sequence, its weights factored by rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minilite.graph import Activation, Array, Node, Shape, TensorType
from minilite.ops.base import EXACT, Tolerance, operator, refuse, rounding
from minilite.ops.checks import check_arity, check_positive, check_quantized, check_rank
from minilite.ops.hybrid import check_float_activation
from minilite.ops.recurrent import (
    WEIGHT_BYTES,
    Recurrent,
    States,
    activate,
    check_kind,
    check_shape,
    check_state,
    given,
    has,
    product,
)
from minilite.quantization import (
    integer_range,
    multiply_by_quantized_multiplier_double_rounding,
    quantize_multiplier,
    requantize,
)

_F32, _I8, _I16, _I32 = TensorType.FLOAT32, TensorType.INT8, TensorType.INT16, TensorType.INT32


@dataclass(frozen=True)
class SVDFOptions:
    """Schema table ``SVDFOptions``."""

    rank: int = 0
    fused_activation_function: Activation = Activation.NONE
    asymmetric_quantize_inputs: bool = False


@operator("SVDF")
class Svdf(Recurrent):
    """Singular value decomposition filter (TFLite's ``kernels/svdf.cc``, ``reference/svdf.h``).

    Inputs: [batch, units of the input]; feature weights [filters, units of the input]; time weights
    [filters, memory]; bias [filters / rank], optional; state [batch, filters * memory], a variable, which
    holds for each filter what it made of the last ``memory`` inputs. The filters' memories are weighted and
    summed, and ``rank`` of them make one output. Output [batch, filters / rank].

    Types: float32; float32 with int8 or uint8 weights; int8 with int8 feature weights, int16 time weights
    and state and an int32 bias. The integer kernel has no activation but the output's range, whatever the
    file says, as TFLite, which takes RELU there only.
    """

    options = SVDFOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (5, 5))
        x, features, times = node.input(0), node.input(1), node.input(2)
        for tensor, axes in ((x, "batch, units"), (features, "filters, units"), (times, "filters, memory")):
            check_rank(node, tensor, 2, axes)
        check_positive(node, "rank")
        filters, memory = times.shape
        batch, inputs = x.shape
        check_shape(node, features, (filters, inputs))
        if filters % node.options.rank or memory < 1:
            refuse(
                node,
                f"has {filters} filters of {memory} steps, which rank {node.options.rank} does not divide",
                rule="rank",
            )
        self._check_kinds(node)
        units = filters // node.options.rank
        if has(node, 3):
            check_shape(node, node.input(3), (units,))
        check_state(node, 4, _I16 if x.type is _I8 else _F32, batch * filters * memory)
        return ((batch, units),)

    def _check_kinds(self, node: Node) -> None:
        x, features, times, bias = (*(node.input(i) for i in range(3)), node.optional_input(3))
        integer = x.type is _I8
        check_kind(node, x, _F32, _I8)
        check_kind(node, node.output, x.type)
        check_kind(node, features, *((_I8,) if integer else (_F32, *WEIGHT_BYTES)))
        check_kind(node, times, _I16 if integer else features.type)
        if bias is not None:
            check_kind(node, bias, _I32 if integer else _F32)
        if features.type is not _F32:
            check_quantized(node, features, zero_scales=True)
            check_quantized(node, times, zero_scales=True)
        if integer:
            for tensor in (x, node.input(4), node.output):
                check_quantized(node, tensor)
            if node.options.fused_activation_function is not Activation.RELU:
                refuse(node, "of int8 takes the activation RELU only", rule="fused-activation")
        check_float_activation(node)

    def run(self, node: Node, inputs: Sequence[Array | None]) -> tuple[tuple[Array, ...], States]:
        x, times = given(inputs, 0), given(inputs, 2)
        filters, memory = times.shape
        state = given(inputs, 4).reshape(len(x), filters, memory)
        integer = node.input(0).type is _I8
        newest = _integer_features(node, inputs) if integer else product(node, inputs, x, 1)
        state = np.concatenate([state[..., 1:], newest[..., np.newaxis].astype(state.dtype)], axis=2)
        if integer:
            times, memories = times.astype(np.int64), state.astype(np.int64)
        else:
            times, memories = _float_times(node, times, x.dtype), state
        sums = np.einsum("bfm,fm->bf", memories, times)
        outputs = sums.reshape(len(x), -1, node.options.rank).sum(axis=2)
        bias = inputs[3]
        if bias is not None:
            outputs = outputs + bias
        return (_rescaled(node, outputs) if integer else activate(node, outputs),), {4: state}

    def multiply_adds(self, node: Node) -> int:
        return node.input(0).shape[0] * (node.input(1).size + node.input(2).size)

    def tolerance(self, node: Node) -> Tolerance:
        if node.input(0).type is _I8:
            return EXACT
        inputs, memory = node.input(1).shape[1], node.input(2).shape[1]
        return rounding(node.options.rank * (inputs + memory))


def _float_times(node: Node, times: Array, dtype: np.dtype[np.generic]) -> Array:
    """Time weights in float; quantized ones are multiplied by their scale, not added up in integers."""
    quantization = node.input(2).quantization
    if node.input(2).type not in WEIGHT_BYTES:
        return times
    assert quantization is not None
    return (times.view(np.int8) * quantization.scale).astype(dtype)


def _integer_features(node: Node, inputs: Sequence[Array | None]) -> Array:
    """What the filters make of an input, in the state's units."""
    x, features, state = (node.input(i).quantization for i in (0, 1, 4))
    assert x is not None
    assert features is not None
    assert state is not None
    centred = given(inputs, 0).astype(np.float64) - x.zero_point
    sums = (centred @ given(inputs, 1).T.astype(np.float64)).astype(np.int64)
    real = np.float64(x.scale) * np.float64(features.scale) / np.float64(state.scale)
    scaled = multiply_by_quantized_multiplier_double_rounding(sums, *quantize_multiplier(real))
    return np.clip(scaled, *integer_range(np.int16))


def _rescaled(node: Node, sums: Array) -> Array:
    times, state, output = node.input(2).quantization, node.input(4).quantization, node.output.quantization
    assert times is not None
    assert state is not None
    assert output is not None
    real = np.float64(state.scale) * np.float64(times.scale) / np.float64(output.scale)
    return requantize(sums, *quantize_multiplier(real), node.output, integer_range(np.int8))
