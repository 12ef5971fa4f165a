"""Services for tests of the web room: registry, tokens and stores over SQLite, the rest small and in memory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from werkzeug.test import TestResponse

from consent_gateway.audit.evidence import LogEvidence
from consent_gateway.audit.export_jobs import Exports
from consent_gateway.audit.log import AuditLog
from consent_gateway.audit.recorder import open_recorder
from consent_gateway.callers.fetching import Fetcher
from consent_gateway.callers.idempotency import Idempotency
from consent_gateway.callers.issuers import Issuer
from consent_gateway.callers.limits import Limits
from consent_gateway.callers.outside import OutsideTokens
from consent_gateway.callers.registry import NewClient, Registry, Scope
from consent_gateway.callers.replay import ReplayStore
from consent_gateway.callers.tokens import Tokens
from consent_gateway.consent.choices import NewChoice, Recorded
from consent_gateway.consent.facts import Known
from consent_gateway.consent.hearing import Programme, SignalStatus
from consent_gateway.consent.proof import Proof, Step
from consent_gateway.consent.receipts import Receipts
from consent_gateway.consent.signals import Contradiction, Told
from consent_gateway.console.accounts import Accounts
from consent_gateway.console.counting import Counting
from consent_gateway.console.entries import Looks
from consent_gateway.console.overview import Overviews
from consent_gateway.console.revisions import Revisions
from consent_gateway.console.room import Console
from consent_gateway.console.sessions import ConsoleSessions
from consent_gateway.customer_desk import CustomerDesk
from consent_gateway.customers.confirmations import Asked, Confirmation, Part
from consent_gateway.customers.confirming import Pending, Wish
from consent_gateway.customers.handshakes import Handshakes
from consent_gateway.customers.page_words import page_words
from consent_gateway.database import HeldConnections, open_engine
from consent_gateway.errors import (
    CallerNotPermitted,
    Conflict,
    ConsentNotRaised,
    FieldsRefused,
    NotFound,
    UnknownField,
    UnknownPurpose,
)
from consent_gateway.ids import new_id
from consent_gateway.line import BatchAnswer, BatchQuery, DecideAnswer, DecideQuery, ReadAnswer, ReadQuery
from consent_gateway.officers.challenges import Challenges
from consent_gateway.officers.enrolment import Enrolment
from consent_gateway.officers.passkeys import RelyingParty
from consent_gateway.officers.registry import Officers
from consent_gateway.officers.sessions import Sessions
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.normalise import normalise
from consent_gateway.policy import Policies
from consent_gateway.policy.documents import SignalDuty
from consent_gateway.ports import KeyProviderCapabilities
from consent_gateway.preferences.brand import read_brand
from consent_gateway.preferences.forms import ConsentForm, IssuedForm, NewForm
from consent_gateway.preferences.words import read_words
from consent_gateway.propagation.addresses import AllowedHosts
from consent_gateway.propagation.destinations import Destinations
from consent_gateway.propagation.envelope import Envelopes
from consent_gateway.propagation.feed import Feed
from consent_gateway.propagation.outbox import Outbox
from consent_gateway.propagation.posting import Poster
from consent_gateway.protection.inventory import KeyInventory
from consent_gateway.proxy_settings import CertificateProxies
from consent_gateway.reports.book import Reports
from consent_gateway.reports.metrics import Metrics
from consent_gateway.rights.room import RightsRoom
from consent_gateway.searches import SearchAnswer, SearchQuery
from consent_gateway.vocabulary import (
    ANY_PURPOSE,
    COMPANY,
    OPENING,
    Caller,
    Choice,
    ChoiceStatus,
    ConsentEvent,
    Effect,
    EventKind,
    Evidence,
    Facts,
    Identifier,
    NewConsentEvent,
    Obligation,
    Reason,
    Verdict,
)
from consent_gateway.writes import CreateQuery, WriteAnswer, WriteQuery
from tests.conftest import ROOT, NoNames
from tests.databases import build_schema
from tests.rights_world import open_room, shipped_policies
from tests.web.customers import BEN, VARIABLES, KeptMail, authorities, open_desk_for_tests

Post = Callable[..., TestResponse]
"""Sends one request with a token: `call(method, path, json={…})`."""

ISSUER = "https://gateway.example"
KEY = b"a key of thirty-two bytes, fixed"
ADA = "ds_01jd80000000000000000000ad"
ADA_EMAIL = "ada@example.com"
FAMILY_EMAIL = "family@example.com"
VERSION = "v1"
PURPOSES = ("order_fulfilment", "email_marketing", "customer_support")
RECORD: dict[str, Any] = {"first_name": "Ada", "email": ADA_EMAIL, "country": "DE", "orders": [{"total": 12.5}]}
REFUSED_FIELD = "allergies"
REVISION = "0123456789abcdef"


class StillClock:
    """A clock whose hand the test moves."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        """The moment set."""
        return self.moment

    def pass_by(self, **time: float) -> None:
        """Move the hand."""
        self.moment += timedelta(**time)


@dataclass
class MemoryGateway:
    """One person, three purposes, five fields. Remembers the queries it got; `failing` is raised instead of answers."""

    clock: StillClock
    queries: list[Any] = field(default_factory=list)
    failing: Exception | None = None

    def read(self, caller: Caller, query: ReadQuery) -> ReadAnswer:
        """As `Gateway.read`."""
        person = self._person(caller, query, query.person)
        names = query.fields or tuple(RECORD)
        verdicts = self._verdicts(names)
        record = {name: RECORD[name] for name, verdict in verdicts.items() if verdict.is_open and person}
        version = VERSION if person else None
        return ReadAnswer(self._id(), person, record, (), verdicts, REVISION, version)

    def decide(self, caller: Caller, query: DecideQuery) -> DecideAnswer:
        """As `Gateway.decide`."""
        person = self._person(caller, query, query.person)
        return DecideAnswer(self._id(), person, self._verdicts(query.fields or tuple(RECORD)), REVISION)

    def decide_batch(self, caller: Caller, query: BatchQuery) -> BatchAnswer:
        """As `Gateway.decide_batch`."""
        verdicts = self._verdicts(query.fields or tuple(RECORD))
        people = [self._person(caller, query, person) for person in query.persons]
        return BatchAnswer(REVISION, tuple(DecideAnswer(self._id(), person, verdicts, REVISION) for person in people))

    def search(self, caller: Caller, query: SearchQuery) -> SearchAnswer:
        """As `Searches.search`: Ada is found by any part."""
        self._check(caller, query)
        by_id = PersonRef(data_subject=ADA)
        read = self.read(caller, ReadQuery(by_id, query.purpose, query.fields, query.recipient))
        return SearchAnswer((read,) if query.value != "0000" else (), False, REVISION)

    def change(self, caller: Caller, query: WriteQuery) -> WriteAnswer:
        """As `Writes.change`."""
        person = self._person(caller, query, query.person)
        if REFUSED_FIELD in query.changes:
            refused = {REFUSED_FIELD: Reason.CATEGORY_NOT_DECLARED_FOR_PURPOSE.value}
            raise FieldsRefused("a field has no basis for this purpose; nothing was written", refused)
        if query.expected_version not in (None, VERSION):
            raise Conflict("the record changed since it was read: read it again")
        return WriteAnswer(self._id(), person or ADA, "v2", tuple(query.changes), REVISION)

    def create(self, caller: Caller, query: CreateQuery) -> WriteAnswer:
        """As `Writes.create`."""
        self._check(caller, query)
        return WriteAnswer(self._id(), ADA, None, tuple(query.values), REVISION)

    def _person(self, caller: Caller, query: Any, person: PersonRef) -> str | None:
        self._check(caller, query)
        if person.data_subject is not None:
            if person.data_subject != ADA:
                raise NotFound("no person has this id: look the person up by an identifier")
            return ADA
        assert person.identifier is not None
        return ADA if person.identifier.value == ADA_EMAIL else None

    def _check(self, caller: Caller, query: Any) -> None:
        self.queries.append(query)
        if self.failing is not None:
            raise self.failing
        if query.purpose not in PURPOSES:
            raise UnknownPurpose("the purpose is not one of the policy's purposes")
        if query.purpose not in caller.purposes:
            raise CallerNotPermitted("the client is not registered for this purpose: ask the operator to register it")
        if (getattr(query, "recipient", None) or COMPANY) not in caller.recipients:
            raise CallerNotPermitted("the client is not registered for this recipient: ask the operator to register it")
        for name in getattr(query, "fields", None) or ():
            if name not in RECORD and name != REFUSED_FIELD:
                raise UnknownField("a field is not in the catalogue")

    def _verdicts(self, names: tuple[str, ...]) -> Mapping[str, Verdict]:
        hashed = (Obligation("pseudonym.recipient"),)
        return {
            name: Verdict(Effect.WITHHOLD, Reason.NO_CONSENT, "eea.consent")
            if name == REFUSED_FIELD
            else Verdict(Effect.PSEUDONYMISE, Reason.LEGITIMATE_INTEREST, "eea.interest", hashed)
            if name == "country"
            else Verdict(Effect.ALLOW, Reason.CONTRACT, "eea.contract")
            for name in names
        }

    def _id(self) -> str:
        return new_id("dec", self.clock.now())


@dataclass
class MemoryChoices:
    """One person with one granted purpose, or the holders of one shared address. Remembers what was recorded."""

    clock: StillClock
    recorded: list[NewChoice] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    purposes: frozenset[str] = frozenset(PURPOSES)

    def record(self, caller: Caller, choice: NewChoice) -> Recorded:
        """As `Choices.record`."""
        known = self.state(choice.person)
        if choice.kind in OPENING and choice.notice is None:
            raise ConsentNotRaised("the choice opens something, but no notice is named: send `notice`")
        self.recorded.append(choice)
        self.callers.append(caller)
        return Recorded((new_id("evt", self.clock.now()),), new_id("con", self.clock.now()), known)

    def state(self, person: PersonRef) -> Known:
        """As `Choices.state`."""
        value = person.identifier.value if person.identifier else person.data_subject
        if value not in (ADA, BEN, ADA_EMAIL, FAMILY_EMAIL):
            raise NotFound("no person is known under this id or identifier")
        choice = Choice("email_marketing", ChoiceStatus.GRANTED, given_at=self.clock.now(), event_id="evt_1")
        facts = Facts("DE", {"email_marketing": choice}, data_subject=ADA)
        return Known(ADA, None, facts, shared=value == FAMILY_EMAIL)

    def account_for(self, _caller: Caller, _action: str, _data_subject: str | None) -> None:
        """As `Choices.account_for`."""

    def history(self, person: PersonRef) -> tuple[ConsentEvent, ...]:
        """As `Choices.history`."""
        self.state(person)
        evidence = Evidence("web_shop", "web_form", "web-shop", notice="privacy", notice_version="4", language="de")
        now = self.clock.now()
        event = NewConsentEvent(ADA, "email_marketing", EventKind.GRANT, now, evidence)
        wide = NewConsentEvent(ADA, ANY_PURPOSE, EventKind.LIMIT, now, Evidence("web_shop", "api", "web-shop"))
        return ConsentEvent("evt_1", 1, now, event), ConsentEvent("evt_2", 2, now, wide)


class MemoryHearing:
    """Remembers who told which signal of whom; knows Ada and the family address."""

    def __init__(self, choices: MemoryChoices) -> None:
        self.choices = choices
        self.heard: list[tuple[tuple[PersonRef, ...], Told]] = []

    def hear(self, _caller: Caller, persons: Sequence[PersonRef], told: Told) -> tuple[str, ...]:
        """As `Hearing.hear`."""
        for person in persons:
            if person.data_subject is not None:
                self.choices.state(person)
        self.heard.append((tuple(persons), told))
        return (new_id("evt", self.choices.clock.now()),)

    def status(self, person: PersonRef) -> SignalStatus:
        """As `Hearing.status`: a Californian's."""
        known = self.choices.state(person)
        return SignalStatus(
            None if known.shared else known.data_subject,
            True,
            self.choices.clock.now(),
            "evt_2",
            ("data_sale", "targeted_ads"),
            SignalDuty(True, date(2020, 7, 1), "11 CCR 7025"),
            (Contradiction("data_sale", "evt_1", "evt_2", self.choices.clock.now()),),
            Programme(True, True),
        )


