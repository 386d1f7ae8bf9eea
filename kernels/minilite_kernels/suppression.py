"""Non-maximum suppression with the heap that decides the order of equals (see ``minilite.ops.heaps``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from minilite_kernels.kernel import Input, Output, Scratch, helper, kernel


@helper
def rise(keys: Any, items: Any, hole: int, top: int, key: Any, item: int) -> None:
    """Put an item where the hole is, or as far above as it belongs."""
    while hole > top and keys[(hole - 1) // 2] < key:
        keys[hole], items[hole] = keys[(hole - 1) // 2], items[(hole - 1) // 2]
        hole = (hole - 1) // 2
    keys[hole], items[hole] = key, item


@helper
def take_off(keys: Any, items: Any, size: int) -> None:
    """Take the first of ``size`` items off: the last finds its place from the leaf where the hole ends."""
    key, item = keys[size - 1], items[size - 1]
    size -= 1
    if size == 0:
        return
    hole = 0
    while 2 * hole + 2 < size:
        child = 2 * hole + 2
        if keys[child] < keys[child - 1]:
            child -= 1
        keys[hole], items[hole] = keys[child], items[child]
        hole = child
    if 2 * hole + 1 < size:
        keys[hole], items[hole] = keys[2 * hole + 1], items[2 * hole + 1]
        hole = 2 * hole + 1
    rise(keys, items, hole, 0, key, item)


@helper
def overlap_of_corners(boxes: Any, i: int, j: int) -> Any:
    """Intersection over union of two boxes, in any order of corners; 0 without area."""
    a, b = boxes[4 * i :][:4], boxes[4 * j :][:4]
    a_top, a_bottom, a_left, a_right = min(a[0], a[2]), max(a[0], a[2]), min(a[1], a[3]), max(a[1], a[3])
    b_top, b_bottom, b_left, b_right = min(b[0], b[2]), max(b[0], b[2]), min(b[1], b[3]), max(b[1], b[3])
    a_area, b_area = (a_bottom - a_top) * (a_right - a_left), (b_bottom - b_top) * (b_right - b_left)
    nothing = np.float32(0)
    if not (a_area > 0 and b_area > 0):
        return nothing
    height = max(min(a_bottom, b_bottom) - max(a_top, b_top), nothing)
    width = max(min(a_right, b_right) - max(a_left, b_left), nothing)
    common = height * width
    union = a_area + b_area - common
    return common / union if union != 0 else nothing


@kernel
def suppress(
    boxes: Input,
    scores: Input,
    limit: Input,
    least: Input,
    sigma: Input,
    indices: Output,
    kept: Output,
    found: Output,
    keys: Scratch,
    items: Scratch,
    seen: Scratch,
    most: int,
    start: int,
    stop: int,
) -> None:
    """NON_MAX_SUPPRESSION_V4 and V5 in one piece (TFLite's ``reference/non_max_suppression.h``).

    Scratch for each box: ``keys`` float32 and ``items`` int32, the heap; ``seen`` int32, how many of the
    selected it has been compared with, or -1 once it is one of them.
    """
    for _ in range(start, stop):
        size = 0
        for i in range(scores.size):
            seen[i] = 0
            if scores[i] > least[0]:
                rise(keys, items, size, 0, scores[i], i)
                size += 1
        indices[:] = 0
        kept[:] = 0
        count = 0
        wanted = min(most, size)
        scale = np.float32(-0.5) / sigma[0] if sigma[0] > 0 else np.float32(0)
        while count < wanted and size > 0:
            before, box = keys[0], items[0]
            take_off(keys, items, size)
            size -= 1
            if seen[box] < 0:
                continue
            score, dropped = before, False
            for j in range(count - 1, seen[box] - 1, -1):
                overlap = overlap_of_corners(boxes, box, indices[j])
                if overlap >= limit[0]:
                    dropped = True
                    break
                if sigma[0] > 0:
                    score *= np.float32(np.exp(np.float64(scale * overlap * overlap)))
                if score <= least[0]:
                    break
            seen[box] = count
            if dropped:
                continue
            if score == before:
                indices[count], kept[count] = box, score
                count += 1
                seen[box] = -1
            if score > least[0]:
                rise(keys, items, size, 0, score, box)
                size += 1
        found[0] = count
