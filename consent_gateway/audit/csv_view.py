"""Entries as rows of a CSV table, to be read by people; the evidence is the leaf, and this is a view of it.

A cell that a spreadsheet would take for a formula gets an apostrophe before it. All times are UTC, as the column says.
"""

import csv
import io
from collections.abc import Mapping
from typing import Any

_MEMBERS = (
    "id",
    "kind",
    "caller",
    "channel",
    "purpose",
    "action",
    "data_subject",
    "recipient",
    "jurisdiction",
    "outcome",
    "pack",
    "revision",
    "consent_event",
    "reference",
)
HEAD = ("index", "at_utc", *_MEMBERS, "fields", "facts", "detail")
_FORMULA = frozenset("=+-@\t\r\n|%")


def csv_head() -> bytes:
    """The head of the table."""
    return _line(HEAD).encode()


def csv_row(index: int, entry: Mapping[str, Any]) -> str:
    """The entry at this index as a line. A leaf that is no entry gives empty cells."""
    fields = "; ".join(f"{name}: {_words(verdict)}" for name, verdict in _members(entry, "fields"))
    detail = "; ".join(f"{name}={value}" for name, value in _members(entry, "detail"))
    words = [str(entry.get(name, "")) for name in ("at", *_MEMBERS)]
    return _line([str(index), *map(plain, [*words, fields, _words(entry.get("facts", ())), detail])])


def _members(entry: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    found = entry.get(name)
    return list(found.items()) if isinstance(found, dict) else []


def _words(found: object) -> str:
    return " ".join(map(str, found)) if isinstance(found, list) else str(found or "")


def plain(cell: str) -> str:
    """The cell, so that no spreadsheet takes it for a formula."""
    return f"'{cell}" if cell[:1] in _FORMULA else cell


def _line(cells: Any) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue()
