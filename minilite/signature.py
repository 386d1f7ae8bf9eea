"""Signatures: named entries of a model, called with named arguments (TFLite's ``SignatureRunner``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minilite.errors import TensorValueError
from minilite.graph import Array

if TYPE_CHECKING:
    from minilite.interpreter import Interpreter


class SignatureRunner:
    """``runner(x=..., y=...)`` gives ``{name: array}``; made by ``Interpreter.get_signature_runner``.

    A call takes the interpreter from resizing the inputs to copying the results, so that calls
    from several threads cannot mix: the later one is refused.
    """

    def __init__(self, interpreter: Interpreter | None = None, signature_key: str | None = None) -> None:
        if interpreter is None:
            raise TensorValueError("None interpreter provided.", rule="signature")
        if not signature_key:
            raise TensorValueError("None signature_key provided.", rule="signature")
        signatures = {signature.key: signature for signature in interpreter._graph.signatures}
        if signature_key not in signatures:
            raise TensorValueError(
                f'Invalid signature_key provided: "{signature_key}".\n'
                f"The model's signatures: {', '.join(signatures) or 'none'}.",
                rule="signature",
            )
        self._interpreter = interpreter
        self._signature_key = signature_key
        self._subgraph_index = signatures[signature_key].subgraph
        arguments = interpreter._get_full_signature_list()[signature_key]
        self._inputs = arguments["inputs"]
        self._outputs = arguments["outputs"]

    def __call__(self, **values: Any) -> dict[str, Array]:
        """Resize each input to its value's shape, run, and return copies of the outputs by name.

        Raises
        ------
        TensorValueError
            An argument is missing, unknown or of another type.
        PrepareError
            The subgraph cannot have inputs of these shapes.
        """
        if len(values) != len(self._inputs):
            raise TensorValueError(
                "Invalid number of inputs provided for running a SignatureDef, "
                f"expected {len(self._inputs)} vs provided {len(values)}\n"
                f"{self._signature_key!r} takes {', '.join(self._inputs)}.",
                rule="signature",
            )
        for name in values:
            if name not in self._inputs:
                raise TensorValueError(
                    f"Invalid Input name ({name}) for SignatureDef\n"
                    f"{self._signature_key!r} takes {', '.join(self._inputs)}.",
                    rule="signature",
                )
        with self._interpreter._exclusively(f"signature {self._signature_key!r}"):
            session = self._interpreter._sessions[self._subgraph_index]
            for name, value in values.items():
                session.resize(self._inputs[name], tuple(value.shape), strict=False)
            session.allocate()
            for name, value in values.items():
                session.write(self._inputs[name], value)
            session.run()
            return {name: session.read(index) for name, index in self._outputs.items()}

    def get_input_details(self) -> dict[str, dict[str, Any]]:
        """A tensor's dictionary for each input name."""
        return self._details(self._inputs)

    def get_output_details(self) -> dict[str, dict[str, Any]]:
        """A tensor's dictionary for each output name."""
        return self._details(self._outputs)

    def _details(self, arguments: dict[str, int]) -> dict[str, dict[str, Any]]:
        return {
            name: self._interpreter._get_tensor_details(index, self._subgraph_index)
            for name, index in arguments.items()
        }
