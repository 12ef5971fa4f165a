"""A key ring over a real key file and a fresh key database of both kinds."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from consent_gateway.database import open_engine
from consent_gateway.ports import Clock
from consent_gateway.protection.file_provider import FileKeyProvider
from consent_gateway.protection.keys import KeyRing
from tests.databases import build_schema


@pytest.fixture
def provider(tmp_path: Path) -> FileKeyProvider:
    """A provider over a fresh key file."""
    return FileKeyProvider.create(tmp_path / "root.key")


@pytest.fixture
def key_engine(key_database: str) -> Iterator[sa.Engine]:
    """An engine over a fresh key database, on both databases."""
    engine = open_engine(key_database, threads=24)
    build_schema(engine, "keys")
    yield engine
    engine.dispose()


@pytest.fixture
def keyrings(key_engine: sa.Engine, clock: Clock) -> Iterator[Callable[..., KeyRing]]:
    """Makes key rings over the same key database, as many processes have them, and closes them."""
    made: list[KeyRing] = []

    def make(provider: FileKeyProvider, tenant: str = "acme") -> KeyRing:
        made.append(KeyRing(provider, key_engine, tenant, clock))
        return made[-1]

    yield make
    for ring in made:
        ring.close()


@pytest.fixture
def keyring(provider: FileKeyProvider, keyrings: Callable[..., KeyRing]) -> KeyRing:
    """The key ring of the tenant `acme`."""
    return keyrings(provider)


@pytest.fixture
def another(provider: FileKeyProvider, keyrings: Callable[..., KeyRing]) -> Callable[[], KeyRing]:
    """Makes a ring over the same keys with nothing in memory, as another process has it."""
    return lambda: keyrings(provider)
