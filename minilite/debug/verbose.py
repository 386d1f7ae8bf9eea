"""What runs, told on standard error: ``MINILITE_DEBUG=1`` to ``4``.

1. models loaded, executors made, runs and how long they took;
2. each operator with its tensors' types and shapes, and how long it took;
3. figures of what goes in and of what each operator made;
4. the first and the last of its values.

From 2 on, operators run one by one: results are the same, bit for bit, but a run takes longer. Operators
of subgraphs are told, indented, before the operator that calls them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from time import perf_counter
from typing import Any

from minilite.debug.statistics import Statistics
from minilite.executor import Executor, not_kept
from minilite.graph import Array, Graph, Node, Subgraph, Tensor
from minilite.notation import figure, options_text, plain_options, short_tensor
from minilite.progress import debug_level

_SHOWN = 4
"""Values shown of each end."""

_depth: ContextVar[int] = ContextVar("depth", default=0)
"""How many runs are under way around this one."""


def tell(text: str) -> None:
    """A line on standard error."""
    print(f"minilite: {'    ' * _depth.get()}{text}", file=sys.stderr)


def tell_loaded(name: str, graph: Graph, seconds: float) -> None:
    """That a model has been read."""
    operators = sum(len(subgraph.operators) for subgraph in graph.subgraphs)
    constants = sum(t.nbytes for s in graph.subgraphs for t in s.tensors if t.is_constant)
    parts = "" if len(graph.subgraphs) == 1 else f" in {len(graph.subgraphs)} subgraphs"
    tell(
        f"loaded {name}: {operators} operators{parts}, {constants / 1e6:.2f} MB of constants, {_ms(seconds)}"
    )


class VerboseExecutor:
    """An executor that tells what it runs; see ``executor.Executor``.

    Parameters
    ----------
    make:
        Makes the executor that runs, from the arguments ``keep_all`` and ``in_order``.
    keep_all, in_order:
        What the caller wants (see ``executor.create_executor``).
    """

    def __init__(
        self, make: Callable[..., Executor], *, keep_all: bool = False, in_order: bool = False
    ) -> None:
        self._level, self._is_open = debug_level(), keep_all or in_order
        start = perf_counter()
        self._executor = make(keep_all=keep_all, in_order=in_order or self._level > 1)
        self._runs = 0
        self._name = _called(self.subgraph)
        inputs = ", ".join(short_tensor(self.subgraph.tensors[i]) for i in self.subgraph.inputs)
        threads = getattr(self._executor, "threads", 1)
        tell(
            f"{self._name} made ready for {inputs or 'no inputs'}: {len(self.subgraph.operators)} operators"
            f"{_planned(self._executor)}, {self.backend}, {threads} threads, {_ms(perf_counter() - start)}"
        )

    @property
    def subgraph(self) -> Subgraph:
        """See ``Executor.subgraph``."""
        return self._executor.subgraph

    @property
    def backend(self) -> str:
        """See ``Executor.backend``."""
        return self._executor.backend

    @property
    def resources(self) -> Any:
        """See ``ops.Runtime.resources``."""
        executor: Any = self._executor
        return executor.resources

    def view(self, tensor: int) -> Array:
        """See ``Executor.view``; what the caller did not want to be kept is refused as ever."""
        record, subgraph = self.subgraph.tensors[tensor], self.subgraph
        if not (
            self._is_open
            or record.is_constant
            or record.is_variable
            or tensor in subgraph.inputs
            or tensor in subgraph.outputs
        ):
            raise not_kept(record)
        return self._executor.view(tensor)

    def write(self, tensor: int, value: Array) -> None:
        """See ``Executor.write``."""
        self._executor.write(tensor, value)

    def run(self, first: int = 0, last: int | None = None) -> None:
        """See ``Executor.run``."""
        operators = len(self.subgraph.operators)
        last = operators if last is None else last
        whole = (first, last) == (0, operators)
        if self._level < 2 or not (whole or self._is_open):
            start = perf_counter()
            self._executor.run(first, last)
            seconds = perf_counter() - start
        else:
            if whole:
                tell(f"{self._name} runs")
                self._tell_values(self.subgraph.tensors[i] for i in self.subgraph.inputs)
            seconds = sum(self._step(number) for number in range(first, last))
        if whole:
            self._runs += 1
            tell(f"{self._name}, run {self._runs}: {_ms(seconds)}")

    def is_compiled(self, operator: int) -> bool:
        """See ``Executor.is_compiled``."""
        return self._executor.is_compiled(operator)

    def close(self) -> None:
        """See ``Executor.close``."""
        self._executor.close()

    def _step(self, number: int) -> float:
        before = _depth.set(_depth.get() + 1)
        start = perf_counter()
        try:
            self._executor.run(number, number + 1)
        finally:
            _depth.reset(before)
        seconds = perf_counter() - start
        node = Node(self.subgraph, self.subgraph.operators[number])
        if not node.is_folded:
            tell(f"{_described(node)}  {_ms(seconds)}{'' if self.is_compiled(number) else ', NumPy'}")
            self._tell_values(node.outputs)
        return seconds

    def _tell_values(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors if self._level > 2 else ():
            value = self._executor.view(tensor.index)
            tell(f"       {tensor.index}: {Statistics.of(value, tensor)}")
            if self._level > 3:
                tell(f"       {tensor.index}: {_ends(value)}")


def _called(subgraph: Subgraph) -> str:
    return "model" if subgraph.index == 0 else f"subgraph {subgraph.index}"


def _planned(executor: Executor) -> str:
    plan = getattr(executor, "plan", None)
    if plan is None:
        return ""
    return f" in {len(list(plan.steps()))} steps, {plan.arena_bytes / 1e6:.2f} MB for values"


def _described(node: Node) -> str:
    inputs = " ".join(map(short_tensor, node.inputs))
    outputs = " ".join(map(short_tensor, node.outputs))
    options = options_text(plain_options(node.options))
    return f"{node.operator.index:4d} {node.operator.name} {inputs} -> {outputs} {options}".rstrip()


def _ends(value: Array) -> str:
    flat = value.reshape(-1)
    if flat.size <= 2 * _SHOWN:
        return " ".join(figure(item) for item in flat.tolist())
    first, last = flat[:_SHOWN].tolist(), flat[-_SHOWN:].tolist()
    return " ".join([*map(figure, first), "...", *map(figure, last)])


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f} ms"
