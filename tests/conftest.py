"""Fixtures every test may use: a real PostgreSQL server, fresh databases of both kinds, a clock that stands still."""

import gc
import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings

import consent_gateway.audit.tables
import consent_gateway.callers.tables
import consent_gateway.consent.tables
import consent_gateway.console.tables
import consent_gateway.customers.tables
import consent_gateway.officers.tables
import consent_gateway.people.tables
import consent_gateway.policy.archive
import consent_gateway.propagation.tables
import consent_gateway.reidentification.tables
import consent_gateway.rights.correction_tables
import consent_gateway.rights.erasure_tables
import consent_gateway.rights.retention_tables
import consent_gateway.rights.tables  # noqa: F401 - each import registers its room's tables
from consent_gateway.database import open_engine
from consent_gateway.people.index_keys import IndexKey, Listed
from consent_gateway.policy import loading
from tests.chromium import axe, chromium  # noqa: F401 - fixtures
from tests.databases import Lending, build_schema

if TYPE_CHECKING:
    from tests.deployment import Deployment
    from tests.peers.openbao import Server

settings.register_profile("tests", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "tests"))

ROOT = Path(__file__).resolve().parent.parent
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, rather than skip, what says that it concerns the other database: it is no test of this one."""
    kept, out = [], []
    for item in items:
        marks = [mark.args[0] for mark in item.iter_markers("only_on")]
        chosen = item.callspec.params.values() if isinstance(item, pytest.Function) and marks else ()
        (kept if not marks or marks[0] in {each for each in chosen if isinstance(each, str)} else out).append(item)
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = kept


def pytest_collection_finish() -> None:
    """Take all that is imported by now out of the garbage collector's sight, as nothing of it ever goes."""
    gc.collect()  # looking through it at each full collection takes longer than most tests
    gc.freeze()


class StillClock:
    """A clock whose hand the test moves."""

    def __init__(self, moment: datetime = NOON) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment


class FixedIndexKeys:
    """Index keys for tests that rotate none: one for each kind and mode, the same at every start."""

    def __init__(self, secret: Callable[[str, str], bytes] | None = None) -> None:
        self._secret = secret or (lambda kind, mode: hashlib.sha256(f"{kind}/{mode}".encode()).digest())

    def listed(self, kind: str, mode: str) -> Listed:
        return Listed(1, (IndexKey("k001", 1, self._secret(kind, mode)),))

    def settle(self, _connection: sa.Connection) -> None:
        pass

    def reload(self) -> None:
        pass


class NoNames:
    """Names for tests in which no recipient outside the company listens."""

    def name(self, _purpose: str, _recipient: str, _data_subject: str) -> str:
        raise AssertionError("nobody outside listens")


@pytest.fixture(scope="session", autouse=True)
def _compiled_once() -> Iterator[None]:
    """The same texts are the same policy: compiled once for a test process, however often a directory is loaded."""
    made = lru_cache(maxsize=8)(lambda texts, compiled=loading.policies_from: compiled(MappingProxyType(dict(texts))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "policies_from", lambda sources: made(tuple(sources.items())))
        yield


@pytest.fixture
def clock() -> StillClock:
    """A clock standing at noon UTC of 2026-11-22."""
    return StillClock()


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The administrative URL of a real PostgreSQL server, one for this test process."""
    from tests.deployment import start_postgresql

    server = start_postgresql(tmp_path_factory.mktemp("server"))
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@pytest.fixture(scope="session")
def openbao(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Server]":
    """A real OpenBao server, one for this test process; a test makes keys of its own in it."""
    from tests.peers.openbao import start

    server = start(tmp_path_factory.mktemp("openbao"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def lending(postgresql_server: str) -> Iterator[Lending]:
    """The databases of that server."""
    opened = Lending(postgresql_server)
    yield opened
    opened.close()


def _administer(server: str, statement: str) -> sa.URL:
    admin = sa.make_url(server).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(admin, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()
    return admin


def _create_database(server: str) -> str:
    name = f"t{uuid.uuid4().hex}"
    admin = _administer(server, f'CREATE DATABASE "{name}"')
    return admin.set(database=name).render_as_string(hide_password=False)


def _drop_database(server: str, url: str) -> None:
    _administer(server, f'DROP DATABASE "{sa.make_url(url).database}" WITH (FORCE)')


def _lent(request: pytest.FixtureRequest, folder: Path, schema: str) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{folder / 'gateway.db'}"
        return
    lending = request.getfixturevalue("lending")
    url = lending.lend(schema)
    yield url
    lending.take_back(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, empty database: once SQLite, once PostgreSQL."""
    yield from _lent(request, tmp_path, "empty")


@pytest.fixture(params=["sqlite", "postgresql"])
def gateway_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh database for the gateway's schema, which `build_schema` finds or makes there: once each."""
    yield from _lent(request, tmp_path, "gateway")


@pytest.fixture(params=["sqlite", "postgresql"])
def key_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh database for the key table, which `build_schema` finds or makes there: once each."""
    yield from _lent(request, tmp_path, "keys")


@pytest.fixture
def gateway_engine(gateway_database: str) -> Iterator[sa.Engine]:
    """An engine over a fresh gateway schema, on both databases."""
    engine = open_engine(gateway_database, threads=8)
    build_schema(engine, "gateway")
    yield engine
    engine.dispose()


@contextmanager
def places(request: pytest.FixtureRequest, folder: Path) -> Iterator[dict[str, str]]:
    """URLs at which a deployment below `folder` can be made, in databases of the kind that the fixture is asked for."""
    state, names = folder / "state", ("gateway", "keys", "store")
    state.mkdir(mode=0o700)
    if request.param == "sqlite":
        yield {name: f"sqlite:///{(folder if name == 'store' else state) / name}.db" for name in names}
        return
    server = sa.make_url(request.getfixturevalue("postgresql_server")).set(drivername="postgresql+psycopg")
    urls = {name: server.set(database=f"d{uuid.uuid4().hex}") for name in names}
    yield {name: url.render_as_string(hide_password=False) for name, url in urls.items()}
    for url in urls.values():
        _administer(str(request.getfixturevalue("postgresql_server")), f'DROP DATABASE "{url.database}" WITH (FORCE)')


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """URLs at which a deployment can be made: once all SQLite, once all PostgreSQL."""
    with places(request, tmp_path) as urls:
        yield urls


@pytest.fixture
def deployment(databases: dict[str, str], tmp_path: Path) -> "Deployment":
    """A small deployment of the coffee chain, on both databases."""
    from tests.deployment import deploy

    return deploy(tmp_path, databases)
