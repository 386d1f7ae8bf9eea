"""The float model that a quantized one stands for, made from the quantized one alone.

Weights and biases become the real numbers that they stand for, quantized tensors become float32, fused
activations stay. Tensors keep their numbers. What an operator takes its constants for, it says itself
(``Op.real_input``); one that has no float form stays as it is, between QUANTIZE and DEQUANTIZE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from minilite import ops
from minilite.errors import PrepareError, TensorValueError
from minilite.graph import ABSENT, Activation, Array, Graph, Node, Operator, Subgraph, Tensor, TensorType
from minilite.ops.base import Op
from minilite.prepare import prepare
from minilite.quantization import integer_range, is_quantized
from minilite.sparsity import densify


@dataclass(frozen=True, eq=False)
class Twin:
    """A float model beside the quantized one.

    Attributes
    ----------
    graph:
        The tensors of the quantized model have the same numbers here.
    operators:
        Of the main subgraph: which operators here do the work of each operator there.
    quantized:
        Numbers of the operators that stay quantized, having no float form.
    implied:
        The clamp that an operator has here because its output's range ends there, by its number.
    """

    graph: Graph
    operators: tuple[range, ...]
    quantized: tuple[int, ...]
    implied: Mapping[int, Activation]


def float_twin(graph: Graph, *, implied: bool = True) -> Twin:
    """The float model that a quantized one stands for.

    Parameters
    ----------
    graph:
        As ``loader.load_graph`` gives it: uint8, int8, int16, or of dynamic range.
    implied:
        Where no activation is fused, but the output's lowest code is a real zero, the operator clamps there,
        too: converters fold RELU and RELU6 into the range.

    Raises
    ------
    TensorValueError
        Nothing in the model is quantized.
    """
    made = [_Twinning(graph, index, implied).result() for index in range(len(graph.subgraphs))]
    if not any(twinning.changed for twinning in made):
        raise TensorValueError(
            "nothing in this model is quantized to uint8, int8 or int16: it has no float twin but itself",
            rule="not-quantized",
        )
    main = made[0]
    twin = replace(graph, subgraphs=tuple(twinning.subgraph for twinning in made))
    return Twin(twin, tuple(main.ranges), tuple(main.quantized), main.implied)


class _Twinning:
    """One subgraph being rewritten."""

    def __init__(self, graph: Graph, index: int, implied: bool) -> None:
        self.source = graph.subgraphs[index]
        self.shaped = _prepared(graph, index)
        self.implies = implied
        self.tensors = list(self.source.tensors)
        self.operators: list[Operator] = []
        self.ranges: list[range] = []
        self.quantized: list[int] = []
        self.implied: dict[int, Activation] = {}
        self.changed = False
        self._copies: dict[int, int] = {}

    def result(self) -> _Twinning:
        for number in self._connected():
            tensor = self.source.tensors[number]
            if _has_codes(tensor) and not tensor.is_constant:
                self._become_float(tensor)
        for operator in self.source.operators:
            first = len(self.operators)
            self._rewrite(operator)
            self.ranges.append(range(first, len(self.operators)))
        numbered = tuple(replace(operator, index=i) for i, operator in enumerate(self.operators))
        self.subgraph = replace(self.source, tensors=tuple(self.tensors), operators=numbered)
        return self

    def _connected(self) -> set[int]:
        """Tensors that are computed or given; those that only say how an operator computes are not."""
        passed = {i for op in self.source.operators for i in (*op.inputs, *op.outputs)} - {ABSENT}
        return passed.union(self.source.inputs, self.source.outputs)

    def _become_float(self, tensor: Tensor, data: Array | None = None) -> None:
        self.changed = True
        if data is not None:
            data = np.ascontiguousarray(data, np.float32)
            data.flags.writeable = False
        self.tensors[tensor.index] = replace(
            tensor, type=TensorType.FLOAT32, quantization=None, sparsity=None, data=data
        )

    def _rewrite(self, operator: Operator) -> None:
        op = ops.find(operator.name)
        assert op is not None
        inputs = tuple(self._real_input(op, operator, i) for i in range(len(operator.inputs)))
        changed = [
            before != after or (before != ABSENT and self._is_changed(before))
            for before, after in zip(operator.inputs, inputs, strict=True)
        ]
        if not any(changed) and not any(map(self._is_changed, operator.outputs)):
            self.operators.append(operator)
            return
        real = replace(operator, inputs=inputs)
        if op.converts and self._types(inputs[:1]) == self._types(operator.outputs):
            # What changed units gives its input as it is; of any shape, which a RESHAPE would have to know.
            same = _operator("MAXIMUM", inputs=inputs[:1] * 2, outputs=operator.outputs)
            self.operators.append(same)
        elif not op.reads_codes and self._accepts(op, real):
            self.operators.append(self._with_implied_clamp(op, real))
        else:
            self._stay_quantized(operator)

    def _is_changed(self, number: int) -> bool:
        return self.tensors[number].type is not self.source.tensors[number].type

    def _types(self, numbers: tuple[int, ...]) -> list[TensorType]:
        return [self.tensors[number].type for number in numbers]

    def _real_input(self, op: Op, operator: Operator, position: int) -> int:
        """The number of the tensor that stands for an input in the twin."""
        number = operator.inputs[position]
        if number == ABSENT or not self.source.tensors[number].is_constant or op.reads_codes:
            return number
        tensor = self.shaped.tensors[number]
        values = op.real_input(Node(self.shaped, operator), position)
        if values is None:
            return number
        real = values.astype(np.float32)
        held = self.tensors[number]
        if held.type is tensor.type:
            self._become_float(tensor, real)
        elif held.data is None or not np.array_equal(held.data, real):
            # One constant, as a bias of two scales, may stand for other numbers elsewhere.
            return self._add(replace(held, data=real, buffer=0))
        return number

    def _add(self, tensor: Tensor) -> int:
        self.tensors.append(replace(tensor, index=len(self.tensors)))
        return len(self.tensors) - 1

    def _node(self, operator: Operator) -> Node:
        """An operator with the twin's tensors in the shapes that are known."""
        shapes = {t.index: t for t in self.shaped.tensors}
        tensors = [
            replace(t, shape=shapes[t.index].shape, is_dynamic=shapes[t.index].is_dynamic)
            if t.index in shapes
            else t
            for t in self.tensors
        ]
        return Node(replace(self.source, tensors=tuple(tensors)), operator)

    def _accepts(self, op: Op, operator: Operator) -> bool:
        node = self._node(operator)
        if any(t is not None and t.is_dynamic for t in (*node.inputs, *node.outputs)):
            tensors = tuple(replace(t, is_dynamic=False) for t in node.subgraph.tensors)
            node = Node(replace(node.subgraph, tensors=tensors), operator)
            try:
                op.output_shapes(node)
            except PrepareError as error:
                return error.rule not in ("types", "type")  # of its shapes nothing is known yet
            return True
        try:
            op.output_shapes(node)
        except PrepareError:
            return False
        return True

    def _with_implied_clamp(self, op: Op, operator: Operator) -> Operator:
        fused = getattr(operator.options, "fused_activation_function", None)
        if not self.implies or fused is not Activation.NONE or len(operator.outputs) != 1:
            return operator
        activation = _implied_activation(self.source.tensors[operator.outputs[0]])
        if activation is None:
            return operator
        clamped = replace(operator, options=replace(operator.options, fused_activation_function=activation))
        if not self._accepts(op, clamped):
            return operator
        self.implied[operator.index] = activation
        return clamped

    def _stay_quantized(self, operator: Operator) -> None:
        """The operator as it was, its tensors quantized before it and real numbers again behind it."""
        self.quantized.append(operator.index)
        inputs = [number if number == ABSENT else self._codes(number) for number in operator.inputs]
        for number, codes in zip(operator.inputs, inputs, strict=True):
            if number != codes and not self._is_fixed(number):
                self.operators.append(_operator("QUANTIZE", inputs=(number,), outputs=(codes,)))
        outputs = [self._add(self.source.tensors[n]) if self._is_changed(n) else n for n in operator.outputs]
        self.operators.append(replace(operator, inputs=tuple(inputs), outputs=tuple(outputs)))
        for number, codes in zip(operator.outputs, outputs, strict=True):
            if number != codes:
                self.operators.append(_operator("DEQUANTIZE", inputs=(codes,), outputs=(number,)))

    def _codes(self, number: int) -> int:
        """The number of a quantized tensor that stands for one which is float here."""
        if not self._is_changed(number):
            return number
        if not self._is_fixed(number):
            return self._add(self.source.tensors[number])
        if number not in self._copies:
            self._copies[number] = self._add(replace(self.source.tensors[number], buffer=0))
        return self._copies[number]

    def _is_fixed(self, number: int) -> bool:
        """Whether nobody computes a tensor: a constant, or a state that only operators with it know."""
        return self.source.tensors[number].is_constant or self.source.tensors[number].is_variable


