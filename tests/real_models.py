"""The models that MINILITE_MODELS names, for tests that hold for any."""

from __future__ import annotations

import os
from pathlib import Path

from minilite.graph import Shape

FOLDER = Path(os.environ.get("MINILITE_MODELS") or ".")
SHAPES: dict[str, dict[int, Shape]] = {"oww_melspectrogram": {0: (1, 1280)}}
"""Input shapes of models that cannot run in the shape they declare: here too short for the window."""

MODELS = sorted(path.stem for path in FOLDER.glob("*.tflite"))
