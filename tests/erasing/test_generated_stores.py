"""Erasing in 500 generated stores: nothing is called erased while a planted canary is left anywhere."""

import os
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from consent_gateway.connectors.erasing import SqlErasing
from consent_gateway.rights.certificate import verify_certificate
from consent_gateway.rights.erasure_records import Erasure, State
from tests.conftest import _create_database, _drop_database
from tests.erasing.shops import TARGET, Shop
from tests.erasing.world import World, policy_of_shop, remains

SOAK = bool(os.environ.get("SOAK"))
ON_SQLITE = range(500 if SOAK else 40)
ON_POSTGRESQL = range(7, 507 if SOAK else 13)
"""Which of the shops are erased from; those on PostgreSQL are of the same."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One gateway for all shops."""
    folder = tmp_path_factory.mktemp("erasing")
    made = World(folder, f"sqlite:///{folder / 'gateway.db'}")
    yield made
    made.close()


def erase(world: World, number: int, url: str, folder: Path) -> tuple[Shop, Erasure, list[str]]:
    """Erase the customer of one shop; what is wrong afterwards, in words."""
    shop = Shop(number)
    plain = sa.make_url(url)
    engine = sa.create_engine(plain if plain.drivername == "sqlite" else plain.set(drivername="postgresql+psycopg"))
    shop.load(engine)
    before = others(engine, shop)
    for name, content in shop.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    store = SqlErasing(url, timeout=60)
    try:
        person = world.person(f"ds_{url.partition(':')[0][:2]}_{number}", str(TARGET))
        erasing, _closing = world.erasing(store, policy_of_shop(shop), folders=(folder,))
        planned = erasing.plan(person, request_id=f"dsr-{person}", by="officer")
        erased = erasing.execute(planned.erasure_id, by="officer")
        wrong = [*unnamed(engine, folder, shop, erased), *broken(engine, shop, before)]
        assert erased.certificate is not None
        told = verify_certificate(erased.certificate, world.certificates.key_set)
        assert told["outcome"] == erased.state
        for canary in shop.canaries:
            assert canary.encode() not in erased.certificate
        return shop, erased, wrong
    finally:
        store.close()
        engine.dispose()


def unnamed(engine: sa.Engine, folder: Path, shop: Shop, erased: Erasure) -> list[str]:
    """Canaries that are left and that nothing names."""
    left = remains(engine, shop.canaries)
    path = engine.url.database if engine.dialect.name == "sqlite" else None
    wrong = []
    named = {one.where for one in erased.leftovers} | {one.field for one in erased.fields if one.kept}
    for where in left:
        table = where.partition(".")[0]
        column = where if table != "customers" else where.partition(".")[2]
        if not any(one in {where, table, column} or one.startswith(f"{table}.") for one in named):
            wrong.append(f"{where} is not named")
    files = {one.where for one in erased.leftovers if one.place == str(folder)}
    wrong += [f"{name} is not named" for name in shop.files if name not in files]
    if erased.state is State.ERASED and (left or shop.files):
        wrong.append(f"called erased with {sorted(left)} left")
    if erased.state is State.ERASED and path is not None:
        raw = Path(path).read_bytes()
        wrong += [f"{canary} in the file" for canary in shop.canaries if canary.encode() in raw]
    return wrong


def broken(engine: sa.Engine, shop: Shop, before: dict[tuple[str, str], dict[str, object]]) -> list[str]:
    """What of the store's rules or of other people's rows the erasure broke."""
    wrong = []
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            wrong += [f"foreign key {row}" for row in connection.exec_driver_sql("PRAGMA foreign_key_check")]
            wrong += [
                f"integrity {row}" for row in connection.exec_driver_sql("PRAGMA integrity_check") if row[0] != "ok"
            ]
    after = others(engine, shop)
    links = {(t.name, c) for t in shop.tables for k in t.keys for c in k.columns}
    for key, row in before.items():
        if key not in after:
            wrong.append(f"another person's row of {key[0]} is gone")
            continue
        for column, value in row.items():
            if after[key][column] != value and not ((key[0], column) in links and after[key][column] is None):
                wrong.append(f"another person's {key[0]}.{column} was changed")
    return wrong


def others(engine: sa.Engine, shop: Shop) -> dict[tuple[str, str], dict[str, object]]:
    """Every row that holds nothing of the customer's, by table and key."""
    found = {}
    tables = sa.MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        for one in shop.tables:
            table = tables.tables[one.name]
            raw = [sa.type_coerce(column, sa.types.NullType()).label(column.name) for column in table.columns]
            for row in connection.execute(sa.select(*raw)).mappings():
                text = repr(dict(row))
                mine = any(canary in text for canary in shop.canaries) or _points_to_target(one.name, dict(row))
                key = repr([row[column] for column in one.key] or text)
                if not mine:
                    found[one.name, key] = dict(row)
    return found


def _points_to_target(table: str, row: dict[str, object]) -> bool:
    return table == "customers" and row["customer_id"] == TARGET


def report(number: int, erased: Erasure, wrong: list[str]) -> str:
    """What to show of a shop that failed."""
    left = [(one.where, one.cause.value) for one in erased.leftovers]
    return f"shop {number}: {erased.state}: {wrong}; left {left}"


def test_nothing_is_called_erased_with_a_canary_left(world: World, tmp_path: Path) -> None:
    """On SQLite: every canary left is named, constraints hold, other people's rows are as they were."""
    failures, complete = [], 0
    for number in ON_SQLITE:
        folder = tmp_path / f"shop{number}"
        folder.mkdir()
        path = tmp_path / f"shop{number}.db"
        sa.create_engine(f"sqlite:///{path}").connect().close()
        try:
            _shop, erased, wrong = erase(world, number, f"sqlite:///{path}", folder)
        except Exception:
            failures.append(f"shop {number}: {traceback.format_exc(limit=-4)}")
            continue
        complete += erased.state is State.ERASED
        failures += [report(number, erased, wrong)] if wrong else []
    assert not failures, "\n".join(failures)
    assert complete >= len(ON_SQLITE) // 10  # it is not that nothing is ever called erased


def test_the_same_holds_on_postgresql(world: World, tmp_path: Path, postgresql_server: str) -> None:
    """On PostgreSQL, for a share of the shops."""
    failures, complete = [], 0
    for number in ON_POSTGRESQL:
        folder = tmp_path / f"shop{number}"
        folder.mkdir()
        url = _create_database(postgresql_server)
        try:
            _shop, erased, wrong = erase(world, number, url, folder)
            complete += erased.state is State.ERASED
            failures += [report(number, erased, wrong)] if wrong else []
        except Exception:
            failures.append(f"shop {number}: {traceback.format_exc(limit=-4)}")
        finally:
            _drop_database(postgresql_server, url)
    assert not failures, "\n".join(failures)
    assert complete
