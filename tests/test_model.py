from __future__ import annotations

import copy
import gc
import importlib.util
import pickle
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minilite
from minilite import (
    BackendError,
    Model,
    ModelNotFoundError,
    PrepareError,
    TensorValueError,
    UnsupportedOpError,
    catalogue,
)
from minilite.graph import Graph, Operator, TensorType, with_tensors
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


def numpy_model(graph: Graph) -> Model:
    return Model(graph, backend="numpy")


# --- calling ----------------------------------------------------------------------------------------


def test_outputs_by_position_by_name_and_unpacked(backend: str) -> None:
    model = minilite.load(write_graph(signed_graph()), backend=backend)
    outputs = model(X)
    expected = [[[[11, 13, 15], [14, 16, 18]], [[17, 19, 21], [20, 22, 24]]]]
    np.testing.assert_array_equal(outputs[0], expected)
    scores, hidden = outputs
    assert scores is outputs["scores"]
    assert scores is outputs["StatefulPartitionedCall:0"]
    assert hidden is outputs["also_hidden"]
    assert hidden is outputs["hidden"]
    assert len(outputs) == 2
    assert list(dict(outputs)) == ["scores", "also_hidden"]
    assert outputs[-1] is hidden
    assert outputs[:1] == (scores,)
    with pytest.raises(KeyError, match="'labels' is none of 'scores', 'also_hidden'"):
        outputs["labels"]


def test_results_belong_to_the_caller(backend: str) -> None:
    model = Model(chain_graph(), backend=backend)
    first = model(X)[0]
    kept = first.copy()
    second = model(X + 1)[0]
    np.testing.assert_array_equal(first, kept)
    first[...] = 0
    np.testing.assert_array_equal(second, kept + 1)
    np.testing.assert_array_equal(model(X)[0], kept)


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model(X),
        lambda model: model(image=X),
        lambda model: model({"image": X}),
        lambda model: model({"serving_default_x:0": X}),
        lambda model: model(x=X),
        lambda model: model(X.tolist()),
        lambda model: model(X.astype(np.float64)),
        lambda model: model(X.astype(np.float16)),
        lambda model: model(X.astype(">f4")),
        lambda model: model(np.asfortranarray(X)),
        lambda model: model(np.repeat(X, 2, axis=2)[:, :, ::2]),
    ],
)
def test_ways_to_give_the_input(call: Callable[[Model], Any]) -> None:
    np.testing.assert_array_equal(call(numpy_model(signed_graph()))[0], chain_result(X))


def test_two_inputs_by_position_and_name() -> None:
    model = numpy_model(sum_graph())
    a, b = np.array([[1, 2]], np.float32), np.array([[10, 20]], np.float32)
    for outputs in (
        model(a, b),
        model(a, b=b),
        model(b=b, a=a),
        model({"a": a, "b": b}),
        model({"a": a}, b=b),
    ):
        np.testing.assert_array_equal(outputs["sum"], [[11, 22]])


def test_a_single_output_is_an_array_to_numpy() -> None:
    outputs = numpy_model(chain_graph())(X)
    assert np.argmax(outputs) == 11
    assert np.asarray(outputs).shape == (1, 2, 2, 3)
    assert np.asarray(outputs, np.int32).dtype == np.int32
    with pytest.raises(TypeError, match="2 outputs: choose one of scores, also_hidden"):
        np.asarray(numpy_model(signed_graph())(X))


def test_another_shape_prepares_anew_and_is_remembered(backend: str) -> None:
    model = Model(chain_graph(), backend=backend)
    for rows in (1, 3, 5, 1, 2, 4, 6, 1):  # more shapes than are kept
        x = np.random.default_rng(rows).random((rows, 2, 2, 3), np.float32)
        np.testing.assert_array_equal(model(x)[0], chain_result(x))


