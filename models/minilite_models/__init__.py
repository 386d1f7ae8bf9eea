"""What minilite knows about published models: data files, and the functions that read them."""

from __future__ import annotations

import sys
from importlib import resources
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def table() -> dict[str, dict[str, Any]]:
    """The entries of ``models.toml`` by model name; ``README.md`` explains their fields."""
    text = resources.files(__name__).joinpath("models.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def labels(name: str) -> tuple[str, ...]:
    """The class names of the label file ``<name>.txt``: one a line, the first is class 0."""
    text = resources.files(__name__).joinpath(f"{name}.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
