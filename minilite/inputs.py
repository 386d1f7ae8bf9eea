"""Values for a model's inputs, from what a person can write on a command line."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from minilite.benchmark import random_inputs, zeros
from minilite.errors import TensorValueError
from minilite.graph import Array, Graph, Tensor
from minilite.names import input_names
from minilite.values import convert, expected_shape

FORMS = "random:SEED, zeros, a picture, x.npy, or x.npz with an array for each input by name or position"


def read_inputs(source: str, graph: Graph, *, option: str = "--input") -> list[Array]:
    """The values that a text describes, for the inputs of a graph in their order.

    Parameters
    ----------
    source:
        One of ``FORMS``. A picture suits a model with one input [1, height, width, 3]: it is resized to
        that and its values are brought to -1 ... 1, or left as they are for uint8.
    option:
        Where the text comes from, for messages.

    Raises
    ------
    TensorValueError
        It is none of these, or what it holds does not fit.
    """
    tensors = [graph.main.tensors[i] for i in graph.main.inputs]
    kind, _, seed = source.partition(":")
    if kind == "random":
        if not seed.isdecimal():
            raise TensorValueError(
                f"{option} {source}: give a seed, a whole number, as in random:0", rule="input"
            )
        return list(random_inputs(tensors, int(seed)).values())
    if source == "zeros":
        return [zeros(tensor) for tensor in tensors]
    path = Path(source)
    if path.suffix in (".npy", ".npz"):
        given = _read_arrays(path, graph, option)
    elif path.exists():
        given = {0: _read_picture(path, tensors, option)}
    else:
        raise TensorValueError(f"{option} {source}: there is no such file; give {FORMS}", rule="input")
    names = list(input_names(graph))
    if missing := [names[i] for i in range(len(tensors)) if i not in given]:
        raise TensorValueError(f"{option} {source}: nothing in it for {', '.join(missing)}", rule="input")
    return [convert(given[i], tensor, f"{option} {source}: {names[i]!r}") for i, tensor in enumerate(tensors)]


def _read_arrays(path: Path, graph: Graph, option: str) -> dict[int, Array]:
    """Arrays by position of the input."""
    try:
        loaded: Any = np.load(path, allow_pickle=False)
        arrays = {"0": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise TensorValueError(f"{option} {path}: cannot be read: {error}", rule="input") from error
    names = input_names(graph)
    found: dict[int, Array] = {}
    for name, value in arrays.items():
        try:
            position = int(name) if name.isdecimal() else names.position(name)
        except KeyError as error:
            raise TensorValueError(f"{option} {path}: {error.args[0]}", rule="input") from error
        found[position] = value
    return found


def _read_picture(path: Path, tensors: list[Tensor], option: str) -> Array:
    from minilite.catalogue import PLUS_MINUS_ONE  # noqa: PLC0415 - Pillow only for pictures
    from minilite.images import load_image  # noqa: PLC0415
    from minilite.segmentation import model_input  # noqa: PLC0415

    shape = expected_shape(tensors[0]) if len(tensors) == 1 else ()
    if len(shape) != 4 or shape[0] not in (1, -1) or shape[3] != 3 or -1 in shape[1:]:
        raise TensorValueError(
            f"{option} {path}: a picture fits a model with one input [1, height, width, 3]; this one takes "
            f"{', '.join(map(str, tensors))}. Give random:SEED or an .npz file",
            rule="input",
        )
    return model_input(load_image(path), tensors[0], PLUS_MINUS_ONE)
