from __future__ import annotations

import copy
import gc
import importlib.util
import os
import pickle
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minilite import (
    InvokeError,
    MiniliteError,
    ModelFormatError,
    ModelNotFoundError,
    PrepareError,
    TensorValueError,
    UnsupportedOpError,
)
from minilite.graph import Graph, Operator, Subgraph
from minilite.interpreter import (
    Delegate,
    Interpreter,
    InterpreterWithCustomOps,
    OpResolverType,
    SignatureRunner,
    load_delegate,
)
from minilite.writer import write_graph
from tests.small_models import (
    chain_graph,
    chain_result,
    quantized_graph,
    signed_graph,
    sum_graph,
    two_entries_graph,
)

needs_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")
X = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)


@pytest.fixture(params=["numpy", pytest.param("numba", marks=needs_numba)])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def content() -> bytes:
    return write_graph(chain_graph())


@pytest.fixture
def interpreter(content: bytes) -> Interpreter:
    """The chain, allocated, on NumPy."""
    made = Interpreter(model_content=content, backend="numpy")
    made.allocate_tensors()
    return made


def first_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    return str(error.value).split("\n")[0]


# --- the way it is meant to be used -----------------------------------------------------------------------


def test_set_invoke_get(content: bytes, backend: str) -> None:
    interpreter = Interpreter(model_content=content, num_threads=1, backend=backend)
    interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    np.testing.assert_array_equal(interpreter.get_tensor(result["index"]), np.zeros((1, 2, 2, 3)))
    for x in (X, X[:, ::-1], np.asfortranarray(X + 1), X.astype(">f4")):
        interpreter.set_tensor(source["index"], x)
        interpreter.invoke()
        np.testing.assert_array_equal(interpreter.get_tensor(result["index"]), chain_result(x))


def test_get_tensor_copies(interpreter: Interpreter) -> None:
    interpreter.set_tensor(0, X)
    copied = interpreter.get_tensor(0)
    copied[...] = 7
    np.testing.assert_array_equal(interpreter.get_tensor(0), X)


def test_source_is_a_path_or_any_bytes(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    sources: list[dict[str, Any]] = [
        {"model_path": path},
        {"model_path": str(path)},
        {"model_path": os.fsencode(path)},
        {"model_content": bytearray(content)},
        {"model_content": memoryview(content)},
        {"model_content": np.frombuffer(content, np.uint8)},
    ]
    for source in sources:
        assert Interpreter(**source, backend="numpy").get_input_details()[0]["index"] == 0


def test_every_constructor_argument_of_both_runtimes(content: bytes) -> None:
    Interpreter(
        None,
        content,
        [],
        True,
        OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        False,
        experimental_disable_delegate_clustering=True,
        experimental_default_delegate_latest_features=True,
        experimental_compress_quantization_zero_points=True,
        experimental_disable_delegate_node_fusion=True,
        experimental_force_delegate_node_profiling=True,
        backend="numpy",
    )


def test_the_reference_resolver_is_the_numpy_reference(content: bytes) -> None:
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    assert interpreter._settings["backend"] == "numpy"


def test_intermediates_with_preserve(content: bytes, backend: str) -> None:
    interpreter = Interpreter(model_content=content, experimental_preserve_all_tensors=True, backend=backend)
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, X)
    interpreter.invoke()
    np.testing.assert_array_equal(interpreter.get_tensor(2), X + np.array([1, 2, 3], np.float32))
    np.testing.assert_array_equal(interpreter.get_tensor(4), chain_result(X))


def test_intermediates_without_preserve(content: bytes, backend: str) -> None:
    interpreter = Interpreter(model_content=content, backend=backend)
    interpreter.allocate_tensors()
    interpreter.invoke()
    reads: list[Callable[[], Any]] = [lambda: interpreter.get_tensor(2), interpreter.tensor(2)]
    for read in reads:
        with pytest.raises(TensorValueError, match="experimental_preserve_all_tensors=True") as caught:
            read()
        assert caught.value.tensor == 2


