"""Quantization after training: float graphs made into float16 and int8 ones, as the TFLite converter does.

What an operator asks of its tensors it says itself (``ops.Int8``). Everything else is here: one scale for
tensors that have to share one, weights and biases, and QUANTIZE and DEQUANTIZE where types or scales meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from minilite import ops
from minilite.building import TensorSpec, constant, make_tensor, tensor
from minilite.calibration import Range
from minilite.errors import TensorValueError
from minilite.graph import ABSENT, Array, Graph, Node, Operator, Signature, Subgraph, Tensor, TensorType
from minilite.prepare import prepare
from minilite.quantization import round_half_away, saturate

_F32, _F16, _I8 = TensorType.FLOAT32, TensorType.FLOAT16, TensorType.INT8

_STEPS = 255
_LARGEST_WEIGHT = 127
"""Weights are symmetric: -128 is not used."""

_LARGEST_BIAS = 1 << 30
"""Steps of a bias: what leaves the sum's 32 bits room for the products."""

_NOTHING = 1e-9
"""A range that is narrower holds nothing but zeros."""


def to_float16(graph: Graph) -> Graph:
    """Constants of float32 as float16, each behind a DEQUANTIZE: half the file, computed in float32.

    Values past what float16 holds become its largest.
    """
    rewriting = _Rewriting(graph)
    largest = float(np.finfo(np.float16).max)
    for old in graph.main.tensors:
        if old.type is _F32 and old.data is not None:
            data = np.clip(old.data, -largest, largest).astype(np.float16)
            half = rewriting.tensor(constant(data, name=f"{old.name}_float16"))
            rewriting.tensors[old.index] = replace(old, data=None)
            rewriting.operator("DEQUANTIZE", [half], [old.index], version=3)
    rewriting.operators += graph.main.operators
    return rewriting.graph(graph.main.inputs, graph.main.outputs)


def to_int8(graph: Graph, ranges: Mapping[int, Range], *, float_io: bool = False) -> Graph:
    """A float graph in int8: activations per tensor, weights per channel, biases int32.

    Jacob et al. 2018 ("Quantization and training of neural networks for efficient integer-arithmetic-only
    inference"), section 2; the restrictions are those of TFLite's int8 specification. Operators that have no
    int8 form here (``Op.int8``) stay float, between DEQUANTIZE and QUANTIZE.

    Parameters
    ----------
    graph:
        Its main subgraph is quantized. Weights may be float16 behind DEQUANTIZE.
    ranges:
        Of float tensors, by number, as ``calibration.calibrate`` measures them.
    float_io:
        Leave inputs and outputs float.

    Raises
    ------
    TensorValueError
        A tensor that needs a scale has no range.
    """
    rewriting = _Int8(graph, ranges)
    inputs = graph.main.inputs
    if not float_io:
        for number in inputs:
            if graph.main.tensors[number].type is _F32:
                rewriting.become_int8(number)
    for node in rewriting.nodes():
        rewriting.rewrite(node)
    outputs = [rewriting.output(number, float_io=float_io) for number in graph.main.outputs]
    return rewriting.graph(inputs, outputs)


@dataclass(frozen=True)
class _Scale:
    """``real = scale * (quantized - zero_point)``."""

    scale: float
    zero_point: int

    @classmethod
    def of(cls, low: float, high: float) -> _Scale:
        """One for values from ``low`` to ``high``, on which zero is exact."""
        low, high = min(low, 0.0), max(high, 0.0)
        if high - low < _NOTHING:
            return cls(1.0, 0)
        scale = float(np.float32((high - low) / _STEPS))
        zero_point = round(-128 - low / scale)
        return cls(scale, min(max(zero_point, -128), 127))

    def quantize(self, values: Array) -> Array:
        """Floats as int8."""
        return saturate(round_half_away(values / np.float32(self.scale)) + self.zero_point, np.int8)


