"""A drop-in for ``tflite_runtime.interpreter`` and ``ai_edge_litert.interpreter``.

The names, the dictionaries and the types of exceptions are theirs. Messages begin with their text,
so that searching for it still helps, and go on to say what to do. Where they crash, this answers.
"""

from __future__ import annotations

import enum
import operator
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

from minilite.delegate import Delegate, load_delegate, refuse_delegate
from minilite.details import operator_details, signature_details, tensor_details
from minilite.errors import BackendError, InvokeError, TensorValueError, UnsupportedOpError
from minilite.executor import create_executor, resolve_backend
from minilite.graph import Array, Graph
from minilite.loader import check_supported, load_graph
from minilite.locks import ForkSafeLock
from minilite.session import Session, as_shape
from minilite.signature import SignatureRunner

__all__ = [
    "Delegate",
    "Interpreter",
    "InterpreterWithCustomOps",
    "OpResolverType",
    "SignatureRunner",
    "load_delegate",
]


@enum.unique
class OpResolverType(enum.Enum):
    """Which implementation of the operators runs.

    ``BUILTIN_REF`` is minilite's NumPy reference; the others are the fastest there is.
    """

    AUTO = 0
    BUILTIN = 1
    BUILTIN_REF = 2
    BUILTIN_WITHOUT_DEFAULT_DELEGATES = 3


