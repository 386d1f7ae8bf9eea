"""The other end of ``minilite.testing.oracle``: runs models in a runtime, in a process that may die.

Started as a script, ``python oracle_server.py RUNTIME``, by any Python from 3.9 on that has NumPy and
the runtime; it imports nothing of minilite, which need not be there. It reads requests from standard
input and writes an answer to each on standard output.

A message is a length (8 bytes, little-endian), a JSON header of that length, and the bytes of the arrays
that the header lists. A request may hold a model to load, inputs to set, a number of runs, and tensors
to read, done in this order; see ``Server.answer``.
"""

from __future__ import annotations

import importlib
import json
import os
import struct
import sys
import threading
import time
from importlib import metadata
from typing import Any, BinaryIO

import numpy as np


def write_message(stream: BinaryIO, header: dict[str, Any], arrays: list[Any]) -> None:
    """Send a header and arrays."""
    blobs, specs = [], []
    for array in arrays:
        if array.dtype.kind in "OSU":
            texts = [t.encode() if isinstance(t, str) else bytes(t) for t in array.ravel().tolist()]
            specs.append({"shape": array.shape, "dtype": "O", "lengths": [len(text) for text in texts]})
            blobs.append(b"".join(texts))
        else:
            specs.append({"shape": array.shape, "dtype": array.dtype.str})
            blobs.append(array.tobytes())
    text = json.dumps({**header, "arrays": specs}).encode()
    stream.write(b"".join([struct.pack("<Q", len(text)), text, *blobs]))
    stream.flush()


def read_message(stream: BinaryIO) -> tuple[dict[str, Any], list[Any]]:
    """Receive a header and arrays; ``EOFError`` where the other end is gone."""
    (length,) = struct.unpack("<Q", _read(stream, 8))
    header = json.loads(_read(stream, length))
    return header, [_read_array(stream, spec) for spec in header.pop("arrays")]


def _read_array(stream: BinaryIO, spec: dict[str, Any]) -> Any:
    shape = tuple(spec["shape"])
    if spec["dtype"] == "O":
        texts = np.empty(len(spec["lengths"]), object)
        for i, length in enumerate(spec["lengths"]):
            texts[i] = _read(stream, length)
        return texts.reshape(shape)
    dtype = np.dtype(spec["dtype"])
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    return np.frombuffer(bytearray(_read(stream, size)), dtype).reshape(shape)


