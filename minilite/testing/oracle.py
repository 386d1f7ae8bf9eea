"""Other runtimes, asked in a process of their own: they may crash, hang, or need another Python.

    with Oracle("litert-ref") as oracle:
        answer = oracle.run(write_graph(graph), inputs)

``oracle_server`` is the other end, and says which runtimes there are.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from minilite.errors import BackendError
from minilite.graph import Array
from minilite.testing import oracle_server

PYTHON_VARIABLE = "MINILITE_TFLITE_RUNTIME_PYTHON"

RUNTIMES = tuple(oracle_server.RUNTIMES)
"""The runtimes that are known by a short name; others are named by their class."""


LOOSE = ("litert", "litert-builtin", "tflite-runtime-default")
"""Kernels that round in ways of their own, where reference kernels are equalled bit for bit."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a runtime made of a model.

    Attributes
    ----------
    status:
        ``"ran"``; ``"refused"``: it raised; ``"died"``: its process ended, or hung and was ended.
    outputs:
        What was read, if it ran.
    message:
        Why it did not run.
    milliseconds:
        How long each run took.
    """

    status: Literal["ran", "refused", "died"]
    outputs: tuple[Array, ...] = ()
    message: str = ""
    milliseconds: tuple[float, ...] = ()


@dataclass
class Oracle:
    """A runtime in a child process, which is started when it is needed and again after it died.

    Parameters
    ----------
    runtime:
        One of ``RUNTIMES``, or ``package.module.Class`` with TFLite's interface of ``Interpreter``.
    python:
        The Python that has it; by default this one, or for tflite-runtime what the environment
        variable ``MINILITE_TFLITE_RUNTIME_PYTHON`` names.
    timeout:
        Seconds after which a request counts as hung.

    Raises
    ------
    BackendError
        When it is first used: the runtime is not installed in that Python, or that Python is not there.
    """

    runtime: str
    python: str | None = None
    timeout: float = 60.0
    versions: Mapping[str, str] = field(default_factory=dict, init=False)
    deaths: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._words: Any = None
        self._watch = _Watch()

    def __enter__(self) -> Oracle:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, model: bytes, inputs: Sequence[Array], *, runs: int = 1) -> Answer:
        """Load a model, set its inputs in the model's order, run it, and read its outputs."""
        content = np.frombuffer(model, np.uint8)
        return self.request({"model": "content", "set": True, "runs": runs}, [content, *inputs])

    def load(
        self, model: bytes | Path, *, keep_all: bool = False, threads: int = 1, resize: Any = ()
    ) -> Answer:
        """Load a model, for ``invoke``, ``read`` and more than one of them.

        ``resize`` holds pairs of an input's position and its new shape.
        """
        options = {"keep_all": keep_all, "threads": threads, "resize": list(resize), "read": []}
        if isinstance(model, Path):
            return self.request({"model": str(model.resolve()), **options}, [])
        return self.request({"model": "content", **options}, [np.frombuffer(model, np.uint8)])

    def invoke(self, inputs: Sequence[Array] | None = None, *, runs: int = 1) -> Answer:
        """Run the loaded model, on these inputs or on the last; its outputs."""
        return self.request({"set": inputs is not None, "runs": runs}, list(inputs or ()))

    def read(self, tensors: Sequence[int]) -> Answer:
        """Values of tensors by their numbers in the file."""
        return self.request({"read": list(tensors)}, [])

    def request(self, header: dict[str, Any], arrays: list[Array]) -> Answer:
        """Ask what ``oracle_server.Server.answer`` describes."""
        child = self.start()
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            with self._watch.limit(child, self.timeout):
                oracle_server.write_message(_binary(child.stdin), header, arrays)
                answer, outputs = oracle_server.read_message(_binary(child.stdout))
        except (EOFError, OSError):
            return Answer("died", message=self._bury())
        except BaseException:  # An interrupt: what is left of the answer is nobody's.
            self.close()
            raise
        times = tuple(answer.get("milliseconds", ()))
        if answer["status"] == "ran":
            return Answer("ran", tuple(outputs), milliseconds=times)
        return Answer("refused", message=f"{answer['stage']}: {answer['message']}", milliseconds=times)

    def start(self) -> subprocess.Popen[bytes]:
        """The running child."""
        if self._child is not None and self._child.poll() is None:
            return self._child
        self.close()
        python = self._python()
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        if python != sys.executable:
            environment.pop("PYTHONPATH", None)  # It leads to packages for this Python.
        try:
            self._child = subprocess.Popen(
                [python, oracle_server.__file__, self.runtime],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._words,
                env=environment,
            )
        except OSError as error:
            raise BackendError(f"{self.runtime}: cannot start {python}: {error}", rule="oracle") from error
        assert self._child.stdout is not None
        try:
            ready, _ = oracle_server.read_message(_binary(self._child.stdout))
        except EOFError:
            raise BackendError(
                f"{self.runtime}: {python} ended at once: {self._bury()}", rule="oracle"
            ) from None
        if ready["status"] != "ready":
            self.close()
            raise BackendError(
                f"{self.runtime} cannot be used by {python}: {ready['message']}. {how_to_get(self.runtime)}",
                rule="oracle",
            )
        self.versions = ready["versions"]
        return self._child

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            assert child.stdin is not None
            assert child.stdout is not None
            child.kill()
            child.wait()
            child.stdout.close()
            with contextlib.suppress(OSError):  # What was not sent yet goes nowhere.
                child.stdin.close()
        if self._words is not None:
            self._words.close()
            self._words = None

    def _python(self) -> str:
        if self.python:
            return self.python
        if self.runtime.startswith("tflite-runtime"):
            return os.environ.get(PYTHON_VARIABLE) or sys.executable
        return sys.executable

    def _bury(self) -> str:
        """What can be said of a child that has just died, and its end."""
        child = self._child
        assert child is not None
        code = child.wait()
        self.deaths += 1
        self._words.seek(0)
        words = self._words.read().decode(errors="replace").strip().splitlines()
        last = f", its last words: {words[-1]}" if words else ""
        hung = self._watch.barked
        self.close()
        if hung:
            return f"hung for more than {self.timeout:g} s{last}"
        return f"died with {_ending(code)}{last}"


