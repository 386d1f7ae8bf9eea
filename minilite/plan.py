"""Graph -> Plan: everything about a run that does not depend on the input's values, done once.

A plan is a list of *steps* (a kernel, its arguments, and an extent that may be cut into chunks)
grouped in *stages* (steps that do not depend on each other), and a place in one block of memory for
every buffer. Arguments are still symbolic: an executor gives them addresses, so that executors share
a plan and its packed weights.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from minilite_kernels.arrangement import copy
from minilite_kernels.kernel import Entry, Kernel, ScratchSpace

from minilite import memory, ops
from minilite.errors import MiniliteError
from minilite.graph import Array, Graph, Node, Subgraph, Tensor, TensorType
from minilite.memory import Lifetime
from minilite.ops.lowering import as_words
from minilite.passes import rewrite
from minilite.placement import Place, places


@dataclass(frozen=True, eq=False)
class KernelStep:
    """A compiled kernel over ``range(extent)``, cut at multiples of ``grain``."""

    node: Node
    kernel: Kernel
    arguments: Mapping[str, Any]
    extent: int
    grain: int
    reads: frozenset[int]
    writes: frozenset[int]

    @property
    def chunks(self) -> int:
        """Parts that threads may claim."""
        return -(-self.extent // self.grain)

    @cached_property
    def entry(self) -> Entry:
        """The kernel's specialization for the types of the arguments."""
        return self.kernel.entry(self.arguments)


@dataclass(frozen=True, eq=False)
class PythonStep:
    """An operator that runs its NumPy reference, alone in its stage."""

    node: Node
    reads: frozenset[int]
    writes: frozenset[int]


Step: TypeAlias = KernelStep | PythonStep


@dataclass(frozen=True, eq=False)
class FaultNote:
    """A kernel's fault argument: where it notes an index in ``tensor`` that points outside."""

    node: Node
    tensor: Tensor

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a fault's words."""
        return np.dtype(np.int64)


@dataclass(frozen=True)
class Buffer:
    """Where a tensor lives in the block; ``owner`` is the tensor's number."""

    owner: int
    offset: int
    life: Lifetime


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run does, in which order, and where each value lives.

    Attributes
    ----------
    temporaries:
        Values that steps of one operator pass on to each other, numbered behind the file's tensors.
    stages:
        Steps in execution order; those of one stage are independent of each other.
    buffers:
        By owner. ``owner`` says which buffer a tensor uses (aliases share one).
    in_order:
        Stages follow the file's order, no operators are joined, and none shares memory with another: a part
        can be run by itself.
    keep_all:
        Every tensor has memory of its own, and stages follow the file's order.
    rewritten:
        The subgraph that was lowered: after ``passes``, or as it is with ``in_order``.
    notes:
        What the passes did, and what not and why.
    """

    subgraph: Subgraph
    rewritten: Subgraph
    temporaries: tuple[Tensor, ...]
    stages: tuple[tuple[Step, ...], ...]
    buffers: Mapping[int, Buffer]
    owner: Mapping[int, int]
    arena_bytes: int
    scratch_bytes: int
    in_order: bool
    keep_all: bool
    notes: tuple[str, ...] = ()

    def steps(self) -> Iterator[Step]:
        """All steps in order."""
        return (step for stage in self.stages for step in stage)

    def entries(self) -> tuple[Entry, ...]:
        """The compiled kernels that the plan names, each once."""
        return tuple({id(s.entry): s.entry for s in self.steps() if isinstance(s, KernelStep)}.values())

    @cached_property
    def tensors(self) -> tuple[Tensor, ...]:
        """The file's tensors, those of passes and the temporaries, by number."""
        return (*self.rewritten.tensors, *self.temporaries)

    def buffer_of(self, tensor: int) -> Buffer | None:
        """A tensor's place, or None: a constant, or never computed."""
        return self.buffers.get(self.owner.get(tensor, tensor))

    def is_kept(self, tensor: int) -> bool:
        """Whether a value can be read: when the run is over; with ``in_order``, in its lifetime."""
        buffer = self.buffer_of(tensor)
        return buffer is not None and (self.in_order or buffer.life.last >= len(self.stages))

    def verify(self) -> None:
        """Check what the kernels rely on.

        Raises
        ------
        MiniliteError
            Two buffers that live at the same time overlap, a buffer leaves the block, or a step reads
            what no earlier stage has written.
        """
        _verify_memory(self)
        _verify_order(self)

    def explain(self) -> str:
        """The plan as text: stage by stage, what runs, over what, from where to where."""
        return _explain(self)


