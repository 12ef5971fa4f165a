"""Withdrawals and other closing choices, and when each channel and recipient heard of them; delivers nothing.

A destination notes the latest change of each person that it acknowledged. So an earlier one is known to have been heard
by then, and the time told for it is the latest that it can be.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import sqlalchemy as sa

from consent_gateway.consent.tables import CONSENT_EVENTS
from consent_gateway.database import to_micros
from consent_gateway.propagation.changes import TOLD_OUTSIDE, TOLD_WITHIN
from consent_gateway.propagation.destinations import Destination, read_destinations
from consent_gateway.propagation.tables import CHANGES, HEARD, SET_ASIDE
from consent_gateway.reports.model import Asked, Report, Row, Table
from consent_gateway.reports.source import Source, moment, period
from consent_gateway.vocabulary import ANY_PURPOSE, EventKind

NAME, TITLE = "withdrawals", "Withdrawals and their delivery"
CLOSING = (
    EventKind.REFUSE,
    EventKind.WITHDRAW,
    EventKind.OBJECT,
    EventKind.OPT_OUT,
    EventKind.UNSUBSCRIBE,
    EventKind.PAUSE,
    EventKind.GPC,
    EventKind.LIMIT,
    EventKind.RESTRICT,
    EventKind.PARENTAL_REVOCATION,
    EventKind.LEAVE_PROGRAMME,
    EventKind.ERASURE_REQUEST,
    EventKind.ERASED,
)
_SECOND = 1_000_000
_BY_KIND = ("kind", "purpose", "channel", "choices", "people")
_STAGES = ("heard", "on_its_way", "given_up", "passed_over", "ended")
_BY_PLACE = ("destination", "client", "kind", "recipient", *_STAGES, "median_lag_seconds", "longest_lag_seconds")
_EACH = (
    "event_id", "data_subject", "purpose", "kind", "recorded_at_utc", "destination", "recipient", "stage",
    "heard_at_utc", "lag_seconds", "exact",
)  # fmt: skip
_NOTES = (
    "Decisions of the gateway follow a choice from its commit on: delivery is for copies that others hold.",
    (
        "`exact` is false where a later change of the same person was acknowledged since: the time is then the latest"
        " possible, and the lags of a destination are those of exact times alone."
    ),
    (
        "`passed_over`: the destination does not know the person by any name, or heard of it before the gateway kept"
        " note. `ended`: it was ended before it heard."
    ),
)


@dataclass(frozen=True, slots=True)
class _Told:
    """What one destination is known to have heard, and what waits for it."""

    heard: Mapping[str, tuple[int, int]]  # person -> number, microseconds
    aside: Mapping[int, bool]  # number -> whether it was given up


def withdrawals(source: Source, asked: Asked) -> Report:
    """The report of closing choices recorded in the period, of one person if named."""
    closing = list(_closing(source, asked))
    places = read_destinations(source.connection)
    told = {one.destination_id: _told(source, one) for one in places}
    each = tuple(row for event in closing for one in places for row in _delivery(event, one, told[one.destination_id]))
    by_place = tuple(_summed(one, [row for row in each if row[5] == one.destination_id]) for one in places)
    tables = (
        Table("by_kind", "Closing choices", _BY_KIND, tuple(_by_kind(closing))),
        Table("by_destination", "Delivery by destination", _BY_PLACE, by_place),
        Table("deliveries", "Each choice at each destination", _EACH, each),
    )
    stages = Counter(str(row[7]) for row in each)
    figures = {
        "choices": len(closing),
        "people": len({event.data_subject for event in closing}),
        "deliveries": len(each),
        **{stage: stages[stage] for stage in _STAGES},
    }
    return source.report(NAME, TITLE, asked, figures, tables, _NOTES)


def _closing(source: Source, asked: Asked) -> Iterator[sa.Row[Any]]:
    column = CONSENT_EVENTS.c
    within = [*period(column.recorded_at, asked), column.kind.in_([kind.value for kind in CLOSING])]
    if asked.data_subject is not None:
        within.append(column.data_subject == asked.data_subject)
    names = ("event_id", "data_subject", "purpose", "kind", "recorded_at", "channel")
    chosen = (*(column[name] for name in names), CHANGES.c.number)
    joined = CONSENT_EVENTS.outerjoin(CHANGES, CHANGES.c.event_id == column.event_id)
    ordered = sa.select(*chosen).select_from(joined).where(*within).order_by(column.recorded_at, column.event_id)
    yield from source.rows(ordered)


def _by_kind(closing: list[sa.Row[Any]]) -> Iterator[Row]:
    people: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for event in closing:
        people[event.kind, event.purpose, event.channel].append(event.data_subject)
    for key, found in sorted(people.items()):
        yield (*key, len(found), len(set(found)))


def _told(source: Source, place: Destination) -> _Told:
    heard = sa.select(HEARD).where(HEARD.c.destination_id == place.destination_id)
    aside = sa.select(SET_ASIDE).where(SET_ASIDE.c.destination_id == place.destination_id)
    return _Told(
        {row.data_subject: (row.number, row.heard_at) for row in source.rows(heard)},
        {row.number: bool(row.is_dead) for row in source.rows(aside)},
    )


def _delivery(event: sa.Row[Any], place: Destination, told: _Told) -> Iterator[Row]:
    """How far the choice is on its way there; nothing where the destination is not to hear of it."""
    if not _concerns(event, place):
        return
    stage, heard_at, exact = _stage(event, place, told)
    stage = "ended" if stage == "on_its_way" and place.ended_at is not None else stage
    lag = None if heard_at is None else round((heard_at - event.recorded_at) / _SECOND, 3)
    what = (event.event_id, event.data_subject, event.purpose, event.kind, moment(event.recorded_at))
    yield (*what, place.destination_id, place.audience.recipient, stage, moment(heard_at), lag, exact)


def _concerns(event: sa.Row[Any], place: Destination) -> bool:
    audience = place.audience
    told = TOLD_WITHIN if audience.is_company else TOLD_OUTSIDE
    spoken_of = event.purpose in audience.purposes or (event.purpose == ANY_PURPOSE and EventKind(event.kind) in told)
    over = place.ended_at is not None and event.recorded_at >= to_micros(place.ended_at)
    return spoken_of and event.recorded_at >= to_micros(place.created_at) and not over


def _stage(event: sa.Row[Any], place: Destination, told: _Told) -> tuple[str, int | None, bool | None]:
    number, (heard, heard_at) = event.number, told.heard.get(event.data_subject, (0, 0))
    if number is None:
        return "on_its_way", None, None
    if number in told.aside:
        return ("given_up" if told.aside[number] else "on_its_way"), None, None
    if heard >= number:
        return "heard", heard_at, heard == number
    return ("passed_over" if number <= place.position else "on_its_way"), None, None


def _summed(place: Destination, rows: list[Row]) -> Row:
    stages = Counter(str(row[7]) for row in rows)
    lags = [float(row[9]) for row in rows if row[10] is True and row[9] is not None]
    return (
        place.destination_id,
        place.client_id,
        place.kind,
        place.audience.recipient,
        *(stages[stage] for stage in _STAGES),
        median(lags) if lags else None,
        max(lags, default=None),
    )
