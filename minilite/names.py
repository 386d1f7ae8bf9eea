"""What a model's inputs and outputs are called, and everything else they may be called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from minilite.graph import Graph, Signature, Tensor


class Names:
    """Names of a row of tensors, found by any spelling that leaves no doubt.

    A signature's argument names come first, then the file's tensor names, then those without what
    converters add to them (``serving_default_x:0`` is ``x``).
    """

    def __init__(self, tensors: tuple[Tensor, ...], arguments: Mapping[str, int]) -> None:
        by_tensor = {index: name for name, index in reversed(list(arguments.items()))}
        self._preferred = tuple(by_tensor.get(tensor.index, tensor.name) for tensor in tensors)
        positions = {tensor.index: position for position, tensor in enumerate(tensors)}
        self._positions: dict[str, int | None] = {}
        self._accept((name, positions[index]) for name, index in arguments.items() if index in positions)
        self._accept((tensor.name, position) for position, tensor in enumerate(tensors))
        self._accept((short, i) for i, tensor in enumerate(tensors) for short in _shortened(tensor.name))

    def _accept(self, spellings: Iterator[tuple[str, int]]) -> None:
        found: dict[str, int | None] = {}
        for name, position in spellings:
            found[name] = None if name in found and found[name] != position else position
        self._positions = {**found, **self._positions}

    def __iter__(self) -> Iterator[str]:
        return iter(self._preferred)

    def __getitem__(self, position: int) -> str:
        return self._preferred[position]

    def position(self, name: str) -> int:
        """Where the tensor of that name stands in the row.

        Raises
        ------
        KeyError
            No tensor, or more than one, is called that.
        """
        if name not in self._positions:
            raise KeyError(f"{name!r} is none of {', '.join(map(repr, self))}")
        position = self._positions[name]
        if position is None:
            raise KeyError(f"{name!r} is the name of more than one tensor: use its position")
        return position


def _shortened(name: str) -> tuple[str, ...]:
    base = name.removesuffix(":0")
    return base, name.removeprefix("serving_default_"), base.removeprefix("serving_default_")


def input_names(graph: Graph) -> Names:
    """Names of what the main subgraph takes, in its order."""
    signature = _main_signature(graph)
    tensors = tuple(graph.main.tensors[i] for i in graph.main.inputs)
    return Names(tensors, signature.inputs if signature else {})


def output_names(graph: Graph) -> Names:
    """Names of what the main subgraph gives, in its order."""
    signature = _main_signature(graph)
    tensors = tuple(graph.main.tensors[i] for i in graph.main.outputs)
    return Names(tensors, signature.outputs if signature else {})


def _main_signature(graph: Graph) -> Signature | None:
    """The main subgraph's signature; with several, no one of them names its arguments."""
    signatures = [s for s in graph.signatures if s.subgraph == graph.main.index]
    return signatures[0] if len(signatures) == 1 else None
