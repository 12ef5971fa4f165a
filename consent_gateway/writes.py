"""The enforcement point for changes: an intent before the store is touched, an outcome after; holds no rule.

A field with no basis for the purpose is refused by name and nothing is written. No write raises a consent: a column
that mirrors one is closed to data writes for good, whatever the policy says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import Recorder, record_in
from consent_gateway.database import DRIVER_ERRORS
from consent_gateway.errors import (
    ConsentNotRaised,
    DatabaseUnavailable,
    FieldFault,
    FieldsRefused,
    GatewayError,
    InputRefused,
    StoreUnavailable,
    Suppressed,
)
from consent_gateway.gateway import EXPLAIN_SCOPE, Gateway
from consent_gateway.ids import new_id
from consent_gateway.line import REFUSED, Line, decision_entry
from consent_gateway.people import provenance
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.enrolment import Enrolment
from consent_gateway.people.residence import Unreadable, jurisdiction
from consent_gateway.policy import Policies
from consent_gateway.ports import Clock, CustomerStore
from consent_gateway.protection.sealing import Sealing
from consent_gateway.tracing import NO_TRACER, Said, Step, Tracer
from consent_gateway.vocabulary import Action, Caller, Effect, Facts, JsonValue, Verdict

UNKNOWN_OUTCOME = "unknown"
SUPPRESSED_OUTCOME = "suppressed"


@dataclass(frozen=True, slots=True)
class WriteQuery:
    """A change of root fields of one record. `source` says in the caller's words where the values come from."""

    person: PersonRef
    purpose: str
    changes: Mapping[str, JsonValue]
    source: str
    expected_version: str | None = None


@dataclass(frozen=True, slots=True)
class CreateQuery:
    """A new customer record; identifiers and residence are taken from the catalogued fields among the values."""

    purpose: str
    values: Mapping[str, JsonValue]
    source: str


@dataclass(frozen=True, slots=True)
class WriteAnswer:
    """What was written. `version` is the record's new version, for the next write; None after a create."""

    decision_id: str
    data_subject: str
    version: str | None
    written: tuple[str, ...]
    revision: str


