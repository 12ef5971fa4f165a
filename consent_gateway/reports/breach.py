"""Whom a breach may concern (GDPR Art. 33, 34): what left to a caller, or under a class of keys, within a period.

Counts from the log alone, and counts what may have left rather than too little: a decision asked for without data
stands in the log like a read. The clock is that of the packs, by where the people concerned live.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from consent_gateway.audit.entry import EntryKind
from consent_gateway.policy import Policies
from consent_gateway.reports.model import Asked, Cell, Report, Row, Table
from consent_gateway.reports.observed import released
from consent_gateway.reports.source import Source, words
from consent_gateway.rights.clocks import due
from consent_gateway.rights.regimes import Laws
from consent_gateway.vocabulary import COMPANY, Action

NAME, TITLE = "breach", "Scope of a breach"
RIGHT = "breach_art33"
KINDS = (EntryKind.DECISION, EntryKind.REIDENTIFICATION)
_PEOPLE = ("data_subject", "jurisdiction", "releases", "fields", "first_at_utc", "last_at_utc")
_FIELDS = ("field", "categories", "special", "key_class", "releases", "people", "in_clear")
_RECIPIENTS = ("recipient", "role", "country", "caller", "purpose", "releases", "people")
_CLOCKS = ("regime", "pack", "source", "jurisdictions", "people", "aware_at_utc", "notify_by_utc", "over")
_NOTES = (
    "`in_clear` counts releases whose verdict was `allow`; the others went out generalised, masked or pseudonymised.",
    "Entries without a person tell of nobody the gateway knows, and nothing was released there.",
    (
        "Give `aware_at` to see until when an authority must be told. Whether it must, and whether the people must be"
        " told (Art. 34), is for a person to judge."
    ),
)


@dataclass(slots=True)
class _Person:
    jurisdiction: str | None = None
    releases: int = 0
    fields: set[str] = field(default_factory=set)
    first_at: str = ""
    last_at: str = ""


@dataclass(slots=True)
class _Count:
    releases: int = 0
    people: set[str] = field(default_factory=set)
    in_clear: int = 0


@dataclass(slots=True)
class _Scope:
    entries: int = 0
    people: dict[str, _Person] = field(default_factory=dict)
    fields: dict[str, _Count] = field(default_factory=dict)
    recipients: dict[tuple[str, str, str], _Count] = field(default_factory=dict)


def breach(source: Source, asked: Asked) -> Report:
    """The report: what `caller` obtained in the period, of fields sealed under `key_class` where one is named."""
    policies, scope = source.policies, _Scope()
    for _index, entry in source.entries(KINDS, asked):
        if entry.get("action") != Action.WRITE:
            _add(scope, entry, _obtained(policies, entry, asked.key_class))
    tables = (
        Table("people", "People concerned", _PEOPLE, tuple(_people(scope))),
        Table("fields", "What was obtained", _FIELDS, tuple(_fields(policies, scope))),
        Table("recipients", "By whom", _RECIPIENTS, tuple(_recipients(policies, scope))),
        Table(
            "clocks", "Until when an authority is to be told", _CLOCKS, tuple(_clocks(source, scope, asked.aware_at))
        ),
    )
    named = {key for name in scope.fields for key in _categories(policies, name)}
    figures: dict[str, Cell] = {
        "people": len(scope.people),
        "records": scope.entries,
        "fields": len(scope.fields),
        "categories": words(named),
        "special_categories": words(key for key in named if _special(policies, key)),
    }
    return source.report(NAME, TITLE, asked, figures, tables, _NOTES)


def _obtained(policies: Policies, entry: Mapping[str, Any], key_class: str | None) -> dict[str, bool]:
    """Each field that went out in some form, and whether in clear."""
    classes = policies.catalogue.key_classes
    verdicts = entry.get("fields", {})
    return {
        name: verdicts[name][0] == "allow"
        for name, is_open in released(entry)
        if is_open and (key_class is None or classes.get(name) == key_class)
    }


def _add(scope: _Scope, entry: Mapping[str, Any], obtained: Mapping[str, bool]) -> None:
    person = entry.get("data_subject")
    if person is None or not obtained:
        return
    scope.entries += 1
    at = str(entry.get("at", ""))
    one = scope.people.setdefault(person, _Person(first_at=at))
    one.jurisdiction = entry.get("jurisdiction") or one.jurisdiction
    one.releases += 1
    one.fields |= obtained.keys()
    one.first_at, one.last_at = min(one.first_at, at), max(one.last_at, at)
    for name, is_clear in obtained.items():
        counted = scope.fields.setdefault(name, _Count())
        counted.releases += 1
        counted.in_clear += is_clear
        counted.people.add(person)
    key = (str(entry.get("recipient", COMPANY)), str(entry.get("caller", "")), str(entry.get("purpose", "")))
    by = scope.recipients.setdefault(key, _Count())
    by.releases += 1
    by.people.add(person)


def _people(scope: _Scope) -> Iterator[Row]:
    for name, one in sorted(scope.people.items()):
        yield name, one.jurisdiction, one.releases, words(one.fields), one.first_at, one.last_at


def _fields(policies: Policies, scope: _Scope) -> Iterator[Row]:
    for name, one in sorted(scope.fields.items()):
        keys = _categories(policies, name)
        special, key_class = any(_special(policies, key) for key in keys), policies.catalogue.key_classes.get(name)
        yield name, words(keys), special, key_class, one.releases, len(one.people), one.in_clear


def _recipients(policies: Policies, scope: _Scope) -> Iterator[Row]:
    for (name, caller, purpose), one in sorted(scope.recipients.items()):
        known = policies.recipients.get(name)
        role, country = (None, None) if known is None else (known.role.value, known.country)
        yield name, role, country, caller, purpose, one.releases, len(one.people)


def _clocks(source: Source, scope: _Scope, aware_at: datetime | None) -> Iterator[Row]:
    """Each law that gives a time to tell the authority, for where the people live; the earliest first."""
    if aware_at is None:
        return
    laws = Laws(source.policies.documents.packs)
    places: dict[Any, Counter[str]] = {}
    for person in scope.people.values():
        law = laws.of_place(person.jurisdiction, RIGHT, aware_at) if person.jurisdiction else None
        if law is not None:
            places.setdefault((law.regime, law.pack), Counter())[str(person.jurisdiction)] += 1
    rows = []
    for (regime, pack), counted in places.items():
        law = laws.find(regime, RIGHT, aware_at)
        until = due(law.clock, aware_at).notify_by
        by = None if until is None else until.isoformat().replace("+00:00", "Z")
        people, over = counted.total(), until is not None and source.now > until
        aware = aware_at.isoformat().replace("+00:00", "Z")
        rows.append((regime, pack, law.clock.source, words(counted), people, aware, by, over))
    yield from sorted(rows, key=lambda row: (str(row[6]), row[0]))


def _categories(policies: Policies, name: str) -> tuple[str, ...]:
    known = policies.catalogue.fields.get(name)
    return () if known is None else known.categories


def _special(policies: Policies, key: str) -> bool:
    known = policies.documents.categories.get(key)
    return known is not None and known.special
