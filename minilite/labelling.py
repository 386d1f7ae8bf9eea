"""Models that give labels: the class of each pixel instead of the scores of all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minilite.building import constant, make_tensor, tensor
from minilite.errors import PrepareError
from minilite.graph import Graph, Operator, TensorType
from minilite.ops.selection import ArgMaxOptions


def with_labels(graph: Graph) -> Graph:
    """The model with ARG_MAX over the last axis behind its first output, which it gives no longer.

    A run of it then never stores the enlarged scores of a segmentation model (see ``passes.labels``), and
    what it gives is a twentieth as large. What it gives is int32 [..., height, width]; of equal scores the
    first class has it.

    Raises
    ------
    PrepareError
        The first output holds no scores that ARG_MAX takes: float32, uint8 or int8, with a last axis.
    """
    main = graph.main
    scores = main.tensors[main.outputs[0]]
    if scores.type not in (TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8) or not scores.shape:
        raise PrepareError(
            f"{scores} are no scores to take the largest of: float32, uint8 or int8 with a last axis are",
            tensor=scores.index,
            rule="label-scores",
        )
    first = len(main.tensors)
    axis = make_tensor(constant(np.int32(-1)), first, "axis of the classes")
    labels = make_tensor(
        tensor(scores.shape[:-1], TensorType.INT32, name=f"labels of {scores.name}"), first + 1, ""
    )
    labels = replace(labels, shape_signature=scores.shape_signature[:-1])
    select = Operator(
        len(main.operators), "ARG_MAX", (scores.index, first), (first + 1,), ArgMaxOptions(TensorType.INT32)
    )
    labelled = replace(
        main,
        tensors=(*main.tensors, axis, labels),
        operators=(*main.operators, select),
        outputs=(first + 1, *main.outputs[1:]),
    )
    return replace(graph, subgraphs=(labelled, *graph.subgraphs[1:]), signatures=())
