"""Renders an access document as the files of a package: a page to read, JSON and CSV to use, their schema; pure."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

from consent_gateway.rights.access_document import ACCESS, KNOW
from consent_gateway.rights.access_page import Says, page, shown

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
        "responsible": {"type": "array", "items": {"type": "object", "required": ["who", "name", "address"]}},
        "kinds": {"type": "array", "items": {"type": "object"}},
        "choices": {"type": "array", "items": {"type": "object"}},
        "accesses": {"type": "array", "items": {"type": "object"}},
    },
}
"""Of `data.json`; `data.csv` has one line a value, with the columns of `COLUMNS`."""

COLUMNS = ("field", "categories", "value", "not_told", "purposes", "bases", "kept_until")


def files_of(document: Mapping[str, Any], says: Says, company: str) -> dict[str, bytes]:
    """Every file of a package, by name. Portability has no page to read: a machine is to.

    `says` are the words of the page, `company` is what it calls the company.
    """
    files = {
        "data.json": json.dumps(document, ensure_ascii=False, indent=2).encode(),
        "data.csv": _table(document["kinds"]) if document["kind"] == KNOW else _csv(COLUMNS, _lines(document)),
        "schema.json": json.dumps(SCHEMA, indent=2).encode(),
    }
    if document["kind"] == ACCESS:
        files["choices.csv"] = _table(document["choices"])
        files["accesses.csv"] = _table(document["accesses"])
    if document["kind"] in {ACCESS, KNOW}:
        files["report.html"] = page(document, says, company).encode()
    return files


def _lines(document: Mapping[str, Any]) -> Iterable[tuple[object, ...]]:
    for one in document["fields"]:
        used = [use for use in one["uses"] if use["used"]]
        for value in one["values"]:
            yield (
                one["field"],
                " ".join(each["category"] for each in one["categories"]),
                "" if value["value"] is None else shown(value),
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