def _operator(name: str, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> Operator:
    op = ops.find(name)
    assert op is not None
    return Operator(0, name, inputs, outputs, None if op.options is None else op.options())


def _has_codes(tensor: Tensor) -> bool:
    return tensor.quantization is not None and is_quantized(tensor)


def _implied_activation(output: Tensor) -> Activation | None:
    """RELU or RELU6 where the range of a quantized output is theirs, its ends within a step."""
    if not _has_codes(output) or output.quantization is None or output.quantization.per_channel:
        return None
    low, high = integer_range(output.dtype)
    if output.quantization.zero_point != low:
        return None
    scale = float(output.quantization.scale)
    return Activation.RELU6 if abs(scale * (high - low) - 6) <= scale else Activation.RELU


def _prepared(graph: Graph, index: int) -> Subgraph:
    """The subgraph with the shapes that are known, its constants dense."""
    try:
        shaped = prepare(graph, subgraph=index).subgraphs[index]
    except PrepareError:
        shaped = graph.subgraphs[index]
    tensors = []
    for old, new in zip(graph.subgraphs[index].tensors, shaped.tensors, strict=True):
        data = old.data
        if data is not None and old.sparsity is not None:
            data = densify(old, data)
        tensors.append(replace(new, data=data, sparsity=None))
    assert all(t.data is None or t.data.size == prod(t.shape) for t in tensors)
    return replace(shaped, tensors=tuple(tensors))
