"""What a notebook shows of models, operators, tensors, runs: small pieces of HTML that need nothing else.

Names come from files that anybody may have made: text becomes HTML in ``_Html.of`` alone, which escapes it.
Colours are those of the page around, or half transparent, so that light and dark pages both do.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minilite.debug.report import pictures
from minilite.debug.statistics import Statistics
from minilite.graph import Array, Node, Operator, Quantization, Tensor, TensorType
from minilite.notation import figure, options_text, plain_options, short_tensor, short_type, sizes

if TYPE_CHECKING:
    from minilite.debug.event import Event
    from minilite.debug.recording import Recording
    from minilite.debug.trace import Trace
    from minilite.model import Model, Outputs

_ROWS = 200
"""Operators listed of a model or a run; a notebook keeps what it shows."""

_PICTURE_BYTES, _PICTURE_WIDTH = 16_000, 260
_LEAST_TILE = 8
"""Pixels that a channel's picture is high at least: smaller ones show nothing."""

_FIGURES_BYTES = 1 << 28
"""Bytes of values up to which a run is shown with figures, which have to be computed."""

_STYLE = """
.minilite{font:13px/1.45 system-ui,sans-serif;color:inherit;max-width:72em}
.minilite table{border-collapse:collapse;margin:.3em 0;font-size:12px;color:inherit}
.minilite th,.minilite td{padding:.15em .7em .15em 0;text-align:left;vertical-align:top;background:none;
border:0;border-bottom:1px solid rgba(127,127,127,.25);overflow-wrap:anywhere;max-width:34em}
.minilite td.n,.minilite th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.minilite .dim{opacity:.65}.minilite code{font-size:12px;background:none;color:inherit}
.minilite .bar{display:inline-block;height:.7em;background:rgba(66,133,244,.65);border-radius:2px}
.minilite summary{cursor:pointer}.minilite .long{max-height:36em;overflow:auto}
.minilite img{image-rendering:pixelated;max-width:100%;border:1px solid rgba(127,127,127,.4)}
"""


class _Html(str):
    """Text that is HTML already."""

    __slots__ = ()

    @classmethod
    def of(cls, part: Any) -> _Html:
        """HTML as it is, anything else as text."""
        return part if isinstance(part, cls) else cls(html.escape(str(part)))


def _tag(name: str, *parts: Any, **attributes: Any) -> _Html:
    written = "".join(f' {key.strip("_")}="{html.escape(str(v))}"' for key, v in attributes.items())
    return _Html(f"<{name}{written}>{''.join(map(_Html.of, parts))}</{name}>")


def _page(*parts: Any) -> str:
    return str(_tag("div", _Html(f"<style>{_STYLE}</style>"), *parts, class_="minilite"))


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> _Html:
    """A table; columns called ``">name"`` are numbers, and those without content are left out."""
    rows = list(rows)
    used = [i for i in range(len(columns)) if any(str(row[i]) for row in rows)]
    columns, rows = [columns[i] for i in used], [[row[i] for i in used] for row in rows]
    classes = [{"class_": "n"} if column.startswith(">") else {} for column in columns]
    head = [_tag("th", c.removeprefix(">"), **k) for c, k in zip(columns, classes, strict=True)]
    body = [
        _tag(
            "tr",
            *(_tag("td", cell, **k) for cell, k in zip(row, classes, strict=True)),
        )
        for row in rows
    ]
    return _tag("table", _tag("tr", *head), *body)


# --- what has a representation ---------------------------------------------------------------------


