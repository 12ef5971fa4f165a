"""Builds everything a process of the gateway works with; decides nothing."""

import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from consent_gateway.audit.evidence import LogEvidence
from consent_gateway.audit.export_jobs import Exports
from consent_gateway.audit.log import AuditLog
from consent_gateway.audit.recorder import Recorder, record_in
from consent_gateway.callers.fetching import Fetcher
from consent_gateway.callers.idempotency import Idempotency
from consent_gateway.callers.issuers import read_issuers
from consent_gateway.callers.limits import Limits
from consent_gateway.callers.outside import OutsideTokens
from consent_gateway.callers.registry import Registry
from consent_gateway.callers.replay import ReplayStore
from consent_gateway.callers.tokens import Tokens
from consent_gateway.choosing import Choosing, open_choosing
from consent_gateway.connectors.sql import SqlStore
from consent_gateway.consent.choices import Choices
from consent_gateway.consent.enrolled import EnrolledLedger
from consent_gateway.consent.hearing import Hearing
from consent_gateway.consent.ledger import Announce
from consent_gateway.consent.notices import Notices
from consent_gateway.consent.receipts import KEY as RECEIPT_KEY
from consent_gateway.consent.receipts import Receipts
from consent_gateway.consent.signals import Told
from consent_gateway.consent.step_check import StepCheck
from consent_gateway.console.room import Console
from consent_gateway.customer_desk import CustomerDesk, SessionVisits, open_customer_desk
from consent_gateway.database import HeldConnections
from consent_gateway.desk import Desk, open_desk
from consent_gateway.domain_keys import DomainKeys
from consent_gateway.drp.room import AgentRoom
from consent_gateway.erasures import Erasures
from consent_gateway.explain import Explain
from consent_gateway.gateway import Gateway
from consent_gateway.health import Health
from consent_gateway.people.enrolment import Enrolment
from consent_gateway.people.index_rotation import IndexRotation
from consent_gateway.people.search_rows import search_modes
from consent_gateway.people.suppression import SuppressionList
from consent_gateway.policy import Policies
from consent_gateway.policy.step_book import StepBook
from consent_gateway.ports import Clock
from consent_gateway.preferences.centre import PreferenceCentre
from consent_gateway.preferences.visits import Visits
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.perform import Performer
from consent_gateway.protection.sealing import Sealing
from consent_gateway.proxy_settings import CertificateProxies
from consent_gateway.reports.book import Reports
from consent_gateway.reports.metrics import Metrics
from consent_gateway.rights.leaving import forget_details
from consent_gateway.rights.room import RightsRoom
from consent_gateway.seal_existing import SealExisting
from consent_gateway.searches import Searches
from consent_gateway.settings import Settings
from consent_gateway.shredding import Shredding
from consent_gateway.tracing import NO_TRACER, Tracer
from consent_gateway.wiring.console import open_console
from consent_gateway.wiring.drp import open_agents
from consent_gateway.wiring.outward import Outward
from consent_gateway.wiring.parts import Parts, SystemClock, close_parts, every_class, open_parts
from consent_gateway.wiring.preferences import open_preferences
from consent_gateway.wiring.requests import open_rights
from consent_gateway.wiring.rights import ErasureDesk, open_erasure_desk
from consent_gateway.wiring.telemetry import drop_count
from consent_gateway.wiring.telling import Telling, open_telling
from consent_gateway.writes import Writes


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a process of the gateway works with. Safe to share between threads; made after forking."""

    settings: Settings
    policies: Policies
    engine: sa.Engine
    key_engine: sa.Engine
    held: HeldConnections
    store: SqlStore
    keyring: KeyRing
    sealing: Sealing
    recorder: Recorder
    gateway: Gateway
    writes: Writes
    searches: Searches
    limits: Limits
    choices: Choices
    hearing: Hearing
    notices: Notices
    receipts: Receipts
    enrolment: Enrolment
    index_rotation: IndexRotation
    seal_existing: SealExisting
    suppressions: SuppressionList
    shredding: Shredding
    erasures: Erasures
    erasure_desk: ErasureDesk
    outward: Outward
    domain_keys: DomainKeys
    registry: Registry
    tokens: Tokens
    outside: OutsideTokens
    replay: ReplayStore
    idempotency: Idempotency
    explain: Explain
    evidence: LogEvidence
    health: Health
    desk: Desk
    customers: CustomerDesk
    rights: RightsRoom
    agents: AgentRoom | None
    choosing: Choosing
    preferences: PreferenceCentre
    visits: Visits
    console: Console
    clock: Clock

    @property
    def issuer(self) -> str:
        """Base URL under which clients and browsers reach the gateway."""
        return self.settings.issuer

    @property
    def certificate_proxies(self) -> CertificateProxies | None:
        """Who may tell which certificate a client showed; None for nobody."""
        return self.settings.certificate_proxies

    @property
    def reports(self) -> Reports:
        """What officers and auditors count."""
        return Reports(self.engine, self.policies, self.recorder, self.clock)

    @property
    def metrics(self) -> Metrics:
        """What Prometheus is told."""
        destinations, log, lost = self.outward.destinations, self.evidence.log, drop_count(self.settings).read
        return Metrics(self.engine, log, destinations, self.policies.revision, self.clock, lost)

    def close(self) -> None:
        """Commit what is queued and let go of every connection."""
        self.erasure_desk.close()
        close_parts(self)


def open_services(settings: Settings, clock: Clock | None = None, tracer: Tracer = NO_TRACER) -> Services:
    """The services of one process. Raises `SettingsRefused` for databases not current or durable, `PolicyInvalid`."""
    parts = open_parts(settings, clock or SystemClock(), tracer)
    try:
        return _assembled(parts, settings)
    except BaseException:
        close_parts(parts)  # what does not stand is let go of
        raise


def _assembled(parts: Parts, settings: Settings) -> Services:
    telling = open_telling(parts, settings)
    outward, notices, customers = telling.outward, telling.notices, _customers(parts, settings, telling)
    choices, hearing, choosing = _choosing(parts, settings, notices, customers, outward.outbox.announce_in)
    gateway, enrolment = _gateway(parts, settings, hearing), _enrolment(parts, outward.outbox.announce_in)
    return Services(
        settings=settings,
        policies=parts.policies,
        engine=parts.engine,
        key_engine=parts.key_engine,
        held=parts.held,
        store=parts.store,
        keyring=parts.keyring,
        sealing=parts.sealing,
        recorder=parts.recorder,
        gateway=gateway,
        writes=(writes := _writes(parts, gateway, enrolment)),
        searches=_searches(parts, gateway),
        limits=_limits(parts, settings),
        choices=choices,
        hearing=hearing,
        notices=notices,
        receipts=_receipts(parts, settings),
        enrolment=enrolment,
        index_rotation=_index_rotation(parts, enrolment),
        seal_existing=_seal_existing(parts),
        suppressions=SuppressionList(engine=parts.engine, tags=parts.tags, record_in=record_in, clock=parts.clock),
        shredding=_shredding(parts, outward.outbox.announce_in),
        erasures=Erasures(engine=parts.engine, store=parts.store, keyring=parts.keyring),
        erasure_desk=(erasure_desk := _erasure_desk(parts, settings, telling)),
        outward=outward,
        domain_keys=DomainKeys(parts.keyring, parts.recorder, tuple(parts.policies.catalogue.fields), parts.clock),
        registry=Registry(parts.engine, parts.clock, parts.keyring.service_key("client-secrets")),
        tokens=_tokens(parts, settings),
        outside=_outside(parts, settings),
        replay=ReplayStore(parts.engine, parts.clock),
        idempotency=Idempotency(parts.engine, parts.clock, parts.keyring.service_key("idempotency")),
        explain=Explain(parts.engine, settings.state_dir, parts.policies, parts.clock),
        evidence=_evidence(parts, settings),
        health=_health(parts, settings),
        desk=_desk(parts, settings),
        customers=customers,
        rights=(rights := open_rights(parts, settings, choices, erasure_desk, telling.letters, enrolment, writes)),
        agents=open_agents(parts, settings, rights, outward),
        choosing=choosing,
        preferences=open_preferences(parts, settings, choices, notices, hearing, outward, choosing),
        visits=SessionVisits(customers.sessions),
        console=open_console(parts, settings),
        clock=parts.clock,
    )


def _erasure_desk(parts: Parts, settings: Settings, telling: Telling) -> ErasureDesk:
    announce_in = telling.outward.outbox.announce_in
    return open_erasure_desk(parts, settings, announce_in, telling.recipients, settled=telling.settled)


def _gateway(parts: Parts, settings: Settings, hearing: Hearing) -> Gateway:
    return Gateway(
        policies=parts.policies,
        facts=parts.facts,
        indexes=parts.indexes,
        store=parts.store,
        sealing=parts.sealing,
        performer=Performer(parts.keyring, settings.tenant),
        recorder=parts.recorder,
        remember_signal=lambda caller, person: hearing.hear(caller, (person,), Told(gpc=True)),
        clock=parts.clock,
        tracer=parts.tracer,
    )


def _desk(parts: Parts, settings: Settings) -> Desk:
    return open_desk(parts.engine, parts.clock, parts.keyring, parts.policies, parts.facts, parts.indexes, settings)


def _customers(parts: Parts, settings: Settings, telling: Telling) -> CustomerDesk:
    facts, indexes = parts.facts, parts.indexes
    return open_customer_desk(
        parts.engine, parts.clock, parts.keyring, facts, indexes, settings, parts.tls, telling.settled
    )


def _shredding(parts: Parts, announce_in: Announce) -> Shredding:
    return Shredding(
        engine=parts.engine,
        keyring=parts.keyring,
        tags=parts.tags,
        clock=parts.clock,
        announce_in=announce_in,
        leave=(forget_details,),
    )


def _enrolment(parts: Parts, announce_in: Announce) -> Enrolment:
    return Enrolment(
        engine=parts.engine,
        store=parts.store,
        catalogue=parts.policies.catalogue,
        indexes=parts.indexes,
        tags=parts.tags,
        ledger=EnrolledLedger(announce_in),
        record_in=record_in,
        clock=parts.clock,
    )


def _seal_existing(parts: Parts) -> SealExisting:
    return SealExisting(
        engine=parts.engine,
        store=parts.store,
        catalogue=parts.policies.catalogue,
        sealing=parts.sealing,
        grant=every_class(parts.policies),
        recorder=parts.recorder,
        clock=parts.clock,
    )


def _evidence(parts: Parts, settings: Settings) -> LogEvidence:
    exports = Exports(parts.engine, settings.log.export_dir, parts.clock)
    return LogEvidence(AuditLog(parts.engine, settings.state_dir), exports, parts.recorder, parts.clock)


def _health(parts: Parts, settings: Settings) -> Health:
    return Health(
        engine=parts.engine,
        store=parts.store,
        recorder=parts.recorder,
        revision=parts.policies.revision,
        clock=parts.clock,
        state_dir=settings.state_dir,
    )


def _writes(parts: Parts, gateway: Gateway, enrolment: Enrolment) -> Writes:
    return Writes(
        gateway=gateway,
        policies=parts.policies,
        engine=parts.engine,
        store=parts.store,
        enrolment=enrolment,
        sealing=parts.sealing,
        recorder=parts.recorder,
        clock=parts.clock,
        tracer=parts.tracer,
    )


def _index_rotation(parts: Parts, enrolment: Enrolment) -> IndexRotation:
    return IndexRotation(
        engine=parts.engine, source=parts.keyring, enrolment=enrolment, record_in=record_in, clock=parts.clock
    )


def _limits(parts: Parts, settings: Settings) -> Limits:
    return Limits(
        parts.engine,
        parts.clock,
        lookups_per_minute=settings.lookups_per_minute,
        misses_per_minute=settings.misses_per_minute,
    )


def _searches(parts: Parts, gateway: Gateway) -> Searches:
    return Searches(
        gateway=gateway,
        facts=parts.facts,
        indexes=parts.indexes,
        recorder=parts.recorder,
        modes=search_modes(parts.policies.catalogue),
        revision=parts.policies.revision,
        shuffle=secrets.SystemRandom().shuffle,
    )


def _choosing(
    parts: Parts, settings: Settings, notices: Notices, customers: CustomerDesk, announce_in: Announce
) -> tuple[Choices, Hearing, Choosing]:
    purposes = parts.policies.purposes
    choices = Choices(
        engine=parts.engine,
        facts=parts.facts,
        indexes=parts.indexes,
        tags=parts.tags,
        record_in=record_in,
        announce_in=announce_in,
        clock=parts.clock,
        purposes=tuple(purposes),
        purposes_for_any=tuple(key for key, purpose in purposes.items() if "choice" in purpose.groups),
        notices=notices,
        steps=StepCheck(StepBook(parts.policies)),
        tracer=parts.tracer,
    )
    hearing, receipts = Hearing(choices=choices, policies=parts.policies, clock=parts.clock), _receipts(parts, settings)
    return (
        choices,
        hearing,
        open_choosing(parts.engine, parts.policies, settings, choices, notices, receipts, customers, parts.clock),
    )


def _receipts(parts: Parts, settings: Settings) -> Receipts:
    return Receipts(
        parts.engine,
        parts.policies.purposes,
        issuer=settings.issuer,
        company=settings.tenant,
        seed=parts.keyring.service_key(RECEIPT_KEY),
    )


def _tokens(parts: Parts, settings: Settings) -> Tokens:
    return Tokens(
        parts.engine,
        parts.held,
        parts.clock,
        parts.keyring.service_key("access-tokens"),
        life_seconds=settings.token_seconds,
        cache_seconds=settings.token_cache_seconds,
    )


def _outside(parts: Parts, settings: Settings) -> OutsideTokens:
    return OutsideTokens(
        () if settings.issuers_file is None else read_issuers(settings.issuers_file),
        Fetcher(parts.tls),
        parts.engine,
        parts.held,
        parts.clock,
        cache_seconds=settings.token_cache_seconds,
    )
