from __future__ import annotations

import dataclasses
import json

import numpy as np

from minilite.graph import Graph, TensorType
from minilite.inspection import OperatorSummary, summarise
from minilite.testing import models


def only_operator(graph: Graph) -> OperatorSummary:
    (operator,) = summarise(graph).subgraphs[0].operators
    return operator


def test_quantisation_per_tensor_and_per_channel() -> None:
    graph = models.one_op(
        "DEQUANTIZE",
        [models.tensor((2, 3), TensorType.INT8, scale=[0.5, 0.25], zero_point=[0, 0])],
        [models.tensor((2, 3))],
    )
    given, result = summarise(graph).subgraphs[0].tensors
    assert (given.scales, given.zero_points, given.quantized_dimension) == ((0.5, 0.25), (0, 0), 0)
    assert (given.type, given.bytes) == ("INT8", 6)
    assert (result.scales, result.quantized_dimension, result.bytes) == ((), None, 24)


def test_shapes_are_inferred() -> None:
    graph = models.one_op("RELU", [models.tensor((1, 3))], [models.tensor()])
    assert summarise(graph).subgraphs[0].tensors[1].shape == (1, 3)


def test_what_an_operator_refuses_is_its_fault_and_stops_nothing() -> None:
    graph = models.one_op("ADD", [models.tensor((1, 3)), models.tensor((1, 4))], [models.tensor((1, 3))])
    operator = only_operator(graph)
    assert operator.fault is not None
    assert operator.fault.startswith("shapes (1, 3) and (1, 4) do not broadcast")
    assert operator.multiply_adds is None


def test_constants_that_operators_share_count_once() -> None:
    weights = models.constant(np.zeros(5, np.float32))
    graph = models.one_op("ADD", [models.tensor((5,)), weights], [models.tensor((5,))])
    main = graph.main
    twice = dataclasses.replace(
        main, operators=(main.operators[0], dataclasses.replace(main.operators[0], index=1))
    )
    totals = summarise(dataclasses.replace(graph, subgraphs=(twice,))).subgraphs[0].totals
    assert totals.operators == {"ADD": 2}
    assert totals.weight_bytes == 20
    assert totals.activation_bytes == 40


def test_everything_is_plain_data() -> None:
    graph = models.one_op("NobodyHasThis", [models.tensor((1,))], [models.tensor((1,))], custom_options=b"?")
    text = json.dumps(dataclasses.asdict(summarise(graph)))
    assert "minilite does not have this operator" in text