def model_html(model: Model) -> str:
    """Inputs and outputs, and the operators behind a click."""
    main = model.graph.main
    sides = [("input", model.inputs, model.input_names), ("output", model.outputs, model.output_names)]
    rows = [
        (side, name, *_described(tensor))
        for side, tensors, names in sides
        for tensor, name in zip(tensors, names, strict=True)
    ]
    counted = Counter(operator.name for operator in main.operators).most_common()
    listed = ", ".join(f"{count} {name}" for name, count in counted)
    return _page(
        _tag("b", "minilite.Model"),
        f" {len(main.operators)} operators, {model.backend}, {model.threads} threads",
        _table(["", "name", "type", "shape", "quantization"], rows),
        _tag("details", _tag("summary", listed or "no operators"), _operators(list(main.nodes()))),
    )


def node_html(node: Node) -> str:
    """An operator with its options and tensors."""
    tensors = [("input", tensor) for tensor in node.inputs] + [("output", tensor) for tensor in node.outputs]
    absent = ("", "left out", "", "", "")
    rows = [(side, *(absent if tensor is None else _row(tensor))) for side, tensor in tensors]
    return _page(
        *_headed(node.operator), _table(["", ">tensor", "name", "type", "shape", "quantization"], rows)
    )


def operator_html(operator: Operator) -> str:
    """An operator with its options and the numbers of its tensors."""
    numbers = f"tensors {list(operator.inputs)} → {list(operator.outputs)}"
    return _page(*_headed(operator), _tag("div", numbers, class_="dim"))


def tensor_html(tensor: Tensor, value: Array | None = None) -> str:
    """A tensor, with its value if it is a constant or one is given."""
    value = tensor.data if value is None else value
    parts = [
        _tag("b", f"tensor {tensor.index}"),
        " ",
        _tag("code", tensor.name),
        _table(["type", "shape", "quantization", ""], [(*_described(tensor), _kind(tensor))]),
    ]
    return _page(*parts, *([] if value is None else _value(value, tensor)))


def outputs_html(outputs: Outputs) -> str:
    """Each output by its name, with figures and a picture."""
    parts = []
    for name, value in zip(outputs.names, outputs, strict=True):
        unquantized = Tensor(0, name, TensorType.FLOAT32, value.shape, value.shape)
        parts.append(_tag("div", _tag("b", name), f" {value.dtype} {sizes(value.shape)}"))
        parts += _value(value, unquantized)
    return _page(*parts)


def event_html(event: Event) -> str:
    """An operator that has run, with the values that it made."""
    parts = [*_headed(event.node.operator), f" {event.seconds * 1e3:.3f} ms"]
    for side, tensors, values in (
        ("from", event.node.inputs, event.inputs),
        ("to", event.node.outputs, event.outputs),
    ):
        for tensor, value in zip(tensors, values, strict=True):
            if tensor is not None and value is not None:
                parts.append(_tag("div", f"{side} {short_tensor(tensor)} ", _tag("code", tensor.name)))
                parts += _value(value, tensor) if side == "to" else []
    return _page(*parts)


def recording_html(recording: Recording) -> str:
    """The operators of a run, with times and figures."""
    return _page(_tag("b", "Recording"), *_run(recording))


def trace_html(trace: Trace) -> str:
    """What has run, and where the trace stands."""
    run = trace.recording()
    at_end = trace.position >= trace.operators.stop
    where = "at its end" if at_end else f"before {trace.next_node.operator}"
    return _page(_tag("b", "Trace"), f" {where}; ", *_run(run))


# --- parts of it -------------------------------------------------------------------------------------


def _headed(operator: Operator) -> list[_Html]:
    options = options_text(plain_options(operator.options))
    return [_tag("b", str(operator)), _Html(" "), _tag("span", options, class_="dim")]


def _operators(nodes: Sequence[Node]) -> _Html:
    rows = [
        (
            node.operator.index,
            node.operator.name,
            ", ".join(map(short_tensor, node.inputs)),
            ", ".join(map(short_tensor, node.outputs)),
            options_text(plain_options(node.options)),
        )
        for node in nodes[:_ROWS]
    ]
    table = _table([">op", "name", "inputs", "outputs", "options"], rows)
    return _tag("div", table, _more(len(nodes)), class_="long")


