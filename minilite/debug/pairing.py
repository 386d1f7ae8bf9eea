"""Which tensor of one run stands for which of another: of one model, or of two that should do the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

import numpy as np

from minilite.debug.difference import real
from minilite.debug.recording import Recording
from minilite.errors import PairingError
from minilite.graph import Array, Graph, Node, Quantization, Tensor

Method = Literal["auto", "name", "order"]

_CONVERSIONS = {"QUANTIZE", "DEQUANTIZE"}
"""What a quantized twin has more of."""


@dataclass(frozen=True, eq=False)
class Pairing:
    """Tensors of ``given`` and those of ``expected`` that stand for them.

    Attributes
    ----------
    numbers:
        From numbers in ``given`` to numbers in ``expected``; of what was recorded on both sides.
    how:
        ``"same model"``, ``"name"`` or ``"order"``.
    same_structure:
        Whether both models have the same operators and tensors, whatever the constants are.
    """

    given: Recording
    expected: Recording
    numbers: Mapping[int, int]
    how: str
    same_structure: bool

    def in_units(self, number: int) -> tuple[Array, Array]:
        """A tensor's values on both sides, in codes where both quantize alike, else in real numbers."""
        ours, theirs = self._tensors(number)
        a, b = self.given.value(number), self.expected.value(self.numbers[number])
        if not alike(ours, theirs):
            a, b = real(a, ours), real(b, theirs)
        if a.shape != b.shape and a.size == b.size and _without_ones(a) == _without_ones(b):
            b = b.reshape(a.shape)
        return a, b

    def real(self, number: int, made: Array) -> tuple[Array, Array]:
        """What this side made, and the other side's value, in real numbers (float64)."""
        ours, theirs = self._tensors(number)
        right = real(self.expected.value(self.numbers[number]), theirs).astype(np.float64)
        return real(made, ours).astype(np.float64), right.reshape(made.shape)

    def translated(self, number: int) -> Array:
        """The other side's value as the tensor of this side would hold it."""
        ours, theirs = self._tensors(number)
        value = self.expected.value(self.numbers[number])
        if not alike(ours, theirs):
            value = held(real(value, theirs), ours)
        elif value.dtype == np.float64 and ours.dtype == np.float32:
            value = value.astype(np.float32)
        return value if value.shape == ours.shape or ours.is_dynamic else value.reshape(ours.shape)

    def is_alike(self, number: int) -> bool:
        """Whether both sides mean the same by the same number."""
        return alike(*self._tensors(number))

    def step(self, number: int) -> float | None:
        """The larger of the quantization steps of both sides, for tensors quantized as a whole."""
        steps = [
            float(t.quantization.scale)
            for t in self._tensors(number)
            if t.quantization is not None and len(t.quantization.scales) == 1 and t.dtype.kind in "iu"
        ]
        return max(steps, default=None)

    def _tensors(self, number: int) -> tuple[Tensor, Tensor]:
        return self.given.tensor(number), self.expected.tensor(self.numbers[number])


def pair(given: Recording, expected: Recording, method: Method = "auto") -> Pairing:
    """Find what can be compared.

    Parameters
    ----------
    method:
        For two models: ``"name"``: tensors of the same name; ``"order"``: operators in order, those of the
        same name and output shape, QUANTIZE and DEQUANTIZE aside; ``"auto"``: whichever pairs more.

    Raises
    ------
    PairingError
        Nothing can, or the two runs were not given the same.
    """
    same = same_structure(given.model, expected.model)
    if same:
        both = {*given.tensors, *_computed_constants(given)}
        numbers = {n: n for n in sorted(both) if n in expected.tensors or n in _computed_constants(expected)}
        how = "same model" if given.digest == expected.digest else "order"
    else:
        found = {"name": _by_name, "order": _by_order}
        ways = {way: find(given, expected) for way, find in found.items() if method in ("auto", way)}
        how = max(ways, key=lambda way: len(ways[way]))
        numbers = ways[how]
    outside = dict(zip(given.graph.main.inputs, expected.graph.main.inputs, strict=False))
    known = {a: b for a, b in outside.items() if a in given.tensors and b in expected.tensors}
    numbers = {**known, **numbers}
    if not set(numbers) - set(given.graph.main.inputs):
        raise PairingError(
            "no tensor of the two models could be paired by name or by order of operators: there is nothing "
            "to compare",
            rule="pairing",
        )
    return Pairing(given, expected, numbers, how, same)


