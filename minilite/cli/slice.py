"""``minilite slice``: a few operators as a model of their own, with what they were given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minilite.cli._comparing import AGAINST_HELP, INPUT_HELP


def command(
    model: Annotated[
        str, typer.Argument(help="Name of a known model, a .tflite file, or a run.npz recorded before.")
    ],
    operators: Annotated[
        str, typer.Option("--ops", help="Which, as in 60:64 (the last not included) or 60.")
    ],
    source: Annotated[str | None, typer.Option("--input", help=INPUT_HELP, show_default="random:0")] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help=f"Whose run gives inputs and expected outputs: {AGAINST_HELP} Or another model of the same "
            "structure.",
            show_default="numpy",
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder to write.")] = Path("slice"),
    threads: Annotated[int | None, typer.Option(min=1, show_default="1")] = None,
    python: Annotated[str | None, typer.Option(help="The Python that has the other runtime.")] = None,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds after which the other runtime counts as hung.")
    ] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Write operators as a small .tflite with recorded inputs, expected outputs, and a script to replay them.

    The script runs alone: under minilite, LiteRT and tflite-runtime, whichever are installed.
    """
    from minilite.cli._comparing import one_side
    from minilite.cli._console import Printer, print_json
    from minilite.debug.slicing import cut, write_slice

    wanted = _range(operators)
    side = one_side(model, source, against, threads, python, timeout)
    piece = cut(side.recording, wanted)
    written = write_slice(output, piece, side, Path(model).name)
    tensors = piece.graph.main.tensors
    sizes = {path.name: path.stat().st_size for path in written}
    if as_json:
        print_json(
            {
                "folder": str(output),
                "files": sizes,
                "operators": [operator.name for operator in piece.graph.main.operators],
                "inputs": [str(tensors[number]) for number in piece.graph.main.inputs],
                "outputs": [str(tensors[number]) for number in piece.graph.main.outputs],
                "expected": f"{side.name}: {side.about}",
            }
        )
        return
    printer = Printer()
    names = ", ".join(operator.name for operator in piece.graph.main.operators)
    which = f"s {wanted.start} to {wanted.stop - 1}" if len(wanted) > 1 else f" {wanted.start}"
    printer.line(f"operator{which}: {names}")
    for label, numbers in (("input", piece.graph.main.inputs), ("output", piece.graph.main.outputs)):
        for number in numbers:
            printer.line(f"{label:7} {tensors[number]}, in the whole model tensor {piece.tensors[number]}")
    printer.line(f"expected of {side.name}: {side.about}; tolerance {piece.tolerance}")
    printer.line()
    printer.table(["written", ">bytes"], [(str(path), str(sizes[path.name])) for path in written])
    printer.line(f"to replay it: python {output / 'replay.py'}")


def _range(text: str) -> range:
    first, colon, last = text.partition(":")
    if not first.isdecimal() or (colon and not last.isdecimal()):
        raise typer.BadParameter(f"--ops {text}: give operators as 60:64, or one as 60")
    return range(int(first), int(last) if colon else int(first) + 1)
