"""The erasure that a leading platform called complete, on a store of our own: here it is complete, or says what is not.

Its faults were a column without a data type, an identifier tagged as something else, an earlier access package in
clear, and rows that two people share.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from consent_gateway.connectors.erasing import SqlErasing
from consent_gateway.rights.erasure_records import State
from consent_gateway.rights.plan_model import Cause
from tests.erasing.world import TERMS, World, policy_of, remains

EMAIL = "customer-1@example.com"
TABLES = """
CREATE TABLE address (id INTEGER PRIMARY KEY, street TEXT, zip TEXT);
CREATE TABLE customer (id INTEGER PRIMARY KEY, email TEXT, name TEXT, address_id INTEGER REFERENCES address (id));
CREATE TABLE login (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer (id), time TEXT, agent BLOB);
CREATE TABLE payment_card (id TEXT PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customer (id), ccn BIGINT);
CREATE TABLE service_request (id TEXT PRIMARY KEY, email TEXT, opened TEXT);
INSERT INTO address VALUES (1, '4 Shared Lane 77', '10001'), (2, '9 Own Street 99', '20002');
INSERT INTO customer VALUES (1, 'customer-1@example.com', 'John Customerson', 2), (2, 'two@example.com', 'Jill Two', 1);
INSERT INTO login VALUES (1, 1, '2026-01-01', x'00616765'), (2, 2, '2026-01-02', x'00');
INSERT INTO payment_card VALUES ('card-one-4242', 1, 4242424242424242), ('card-two-1111', 2, 5555444433332222);
INSERT INTO service_request VALUES ('ser_1', 'customer-1@example.com', '2026-01-01');
"""
CANARIES = {EMAIL: "", "John Customerson": "", "9 Own Street 99": "", "4242424242424242": "", "card-one-4242": ""}


def field(name: str, category: str, **fides: object) -> dict[str, object]:
    """A field; without a data type, as theirs were."""
    return {"name": name, "data_categories": [category], "fides_meta": fides}


def reference(to: str) -> list[dict[str, str]]:
    """A reference to another collection's field."""
    return [{"dataset": "shop", "field": to, "direction": "from"}]


COLLECTIONS = [
    {
        "name": "customer",
        "meta": {"root": True},
        "fields": [
            field("id", "user.unique_id", primary_key=True),
            field("email", "user.contact.email", identity="email"),
            field("name", "user.name"),
            field("address_id", "system.operations"),
        ],
    },
    {
        "name": "address",
        "fields": [
            field("id", "system.operations", primary_key=True, references=reference("customer.address_id")),
            field("street", "user.contact.address.street"),
            field("zip", "user.contact.address.postal_code"),
        ],
    },
    {
        "name": "login",
        "fields": [
            field("id", "system.operations", primary_key=True),
            field("customer_id", "user.unique_id", references=reference("customer.id")),
            field("time", "user.sensor"),
            field("agent", "user.device"),
        ],
    },
    {
        "name": "payment_card",
        "fields": [
            field("id", "user.payment", primary_key=True),
            field("customer_id", "user.unique_id", references=reference("customer.id")),
            field("ccn", "user.financial"),
        ],
    },
]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A gateway."""
    made = World(tmp_path, f"sqlite:///{tmp_path / 'gateway.db'}")
    yield made
    made.close()


def tried(world: World, folder: Path, statements: str = "", *, shared: bool = False, mistagged: bool = True) -> object:
    """Erase customer 1 and give what became of it, and where canaries are left."""
    path = folder / "store.db"
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        for statement in (TABLES + statements).split(";"):
            connection.exec_driver_sql(statement)
        if shared:
            connection.exec_driver_sql("UPDATE customer SET address_id = 2")
        if not mistagged:
            connection.exec_driver_sql("DELETE FROM service_request")
    store = SqlErasing(f"sqlite:///{path}", timeout=60)
    policies = policy_of({"dataset": [{"fides_key": "shop", "collections": COLLECTIONS}]}, {"terms": [TERMS]})
    exports = folder / "exports"
    erasing, _closing = world.erasing(store, policies, folders=(exports,))
    person = world.person("ds_customer", "1")
    erased = erasing.execute(erasing.plan(person, request_id="dsr-1", by="officer").erasure_id, by="officer")
    left = remains(engine, CANARIES)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        assert connection.exec_driver_sql("SELECT count(*) FROM customer").scalar_one() == 1
    store.close()
    engine.dispose()
    return erased.state, {(one.where, one.cause) for one in erased.leftovers}, set(left)


def test_columns_without_a_type_go_like_any_other(world: World, tmp_path: Path) -> None:
    """Addresses, logins and card numbers that no one typed are gone with their rows, and that is the end of it."""
    assert tried(world, tmp_path, mistagged=False) == (State.ERASED, set(), set())


def test_an_identifier_under_another_name_is_found(world: World, tmp_path: Path) -> None:
    """`service_request.email`, declared nowhere, keeps the outcome from being called complete, and is named."""
    left = ("service_request.email", Cause.MENTION)
    assert tried(world, tmp_path) == (State.PARTIALLY_ERASED, {left}, {"service_request.email"})


def test_an_export_on_the_disk_is_found(world: World, tmp_path: Path) -> None:
    """An access package of before, in clear in a folder, is named."""
    exports = tmp_path / "exports"
    exports.mkdir()
    (exports / "package.json").write_text('{"email": "Customer-1@Example.com"}')
    outcome = tried(world, tmp_path, mistagged=False)
    assert outcome == (State.PARTIALLY_ERASED, {("package.json", Cause.FILE)}, set())


def test_a_row_that_two_people_share_stays_and_is_named(world: World, tmp_path: Path) -> None:
    """Two customers at one address: it stays the other's, and the outcome says so."""
    state, left, remaining = tried(world, tmp_path, shared=True, mistagged=False)  # type: ignore[misc]
    assert state is State.PARTIALLY_ERASED
    assert ("address", Cause.SHARED_ROW) in left
    assert remaining == {"address.street"}