def build_plan(graph: Graph, *, subgraph: int = 0, keep_all: bool = False, in_order: bool = False) -> Plan:
    """Lower every operator of a prepared graph, order the steps and place the buffers.

    With ``in_order`` each operator is lowered by itself, without it operators are joined first where that
    is faster (see ``passes``); the bits of the results are the same. ``keep_all`` keeps every value, and is
    in order, too.
    """
    original = graph.subgraphs[subgraph]
    notes: list[str] = []
    in_order = in_order or keep_all
    builder = _Builder(original if in_order else rewrite(original, notes), in_order, keep_all)
    if not in_order:
        builder.places = places(builder.subgraph, notes)
    for node in builder.subgraph.nodes():
        if not node.is_folded:
            builder.lower(node)
    plan = builder.plan(original, notes)
    plan.verify()
    return plan


class _Builder:
    """Collects steps; what ``ops.Lowering`` promises the operators."""

    def __init__(self, subgraph: Subgraph, in_order: bool, keep_all: bool) -> None:
        self.subgraph, self.in_order, self.keep_all = subgraph, in_order, keep_all
        self.steps: list[Step] = []
        self.tensors: list[Tensor] = list(self.subgraph.tensors)
        self.owner: dict[int, int] = {}
        self.scratch_bytes = 0
        self.places: dict[int, Place] = {}

    # -- what operators call (ops.Lowering) --

    def step(self, kernel: Kernel, node: Node, *, extent: int, grain: int, **arguments: Any) -> None:
        scratch_offset, placed = 0, {}
        reads: set[int] = set()
        writes: set[int] = set()
        for parameter in kernel.parameters:
            value = arguments[parameter.name]
            if isinstance(value, ScratchSpace):
                value = ScratchSpace(value.dtype, value.size, scratch_offset)
                scratch_offset += memory.align(value.nbytes)
            elif isinstance(value, Tensor) and not value.is_constant:
                (reads if parameter.role == "input" else writes).add(self._owner_of(value))
            placed[parameter.name] = value
        if len(placed) != len(arguments):
            raise TypeError(f"{kernel}: unknown arguments {sorted(set(arguments) - set(placed))}")
        self.scratch_bytes = max(self.scratch_bytes, scratch_offset)
        self.steps.append(
            KernelStep(node, kernel, placed, extent, max(1, grain), frozenset(reads), frozenset(writes))
        )

    def constant(self, tensor: Tensor, pack: Callable[..., Array], *arguments: Any) -> Array:
        return _packed(tensor, pack, arguments)

    def scratch(self, dtype: Any, size: int) -> ScratchSpace:
        return ScratchSpace(np.dtype(dtype), size)

    def temporary(self, kind: TensorType, size: int) -> Tensor:
        number = len(self.tensors)
        made = Tensor(number, f"temporary {number}", kind, (size,), (size,))
        self.tensors.append(made)
        return made

    def place(self, output: Tensor) -> Place:
        return self.places.get(output.index) or Place(output, output.shape[-1] if output.shape else 1, 0)

    def fault(self, node: Node, tensor: Tensor) -> FaultNote:
        return FaultNote(node, tensor)

    def alias(self, output: Tensor, source: Tensor) -> None:
        owner = self._owner_of(source)
        fixed = {*self.subgraph.inputs, *self.subgraph.outputs}
        if (
            self.in_order
            or source.is_constant
            or source.is_variable
            or owner in fixed
            or output.index in fixed
        ):
            # Memory that someone outside may write or read at any time is not shared.
            node = next(n for n in self.subgraph.nodes() if output.index in n.operator.outputs)
            x, out = as_words(self, source), as_words(self, output)
            self.step(copy, node, extent=out.size, grain=_COPIED_AT_ONCE, x=x, out=out, source=0, target=0)
        else:
            self.owner[output.index] = owner

    # -- the passes of a build --

    def lower(self, node: Node) -> None:
        op = ops.find(node.operator.name)
        if op is None:
            raise MiniliteError(
                f"{node.operator}: minilite has no such operator", op_index=node.operator.index
            )
        before = len(self.steps)
        if op.lower(node, self):
            return
        if len(self.steps) != before:
            raise MiniliteError(f"{node.operator}: lowered in part only", op_index=node.operator.index)
        inputs = (t for t in node.inputs if t is not None and not t.is_constant)
        reads = frozenset(self._owner_of(t) for t in inputs)
        self.steps.append(PythonStep(node, reads, frozenset(self._owner_of(t) for t in node.outputs)))

    def plan(self, original: Subgraph, notes: list[str]) -> Plan:
        levels = self._file_order() if self.in_order else self._levels()
        stages: list[list[Step]] = [[] for _ in range(max(levels, default=-1) + 1)]
        for step, level in zip(self.steps, levels, strict=True):
            stages[level].append(step)
        lives = self._lifetimes(levels, len(stages))
        keys = list(lives)
        offsets, total = memory.place([lives[k] for k in keys])
        buffers = {k: Buffer(k, o, lives[k]) for k, o in zip(keys, offsets, strict=True)}
        frozen = tuple(map(tuple, stages))
        temporaries = tuple(self.tensors[len(self.subgraph.tensors) :])
        return Plan(
            original,
            self.subgraph,
            temporaries,
            frozen,
            buffers,
            self.owner,
            total,
            self.scratch_bytes,
            self.in_order,
            self.keep_all,
            tuple(notes),
        )

    def _owner_of(self, tensor: Tensor) -> int:
        return self.owner.get(tensor.index, tensor.index)

    def _file_order(self) -> list[int]:
        """One stage for each step: operator by operator, as the file has them."""
        return list(range(len(self.steps)))

    def _levels(self) -> list[int]:
        """Each step in the stage right after the last one that it needs; Python steps stand alone."""
        ready: dict[int, int] = {}
        levels: list[int] = []
        barrier = 0
        for step in self.steps:
            if isinstance(step, PythonStep):
                level = max(levels, default=-1) + 1
                barrier = level + 1
            else:
                level = max((ready.get(key, 0) for key in step.reads), default=0)
                level = max(level, barrier)
            for key in step.writes:
                ready[key] = max(ready.get(key, 0), level + 1)
            levels.append(level)
        return levels

    def _lifetimes(self, levels: list[int], end: int) -> dict[int, Lifetime]:
        """From the first stage that writes a buffer to the last that reads it; ``end`` is after the run.

        Graph inputs and variables live throughout, for an input set once serves several runs. Outputs can be
        read until the next run begins, and lend their memory until they are written.
        """
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for step, level in zip(self.steps, levels, strict=True):
            for key in step.reads | step.writes:
                first[key] = min(first.get(key, level), level)
                last[key] = max(last.get(key, level), level)
        tensors = self.tensors
        always = {*self.subgraph.inputs, *(t.index for t in tensors if t.is_variable)}
        for index in always | {*self.subgraph.outputs}:
            if not tensors[index].is_constant:
                key = self.owner.get(index, index)
                first[key] = 0 if index in always else first.get(key, 0)
                last[key] = end
        if self.keep_all:
            return {key: Lifetime(tensors[key].nbytes, 0, end) for key in first}
        return {key: Lifetime(tensors[key].nbytes, first[key], last[key]) for key in first}


