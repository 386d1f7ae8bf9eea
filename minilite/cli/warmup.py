"""``minilite warmup``: compile now what would be compiled at the first run."""

from __future__ import annotations

from time import perf_counter
from typing import Annotated

import typer


def command(
    models: Annotated[
        list[str] | None,
        typer.Argument(help="Names of known models, or .tflite files.", show_default="deeplabv3"),
    ] = None,
) -> None:
    """Compile the kernels that models need, into the cache on disk."""
    from minilite.cli._console import Printer
    from minilite.cli._loading import locate, open_model

    printer = Printer()
    for name in models or ["deeplabv3"]:
        start = perf_counter()
        with open_model(locate(name)) as model:
            compiled = "" if model.backend == "numba" else ", nothing to compile"
            seconds = perf_counter() - start
            printer.line(f"{name} is ready ({model.backend}, {seconds:.1f} s{compiled})")
