"""Operators that no file has: several of TFLite's run as one, with the same bits. ``passes`` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minilite.graph import ABSENT, Array, Node, Operator, Shape, TensorType
from minilite.ops import base
from minilite.ops.base import Lowering, Op, operator
from minilite.ops.checks import constant_integers
from minilite.ops.convolution_parameters import convolution_geometry
from minilite.ops.convolution_steps import (
    bias_or_zeros,
    has_constant_weights,
    has_finite_weights,
    lower_float,
    pack_float,
)
from minilite.ops.lowering import grain, kernel_window
from minilite.ops.resize import bilinear_step, interpolates_floats
from minilite.quantization import output_range
from minilite.shapes import Window


@dataclass(frozen=True)
class Parts:
    """Options of a fused operator: the operators it stands for, in order; the last one's output is its."""

    operators: tuple[Operator, ...]


def parts_of(operator: Operator) -> tuple[Operator, ...]:
    """The operators that a fused one stands for; any other by itself."""
    return operator.options.operators if isinstance(operator.options, Parts) else (operator,)


def join(first: Operator, second: Operator) -> Operator:
    """``second``, which reads what ``first`` writes, together with it as one operator.

    It is named by the names of both, and its inputs are those of ``first``, then the others of ``second``.
    Either may be a fused one.
    """
    return Operator(
        index=second.index,
        name=f"{first.name}+{second.name}",
        inputs=(*first.inputs, *(i for i in second.inputs if i not in first.outputs)),
        outputs=second.outputs,
        options=Parts((*parts_of(first), *parts_of(second))),
    )