def _binary(stream: Any) -> BinaryIO:
    return stream  # type: ignore[no-any-return]


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def how_to_get(runtime: str) -> str:
    """A sentence on where a runtime is to be had."""
    if runtime.startswith("litert"):
        return "Install ai-edge-litert (the extra minilite[litert])"
    if runtime.startswith("tflite-runtime"):
        return (
            "tflite-runtime 2.14 needs Python 3.9 to 3.11 and NumPy 1: `make tflite-runtime` sets up an "
            f"environment for it; {PYTHON_VARIABLE} or --python names its Python"
        )
    return "Its name has to be package.module.Class, importable from here or from PYTHONPATH"


def is_available(runtime: str) -> bool:
    """Whether a runtime seems to be there, found out without starting it."""
    if runtime.startswith("litert"):
        return importlib.util.find_spec("ai_edge_litert") is not None
    if runtime.startswith("tflite-runtime"):
        python = os.environ.get(PYTHON_VARIABLE)
        return bool(python and Path(python).exists()) or bool(importlib.util.find_spec("tflite_runtime"))
    return True


class _Watch:
    """Kills a child that does not answer: one thread that looks at a deadline now and then."""

    def __init__(self) -> None:
        self.barked = False
        self._deadline = float("inf")
        self._child: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None

    def limit(self, child: subprocess.Popen[bytes], seconds: float) -> _Watch:
        """For the time of a ``with``: the child has so many seconds."""
        self._child, self.barked = child, False
        self._deadline = time.monotonic() + seconds
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._look, name="minilite-oracle-watch", daemon=True)
            self._thread.start()
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._deadline = float("inf")

    def _look(self) -> None:
        idle = 0
        while idle < 50:  # With nothing to watch for ten seconds the thread ends.
            time.sleep(0.2)
            idle = idle + 1 if self._deadline == float("inf") else 0
            if time.monotonic() > self._deadline and self._child is not None:
                self.barked, self._deadline = True, float("inf")
                self._child.kill()
