"""``minilite report``: a run of a model as a page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minilite.cli._comparing import AGAINST_HELP

if TYPE_CHECKING:
    from minilite.images import Picture


def command(
    model: Annotated[str, typer.Argument(help="Name of a known model, or a .tflite file.")],
    source: Annotated[
        str,
        typer.Option("--input", help="random:SEED, zeros, a picture, x.npy, or x.npz by name or position."),
    ] = "random:0",
    against: Annotated[str | None, typer.Option(help=f"Compare with {AGAINST_HELP}")] = None,
    output: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    megabytes: Annotated[
        float,
        typer.Option("--budget", min=0.1, help="Megabytes that pictures of values may take."),
    ] = 9.0,
    threads: Annotated[int | None, typer.Option(min=1, show_default="all processors")] = None,
    backend: Annotated[str, typer.Option(help="auto, numba or numpy.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
) -> None:
    """Run a model once and write all of it as one HTML file: graph, times, values, pictures.

    The file needs no server and no network: open it in a browser.
    """
    from dataclasses import asdict

    from minilite.cli._console import Printer, print_json, progress_bar
    from minilite.cli._loading import locate, open_model, warm_up
    from minilite.debug.report import write_report
    from minilite.debug.sides import record_side
    from minilite.inputs import read_inputs

    if output.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"--output {output}: the report is a page, give it the suffix .html")
    if not output.absolute().parent.is_dir():
        raise typer.BadParameter(f"--output {output}: there is no folder {output.parent}, make it first")
    found = locate(model)
    with open_model(found, backend=backend, threads=threads) as opened, progress_bar() as show:
        inputs = read_inputs(source, opened.graph)
        warm_up(opened, inputs, source)
        other = None if against is None else record_side(against, found.path, inputs, progress=show)
        written = write_report(
            opened,
            inputs,
            output,
            title=found.path.stem if found.known is None else found.known.name,
            source=Path(source).name,
            photo=_photo(source),
            known=found.known,
            against=other,
            budget=int(megabytes * 1e6),
            progress=show,
        )
    if as_json:
        print_json({**asdict(written), "path": str(written.path)})
        return
    printer = Printer()
    printer.line(
        f"written: {written.path} ({written.bytes / 1e6:.1f} MB, {written.operators} operators, "
        f"{written.milliseconds:.2f} ms a run)"
    )
    if written.agrees is not None:
        printer.line(f"{'agrees with' if written.agrees else 'differs from'} {against}: the page says where")
    if written.omitted:
        printer.line(f"left out to stay small: channels of {len(written.omitted)} tensors (--budget)")


def _photo(source: str) -> Picture | None:
    """The picture that the input was read from, if it was one."""
    path = Path(source)
    if path.suffix in (".npy", ".npz") or not path.is_file():
        return None
    from minilite.images import load_image

    return load_image(path)
