"""Carries an erasure through the store and the gateway to its certificate; survives being killed at any step.

It is planned, waits for as long as the person may take it back, and begins with a plan made anew, since the store goes
on living. Each step on the store is between two commits of the gateway: the intent with its audit entry before it, the
outcome after it, on condition that there is none. A step done twice changes nothing, so whoever finds a running erasure
goes on with the first step that has no outcome. Then the keys are destroyed, everything is looked through, and the
outcome is committed with its certificate and the notices to recipients.

Rows are found by the store's key, which the shredding cuts loose; so the store comes first. From the plan on the ledger
says that an erasure is pending, and reads deny but for a legal duty.
"""

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.transactions import reading, resume_each, transaction
from consent_gateway.consent import ledger
from consent_gateway.consent.bound import event_entry
from consent_gateway.database import to_micros
from consent_gateway.errors import Conflict, NotFound
from consent_gateway.ids import new_id
from consent_gateway.people.suppression import refuse_no_reference
from consent_gateway.people.tables import PEOPLE
from consent_gateway.policy import Policies
from consent_gateway.policy.retention import after
from consent_gateway.ports import Clock, ErasableStore
from consent_gateway.rights.erasure_closing import Closing
from consent_gateway.rights.erasure_records import (
    Erasure,
    Personal,
    Sealer,
    State,
    counts_of,
    entry,
    erasure_of,
    fields_text,
    find_row,
    insert_steps,
)
from consent_gateway.rights.erasure_tables import ERASURE_STEPS, ERASURES
from consent_gateway.rights.plan import Asked, Planner
from consent_gateway.rights.plan_keep import Circumstances
from consent_gateway.rights.plan_model import Looked, Plan, added
from consent_gateway.rights.scan_values import Opened, joined
from consent_gateway.vocabulary import ANY_PURPOSE, EventKind, Evidence, Identifier, NewConsentEvent

STEPS = (
    "planning",
    "planned",
    "beginning",
    "begun",
    "intending",
    "intended",
    "applied",
    "recording",
    "recorded",
    "shredded",
    "looked",
    "closing",
    "closed",
)
"""Where an erasure may be cut short, in order; those in `-ing` are just before a commit, and some come every step."""

At = Callable[[str], None]
_CHANNEL = "operator"


