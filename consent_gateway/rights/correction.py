"""Carries a correction through the store to its end (GDPR Art. 16, 11 CCR 7023); survives being killed at any step.

An officer proposes what is to stand in the record. It is checked as any write is, planned, and carried out once the
request is approved: first the record itself by the store's own writing, then the copies. Each step stands between two
commits of the gateway, the intent with its audit entry before it and the outcome after it; done twice it changes
nothing more. Where the store refuses the record, nothing else is touched and the correction is proposed again.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

import orjson
import sqlalchemy as sa

from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.transactions import reading, resume_each, transaction
from consent_gateway.consent import ledger
from consent_gateway.database import to_micros
from consent_gateway.errors import Conflict, FieldFault, InputRefused, NotFound
from consent_gateway.ids import new_id
from consent_gateway.people.suppression import refuse_no_reference
from consent_gateway.people.tables import PEOPLE
from consent_gateway.policy import Policies
from consent_gateway.ports import Clock, CustomerStore, ErasableStore
from consent_gateway.rights.correction_closing import CorrectionClosing
from consent_gateway.rights.correction_plan import ROOT_STEP, Correction, CorrectionPlanner
from consent_gateway.rights.correction_records import (
    Corrected,
    State,
    correction_of,
    counts_of,
    entry,
    find_row,
    insert_steps,
    of_request,
    of_step,
)
from consent_gateway.rights.correction_tables import CORRECTION_STEPS, CORRECTIONS
from consent_gateway.rights.erasure_records import Personal, Sealer, fields_text, leftovers_text
from consent_gateway.rights.plan_model import Step
from consent_gateway.rights.scan_values import Opened
from consent_gateway.vocabulary import Identifier, JsonValue

STEPS = (
    "proposing",
    "proposed",
    "beginning",
    "begun",
    "intending",
    "intended",
    "applied",
    "recording",
    "recorded",
    "looked",
    "closing",
    "closed",
)
"""Where a correction may be cut short, in order; those in `-ing` are just before a commit, and some come every step."""

_VALUES = "values"  # in the sealed form: the new values, as a pair that looks like an identifier
_OPEN = (State.PROPOSED, State.PARTIALLY_CORRECTED)


class Fit(Protocol):
    """Whether values may be written into a record at all; `Writes` says so."""

    def refuse_unfit(self, changes: Mapping[str, JsonValue]) -> None:
        """Raise, naming the field, for what no write may bring."""
        ...


class Correcting:
    """Carries corrections out. Safe to share between threads and to run in several processes at once.

    `opened` gives the clear values of sealed columns of a person's row, `sealed` the form in which values are kept.
    """

    def __init__(
        self,
        *,
        engine: sa.Engine,
        store: ErasableStore,
        records: CustomerStore,
        policies: Policies,
        sealer: Sealer,
        closing: CorrectionClosing,
        fit: Fit,
        clock: Clock,
        region: str | None,
        opened: Callable[[str], Opened],
        sealed: Callable[[str, Mapping[str, JsonValue]], Mapping[str, JsonValue]],
        at: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self._engine = engine
        self._store = store
        self._records = records
        self._policies = policies
        self._planner = CorrectionPlanner(store, policies.catalogue, policies.documents.retention)
        self._sealer = sealer
        self._closing = closing
        self._fit = fit
        self._clock = clock
        self._region = region
        self._opened = opened
        self._sealed = sealed
        self._at = at

    @property
    def closing(self) -> CorrectionClosing:
        """Who was told, and who has confirmed."""
        return self._closing

    def propose(self, data_subject: str, values: Mapping[str, JsonValue], *, request_id: str, by: str) -> Corrected:
        """Say what is to stand in the record, by field of the root; said again before it begins, the last one counts.

        Raises `InputRefused`, `ConsentNotRaised` or `Suppressed` as a write does, `NotFound` for a person or record
        that is not there, and `Conflict` for a correction that has begun, or of a person who is to be erased.
        """
        refuse_no_reference(request_id)
        self._refuse_unknown(values)
        self._fit.refuse_unfit(values)
        now = self._clock.now()
        personal = self._planned(data_subject, dict(values))
        if not personal.plan.steps:
            raise InputRefused("the record says so already: nothing would change", (FieldFault("/record", "the same"),))
        with transaction(self._engine) as connection:
            ledger.lock(connection, [data_subject])
            self._refuse_leaving(connection, data_subject)
            before = of_request(connection, request_id)
            if before is not None and before.state is not State.PROPOSED:
                raise Conflict(f"the correction of this request is `{before.state}`: it cannot be proposed again")
            correction_id = new_id("cor", now) if before is None else before.correction_id
            row = {
                "requested_by": by,
                "revision": self._policies.revision,
                "planned_at": to_micros(now),
                "names": json.dumps(sorted(values)),
                "fields": fields_text(personal.plan.fields),
                "leftovers": leftovers_text(personal.plan.foreseen),
                "sealed": self._sealer.seal(correction_id, personal),
            }
            if before is None:
                first = {"correction_id": correction_id, "data_subject": data_subject, "request_id": request_id}
                connection.execute(sa.insert(CORRECTIONS), [{**first, "state": State.PROPOSED, "run": 1, **row}])
            else:
                of_it = CORRECTIONS.c.correction_id == correction_id
                connection.execute(sa.update(CORRECTIONS).where(of_it).values(row))
            proposed = correction_of(find_row(connection, correction_id))
            record_in(connection, entry(proposed, by, "proposed", now, **counts_of(proposed.fields)))
            self._at("proposing")
        self._at("proposed")
        return proposed

    def of_request(self, request_id: str) -> Corrected:
        """The correction of a request. Raises `NotFound`."""
        with reading(self._engine) as connection:
            found = of_request(connection, request_id)
        if found is None:
            raise NotFound("nothing was said yet of what is to be corrected: propose it first")
        return found

    def withdraw(self, request_id: str, *, by: str) -> None:
        """Take back the correction of a request, if there is one to come. Raises `Conflict` once it has begun."""
        now = self._clock.now()
        with transaction(self._engine) as connection:
            found = of_request(connection, request_id)
            if found is None or found.state is State.WITHDRAWN:
                return
            of_it = (CORRECTIONS.c.correction_id == found.correction_id, CORRECTIONS.c.state == State.PROPOSED)
            gone = sa.update(CORRECTIONS).where(*of_it)
            values = {"state": State.WITHDRAWN, "sealed": None, "finished_at": to_micros(now)}
            if connection.execute(gone.values(values)).rowcount != 1:
                raise Conflict(f"the correction is `{found.state}`: only one that has not begun can be taken back")
            record_in(connection, entry(found, by, "withdrawn", now))

    def execute(self, request_id: str, *, by: str) -> Corrected:
        """Carry the correction of a request out, go on with one that was cut short, or look again at what was left.

        Raises `NotFound` where none was proposed, `Conflict` where the store refuses the record or the person is to be
        erased. After `StoreUnavailable`, `DatabaseUnavailable` or `KeysUnavailable` call again.
        """
        found = self.of_request(request_id)
        if found.state is State.WITHDRAWN:
            raise Conflict("the correction was taken back")
        if found.state in _OPEN and not (found.state is State.PARTIALLY_CORRECTED and not found.leftovers):
            self._begin(found, by)
        return self._go_on(request_id)

    def resume(self) -> int:
        """Go on with every correction that was cut short; how many. The first failure is raised after all."""
        with reading(self._engine) as connection:
            running = sa.select(CORRECTIONS.c.request_id).where(CORRECTIONS.c.state == State.RUNNING)
            waiting = list(connection.execute(running.order_by(CORRECTIONS.c.planned_at)).scalars())
        return resume_each(waiting, self._go_on)

    def purge(self) -> int:
        """Forget what is sealed of corrections whose time to be looked at again is over; how many."""
        now = to_micros(self._clock.now())
        over = sa.update(CORRECTIONS).where(CORRECTIONS.c.forget_at <= now).values(sealed=None, forget_at=None)
        with transaction(self._engine) as connection:
            return connection.execute(over).rowcount

    def _refuse_unknown(self, values: Mapping[str, JsonValue]) -> None:
        root = self._policies.catalogue.root.name
        fields = self._policies.catalogue.fields
        strange = [name for name in values if name not in fields or fields[name].collection != root]
        if strange:
            faults = tuple(FieldFault(f"/record/{name}", "no field of the record") for name in sorted(strange))
            raise InputRefused("a correction names fields of the person's own record; copies follow", faults)

    def _refuse_leaving(self, connection: sa.Connection, data_subject: str) -> None:
        if {"erased", "erasure_pending"} & ledger.state(connection, data_subject).flags:
            raise Conflict("the person is erased, or is to be: there is nothing to correct")

    def _planned(self, data_subject: str, values: Mapping[str, JsonValue]) -> Personal:
        with reading(self._engine) as connection:
            person = connection.execute(sa.select(PEOPLE).where(PEOPLE.c.data_subject == data_subject)).one_or_none()
        if person is None:
            raise NotFound("no person has this id")
        day, mark = self._clock.now().date(), secrets.token_hex(4)
        asked = Correction(person.store_key, person.jurisdiction, day, self._region, mark, values)
        plan = self._planner.plan(asked, self._opened(data_subject), lambda new: self._sealed(data_subject, new))
        return Personal(person.store_key, (Identifier(_VALUES, orjson.dumps(dict(values)).decode()),), plan)

    def _begin(self, found: Corrected, by: str) -> None:
        """Plan as the store stands now and write the steps down; nobody begins a run that another began."""
        before = self._personal(found)
        personal = self._planned(found.data_subject, _values(before))
        if found.state is State.PARTIALLY_CORRECTED:  # the record says it by now: what was looked for is known no more
            personal = replace(personal, plan=replace(personal.plan, looked=before.plan.looked))
        now = self._clock.now()
        run = found.run + (found.state is State.PARTIALLY_CORRECTED)
        with transaction(self._engine) as connection:
            ledger.lock(connection, [found.data_subject])
            self._refuse_leaving(connection, found.data_subject)
            of_it = (CORRECTIONS.c.correction_id == found.correction_id, CORRECTIONS.c.state == found.state)
            values: dict[str, Any] = {
                "state": State.RUNNING,
                "run": run,
                "revision": self._policies.revision,
                "fields": fields_text(personal.plan.fields or found.fields),
                "sealed": self._sealer.seal(found.correction_id, personal),
                "forget_at": None,
            }
            beginning = sa.update(CORRECTIONS).where(*of_it, CORRECTIONS.c.run == found.run).values(values)
            if connection.execute(beginning).rowcount != 1:
                return
            insert_steps(connection, found.correction_id, run, personal.plan)
            counts = {**counts_of(personal.plan.fields), "steps": str(len(personal.plan.steps)), "run": str(run)}
            record_in(connection, entry(found, by, "begun", now, **counts))
            self._at("beginning")
        self._at("begun")

    def _personal(self, found: Corrected) -> Personal:
        with reading(self._engine) as connection:
            sealed = find_row(connection, found.correction_id).sealed
        if sealed is None:
            raise Conflict("what was to be corrected is forgotten by now: make a new request")
        return self._sealer.open(found.correction_id, bytes(sealed))

    def _go_on(self, request_id: str) -> Corrected:
        found = self.of_request(request_id)
        if found.state is not State.RUNNING:
            return found
        try:
            personal = self._personal(found)
        except Conflict:  # another process has finished it in between
            return self.of_request(request_id)
        for position, step in enumerate(personal.plan.steps, 1):
            refused = self._step(found, step, position, personal)
            if refused and step.name.startswith(ROOT_STEP):
                code = next(iter(refused.values()))
                raise Conflict(f"the store does not take the record ({code}): propose something else, or deny it")
        if personal.store_key is not None:
            self._closing.close(found, personal.plan, personal.store_key, self._at)
        return self.of_request(request_id)

    def _step(self, found: Corrected, step: Step, position: int, personal: Personal) -> dict[str, str]:
        """Do a step that has no outcome yet; what the store refused."""
        if not self._intended(found, step, position):
            return {}
        self._at("intended")
        refused: dict[str, str] = {}
        if step.name.startswith(ROOT_STEP):
            refused = self._record_written(step, str(personal.store_key))
        else:
            for change in step.changes:
                refused |= self._store.apply(change).refused
        self._at("applied")
        self._outcome(found, step, position, refused)
        self._at("recorded")
        return refused

    def _record_written(self, step: Step, store_key: str) -> dict[str, str]:
        try:
            self._records.update(store_key, step.changes[0].values, None)
        except (Conflict, InputRefused, NotFound) as error:  # it changed nothing; whatever else failed may have
            return {"*": error.code}
        return {}

    def _intended(self, found: Corrected, step: Step, position: int) -> bool:
        """Say before the store is touched what is meant, once; False for a step that is done."""
        columns, now = CORRECTION_STEPS.c, self._clock.now()
        with transaction(self._engine) as connection:
            row = connection.execute(sa.select(CORRECTION_STEPS).where(*of_step(found, position))).one()
            if row.outcome_entry is not None:
                return False
            meant = entry(found, None, "intended", now, step=step.name, rows=str(step.rows))
            intending = sa.update(CORRECTION_STEPS).where(*of_step(found, position), columns.intent_entry.is_(None))
            if connection.execute(intending.values(intent_entry=meant.entry_id)).rowcount == 1:
                record_in(connection, meant)
            self._at("intending")
        return True

    def _outcome(self, found: Corrected, step: Step, position: int, refused: Mapping[str, str]) -> None:
        columns, now = CORRECTION_STEPS.c, self._clock.now()
        told = ",".join(f"{column}:{code}" for column, code in sorted(refused.items()))
        words = {"step": step.name, "rows": str(step.rows), "refused": told}
        with transaction(self._engine) as connection:
            asked = sa.select(columns.intent_entry).where(*of_step(found, position))
            intent = connection.execute(asked).scalar_one()
            done = replace(entry(found, None, "refused" if refused else "done", now, **words), reference=intent)
            telling = sa.update(CORRECTION_STEPS).where(*of_step(found, position), columns.outcome_entry.is_(None))
            values = {"outcome_entry": done.entry_id, "refused": json.dumps(refused) if refused else None}
            if connection.execute(telling.values(values)).rowcount == 1:
                record_in(connection, done)
                if refused and step.name.startswith(ROOT_STEP):
                    self._proposed_again(connection, found, now)
            self._at("recording")

    def _proposed_again(self, connection: sa.Connection, found: Corrected, now: datetime) -> None:
        """Nothing was written: what was proposed waits for an officer, and the next try is another run."""
        of_it = (CORRECTIONS.c.correction_id == found.correction_id, CORRECTIONS.c.run == found.run)
        again = {"state": State.PROPOSED, "run": found.run + 1, "planned_at": to_micros(now)}
        connection.execute(sa.update(CORRECTIONS).where(*of_it, CORRECTIONS.c.state == State.RUNNING).values(again))


def _values(personal: Personal) -> dict[str, JsonValue]:
    values: dict[str, JsonValue] = orjson.loads(personal.known_by[0].value)
    return values
