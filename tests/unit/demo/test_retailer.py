"""The invented retailer: equal seeds give equal rows, the rows hold together, and nothing real is in them."""

import sqlite3
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from consent_gateway.demo.cast import CAST
from consent_gateway.demo.customers import TODAY
from consent_gateway.demo.places import COUNTRIES, phone
from consent_gateway.demo.retailer import build_retailer
from consent_gateway.errors import IdentifierRefused
from consent_gateway.people.normalise import normalise
from consent_gateway.vocabulary import Identifier

CUSTOMERS = 1500


def _dump(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A small build, open for questions."""
    path = tmp_path_factory.mktemp("shop") / "retailer.db"
    build_retailer(path, customers=CUSTOMERS)
    connection = sqlite3.connect(path)
    yield connection
    connection.close()


def test_equal_seeds_give_equal_databases_and_another_seed_another(tmp_path: Path) -> None:
    """Two builds from one seed have the same logical dump; another seed gives another."""
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        build_retailer(tmp_path / name, customers=120, seed=seed)
    assert _dump(tmp_path / "a") == _dump(tmp_path / "b")
    assert _dump(tmp_path / "a") != _dump(tmp_path / "c")


def test_a_smaller_build_is_the_beginning_of_a_larger_one(tmp_path: Path) -> None:
    """The first customers are the same people whatever the size of the build."""
    firsts = []
    for size in (50, 90):
        build_retailer(tmp_path / str(size), customers=size)
        connection = sqlite3.connect(tmp_path / str(size))
        firsts.append(connection.execute("SELECT * FROM customers WHERE customer_id <= 50").fetchall())
        connection.close()
    assert firsts[0] == firsts[1]


def test_an_interrupted_build_leaves_no_database(tmp_path: Path) -> None:
    """A build that fails half-way leaves nothing under the name of a whole one."""

    def interrupt(_what: str, done: int, _total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_retailer(tmp_path / "retailer.db", customers=40, progress=interrupt)
    assert not (tmp_path / "retailer.db").exists()
    build_retailer(tmp_path / "retailer.db", customers=40)
    assert (tmp_path / "retailer.db").exists()


def test_every_reference_points_at_a_row(shop: sqlite3.Connection) -> None:
    """The foreign keys hold and the file is sound."""
    assert shop.execute("PRAGMA foreign_key_check").fetchall() == []
    assert shop.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert shop.execute("SELECT count(*) FROM customers").fetchone() == (CUSTOMERS,)


def test_totals_are_the_sum_of_their_lines(shop: sqlite3.Connection) -> None:
    """An order's total is what its lines cost."""
    wrong = shop.execute(
        "SELECT count(*) FROM orders o WHERE total_cents <>"
        " (SELECT sum(quantity * unit_price_cents) FROM order_lines l WHERE l.order_id = o.order_id)"
    ).fetchone()
    assert wrong == (0,)


def test_nothing_is_later_than_the_day_of_the_demo(shop: sqlite3.Connection) -> None:
    """All times lie on or before the demo's day, and no row is updated before it was made."""
    for table, column in (("customers", "updated_at"), ("orders", "ordered_at"), ("visits", "visited_at")):
        latest = shop.execute(f"SELECT max({column}) FROM {table}").fetchone()[0]
        assert date.fromisoformat(latest[:10]) <= TODAY
    assert shop.execute("SELECT count(*) FROM customers WHERE updated_at < created_at").fetchone() == (0,)


def test_addresses_are_under_reserved_domains(shop: sqlite3.Connection) -> None:
    """Every e-mail address is under a domain that can never be anyone's."""
    addresses = [row[0] for row in shop.execute("SELECT email FROM customers WHERE email IS NOT NULL")]
    assert all(address.endswith(("example.com", "example.org", "example.net")) for address in addresses)


@pytest.mark.parametrize(
    ("kind", "column", "allowed"),
    [
        ("email", "email FROM customers c", 0.005),
        ("phone", "phone FROM customers c", 0.005),
        ("external_id", "external_ref FROM customers c", 0.0),
        ("loyalty_number", "loyalty_number FROM loyalty_accounts JOIN customers c USING (customer_id)", 0.0),
        ("device_id", "device_id FROM devices JOIN customers c USING (customer_id)", 0.0),
    ],
)
def test_identifiers_are_well_formed_and_the_rest_is_counted(
    shop: sqlite3.Connection, kind: str, column: str, allowed: float
) -> None:
    """The people room takes every identifier but the few useless ones a real shop has too, and takes none twice."""
    rows = [row for row in shop.execute(f"SELECT c.country, {column}") if row[1] is not None]
    seen = []
    refused = 0
    for country, value in rows:
        try:
            seen.append(normalise(Identifier(kind, value), country))
        except IdentifierRefused:
            refused += 1
    assert refused <= len(rows) * allowed
    assert kind == "email" or len(set(seen)) == len(seen)


@pytest.mark.parametrize("country", COUNTRIES, ids=lambda one: one.code)
def test_no_fictional_number_is_given_twice(country) -> None:
    """The numbers of one country are distinct, and end rather than repeat."""
    capacity = sum(10 ** pattern.count("#") for pattern in country.phones)
    given = [phone(country, n) for n in range(min(capacity, 3000))]
    assert None not in given
    assert len(set(given)) == len(given)
    assert phone(country, capacity) is None


def test_the_cast_comes_first_as_told(shop: sqlite3.Connection) -> None:
    """The people of the story are customers 1 and on, under their names and addresses."""
    rows = shop.execute(
        "SELECT first_name, last_name, email, birth_date, country, region, city FROM customers"
        " WHERE customer_id <= ? ORDER BY customer_id",
        (len(CAST),),
    ).fetchall()
    assert rows == [
        (one.first_name, one.last_name, one.email, one.birth_date, one.country, one.region, one.city) for one in CAST
    ]


def test_the_mixture_is_that_of_a_real_shop(shop: sqlite3.Connection) -> None:
    """There are minors of several ages, shared addresses, members and every country."""
    ages = {
        TODAY.year - int(row[0][:4])
        for row in shop.execute("SELECT birth_date FROM customers WHERE birth_date > '2008-11-20'")
    }
    assert len(ages) >= 6
    shared = shop.execute(
        "SELECT count(*) FROM (SELECT 1 FROM customers WHERE email IS NOT NULL GROUP BY lower(email)"
        " HAVING count(*) > 1)"
    ).fetchone()[0]
    assert shared >= 10
    members = shop.execute("SELECT count(*) FROM loyalty_accounts").fetchone()[0]
    assert 0.55 < members / CUSTOMERS < 0.65
    assert {row[0] for row in shop.execute("SELECT DISTINCT country FROM customers")} == {one.code for one in COUNTRIES}
    regions = "SELECT count(*) FROM customers WHERE (region IS NULL) = (country IN ('US', 'CA'))"
    assert shop.execute(regions).fetchone() == (0,)
