"""What operators with state share: variables that a run reads and leaves for the next one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from minilite.graph import Array, Node, Shape, Tensor, TensorType
from minilite.ops.base import Op, Runtime, refuse
from minilite.ops.hybrid import apply_activation, hybrid_product

States = Mapping[int, Array]
"""New values of variables, by the position of the operator's input."""

WEIGHT_BYTES = (TensorType.INT8, TensorType.UINT8)
"""Types of weights beside float values: quantized, the values are then quantized during the run."""


HYBRID_STEP = 1 / 127 / 4 / float(np.finfo(np.float32).eps)
"""As many roundings as one step of a quantized value in [-1, 1] is wide.

With quantized weights, values that were computed are rounded to such steps before they are multiplied, in
each step of a sequence and before a projection: which of two steps a value comes to is for its last bit to
say, in which libraries differ.
"""


class Recurrent(Op):
    """An operator whose state is in variable tensors (``is_variable``) among its inputs."""

    pure = False

    def run(self, node: Node, inputs: Sequence[Array | None]) -> tuple[tuple[Array, ...], States]:
        """Outputs, and what the variables hold afterwards."""
        raise NotImplementedError

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        return self.run(node, inputs)[0]

    def execute(self, node: Node, inputs: Sequence[Array | None], runtime: Runtime) -> tuple[Array, ...]:
        outputs, states = self.run(node, inputs)
        for position, value in states.items():
            variable = node.input(position)
            runtime.assign(variable, value.reshape(variable.shape))
        return outputs


def check_state(node: Node, position: int, kind: TensorType, size: int) -> None:
    """Refuse a state that is no variable, or of another type or size; its axes are of no account."""
    tensor = node.input(position)
    if not tensor.is_variable:
        refuse(node, "must be a variable tensor, as it holds state", rule="variable", tensor=tensor)
    check_kind(node, tensor, kind)
    if tensor.size != size:
        refuse(node, f"must have {size} elements", rule="state-size", tensor=tensor)


def check_kind(node: Node, tensor: Tensor, *kinds: TensorType) -> None:
    """Refuse a tensor of another type."""
    if tensor.type not in kinds:
        refuse(node, f"must be {' or '.join(k.name for k in kinds)}", rule="types", tensor=tensor)


def check_shape(node: Node, tensor: Tensor, shape: Shape) -> None:
    """Refuse a tensor of another shape."""
    if tensor.shape != shape:
        refuse(node, f"must have the shape {shape}", rule="shape", tensor=tensor)


def has(node: Node, position: int) -> bool:
    """Whether an optional input is there; no position is -1."""
    return position >= 0 and node.optional_input(position) is not None


def given(inputs: Sequence[Array | None], position: int) -> Array:
    """An input that must be there."""
    value = inputs[position]
    assert value is not None
    return value


def product(node: Node, inputs: Sequence[Array | None], rows: Array, position: int) -> Array:
    """``rows @ weights.T`` with the weights at ``position``: in float, or quantized if they are integers."""
    weights, tensor = given(inputs, position), node.input(position)
    if tensor.type not in WEIGHT_BYTES:
        return rows @ weights.T
    asymmetric = node.options.asymmetric_quantize_inputs
    return hybrid_product(rows, weights.view(np.int8), tensor, asymmetric=asymmetric)


def activate(node: Node, values: Array) -> Array:
    """The operator's fused activation, on floats."""
    return apply_activation(node.options.fused_activation_function, values)


def time_first(x: Array, time_major: bool) -> Array:
    """A sequence as [time, batch, ...]; the same turns it back."""
    return x if time_major else x.swapaxes(0, 1)
