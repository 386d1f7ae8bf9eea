"""The fuzzer finds what is wrong, makes it small, and runs it again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from minilite.cli import app
from minilite.graph import TensorType
from minilite.ops.elementwise import Add
from minilite.testing import campaign, cases, failures
from minilite.testing.campaign import Settings, all_targets
from minilite.testing.cases import Case
from minilite.testing.failures import Target
from minilite.testing.fuzzing import Round
from minilite.testing.judge import Judge, Outcome, is_near
from minilite.testing.models import constant, one_op, tensor

CANDIDATES = "tests.testing.candidates"
ADD = Target("ADD", "int32")


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])


@pytest.fixture
def fuzz(tmp_path: Path) -> Callable[..., Any]:
    """``fuzz("--op", "ADD")``: the command's result; failures go to a temporary folder."""

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["fuzz", "--out", str(tmp_path / "out"), *arguments])

    return run


def test_a_right_candidate_passes(fuzz: Callable[..., Any]) -> None:
    result = fuzz(
        *("--op", "ADD", "--op", "SUB", "--variant", "int8", "--examples", "20", "--against", "numpy"),
        *("--candidate", "minilite.Interpreter", "--json"),
    )
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert [(t["operator"], t["variant"], t["examples"]) for t in data["targets"]] == [
        ("ADD", "int8", 20),
        ("SUB", "int8", 20),
    ]
    assert data["failures"] == []


def test_a_wrong_candidate_fails_in_a_small_case_that_runs_again(fuzz: Callable[..., Any]) -> None:
    result = fuzz(
        *("--op", "ADD", "--variant", "int32", "--examples", "50", "--against", "numpy"),
        *("--candidate", f"{CANDIDATES}.OffByOne", "--json"),
    )
    assert result.exit_code == 1, result.output
    (failure,) = json.loads(result.stdout)["failures"]
    folder = Path(failure["folder"])
    assert failure["replay"] == f"minilite fuzz --replay {folder}"
    assert "elements are off" in failure["message"]
    outputs = failures.read_arrays(folder / f"outputs-{CANDIDATES}.OffByOne.npz")
    # Four elements are the fewest that it is wrong about.
    assert outputs[0].size == 4
    np.testing.assert_array_equal(outputs[0] - 1, failures.read_arrays(folder / "outputs-numpy.npz")[0])
    again = fuzz("--replay", str(folder))
    assert again.exit_code == 1
    assert "now mismatch" in again.stdout


@pytest.mark.parametrize(("candidate", "kind"), [("Refuses", "refusal"), ("Crashes", "crash")])
def test_what_a_candidate_does_not_run_is_counted_and_saved(
    fuzz: Callable[..., Any], candidate: str, kind: str
) -> None:
    result = fuzz(
        *("--op", "ADD", "--variant", "int32", "--examples", "3", "--against", "numpy"),
        *("--candidate", f"{CANDIDATES}.{candidate}", "--json"),
    )
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["total"][kind] == data["total"]["examples"] == 3
    assert [failure["kind"] for failure in data["failures"]] == [kind]


def test_two_processes_draw_what_one_draws(tmp_path: Path) -> None:
    targets = all_targets(["ADD", "MUL"], ["int32", "float32"])
    one, two = (
        campaign.run(Settings(targets, 10, against="numpy", jobs=jobs, folder=tmp_path)) for jobs in (1, 2)
    )
    assert one.tallies == two.tallies
    assert list(one.tallies) == list(targets)


def test_time_ends_it(tmp_path: Path) -> None:
    settings = Settings((ADD,), None, seconds=1.0, against="numpy", folder=tmp_path)
    report = campaign.run(settings)
    assert report.total.examples > 0
    assert report.seconds < 60


def test_no_time_is_not_taken_for_all_time(tmp_path: Path) -> None:
    report = campaign.run(Settings((ADD,), None, seconds=0.0, against="numpy", folder=tmp_path))
    assert report.total.examples == 0


def test_a_wrong_plan_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="a plan")
    right = Add.evaluate
    monkeypatch.setattr(Add, "evaluate", lambda *given: tuple(x * 2 for x in right(*given)))
    with Judge("numpy") as judge:
        round_ = Round(Target("ADD", "int8"), judge)
        round_.run(30, 0)
    assert round_.failure is not None
    assert "minilite's plan against its reference" in round_.failure[1].message
    assert round_.tally.mismatch == 1


def test_an_exception_nobody_planned_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise IndexError("oops")

    monkeypatch.setattr(Add, "evaluate", broken)
    with Judge("numpy") as judge:
        outcome = judge(sum_of_two(), "ADD", "int32")
    assert outcome.failed
    assert "IndexError: oops" in outcome.message


