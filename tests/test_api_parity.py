"""The interpreter held against LiteRT's own: the same answers, the same kinds of errors."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minilite import interpreter as minilite_interpreter
from minilite.graph import Graph
from minilite.writer import write_graph
from tests.small_models import chain_graph, quantized_graph, signed_graph, sum_graph, two_entries_graph

needs_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")
X = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
GRAPHS: dict[str, Callable[[], Graph]] = {
    "chain": chain_graph,
    "signed": signed_graph,
    "two_entries": two_entries_graph,
    "sum": sum_graph,
    "quantized": quantized_graph,
}
MODELS = sorted(path.name for path in Path(os.environ.get("MINILITE_MODELS", "-")).glob("*.tflite"))


@pytest.fixture(params=GRAPHS)
def graph_content(request: pytest.FixtureRequest) -> bytes:
    return write_graph(GRAPHS[request.param]())


def make(module: Any, preserve: bool = False, **arguments: Any) -> Any:
    """An interpreter of either package, on its reference kernels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # LiteRT warns of preserve_all_tensors
        return module.Interpreter(
            experimental_op_resolver_type=module.OpResolverType.BUILTIN_REF,
            experimental_preserve_all_tensors=preserve,
            **arguments,
        )


def same(ours: Any, theirs: Any, where: str = "") -> None:
    """Equal in keys, types and values, all the way down."""
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), where
        for key in theirs:
            same(ours[key], theirs[key], f"{where}.{key}")
    elif isinstance(theirs, (list, tuple)):
        assert type(ours) is type(theirs), where
        assert len(ours) == len(theirs), where
        for i, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            same(mine, other, f"{where}[{i}]")
    elif isinstance(theirs, np.ndarray):
        assert ours.dtype == theirs.dtype, where
        np.testing.assert_array_equal(ours, theirs, where, strict=True)
    else:
        assert type(ours) is type(theirs), where
        assert ours == theirs, where


def descriptions(interpreter: Any) -> dict[str, Any]:
    # LiteRT lists signatures in the order of a hash table.
    return {
        "inputs": interpreter.get_input_details(),
        "outputs": interpreter.get_output_details(),
        "tensors": [interpreter.get_tensor_details(i) for i in range(interpreter.num_subgraphs())],
        "operators": interpreter._get_ops_details(),
        "signatures": dict(sorted(interpreter.get_signature_list().items())),
        "full": dict(sorted(interpreter._get_full_signature_list().items())),
        "runners": {
            key: (runner.get_input_details(), runner.get_output_details())
            for key in sorted(interpreter.get_signature_list())
            for runner in [interpreter.get_signature_runner(key)]
        },
    }


def test_descriptions_through_an_interpreter_s_life(litert: Any, graph_content: bytes) -> None:
    ours, theirs = (make(m, model_content=graph_content) for m in (minilite_interpreter, litert))
    same(descriptions(ours), descriptions(theirs))
    for interpreter in (ours, theirs):
        interpreter.allocate_tensors()
    same(descriptions(ours), descriptions(theirs))
    rows = [3, *ours.get_input_details()[0]["shape"][1:]]
    for interpreter in (ours, theirs):
        for details in interpreter.get_input_details():
            interpreter.resize_tensor_input(details["index"], rows)
    same(descriptions(ours), descriptions(theirs))
    for interpreter in (ours, theirs):
        interpreter.allocate_tensors()
    same(descriptions(ours), descriptions(theirs))


def test_values_of_every_tensor(litert: Any, graph_content: bytes) -> None:
    ours, theirs = (
        make(m, preserve=True, model_content=graph_content) for m in (minilite_interpreter, litert)
    )
    random = np.random.default_rng(0)
    for interpreter in (ours, theirs):
        interpreter.allocate_tensors()
    for details in ours.get_input_details():
        value = (random.random(details["shape"]) * 200).astype(details["dtype"])
        for interpreter in (ours, theirs):
            interpreter.set_tensor(details["index"], value)
    for interpreter in (ours, theirs):
        interpreter.invoke()
    for details in theirs.get_tensor_details():
        same(ours.get_tensor(details["index"]), theirs.get_tensor(details["index"]), details["name"])