class _Fused(Op):
    """What the operators share: their meaning is that of their parts, one after the other."""

    internal = True

    def parts(self, node: Node) -> list[Node]:
        """The operators it stands for, with their tensors."""
        return [Node(node.subgraph, part) for part in node.options.operators]

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        return (node.output.shape,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        values = dict(zip(node.operator.inputs, inputs, strict=True))
        results: tuple[Array, ...] = ()
        for part in self.parts(node):
            op = base.find(part.operator.name)
            assert op is not None
            given = [None if i == ABSENT else values[i] for i in part.operator.inputs]
            results = op.evaluate(part, given)
            values.update(zip(part.operator.outputs, results, strict=True))
        return results

    def multiply_adds(self, node: Node) -> int:
        ops = ((base.find(part.operator.name), part) for part in self.parts(node))
        return sum(op.multiply_adds(part) for op, part in ops if op is not None)


def convolution_obstacle(node: Node) -> str | None:
    """Why a CONV_2D cannot be a part, or None."""
    if node.input(0).type is not TensorType.FLOAT32 or node.input(1).type is not TensorType.FLOAT32:
        return "only float32 is joined"
    if not has_constant_weights(node):
        return "its weights are computed"
    return None if has_finite_weights(node) else "a weight is not finite"


def pointwise_obstacle(node: Node) -> str | None:
    """Why a CONV_2D is not a plain product of each pixel with constant float32 weights, or None."""
    g = convolution_geometry(node)
    if (g.kernel_h, g.kernel_w, g.stride_h, g.stride_w, g.groups) != (1, 1, 1, 1, 1):
        return "it is no 1x1 convolution of stride 1 and one group"
    return convolution_obstacle(node)


def bias_obstacle(node: Node, channels: int) -> str | None:
    """Why what a CONV_2D makes of its first ``channels`` cannot be computed before, as its bias; or None."""
    from minilite_kernels.matmul import BLOCK, pad_columns

    if channels % BLOCK:
        return f"its {channels} channels are no multiple of the {BLOCK} of a block of the sum"
    filters = node.output.shape[3]
    if pad_columns(filters) != filters:
        return f"the {filters} output channels do not fill whole vectors"
    return pointwise_obstacle(node)


def filter_obstacle(depthwise: Node) -> str | None:
    """Why a DEPTHWISE_CONV_2D is not a filter of each channel with constant float32 weights, or None."""
    from minilite_kernels.matmul import WIDTH

    if depthwise.input(1).type is not TensorType.FLOAT32 or not has_constant_weights(depthwise):
        return "the filter is no float32 constant"
    if convolution_geometry(depthwise).multiplier != 1:
        return "its multiplier is not 1"
    if depthwise.input(0).shape[3] < WIDTH:
        return f"its channels are fewer than the {WIDTH} of a vector"
    return None if has_finite_weights(depthwise) else "a weight is not finite"


def expansion_obstacle(expand: Node, depthwise: Node) -> str | None:
    """Why a CONV_2D and the DEPTHWISE_CONV_2D behind it cannot be one, or need not; or None."""
    reason = pointwise_obstacle(expand) or filter_obstacle(depthwise)
    expanded = depthwise.input(0).nbytes
    if reason is None and expanded < _LEAST_EXPANDED_BYTES:
        return f"the {expanded:,} bytes between them stay in the threads' caches"
    return reason


def projection_obstacle(depthwise: Node, projection: Node) -> str | None:
    """Why a DEPTHWISE_CONV_2D and the CONV_2D (and ADD) behind it cannot be one, or None."""
    return filter_obstacle(depthwise) or pointwise_obstacle(
        Node(projection.subgraph, parts_of(projection.operator)[0])
    )


@operator("CONV_2D+ADD")
class ConvolutionAndAddition(_Fused):
    """A convolution and the addition of another tensor, in the tile's store.

    Inputs: those of CONV_2D; the other addend.
    """

    def lower(self, node: Node, lowering: Lowering) -> bool:
        convolution, addition = self.parts(node)
        other = node.input(-1)
        lower_float(convolution, lowering, convolution_geometry(convolution), addition=(addition, other))
        return True


class _Projection(_Fused):
    """What the two below share."""

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import matmul, projection

        depthwise, convolution, *additions = self.parts(node)
        d, p = convolution_geometry(depthwise), convolution_geometry(convolution)
        rows = d.batch * d.out_h
        band = grain(rows, d.out_w * d.in_c * (4 * d.kernel_h * d.kernel_w + p.out_c))
        low, high = _limits(depthwise)
        project_low, project_high = _limits(convolution)
        kernel = projection.depthwise_project_float
        added: dict[str, Any] = {}
        for addition in additions:
            kernel = projection.depthwise_project_add_float
            sum_low, sum_high = _limits(addition)
            added = {"addend": node.input(-1), "sum_low": sum_low, "sum_high": sum_high}
        lowering.step(
            kernel,
            node,
            extent=rows,
            grain=band,
            x=depthwise.input(0),
            weights=lowering.constant(depthwise.input(1), np.ravel),
            bias=bias_or_zeros(depthwise, d),
            project_weights=lowering.constant(convolution.input(1), pack_float, 1),
            project_bias=matmul.pack_columns(bias_or_zeros(convolution, p)),
            out=node.output,
            filtered=lowering.scratch(np.float32, _rows_at_once(d, band) * d.out_w * d.in_c),
            w=kernel_window(d),
            columns=p.out_c,
            low=low,
            high=high,
            project_low=project_low,
            project_high=project_high,
            **added,
        )
        return True


@operator("DEPTHWISE_CONV_2D+CONV_2D")
class DepthwiseAndProjection(_Projection):
    """A depthwise convolution and the 1x1 convolution of its result.

    Inputs: those of DEPTHWISE_CONV_2D; filter and bias of CONV_2D.
    """


@operator("DEPTHWISE_CONV_2D+CONV_2D+ADD")
class DepthwiseProjectionAndAddition(_Projection):
    """A depthwise convolution, the 1x1 convolution of its result, and the addition of another tensor.

    Inputs: those of DEPTHWISE_CONV_2D; filter and bias of CONV_2D; the other addend.
    """


_BLOCK_CHANNELS = 32
"""Channels that are expanded and filtered at a time: whole panels, for vectors of any width."""

_BLOCK_BYTES = 1 << 18
"""Expanded values of one piece: they stay in the second-level cache until they are filtered."""

_LEAST_EXPANDED_BYTES = 5 << 19
"""Smaller results of an expansion are not joined: each thread finds its rows of them in its own cache."""


@operator("CONV_2D+DEPTHWISE_CONV_2D")
class ExpansionAndDepthwise(_Fused):
    """A 1x1 convolution and the depthwise convolution of its result.

    Inputs: those of CONV_2D; filter and bias of DEPTHWISE_CONV_2D.
    """

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import expansion, matmul

        expand, depthwise = self.parts(node)
        e, d = convolution_geometry(expand), convolution_geometry(depthwise)
        block, band = _piece(d, matmul.WIDTH)
        seen = min(d.in_h, (band - 1) * d.stride_h + (d.kernel_h - 1) * d.dilation_h + 1)
        blocks, bands = -(-d.in_c // block), -(-d.out_h // band)
        pieces = d.batch * bands * blocks
        products = seen * d.in_w * e.in_c + 4 * band * d.out_w * d.kernel_h * d.kernel_w
        (expand_low, expand_high), (low, high) = _limits(expand), _limits(depthwise)
        lowering.step(
            expansion.expand_depthwise_float,
            node,
            extent=pieces,
            grain=grain(pieces, products * block),
            x=expand.input(0),
            expand_weights=lowering.constant(expand.input(1), pack_float, 1),
            expand_bias=matmul.pack_columns(bias_or_zeros(expand, e)),
            weights=lowering.constant(depthwise.input(1), _pack_filters, block),
            bias=bias_or_zeros(depthwise, d),
            out=node.output,
            expanded=lowering.scratch(np.float32, seen * d.in_w * block),
            w=kernel_window(d),
            depth=e.in_c,
            band=band,
            block=block,
            expand_low=expand_low,
            expand_high=expand_high,
            low=low,
            high=high,
        )
        return True


def _limits(node: Node) -> tuple[float, float]:
    return output_range(node.options.fused_activation_function, node.output)


def _rows_at_once(g: Window, band: int) -> int:
    """Rows of a depthwise convolution that stay in the second-level cache until they are projected."""
    return min(band, max(_BLOCK_BYTES // (4 * g.out_w * g.in_c), 1))


def _piece(g: Window, width: int) -> tuple[int, int]:
    """Channels and output rows that are expanded and filtered at a time, for a depthwise window."""
    # A block narrower than a vector could not be filtered: then all channels are one block.
    rest = g.in_c % _BLOCK_CHANNELS
    block = _BLOCK_CHANNELS if rest == 0 or rest >= width else -(-g.in_c // _BLOCK_CHANNELS) * _BLOCK_CHANNELS
    rows = _BLOCK_BYTES // (4 * g.in_w * block)
    band = (rows - (g.kernel_h - 1) * g.dilation_h - 1) // g.stride_h + 1
    return block, min(max(band, 1), g.out_h)


def _pack_filters(filters: Array, block: int) -> Array:
    from minilite_kernels import expansion

    return expansion.pack_filters(filters[0], block)


def labels_obstacle(resize: Node, select: Node) -> str | None:
    """Why a RESIZE_BILINEAR and the ARG_MAX of its result cannot be one, or None."""
    axis = constant_integers(select.input(1))
    if axis is None or axis[0] not in (-1, 3):
        return "it is not the largest channel that is asked for"
    return None if interpolates_floats(resize) else "only float arithmetic is joined, where there is any"


@operator("RESIZE_BILINEAR+ARG_MAX")
class ResizeAndArgMax(_Fused):
    """The channel that is largest at each pixel of a resized picture: a mask, from scores never stored.

    Inputs: those of RESIZE_BILINEAR; the axis of ARG_MAX.
    """

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import resize

        scores, _ = self.parts(node)
        x, out = scores.input(0), scores.output
        line = out.shape[2] * out.shape[3] + resize.PADDING
        floats_kernel, bytes_kernel = resize.resize_bilinear_argmax_float, resize.resize_bilinear_argmax_bytes
        lowering.step(
            floats_kernel if x.type is TensorType.FLOAT32 else bytes_kernel,
            node,
            out=node.output,
            scores=lowering.scratch(x.dtype, line),
            **bilinear_step(scores, lowering),
        )
        return True
