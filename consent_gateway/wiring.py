"""Composition root: settings -> adapters -> services; the only place that builds things, and it decides nothing."""

import logging
import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from consent_gateway.audit.recorder import Recorder, open_recorder, record_in
from consent_gateway.audit.sealer import Sealer
from consent_gateway.audit.signer import open_signer
from consent_gateway.audit.tables import AUDIT_CHECKPOINTS
from consent_gateway.callers.fetching import Fetcher
from consent_gateway.callers.idempotency import Idempotency
from consent_gateway.callers.issuers import read_issuers
from consent_gateway.callers.limits import Limits
from consent_gateway.callers.outside import OutsideTokens
from consent_gateway.callers.registry import Registry
from consent_gateway.callers.replay import ReplayStore
from consent_gateway.callers.tokens import Tokens
from consent_gateway.connectors.sql import SqlStore
from consent_gateway.consent.choices import Choices
from consent_gateway.consent.enrolled import EnrolledLedger
from consent_gateway.consent.facts import FactsReader
from consent_gateway.database import STATEMENT_SECONDS, HeldConnections, open_engine, refuse_unless_durable
from consent_gateway.desk import Desk, open_desk
from consent_gateway.doctor import Doctor, Patient
from consent_gateway.domain_keys import DomainKeys
from consent_gateway.errors import GatewayError, SettingsRefused
from consent_gateway.explain import Explain
from consent_gateway.gateway import Gateway
from consent_gateway.health import Health
from consent_gateway.key_accounts import AccountForKeys
from consent_gateway.migrate import refuse_unless_current, upgrade
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.people.enrolment import Enrolment
from consent_gateway.people.index_keys import EXACT, IndexKeys
from consent_gateway.people.index_rotation import IndexRotation
from consent_gateway.people.normalise import KINDS
from consent_gateway.people.search_rows import search_modes
from consent_gateway.people.suppression import SuppressionList, SuppressionTags
from consent_gateway.policy import Policies, archive, load_policies
from consent_gateway.ports import Clock
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.material import KeyGrant
from consent_gateway.protection.perform import Performer
from consent_gateway.protection.sealing import Sealing
from consent_gateway.protection.tables import EPOCHS
from consent_gateway.protection.upkeep import KeyUpkeep
from consent_gateway.seal_existing import SealExisting
from consent_gateway.searches import Searches
from consent_gateway.settings import CertificateProxies, Settings, prepare_directories
from consent_gateway.shredding import Shredding
from consent_gateway.store_scan import StoreScan
from consent_gateway.wiring_keys import make_root_key, open_key_provider
from consent_gateway.writes import Writes

_LOG = logging.getLogger(__name__)
_SEAL_SECONDS = 1.0
_MIGRATION_SECONDS = 3600
_ROUND_SECONDS = 300.0
_UPKEEP_SECONDS = 60  # a block of the key table of ten million people takes longer to read than a request may


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
    searches: Searches
    limits: Limits
    choices: Choices
    enrolment: Enrolment
    index_rotation: IndexRotation
    seal_existing: SealExisting
    suppressions: SuppressionList
    shredding: Shredding
    domain_keys: DomainKeys
    registry: Registry
    tokens: Tokens
    outside: OutsideTokens
    replay: ReplayStore
    idempotency: Idempotency
    explain: Explain
    health: Health
    desk: Desk
    clock: Clock
    issuer: str
    certificate_proxies: CertificateProxies | None

    def close(self) -> None:
        """Commit what is queued and let go of every connection."""
        _close(self)


def upgrade_databases(settings: Settings) -> None:
    """Bring both databases to the newest schema. Done once, by one process, before the others start."""
    prepare_directories(settings)
    for url, chain in ((settings.database_url, "gateway"), (settings.key_database_url, "keys")):
        engine = open_engine(url, threads=1, statement_seconds=_MIGRATION_SECONDS)
        upgrade(engine, "gateway" if chain == "gateway" else "keys")
        engine.dispose()
    make_root_key(settings, lambda: _has_rows(settings.key_database_url, EPOCHS))
    _make_log_key(settings)


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


