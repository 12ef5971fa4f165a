"""How long data is kept and what erasure and access owe, read from `retention.yaml`; counts days and decides nothing.

A schedule says for how long fields are kept, from which day that is counted, and whether the law behind it withstands
an erasure (GDPR Art. 17(3)). A field of several schedules is kept until the last of them ends.
"""

import re
from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from consent_gateway.policy.findings import Finding, nearest
from consent_gateway.policy.schemas import Day, Text, Word, Words
from consent_gateway.policy.shape import load
from consent_gateway.policy.source import Document

PATH = "retention.yaml"
GROUNDS = ("expression", "legal_obligation", "public_health", "archive", "claims")
"""Grounds of GDPR Art. 17(3)(a) to (e); what a schedule without one orders ends with an erasure."""

_PERIOD = re.compile(r"P(?=\d)((\d+)Y)?((\d+)M)?((\d+)W)?((\d+)D)?")


@dataclass(frozen=True, slots=True)
class Schedule:
    """For how long some fields are kept. `counted_from` is the field that holds the day the period runs from."""

    id: str
    purpose: str
    source: str
    period: str
    counted_from: str
    effective_from: date
    effective_to: date | None = None
    ground: str | None = None
    year_end: bool = False
    categories: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    jurisdictions: tuple[str, ...] = ()
    note: str = ""
    line: int = 1

    def in_force(self, day: date, jurisdiction: str | None) -> bool:
        """Whether it holds on the day for a person who lives there; without places it is the company's own duty."""
        if day < self.effective_from or (self.effective_to is not None and day >= self.effective_to):
            return False
        places = self.jurisdictions
        return not places or (jurisdiction is not None and not {jurisdiction, jurisdiction[:2]}.isdisjoint(places))

    def covers(self, name: str, collection: str, categories: tuple[str, ...]) -> bool:
        """Whether it speaks of this field: by name, or by collection and one of its categories."""
        if name in self.fields:
            return True
        if not self.categories or (self.collections and collection not in self.collections):
            return False
        return any(each == key or each.startswith(f"{key}.") for key in self.categories for each in categories)

    def until(self, begun: date) -> date:
        """The last day on which it is kept."""
        if self.year_end:
            begun = date(begun.year, 12, 31)
        return after(begun, self.period)


@dataclass(frozen=True, slots=True)
class Undisclosed:
    """Categories that an access package may not hold, only say that they are there; everywhere, or in some places."""

    categories: tuple[str, ...]
    source: str
    jurisdictions: tuple[str, ...] = ()

    def holds(self, jurisdiction: str | None) -> bool:
        """Whether it holds for a person who lives there; one whose place is not known counts among them."""
        places = self.jurisdictions
        return not places or jurisdiction is None or not {jurisdiction, jurisdiction[:2]}.isdisjoint(places)


@dataclass(frozen=True, slots=True)
class Terms:
    """What erasures and access packages go by from a day on; periods are ISO 8601.

    `not_personal` names tables, or columns as `table.column`, in which only what tells a person from all others is
    looked for, and `common` the categories whose values many people share, so that nothing is looked for by them.
    `hold_covers` are the categories that a legal hold keeps.
    """

    effective_from: date
    source: str
    undo: str = "P0D"
    remember: str = "P30D"
    package_life: str = "P7D"
    hold_covers: tuple[str, ...] = ("user",)
    not_personal: tuple[str, ...] = ()
    common: tuple[str, ...] = ()
    never_disclosed: tuple[Undisclosed, ...] = ()
    portable_bases: tuple[str, ...] = ("consent", "explicit_consent", "contract")
    not_portable: tuple[str, ...] = ()
    line: int = 1


@dataclass(frozen=True, slots=True)
class Retention:
    """Schedules and terms. Empty, it keeps nothing and an erasure begins at once."""

    schedules: tuple[Schedule, ...] = ()
    terms: tuple[Terms, ...] = ()

    def on(self, day: date) -> Terms:
        """The terms in force on the day."""
        begun = [one for one in self.terms if one.effective_from <= day]
        return max(begun, key=lambda one: one.effective_from, default=Terms(day, "none given"))

    def of_field(
        self, name: str, collection: str, categories: tuple[str, ...], day: date, jurisdiction: str | None
    ) -> tuple[Schedule, ...]:
        """The schedules in force that speak of the field."""
        return tuple(
            one
            for one in self.schedules
            if one.in_force(day, jurisdiction) and one.covers(name, collection, categories)
        )


