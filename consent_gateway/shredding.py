"""Erases a person from the gateway in one act that survives being killed; touches no row of the customer store.

The act has two commits that cannot be one, for the keys live in a database of their own, and a third that says so:

1. Gateway database, one transaction: the ledger's `erased` event, the suppression list, the directory without the
   person, a row in `shreddings` and the audit entry of the intent. From this commit on every read in every process
   denies, no import brings the person back, and the intent cannot be lost: whoever finds the row goes on.
2. Key database: the person's keys are destroyed. Killed before, the row of step 1 is unfinished and it is done again.
   Killed after, doing it again changes nothing and returns the same evidence.
3. Gateway database: evidence and audit entry of the outcome, on condition that the row is unfinished. So of two who
   finish one act at once, one writes the entry and the other nothing.

A key table that was restored from before makes the keys alive again. Then the same call destroys them again, writes a
second outcome and keeps the newer evidence in the row; the first stays in the log.

The order matters. Keys destroyed first would leave a customer who can neither be read nor seen to be erased. The
store's rows are found by the store key, which step 1 cuts loose: plan and erase them before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.transactions import resume_each
from consent_gateway.consent import ledger
from consent_gateway.consent.bound import event_entry
from consent_gateway.customers import leaving
from consent_gateway.database import DRIVER_ERRORS, from_micros, reading_connection, to_micros
from consent_gateway.errors import Conflict, DatabaseUnavailable, NotFound
from consent_gateway.ids import new_id
from consent_gateway.people.suppression import Left, SuppressionTags, hold_for_erasure, leave, refuse_no_reference
from consent_gateway.people.tables import SHREDDINGS
from consent_gateway.ports import Clock
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.material import DestroyedKey
from consent_gateway.vocabulary import ANY_PURPOSE, EventKind, Evidence, NewConsentEvent

STEPS = ("intending", "intended", "destroyed", "recording", "recorded")
"""Where an act may be cut short, in order: `intending` and `recording` are just before a commit."""

Leave = Callable[[sa.Connection, str], None]
"""Deletes what a room holds of a person, in the transaction that is passed in."""

At = Callable[[str], None]
_CHANNEL = "operator"


@dataclass(frozen=True, slots=True)
class Shredded:
    """The evidence of one act. `fingerprint` is the one-way mark of the data key, see `DestroyedKey`.

    `destroyed_before` is when they were destroyed before, where this call found them alive again.
    """

    data_subject: str
    shredding_id: str
    reference: str
    begun_at: datetime
    suppressed: int
    shared: int
    fingerprint: str
    shard: int
    epoch: int
    destroyed_at: datetime
    finished_at: datetime
    outcome_entry: str
    destroyed_before: datetime | None = None


class Shredding:
    """Carries erasures out. Safe to share between threads and to run in several processes at once.

    `leave` are what rooms above this one delete of a person, in the transaction in which the act begins.
    """

    def __init__(
        self,
        *,
        engine: sa.Engine,
        keyring: KeyRing,
        tags: SuppressionTags,
        clock: Clock,
        announce_in: ledger.Announce,
        leave: Sequence[Leave] = (),
        at: At = lambda _step: None,
    ) -> None:
        self._engine = engine
        self._keyring = keyring
        self._tags = tags
        self._clock = clock
        self._announce_in = announce_in
        self._leave = tuple(leave)
        self._at = at

    def shred(self, data_subject: str, *, reference: str, by: str) -> Shredded:
        """Erase a person; a second call finishes what is unfinished, or gives the evidence of the first, reference too.

        `reference` points to the request that this answers, `by` says who carries it out. Raises `NotFound` for an id
        that is nobody's, `Conflict` under a legal hold and for identifiers without a suppression tag, `InputRefused`
        for a malformed reference: then nothing was changed. After `KeysUnavailable` or `DatabaseUnavailable` the act
        may have begun: run it again, or leave it to the background worker.
        """
        refuse_no_reference(reference)
        try:
            with self._engine.begin() as connection:
                shredding_id = self._intended(connection, data_subject, reference, by)
                self._at("intending")
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the erasure could not be begun: run it again") from error
        self._at("intended")
        return self._finished(shredding_id, data_subject)

    def resume(self) -> int:
        """Finish every act that was cut short, and say how many; the first failure is raised after all were tried."""
        try:
            with reading_connection(self._engine) as connection:
                open_acts = sa.select(SHREDDINGS.c.shredding_id, SHREDDINGS.c.data_subject)
                waiting = connection.execute(open_acts.where(SHREDDINGS.c.finished_at.is_(None))).all()
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("unfinished erasures could not be read: they will be tried again") from error
        return resume_each(waiting, lambda act: self._finished(act.shredding_id, act.data_subject))

    def _intended(self, connection: sa.Connection, data_subject: str, reference: str, by: str) -> str:
        hold_for_erasure(connection)
        ledger.lock(connection, [data_subject])
        begun = sa.select(SHREDDINGS.c.shredding_id).where(SHREDDINGS.c.data_subject == data_subject)
        known = connection.execute(begun).scalar_one_or_none()
        if known is not None:
            return str(known)
        flags = ledger.state(connection, data_subject).flags
        if "legal_hold" in flags:
            raise Conflict("a legal hold keeps this person's data: record `lift_legal_hold` first")
        now = self._clock.now()
        if "erased" not in flags:
            event = ledger.record(connection, _erased(data_subject, reference, by, now), now=now)
            record_in(connection, event_entry(event))
            self._announce_in(connection, [event])
        left = leave(connection, data_subject, self._tags)
        for each in (leaving.end_all, *self._leave):
            each(connection, data_subject)
        shredding_id = new_id("shr", now)
        row = {
            "shredding_id": shredding_id,
            "data_subject": data_subject,
            "reference": reference,
            "requested_by": by,
            "begun_at": to_micros(now),
            "suppressed": left.suppressed,
            "shared": left.shared,
        }
        connection.execute(sa.insert(SHREDDINGS), [row])
        record_in(connection, _intent(shredding_id, data_subject, reference, by, left, now))
        return shredding_id

    def _finished(self, shredding_id: str, data_subject: str) -> Shredded:
        evidence = self._destroyed(data_subject)
        self._at("destroyed")
        columns = SHREDDINGS.c
        of_act = columns.shredding_id == shredding_id
        now, again = self._clock.now(), None
        try:
            with self._engine.begin() as connection:
                before = connection.execute(sa.select(columns.destroyed_at).where(of_act)).scalar_one()
                outcome = _outcome(shredding_id, evidence, before, now)
                untold = sa.or_(columns.finished_at.is_(None), columns.destroyed_at != to_micros(evidence.destroyed_at))
                telling = sa.update(SHREDDINGS).where(of_act, untold)
                if connection.execute(telling.values(_evidence(evidence, outcome.entry_id, now))).rowcount == 1:
                    record_in(connection, outcome)
                    again = before
                    self._at("recording")
                row = connection.execute(sa.select(SHREDDINGS).where(of_act)).one()
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the keys are destroyed, but that could not be recorded: run it again") from error
        self._at("recorded")
        return _told(row, again)

    def _destroyed(self, data_subject: str) -> DestroyedKey:
        """Destroy the keys. Someone who never had any gets a destroyed pair, so that no later write makes them some."""
        try:
            return self._keyring.destroy(data_subject)
        except NotFound:
            self._keyring.create_many((data_subject,))
            return self._keyring.destroy(data_subject)


def _erased(data_subject: str, reference: str, by: str, now: datetime) -> NewConsentEvent:
    evidence = Evidence(channel=_CHANNEL, how="api", recorded_by=by, reference=reference)
    return NewConsentEvent(data_subject, ANY_PURPOSE, EventKind.ERASED, now, evidence)


def _intent(shredding_id: str, data_subject: str, reference: str, by: str, left: Left, now: datetime) -> Entry:
    return Entry(
        entry_id=shredding_id,
        kind=EntryKind.ERASURE,
        at=now,
        caller=by,
        action="shred",
        data_subject=data_subject,
        outcome="intended",
        detail={"reference": reference, "suppressed": str(left.suppressed), "shared": str(left.shared)},
    )


def _outcome(shredding_id: str, evidence: DestroyedKey, before: int | None, now: datetime) -> Entry:
    again = {} if before is None else {"destroyed_before": from_micros(before).isoformat()}
    return Entry(
        entry_id=new_id("out", now),
        kind=EntryKind.ERASURE,
        at=now,
        action="shred",
        data_subject=evidence.data_subject,
        reference=shredding_id,
        outcome="shredded_again" if again else "shredded",
        detail={
            "fingerprint": evidence.fingerprint,
            "shard": str(evidence.shard),
            "epoch": str(evidence.epoch),
            "destroyed_at": evidence.destroyed_at.isoformat(),
            **again,
        },
    )


def _evidence(evidence: DestroyedKey, outcome_entry: str, now: datetime) -> dict[str, object]:
    return {
        "fingerprint": evidence.fingerprint,
        "shard": evidence.shard,
        "epoch": evidence.epoch,
        "destroyed_at": to_micros(evidence.destroyed_at),
        "finished_at": to_micros(now),
        "outcome_entry": outcome_entry,
    }


def _told(row: sa.Row[Any], again: int | None) -> Shredded:
    return Shredded(
        data_subject=row.data_subject,
        shredding_id=row.shredding_id,
        reference=row.reference,
        begun_at=from_micros(row.begun_at),
        suppressed=row.suppressed,
        shared=row.shared,
        fingerprint=row.fingerprint,
        shard=row.shard,
        epoch=row.epoch,
        destroyed_at=from_micros(row.destroyed_at),
        finished_at=from_micros(row.finished_at),
        outcome_entry=row.outcome_entry,
        destroyed_before=None if again is None else from_micros(again),
    )
