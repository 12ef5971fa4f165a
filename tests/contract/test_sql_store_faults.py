"""What the SQL store does when the database refuses, is slow, is away or is not as the catalogue says."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
import sqlalchemy as sa

from consent_gateway.conformance import ROWS, Rows, conformance_catalogue
from consent_gateway.conformance.sample import field
from consent_gateway.connectors.sql import SqlStore
from consent_gateway.errors import Conflict, InputRefused, StoreUnavailable
from consent_gateway.policy.catalogue import Catalogue, Collection, Field, Reference
from consent_gateway.ports import Page

MakeStore = Callable[[Catalogue, Rows], SqlStore]
KEY = b"v" * 32


@pytest.fixture
def open_store(empty_database: str) -> Iterator[Callable[..., SqlStore]]:
    """Opens a store on the fresh database after running SQL in it."""
    opened: list[SqlStore] = []

    def make(catalogue: Catalogue, *statements: str, timeout: float = 5.0) -> SqlStore:
        run(empty_database, *statements)
        opened.append(SqlStore(empty_database, catalogue, timeout=timeout, version_key=KEY, threads=2))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


def run(url: str, *statements: str) -> None:
    """Statements of the retailer's own."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()


def root_only(*columns: str, writable: bool = True) -> Catalogue:
    """A catalogue of one table `customers` with the key `customer_id`."""
    fields = (
        field("customers", "customer_id", primary_key=True),
        *(field("customers", column, writable=writable) for column in columns),
    )
    root = Collection("customers", "customers", fields, "customer_id", None, "customer_id")
    return catalogue_of(root)


def catalogue_of(root: Collection, *children: Collection) -> Catalogue:
    """A catalogue of these collections."""
    collections = {one.name: one for one in (root, *children)}
    fields: dict[str, Field] = {one.name: one for each in collections.values() for one in each.fields}
    return Catalogue("test", root, MappingProxyType(collections), MappingProxyType(fields))


def test_a_slow_statement_is_ended_in_time(open_store: Callable[..., SqlStore]) -> None:
    """A read that runs past the time-out is `StoreUnavailable`, and the next one is answered."""
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT count(*) FROM n"
    )
    store = open_store(
        root_only("email", "slow"),
        "CREATE TABLE people (customer_id INTEGER PRIMARY KEY, email VARCHAR(40))",
        "INSERT INTO people VALUES (1, 'ada@shop.test')",
        f"CREATE VIEW customers AS SELECT customer_id, email, ({endless}) AS slow FROM people",
        timeout=0.3,
    )
    with pytest.raises(StoreUnavailable) as raised:
        store.read("1", ("email", "slow"), Page())
    assert "ada@shop.test" not in raised.value.message
    assert "SELECT" not in raised.value.message
    record = store.read("1", ("email",), Page())
    assert record is not None
    assert record.values == {"email": "ada@shop.test"}


def test_a_locked_store_is_unavailable_and_recovers(open_store: Callable[..., SqlStore], empty_database: str) -> None:
    """A write that cannot get its lock in time is `StoreUnavailable` and changes nothing; later it succeeds."""
    store = open_store(
        root_only("email"),
        "CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, email VARCHAR(40))",
        "INSERT INTO customers VALUES (1, 'ada@shop.test')",
        timeout=0.2,
    )
    assert store.read("1", ("email",), Page())
    engine = sa.create_engine(empty_database)
    with engine.begin() as blocker:
        blocker.execute(sa.text("UPDATE customers SET email = 'held@shop.test' WHERE customer_id = 1"))
        with pytest.raises(StoreUnavailable):
            store.update("1", {"email": "new@shop.test"}, None)
        blocker.rollback()
    engine.dispose()
    store.update("1", {"email": "new@shop.test"}, None)
    record = store.read("1", ("email",), Page())
    assert record is not None
    assert record.values == {"email": "new@shop.test"}


