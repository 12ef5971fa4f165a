"""`make bench`: what enforcement costs, measured side by side in one run, on SQLite and PostgreSQL.

Prints ratios of a gated read to a bare endpoint that reads the same row of the same store, the cost of each step
of the line, the CPU of authentication and protection, the preference page, how soon a channel hears of a choice, and
decisions a second. `--quick` takes about a minute. Nothing here asserts: figures are read, not tested.
"""

import argparse
import platform
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import sqlalchemy as sa

from bench.closing import closing_costs
from bench.decisions import decisions_a_second
from bench.delivery import delivery_times
from bench.evidence import evidence_costs
from bench.fields import COLUMNS, PURPOSE
from bench.load import Load, run
from bench.page import page_costs
from bench.protection import protection_costs
from bench.rights import rights_costs
from bench.servers import bare_server
from bench.steps import step_costs
from tests.deployment import Deployment, deploy, free_port, running, start_postgresql

_KINDS = ("SQLite", "PostgreSQL")


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer customers, shorter rounds")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument(
        "--log", type=int, metavar="ENTRIES", help="only the log, grown tenfold from 100,000 to so many"
    )
    parser.add_argument("--database", choices=_KINDS, help="only on this one, with --log")
    given = parser.parse_args()
    if given.log:
        _grow_log(given.log, (given.database,) if given.database else _KINDS)
    else:
        _everything(given.connections, quick=given.quick)


def _grow_log(entries: int, kinds: tuple[str, ...]) -> None:
    sizes = [min(100_000, entries)]
    while sizes[-1] < entries:
        sizes.append(min(sizes[-1] * 10, entries))
    for line in _evidence(tuple(sizes), kinds):
        print(line, flush=True)


def _everything(connections: int, *, quick: bool) -> None:
    customers, seconds, rounds = (500, 2.0, 2) if quick else (20_000, 6.0, 3)
    names = ("granian", "flask", "sqlalchemy", "psycopg", "orjson", "cryptography")
    print(f"Python {platform.python_version()}; " + ", ".join(f"{name} {version(name)}" for name in names))
    print(
        "bare: Flask, SELECT by primary key through SQLAlchemy Core with its defaults, jsonify; granian 2 x 8 threads."
    )
    print(f"gated: GET /v1/customers/{{id}} for {PURPOSE}, the same {len(COLUMNS)} columns: token, facts, decision,")
    print("       store, protection, durable audit entry, answer; granian 2 x 32 threads, a core for each worker.")
    print(f"load: {connections} connections, {seconds:.0f} s a round, {rounds} alternating rounds, medians.\n")
    with tempfile.TemporaryDirectory(prefix="cg-bench-") as folder:
        for kind, databases in _databases(Path(folder)):
            place = Path(folder) / kind
            deployment = deploy(place, databases, customers)
            _compare(kind, deployment, connections, seconds, rounds)
            for line in (*step_costs(deployment), *protection_costs(deployment, 500 if quick else 3000)):
                print("   " + line)
            for line in page_costs(deployment, 50 if quick else 300):
                print("   " + line)
            for line in delivery_times(deployment, 20 if quick else 200):
                print("   " + line)
            print()
    for line in decisions_a_second(quick):
        print(line)
    for line in _closings(20_000 if quick else 100_000):
        print(line)
    for line in _evidence((2_000, 8_000) if quick else (25_000, 100_000)):
        print(line)
    for line in _rights():
        print(line)


def _closings(people: int) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="cg-bench-") as folder:
        yield from closing_costs("SQLite", f"sqlite:///{folder}/keys.db", people)
        with _postgresql(Path(folder)) as admin:
            url = admin.set(database="keys").render_as_string(hide_password=False)
            yield from closing_costs("PostgreSQL", url, people)


def _evidence(sizes: tuple[int, ...], kinds: tuple[str, ...] = _KINDS) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="cg-bench-") as folder:
        for kind, databases in _databases(Path(folder)):
            if kind in kinds:
                yield from evidence_costs(kind, deploy(Path(folder) / kind, databases, customers=20), sizes)


def _rights() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="cg-bench-") as folder:
        sa.create_engine(f"sqlite:///{folder}/store.db").connect().close()
        yield from rights_costs("SQLite", f"sqlite:///{folder}/gateway.db", f"sqlite:///{folder}/store.db")
        with _postgresql(Path(folder)) as admin:
            gateway, store = (
                admin.set(database=one).render_as_string(hide_password=False) for one in ("gateway", "store")
            )
            yield from rights_costs("PostgreSQL", gateway, store)


def _databases(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    for kind in _KINDS:
        (folder / kind / "state").mkdir(parents=True, mode=0o700)
    place = folder / "SQLite"
    urls = {name: f"sqlite:///{place / 'state' / name}.db" for name in ("gateway", "keys")}
    yield "SQLite", {**urls, "store": f"sqlite:///{place}/store.db"}
    with _postgresql(folder) as admin:
        yield "PostgreSQL", {name: admin.set(database=name).render_as_string(hide_password=False) for name in _NAMES}


_NAMES = ("gateway", "keys", "store")


@contextmanager
def _postgresql(folder: Path) -> Iterator[sa.URL]:
    server = start_postgresql(folder)
    try:
        admin = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        engine = sa.create_engine(admin, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text("ALTER SYSTEM SET max_connections = 400"))
            for name in _NAMES:
                connection.execute(sa.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        server.stop()
        server.start()
        yield admin
    finally:
        server.cleanup()


def _compare(kind: str, deployment: Deployment, connections: int, seconds: float, rounds: int) -> None:
    deployment.variables |= {"CONSENT_GATEWAY_THREADS": "32", "CONSENT_GATEWAY_WORKERS": "2"}
    engine = sa.create_engine(_plain(deployment.variables["CONSENT_GATEWAY_DATABASE_URL"]))
    with engine.connect() as connection:
        people = connection.execute(sa.text("SELECT data_subject, store_key FROM people LIMIT 2000")).all()
    engine.dispose()
    fields = ",".join(COLUMNS)
    gated_paths = [f"/v1/customers/{person}?purpose={PURPOSE}&fields={fields}" for person, _ in people]
    bare_paths = [f"/customers/{key}" for _, key in people]
    pairs: list[tuple[Load, Load]] = []
    bare_port = free_port()
    with bare_server(bare_port, _plain(deployment.retailer)), running(deployment) as served:
        token = served.token("till")
        port = int(deployment.variables["CONSENT_GATEWAY_PORT"])
        for _ in range(rounds):
            bare = run(bare_port, bare_paths, None, connections=connections, seconds=seconds)
            gated = run(port, gated_paths, token, connections=connections, seconds=seconds)
            pairs.append((bare, gated))
    rate = statistics.median(gated.rate / bare.rate for bare, gated in pairs)
    tail = statistics.median(gated.p99_ms / bare.p99_ms for bare, gated in pairs)
    print(f"{kind}: gated / bare = {rate:.2f} of the requests a second; p99 ratio {tail:.2f}")
    for name, index in (("bare", 0), ("gated", 1)):
        loads = [pair[index] for pair in pairs]
        print(
            f"   {name:6} {statistics.median(load.rate for load in loads):8.0f}/s"
            f"   median {statistics.median(load.median_ms for load in loads):6.1f} ms"
            f"   p99 {statistics.median(load.p99_ms for load in loads):6.1f} ms"
            f"   answers that were not 200: {sum(load.bad for load in loads)}"
        )


def _plain(url: str) -> str:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed.render_as_string(hide_password=False)


main()