class Erasing:
    """Carries erasures out. Safe to share between threads and to run in several processes at once.

    `opened` gives the clear values of sealed columns of a person's row, to look for them afterwards.
    """

    def __init__(
        self,
        *,
        engine: sa.Engine,
        store: ErasableStore,
        policies: Policies,
        sealer: Sealer,
        closing: Closing,
        clock: Clock,
        announce_in: ledger.Announce,
        region: str | None = None,
        opened: Callable[[str], Opened] = lambda _person: lambda _collection, _row: {},
        at: At = lambda _step: None,
    ) -> None:
        self._engine = engine
        self._store = store
        self._policies = policies
        self._planner = Planner(store, policies.catalogue, policies.documents.retention)
        self._sealer = sealer
        self._closing = closing
        self._clock = clock
        self._announce_in = announce_in
        self._region = region
        self._opened = opened
        self._at = at

    def plan(
        self,
        data_subject: str,
        *,
        request_id: str,
        by: str,
        known_by: Sequence[Identifier] = (),
        asked_at: datetime | None = None,
    ) -> Erasure:
        """Plan an erasure and say that one is pending; the same request again gives the same erasure.

        `known_by` are identifiers that the request brought, proved to be the person's. They may take it back
        for a time from `asked_at`, or else from now. Raises `NotFound`, `InputRefused` for a malformed request id,
        `Conflict` where another erasure of the person is open.
        """
        refuse_no_reference(request_id)
        if (earlier := self._of_request(request_id)) is not None:
            return earlier
        now = self._clock.now()
        personal, _hold = self._planned(data_subject, tuple(known_by), None)
        row = {
            "erasure_id": new_id("era", now),
            "data_subject": data_subject,
            "request_id": request_id,
            "requested_by": by,
            "state": State.PLANNED,
            "run": 1,
            "revision": self._policies.revision,
            "planned_at": to_micros(now),
            "not_before": to_micros(self._not_before(now, asked_at or now)),
            "fields": fields_text(personal.plan.fields),
            "leftovers": "[]",
        }
        row["sealed"] = self._sealer.seal(str(row["erasure_id"]), personal)
        try:
            with transaction(self._engine) as connection:
                ledger.lock(connection, [data_subject])
                self._refuse_another(connection, data_subject)
                connection.execute(sa.insert(ERASURES), [row])
                if not {"erasure_pending", "erased"} & ledger.state(connection, data_subject).flags:
                    self._tell_ledger(connection, EventKind.ERASURE_REQUEST, data_subject, request_id, by, now)
                planned = erasure_of(find_row(connection, str(row["erasure_id"])))
                record_in(connection, entry(planned, by, "plan", "planned", now, **counts_of(planned.fields)))
                self._at("planning")
        except sa.exc.IntegrityError:  # the same request at the same moment
            if (known := self._of_request(request_id)) is None:
                raise
            return known
        self._at("planned")
        return planned

    def withdraw(self, request_id: str, *, by: str) -> None:
        """Take back the erasure of a request, if there is one that is to come. Raises `Conflict` once it has begun."""
        erasure = self._of_request(request_id)
        if erasure is not None and erasure.state is not State.CANCELLED:
            self.cancel(erasure.erasure_id, by=by)

    def cancel(self, erasure_id: str, *, by: str) -> Erasure:
        """Take an erasure back that has not begun. Raises `NotFound`, and `Conflict` once it has."""
        now = self._clock.now()
        with transaction(self._engine) as connection:
            erasure = erasure_of(find_row(connection, erasure_id))
            ledger.lock(connection, [erasure.data_subject])
            of_it = (ERASURES.c.erasure_id == erasure_id, ERASURES.c.state == State.PLANNED)
            gone = (
                sa.update(ERASURES).where(*of_it).values(state=State.CANCELLED, sealed=None, finished_at=to_micros(now))
            )
            if connection.execute(gone).rowcount != 1:
                raise Conflict(f"the erasure is `{erasure.state}`: only one that has not begun can be taken back")
            self._tell_ledger(connection, EventKind.ERASURE_CANCEL, erasure.data_subject, erasure.request_id, by, now)
            record_in(connection, entry(erasure, by, "cancel", "cancelled", now))
            return erasure_of(find_row(connection, erasure_id))

    def execute(self, erasure_id: str, *, by: str, at_once: bool = False) -> Erasure:
        """Carry an erasure out to its end, or go on with one that was cut short; a finished one is given as it is.

        Raises `Conflict` while the person may still take it back, unless `at_once` says that they waived it, and for
        one that was cancelled. After `StoreUnavailable`, `DatabaseUnavailable` or `KeysUnavailable` it is running:
        call again, or leave it to the worker.
        """
        erasure = self.find(erasure_id)
        if erasure.state is State.CANCELLED:
            raise Conflict("the erasure was taken back")
        if erasure.state is State.PLANNED:
            if self._clock.now() < erasure.not_before and not at_once:
                moment = erasure.not_before.isoformat()
                raise Conflict(f"the person may take the erasure back until {moment}: wait, or have them waive it")
            self._begin(erasure, by, 1, waived=at_once)
        return self._go_on(erasure_id)

    def look_again(self, erasure_id: str, *, by: str) -> Erasure:
        """Run once more where something was left or kept: plan anew, do what can now be done, look again.

        Raises `NotFound`, and `Conflict` where nothing was left, or what was looked for is forgotten.
        """
        erasure = self.find(erasure_id)
        if erasure.state is State.PARTIALLY_ERASED:
            self._begin(erasure, by, erasure.run + 1, waived=False)
        elif erasure.state is not State.RUNNING:
            raise Conflict(f"the erasure is `{erasure.state}`: only one that left something can be run again")
        return self._go_on(erasure_id)

    def resume(self) -> int:
        """Go on with every erasure that was cut short; how many. The first failure is raised after all were tried."""
        with reading(self._engine) as connection:
            running = sa.select(ERASURES.c.erasure_id).where(ERASURES.c.state == State.RUNNING)
            waiting = list(connection.execute(running.order_by(ERASURES.c.begun_at)).scalars())
        return resume_each(waiting, self._go_on)

    def purge(self) -> int:
        """Forget what is sealed of finished erasures whose time to be looked at again is over; how many."""
        now = to_micros(self._clock.now())
        over = sa.update(ERASURES).where(ERASURES.c.forget_at <= now).values(sealed=None, forget_at=None)
        with transaction(self._engine) as connection:
            return connection.execute(over).rowcount

    def find(self, erasure_id: str) -> Erasure:
        """One erasure. Raises `NotFound`."""
        with reading(self._engine) as connection:
            return erasure_of(find_row(connection, erasure_id))

    def _not_before(self, now: datetime, asked_at: datetime) -> datetime:
        terms, asked = self._policies.documents.retention.on(now.date()), min(asked_at, now)
        return asked + (after(asked.date(), terms.undo) - asked.date())

    def _of_request(self, request_id: str) -> Erasure | None:
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(ERASURES).where(ERASURES.c.request_id == request_id)).one_or_none()
        return None if row is None else erasure_of(row)

    def _refuse_another(self, connection: sa.Connection, data_subject: str) -> None:
        going_on = ERASURES.c.state.in_([State.PLANNED, State.RUNNING])
        is_open = sa.or_(going_on, sa.and_(ERASURES.c.state == State.PARTIALLY_ERASED, ERASURES.c.sealed.is_not(None)))
        other = sa.select(ERASURES.c.erasure_id).where(ERASURES.c.data_subject == data_subject, is_open)
        if connection.execute(other.limit(1)).first() is not None:
            raise Conflict("an erasure of this person is open already: go on with that one")

    def _planned(
        self, data_subject: str, known_by: tuple[Identifier, ...], before: Personal | None
    ) -> tuple[Personal, bool]:
        """A plan as the store stands now, and whether a legal hold lies on the person."""
        with reading(self._engine) as connection:
            person = connection.execute(sa.select(PEOPLE).where(PEOPLE.c.data_subject == data_subject)).one_or_none()
            flags = ledger.state(connection, data_subject).flags
        if person is None:
            raise NotFound("no person has this id")
        store_key = person.store_key if before is None or person.store_key else before.store_key
        known = tuple(dict.fromkeys((*known_by, *(before.known_by if before else ()))))
        hold = "legal_hold" in flags
        given = Circumstances(self._clock.now().date(), person.jurisdiction, hold)
        asked = Asked(store_key, given, known, self._region, secrets.token_hex(4))
        plan = self._planner.plan(asked, self._opened(data_subject))
        if before is not None:
            plan = replace(
                plan,
                looked=_both(plan.looked, before.plan.looked),
                suspects=tuple(dict.fromkeys((*plan.suspects, *before.plan.suspects))),
            )
        return Personal(store_key, tuple(dict.fromkeys((*known, *plan.identifiers))), plan), hold

    def _begin(self, erasure: Erasure, by: str, run: int, *, waived: bool) -> None:
        """Plan as the store stands now, and write the steps down; nobody begins a run that another began."""
        personal, hold = self._planned(erasure.data_subject, (), self._personal(erasure))
        now = self._clock.now()
        before = State.PLANNED if run == 1 else State.PARTIALLY_ERASED
        with transaction(self._engine) as connection:
            beginning = sa.update(ERASURES).where(
                ERASURES.c.erasure_id == erasure.erasure_id,
                ERASURES.c.state == before,
                ERASURES.c.run == (run if run == 1 else run - 1),
            )
            values = {
                "state": State.RUNNING,
                "run": run,
                "revision": self._policies.revision,
                "sealed": self._sealer.seal(erasure.erasure_id, personal),
                "forget_at": None,
                "fields": fields_text(
                    personal.plan.fields if run == 1 else added(erasure.fields, personal.plan.fields)
                ),
                **({"begun_at": to_micros(now)} if run == 1 else {}),
            }
            if connection.execute(beginning.values(values)).rowcount != 1:
                return
            insert_steps(connection, erasure.erasure_id, run, personal.plan)
            counts = {**counts_of(personal.plan.fields), "steps": str(len(personal.plan.steps)), "run": str(run)}
            marks = {"waived": "yes" if waived else "", "legal_hold": "yes" if hold else ""}
            record_in(connection, entry(erasure, by, "erase", "begun", now, **counts, **marks))
            self._at("beginning")
        self._at("begun")

    def _personal(self, erasure: Erasure) -> Personal:
        with reading(self._engine) as connection:
            sealed = find_row(connection, erasure.erasure_id).sealed
        if sealed is None:
            raise Conflict("what was looked for is forgotten by now: make a new request with the identifiers")
        return self._sealer.open(erasure.erasure_id, bytes(sealed))

    def _go_on(self, erasure_id: str) -> Erasure:
        erasure = self.find(erasure_id)
        if erasure.state is not State.RUNNING:
            return erasure
        try:
            plan = self._personal(erasure).plan
        except Conflict:  # another process has finished it in between
            return self.find(erasure_id)
        for position in range(1, len(plan.steps) + 1):
            self._step(erasure, plan, position)
        self._closing.close(erasure, plan, self._at)
        return self.find(erasure_id)

    def _step(self, erasure: Erasure, plan: Plan, position: int) -> None:
        if not self._intended(erasure, plan, position):
            return
        self._at("intended")
        refused: dict[str, str] = {}
        for change in plan.steps[position - 1].changes:
            refused |= self._store.apply(change).refused
        self._at("applied")
        self._record(erasure, plan, position, refused)
        self._at("recorded")

    def _intended(self, erasure: Erasure, plan: Plan, position: int) -> bool:
        """Say before the store is touched what is meant, once; False for a step that is done."""
        columns, step, now = ERASURE_STEPS.c, plan.steps[position - 1], self._clock.now()
        with transaction(self._engine) as connection:
            row = connection.execute(sa.select(ERASURE_STEPS).where(*_of_step(erasure, position))).one()
            if row.outcome_entry is not None:
                return False
            meant = entry(erasure, None, "erase", "intended", now, step=step.name, rows=str(step.rows))
            intending = sa.update(ERASURE_STEPS).where(*_of_step(erasure, position), columns.intent_entry.is_(None))
            if connection.execute(intending.values(intent_entry=meant.entry_id)).rowcount == 1:
                record_in(connection, meant)
            self._at("intending")
        return True

    def _record(self, erasure: Erasure, plan: Plan, position: int, refused: dict[str, str]) -> None:
        columns, step, now = ERASURE_STEPS.c, plan.steps[position - 1], self._clock.now()
        told = ",".join(f"{column}:{code}" for column, code in sorted(refused.items()))
        outcome = "refused" if refused else "done"
        with transaction(self._engine) as connection:
            intent = connection.execute(
                sa.select(columns.intent_entry).where(*_of_step(erasure, position))
            ).scalar_one()
            words = {"step": step.name, "rows": str(step.rows), "refused": told}
            done = replace(entry(erasure, None, "erase", outcome, now, **words), reference=intent)
            telling = sa.update(ERASURE_STEPS).where(*_of_step(erasure, position), columns.outcome_entry.is_(None))
            values = {"outcome_entry": done.entry_id, "refused": json.dumps(refused) if refused else None}
            if connection.execute(telling.values(values)).rowcount == 1:
                record_in(connection, done)
            self._at("recording")

    def _tell_ledger(
        self, connection: sa.Connection, kind: EventKind, data_subject: str, request_id: str, by: str, now: datetime
    ) -> None:
        evidence = Evidence(channel=_CHANNEL, how="api", recorded_by=by, reference=request_id)
        event = NewConsentEvent(data_subject, ANY_PURPOSE, kind, now, evidence)
        committed = ledger.record(connection, event, now=now)
        record_in(connection, event_entry(committed))
        self._announce_in(connection, (committed,))


def _of_step(erasure: Erasure, position: int) -> tuple[sa.ColumnElement[bool], ...]:
    columns = ERASURE_STEPS.c
    of_run = (columns.erasure_id == erasure.erasure_id, columns.run == erasure.run)
    return (*of_run, columns.position == position)


def _both(new: Looked, old: Looked) -> Looked:
    return Looked(joined(new.identifying, old.identifying), joined(new.distinctive, old.distinctive))
