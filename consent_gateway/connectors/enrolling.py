"""Reads identity and residence columns of many records at a time, for enrolment; decides nothing about them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from consent_gateway.connectors.plans import Planner, RowPlan, links, ordering
from consent_gateway.connectors.schema import Schema
from consent_gateway.policy.catalogue import Collection, Field
from consent_gateway.ports import StoredIdentity
from consent_gateway.vocabulary import JsonValue


@dataclass(frozen=True, slots=True)
class ChildPlan:
    """How the identity columns of one child collection are read for a range of records."""

    rows: RowPlan
    fields: tuple[Field, ...]


@dataclass(slots=True)
class Gathered:
    """What was found about one record so far. The root's own attributes go before those of children."""

    identities: dict[tuple[str, str], None] = field(default_factory=dict)  # in the order found, each once
    attributes: dict[str, str] = field(default_factory=dict)
    child_attributes: dict[str, set[str]] = field(default_factory=dict)

    def add(self, fields: Iterable[Field], row: Mapping[str, JsonValue], *, of_root: bool) -> None:
        """Take over one row. Blank values name nobody and are left out."""
        for one in fields:
            text = raw_text(row[one.column])
            if text is None:
                continue
            if one.identity is not None:
                self.identities[(one.identity, text)] = None
            if one.attribute is not None and of_root:
                self.attributes[one.attribute] = text
            elif one.attribute is not None:
                self.child_attributes.setdefault(one.attribute, set()).add(text)

    def stored(self, store_key: str) -> StoredIdentity:
        """The result. An attribute on which a record's child rows differ is not known, so it is left out."""
        agreed = {name: next(iter(values)) for name, values in self.child_attributes.items() if len(values) == 1}
        return StoredIdentity(store_key, tuple(self.identities), {**agreed, **self.attributes})


def raw_text(value: JsonValue) -> str | None:
    """A JSON value as the text of an identifier or attribute; None for null, blank and composed values."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, list | dict):
        return None
    text = str(value)
    return text if text.strip() else None


def telling(collection: Collection) -> tuple[Field, ...]:
    """The fields of a collection that enrolment wants."""
    return tuple(one for one in collection.fields if one.identity is not None or one.attribute is not None)


class EnrolmentPlan:
    """The statements of `identities` for one store, compiled once."""

    def __init__(self, schema: Schema, planner: Planner) -> None:
        root = schema.catalogue.root
        self._root_fields = telling(root)
        key_field = next(one for one in root.fields if one.column == root.primary_key)
        wanted = [key_field, *(one for one in self._root_fields if one is not key_field)]
        limit = sa.bindparam("limit", type_=sa.Integer())
        columns = [schema.column(root, one.column) for one in wanted]
        first = sa.select(*columns).order_by(schema.key).limit(limit)
        self._key = root.primary_key
        self._first = planner.prepared(first, root, wanted)
        self._next = planner.prepared(first.where(schema.key > schema.key_bind("after")), root, wanted)
        self._children = tuple(
            ChildPlan(
                planner.prepared(_range_statement(schema, one, telling(one)), one, list(telling(one))), telling(one)
            )
            for one in schema.catalogue.collections.values()
            if one is not root and telling(one)
        )

    def page(self, after: Any, limit: int) -> list[StoredIdentity]:
        """Up to `limit` records whose key comes after `after` (a driver's value), or the first ones for None."""
        plan = self._first if after is None else self._next
        rows = plan.read.rows(limit=limit, **({} if after is None else {"after": after}))
        found: dict[Any, Gathered] = {}
        keys: dict[Any, str] = {}
        for row in rows:
            formed = plan.formed(row)
            found[row[0]] = Gathered()
            found[row[0]].add(self._root_fields, formed, of_root=True)
            keys[row[0]] = str(formed[self._key])
        if rows:
            self._add_children(found, rows[0][0], rows[-1][0])
        return [found[key].stored(text) for key, text in keys.items()]

    def _add_children(self, found: dict[Any, Gathered], first: Any, last: Any) -> None:
        for child in self._children:
            for key, *values in child.rows.read.rows(first=first, last=last):
                if key in found:  # a record that came in between belongs to a later page
                    found[key].add(child.fields, child.rows.formed(tuple(values)), of_root=False)


def _range_statement(schema: Schema, collection: Collection, wanted: tuple[Field, ...]) -> sa.Select[Any]:
    """The root's key and these columns, for the child rows of all records from key `first` to `last`."""
    joined: sa.FromClause = schema.table(collection)
    for link in links(schema.catalogue, collection):
        here = schema.column(link.child, link.reference.column)
        there = schema.column(link.parent, link.reference.to_column)
        joined = joined.join(schema.table(link.parent), here == there)
    return (
        sa.select(schema.key, *(schema.column(collection, one.column) for one in wanted))
        .select_from(joined)
        .where(schema.key.between(schema.key_bind("first"), schema.key_bind("last")))
        .order_by(schema.key, *ordering(schema, collection))
    )
