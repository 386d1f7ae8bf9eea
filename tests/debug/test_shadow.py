"""Quantized models beside their twins, with ratios and shares worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf, log10
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minilite import ops
from minilite.debug.difference import signal_to_noise
from minilite.debug.shadow import rows_sorted, shadow
from minilite.errors import TensorValueError
from minilite.graph import TensorType
from minilite.inputs import read_inputs
from minilite.loader import load_graph
from minilite.model import Model
from minilite.testing import cases
from minilite.testing.models import one_op, tensor
from tests.debug.test_twin import uint8_convolution
from tests.small_models import quantized_graph


def test_signal_to_noise() -> None:
    signal = np.array([3, 4], np.float32)
    # 25 against 0.25
    assert signal_to_noise(signal, np.array([3, 4.5], np.float32)) == pytest.approx(20)
    assert signal_to_noise(signal, np.array([3, 9], np.float32)) == pytest.approx(0)
    assert signal_to_noise(signal, signal) == inf
    assert signal_to_noise(0 * signal, signal) == -inf
    spoiled = np.array([3, np.nan], np.float32)
    assert signal_to_noise(spoiled, spoiled) == inf
    assert signal_to_noise(signal, spoiled) == -inf


def test_a_convolution_beside_its_twin() -> None:
    # 14/4 = 3.5 steps become 4: 2.0 instead of 1.75.
    graph = uint8_convolution()
    found = shadow(Model(graph, backend="numpy"), np.array([12, 7], np.uint8).reshape(1, 1, 1, 2))
    (row,) = found.rows
    assert (row.op, row.name, row.tensor, row.type) == (0, "CONV_2D", 3, "UINT8")
    assert row.local == pytest.approx(20 * log10(1.75 / 0.25))
    assert row.accumulated == row.local
    assert (row.saturated, row.unused_codes, row.range_used, row.clipped) == (0, 255, 0, 0)


def test_how_a_range_is_used() -> None:
    # Codes 0, 0, 10, 255 of -3, 0.2, 10, 300; -3 and 300 lie outside, 0.2 does not.
    graph = one_op("QUANTIZE", [tensor((4,))], [tensor((4,), TensorType.UINT8, scale=1.0)])
    found = shadow(Model(graph, backend="numpy"), np.array([-3, 0.2, 10, 300], np.float32))
    (row,) = found.rows
    assert (row.saturated, row.clipped, row.unused_codes, row.range_used) == (0.75, 0.5, 253, 1.0)
    assert row.local == pytest.approx(10 * log10((9 + 0.04 + 100 + 90000) / (9 + 0.04 + 45**2)))


def test_what_is_no_measure_is_counted() -> None:
    # 1, 2, 3, 4 and 1, 2, 3, 4.25
    inputs = [tensor((4,), TensorType.INT8, scale=scale) for scale in (1.0, 0.25)]
    graph = one_op("EQUAL", inputs, [tensor((4,), TensorType.BOOL)])
    values = [np.array([1, 2, 3, 4], np.int8), np.array([4, 8, 12, 17], np.int8)]
    (row,) = shadow(Model(graph, backend="numpy"), values).rows
    assert (row.local, row.accumulated, row.equal, row.saturated) == (None, None, 1.0, None)


def test_the_worst_are_those_that_add_most_noise() -> None:
    found = shadow(Model(quantized_graph(), backend="numpy"), np.array([[129, 131, 133, 150]], np.uint8))
    # 2 * 0.5 * (q - 128) are whole steps of 1: nothing is lost.
    assert [row.local for row in found.rows] == [inf]
    assert found.worst(5) == ()


def test_rows_in_other_orders() -> None:
    graph = uint8_convolution()
    (row,) = shadow(Model(graph, backend="numpy"), np.array([12, 7], np.uint8).reshape(1, 1, 1, 2)).rows
    rows = [replace(row, op=i, local=local, clipped=c) for i, (local, c) in
            enumerate([(30.0, 0.1), (None, None), (-3.0, 0.0), (inf, 0.5)])]  # fmt: skip
    assert [r.op for r in rows_sorted(rows, "order")] == [0, 1, 2, 3]
    assert [r.op for r in rows_sorted(rows, "local")] == [2, 0, 3, 1]
    assert [r.op for r in rows_sorted(rows, "clipped")] == [3, 0, 2, 1]


def test_deeplab_s_resize_of_raw_codes_is_found(model_path: Callable[[str], Path]) -> None:
    """Its input and output have other scales, and the kernel leaves the codes as they are."""
    graph = load_graph(model_path("deeplabv3_jejunet_256_uint8.tflite"))
    found = shadow(Model(graph, backend="numpy"), read_inputs("random:0", graph))
    assert [row.name for row in found.worst(1)] == ["RESIZE_BILINEAR"]
    others = [row.local for row in found.rows if row.local is not None and row.op != found.worst(1)[0].op]
    assert min(others) > 20
    assert len(found.rows) == len(graph.main.operators)


@pytest.mark.parametrize("name", [n for n in ops.names() if "int8" in cases.variants(n)])
@settings(max_examples=1)
@given(data=st.data())
def test_every_operator_of_int8_has_a_shadow(name: str, data: Any) -> None:
    case = data.draw(cases.cases(name, "int8"))
    tensors = (t for subgraph in case.graph.subgraphs for t in subgraph.tensors)
    if not any(t.quantization is not None for t in tensors):
        with pytest.raises(TensorValueError, match="nothing in this model is quantized"):
            shadow(Model(case.graph, backend="numpy"), list(case.inputs))
        return
    found = shadow(Model(case.graph, backend="numpy"), list(case.inputs))
    assert {row.op for row in found.rows} == {0}
    assert all(row.accumulated is not None or row.equal is not None for row in found.rows)


def test_states_and_subgraphs(model_path: Callable[[str], Path]) -> None:
    graph = load_graph(model_path("mww_okay_nabu_v2.tflite"))
    found = shadow(Model(graph, backend="numpy"), read_inputs("random:0", graph))
    assert {row.name for row in found.rows if row.local is None} == {"READ_VARIABLE"}
    assert all(output.snr is not None and output.snr > 15 for output in found.outputs)
