"""One number explained, with fields and steps worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minilite import ops
from minilite.debug import Recording, record
from minilite.debug.explain import explain
from minilite.debug.explanation import Explanation
from minilite.errors import TensorValueError
from minilite.graph import Graph, Operator, Subgraph, TensorType
from minilite.inputs import read_inputs
from minilite.loader import load_graph
from minilite.ops.convolution import Conv2DOptions
from minilite.ops.softmax import SoftmaxOptions
from minilite.testing.models import constant, one_op, tensor
from tests.small_models import chain_graph
from tests.small_models import tensor as numbered

UNIT = Conv2DOptions(stride_w=1, stride_h=1)


def run(graph: Graph, *inputs: Any) -> Recording:
    return record(graph, list(inputs), backend="numpy")


def where(e: Explanation) -> list[tuple[int, list[str], int]]:
    """The direct fields: tensor, spans, elements."""
    return [(f.tensor, [str(span) for span in f.spans], f.count) for f in e.direct]


def uint8_convolution() -> Recording:
    # (12-10)*(5-3) + (7-10)*(1-3) + 4 = 14; times 0.5*0.25/0.5 = 1/4, as 2**30 * 2**(-1-31).
    x = tensor((1, 1, 1, 2), TensorType.UINT8, scale=0.5, zero_point=10)
    w = constant(np.array([5, 1], np.uint8).reshape(1, 1, 1, 2), scale=0.25, zero_point=3)
    y = tensor((), TensorType.UINT8, scale=0.5, zero_point=100)
    graph = one_op("CONV_2D", [x, w, constant(np.array([4], np.int32))], [y], UNIT)
    return run(graph, np.array([12, 7], np.uint8).reshape(1, 1, 1, 2))


def test_each_step_of_a_quantized_convolution() -> None:
    e = explain(uint8_convolution(), 3, (0, 0, 0, 0))
    assert [(s.what, s.value, s.unrounded) for s in e.steps] == [
        ("sum of products", 10, None),
        ("+ bias 4", 14, None),
        ("* 1073741824 / 2**31, ties up", 7, 7.0),
        ("/ 2**1, ties away from zero", 4, 3.5),
        ("+ zero point 100", 104, None),
        ("clamp to 0 ... 255", 104, None),
    ]
    assert (e.value, e.real, e.reproduced, e.verdict) == (104, 2.0, 104, "equal bits")
    assert e.origin == "made by op 0 CONV_2D"


def test_the_products_of_a_convolution_the_largest_first() -> None:
    e = explain(uint8_convolution(), 3, (0, 0, 0, 0), largest=1)
    assert (e.meaning, e.part_count, e.part_total) == ("(x - 10) * (w - 3)", 2, 10)
    (part,) = e.parts
    assert (part.at, part.value, part.real, part.term) == ((0, 0, 0, 1), 7, -1.5, -3)
    assert (part.factor_tensor, part.factor_at, part.factor) == (1, (0, 0, 0, 1), -2)
    assert (part.product, part.share) == (6, 0.6)


def test_steps_of_an_addition() -> None:
    # Common units are twice the larger scale: 3 * 2**20 / 4 and 5 * 2**20 / 2; the sum, 13/4 * 2**20, times
    # 2 * 1 / (2**20 * 0.5) = 4 * 2**-20 is 13.
    a = tensor((1,), TensorType.INT8, scale=0.5, zero_point=1)
    b = tensor((1,), TensorType.INT8, scale=1.0)
    y = tensor((1,), TensorType.INT8, scale=0.5, zero_point=-3)
    e = explain(run(one_op("ADD", [a, b], [y]), np.array([4], np.int8), np.array([5], np.int8)), 2, (0,))
    steps = [s.value for s in e.steps if "common units" in s.what or "zero point" in s.what]
    assert steps == [3, 5, (3 << 18) + (5 << 19), 13 - 3]
    assert (e.value, e.real) == (10, 6.5)
    assert [(p.tensor, p.value, p.real) for p in e.parts] == [(0, 4, 1.5), (1, 5, 5.0)]


def test_the_field_of_a_dilated_window_at_a_border() -> None:
    # Rate 4 on 9 x 9: around row 4 rows 0, 4, 8; around column 1 columns 1 and 5, -3 is outside.
    options = replace(UNIT, dilation_h_factor=4, dilation_w_factor=4)
    w = constant(np.ones((2, 3, 3, 1), np.float32))
    e = explain(run(one_op("CONV_2D", [tensor((1, 9, 9, 1)), w], [tensor()], options),
                    np.arange(81, dtype=np.float32).reshape(1, 9, 9, 1)), 2, (0, 4, 1, 1))  # fmt: skip
    assert where(e) == [
        (0, ["0", "0..8 step 4", "1..5 step 4", "0"], 6),
        (1, ["1", "0..2", "1..2", "0"], 6),
    ]
    assert [p.value for p in e.parts] == [77, 73, 41, 37, 5, 1]
    assert e.value == e.part_total == 77 + 73 + 41 + 37 + 5 + 1


def two_convolutions() -> Graph:
    """3 x 3 with a stride of 2 over 9 x 9 pixels, and 3 x 3 with the rate 2 over the 5 x 5 that makes."""
    filters = np.ones((1, 3, 3, 1), np.float32)
    tensors = (
        numbered(0, "x", 1, 9, 9, 1),
        numbered(1, "first", data=filters),
        numbered(2, "middle", 1, 5, 5, 1),
        numbered(3, "second", data=filters.copy()),
        numbered(4, "y", 1, 5, 5, 1),
    )
    strided = replace(UNIT, stride_h=2, stride_w=2)
    dilated = replace(UNIT, dilation_h_factor=2, dilation_w_factor=2)
    operators = (
        Operator(0, "CONV_2D", (0, 1), (2,), strided),
        Operator(1, "CONV_2D", (2, 3), (4,), dilated),
    )
    return Graph((Subgraph(0, "main", tensors, operators, (0,), (4,)),))


def test_the_field_in_the_model_s_input() -> None:
    # Rows 0, 2, 4 of the middle are made of rows -1..1, 3..5 and 7..9: 0, 1, 3, 4, 5, 7, 8.
    e = explain(run(two_convolutions(), np.zeros((1, 9, 9, 1), np.float32)), "y", (0, 2, 2, 0))
    assert where(e)[0] == (2, ["0", "0..4 step 2", "0..4 step 2", "0"], 9)
    (field,) = e.model
    assert (field.tensor, field.count, field.is_box) == (0, 49, True)
    assert [str(s) for s in field.spans] == ["0", "0..8 (7 of them)", "0..8 (7 of them)", "0"]


def test_a_field_that_is_no_box() -> None:
    # y = x + x.T: element (0, 2) is made of (0, 2) and (2, 0).
    perm = constant(np.array([1, 0], np.int32))
    turned = one_op("TRANSPOSE", [tensor((3, 3)), perm], [tensor((3, 3))])
    (main,) = turned.subgraphs
    total = replace(main.tensors[2], index=3, name="y", buffer=9)
    add = ops.find("ADD")
    assert add is not None
    assert add.options is not None
    adding = Operator(1, "ADD", (0, 2), (3,), add.options())
    graph = Graph((replace(main, tensors=(*main.tensors, total), operators=(*main.operators, adding),
                           outputs=(3,)),))  # fmt: skip
    e = explain(run(graph, np.arange(9, dtype=np.float32).reshape(3, 3)), 3, (0, 2))
    (field,) = e.model
    assert (e.value, field.count, field.is_box) == (2 + 6, 2, False)
    assert [str(s) for s in field.spans] == ["0..2 step 2", "0..2 step 2"]


def test_what_is_moved_is_one_element_or_none() -> None:
    paddings = constant(np.array([[1, 0], [0, 1]], np.int32))
    moved = run(
        one_op("PAD", [tensor((2, 2)), paddings], [tensor((3, 3))]), np.array([[1, 2], [3, 4]], np.float32)
    )
    e = explain(moved, 2, (2, 1))
    assert (where(e), [p.value for p in e.parts]) == ([(0, ["1", "1"], 1)], [4])
    outside = explain(moved, 2, (0, 0))
    assert (outside.value, outside.direct, outside.model, outside.verdict) == (0, (), (), "equal bits")


def test_bilinear_weights() -> None:
    # 2 pixels to 4: the third lies on the second, the second halfway.
    size = constant(np.array([1, 4], np.int32))
    resized = run(one_op("RESIZE_BILINEAR", [tensor((1, 1, 2, 1)), size], [tensor()]),
                  np.array([10, 30], np.float32).reshape(1, 1, 2, 1))  # fmt: skip
    e = explain(resized, 2, (0, 0, 1, 0))
    assert [(p.value, p.factor, p.product, p.share) for p in e.parts] == [
        (30, 0.5, 15, 0.75),
        (10, 0.5, 5, 0.25),
    ]
    assert e.value == e.part_total == 20


def test_parts_that_are_not_added_up_come_by_size() -> None:
    # 0.5, -30 and 10: the largest of a row counts most, not the furthest from 0.
    x = tensor((1, 3), TensorType.UINT8, scale=0.5, zero_point=100)
    graph = one_op("SOFTMAX", [x], [tensor((1, 3), TensorType.UINT8, scale=1 / 256)], SoftmaxOptions(1.0))
    e = explain(run(graph, np.array([[101, 40, 120]], np.uint8)), 1, (0, 0), largest=2)
    assert ([p.real for p in e.parts], e.part_count, e.part_total) == ([10.0, 0.5], 3, None)
    assert e.verdict == "equal bits"


def test_an_operator_that_does_not_say_its_field_is_probed() -> None:
    axis = constant(np.array(0, np.int32))
    e = explain(
        run(one_op("CUMSUM", [tensor((5,)), axis], [tensor((5,))]), np.arange(5, dtype=np.float32)), 2, (2,)
    )
    assert where(e) == [(0, ["0..2"], 3)]
    assert [f.found for f in e.direct] == ["probed"]
    assert (e.steps, e.verdict) == ((), "equal bits")
    assert any("found by changing its inputs" in remark for remark in e.remarks)
    assert any("does not tell its steps" in remark for remark in e.remarks)


def test_what_draws_random_numbers_is_not_run_again() -> None:
    graph = one_op("RANDOM_UNIFORM", [constant(np.array([3], np.int32))], [tensor((3,))])
    e = explain(run(graph), 1, "max")
    assert (e.verdict, e.reproduced) == ("not run", None)
    assert any("keeps state" in remark for remark in e.remarks)


def test_a_value_that_the_reference_does_not_make() -> None:
    honest = uint8_convolution()
    forged = replace(honest, tensors={**honest.tensors, 3: honest.tensors[3] + np.uint8(1)})
    e = explain(forged, 3, (0, 0, 0, 0))
    assert (e.value, e.reproduced, e.verdict, e.error, e.bound) == (105, 104, "differs", 1, 0)


def test_floats_are_held_to_the_operator_s_bound() -> None:
    graph = one_op(
        "CONV_2D", [tensor((1, 1, 1, 2)), constant(np.ones((1, 1, 1, 2), np.float32))], [tensor()], UNIT
    )
    honest = run(graph, np.array([1, 2], np.float32).reshape(1, 1, 1, 2))
    one_off = np.nextafter(honest.tensors[2], np.float32(np.inf))
    e = explain(replace(honest, tensors={**honest.tensors, 2: one_off}), 2, (0, 0, 0, 0))
    assert (e.verdict, e.error) == ("within bound", 2.0**-22)
    # 4 * eps * 2 products of at most 2 * 1
    assert e.bound == 4 * 2.0**-23 * 2 * 2
    far = explain(replace(honest, tensors={**honest.tensors, 2: one_off + 1}), 2, (0, 0, 0, 0))
    assert far.verdict == "differs"


def test_inputs_and_constants_have_no_operator() -> None:
    recording = record(chain_graph(), np.zeros((1, 2, 2, 3), np.float32), backend="numpy")
    assert explain(recording, 0, (0, 0, 0, 0)).origin == "an input of the model"
    assert explain(recording, "bias", "max").origin == "a constant of the file"
    assert explain(recording, "bias", "max").at == (2,)
    assert explain(recording, "bias", (-3,)).at == (0,)


@pytest.mark.parametrize(
    ("key", "at", "message"),
    [
        (4, (0, 0, 0), r"no element \(0, 0, 0\) in tensor 4"),
        (4, (0, 0, 0, 3), "no element"),
        (9, "max", "no tensor 9"),
        ("idden", "max", "no tensor is called 'idden'.*2 'hidden'"),
    ],
)
def test_what_is_not_there(key: int | str, at: Any, message: str) -> None:
    recording = record(chain_graph(), np.zeros((1, 2, 2, 3), np.float32), backend="numpy")
    with pytest.raises(TensorValueError, match=message):
        explain(recording, key, at)


@pytest.mark.parametrize("name", ["deeplabv3_jejunet_256_uint8", "kws_dscnn_int16"])
def test_elements_of_real_quantized_models(name: str, model_path: Callable[[str], Path]) -> None:
    graph = load_graph(model_path(f"{name}.tflite"))
    recording = record(graph, read_inputs("random:0", graph), operators=range(6), backend="numpy")
    generator = np.random.default_rng(0)
    for number in range(6):
        node = recording.node(number)
        place = tuple(int(generator.integers(size)) for size in node.output.shape)
        e = explain(recording, node.output.index, place)
        assert e.verdict == "equal bits", (node.operator, place)
        if e.steps and e.steps[0].what == "sum of products":
            assert e.part_total == e.steps[0].value