def test_constants_are_readable_at_any_time_and_read_only(content: bytes) -> None:
    interpreter = Interpreter(model_content=content, backend="numpy")
    np.testing.assert_array_equal(interpreter.get_tensor(1), [1, 2, 3])
    interpreter.allocate_tensors()
    np.testing.assert_array_equal(interpreter.get_tensor(1), [1, 2, 3])
    assert not interpreter.tensor(1)().flags.writeable
    interpreter.get_tensor(1)[...] = 0  # a copy, the caller's own
    np.testing.assert_array_equal(interpreter.get_tensor(1), [1, 2, 3])


def test_resize_and_allocate(content: bytes, backend: str) -> None:
    interpreter = Interpreter(model_content=content, backend=backend)
    for rows in (3, 1, 2):
        x = np.random.default_rng(rows).random((rows, 2, 2, 3), np.float32)
        interpreter.resize_tensor_input(0, x.shape)
        assert interpreter.get_input_details()[0]["shape"].tolist() == list(x.shape)
        interpreter.allocate_tensors()
        assert interpreter.get_output_details()[0]["shape"].tolist() == list(x.shape)
        interpreter.set_tensor(0, x)
        interpreter.invoke()
        np.testing.assert_array_equal(interpreter.get_tensor(4), chain_result(x))


def test_same_size_and_second_allocate_keep_everything(interpreter: Interpreter) -> None:
    interpreter.set_tensor(0, X)
    interpreter.resize_tensor_input(0, np.array([1, 2, 2, 3]), strict=True)
    interpreter.allocate_tensors()
    interpreter.invoke()
    np.testing.assert_array_equal(interpreter.get_tensor(4), chain_result(X))


def test_strict_resize_of_an_unknown_size() -> None:
    interpreter = Interpreter(model_content=write_graph(sum_graph()), backend="numpy")
    for index in (0, 1):
        interpreter.resize_tensor_input(index, [3, 2], strict=True)
    interpreter.allocate_tensors()
    details = interpreter.get_output_details()[0]
    assert details["shape"].tolist() == [3, 2]
    assert details["shape_signature"].tolist() == [-1, 2]


# --- views ------------------------------------------------------------------------------------------


def test_views_share_memory(content: bytes, backend: str) -> None:
    interpreter = Interpreter(model_content=content, backend=backend)
    interpreter.allocate_tensors()
    source, result = interpreter.tensor(0), interpreter.tensor(4)
    source()[...] = X
    interpreter.invoke()
    np.testing.assert_array_equal(result(), chain_result(X))
    source().fill(3)
    np.testing.assert_array_equal(interpreter.get_tensor(0), np.full_like(X, 3))


@pytest.mark.parametrize(
    "hold",
    [
        lambda view: view,
        lambda view: view[0, 1:],
        lambda view: view.reshape(-1)[::2],
        lambda view: view.view(np.uint8),
        lambda view: np.asarray(view).T,
        memoryview,
        lambda view: np.frombuffer(memoryview(view), np.float32),
        iter,
    ],
)
def test_a_held_view_blocks_what_would_change_it(
    interpreter: Interpreter, hold: Callable[[Any], Any]
) -> None:
    held = hold(interpreter.tensor(0)())
    assert not interpreter._safe_to_run()
    for call in (
        interpreter.invoke,
        interpreter.allocate_tensors,
        lambda: interpreter.resize_tensor_input(0, [2, 2, 2, 3]),
        interpreter._ensure_safe,
    ):
        with pytest.raises(RuntimeError, match="There is at least 1 reference to internal data"):
            call()
    interpreter.set_tensor(0, X)  # fine, as in TFLite
    del held
    gc.collect()
    assert interpreter._safe_to_run()
    interpreter.invoke()


def test_copies_and_the_function_itself_may_be_held(interpreter: Interpreter) -> None:
    view = interpreter.tensor(0)
    held = [view().copy(), view() + 1, view().tolist(), view().sum(), view]
    interpreter.invoke()
    assert len(held) == 5


def test_a_view_outlives_the_interpreter(content: bytes) -> None:
    interpreter = Interpreter(model_content=content, backend="numpy")
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, X)
    view = interpreter.tensor(0)()
    del interpreter
    gc.collect()
    np.testing.assert_array_equal(view, X)


