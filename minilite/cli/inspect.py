"""``minilite inspect``: what stands in a model file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from minilite.notation import options_text, short_type, sizes

if TYPE_CHECKING:
    from minilite.cli._console import Printer
    from minilite.inspection import ModelSummary, OperatorSummary, SubgraphSummary, TensorSummary


def command(
    model: Annotated[str, typer.Argument(help="Name of a known model, or a .tflite file.")],
    tensors: Annotated[bool, typer.Option("--tensors", help="List the tensors, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """List a model's operators, tensors, costs and quantisation, without running it."""
    from dataclasses import asdict

    from minilite.cli._console import Printer, print_json
    from minilite.cli._loading import locate
    from minilite.inspection import summarise
    from minilite.loader import load_graph

    path = locate(model).path
    summary = summarise(load_graph(path))
    if as_json:
        print_json({"file": str(path), "bytes": path.stat().st_size, **asdict(summary)})
        return
    printer = Printer()
    for subgraph in summary.subgraphs:
        _print_subgraph(printer, subgraph, tensors=tensors)
    _print_extras(printer, summary)


def _print_subgraph(printer: Printer, subgraph: SubgraphSummary, *, tensors: bool) -> None:

    by_index = {tensor.index: tensor for tensor in subgraph.tensors}

    def listed(indices: Sequence[int]) -> str:
        return "\n".join(_short(by_index.get(i)) for i in indices)

    printer.line(f"subgraph {subgraph.index} {subgraph.name}".rstrip())
    for side, indices in (("input", subgraph.inputs), ("output", subgraph.outputs)):
        for i in indices:
            printer.line(f"  {side} {_short(by_index[i])} {_quantisation(by_index[i])} {by_index[i].name}")
    printer.table(
        ["op", "name", "inputs", "outputs", "options", ">M mult-adds", ">weights kB"],
        [
            (
                str(op.index),
                op.name if op.fault is None else f"{op.name} (!)",
                listed(op.inputs),
                listed(op.outputs),
                options_text(op.options),
                "?" if op.multiply_adds is None else f"{op.multiply_adds / 1e6:.3f}",
                f"{op.weight_bytes / 1e3:.2f}",
            )
            for op in subgraph.operators
        ],
    )
    if tensors:
        printer.table(
            ["tensor", "type", "shape", ">bytes", "constant", "quantisation", "name"],
            [
                (
                    str(tensor.index),
                    tensor.type.lower(),
                    sizes(tensor.shape),
                    str(tensor.bytes),
                    "yes" if tensor.is_constant else "",
                    _quantisation(tensor),
                    tensor.name,
                )
                for tensor in subgraph.tensors
            ],
        )
    totals = subgraph.totals
    printer.line(
        f"{len(subgraph.operators)} operators: "
        + ", ".join(f"{count} {name}" for name, count in totals.operators.items())
    )
    printer.line(
        f"{totals.multiply_adds / 1e6:.1f} M multiply-adds, weights {totals.weight_bytes / 1e6:.3f} MB, "
        f"activations {totals.activation_bytes / 1e6:.3f} MB"
    )
    _print_faults(printer, subgraph.operators)


def _print_faults(printer: Printer, operators: Sequence[OperatorSummary]) -> None:
    faulty = [op for op in operators if op.fault is not None]
    if faulty:
        printer.line(f"(!) {len(faulty)} of them cannot be run by minilite:")
    for op in faulty:
        printer.line(f"  op {op.index} {op.name}: {op.fault}")


def _print_extras(printer: Printer, summary: ModelSummary) -> None:
    for key, sides in summary.signatures.items():
        arguments = {side: ", ".join(names) for side, names in sides.items()}
        printer.line(f"signature {key}: {arguments['inputs']} -> {arguments['outputs']}")
    for name, length in summary.metadata.items():
        printer.line(f"metadata {name}: {length} bytes")


def _short(tensor: TensorSummary | None) -> str:
    if tensor is None:
        return "none"
    return f"{tensor.index}:{short_type(tensor.type)}[{sizes(tensor.shape)}]"


def _quantisation(tensor: TensorSummary) -> str:
    if not tensor.scales:
        return ""
    if tensor.quantized_dimension is None:
        return f"scale {tensor.scales[0]:.9g} zero {tensor.zero_points[0]}"
    low, high = min(tensor.scales), max(tensor.scales)
    return f"{len(tensor.scales)} scales {low:.4g} ... {high:.4g} along axis {tensor.quantized_dimension}"