def test_a_dead_worker_leaves_its_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a compiled kernel writes where it must not."""
    settings = Settings((ADD,), 5, against="tests.testing.dying.Dies", folder=tmp_path)
    report = campaign.run(settings)
    (failure,) = report.failures
    assert failure.kind == "mismatch"
    assert "the process that ran minilite died with exit code -9" in failure.message
    _, case = failures.load(Path(failure.folder))
    assert case.graph.main.operators[0].name == "ADD"


def sum_of_two() -> Case:
    graph = one_op(
        "ADD",
        [tensor((2,), TensorType.INT32), constant([1, 2], TensorType.INT32)],
        [tensor((2,), TensorType.INT32)],
    )
    return Case(graph, (np.array([3, 4], np.int32),))


def test_a_failure_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    texts = np.array([[b"a", b""], [b"\0", b"bc"]], object)
    graph = one_op("RESHAPE", [tensor((2, 2), TensorType.STRING)], [tensor((4,), TensorType.STRING)])
    saved = failures.saved_case(Target("RESHAPE", "string"), Case(graph, (texts,)))
    outcome = Outcome("mismatch", "words", {"numpy": (texts.ravel(),), "numba": ()})
    made = failures.save(tmp_path, saved, outcome, against="litert-ref", seed=3)
    failure, case = failures.load(Path(made.folder))
    assert failure == made
    assert case.inputs[0].tolist() == texts.tolist()
    assert case.model == saved.model
    assert failures.read_arrays(Path(made.folder) / "outputs-numpy.npz")[0].tolist() == texts.ravel().tolist()


def test_usage(fuzz: Callable[..., Any], tmp_path: Path) -> None:
    for arguments, message in [
        (("--op", "NO_SUCH"), "strategies for"),
        (("--op", "conv_2d"), "did you mean CONV_2D?"),
        (("--op", "ADD", "--seconds", "0"), "would draw nothing"),
        (("--op", "ADD", "--variant", "nothing"), "none of them"),
        (("--against", "no.such.Runtime", "--examples", "1"), "No module named"),
        (("--replay", str(tmp_path)), "holds no saved failure"),
    ]:
        result = fuzz(*arguments)
        assert result.exit_code == 2, result.output
        assert message in " ".join(result.output.replace("│", " ").split())


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_an_interrupt_shows_what_was_found_by_then(tmp_path: Path) -> None:
    arguments = ["--against", "numpy", "--op", "ADD", "--seconds", "60", "--jobs", "2"]
    child = subprocess.Popen(
        [sys.executable, "-m", "minilite", "fuzz", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        # A shell has its background jobs ignore interrupts, and their children inherit it.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )
    while not list(tmp_path.glob("minilite-fuzz-*/1")) and child.poll() is None:
        time.sleep(0.1)  # until both processes have had a case
    child.send_signal(signal.SIGINT)
    output, errors = child.communicate(timeout=30)
    assert child.returncode == 130, errors
    assert "against numpy: 0 mismatches" in output
    assert errors == ""


def test_declared_faults_are_looked_for(
    fuzz: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, litert: Any
) -> None:
    """LiteRT adds as it should: a fault that says otherwise is not seen."""
    monkeypatch.setattr(cases, "_faults", {})
    cases.known_fault("ADD", "int32", runtime="litert-ref", reason="adds one", when=lambda case: True)
    result = fuzz("--known-faults", "--op", "ADD", "--examples", "5")
    assert result.exit_code == 1, result.output
    assert "NOT SEEN in 5 examples" in result.stdout


@pytest.mark.parametrize(
    ("given", "right", "near"),
    [
        (np.array([5, -7], np.int8), np.array([6, -7], np.int8), True),
        (np.array([5, -7], np.int8), np.array([7, -7], np.int8), False),
        (np.array([5, -7], np.int32), np.array([6, -7], np.int32), False),
        (np.array([1000, 0.01], np.float32), np.array([1000, 0], np.float32), True),
        (np.array([1000, 1], np.float32), np.array([1000, 0], np.float32), False),
        (np.array([np.nan, 1], np.float32), np.array([np.nan, 1], np.float32), True),
        (np.array([np.nan, 1], np.float32), np.array([0, 1], np.float32), False),
        (np.array([True], np.bool_), np.array([False], np.bool_), False),
    ],
)
def test_what_counts_as_near_for_kernels_that_round_as_they_like(given: Any, right: Any, near: bool) -> None:
    assert is_near([given], [right]) is near


def test_another_runtime_is_asked_where_one_lacks_the_operator(litert: Any) -> None:
    with Judge("litert-ref") as judge:
        round_ = Round(Target("HASHTABLE_FIND", "int64-string"), judge)
        round_.run(5, 0)
    assert (round_.tally.examples, round_.tally.known, round_.failure) == (5, 0, None)