# --- misuse: the same types of errors, and what to do about them ---------------------------------------


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({}, ValueError, "`model_path` or `model_content` must be specified."),
        ({"model_path": ""}, ValueError, "`model_path` or `model_content` must be specified."),
        ({"model_content": b""}, ValueError, "`model_path` or `model_content` must be specified."),
        (
            {"model_path": "m", "model_content": b"m"},
            ValueError,
            "Can't both provide `model_path` and `model_content`",
        ),
        ({"model_path": "/nonexist.tflite"}, ValueError, "Could not open '/nonexist.tflite'."),
        ({"model_path": "/nonexist.tflite"}, FileNotFoundError, "Could not open '/nonexist.tflite'."),
        ({"model_path": 5}, TypeError, "expected str, bytes or os.PathLike object, not int"),
        ({"model_content": 5}, TypeError, "memoryview: a bytes-like object is required, not 'int'"),
        ({"model_content": "text"}, TypeError, "memoryview: a bytes-like object is required, not 'str'"),
        ({"model_path": "m", "num_threads": 0}, ValueError, "num_threads should >= 1"),
        ({"model_path": "m", "num_threads": -1}, ValueError, "num_threads should >= 1"),
        ({"model_path": "m", "num_threads": "2"}, ValueError, "type of num_threads should be int"),
        ({"model_path": "m", "num_threads": 2.0}, ValueError, "type of num_threads should be int"),
        (
            {"model_path": "m", "experimental_op_resolver_type": 99},
            ValueError,
            "Unrecognized passed in op resolver type: 99",
        ),
        ({"model_path": "m", "threads": 2}, TypeError, "Interpreter.__init__() got an unexpected keyword"),
        (
            {"model_path": "m", "experimental_delegates": ["x.so"]},
            AttributeError,
            "'str' object has no attribute '_get_native_delegate_pointer'",
        ),
        ({"model_path": "m", "backend": "gpu"}, RuntimeError, "unknown backend 'gpu'"),
    ],
)
def test_constructor_misuse(arguments: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        Interpreter(**arguments)
    assert first_line(caught).startswith(message)


def test_files_that_are_no_models(tmp_path: Path, content: bytes) -> None:
    garbage = {
        "empty": b"",
        "text": b"<html>not found</html>" * 100,
        "half": content[: len(content) // 2],
        "sixteen": content[:16],
        "root": b"\xff\xff\xff\x7f" + content[4:],
    }
    for name, data in garbage.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(ModelFormatError):
            Interpreter(model_path=path)
        if data:
            with pytest.raises(ModelFormatError):
                Interpreter(model_content=data)
    with pytest.raises(ModelFormatError):
        Interpreter(model_path=tmp_path)
    bad = bytearray(content)
    bad[4:8] = b"xxxx"
    with pytest.raises(ValueError, match=r"^Model provided has model identifier 'xxxx', should be 'TFL3'"):
        Interpreter(model_content=bad)


def test_missing_file_is_a_minilite_error() -> None:
    with pytest.raises(ModelNotFoundError):
        Interpreter("/nonexist.tflite")


def test_delegates_are_refused(content: bytes) -> None:
    class Native:
        def _get_native_delegate_pointer(self) -> int:
            return 4096

    refusals: list[Callable[[], Any]] = [
        lambda: load_delegate("edgetpu.so"),
        lambda: Delegate("edgetpu.so", {"device": "usb"}),
    ]
    for refuse in refusals:
        with pytest.raises(OSError, match=r"^Failed to load delegate from 'edgetpu.so'") as caught:
            refuse()
        assert isinstance(caught.value, ValueError)
    with pytest.raises(MiniliteError, match="Leave experimental_delegates out"):
        Interpreter(model_content=content, experimental_delegates=[Native()])


def test_custom_operators_in_native_code_are_refused(content: bytes) -> None:
    InterpreterWithCustomOps(model_content=content, backend="numpy").allocate_tensors()
    InterpreterWithCustomOps([], model_content=content, backend="numpy")
    with pytest.raises(ValueError, match=r"^Looking up symbol 'foo' failed"):
        InterpreterWithCustomOps(custom_op_registerers=["foo"], model_content=content)


def test_unknown_operators_are_named() -> None:
    main = chain_graph().main
    strange = tuple(
        Operator(op.index, f"Strange{op.index}", op.inputs, op.outputs, is_custom=True)
        for op in main.operators
    )
    graph = Graph((Subgraph(0, "main", main.tensors, strange, main.inputs, main.outputs),))
    with pytest.raises(UnsupportedOpError, match=r"(?s)Strange0.*Strange1"):
        Interpreter(model_content=write_graph(graph))


def test_use_before_allocate(content: bytes) -> None:
    interpreter = Interpreter(model_content=content, backend="numpy")
    null = "Tensor data is null. Run allocate_tensors() first"
    unset = "Cannot set tensor: Tensor is unallocated. Try calling allocate_tensors() first"
    unready = "Invoke called on model that is not ready."
    calls: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: interpreter.get_tensor(0), ValueError, null),
        (interpreter.tensor(4), ValueError, null),
        (lambda: interpreter.set_tensor(0, X), ValueError, unset),
        (interpreter.invoke, RuntimeError, unready),
    ]
    for call, kind, message in calls:
        with pytest.raises(kind) as caught:
            call()
        assert first_line(caught) == message
    interpreter.allocate_tensors()
    interpreter.resize_tensor_input(0, [2, 2, 2, 3])
    for call, kind, _ in calls:
        with pytest.raises(kind):
            call()
    interpreter.reset_all_variables()  # no memory, nothing to reset: fine, as in TFLite


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (X.astype(np.float64), "FLOAT64"),
        (X.astype(np.float16), "FLOAT16"),
        (X.astype(np.uint8), "UINT8"),
        (X.astype(np.uint32), "UINT32"),
        (X.astype(bool), "BOOL"),
        (X.astype(np.complex64), "COMPLEX64"),
        (X.astype(np.longdouble), "NOTYPE"),
        (X.astype("M8[s]"), "NOTYPE"),
        ([1], "INT64"),
        (1.5, "FLOAT64"),
        (None, "STRING"),
        ("text", "STRING"),
    ],
)
def test_wrong_dtype(interpreter: Interpreter, value: Any, name: str) -> None:
    with pytest.raises(ValueError, match="Cannot set") as caught:
        interpreter.set_tensor(0, value)
    assert first_line(caught) == (
        f"Cannot set tensor: Got value of type {name} but expected type FLOAT32 for input 0, "
        "name: serving_default_x:0 "
    )


