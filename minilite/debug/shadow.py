"""A quantized model and its float twin side by side: what quantization costs, operator by operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from minilite import ops
from minilite.debug.difference import signal_to_noise
from minilite.debug.recording import Recording
from minilite.debug.statistics import Statistics
from minilite.debug.trace import record
from minilite.debug.twin import Twin, float_twin
from minilite.executor import Executor
from minilite.graph import Activation, Array, Graph, Node, Tensor
from minilite.model import Model
from minilite.quantization import integer_range, is_quantized, real_values

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ShadowRow:
    """One output of an operator, beside that of the float twin.

    Attributes
    ----------
    local:
        Signal-to-noise ratio in decibels against the float operator on the same, dequantized, inputs: what
        this operator adds. Infinite where nothing differs; None where it cannot run alone.
    accumulated:
        The same against the twin's own run from the model's inputs on.
    equal:
        Of integers that stand for themselves (labels, indices): the share of equal elements of the two runs.
    saturated:
        Share of elements that are the lowest or highest code.
    clipped:
        Share of elements that the float operator puts past the range by more than half a step.
    unused_codes, range_used:
        Codes of the type that no element has; the part of the type's range between smallest and largest.
    implied:
        The activation that the twin has because the range ends there.
    stays_quantized:
        The operator has no float form and is the same in both.
    """

    op: int
    name: str
    tensor: int
    tensor_name: str
    type: str
    local: float | None = None
    accumulated: float | None = None
    equal: float | None = None
    saturated: float | None = None
    clipped: float | None = None
    unused_codes: int | None = None
    range_used: float | None = None
    implied: str | None = None
    stays_quantized: bool = False


@dataclass(frozen=True)
class ShadowOutput:
    """An output of the model in both runs.

    Attributes
    ----------
    snr, equal:
        As ``accumulated`` and ``equal`` of a row.
    same_label:
        Share of positions whose largest element along the last axis is the same.
    """

    tensor: int
    name: str
    snr: float | None
    equal: float | None
    same_label: float | None


@dataclass(frozen=True, eq=False)
class Shadow:
    """Both runs compared: a row for each output of each operator, in order, and the model's outputs."""

    rows: tuple[ShadowRow, ...]
    outputs: tuple[ShadowOutput, ...]
    twin: Twin
    recording: Recording

    def worst(self, count: int) -> tuple[ShadowRow, ...]:
        """The rows with the lowest local ratios, the lowest first."""
        known = [row for row in self.rows if row.local is not None and row.local < inf]
        return tuple(sorted(known, key=lambda row: row.local or 0.0)[:count])


def shadow(
    model: Model | Graph, inputs: Any, *, implied: bool = True, progress: Progress | None = None
) -> Shadow:
    """Run a quantized model and its float twin on the same input.

    Parameters
    ----------
    model, inputs:
        As ``record`` takes them. The twin is given the real numbers that quantized inputs stand for.
    implied:
        See ``float_twin``.

    Raises
    ------
    TensorValueError
        Nothing in the model is quantized.
    """
    model = model if isinstance(model, Model) else Model(model)
    twin = float_twin(model.graph, implied=implied)
    recording = record(model, inputs)
    beside = Model(twin.graph, backend=model.backend, threads=model.threads)
    executor = beside.executor([value.shape for value in recording.inputs], keep_all=True)
    try:
        return _Shadowing(recording, twin, executor, progress).result()
    finally:
        executor.close()
        beside.close()


