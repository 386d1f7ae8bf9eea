"""One model in every runtime that is here."""

from __future__ import annotations

from pathlib import Path

import pytest

from minilite import BackendError
from minilite.debug import matrix
from minilite.testing import oracle
from minilite.writer import write_graph
from tests.debug.planted import float_input, network

CANDIDATES = "tests.testing.candidates"
REFERENCE = ("minilite numpy", "minilite.interpreter.Interpreter:BUILTIN_REF", "BUILTIN_REF")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "network.tflite").write_bytes(write_graph(network()))
    return tmp_path / "network.tflite"


def test_every_runtime(path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    cells = matrix.matrix(path, [float_input()], runs=2, progress=lambda *step: told.append(step))
    by_name = {cell.runtime: cell for cell in cells}
    assert set(by_name) == {name for name, _, _ in matrix.candidates()}
    baseline = by_name["litert-ref" if oracle.is_available("litert-ref") else "minilite numpy"]
    assert baseline.is_baseline
    assert baseline.largest == 0
    numpy = by_name["minilite numpy"]
    assert (numpy.status, numpy.message) == ("ok", "")
    assert numpy.milliseconds is not None
    assert numpy.version.startswith("minilite ")
    assert numpy.flips == (0, 64)
    assert all(cell.agrees is not False for cell in cells)
    assert len(told) == len(cells)


def test_what_fails_is_a_row(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = ["OffByOne", "Refuses", "Crashes", "Hangs", "Missing"]
    monkeypatch.setattr(
        matrix, "candidates", lambda: [REFERENCE, *((n, f"{CANDIDATES}.{n}", "AUTO") for n in wrong)]
    )
    cells = matrix.matrix(path, [float_input()], threads=(2,), runs=1, timeout=2)
    found = {cell.runtime: cell for cell in cells}
    assert found["minilite numpy"].threads == 1
    assert (found["OffByOne"].status, found["OffByOne"].agrees) == ("ok", False)
    assert found["OffByOne"].largest == pytest.approx(1, abs=1e-4)
    assert "off by 1" in found["OffByOne"].message
    assert (found["Refuses"].status, found["Refuses"].agrees) == ("error", None)
    assert "SIGABRT" in found["Crashes"].message
    assert "hung" in found["Hangs"].message
    assert [found[n].status for n in ("Crashes", "Hangs", "Missing")] == ["crash", "crash", "missing"]


def test_baselines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendError, match="no runtime is called 'nobody'"):
        matrix.matrix(path, [float_input()], against="nobody")
    monkeypatch.setattr(matrix, "candidates", lambda: [("Refuses", f"{CANDIDATES}.Refuses", "AUTO")])
    with pytest.raises(BackendError, match=r"the baseline did not run: Refuses: .*not today"):
        matrix.matrix(path, [float_input()], against="Refuses")
