"""The plain Python face: load a model, call it, read the results by name or by position."""

from __future__ import annotations

import copy
import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np

from minilite.errors import PrepareError, TensorValueError
from minilite.executor import Executor, Progress, create_executor, processors, resolve_backend
from minilite.graph import Array, Graph, Shape, Tensor
from minilite.loader import Source, check_supported, load_graph, supported_part
from minilite.locks import ForkSafeLock
from minilite.names import Names, input_names, output_names
from minilite.prepare import prepare
from minilite.values import convert, expected_shape, shape_advice

if TYPE_CHECKING:
    from minilite.debug.trace import Trace

_KEPT_EXECUTORS = 4
"""Input shapes that a model stays ready for; the one unused for longest gives way."""


def load(
    source: Source,
    *,
    backend: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
    allow_missing: bool = False,
) -> Model:
    """Load a .tflite model and make it ready to be called.

    Parameters
    ----------
    source:
        A path, the file's bytes, a binary file object, or where there is no such file the name of a
        known model (``"deeplabv3"``, see ``catalogue``), which is downloaded if need be.
    backend:
        ``"numba"``, ``"numpy"``, or ``"auto"`` for Numba where it is installed.
    threads:
        Threads to compute with, by default one for each processor this process may use.
    progress:
        ``progress(done, total, name)``, called while kernels are compiled for the first time.
    allow_missing:
        Of a model with operators minilite does not have, run what stands before the first of them; the
        outputs are what was computed by then (see ``loader.supported_part``).

    Raises
    ------
    ModelNotFoundError, ModelFormatError
        There is no such file, or it is no TFLite model.
    UnsupportedOpError
        The model uses operators minilite does not have; all are named.
    PrepareError
        An operator refuses its shapes, types or options.
    """
    graph = load_graph(_named(source))
    if allow_missing:
        graph = supported_part(graph)
    else:
        check_supported(graph)
    model = Model(graph, backend=backend, threads=threads, progress=progress)
    if not any(-1 in tensor.shape_signature for tensor in model.inputs):
        model.warm_up()
    return model


def _named(source: Source) -> Source:
    """The file of a known model's name; anything else as it is."""
    if not isinstance(source, str) or os.path.exists(source):
        return source
    from minilite import catalogue  # noqa: PLC0415 - reads its table only when a name is given

    return catalogue.find_model(source).path if source in catalogue.known_models() else source


class Outputs(tuple[Array, ...]):
    """What a model gave: arrays by position and by name, to be unpacked or made a dict of.

    The arrays are the caller's own. Where there is one output, NumPy functions take the whole
    for it: ``np.argmax(model(x), -1)``.
    """

    names: Names

    def __new__(cls, arrays: Sequence[Array], names: Names) -> Outputs:  # noqa: D102
        outputs = super().__new__(cls, arrays)
        outputs.names = names
        return outputs

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (tuple(self), self.names)

    def keys(self) -> Iterator[str]:
        """The names, in order; with this, ``dict(outputs)`` works."""
        return iter(self.names)

    @overload
    def __getitem__(self, key: SupportsIndex | str) -> Array: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Array, ...]: ...
    def __getitem__(self, key: SupportsIndex | str | slice) -> Array | tuple[Array, ...]:
        return super().__getitem__(self.names.position(key) if isinstance(key, str) else key)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if len(self) != 1:
            raise TypeError(f"the model has {len(self)} outputs: choose one of {', '.join(self.names)}")
        if dtype is None and not copy:
            return self[0]
        return np.array(self[0], dtype=dtype)

    def __repr__(self) -> str:
        described = (
            f"{name}: {array.dtype} {array.shape}" for name, array in zip(self.names, self, strict=True)
        )
        return f"Outputs({', '.join(described)})"

    def _repr_html_(self) -> str:
        from minilite.debug import html  # noqa: PLC0415 - in notebooks only

        return html.outputs_html(self)


