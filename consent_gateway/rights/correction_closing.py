"""Ends a run of a correction: directory, source, a look for the old value, outcome, notices; corrects nothing itself.

The outcome is `corrected` only where no law keeps the old value and a look through everything found none of it.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.log import AuditLog
from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.database import to_micros
from consent_gateway.errors import Suppressed
from consent_gateway.people import provenance
from consent_gateway.people.enrolment import Enrolment
from consent_gateway.policy.catalogue import Catalogue
from consent_gateway.policy.retention import Retention, after
from consent_gateway.ports import Clock
from consent_gateway.rights.correction_records import Corrected, State, entry, refusals
from consent_gateway.rights.correction_tables import CORRECTIONS
from consent_gateway.rights.erasure_closing import Tell, tell_nobody
from consent_gateway.rights.erasure_records import leftovers_text
from consent_gateway.rights.plan_model import Cause, Leftover, Plan
from consent_gateway.rights.recipients import Concerned, Done, Kind, received
from consent_gateway.rights.scan import Scan, Scanned

SOURCE = "data_subject"
"""Where a corrected value comes from, as the field's source tells."""

_PURPOSE = "rights"


class CorrectionClosing:
    """Ends runs of corrections. `channel` is in whose name officers act."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        scan: Scan,
        enrolment: Enrolment,
        catalogue: Catalogue,
        retention: Retention,
        log: AuditLog,
        clock: Clock,
        channel: str,
        tell: Tell = tell_nobody,
    ) -> None:
        self._engine = engine
        self._scan = scan
        self._enrolment = enrolment
        self._catalogue = catalogue
        self._retention = retention
        self._log = log
        self._clock = clock
        self._channel = channel
        self._tell = tell

    def close(self, found: Corrected, plan: Plan, store_key: str, at: Callable[[str], None]) -> None:
        """End a run whose steps are done. Doing it again, or two at once, ends it once."""
        terms = self._retention.on(self._clock.now().date())
        with reading(self._engine) as connection:
            refused = refusals(connection, found)
        scanned = self._scan.look(plan, terms, refused)
        at("looked")
        concerned = self._concerned(found)
        try:
            self._commit(found, plan, scanned, store_key, concerned, at, refresh=True)
        except Suppressed:  # the identifier became an erased person's in between: the record stays as it was known
            left = Leftover("gateway", "people", Cause.REFUSED, 1, Suppressed.code)
            told = Scanned(scanned.tables, scanned.columns, scanned.files, (*scanned.leftovers, left))
            self._commit(found, plan, told, store_key, concerned, at, refresh=False)
        at("closed")

    def _concerned(self, found: Corrected) -> Concerned:
        """Everybody outside the company who received one of the corrected fields, with these."""
        names = {one.field for one in found.fields if one.erased}
        told = received(self._log.about(found.data_subject))
        return {recipient: sorted(fields & names) for recipient, fields in told.items() if fields & names}

    def _commit(
        self,
        found: Corrected,
        plan: Plan,
        scanned: Scanned,
        store_key: str,
        concerned: Concerned,
        at: Callable[[str], None],
        *,
        refresh: bool,
    ) -> None:
        now, leftovers = self._clock.now(), scanned.leftovers
        kept = any(one.kept for one in found.fields)
        outcome = State.PARTIALLY_CORRECTED if leftovers or kept else State.CORRECTED
        remember = after(now.date(), self._retention.on(now.date()).remember) - now.date()
        with transaction(self._engine) as connection:
            values: dict[str, Any] = {
                "state": outcome,
                "finished_at": to_micros(now),
                "leftovers": leftovers_text(leftovers),
                **({"forget_at": to_micros(now + remember)} if leftovers else {"sealed": None}),
            }
            of_run = (CORRECTIONS.c.correction_id == found.correction_id, CORRECTIONS.c.run == found.run)
            ending = sa.update(CORRECTIONS).where(*of_run, CORRECTIONS.c.state == State.RUNNING)
            if connection.execute(ending.values(values)).rowcount != 1:
                return  # another process has ended it
            if refresh and self._touches_directory(plan):
                self._enrolment.refresh(connection, store_key, tuple(found.names))
            causes = Counter(one.cause.value for one in leftovers)
            told = {f"left_{cause}": str(number) for cause, number in causes.items()}
            ended = entry(found, None, outcome, now, recipients=str(len(concerned)), **told)
            if plan.steps:
                self._tell_source(connection, found, ended.entry_id, now)
            done = Done(Kind.CORRECTION, found.correction_id, found.request_id, found.data_subject)
            self._tell(connection, done, concerned)
            record_in(connection, ended)
            at("closing")

    def _touches_directory(self, plan: Plan) -> bool:
        fields = (self._catalogue.fields[one.field] for one in plan.fields if one.erased)
        return any(field.identity is not None or field.attribute is not None for field in fields)

    def _tell_source(self, connection: sa.Connection, found: Corrected, entry_id: str, now: datetime) -> None:
        provenance.record(
            connection,
            entry_id=entry_id,
            data_subject=found.data_subject,
            fields=found.names,
            source=SOURCE,
            channel=self._channel,
            client_id=found.requested_by,
            purpose=_PURPOSE,
            now=now,
        )
