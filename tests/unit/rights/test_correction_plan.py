"""Where a corrected value stands: copies of the same kind follow, what a law keeps or many share is named."""

from collections.abc import Iterator
from datetime import date

import pytest
import sqlalchemy as sa

from consent_gateway.connectors.erasing import SqlErasing
from consent_gateway.errors import NotFound
from consent_gateway.rights.correction_plan import Correction, CorrectionPlanner
from consent_gateway.rights.plan_model import Plan
from tests.erasing.world import TERMS, policy_of

DAY = date(2026, 11, 25)
_BILLS = {
    "id": "books", "purpose": "legal_tax", "ground": "legal_obligation", "source": "test", "period": "P8Y",
    "effective_from": "2020-01-01", "counted_from": "bills.written_on", "fields": ["bills.name", "bills.written_on"],
}  # fmt: skip


def _field(name: str, category: str, **more: object) -> dict[str, object]:
    return {"name": name, "data_categories": [category], **more}


def _catalogue() -> dict[str, object]:
    to_customer = {"references": [{"dataset": "shop", "field": "customers.id", "direction": "from"}]}
    number = {"primary_key": True, "data_type": "integer"}

    def child(name: str, *fields: dict[str, object]) -> dict[str, object]:
        keys = (
            _field("id", "user.unique_id", fides_meta=number),
            _field("customer", "user.unique_id", fides_meta=to_customer),
        )
        return {"name": name, "meta": {"order_by": "id"}, "fields": [*keys, *fields]}

    root = {
        "name": "customers",
        "meta": {"root": True, "order_by": "id"},
        "fields": [
            _field("id", "user.unique_id", fides_meta=number),
            _field("email", "user.contact.email", fides_meta={"identity": "email"}, meta={"writable": True}),
            _field("last_name", "user.name.last", meta={"writable": True}),
            _field("city", "user.contact.address.city", meta={"writable": True}),
        ],
    }
    parcels = child("parcels", _field("name", "user.name.last"), _field("city", "user.contact.address.city"))
    bills = child("bills", _field("name", "user.name.last"), _field("written_on", "user.behavior.purchase_history"))
    lists = child("lists", _field("address", "user.contact.email"))
    return {"dataset": [{"fides_key": "shop", "name": "shop", "collections": [root, parcels, bills, lists]}]}


_TABLES = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT, last_name TEXT, city TEXT, nickname TEXT);
CREATE TABLE parcels (id INTEGER PRIMARY KEY, customer INTEGER, name TEXT, city TEXT);
CREATE TABLE bills (id INTEGER PRIMARY KEY, customer INTEGER, name TEXT, written_on TEXT);
CREATE TABLE lists (id INTEGER PRIMARY KEY, customer INTEGER, address TEXT);
INSERT INTO customers VALUES (1, 'ada@old.example', 'Lovelace', 'London', 'Lovelace');
INSERT INTO customers VALUES (2, 'bob@old.example', 'Lovelace', 'London', 'Bob');
INSERT INTO parcels VALUES (1, 1, 'Lovelace', 'London'), (2, 1, 'Byron', 'Paris'), (3, 2, 'Lovelace', 'London');
INSERT INTO bills VALUES (1, 1, 'Lovelace', '2025-05-01'), (2, 1, 'Lovelace', '2001-05-01');
INSERT INTO lists VALUES (1, 1, 'ada@old.example'), (2, 1, 'somebody@else.example')
"""


@pytest.fixture
def planner(gateway_engine: sa.Engine) -> Iterator[CorrectionPlanner]:
    """A planner over a shop in which values stand twice, beside the gateway's tables."""
    terms = {**TERMS, "common": ["user.contact.address.city"]}
    policies = policy_of(_catalogue(), {"version": "1", "schedules": [_BILLS], "terms": [terms]})
    names = ("lists", "bills", "parcels", "customers")
    with gateway_engine.begin() as connection:
        for name in names:
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")
        for statement in _TABLES.split(";"):
            connection.exec_driver_sql(statement)
    yield CorrectionPlanner(SqlErasing(gateway_engine, timeout=30), policies.catalogue, policies.documents.retention)
    with gateway_engine.begin() as connection:
        for name in names:
            connection.exec_driver_sql(f"DROP TABLE {name}")


def planned(planner: CorrectionPlanner, key: str = "1", **values: str) -> Plan:
    """The plan of a correction."""
    asked = Correction(key, "DE", DAY, "DE", "ab", values)
    return planner.plan(asked, lambda _collection, _row: {}, lambda given: given)


def changes(plan: Plan) -> dict[str, list[tuple[object, dict[str, object]]]]:
    """What each step writes: the rows' keys and the values by column."""
    return {
        step.name: [(key[0], dict(change.values)) for change in step.changes for key in change.keys]
        for step in plan.steps
    }


def test_a_copy_of_the_same_kind_and_value_follows(planner: CorrectionPlanner) -> None:
    """The parcel in the old name is corrected; one in another name, and those of another person, are not."""
    plan = planned(planner, last_name="King")
    assert changes(plan) == {
        "correct the record in customers": [(1, {"last_name": "King"})],
        "correct copies in bills": [(2, {"name": "King"})],  # its eight years are over
        "correct copies in parcels": [(1, {"name": "King"})],
    }


def test_what_a_law_keeps_is_not_rewritten(planner: CorrectionPlanner) -> None:
    """A bill keeps the name it was written in for as long as the books are kept, and the schedule is named."""
    told = {one.field: one for one in planned(planner, last_name="King").fields}
    assert (told["bills.name"].kept, told["bills.name"].erased, told["bills.name"].schedule) == (1, 1, "books")
    assert told["bills.name"].until == date(2033, 5, 1)


def test_an_identifier_is_corrected_wherever_it_stands_and_looked_for_afterwards(planner: CorrectionPlanner) -> None:
    """The copy on a list follows, another address there does not; the old one is what is looked for."""
    plan = planned(planner, email="ada@new.example")
    assert changes(plan)["correct copies in lists"] == [(1, {"address": "ada@new.example"})]
    assert "ada" in plan.looked.identifying.texts
    assert not planned(planner, email="ADA@old.example").looked.identifying  # it would find the new one


def test_what_many_share_and_what_nobody_declared_is_named(planner: CorrectionPlanner) -> None:
    """A town in a parcel was right when it was sent; a nickname nobody declared is an officer's to judge."""
    left = {(one.where, one.cause.value, one.rows) for one in planned(planner, city="Paris", last_name="King").foreseen}
    assert left == {("parcels.city", "mention", 1), ("customers.nickname", "undeclared_column", 1)}


def test_nothing_to_change_has_no_step(planner: CorrectionPlanner) -> None:
    """A record that says so already is not written; one that is not there cannot be."""
    assert planned(planner, last_name="Lovelace").steps == ()
    with pytest.raises(NotFound):
        planned(planner, "77", last_name="King")
