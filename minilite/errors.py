"""Every error minilite raises on purpose, and the one place that words them.

The classes derive from the types that TFLite's interpreter raises for the same fault
(``ValueError``, ``RuntimeError``, ``FileNotFoundError``), so that code written for it keeps working.
"""

from __future__ import annotations

from collections.abc import Iterable


class MiniliteError(Exception):
    """Base of all minilite errors.

    Attributes
    ----------
    op_index, op_name:
        The operator concerned, numbered as in the file, or None.
    tensor:
        The tensor concerned, numbered as in the file, or None.
    rule:
        Short name of the rule that was broken, for machines, or None.
    offset:
        Byte offset in the file, where known.
    """

    def __init__(
        self,
        message: str,
        *,
        op_index: int | None = None,
        op_name: str | None = None,
        tensor: int | None = None,
        rule: str | None = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(message)
        self.op_index = op_index
        self.op_name = op_name
        self.tensor = tensor
        self.rule = rule
        self.offset = offset

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders (pools, child oracles); the default would lose the keywords.
        return (_rebuild, (type(self), self.args[0], dict(self.__dict__)))


def _rebuild(cls: type[MiniliteError], message: str, attributes: dict[str, object]) -> MiniliteError:
    error = cls.__new__(cls)
    Exception.__init__(error, message)
    error.__dict__.update(attributes)
    return error


class ModelFormatError(MiniliteError, ValueError):
    """The bytes are not a model that can be trusted: found while loading or verifying."""


class ModelNotFoundError(MiniliteError, FileNotFoundError, ValueError):
    """No such model file or model name; the message lists every place that was searched.

    Also a ``ValueError``, which is what TFLite's interpreter raises for a missing file.
    """


class DownloadError(MiniliteError, OSError):
    """A known model could not be fetched, or what was fetched has another digest."""


class UnsupportedOpError(MiniliteError, ValueError):
    """The model uses operators minilite does not have; the message lists them all.

    Attributes
    ----------
    operators:
        One line for each operator that is missing.
    """

    def __init__(self, message: str, operators: Iterable[str] = (), **context: object) -> None:
        super().__init__(message, **context)  # type: ignore[arg-type]
        self.operators = tuple(operators)


class PrepareError(MiniliteError, RuntimeError):
    """An operator refuses its shapes, types or options."""


class InvokeError(MiniliteError, RuntimeError):
    """The model cannot run in its present state, or failed while it ran."""


class TensorValueError(MiniliteError, ValueError):
    """A value does not fit the tensor it is given to, or a tensor cannot be read now."""


class RecordingError(MiniliteError, ValueError):
    """A file is not a recording that can be trusted, or cannot be written."""


class ImageError(MiniliteError, ValueError):
    """A picture cannot be read or does not suit the model."""


class BackendError(MiniliteError, RuntimeError):
    """The backend that was asked for is not available on this machine."""


class RuntimeFailedError(MiniliteError, RuntimeError):
    """Another runtime refused a model, died of it, or hung."""


class PairingError(MiniliteError, ValueError):
    """Two runs that have nothing to compare: their models share no tensors, or their inputs differ."""


class SliceError(MiniliteError, ValueError):
    """The operators asked for cannot be made a model of their own."""


class DelegateError(BackendError, OSError, ValueError):
    """A native TFLite delegate was asked for, which minilite cannot use.

    Also an ``OSError`` and a ``ValueError``: what TFLite raises where a delegate cannot be loaded.
    """