@pytest.mark.parametrize("name", MODELS or [pytest.param("", marks=pytest.mark.skip("no MINILITE_MODELS"))])
def test_descriptions_of_real_models(litert: Any, name: str, models_dir: Path, monkeypatch: Any) -> None:
    # What an interpreter says of a model does not depend on whether its operators can run.
    monkeypatch.setattr(minilite_interpreter, "check_supported", lambda graph: None)
    for compress in (False, True):
        ours, theirs = (
            make(
                module,
                model_path=str(models_dir / name),
                experimental_compress_quantization_zero_points=compress,
            )
            for module in (minilite_interpreter, litert)
        )
        same(descriptions(ours), descriptions(theirs))


@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=needs_numba)])
def test_the_quantized_deeplab_gives_the_same_labels(litert: Any, model_path: Any, backend: str) -> None:
    path = model_path("deeplabv3_jejunet_256_uint8.tflite")
    ours = minilite_interpreter.Interpreter(path, backend=backend)
    theirs = make(litert, model_path=path)
    picture = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), np.uint8)
    picture = np.sort(picture, axis=1)  # gradients, to reach more than the background's label
    for interpreter in (ours, theirs):
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture)
        interpreter.invoke()
    index = theirs.get_output_details()[0]["index"]
    same(ours.get_tensor(index), theirs.get_tensor(index))


def before_allocate(use: Callable[[Any], Any]) -> Callable[[Any, bytes], Any]:
    return lambda module, content: use(make(module, model_content=content))


def after_allocate(use: Callable[[Any], Any]) -> Callable[[Any, bytes], Any]:
    def misuse(module: Any, content: bytes) -> Any:
        interpreter = make(module, model_content=content)
        interpreter.allocate_tensors()
        return use(interpreter)

    return misuse


def resized(use: Callable[[Any], Any]) -> Callable[[Any, bytes], Any]:
    def misuse(module: Any, content: bytes) -> Any:
        interpreter = make(module, model_content=content)
        interpreter.allocate_tensors()
        interpreter.resize_tensor_input(0, [2, 2, 2, 3])
        return use(interpreter)

    return misuse


def while_held(use: Callable[[Any], Any]) -> Callable[[Any, bytes], Any]:
    def misuse(module: Any, content: bytes) -> Any:
        interpreter = make(module, model_content=content)
        interpreter.allocate_tensors()
        view = interpreter.tensor(0)()[0]
        try:
            return use(interpreter)
        finally:
            del view

    return misuse


