"""Renders an access document: as a page to read, as JSON and CSV to use, with their schema; pure, adds no fact."""

import csv
import html
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

from consent_gateway.rights.access_document import ACCESS, KNOW

SCHEMA: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Personal data of one person",
    "type": "object",
    "required": ["format", "kind", "company", "made_at", "language", "policy_revision", "fields"],
    "properties": {
        "format": {"const": 1},
        "kind": {"enum": ["access", "portability", "know"]},
        "fields": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "categories", "values", "uses", "sources", "recipients", "kept", "free_text"],
                "properties": {
                    "field": {"type": "string", "description": "table and column; the person's own record without one"},
                    "values": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["value"],
                            "properties": {
                                "value": {},
                                "not_told": {"enum": ["withheld", "others", "unreadable"]},
                                "because": {"type": "string"},
                            },
                        },
                    },
                },
            },
        },
        "kinds": {"type": "array", "items": {"type": "object"}},
        "choices": {"type": "array", "items": {"type": "object"}},
        "accesses": {"type": "array", "items": {"type": "object"}},
    },
}
"""Of `data.json`; `data.csv` has one line a value, with the columns of `COLUMNS`."""

COLUMNS = ("field", "categories", "value", "not_told", "purposes", "bases", "kept_until")
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%;margin:1rem 0}th,td{border:1px solid #bbb;padding:.3rem .5rem;"
    "text-align:start;vertical-align:top;overflow-wrap:anywhere}caption{font-weight:bold;text-align:start}"
)


def files_of(document: Mapping[str, Any]) -> dict[str, bytes]:
    """Every file of a package, by name. Portability has no page to read: a machine is to."""
    if document["kind"] == KNOW:
        return {
            "report.html": page(document).encode(),
            "data.json": json.dumps(document, ensure_ascii=False, indent=2).encode(),
            "data.csv": _table(document["kinds"]),
            "schema.json": json.dumps(SCHEMA, indent=2).encode(),
        }
    files = {
        "data.json": json.dumps(document, ensure_ascii=False, indent=2).encode(),
        "data.csv": _csv(COLUMNS, _lines(document)),
        "schema.json": json.dumps(SCHEMA, indent=2).encode(),
    }
    if document["kind"] == ACCESS:
        files["choices.csv"] = _table(document["choices"])
        files["accesses.csv"] = _table(document["accesses"])
        files["report.html"] = page(document).encode()
    return files


def page(document: Mapping[str, Any]) -> str:
    """The report to be read: one page without script, style sheet or picture from elsewhere."""
    language = html.escape(document["language"])
    direction = ' dir="rtl"' if language == "ar" else ""
    parts = [
        f'<!doctype html><html lang="{language}"{direction}><head><meta charset="utf-8">',
        f"<title>{_text(document['company'])}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{_text(document['company'])}</h1><p>{_text(document['introduction'])}</p>",
        f"<p>{_text(document['made_at'][:10])}</p>",
        *(_kinds(document) if document["kind"] == KNOW else _data(document)),
    ]
    last = ("rights", "complaint", "automated_decisions")
    parts += [f"<p>{_text(document[key])}</p>" for key in last if key in document]
    return "".join([*parts, "</main></body></html>"])


def _data(document: Mapping[str, Any]) -> Iterable[str]:
    yield from _section("Purposes", ("Purpose", "What for", "Fields"), _purposes(document))
    head = ("Field", "Kind", "Value", "Purpose and basis", "Source", "Kept")
    yield from _section("Data", head, _fields(document))
    yield from _section("Recipients", ("Name", "Role", "Country", "Safeguard", "Received"), _recipients(document))
    yield from _section("Choices", ("When", "What", "Purpose", "Channel", "Notice"), _choices(document))
    yield from _section("Who looked", ("When", "Who", "Purpose", "Recipient", "Fields"), _accesses(document))


def _kinds(document: Mapping[str, Any]) -> Iterable[str]:
    names = ("name", "purposes", "sources", "recipients", "periods")
    rows = (["; ".join(one[name]) if name != "name" else one[name] for name in names] for one in document["kinds"])
    yield from _section("Kinds of data", ("Kind", "What for", "Source", "Recipients", "Kept"), rows)
    yield from _section("Recipients", ("Name", "Role", "Country", "Safeguard", "Received"), _recipients(document))


def _section(title: str, head: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterable[str]:
    yield f"<table><caption>{title}</caption><thead><tr>"
    yield from (f'<th scope="col">{name}</th>' for name in head)
    yield "</tr></thead><tbody>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>"
    yield "</tbody></table>"


def _purposes(document: Mapping[str, Any]) -> Iterable[tuple[object, ...]]:
    return ((one["name"], one["description"], ", ".join(one["fields"])) for one in document["purposes"])


def _fields(document: Mapping[str, Any]) -> Iterable[tuple[object, ...]]:
    for one in document["fields"]:
        values = "; ".join(_shown(each) for each in one["values"])
        uses = "; ".join(f"{use['name']} ({use['basis']})" for use in one["uses"] if use["used"])
        kept = one["kept"]["until"] or ", ".join(str(each["period"]) for each in one["kept"]["criteria"])
        sources = "; ".join(each["source"] for each in one["sources"])
        yield one["field"], ", ".join(each["name"] for each in one["categories"]), values, uses, sources, kept


def _recipients(document: Mapping[str, Any]) -> Iterable[tuple[object, ...]]:
    for one in document["recipients"]:
        yield one["name"], one["role"], one["country"], one["safeguard"] or "", one["last_received_at"] or ""


def _choices(document: Mapping[str, Any]) -> Iterable[tuple[object, ...]]:
    for one in document["choices"]:
        yield one["occurred_at"], one["event"], one["purpose"], one["channel"], one["notice"] or ""


def _accesses(document: Mapping[str, Any]) -> Iterable[tuple[object, ...]]:
    for one in document["accesses"]:
        yield one["at"], one["who"], one["purpose"], one["recipient"] or "", ", ".join(one["fields"])


def _shown(value: Mapping[str, Any]) -> str:
    if "not_told" in value:
        return str(value["because"] or value["not_told"])
    inner = value["value"]
    return inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False)


def _text(value: object) -> str:
    return html.escape(str(value))


def _lines(document: Mapping[str, Any]) -> Iterable[tuple[object, ...]]:
    for one in document["fields"]:
        used = [use for use in one["uses"] if use["used"]]
        for value in one["values"]:
            yield (
                one["field"],
                " ".join(each["category"] for each in one["categories"]),
                "" if value["value"] is None else _shown({"value": value["value"]}),
                value.get("not_told", ""),
                " ".join(use["purpose"] for use in used),
                " ".join(dict.fromkeys(use["basis"] for use in used)),
                one["kept"]["until"] or "",
            )


def _table(rows: list[Mapping[str, Any]]) -> bytes:
    head = tuple(rows[0]) if rows else ()
    return _csv(head, ([_cell(row[name]) for name in head] for row in rows))


def _cell(value: object) -> object:
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _csv(head: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    """RFC 4180; a cell that a spreadsheet would take for a formula begins with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(head)
    for row in rows:
        writer.writerow([_harmless(cell) for cell in row])
    return out.getvalue().encode()


def _harmless(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@", "\t", "\r"} else cell
