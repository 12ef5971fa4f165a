"""The rows and catalogue on which the customer-store suite runs; holds no test."""

from collections.abc import Mapping, Sequence
from typing import Any

from consent_gateway.policy.catalogue import Catalogue, Collection, Field, Reference

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows of a store by table, each a mapping from column to value; equal columns in all rows of a table."""

ROWS: Rows = {
    "customers": (
        {"customer_id": 1, "email": "ada@shop.test", "phone": "+49 30 1", "country": "DE", "points": 7, "secret": "s1"},
        {"customer_id": 2, "email": "bo@shop.test", "phone": None, "country": "FR", "points": 0, "secret": "s2"},
        {"customer_id": 10, "email": "cy@shop.test", "phone": "+1 20 3", "country": "US", "points": 3, "secret": "s3"},
    ),
    "loyalty_accounts": (
        {"loyalty_number": "L-1", "customer_id": 1, "tier": "gold"},
        {"loyalty_number": "L-2", "customer_id": 2, "tier": "blue"},
    ),
    "devices": (
        {"device_id": "d-b", "customer_id": 1, "platform": "ios"},
        {"device_id": "d-a", "customer_id": 1, "platform": "android"},
        {"device_id": "d-c", "customer_id": 2, "platform": "ios"},
    ),
    "orders": (
        {"order_id": 11, "customer_id": 1, "placed_on": "2026-03-02", "city": "Kiel", "margin": 9},
        {"order_id": 12, "customer_id": 1, "placed_on": "2026-01-05", "city": "Bonn", "margin": 9},
        {"order_id": 13, "customer_id": 1, "placed_on": "2026-03-02", "city": "Jena", "margin": 9},
        {"order_id": 21, "customer_id": 2, "placed_on": "2026-02-01", "city": "Lyon", "margin": 9},
    ),
    "order_lines": (
        {"line_id": 1, "order_id": 11, "product": "filter"},
        {"line_id": 2, "order_id": 21, "product": "decaf"},
        {"line_id": 3, "order_id": 12, "product": "mokka"},
    ),
    "line_notes": (
        {"note_id": 5, "line_id": 3, "note": "gift"},
        {"note_id": 6, "line_id": 2, "note": "no sugar"},
    ),
}
"""`secret` and `margin` are columns the catalogue does not name."""


def conformance_catalogue(*extra: Field) -> Catalogue:
    """The catalogue of `ROWS`: references three deep, identities in three collections; `extra` are more root fields."""
    key = {"primary_key": True, "data_type": "integer"}
    customers = _collection(
        "customers",
        None,
        "customer_id",
        (
            field("customers", "customer_id", identity="external_id", **key),
            field("customers", "email", identity="email", writable=True),
            field("customers", "phone", writable=True),
            field("customers", "country", attribute="country"),
            field("customers", "points", writable=True, data_type="integer"),
            *extra,
        ),
    )
    to_customer = Reference("customer_id", "customers", "customer_id")
    children = (
        _child("loyalty_accounts", to_customer, "loyalty_number", {"loyalty_number": "loyalty_number"}, "tier"),
        _child("devices", to_customer, "device_id", {"device_id": "device_id"}, "platform"),
        _child("orders", to_customer, "placed_on", {}, "order_id", "city"),
        _child("order_lines", Reference("order_id", "orders", "order_id"), "line_id", {}, "product"),
        _child("line_notes", Reference("line_id", "order_lines", "line_id"), "note_id", {}, "note"),
    )
    collections = {one.name: one for one in (customers, *children)}
    fields = {field.name: field for one in collections.values() for field in one.fields}
    return Catalogue("conformance", customers, collections, fields)


def field(collection: str, column: str, **given: Any) -> Field:
    """A field of this catalogue; `given` are attributes of `Field`."""
    name = column if collection == "customers" else f"{collection}.{column}"
    return Field(name, collection, column, ("user",), **given)


def _collection(name: str, reference: Reference | None, order_by: str, fields: tuple[Field, ...]) -> Collection:
    key = next(field.column for field in fields if field.primary_key)
    return Collection(name, name, fields, key, reference, order_by)


def _child(name: str, reference: Reference, order_by: str, identities: Mapping[str, str], *others: str) -> Collection:
    """A child collection; its key is `order_by`, except in `orders`, where orders of one day stand level."""
    key = "order_id" if name == "orders" else order_by
    columns = dict.fromkeys((order_by, reference.column, *others))
    fields = (field(name, one, primary_key=one == key, identity=identities.get(one)) for one in columns)
    return _collection(name, reference, order_by, tuple(fields))
