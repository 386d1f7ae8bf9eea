"""LiteRT beside minilite, where it is installed: to measure against and to compare with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minilite.errors import BackendError
from minilite.graph import Array


class LiteRT:
    """A model in LiteRT's own interpreter.

    Attributes
    ----------
    kernels:
        ``"default"``: as LiteRT runs it by default (XNNPACK); ``"builtin"``: without delegates,
        because the default ones refuse the model.

    Raises
    ------
    BackendError
        LiteRT is not installed, or cannot run the model either way.
    """

    def __init__(self, path: Path, threads: int) -> None:
        try:
            from ai_edge_litert import interpreter as litert  # noqa: PLC0415 - an optional extra
        except ImportError as error:
            raise BackendError(
                "LiteRT is not installed: install ai-edge-litert (the extra minilite[litert])",
                rule="litert",
            ) from error
        resolvers = litert.OpResolverType
        choices = {"default": resolvers.AUTO, "builtin": resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES}
        for self.kernels, resolver in choices.items():
            try:
                self._interpreter = litert.Interpreter(
                    str(path), num_threads=threads, experimental_op_resolver_type=resolver
                )
                self._interpreter.allocate_tensors()
            except (RuntimeError, ValueError) as error:
                fault = error
            else:
                return
        raise BackendError(f"LiteRT cannot run {path}: {fault}", rule="litert") from fault

    def set_inputs(self, inputs: dict[int, Array]) -> None:
        """Set input tensors by tensor number."""
        for index, value in inputs.items():
            self._interpreter.set_tensor(index, value)

    def run(self) -> None:
        """Run the model once."""
        self._interpreter.invoke()

    def value(self, tensor: int) -> Array:
        """A copy of an output tensor."""
        value: Any = self._interpreter.get_tensor(tensor)
        return value  # type: ignore[no-any-return]
