"""Binds every event of the ledger to the audit log by its digest, and says where the two part; mends nothing.

An entry of one event carries the event's SHA-256, an entry of a batch one over the digests of its events. Both cover
the whole event: person, purpose, kind, times, notice, evidence. Whoever changes a row of the ledger, adds one or drops
one must also forge the sealed log.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.log import EntryFilter, every_entry
from consent_gateway.consent.stored import event_row, read_event
from consent_gateway.consent.tables import CONSENT_EVENTS
from consent_gateway.database import to_micros
from consent_gateway.ids import new_id
from consent_gateway.vocabulary import ANY_PURPOSE, ConsentEvent

EVENT_DIGEST = "event_sha256"
BATCH_DIGEST = "events_sha256"


def digest_of(committed: ConsentEvent) -> str:
    """SHA-256, in hex, of the event's row as canonical JSON."""
    row = event_row(committed)
    if row["frequency"] is None:
        del row["frequency"]  # the column came later: an event without one keeps the digest that was sealed
    return hashlib.sha256(orjson.dumps(row, option=orjson.OPT_SORT_KEYS)).hexdigest()


def event_entry(committed: ConsentEvent) -> Entry:
    """The entry of one event: who recorded what, on which notice, and the digest that binds the rest."""
    event, evidence = committed.event, committed.event.evidence
    detail = {
        "how": evidence.how,
        "notice": evidence.notice,
        "notice_version": evidence.notice_version,
        "notice_sha256": evidence.notice_sha256,
    }
    return Entry(
        entry_id=new_id("con", committed.recorded_at),
        kind=EntryKind.CONSENT_EVENT,
        at=committed.recorded_at,
        caller=evidence.recorded_by,
        channel=evidence.channel,
        purpose=None if event.purpose == ANY_PURPOSE else event.purpose,
        action=event.kind.value,
        data_subject=event.data_subject,
        consent_event=committed.event_id,
        outcome="recorded",
        detail={name: value for name, value in detail.items() if value is not None}
        | {EVENT_DIGEST: digest_of(committed)},
    )


def batch_entry(committed: Sequence[ConsentEvent], recorded_by: str, now: datetime) -> Entry:
    """One entry for events that were recorded together at `now`; its digest binds them all, in order of their ids."""
    return Entry(
        entry_id=new_id("con", now),
        kind=EntryKind.CONSENT_EVENT,
        at=now,
        caller=recorded_by,
        action="import",
        outcome="recorded",
        detail={"events": str(len(committed)), BATCH_DIGEST: _batch_digest(committed)},
    )


def _batch_digest(committed: Sequence[ConsentEvent]) -> str:
    digests = (digest_of(each) for each in sorted(committed, key=lambda each: each.event_id))
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def unbound(connection: sa.Connection) -> Iterator[str]:
    """Where ledger and sealed log disagree, a sentence each; nothing where every event is the one that was sealed.

    Run it on a log that verifies, and after the worker has sealed: an event whose entry still waits is told too.
    """
    covered: set[str] = set()
    for found in every_entry(connection, EntryFilter(kind=EntryKind.CONSENT_EVENT.value)):
        entry: Mapping[str, Any] = found.entry
        detail = entry.get("detail", {})
        if EVENT_DIGEST in detail:
            events = _where(connection, CONSENT_EVENTS.c.event_id == entry["consent_event"])
            right = [digest_of(each) for each in events] == [detail[EVENT_DIGEST]]
        elif BATCH_DIGEST in detail:
            moment = to_micros(datetime.fromisoformat(entry["at"]))
            events = _where(
                connection, CONSENT_EVENTS.c.recorded_at == moment, CONSENT_EVENTS.c.recorded_by == entry["caller"]
            )
            right = str(len(events)) == detail["events"] and _batch_digest(events) == detail[BATCH_DIGEST]
        else:
            continue
        if not right:
            yield f"entry {found.leaf_index}: the ledger no longer holds what this entry sealed"
        covered |= {each.event_id for each in events}
    for event_id in connection.execute(sa.select(CONSENT_EVENTS.c.event_id)).scalars():
        if event_id not in covered:
            yield f"event {event_id}: no sealed entry speaks of it"


def _where(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[ConsentEvent]:
    return [read_event(row) for row in connection.execute(sa.select(CONSENT_EVENTS).where(*conditions))]
