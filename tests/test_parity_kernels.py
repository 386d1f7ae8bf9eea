"""Random one-operator models: what a plan computes is what the operator's NumPy reference does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba", reason="plans need Numba")

from minilite.graph import Array, Graph, TensorType
from minilite.plan import KernelStep
from minilite.prepare import prepare
from minilite.quantization import FUSED_ACTIVATIONS
from minilite.reference import ReferenceExecutor
from minilite.testing.models import TensorSpec, one_op, tensor
from tests.oracle import assert_plan_agrees, random_values, run

FLOAT, UINT8, INT8, INT32 = TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8, TensorType.INT32

TYPES = st.sampled_from([FLOAT, UINT8, INT8])
ACTIVATIONS = st.sampled_from(sorted(FUSED_ACTIVATIONS))
SEEDS = st.integers(0, 999)


@dataclass(frozen=True)
class Case:
    """A model of one operator and the seed of its inputs."""

    graph: Graph
    seed: int
    special: bool = False
    """Whether floats are sprinkled with infinities and NaN."""

    def inputs(self) -> list[Array]:
        rng = np.random.default_rng(self.seed)
        tensors = [self.graph.main.tensors[i] for i in self.graph.main.inputs]
        values = [random_values(rng, t.shape, t.type) for t in tensors]
        for value in values if self.special else ():
            if value.dtype.kind == "f" and value.size:
                places = rng.integers(0, value.size, 3)
                value.flat[places] = [np.nan, np.inf, -np.inf]
        return values


def assert_parity(case: Case, *, kernel: bool = True) -> None:
    """The plan's output is the reference's, within the operator's tolerance; by a ``kernel``."""
    inputs = case.inputs()
    plan = assert_plan_agrees(case.graph, inputs, run(ReferenceExecutor(case.graph), inputs))
    if kernel:
        assert all(isinstance(step, KernelStep) for step in plan.steps()), plan.explain()


# --- strategies ----------------------------------------------------------------------------------


def zero_points(kind: TensorType) -> st.SearchStrategy[int]:
    info = np.iinfo(kind.dtype)
    return st.integers(int(info.min), int(info.max))


@st.composite
def specs(draw: st.DrawFn, /, kind: TensorType, scale: float = 0.02, **fields: Any) -> TensorSpec:
    """A tensor of that type, at some zero point if it is quantized."""
    if kind is FLOAT:
        return tensor(type=FLOAT, **fields)
    scale *= draw(st.sampled_from([0.5, 1.0, 1.7]))
    return tensor(type=kind, scale=scale, zero_point=draw(zero_points(kind)), **fields)


@st.composite
def conversions(draw: st.DrawFn) -> Case:
    source = draw(TYPES)
    target = draw(st.sampled_from([UINT8, INT8] if source is FLOAT else [FLOAT, UINT8, INT8]))
    name = "DEQUANTIZE" if target is FLOAT else "QUANTIZE"
    shape = tuple(draw(st.lists(st.integers(1, 9), max_size=3)))
    graph = one_op(name, [draw(specs(source, shape=shape))], [draw(specs(target))])
    return Case(prepare(graph), draw(SEEDS), special=draw(st.booleans()))


@given(conversions())
def test_quantize_and_dequantize(case: Case) -> None:
    assert_parity(case)
