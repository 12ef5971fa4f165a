"""A report's page in real Chromium, from a folder without a server: accessible, narrow and wide, and on paper."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from consent_gateway.reports import forms
from consent_gateway.reports.model import Asked, Report, RestsOn, Table
from tests.browser.test_every_page import HEADINGS, OVERFLOW, TAGS
from tests.conftest import NOON

ROWS = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a long and wide report, as a pack holds it."""
    made = tmp_path_factory.mktemp("pack")
    columns = tuple(f"column_{n}_utc" for n in range(14))
    rows = tuple(tuple(f"value {row} {n} " * 2 if n % 3 else row * n for n in range(14)) for row in range(ROWS))
    rests_on = RestsOn("log.example", 7, "ab" * 32, "log.example\n7\nq6ur\n\n— log.example " + "A" * 90 + "\n")
    tables = (Table("long", "Long", columns, rows, "What it shows."), Table("none", "Empty", ("one",), ()))
    report = Report(
        "demo", "Demonstration", NOON, "rev", Asked(since=NOON), rests_on, {"rows": ROWS}, tables, ("A note.",)
    )
    (made / "report-demo.html").write_bytes(forms.as_html(report))
    (made / forms.STYLESHEET).write_bytes((Path(forms.__file__).parent / forms.STYLESHEET).read_bytes())
    return made


@pytest.fixture(params=[("light", 320), ("dark", 320), ("light", 1280), ("dark", 1280)], ids=str)
def page(request: pytest.FixtureRequest, chromium: Browser, folder: Path) -> Iterator[Page]:
    """The page, opened as a file."""
    scheme, width = request.param
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened = context.new_page()
    opened.goto((folder / "report-demo.html").as_uri())
    yield opened
    context.close()


def test_the_page_is_accessible_and_scrolls_in_its_tables_alone(page: Page, axe: str) -> None:
    """No finding of axe-core, no sideways scrolling of the page, one h1 and no level skipped; tables have a name."""
    page.evaluate(axe)
    options: Any = {"runOnly": {"type": "tag", "values": TAGS}}
    found = page.evaluate("options => axe.run(document, options)", options)["violations"]
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found] == []
    assert page.evaluate(OVERFLOW) <= 0
    assert page.evaluate(HEADINGS) == [1, 2, 2, 2, 2, 2]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "region"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"


def test_on_paper_every_sheet_has_the_head_and_no_row_is_cut(chromium: Browser, folder: Path) -> None:
    """Printed, the table takes several sheets, whose width it keeps to; heads repeat and rows stay whole."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto((folder / "report-demo.html").as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.querySelector('thead')).display") == "table-header-group"
    assert page.evaluate("getComputedStyle(document.querySelector('tbody tr')).breakInside") == "avoid"
    printed = page.pdf(prefer_css_page_size=True)
    sheets = len(re.findall(rb"/Type\s*/Page\b", printed))
    boxes = {tuple(float(one) for one in box.split()) for box in re.findall(rb"/MediaBox\s*\[([^\]]+)\]", printed)}
    assert sheets > 3
    assert all(box[2] > box[3] for box in boxes)  # A4, across
    page.set_viewport_size({"width": 1009, "height": 680})  # the printed area of such a sheet, in CSS pixels
    assert page.evaluate(OVERFLOW) <= 0
    context.close()