class Model:
    """A model to be called like a function.

    ``model(x)``, ``model(x, y)``, ``model(name=x)`` and ``model({"name": x})`` give ``Outputs``. Inputs
    may be anything NumPy makes an array of; see ``values.convert`` for what is converted and what is
    refused. A new input shape prepares the graph anew and is remembered.

    Calls from several threads take turns: each uses all of the model's own threads, so that side by
    side they would only stand in each other's way. Pickles and copies carry the graph and the settings;
    copies in one process share the weights. What a model remembers from one call to the next (variables,
    hash tables) is its own and is not carried over.

    Parameters
    ----------
    graph:
        As ``loader.load_graph`` gives it, or made by hand.
    backend, threads, progress:
        See ``load``.

    Attributes
    ----------
    inputs, outputs:
        The main subgraph's tensors, in the order of positions, with their declared shapes.
    input_names, output_names:
        What they are called: by the signature, where there is one, else by the file.
    backend, threads:
        What computes.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        backend: str = "auto",
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        if threads is not None and (not isinstance(threads, int) or threads < 1):
            raise TensorValueError(
                f"threads must be an integer of at least 1, given {threads!r}", rule="threads"
            )
        self.graph = graph
        self.inputs: tuple[Tensor, ...] = tuple(graph.main.tensors[i] for i in graph.main.inputs)
        self.outputs: tuple[Tensor, ...] = tuple(graph.main.tensors[i] for i in graph.main.outputs)
        self.input_names = input_names(graph)
        self.output_names = output_names(graph)
        self.backend = resolve_backend(backend)
        self.threads = threads or processors()
        self._settings: dict[str, Any] = {"backend": backend, "threads": threads}
        self._progress = progress
        self._resources: dict[Any, Any] = {}
        self._executors: OrderedDict[tuple[tuple[Shape, ...], bool], Executor] = OrderedDict()
        self._turn = ForkSafeLock()

    def __call__(self, /, *values: Any, **named: Any) -> Outputs:
        """Run the model.

        Raises
        ------
        TensorValueError
            A value is missing, unknown or does not fit; the message says how to make it fit.
        InvokeError
            An operator failed.
        """
        arrays = self.bind(values, named)
        with self._turn:
            executor = self._run(arrays, keep_all=False)
            results = [executor.view(tensor.index).copy() for tensor in self.outputs]
        return Outputs(results, self.output_names)

    def run_all(self, /, *values: Any, **named: Any) -> dict[int, Array]:
        """Run the model and return every tensor of the main subgraph, by its number in the file.

        Computed tensors are the caller's own copies, constants the file's read-only arrays.
        """
        arrays = self.bind(values, named)
        with self._turn:
            executor = self._run(arrays, keep_all=True)
            return {
                tensor.index: tensor.data if tensor.data is not None else executor.view(tensor.index).copy()
                for tensor in _connected(self.graph)
            }

    def trace(self, /, *values: Any, **named: Any) -> Trace:
        """A run to be stepped through: ``for event in model.trace(x)`` gives an event for each operator.

        It begins with what the model remembers (variables, hash tables) and leaves that as it is. See
        ``minilite.debug.Trace``, which also takes budgets and ranges of operators.
        """
        from minilite.debug.trace import Trace  # noqa: PLC0415 - only those who debug pay for it

        return Trace(self, self.bind(values, named))

    def bind(self, values: tuple[Any, ...], named: Mapping[str, Any]) -> list[Array]:
        """One array for each input, whichever way ``__call__`` was given them.

        Raises
        ------
        TensorValueError
            A value is missing, unknown or does not fit.
        """
        if len(values) == 1 and isinstance(values[0], Mapping):
            pairs = [*values[0].items(), *named.items()]
            values = ()
        else:
            pairs = list(named.items())
        if len(values) > len(self.inputs):
            raise TensorValueError(
                f"the model takes {len(self.inputs)} inputs ({', '.join(self.input_names)}), "
                f"given {len(values)}",
                rule="arguments",
            )
        bound: dict[int, Any] = dict(enumerate(values))
        for name, value in pairs:
            try:
                position = self.input_names.position(name)
            except KeyError as error:
                raise TensorValueError(f"no such input: {error.args[0]}", rule="arguments") from None
            if position in bound:
                raise TensorValueError(f"{self._label(position)} is given twice", rule="arguments")
            bound[position] = value
        missing = [self._label(i) for i in range(len(self.inputs)) if i not in bound]
        if missing:
            raise TensorValueError(f"no value given for {', '.join(missing)}", rule="arguments")
        return [convert(bound[i], tensor, self._label(i)) for i, tensor in enumerate(self.inputs)]

    def remembered(self, shapes: Sequence[Shape]) -> tuple[dict[Any, Any], dict[int, Array]]:
        """What the next call with inputs of these shapes begins with, as copies.

        Hash tables and variables behind handles, by their keys, and the values of variable tensors, by
        number; of those that no call has met yet there is none.
        """
        with self._turn:
            executor = self._executors.get((tuple(shapes), False))
            variables = [t.index for t in self.graph.main.tensors if t.is_variable] if executor else []
            return (
                copy.deepcopy(self._resources),
                {number: executor.view(number).copy() for number in variables if executor},
            )

    def executor(self, shapes: Sequence[Shape] | None = None, *, keep_all: bool = False) -> Executor:
        """A new executor, which the caller owns and closes: for stepping through the operators.

        Parameters
        ----------
        shapes:
            One for each input; by default as the file declares them.
        keep_all:
            Keep every intermediate tensor readable, and allow parts of the graph to be run.
        """
        wanted = tuple(shapes) if shapes is not None else tuple(tensor.shape for tensor in self.inputs)
        prepared = prepare(
            self.graph,
            {tensor.index: tuple(shape) for tensor, shape in zip(self.inputs, wanted, strict=True)},
        )
        return create_executor(
            prepared,
            backend=self.backend,
            threads=self.threads,
            keep_all=keep_all,
            progress=self._progress,
            resources=self._resources,
        )

    def warm_up(self, shapes: Sequence[Shape] | None = None) -> None:
        """Get ready for these input shapes now instead of at the first call."""
        wanted = tuple(tuple(s) for s in shapes) if shapes else tuple(tensor.shape for tensor in self.inputs)
        with self._turn:
            self._executor_for(wanted, keep_all=False)

    def close(self) -> None:
        """Stop worker threads and release memory. A later call gets ready again."""
        with self._turn:
            while self._executors:
                self._executors.popitem()[1].close()

    def _run(self, arrays: Sequence[Array], *, keep_all: bool) -> Executor:
        executor = self._executor_for(tuple(array.shape for array in arrays), keep_all=keep_all)
        for tensor, array in zip(self.inputs, arrays, strict=True):
            executor.view(tensor.index)[...] = array
        executor.run()
        return executor

    def _executor_for(self, shapes: tuple[Shape, ...], *, keep_all: bool) -> Executor:
        key = (shapes, keep_all)
        if key not in self._executors:
            self._executors[key] = self._new_executor(shapes, keep_all=keep_all)
            if len(self._executors) > _KEPT_EXECUTORS:
                self._executors.popitem(last=False)[1].close()
        self._executors.move_to_end(key)
        return self._executors[key]

    def _new_executor(self, shapes: tuple[Shape, ...], *, keep_all: bool) -> Executor:
        try:
            return self.executor(shapes, keep_all=keep_all)
        except PrepareError as error:
            changed = [i for i, tensor in enumerate(self.inputs) if tensor.shape != shapes[i]]
            if not changed:
                raise
            faults = [
                f"{self._label(i)}: expected {expected_shape(self.inputs[i])}, given {shapes[i]}. "
                f"{shape_advice(self.inputs[i], shapes[i])}"
                for i in changed
            ]
            raise TensorValueError(
                "\n".join([*faults, f"The model cannot be prepared for the shape given: {error}"]),
                op_index=error.op_index,
                op_name=error.op_name,
                tensor=self.inputs[changed[0]].index,
                rule="shape",
            ) from error

    def _label(self, position: int) -> str:
        return f"input {position} {self.input_names[position]!r} (tensor {self.inputs[position].index})"

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return (partial(type(self), **self._settings), (self.graph,))

    def __repr__(self) -> str:
        def row(tensors: Sequence[Tensor], names: Names) -> str:
            return ", ".join(
                f"{name}: {tensor.dtype} {expected_shape(tensor)}"
                for name, tensor in zip(names, tensors, strict=True)
            )

        return (
            f"<minilite.Model ({row(self.inputs, self.input_names)}) -> "
            f"({row(self.outputs, self.output_names)}), {len(self.graph.main.operators)} operators, "
            f"{self.backend}, {self.threads} threads>"
        )

    def _repr_html_(self) -> str:
        from minilite.debug import html  # noqa: PLC0415 - in notebooks only

        return html.model_html(self)


def _connected(graph: Graph) -> Iterator[Tensor]:
    """Tensors that have a value after a run: constants, inputs and what operators compute."""
    main = graph.main
    computed = {i for operator in main.operators for i in operator.outputs}.union(main.inputs)
    return (tensor for tensor in main.tensors if tensor.is_constant or tensor.index in computed)
