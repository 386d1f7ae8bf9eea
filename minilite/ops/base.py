"""What an operator is to minilite: the contract of ``Op``, and how operators are found.

One class says everything that TFLite's name means: its options, its output shapes, its NumPy
reference, its lowering to compiled kernels and how exact it has to be. A class is found because
its module stands in this package; there is no list to edit.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from minilite.errors import PrepareError
from minilite.graph import Array, Node, Shape, Tensor, TensorType
from minilite.quantization import is_quantized, real_values

if TYPE_CHECKING:
    from minilite.ops.fields import Terms

Mask = npt.NDArray[np.bool_]
"""A set of a tensor's elements: booleans of its shape."""


@dataclass(frozen=True)
class Tolerance:
    """How far two right implementations of an operator may lie apart: a word, not a number in a test.

    ``exact``: equal bits. ``steps``: at most ``amount`` quantization steps. ``rounding``: floating
    point, ``4 * eps * amount * (prod(max|input|) over factors + max|addend|)``, where ``amount`` is
    the length of the reduction; the form in which XNNPACK derives the tolerances of its own tests, and
    a bias that is added to the products. ``ulps``: floating point, ``amount`` times the distance from
    the expected value to the next one, for functions that libraries round differently.

    ``rounding`` and ``ulps`` are for floating-point outputs; the integers that an operator has beside
    them (indices, counts) are exact.
    """

    kind: Literal["exact", "steps", "rounding", "ulps"]
    amount: float = 0
    factors: tuple[int, ...] = ()
    addend: int | None = None

    def bound(self, inputs: Sequence[Array | None], expected: Array | None = None) -> Any:
        """The largest absolute difference allowed for these input values.

        Parameters
        ----------
        inputs:
            The operator's inputs, None where one is left out.
        expected:
            The right output, of which ``ulps`` are counted.

        Returns
        -------
        A number, or for ``ulps`` an array of the shape of ``expected``.
        """
        if self.kind == "exact" or (expected is not None and self._is_exact_for(expected)):
            return 0.0
        if self.kind == "steps":
            return float(self.amount)
        if self.kind == "ulps":
            assert expected is not None
            return self.amount * np.spacing(np.abs(expected).astype(np.float32)).astype(np.float64)
        magnitude = prod(_largest(inputs[position]) for position in self.factors)
        if self.addend is not None and self.addend < len(inputs):
            magnitude += _largest(inputs[self.addend])
        return 4.0 * float(np.finfo(np.float32).eps) * self.amount * magnitude

    def _is_exact_for(self, expected: Array) -> bool:
        return self.kind in ("rounding", "ulps") and expected.dtype.kind not in "fc"


def _largest(values: Array | None) -> float:
    """The largest magnitude, infinities and NaN aside."""
    if values is None:
        return 0.0
    magnitudes = np.abs(values)
    return float(np.max(magnitudes, initial=0.0, where=np.isfinite(magnitudes)))


EXACT = Tolerance("exact")


def rounding(length: float, *factors: int, addend: int | None = None) -> Tolerance:
    """Floating point: ``length`` products of the inputs at positions ``factors``, plus input ``addend``."""
    return Tolerance("rounding", length, factors, addend)


def ulps(amount: float) -> Tolerance:
    """Floating point: so many units in the last place of the right value."""
    return Tolerance("ulps", amount)


@dataclass(frozen=True)
class Int8:
    """What an operator asks of its tensors when a float model is made int8 (see ``post_training``).

    As ``OperatorProperty`` of TFLite's ``tools/optimize/operator_property.cc`` says it of each.

    Attributes
    ----------
    same_scale:
        Whether what it computes with shares one scale and zero point with its outputs.
    output:
        The scale and zero point that its output must have, if its kernel knows no other.
    filter, axis:
        The position of its weights, symmetric and with a scale for each slice of ``axis``.
    bias:
        The position of its bias, int32 with the scale of the picture times that of the filter.
    version:
        The first version of the operator that takes int8 (TFLite's ``tools/versioning/op_version.cc``).
    """

    same_scale: bool = False
    output: tuple[float, int] | None = None
    filter: int | None = None
    axis: int = 0
    bias: int | None = None
    version: int = 2