class MemoryConfirming:
    """Takes what the fuzzer sends for Ada; knows no link. The real one has tests of its own over real services."""

    def __init__(self, choices: MemoryChoices) -> None:
        self.choices = choices

    def ask(self, caller: Caller, wish: Wish) -> Pending:
        """As `Confirming.ask`."""
        if wish.purpose not in caller.purposes:
            raise CallerNotPermitted("the client is not registered for this purpose: ask the operator to register it")
        if wish.person.identifier is not None:
            normalise(wish.person.identifier)
        known = self.choices.state(wish.person)
        asked = Asked(known.data_subject, Part.OWN, wish.purpose, wish.kind.value, caller.channel, caller.client_id,
                      wish.notice, wish.notice_version, wish.language)  # fmt: skip
        now = self.choices.clock.now()
        made = Confirmation(new_id("cf", now), asked, now, now + timedelta(days=7), 1, None)
        return Pending(new_id("evt", now), made)

    def ask_parent(self, caller: Caller, wish: Wish, parent: str) -> Pending:
        """As `Confirming.ask_parent`."""
        normalise(Identifier("email", parent))
        return self.ask(caller, wish)

    def resend(self, _caller: Caller, _confirmation_id: str) -> Confirmation:
        """As `Confirming.resend`: nobody asked."""
        raise NotFound("no open confirmation of this client has this id: ask for a new one")

    def look(self, _token: str) -> Any:
        """As `Confirming.look`: no link is known."""
        raise NotFound("the link is not known, was used, or its time is over: ask for a new one where you signed up")

    look_back = revoke = look

    def confirm(self, token: str, _shown: str) -> Any:
        """As `Confirming.confirm`."""
        return self.look(token)