def test_quantized_input_given_floats_says_how_to_quantize() -> None:
    interpreter = Interpreter(model_content=write_graph(quantized_graph()), backend="numpy")
    with pytest.raises(ValueError, match=r"np.round\(x / 0.5 \+ 128\)"):
        interpreter.set_tensor(0, np.zeros((1, 4), np.float32))


@pytest.mark.parametrize(
    ("value", "message", "advice"),
    [
        (X[0], "Got 3 but expected 4 for input 0.", "Add the batch axis: x[np.newaxis]."),
        (np.zeros((1, 5, 2, 3), np.float32), "Got 5 but expected 2 for dimension 1 of input 0.", "Resize"),
        (X.transpose(0, 3, 1, 2), "Got 3 but expected 2 for dimension 1 of input 0.", "NCHW"),
    ],
)
def test_wrong_shape(interpreter: Interpreter, value: Any, message: str, advice: str) -> None:
    with pytest.raises(ValueError, match="Cannot set") as caught:
        interpreter.set_tensor(0, value)
    assert first_line(caught) == f"Cannot set tensor: Dimension mismatch. {message}"
    assert advice in str(caught.value)


def test_only_inputs_can_be_set(interpreter: Interpreter) -> None:
    with pytest.raises(TensorValueError, match=r"'bias'.* is a constant of the file"):
        interpreter.set_tensor(1, np.zeros(3, np.float32))
    with pytest.raises(TensorValueError, match="is computed by the model"):
        interpreter.set_tensor(2, X)


