"""Cases of variables and hash tables: networks, as one of their operators alone does nothing that is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minilite.building import GraphBuilder
from minilite.graph import TensorType
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import SEEDS, shapes, type_of, values
from minilite.testing.models import constant, tensor
from minilite.testing.networks import joined, options

_RESOURCE = TensorType.RESOURCE


def _variable(net: GraphBuilder, name: str) -> int:
    return net.add("VAR_HANDLE", [], tensor((), _RESOURCE), options("VAR_HANDLE", shared_name=name))


@strategy(
    "VAR_HANDLE",
    "ASSIGN_VARIABLE",
    "READ_VARIABLE",
    "CALL_ONCE",
    variants=("float32", "int32", "int8", "bool"),
)
@st.composite
def variables(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Variables that a subgraph fills once, read, overwritten with an input, and read again."""
    kind, rng = type_of(variant), np.random.default_rng(draw(SEEDS))
    shape = draw(shapes(0, 3))
    names = [f"v{i}" for i in range(draw(st.integers(1, 3)))]
    net, start = GraphBuilder(), GraphBuilder()
    x = net.input(tensor(shape, kind))
    net.do("CALL_ONCE", [], [], options("CALL_ONCE", init_subgraph_index=1))
    for each in names:
        begin = start.tensor(constant(values(rng, shape, kind), kind))
        start.do("ASSIGN_VARIABLE", [_variable(start, each), begin])
    outputs = []
    for each in draw(st.lists(st.sampled_from(names), min_size=1, max_size=4)):
        handle = _variable(net, each)
        if draw(st.booleans()):
            net.do("ASSIGN_VARIABLE", [handle, x])
        outputs.append(net.add("READ_VARIABLE", [handle], tensor(shape, kind)))
    graph = joined(net.subgraph(*outputs), start.subgraph())
    return Case(graph, (values(rng, shape, kind),))


@strategy(
    "HASHTABLE",
    "HASHTABLE_IMPORT",
    "HASHTABLE_FIND",
    "HASHTABLE_SIZE",
    variants=("int64-string", "string-int64"),
)
@st.composite
def tables(draw: st.DrawFn, name: str, variant: str) -> Case:
    """A table filled once, with keys that come twice, and looked up with keys that are not there."""
    key, value = (type_of(part) for part in variant.split("-"))
    entries = draw(st.integers(0, 6))
    shape = draw(shapes(1 if key is TensorType.STRING else 0, 2))

    def drawn(kind: TensorType, size: tuple[int, ...]) -> Any:
        count = int(np.prod(size, dtype=np.int64))
        if kind is TensorType.STRING:
            texts = draw(st.lists(st.binary(max_size=2), min_size=count, max_size=count))
            made = np.empty(count, object)
            made[:] = texts
            return made.reshape(size)
        numbers = draw(st.lists(st.integers(-3, 3), min_size=count, max_size=count))
        return np.array(numbers, np.int64).reshape(size)

    chosen = options("HASHTABLE", table_id=1, key_dtype=key, value_dtype=value)
    net, start = GraphBuilder(), GraphBuilder()
    keys = net.input(tensor(shape, key))
    net.do("CALL_ONCE", [], [], options("CALL_ONCE", init_subgraph_index=1))
    filled = start.add("HASHTABLE", [], tensor((1,), _RESOURCE), chosen)
    contents = [start.tensor(constant(drawn(kind, (entries,)), kind)) for kind in (key, value)]
    start.do("HASHTABLE_IMPORT", [filled, *contents])
    table = net.add("HASHTABLE", [], tensor((1,), _RESOURCE), chosen)
    default = net.tensor(constant(drawn(value, (1,)), value))
    found = net.add("HASHTABLE_FIND", [table, keys, default], tensor(shape, value))
    size = net.add("HASHTABLE_SIZE", [table], tensor((1,), TensorType.INT64))
    graph = joined(net.subgraph(found, size), start.subgraph())
    return Case(graph, (drawn(key, shape),))


def _without_tables(operator: str) -> None:
    known_fault(
        operator,
        "int64-string",
        "string-int64",
        runtime="litert-ref",
        reason="the reference resolver has no hash tables",
        instead="litert-builtin",
    )


_without_tables("HASHTABLE")
_without_tables("HASHTABLE_IMPORT")
_without_tables("HASHTABLE_FIND")
_without_tables("HASHTABLE_SIZE")
