"""A subgraph as boxes and lines for the page: operators, what goes in, what comes out."""

from __future__ import annotations

from typing import Any

from minilite.debug.report.layout import Link, layered
from minilite.graph import ABSENT, Node, Subgraph

OPERATOR, FOLDED, END = (188.0, 54.0), (116.0, 28.0), (188.0, 36.0)
"""Widths and heights of boxes: an operator's, one's that ``prepare`` has computed, an input's or output's."""


def drawn(subgraph: Subgraph) -> dict[str, Any]:
    """The subgraph's drawing.

    ``nodes`` are ``[kind, number, x, y, width, height]`` in pixels, kinds ``input`` and ``output`` with a
    tensor's number and ``op`` and ``folded`` with an operator's. ``edges`` are ``[from, to, tensor, points]``
    by position in ``nodes``, points as ``x, y, x, y ...``.
    """
    nodes: list[tuple[str, int]] = [
        ("input", number)
        for number in dict.fromkeys(subgraph.inputs)
        if not subgraph.tensors[number].is_constant
    ]
    writer = {number: position for position, (_, number) in enumerate(nodes)}
    links: list[Link] = []

    def link_to(target: int, numbers: tuple[int, ...]) -> None:
        for number in dict.fromkeys(numbers):
            if number != ABSENT and number in writer:
                links.append(Link(writer[number], target, number))

    for node in subgraph.nodes():
        link_to(len(nodes), node.operator.inputs)
        writer.update((number, len(nodes)) for number in node.operator.outputs)
        nodes.append(("folded" if _is_aside(node) else "op", node.operator.index))
    for number in dict.fromkeys(subgraph.outputs):
        link_to(len(nodes), (number,))
        nodes.append(("output", number))
    sizes = [{"op": OPERATOR, "folded": FOLDED}.get(kind, END) for kind, _ in nodes]
    layout = layered(sizes, links)
    return {
        "nodes": [
            [kind, number, round(x, 1), round(y, 1), *size]
            for (kind, number), (x, y), size in zip(nodes, layout.boxes, sizes, strict=True)
        ],
        "edges": [
            [link.source, link.target, link.value, [round(c, 1) for point in line for c in point]]
            for link, line in zip(links, layout.lines, strict=True)
        ],
        "width": round(layout.width, 1),
        "height": round(layout.height, 1),
    }


def _is_aside(node: Node) -> bool:
    """Whether an operator makes constants of constants, as DEQUANTIZE of float16 weights does."""
    return node.is_folded