class MemoryQuestions:
    """Everybody may be asked about everything that the client is registered for."""

    def __init__(self, choices: MemoryChoices) -> None:
        self.choices = choices

    def open(self, caller: Caller, person: PersonRef) -> Mapping[str, bool]:
        """As `Questions.open`."""
        self.choices.state(person)
        return dict.fromkeys(sorted(caller.purposes), True)


class MemoryProofs:
    """Shows one step of Ada's choice."""

    def __init__(self, choices: MemoryChoices) -> None:
        self.choices = choices

    def of(self, _caller: Caller, person: PersonRef, purpose: str) -> Proof:
        """As `Proofs.of`."""
        known = self.choices.state(person)
        if known.shared:
            raise Conflict("several people use this identifier: ask for one of them by `data_subject`")
        first = self.choices.history(PersonRef(data_subject=ADA))[0]
        step = Step(first, "the text shown", {"reference": "form-1"}, None, first.event_id)
        return Proof(ADA, purpose, known.facts.choices.get(purpose) or Choice(purpose), (step,))


def _choosing(choices: MemoryChoices, customers: CustomerDesk) -> Any:
    return SimpleNamespace(
        confirming=MemoryConfirming(choices),
        links=customers.confirmations,
        proofs=MemoryProofs(choices),
        questions=MemoryQuestions(choices),
        page_words=page_words(),
    )


