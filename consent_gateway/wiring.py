"""Composition root: settings -> adapters -> services; the only place that builds things, and it decides nothing."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from consent_gateway.audit.recorder import Recorder, open_recorder, record_in
from consent_gateway.audit.sealer import Sealer
from consent_gateway.audit.signer import open_signer
from consent_gateway.callers.assertions import Assertions
from consent_gateway.callers.idempotency import Idempotency
from consent_gateway.callers.registry import Registry
from consent_gateway.callers.tokens import Tokens
from consent_gateway.connectors.sql import SqlStore
from consent_gateway.consent.choices import Choices
from consent_gateway.consent.enrolled import EnrolledLedger
from consent_gateway.consent.facts import FactsReader
from consent_gateway.database import HeldConnections, open_engine, refuse_unless_durable
from consent_gateway.errors import GatewayError
from consent_gateway.explain import Explain
from consent_gateway.gateway import Gateway
from consent_gateway.health import Health
from consent_gateway.migrate import refuse_unless_current, upgrade
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.people.enrolment import Enrolment
from consent_gateway.policy import Policies, archive, load_policies
from consent_gateway.ports import Clock, CustomerStore
from consent_gateway.protection.file_provider import FileKeyProvider
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.perform import Performer
from consent_gateway.protection.sealing import Sealing
from consent_gateway.settings import Settings, prepare_directories
from consent_gateway.writes import Writes

_LOG = logging.getLogger(__name__)
_SEAL_SECONDS = 1.0
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
    store: CustomerStore
    keyring: KeyRing
    sealing: Sealing
    recorder: Recorder
    gateway: Gateway
    writes: Writes
    choices: Choices
    enrolment: Enrolment
    registry: Registry
    tokens: Tokens
    assertions: Assertions
    idempotency: Idempotency
    explain: Explain
    health: Health
    clock: Clock
    issuer: str

    def close(self) -> None:
        """Commit what is queued and let go of every connection."""
        self.recorder.close()
        self.engine.dispose()


def upgrade_databases(settings: Settings) -> None:
    """Bring both databases to the newest schema. Done once, by one process, before the others start."""
    prepare_directories(settings)
    for url, chain in ((settings.database_url, "gateway"), (settings.key_database_url, "keys")):
        engine = open_engine(url, threads=1)
        upgrade(engine, "gateway" if chain == "gateway" else "keys")
        engine.dispose()
    if not settings.key_file.exists():
        FileKeyProvider.create(settings.key_file)
    open_signer(settings.log_key_file, settings.log_origin)


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


def open_services(settings: Settings, clock: Clock | None = None) -> Services:
    """The services of one process, over databases that are there already.

    Raises `SettingsRefused` for databases that are not current or not durable, and `PolicyInvalid`.
    """
    hand = clock or SystemClock()
    engine, key_engine = open_databases(settings)
    policies = load_policies(settings.policies)
    with engine.begin() as connection:
        archive.save(connection, policies, hand.now())
    keyring = KeyRing(FileKeyProvider(settings.key_file), key_engine, settings.tenant, hand)
    indexes = BlindIndex(keyring.index_key, settings.phone_region)
    store = SqlStore(
        settings.store_url,
        policies.catalogue,
        timeout=settings.store_timeout_ms / 1000,
        version_key=keyring.service_key("record-version"),
        threads=settings.threads,
    )
    sealed = (name for name, field in policies.catalogue.fields.items() if field.protection == "sealed")
    sealing = Sealing(keyring, sealed)
    facts = FactsReader(engine)
    recorder = open_recorder(engine, settings.state_dir)
    gateway = Gateway(
        policies=policies,
        facts=facts,
        indexes=indexes,
        store=store,
        sealing=sealing,
        performer=Performer(keyring, settings.tenant),
        recorder=recorder,
        clock=hand,
    )
    enrolment = Enrolment(
        engine=engine,
        store=store,
        catalogue=policies.catalogue,
        indexes=indexes,
        ledger=EnrolledLedger(),
        record_in=record_in,
        clock=hand,
    )
    writes = Writes(
        gateway=gateway,
        policies=policies,
        engine=engine,
        store=store,
        enrolment=enrolment,
        sealing=sealing,
        recorder=recorder,
        clock=hand,
    )
    tokens = Tokens(
        engine,
        HeldConnections(engine),
        hand,
        keyring.service_key("access-tokens"),
        life_seconds=settings.token_seconds,
        cache_seconds=settings.token_cache_seconds,
    )
    return Services(
        settings=settings,
        policies=policies,
        engine=engine,
        store=store,
        keyring=keyring,
        sealing=sealing,
        recorder=recorder,
        gateway=gateway,
        writes=writes,
        choices=Choices(
            engine=engine,
            facts=facts,
            indexes=indexes,
            record_in=record_in,
            clock=hand,
            purposes=tuple(policies.purposes),
            purposes_for_any=tuple(key for key, purpose in policies.purposes.items() if "choice" in purpose.groups),
        ),
        enrolment=enrolment,
        registry=Registry(engine, hand, keyring.service_key("client-secrets")),
        tokens=tokens,
        assertions=Assertions(engine, hand),
        idempotency=Idempotency(engine, hand, keyring.service_key("idempotency")),
        explain=Explain(engine, settings.state_dir, policies),
        health=Health(engine, store, recorder, policies.revision),
        clock=hand,
        issuer=settings.issuer,
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
    purges = (services.tokens.purge, services.assertions.purge, services.idempotency.purge)
    return Background(open_sealer(settings, services), purges)


def open_sealer(settings: Settings, services: Services) -> Sealer:
    """The sealer of the audit log; only one seals at a time, whoever holds the lock."""
    signer = open_signer(settings.log_key_file, settings.log_origin)
    return Sealer(services.engine, settings.state_dir, signer, services.clock)