def test_a_column_that_has_gone_makes_the_store_unavailable(make_sql_store: MakeStore, empty_database: str) -> None:
    """A read of a column dropped meanwhile is refused whole, `faults` names it, and other fields can be read."""
    store = make_sql_store(conformance_catalogue(), ROWS)
    assert store.read("1", ("email", "phone"), Page())
    run(empty_database, "ALTER TABLE customers DROP COLUMN phone")
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            store.read("1", ("email", "phone"), Page())
    assert len(store.faults()) == 1
    assert "column `phone` of table `customers`" in store.faults()[0]
    with pytest.raises(StoreUnavailable, match="no column `phone`"):
        store.read("1", ("email", "phone"), Page())
    assert store.read("1", ("email",), Page())


def test_faults_name_each_missing_table_with_its_mend(open_store: Callable[..., SqlStore]) -> None:
    """Every table the store lacks is named; a read of it is `StoreUnavailable`."""
    store = open_store(conformance_catalogue(), "CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, email TEXT)")
    faults = store.faults()
    assert [fault for fault in faults if "`orders`" in fault and "add the table" in fault]
    assert [fault for fault in faults if "column `phone`" in fault and "add the column" in fault]
    with pytest.raises(StoreUnavailable, match="no table `orders`"):
        store.read("1", ("orders.city",), Page())


def test_a_key_that_is_not_unique_is_a_fault_and_never_answered(open_store: Callable[..., SqlStore]) -> None:
    """Two rows under one key are two people: the fault is named, and neither a read nor a change happens."""
    store = open_store(
        root_only("email"),
        "CREATE TABLE customers (customer_id INTEGER, email VARCHAR(40))",
        "INSERT INTO customers VALUES (1, 'ada@shop.test'), (1, 'bo@shop.test')",
    )
    assert [fault for fault in store.faults() if "`customer_id`" in fault and "not unique" in fault]
    with pytest.raises(StoreUnavailable):
        store.read("1", ("email",), Page())
    with pytest.raises(StoreUnavailable):
        store.update("1", {"email": "x@shop.test"}, None)


def test_what_the_database_refuses_to_read_is_a_fault(open_store: Callable[..., SqlStore], empty_database: str) -> None:
    """A reference column of another type than the key is a fault on PostgreSQL, which will not compare them."""
    root = root_only("email").root
    notes = Collection(
        "notes", "notes",
        (field("notes", "note_id", primary_key=True), field("notes", "customer_id"), field("notes", "note")),
        "note_id", Reference("customer_id", "customers", "customer_id"), "note_id",
    )  # fmt: skip
    store = open_store(
        catalogue_of(root, notes),
        "CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, email TEXT)",
        "CREATE TABLE notes (note_id INTEGER PRIMARY KEY, customer_id DATE, note TEXT)",
    )
    faults = store.faults()
    assert bool(faults) == empty_database.startswith("postgresql")
    assert all("`notes`" in fault and "type of the key" in fault for fault in faults)


def test_references_that_go_round_are_a_fault(make_sql_store: MakeStore) -> None:
    """Collections that refer to each other and never to the root are named, and reads of them are refused."""
    catalogue = conformance_catalogue()
    lines = replace(catalogue.collections["order_lines"], reference=Reference("line_id", "line_notes", "line_id"))
    circle = replace(catalogue, collections={**catalogue.collections, "order_lines": lines})
    store = make_sql_store(circle, ROWS)
    assert len([fault for fault in store.faults() if "does not refer to the root" in fault]) == 2
    with pytest.raises(StoreUnavailable, match="does not refer to the root"):
        store.read("1", ("line_notes.note",), Page())


