"""Scenes of shapes, drawn from a seed: what the packaged model ``shapes`` is trained and measured on.

A scene is a busy background with one to three shapes on it, which may hide each other in part. Shapes and
backgrounds are painted with the same random colours and patterns, in the same light, so that neither colour
nor brightness nor texture tells what a pixel belongs to: only outlines do.

An outline is a function of the plane, negative inside and zero on the outline, with a slope of about one. A
pixel's coverage (antialiasing) and its truth (its centre is inside) come from the same number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Field = npt.NDArray[Any]
"""float32, height x width (x 3): values of pixels."""

SIZE = 224
"""Side of the pictures that the packaged model reads, in pixels."""

MOST_SHAPES = 3

RADIUS = (0.2, 0.33)
"""Smallest and largest circumcircle of a shape, in sides of the picture."""

LEAST_VISIBLE = 0.7
"""Share of a shape that later shapes leave visible."""

LEAST_CONTRAST = 90.0
"""Mean distance between the colours on both sides of an outline: Euclidean, RGB from 0 to 255."""

ATTEMPTS = 20


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture and what is in it.

    Attributes
    ----------
    image:
        uint8 ``(size, size, 3)``, RGB.
    truth:
        uint8 ``(size, size)``: the index in ``CLASSES`` of what is seen at each pixel.
    """

    image: npt.NDArray[np.uint8]
    truth: npt.NDArray[np.uint8]


def _disc(x: Field, y: Field) -> Field:
    return np.hypot(x, y) - 0.85


def _triangle(x: Field, y: Field) -> Field:
    angles = (0.0, 2 * math.pi / 3, 4 * math.pi / 3)
    distance: Field = np.maximum.reduce([math.cos(a) * x + math.sin(a) * y for a in angles])
    return distance - 0.6


def _square(x: Field, y: Field) -> Field:
    distance: Field = np.maximum(abs(x), abs(y))
    return distance - 0.7


def _star(x: Field, y: Field) -> Field:
    """Tips at 1, notches at 0.5; a straight line in one tenth of the plane, which mirrors the others."""
    tenth = math.pi / 5
    angle = abs((np.arctan2(y, x) + tenth) % (2 * tenth) - tenth)
    dx, dy = 0.5 * math.cos(tenth) - 1, 0.5 * math.sin(tenth)
    radius = np.hypot(x, y)
    return (dy * (radius * np.cos(angle) - 1) - dx * radius * np.sin(angle)) / math.hypot(dx, dy)


def _ring(x: Field, y: Field) -> Field:
    return abs(np.hypot(x, y) - 0.7) - 0.25


def _cross(x: Field, y: Field) -> Field:
    long, wide = 0.94, 0.33
    one, other = np.maximum(abs(x) - long, abs(y) - wide), np.maximum(abs(x) - wide, abs(y) - long)
    distance: Field = np.minimum(one, other)
    return distance


OUTLINES: dict[str, Callable[[Field, Field], Field]] = {
    "disc": _disc,
    "triangle": _triangle,
    "square": _square,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
}
"""Outlines around the origin, of a radius of about one."""

CLASSES = ("background", *OUTLINES)


def draw(seed: int, size: int = SIZE) -> Scene:
    """Draw the scene of a seed.

    Everything but the grain of the picture is relative to its side: another size shows the same scene, unless
    a choice of the painter's hangs on a few pixels.

    Parameters
    ----------
    seed:
        Not negative. The training has seen 1,000,000,000 and the scenes after it.
    size:
        Height and width in pixels.
    """
    rng = np.random.default_rng(seed)
    place = (np.arange(size, dtype=np.float32) + 0.5) / size
    painter = _Painter(rng, place[np.newaxis, :], place[:, np.newaxis], size)
    canvas = painter.background()
    canvas, truth = painter.shapes(canvas)
    canvas = painter.wires(canvas, int(rng.integers(0, 3)), 0.006)
    canvas = canvas * painter.light()[..., np.newaxis]
    grain = painter.between(0, 14) * rng.standard_normal(canvas.shape, np.float32)
    return Scene(np.clip(np.rint(canvas + grain), 0, 255).astype(np.uint8), truth)