def _run(run: Recording) -> list[Any]:
    nodes = [run.node(number) for number in run.operators]
    total = sum(run.seconds.values())
    longest = max(run.seconds.values(), default=0.0)
    with_figures = sum(run.tensor(number).nbytes for number in run.tensors) <= _FIGURES_BYTES
    rows = []
    for node in nodes[:_ROWS]:
        seconds = run.seconds.get(node.operator.index, 0.0)
        bar = _tag("span", class_="bar", style=f"width:{8 * seconds / (longest or 1):.2f}em")
        figures = [run.statistics(t.index) for t in node.outputs[:1]] if with_figures else []
        shown = [figure(x) for found in figures for x in (found.min, found.max, found.mean)]
        outputs = ", ".join(map(short_tensor, node.outputs))
        row = (node.operator.index, node.operator.name, outputs, f"{seconds * 1e3:.3f}", bar)
        rows.append((*row, *(shown or ["", "", ""])))
    columns = [">op", "name", "outputs", ">ms", "", ">min", ">max", ">mean"]
    about = f" {len(nodes)} operators, {total * 1e3:.1f} ms one by one, {run.backend}, {run.threads} threads"
    patched = f", patched: tensors {', '.join(map(str, run.patched))}" if run.patched else ""
    return [about, patched, _tag("div", _table(columns, rows), class_="long"), _more(len(nodes))]


def _more(count: int) -> _Html:
    return _tag("div", f"and {count - _ROWS} more", class_="dim") if count > _ROWS else _Html("")


def _row(tensor: Tensor) -> tuple[Any, ...]:
    return (tensor.index, tensor.name, *_described(tensor))


def _described(tensor: Tensor) -> tuple[str, str, str]:
    return short_type(tensor.type.name), sizes(tensor.shape), _quantization(tensor.quantization)


def _quantization(quantization: Quantization | None) -> str:
    if quantization is None:
        return ""
    if quantization.per_channel:
        return f"{len(quantization.scales)} scales along axis {quantization.dimension}"
    return f"scale {float(quantization.scale):.6g}, zero point {quantization.zero_point}"


def _kind(tensor: Tensor) -> str:
    return "constant" if tensor.is_constant else "variable" if tensor.is_variable else ""


def _value(value: Array, tensor: Tensor) -> list[_Html]:
    """Figures, a histogram, and a picture where a value is one."""
    found = Statistics.of(value, tensor)
    parts = [_tag("div", str(found), class_="dim")]
    if found.min is not None and found.max is not None and found.min < found.max:
        parts.append(_histogram(pictures.real_values(value, tensor)))
    sheet = pictures.sheet(value, tensor, _PICTURE_BYTES)
    if sheet is not None and sheet.described["height"] >= _LEAST_TILE:
        width = sheet.described["columns"] * sheet.described["width"]
        times = max(1, _PICTURE_WIDTH // width)
        source = f"data:image/png;base64,{sheet.png}"
        parts.append(_Html(f'<div><img alt="" width="{width * times}" src="{source}"></div>'))
    elif 0 < value.size <= 16:
        parts.append(_tag("code", str(value.reshape(-1).tolist())))
    return parts


def _histogram(numbers: Array) -> _Html:
    """48 columns from the least value to the largest, as high as the root of their share: tails show."""
    finite = numbers[np.isfinite(numbers)].astype(np.float64)
    counts, edges = np.histogram(finite, 48)
    heights = 40 * np.sqrt(counts / counts.max())
    bars = "".join(f"M{5 * i} 40v{-h:.1f}h4v{h:.1f}z" for i, h in enumerate(heights.tolist()) if h)
    title = f"{figure(float(edges[0]))} ... {figure(float(edges[-1]))}"
    path = _Html(f'<path d="{bars}" fill="currentColor" fill-opacity=".55"/>')
    return _tag("svg", _tag("title", title), path, width=240, height=40, viewBox="0 0 240 40", role="img")
