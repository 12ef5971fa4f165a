"""Proof of what people chose (GDPR Art. 7(1)), of one person or a sample that anyone can draw again; decides nothing.

Each event stands with what the person was shown and with the entry of the log that bound it; the proof that this entry
is in the log is had by its id. `consent proof` and the receipts show the same of one choice at a time.
"""

import hashlib
import heapq
import json
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from consent_gateway.audit.entry import EntryKind
from consent_gateway.consent.tables import CONSENT_EVENTS, NOTICE_TEXTS, PURPOSE_STATE
from consent_gateway.errors import NotFound
from consent_gateway.reports.model import Asked, Report, Row, Table
from consent_gateway.reports.source import Source, moment, period

NAME, TITLE = "consents", "Proof of choices"
SAMPLE = 25
_EVENTS = (
    "data_subject", "position", "event_id", "purpose", "kind", "occurred_at_utc", "recorded_at_utc",
    "valid_until_utc", "channel", "how", "recorded_by", "notice", "notice_version", "language", "notice_sha256",
    "reference", "log_entry", "log_index",
)  # fmt: skip
_STATES = ("data_subject", "purpose", "status", "since_event", "given_at_utc", "valid_until_utc", "notice_version")
_TEXTS = ("notice", "version", "language", "sha256", "first_used_at_utc", "text")
_NOTES = (
    (
        "A sample is the people whose SHA-256 of `SEED:ID` is smallest, in that order; without a seed given, it is the"
        " root hash of the checkpoint, which nobody could choose. It is drawn from all who made a choice in the period."
    ),
    "Events that were imported together share one entry of the log, which binds them all by one digest.",
)


def consents(source: Source, asked: Asked) -> Report:
    """The report, of `data_subject` or else of `sample` people. The period limits the choices by when recorded."""
    people = _people(source, asked)
    events = tuple(_events(source, asked, people))
    hashes = {str(row[_EVENTS.index("notice_sha256")]) for row in events}
    tables = (
        Table("events", "Choices", _EVENTS, events),
        Table("states", "Where each purpose stands", _STATES, tuple(_states(source, people))),
        Table("texts", "What was shown", _TEXTS, tuple(_texts(source, hashes))),
    )
    bound = sum(row[-1] is not None for row in events)
    figures = {"people": len(people), "choices": len(events), "bound_in_log": bound, "seed": _seed(source, asked)}
    return source.report(NAME, TITLE, asked, figures, tables, _NOTES)


def _seed(source: Source, asked: Asked) -> str | None:
    return None if asked.data_subject else asked.seed or source.rests_on.root


def _people(source: Source, asked: Asked) -> list[str]:
    column = CONSENT_EVENTS.c
    within = period(column.recorded_at, asked)
    if asked.data_subject is not None:
        known = sa.select(column.event_id).where(column.data_subject == asked.data_subject).limit(1)
        if source.connection.execute(known).first() is None:
            raise NotFound("nobody of this id has made a choice")
        return [asked.data_subject]
    seed = _seed(source, asked)
    drawn = (row.data_subject for row in source.rows(sa.select(column.data_subject).where(*within).distinct()))
    count = SAMPLE if asked.sample is None else asked.sample
    return heapq.nsmallest(count, drawn, key=lambda one: hashlib.sha256(f"{seed}:{one}".encode()).digest())


def _events(source: Source, asked: Asked, people: Sequence[str]) -> Iterator[Row]:
    column = CONSENT_EVENTS.c
    within = period(column.recorded_at, asked)
    for person in people:
        entries = {
            entry["consent_event"]: (entry["id"], index)
            for index, entry in source.entries((EntryKind.CONSENT_EVENT,), Asked(data_subject=person))
            if "consent_event" in entry
        }
        mine = sa.select(CONSENT_EVENTS).where(column.data_subject == person, *within).order_by(column.position)
        for row in source.connection.execute(mine):
            yield (
                person,
                row.position,
                row.event_id,
                row.purpose,
                row.kind,
                moment(row.occurred_at),
                moment(row.recorded_at),
                moment(row.valid_until),
                row.channel,
                row.how,
                row.recorded_by,
                row.notice,
                row.notice_version,
                row.language,
                row.notice_sha256,
                row.reference,
                *entries.get(row.event_id, (None, None)),
            )


def _states(source: Source, people: Sequence[str]) -> Iterator[Row]:
    column = PURPOSE_STATE.c
    for person in people:
        mine = sa.select(PURPOSE_STATE).where(column.data_subject == person).order_by(column.purpose)
        for row in source.connection.execute(mine):
            given, until = moment(row.given_at), moment(row.valid_until)
            yield person, row.purpose, row.status, row.event_id, given, until, row.notice_version


def _texts(source: Source, hashes: set[str]) -> Iterator[Row]:
    column = NOTICE_TEXTS.c
    ordered = sa.select(NOTICE_TEXTS).order_by(column.notice, column.version, column.language)
    for row in source.connection.execute(ordered):
        if row.sha256 in hashes:
            said = json.dumps(json.loads(row.document), ensure_ascii=False, sort_keys=True)
            yield row.notice, row.version, row.language, row.sha256, moment(row.first_used_at), said
