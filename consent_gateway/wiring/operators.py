"""Builds what operators' commands work with beside the services: the work on keys, and the doctor; decides nothing."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from consent_gateway.doctor import Doctor, Patient
from consent_gateway.erasures import Erasures
from consent_gateway.key_accounts import AccountForKeys
from consent_gateway.ports import Clock
from consent_gateway.protection.upkeep import KeyUpkeep
from consent_gateway.settings import Settings
from consent_gateway.store_scan import StoreScan
from consent_gateway.wiring.databases import keys_were_made, open_databases
from consent_gateway.wiring.parts import SystemClock, close_parts, every_class, open_parts
from consent_gateway.wiring.providers import open_key_provider

_UPKEEP_SECONDS = 60  # a block of the key table of ten million people takes longer to read than a request may


@contextmanager
def open_upkeep(settings: Settings, clock: Clock | None = None) -> Iterator[KeyUpkeep]:
    """The operator's work on the keys, over databases that are there already; its process does nothing else.

    Not a part of `Services`, which make named keys when they open: a key database to restore into must be empty.
    """
    engine, key_engine = open_databases(settings, key_statement_seconds=_UPKEEP_SECONDS)
    with ExitStack() as opened:
        opened.callback(engine.dispose)
        opened.callback(key_engine.dispose)
        upkeep = KeyUpkeep(
            open_key_provider(settings, lambda: keys_were_made(settings)),
            key_engine,
            settings.tenant,
            clock or SystemClock(),
            AccountForKeys(engine, settings.state_dir),
        )
        opened.callback(upkeep.close)
        yield upkeep


def open_doctor(settings: Settings, secrets: tuple[Path, ...] = (), clock: Clock | None = None) -> Doctor:
    """The doctor of an installation, sound or not; opens its parts when it looks, and archives no policy."""

    def open_patient() -> Patient:
        parts = open_parts(settings, clock or SystemClock())
        scan = StoreScan(
            engine=parts.engine,
            store=parts.store,
            catalogue=parts.policies.catalogue,
            keyring=parts.keyring,
            grant=every_class(parts.policies),
            tags=parts.tags,
        )
        return Patient(
            engine=parts.engine,
            keyring=parts.keyring,
            store=parts.store,
            scan=scan,
            erasures=Erasures(engine=parts.engine, store=parts.store, keyring=parts.keyring),
            recorder=parts.recorder,
            clock=parts.clock,
            close=partial(close_parts, parts),
        )

    return Doctor(settings, secrets, open_patient)