class _Rewriting:
    """A main subgraph that is being rewritten: old tensors keep their numbers until the end."""

    def __init__(self, graph: Graph) -> None:
        self.source = graph
        self.tensors = list(graph.main.tensors)
        self.operators: list[Operator] = []

    def tensor(self, spec: TensorSpec) -> int:
        """A new tensor's number."""
        self.tensors.append(make_tensor(spec, len(self.tensors), ""))
        return len(self.tensors) - 1

    def operator(self, name: str, inputs: Sequence[int], outputs: Sequence[int], *, version: int = 1) -> None:
        """A new operator, with the default options."""
        op = ops.find(name)
        assert op is not None
        options = None if op.options is None else op.options()
        self.operators.append(Operator(0, name, tuple(inputs), tuple(outputs), options, version))

    def graph(self, inputs: Sequence[int], outputs: Sequence[int]) -> Graph:
        """The graph, its tensors numbered anew without those that nothing uses."""
        lists = [(op.inputs, op.outputs, op.intermediates) for op in self.operators]
        used = {n for parts in lists for numbers in parts for n in numbers}.union(inputs, outputs)
        kept = [tensor for tensor in self.tensors if tensor.index in used]
        positions = {tensor.index: position for position, tensor in enumerate(kept)} | {ABSENT: ABSENT}

        def new(old: Sequence[int]) -> tuple[int, ...]:
            return tuple(positions[number] for number in old)

        operators = tuple(
            replace(op, index=i, inputs=new(given), outputs=new(made), intermediates=new(between))
            for i, (op, (given, made, between)) in enumerate(zip(self.operators, lists, strict=True))
        )
        others = self.source.subgraphs[1:]
        first = max((t.buffer for subgraph in others for t in subgraph.tensors), default=0) + 1
        tensors = tuple(replace(t, index=i, buffer=first + i) for i, t in enumerate(kept))
        main = Subgraph(0, self.source.main.name, tensors, operators, new(inputs), new(outputs))
        signatures = tuple(
            self._signature(signature, main) if signature.subgraph == 0 else signature
            for signature in self.source.signatures
        )
        return replace(self.source, subgraphs=(main, *others), signatures=signatures)

    def _signature(self, signature: Signature, main: Subgraph) -> Signature:
        old = self.source.main
        inputs = dict(zip(old.inputs, main.inputs, strict=True))
        outputs = dict(zip(old.outputs, main.outputs, strict=True))
        return replace(
            signature,
            inputs={name: inputs[number] for name, number in signature.inputs.items()},
            outputs={name: outputs[number] for name, number in signature.outputs.items()},
        )


