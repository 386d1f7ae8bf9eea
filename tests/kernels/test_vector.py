from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"NUMBA_CPU_NAME": "generic"}, "4 False False"),
        ({"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,-avx512vnni"}, "8 True False"),
        ({"NUMBA_ENABLE_AVX": "0", "NUMBA_CPU_FEATURES": "-avx2"}, "4 False False"),
    ],
)
def test_only_instructions_that_numba_compiles_for(setting: dict[str, str], expected: str) -> None:
    # LLVM would end the process over any other.
    script = (
        "from minilite_kernels import simd_integer, vector\n"
        "print(vector.WIDTH, 'fma' in vector.FEATURES, simd_integer._HAS_DOT_PRODUCT)"
    )
    forced = ("MINILITE_SIMD_WIDTH", "MINILITE_SIMD_PORTABLE", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")
    inherited = {name: value for name, value in os.environ.items() if name not in forced}
    environment = {**inherited, "PYTHONPATH": os.pathsep.join(sys.path), **setting}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected
