"""What enrolment asks of the ledger: membership, and choices made before there was a record; commits nothing."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from consent_gateway.audit.recorder import record_in
from consent_gateway.consent import ledger
from consent_gateway.consent.bound import batch_entry, event_entry
from consent_gateway.consent.stored import read_states
from consent_gateway.consent.tables import CONSENT_EVENTS
from consent_gateway.people.linking import chunks
from consent_gateway.vocabulary import ANY_PURPOSE, OPENING, EventKind, Evidence, NewConsentEvent

_SOURCE = "customer_store"
_RECORDER = "enrolment"
_STAYS = frozenset({EventKind.ERASED, EventKind.LEGAL_HOLD, EventKind.REQUEST})
_LEFT = sa.select(CONSENT_EVENTS.c.data_subject).where(
    CONSENT_EVENTS.c.data_subject.in_(sa.bindparam("people", expanding=True, type_=sa.String())),
    CONSENT_EVENTS.c.kind == EventKind.LEAVE_PROGRAMME.value,
)


class EnrolledLedger:
    """Implements `people.enrolment.Ledger` on the consent ledger."""

    def __init__(self, announce_in: ledger.Announce) -> None:
        self._announce_in = announce_in

    def join_programme(self, connection: sa.Connection, data_subjects: Sequence[str], now: datetime) -> int:
        """Record that these people are members, except who is already, ever left, or is erased; returns how many.

        Who left through the gateway is not joined again because the store has not heard of it yet.
        """
        events: list[NewConsentEvent] = []
        for chunk in chunks(sorted(set(data_subjects))):
            states = read_states(connection, chunk)
            left = set(connection.execute(_LEFT, {"people": chunk}).scalars())
            out = {person for person, state in states.items() if state.flags & {"member", "erased"}}
            events += [_joining(person, now) for person in chunk if person not in left | out]
        if events:  # one entry binds them all, so they must be recorded together
            committed = ledger.record_many(connection, events, now=now)
            record_in(connection, batch_entry(committed, _RECORDER, now))
            self._announce_in(connection, committed)
        return len(events)

    def carry(self, connection: sa.Connection, early: str, person: str, now: datetime) -> bool:
        """Record for `person` every restricting choice of `early`, with its own time, channel and way.

        False, recording nothing, where `early` is erased: what is left of an erasure is not passed on.
        """
        events = ledger.history(connection, early)
        if any(each.event.kind is EventKind.ERASED for each in events):
            return False
        carried = [
            replace(
                each.event,
                data_subject=person,
                evidence=replace(each.event.evidence, how="import", reference=each.event_id),
            )
            for each in events
            if each.event.kind not in OPENING | _STAYS
        ]
        recorded = ledger.record_many(connection, carried, now=now)
        for committed in recorded:
            record_in(connection, event_entry(committed))
        self._announce_in(connection, recorded)
        return True


def _joining(data_subject: str, now: datetime) -> NewConsentEvent:
    evidence = Evidence(channel=_SOURCE, how="import", recorded_by=_RECORDER)
    return NewConsentEvent(data_subject, ANY_PURPOSE, EventKind.JOIN_PROGRAMME, now, evidence)
