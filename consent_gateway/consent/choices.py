"""Records what people choose and tells where they stand: event, state and audit entry in one transaction."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import record_alone
from consent_gateway.consent import importing, ledger
from consent_gateway.consent.bound import event_entry, unbound
from consent_gateway.consent.evidence import expand
from consent_gateway.consent.facts import FactsReader, Known
from consent_gateway.consent.ledger import Announce, Difference
from consent_gateway.consent.notices import Notices
from consent_gateway.consent.permitting import ADMINISTER_SCOPE, ADMINISTRATIVE, WRITE_SCOPE, refuse_unpermitted
from consent_gateway.consent.projection import PersonState
from consent_gateway.consent.step_check import StepCheck
from consent_gateway.consent.witness import Witness
from consent_gateway.database import DRIVER_ERRORS, reading_connection
from consent_gateway.errors import Conflict, ConsentNotRaised, DatabaseUnavailable, NotFound
from consent_gateway.ids import new_id
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.people.directory import PersonRef, by_store_keys, pre_register
from consent_gateway.people.linking import Index
from consent_gateway.people.moving import carry_nothing, move_to_newest
from consent_gateway.people.suppression import SuppressionTags, refuse_opening
from consent_gateway.ports import Clock
from consent_gateway.tracing import NO_TRACER, Step, Tracer
from consent_gateway.vocabulary import (
    ANY_PURPOSE,
    OPENING,
    Caller,
    Choice,
    ChoiceStatus,
    ConsentEvent,
    EventKind,
    Evidence,
    NewConsentEvent,
)

__all__ = ["ADMINISTER_SCOPE", "ADMINISTRATIVE", "WRITE_SCOPE", "Choices", "NewChoice", "Recorded", "unmet"]

SIGNALLED = frozenset({EventKind.GPC, EventKind.LIMIT, EventKind.OPT_OUT, EventKind.REFUSE})
"""What a browser's signal or a consent string can say; each of them only closes."""


@dataclass(frozen=True, slots=True)
class NewChoice:
    """A choice as a channel reports it; the fields are those of `NewConsentEvent` and `Evidence`.

    `purpose` is one purpose, or `*` for a person-wide kind and for a refusal, withdrawal, objection, opt-out or
    unsubscription that concerns everything.
    """

    person: PersonRef
    kind: EventKind
    occurred_at: datetime
    how: str
    purpose: str = ANY_PURPOSE
    valid_until: datetime | None = None
    frequency: str | None = None
    notice: str | None = None
    notice_version: str | None = None
    language: str | None = None
    reference: str | None = None
    conditions: frozenset[str] = frozenset()
    witness: Witness = field(default_factory=Witness)  # of a spoken or a paper choice


def unmet(state: PersonState, asked: Sequence[NewChoice]) -> list[NewChoice]:
    """Those of the restricting choices that do not hold of this person already; pure."""
    return [choice for choice in asked if not _holds(state, choice)]