def test_a_value_without_a_json_form_denies(open_store: Callable[..., SqlStore], empty_database: str) -> None:
    """A record that holds what JSON cannot say is `StoreUnavailable` naming the columns, never answered in part."""
    infinity = "9e999" if empty_database.startswith("sqlite") else "'Infinity'"
    store = open_store(
        root_only("email", "score"),
        "CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, email TEXT, score FLOAT)",
        "INSERT INTO customers VALUES (1, 'ada@shop.test', " + infinity + ")",
    )
    with pytest.raises(StoreUnavailable, match="`score`"):
        store.read("1", ("email", "score"), Page())
    with pytest.raises(StoreUnavailable):
        store.update("1", {"score": 1.0}, None)
    assert store.read("1", ("email",), Page())


@pytest.mark.parametrize(
    ("changes", "kind", "pointer"),
    [
        ({"email": "bo@shop.test"}, Conflict, None),
        ({"name": None}, InputRefused, "/record/name"),
        ({"name": "x" * 11}, InputRefused, "/record/name"),
        ({"shop_id": 99}, InputRefused, "/record/shop_id"),
        ({"points": -1}, InputRefused, "/record/points"),
        ({"points": 1 << 70}, InputRefused, "/record/points"),
        ({"name": "nul \x00"}, InputRefused, "/record/name"),
        ({"shop_id": 99, "name": "Ada", "points": 5}, InputRefused, "/record/shop_id"),
        ({"email": "bo@shop.test", "name": "Ada", "points": 5}, Conflict, None),
        ({"name": "\ud800"}, InputRefused, "/record/name"),
    ],
)
def test_what_the_store_refuses_is_told_by_field_and_never_by_value(
    open_store: Callable[..., SqlStore],
    empty_database: str,
    changes: dict[str, str],
    kind: type[Conflict],
    pointer: str | None,
) -> None:
    """Broken rules of the store become `Conflict` or `InputRefused` with the field; nothing is changed."""
    store = open_store(
        root_only("email", "name", "points", "shop_id"),
        "CREATE TABLE shops (shop_id INTEGER PRIMARY KEY)",
        "INSERT INTO shops VALUES (1)",
        "CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, email VARCHAR(40) UNIQUE, name VARCHAR(10) NOT NULL,"
        " points INTEGER CHECK (points >= 0), shop_id INTEGER REFERENCES shops (shop_id))",
        "INSERT INTO customers VALUES (1, 'ada@shop.test', 'Ada', 5, 1), (2, 'bo@shop.test', 'Bo', 5, 1)",
    )
    before = store.read("1", ("email", "name", "points", "shop_id"), Page())
    with pytest.raises(kind) as raised:
        store.update("1", changes, None)
    told = f"{raised.value} {getattr(raised.value, 'faults', '')}"
    assert next(iter(changes)) in told
    assert empty_database.startswith("sqlite") or not any(f"`{name}`" in told for name in list(changes)[1:])
    assert "bo@shop.test" not in told
    assert "violates" not in told
    if pointer:
        assert isinstance(raised.value, InputRefused)
        pointers = [fault.pointer for fault in raised.value.faults]
        assert pointer in pointers  # SQLite does not say which reference broke, so every field changed is named
        assert empty_database.startswith("sqlite") or pointers == [pointer]
    assert store.read("1", ("email", "name", "points", "shop_id"), Page()) == before
    assert raised.value.__suppress_context__ or raised.value.__context__ is None  # no driver text in a traceback


def test_a_create_without_what_the_table_needs_names_it(open_store: Callable[..., SqlStore]) -> None:
    """A column that must have a value and a text key the store does not make are named; nothing is inserted."""
    store = open_store(
        root_only("email"), "CREATE TABLE customers (customer_id VARCHAR(9) PRIMARY KEY, email VARCHAR(40) NOT NULL)"
    )
    with pytest.raises(InputRefused) as raised:
        store.create({"email": "di@shop.test"})
    assert [fault.pointer for fault in raised.value.faults] == ["/record/customer_id"]
    with pytest.raises(InputRefused) as raised:
        store.create({"customer_id": "c-1"})
    assert [fault.pointer for fault in raised.value.faults] == ["/record/email"]
    assert store.count() == 0
    assert store.create({"customer_id": "c-1", "email": "di@shop.test"}) == "c-1"


