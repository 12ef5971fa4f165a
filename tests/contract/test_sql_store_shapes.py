"""Retailers' tables of other shapes: references by other columns, text keys, shared attributes, blank identities."""

from collections.abc import Callable, Iterator
from types import MappingProxyType

import pytest
import sqlalchemy as sa

from consent_gateway.conformance.sample import field
from consent_gateway.connectors.sql import SqlStore
from consent_gateway.errors import InputRefused
from consent_gateway.policy.catalogue import Catalogue, Collection, Reference
from consent_gateway.ports import Page


@pytest.fixture
def open_store(empty_database: str) -> Iterator[Callable[..., SqlStore]]:
    """Opens a store on the fresh database after running SQL in it."""
    opened: list[SqlStore] = []

    def make(catalogue: Catalogue, *statements: str) -> SqlStore:
        engine = sa.create_engine(empty_database)
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))
        engine.dispose()
        opened.append(SqlStore(empty_database, catalogue, timeout=5.0, version_key=b"v" * 32, threads=2))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


def by_email() -> Catalogue:
    """Customers with a text key; newsletters refer to them by their e-mail address, addresses by their key."""
    customers = Collection(
        "customers",
        "customers",
        (
            field("customers", "customer_id", primary_key=True, identity="external_id"),
            field("customers", "email", identity="email", writable=True),
            field("customers", "joined", attribute="member"),
        ),
        "customer_id",
        None,
        "customer_id",
    )
    letters = Collection(
        "letters",
        "letters",
        (field("letters", "letter_id", primary_key=True), field("letters", "email"), field("letters", "topic")),
        "letter_id",
        Reference("email", "customers", "email"),
        "topic",
    )
    addresses = Collection(
        "addresses",
        "addresses",
        (
            field("addresses", "address_id", primary_key=True),
            field("addresses", "customer_id"),
            field("addresses", "country", attribute="country"),
            field("addresses", "phone", identity="phone"),
        ),
        "address_id",
        Reference("customer_id", "customers", "customer_id"),
        "address_id",
    )
    collections = {one.name: one for one in (customers, letters, addresses)}
    fields = {one.name: one for each in collections.values() for one in each.fields}
    return Catalogue("test", customers, MappingProxyType(collections), MappingProxyType(fields))


TABLES = (
    "CREATE TABLE customers (customer_id VARCHAR(12) PRIMARY KEY, email VARCHAR(40), joined BOOLEAN)",
    "CREATE TABLE letters (letter_id INTEGER PRIMARY KEY, email VARCHAR(40), topic VARCHAR(20))",
    "CREATE TABLE addresses (address_id INTEGER PRIMARY KEY, customer_id VARCHAR(12), country CHAR(2), phone TEXT)",
    "INSERT INTO customers VALUES ('c-1', 'home@shop.test', TRUE), ('c-2', 'home@shop.test', FALSE)",
    "INSERT INTO customers VALUES ('c-3', NULL, NULL)",
    "INSERT INTO letters VALUES (1, 'home@shop.test', 'tea'), (2, 'home@shop.test', 'tea'), (3, NULL, 'lost')",
    "INSERT INTO addresses VALUES (1, 'c-1', 'DE', '+49 1'), (2, 'c-1', 'DE', '+49 2'), (3, 'c-1', 'DE', '+49 1')",
    "INSERT INTO addresses VALUES (4, 'c-2', 'DE', ' '), (5, 'c-2', 'FR', ''), (6, 'c-3', NULL, NULL)",
)


def test_a_reference_need_not_be_to_the_key(open_store: Callable[..., SqlStore]) -> None:
    """Rows that refer by another column are found once each, and a null refers to nobody."""
    store = open_store(by_email(), *TABLES)
    assert list(store.faults()) == []
    for key, letters in (("c-1", [1, 2]), ("c-2", [1, 2]), ("c-3", [])):
        record = store.read(key, ("letters.letter_id",), Page())
        assert record is not None
        assert [row["letter_id"] for row in record.children["letters"]] == letters


def test_enrolment_gathers_children_and_guesses_nothing(open_store: Callable[..., SqlStore]) -> None:
    """Identities of child rows come once each, blank ones not at all; an attribute on which rows differ is left out."""
    store = open_store(by_email(), *TABLES)
    first, second, third = store.identities(None, 10)
    assert sorted(first.identities) == [
        ("email", "home@shop.test"),
        ("external_id", "c-1"),
        ("phone", "+49 1"),
        ("phone", "+49 2"),
    ]
    assert first.attributes == {"country": "DE", "member": "true"}
    assert sorted(second.identities) == [("email", "home@shop.test"), ("external_id", "c-2")]
    assert second.attributes == {"member": "false"}
    assert list(third.identities) == [("external_id", "c-3")]
    assert third.attributes == {}


def test_enrolment_pages_keep_children_with_their_record(open_store: Callable[..., SqlStore]) -> None:
    """Pages of one record give what one page of all gives."""
    store = open_store(by_email(), *TABLES)
    whole = list(store.identities(None, 10))
    single = [store.identities(after, 1)[0] for after in (None, "c-1", "c-2")]
    assert single == whole


def test_bounds_of_pages_are_refused(open_store: Callable[..., SqlStore]) -> None:
    """A page that is too large or empty, and a position that is no key, are refused before the store is asked."""
    store = open_store(by_email(), *TABLES)
    for call in (
        lambda: store.read("c-1", ("email",), Page(limit=1001)),
        lambda: store.identities(None, 0),
        lambda: store.identities(None, 1001),
        lambda: store.identities("\x00", 1),
    ):
        with pytest.raises(InputRefused):
            call()


def test_what_looks_like_sql_is_only_text(open_store: Callable[..., SqlStore]) -> None:
    """Values and keys with quotes, comments and percent signs are stored and compared as they are."""
    store = open_store(by_email(), *TABLES)
    nasty = "x'); DROP TABLE--%s %(key)s ?"
    store.update("c-1", {"email": nasty}, None)
    record = store.read("c-1", ("email",), Page())
    assert record is not None
    assert record.values == {"email": nasty}
    assert store.read("c-1' OR '1", ("email",), Page()) is None
    assert store.count() == 3
