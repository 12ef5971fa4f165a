"""What the store really has of the catalogue: its tables and column types, by reflection; reads no row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from consent_gateway.database import reading_connection
from consent_gateway.errors import StoreUnavailable
from consent_gateway.policy.catalogue import Catalogue, Collection

ColumnType = sa.types.TypeEngine[Any]
KeyParser = Callable[[str], Any]
"""Turns a store key into the value the driver takes, or None where no record can have this key."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The reflected tables by collection name; a collection whose table is missing is absent."""

    catalogue: Catalogue
    tables: Mapping[str, sa.Table]
    dialect: sa.Dialect

    def table(self, collection: Collection) -> sa.Table:
        """The table of a collection, or `StoreUnavailable` where the store does not have it."""
        table = self.tables.get(collection.name)
        if table is None:
            raise StoreUnavailable(f"the store has no table `{collection.table}`: mend the catalogue or the store")
        return table

    def column(self, collection: Collection, name: str) -> sa.Column[Any]:
        """A column of a collection, or `StoreUnavailable` where the store does not have it."""
        column = self.table(collection).columns.get(name)
        if column is None:
            raise StoreUnavailable(
                f"the store has no column `{name}` in table `{collection.table}`: mend the catalogue or the store"
            )
        return column

    @property
    def key(self) -> sa.Column[Any]:
        """The root table's primary key as the catalogue names it."""
        return self.column(self.catalogue.root, self.catalogue.root.primary_key)

    def key_bind(self, name: str) -> sa.BindParameter[Any]:
        """A parameter that takes a parsed store key."""
        return sa.bindparam(name, type_=self.key.type)


def reflect(engine: Engine, catalogue: Catalogue) -> Schema:
    """Look at the catalogued tables; a missing one is left out, a store that is away raises a driver's error."""
    tables: dict[str, sa.Table] = {}
    with reading_connection(engine) as connection:
        for collection in catalogue.collections.values():
            schema, _, name = collection.table.rpartition(".")
            try:
                tables[collection.name] = sa.Table(
                    name, sa.MetaData(), schema=schema or None, autoload_with=connection, resolve_fks=False
                )
            except sa.exc.NoSuchTableError:
                continue  # `faults` names it, and a read of it is refused
    return Schema(catalogue, tables, engine.dialect)


def whole_numbers(column_type: ColumnType, dialect: str) -> range:
    """The whole numbers an integer column takes; SQLite keeps 64 bits whatever the column is called."""
    bits = 64
    if dialect != "sqlite" and not isinstance(column_type, sa.BigInteger):
        bits = 16 if isinstance(column_type, sa.SmallInteger) else 32
    return range(-(1 << (bits - 1)), 1 << (bits - 1))


def key_parser(column_type: ColumnType, dialect: str) -> KeyParser:
    """How keys of this column are read from text. Only the one text that `read` would give back is a key."""
    if isinstance(column_type, sa.Integer):
        bounds = whole_numbers(column_type, dialect)
        return lambda text: _whole(text, bounds)
    if isinstance(column_type, sa.Uuid):
        return _uuid
    return _text


def _whole(text: str, bounds: range) -> int | None:
    if not text.isascii() or not text.removeprefix("-").isdigit() or len(text) > 20:
        return None
    number = int(text)
    return number if str(number) == text and number in bounds else None


def _uuid(text: str) -> UUID | None:
    try:
        parsed = UUID(text)
    except ValueError:
        return None
    return parsed if str(parsed) == text else None


def _text(text: str) -> str | None:
    return text if storable(text) else None


def storable(text: str) -> bool:
    """True for text every database can hold: no NUL and no lone surrogate."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
