from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from minilite.errors import BackendError
from minilite.graph import TensorType
from minilite.testing import oracle
from minilite.testing.models import constant, one_op, tensor
from minilite.testing.oracle import Oracle
from minilite.writer import write_graph

CANDIDATES = "tests.testing.candidates"
ONE = np.ones((2, 2), np.float32)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates are found from the folder that the fuzzer is called in."""
    monkeypatch.chdir(Path(__file__).parents[2])


def addition() -> bytes:
    return write_graph(one_op("ADD", [tensor((2, 2)), tensor((2, 2))], [tensor((2, 2))]))


@pytest.fixture(params=["minilite.Interpreter", "litert-ref", "litert", "litert-builtin", "tflite-runtime"])
def runtime(request: pytest.FixtureRequest) -> Iterator[Oracle]:
    if not oracle.is_available(request.param):
        pytest.skip(f"{request.param} is not installed: {oracle.how_to_get(request.param)}")
    with Oracle(request.param) as made:
        yield made


def test_it_runs_a_model(runtime: Oracle) -> None:
    answer = runtime.run(addition(), [ONE, 2 * ONE])
    assert answer.status == "ran", answer.message
    (total,) = answer.outputs
    np.testing.assert_array_equal(total, 3 * ONE, strict=True)
    assert len(answer.milliseconds) == 1


def test_what_it_raises_is_a_refusal(runtime: Oracle) -> None:
    answer = runtime.run(addition(), [ONE, np.ones((3, 3), np.float32)])
    assert answer.status == "refused"
    assert answer.message.startswith("set: ")
    assert runtime.run(addition(), [ONE, ONE]).status == "ran"


def test_a_model_stays_loaded(runtime: Oracle, tmp_path: Path) -> None:
    path = tmp_path / "add.tflite"
    path.write_bytes(addition())
    assert runtime.load(path, keep_all=True).status == "ran"
    (total,) = runtime.invoke([ONE, ONE]).outputs
    again = runtime.invoke(runs=3)
    assert len(again.milliseconds) == 3
    np.testing.assert_array_equal(again.outputs[0], total)
    left, right = runtime.read([0, 1]).outputs
    np.testing.assert_array_equal(left + right, total)


def test_types_that_only_some_files_have(runtime: Oracle) -> None:
    texts = np.array([[b"", b"a\0b"], [b"\xff", b"long " * 99]], object)
    graph = one_op(
        "RESHAPE",
        [tensor((2, 2), TensorType.STRING), constant([4], TensorType.INT32)],
        [tensor((4,), TensorType.STRING)],
    )
    answer = runtime.run(write_graph(graph), [texts])
    if answer.status == "refused":
        pytest.skip(answer.message)
    assert answer.outputs[0].tolist() == texts.ravel().tolist()


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_death_is_an_answer_and_the_next_request_starts_another() -> None:
    with Oracle(f"{CANDIDATES}.Crashes") as dying:
        answer = dying.run(addition(), [ONE, ONE])
        assert answer.status == "died"
        assert signal.Signals.SIGABRT.name in answer.message
        assert dying.load(addition()).status == "ran"
        assert dying.deaths == 1


def test_a_hang_is_an_answer() -> None:
    with Oracle(f"{CANDIDATES}.Hangs", timeout=1.0) as hanging:
        answer = hanging.run(addition(), [ONE, ONE])
        assert answer.status == "died"
        assert "hung" in answer.message


def test_what_a_runtime_prints_is_no_answer() -> None:
    with Oracle(f"{CANDIDATES}.Chatters") as chatting:
        assert chatting.run(addition(), [ONE, ONE]).status == "ran"


@pytest.mark.parametrize(
    ("runtime", "python", "message"),
    [
        ("no.such.Class", None, "No module named 'no'.*package.module.Class"),
        ("minilite.NoSuch", None, "NoSuch"),
        ("litert-ref", "/no/such/python", "cannot start /no/such/python"),
        ("litert-ref", "false", "ended at once: died with exit code 1"),
    ],
)
def test_a_missing_runtime(runtime: str, python: str | None, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        Oracle(runtime, python).start()
