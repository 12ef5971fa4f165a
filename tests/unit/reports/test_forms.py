"""The forms of a report: JSON, CSV and page show the same numbers, name the checkpoint, hold no formula, no script."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_gateway.reports import forms
from consent_gateway.reports.model import Asked, Report, RestsOn, Table
from tests.conftest import NOON

CELLS = st.one_of(
    st.text(max_size=12), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none()
)
ROWS = st.lists(st.tuples(CELLS, CELLS), max_size=6).map(tuple)


def report(rows: tuple[tuple[object, object], ...], title: str = "Choices & more") -> Report:
    """A report with one table."""
    table = Table("rows", title, ("what", "first_at_utc"), rows)  # type: ignore[arg-type]
    rests_on = RestsOn("log.example", 7, "ab" * 32, "log.example\n7\nq6ur\n\n— log.example AAAA\n")
    return Report("demo", title, NOON, "rev", Asked(since=NOON, caller="=1+1"), rests_on, {"rows": len(rows)}, (table,))


class _Page(HTMLParser):
    """Reads a page: its tags in order, with the text of every table cell."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self._within = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        self._within = tag in ("td", "th")
        if self._within:
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._within = self._within and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._within:
            self.rows[-1][-1] += data


@given(ROWS)
def test_the_three_forms_show_the_same_rows(rows: tuple[tuple[object, object], ...]) -> None:
    """JSON, CSV and page have one row for each row, with the same cells, and say how many there are."""
    made = report(rows)
    told = json.loads(forms.as_json(made))
    assert told["time_zone"] == "UTC"
    assert told["tables"]["rows"]["count"] == len(rows)
    assert [tuple(row.values()) for row in told["tables"]["rows"]["rows"]] == list(rows)
    lines = list(csv.reader(io.StringIO(forms.as_csv(made, "rows").decode(), newline="")))
    gap = lines.index([])
    head = dict(lines[:gap])
    assert head["checkpoint_size"] == "7"
    assert head["checkpoint_root_hash"] == "ab" * 32
    assert head["time_zone"] == "UTC"
    assert head["rows"] == str(len(rows))
    assert len(lines) - gap - 2 == len(rows)
    page = _Page()
    page.feed(forms.as_html(made).decode())
    assert page.rows[0] == ["What", "First at (UTC)"]
    assert len(page.rows) - 1 == len(rows)


@given(ROWS)
def test_no_cell_is_a_formula(rows: tuple[tuple[object, object], ...]) -> None:
    """No text in a CSV begins with a sign that a spreadsheet acts on; numbers stay numbers."""
    lines = list(csv.reader(io.StringIO(forms.as_csv(report(rows), "rows").decode(), newline="")))
    gap = lines.index([])
    assert dict(lines[:gap])["asked_caller"] == "'=1+1"
    for row, cells in zip(lines[gap + 2 :], rows, strict=True):
        for written, cell in zip(row, cells, strict=True):
            assert not isinstance(cell, str) or written[:1] not in tuple("=+-@\t\r\n|%")


@given(st.text(alphabet="<>&\"'ab$ ", max_size=20))
def test_a_page_holds_no_markup_that_a_value_brought_in(text: str) -> None:
    """Whatever a cell or title says, the page has the tags of its template and nothing else."""
    plain_page, page = _Page(), _Page()
    plain_page.feed(forms.as_html(report((("x", 1),), "x")).decode())
    page.feed(forms.as_html(report(((text, 1),), text)).decode())
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain_page.tags]
    names = {name for _, attributes in page.tags for name in attributes}
    assert not [name for name in names if name == "style" or name.startswith("on")]
    assert not {"script", "style", "img", "iframe", "a"} & {tag for tag, _ in page.tags}


def test_the_stylesheet_prints_heads_on_every_sheet_and_cuts_no_row() -> None:
    """The print rules repeat the head row, number the sheets and keep rows whole; nothing is fetched from elsewhere."""
    text = (Path(forms.__file__).parent / forms.STYLESHEET).read_text()
    paper = text[text.index("@media print") :]
    assert "table-header-group" in paper
    assert "break-inside: avoid" in paper
    assert "counter(pages)" in paper
    assert not re.search(r"url\(|@import", text)


def test_a_table_whose_rows_do_not_fit_its_head_is_refused() -> None:
    """A cell under a wrong head would be a wrong number."""
    with pytest.raises(ValueError, match="another number of cells"):
        report(((1, 2, 3),))  # type: ignore[arg-type]