def test_two_writers_with_one_version_cannot_both_win(make_sql_store: MakeStore) -> None:
    """Of several threads that change a record they read at the same version, exactly one succeeds."""
    store = make_sql_store(conformance_catalogue(), ROWS)
    record = store.read("1", ("points",), Page())
    assert record is not None
    outcomes: list[str] = []
    start = threading.Barrier(4)

    def change(points: int) -> None:
        start.wait()
        try:
            store.update("1", {"points": points}, record.version)
            outcomes.append("won")
        except Conflict:
            outcomes.append("lost")

    threads = [threading.Thread(target=change, args=(100 + n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost", "lost", "lost", "won"]


def test_a_store_that_is_away_is_unavailable_until_it_is_back(tmp_path: Path) -> None:
    """A missing SQLite file is never made; once the retailer puts it there the same store answers."""
    path = tmp_path / "shop ?#.db"
    url = sa.URL.create("sqlite", database=str(path)).render_as_string()
    store = SqlStore(url, root_only("email"), timeout=1.0, version_key=KEY)
    for call in (lambda: store.read("1", ("email",), Page()), store.count, store.faults):
        with pytest.raises(StoreUnavailable) as raised:
            call()
        assert str(path) not in raised.value.message
    assert list(tmp_path.iterdir()) == []
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, email TEXT)")
    connection.close()
    assert store.count() == 0
    store.close()


def test_a_refused_connection_is_unavailable() -> None:
    """A server that is not there is `StoreUnavailable`, and the message holds neither host nor password."""
    url = "postgresql://shop:sesame@127.0.0.1:1/shop"
    store = SqlStore(url, root_only("email"), timeout=1.0, version_key=KEY)
    with pytest.raises(StoreUnavailable) as raised:
        store.read("1", ("email",), Page())
    assert "sesame" not in raised.value.message
    assert "127.0.0.1" not in raised.value.message
    store.close()


def test_lost_connections_are_replaced(make_sql_store: MakeStore, empty_database: str) -> None:
    """After the server ended every connection, as a restart does, the next read and write are answered."""
    store = make_sql_store(conformance_catalogue(), ROWS)
    assert store.read("1", ("email",), Page())
    store.update("1", {"points": 1}, None)
    if empty_database.startswith("postgresql"):
        run(
            empty_database,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
    else:
        store._held._held.connection.connection.dbapi_connection.close()
    assert store.read("1", ("email",), Page())
    store.update("1", {"points": 2}, None)


def test_the_retailers_file_keeps_its_journal_and_schema(tmp_path: Path) -> None:
    """Reading and writing a SQLite store leaves its journal mode and its schema as they were."""
    path = tmp_path / "shop.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, email TEXT);"
        "INSERT INTO customers VALUES (1, 'a@b.test')"
    )
    before = connection.execute("SELECT sql FROM sqlite_schema").fetchall()
    store = SqlStore(f"sqlite:///{path}", root_only("email"), timeout=1.0, version_key=KEY)
    assert store.read("1", ("email",), Page())
    store.update("1", {"email": "b@b.test"}, None)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert connection.execute("SELECT sql FROM sqlite_schema").fetchall() == before
    connection.close()
    store.close()
    assert [one.name for one in tmp_path.iterdir()] == ["shop.db"]


def test_the_plans_kept_are_bounded(make_sql_store: MakeStore) -> None:
    """However many sets of fields are asked, no more than the bound of them is kept."""
    store = make_sql_store(conformance_catalogue(), ROWS)
    planner = store._learn().planner
    planner._most = 3
    for names in (("email",), ("phone",), ("points",), ("email",), ("country",), ("email", "phone")):
        store.read("1", names, Page())
    assert list(planner._plans) == [frozenset(["email"]), frozenset(["country"]), frozenset(["email", "phone"])]