def check_inputs(pairing: Pairing) -> None:
    """Refuse runs of other inputs: every difference would be theirs."""
    for number in pairing.given.graph.main.inputs:
        if number not in pairing.numbers:
            continue
        a, b = pairing.in_units(number)
        step = pairing.step(number)
        # A quantized twin has its input rounded to a step.
        allowed = 0.0 if pairing.is_alike(number) or step is None else step * 0.51
        if a.dtype.kind in "fc" and b.dtype == np.float64:
            b = b.astype(a.dtype)
        if a.shape != b.shape or not _within(a, b, allowed):
            raise PairingError(
                f"the two runs were given different values for {pairing.given.tensor(number)}: "
                "record both with the same input",
                tensor=number,
                rule="inputs",
            )


def _within(a: Array, b: Array, allowed: float) -> bool:
    if not allowed:
        return a.tobytes() == b.tobytes() or bool(np.array_equal(a, b))
    # What a type cannot hold is clamped, which is no other input.
    return bool(np.quantile(np.abs(a - b), 0.5) <= allowed) if a.size else True


def alike(a: Tensor, b: Tensor) -> bool:
    """Whether the same numbers mean the same in both tensors."""
    if a.type is not b.type:
        return False
    if a.dtype.kind not in "iu":
        return True
    return _parameters(a.quantization) == _parameters(b.quantization)


def held(values: Array, tensor: Tensor) -> Array:
    """Real numbers as a tensor holds them: rounded to its steps and clamped, or in its float type."""
    if tensor.quantization is None or tensor.dtype.kind not in "iu":
        return values.astype(tensor.type.array_dtype)
    limits = np.iinfo(tensor.dtype)
    scale, zero_point = float(tensor.quantization.scale), tensor.quantization.zero_point
    codes = np.rint(values.astype(np.float64) / scale) + zero_point
    clamped: Array = np.clip(codes, limits.min, limits.max).astype(tensor.dtype)
    return clamped


def _parameters(quantization: Quantization | None) -> tuple[object, ...]:
    if quantization is None:
        return ()
    return (quantization.scales.tolist(), quantization.zero_points.tolist(), quantization.dimension)


def same_structure(a: Graph, b: Graph) -> bool:
    """Whether operators and tensors have the same numbers, types and wiring."""
    one, two = a.main, b.main
    return (
        [(o.name, o.inputs, o.outputs) for o in one.operators]
        == [(o.name, o.inputs, o.outputs) for o in two.operators]
        and [(t.type, len(t.shape)) for t in one.tensors] == [(t.type, len(t.shape)) for t in two.tensors]
        and (one.inputs, one.outputs) == (two.inputs, two.outputs)
    )


def _computed_constants(recording: Recording) -> set[int]:
    return {t.index for node in recording.graph.main.nodes() if node.is_folded for t in node.outputs}


def _by_name(given: Recording, expected: Recording) -> dict[int, int]:
    def named(recording: Recording) -> dict[str, int]:
        computed = [t for node in _nodes(recording) for t in node.outputs if t.index in recording.tensors]
        names = [t.name for t in computed]
        return {t.name: t.index for t in computed if t.name and names.count(t.name) == 1}

    ours, theirs = named(given), named(expected)
    pairs = {ours[name]: theirs[name] for name in ours if name in theirs}
    return {a: b for a, b in pairs.items() if _same_size(given, a, expected, b)}


def _by_order(given: Recording, expected: Recording) -> dict[int, int]:
    ours, theirs = ([n for n in _nodes(r) if n.operator.name not in _CONVERSIONS] for r in (given, expected))
    one, two = ([(n.operator.name, tuple(t.shape for t in n.outputs)) for n in m] for m in (ours, theirs))
    pairs: dict[int, int] = {}
    for block in SequenceMatcher(None, one, two, autojunk=False).get_matching_blocks():
        for i in range(block.size):
            outputs = zip(ours[block.a + i].outputs, theirs[block.b + i].outputs, strict=True)
            pairs.update({a.index: b.index for a, b in outputs})
    return {a: b for a, b in pairs.items() if a in given.tensors and b in expected.tensors}


def _nodes(recording: Recording) -> list[Node]:
    return [node for node in recording.graph.main.nodes() if not node.is_folded]


def _same_size(given: Recording, a: int, expected: Recording, b: int) -> bool:
    return given.tensor(a).size == expected.tensor(b).size


def _without_ones(values: Array) -> tuple[int, ...]:
    return tuple(size for size in values.shape if size != 1)
