from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minilite.errors import BackendError
from minilite.litert import LiteRT
from minilite.testing import models
from minilite.writer import write_graph


def test_it_runs_a_model(tmp_path: Path, litert: Any) -> None:
    graph = models.one_op("RELU", [models.tensor((1, 3))], [models.tensor((1, 3))])
    path = tmp_path / "relu.tflite"
    path.write_bytes(write_graph(graph))
    model = LiteRT(path, threads=1)
    model.set_inputs({0: np.array([[-1, 0, 2]], np.float32)})
    model.run()
    assert model.value(1).tolist() == [[0, 0, 2]]
    assert model.kernels == "default"


def test_a_model_its_delegates_refuse_runs_on_builtin_kernels(
    model_path: Callable[[str], Path], litert: Any
) -> None:
    assert LiteRT(model_path("deeplabv3_jejunet_256_uint8.tflite"), threads=1).kernels == "builtin"


def test_a_model_it_cannot_run(tmp_path: Path, litert: Any) -> None:
    path = tmp_path / "foreign.tflite"
    graph = models.one_op("Nobody", [models.tensor((1,))], [models.tensor((1,))], custom_options=b"?")
    path.write_bytes(write_graph(graph))
    with pytest.raises(BackendError, match="LiteRT cannot run"):
        LiteRT(path, threads=1)