class Runtime(Protocol):
    """What an operator with effects may ask of the executor that runs it."""

    @property
    def resources(self) -> dict[Any, Any]:
        """What outlives a run and is shared by all subgraphs of a model: variables, hash tables."""

    def assign(self, tensor: Tensor, value: Array) -> None:
        """Give a variable tensor (``is_variable``) a new value, which the next run begins with."""

    def call(self, subgraph: int, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Run another subgraph of the model on these inputs; its outputs are the caller's own."""


class Lowering(Protocol):
    """What a plan offers an operator that lowers itself to kernels."""

    def step(
        self,
        kernel: Any,
        node: Node,
        *,
        extent: int,
        grain: int,
        **arguments: Any,
    ) -> None:
        """Append a call of ``kernel`` over ``range(extent)``, cut at multiples of ``grain``.

        ``arguments`` are the kernel's own parameter names: graph tensors, constant arrays, scratch
        space, records, integers or floats.
        """

    def constant(self, tensor: Tensor, pack: Callable[..., Array], *arguments: Any) -> Array:
        """``pack(tensor.data, *arguments)``, computed once for a model and shared by its plans."""

    def scratch(self, dtype: Any, size: int) -> Any:
        """A flat array of each thread's own, for a kernel's scratch parameter."""

    def temporary(self, kind: TensorType, size: int) -> Tensor:
        """A flat array of the run's own, that one step of an operator writes and its next ones read."""

    def fault(self, node: Node, tensor: Tensor) -> Any:
        """For a kernel's fault parameter: where it notes an index in ``tensor`` that points outside."""

    def place(self, output: Tensor) -> Any:
        """Where an output goes, as a ``placement.Place``: its own memory, or a part of another tensor's.

        To be asked by operators whose ``writes_parts`` says that they do.
        """

    def alias(self, output: Tensor, source: Tensor) -> None:
        """Let ``output`` be the same memory as ``source``: no step, no copy."""


class Op:
    """One TFLite operator. Stateless: everything particular arrives with the ``Node``."""

    name: ClassVar[str] = ""
    """TFLite's name, set by ``operator``."""

    options: ClassVar[type[Any] | None] = None
    """A frozen dataclass named as the schema's options table, its fields named as the schema's
    fields in order of no importance, with the schema's defaults; the loader fills it by name."""

    int8: ClassVar[Int8 | None] = None
    """How it is quantized after training; None: it stays as it is, between floats."""

    pure: ClassVar[bool] = True
    """Whether outputs depend on inputs and options alone; then a node of constants is a constant itself.
    False for what draws random numbers, keeps state or calls subgraphs."""

    internal: ClassVar[bool] = False
    """Whether it stands for others (see ``fused``) and no file may have it."""

    reads_sparse: ClassVar[bool] = False
    """Whether constants that the file stores sparse are taken as they are (``Tensor.sparsity``)."""

    def writes_parts(self, node: Node) -> bool:
        """Whether ``lower`` can write the output between other values: it asks ``Lowering.place`` where."""
        return False

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        """Check types, shapes and options, and give each output's shape (TFLite's Prepare).

        None stands for a shape that is known only once the operator has run.

        Raises
        ------
        PrepareError
            The operator refuses what it is given; use ``refuse`` to word it.
        """
        raise NotImplementedError

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        """The NumPy reference: outputs from inputs (TFLite's Eval).

        Floating-point operators compute in the type of their inputs, so that the same text gives
        float32 results and, fed with float64, the arbiter of truth.
        """
        raise NotImplementedError

    def known_outputs(self, node: Node) -> tuple[Array, ...] | None:
        """The outputs, if they do not depend on what the model is given: ``prepare`` makes them constants.

        Called once the shapes are known. A pure operator on constants is evaluated; an operator that
        looks at shapes alone says so here.
        """
        if not self.pure or any(t is not None and not t.is_constant for t in node.inputs):
            return None
        with np.errstate(all="ignore"):
            return self.evaluate(node, [None if t is None else t.data for t in node.inputs])

    def subgraphs(self, node: Node) -> tuple[int, ...]:
        """Numbers of the subgraphs that this node may run (``Runtime.call``)."""
        return ()

    def execute(self, node: Node, inputs: Sequence[Array | None], runtime: Runtime) -> tuple[Array, ...]:
        """What executors call: ``evaluate``, unless the operator has effects beyond its outputs."""
        return self.evaluate(node, inputs)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        """Write this node as kernel steps; False: no kernel for this case, ``evaluate`` is called."""
        return False

    where: ClassVar[tuple[int, ...]] = ()
    """Positions of the inputs that say where elements are or go: axes, sizes, paddings, indices."""

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        """The elements of the inputs that some elements of the outputs are computed from.

        Parameters
        ----------
        inputs:
            Their values. Those at ``where`` are taken as given, and nothing of them counts.
        wanted:
            The elements asked about, for each output.

        Returns
        -------
        A set for each input, None for one that is left out. No other element of them has a part in what is
        asked about (but see ``remarks``). None for all: the operator does not say.
        """
        return None

    def terms(
        self, node: Node, inputs: Sequence[Array | None], field: Sequence[Mask | None], place: Shape
    ) -> Terms | None:
        """The element of the first output at ``place``, whose receptive field this is, as a sum.

        None where it is none, or only its steps tell how it came about.
        """
        return None

    tells_elements: ClassVar[bool] = False
    """Whether what ``evaluate`` tells on its way (``telling.tell``) broadcasts to the output, or has as many
    elements in the same order: each value is a step towards the element at its place."""

    def remarks(self, node: Node) -> tuple[str, ...]:
        """What the receptive field and the terms of this node leave out, in words."""
        return ()

    converts: ClassVar[bool] = False
    """Whether outputs are the same real numbers as the input, in another type or other units."""

    reads_codes: ClassVar[bool] = False
    """Whether of quantized tensors it takes the integers, whatever real numbers they stand for."""

    def real_input(self, node: Node, position: int) -> Array | None:
        """The real numbers that a constant of integers stands for at this input, float64.

        None where it stands for no others than it holds. By default what the tensor's own scale and zero
        point say.
        """
        tensor = node.optional_input(position)
        if tensor is None or tensor.data is None or tensor.quantization is None:
            return None
        is_code = is_quantized(tensor) or tensor.type is TensorType.INT4
        return real_values(tensor.data, tensor) if is_code else None

    def multiply_adds(self, node: Node) -> int:
        """Multiply-add operations of one run, for costs and profiles."""
        return 0

    def tolerance(self, node: Node) -> Tolerance:
        """How exact this node has to be against TFLite's reference kernel."""
        return EXACT


_REGISTRY: dict[str, Op] = {}

_OpClass = TypeVar("_OpClass", bound=type[Op])


def operator(name: str) -> Callable[[_OpClass], _OpClass]:
    """Class decorator: this class is what TFLite calls ``name``."""

    def register(cls: _OpClass) -> _OpClass:
        held = type(_REGISTRY[name]) if name in _REGISTRY else cls
        # The same class, defined anew (a cell that is run again), takes the place of the old one.
        if (held.__module__, held.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"operator {name} is defined twice: {_REGISTRY[name]!r} and {cls!r}")
        instance = cls()
        type(instance).name = name
        _REGISTRY[name] = instance
        return cls

    return register


@cache
def _discover() -> None:
    package = importlib.import_module("minilite.ops")
    for module in pkgutil.iter_modules(package.__path__, "minilite.ops."):
        importlib.import_module(module.name)


def find(name: str) -> Op | None:
    """The operator of that TFLite name (or custom code), or None if minilite does not have it."""
    _discover()
    return _REGISTRY.get(name)


def names() -> tuple[str, ...]:
    """All operators minilite has, sorted; not those that stand for others."""
    _discover()
    return tuple(sorted(name for name, op in _REGISTRY.items() if not op.internal))


def refuse(node: Node, message: str, *, rule: str, tensor: Tensor | None = None) -> NoReturn:
    """Raise the ``PrepareError`` that names the operator, the tensor and the broken rule."""
    where = f"{node.operator}: "
    subject = f"{tensor}: " if tensor is not None else ""
    raise PrepareError(
        f"{where}{subject}{message}",
        op_index=node.operator.index,
        op_name=node.operator.name,
        tensor=None if tensor is None else tensor.index,
        rule=rule,
    )
