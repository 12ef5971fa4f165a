"""Counts of rights requests by kind and year, and how long answers took (11 CCR 7102); decides nothing.

A year is that of receipt, in UTC. Days are calendar days from receipt to the answer, and only of requests that were
complied with or denied. A request that repeats another counts as a request of its own, and stands apart as well.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

import sqlalchemy as sa

from consent_gateway.database import from_micros
from consent_gateway.reports.model import Asked, Cell, Report, Row, Table
from consent_gateway.reports.source import Source, period
from consent_gateway.rights.states import OPEN, State
from consent_gateway.rights.tables import RIGHTS_REQUESTS

NAME, TITLE = "rights", "Rights requests"
_IN_WHOLE, _IN_PART = State.FULFILLED.value, State.PARTIALLY_FULFILLED.value
_DENIED, _CANCELLED = State.DENIED.value, State.CANCELLED.value
_COUNTS = ("received", "complied_in_whole", "complied_in_part", "denied", "cancelled", "expired", "open", "joined")
_BY_YEAR = ("year", "regime", "right", *_COUNTS, "median_days", "mean_days", "longest_days")
_BY_GROUND = ("year", "regime", "right", "ground", "denied")
_BY_VIA = ("year", "regime", "right", "via", "received")
_NOTES = (
    "`expired` are requests whose asker did not prove who they are in time; `open` those still owed an answer.",
    "Median and mean are in days, the mean rounded to two digits; empty where nothing was answered.",
)


@dataclass(slots=True)
class _Tally:
    states: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    grounds: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    ways: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    days: list[int] = field(default_factory=list)
    joined: int = 0

    def counts(self) -> tuple[int, ...]:
        """The numbers of `_COUNTS`."""
        still = sum(self.states[state.value] for state in OPEN)
        ended = (self.states[name] for name in (_IN_WHOLE, _IN_PART, _DENIED, _CANCELLED, State.EXPIRED.value))
        return (sum(self.states.values()), *ended, still, self.joined)


_Key = tuple[int, str, str]


def rights(source: Source, asked: Asked) -> Report:
    """The report of what was received in the period; `regime` limits it to one law, as to `US_CA_CCPA`."""
    tallies = dict(sorted(_tallies(source, asked).items()))
    by_year = tuple((*key, *one.counts(), *_time(one.days)) for key, one in tallies.items())
    tables = (
        Table("by_year", "Requests by year, law and right", _BY_YEAR, by_year),
        Table("denials", "Why requests were denied", _BY_GROUND, tuple(_split(tallies, "grounds"))),
        Table("ways", "How requests came", _BY_VIA, tuple(_split(tallies, "ways"))),
    )
    whole = [sum(row) for row in zip(*(one.counts() for one in tallies.values()), strict=True)] or [0] * len(_COUNTS)
    figures: dict[str, Cell] = dict(zip(_COUNTS, whole, strict=True))
    figures["median_days"], figures["mean_days"], figures["longest_days"] = _time(
        [days for one in tallies.values() for days in one.days]
    )
    return source.report(NAME, TITLE, asked, figures, tables, _NOTES)


def _tallies(source: Source, asked: Asked) -> Mapping[_Key, _Tally]:
    column = RIGHTS_REQUESTS.c
    names = ("right", "regime", "received_at", "via", "state", "ground", "prove_until", "answered_at", "joined_to")
    within = period(column.received_at, asked)
    if asked.regime is not None:
        within.append(column.regime == asked.regime)
    found: dict[_Key, _Tally] = defaultdict(_Tally)
    for row in source.rows(sa.select(*(column[name] for name in names)).where(*within)):
        received = from_micros(row.received_at)
        tally, state = found[received.year, row.regime, row.right], _state(source, row)
        tally.states[state] += 1
        tally.ways[row.via] += 1
        tally.joined += row.joined_to is not None
        if state == _DENIED:
            tally.grounds[row.ground or ""] += 1
        if state in (_IN_WHOLE, _IN_PART, _DENIED) and row.answered_at is not None:
            tally.days.append((from_micros(row.answered_at).date() - received.date()).days)
    return found


def _state(source: Source, row: sa.Row[Any]) -> str:
    """The state today: a request whose time to prove identity is over has expired, without anybody's doing."""
    waits = row.state == State.IDENTITY_PENDING.value and row.prove_until is not None
    over = waits and source.now.date().isoformat() > row.prove_until
    return State.EXPIRED.value if over else str(row.state)


def _time(days: Sequence[int]) -> tuple[Cell, Cell, Cell]:
    return (median(days), round(fmean(days), 2), max(days)) if days else (None, None, None)


def _split(tallies: Mapping[_Key, _Tally], by: str) -> Iterator[Row]:
    for key, one in tallies.items():
        for name, count in sorted(getattr(one, by).items()):
            yield (*key, name, count)
