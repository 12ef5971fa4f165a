"""Writes the retailer's old consent export: one JSON line a choice, made up from its database and a seed.

A line is `{identifier: {kind, value} | store_key, purpose, kind, occurred_at, channel, how, notice,
notice_version, language, reference, conditions}`, in the order of time. It is what a shop's old preference table
gives when someone exports it before moving to the gateway.
"""

import json
import random
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from consent_gateway.demo.cast import CAST, TOLD
from consent_gateway.demo.customers import TODAY, moment_between, stamp
from consent_gateway.demo.habits import HABITS, Habit, market_of
from consent_gateway.demo.retailer import SEED, Progress, silent

Line = dict[str, object]

_LABEL = "exporting the old choices"
_NOTICE = "morgenrot-privacy"
_VERSIONS = (("2025-06-01", "4"), ("2023-01-01", "3"), ("2019-01-01", "2"))  # first day of each version of the notice
_ORIGINS = (
    ("web_shop", "web_form", 46),
    ("app", "app_form", 30),
    ("till", "paper", 15),
    ("call_centre", "spoken", 9),
)
_BY_ADDRESS = frozenset({"email_marketing"})
_QUERY = """
SELECT c.customer_id, c.email, c.birth_date, c.language, c.country, c.region, c.allergies, c.marketing_opt_in,
       c.created_at, l.loyalty_number, l.joined_on
FROM customers c LEFT JOIN loyalty_accounts l ON l.customer_id = c.customer_id ORDER BY c.customer_id
"""


@dataclass(frozen=True, slots=True)
class _Person:
    """What the export knows of one customer. `address` is None where the e-mail address is missing or useless."""

    customer_id: int
    address: str | None
    address_shared: bool
    minor: bool
    language: str
    market: str
    allergic: bool
    flagged: bool
    since: datetime
    loyalty_number: str | None
    joined: datetime | None


def legacy_choices(retailer: Path, path_out: Path, seed: int = SEED, progress: Progress = silent) -> int:
    """Write the export of the database at `retailer` to `path_out` and return how many choices it holds."""
    people = _people(retailer)
    export = _Export(seed)
    lines: list[Line] = []
    for done, person in enumerate(people, 1):
        lines.extend(export.of(person))
        if done % 1000 == 0 or done == len(people):
            progress(_LABEL, done, len(people))
    lines.sort(key=lambda line: str(line["occurred_at"]))  # stable: one person's choices keep their order
    unfinished = path_out.with_name(path_out.name + ".partial")
    with unfinished.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    unfinished.replace(path_out)
    return len(lines)


def _people(retailer: Path) -> list[_Person]:
    connection = sqlite3.connect(f"file:{retailer}?mode=ro", uri=True)
    try:
        rows = connection.execute(_QUERY).fetchall()
    finally:
        connection.close()
    uses = Counter(row[1].lower() for row in rows if row[1])
    return [_person(row, shared=bool(row[1]) and uses[row[1].lower()] > 1) for row in rows]


def _person(row: tuple[object, ...], *, shared: bool) -> _Person:
    number, email, born, language, country, region, allergies, flagged, created, loyalty, joined = row
    adult_since = TODAY.replace(year=TODAY.year - 18)
    return _Person(
        customer_id=int(str(number)),
        address=str(email) if email and "@" in str(email) else None,
        address_shared=shared,
        minor=born is not None and date.fromisoformat(str(born)) > adult_since,
        language=str(language),
        market=market_of(str(country), None if region is None else str(region)),
        allergic=allergies is not None,
        flagged=bool(flagged),
        since=datetime.fromisoformat(str(created)),
        loyalty_number=None if loyalty is None else str(loyalty),
        joined=None if joined is None else datetime.combine(date.fromisoformat(str(joined)), datetime.min.time(), UTC),
    )


