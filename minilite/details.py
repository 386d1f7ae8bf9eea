"""The dictionaries by which TFLite's interpreter describes a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilite.graph import ABSENT, Graph, Operator, Subgraph, Tensor, TensorType


def tensor_details(tensor: Tensor, *, compress_zero_points: bool = False) -> dict[str, Any]:
    """What ``get_input_details`` and its kin say of one tensor; the keys are LiteRT's."""
    scales = np.zeros(0, np.float32)
    zero_points = np.zeros(0, np.int32)
    dimension = 0
    summary = (0.0, 0)
    if tensor.quantization is not None:
        scales = tensor.quantization.scales.astype(np.float32)
        zero_points = tensor.quantization.zero_points.astype(np.int32)
        dimension = tensor.quantization.dimension
        if not tensor.quantization.per_channel:
            summary = (float(scales[0]), int(zero_points[0]))
    if compress_zero_points and len(zero_points) and np.all(zero_points == zero_points[0]):
        zero_points = zero_points[:1]
    declares_unknown = -1 in tensor.shape_signature
    return {
        "name": tensor.name,
        "index": tensor.index,
        "shape": np.array(tensor.shape, np.int32),
        "shape_signature": np.array(tensor.shape_signature if declares_unknown else tensor.shape, np.int32),
        "dtype": _numpy_type(tensor),
        "quantization": summary,
        "quantization_parameters": {
            "scales": scales,
            "zero_points": zero_points,
            "quantized_dimension": dimension,
            "block_size": 0,
        },
        "sparsity_parameters": dict(tensor.sparsity or {}),
    }


def _numpy_type(tensor: Tensor) -> type:
    handle = tensor.type in (TensorType.RESOURCE, TensorType.VARIANT)
    return np.object_ if handle else tensor.dtype.type


def operator_details(subgraph: Subgraph, operator: Operator) -> dict[str, Any]:
    """What ``_get_op_details`` says of one operator; the keys are LiteRT's."""

    def types(indices: tuple[int, ...]) -> list[type]:
        return [_numpy_type(subgraph.tensors[i]) for i in indices if i != ABSENT]

    return {
        "index": operator.index,
        "op_name": operator.name,
        "inputs": np.array(operator.inputs, np.int32),
        "outputs": np.array(operator.outputs, np.int32),
        "operand_types": types(operator.inputs),
        "result_types": types(operator.outputs),
    }


def signature_details(graph: Graph) -> dict[str, dict[str, dict[str, int]]]:
    """Every signature's argument names, sorted as TFLite sorts them, with their tensor numbers."""
    return {
        signature.key: {
            "inputs": dict(sorted(signature.inputs.items())),
            "outputs": dict(sorted(signature.outputs.items())),
        }
        for signature in graph.signatures
    }
