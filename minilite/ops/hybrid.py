"""Float operators with integer weights ("hybrid", "dynamic range"): the input is quantized during the run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minilite.graph import Activation, Array, Node, Tensor, TensorType
from minilite.ops.base import refuse
from minilite.quantization import activation_range, quantize_rows_asymmetric, quantize_rows_symmetric
from minilite.telling import tell


def is_hybrid(node: Node) -> bool:
    """Whether floats (input 0) meet weights of few bits (input 1): they are quantized during the run."""
    return node.input(0).type is TensorType.FLOAT32 and node.input(1).type is not TensorType.FLOAT32


def check_float_activation(node: Node) -> None:
    """Refuse a number that is no fused activation; of hybrid and recurrent kernels all are."""
    if node.options.fused_activation_function not in _ACTIVATIONS:
        refuse(node, "has an unknown fused activation", rule="fused-activation")


def apply_activation(activation: Activation, values: Array) -> Array:
    """A fused activation on floats, infinities left as they are (``ApplyActivationToVector``)."""
    with np.errstate(invalid="ignore"):
        active: Array = _ACTIVATIONS[activation](values)
    return active.astype(values.dtype, copy=False)


_ACTIVATIONS: dict[Activation, Callable[[Array], Array]] = {
    Activation.NONE: lambda x: x,
    Activation.RELU: lambda x: np.maximum(x, 0),
    Activation.RELU_N1_TO_1: lambda x: np.clip(x, -1, 1),
    Activation.RELU6: lambda x: np.clip(x, 0, 6),
    Activation.TANH: np.tanh,
    Activation.SIGN_BIT: np.signbit,
}


def open_range(activation: Activation) -> tuple[float, float]:
    """The clamp of a fused activation, infinite where it is open: hybrid kernels leave infinities alone."""
    low, high = activation_range(activation, np.float32)
    limit = float(np.finfo(np.float32).max)
    return -np.inf if low == -limit else low, np.inf if high == limit else high


def quantize_rows(rows: Array, *, asymmetric: bool) -> tuple[Array, Array, Array]:
    """Float rows as int8 [rows, length], float32 scales and int32 zero points [rows]."""
    if asymmetric:
        return quantize_rows_asymmetric(rows)
    values, scales = quantize_rows_symmetric(rows)
    return values, scales, np.zeros(len(rows), np.int32)


def hybrid_product(rows: Array, weights: Array, tensor: Tensor, *, asymmetric: bool) -> Array:
    """``rows @ weights.T`` on rows quantized to int8, float32 [rows, units].

    Parameters
    ----------
    rows:
        Finite floats [rows, depth].
    weights, tensor:
        int8 [units, depth], and the tensor with their scales.
    asymmetric:
        Whether the rows get zero points.

    Notes
    -----
    ``BatchQuantizeFloats`` and ``MatrixBatchVectorMultiplyAccumulate`` of
    ``internal/reference/portable_tensor_utils.cc``.
    """
    assert tensor.quantization is not None
    values, scales, zero_points = quantize_rows(rows, asymmetric=asymmetric)
    centred = values.astype(np.float64) - zero_points[:, None]
    # Exact in float64; TFLite adds in int32, and has float32 of the sum.
    sums = (centred @ weights.T.astype(np.float64)).astype(np.float32)
    factors: Array = scales[:, None] * tensor.quantization.scales
    tell("sum of products of integers", sums)
    scaled: Array = sums * factors
    factor = np.broadcast_to(factors, sums.shape)
    tell("* {factor}, the scale of the input times that of the weights", scaled, factor=factor)
    return scaled