def test_numbers_of_nothing(interpreter: Interpreter) -> None:
    def check(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
        with pytest.raises(kind) as caught:
            call()
        assert first_line(caught) == message

    for index in (-1, 99999):
        message = f"Invalid tensor index {index} exceeds max tensor index 5"
        check(lambda i=index: interpreter.get_tensor(i), ValueError, message)  # type: ignore[misc]
        check(lambda i=index: interpreter.set_tensor(i, X), ValueError, message)  # type: ignore[misc]
        check(lambda i=index: interpreter.tensor(i)(), ValueError, message)  # type: ignore[misc]
        check(lambda i=index: interpreter._get_tensor_details(i, 0), ValueError, message)  # type: ignore[misc]
        check(lambda i=index: interpreter._get_op_details(i), ValueError, "Invalid node index")  # type: ignore[misc]
        with pytest.raises(RuntimeError):
            interpreter.resize_tensor_input(index, [1])
    check(
        lambda: interpreter.get_tensor(0, 5),
        ValueError,
        "Invalid subgraph index 5 exceeds max subgraph index 1",
    )
    for number in (7, -1):
        check(
            lambda n=number: interpreter.get_tensor_details(n),  # type: ignore[misc]
            ValueError,
            f"subgraph_index is out of range: {number} for the model, which has 1 subgraphs.",
        )
    for wrong in ("0", 0.0, None):
        with pytest.raises(TypeError):
            interpreter.get_tensor(wrong)  # type: ignore[arg-type]
    interpreter.get_tensor(np.int64(0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("index", "size", "strict", "kind", "message"),
    [
        (
            0,
            [2, 2, 2, 3],
            True,
            RuntimeError,
            "Attempting to resize dimension 0 of tensor 0 with value 1 to 2. "
            "ResizeInputTensorStrict only allows mutating unknown dimensions identified by -1.",
        ),
        (0, [2, 2, 3], True, RuntimeError, "tensor->dims->size != dims.size() (4 != 3)"),
        (1, [3], False, RuntimeError, "Attempting to resize a fixed-size tensor."),
        (4, [1, 2, 2, 3], False, RuntimeError, "Attempting to resize a fixed-size tensor."),
        (0, [[1, 2, 2, 3]], False, ValueError, "Shape should be 1D instead of 2."),
        (0, 5, False, ValueError, "Shape should be 1D instead of 0."),
        (0, ["a", "b"], False, ValueError, "invalid literal for int() with base 10: "),
        (0, [1.5, 2, 2, 3], False, ValueError, "sizes have to be whole numbers"),
        (0, [-1, 2, 2, 3], False, RuntimeError, "BytesRequired number of elements overflowed."),
        (0, [2**40, 2**40, 2, 3], False, RuntimeError, "BytesRequired number of elements overflowed."),
    ],
)
def test_resize_misuse(
    interpreter: Interpreter, index: int, size: Any, strict: bool, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        interpreter.resize_tensor_input(index, size, strict)
    assert first_line(caught).startswith(message)
    interpreter.set_tensor(0, X)
    interpreter.invoke()  # nothing has changed
    np.testing.assert_array_equal(interpreter.get_tensor(4), chain_result(X))


def test_a_size_the_operators_refuse_is_found_at_allocate(interpreter: Interpreter) -> None:
    interpreter.resize_tensor_input(0, [1, 2, 2, 5])
    for _ in range(2):
        with pytest.raises(PrepareError, match="op 0 ADD"):
            interpreter.allocate_tensors()
        with pytest.raises(RuntimeError, match=r"^Invoke called on model that is not ready."):
            interpreter.invoke()
    interpreter.resize_tensor_input(0, X.shape)
    interpreter.allocate_tensors()
    interpreter.invoke()


def test_no_native_handle(interpreter: Interpreter) -> None:
    with pytest.raises(RuntimeError, match="no native interpreter"):
        interpreter._native_handle()


# --- signatures -----------------------------------------------------------------------------------------


def test_signature_runner(backend: str) -> None:
    interpreter = Interpreter(model_content=write_graph(signed_graph()), backend=backend)
    assert interpreter.get_signature_list() == {
        "serve": {"inputs": ["image"], "outputs": ["also_hidden", "scores"]}
    }
    runner = interpreter.get_signature_runner()
    assert runner.get_input_details()["image"]["index"] == 0
    assert {name: d["index"] for name, d in runner.get_output_details().items()} == {
        "scores": 4,
        "also_hidden": 2,
    }
    for rows in (1, 3):
        x = np.random.default_rng(rows).random((rows, 2, 2, 3), np.float32)
        outputs = runner(image=x)
        np.testing.assert_array_equal(outputs["scores"], chain_result(x))
        np.testing.assert_array_equal(outputs["also_hidden"], x + np.array([1, 2, 3], np.float32))


def test_signature_of_another_subgraph(backend: str) -> None:
    interpreter = Interpreter(model_content=write_graph(two_entries_graph()), backend=backend)
    assert interpreter.num_subgraphs() == 2
    assert [d["name"] for d in interpreter.get_tensor_details(1)] == ["a", "b", "sum"]
    plus = interpreter.get_signature_runner("plus")
    a, b = np.array([1, 2], np.float32), np.array([10, 20], np.float32)
    np.testing.assert_array_equal(plus(x=a, y=b)["sum"], [11, 22])
    np.testing.assert_array_equal(interpreter.get_tensor(2, 1), [11, 22])
    with pytest.raises(RuntimeError, match="not ready"):
        interpreter.invoke()  # the main subgraph has not been allocated by that


def test_signature_misuse(content: bytes) -> None:
    plain = Interpreter(model_content=content, backend="numpy")
    several = Interpreter(model_content=write_graph(two_entries_graph()), backend="numpy")
    with pytest.raises(
        ValueError, match=r"^SignatureDef signature_key is None and model has 0 Signatures. None is"
    ):
        plain.get_signature_runner()
    with pytest.raises(ValueError, match=r"(?s)model has 2 Signatures.*main, plus"):
        several.get_signature_runner()
    with pytest.raises(ValueError, match=r'^Invalid signature_key provided: "foo".'):
        several.get_signature_runner("foo")
    with pytest.raises(ValueError, match=r"^None interpreter provided."):
        SignatureRunner(None, "main")
    with pytest.raises(ValueError, match=r"^None signature_key provided."):
        SignatureRunner(several)
    plus = several.get_signature_runner("plus")
    a = np.zeros(2, np.float32)
    with pytest.raises(ValueError, match=r"^Invalid number of inputs .* expected 2 vs provided 1"):
        plus(x=a)
    with pytest.raises(ValueError, match=r"^Invalid Input name \(z\) for SignatureDef"):
        plus(x=a, z=a)
    with pytest.raises(AttributeError):
        plus(x=a, y=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"^Cannot set tensor: Got value of type FLOAT64"):
        plus(x=a, y=a.astype(np.float64))
    with pytest.raises(PrepareError):
        plus(x=a, y=np.zeros(3, np.float32))
    np.testing.assert_array_equal(plus(x=a + 1, y=a + 2)["sum"], [3, 3])


def test_signature_runner_refuses_while_a_view_is_held() -> None:
    interpreter = Interpreter(model_content=write_graph(signed_graph()), backend="numpy")
    interpreter.allocate_tensors()
    view = interpreter.tensor(0)()
    with pytest.raises(RuntimeError, match="There is at least 1 reference"):
        interpreter.get_signature_runner()(image=X)
    del view
    interpreter.get_signature_runner()(image=X)


# --- copies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda i: pickle.loads(pickle.dumps(i))])
def test_copies_stand_where_the_original_stands(
    content: bytes, backend: str, duplicate: Callable[[Interpreter], Interpreter]
) -> None:
    original = Interpreter(
        model_content=content, num_threads=2, experimental_preserve_all_tensors=True, backend=backend
    )
    assert not duplicate(original)._sessions[0].save()["allocated"]
    original.resize_tensor_input(0, [2, 2, 2, 3])
    original.allocate_tensors()
    x = np.random.default_rng(0).random((2, 2, 2, 3), np.float32)
    original.set_tensor(0, x)
    held = original.tensor(0)()
    original.__dict__["note"] = "of a caller who adds attributes"
    twin = duplicate(original)
    assert twin.__dict__["note"] == "of a caller who adds attributes"
    assert twin._safe_to_run()
    held[...] = 0
    del held
    np.testing.assert_array_equal(twin.get_tensor(0), x)
    twin.invoke()
    np.testing.assert_array_equal(twin.get_tensor(4), chain_result(x))
    np.testing.assert_array_equal(twin.get_tensor(2), x + np.array([1, 2, 3], np.float32))


def test_deep_copies_share_the_weights(interpreter: Interpreter) -> None:
    assert copy.deepcopy(interpreter)._graph is interpreter._graph


def test_nothing_waits_for_the_garbage_collector(content: bytes, backend: str) -> None:
    interpreter = Interpreter(model_content=content, backend=backend)
    interpreter.allocate_tensors()
    interpreter.tensor(0)().fill(1)
    interpreter.invoke()
    gone = weakref.ref(interpreter)
    gc.disable()
    try:
        del interpreter
        assert gone() is None
    finally:
        gc.enable()


# --- threads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("long_call", "name"),
    [
        (lambda i: i.invoke(), r"invoke\(\)"),
        (lambda i: i.get_signature_runner()(image=X), "signature 'serve'"),
    ],
)
def test_other_threads_are_refused_while_a_run_is_under_way(
    long_call: Callable[[Interpreter], Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    interpreter = Interpreter(model_content=write_graph(signed_graph()), backend="numpy")
    interpreter.allocate_tensors()
    session = interpreter._sessions[0]
    run = session.run
    entered, leave = threading.Event(), threading.Event()

    def slow_run() -> None:
        entered.set()
        assert leave.wait(5)
        run()

    monkeypatch.setattr(session, "run", slow_run)
    interpreter.set_tensor(0, X)
    runner = threading.Thread(target=long_call, args=(interpreter,), name="the-runner")
    runner.start()
    assert entered.wait(5)
    for call in (
        interpreter.invoke,
        interpreter.allocate_tensors,
        lambda: interpreter.set_tensor(0, X),
        lambda: interpreter.get_tensor(4),
        interpreter.tensor(4),
        lambda: interpreter.resize_tensor_input(0, [2, 2, 2, 3]),
        lambda: interpreter.get_signature_runner()(image=X),
        interpreter.reset_all_variables,
        lambda: pickle.dumps(interpreter),
    ):
        with pytest.raises(InvokeError, match=f"while {name} in the-runner has not finished"):
            call()
    leave.set()
    runner.join()
    np.testing.assert_array_equal(interpreter.get_tensor(4), chain_result(X))
    interpreter.invoke()


def test_a_failed_call_gives_the_interpreter_back(content: bytes) -> None:
    interpreter = Interpreter(model_content=content, backend="numpy")
    with pytest.raises(RuntimeError):
        interpreter.invoke()
    interpreter.allocate_tensors()
    interpreter.invoke()


def test_signature_runner_in_many_threads_is_right_or_refused() -> None:
    interpreter = Interpreter(model_content=write_graph(signed_graph()), backend="numpy")
    runner = interpreter.get_signature_runner()
    right: list[bool] = []
    refused: list[str] = []

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(30):
            x = random.random((random.integers(1, 4), 2, 2, 3), np.float32)
            try:
                right.append(np.array_equal(runner(image=x)["scores"], chain_result(x)))
            except InvokeError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(right)
    assert right
    assert all("has not finished" in message for message in refused)


def test_there_is_no_native_wrapper_and_tools_can_ask() -> None:
    interpreter = Interpreter(model_content=write_graph(signed_graph()), backend="numpy")
    assert not hasattr(interpreter, "_interpreter")
    with pytest.raises(AttributeError, match="no native wrapper"):
        _ = interpreter._interpreter
