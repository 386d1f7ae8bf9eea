"""A one-convolution model file, and the means to damage it field by field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from minilite.graph import Graph, TensorType
from minilite.schema import SchemaOptions
from minilite.testing.models import constant, one_op, tensor
from minilite.writer import write_graph

UINT8 = TensorType.UINT8


def convolution(**options: Any) -> Graph:
    """A small uint8 CONV_2D whose options are those of a schema table, so that they may be wrong."""
    fields: dict[str, Any] = {"padding": 1, "stride_w": 1, "stride_h": 2} | options
    return one_op(
        "CONV_2D",
        [
            tensor((1, 4, 4, 2), UINT8, scale=0.5, zero_point=128, name="image"),
            constant(np.arange(12).reshape(2, 1, 3, 2), UINT8, scale=0.25, zero_point=3, name="weights"),
            constant([5, -7], TensorType.INT32, scale=0.125, name="bias"),
        ],
        [tensor((1, 2, 2, 2), UINT8, scale=2.0, zero_point=1, name="map")],
        SchemaOptions("Conv2DOptions", fields),
    )


def edit_tensor(graph: Graph, index: int, **changes: Any) -> Graph:
    tensors = list(graph.main.tensors)
    tensors[index] = replace(tensors[index], **changes)
    return replace(graph, subgraphs=(replace(graph.main, tensors=tuple(tensors)),))


def edit_operator(graph: Graph, **changes: Any) -> Graph:
    operator = replace(graph.main.operators[0], **changes)
    return replace(graph, subgraphs=(replace(graph.main, operators=(operator,)),))


CONTENT = write_graph(convolution())
