"""Loading what is not a model, or a damaged one: always a ``ModelFormatError`` that says why."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tflite
from flatbuffers.builder import Builder
from hypothesis import given
from hypothesis import strategies as st

from minilite.errors import ModelFormatError, ModelNotFoundError
from minilite.graph import Graph, TensorType
from minilite.loader import load_graph
from minilite.schema import SchemaOptions
from minilite.testing.models import constant, one_op, tensor
from minilite.writer import write_graph
from tests.convolution_model import CONTENT, convolution, edit_operator, edit_tensor

INT8 = TensorType.INT8


def fault(content: bytes) -> ModelFormatError:
    with pytest.raises(ModelFormatError) as caught:
        load_graph(content)
    return caught.value


# Data outside the flatbuffer (models past 2 GiB), which the writer never makes


def external(offset: int, size: int, slot: int | None = None) -> bytes:
    """A model of one constant, whose four bytes stand at an offset in the file."""
    b = Builder()
    name = b.CreateString("main")
    shape = b.CreateNumpyVector(np.array([4], np.int32))
    b.StartObject(11)
    b.PrependUOffsetTRelativeSlot(0, shape, 0)
    b.PrependInt8Slot(1, INT8, 0)
    b.PrependUint32Slot(2, 1, 0)
    if slot is not None:
        b.PrependUint32Slot(slot, 1, 0)
    tensors = vector(b, [b.EndObject()])
    tflite.SubGraphStart(b)
    tflite.SubGraphAddTensors(b, tensors)
    tflite.SubGraphAddName(b, name)
    subgraphs = vector(b, [tflite.SubGraphEnd(b)])
    tflite.BufferStart(b)
    empty = tflite.BufferEnd(b)
    tflite.BufferStart(b)
    tflite.BufferAddOffset(b, offset)
    tflite.BufferAddSize(b, size)
    buffers = vector(b, [empty, tflite.BufferEnd(b)])
    tflite.ModelStart(b)
    tflite.ModelAddVersion(b, 3)
    tflite.ModelAddSubgraphs(b, subgraphs)
    tflite.ModelAddBuffers(b, buffers)
    b.Finish(tflite.ModelEnd(b), b"TFL3")
    return bytes(b.Output())


def vector(builder: Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def test_data_behind_the_flatbuffer() -> None:
    size = len(external(1 << 10, 4))
    content = external(size, 4) + bytes([1, 2, 3, 255])
    data = load_graph(content).main.tensors[0].data
    assert data is not None
    assert data.tolist() == [1, 2, 3, -1]
    assert "truncated by at least 1 bytes" in str(fault(content[:-1]))


@pytest.mark.parametrize(("offset", "size"), [(2, 4), (8, 2**64 - 1), (2**64 - 1, 4), (2**64 - 1, 2**64 - 1)])
def test_data_outside_the_file_is_refused(offset: int, size: int) -> None:
    assert fault(external(offset, size)).rule == "offset"


def test_data_in_another_file_is_refused_by_name() -> None:
    error = fault(external(0, 0, slot=10))
    assert error.rule == "external-buffer"
    assert "external_buffer" in str(error)


# What is not a model


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"", "model content: is empty"),
        (b"hello, this is a text\nof two lines", "is a text file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "HTML"),
        (b"PK\x03\x04" + bytes(60), "zip archive"),
        (b"\x1c\0\0\0T", "ends after 5 bytes"),
        (b"two\nli\nes", "has model identifier 'li\\ne'"),
        (bytes(range(128, 256)), "is not a TFLite model"),
    ],
)
def test_other_files_are_recognised(content: bytes, advice: str) -> None:
    error = fault(content)
    assert error.rule == "identifier"
    assert advice in str(error)


def test_first_lines_are_those_of_tflite() -> None:
    wrong = CONTENT[:4] + b"xxxx" + CONTENT[8:]
    assert str(fault(wrong)).startswith("Model provided has model identifier 'xxxx', should be 'TFL3'\n")
    newer = write_graph(replace(convolution(), version=77))
    assert str(fault(newer)).startswith(
        "Model provided is schema version 77 not equal to supported version 3.\n"
    )


def test_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.tflite"
    with pytest.raises(
        ModelNotFoundError, match=r"^Could not open '.*none\.tflite'\.\nNo such file"
    ) as caught:
        load_graph(path)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, FileNotFoundError)
    with pytest.raises(ModelNotFoundError, match="Could not open"):
        load_graph("a\0b")


def test_a_directory_and_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="is a directory"):
        load_graph(tmp_path)
    empty = tmp_path / "empty.tflite"
    empty.touch()
    with pytest.raises(ModelFormatError, match=r"empty\.tflite: is empty"):
        load_graph(empty)


def test_a_text_stream_is_a_misuse() -> None:
    with pytest.raises(TypeError, match="binary mode"):
        load_graph(io.StringIO("text"))  # type: ignore[arg-type]


# What a damaged model is refused for


@pytest.mark.parametrize(
    ("graph", "rule", "words"),
    [
        (convolution(padding=99), "enum", "padding: 99 is not a Padding; known are 0 SAME, 1 VALID"),
        (convolution(fused_activation_function=9), "enum", "9 is not a Activation"),
        (edit_tensor(convolution(), 0, type=99), "enum", "99 is not a TensorType"),
        (
            edit_operator(convolution(), options=SchemaOptions("AddOptions", {})),
            "options-table",
            "AddOptions, not Conv2DOptions",
        ),
        (edit_operator(convolution(), name="", is_custom=True), "custom-code", "operator code 0"),
        (edit_operator(convolution(), is_custom=True), "custom-code", "'CONV_2D'"),
        (edit_operator(convolution(), inputs=(0, 1, 9)), "tensor-index", "op 0 CONV_2D: inputs [9]"),
        (
            edit_tensor(convolution(), 2, shape=(3,), shape_signature=(3,)),
            "constant-size",
            "holds 2 elements",
        ),
        (edit_tensor(convolution(), 2, type=TensorType.VARIANT), "constant-type", "VARIANT"),
        (replace(convolution(), subgraphs=()), "no-subgraph", "no subgraph"),
    ],
)
def test_faults_are_named(graph: Graph, rule: str, words: str) -> None:
    error = fault(write_graph(graph))
    assert error.rule == rule
    assert words in str(error)
    assert "model content" in str(error)


def test_a_buffer_that_does_not_exist() -> None:
    content = write_graph(one_op("ADD", [tensor((1,)), tensor((1,))], [tensor((1,))]))
    table = tflite.Model.GetRootAs(content).Subgraphs(0).Tensors(0)._tab
    damaged = bytearray(content)
    struct.pack_into("<I", damaged, table.Pos + table.Offset(8), 1000)
    assert fault(bytes(damaged)).rule == "buffer-index"


def test_strings_outside_their_buffer() -> None:
    graph = one_op(
        "RESHAPE",
        [constant(np.array([b"abc"], object), TensorType.STRING)],
        [tensor((1,), TensorType.STRING)],
    )
    content = write_graph(graph)
    packed = struct.pack("<iii", 1, 12, 15)
    assert packed in content
    for wrong in ((2, 12, 15), (1, 12, 16), (1, 15, 12), (1, 0, 15), (-1, 12, 15), (2**31 - 1, 12, 15)):
        damaged = content.replace(packed, struct.pack("<iii", *wrong))
        assert fault(damaged).rule in ("string-offsets", "constant-size")


def test_a_small_file_that_unpacks_to_a_huge_graph_is_refused() -> None:
    """Every entry of a vector refers to the same table: sharing that no converter writes."""
    b = Builder()
    name = b.CreateString("x" * 4000)
    tflite.TensorStart(b)
    tflite.TensorAddName(b, name)
    tensors = vector(b, [tflite.TensorEnd(b)] * 1000)
    tflite.SubGraphStart(b)
    tflite.SubGraphAddTensors(b, tensors)
    subgraphs = vector(b, [tflite.SubGraphEnd(b)])
    tflite.BufferStart(b)
    buffers = vector(b, [tflite.BufferEnd(b)])
    tflite.ModelStart(b)
    tflite.ModelAddVersion(b, 3)
    tflite.ModelAddSubgraphs(b, subgraphs)
    tflite.ModelAddBuffers(b, buffers)
    b.Finish(tflite.ModelEnd(b), b"TFL3")
    assert fault(bytes(b.Output())).rule == "expansion"


def load_or_refuse(content: bytes) -> None:
    with contextlib.suppress(ModelFormatError):
        load_graph(content)


def test_truncated_anywhere() -> None:
    for size in range(len(CONTENT)):
        load_or_refuse(CONTENT[:size])


@given(st.binary(max_size=400))
def test_random_bytes(content: bytes) -> None:
    load_or_refuse(content)
    load_or_refuse(CONTENT[:8] + content)


@given(st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 255)), min_size=1, max_size=8))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_changed_bytes(changes: list[tuple[int, int]]) -> None:
    content = bytearray(CONTENT)
    for position, value in changes:
        content[position] = value
    load_or_refuse(bytes(content))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_changed_words() -> None:
    """Every aligned word as an offset far behind, just behind, before and at the end of the file."""
    for position in range(0, len(CONTENT), 4):
        for value in (0xFFFFFFFF, 0x7FFFFFFF, len(CONTENT) - position, len(CONTENT) - position - 4):
            content = bytearray(CONTENT)
            struct.pack_into("<I", content, position, value)
            load_or_refuse(bytes(content))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_real_model_damaged(model_path: Callable[[str], Path]) -> None:
    content = model_path("mtcnn_pnet.tflite").read_bytes()
    random = np.random.default_rng(7)
    for _ in range(150):
        damaged = bytearray(content)
        for position in random.integers(8, len(content), 6):
            damaged[position] = int(random.integers(256))
        load_or_refuse(bytes(damaged))
        load_or_refuse(content[: int(random.integers(len(content)))])
