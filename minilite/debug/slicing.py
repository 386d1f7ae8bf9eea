"""A few operators as a model of their own: what they need, what they were given, and what came out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from minilite.debug import replay
from minilite.debug.local import calls_subgraphs, tolerance_of, words
from minilite.debug.pairing import same_structure
from minilite.debug.recording import Recording
from minilite.debug.sides import Side
from minilite.errors import MiniliteError, SliceError
from minilite.graph import (
    ABSENT,
    Array,
    Graph,
    Node,
    Operator,
    Subgraph,
    Tensor,
    TensorType,
    with_tensors,
)
from minilite.loader import load_graph
from minilite.prepare import prepare
from minilite.reference import known_shapes
from minilite.testing import parity
from minilite.writer import write_graph

FORMAT, VERSION = "minilite-slice", 1


@dataclass(frozen=True, eq=False)
class Slice:
    """Operators of a model's main subgraph as a model.

    Attributes
    ----------
    graph:
        With tensors and operators numbered anew.
    operators:
        Their numbers in the whole model.
    tensors:
        Numbers in the whole model, by those in the slice.
    inputs, outputs:
        Recorded values, by position.
    allowed:
        For each output the largest error that replaying may have.
    tolerance:
        Where that comes from, in words.
    """

    graph: Graph
    operators: range
    tensors: tuple[int, ...]
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    allowed: tuple[float, ...]
    tolerance: str


def cut(recording: Recording, operators: range) -> Slice:
    """Cut operators out of a recorded run.

    Constants come along, those that ``prepare`` has computed from others, too; what operators before
    computed becomes an input; what operators behind or the caller read becomes an output. Sizes are those of
    the run. Subgraphs that the operators call come along whole.

    Raises
    ------
    SliceError
        There are no such operators, a handle (of a variable or a hash table) comes from outside, or a value
        was not recorded.
    """
    main = recording.graph.main
    if (
        not operators
        or operators.step != 1
        or not 0 <= operators.start < operators.stop <= len(main.operators)
    ):
        raise SliceError(
            f"--ops {operators.start}:{operators.stop}: the model has operators 0 to "
            f"{len(main.operators) - 1}; give first:last, last not included",
            rule="slice-range",
        )
    nodes = [recording.node(number) for number in operators]
    made = {number for node in nodes for number in node.operator.outputs}
    read = _in_order(i for node in nodes for i in node.operator.inputs if i != ABSENT)
    inner = _in_order(i for node in nodes for i in node.operator.intermediates)
    numbers = _in_order([*read, *made, *inner])
    tensors = [_tensor(recording, number, made) for number in numbers]
    given = [t.index for t in tensors if t.data is None and t.index in read and t.index not in made]
    given = [number for number in given if not main.tensors[number].is_variable]
    _check_handles(recording, nodes, [number for number in read if number not in made])
    wanted = _wanted(main, operators, made)
    new = {number: position for position, number in enumerate(numbers)}
    part = Subgraph(
        index=0,
        name=main.name,
        tensors=tuple(
            replace(t, index=new[t.index], buffer=new[t.index] + 1 if t.data is not None else 0)
            for t in tensors
        ),
        operators=tuple(_operator(node.operator, i, new) for i, node in enumerate(nodes)),
        inputs=tuple(new[number] for number in given),
        outputs=tuple(new[number] for number in wanted),
    )
    outputs = tuple(_value(recording, number) for number in wanted)
    graph = _checked(
        Graph(
            (part, *recording.model.subgraphs[1:]) if any(map(calls_subgraphs, nodes)) else (part,),
            description=_about(operators),
        )
    )
    allowed, tolerance = _allowed(recording, nodes, wanted, outputs)
    return Slice(
        graph=graph,
        operators=operators,
        tensors=tuple(numbers),
        inputs=tuple(_value(recording, number) for number in given),
        outputs=outputs,
        allowed=allowed,
        tolerance=tolerance,
    )


def onto(recording: Recording, model: Graph) -> Recording:
    """The values of one run beside the constants of another model of the same structure.

    Raises
    ------
    SliceError
        The two models' operators or tensors are not the same.
    """
    if not same_structure(recording.model, model):
        raise SliceError(
            "the run is one of another model, whose operators and tensors are not the same: what it fed "
            "them means nothing here",
            rule="slice-structure",
        )
    shapes = {n: v.shape for n, v in zip(recording.graph.main.inputs, recording.inputs, strict=True)}
    prepared = prepare(model, shapes)
    found = {number: value.shape for number, value in recording.tensors.items()}
    tensors = known_shapes(prepared.main, found).tensors
    return replace(recording, model=model, graph=with_tensors(prepared, 0, tensors))


def write_slice(folder: Path, piece: Slice, side: Side, model: str) -> list[Path]:
    """Write model, inputs, expected outputs, ``slice.json`` and a script that replays them (docs/formats.md).

    Parameters
    ----------
    side:
        Whose run it was.
    model:
        What the whole model is called.

    Raises
    ------
    SliceError
        A file cannot be written.
    """
    description = {
        "format": FORMAT,
        "version": VERSION,
        "model": model,
        "digest": side.recording.digest,
        "operators": [piece.operators.start, piece.operators.stop],
        "names": [operator.name for operator in piece.graph.main.operators],
        "tensors": list(piece.tensors),
        "inputs": _described(piece.graph, piece.graph.main.inputs, piece.tensors),
        "outputs": [
            {**entry, "allowed": allowed}
            for entry, allowed in zip(
                _described(piece.graph, piece.graph.main.outputs, piece.tensors), piece.allowed, strict=True
            )
        ],
        "tolerance": piece.tolerance,
        "expected": f"{side.name}: {side.about}",
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / replay.MODEL).write_bytes(write_graph(piece.graph))
        _save(folder / replay.INPUTS, piece.inputs)
        _save(folder / replay.EXPECTED, piece.outputs)
        text = json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False)
        (folder / replay.DESCRIPTION).write_text(text + "\n", encoding="utf-8")
        shutil.copyfile(replay.__file__, folder / "replay.py")
    except OSError as error:
        raise SliceError(f"{folder}: cannot be written: {error}", rule="file") from error
    names = (replay.MODEL, replay.INPUTS, replay.EXPECTED, replay.DESCRIPTION, "replay.py")
    return [folder / name for name in names]


def _tensor(recording: Recording, number: int, made: set[int]) -> Tensor:
    """A tensor of the slice, with the sizes of the run."""
    ran, declared = recording.graph.main.tensors[number], recording.model.main.tensors[number]
    if declared.data is not None:
        return declared  # as the file has it: packed, sparse
    value = recording.tensors.get(number)
    shape = ran.shape if value is None else value.shape
    # What an operator inside computes is computed again, even if it is a constant by now.
    data = ran.data if number not in made else None
    return replace(ran, shape=shape, shape_signature=shape, data=data, is_dynamic=False)


def _wanted(main: Subgraph, operators: range, made: set[int]) -> list[int]:
    """What is made inside and read outside, or by nobody."""
    inside = {i for number in operators for i in main.operators[number].inputs}
    outside = {i for o in main.operators if o.index not in operators for i in o.inputs} | set(main.outputs)
    return sorted(number for number in made if number in outside or number not in inside)


def _operator(operator: Operator, index: int, new: Mapping[int, int]) -> Operator:
    def renumbered(numbers: Iterable[int]) -> tuple[int, ...]:
        return tuple(ABSENT if number == ABSENT else new[number] for number in numbers)

    return replace(
        operator,
        index=index,
        inputs=renumbered(operator.inputs),
        outputs=renumbered(operator.outputs),
        intermediates=renumbered(operator.intermediates),
    )


def _check_handles(recording: Recording, nodes: list[Node], read: list[int]) -> None:
    for number in read:
        tensor = recording.tensor(number)
        if tensor.type in (TensorType.RESOURCE, TensorType.VARIANT):
            maker = next((o for o in recording.graph.main.operators if number in o.outputs), None)
            raise SliceError(
                f"{nodes[0].operator} to {nodes[-1].operator} read {tensor}, a handle that {maker} makes and "
                "no file can hold: slice from there",
                tensor=number,
                rule="slice-handle",
            )


def _value(recording: Recording, number: int) -> Array:
    value = recording.value(number)
    tensor = recording.tensor(number)
    # A run in double precision is written as the model holds it.
    return value.astype(tensor.dtype) if value.dtype == np.float64 != tensor.dtype else value


def _allowed(
    recording: Recording, nodes: list[Node], wanted: list[int], outputs: tuple[Array, ...]
) -> tuple[tuple[float, ...], str]:
    """One operator's own tolerance; of several in a row, what outputs of networks are held to."""
    if len(nodes) > 1 or not parity.stands_alone(nodes[0]):
        return tuple(map(parity.near, outputs)), "integers equal, floats within 1e-4 of the magnitude"
    (node,) = nodes
    inputs = [None if t is None else recording.value(t.index) for t in node.inputs]
    bounds = (parity.bound(node, inputs, value) for value in outputs)
    largest = tuple(float(np.max(np.nan_to_num(bound), initial=0.0)) for bound in bounds)
    return largest, words(tolerance_of(node))


def _checked(graph: Graph) -> Graph:
    """The slice as it will be read."""
    try:
        prepare(load_graph(write_graph(graph)))
    except MiniliteError as error:
        raise SliceError(
            f"these operators are no model by themselves: {error}", rule="slice-model"
        ) from error
    return graph


def _about(operators: range) -> str:
    return f"operators {operators.start}:{operators.stop} of another model"


def _described(graph: Graph, numbers: Iterable[int], whole: tuple[int, ...]) -> list[dict[str, Any]]:
    tensors = [graph.main.tensors[number] for number in numbers]
    return [
        {"tensor": whole[t.index], "name": t.name, "type": t.type.name, "shape": list(t.shape)}
        for t in tensors
    ]


def _save(path: Path, values: tuple[Array, ...]) -> None:
    # Texts as fixed-width bytes: files with Python objects in them cannot be read safely.
    plain: dict[str, Any] = {
        str(i): v.astype(np.bytes_) if v.dtype == object else v for i, v in enumerate(values)
    }
    np.savez(path, **plain)


def _in_order(numbers: Iterable[int]) -> list[int]:
    return list(dict.fromkeys(numbers))