class _Shadowing:
    """Both runs: the recorded one, and the twin's in an executor."""

    def __init__(
        self, recording: Recording, twin: Twin, executor: Executor, progress: Progress | None
    ) -> None:
        self.recording, self.twin, self.executor = recording, twin, executor
        self.progress = progress
        self._prepared = executor.subgraph

    def result(self) -> Shadow:
        main = self.recording.graph.main
        for number in main.inputs:
            self.executor.write(number, self.real(number))
        with np.errstate(all="ignore"):
            self.executor.run()
        self.subgraph = self.executor.subgraph  # with the shapes of this run
        # First all of the run as it was: to run an operator alone its inputs are overwritten.
        accumulated = {
            number: self._compare(number, self.executor.view(number))
            for operator in main.operators
            for number in operator.outputs
            if _is_value(self.tensor(number))
        }
        outputs = tuple(self._output(number) for number in main.outputs)
        rows: list[ShadowRow] = []
        for node in main.nodes():
            if not node.is_folded:
                rows += self._rows(node, accumulated)
            if self.progress is not None:
                self.progress(node.operator.index + 1, len(main.operators))
        return Shadow(tuple(rows), outputs, self.twin, self.recording)

    def tensor(self, number: int) -> Tensor:
        return self.recording.tensor(number)

    def real(self, number: int) -> Array:
        """The recorded value as the twin holds it."""
        return real_numbers(self.recording.value(number), self.tensor(number))

    def _compare(self, number: int, beside: Array) -> tuple[float | None, float | None]:
        """The ratio of signal and noise, or of what are no measures the share of equal elements."""
        given = self.real(number)
        if given.shape != beside.shape:
            return None, 0.0
        if given.dtype.kind in "fc":
            return signal_to_noise(beside, given), None
        return None, float(np.mean(given == beside)) if given.size else 1.0

    def _output(self, number: int) -> ShadowOutput:
        given, beside = self.real(number), self.executor.view(number)
        ratio, equal = self._compare(number, beside)
        labels = given.shape == beside.shape and given.ndim > 1 and given.shape[-1] > 1 and given.size > 0
        same = float(np.mean(given.argmax(-1) == beside.argmax(-1))) if labels and ratio is not None else None
        return ShadowOutput(number, self.tensor(number).name, ratio, equal, same)

    def _rows(self, node: Node, accumulated: dict[int, Any]) -> Iterator[ShadowRow]:
        alone = self._alone(node)
        for position, tensor in enumerate(node.outputs):
            if not _is_value(tensor):
                continue
            ratio, equal = accumulated[tensor.index]
            beside = None if alone is None else alone[position]
            implied = self.twin.implied.get(node.operator.index)
            yield ShadowRow(
                op=node.operator.index,
                name=node.operator.name,
                tensor=tensor.index,
                tensor_name=tensor.name,
                type=tensor.type.name,
                local=None if beside is None else self._compare(tensor.index, beside)[0],
                accumulated=ratio,
                equal=equal,
                implied=None if implied is None else Activation(implied).name,
                stays_quantized=node.operator.index in self.twin.quantized,
                **self._codes(tensor, beside),
            )

    def _alone(self, node: Node) -> list[Array] | None:
        """The outputs of the float operator on the real numbers that the quantized one was given."""
        op = ops.find(node.operator.name)
        assert op is not None
        if not op.pure or not all(t is None or _is_value(t) for t in (*node.inputs, *node.outputs)):
            return None
        part = self.twin.operators[node.operator.index]
        prepared = self._prepared
        if any(Node(prepared, prepared.operators[i]).is_dynamic for i in part):
            return self._evaluated(part)
        for tensor in node.inputs:
            if (
                tensor is not None
                and not tensor.is_constant
                and not prepared.tensors[tensor.index].is_constant
            ):
                self.executor.view(tensor.index)[...] = self.real(tensor.index)
        with np.errstate(all="ignore"):
            self.executor.run(part.start, part.stop)
        return [self.executor.view(number) for number in node.operator.outputs]

    def _evaluated(self, part: range) -> list[Array] | None:
        """The same by the NumPy reference, for shapes that only the whole run tells."""
        if len(part) != 1:
            return None
        node = Node(self.subgraph, self.subgraph.operators[part.start])
        op = ops.find(node.operator.name)
        assert op is not None
        inputs = [
            None if t is None else t.data if t.data is not None else self.real(t.index) for t in node.inputs
        ]
        with np.errstate(all="ignore"):
            made = op.evaluate(node, inputs)
        return [v.astype(t.type.array_dtype, copy=False) for v, t in zip(made, node.outputs, strict=True)]

    def _codes(self, tensor: Tensor, beside: Array | None) -> dict[str, Any]:
        """How the codes of a quantized tensor are used."""
        q = tensor.quantization
        if q is None or not is_quantized(tensor) or q.per_channel:
            return {}
        codes = self.recording.value(tensor.index)
        figures = Statistics.of(codes, tensor)
        low, high = integer_range(tensor.dtype)
        used = (int(codes.max()) - int(codes.min())) / (high - low) if codes.size else 0.0
        clipped = None
        if beside is not None and beside.size:
            steps = beside / np.float64(q.scale) + q.zero_point
            clipped = float(np.mean((steps < low - 0.5) | (steps > high + 0.5)))
        return {
            "saturated": figures.saturated,
            "unused_codes": figures.unused_codes,
            "range_used": used,
            "clipped": clipped,
        }


def _is_value(tensor: Tensor) -> bool:
    """Whether it holds numbers, not texts or handles of resources."""
    return tensor.type.bits > 0


def real_numbers(values: Array, tensor: Tensor) -> Array:
    """A recorded value as the float twin holds it: quantized ones as float32, others as they are."""
    if tensor.quantization is None or not is_quantized(tensor):
        return values
    return real_values(values, tensor).astype(np.float32)


def rows_sorted(rows: Sequence[ShadowRow], by: str) -> list[ShadowRow]:
    """By a field, the worst first (low ratios, large shares), unknown ones last; ``"order"`` as they are."""
    if by == "order":
        return list(rows)
    sign = 1 if by in ("local", "accumulated", "range_used") else -1

    def key(row: ShadowRow) -> tuple[bool, float]:
        value = getattr(row, by)
        return value is None, sign * (value or 0.0)

    return sorted(rows, key=key)
