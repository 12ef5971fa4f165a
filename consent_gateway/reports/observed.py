"""What the log shows was done with which field, for which purpose and whom: counts entries and judges nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from consent_gateway.audit.entry import EntryKind
from consent_gateway.reports.source import Logged
from consent_gateway.vocabulary import COMPANY, Effect

USES = (EntryKind.DECISION, EntryKind.WRITE_INTENT, EntryKind.REIDENTIFICATION)
"""Entries that tell of a use of fields. Decisions without data are among them: the log does not tell them apart."""

_CLOSED = Effect.WITHHOLD.word


@dataclass(slots=True)
class Use:
    """How often one thing was let out or held back, between which entries of the log, and about how many people."""

    opened: int = 0
    withheld: int = 0
    first: int | None = None  # index of the first entry that let it out
    last: int | None = None
    last_at: str | None = None
    people: set[str] = field(default_factory=set)

    def add(self, index: int, entry: Mapping[str, Any], *, is_open: bool) -> None:
        """Count one more."""
        if not is_open:
            self.withheld += 1
            return
        self.opened += 1
        self.first = index if self.first is None else self.first
        self.last, self.last_at = index, entry.get("at")
        if entry.get("data_subject"):
            self.people.add(entry["data_subject"])


Key = tuple[str, str, str, str, str]
"""Action, purpose, recipient, field and policy revision."""


def uses(entries: Iterable[Logged]) -> dict[Key, Use]:
    """Each use that the entries tell of, in the order of its key."""
    found: dict[Key, Use] = {}
    for index, entry in entries:
        action = "write" if entry.get("kind") == EntryKind.WRITE_INTENT else str(entry.get("action", ""))
        whole = (action, str(entry.get("purpose", "")), str(entry.get("recipient", COMPANY)))
        for name, is_open in released(entry):
            key = (*whole, name, str(entry.get("revision", "")))
            found.setdefault(key, Use()).add(index, entry, is_open=is_open)
    return dict(sorted(found.items()))


def released(entry: Mapping[str, Any]) -> Iterable[tuple[str, bool]]:
    """Each field that the entry names, and whether it was let out in any form."""
    fields = entry.get("fields")
    for name, verdict in fields.items() if isinstance(fields, dict) else ():
        yield name, isinstance(verdict, list) and bool(verdict) and verdict[0] != _CLOSED