def test_executors_kept_are_bounded_and_the_oldest_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = numpy_model(chain_graph())
    made: list[Any] = []
    closed: list[Any] = []
    new = model.executor

    def recording(*args: Any, **kwargs: Any) -> Any:
        executor = new(*args, **kwargs)
        monkeypatch.setattr(executor, "close", lambda: closed.append(executor))
        made.append(executor)
        return executor

    monkeypatch.setattr(model, "executor", recording)
    for rows in (1, 2, 3, 4, 1, 5):
        model(np.zeros((rows, 2, 2, 3), np.float32))
    assert len(made) == 5
    assert closed == [made[1]]  # two rows: unused for longest, since one row was used again
    model.close()
    assert len(closed) == 5


def test_run_all_gives_every_tensor_by_number(backend: str) -> None:
    tensors = Model(chain_graph(), backend=backend).run_all(X)
    assert sorted(tensors) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(tensors[0], X)
    np.testing.assert_array_equal(tensors[1], [1, 2, 3])
    np.testing.assert_array_equal(tensors[2], X + np.array([1, 2, 3], np.float32))
    np.testing.assert_array_equal(tensors[4], chain_result(X))
    assert not tensors[1].flags.writeable


def test_executor_belongs_to_the_caller(backend: str) -> None:
    model = Model(chain_graph(), backend=backend)
    executor = model.executor(keep_all=True)
    executor.view(0)[...] = X
    executor.run(0, 1)
    np.testing.assert_array_equal(executor.view(2), X + np.array([1, 2, 3], np.float32))
    model.close()
    executor.run(1, 2)
    np.testing.assert_array_equal(executor.view(4), chain_result(X))
    executor.close()
    assert model.executor([(3, 2, 2, 3)]).view(4).shape == (3, 2, 2, 3)


# --- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (X[0], r"input 0 'x' \(tensor 0\): expected 4 axes .*given 3 .*Add the batch axis: x\[np.newaxis\]"),
        (X[np.newaxis], r"expected 4 axes .*given 5 .*Drop the leading axis: x\[0\]"),
        (X[0].transpose(2, 0, 1), r"looks like CHW.*np.transpose\(x, \(1, 2, 0\)\)\[np.newaxis\]"),
        (X[..., :2], r"expected \(1, 2, 2, 3\), given \(1, 2, 2, 2\). Resize or reshape it"),
        (X.transpose(0, 3, 1, 2), r"looks like NCHW.*np.transpose\(x, \(0, 2, 3, 1\)\)"),
        (np.zeros((1, 2, 2, 4), np.float32), r"Drop the alpha channel: x\[..., :3\]"),
        (X.astype(np.uint8), r"expected float32, given uint8. Normalise it"),
        (X.astype(np.int64), "expected float32, given int64"),
        (X.astype(bool), "expected float32, given bool"),
        (X.astype(np.complex64), "expected float32, given complex64"),
        (None, "expected float32, given object"),
        ("photo.jpg", "expected float32, given <U9"),
        ([[1.0], [1.0, 2.0]], "input 0 .*no array can be made of it"),
    ],
)
def test_values_that_do_not_fit(value: Any, message: str) -> None:
    model = Model(two_entries_graph(), backend="numpy")
    with pytest.raises(TensorValueError, match=message) as caught:
        model(value)
    assert caught.value.tensor == 0
    np.testing.assert_array_equal(model(X)[0], chain_result(X))


def test_quantized_input_says_how_to_quantize() -> None:
    model = numpy_model(quantized_graph())
    with pytest.raises(TensorValueError) as caught:
        model(np.array([[0.0, 1.0, -1.0, 0.5]], np.float32))
    assert "np.clip(np.round(x / 0.5 + 128), 0, 255).astype(np.uint8)" in str(caught.value)
    # What it advises, by hand: [128, 130, 126, 129]; y = 2x / 1 + 10.
    np.testing.assert_array_equal(model([[128, 130, 126, 129]])[0], [[10, 12, 8, 11]])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[256, 0, 0, 0]], "expected uint8, given int64"),
        ([[-1, 0, 0, 0]], "expected uint8, given int64"),
        ([[0.5, 0, 0, 0]], "expected uint8, given float64"),
        (np.zeros((1, 4), np.int64), r"expected uint8, given int64. Pass x.astype\(np.uint8\)"),
    ],
)
def test_integers_that_would_be_lost(value: Any, message: str) -> None:
    with pytest.raises(TensorValueError, match=message):
        numpy_model(quantized_graph())(value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, a: m(a), r"no value given for input 1 'b' \(tensor 1\)"),
        (lambda m, a: m(), "no value given for input 0 'a' .*, input 1 'b'"),
        (lambda m, a: m(a, a, a), r"takes 2 inputs \(a, b\), given 3"),
        (lambda m, a: m(a, c=a), "no such input: 'c' is none of 'a', 'b'"),
        (lambda m, a: m(a, a=a), "input 0 'a' .* is given twice"),
        (lambda m, a: m({"a": a, "b": a}, a=a), "input 0 'a' .* is given twice"),
    ],
)
def test_arguments_that_do_not_match(call: Callable[[Model, Any], Any], message: str) -> None:
    with pytest.raises(TensorValueError, match=message):
        call(numpy_model(sum_graph()), np.zeros((1, 2), np.float32))


