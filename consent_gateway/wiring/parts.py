"""The parts that services, doctor and worker are built of; decides nothing."""

import ssl
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import sqlalchemy as sa

from consent_gateway.audit.recorder import Recorder, open_recorder
from consent_gateway.connectors.sql import SqlStore
from consent_gateway.consent.facts import FactsReader
from consent_gateway.database import HeldConnections
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.people.index_keys import EXACT, IndexKeys
from consent_gateway.people.normalise import KINDS
from consent_gateway.people.search_rows import search_modes
from consent_gateway.people.suppression import SuppressionTags
from consent_gateway.policy import Policies, load_policies
from consent_gateway.ports import Clock
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.material import KeyGrant
from consent_gateway.protection.sealing import Sealing
from consent_gateway.settings import Settings
from consent_gateway.tracing import NO_TRACER, Tracer
from consent_gateway.wiring.databases import keys_were_made, open_databases
from consent_gateway.wiring.providers import open_key_provider


class SystemClock:
    """The machine's clock, in UTC."""

    def now(self) -> datetime:
        """The present moment."""
        return datetime.now(UTC)


class Closable(Protocol):
    """What holds connections: the parts, and the services made of them."""

    @property
    def recorder(self) -> Recorder:
        """What commits audit entries."""
        ...

    @property
    def held(self) -> HeldConnections:
        """The gateway database's connections of the hot path."""
        ...

    @property
    def engine(self) -> sa.Engine:
        """The gateway database."""
        ...

    @property
    def key_engine(self) -> sa.Engine:
        """The key database."""
        ...

    @property
    def keyring(self) -> KeyRing:
        """The keys."""
        ...

    @property
    def store(self) -> SqlStore:
        """The customer store."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
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
    tracer: Tracer
    tls: ssl.SSLContext  # trusts whom this machine trusts; reading them all takes as long as many requests


def open_parts(settings: Settings, clock: Clock, tracer: Tracer = NO_TRACER) -> Parts:
    """The parts over databases that are there already. Raises `SettingsRefused`, `PolicyInvalid`, `KeysUnavailable`."""
    policies = load_policies(settings.policies)
    engine, key_engine = open_databases(settings)
    with ExitStack() as opened:  # what was opened is let go where a later part does not open
        opened.callback(engine.dispose)
        opened.callback(key_engine.dispose)
        keyring = KeyRing(
            open_key_provider(settings, lambda: keys_were_made(settings)), key_engine, settings.tenant, clock, tracer
        )
        opened.callback(keyring.close)
        keyring.load()
        version_key = keyring.service_key("record-version")
        held = HeldConnections(engine)
        opened.callback(held.close)
        index_keys = IndexKeys(engine, keyring)
        index_keys.prepare(_index_names(policies))
        store = SqlStore(
            settings.store_url,
            policies.catalogue,
            timeout=settings.store_timeout_ms / 1000,
            version_key=version_key,
            threads=settings.threads,
        )
        opened.callback(store.close)
        parts = Parts(
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
            recorder=open_recorder(engine, settings.state_dir, tracer=tracer),
            tracer=tracer,
            tls=ssl.create_default_context(),
        )
        opened.pop_all()
    return parts


def close_parts(parts: Closable) -> None:
    """Commit what is queued and let go of every connection."""
    parts.recorder.close()
    parts.held.close()
    parts.engine.dispose()
    parts.keyring.close()
    parts.key_engine.dispose()
    parts.store.close()


def every_class(policies: Policies) -> KeyGrant:
    """The operator's grant: every key class of the catalogue, for acts over the whole store and never for a caller."""
    return KeyGrant(frozenset(policies.catalogue.key_classes.values()))


def _index_names(policies: Policies) -> set[tuple[str, str]]:
    """Kind and mode of every index there is: each kind's own, and those the catalogue asks for."""
    modes = search_modes(policies.catalogue)
    return {(kind, EXACT) for kind in KINDS} | {(kind, mode) for kind, each in modes.items() for mode in each}