class MemoryExplain:
    """Explains every decision in the same words; one id is unknown."""

    unknown = "dec_00000000000000000000000000"

    def decision(self, _caller: Caller, decision_id: str) -> dict[str, Any]:
        """As the explaining service."""
        if decision_id == self.unknown:
            raise NotFound("no decision has this id")
        told = {
            "effect": "allow",
            "reason": "contract",
            "rule": "eea.contract",
            "pack": "eea@1",
            "source": "Art. 6(1)(b)",
        }
        return {
            "decision_id": decision_id,
            "decided_at": "2026-11-22T12:00:00Z",
            "kind": "decision",
            "outcome": "open",
            "caller": "web-shop",
            "channel": "web_shop",
            "purpose": "order_fulfilment",
            "recipient": COMPANY,
            "data_subject": ADA,
            "jurisdiction": "DE",
            "pack": "eea@1",
            "policy_revision": REVISION,
            "facts": [],
            "fields": {"email": {**told, "text": "what the contract needs"}},
            "consent_event": None,
            "replayed_alike": True,
            "log": {"sealed": False, "index": None},
        }


class MemoryHealth:
    """Well, until told otherwise."""

    is_ready = True

    def live(self) -> dict[str, Any]:
        """As the health service."""
        return {"status": "alive"}

    def ready(self) -> dict[str, Any]:
        """As the health service."""
        return {"ready": self.is_ready, "parts": {"store": "well"}}


