from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from minilite import ops
from minilite.testing import cases


@pytest.fixture
def table() -> ModuleType:
    path = Path(__file__).parents[2] / "tools" / "operator_table.py"
    spec = importlib.util.spec_from_file_location("operator_table", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["operator_table"] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_names_every_operator_variant_and_fault(table: ModuleType) -> None:
    missing = table.missing_lines(table.PAGE.read_text(encoding="utf-8"))
    assert missing == [], "python tools/operator_table.py makes the page again"


def test_what_is_missing_is_found(table: ModuleType) -> None:
    page = table.PAGE.read_text(encoding="utf-8")
    lines = page.splitlines()
    row = next(line for line in lines if line.startswith("| ADD | int8 |"))
    assert table.missing_lines(page.replace(f"{row}\n", "")) == ["| ADD | int8 |"]
    assert table.missing_lines(f"{page}| NO_SUCH | int8 | kernel | exact |\n") == [
        "| NO_SUCH | int8 | kernel | exact |"
    ]
    assert table.missing_lines(f"{page}- **ADD** int8 (litert): out of date\n")


def test_a_row_says_what_runs_it(table: ModuleType) -> None:
    pytest.importorskip("numba", reason="looks at plans")
    row = table.row_of("ADD", "int8", 20)
    assert str(row) in ("| ADD | int8 | kernel | exact |", "| ADD | int8 | kernel, NumPy | exact |")


def test_every_operator_stands_once_for_each_variant(table: ModuleType) -> None:
    assert len(set(table.targets())) == len(table.targets())
    assert {name for name, _ in table.targets()} == set(ops.names())
    assert cases.NETWORK not in ops.names()