class Writes:
    """Changes to customer records. Safe to share between threads; one instance per process."""

    def __init__(
        self,
        *,
        gateway: Gateway,
        policies: Policies,
        engine: sa.Engine,
        store: CustomerStore,
        enrolment: Enrolment,
        sealing: Sealing,
        recorder: Recorder,
        clock: Clock,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._gateway = gateway
        self._catalogue = policies.catalogue
        self._rulebook = policies.rulebook
        self._engine = engine
        self._store = store
        self._enrolment = enrolment
        self._sealing = sealing
        self._recorder = recorder
        self._clock = clock
        self._tracer = tracer
        self._connector = {Said.CONNECTOR: policies.catalogue.dataset}

    def change(self, caller: Caller, query: WriteQuery) -> WriteAnswer:
        """Change fields of one record.

        Raises `FieldsRefused` naming each field without a basis, `ConsentNotRaised` for a column that mirrors a
        consent, `InputRefused` for one that is not writable, `Suppressed` for an identifier of an erased person,
        `Conflict` where the record changed in between, `NotFound` for an unknown person, `ProtectionRefused` for a
        sealed field whose key class the purpose does not open; in each case nothing was written.
        """
        self._refuse_malformed(query.changes)
        line = self._decided(caller, query.person, query.purpose, query.changes)
        known = line.known
        if known is None or known.store_key is None:
            raise self._refused(line, query.person)
        self._refuse_suppressed(line, query.changes)
        intent = self._intent(line)
        try:
            values = self._sealing.sealed(query.changes, known.data_subject, self._gateway.grant(line))
            with self._tracer.step(Step.STORE_WRITE, self._connector):
                version = self._store.update(known.store_key, values, query.expected_version)
        except GatewayError as error:
            self._failed(line, intent, error)
            raise
        self._written(line, intent, query.changes, query.source, known.data_subject, known.store_key)
        return self._answer(line, intent, known.data_subject, version, query.changes)

    def refuse_unfit(self, changes: Mapping[str, JsonValue]) -> None:
        """Refuse what no write may bring into a record, whoever writes and why; raises as `change` does."""
        self._refuse_malformed(changes)
        self._enrolment.refuse_suppressed(changes)

    def create(self, caller: Caller, query: CreateQuery) -> WriteAnswer:
        """Create a customer record and enrol the person. Raises as `change` does; `Conflict` for one that exists."""
        self._refuse_unwritable(query.values)
        self._refuse_sealed(query.values)
        self._refuse_lawless(query.values)
        self._enrolment.refuse_unreadable(query.values)
        request = self._gateway.claim(caller, query.purpose, tuple(query.values), None, Action.WRITE)
        newcomer = self._enrolment.newcomer(query.values)
        facts = Facts(jurisdiction=newcomer.jurisdiction, minor_born=newcomer.minor_born)
        stranger = self._gateway.decided_for(caller, request, facts)
        for identifier in newcomer.identifiers:  # what its holder chose before there was a record counts already
            holder = self._gateway.find(PersonRef(identifier=identifier))
            if holder is not None:
                facts = replace(
                    holder.facts,
                    jurisdiction=newcomer.jurisdiction,
                    minor_born=newcomer.minor_born or holder.facts.minor_born,
                )
        line = self._gateway.decided_for(caller, request, facts)
        self._refuse_newcomer(line, stranger)
        self._refuse_suppressed(line, query.values)
        intent = self._intent(line)
        try:
            with self._tracer.step(Step.STORE_WRITE, self._connector):
                store_key = self._store.create(query.values)
        except GatewayError as error:
            self._failed(line, intent, error)
            raise
        data_subject = self._written(line, intent, query.values, query.source, None, store_key)
        return self._answer(line, intent, data_subject, None, query.values)

    def _refuse_malformed(self, changes: Mapping[str, JsonValue]) -> None:
        self._refuse_unwritable(changes)
        self._refuse_lawless(changes)
        self._enrolment.refuse_unreadable(changes)

    def _decided(self, caller: Caller, person: PersonRef, purpose: str, changes: Mapping[str, JsonValue]) -> Line:
        request = self._gateway.claim(caller, purpose, tuple(changes), None, Action.WRITE)
        line = self._gateway.decided(caller, person, request)
        self._refuse_without_basis(line, person)
        return line

    def _refuse_unwritable(self, changes: Mapping[str, JsonValue]) -> None:
        if not changes:
            raise InputRefused("the record names no field", (FieldFault("/record", "name at least one field"),))
        fields = {name: self._catalogue.fields[name] for name in changes if name in self._catalogue.fields}
        for name, field in fields.items():
            if field.mirrors_consent is not None:
                raise ConsentNotRaised(
                    f"`{name}` mirrors the consent for `{field.mirrors_consent}`: record a consent event instead"
                )
        faults = tuple(
            FieldFault(f"/record/{name}", "not writable") for name, field in fields.items() if not field.writable
        )
        if faults:
            raise InputRefused("a field is not writable", faults)

    def _refuse_sealed(self, values: Mapping[str, JsonValue]) -> None:
        """A sealed value is bound to a person's key, and before the record there is no person."""
        fields = self._catalogue.fields
        sealed = [name for name in values if name in fields and fields[name].protection == "sealed"]
        if sealed:
            faults = tuple(FieldFault(f"/record/{name}", "sealed: write it after the record exists") for name in sealed)
            raise InputRefused("a sealed field cannot be part of a new record", faults)

    def _refuse_without_basis(self, line: Line, person: PersonRef) -> None:
        if any(verdict.effect is not Effect.ALLOW for verdict in line.decision.verdicts.values()):
            raise self._refused(line, person)

    def _refuse_newcomer(self, line: Line, stranger: Line) -> None:
        """Refuse a new record without a basis, telling only what would be told of somebody nobody knows.

        What the holder of an identifier chose decides, and who brings the identifier must not learn it by trying.
        """
        if all(verdict.effect is Effect.ALLOW for verdict in line.decision.verdicts.values()):
            return
        self._recorder.record(decision_entry(line, outcome="refused"))
        told = _reasons((line if EXPLAIN_SCOPE in line.caller.scopes else stranger).decision.verdicts)
        told = told or dict.fromkeys(line.decision.verdicts, REFUSED.reason.value)
        raise FieldsRefused("a field has no basis for this purpose; nothing was written", told)

    def _refuse_suppressed(self, line: Line, values: Mapping[str, JsonValue]) -> None:
        """Only who may write the fields for the purpose gets this far, so that nobody else learns who was erased."""
        try:
            self._enrolment.refuse_suppressed(values)
        except Suppressed:
            self._recorder.record(decision_entry(line, outcome=SUPPRESSED_OUTCOME))
            raise

    def _refused(self, line: Line, person: PersonRef) -> FieldsRefused:
        """The refusal is recorded before it is told."""
        self._recorder.record(decision_entry(line, outcome="refused"))
        _, verdicts = self._gateway.tellable(line, person)
        return FieldsRefused("a field has no basis for this purpose; nothing was written", _reasons(verdicts))

    def _intent(self, line: Line) -> Entry:
        entry = decision_entry(line, EntryKind.WRITE_INTENT, outcome="intended")
        self._recorder.record(entry)
        return entry

    def _failed(self, line: Line, intent: Entry, error: GatewayError) -> None:
        """A store that does not answer may still have written: then the outcome is said to be unknown."""
        outcome = UNKNOWN_OUTCOME if isinstance(error, StoreUnavailable) else f"failed:{error.code}"
        self._recorder.record(self._outcome(line, intent, outcome, intent.data_subject))

    def _outcome(self, line: Line, intent: Entry, outcome: str, data_subject: str | None) -> Entry:
        now = self._clock.now()
        return Entry(
            entry_id=new_id("out", now),
            kind=EntryKind.WRITE_OUTCOME,
            at=now,
            caller=line.caller.client_id,
            channel=line.caller.channel,
            purpose=line.request.purpose,
            action=line.request.action.value,
            data_subject=data_subject,
            revision=line.decision.revision,
            reference=intent.entry_id,
            outcome=outcome,
        )

    def _written(
        self,
        line: Line,
        intent: Entry,
        values: Mapping[str, JsonValue],
        source: str,
        data_subject: str | None,
        store_key: str,
    ) -> str:
        """Outcome, provenance and, where an identifier or residence changed, the directory: in one transaction."""
        now: datetime = self._clock.now()
        try:
            with self._engine.begin() as connection:
                if data_subject is None or self._touches_directory(values):
                    data_subject = self._enrolment.refresh(connection, store_key, tuple(values))
                provenance.record(
                    connection,
                    entry_id=intent.entry_id,
                    data_subject=data_subject,
                    fields=tuple(values),
                    source=source,
                    channel=line.caller.channel,
                    client_id=line.caller.client_id,
                    purpose=line.request.purpose,
                    now=now,
                )
                record_in(connection, self._outcome(line, intent, "written", data_subject))
        except Suppressed:  # a key the store gave again, or an erasure at this moment: the record stays unenrolled
            self._recorder.record(self._outcome(line, intent, SUPPRESSED_OUTCOME, data_subject))
            raise
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the record was written, but its outcome could not be recorded") from error
        return data_subject

    def _touches_directory(self, values: Mapping[str, JsonValue]) -> bool:
        fields = (self._catalogue.fields[name] for name in values)
        return any(field.identity is not None or field.attribute is not None for field in fields)

    def _refuse_lawless(self, values: Mapping[str, JsonValue]) -> None:
        """Refuse a country that no policy speaks for: it would close the record to everybody, this writer too."""
        for name, value in values.items():
            field = self._catalogue.fields.get(name)
            if field is None or field.attribute != "country":
                continue
            try:
                place = jurisdiction(value if isinstance(value, str) else None, None)
            except Unreadable:
                place = None
            if self._rulebook.segment(place, self._clock.now().date()) is None:
                fault = FieldFault(f"/record/{name}", "no policy speaks for this country: give its ISO 3166-1 code")
                raise InputRefused("the residence is not one the policy knows", (fault,))

    def _answer(
        self, line: Line, intent: Entry, data_subject: str, version: str | None, values: Mapping[str, JsonValue]
    ) -> WriteAnswer:
        return WriteAnswer(intent.entry_id, data_subject, version, tuple(values), line.decision.revision)


def _reasons(verdicts: Mapping[str, Verdict]) -> dict[str, str]:
    return {name: verdict.reason.value for name, verdict in verdicts.items() if verdict.effect is not Effect.ALLOW}
