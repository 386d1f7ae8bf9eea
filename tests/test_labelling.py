from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minilite.errors import PrepareError
from minilite.executor import numba_is_available
from minilite.graph import TensorType
from minilite.labelling import with_labels
from minilite.loader import load_graph
from minilite.model import Model
from minilite.testing.models import one_op, tensor
from minilite.writer import write_graph
from tests.networks import branches


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_labels_are_where_the_scores_are_largest(backend: str) -> None:
    if backend == "numba" and not numba_is_available():
        pytest.skip("asks for the Numba backend")
    graph = branches()
    x = np.random.default_rng(0).standard_normal(graph.main.tensors[graph.main.inputs[0]].shape)
    scores = Model(graph, backend=backend)(x)[0]
    labelled = with_labels(graph)
    (labels,) = Model(labelled, backend=backend)(x)
    np.testing.assert_array_equal(labels, scores.argmax(-1))
    assert labels.dtype == np.int32
    again = Model(load_graph(write_graph(labelled)), backend=backend)
    np.testing.assert_array_equal(again(x)[0], labels)


def test_the_starter_model_s_mask(model_path: Callable[[str], Path]) -> None:
    pytest.importorskip("numba", reason="asks what the plan joins")
    graph = load_graph(model_path("deeplabv3_257_mv_gpu.tflite"))
    x = np.random.default_rng(0).uniform(-1, 1, (1, 257, 257, 3)).astype(np.float32)
    model = Model(with_labels(graph))
    assert "RESIZE_BILINEAR+ARG_MAX" in model.executor().plan.explain()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(model(x)[0], Model(graph)(x)[0].argmax(-1))


def test_what_holds_no_scores_is_refused() -> None:
    graph = one_op("RELU", [tensor((3,), TensorType.INT32)], [tensor((3,), TensorType.INT32)])
    with pytest.raises(PrepareError, match="no scores to take the largest of"):
        with_labels(graph)