class MemoryForms:
    """Makes forms of one shape; opens and answers none."""

    origins = ("https://shop.example",)

    def make(self, caller: Caller, new: NewForm) -> IssuedForm:
        """As `ConsentForms.make`."""
        if new.purpose not in PURPOSES:
            raise UnknownPurpose("nobody is asked about this purpose")
        moment = datetime(2026, 11, 22, 13, tzinfo=UTC)
        form = ConsentForm(
            "cf_1", caller.client_id, caller.channel, new.person, new.purpose, "en", "n", "1", "0" * 64, None, moment
        )
        return IssuedForm(form, "token")

    def open(self, _token: str) -> None:
        """As `ConsentForms.open`, of a token that is none."""
        raise NotFound("the form is not ours")


@cache
def look() -> SimpleNamespace:
    """The real words and brand of the pages, without anything behind them."""
    words, brand = read_words(ROOT / "policies", ()), read_brand(ROOT / "policies")
    return SimpleNamespace(words=words, brand=brand, forms=MemoryForms(), responsible=lambda: ())


@dataclass
class StandIns:
    """Services as `create_app` takes them."""

    engine: sa.Engine
    held: HeldConnections
    clock: StillClock
    gateway: MemoryGateway
    writes: MemoryGateway
    searches: MemoryGateway
    limits: Limits
    choices: MemoryChoices
    hearing: MemoryHearing
    receipts: Receipts
    registry: Registry
    tokens: Tokens
    outside: OutsideTokens
    replay: ReplayStore
    idempotency: Idempotency
    explain: MemoryExplain
    evidence: LogEvidence
    reports: Reports
    console: Console
    policies: Policies
    health: MemoryHealth
    desk: Any
    customers: CustomerDesk
    rights: RightsRoom
    mailer: KeptMail
    choosing: Any
    outward: Any
    preferences: Any = field(default_factory=look)  # words and brand; the pages have tests of their own
    visits: Any = None
    agents: Any = None
    issuer: str = ISSUER
    certificate_proxies: CertificateProxies | None = None

    def client(self, client_id: str = "web-shop", **different: Any) -> str | None:
        """Register a client with every scope unless told otherwise; its secret."""
        registration: dict[str, Any] = {
            "channel": "web_shop",
            "purposes": frozenset(PURPOSES[:1]) | {PURPOSES[2]},
            "recipients": frozenset({COMPANY, "courier"}),
            "scopes": frozenset(Scope),
            **different,
        }
        return self.registry.add(NewClient(client_id, **registration))[1]

    @property
    def metrics(self) -> Metrics:
        """The real metrics over the same database."""
        log, destinations = self.evidence.log, self.outward.destinations
        return Metrics(self.engine, log, destinations, REVISION, self.clock, lambda: 0)

    def close(self) -> None:
        """Let go of every connection."""
        self.evidence.recorder.close()
        self.held.close()
        self.engine.dispose()

    def token(self, client_id: str = "web-shop", *scopes: str) -> str:
        """A token of a registered client."""
        client = self.registry.get(client_id)
        assert client is not None
        return self.tokens.issue(client, scopes or None).token