def after(day: date, period: str) -> date:
    """The day a period later; a day that the month does not have becomes its last."""
    found = _PERIOD.fullmatch(period)
    if found is None:
        raise ValueError(f"`{period}` is no period")
    years, months, weeks, days = (int(found.group(at) or 0) for at in (2, 4, 6, 8))
    total = day.year * 12 + day.month - 1 + years * 12 + months
    year, month = divmod(total, 12)
    moved = date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
    return moved + timedelta(days=weeks * 7 + days)


class PeriodText(fields.Field[str]):
    """An ISO 8601 period of years, months, weeks and days."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if isinstance(value, str) and _PERIOD.fullmatch(value):
            return value
        raise ValidationError(f"`{value}` is not a period; write `P8Y`, `P13M` or `P30D`")


class _ScheduleSchema(Schema):
    id = Text(required=True, validate=validate.Regexp(r"^[a-z][a-z0-9-]{0,63}$", error="write lower-case-words"))
    purpose = Text(required=True)
    source = Text(required=True)
    period = PeriodText(required=True)
    counted_from = Text(required=True)
    effective_from = Day(required=True)
    effective_to = Day(load_default=None, allow_none=True)
    ground = Word("ground", {word: word for word in GROUNDS}, load_default=None, allow_none=True)
    year_end = fields.Boolean(load_default=False, truthy={True}, falsy={False})
    categories = Words(load_default=())
    collections = Words(load_default=())
    fields_ = Words(data_key="fields", load_default=())
    jurisdictions = Words(load_default=())
    note = Text(load_default="")


class _UndisclosedSchema(Schema):
    categories = Words(required=True)
    source = Text(required=True)
    jurisdictions = Words(load_default=())


class _TermsSchema(Schema):
    effective_from = Day(required=True)
    source = Text(required=True)
    undo = PeriodText(load_default="P0D")
    remember = PeriodText(load_default="P30D")
    package_life = PeriodText(load_default="P7D")
    hold_covers = Words(load_default=("user",))
    not_personal = Words(load_default=())
    common = Words(load_default=())
    never_disclosed = fields.List(fields.Nested(_UndisclosedSchema), load_default=list)
    portable_bases = Words(load_default=("consent", "explicit_consent", "contract"))
    not_portable = Words(load_default=())


class _FileSchema(Schema):
    version = fields.Raw()
    schedules = fields.List(fields.Nested(_ScheduleSchema), load_default=list)
    terms = fields.List(fields.Nested(_TermsSchema), load_default=list)


def read_retention(document: Document | None, findings: list[Finding]) -> Retention:
    """What the file says; without one nothing is kept against an erasure. Faults go to `findings`."""
    given = load(_FileSchema(), document, (), document.value, findings) if document else None
    if given is None or document is None:
        return Retention()
    schedules: list[Schedule] = []
    for at, entry in enumerate(given["schedules"]):
        line = document.line(("schedules", at))
        if any(one.id == entry["id"] for one in schedules):
            findings.append(Finding(PATH, line, f"the schedule `{entry['id']}` stands twice", "rename one of them"))
        schedules.append(Schedule(fields=entry.pop("fields_"), line=line, **entry))
    terms: list[Terms] = []
    for at, entry in enumerate(given["terms"]):
        line = document.line(("terms", at))
        if any(one.effective_from == entry["effective_from"] for one in terms):
            findings.append(Finding(PATH, line, "two terms begin on one day", "keep one of them"))
        undisclosed = tuple(Undisclosed(**one) for one in entry.pop("never_disclosed"))
        terms.append(Terms(never_disclosed=undisclosed, line=line, **entry))
    return Retention(tuple(schedules), tuple(terms))


def retention_faults(
    given: Retention,
    purposes: Mapping[str, Any],
    categories: Mapping[str, Any],
    collections: Mapping[str, Any],
    named: Mapping[str, Any],
) -> Iterator[Finding]:
    """What schedules and terms name and the policy or the catalogue does not have."""
    for one in given.schedules:
        words = [("purpose", one.purpose, purposes), ("field", one.counted_from, named)]
        words += [("category", word, categories) for word in one.categories]
        words += [("collection", word, collections) for word in one.collections]
        words += [("field", word, named) for word in one.fields]
        yield from _unknown(words, one.line)
        if not one.fields and not one.categories:
            yield Finding(PATH, one.line, f"the schedule `{one.id}` speaks of no field", "add `categories` or `fields`")
    for terms in given.terms:
        lists = (
            terms.hold_covers,
            terms.common,
            terms.not_portable,
            *(one.categories for one in terms.never_disclosed),
        )
        yield from _unknown([("category", word, categories) for each in lists for word in each], terms.line)


def _unknown(words: list[tuple[str, str, Mapping[str, Any]]], line: int) -> Iterator[Finding]:
    for label, word, known in words:
        if word not in known:
            yield Finding(PATH, line, f"unknown {label} `{word}`", nearest(word, known))