def open_databases(settings: Settings, key_statement_seconds: int = STATEMENT_SECONDS) -> tuple[sa.Engine, sa.Engine]:
    """Engines over the gateway database and the key table; refuses ones that are old or would lose commits."""
    prepare_directories(settings)
    engine = open_engine(settings.database_url, threads=settings.threads)
    key_engine = open_engine(
        settings.key_database_url, threads=settings.threads, statement_seconds=key_statement_seconds
    )
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
    tags: SuppressionTags
    store: SqlStore
    sealing: Sealing
    facts: FactsReader
    recorder: Recorder


def _close(parts: "_Parts | Services") -> None:
    parts.recorder.close()
    parts.held.close()
    parts.engine.dispose()
    parts.keyring.close()
    parts.key_engine.dispose()
    parts.store.close()


def _open_parts(settings: Settings, clock: Clock) -> _Parts:
    policies = load_policies(settings.policies)
    engine, key_engine = open_databases(settings)
    with ExitStack() as opened:  # what was opened is let go where a later part does not open
        opened.callback(engine.dispose)
        opened.callback(key_engine.dispose)
        keyring = KeyRing(open_key_provider(settings), key_engine, settings.tenant, clock)
        opened.callback(keyring.close)
        keyring.load()
        version_key = keyring.service_key("record-version")
        opened.pop_all()
    held = HeldConnections(engine)
    index_keys = IndexKeys(engine, keyring)
    index_keys.prepare(_index_names(policies))
    store = SqlStore(
        settings.store_url,
        policies.catalogue,
        timeout=settings.store_timeout_ms / 1000,
        version_key=version_key,
        threads=settings.threads,
    )
    return _Parts(
        clock=clock,
        policies=policies,
        engine=engine,
        key_engine=key_engine,
        held=held,
        keyring=keyring,
        indexes=BlindIndex(index_keys, settings.phone_region),
        tags=SuppressionTags(keyring.service_key("suppression"), settings.phone_region),
        store=store,
        sealing=Sealing(keyring, policies.catalogue.key_classes),
        facts=FactsReader(held),
        recorder=open_recorder(engine, settings.state_dir),
    )


def open_upkeep(settings: Settings, clock: Clock | None = None) -> KeyUpkeep:
    """The operator's work on the keys, over databases that are there already; its process does nothing else.

    Not a part of `Services`, which make named keys when they open: a key database to restore into must be empty.
    """
    engine, key_engine = open_databases(settings, key_statement_seconds=_UPKEEP_SECONDS)
    account = AccountForKeys(engine, settings.state_dir)
    return KeyUpkeep(open_key_provider(settings), key_engine, settings.tenant, clock or SystemClock(), account)


def every_class(policies: Policies) -> KeyGrant:
    """The operator's grant: every key class of the catalogue, for acts over the whole store and never for a caller."""
    return KeyGrant(frozenset(policies.catalogue.key_classes.values()))


def _index_names(policies: Policies) -> set[tuple[str, str]]:
    """Kind and mode of every index there is: each kind's own, and those the catalogue asks for."""
    modes = search_modes(policies.catalogue)
    return {(kind, EXACT) for kind in KINDS} | {(kind, mode) for kind, each in modes.items() for mode in each}


def open_services(settings: Settings, clock: Clock | None = None) -> Services:
    """The services of one process, over databases that are there already.

    Raises `SettingsRefused` for databases that are not current or not durable, and `PolicyInvalid`.
    """
    parts = _open_parts(settings, clock or SystemClock())
    with parts.engine.begin() as connection:
        archive.save(connection, parts.policies, parts.clock.now())
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
        searches=_searches(parts, gateway),
        limits=_limits(parts, settings),
        choices=_choices(parts),
        enrolment=enrolment,
        index_rotation=_index_rotation(parts, enrolment),
        seal_existing=_seal_existing(parts),
        suppressions=SuppressionList(engine=parts.engine, tags=parts.tags, record_in=record_in, clock=parts.clock),
        shredding=Shredding(engine=parts.engine, keyring=parts.keyring, tags=parts.tags, clock=parts.clock),
        domain_keys=DomainKeys(parts.keyring, parts.recorder, tuple(parts.policies.catalogue.fields), parts.clock),
        registry=Registry(parts.engine, parts.clock, parts.keyring.service_key("client-secrets")),
        tokens=_tokens(parts, settings),
        outside=_outside(parts, settings),
        replay=ReplayStore(parts.engine, parts.clock),
        idempotency=Idempotency(parts.engine, parts.clock, parts.keyring.service_key("idempotency")),
        explain=Explain(parts.engine, settings.state_dir, parts.policies, parts.clock),
        health=_health(parts, settings),
        desk=open_desk(parts.engine, parts.clock, parts.keyring, parts.policies, parts.facts, parts.indexes, settings),
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
        tags=parts.tags,
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
        grant=every_class(parts.policies),
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


