"""What the command line does with exceptions: the one place."""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TextIO

import typer
from rich.console import Console
from rich.text import Text

from minilite.errors import MiniliteError

TRACEBACK_VARIABLE = "MINILITE_TRACEBACK"

BAD_INPUT, UNEXPECTED, INTERRUPTED = 2, 1, 130


def reporting_errors(command: Callable[..., None]) -> Callable[..., None]:
    """The command, ending with a message and an exit code instead of an exception.

    2 for what minilite raises on purpose, 130 for Ctrl-C, 1 for anything else. With
    ``MINILITE_TRACEBACK=1`` the traceback is printed, too.
    """

    @wraps(command)
    def guarded(*arguments: Any, **named: Any) -> None:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                command(*arguments, **named)
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except MiniliteError as error:
            _report(str(error))
            raise typer.Exit(BAD_INPUT) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(INTERRUPTED) from error
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # The reader of the pipe has left (``| head``): typer ends quietly.
            _report(
                f"unexpected {type(error).__name__}: {error}\n"
                f"This is a fault in minilite; {TRACEBACK_VARIABLE}=1 shows where it happened"
            )
            raise typer.Exit(UNEXPECTED) from error

    return guarded


def _report(message: str) -> None:
    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exc()
    _tell("error", "bold red", message)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    _tell("warning", "yellow", str(message))


def _tell(kind: str, style: str, message: str) -> None:
    console = Console(file=sys.stderr, soft_wrap=True, highlight=False)
    console.print(Text.assemble((f"{kind}: ", style), (message, style)))
