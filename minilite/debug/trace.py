"""A run taken operator by operator: watched, stopped, patched, taken back, gone on with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minilite.debug.event import Event
from minilite.debug.history import has_effects
from minilite.debug.recording import Recording
from minilite.debug.state import FLOAT64, State
from minilite.debug.store import Store
from minilite.errors import InvokeError, TensorValueError
from minilite.graph import Array, Graph, Node, Tensor, with_tensors
from minilite.model import Model, Outputs
from minilite.prepare import prepare
from minilite.values import convert


def record(
    model: Model | Graph,
    inputs: Any,
    *,
    backend: str | None = None,
    threads: int | None = None,
    operators: range | slice | None = None,
    memory: int | None = None,
    disk: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Recording:
    """Run a model operator by operator and keep all values; parameters are those of ``Trace``.

    ``progress(done, total)`` is called after each operator.
    """
    with Trace(
        model, inputs, backend=backend, threads=threads, operators=operators, memory=memory, disk=disk
    ) as trace:
        first = trace.position
        while trace.position < trace.operators.stop:
            trace.step()
            if progress is not None:
                progress(trace.position - first, len(trace.operators))
        return trace.recording()


class Trace(Iterator[Event]):
    """A run that stands between two operators of the main subgraph; iterating steps through the rest.

    The bits are those of an ordinary run, whatever the number of threads. A trace has memory of its own:
    it begins with what the model remembers (variables, hash tables, generators of random numbers) and
    leaves the model as it is. Subgraphs that an operator calls (IF, WHILE) run inside that operator's event.

    Parameters
    ----------
    model:
        Or a graph as ``loader.load_graph`` gives it.
    inputs:
        A row of values by position, a mapping by name, or, for one input, its array.
    backend:
        ``"auto"``, ``"numba"``, ``"numpy"``, or ``"float64"`` for the NumPy reference with float32 tensors
        held in float64. By default the model's own.
    threads:
        By default the model's own.
    operators:
        Which operators to stop at and to keep the values of, as ``range(10, 20)``; those before run at
        once and unseen, those behind only in ``finish``. All by default.
    memory, disk:
        Budgets in bytes for the values that are kept: what exceeds ``memory`` goes to temporary files,
        what exceeds ``disk``, too, is an ``InvokeError``. No limits by default. What operators still have
        to read is held beside, as in any run.
    folder:
        Where temporary files are made, by default the system's folder for them.
    recording:
        Where the values before ``operators`` are taken from, instead of running what makes them
        (``Recording.resume``).

    Attributes
    ----------
    position:
        The number of the operator that runs next.
    graph:
        Prepared for the inputs; shapes that only a run can tell are not in it.
    operators:
        The numbers of those that are stopped at.
    """

    def __init__(
        self,
        model: Model | Graph,
        inputs: Any,
        *,
        backend: str | None = None,
        threads: int | None = None,
        operators: range | slice | None = None,
        memory: int | None = None,
        disk: int | None = None,
        folder: str | os.PathLike[str] | None = None,
        recording: Recording | None = None,
    ) -> None:
        self.model = model if isinstance(model, Model) else Model(model)
        arrays = _bound(self.model, inputs)
        self.backend = backend if backend is not None else self.model.backend
        self.threads = threads or self.model.threads
        shapes = [value.shape for value in arrays]
        resources, variables = self.model.remembered(shapes)
        self.graph = prepare(
            self.model.graph, {t.index: s for t, s in zip(self.model.inputs, shapes, strict=True)}
        )
        self.operators = _chosen(operators, len(self.graph.main.operators))
        self._state = State(self.graph, self.backend, self.threads, resources, Store(memory, disk, folder))
        self._seconds: dict[int, float] = {}
        self._patched: dict[int, int] = {}
        self.position = self.operators.start
        self._state.begin(arrays, variables)
        if recording is None:
            self._state.run(0, self.position)
        else:
            self._take_from(recording)

    def _take_from(self, recording: Recording) -> None:
        """Begin at ``operators`` with the values that an earlier run had there."""
        for node in list(self.graph.main.nodes())[: self.position]:
            if has_effects(node):
                raise InvokeError(
                    f"{node.operator} changes what outlives a run, which recordings do not keep: go on from "
                    f"an operator up to {node.operator.index}, or run from the beginning",
                    op_index=node.operator.index,
                    op_name=node.operator.name,
                    rule="resume",
                )
        for number in self._state.needed(self.position):
            self._state.take(number, recording.value(number))
        self._state.ran = self.position

    # --- forward -------------------------------------------------------------------------------

    def __next__(self) -> Event:
        if self.position >= self.operators.stop:
            raise StopIteration
        return self.step()

    def step(self) -> Event:
        """Run the next operator.

        Raises
        ------
        InvokeError
            There is none, it failed, or the budget for values is used up.
        """
        if self.position >= self.operators.stop:
            raise InvokeError(
                f"the trace ends before operator {self.operators.stop}: go back, or finish()",
                rule="trace-end",
            )
        self._state.stand_before(self.position)
        node = self.next_node
        inputs = tuple(None if tensor is None else self._state.input(tensor) for tensor in node.inputs)
        seconds = self._state.run(self.position, self.position + 1)
        node = self.next_node  # with the shapes that are known now
        outputs = tuple(map(self._state.output, node.outputs))
        self._seconds[self.position] = seconds
        self.position += 1
        return Event(node, inputs, outputs, seconds)

    @property
    def next_node(self) -> Node:
        """The operator that runs next, with its tensors as far as their shapes are known."""
        return self._state.node(self.position)

    def until(
        self,
        when: Callable[[Event], bool] | None = None,
        *,
        op: int | str | None = None,
        tensor: int | str | None = None,
        nan: bool = False,
    ) -> Event | None:
        """Run up to and with the first operator of which one of these holds; its event, or None at the end.

        Parameters
        ----------
        when:
            A predicate of the event.
        op:
            It is this one, by number, or one of that name (``"CONV_2D"``).
        tensor:
            It computes this tensor, given by number or name.
        nan:
            It makes a NaN or an infinity.
        """
        number = None if tensor is None else self.tensor(tensor).index
        if isinstance(op, int) and not self.position <= op < self.operators.stop:
            raise InvokeError(
                f"operator {op} is not among those to come, {self.position} to {self.operators.stop - 1}",
                rule="trace-range",
            )
        for event in self:
            if (
                (when is not None and when(event))
                or (op is not None and op in (event.index, event.name))
                or number in event.node.operator.outputs
                or (nan and any(s.nan or s.infinite for s in event.statistics))
            ):
                return event
        return None

    def run(self, from_op: int | None = None, to_op: int | None = None) -> list[Event]:
        """Go to operator ``from_op``, back or forward, and run up to but not including ``to_op``.

        By default from where the trace stands to its end. What a patch has changed stays changed as far
        as it was made at or before ``from_op``.
        """
        last = self.operators.stop if to_op is None else to_op
        if not self.operators.start <= last <= self.operators.stop:
            raise InvokeError(
                f"to_op {last} is outside of the operators traced, {self.operators.start} to "
                f"{self.operators.stop}",
                rule="trace-range",
            )
        if from_op is not None:
            self.go_to(from_op)
        return [self.step() for _ in range(self.position, last)]

    def finish(self) -> Outputs:
        """Run the rest, those behind ``operators`` unseen, and give the model's outputs."""
        for _ in self:
            pass
        self._state.stand_before(self.position)  # an earlier finish() may have gone on
        self._state.run_unseen(self.position, len(self.graph.main.operators))
        arrays = [self._state.executor.view(number).copy() for number in self.graph.main.outputs]
        return Outputs(arrays, self.model.output_names)

    # --- back, and otherwise ----------------------------------------------------------------------

    def back(self, count: int = 1) -> None:
        """Take back the last operators that ran: what they computed is forgotten, variables are restored."""
        self.go_to(max(self.operators.start, self.position - count))

    def go_to(self, position: int) -> None:
        """Stand before an operator: go back to it, or run what lies between.

        Patches made behind it are taken back, those made at it stay.
        """
        if not self.operators.start <= position <= self.operators.stop:
            raise InvokeError(
                f"operator {position} is outside of those traced, {self.operators.start} to "
                f"{self.operators.stop}",
                rule="trace-range",
            )
        while self.position < position:
            self.step()
        self._state.stand_before(position)
        for operator in self.graph.main.operators[position : self.position]:
            self._seconds.pop(operator.index, None)
            for number in operator.outputs:
                self._state.store.drop(number)
        self.position = position

    def patch(self, tensor: int | str, value: Any) -> None:
        """Give a tensor another value, which all operators that run from now on read.

        Parameters
        ----------
        tensor:
            By number or name: an input, a variable, or what an operator has computed already.
        value:
            Of the tensor's type and shape; anything NumPy makes an array of.

        Raises
        ------
        TensorValueError
            The value does not fit, or the tensor is a constant or not computed yet.
        """
        record = self.tensor(tensor)
        self._check_patch(record)
        self._state.stand_before(self.position)
        before = self._state.value(record, self.position)
        array = convert(value, record, str(record))
        if array.shape != before.shape and not self.graph.main.tensors[record.index].is_dynamic:
            raise TensorValueError(
                f"{record}: expected {before.shape}, given {array.shape}", tensor=record.index, rule="patch"
            )
        self._state.history.note_patch(self.position, lambda: self._unpatch(record, before))
        self._patched[record.index] = self._patched.get(record.index, 0) + 1
        self._state.set(record, array.astype(before.dtype), self.position)

    def _check_patch(self, record: Tensor) -> None:
        if record.is_constant:
            raise TensorValueError(
                f"{record} is a constant, whose value is part of the prepared model: change it in the graph "
                "and trace that (dataclasses.replace, minilite.graph.with_tensors)",
                tensor=record.index,
                rule="patch",
            )
        writer = next((o for o in self.graph.main.operators if record.index in o.outputs), None)
        if writer is not None and writer.index >= self.position and not record.is_variable:
            raise TensorValueError(
                f"{record} is computed by {writer}, which would overwrite the value: patch it when that has "
                f"run, as after until(tensor={record.index})",
                tensor=record.index,
                rule="patch",
            )
        if writer is None and not record.is_variable and record.index not in self.graph.main.inputs:
            raise TensorValueError(f"{record}: nothing reads it", tensor=record.index, rule="patch")

    def _unpatch(self, record: Tensor, value: Array) -> None:
        self._state.set(record, value, self._state.ran)
        self._patched[record.index] -= 1
        if not self._patched[record.index]:
            del self._patched[record.index]

    # --- looking ------------------------------------------------------------------------------------

    def tensor(self, key: int | str) -> Tensor:
        """A tensor of the main subgraph by number, or by its name in the file."""
        tensors = self._state.subgraph.tensors
        found = [t for t in tensors if key in (t.index, t.name)]
        if len(found) != 1:
            reason = "no tensor" if not found else f"{len(found)} tensors"
            raise TensorValueError(
                f"{reason} called {key!r}; numbers go from 0 to {len(tensors) - 1}", rule="tensor"
            )
        return found[0]

    def value(self, key: int | str) -> Array:
        """A tensor's present value: constant, input, variable, or computed so far."""
        self._state.stand_before(self.position)
        return self._state.value(self.tensor(key), self.position)

    def recording(self) -> Recording:
        """What has run so far; it does not change when the trace goes on."""
        return Recording(
            model=self.model.graph,
            graph=with_tensors(self.graph, 0, self._state.subgraph.tensors),
            tensors=self._state.store.values(),
            seconds=dict(self._seconds),
            backend=FLOAT64 if self.backend == FLOAT64 else self._state.executor.backend,
            threads=self.threads,
            operators=range(self.operators.start, self.position),
            patched=tuple(sorted(self._patched)),
        )

    def close(self) -> None:
        """Stop worker threads; what was kept stays readable."""
        self._state.executor.close()

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        here = "at its end" if self.position >= self.operators.stop else f"before {self.next_node.operator}"
        return f"<Trace {here}, {len(self._state.store.values())} tensors kept, {self.backend}>"

    def _repr_html_(self) -> str:
        from minilite.debug import html  # noqa: PLC0415 - in notebooks only

        return html.trace_html(self)


def _bound(model: Model, inputs: Any) -> list[Array]:
    if isinstance(inputs, dict):
        return model.bind((), inputs)
    if isinstance(inputs, np.ndarray):
        return model.bind((inputs,), {})
    return model.bind(tuple(inputs), {})


def _chosen(operators: range | slice | None, count: int) -> range:
    if operators is None:
        return range(count)
    chosen = range(count)[slice(operators.start, operators.stop)]
    if not chosen or operators.step not in (None, 1):
        raise TensorValueError(
            f"no operators to trace in {operators}: they are numbered 0 to {count - 1}", rule="trace-range"
        )
    return chosen
