"""The command line: every module of this package that has a ``command`` is one.

Commands are thin; they import what they need when they run, so that ``minilite --help`` is quick.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Annotated

import typer

from minilite.cli._errors import reporting_errors
from minilite.version import __version__


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"minilite {__version__}")
        raise typer.Exit


def _about(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run, inspect and measure TensorFlow Lite models with NumPy and Numba."""


def _make_app() -> typer.Typer:
    made = typer.Typer(
        name="minilite", no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
    )
    made.callback()(_about)
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            command = importlib.import_module(f"{__name__}.{module.name}").command
            made.command(module.name)(reporting_errors(command))
    return made


app = _make_app()


def main() -> None:
    """Run the command line and leave with its exit code."""
    app()
