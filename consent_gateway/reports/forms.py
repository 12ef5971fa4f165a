"""Renders a report as JSON, as CSV and as one page to be read and printed; decides nothing and reads nothing.

Every form names the checkpoint that the report rests on and says that its times are UTC. A cell that a spreadsheet
would take for a formula gets an apostrophe before it. The page has one template, no script and no style of its own.
"""

import csv
import io
import json
from collections.abc import Iterator
from html import escape
from string import Template

from consent_gateway.audit.csv_view import plain
from consent_gateway.audit.entry import written_time
from consent_gateway.reports.model import Cell, Report, Row, Table

UTC_MARK = "_utc"
STYLESHEET = "report.css"
"""The stylesheet's file name, beside the page in a folder."""

_PAGE = Template("""\
<!doctype html>
<html lang="en" dir="ltr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title – consent gateway</title>
<link rel="stylesheet" href="$stylesheet">
</head>
<body>
<header>
<h1>$title</h1>
<dl>
$facts</dl>
</header>
<main>
<section aria-labelledby="figures">
<h2 id="figures">Figures</h2>
<dl>
$figures</dl>
</section>
$tables$notes</main>
<footer>
<h2>Checkpoint</h2>
<p>What is counted from the log is counted up to this signed checkpoint; entries after it are left out.</p>
<pre tabindex="0">$checkpoint</pre>
</footer>
</body>
</html>
""")
_TABLE = Template("""\
<section>
<h2 id="$key">$title</h2>
$note<div role="region" aria-labelledby="$key" tabindex="0">
<table>
<thead><tr>$head</tr></thead>
<tbody>
$rows</tbody>
</table>
</div>
<p>$count</p>
</section>
""")


def as_json(report: Report) -> bytes:
    """The report as a JSON document."""
    return (json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n").encode()


def as_csv(report: Report, key: str) -> bytes:
    """One table as CSV: what it is, in lines of a name and a value, then an empty line, then head and rows.

    Raises `KeyError` for a table that the report has not.
    """
    table = report.table(key)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for name, value in _preamble(report, table):
        writer.writerow([name, plain(value)])
    writer.writerow([])
    writer.writerow(table.columns)
    writer.writerows([_plain(row) for row in table.rows])
    return text.getvalue().encode()


def as_html(report: Report, stylesheet: str = STYLESHEET) -> bytes:
    """The report as a page; `stylesheet` is the address of its stylesheet."""
    listed = "".join(f"<li>{escape(note)}</li>\n" for note in report.notes)
    notes = f'<section aria-labelledby="notes">\n<h2 id="notes">Notes</h2>\n<ul>\n{listed}</ul>\n</section>\n'
    return _PAGE.substitute(
        title=escape(report.title),
        stylesheet=escape(stylesheet),
        facts="".join(_term(name, value) for name, value in _facts(report)),
        figures="".join(_term(heading(name), _shown(value)) for name, value in report.figures.items()),
        tables="".join(map(_section, report.tables)),
        notes=notes if report.notes else "",
        checkpoint=escape(report.rests_on.note),
    ).encode()


def heading(column: str) -> str:
    """The head of a column for a reader: `first_at_utc` is `First at (UTC)`."""
    named = column.removesuffix(UTC_MARK).replace("_", " ")
    return f"{named[:1].upper()}{named[1:]}{' (UTC)' if column.endswith(UTC_MARK) else ''}"


def _preamble(report: Report, table: Table) -> Iterator[tuple[str, str]]:
    yield "report", report.name
    yield "table", table.key
    yield "made_at_utc", written_time(report.made_at)
    yield "time_zone", "UTC"
    yield "policy_revision", report.revision
    for name, value in report.asked.as_json().items():
        yield f"asked_{name}", str(value)
    yield "log", report.rests_on.origin
    yield "checkpoint_size", str(report.rests_on.size)
    yield "checkpoint_root_hash", report.rests_on.root
    yield "rows", str(len(table.rows))


def _plain(row: Row) -> list[str]:
    return [plain(cell) if isinstance(cell, str) else _shown(cell) for cell in row]


def _shown(cell: Cell) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return "" if cell is None else str(cell)


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    asked = report.asked.as_json()
    yield "Period (UTC)", f"{asked.pop('since', 'the beginning')} to {asked.pop('until', 'now')}"
    for name, value in asked.items():
        yield heading(name), str(value)
    yield "Made at (UTC)", written_time(report.made_at)
    yield "Policy revision", report.revision
    yield "Rests on", f"{report.rests_on.size} entries of {report.rests_on.origin}"
    yield "Root hash", report.rests_on.root


def _term(name: str, value: str) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>\n"


def _section(table: Table) -> str:
    count = "1 row" if len(table.rows) == 1 else f"{len(table.rows)} rows"
    return _TABLE.substitute(
        key=escape(table.key),
        title=escape(table.title),
        note=f"<p>{escape(table.note)}</p>\n" if table.note else "",
        head="".join(f'<th scope="col">{escape(heading(column))}</th>' for column in table.columns),
        rows="".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in table.rows),
        count=count,
    )


def _cell(cell: Cell) -> str:
    number = isinstance(cell, int | float) and not isinstance(cell, bool)
    marked = ' class="number"' if number else ""
    return f"<td{marked}>{escape(_shown(cell))}</td>"