class Interpreter:
    """Run a .tflite model through TFLite's own calls.

    Parameters
    ----------
    model_path, model_content:
        One of the two: a path, or the file's bytes.
    experimental_delegates:
        None or empty; delegates are native code and are refused.
    num_threads:
        Threads to compute with, by default one for each processor this process may use.
    experimental_op_resolver_type:
        ``BUILTIN_REF`` chooses the NumPy reference where ``backend`` is ``"auto"``.
    experimental_preserve_all_tensors:
        Keep every intermediate tensor readable after ``invoke``.
    experimental_compress_quantization_zero_points:
        Details give equal zero points once.
    backend:
        minilite's own: ``"auto"``, ``"numba"`` or ``"numpy"``.

    The other arguments steer TFLite's delegates; they are accepted and change nothing.

    An interpreter belongs to one thread at a time. What other threads ask for while ``invoke``,
    ``allocate_tensors``, ``resize_tensor_input`` or a signature runner is under way is refused with
    ``InvokeError``. Setting inputs, invoking and reading results are separate calls, and another thread
    may come between them: to share a model between threads, use ``minilite.load``.

    Pickles and deep copies carry the graph, the settings, the sizes and the values of inputs and variables;
    outputs are there after the next ``invoke``.
    """

    def __init__(
        self,
        model_path: str | bytes | os.PathLike[Any] | None = None,
        model_content: bytes | bytearray | memoryview | None = None,
        experimental_delegates: Sequence[Any] | None = None,
        num_threads: int | None = None,
        experimental_op_resolver_type: OpResolverType = OpResolverType.AUTO,
        experimental_preserve_all_tensors: bool = False,
        experimental_disable_delegate_clustering: bool = False,
        experimental_default_delegate_latest_features: bool = False,
        experimental_compress_quantization_zero_points: bool = False,
        experimental_disable_delegate_node_fusion: bool = False,
        experimental_force_delegate_node_profiling: bool = False,
        *,
        backend: str = "auto",
    ) -> None:
        if not isinstance(experimental_op_resolver_type, OpResolverType):
            raise TensorValueError(
                f"Unrecognized passed in op resolver type: {experimental_op_resolver_type}\n"
                "Use one of minilite.interpreter.OpResolverType.",
                rule="resolver",
            )
        if num_threads is not None:
            if not isinstance(num_threads, int):
                raise TensorValueError("type of num_threads should be int", rule="threads")
            if num_threads < 1:
                raise TensorValueError("num_threads should >= 1", rule="threads")
        if backend == "auto" and experimental_op_resolver_type is OpResolverType.BUILTIN_REF:
            backend = "numpy"
        resolve_backend(backend)
        for delegate in experimental_delegates or ():
            # As in TFLite: an AttributeError for what is no delegate at all.
            refuse_delegate(f"{type(delegate).__name__} at {delegate._get_native_delegate_pointer()}")
        graph = _load(model_path, model_content)
        check_supported(graph)
        self._graph = graph
        self._settings: dict[str, Any] = {
            "backend": backend,
            "threads": None if num_threads is None else int(num_threads),
            "keep_all": bool(experimental_preserve_all_tensors),
        }
        self._compress_zero_points = bool(experimental_compress_quantization_zero_points)
        self._delegates: list[Any] = []
        self._signature_defs = self.get_signature_list()
        self._resources: dict[Any, Any] = {}
        self._sessions = self._new_sessions()
        self._lock = ForkSafeLock()
        self._running: tuple[int, str] | None = None

    def _new_sessions(self) -> list[Session]:
        # No bound method here: a cycle would keep worker threads until the garbage collector comes by.
        create = partial(create_executor, resources=self._resources, **self._settings)
        return [Session(self._graph, i, create) for i in range(len(self._graph.subgraphs))]

    # --- running -------------------------------------------------------------------------------

    def allocate_tensors(self) -> None:
        """Infer all shapes from the inputs' and make the memory; needed before ``invoke``.

        Raises
        ------
        PrepareError
            An operator refuses its shapes, types or options.
        InvokeError
            A view from ``tensor`` is held.
        """
        with self._exclusively("allocate_tensors()"):
            self._ensure_safe()
            self._sessions[0].allocate()

    def invoke(self) -> None:
        """Run the model once.

        Raises
        ------
        InvokeError
            Tensors are not allocated, a view is held, or an operator failed.
        """
        with self._exclusively("invoke()"):
            self._sessions[0].run()

    def resize_tensor_input(self, input_index: int, tensor_size: Any, strict: bool = False) -> None:
        """Give an input other sizes; ``allocate_tensors`` has to follow.

        ``strict`` lets only those sizes change that the file declares unknown.

        Raises
        ------
        PrepareError
            There is no such input, or it may not have these sizes.
        """
        with self._exclusively("resize_tensor_input()"):
            self._ensure_safe()
            self._sessions[0].resize(input_index, as_shape(tensor_size), strict=strict)

    def reset_all_variables(self) -> None:
        """Set every variable tensor back to its beginning."""
        with self._exclusively("reset_all_variables()"):
            for session in self._sessions:
                session.reset_variables()

    # --- values --------------------------------------------------------------------------------

    def set_tensor(self, tensor_index: int, value: Any) -> None:
        """Copy ``value``, of exactly the tensor's dtype and shape, into an input.

        Raises
        ------
        TensorValueError
            Type or shape differ, or the tensor is no input.
        """
        with self._briefly("set_tensor()"):
            self._sessions[0].write(tensor_index, value)

    def get_tensor(self, tensor_index: int, subgraph_index: int = 0) -> Array:
        """A copy of a tensor's value.

        Inputs, outputs and constants can be read; other tensors only with
        ``experimental_preserve_all_tensors=True``.

        Raises
        ------
        TensorValueError
            There is no such tensor, or its value is not kept.
        """
        with self._briefly("get_tensor()"):
            return self._session(subgraph_index).read(tensor_index)

    def tensor(self, tensor_index: int) -> Callable[[], Array]:
        """A function that returns the tensor's own memory as an array, at the time it is called.

        While such an array, or a slice of it, is held, ``invoke``, ``allocate_tensors`` and
        ``resize_tensor_input`` are refused.
        """

        def view() -> Array:
            with self._briefly("tensor()"):
                return self._sessions[0].lend(tensor_index)

        return view

    # --- descriptions --------------------------------------------------------------------------

    def get_input_details(self) -> list[dict[str, Any]]:
        """A dictionary for each input: name, index, shape, dtype, quantization ..."""
        return [self._get_tensor_details(i) for i in self._sessions[0].subgraph.inputs]

    def get_output_details(self) -> list[dict[str, Any]]:
        """A dictionary for each output."""
        return [self._get_tensor_details(i) for i in self._sessions[0].subgraph.outputs]

    def get_tensor_details(self, subgraph_index: int = 0) -> list[dict[str, Any]]:
        """A dictionary for each tensor of a subgraph."""
        if not 0 <= subgraph_index < len(self._sessions):
            raise TensorValueError(
                f"subgraph_index is out of range: {subgraph_index} for the model, "
                f"which has {len(self._sessions)} subgraphs.",
                rule="subgraph-index",
            )
        tensors = self._sessions[subgraph_index].subgraph.tensors
        return [self._get_tensor_details(tensor.index, subgraph_index) for tensor in tensors]

    def num_subgraphs(self) -> int:
        """Number of subgraphs in the file."""
        return len(self._sessions)

    def get_signature_list(self) -> dict[str, dict[str, list[str]]]:
        """``{key: {"inputs": [names], "outputs": [names]}}``."""
        return {
            key: {side: list(names) for side, names in arguments.items()}
            for key, arguments in self._get_full_signature_list().items()
        }

    def get_signature_runner(self, signature_key: str | None = None) -> SignatureRunner:
        """A function that runs one signature; the key may be left out where there is one signature."""
        if signature_key is None:
            count = len(self._signature_defs)
            if count != 1:
                raise TensorValueError(
                    f"SignatureDef signature_key is None and model has {count} Signatures. None is only "
                    "allowed when the model has 1 SignatureDef\n"
                    f"The model's signatures: {', '.join(self._signature_defs) or 'none'}.",
                    rule="signature",
                )
            signature_key = next(iter(self._signature_defs))
        return SignatureRunner(interpreter=self, signature_key=signature_key)

    @property
    def experimental_compress_quantization_zero_points(self) -> bool:
        """Whether details give equal zero points once."""
        return self._compress_zero_points

    # --- what tools reach for, as in TFLite ---------------------------------------------------------

    def _get_tensor_details(self, tensor_index: int, subgraph_index: int = 0) -> dict[str, Any]:
        tensor = self._session(subgraph_index).tensor(tensor_index)
        return tensor_details(tensor, compress_zero_points=self._compress_zero_points)

    def _get_op_details(self, op_index: int) -> dict[str, Any]:
        subgraph = self._sessions[0].subgraph
        number = operator.index(op_index)
        count = len(subgraph.operators)
        if not 0 <= number < count:
            raise TensorValueError(
                f"Invalid node index\nOperators are numbered 0 to {count - 1}, given {number}.",
                rule="op-index",
            )
        return operator_details(subgraph, subgraph.operators[number])

    def _get_ops_details(self) -> list[dict[str, Any]]:
        return [self._get_op_details(op.index) for op in self._sessions[0].subgraph.operators]

    def _get_full_signature_list(self) -> dict[str, dict[str, dict[str, int]]]:
        return signature_details(self._graph)

    def _safe_to_run(self) -> bool:
        return not any(session.views_are_held for session in self._sessions)

    def _ensure_safe(self) -> None:
        for session in self._sessions:
            session.ensure_no_views()

    def _native_handle(self) -> NoReturn:
        raise BackendError(
            "there is no native interpreter to point to: minilite runs models in NumPy and Numba. "
            "Its own graph and executors are reached through minilite.load(...).",
            rule="native-handle",
        )

    @property
    def _interpreter(self) -> NoReturn:
        # An AttributeError, so that hasattr tells tools which ask.
        raise AttributeError(
            "_interpreter: minilite has no native wrapper below it. What tools read from one is in "
            "get_tensor_details, _get_ops_details, get_signature_list, or in the graph of minilite.load(...)"
        )

    # --- one thread at a time ------------------------------------------------------------------------

    @contextmanager
    def _exclusively(self, call: str) -> Iterator[None]:
        """Take the interpreter for a call that may be long; meanwhile others are refused, not delayed."""
        mine = False
        try:
            with self._briefly(call):
                mine = True
                self._running = os.getpid(), f"{call} in {threading.current_thread().name}"
            yield
        finally:
            if mine:
                self._running = None

    @contextmanager
    def _briefly(self, call: str) -> Iterator[None]:
        """Take the interpreter for the time of a copy."""
        with self._lock:
            # A run of the parent's is none of a forked child's.
            if self._running is not None and self._running[0] == os.getpid():
                raise InvokeError(
                    f"{call} while {self._running[1]} has not finished. An interpreter serves one thread "
                    "at a time: give each thread its own (copy.deepcopy shares the weights), "
                    "or call a minilite.load() model.",
                    rule="busy",
                )
            yield

    def _session(self, subgraph_index: int) -> Session:
        number = operator.index(subgraph_index)
        if not 0 <= number < len(self._sessions):
            raise TensorValueError(
                f"Invalid subgraph index {number} exceeds max subgraph index {len(self._sessions)}\n"
                f"Subgraphs are numbered 0 to {len(self._sessions) - 1}.",
                rule="subgraph-index",
            )
        return self._sessions[number]

    # --- copies -----------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        with self._briefly("copying"):
            state = {**self.__dict__, "_sessions": [session.save() for session in self._sessions]}
            del state["_lock"]
            return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = ForkSafeLock()
        self._sessions = self._new_sessions()
        for session, saved in zip(self._sessions, state["_sessions"], strict=True):
            session.restore(saved)

    def __repr__(self) -> str:
        main = self._sessions[0].subgraph
        row = [", ".join(str(main.tensors[i]) for i in side) for side in (main.inputs, main.outputs)]
        return f"<minilite.Interpreter {row[0]} -> {row[1]}, {len(main.operators)} operators>"


class InterpreterWithCustomOps(Interpreter):
    """TFLite's entry for native custom operators, which minilite cannot call.

    Custom operators are written in Python: see ``minilite.register_op``.
    """

    def __init__(self, custom_op_registerers: Sequence[Any] | None = None, **arguments: Any) -> None:
        if custom_op_registerers:
            raise UnsupportedOpError(
                f"Looking up symbol {custom_op_registerers[0]!r} failed: custom operators in native "
                "code cannot be used. Write the operator in Python with @minilite.register_op('ItsName').",
                rule="custom-op",
            )
        super().__init__(**arguments)


def _load(model_path: Any, model_content: Any) -> Graph:
    content = None if model_content is None else memoryview(model_content)
    if content is not None and content.nbytes == 0:
        content = None
    if content is None and not model_path:
        raise TensorValueError("`model_path` or `model_content` must be specified.", rule="arguments")
    if content is not None and model_path:
        raise TensorValueError("Can't both provide `model_path` and `model_content`", rule="arguments")
    return load_graph(content if content is not None else os.fsdecode(os.fspath(model_path)))