def _holds(state: PersonState, choice: NewChoice) -> bool:
    if choice.kind is EventKind.GPC:
        return "gpc" in state.flags
    if choice.kind is EventKind.LIMIT:
        return "limited" in state.flags
    standing = state.choices.get(choice.purpose) or Choice(choice.purpose)
    if choice.kind is EventKind.OPT_OUT:
        return standing.opted_out
    return standing.status in (ChoiceStatus.REFUSED, ChoiceStatus.WITHDRAWN)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was committed: the events in order, the audit entry of the first, and where the person stands now."""

    event_ids: tuple[str, ...]
    entry_id: str
    state: Known


class Choices:
    """The consent room as a service. Safe to share between threads; one instance per process.

    `purposes` are the keys of the policy's purposes, `purposes_for_any` those among them that a choice can concern:
    all but contract and legal obligation.
    """

    def __init__(
        self,
        *,
        engine: sa.Engine,
        facts: FactsReader,
        indexes: BlindIndex,
        tags: SuppressionTags,
        record_in: Callable[[sa.Connection, Entry], None],
        announce_in: Announce,
        clock: Clock,
        purposes: Collection[str],
        purposes_for_any: Sequence[str],
        notices: Notices,
        steps: StepCheck,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._engine = engine
        self._facts = facts
        self._indexes = indexes
        self._tags = tags
        self._record_in = record_in
        self._announce_in = announce_in
        self._clock = clock
        self._purposes = frozenset(purposes)
        self._any = tuple(purposes_for_any)
        self._notices = notices
        self._tracer = tracer
        self._steps = steps

    @property
    def purposes(self) -> frozenset[str]:
        """The keys of the policy's purposes."""
        return self._purposes

    def record(self, caller: Caller, choice: NewChoice) -> Recorded:
        """Record one choice; it binds every decision that begins after this returns, in every process.

        A restricting choice by an identifier that nobody holds is kept for the person who will, and by one that
        several people share binds them all. Raises `InputRefused`, `IdentifierRefused` or `UnknownPurpose` for a
        malformed choice, `CallerNotPermitted` for one the client may not report, `ConsentNotRaised` for an opening
        one without its evidence or one of its steps, `Conflict` for an opening one by a shared identifier,
        `Suppressed` for one by an identifier of an erased person, `NotFound`, `DatabaseUnavailable`; in each case
        nothing was recorded.
        """
        refuse_unpermitted(caller, choice, self._purposes, proved=False)
        now = self._clock.now()
        try:
            with self._tracer.step(Step.CHOICE_COMMIT), self._engine.begin() as connection:
                committed, entries = self._record(connection, caller, choice, now)
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the choice could not be recorded: send it again") from error
        event_ids = tuple(each.event_id for each in committed)
        return Recorded(event_ids, entries[0].entry_id, self.state(choice.person))

    def record_step(
        self, connection: sa.Connection, caller: Caller, choice: NewChoice, now: datetime
    ) -> tuple[ConsentEvent, ...]:
        """As `record`, in the transaction of the mailed link that asks for the choice or proves it.

        The person must be one that something may be opened for, though the choice be a request that opens nothing.
        """
        refuse_unpermitted(caller, choice, self._purposes, proved=True)
        return self._record(connection, caller, choice, now, opens=True)[0]

    def restrict(self, caller: Caller, asked: Sequence[NewChoice]) -> tuple[str, ...]:
        """Record what of one person's signal does not hold already; the ids of the new events, none if all of it held.

        However often a signal comes, in however many processes at once, it is one event. Who holds a shared
        identifier is bound with all others, and an identifier that nobody holds is kept for the person who will. No
        scope of the caller is asked for, since the signal is the person's and can only close. Raises
        `ConsentNotRaised` for a kind no signal can be, `IdentifierRefused`, `NotFound`, `DatabaseUnavailable`.
        """
        if not all(choice.kind in SIGNALLED for choice in asked):
            raise ConsentNotRaised("a signal can only close: record a choice that opens with its evidence")
        if not asked:
            return ()
        now = self._clock.now()
        try:
            with self._tracer.step(Step.CHOICE_COMMIT), self._engine.begin() as connection:
                people = self._whom(connection, asked[0], now)
                ledger.lock(connection, sorted(people))
                states = {each: ledger.state(connection, each) for each in people}
                news = [_event(caller, choice, each) for each in people for choice in unmet(states[each], asked)]
                committed, _entries = self._commit(connection, news, now)
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the signal could not be recorded: send it again") from error
        return tuple(each.event_id for each in committed)

    def state(self, person: PersonRef) -> Known:
        """Where a person stands, or the most restrictive of all holders of a shared identifier. Raises `NotFound`."""
        identifier = person.identifier
        if identifier is None:
            known = self._facts.by_id(_id(person))
        else:
            known = self._indexes.found(
                lambda: self._indexes.every(identifier), lambda at: self._facts.by_index(at.kind, at.values)
            )
        if known is None:
            raise NotFound("no person is known under this id or identifier")
        return known

    def history(self, person: PersonRef) -> tuple[ConsentEvent, ...]:
        """All events of a person, in order. Raises `NotFound`, and `Conflict` for a shared identifier."""
        data_subject = self._one(person)
        try:
            with reading_connection(self._engine) as connection:
                return ledger.history(connection, data_subject)
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the history could not be read: ask again") from error

    def account_for(self, caller: Caller, action: str, data_subject: str | None) -> None:
        """Record that this caller is about to be told what a person chose; durable when it returns."""
        now = self._clock.now()
        entry = Entry(
            entry_id=new_id("con", now),
            kind=EntryKind.CONSENT_READ,
            at=now,
            caller=caller.client_id,
            channel=caller.channel,
            action=action,
            data_subject=data_subject,
        )
        record_alone(self._engine, entry)

    def unbound(self) -> list[str]:
        """Where the ledger is not what the sealed log says it was; empty if it is."""
        try:
            with reading_connection(self._engine) as connection:
                return list(unbound(connection))
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("ledger and log could not be compared: ask again") from error

    def of_store_key(self, store_key: str) -> PersonRef:
        """The person behind a key of the customer store. Raises `NotFound`."""
        try:
            with reading_connection(self._engine) as connection:
                found = by_store_keys(connection, [store_key])
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the person could not be looked up: ask again") from error
        if not found:
            raise NotFound("no person has this key in the store: enrol the store's people first")
        return PersonRef(data_subject=found[store_key])

    def import_choices(
        self,
        lines: Iterable[Mapping[str, object]],
        progress: importing.Progress,
        recorded_by: str = "import",
    ) -> importing.ImportReport:
        """Record the choices of another system; see `importing` for the form of a line.

        Run again over the same lines, it records nothing twice. Raises `DatabaseUnavailable`; the batches before
        stay recorded.
        """
        return importing.Importer(
            engine=self._engine,
            indexes=self._indexes,
            tags=self._tags,
            record_in=self._record_in,
            announce_in=self._announce_in,
            clock=self._clock,
            purposes=self._purposes,
            purposes_for_any=self._any,
            recorded_by=recorded_by,
        ).run(lines, progress)

    def rebuild(self, person: PersonRef | None = None) -> tuple[Difference, ...]:
        """Project the state of one person, or of everyone, anew from the events and return where it differed."""
        differences: list[Difference] = []
        one = [] if person is None else [self._one(person)]
        last = ""
        try:
            while True:
                with self._engine.begin() as connection:
                    people = ledger.people_after(connection, last) if person is None else []
                    people = one or people
                    found = ledger.rebuild_people(connection, people)
                    if found:
                        self._record_in(connection, _rebuilt(len(found), self._clock.now()))
                differences += found
                if person is not None or not people:
                    return tuple(differences)
                last = people[-1]
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the states could not be rebuilt: run it again") from error

    def _commit(
        self, connection: sa.Connection, events: Sequence[NewConsentEvent], now: datetime
    ) -> tuple[tuple[ConsentEvent, ...], list[Entry]]:
        """Events, states, audit entries and the announcement of one change, in its transaction."""
        committed = ledger.record_many(connection, events, now=now)
        entries = [event_entry(each) for each in committed]
        for entry in entries:
            self._record_in(connection, entry)
        self._announce_in(connection, committed)
        return committed, entries

    def _record(
        self, connection: sa.Connection, caller: Caller, choice: NewChoice, now: datetime, *, opens: bool = False
    ) -> tuple[tuple[ConsentEvent, ...], list[Entry]]:
        opens = opens or choice.kind in OPENING
        people = self._whom(connection, choice, now, opens=opens)
        made = [self._with_hash(_event(caller, choice, person)) for person in people]
        events = [self._steps.with_end(connection, each, now) for event in made for each in expand(event, self._any)]
        if opens:
            ledger.lock(connection, sorted(people))  # what was said before stays the last word until we are done
            for event in events:
                self._steps.refuse_short(connection, event, now)
        return self._commit(connection, events, now)

    def _whom(
        self, connection: sa.Connection, choice: NewChoice, now: datetime, *, opens: bool = False
    ) -> Sequence[str]:
        identifier = choice.person.identifier
        if identifier is None:
            people, tag = [_id(choice.person)], None
        else:
            self._indexes.settle(connection)
            indexed, tag = self._indexes.every(identifier), self._tags.of(identifier)
            move_to_newest(connection, [indexed], carry_nothing)
            people = self._holders(connection, indexed.index, tag, now)
        if opens:
            if len(people) > 1:
                raise Conflict("several people use this identifier: name the one who chose by `data_subject`")
            refuse_opening(connection, people, tag)
        return people

    def _holders(self, connection: sa.Connection, index: Index, tag: str, now: datetime) -> list[str]:
        """Who holds the identifier once nothing can change that: an erasure may let go of it while we wait for it.

        The choice would else be recorded for the erased person, whom nobody finds by it any more.
        """
        first = [holder.data_subject for holder in pre_register(connection, index, now=now, tag=tag)]
        ledger.lock(connection, first)
        return [holder.data_subject for holder in pre_register(connection, index, now=now, tag=tag)]

    def _with_hash(self, event: NewConsentEvent) -> NewConsentEvent:
        return replace(event, evidence=replace(event.evidence, notice_sha256=self._notices.hash_of(event)))

    def _one(self, person: PersonRef) -> str:
        known = self.state(person)
        if known.shared:
            raise Conflict("several people use this identifier: ask for one of them by `data_subject`")
        return known.data_subject


def _id(person: PersonRef) -> str:
    """The id of a person who is named by id; the empty id, which is nobody's, of one who is not."""
    return person.data_subject or ""


def _event(caller: Caller, choice: NewChoice, data_subject: str) -> NewConsentEvent:
    evidence = Evidence(
        channel=caller.channel,
        how=choice.how,
        recorded_by=caller.client_id,
        notice=choice.notice,
        notice_version=choice.notice_version,
        language=choice.language,
        reference=choice.witness.reference(choice.how, choice.reference),
        conditions=choice.conditions,
    )
    return NewConsentEvent(
        data_subject, choice.purpose, choice.kind, choice.occurred_at, evidence, choice.valid_until, choice.frequency
    )


def _rebuilt(count: int, now: datetime) -> Entry:
    return Entry(
        entry_id=new_id("con", now),
        kind=EntryKind.SYSTEM,
        at=now,
        action="rebuild_states",
        outcome="differed",
        detail={"people": str(count)},
    )
