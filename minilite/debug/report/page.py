"""The report's file: one page of HTML with style, script, data and pictures in it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from minilite.debug.report.data import Report

SCRIPTS = ("base.js", "sheets.js", "graph.js", "detail.js", "table.js", "overview.js", "main.js")
"""In this order: each uses what those before it define."""

_SLOT = re.compile(r"\{\{(\w+)\}\}")


def build(report: Report) -> str:
    """The page as text.

    Names in a model come from strangers: they stand in JSON only, in which ``<`` is written so that
    nothing ends the script element, and reach the page as text. A policy in the page lets the browser
    run this one script, draw the pictures in it, and load nothing.
    """
    style = _asset("page.css")
    script = "\n".join(['"use strict";', *map(_asset, SCRIPTS)])
    return _filled(
        _asset("page.html"),
        {
            "title": html.escape(str(report.data["title"])),
            "policy": html.escape(
                f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; "
                f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
            ),
            "style": style,
            "script": script,
            "data": json_text(report.data),
            "pictures": "\n".join(
                f'<script type="text/plain" id="picture-{html.escape(name)}">{text}</script>'
                for name, text in report.pictures.items()
            ),
        },
    )


def json_text(data: Any) -> str:
    """JSON that may stand in a script element whatever the names in it are."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # A lone surrogate has no UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def _filled(template: str, parts: Mapping[str, str]) -> str:
    return _SLOT.sub(lambda found: parts[found[1]], template)


def _asset(name: str) -> str:
    return (files("minilite.debug.report") / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
