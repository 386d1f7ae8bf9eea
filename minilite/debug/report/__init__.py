"""A report that one can look at: a run of a model as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from minilite.catalogue import KnownModel
from minilite.debug.report import comparison, masks, page
from minilite.debug.report.data import Progress, Report, gather
from minilite.debug.sides import Side
from minilite.errors import MiniliteError
from minilite.graph import Array
from minilite.model import Model

if TYPE_CHECKING:
    from minilite.images import Picture

DEFAULT_BUDGET = 9_000_000
"""Bytes that the pictures of values may take in the file."""


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes
    ----------
    milliseconds:
        Of an ordinary run.
    segmentation:
        Whether the photo is shown with what the model sees in it.
    agrees:
        Whether the comparison found nothing wrong; None without one.
    omitted:
        Tensors of which the budget left something out, and how much is shown.
    """

    path: Path
    bytes: int
    operators: int
    milliseconds: float
    segmentation: bool
    agrees: bool | None
    omitted: tuple[str, ...]


def write_report(
    model: Model,
    inputs: Sequence[Array],
    output: Path,
    *,
    title: str,
    source: str = "",
    photo: Picture | None = None,
    known: KnownModel | None = None,
    against: Side | None = None,
    budget: int = DEFAULT_BUDGET,
    progress: Progress = lambda done, total, what: None,
) -> Written:
    """Run a model and write what it did as one HTML file, which needs nothing else.

    Parameters
    ----------
    inputs:
        Values by position, as ``inputs.read_inputs`` gives them.
    output:
        The file; one of that name is replaced.
    title, source:
        What the model and its input are called.
    photo:
        The picture that the input was made of: its segmentation is shown, if the model gives one.
    known:
        What is known of the model: labels and normalisation.
    against:
        Another side's run on the same inputs (``sides.record_side``), to compare with.
    budget:
        Bytes of base64 that pictures of values may take; the page says what it leaves out.

    Raises
    ------
    TensorValueError
        The inputs do not fit the model.
    InvokeError
        An operator failed.
    PairingError
        There is nothing to compare.
    MiniliteError
        The file cannot be written.
    """
    report = make_report(
        model,
        inputs,
        title=title,
        source=source,
        photo=photo,
        known=known,
        against=against,
        budget=budget,
        progress=progress,
    )
    try:
        output.write_text(page.build(report), encoding="utf-8")
    except OSError as error:
        raise MiniliteError(f"{output}: cannot be written: {error.strerror}", rule="file") from error
    return Written(
        output,
        output.stat().st_size,
        len(model.graph.main.operators),
        report.data["run_milliseconds"],
        report.data["segmentation"] is not None,
        report.data["comparison"]["passed"] if against is not None else None,
        tuple(report.data["omitted"]),
    )


def make_report(
    model: Model,
    inputs: Sequence[Array],
    *,
    title: str,
    source: str = "",
    photo: Picture | None = None,
    known: KnownModel | None = None,
    against: Side | None = None,
    budget: int = DEFAULT_BUDGET,
    progress: Progress = lambda done, total, what: None,
) -> Report:
    """What ``write_report`` writes, as data."""
    report, store, recording = gather(
        model, inputs, title=title, source=source, budget=budget, progress=progress
    )
    found = None if photo is None else masks.segmented(model, known, photo)
    report.data["segmentation"] = None if found is None else masks.add_segmentation(found, store)
    report.data["comparison"] = None
    if against is not None:
        errors = comparison.compared(recording, against, progress)
        report.data["comparison"] = comparison.add_comparison(report.data["subgraphs"][0], errors)
    return report
