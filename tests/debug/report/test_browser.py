"""The report in a browser: headless Chromium, driven by Playwright, where there are both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from minilite.debug.report import page
from minilite.debug.report.data import Report
from tests.debug.report.conftest import HOSTILE


@pytest.fixture(scope="module")
def report_file(small_report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page.build(small_report), encoding="utf-8")
    return path


@pytest.fixture
def opened(opened_page: Any, report_file: Path) -> Any:
    """The report in a window of its own."""
    opened_page.goto(report_file.as_uri())
    return opened_page


def test_it_opens_with_photo_mask_and_overlay(opened: Any) -> None:
    assert opened.locator("#overview h2").text_content() == HOSTILE
    sizes = opened.eval_on_selector_all("#overview .panels img", "all => all.map(i => i.naturalWidth)")
    assert sizes == [60, 60, 60]
    opened.hover("#overview .panels figure:nth-child(3) canvas", position={"x": 10, "y": 10})
    opened.wait_for_function("document.querySelector('#overview .reading').textContent.includes('class')")


def test_search_finds_and_jumps(opened: Any) -> None:
    opened.keyboard.press("/")
    opened.keyboard.type("logistic")
    assert opened.locator("#matches").text_content() == "1"
    assert opened.locator("#graph .node.match").count() == 1
    opened.keyboard.press("Enter")
    assert opened.locator("#detail h2").text_content() == "LOGISTIC"
    assert opened.locator("#graph .node.selected .name").text_content() == "LOGISTIC"
    assert opened.locator("#graph .node.selected").is_visible()
    opened.fill("#search", "gated")  # a tensor: who writes it
    assert opened.locator("#matches").text_content() == "1"
    opened.fill("#search", "scores/bias")  # a constant: who reads it
    assert opened.locator("#graph .node.match .number >> nth=0").text_content() == "#3"
    opened.fill("#search", "=conv_2d")
    assert opened.locator("#matches").text_content() == "2"
    opened.fill("#search", "nobody has this")
    assert opened.locator("#matches").text_content() == "none"


def test_a_click_shows_channels(opened: Any) -> None:
    opened.click("#tab-graph")
    opened.click("#graph .node.op >> nth=2")
    assert opened.locator("#detail h2").text_content() == "MUL"
    opened.locator("#detail .thumb").first.wait_for()
    opened.click("[data-act=channels]")
    assert opened.locator("dialog .thumb").count() == 40
    pixels = "c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer"
    assert opened.eval_on_selector("dialog .large", f"c => new Set(new Uint32Array({pixels})).size") > 1
    opened.keyboard.press("ArrowRight")
    assert opened.locator("dialog .caption strong").text_content() == "channel 1"
    opened.select_option("dialog select >> nth=0", "widest first")
    opened.select_option("dialog select >> nth=2", "around zero")
    opened.hover("dialog .large", position={"x": 20, "y": 20})
    assert "≈" in opened.locator("dialog .reading").text_content()
    opened.keyboard.press("Escape")
    opened.locator("dialog").wait_for(state="hidden")


def test_the_graph_zooms_moves_and_is_walked(opened: Any) -> None:
    opened.click("#tab-graph")
    place = "document.querySelector('#graph svg > g').getAttribute('transform')"
    seen = {opened.evaluate(place)}
    opened.mouse.move(500, 400)
    opened.mouse.wheel(0, -300)
    opened.wait_for_function(f"!{list(seen)}.includes({place})")
    seen.add(opened.evaluate(place))
    opened.mouse.down()
    opened.mouse.move(560, 450, steps=4)
    opened.mouse.up()
    seen.add(opened.evaluate(place))
    opened.click("[aria-label='Show all']")
    seen.add(opened.evaluate(place))
    assert len(seen) == 4
    opened.focus("#graph svg")
    for _ in range(2):
        opened.keyboard.press("ArrowDown")
    assert opened.locator("#detail h2").text_content() == "CONV_2D"
    opened.keyboard.press("ArrowDown")
    assert opened.locator("#detail h2").text_content() in ("LOGISTIC", "MUL")


def test_the_table_sorts_filters_and_is_walked(opened: Any) -> None:
    opened.click("#tab-table")
    numbers = "rows => rows.map(row => Number(row.dataset.number))"
    assert opened.eval_on_selector_all("#table tbody tr", numbers) == [0, 1, 2, 3]
    opened.click("th[data-key=name] button")
    assert opened.eval_on_selector_all("#table tbody tr", numbers) == [0, 3, 1, 2]
    assert opened.get_attribute("th[data-key=name]", "aria-sort") == "ascending"
    opened.click("th[data-key=multiply_adds] button")
    assert opened.eval_on_selector_all("#table tbody tr", numbers)[:2] == [3, 0]
    opened.click("th[data-key=multiply_adds] button")
    assert opened.get_attribute("th[data-key=multiply_adds]", "aria-sort") == "ascending"
    opened.fill("#search", "conv")
    assert opened.eval_on_selector_all("#table tbody tr", numbers) == [0, 3]
    opened.click("#table tbody tr >> nth=0")
    opened.keyboard.press("ArrowDown")
    assert opened.locator("#detail .head p").text_content() == "operator 3"
    assert opened.locator("tr[aria-selected=true]").count() == 1


def test_the_theme_toggles_and_stays(opened: Any) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = opened.evaluate(ground)
    opened.click("#theme")
    assert opened.get_attribute("html", "data-theme") == "dark"
    assert opened.evaluate(ground) != light
    opened.reload()
    assert opened.get_attribute("#theme", "aria-pressed") == "true"


@pytest.mark.parametrize("width", [360, 800, 1600])
def test_nothing_sticks_out_at_any_width(opened: Any, width: int) -> None:
    opened.set_viewport_size({"width": width, "height": 720})
    for tab in ("overview", "graph", "table"):
        opened.click(f"#tab-{tab}")
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.locator(f"#{tab}").is_visible()


def test_the_address_leads_back(opened: Any, report_file: Path) -> None:
    opened.goto("about:blank")
    opened.goto(report_file.as_uri() + "#table/op-1")
    assert opened.locator("#table").is_visible()
    assert opened.locator("#detail h2").text_content() == "LOGISTIC"