def _index_rotation(parts: _Parts, enrolment: Enrolment) -> IndexRotation:
    return IndexRotation(
        engine=parts.engine, source=parts.keyring, enrolment=enrolment, record_in=record_in, clock=parts.clock
    )


def _limits(parts: _Parts, settings: Settings) -> Limits:
    return Limits(
        parts.engine,
        parts.clock,
        lookups_per_minute=settings.lookups_per_minute,
        misses_per_minute=settings.misses_per_minute,
    )


def _searches(parts: _Parts, gateway: Gateway) -> Searches:
    return Searches(
        gateway=gateway,
        facts=parts.facts,
        indexes=parts.indexes,
        recorder=parts.recorder,
        modes=search_modes(parts.policies.catalogue),
        revision=parts.policies.revision,
    )


def _choices(parts: _Parts) -> Choices:
    purposes = parts.policies.purposes
    return Choices(
        engine=parts.engine,
        facts=parts.facts,
        indexes=parts.indexes,
        tags=parts.tags,
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


def open_doctor(settings: Settings, secrets: tuple[Path, ...] = (), clock: Clock | None = None) -> Doctor:
    """The doctor of an installation, sound or not; opens its parts when it looks, and archives no policy."""

    def open_patient() -> Patient:
        parts = _open_parts(settings, clock or SystemClock())
        scan = StoreScan(
            engine=parts.engine,
            store=parts.store,
            catalogue=parts.policies.catalogue,
            keyring=parts.keyring,
            grant=every_class(parts.policies),
        )
        close = partial(_close, parts)
        return Patient(parts.engine, parts.keyring, parts.store, scan, parts.recorder, parts.clock, close)

    return Doctor(settings, secrets, open_patient)


class Background:
    """The background worker's rounds: seal what was recorded, finish erasures cut short, purge what has expired."""

    def __init__(self, sealer: Sealer, rounds: tuple[Callable[[], int], ...]) -> None:
        self._sealer = sealer
        self._rounds = rounds

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop. Raises `LogDamaged` rather than seal onto a log that does not verify."""
        beside = threading.Thread(target=self._upkeep, args=(stop,), name="upkeep", daemon=True)
        beside.start()
        self._sealer.run(stop, _SEAL_SECONDS)
        beside.join()

    def _upkeep(self, stop: threading.Event) -> None:
        while True:  # at once when the worker starts, for it may have been killed in the middle of something
            for upkeep in self._rounds:
                try:
                    upkeep()
                except GatewayError:
                    _LOG.exception("a round of upkeep failed and will be tried again")
            if stop.wait(_ROUND_SECONDS):
                return


def open_background(settings: Settings) -> Background:
    """The background worker over databases that are there already."""
    services = open_services(settings)
    purges = (
        services.tokens.purge,
        services.replay.purge,
        services.idempotency.purge,
        services.limits.purge,
        *services.desk.purges,
    )
    return Background(open_sealer(settings, services), (services.shredding.resume, *purges))


def open_sealer(settings: Settings, services: Services) -> Sealer:
    """The sealer of the audit log; only one seals at a time, whoever holds the lock."""
    signer = open_signer(settings.log_key_file, settings.log_origin)
    return Sealer(services.engine, settings.state_dir, signer, services.clock)