class _Int8(_Rewriting):
    """A main subgraph on its way to int8."""

    def __init__(self, graph: Graph, ranges: Mapping[int, Range]) -> None:
        super().__init__(graph)
        # Weights of float16 are floats behind an operator that has nothing to do.
        self.values = {
            t.index: t.data for t in prepare(graph).main.tensors if t.type is _F32 and t.data is not None
        }
        self.scales = self._scales(ranges)
        self.converted: dict[tuple[int, _Scale | None], int] = {}

    def nodes(self) -> list[Node]:
        """What is left to run."""
        return [
            node
            for node in self.source.main.nodes()
            if not node.outputs or any(t.index not in self.values for t in node.outputs)
        ]

    def rewrite(self, node: Node) -> None:
        """Append a node, in int8 if it can be."""
        op = node.operator
        rule = self._rule(node)
        if rule is None:
            inputs = [self._as_float(i) if i != ABSENT else i for i in op.inputs]
            self.operators.append(replace(op, inputs=tuple(inputs)))
            return
        target = self.scales.get(op.outputs[0]) if rule.same_scale else None
        numbers = list(op.inputs)
        for position, number in enumerate(op.inputs):
            if number != ABSENT and position not in (rule.filter, rule.bias) and self._is_float(number):
                numbers[position] = self._as_int8(number, target)
        if rule.filter is not None:
            self._weigh(numbers, rule)
        version = max(op.version, rule.version)
        self.operators.append(replace(op, inputs=tuple(numbers), version=version))
        for number in op.outputs:
            if self._is_float(number):
                self.become_int8(number)

    def become_int8(self, number: int) -> None:
        """Let a computed tensor hold int8."""
        chosen = self._scale_of(number)
        old = self.tensors[number]
        spec = tensor(old.shape, _I8, scale=chosen.scale, zero_point=chosen.zero_point, name=old.name)
        made = make_tensor(spec, number, "")
        self.tensors[number] = replace(made, shape_signature=old.shape_signature)

    def output(self, number: int, *, float_io: bool) -> int:
        """The number of the tensor that takes an output's place."""
        if not self._is_float(number) or number in self.source.main.inputs:
            return number
        if not float_io:
            return self._as_int8(number)
        outer = self._as_float(number)
        if outer != number:  # The name that programs know is the outer one's.
            inner = self.tensors[number]
            self.tensors[outer] = replace(self.tensors[outer], name=inner.name)
            self.tensors[number] = replace(inner, name=f"{inner.name}_int8")
        return outer

    def _rule(self, node: Node) -> ops.Int8 | None:
        """How a node is quantized; None: it stays as it is."""
        op = ops.find(node.operator.name)
        rule = None if op is None else op.int8
        if rule is None or node.operator.is_custom:
            return None
        if not any(
            self._is_float(t.index) and t.index not in self.values for t in node.inputs if t is not None
        ):
            return None
        parts = (node.optional_input(p) for p in (rule.filter, rule.bias) if p is not None)
        known = all(t is None or t.index in self.values for t in parts)
        return rule if known else None

    def _is_float(self, number: int) -> bool:
        return self.source.main.tensors[number].type is _F32

    def _scale_of(self, number: int) -> _Scale:
        if number in self.scales:
            return self.scales[number]
        if number in self.values:
            value = self.values[number]
            return _Scale.of(float(np.min(value, initial=0.0)), float(np.max(value, initial=0.0)))
        raise TensorValueError(
            f"{self.source.main.tensors[number]} has no range: calibrate the same graph that is quantized",
            tensor=number,
            rule="calibration",
        )

    def _scales(self, ranges: Mapping[int, Range]) -> dict[int, _Scale]:
        """The scale of each float tensor, the same for all that have to share one."""
        groups: dict[int, list[int]] = {number: [number] for number in ranges}
        fixed: dict[int, _Scale] = {}
        for node in self.nodes():
            rule = self._rule(node)
            if rule is None:
                continue
            outputs = [n for n in node.operator.outputs if n in groups]
            if rule.output is not None:
                fixed |= dict.fromkeys(outputs, _Scale(*rule.output))
            if not rule.same_scale:
                continue
            inputs = [n for n in dict.fromkeys(node.operator.inputs) if n in groups and n not in self.values]
            if len(inputs) == 1 and inputs[0] in fixed:
                fixed |= dict.fromkeys(outputs, fixed[inputs[0]])
                continue
            # What has a scale of its kernel's own is brought to the common one.
            _join(groups, [n for n in inputs if n not in fixed] + outputs)
        scales: dict[int, _Scale] = {}
        for number, group in groups.items():
            lows, highs = zip(*(ranges[member] for member in group), strict=True)
            scales[number] = fixed.get(number) or _Scale.of(min(lows), max(highs))
        return scales

    def _as_int8(self, number: int, wanted: _Scale | None = None) -> int:
        """A float's int8 form, of its own scale or the one wanted."""
        scale = wanted or self._scale_of(number)
        key = (number, scale)
        held = self.tensors[number]
        own = held.type is _I8 and _scale(held) == scale
        if own or key in self.converted:
            return number if own else self.converted[key]
        parameters = {"scale": scale.scale, "zero_point": scale.zero_point}
        if number in self.values:
            data = scale.quantize(self.values[number])
            self.converted[key] = self.tensor(constant(data, _I8, name=held.name, **parameters))
        else:
            spec = tensor(held.shape, _I8, name=f"{held.name}_int8", **parameters)
            self.converted[key] = self._conversion("QUANTIZE", number, spec, version=1 + (held.type is _I8))
        return self.converted[key]

    def _as_float(self, number: int) -> int:
        held = self.tensors[number]
        if held.type is not _I8 or not self._is_float(number):
            if number in self.values and held.data is None:
                self.tensors[number] = replace(held, data=self.values[number])
            return number
        key = (number, None)
        if key not in self.converted:
            spec = tensor(held.shape, _F32, name=f"{held.name}_float32")
            self.converted[key] = self._conversion("DEQUANTIZE", number, spec, version=2)
        return self.converted[key]

    def _conversion(self, name: str, number: int, spec: TensorSpec, version: int) -> int:
        made = self.tensor(spec)
        signature = self.tensors[number].shape_signature
        self.tensors[made] = replace(self.tensors[made], shape_signature=signature)
        self.operator(name, [number], [made], version=version)
        return made

    def _weigh(self, numbers: list[int], rule: ops.Int8) -> None:
        """Put the int8 filter and the int32 bias in the places of the floats."""
        assert rule.filter is not None
        weights = self.values[numbers[rule.filter]]
        (picture,) = (
            n for n in numbers if n != ABSENT and self.tensors[n].type is _I8 and n not in self.values
        )
        input_scale = _scale(self.tensors[picture]).scale
        bias = None
        if rule.bias is not None and rule.bias < len(numbers) and numbers[rule.bias] != ABSENT:
            bias = self.values[numbers[rule.bias]]
        scales = _weight_scales(weights, rule.axis, bias, input_scale)
        shape = [1] * weights.ndim
        shape[rule.axis] = -1
        steps = round_half_away(weights / scales.reshape(shape))
        data = np.clip(steps, -_LARGEST_WEIGHT, _LARGEST_WEIGHT).astype(np.int8)
        zeros = [0] * len(scales)
        numbers[rule.filter] = self.tensor(
            constant(
                data,
                name=self.tensors[numbers[rule.filter]].name,
                scale=scales.tolist(),
                zero_point=zeros,
                quantized_dimension=rule.axis,
            )
        )
        if bias is not None:
            assert rule.bias is not None
            bias_scales = np.float32(input_scale) * scales
            rounded = saturate(round_half_away(bias / bias_scales.astype(np.float64)), np.int32)
            numbers[rule.bias] = self.tensor(
                constant(
                    rounded,
                    name=self.tensors[numbers[rule.bias]].name,
                    scale=bias_scales.tolist(),
                    zero_point=zeros,
                )
            )


def _scale(tensor: Tensor) -> _Scale:
    assert tensor.quantization is not None
    return _Scale(float(tensor.quantization.scale), tensor.quantization.zero_point)


def _join(groups: dict[int, list[int]], numbers: Sequence[int]) -> None:
    """Make one group of those that these are in."""
    members = list(dict.fromkeys(member for number in numbers for member in groups[number]))
    for member in members:
        groups[member] = members


def _weight_scales(weights: Array, axis: int, bias: Array | None, input_scale: float) -> Array:
    """float32 scales of each channel's weights, wide enough for the bias, whose scale depends on them."""
    others = tuple(i for i in range(weights.ndim) if i != axis)
    scales = np.max(np.abs(weights.astype(np.float64)), axis=others, initial=0.0) / _LARGEST_WEIGHT
    if bias is not None:
        scales = np.maximum(scales, np.abs(bias.astype(np.float64)) / (_LARGEST_BIAS * input_scale))
    return np.where(scales > 0, scales, 1.0).astype(np.float32)
