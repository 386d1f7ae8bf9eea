"""A branch that is the same at every pixel becomes a part of the bias: DeepLab v3's image-level features.

The average over the whole picture goes through a 1x1 convolution, is spread over the plane and joined to
the other features, and a 1x1 convolution follows: at every pixel it multiplies the same values by the
same weights. What they add up to is computed once.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minilite.graph import Activation, Array, Node, Operator, Padding, Subgraph, Tensor, TensorType
from minilite.ops import fused
from minilite.ops.convolution import Conv2DOptions
from minilite.passes.uses import Notes, Uses, replaced


def fold_constant_branch(subgraph: Subgraph, notes: Notes) -> Subgraph:
    """CONV_2D(CONCATENATION(RESIZE_BILINEAR(pixel), x)) -> CONV_2D(x) with CONV_2D(pixel) as its bias.

    Each bit stays: the branch comes first, so its products are added to the bias before all others, and
    it is as long as whole blocks of the sum are.
    """
    uses = Uses(subgraph)
    for node in subgraph.nodes():
        if node.operator.name != "CONV_2D" or node.is_folded:
            continue
        writer = uses.writer.get(node.input(0).index)
        if writer is None or writer.name != "CONCATENATION" or len(writer.inputs) != 2:
            continue
        joined = Node(subgraph, writer)
        spread = uses.writer.get(joined.input(0).index)
        if spread is None or spread.name != "RESIZE_BILINEAR":
            continue
        branch = Node(subgraph, spread)
        if branch.input(0).shape[1:3] != (1, 1):
            continue
        reason = _obstacle(node, joined, branch, uses)
        if reason is not None:
            notes.append(f"{node.operator}: the plane of {spread} is not folded into its bias: {reason}")
            continue
        notes.append(f"{node.operator}: the plane of {spread} is a part of its bias")
        return fold_constant_branch(_folded(subgraph, node, joined, branch), notes)
    return subgraph


def _obstacle(convolution: Node, joined: Node, branch: Node, uses: Uses) -> str | None:
    axis, activation = joined.options.axis, joined.options.fused_activation_function
    obstacles = (
        (uses.only_reader(joined.output) is None, "it is read by others, too"),
        (uses.only_reader(branch.output) is None, "the plane is read by others, too"),
        (axis not in (3, -1) or activation != Activation.NONE, "it is not joined along the channels alone"),
        (branch.output.shape[0] != 1, "each picture of the batch has its own"),
    )
    found = next((words for applies, words in obstacles if applies), None)
    return found or fused.bias_obstacle(convolution, branch.output.shape[3])


def _folded(subgraph: Subgraph, convolution: Node, joined: Node, branch: Node) -> Subgraph:
    weights = convolution.input(1)
    assert weights.data is not None
    constant = branch.output.shape[3]
    first = len(subgraph.tensors)
    folded = _tensor(weights, first, weights.data[..., :constant])
    kept = _tensor(weights, first + 1, weights.data[..., constant:])
    shape = (1, 1, 1, weights.shape[0])
    sums = Tensor(first + 2, f"bias of {convolution.output.name}", TensorType.FLOAT32, shape, shape)
    bias = convolution.operator.inputs[2:]
    # Not clamped: the sum goes on.
    options = Conv2DOptions(Padding.VALID, 1, 1, Activation.NONE)
    start = Operator(
        branch.operator.index,
        "CONV_2D",
        (branch.input(0).index, folded.index, *bias),
        (sums.index,),
        options,
    )
    inputs = (joined.input(1).index, kept.index, sums.index)
    rest = replace(convolution.operator, inputs=inputs)
    new = {start.index: start, rest.index: rest}
    return replaced(subgraph, new, (joined.operator.index,), (folded, kept, sums))


def _tensor(like: Tensor, index: int, values: Array) -> Tensor:
    data = np.ascontiguousarray(values)
    data.flags.writeable = False
    return replace(
        like,
        index=index,
        name=f"part of {like.name}",
        shape=data.shape,
        shape_signature=data.shape,
        data=data,
    )
