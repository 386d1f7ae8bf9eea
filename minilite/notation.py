"""Tensors and options in as few characters as people can read: ``64:f32[1x17x17x3]``, ``stride=2x2 SAME``."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minilite.graph import Tensor


def sizes(shape: Sequence[int]) -> str:
    """``1x17x17x3``, or ``scalar``."""
    return "x".join(map(str, shape)) or "scalar"


def short_type(name: str) -> str:
    """``f32`` for ``FLOAT32``, ``u8`` for ``UINT8``; other names in lower case."""
    for long, short in (("BFLOAT", "bf"), ("FLOAT", "f"), ("UINT", "u"), ("INT", "i")):
        if name.startswith(long):
            return short + name.removeprefix(long)
    return name.lower()


def short_tensor(tensor: Tensor | None) -> str:
    """``64:f32[1x17x17x3]``; an input that is left out is ``none``."""
    if tensor is None:
        return "none"
    return f"{tensor.index}:{short_type(tensor.type.name)}[{sizes(tensor.shape)}]"


def figure(value: Any) -> str:
    """A number in six digits, an integer as it is, ``-`` for None."""
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def plain_options(options: Any) -> dict[str, Any]:
    """An options record or dict as a dict of plain values."""
    if dataclasses.is_dataclass(options):
        options = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    return {name: _plain(value) for name, value in (options or {}).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.name
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers; the command line's help does without NumPy
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str) or value is None else str(value)


_PAIRS = {
    "stride_h": ("stride_w", "stride"),
    "dilation_h_factor": ("dilation_w_factor", "dilation"),
    "filter_height": ("filter_width", "filter"),
}

# Fields that say nothing on nearly every operator; --json has them.
_USUALLY_IDLE = ("quantized_bias_type", "pot_scale_int16", "keep_num_dims", "weights_format")


def options_text(options: Mapping[str, Any]) -> str:
    """Plain options on one line: height and width joined, what is off, empty or 1x1 left out."""
    widths = {width for height, (width, _) in _PAIRS.items() if height in options}
    words = []
    for name, value in options.items():
        if value is None or value is False or value in ("NONE", []) or name in (*widths, *_USUALLY_IDLE):
            continue
        if name in _PAIRS:
            width, pair = _PAIRS[name]
            if (value, options[width]) != (1, 1):
                words.append(f"{pair}={value}x{options[width]}")
        elif name in ("padding", "fused_activation_function") and isinstance(value, str):
            words.append(value)
        else:
            words.append(f"{name}={sizes(value) if isinstance(value, list) else value}")
    return " ".join(words)
