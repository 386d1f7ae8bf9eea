"""docs/operators.md from the code: every operator and variant, what runs it, how exact it is, others' faults.

    python tools/operator_table.py [--examples N] [--check]

For each operator and variant there is a strategy for, cases are drawn and lowered: the table says whether
compiled kernels ran all, some or none of them, and which tolerance the operator asks for. ``--check`` writes
nothing, and ends with 1 if an operator, variant or known fault is not in the file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from minilite import ops
from minilite.graph import Node
from minilite.ops import Tolerance
from minilite.plan import PythonStep, build_plan
from minilite.testing import cases, fuzzing
from minilite.testing.cases import Case

PAGE = Path(__file__).parent.parent / "docs" / "operators.md"

HEAD = """# Operators

What minilite runs. Made by `python tools/operator_table.py` from the operators and the strategies that
draw their test cases: change those, not this page.

*Runs on* says how the Numba backend computes the cases that a strategy draws (odd ones are drawn on
purpose): **kernel**: all of them by compiled kernels; **kernel, NumPy**: common ones by kernels, the rest by
the NumPy reference; **NumPy**: by the vectorised NumPy reference. The NumPy backend runs all of them.

*Parity* is against the reference kernels of LiteRT (`BUILTIN_REF`): **exact**: equal bits; **n steps**:
at most n quantization steps; **rounding**: within 4 eps for each product of the reduction, of the
inputs' magnitude; **n ulp**: n units in the last place. `minilite fuzz --op NAME` draws more cases
than the tests do.

"""

FAULTS = """
## What other runtimes get wrong

Cases in which a runtime crashes, refuses what is legal, or gives another result than it should, so that
minilite is not compared with it there. `minilite fuzz --known-faults --op NAME` finds an example
of each, saves it, and prints the line that runs it again.

"""


@dataclass(frozen=True)
class Row:
    """One operator in one variant."""

    operator: str
    variant: str
    runs_on: str
    parity: str

    def __str__(self) -> str:
        return f"| {self.operator} | {self.variant} | {self.runs_on} | {self.parity} |"


def row_of(operator: str, variant: str, examples: int) -> Row:
    """What drawn cases say of a variant."""
    compiled: set[bool] = set()
    words: dict[str, None] = {}

    def look(case: Case) -> None:
        nodes = [node for node in case.prepared.main.nodes() if node.operator.name == operator]
        compiled.add(all(is_compiled(case, node) for node in nodes))
        words.update((parity_word(node), None) for node in nodes)

    fuzzing.draw_cases(cases.cases(operator, variant), look, examples, seed=0, shrink=False)
    runs_on = "kernel, NumPy" if len(compiled) > 1 else "kernel" if True in compiled else "NumPy"
    return Row(operator, variant, runs_on, ", ".join(sorted(words)))


def is_compiled(case: Case, node: Node) -> bool:
    """Whether kernels, or nothing at all, run a node of a plan."""
    if any(each.is_dynamic for each in case.prepared.main.nodes()):
        return False
    steps = build_plan(case.prepared).steps()
    return not any(isinstance(s, PythonStep) and s.node.operator is node.operator for s in steps)


def parity_word(node: Node) -> str:
    """The tolerance of a node, as the page says it."""
    op = ops.find(node.operator.name)
    assert op is not None
    tolerance: Tolerance = op.tolerance(node)
    if tolerance.kind == "rounding" and all(tensor.dtype.kind not in "fc" for tensor in node.outputs):
        return "exact"
    amount = f"{tolerance.amount:g} "
    return {"steps": f"{amount}steps", "ulps": f"{amount}ulp"}.get(tolerance.kind, tolerance.kind)


def targets() -> list[tuple[str, str]]:
    """Every operator and variant; an operator without a strategy has the variant ``-``."""
    return [(name, variant) for name in ops.names() for variant in cases.variants(name) or ("-",)]


def fault_lines() -> Iterator[str]:
    """A line for each known fault."""
    for fault in sorted(cases.known_faults(), key=lambda f: (f.operator, f.runtime, f.reason)):
        crash = ", may end the process" if fault.crashes else ""
        yield f"- **{fault.operator}** {', '.join(fault.variants)} ({fault.runtime}{crash}): {fault.reason}"


def missing_lines(page: str) -> list[str]:
    """What the page does not say: the beginnings of rows, and faults."""
    rows = [f"| {name} | {variant} |" for name, variant in targets()]
    lines = page.splitlines()
    stale = [
        line for line in lines if line.startswith("| ") and not any(line.startswith(row) for row in rows)
    ]
    return [
        *(row for row in rows if not any(line.startswith(row) for line in lines)),
        *(line for line in fault_lines() if line not in lines),
        *(line for line in stale if not line.startswith(("| operator", "| ---"))),
        *(line for line in lines if line.startswith("- **") and line not in set(fault_lines())),
    ]


def make_page(examples: int) -> str:
    """The whole page."""
    lines = ["| operator | variant | runs on | parity |", "| --- | --- | --- | --- |"]
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for name, variant in progress.track(targets()):
            row = Row(name, "-", "-", "-") if variant == "-" else row_of(name, variant, examples)
            lines.append(str(row))
    return HEAD + "\n".join(lines) + "\n" + FAULTS + "\n".join(fault_lines()) + "\n"


def main() -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--examples", type=int, default=60)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if not arguments.check:
        PAGE.write_text(make_page(arguments.examples), encoding="utf-8")
        return 0
    missing = missing_lines(PAGE.read_text(encoding="utf-8"))
    for line in missing:
        print(line, file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
