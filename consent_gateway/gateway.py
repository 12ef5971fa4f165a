"""The enforcement point: `read` and `write`, two straight lines; holds no rule and speaks no HTTP.

Each line is: facts, decision, store, protection, durable audit entry, answer. Customer data leaves the gateway
here and in `rights` alone. Whatever goes wrong on the way ends the call before anything is answered.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import Recorder
from consent_gateway.consent.facts import FactsReader, Known
from consent_gateway.errors import (
    CallerNotPermitted,
    FieldFault,
    IdentifierRefused,
    InputRefused,
    NotFound,
    UnknownField,
    UnknownPurpose,
)
from consent_gateway.ids import new_id
from consent_gateway.line import (
    REFUSED,
    BatchAnswer,
    BatchQuery,
    DecideAnswer,
    DecideQuery,
    Line,
    ReadAnswer,
    ReadQuery,
    decision_entry,
    linkable,
)
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.people.directory import PersonRef
from consent_gateway.policy import Policies, decide
from consent_gateway.ports import Clock, CustomerStore, Page, StoredRecord
from consent_gateway.protection.material import KeyGrant
from consent_gateway.protection.perform import Performer, TransformScope
from consent_gateway.protection.sealing import Sealing
from consent_gateway.tracing import NO_TRACER, Said, Step, Tracer, decision_told
from consent_gateway.vocabulary import (
    COMPANY,
    AccessRequest,
    Action,
    Caller,
    Facts,
    JsonValue,
    Reason,
    Verdict,
)

EXPLAIN_SCOPE = "customers:explain"
_NOBODY = Facts(jurisdiction=None)  # decides like any person; nothing is open for it
_NO_KEYS = KeyGrant()


class Gateway:
    """Reads and decisions. Safe to share between threads; one instance per process."""

    def __init__(
        self,
        *,
        policies: Policies,
        facts: FactsReader,
        indexes: BlindIndex,
        store: CustomerStore,
        sealing: Sealing,
        performer: Performer,
        recorder: Recorder,
        remember_signal: Callable[[Caller, PersonRef], object],
        clock: Clock,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._policies = policies
        self._facts = facts
        self._indexes = indexes
        self._store = store
        self._sealing = sealing
        self._performer = performer
        self._recorder = recorder
        self._remember_signal = remember_signal
        self._clock = clock
        self._tracer = tracer
        self._connector = {Said.CONNECTOR: policies.catalogue.dataset}
        self._declared = {key: _fields_for(policies, key) for key in policies.purposes}
        self._grants = {key: KeyGrant(frozenset(one.key_classes)) for key, one in policies.purposes.items()}

    def read(self, caller: Caller, query: ReadQuery) -> ReadAnswer:
        """Read one person's record for a purpose: only what may be open, transformed as decided.

        Raises `UnknownPurpose`, `UnknownField` and `IdentifierRefused` for bad input, `CallerNotPermitted` for a
        claim the client is not registered for, `StoreUnavailable`, `DatabaseUnavailable` or `AuditUnavailable`
        where a part is away, `ProtectionRefused` where a sealed field is not for this credential's purpose; in each
        case nothing of the record is answered.
        """
        line = self.decided(caller, query.person, self._request(caller, query, Action.READ, gpc=query.gpc))  # 1, 2
        self._keep_signal(line, query.person)
        stored, record = self.opened(line, query.page)  # 3, 4
        entry = decision_entry(line)
        self._recorder.record(entry)  # 5: durable, or nothing leaves
        return self.read_answer(line, query.person, entry.entry_id, stored, record)  # 6

    def opened(self, line: Line, page: Page) -> tuple[StoredRecord | None, Mapping[str, JsonValue]]:
        """What is open of a record, fetched and protected: the third and fourth step of every read."""
        stored = self._fetch(line, page)
        return stored, self._protected(line, stored)

    def read_answer(
        self,
        line: Line,
        person_meant: PersonRef,
        decision_id: str,
        stored: StoredRecord | None,
        record: Mapping[str, JsonValue],
    ) -> ReadAnswer:
        """The answer, to be given only when the entry of the decision is durable."""
        person, verdicts = self.tellable(line, person_meant)
        return ReadAnswer(
            decision_id=decision_id,
            data_subject=person,
            record=record,
            more=tuple(sorted(stored.more)) if stored else (),
            verdicts=verdicts,
            revision=line.decision.revision,
            version=stored.version if stored and person is not None else None,
        )

    def decide(self, caller: Caller, query: DecideQuery) -> DecideAnswer:
        """Decide without touching the store; recorded like a read. Raises as `read` does."""
        line = self.decided(caller, query.person, self._request(caller, query, query.action, gpc=query.gpc))
        self._keep_signal(line, query.person)
        entry = decision_entry(line)
        self._recorder.record(entry)
        return self._answer(line, entry, query.person)

    def _keep_signal(self, line: Line, person: PersonRef) -> None:
        """Remember the visitor's signal that came with the call, for everyone who is meant; durable before the answer.

        Where it is on file already, as with every call but the first, this costs nothing. Somebody nobody knows is
        kept too, as with every choice that restricts: by then an unknown person costs what a known one does.
        """
        if line.request.gpc and not (line.known is not None and line.known.facts.gpc):
            self._remember_signal(line.caller, person)

    def decide_batch(self, caller: Caller, query: BatchQuery) -> BatchAnswer:
        """Decide one purpose for many people; every decision has its own durable entry before any is answered."""
        request = self._request(caller, query, Action.READ, gpc=False)
        lines = [self._one_of_many(caller, at, person, request) for at, person in enumerate(query.persons)]
        entries = [decision_entry(line) for line in lines]
        self._recorder.record_all(entries)
        answers = map(self._answer, lines, entries, query.persons)
        return BatchAnswer(revision=self._policies.revision, results=tuple(answers))

    def _one_of_many(self, caller: Caller, at: int, person: PersonRef, request: AccessRequest) -> Line:
        try:
            return self.decided(caller, person, request)
        except (IdentifierRefused, NotFound) as error:
            raise InputRefused(error.message, (FieldFault(f"/persons/{at}", error.message),)) from error

    def decided(self, caller: Caller, person: PersonRef, request: AccessRequest) -> Line:
        """Facts and decision: the first two steps of every line."""
        return self.decided_about(caller, request, self.find(person))

    def decided_about(self, caller: Caller, request: AccessRequest, known: Known | None) -> Line:
        """A decision about somebody who was found, or about nobody."""
        return self._line(caller, request, known, known.facts if known else _NOBODY)

    def decided_for(self, caller: Caller, request: AccessRequest, facts: Facts) -> Line:
        """A decision about somebody who is not known yet: a record about to be created."""
        return self._line(caller, request, None, facts)

    def _line(self, caller: Caller, request: AccessRequest, known: Known | None, facts: Facts) -> Line:
        with self._tracer.step(Step.DECISION) as span:
            decision = decide(self._policies.rulebook, request, facts)
            span.tell(lambda: decision_told(request.purpose, decision))
        return Line(caller, request, known, decision)

    def grant(self, line: Line) -> KeyGrant:
        """The key classes of the purpose that the credential may claim and does; the decision has no say in it."""
        purpose = line.request.purpose
        return self._grants[purpose] if purpose in line.caller.purposes else _NO_KEYS

    def find(self, person: PersonRef) -> Known | None:
        """The person meant; None if unknown. A shared identifier names nobody: which holder is meant is a guess."""
        with self._tracer.step(Step.FACTS):
            return self._found(person)

    def _found(self, person: PersonRef) -> Known | None:
        if person.data_subject is not None:
            known = self._facts.by_id(person.data_subject)
            if known is None:
                raise NotFound("no person has this id: look the person up by an identifier")
            return known
        identifier = person.identifier
        if identifier is None:
            raise NotFound("nobody is named")
        return self._indexes.found(
            lambda: self._indexes.every(identifier), lambda at: self._facts.holder(at.kind, at.values)
        )

    def claim(
        self,
        caller: Caller,
        purpose: str,
        fields: tuple[str, ...] | None,
        recipient: str | None,
        action: Action,
        *,
        gpc: bool = False,
    ) -> AccessRequest:
        """The request a caller may make, or an error; a refused claim is itself recorded."""
        if purpose not in self._policies.purposes:
            raise UnknownPurpose(
                "the purpose is not one of the policy's purposes", (FieldFault("/purpose", "unknown purpose"),)
            )
        names = self._declared[purpose] if fields is None else tuple(dict.fromkeys(fields))
        known = self._policies.catalogue.fields
        unknown = [(at, name) for at, name in enumerate(names) if name not in known]
        if unknown:
            places = (f"/fields/{at}" if action is Action.READ else f"/record/{name[:120]}" for at, name in unknown)
            faults = tuple(FieldFault(place, "not a field of the catalogue") for place in places)
            raise UnknownField("a field is not in the catalogue", faults)
        now = self._clock.now()
        receiver = _receiver(caller, recipient)
        if purpose not in caller.purposes:
            self._refuse_claim(caller, purpose, receiver, now, "purpose")
        if receiver not in caller.recipients:
            self._refuse_claim(caller, purpose, receiver, now, "recipient")
        return AccessRequest(
            client_id=caller.client_id,
            channel=caller.channel,
            purpose=purpose,
            fields=names,
            time=now,
            action=action,
            recipient=None if receiver == COMPANY else receiver,
            gpc=gpc,
        )

    def _request(
        self, caller: Caller, query: ReadQuery | DecideQuery | BatchQuery, action: Action, *, gpc: bool
    ) -> AccessRequest:
        return self.claim(caller, query.purpose, query.fields, query.recipient, action, gpc=gpc)

    def _refuse_claim(self, caller: Caller, purpose: str, recipient: str, now: datetime, what: str) -> None:
        self._recorder.record(
            Entry(
                entry_id=new_id("dec", now),
                kind=EntryKind.DECISION,
                at=now,
                caller=caller.client_id,
                channel=caller.channel,
                purpose=purpose,
                recipient=recipient if recipient in self._policies.recipients or recipient == COMPANY else None,
                outcome=Reason.CALLER_NOT_PERMITTED.value,
                revision=self._policies.revision,
            )
        )
        raise CallerNotPermitted(f"the client is not registered for this {what}: ask the operator to register it")

    def _fetch(self, line: Line, page: Page) -> StoredRecord | None:
        fields = line.decision.open_fields
        if not fields or line.known is None or line.known.store_key is None:
            return None
        with self._tracer.step(Step.STORE_READ, self._connector) as span:
            span.tell(lambda: {Said.COUNT: len(fields)})
            return self._store.read(line.known.store_key, fields, page)

    def _protected(self, line: Line, stored: StoredRecord | None) -> Mapping[str, JsonValue]:
        if stored is None or line.known is None:
            return {}
        values: dict[str, JsonValue] = {**stored.values}
        for name, rows in stored.children.items():
            values[name] = [dict(row) for row in rows]
        opened = self._sealing.opened(values, line.known.data_subject, self.grant(line))
        scope = TransformScope(
            purpose=line.request.purpose,
            recipient=line.recipient,
            data_subject=line.known.data_subject,
            moment=line.request.time,
        )
        return self._performer.perform(opened, line.decision, scope)

    def _answer(self, line: Line, entry: Entry, person: PersonRef) -> DecideAnswer:
        told, verdicts = self.tellable(line, person)
        return DecideAnswer(entry.entry_id, told, verdicts, line.decision.revision)

    def tellable(self, line: Line, person: PersonRef) -> tuple[str | None, Mapping[str, Verdict]]:
        """Whom and which verdicts the caller may be told.

        A look-up by identifier of which nothing is open must not tell whether the person is a customer: it
        answers alike for an unknown person and, unless the client may see reasons, for one who is refused.
        """
        decision = line.decision
        if decision.open_fields or person.identifier is None:
            # Beside a pseudonym our own id would link what two recipients hold of one person.
            told = line.known is not None and not linkable(decision.verdicts.values())
            return (line.known.data_subject if line.known and told else None), decision.verdicts
        if line.known is not None and EXPLAIN_SCOPE in line.caller.scopes:
            return None, decision.verdicts
        return None, dict.fromkeys(decision.verdicts, REFUSED)


def _receiver(caller: Caller, asked: str | None) -> str:
    """The recipient asked for; left out, it is the company or the only one the client is registered for."""
    if asked is not None:
        return asked
    if COMPANY not in caller.recipients and len(caller.recipients) == 1:
        return next(iter(caller.recipients))
    return COMPANY


def _fields_for(policies: Policies, purpose: str) -> tuple[str, ...]:
    declared = policies.purposes[purpose].categories
    return tuple(
        name
        for name, field in policies.catalogue.fields.items()
        if all(any(c == d or c.startswith(d + ".") for d in declared) for c in field.categories)
    )
