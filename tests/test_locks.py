"""A lock that a forked child finds free."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Callable

import numpy as np
import pytest

import minilite
from minilite import Interpreter
from minilite.locks import ForkSafeLock
from minilite.writer import write_graph
from tests.small_models import signed_graph

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def exit_code_of_a_fork(work: Callable[[], bool]) -> int:
    """0 if ``work`` is true in a forked child; it is killed after ten seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: what is tested here
        child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(10)
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_lock_held_at_a_fork_is_free_in_the_child_and_held_in_the_parent() -> None:
    lock = ForkSafeLock()

    def take() -> bool:
        with lock:
            return True

    with lock:
        assert exit_code_of_a_fork(take) == 0
        waiting = threading.Thread(target=take, daemon=True)
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
    waiting.join(5)
    assert not waiting.is_alive()


def test_a_model_that_runs_in_another_thread_at_a_fork_works_in_the_child() -> None:
    model = minilite.load(write_graph(signed_graph()), backend="numpy")
    x = np.ones(model.inputs[0].shape, np.float32)
    expected = model(x)[0]
    with model._turn:  # as it is while another thread runs it
        assert exit_code_of_a_fork(lambda: bool((model(x)[0] == expected).all())) == 0


def test_an_interpreter_that_runs_in_another_thread_at_a_fork_works_in_the_child() -> None:
    interpreter = Interpreter(model_content=write_graph(signed_graph()), backend="numpy")
    interpreter.allocate_tensors()

    def invoke() -> bool:
        interpreter.invoke()
        return True

    with interpreter._exclusively("invoke"):  # as it is while another thread runs it
        assert exit_code_of_a_fork(invoke) == 0
        with pytest.raises(minilite.InvokeError, match="has not finished"):
            interpreter.invoke()
    interpreter.invoke()