def _desk(engine: sa.Engine, clock: StillClock) -> SimpleNamespace:
    """Real officers and ceremonies; re-identification has tests of its own over the whole gateway."""
    party, challenges = RelyingParty(engine, ISSUER), Challenges(engine, clock, KEY)
    officers = Officers(engine, clock, KEY)
    return SimpleNamespace(
        officers=officers,
        enrolment=Enrolment(engine, clock, officers, party, challenges),
        sessions=Sessions(engine, clock, party, challenges, KEY),
    )


def _evidence(engine: sa.Engine, clock: StillClock) -> LogEvidence:
    """The real log over the same database, its files beside it."""
    folder = Path(str(engine.url.database)).parent
    recorder = open_recorder(engine, folder)
    return LogEvidence(AuditLog(engine, folder), Exports(engine, folder / "exports", clock), recorder, clock)


def _outward(engine: sa.Engine, clock: StillClock) -> SimpleNamespace:
    """A real feed and real destinations; webhooks may go to one host, which is never called."""
    hosts = AllowedHosts(frozenset({"hooks.example.com"}))
    poster = Poster(authorities(), hosts, resolve=lambda _host, _port: ("93.184.216.34",))
    envelopes = Envelopes(engine, NoNames(), lambda _purpose, _recipient, event_id: event_id, ISSUER)
    return SimpleNamespace(
        outbox=Outbox(NoNames(), (), clock),
        feed=Feed(engine, envelopes, clock, KEY, 2, lambda seconds: clock.pass_by(seconds=seconds)),
        destinations=Destinations(engine, clock, KEY, poster),
    )


def _keys() -> KeyInventory:
    provider = KeyProviderCapabilities("file", True, 1, 0, False, False)
    return KeyInventory("demo", provider, (1,), (), (), 0, None, None)


def _console(engine: sa.Engine, clock: StillClock, evidence: LogEvidence) -> Console:
    return Console(
        engine=engine,
        sessions=ConsoleSessions(engine, clock, KEY),
        accounts=Accounts(engine, clock),
        handshakes=Handshakes(engine, clock, KEY),
        counting=Counting(engine),
        overviews=Overviews(engine, clock),
        revisions=Revisions(engine, shipped_policies(), ROOT / "policies", clock),
        looks=Looks(evidence.recorder, clock),
        settings={},
        keys=_keys,
    )


def stand_ins(
    database: str,
    moment: datetime,
    *,
    cache_seconds: int = 0,
    issuers: tuple[Issuer, ...] = (),
    variables: Mapping[str, str] = VARIABLES,
) -> StandIns:
    """Fresh services over a fresh database."""
    clock = StillClock(moment)
    engine = open_engine(database, threads=4)
    build_schema(engine, "gateway")
    gateway, held, choices, mailer = MemoryGateway(clock), HeldConnections(engine), MemoryChoices(clock), KeptMail()
    customers = open_desk_for_tests(engine, held, clock, mailer, variables)
    return StandIns(
        engine=engine,
        held=held,
        clock=clock,
        gateway=gateway,
        writes=gateway,
        searches=gateway,
        limits=Limits(engine, clock, lookups_per_minute=10_000, misses_per_minute=5_000),
        choices=choices,
        hearing=MemoryHearing(choices),
        receipts=Receipts(engine, {}, issuer=ISSUER, company="demo", seed=KEY),
        registry=Registry(engine, clock, KEY),
        tokens=Tokens(engine, held, clock, KEY, cache_seconds=cache_seconds),
        outside=OutsideTokens(issuers, Fetcher(authorities()), engine, held, clock, cache_seconds=cache_seconds),
        replay=ReplayStore(engine, clock),
        idempotency=Idempotency(engine, clock, KEY),
        explain=MemoryExplain(),
        evidence=(evidence := _evidence(engine, clock)),
        reports=Reports(engine, shipped_policies(), evidence.recorder, clock),
        console=_console(engine, clock, evidence),
        policies=shipped_policies(),
        health=MemoryHealth(),
        desk=_desk(engine, clock),
        customers=customers,
        rights=open_room(engine, held, clock, choices, on_file=lambda _person: None, mails=False),
        mailer=mailer,
        choosing=_choosing(choices, customers),
        outward=_outward(engine, clock),
    )
