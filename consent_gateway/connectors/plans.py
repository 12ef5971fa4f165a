"""Builds the statements of reads from the catalogue: one per set of fields, compiled once; runs nothing itself.

Each statement names the columns asked for and no other. A child's rows are found by the chain of references up to the
root (`order_lines` in `orders` in `customers`), as a condition and not as a join, so that no row comes twice.
"""

from collections import OrderedDict
from collections.abc import Collection as Names
from dataclasses import dataclass
from threading import Lock
from typing import Any

import sqlalchemy as sa

from consent_gateway.connectors.json_forms import Former, NoJsonForm, former
from consent_gateway.connectors.schema import KeyParser, Schema, key_parser
from consent_gateway.connectors.versions import Versions
from consent_gateway.database import HeldConnections, PreparedRead
from consent_gateway.errors import FieldFault, StoreUnavailable, UnknownField
from consent_gateway.policy.catalogue import Catalogue, Collection, Field, Reference
from consent_gateway.vocabulary import JsonValue


@dataclass(frozen=True, slots=True)
class RowPlan:
    """One prepared statement and how its rows become JSON under the fields' short names."""

    collection: str
    read: PreparedRead
    names: tuple[str, ...]
    formers: tuple[Former, ...]

    def formed(self, row: tuple[Any, ...]) -> dict[str, JsonValue]:
        """The row as JSON values by name. A value without a JSON form is `StoreUnavailable`, never left out."""
        try:
            return {name: form(value) for name, form, value in zip(self.names, self.formers, row, strict=True)}
        except NoJsonForm as error:
            raise StoreUnavailable(
                f"a column of `{self.collection}` among {self._listed} holds a value without a JSON form ({error}):"
                " remove it from the catalogue or change its type"
            ) from None
        except ValueError:
            raise StoreUnavailable(f"the store answered other columns than asked of `{self.collection}`") from None

    @property
    def _listed(self) -> str:
        return ", ".join(f"`{name}`" for name in self.names)


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """How one set of fields is read. `root` without names only looks whether the record is there."""

    parse_key: KeyParser
    root: RowPlan
    children: tuple[RowPlan, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """One step up: a child collection, its reference and the collection it refers to."""

    child: Collection
    reference: Reference
    parent: Collection


class Planner:
    """Makes and keeps the plans of one store; at most `most` at a time, the least lately used goes first."""

    def __init__(self, schema: Schema, held: HeldConnections, versions: Versions, most: int = 512) -> None:
        self._schema = schema
        self._held = held
        self._versions = versions
        self._most = most
        self._plans: OrderedDict[frozenset[str], ReadPlan] = OrderedDict()
        self._lock = Lock()

    def plan(self, fields: frozenset[str]) -> ReadPlan:
        """The plan for these fields. Raises `UnknownField`, and `StoreUnavailable` where the store lacks a column."""
        with self._lock:
            plan = self._plans.get(fields)
            if plan is not None:
                self._plans.move_to_end(fields)
                return plan
        plan = self._build(fields)
        with self._lock:
            self._plans[fields] = plan
            while len(self._plans) > self._most:
                self._plans.popitem(last=False)
        return plan

    def _build(self, fields: frozenset[str]) -> ReadPlan:
        catalogue = self._schema.catalogue
        refuse_unknown(catalogue, fields)
        root = self._versions.ordered(fields)
        children = [
            (collection, [field for field in collection.fields if field.name in fields])
            for collection in catalogue.collections.values()
            if collection is not catalogue.root
        ]
        return ReadPlan(
            parse_key=key_parser(self._schema.key.type, self._schema.dialect.name),
            root=self.prepared(self.root_statement(root), catalogue.root, [catalogue.fields[name] for name in root]),
            children=tuple(
                self.prepared(child_statement(self._schema, collection, wanted), collection, wanted)
                for collection, wanted in children
                if wanted
            ),
        )

    def root_statement(self, names: tuple[str, ...]) -> sa.Select[Any]:
        """These root columns of the record with the key `key`."""
        root = self._schema.catalogue.root
        columns = [self._schema.column(root, self._schema.catalogue.fields[name].column) for name in names]
        wanted: list[sa.ColumnElement[Any]] = [*columns] or [sa.literal_column("1")]
        is_record = self._schema.key == self._schema.key_bind("key")
        return sa.select(*wanted).select_from(self._schema.table(root)).where(is_record)

    def prepared(self, statement: sa.Select[Any], collection: Collection, wanted: list[Field]) -> RowPlan:
        """The statement compiled, with the forms of the columns it selects."""
        dialect = self._schema.dialect
        return RowPlan(
            collection=collection.name,
            read=PreparedRead(self._held, dialect, statement),
            names=tuple(field.column for field in wanted),
            formers=tuple(former(self._schema.column(collection, field.column).type, dialect.name) for field in wanted),
        )


def refuse_unknown(catalogue: Catalogue, names: Names[str]) -> None:
    """Raise `UnknownField` where a name is not in the catalogue."""
    unknown = sorted(name for name in names if name not in catalogue.fields)
    if unknown:
        faults = tuple(FieldFault(f"/fields/{name}", "not a field of the catalogue") for name in unknown)
        raise UnknownField("a field is not in the catalogue", faults)


def child_statement(schema: Schema, collection: Collection, wanted: list[Field]) -> sa.Select[Any]:
    """A page of these columns of the child rows that belong to the record with the key `key`."""
    columns = [schema.column(collection, field.column) for field in wanted]
    return (
        sa.select(*columns)
        .where(_belongs(schema, collection))
        .order_by(*ordering(schema, collection))
        .limit(sa.bindparam("limit", type_=sa.Integer()))
        .offset(sa.bindparam("offset", type_=sa.Integer()))
    )


def ordering(schema: Schema, collection: Collection) -> list[sa.Column[Any]]:
    """`order_by`, the catalogue's key, then the table's own: no two rows stand level, so no two pages overlap."""
    table = schema.table(collection)
    named = [schema.column(collection, collection.order_by), schema.column(collection, collection.primary_key)]
    return list(dict.fromkeys([*named, *table.primary_key.columns]))


def links(catalogue: Catalogue, collection: Collection) -> list[Link]:
    """The references from this collection up to the root. A chain that never reaches it is `StoreUnavailable`."""
    chain: list[Link] = []
    at = collection
    while at is not catalogue.root:
        parent = catalogue.collections.get(at.reference.to_collection) if at.reference else None
        if at.reference is None or parent is None or any(parent is link.child for link in chain):
            raise StoreUnavailable(f"collection `{collection.name}` does not refer to the root: mend its references")
        chain.append(Link(at, at.reference, parent))
        at = parent
    return chain


def _belongs(schema: Schema, collection: Collection) -> sa.ColumnElement[bool]:
    """The child's reference holds the key itself, or is among the parent rows that belong to the record."""
    root = schema.catalogue.root
    condition: sa.ColumnElement[bool] = schema.key == schema.key_bind("key")
    for link in reversed(links(schema.catalogue, collection)):  # from the root down
        column = schema.column(link.child, link.reference.column)
        if link.parent is root and link.reference.to_column == root.primary_key:
            condition = column == schema.key_bind("key")
        else:
            condition = column.in_(sa.select(schema.column(link.parent, link.reference.to_column)).where(condition))
    return condition
