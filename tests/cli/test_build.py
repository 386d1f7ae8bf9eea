from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from minilite_models import deeplab

from minilite.graph import TensorType
from minilite.loader import load_graph


@pytest.fixture(autouse=True)
def _kernels_of_the_session(
    _in_a_folder_of_its_own: None, minilite_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calibration runs the network: its kernels need not be compiled for these tests alone."""
    monkeypatch.setenv("MINILITE_CACHE", str(minilite_cache))


SMALL = ("--size", "33x49", "--width", 0.05, "--classes", 3, "--output", "x.tflite")


def test_a_network_is_written_and_described(run: Callable[..., Any], tmp_path: Path) -> None:
    result = run("build", "deeplabv3plus", *SMALL, "--json")
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["bytes"] == (tmp_path / "x.tflite").stat().st_size
    assert summary["output"].endswith("float32 1x33x49x3")
    assert summary["multiply_adds"] > 100_000
    tensors = load_graph("x.tflite").main.tensors
    assert {t.type for t in tensors} == {TensorType.FLOAT32, TensorType.INT32}


def test_a_table_for_people(run: Callable[..., Any]) -> None:
    result = run("build", "deeplabv1", *SMALL)
    assert result.exit_code == 0, result.stderr
    assert "multiply adds" in result.stdout
    assert "VGG-16" in result.stdout


def test_labels_of_an_int8_network_that_can_be_resized(run: Callable[..., Any]) -> None:
    result = run("build", "deeplabv3", *SMALL, "--type", "int8", "--argmax", "--resizable")
    assert result.exit_code == 0, result.stderr
    main = load_graph("x.tflite").main
    x, y = main.tensors[main.inputs[0]], main.tensors[main.outputs[0]]
    assert (x.type, x.shape_signature) == (TensorType.INT8, (1, -1, -1, 3))
    assert (y.type, y.shape) == (TensorType.INT64, (1, 33, 49))


def test_pictures_to_calibrate_with_make_another_model(
    run: Callable[..., Any], photo: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    photo.rename(folder / "photo.png")
    contents = []
    for options in ((), ("--calibrate", folder), ("--calibrate", folder, "--resizable")):
        result = run("build", "deeplabv3", *SMALL, "--type", "int8", *options)
        assert result.exit_code == 0, result.stderr
        main = load_graph("x.tflite").main
        contents.append(main.tensors[main.outputs[0]].quantization)
    scales = [float(q.scale) for q in contents if q is not None]
    assert scales[0] != scales[1] == scales[2]


def test_float_inputs_and_outputs(run: Callable[..., Any]) -> None:
    assert run("build", "deeplabv2", *SMALL, "--type", "int8", "--float-io").exit_code == 0
    main = load_graph("x.tflite").main
    ends = [main.tensors[n].type for n in (*main.inputs, *main.outputs)]
    assert ends == [TensorType.FLOAT32] * 2


def test_weights_from_a_file(run: Callable[..., Any], tmp_path: Path) -> None:
    graph = deeplab.deeplab_v1(deeplab.Settings((33, 49), classes=3, width=0.05))
    weights: dict[str, Any] = {
        t.name: t.data for t in graph.main.tensors if t.dtype == np.float32 and t.data is not None
    }
    weights["fc8/biases"] = np.array([1, 2, 3])
    np.savez(tmp_path / "weights.npz", **weights)
    result = run("build", "deeplabv1", *SMALL, "--weights", "weights.npz")
    assert result.exit_code == 0, result.stderr
    (bias,) = (t.data for t in load_graph("x.tflite").main.tensors if t.name == "fc8/biases")
    assert bias is not None
    assert bias.tolist() == [1, 2, 3]
    result = run("build", "deeplabv1", "--output", "y.tflite", "--weights", "weights.npz")
    assert result.exit_code == 2
    assert "conv1_1/weights is given with the shape" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "257"], "HEIGHTxWIDTH"),
        (["--size", "0x9"], "HEIGHTxWIDTH"),
        (["--type", "int4"], "float16"),
        (["--output", "x.onnx"], ".tflite"),
        (["--output", "nowhere/x.tflite"], "nowhere"),
        (["--output-stride", "5"], "8, 16 and 32"),
        (["--backbone", "vgg"], "mobilenetv2, resnet50"),
        (["--weights", "missing.npz"], "missing.npz"),
        (["--type", "int8", "--calibrate", "missing.png"], "--calibrate missing.png"),
    ],
)
def test_what_cannot_be_built_is_said(run: Callable[..., Any], options: list[str], message: str) -> None:
    result = run("build", "deeplabv3", *SMALL, *options)
    assert result.exit_code == 2, result.stdout
    assert message in result.stderr


def test_an_unknown_network_is_told_the_others(run: Callable[..., Any]) -> None:
    result = run("build", "deeplabv5", *SMALL)
    assert result.exit_code == 2
    assert "deeplabv3plus" in result.stderr
