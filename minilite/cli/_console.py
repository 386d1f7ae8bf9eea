"""How commands print: for people on a terminal, for programs in a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

ShowProgress = Callable[[int, int, str], None]
"""``show(done, total, description)``."""


class Printer:
    """Standard output; tables are drawn on a terminal and plain columns in a pipe."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()
        self._console = Console(highlight=False)

    def line(self, text: str = "") -> None:
        """Print a line as it is."""
        self._console.print(text, markup=False, soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
        """Print a table; a column named ``">name"`` is called ``name`` and aligned to the right.

        Cells are folded at spaces. Where that does not make the table fit the terminal, it is printed as
        in a pipe, because a number cut in two is worse than a line the terminal wraps.
        """
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for position, column in enumerate(columns):
            right = column.startswith(">")
            table.add_column(
                column.removeprefix(">"),
                justify="right" if right else "left",
                no_wrap=not any(" " in str(row[position]) for row in rows),
            )
        for row in rows:
            table.add_row(*row)
        unlimited = self._console.options.update(width=1 << 16)
        needed = self._console.measure(table, options=unlimited).minimum
        if self.is_terminal and needed <= self._console.width:
            self._console.print(table)
        else:
            for line in _plain_lines(columns, rows):
                self.line(line)

    def growing_table(self, columns: Sequence[str], widths: Sequence[int]) -> Callable[[Sequence[str]], None]:
        """A table whose rows are printed as they come: prints the head, returns what prints a row.

        ``widths`` are what the widest cells to come may need; a wider one moves the rest of its row.
        """
        names = [column.removeprefix(">") for column in columns]
        widths = [max(len(name), width) for name, width in zip(names, widths, strict=True)]

        def show(cells: Sequence[str], style: str = "") -> None:
            self._console.print(Text(_plain_line(columns, cells, widths), style=style), soft_wrap=True)

        show(names, "bold")
        return show


def _plain_lines(columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> Iterator[str]:
    """Columns two spaces apart, a line for each row however wide, nothing cut."""
    cells = [[column.removeprefix(">") for column in columns]]
    cells += [[str(cell).replace("\n", ", ") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return (_plain_line(columns, row, widths) for row in cells)


def _plain_line(columns: Sequence[str], row: Sequence[str], widths: Sequence[int]) -> str:
    aligned = (
        cell.rjust(width) if column.startswith(">") else cell.ljust(width)
        for column, cell, width in zip(columns, row, widths, strict=True)
    )
    return "  ".join(aligned).rstrip()


def print_json(data: Any) -> None:
    """Print data as JSON, and nothing else, on standard output."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def progress_bar() -> Iterator[ShowProgress]:
    """A progress bar on standard error, if that is a terminal.

    It appears when it is first told of progress, and vanishes at the end of the block.
    """
    if not sys.stderr.isatty():
        yield lambda done, total, description: None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("")

    def show(done: int, total: int, description: str) -> None:
        bar.start()
        bar.update(task, completed=done, total=total, description=escape(description))

    try:
        yield show
    finally:
        bar.stop()


def milliseconds(value: float) -> str:
    """A time as tables show it."""
    return f"{value:.3f}"
