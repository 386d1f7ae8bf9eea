from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minilite import ops
from minilite.building import GraphBuilder, constant, tensor
from minilite.debug.report import make_report
from minilite.debug.report.data import Report
from minilite.graph import Graph
from minilite.images import load_image
from minilite.inputs import read_inputs
from minilite.model import Model

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
AWKWARD = "& \u2028 \x00 \\"
NO_TEXT = "\udc80.png"
"""How Python names a file whose name is no UTF-8."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def small_graph() -> Graph:
    """Scores of three classes for each pixel of a photo of 16 x 16, by way of two branches."""
    rng = np.random.default_rng(0)
    net = GraphBuilder()
    conv = ops.find("CONV_2D")
    assert conv is not None
    assert conv.options is not None
    unit = conv.options(stride_w=1, stride_h=1)

    def convolved(x: int, channels: int, inputs: int, name: str) -> int:
        weights = rng.normal(size=(channels, 1, 1, inputs)).astype(np.float32)
        weight = net.tensor(constant(weights, name=f"{name}/weights"))
        bias = net.tensor(constant(np.zeros(channels, np.float32), name=f"{name}/bias"))
        return net.add("CONV_2D", [x, weight, bias], tensor(name=name), unit)

    photo = net.input(tensor((1, 16, 16, 3), name="photo"))
    wide = convolved(photo, 40, 3, HOSTILE)
    gate = net.add("LOGISTIC", [wide], tensor(name=AWKWARD))
    gated = net.add("MUL", [wide, gate], tensor(name="gated"))
    scores = convolved(gated, 4, 40, "scores")
    return net.graph(scores)


@pytest.fixture(scope="session")
def small_model(small_graph: Graph) -> Model:
    return Model(small_graph, backend="numpy")


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of four colours."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20, :30], pixels[:20, 30:], pixels[20:, :30] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def small_report(small_model: Model, photo: Path) -> Report:
    inputs = read_inputs(str(photo), small_model.graph)
    return make_report(small_model, inputs, title=HOSTILE, source=NO_TEXT, photo=load_image(photo))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("there is no Chromium (apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, headless=True, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def opened_page(browser: Any) -> Iterator[Any]:
    """An empty window; whatever a page complains of or asks the network for is a failure."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else complaints.append(r.url))
    yield tab
    assert complaints == []
    assert not tab.title().startswith("owned")
    context.close()
