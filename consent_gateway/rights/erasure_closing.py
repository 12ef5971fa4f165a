"""Ends a run of an erasure: own places, keys, the look through everything, outcome, certificate, notices.

The outcome is `erased` only where nothing is kept and nothing was found; what could not be looked at counts as found.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from consent_gateway.audit.log import AuditLog
from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.consent import ledger
from consent_gateway.customers.leaving import drop_mail
from consent_gateway.customers.mail import Settled, nobody_asks
from consent_gateway.database import to_micros
from consent_gateway.errors import Conflict, NotFound
from consent_gateway.policy.retention import Retention, after
from consent_gateway.ports import Clock
from consent_gateway.rights.certificate import Certificates, Evidence
from consent_gateway.rights.erasure_records import (
    Erasure,
    State,
    entry,
    leftovers_text,
    refusals,
    steps_done,
)
from consent_gateway.rights.erasure_tables import ACCESS_PACKAGES, ERASURES
from consent_gateway.rights.plan_model import Cause, Leftover, Plan
from consent_gateway.rights.recipients import Concerned, Done, Kind, received
from consent_gateway.rights.scan import Scan, Scanned
from consent_gateway.rights.scan_values import joined
from consent_gateway.shredding import Shredded, Shredding

Tell = Callable[[sa.Connection, Done, Concerned], None]
"""Writes notices to recipients, in the transaction of the outcome: both are committed, or neither."""


def tell_nobody(_connection: sa.Connection, _done: Done, _concerned: Concerned) -> None:
    """No notices are written here."""


DropMail = Callable[[Callable[[str], bool]], int]
"""Deletes the mails whose text is an erased person's."""


def no_outbox(_is_theirs: Callable[[str], bool]) -> int:
    """Mail does not lie in an outbox here."""
    return 0


class Closing:
    """Ends runs of erasures. `mail_key` opens the queue of customer mail; without one no mail waits."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        scan: Scan,
        shredding: Shredding,
        certificates: Certificates,
        retention: Retention,
        log: AuditLog,
        clock: Clock,
        mail_key: bytes | None = None,
        tell: Tell = tell_nobody,
        settled: Settled = nobody_asks,
        drop_outbox: DropMail = no_outbox,
    ) -> None:
        self._engine = engine
        self._scan = scan
        self._shredding = shredding
        self._certificates = certificates
        self._retention = retention
        self._log = log
        self._clock = clock
        self._mail_key = mail_key
        self._tell = tell
        self._settled = settled
        self._drop_outbox = drop_outbox

    def close(self, erasure: Erasure, plan: Plan, at: Callable[[str], None]) -> None:
        """End a run whose steps are done. Doing it again, or two at once, ends it once."""
        self._forget_own(erasure, plan)
        keys, kept = self._destroyed(erasure, plan)
        at("shredded")
        terms = self._retention.on(self._clock.now().date())
        with reading(self._engine) as connection:
            refused = refusals(connection, erasure.erasure_id, erasure.run)
        scanned = self._scan.look(plan, terms, (*refused, *kept))
        at("looked")
        told = received(self._log.about(erasure.data_subject))
        self._commit(erasure, plan, scanned, keys, told, at)
        at("closed")

    def _forget_own(self, erasure: Erasure, plan: Plan) -> None:
        """Delete access packages and queued mail; the rest of the gateway's places is the shredding's."""
        both = joined(plan.looked.identifying, plan.looked.distinctive)
        theirs = re.compile(both.texts) if both.texts else None

        def is_theirs(text: str) -> bool:
            return theirs is not None and theirs.search(text.lower()) is not None

        with transaction(self._engine) as connection:
            of_person = ACCESS_PACKAGES.c.data_subject == erasure.data_subject
            connection.execute(sa.delete(ACCESS_PACKAGES).where(of_person))
            if self._mail_key is not None and theirs is not None:
                drop_mail(connection, self._mail_key, is_theirs, self._settled)
        self._drop_outbox(is_theirs)

    def _destroyed(self, erasure: Erasure, plan: Plan) -> tuple[Shredded | None, tuple[Leftover, ...]]:
        """The evidence, or what says why the keys live on."""
        with reading(self._engine) as connection:
            held = "legal_hold" in ledger.state(connection, erasure.data_subject).flags
        if held or plan.keeps_sealed:
            return None, (Leftover("gateway", "keys", Cause.KEYS_KEPT, 1),)
        try:
            shred = self._shredding.shred
            return shred(erasure.data_subject, reference=erasure.request_id, by=erasure.requested_by), ()
        except Conflict as error:
            raise Conflict(f"the erasure cannot destroy the keys: {error.message}") from error

    def _commit(
        self,
        erasure: Erasure,
        plan: Plan,
        scanned: Scanned,
        keys: Shredded | None,
        told: Mapping[str, set[str]],
        at: Callable[[str], None],
    ) -> None:
        now, leftovers = self._clock.now(), scanned.leftovers
        outcome = State.PARTIALLY_ERASED if leftovers or plan.keeps else State.ERASED
        remember = after(now.date(), self._retention.on(now.date()).remember) - now.date()
        with transaction(self._engine) as connection:
            certificate = self._certificate(connection, erasure, outcome, scanned, keys, sorted(told), now)
            values = {
                "state": outcome,
                "finished_at": to_micros(now),
                "leftovers": leftovers_text(leftovers),
                "certificate": certificate,
                # Without what was looked for nobody could look again; once nothing is left nobody has to.
                **({"forget_at": to_micros(now + remember)} if leftovers else {"sealed": None}),
            }
            columns = ERASURES.c
            of_run = (columns.erasure_id == erasure.erasure_id, columns.run == erasure.run)
            ending = sa.update(ERASURES).where(*of_run, columns.state == State.RUNNING)
            if connection.execute(ending.values(values)).rowcount != 1:
                return  # another process has ended it
            gone = {one.field for one in erasure.fields if one.erased}
            done = Done(Kind.ERASURE, erasure.erasure_id, erasure.request_id, erasure.data_subject)
            # Who received only what a law keeps here is told as well: whether it binds them too is for them to judge.
            self._tell(connection, done, {one: sorted(fields & gone or fields) for one, fields in told.items()})
            causes = Counter(one.cause.value for one in leftovers)
            left = {f"left_{cause}": str(number) for cause, number in causes.items()}
            looked = {"tables": str(scanned.tables), "columns": str(scanned.columns), "files": str(scanned.files)}
            digest = hashlib.sha256(certificate).hexdigest()
            record_in(connection, entry(erasure, None, "erase", outcome, now, certificate=digest, **looked, **left))
            at("closing")

    def _certificate(
        self,
        connection: sa.Connection,
        erasure: Erasure,
        outcome: State,
        scanned: Scanned,
        keys: Shredded | None,
        recipients: Sequence[str],
        now: datetime,
    ) -> bytes:
        try:
            checkpoint = self._log.checkpoint()
        except NotFound:
            checkpoint = None
        evidence = Evidence(
            erasure_id=erasure.erasure_id,
            data_subject=erasure.data_subject,
            request_id=erasure.request_id,
            outcome=outcome.value,
            run=erasure.run,
            planned_at=erasure.planned_at,
            begun_at=erasure.begun_at or now,
            finished_at=now,
            revision=erasure.revision,
            fields=erasure.fields,
            steps=steps_done(connection, erasure.erasure_id),
            leftovers=scanned.leftovers,
            looked_at={"tables": scanned.tables, "columns": scanned.columns, "files": scanned.files},
            recipients=recipients,
            keys=keys,
            checkpoint=checkpoint,
        )
        return self._certificates.file(evidence)
