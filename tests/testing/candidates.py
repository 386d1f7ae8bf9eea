"""Runtimes that are not right, for the fuzzer to find out."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from minilite import Interpreter


class OffByOne(Interpreter):
    """Wrong where an output has more than three elements."""

    def get_tensor(self, tensor_index: int, subgraph_index: int = 0) -> Any:
        value = super().get_tensor(tensor_index, subgraph_index)
        return value + np.ones((), value.dtype) if value.size > 3 else value


class Refuses(Interpreter):
    def invoke(self) -> None:
        raise RuntimeError("not today")


class Crashes(Interpreter):
    def invoke(self) -> None:
        os.abort()


class Hangs(Interpreter):
    def invoke(self) -> None:
        time.sleep(600)


class Chatters(Interpreter):
    """Prints where answers go."""

    def invoke(self) -> None:
        print("hello")
        os.write(1, b"hello\n")
        super().invoke()