MISUSE: dict[str, Callable[[Any, bytes], Any]] = {
    "no model": lambda m, c: m.Interpreter(),
    "empty content": lambda m, c: m.Interpreter(model_content=b""),
    "both": lambda m, c: m.Interpreter(model_path="x", model_content=c),
    "int path": lambda m, c: m.Interpreter(5),
    "threads 0": lambda m, c: m.Interpreter(model_content=c, num_threads=0),
    "threads str": lambda m, c: m.Interpreter(model_content=c, num_threads="2"),
    "threads float": lambda m, c: m.Interpreter(model_content=c, num_threads=2.0),
    "resolver": lambda m, c: m.Interpreter(model_content=c, experimental_op_resolver_type=99),
    "invoke first": before_allocate(lambda i: i.invoke()),
    "get first": before_allocate(lambda i: i.get_tensor(0)),
    "view first": before_allocate(lambda i: i.tensor(0)()),
    "set first": before_allocate(lambda i: i.set_tensor(0, X)),
    "float64": after_allocate(lambda i: i.set_tensor(0, X.astype(np.float64))),
    "float16": after_allocate(lambda i: i.set_tensor(0, X.astype(np.float16))),
    "uint32": after_allocate(lambda i: i.set_tensor(0, X.astype(np.uint32))),
    "bool": after_allocate(lambda i: i.set_tensor(0, X.astype(bool))),
    "longdouble": after_allocate(lambda i: i.set_tensor(0, X.astype(np.longdouble))),
    "datetime": after_allocate(lambda i: i.set_tensor(0, X.astype("M8[s]"))),
    "complex64": after_allocate(lambda i: i.set_tensor(0, X.astype(np.complex64))),
    "list": after_allocate(lambda i: i.set_tensor(0, [1])),
    "none": after_allocate(lambda i: i.set_tensor(0, None)),
    "text": after_allocate(lambda i: i.set_tensor(0, "a")),
    "scalar": after_allocate(lambda i: i.set_tensor(0, 1.0)),
    "rank": after_allocate(lambda i: i.set_tensor(0, X[0])),
    "size": after_allocate(lambda i: i.set_tensor(0, X[:, :1])),
    "index -1": after_allocate(lambda i: i.get_tensor(-1)),
    "index 99": after_allocate(lambda i: i.get_tensor(99)),
    "set 99": after_allocate(lambda i: i.set_tensor(99, X)),
    "view 99": after_allocate(lambda i: i.tensor(99)()),
    "details 99": after_allocate(lambda i: i._get_tensor_details(99, 0)),
    "subgraph 5": after_allocate(lambda i: i.get_tensor(0, 5)),
    "details of subgraph 7": after_allocate(lambda i: i.get_tensor_details(7)),
    "op 99": after_allocate(lambda i: i._get_op_details(99)),
    "no signature": after_allocate(lambda i: i.get_signature_runner()),
    "unknown signature": after_allocate(lambda i: i.get_signature_runner("foo")),
    "strict": after_allocate(lambda i: i.resize_tensor_input(0, [2, 2, 2, 3], strict=True)),
    "shape 2-D": after_allocate(lambda i: i.resize_tensor_input(0, [[1, 2, 2, 3]])),
    "shape 0-D": after_allocate(lambda i: i.resize_tensor_input(0, 3)),
    "resized, not allocated": resized(lambda i: i.invoke()),
    "resized, get": resized(lambda i: i.get_tensor(0)),
    "resized, set": resized(lambda i: i.set_tensor(0, np.zeros((2, 2, 2, 3), np.float32))),
    "invoke while held": while_held(lambda i: i.invoke()),
    "allocate while held": while_held(lambda i: i.allocate_tensors()),
    "resize while held": while_held(lambda i: i.resize_tensor_input(0, [2, 2, 2, 3])),
}

# Only the type is TFLite's: its text names its own source lines or its own C++ functions.
OTHER_WORDS: dict[str, Callable[[Any, bytes], Any]] = {
    "missing file": lambda m, c: m.Interpreter("/nonexist.tflite"),
    "garbage": lambda m, c: m.Interpreter(model_content=b"garbage" * 100),
    "truncated": lambda m, c: m.Interpreter(model_content=c[: len(c) // 2]),
    "16 bytes": lambda m, c: m.Interpreter(model_content=c[:16]),
    "identifier": lambda m, c: m.Interpreter(model_content=c[:4] + b"xxxx" + c[8:]),
    "int content": lambda m, c: m.Interpreter(model_content=5),
    "unknown argument": lambda m, c: m.Interpreter(model_content=c, thread=1),
    "no delegate": lambda m, c: m.Interpreter(model_content=c, experimental_delegates=["x"]),
    "missing delegate": lambda m, c: m.load_delegate("no_such_delegate.so"),
    "index str": after_allocate(lambda i: i.get_tensor("0")),
    "index float": after_allocate(lambda i: i.get_tensor(0.0)),
    "resize 99": after_allocate(lambda i: i.resize_tensor_input(99, [1])),
    "resize a constant": after_allocate(lambda i: i.resize_tensor_input(1, [4])),
    "negative size": after_allocate(lambda i: i.resize_tensor_input(0, [-1, 2, 2, 3])),
    "strict rank": after_allocate(lambda i: i.resize_tensor_input(0, [2, 3], strict=True)),
    "channels": after_allocate(
        lambda i: [i.resize_tensor_input(0, [1, 2, 2, 5]), i.allocate_tensors()],
    ),
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # LiteRT's Delegate.__del__
@pytest.mark.parametrize("name", [*MISUSE, *OTHER_WORDS])
def test_misuse_raises_the_same_type_with_the_same_first_line(litert: Any, name: str) -> None:
    content = write_graph(chain_graph())
    misuse = MISUSE.get(name) or OTHER_WORDS[name]
    with pytest.raises(Exception, match=r"(?s).*") as theirs:
        misuse(litert, content)
    with pytest.raises(type(theirs.value)) as ours:
        misuse(minilite_interpreter, content)
    if name in MISUSE:
        assert str(ours.value).startswith(str(theirs.value))
