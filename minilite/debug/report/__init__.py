"""A report that one can look at: a run of a model as one HTML file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minilite.catalogue import KnownModel
from minilite.debug.report import masks, page
from minilite.debug.report.data import Progress, Report, gather
from minilite.errors import MiniliteError
from minilite.images import Picture
from minilite.inputs import read_inputs
from minilite.model import Model

DEFAULT_BUDGET = 9_000_000
"""Bytes that the pictures of values may take in the file."""


@dataclass(frozen=True)
class Written:
    """What was written: the file, its size, and what stands in it."""

    path: Path
    bytes: int
    operators: int
    milliseconds: float
    """Of an ordinary run."""
    segmentation: bool
    omitted: tuple[str, ...]


def write_report(
    model: Model,
    source: str,
    output: Path,
    *,
    title: str,
    known: KnownModel | None = None,
    budget: int = DEFAULT_BUDGET,
    progress: Progress = lambda done, total, what: None,
) -> Written:
    """Run a model on an input and write what it did as one HTML file, which needs nothing else.

    Parameters
    ----------
    source:
        One of ``inputs.FORMS``; of a picture the segmentation is shown, too, if the model gives one.
    output:
        The file; one of that name is replaced.
    known:
        What is known of the model: labels and normalisation.
    budget:
        Bytes of base64 that pictures of values may take; the page says what it leaves out.

    Raises
    ------
    TensorValueError
        The source does not fit the model.
    InvokeError
        An operator failed.
    MiniliteError
        The file cannot be written.
    """
    report = make_report(model, source, title=title, known=known, budget=budget, progress=progress)
    text = page.build(report)
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MiniliteError(f"{output}: cannot be written: {error.strerror}", rule="file") from error
    return Written(
        output,
        output.stat().st_size,
        len(model.graph.main.operators),
        report.data["run_milliseconds"],
        report.data["segmentation"] is not None,
        tuple(report.data["omitted"]),
    )


def make_report(
    model: Model,
    source: str,
    *,
    title: str,
    known: KnownModel | None = None,
    budget: int = DEFAULT_BUDGET,
    progress: Progress = lambda done, total, what: None,
) -> Report:
    """What ``write_report`` writes, as data."""
    inputs = read_inputs(source, model.graph)
    report, store, _ = gather(
        model, inputs, title=title, source=Path(source).name, budget=budget, progress=progress
    )
    photo = _photo(source)
    found = None if photo is None else masks.segmented(model, known, photo)
    report.data["segmentation"] = None if found is None else masks.add_segmentation(found, store)
    return report


def _photo(source: str) -> Picture | None:
    path = Path(source)
    if path.suffix in (".npy", ".npz") or not path.is_file():
        return None
    from minilite.images import load_image  # noqa: PLC0415 - only where there is a picture

    return load_image(path)
