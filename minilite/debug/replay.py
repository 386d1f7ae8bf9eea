"""Replay a slice of a model under every runtime that is installed, and print how far each is off.

    python replay.py [--json]

Stands in a folder with ``model.tflite``, ``inputs.npz``, ``expected.npz`` and ``slice.json``, which
``minilite slice`` wrote. Needs NumPy and any of minilite, ai-edge-litert and tflite-runtime; each runs in a
process of its own, because a model may end it. MINILITE_TFLITE_RUNTIME_PYTHON names a Python that has
tflite-runtime, if this one does not. Exit code 0 if all that ran agree with the expected values, 1 if one
differs or dies, 2 if none could run.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

MODEL, INPUTS, EXPECTED, DESCRIPTION = "model.tflite", "inputs.npz", "expected.npz", "slice.json"

RUNTIMES = {
    "minilite": ("minilite.interpreter", "AUTO"),
    "minilite-numpy": ("minilite.interpreter", "BUILTIN_REF"),
    "litert-ref": ("ai_edge_litert.interpreter", "BUILTIN_REF"),
    "litert": ("ai_edge_litert.interpreter", "AUTO"),
    "litert-builtin": ("ai_edge_litert.interpreter", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"),
    "tflite-runtime": ("tflite_runtime.interpreter", "BUILTIN_REF"),
    "tflite-runtime-default": ("tflite_runtime.interpreter", "AUTO"),
}
"""Module and resolver."""

MISSING = 3
TIMEOUT = 300


def arrays(path: Path) -> list[Any]:
    """The arrays of a file, by position."""
    with np.load(path) as stored:
        return [stored[str(number)] for number in range(len(stored.files))]


def run_here(runtime: str, folder: Path, target: Path) -> int:
    """Run the model in this process and save its outputs."""
    module_name, resolver = RUNTIMES[runtime]
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        return MISSING
    interpreter = module.Interpreter(
        model_path=str(folder / MODEL),
        num_threads=1,
        experimental_op_resolver_type=module.OpResolverType[resolver],
    )
    interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), arrays(folder / INPUTS)):  # noqa: B905 - 3.9
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    outputs = [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]
    plain: dict[str, Any] = {}
    for number, value in enumerate(map(np.asarray, outputs)):
        plain[str(number)] = value.astype(np.bytes_) if value.dtype == object else value
    np.savez(target, **plain)
    return 0


def run_apart(runtime: str, folder: Path) -> dict[str, Any]:
    """Run the model in another process: what came of it, and its outputs if it ran."""
    python = sys.executable
    environment = dict(os.environ)
    if runtime.startswith("tflite-runtime"):
        python = os.environ.get("MINILITE_TFLITE_RUNTIME_PYTHON") or python
        if python != sys.executable:
            environment.pop("PYTHONPATH", None)  # It leads to packages for this Python.
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "outputs.npz"
        command = [python, str(Path(__file__).resolve()), "--one", runtime, str(folder), str(target)]
        try:
            child = subprocess.run(
                command, capture_output=True, text=True, env=environment, timeout=TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            return {"status": "crash", "message": f"hung for more than {TIMEOUT} s"}
        except OSError:
            return {"status": "missing", "message": f"{python} cannot be started"}
        if child.returncode == 0:
            return {"status": "ran", "outputs": arrays(target)}
    if child.returncode == MISSING:
        return {"status": "missing", "message": "not installed"}
    words = child.stderr.strip().splitlines() or [""]
    if child.returncode < 0:
        return {"status": "crash", "message": f"died with signal {-child.returncode}: {words[-1]}"}
    return {"status": "error", "message": words[-1]}


def judge(given: Any, expected: Any, allowed: float) -> dict[str, Any]:
    """One output beside the expected one."""
    if given.shape != expected.shape:
        return {"agrees": False, "message": f"shape {given.shape} instead of {expected.shape}"}
    if given.dtype.kind not in "biufc":
        same = given.tolist() == expected.tolist()
        return {"agrees": same, "message": "equal" if same else "other texts"}
    wide = np.complex128 if given.dtype.kind == "c" else np.float64
    with np.errstate(all="ignore"):
        errors = np.abs(given.astype(wide) - expected.astype(wide))
    alike = (given == expected) | ((given != given) & (expected != expected))  # noqa: PLR0124 - NaN
    errors = np.where(alike, 0.0, np.where(np.isnan(errors), np.inf, errors))
    largest = float(errors.max(initial=0.0))
    figures: dict[str, Any] = {"agrees": largest <= allowed, "unequal": int(np.count_nonzero(errors))}
    figures["elements"], figures["largest"], figures["allowed"] = given.size, repr(largest), allowed
    if not largest:
        return {**figures, "message": "equal"}
    worst = tuple(int(i) for i in np.unravel_index(int(np.argmax(errors)), errors.shape))
    figures["worst"] = list(worst)
    figures["message"] = (
        f"off by {largest:.6g} (allowed {allowed:.6g}) in {figures['unequal']} of {given.size} elements; "
        f"at {worst} {given[worst]} instead of {expected[worst]}"
    )
    return figures


def main() -> int:
    """Replay under all runtimes."""
    if sys.argv[1:2] == ["--one"]:
        return run_here(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    folder = Path(__file__).resolve().parent
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    as_json = "--json" in sys.argv[1:]
    expected = arrays(folder / EXPECTED)
    rows = []
    for runtime in RUNTIMES:
        row = run_apart(runtime, folder)
        outputs = row.pop("outputs", [])
        row["runtime"] = runtime
        row["outputs"] = [
            judge(value, right, entry["allowed"])
            for value, right, entry in zip(outputs, expected, description["outputs"])  # noqa: B905 - 3.9
        ]
        if row["status"] == "ran":
            row["status"] = "agrees" if all(o["agrees"] for o in row["outputs"]) else "differs"
        rows.append(row)
        if not as_json:
            lines = [o["message"] for o in row["outputs"]] or [row["message"]]
            print(f"{runtime:24}{row['status']:9}{lines[0]}", flush=True)
            for line in lines[1:]:
                print(f"{'':33}{line}")
    if as_json:
        print(json.dumps({"expected": description["expected"], "runtimes": rows}, indent=2))
    else:
        print(f"expected: {description['expected']}; tolerance: {description['tolerance']}")
    statuses = {row["status"] for row in rows}
    if statuses & {"differs", "crash"}:
        return 1
    return 0 if "agrees" in statuses else 2


if __name__ == "__main__":
    sys.exit(main())
