from __future__ import annotations

import minilite_models
import numpy as np
import pytest
from minilite_models import scenes

SEEDS = range(60)


@pytest.fixture(scope="module")
def drawn() -> list[scenes.Scene]:
    return [scenes.draw(seed, 64) for seed in SEEDS]


def test_a_seed_is_a_scene() -> None:
    first, again, other = scenes.draw(3, 96), scenes.draw(3, 96), scenes.draw(4, 96)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.truth, again.truth)
    assert (first.truth != other.truth).any()
    assert (first.image.shape, first.truth.shape) == ((96, 96, 3), (96, 96))
    assert first.image.dtype == first.truth.dtype == np.uint8


def test_another_size_shows_the_same_scene() -> None:
    small, large = scenes.draw(7, 80).truth, scenes.draw(7, 240).truth
    np.testing.assert_array_equal(large[1::3, 1::3], small)


def test_the_classes_are_those_of_the_label_file() -> None:
    assert minilite_models.labels("shapes") == scenes.CLASSES


def test_classes_are_balanced(drawn: list[scenes.Scene]) -> None:
    present = np.array([[(scene.truth == label).any() for scene in drawn] for label in range(1, 7)])
    assert (present.mean(1) > 0.15).all()
    assert (present.mean(1) < 0.5).all()
    shares = np.bincount(np.concatenate([s.truth.ravel() for s in drawn]), minlength=7) / (64 * 64 * 60)
    assert 0.6 < shares[0] < 0.85
    assert shares[1:].max() < 3 * shares[1:].min()


def test_colours_tell_nothing(drawn: list[scenes.Scene]) -> None:
    """The colours on shapes spread as widely as those of the background, around the same mean."""
    shapes = np.concatenate([s.image[s.truth > 0] for s in drawn]).astype(float)
    ground = np.concatenate([s.image[s.truth == 0] for s in drawn]).astype(float)
    assert abs(shapes.mean(0) - ground.mean(0)).max() < 0.3 * ground.std(0).min()
    np.testing.assert_allclose(shapes.std(0), ground.std(0), rtol=0.2)


@pytest.mark.parametrize(
    ("name", "area"),
    [
        ("disc", np.pi * 0.85**2),
        ("triangle", 3 * np.sqrt(3) * 0.6**2),
        ("square", 1.4**2),
        ("star", 5 * 0.5 * np.sin(np.pi / 5)),
        ("ring", np.pi * (0.95**2 - 0.45**2)),
        ("cross", 4 * 0.33 * (2 * 0.94 - 0.33)),
    ],
)
def test_outlines_have_the_area_geometry_gives_them(name: str, area: float) -> None:
    side = (np.arange(600, dtype=np.float32) + 0.5) / 200 - 1.5
    inside = scenes.OUTLINES[name](side[np.newaxis, :], side[:, np.newaxis]) < 0
    assert inside.mean() * 9 == pytest.approx(area, rel=0.01)