def test_more_than_fits_into_memory(backend: str) -> None:
    model = Model(chain_graph(), backend=backend)
    huge = np.broadcast_to(np.float32(0), (2**24, 2**10, 2**10, 3))
    with pytest.raises(TensorValueError, match=r"not enough memory: .* up to 603,979,776 MiB"):
        model(huge)
    np.testing.assert_array_equal(model(X)[0], chain_result(X))


def test_an_empty_batch_gives_an_empty_result(backend: str) -> None:
    assert Model(chain_graph(), backend=backend)(X[:0])[0].shape == (0, 2, 2, 3)


def test_faults_at_load(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        minilite.load(tmp_path / "none.tflite")
    with pytest.raises(BackendError, match="unknown backend 'gpu'"):
        Model(chain_graph(), backend="gpu")
    for threads in (0, "2", 1.5):
        with pytest.raises(TensorValueError, match=f"at least 1, given {threads!r}"):
            Model(chain_graph(), threads=threads)  # type: ignore[arg-type]
    with pytest.raises(ModelNotFoundError, match="Could not open 'nobody'"):
        minilite.load("nobody")


def test_a_known_name_is_found_where_there_is_no_such_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = catalogue.known_models()["deeplabv3"]
    (tmp_path / known.file).write_bytes(write_graph(signed_graph()))
    monkeypatch.setenv("MINILITE_MODELS", str(tmp_path))
    assert minilite.load("deeplabv3", backend="numpy").inputs[0].shape == X.shape
    # A file of that name comes first.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deeplabv3").write_bytes(write_graph(sum_graph()))
    assert len(minilite.load("deeplabv3", backend="numpy").inputs) == 2


def test_shapes_that_operators_refuse_are_found_at_load_if_they_are_known() -> None:
    graph = sum_graph()
    a, b, result = graph.main.tensors
    b = replace(b, shape=(1, 3), shape_signature=(1, 3))
    unknown = with_tensors(graph, 0, (a, b, result))
    known = with_tensors(graph, 0, (replace(a, shape_signature=a.shape), b, result))
    with pytest.raises(PrepareError, match="op 0 ADD"):
        minilite.load(write_graph(known), backend="numpy")
    model = minilite.load(write_graph(unknown), backend="numpy")
    with pytest.raises(PrepareError, match="op 0 ADD"):
        model(np.zeros((1, 2)), np.zeros((1, 3)))
    np.testing.assert_array_equal(model(np.ones((1, 3)), np.ones((1, 3)))[0], [[2, 2, 2]])


def test_unsupported_operators_are_all_named_at_load() -> None:
    graph = chain_graph()
    main = graph.main
    strange = tuple(
        Operator(op.index, f"Strange{op.index}", op.inputs, op.outputs, is_custom=True)
        for op in main.operators
    )
    content = write_graph(Graph((type(main)(0, "main", main.tensors, strange, main.inputs, main.outputs),)))
    with pytest.raises(UnsupportedOpError, match=r"(?s)Strange0.*Strange1"):
        minilite.load(content)


# --- describing, copying, sharing -----------------------------------------------------------------------


def test_what_a_model_says_of_itself() -> None:
    model = Model(sum_graph(), backend="numpy", threads=2)
    assert [t.name for t in model.inputs] == ["a", "b"]
    assert model.outputs[0].type is TensorType.FLOAT32
    assert (model.backend, model.threads) == ("numpy", 2)
    assert repr(model) == (
        "<minilite.Model (a: float32 (-1, 2), b: float32 (-1, 2)) -> (sum: float32 (-1, 2)), "
        "1 operators, numpy, 2 threads>"
    )
    assert repr(model(np.zeros((1, 2)), np.zeros((1, 2)))) == "Outputs(sum: float32 (1, 2))"


def test_pickle_and_copies(backend: str) -> None:
    model = minilite.load(write_graph(signed_graph()), backend=backend, threads=1)
    outputs = model(X)
    again = pickle.loads(pickle.dumps(model))
    assert (again.backend, again.threads) == (backend, 1)
    np.testing.assert_array_equal(again(X)["scores"], outputs["scores"])
    assert not again.graph.main.tensors[1].data.flags.writeable
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(outputs))["scores"], outputs["scores"])
    for twin in (copy.copy(model), copy.deepcopy(model)):
        assert twin.graph is model.graph
        np.testing.assert_array_equal(twin(X)["scores"], outputs["scores"])


