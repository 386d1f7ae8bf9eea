"""What the page is told of each tensor: type, quantization, figures, histogram, pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from minilite.debug.recording import Recording
from minilite.debug.report import pictures
from minilite.graph import Array, Tensor
from minilite.inspection import TensorSummary

_SHOWN_SCALES = 6

_LARGE_CONSTANT = 1 << 22
"""Elements of a constant of which figures are still worth their time."""


@dataclass
class Pictures:
    """Sheets and colour pictures by name, and what they may still take."""

    budget: float
    by_name: dict[str, str] = field(default_factory=dict)
    omitted: list[str] = field(default_factory=list)

    def add(self, name: str, base64: str) -> str:
        """Keep a picture; returns its name."""
        self.by_name[name] = base64
        self.budget -= len(base64)
        return name


def described(summary: TensorSummary) -> dict[str, Any]:
    """A tensor as the file has it."""
    data: dict[str, Any] = {
        "i": summary.index,
        "name": summary.name,
        "type": summary.type,
        "shape": list(summary.shape),
        "bytes": summary.bytes,
    }
    if summary.is_constant:
        data["constant"] = True
    if summary.scales:
        data["quantization"] = {
            "scales": [float(f"{scale:.9g}") for scale in summary.scales[:_SHOWN_SCALES]],
            "zeros": list(summary.zero_points[:_SHOWN_SCALES]),
            "count": len(summary.scales),
            "low": float(f"{min(summary.scales):.9g}"),
            "high": float(f"{max(summary.scales):.9g}"),
            "axis": summary.quantized_dimension,
        }
    return data


def add_figures(data: dict[str, Any], value: Array, tensor: Tensor, recording: Recording) -> None:
    """Add statistics and a histogram of a value, and its numbers where they are few or in a line."""
    if value.dtype == object:
        data["text"] = [str(item)[:200] for item in value.reshape(-1)[:16].tolist()]
        return
    if data.get("constant") and value.size > _LARGE_CONSTANT:
        return
    figures = asdict(recording.statistics(tensor.index))
    data["stats"] = {name: _plain(figure) for name, figure in figures.items() if figure is not None}
    histogram = pictures.histogram(value, tensor)
    if histogram is not None:
        data["histogram"] = histogram
    if pictures.planes(value) is None and not (data.get("constant") and value.size > 16):
        line = pictures.line(value, tensor)
        if line is not None:
            data["line"] = line


def add_pictures(
    tensors: dict[int, dict[str, Any]],
    recording: Recording,
    ends: Iterable[int],
    store: Pictures,
    progress: Callable[[int, int], None],
) -> None:
    """Add sheets of all computed tensors, within the budget.

    The cheapest come first, and each may take an equal part of what is left: what small tensors do not
    need goes to the large ones. Inputs and outputs of three channels are added in colours, too.
    """
    for number in dict.fromkeys(ends):
        coloured = pictures.colours(recording.value(number), recording.tensor(number))
        if coloured is not None:
            tensors[number]["colours"] = store.add(f"colours-{number}", coloured)
    wanted = {number: pictures.wanted_bytes(recording.tensors[number]) for number in recording.tensors}
    order = sorted((number for number in wanted if wanted[number]), key=wanted.__getitem__)
    for done, number in enumerate(order):
        progress(done, len(order))
        allowance = store.budget / (len(order) - done)
        made = pictures.sheet(recording.value(number), recording.tensor(number), allowance)
        if made is None:
            continue
        if len(made.png) > max(allowance, 0):
            tensors[number]["omitted"] = "no picture: the budget for pictures is used up"
            store.omitted.append(f"tensor {number}: no picture")
            continue
        store.add(f"sheet-{number}", made.png)
        tensors[number]["sheet"] = made.described
        if isinstance(made.described["channels"], list):
            shown, total = len(made.described["channels"]), made.described["total"]
            store.omitted.append(f"tensor {number}: {shown} of {total} channels")


def _plain(figure: float) -> float | int | None:
    if isinstance(figure, int):
        return int(figure)  # of BOOL tensors these are bools
    return float(f"{figure:.8g}") if math.isfinite(figure) else None