class _Export:
    """Makes up the lines of one person after another; holds the source of chance and the running number."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"choices/{seed}")  # noqa: S311 - invented choices, nothing secret
        self._number = 0

    def of(self, person: _Person) -> Iterator[Line]:
        """All choices of one person, in the order of time within each purpose."""
        if person.joined is not None:
            yield from self._programme(person, person.joined)
        if person.customer_id <= len(CAST):
            yield from self._told(person)
            return
        chosen: set[str] = set()
        for habit in HABITS[person.market]:
            if habit.purpose not in chosen and self._holds(habit, person):
                chosen.add(habit.purpose)
                yield from self._choice(person, habit)
        yield from self._rare(person)

    def _holds(self, habit: Habit, person: _Person) -> bool:
        drawn = self._chance.random() * 100 < habit.share  # drawn in any case, so that one flag moves no one else
        return drawn and (person.flagged or not habit.follows_flag)

    def _choice(self, person: _Person, habit: Habit) -> Iterator[Line]:
        first = moment_between(self._chance, person.since)
        yield self._line(person, habit.purpose, habit.kind, first, conditions=habit.conditions)
        if habit.later is not None and self._chance.random() * 100 < habit.later_share:
            later = moment_between(self._chance, first + timedelta(hours=1))
            yield self._line(person, habit.purpose, habit.later, max(later, first + timedelta(seconds=1)))

    def _programme(self, person: _Person, joined: datetime) -> Iterator[Line]:
        number: Line = {"kind": "loyalty_number", "value": person.loyalty_number}
        yield self._line(person, "*", "join_programme", joined, identifier=number)
        if person.customer_id > len(CAST) and self._chance.random() < 0.02:
            left = moment_between(self._chance, joined + timedelta(days=1))
            if left > joined:
                yield self._line(person, "*", "leave_programme", left, identifier=number)

    def _rare(self, person: _Person) -> Iterator[Line]:
        draw = self._chance.random
        if person.allergic and draw() < 0.6:
            yield self._line(person, "allergen_safety", "grant_explicit", moment_between(self._chance, person.since))
        if person.minor and draw() < 0.4:
            yield self._line(person, "*", "parental_authorisation", moment_between(self._chance, person.since))
        if draw() < 0.002:
            yield self._line(person, "*", "restrict", moment_between(self._chance, person.since))

    def _told(self, person: _Person) -> Iterator[Line]:
        for told in TOLD:
            if told.customer_id == person.customer_id:
                moment = datetime.fromisoformat(told.occurred_at)
                origin = (told.channel, told.how)
                yield self._line(person, told.purpose, told.kind, moment, conditions=told.conditions, origin=origin)

    def _line(
        self,
        person: _Person,
        purpose: str,
        kind: str,
        occurred: datetime,
        *,
        conditions: tuple[str, ...] = (),
        identifier: Line | None = None,
        origin: tuple[str, str] | None = None,
    ) -> Line:
        self._number += 1
        drawn = self._chance.choices(_ORIGINS, [weight for _, _, weight in _ORIGINS])[0]
        channel, how = ("web_shop", "signal") if kind == "gpc" else origin or drawn[:2]
        shown = kind != "gpc"  # a browser's signal answers no notice
        return {
            **self._whom(person, purpose, kind, identifier),
            "purpose": purpose,
            "kind": kind,
            "occurred_at": stamp(occurred),
            "channel": channel,
            "how": how,
            "notice": _NOTICE if shown else None,
            "notice_version": _version(occurred) if shown else None,
            "language": person.language if shown else None,
            "reference": f"old-{self._number:06d}",
            "conditions": list(conditions),
        }

    def _whom(self, person: _Person, purpose: str, kind: str, identifier: Line | None) -> Line:
        if identifier is not None:
            return {"identifier": identifier}
        closing = kind in ("withdraw", "unsubscribe", "refuse")
        by_address = purpose in _BY_ADDRESS and (closing or not person.address_shared)
        if by_address and person.address is not None:
            return {"identifier": {"kind": "email", "value": person.address}}
        return {"store_key": str(person.customer_id)}


def _version(occurred: datetime) -> str:
    day = occurred.date().isoformat()
    return next((version for first, version in _VERSIONS if day >= first), _VERSIONS[-1][1])