_COPIED_AT_ONCE = 1 << 17
"""Elements in one chunk of a copy."""


# Packed weights, shared by all plans of a model. An entry lives as long as a plan uses it, and a plan
# holds the tensor whose data the key names, so that the identity in the key cannot be reused.
_shared: weakref.WeakValueDictionary[tuple[Any, ...], Array] = weakref.WeakValueDictionary()


def _packed(tensor: Tensor, pack: Callable[..., Array], arguments: tuple[Any, ...]) -> Array:
    key = (id(tensor.data), tensor.index, pack.__module__, pack.__qualname__, *arguments)
    packed = _shared.get(key)
    if packed is None:
        packed = aligned_copy(pack(tensor.data, *arguments))
        packed.flags.writeable = False
        _shared[key] = packed
    return packed


def aligned_empty(nbytes: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Zeroed bytes that begin at a multiple of ``memory.ALIGNMENT``."""
    raw = np.zeros(nbytes + memory.ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % memory.ALIGNMENT
    return raw[start : start + nbytes]


def aligned_copy(array: Array) -> Array:
    """A flat copy that begins at a multiple of ``memory.ALIGNMENT``."""
    copy = aligned_empty(array.nbytes).view(array.dtype)
    copy[:] = array.ravel()
    return copy


def _verify_memory(plan: Plan) -> None:
    tensors = plan.tensors
    buffers = sorted(plan.buffers.values(), key=lambda b: b.offset)
    for i, one in enumerate(buffers):
        if one.offset % memory.ALIGNMENT or one.offset + one.life.nbytes > plan.arena_bytes:
            raise MiniliteError(f"plan: buffer of {tensors[one.owner]} leaves its block", rule="arena")
        for other in buffers[i + 1 :]:
            if other.offset >= one.offset + one.life.nbytes:
                break
            if other.life.nbytes and one.life.meets(other.life):
                names = f"{tensors[one.owner]} and {tensors[other.owner]}"
                raise MiniliteError(f"plan: {names} live at the same time in the same memory", rule="arena")


def _verify_order(plan: Plan) -> None:
    tensors = plan.tensors
    known: set[int] = {*plan.subgraph.inputs, *(t.index for t in tensors if t.is_variable or t.is_constant)}
    # What several steps write (a concatenation, part by part) is there when all of them have run.
    writers = Counter(key for step in plan.steps() for key in step.writes)
    for number, stage in enumerate(plan.stages):
        for step in stage:
            if missing := step.reads - known:
                names = ", ".join(str(tensors[key]) for key in missing)
                raise MiniliteError(
                    f"plan: stage {number}, {step.node.operator} reads {names} before it is written",
                    op_index=step.node.operator.index,
                    rule="order",
                )
        written = Counter(key for step in stage for key in step.writes)
        writers.subtract(written)
        known |= {key for key in written if not writers[key]}


def _explain(plan: Plan) -> str:
    lives = [b.life for b in plan.buffers.values()]
    kernels = sum(isinstance(s, KernelStep) for s in plan.steps())
    lines = [
        f"{len(plan.stages)} stages, {kernels} kernel steps, "
        f"{len(list(plan.steps())) - kernels} Python steps",
        f"arena {plan.arena_bytes:,} bytes (peak of what is alive: {memory.peak(lives):,}), "
        f"scratch {plan.scratch_bytes:,} bytes a thread",
    ]
    for number, stage in enumerate(plan.stages):
        for step in stage:
            lines.append(f"stage {number:3d}  {step.node.operator!s:28s} {_explain_step(plan, step)}")
    if plan.notes:
        lines += ["joined, and not joined:", *plan.notes]
    return "\n".join(lines)


def _explain_step(plan: Plan, step: Step) -> str:
    places = [
        f"t{key}@{plan.buffers[key].offset:,}+{plan.buffers[key].life.nbytes:,}"
        for key in (*step.reads, *step.writes)
    ]
    arrow = f"{' '.join(places[: len(step.reads)])} -> {' '.join(places[len(step.reads) :])}"
    if isinstance(step, PythonStep):
        return f"NumPy reference, no kernel for this case  {arrow}"
    return f"{step.entry.name}  {step.extent} in {step.chunks} chunks of {step.grain}  {arrow}"