def _read(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


_LITERT, _TFLITE_RUNTIME = "ai_edge_litert.interpreter", "tflite_runtime.interpreter"

RUNTIMES = {
    "litert": (_LITERT, "AUTO"),
    "litert-ref": (_LITERT, "BUILTIN_REF"),
    "litert-builtin": (_LITERT, "BUILTIN_WITHOUT_DEFAULT_DELEGATES"),
    "tflite-runtime": (_TFLITE_RUNTIME, "BUILTIN_REF"),
    "tflite-runtime-default": (_TFLITE_RUNTIME, "AUTO"),
}
"""Module and resolver of the runtimes that have a short name."""


def interpreter_class(runtime: str) -> tuple[Any, dict[str, Any]]:
    """The class that runs models, and the arguments that choose its kernels.

    ``runtime`` is one of ``RUNTIMES``, or the dotted name of any class with the interface of
    ``Interpreter``, a colon and the name of a resolver behind it where one is to be chosen.
    """
    if runtime in RUNTIMES:
        module_name, resolver = RUNTIMES[runtime]
        module = importlib.import_module(module_name)
        resolvers = module.OpResolverType
        return module.Interpreter, {"experimental_op_resolver_type": resolvers[resolver], "num_threads": 1}
    sys.path.insert(0, os.getcwd())
    dotted, _, resolver = runtime.partition(":")
    name, _, attribute = dotted.rpartition(".")
    module = importlib.import_module(name)
    chosen = {"experimental_op_resolver_type": module.OpResolverType[resolver]} if resolver else {}
    return getattr(module, attribute), chosen


def package_version(runtime: str) -> dict[str, str]:
    """The installed package that a runtime comes from, and its version, where that can be told."""
    package = RUNTIMES.get(runtime, (runtime,))[0].partition(".")[0].replace("_", "-")
    try:
        return {package: metadata.version(package)}
    except metadata.PackageNotFoundError:
        return {}


class Server:
    """One runtime, and the model it has loaded."""

    def __init__(self, runtime: str) -> None:
        self._make, self._arguments = interpreter_class(runtime)
        self._interpreter: Any = None

    def answer(self, request: dict[str, Any], arrays: list[Any]) -> tuple[dict[str, Any], list[Any]]:
        """Do what a request asks; what the runtime raises becomes a refusal.

        Request: ``model`` ("content": the first array holds the file's bytes; or a path), ``keep_all``,
        ``threads``; inputs are the other arrays, in the model's order (``set`` says whether there are any);
        ``runs``; ``read`` (null: the outputs; else tensor numbers). Answer: ``status`` ("ran" or
        "refused"), ``stage`` and ``message`` of a refusal, ``milliseconds`` of each run.
        """
        times: list[float] = []
        stage = "load"
        try:
            if request.get("model"):
                self._load(request, arrays)
            stage = "set"
            if request.get("set"):
                details = self._interpreter.get_input_details()
                for position, value in enumerate(arrays):
                    if value.dtype == object and not value.ndim:
                        # TFLite takes a scalar object for its address.
                        value = np.array(value.item())  # noqa: PLW2901
                    self._interpreter.set_tensor(details[position]["index"], value)
            stage = "invoke"
            for _ in range(request.get("runs", 0)):
                start = time.perf_counter()
                self._interpreter.invoke()
                times.append((time.perf_counter() - start) * 1e3)
            stage = "read"
            outputs = [] if request.get("read") == [] else self._read(request.get("read"))
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            return {"status": "refused", "stage": stage, "message": message, "milliseconds": times}, []
        return {"status": "ran", "milliseconds": times}, outputs

    def _load(self, request: dict[str, Any], arrays: list[Any]) -> None:
        arguments = dict(self._arguments)
        if request["model"] == "content":
            arguments["model_content"] = arrays.pop(0).tobytes()
        else:
            arguments["model_path"] = request["model"]
        if request.get("keep_all"):
            arguments["experimental_preserve_all_tensors"] = True
        if request.get("threads"):
            arguments["num_threads"] = request["threads"]
        self._interpreter = None  # Not two models in memory.
        self._interpreter = self._make(**arguments)
        for position, shape in request.get("resize", []):
            self._interpreter.resize_tensor_input(
                self._interpreter.get_input_details()[position]["index"], shape
            )
        self._interpreter.allocate_tensors()

    def _read(self, numbers: list[int] | None) -> list[Any]:
        details = self._interpreter.get_output_details()
        if numbers is None:
            numbers = [detail["index"] for detail in details]
        outputs = {detail["index"]: detail for detail in details}
        return [self._value(number, outputs.get(number)) for number in numbers]

    def _value(self, number: int, detail: dict[str, Any] | None) -> Any:
        if detail is not None and 0 in detail["shape"]:
            # LiteRT does not read a tensor of no elements whose shape it found out as it ran.
            dtype = object if detail["dtype"] is np.bytes_ else detail["dtype"]
            return np.empty(detail["shape"], dtype)
        return np.asarray(self._interpreter.get_tensor(number))


def end_with_parent(parent: int) -> None:
    """End this process when its parent is gone, even if a model hangs."""
    while os.getppid() == parent:
        time.sleep(2)
    os._exit(1)


def main(runtime: str) -> None:
    """Answer until standard input ends."""
    if hasattr(os, "getppid"):
        threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What a runtime prints is none of the answer.
    try:
        server = Server(runtime)
    except Exception as error:
        write_message(answers, {"status": "missing", "message": f"{type(error).__name__}: {error}"}, [])
        return
    versions = {"python": ".".join(map(str, sys.version_info[:3])), "numpy": np.__version__}
    versions.update(package_version(runtime))
    write_message(answers, {"status": "ready", "versions": versions}, [])
    while True:
        try:
            request, arrays = read_message(requests)
        except (EOFError, struct.error):
            return
        if os.fstat(2).st_size > 1 << 20:  # Standard error is a file of the parent's, for last words.
            os.ftruncate(2, 0)
        write_message(answers, *server.answer(request, arrays))


if __name__ == "__main__":
    # The folder of this script holds modules of minilite.testing, which are nobody's top-level modules.
    sys.path.pop(0)
    main(sys.argv[1])