class _Painter:
    """What is drawn with one generator, on pixel centres ``x`` (a row) and ``y`` (a column) from 0 to 1."""

    def __init__(self, rng: np.random.Generator, x: Field, y: Field, size: int) -> None:
        self.rng, self.x, self.y, self.size = rng, x, y, size

    def between(self, low: float, high: float) -> float:
        """A number, as Python's own float: NumPy's would make float64 of what it is multiplied with."""
        return float(self.rng.uniform(low, high))

    def anywhere(self, low: float = 0.0, high: float = 1.0) -> tuple[float, float]:
        """A point of the picture."""
        return self.between(low, high), self.between(low, high)

    def background(self) -> Field:
        """Up to three surfaces with straight or wavy borders, and lines across them."""
        canvas = self.surface()
        for _ in range(self.rng.integers(0, 3)):
            across, along = self.turned(*self.anywhere(0.1, 0.9))
            wave = self.between(0, 0.06) * np.sin(self.between(4, 20) * along)
            canvas = self.paint(canvas, self.surface(), across + wave)
        return self.wires(canvas, int(self.rng.integers(0, 6)), 0.02)

    def shapes(self, canvas: Field) -> tuple[Field, npt.NDArray[np.uint8]]:
        """Shapes upon a canvas, and the truth. One that would hide too much of another is placed anew."""
        owner = np.zeros((self.size, self.size), np.uint8)
        classes, areas = [0], [0]
        for _ in range(self.rng.integers(1, MOST_SHAPES + 1)):
            label = int(self.rng.integers(1, len(CLASSES)))
            for _ in range(ATTEMPTS):
                outline = self.outline(OUTLINES[CLASSES[label]])
                after = np.where(outline < 0, np.uint8(len(classes)), owner)
                visible = np.bincount(after.ravel(), minlength=len(classes))
                if all(visible[k] >= LEAST_VISIBLE * areas[k] for k in range(1, len(classes))):
                    canvas, owner = self.shadowed(canvas, outline), after
                    canvas = self.paint(canvas, self.contrasting(canvas, outline), outline)
                    classes.append(label)
                    areas.append(int(visible[-1]))
                    break
        return canvas, np.array(classes, np.uint8)[owner]

    def outline(self, shape: Callable[[Field, Field], Field]) -> Field:
        """A shape somewhere, turned, up to a fifth narrower than high; distances in sides of the picture."""
        radius = self.between(*RADIUS)
        narrow = self.between(0.8, 1.0)
        u, v = self.turned(*self.anywhere(0.7 * radius, 1 - 0.7 * radius))
        return shape(u / (radius * narrow), v / radius) * (radius * narrow)

    def turned(self, x: float, y: float) -> tuple[Field, Field]:
        """Coordinates around a point, turned by any angle."""
        angle = self.between(0, 2 * math.pi)
        cos, sin = math.cos(angle), math.sin(angle)
        dx, dy = self.x - x, self.y - y
        return cos * dx + sin * dy, cos * dy - sin * dx

    def paint(self, canvas: Field, surface: Field, outline: Field) -> Field:
        """A surface laid over the canvas where an outline is negative; its border pixels are mixed."""
        coverage = np.clip(0.5 - outline * self.size, 0, 1)[..., np.newaxis]
        return canvas + (surface - canvas) * coverage

    def shadowed(self, canvas: Field, outline: Field) -> Field:
        """The canvas with a soft shadow, of any depth, around what will lie on it."""
        shadow = self.between(0.1, 0.7) * np.exp(np.maximum(outline, 0) / -self.between(0.01, 0.05))
        darkened: Field = canvas * (1 - shadow[..., np.newaxis])
        return darkened

    def wires(self, canvas: Field, count: int, widest: float) -> Field:
        """Wavy lines from border to border."""
        for _ in range(count):
            across, along = self.turned(*self.anywhere())
            wave = self.between(0, 0.05) * np.sin(self.between(3, 15) * along)
            colour = self.rng.uniform(0, 255, 3).astype(np.float32)
            canvas = self.paint(canvas, colour, abs(across + wave) - self.between(0.003, widest) / 2)
        return canvas

    def contrasting(self, canvas: Field, outline: Field) -> Field:
        """A surface that is seen against the canvas, along the outline and as a mean."""
        rim = abs(outline) < 0.03
        for _ in range(ATTEMPTS):
            surface = self.surface()
            if np.linalg.norm((surface - canvas)[rim], axis=-1).mean() >= LEAST_CONTRAST:
                break
        return surface

    def surface(self) -> Field:
        """A pattern of two colours with a gentle gradient: ``(size, size, 3)``, RGB from 0 to 255."""
        first, second = self.rng.uniform(15, 240, (2, 3)).astype(np.float32)
        mixed = np.clip(self.pattern() + self.between(0, 0.3) * self.turned(0.5, 0.5)[0], 0, 1)
        blend: Field = first + (second - first) * mixed[..., np.newaxis]
        return blend

    def pattern(self) -> Field:
        """From 0 to 1: one of six patterns, the plain one most often."""
        u, v = self.turned(*self.anywhere())
        pitch = 2 * math.pi * self.between(6, 22)
        depth = self.between(0.25, 1)
        kind = int(self.rng.integers(9))
        if kind > 4:
            return np.zeros_like(u)
        if kind == 0:
            return self.blotches()
        if kind == 1:
            wave = np.sin(pitch * u)
        elif kind == 2:
            wave = np.sin(pitch * u) * np.sin(pitch * v)
        elif kind == 3:
            wave = np.sin(pitch * u + 3 * np.sin(pitch * v / 3))
        else:
            wave = np.cos(pitch * u) + np.cos(pitch * v) - 1
        sharp = 8.0 if self.rng.integers(2) else 1.0
        return depth * np.clip(0.5 + sharp * wave / 2, 0, 1)

    def blotches(self) -> Field:
        """Smooth noise of any fineness."""
        cells = int(self.rng.integers(4, 32))
        grid = Image.fromarray(self.rng.uniform(0, 1, (cells, cells)).astype(np.float32))
        return np.asarray(grid.resize((self.size, self.size), Image.Resampling.BICUBIC), np.float32)

    def light(self) -> Field:
        """Brightness that changes over the picture, and a bright spot."""
        slope = self.between(0, 0.6) * self.turned(0.5, 0.5)[0]
        distance = sum(np.square(d) for d in self.turned(*self.anywhere()))
        spot = self.between(0, 0.4) * np.exp(distance * -self.between(3, 15))
        return self.between(0.75, 1.05) + slope + spot
