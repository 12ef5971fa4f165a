"""Composition root: settings -> adapters -> services; the only place that builds things, and it decides nothing."""

import logging
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from consent_gateway.audit.recorder import Recorder, open_recorder, record_in
from consent_gateway.audit.sealer import Sealer
from consent_gateway.audit.signer import open_signer
from consent_gateway.audit.tables import AUDIT_CHECKPOINTS
from consent_gateway.callers.fetching import Fetcher
from consent_gateway.callers.idempotency import Idempotency
from consent_gateway.callers.issuers import read_issuers
from consent_gateway.callers.outside import OutsideTokens
from consent_gateway.callers.registry import Registry
from consent_gateway.callers.replay import ReplayStore
from consent_gateway.callers.tokens import Tokens
from consent_gateway.connectors.sql import SqlStore
from consent_gateway.consent.choices import Choices
from consent_gateway.consent.enrolled import EnrolledLedger
from consent_gateway.consent.facts import FactsReader
from consent_gateway.database import HeldConnections, open_engine, refuse_unless_durable
from consent_gateway.errors import GatewayError, SettingsRefused
from consent_gateway.explain import Explain
from consent_gateway.gateway import Gateway
from consent_gateway.health import Health
from consent_gateway.migrate import refuse_unless_current, upgrade
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.people.enrolment import Enrolment
from consent_gateway.policy import Policies, archive, load_policies
from consent_gateway.ports import Clock
from consent_gateway.protection.file_provider import FileKeyProvider
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.perform import Performer
from consent_gateway.protection.sealing import Sealing
from consent_gateway.protection.tables import EPOCHS
from consent_gateway.seal_existing import SealExisting
from consent_gateway.settings import CertificateProxies, Settings, prepare_directories
from consent_gateway.writes import Writes

_LOG = logging.getLogger(__name__)
_SEAL_SECONDS = 1.0
_MIGRATION_SECONDS = 3600
_PURGE_SECONDS = 300.0


class SystemClock:
    """The machine's clock, in UTC."""

    def now(self) -> datetime:
        """The present moment."""
        return datetime.now(UTC)


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
    choices: Choices
    enrolment: Enrolment
    seal_existing: SealExisting
    registry: Registry
    tokens: Tokens
    outside: OutsideTokens
    replay: ReplayStore
    idempotency: Idempotency
    explain: Explain
    health: Health
    clock: Clock
    issuer: str
    certificate_proxies: CertificateProxies | None

    def close(self) -> None:
        """Commit what is queued and let go of every connection."""
        self.recorder.close()
        self.held.close()
        self.engine.dispose()
        self.keyring.close()
        self.key_engine.dispose()
        self.store.close()


def upgrade_databases(settings: Settings) -> None:
    """Bring both databases to the newest schema. Done once, by one process, before the others start."""
    prepare_directories(settings)
    for url, chain in ((settings.database_url, "gateway"), (settings.key_database_url, "keys")):
        engine = open_engine(url, threads=1, statement_seconds=_MIGRATION_SECONDS)
        upgrade(engine, "gateway" if chain == "gateway" else "keys")
        engine.dispose()
    _make_root_key(settings)
    _make_log_key(settings)


def _make_root_key(settings: Settings) -> None:
    """A first root key, only while the key table is empty: a lost file must not be hidden by a new one."""
    if settings.key_file.exists():
        return
    if _has_rows(settings.key_database_url, EPOCHS):
        raise SettingsRefused(f"`{settings.key_file}` is gone, but keys were made with it: restore it from its backup")
    FileKeyProvider.create(settings.key_file)


def _make_log_key(settings: Settings) -> None:
    """A first signing key, only while nothing is signed: a log that changes its key by itself proves nothing."""
    if not settings.log_key_file.exists() and _has_rows(settings.database_url, AUDIT_CHECKPOINTS):
        raise SettingsRefused(f"`{settings.log_key_file}` is gone, but it signed the log: restore it from its backup")
    open_signer(settings.log_key_file, settings.log_origin)


def _has_rows(url: str, table: sa.Table) -> bool:
    engine = open_engine(url, threads=1)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        count: int = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    engine.dispose()
    return count > 0


