"""``minilite explain``: where one number of a run comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from minilite.notation import sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minilite.cli._console import Printer
    from minilite.debug.explanation import Explanation, Field, Number, Part


def command(
    model: Annotated[str, typer.Argument(help="Name of a known model, or a .tflite file.")],
    source: Annotated[
        str,
        typer.Option("--input", help="random:SEED, zeros, a picture, x.npy, or x.npz by name or position."),
    ] = "random:0",
    tensor: Annotated[
        str | None, typer.Option(help="Number or name of the tensor.", show_default="the first output")
    ] = None,
    at: Annotated[
        str, typer.Option(help="Indices of the element, as in 0,12,40,15; or max, or min.")
    ] = "max",
    largest: Annotated[int, typer.Option("--top", min=0, help="How many of its parts to show.")] = 10,
    threads: Annotated[int | None, typer.Option(min=1, show_default="all processors")] = None,
    backend: Annotated[str, typer.Option(help="auto, numba or numpy.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Explain one element of one tensor: what made it, from what, and each step of the arithmetic.

    The model runs up to the operator that makes it, and that operator's NumPy reference runs again on
    what it was given. Leaves with 1 where the two do not agree.
    """
    from minilite.cli._console import Printer, print_json, progress_bar
    from minilite.cli._loading import locate, open_model
    from minilite.debug.explain import explain, find_tensor
    from minilite.debug.trace import record
    from minilite.inputs import read_inputs

    place = _place(at)
    found = locate(model)
    with open_model(found, backend=backend, threads=threads) as opened, progress_bar() as show:
        main = opened.graph.main
        number = main.outputs[0] if tensor is None else find_tensor(main, tensor).index
        makers = [op.index for op in main.operators if number in op.outputs]
        needed = range(makers[-1] + 1 if makers else 1)
        values = read_inputs(source, opened.graph)
        recording = record(
            opened, values, operators=needed, progress=lambda done, total: show(done, total, "running")
        )
    explanation = explain(recording, number, place, largest=largest)
    if as_json:
        print_json(_as_data(explanation))
    else:
        _print(Printer(), explanation)
    if explanation.verdict == "differs":
        raise typer.Exit(1)


def _place(text: str) -> Any:
    if text in ("max", "min"):
        return text
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise typer.BadParameter(
            f"--at {text}: give indices, as in --at 0,12,40,15, or max, or min"
        ) from None


def _as_data(explanation: Explanation) -> dict[str, Any]:
    """Plain values; what is no number in JSON is a text."""
    from dataclasses import fields, is_dataclass
    from math import isfinite

    from minilite.graph import Operator, Tensor

    def plain(value: Any) -> Any:
        if isinstance(value, Tensor):
            shape = list(value.shape)
            return {"number": value.index, "name": value.name, "type": value.type.name, "shape": shape}
        if isinstance(value, Operator):
            return {"number": value.index, "name": value.name}
        if is_dataclass(value):
            return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
        if isinstance(value, tuple | list):
            return [plain(item) for item in value]
        finite = not isinstance(value, float) or isfinite(value)
        return value if finite and not isinstance(value, complex) else str(value)

    data: dict[str, Any] = plain(explanation)
    return data


def _print(printer: Printer, e: Explanation) -> None:
    real = "" if e.real is None else f" = {e.real:.9g}"
    printer.line(f"{e.tensor} at {_indices(e.at)}: {_text(e.value)}{real}")
    if e.tensor.quantization is not None and not e.tensor.quantization.per_channel:
        q = e.tensor.quantization
        printer.line(f"  scale {q.scale:.9g}, zero point {q.zero_point}")
    printer.line(e.origin)
    if e.direct or e.model:
        printer.line("\nreceptive field")
        rows = [("operator's", *_field_row(f)) for f in e.direct] + [
            ("model's", *_field_row(f)) for f in e.model
        ]
        printer.table(["input", "tensor", "shape", ">elements", "where"], rows)
    if e.steps:
        printer.line("steps of the reference")
        printer.table(
            ["step", ">result", ">before rounding"],
            [(s.what, _text(s.value), "" if s.unrounded is None else f"{s.unrounded:.6f}") for s in e.steps],
        )
    _print_parts(printer, e)
    _print_verdict(printer, e)
    for remark in e.remarks:
        printer.line(f"note: {remark}")


def _field_row(f: Field) -> tuple[str, str, str, str]:
    # Of filters each kind has axes of its own.
    names = ("batch", "rows", "columns", "channels") if len(f.spans) == 4 and not f.is_constant else None
    where = ", ".join(
        f"{names[i] if names else f'axis {i}:'} {span}"
        for i, span in enumerate(f.spans)
        if not (f.shape[i] == 1 and len(f.spans) > 1)
    )
    if not f.is_box:
        where += ", not all of these"
    if f.found != "said":
        where += f" ({f.found})"
    return f"{f.tensor} {f.name}", sizes(f.shape), f"{f.count} of {f.size}", where


def _print_parts(printer: Printer, e: Explanation) -> None:
    if not e.parts:
        return
    shown = f"the largest {len(e.parts)} of {e.part_count}" if e.part_count > len(e.parts) else "all"
    total = "" if e.part_total is None else f"; all add up to {e.part_total:.9g}"
    printer.line(f"{e.meaning}: {shown}{total}")
    if e.parts[0].product is None:
        rows = [(f"{p.tensor} at {_indices(p.at)}", _text(p.value), _real(p)) for p in e.parts]
        printer.table(["element", ">value", ">real"], rows)
        return
    printer.table(
        ["element", ">value", ">multiplied as", "by", ">which is", ">product", ">share"],
        [
            (
                f"{p.tensor} at {_indices(p.at)}",
                _text(p.value),
                f"{p.term:.9g}",
                "" if p.factor_at is None else f"{p.factor_tensor} at {_indices(p.factor_at)}",
                f"{p.factor:.9g}",
                f"{p.product:.9g}",
                f"{p.share:.1%}",
            )
            for p in e.parts
        ],
    )


def _print_verdict(printer: Printer, e: Explanation) -> None:
    if e.verdict == "not run":
        return
    made = _text(e.reproduced) if e.reproduced is not None else "?"
    start = f"the reference makes {made} of the recorded inputs"
    error, bound = e.error or 0.0, e.bound or 0.0
    words = {
        "equal bits": f"{start}: the recorded value, bit for bit",
        "within bound": f"{start}: {error:.3g} from the recorded value, within the bound of {bound:.3g}",
        "differs": f"DIFFERS: {start}, recorded is {_text(e.value)}: off by {error:.6g}, allowed {bound:.3g}",
    }
    printer.line(words[e.verdict])


def _indices(at: Sequence[int]) -> str:
    return ",".join(map(str, at)) or "()"


def _text(value: Number) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _real(part: Part) -> str:
    return "" if part.real is None else f"{part.real:.9g}"
