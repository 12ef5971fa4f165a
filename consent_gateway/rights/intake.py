"""Takes a request in: which law, which proof, a repeat or a first one, what takes effect at once; answers alike.

Whoever asks is told the same whether the person is known or not: what differs is for officers alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.consent.facts import FactsReader, Known
from consent_gateway.errors import FieldFault, InputRefused, NotFound, UnknownPurpose
from consent_gateway.ids import REFERENCE, new_id
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.suppression import SuppressionTags, suppressed
from consent_gateway.policy.legal_clocks import Pauses
from consent_gateway.policy.rights_terms import Proof, RightsTerms, Way, terms_on
from consent_gateway.ports import Clock
from consent_gateway.rights.calendars import calendar_of
from consent_gateway.rights.effects import AT_ONCE, Effects, acting
from consent_gateway.rights.regimes import Law, Laws
from consent_gateway.rights.replies import Replies
from consent_gateway.rights.requests import Book, By, Request, Via
from consent_gateway.rights.sealed import Details, Seal
from consent_gateway.rights.states import Act, Standing
from consent_gateway.vocabulary import Identifier

NO_REQUEST = frozenset({"breach_art33"})
"""Clocks that are no right of a person."""

_TO_BE_ACKNOWLEDGED_LATER = frozenset({Via.POST})
_LONGEST_REFERENCE = 128


@dataclass(frozen=True, slots=True)
class NewRequest:
    """A request as it came. `received_at` may lie in the past: of a letter, the day it arrived.

    `jurisdiction` is where the person lives; it may be left out where the person is named by id. `proved_by`
    is the way in which a fresh sign-in proved them already (`proofs.way_of`); `agent_permission` is a reference to what
    they signed; `also` is what else names them, for which binds too what binds at once.
    """

    right: str
    person: PersonRef
    via: Via
    received_at: datetime
    channel: str
    jurisdiction: str | None = None
    calendar: str | None = None
    language: str | None = None
    purposes: tuple[str, ...] = ()
    text: str | None = None
    agent_permission: str | None = None
    proved_by: Way | None = None
    also: tuple[Identifier, ...] = ()


@dataclass(frozen=True, slots=True)
class _Who:
    """Whom the request is about, as far as the gateway knows; `key` is the same for each request of one person."""

    data_subject: str | None
    key: str
    known: Known | None
    erased_before: bool = False


class Intake:
    """Takes requests in. Safe to share between threads."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        clock: Clock,
        book: Book,
        laws: Laws,
        terms: Sequence[RightsTerms],
        facts: FactsReader,
        indexes: BlindIndex,
        tags: SuppressionTags,
        effects: Effects,
        seal: Seal,
        replies: Replies | None = None,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._book = book
        self._laws = laws
        self._terms = tuple(terms)
        self._facts = facts
        self._indexes = indexes
        self._tags = tags
        self._effects = effects
        self._seal = seal
        self._replies = replies

    def receive(self, new: NewRequest, by: By) -> Request:
        """Take a request. One whose person is proved joins the open one that it repeats.

        Opt-outs, limits, objections and restrictions bind when this returns, without any proof. Raises `InputRefused`
        for what no law or term of the policy knows, `IdentifierRefused`, `UnknownPurpose`, `NotFound` for an id that is
        nobody's, `DatabaseUnavailable`.
        """
        now = self._clock.now()
        self._refuse_malformed(new, now)
        who = self._who(new)
        law, jurisdiction = self._law(new, who)
        terms, proof = self._proof(new.right, now)
        request = self._new(new, who, law, jurisdiction, by, now)
        if new.right in AT_ONCE:
            client = acting(by.client or by.officer or "rights", new.channel)
            for person in (new.person, *(PersonRef(identifier=each) for each in new.also)):
                self._effects.apply(
                    new.right, person, client, new.via, new.received_at, request.request_id, new.purposes
                )
        with transaction(self._engine) as connection:
            added = self._book.add(connection, request, by, now)
            return self._begin(connection, added, new, terms, proof, by, now, law)

    def _begin(
        self,
        connection: sa.Connection,
        request: Request,
        new: NewRequest,
        terms: RightsTerms,
        proof: Proof,
        by: By,
        now: datetime,
        law: Law,
    ) -> Request:
        """The first steps, in the transaction of the request itself."""
        no_proof = Way.NONE in proof.ways
        signed_in = new.proved_by is not None and new.proved_by in proof.ways
        if no_proof or signed_in:
            proved = replace(request, standing=replace(request.standing, proved=True))
            begun = self._book.take(
                connection, proved, Act.BEGIN, by, now, proof="none" if no_proof else str(new.proved_by)
            )
            if request.right in AT_ONCE:
                return self._carried_out(connection, begun, by, now)
            return begun if no_proof else self._book.join(connection, begun, by, now)
        until: date | None = (now + timedelta(days=terms.prove_days)).astimezone(UTC).date()
        if law.clock.pauses is Pauses.NEVER:
            until = None  # the time runs on meanwhile: it ends with an answer, by an officer, and never by itself
        return self._book.take(connection, request, Act.ASK_IDENTITY, by, now, change={"prove_until": until})

    def _carried_out(self, connection: sa.Connection, request: Request, by: By, now: datetime) -> Request:
        for act in (Act.APPROVE, Act.START, Act.FINISH):
            request = self._book.take(connection, request, act, by, now)
        return request

    def _new(self, new: NewRequest, who: _Who, law: Law, jurisdiction: str, by: By, now: datetime) -> Request:
        request_id = new_id("rq", now)
        acknowledged = None if new.via in _TO_BE_ACKNOWLEDGED_LATER else now
        return Request(
            request_id=request_id,
            right=new.right,
            regime=law.regime,
            jurisdiction=jurisdiction,
            received_at=new.received_at,
            via=new.via,
            channel=new.channel,
            recorded_by=by.client or by.officer or "customer",
            person_key=who.key,
            standing=Standing(),
            calendar=new.calendar,
            data_subject=who.data_subject,
            sealed=self._seal.close(request_id, Details(new.person.identifier, new.text)),
            reply_to=self._reply_to(request_id, new, who),
            language=new.language,
            purposes=new.purposes,
            agent_permission=new.agent_permission,
            warnings=_warnings(new, who, law),
            acknowledged_at=acknowledged,
        )

    def _reply_to(self, request_id: str, new: NewRequest, who: _Who) -> bytes | None:
        return None if self._replies is None else self._replies.to(request_id, new.person, new.via, who.data_subject)

    def _refuse_malformed(self, new: NewRequest, now: datetime) -> None:
        if new.right in NO_REQUEST:
            raise _refused("/right", f"`{new.right}` is no right of a person")
        if new.received_at > now:
            raise _refused("/received_at", "a request cannot come from the future")
        if new.via is Via.AUTHORISED_AGENT and not _is_reference(new.agent_permission):
            raise _refused("/agent_permission", "an agent needs the person's signed permission: send its reference")
        if new.purposes and new.right != "object":
            raise _refused("/purposes", "only an objection can concern some purposes alone")
        if not self._effects.known(new.purposes):
            fault = FieldFault("/purposes", "unknown purpose")
            raise UnknownPurpose("a purpose is not one of the policy's purposes", (fault,))
        if new.calendar is not None:
            calendar_of(new.calendar)

    def _law(self, new: NewRequest, who: _Who) -> tuple[Law, str]:
        by_id = None if new.person.data_subject is None or who.known is None else who.known.facts.jurisdiction
        jurisdiction = new.jurisdiction or by_id
        if jurisdiction is None:
            raise _refused("/jurisdiction", "say where the person lives: send `jurisdiction`, such as `DE` or `US-CA`")
        law = self._laws.of_place(jurisdiction, new.right, new.received_at)
        if law is None:
            known = ", ".join(self._laws.rights_in(jurisdiction, new.received_at)) or "none"
            more = "; a choice binds everywhere by `POST /v1/consents`" if new.right in AT_ONCE else ""
            raise _refused("/right", f"no law of that place gives this right; rights there: {known}{more}")
        return law, jurisdiction

    def _proof(self, right: str, now: datetime) -> tuple[RightsTerms, Proof]:
        terms = terms_on(self._terms, now.date())
        proof = None if terms is None else terms.proofs.get(right)
        if terms is None or proof is None:
            raise _refused("/right", f"the policy has no terms for `{right}`: the operator adds them to rights.yaml")
        return terms, proof

    def _who(self, new: NewRequest) -> _Who:
        identifier = new.person.identifier
        if identifier is None:
            known = self._facts.by_id(str(new.person.data_subject))
            if known is None:
                raise NotFound("no person has this id: look the person up by an identifier")
            return _Who(known.data_subject, known.data_subject, known)
        indexed = self._indexes.every(identifier)
        found = self._indexes.found(
            lambda: self._indexes.every(identifier), lambda at: self._facts.by_index(at.kind, at.values)
        )
        with reading(self._engine) as connection:
            erased = bool(suppressed(connection, [self._tags.of(identifier)]))
        if found is None or found.shared:
            return _Who(None, f"{indexed.kind}:{indexed.values[0]}", found, erased)
        return _Who(found.data_subject, found.data_subject, found, erased)


def _warnings(new: NewRequest, who: _Who, law: Law) -> tuple[str, ...]:
    """What an officer should know before they answer; nobody else is told."""
    known, told = who.known, ["erased_before"] if who.erased_before else []
    if known is None:
        return (*told, "nobody_known")
    if known.shared:
        told += ["shared_identifier", "household"] if law.clock.spares_households else ["shared_identifier"]
    residence = known.facts.jurisdiction
    if new.jurisdiction is not None and residence is not None and residence != new.jurisdiction:
        told.append("residence_differs")
    if known.facts.legal_hold:
        told.append("legal_hold")
    if known.facts.minor_born is not None:
        told.append("may_be_minor")
    return tuple(told)


def _is_reference(text: str | None) -> bool:
    return text is not None and len(text) <= _LONGEST_REFERENCE and REFERENCE.fullmatch(text) is not None


def _refused(pointer: str, message: str) -> InputRefused:
    return InputRefused(message, (FieldFault(pointer, message),))
