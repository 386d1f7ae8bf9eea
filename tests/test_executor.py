"""The choice between the backends."""

from __future__ import annotations

import numpy as np
import pytest

from minilite.errors import BackendError
from minilite.executor import create_executor
from minilite.graph import Graph, TensorType
from minilite.prepare import prepare
from minilite.testing.models import one_op, tensor


@pytest.fixture
def computed() -> Graph:
    """RESHAPE to a shape that is an input."""
    shape = tensor((2,), TensorType.INT32)
    return prepare(one_op("RESHAPE", [tensor((2, 6)), shape], [tensor((1, 1))]))


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_shape_known_only_at_run_time(computed: Graph, backend: str) -> None:
    if backend == "numba":
        pytest.importorskip("numba", reason="asks for the Numba backend")
    executor = create_executor(computed, backend=backend)
    assert executor.backend == backend
    x, shape = computed.main.inputs
    for wanted in ((4, 3), (6, 2), (4, 3)):
        executor.view(x)[...] = np.arange(12).reshape(2, 6)
        executor.view(shape)[...] = wanted
        executor.run()
        assert executor.view(computed.main.outputs[0]).tolist() == np.arange(12).reshape(wanted).tolist()


def test_known_shapes_go_to_numba() -> None:
    pytest.importorskip("numba", reason="asks for the Numba backend")
    graph = prepare(one_op("RELU", [tensor((2, 6))], [tensor()]))
    assert create_executor(graph).backend == "numba"


def test_an_unknown_backend_is_named() -> None:
    with pytest.raises(BackendError, match="unknown backend 'gpu': use one of auto, numba, numpy"):
        create_executor(prepare(one_op("RELU", [tensor((1,))], [tensor()])), backend="gpu")
