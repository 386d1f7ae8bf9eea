from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from minilite.cli import _console, _errors, _loading
from minilite.errors import InvokeError
from minilite.version import __version__

Run = Callable[..., Any]


def test_version_and_help(run: Run) -> None:
    assert run("--version").stdout == f"minilite {__version__}\n"
    text = run("--help").stdout
    for command in ("segment", "inspect", "bench", "warmup"):
        assert command in text


def test_warmup(run: Run, tiny_model: Path) -> None:
    result = run("warmup", tiny_model)
    assert result.exit_code == 0, result.output
    assert f"{tiny_model} is ready" in result.stdout


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (InvokeError("op 3 ADD: no"), 2, "error: op 3 ADD: no\n"),
        (KeyboardInterrupt(), 130, ""),
        (ZeroDivisionError("x"), 1, "error: unexpected ZeroDivisionError: x\nThis is a fault in minilite"),
    ],
)
def test_exit_codes(
    raised: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise raised

    with pytest.raises(typer.Exit) as left:
        _errors.reporting_errors(command)()
    assert left.value.exit_code == code
    assert capsys.readouterr().err.startswith(message)


@pytest.fixture
def sigint() -> Iterator[None]:
    """SIGINT as a terminal's programs have it, whatever started pytest, and restored after."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("sigint")
def test_ctrl_c_while_kernels_compile_is_not_lost() -> None:
    def compile_kernels() -> None:
        with _loading._interrupts_kept() as raise_interrupt:
            raise_interrupt()
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                raise_interrupt()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        compile_kernels()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("sigint")
def test_ctrl_c_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with _loading._interrupts_kept() as raise_interrupt:
        signal.raise_signal(signal.SIGINT)
        raise_interrupt()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_the_traceback_is_there_for_the_asking(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise InvokeError("no")

    monkeypatch.setenv("MINILITE_TRACEBACK", "1")
    with pytest.raises(typer.Exit):
        _errors.reporting_errors(command)()
    assert "Traceback" in capsys.readouterr().err


def test_plain_columns() -> None:
    rows = [["CONV", "1.5", "x"], ["ADD", "10.25", "a\nb"]]
    assert list(_console._plain_lines(["op", ">ms", "name"], rows)) == [
        "op       ms  name",
        "CONV    1.5  x",
        "ADD   10.25  a, b",
    ]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("width", "drawn"), [("60", True), ("20", False)])
def test_a_table_is_drawn_where_it_fits(width: str, drawn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setenv("TERM", "xterm")  # Of a dumb one rich takes the width for 80.
    _console.Printer().table(["name", ">number"], [["a long name of words", "123456789012345"]])
    text = terminal.getvalue()
    assert ("─" in text) == drawn
    assert "123456789012345" in text
    assert ("a long name of words  123456789012345" in text) == (not drawn)


def test_a_real_process(photo: Path, tiny_model: Path) -> None:
    root = Path(__file__).parents[2]
    paths = os.pathsep.join(str(root / part) for part in ("", "kernels", "models"))

    def minilite(model: Path) -> subprocess.CompletedProcess[str]:
        options = ["segment", str(photo), "--backend", "numpy", "--model", str(model)]
        return subprocess.run(
            [sys.executable, "-m", "minilite", *options],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )

    good = minilite(tiny_model)
    assert (good.returncode, good.stderr) == (0, "")
    assert "class 1" in good.stdout
    bad = minilite(photo)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("error: ")
    assert "Traceback" not in bad.stderr
