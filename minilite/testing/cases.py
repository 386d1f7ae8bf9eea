"""Cases to test an operator with, and where they come from: strategies, found by the operator's name.

A *case* is a model of one operator and the values of its inputs. A strategy draws legal ones for an
operator and a *variant*, the way its types combine: ``"float32"``, ``"int8"``, ``"hybrid"``. It is
found because its module stands in ``minilite.testing.strategies``; there is no list to edit::

    @strategy("ADD", "SUB", variants=("float32", "int8"))
    @st.composite
    def sums(draw: st.DrawFn, name: str, variant: str) -> Case: ...
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

from hypothesis.strategies import SearchStrategy

from minilite.errors import MiniliteError
from minilite.graph import Array, Graph
from minilite.prepare import prepare
from minilite.writer import write_graph

NETWORK = "NETWORK"
"""What stands in the place of an operator's name where cases are networks of several."""


@dataclass(frozen=True, eq=False)
class Case:
    """A model of one operator (``models.one_op``) and the values of its inputs, in the graph's order.

    The model may be a network of several operators, too.
    """

    graph: Graph
    inputs: tuple[Array, ...]

    @property
    def is_network(self) -> bool:
        """Whether there are several operators."""
        return len(self.graph.main.operators) > 1

    @cached_property
    def prepared(self) -> Graph:
        """The graph with its shapes, nothing folded; ``PrepareError`` where minilite refuses it."""
        return prepare(self.graph, fold=False)

    @cached_property
    def model(self) -> bytes:
        """The case as a file, with the shapes that minilite infers where it does not refuse."""
        try:
            return write_graph(self.prepared)
        except MiniliteError:
            return write_graph(self.graph)

    def __repr__(self) -> str:
        operators = ", ".join(f"{operator.name} {operator.options}" for operator in self.graph.main.operators)
        tensors = ", ".join(map(str, self.graph.main.tensors))
        return f"<{operators} of {tensors}>"


@dataclass(frozen=True)
class KnownFault:
    """Where a runtime is wrong or refuses what is legal, so that a difference is not ours.

    Attributes
    ----------
    runtime:
        ``"litert"``, ``"litert-ref"`` or ``"tflite-runtime"``.
    variants:
        The variants of the operator that it concerns.
    reason:
        What the runtime does, and why minilite does otherwise.
    when:
        Which cases of those variants it concerns; all by default.
    crashes:
        The runtime may end the process: it is not asked at all, unless in a process of its own.
    instead:
        The runtime to compare with in its place, where one is right (``"litert-builtin"`` has operators
        that LiteRT's reference resolver lacks).
    """

    operator: str
    variants: tuple[str, ...]
    runtime: str
    reason: str
    when: Callable[[Case], bool] | None = None
    crashes: bool = False
    instead: str | None = None

    def concerns(self, case: Case) -> bool:
        """Whether the case is one of those where the runtime is not to be believed."""
        return self.when is None or self.when(case)


_Maker = Callable[[str, str], SearchStrategy[Case]]

_strategies: dict[str, dict[str, _Maker]] = {}
_faults: dict[str, KnownFault] = {}


def strategy(*operators: str, variants: tuple[str, ...]) -> Callable[[_Maker], _Maker]:
    """Decorator: this function, given an operator's name and a variant, makes a strategy of cases."""

    def register(make: _Maker) -> _Maker:
        for name in operators:
            for variant in variants:
                if _strategies.setdefault(name, {}).setdefault(variant, make) is not make:
                    raise ValueError(f"{name} {variant} has two strategies")
        return make

    return register


def known_fault(
    operator: str,
    *variants: str,
    runtime: str,
    reason: str,
    when: Callable[[Case], bool] | None = None,
    crashes: bool = False,
    instead: str | None = None,
) -> None:
    """Declare, beside the operator's strategy, that a runtime is not to be believed; see ``KnownFault``."""
    fault = KnownFault(operator, variants, runtime, reason, when, crashes, instead)
    _faults[f"{operator} {variants} {runtime} {reason}"] = fault


def variants(operator: str) -> tuple[str, ...]:
    """The variants of an operator that there are strategies for."""
    _discover()
    return tuple(_strategies.get(operator, ()))


def cases(operator: str, variant: str) -> SearchStrategy[Case]:
    """Legal random cases."""
    _discover()
    return _strategies[operator][variant](operator, variant)


def operators() -> tuple[str, ...]:
    """The operators that there are strategies for, sorted."""
    _discover()
    return tuple(sorted(_strategies))


def known_faults(operator: str | None = None, runtime: str | None = None) -> tuple[KnownFault, ...]:
    """The declared faults, of one operator and one runtime if named."""
    _discover()
    return tuple(
        fault
        for fault in _faults.values()
        if operator in (None, fault.operator) and runtime in (None, fault.runtime)
    )


def fault_of(case: Case, operator: str, variant: str, runtime: str) -> KnownFault | None:
    """The declared fault of a runtime that concerns this case of an operator and variant, if any.

    What LiteRT's reference kernels do wrong, those of tflite-runtime, which are the same and older, are
    not believed in either.
    """
    faults = applying_faults(operator, runtime)
    return next((f for f in faults if variant in f.variants and f.concerns(case)), None)


def applying_faults(operator: str, runtime: str) -> tuple[KnownFault, ...]:
    """The faults that keep a runtime from being believed: its own, and those it shares; see ``fault_of``."""
    shared = known_faults(operator, "litert-ref") if runtime == "tflite-runtime" else ()
    return (*known_faults(operator, runtime), *shared)


@cache
def _discover() -> None:
    package = importlib.import_module("minilite.testing.strategies")
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