def open_databases(settings: Settings) -> tuple[sa.Engine, sa.Engine]:
    """Engines over the gateway database and the key table; refuses ones that are old or would lose commits."""
    prepare_directories(settings)
    engine = open_engine(settings.database_url, threads=settings.threads)
    key_engine = open_engine(settings.key_database_url, threads=settings.threads)
    refuse_unless_durable(engine)
    refuse_unless_current(engine, "gateway")
    refuse_unless_durable(key_engine)
    refuse_unless_current(key_engine, "keys")
    return engine, key_engine


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the services are built of."""

    clock: Clock
    policies: Policies
    engine: sa.Engine
    key_engine: sa.Engine
    held: HeldConnections
    keyring: KeyRing
    indexes: BlindIndex
    store: SqlStore
    sealing: Sealing
    facts: FactsReader
    recorder: Recorder


def _open_parts(settings: Settings, clock: Clock) -> _Parts:
    policies = load_policies(settings.policies)
    engine, key_engine = open_databases(settings)
    with engine.begin() as connection:
        archive.save(connection, policies, clock.now())
    keyring = KeyRing(FileKeyProvider(settings.key_file), key_engine, settings.tenant, clock)
    held = HeldConnections(engine)
    store = SqlStore(
        settings.store_url,
        policies.catalogue,
        timeout=settings.store_timeout_ms / 1000,
        version_key=keyring.service_key("record-version"),
        threads=settings.threads,
    )
    return _Parts(
        clock=clock,
        policies=policies,
        engine=engine,
        key_engine=key_engine,
        held=held,
        keyring=keyring,
        indexes=BlindIndex(keyring.index_key, settings.phone_region),
        store=store,
        sealing=Sealing(keyring, sealed_fields(policies)),
        facts=FactsReader(held),
        recorder=open_recorder(engine, settings.state_dir),
    )


def sealed_fields(policies: Policies) -> tuple[str, ...]:
    """Names of the fields the catalogue wants encrypted at rest."""
    return tuple(name for name, field in policies.catalogue.fields.items() if field.protection == "sealed")


def open_services(settings: Settings, clock: Clock | None = None) -> Services:
    """The services of one process, over databases that are there already.

    Raises `SettingsRefused` for databases that are not current or not durable, and `PolicyInvalid`.
    """
    parts = _open_parts(settings, clock or SystemClock())
    gateway = Gateway(
        policies=parts.policies,
        facts=parts.facts,
        indexes=parts.indexes,
        store=parts.store,
        sealing=parts.sealing,
        performer=Performer(parts.keyring, settings.tenant),
        recorder=parts.recorder,
        clock=parts.clock,
    )
    enrolment = _enrolment(parts)
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
        writes=_writes(parts, gateway, enrolment),
        choices=_choices(parts),
        enrolment=enrolment,
        seal_existing=_seal_existing(parts),
        registry=Registry(parts.engine, parts.clock, parts.keyring.service_key("client-secrets")),
        tokens=_tokens(parts, settings),
        outside=_outside(parts, settings),
        replay=ReplayStore(parts.engine, parts.clock),
        idempotency=Idempotency(parts.engine, parts.clock, parts.keyring.service_key("idempotency")),
        explain=Explain(parts.engine, settings.state_dir, parts.policies, parts.clock),
        health=_health(parts, settings),
        clock=parts.clock,
        issuer=settings.issuer,
        certificate_proxies=settings.certificate_proxies,
    )


def _enrolment(parts: _Parts) -> Enrolment:
    return Enrolment(
        engine=parts.engine,
        store=parts.store,
        catalogue=parts.policies.catalogue,
        indexes=parts.indexes,
        ledger=EnrolledLedger(),
        record_in=record_in,
        clock=parts.clock,
    )


def _seal_existing(parts: _Parts) -> SealExisting:
    return SealExisting(
        engine=parts.engine,
        store=parts.store,
        catalogue=parts.policies.catalogue,
        sealing=parts.sealing,
        recorder=parts.recorder,
        clock=parts.clock,
    )


def _health(parts: _Parts, settings: Settings) -> Health:
    return Health(
        engine=parts.engine,
        store=parts.store,
        recorder=parts.recorder,
        revision=parts.policies.revision,
        clock=parts.clock,
        state_dir=settings.state_dir,
    )


def _writes(parts: _Parts, gateway: Gateway, enrolment: Enrolment) -> Writes:
    return Writes(
        gateway=gateway,
        policies=parts.policies,
        engine=parts.engine,
        store=parts.store,
        enrolment=enrolment,
        sealing=parts.sealing,
        recorder=parts.recorder,
        clock=parts.clock,
    )


def _choices(parts: _Parts) -> Choices:
    purposes = parts.policies.purposes
    return Choices(
        engine=parts.engine,
        facts=parts.facts,
        indexes=parts.indexes,
        record_in=record_in,
        clock=parts.clock,
        purposes=tuple(purposes),
        purposes_for_any=tuple(key for key, purpose in purposes.items() if "choice" in purpose.groups),
    )


def _tokens(parts: _Parts, settings: Settings) -> Tokens:
    return Tokens(
        parts.engine,
        parts.held,
        parts.clock,
        parts.keyring.service_key("access-tokens"),
        life_seconds=settings.token_seconds,
        cache_seconds=settings.token_cache_seconds,
    )


def _outside(parts: _Parts, settings: Settings) -> OutsideTokens:
    return OutsideTokens(
        () if settings.issuers_file is None else read_issuers(settings.issuers_file),
        Fetcher(ssl.create_default_context()),
        parts.engine,
        parts.held,
        parts.clock,
        cache_seconds=settings.token_cache_seconds,
    )


class Background:
    """The background worker's rounds: seal what was recorded, purge what has expired."""

    def __init__(self, sealer: Sealer, purges: tuple[Callable[[], int], ...]) -> None:
        self._sealer = sealer
        self._purges = purges

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop. Raises `LogDamaged` rather than seal onto a log that does not verify."""
        purging = threading.Thread(target=self._purge, args=(stop,), name="purge", daemon=True)
        purging.start()
        self._sealer.run(stop, _SEAL_SECONDS)
        purging.join()

    def _purge(self, stop: threading.Event) -> None:
        while not stop.wait(_PURGE_SECONDS):
            for purge in self._purges:
                try:
                    purge()
                except GatewayError:
                    _LOG.exception("what has expired could not be purged and will be tried again")


def open_background(settings: Settings) -> Background:
    """The background worker over databases that are there already."""
    services = open_services(settings)
    purges = (services.tokens.purge, services.replay.purge, services.idempotency.purge)
    return Background(open_sealer(settings, services), purges)


def open_sealer(settings: Settings, services: Services) -> Sealer:
    """The sealer of the audit log; only one seals at a time, whoever holds the lock."""
    signer = open_signer(settings.log_key_file, settings.log_origin)
    return Sealer(services.engine, settings.state_dir, signer, services.clock)
