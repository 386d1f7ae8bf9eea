"""The models that come with the package."""

from __future__ import annotations

import urllib.request
from functools import cache
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from minilite_models import scenes

import minilite
from minilite import catalogue
from minilite.segmentation import model_input, segmenter_for
from minilite.testing.oracle import Oracle

NAMES = ("shapes", "shapes-int8")
SEEDS = range(100_000, 100_012)


@pytest.fixture(autouse=True)
def _no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> NoReturn:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.delenv("MINILITE_MODELS", raising=False)


@pytest.mark.parametrize("name", NAMES)
def test_files_are_what_the_table_says(name: str) -> None:
    found = catalogue.find_model(name)
    assert found.known is not None
    assert found.path.parent == catalogue.packaged_folder()
    assert found.path.stat().st_size == found.known.bytes <= 2_000_000
    assert catalogue.sha256_of(found.path) == found.known.sha256
    assert found.known.labels == scenes.CLASSES
    assert found.known.licence == "Apache-2.0"


def test_they_are_loaded_by_name() -> None:
    model = minilite.load("shapes", backend="numpy")
    assert [tensor.shape for tensor in model.inputs] == [(1, scenes.SIZE, scenes.SIZE, 3)]
    assert [tensor.shape for tensor in model.outputs] == [(1, scenes.SIZE, scenes.SIZE, len(scenes.CLASSES))]


@cache
def mean_iou(name: str) -> float:
    """Over the scenes of ``SEEDS``."""
    found = catalogue.find_model(name)
    segment = segmenter_for(minilite.load(found.path), found.known)
    drawn = [scenes.draw(seed) for seed in SEEDS]
    truth = np.stack([scene.truth for scene in drawn])
    labels = np.stack([segment(scene.image).labels for scene in drawn])
    ious = []
    for label in range(len(scenes.CLASSES)):
        there, found_there = truth == label, labels == label
        ious.append((there & found_there).sum() / (there | found_there).sum())
    return float(np.mean(ious))


def test_scenes_that_were_not_trained_on_are_segmented() -> None:
    assert mean_iou("shapes") > 0.85


def test_int8_segments_as_well() -> None:
    assert abs(mean_iou("shapes-int8") - mean_iou("shapes")) < 0.01


def test_neither_colour_nor_place_tells_the_classes() -> None:
    """With their colours turned and their sides swapped scenes are segmented all the same."""
    found = catalogue.find_model("shapes")
    segment = segmenter_for(minilite.load(found.path), found.known)
    right, right_changed = [], []
    for seed in SEEDS[:6]:
        scene = scenes.draw(seed)
        changed = segment(np.ascontiguousarray(scene.image[:, ::-1, ::-1])).labels[:, ::-1]
        right.append(np.mean(segment(scene.image).labels == scene.truth))
        right_changed.append(np.mean(changed == scene.truth))
    assert np.mean(right) > 0.94
    assert np.mean(right_changed) > 0.94


@pytest.mark.usefixtures("litert")
def test_int8_is_equal_to_the_reference_kernels() -> None:
    found = catalogue.find_model("shapes-int8")
    segmenter = segmenter_for(minilite.load(found.path), found.known)
    with Oracle("litert-ref") as oracle:
        oracle.load(found.path)
        for seed in SEEDS[:2]:
            values = model_input(scenes.draw(seed).image, segmenter.input, segmenter.normalisation)
            np.testing.assert_array_equal(segmenter.model(values)[0], oracle.invoke([values]).outputs[0])
