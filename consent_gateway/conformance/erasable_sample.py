"""The tables, rows and catalogue that the suite for erasable stores works with; pure data, and touches no store."""

from collections.abc import Mapping, Sequence
from datetime import date

from consent_gateway.policy.catalogue import Catalogue, Collection, Field, Reference
from consent_gateway.policy.retention import Retention, Schedule, Terms
from consent_gateway.vocabulary import JsonValue

ErasableRows = Mapping[str, Sequence[Mapping[str, JsonValue]]]

DAY = date(2026, 11, 25)
MANY = 1200  # rows of people with nothing but a number, so that a store cuts long lists of keys into portions

SHOP: ErasableRows = {
    "customers": (
        {"customer_id": 1, "email": "ada.ember@shop.test", "phone": "+4930111222", "points": 7},
        {"customer_id": 2, "email": "bob.stone@shop.test", "phone": None, "points": None},
        {"customer_id": 3, "email": "joada.ember@shop.test", "phone": None, "points": 7},
        *({"customer_id": 1000 + n, "email": f"n{n}@many.test", "phone": None, "points": 0} for n in range(MANY)),
    ),
    "orders": (
        {"order_id": 11, "customer_id": 1, "placed_on": "2025-03-01", "city": "Bonn"},
        {"order_id": 12, "customer_id": 1, "placed_on": "2011-03-01", "city": "Kiel"},
        {"order_id": 21, "customer_id": 2, "placed_on": "2025-03-02", "city": "Jena"},
    ),
    "reviews": (
        {"review_id": 31, "order_id": 12, "words": "lovely beans, says ADA.EMBER@shop.test"},
        {"review_id": 32, "order_id": None, "words": "somebody else's"},
    ),
    "scraps": ({"scrap_id": 41, "words": "nothing of anybody"},),
}
"""Rows by table. Every first column is the primary key, a whole number; `email`, `phone`, `city` and `words` are texts.

`customers.email` is unique and not null; `orders.customer_id` refers to `customers` and is not null;
`reviews.order_id` refers to `orders` and may be null; `placed_on` is a day or a text; all else may be null. The store
enforces these references and takes no row away by itself. `scraps` and `customers.points` are in no catalogue.
"""


def erasable_catalogue() -> Catalogue:
    """The catalogue over these tables."""
    customers = _collection(
        "customers",
        None,
        _field("customers", "customer_id", "user.unique_id", primary_key=True),
        _field("customers", "email", "user.contact.email", identity="email"),
        _field("customers", "phone", "user.contact.phone_number", identity="phone"),
    )
    orders = _collection(
        "orders",
        Reference("customer_id", "customers", "customer_id"),
        _field("orders", "order_id", "user.behavior.purchase_history", primary_key=True),
        _field("orders", "customer_id", "user.unique_id"),
        _field("orders", "placed_on", "user.behavior.purchase_history"),
        _field("orders", "city", "user.contact.address.city"),
    )
    reviews = _collection(
        "reviews",
        Reference("order_id", "orders", "order_id"),
        _field("reviews", "review_id", "user.content.private", primary_key=True),
        _field("reviews", "order_id", "user.behavior.purchase_history"),
        _field("reviews", "words", "user.content.private"),
    )
    collections = {one.name: one for one in (customers, orders, reviews)}
    fields = {field.name: field for one in collections.values() for field in one.fields}
    return Catalogue("conformance", customers, collections, fields)


def keeping_nothing() -> Retention:
    """No schedule keeps anything; towns are many people's."""
    return Retention((), (Terms(date(2020, 1, 1), "suite", common=("user.contact.address.city",)),))


def keeping_orders() -> Retention:
    """A law keeps number, day and owner of an order for eight years."""
    kept = ("orders.order_id", "orders.placed_on", "orders.customer_id")
    books = Schedule(
        "books", "books", "suite", "P8Y", "orders.placed_on", date(2020, 1, 1), ground="legal_obligation", fields=kept
    )
    return Retention((books,), keeping_nothing().terms)


def _collection(name: str, reference: Reference | None, *fields: Field) -> Collection:
    return Collection(name, name, fields, fields[0].column, reference, fields[0].column)


def _field(table: str, column: str, category: str, *, primary_key: bool = False, identity: str | None = None) -> Field:
    name = column if table == "customers" else f"{table}.{column}"
    return Field(name, table, column, (category,), primary_key=primary_key, identity=identity)