def test_close_and_context_manager(backend: str) -> None:
    with Model(chain_graph(), backend=backend) as model:
        model(X)
    model.close()
    np.testing.assert_array_equal(model(X)[0], chain_result(X))


def test_threads_take_turns_and_never_mix(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(chain_graph(), backend=backend)
    new = model.executor

    def slow_executor(*args: Any, **kwargs: Any) -> Any:
        executor = new(*args, **kwargs)
        run = executor.run

        def slow_run() -> None:
            time.sleep(0.0005)  # the inputs are written: now every other thread gets its chance
            run()

        monkeypatch.setattr(executor, "run", slow_run)
        return executor

    monkeypatch.setattr(model, "executor", slow_executor)
    right: list[bool] = []

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        for _ in range(10):
            x = random.random((random.integers(1, 3), 2, 2, 3), np.float32)
            right.append(np.array_equal(model(x)[0], chain_result(x)))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 40


def test_nothing_waits_for_the_garbage_collector(backend: str) -> None:
    model = Model(chain_graph(), backend=backend)
    model(X)
    gone = weakref.ref(model)
    gc.disable()
    try:
        del model
        assert gone() is None
    finally:
        gc.enable()


def test_without_numba() -> None:
    code = """if True:
        import sys
        sys.modules["numba"] = None
        import numpy as np
        import minilite
        from minilite.model import Model
        from tests.small_models import chain_graph
        model = Model(chain_graph())
        print(model.backend, float(model(np.zeros((1, 2, 2, 3)))[0].sum()))
        try:
            Model(chain_graph(), backend="numba")
        except minilite.BackendError as error:
            print(error)
        """
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.splitlines() == [
        "numpy 144.0",
        "the numba backend needs the package numba, which is not installed: install it, "
        "or use backend='numpy' (slower)",
    ]


def test_import_is_light() -> None:
    code = (
        "import sys, minilite; "
        "print(sorted({'numpy', 'numba', 'PIL', 'tflite', 'flatbuffers', 'typer'} & set(sys.modules)))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_front_door_is_complete() -> None:
    for name in minilite.__all__:
        assert getattr(minilite, name) is not None
    assert set(minilite.__all__) <= set(dir(minilite))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        minilite.nothing  # noqa: B018


# --- a real model ------------------------------------------------------------------------------------


def test_deeplab_with_another_size_and_a_photo_in_the_wrong_order(
    model_path: Callable[[str], Path],
) -> None:
    model = minilite.load(model_path("deeplabv3_257_mv_gpu.tflite"), backend="numpy")
    photo = np.random.default_rng(0).random((257, 257, 3), np.float32)
    assert model(photo[np.newaxis])["ResizeBilinear_3"].shape == (1, 257, 257, 21)
    with pytest.raises(TensorValueError, match=r"looks like NCHW"):
        model(photo.transpose(2, 0, 1)[np.newaxis])
    with pytest.raises(TensorValueError, match=r"Add the batch axis"):
        model(photo)
