"""Every table of a database as an erasure sees it: columns, keys, references, and row values as text; reads no row.

The catalogue plays no part here: what it does not name may hold a person's data as well.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.engine.reflection import ObjectKind

from consent_gateway.connectors.json_forms import NoJsonForm, to_json
from consent_gateway.database import reading_connection
from consent_gateway.ports import BYTES_FORM, ColumnKind, StoreColumn, StoreKey, StoreReference, StoreTable
from consent_gateway.vocabulary import JsonValue

UNFORMED = "..."
"""Stands for a value that has no JSON form."""

_SYSTEM = frozenset({"information_schema", "pg_catalog", "pg_toast"})
_KINDS: tuple[tuple[type[Any], ColumnKind], ...] = (
    (sa.Boolean, ColumnKind.TRUTH),
    (sa.Integer, ColumnKind.NUMBER),
    (sa.Numeric, ColumnKind.NUMBER),
    (sa.DateTime, ColumnKind.TIME),
    (sa.Date, ColumnKind.TIME),
    (sa.Time, ColumnKind.TIME),
    (sa.LargeBinary, ColumnKind.BYTES),
    (sa.JSON, ColumnKind.JSON),
    (sa.Enum, ColumnKind.OTHER),
    (sa.String, ColumnKind.TEXT),
)
_Key = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class SeenTable:
    """One table: what the port tells of it, and what statements about it are made of."""

    told: StoreTable
    table: sa.TableClause
    types: Mapping[str, sa.types.TypeEngine[Any]]


def see_tables(engine: Engine) -> dict[str, SeenTable]:
    """Every table the role may see, by name; those of another schema than the default one as `schema.table`."""
    with reading_connection(engine) as connection:
        inspector = sa.inspect(connection)
        seen: dict[str, SeenTable] = {}
        for schema in _schemas(inspector, engine.dialect.name):
            found: dict[str, Any] = {
                "columns": inspector.get_multi_columns(schema=schema, kind=ObjectKind.TABLE),
                "keys": inspector.get_multi_pk_constraint(schema=schema, kind=ObjectKind.TABLE),
                "references": inspector.get_multi_foreign_keys(schema=schema, kind=ObjectKind.TABLE),
                "uniques": inspector.get_multi_unique_constraints(schema=schema, kind=ObjectKind.TABLE),
                "indexes": inspector.get_multi_indexes(schema=schema, kind=ObjectKind.TABLE),
            }
            for key in found["columns"]:
                one = _seen(key, found)
                seen[one.told.name] = one
    return seen


def _schemas(inspector: sa.Inspector, dialect: str) -> list[str | None]:
    if dialect != "postgresql":
        return [None]
    others = [name for name in inspector.get_schema_names() if name not in _SYSTEM and not name.startswith("pg_")]
    return [None, *(name for name in others if name != inspector.default_schema_name)]


def _seen(key: _Key, found: Mapping[str, Mapping[_Key, Any]]) -> SeenTable:
    schema, name = key
    columns = found["columns"][key]
    types = {one["name"]: one["type"] for one in columns}
    primary = tuple((found["keys"].get(key) or {}).get("constrained_columns") or ())
    groups = [tuple(one["column_names"]) for one in found["uniques"].get(key) or ()]
    groups += [tuple(one["column_names"]) for one in found["indexes"].get(key) or () if one.get("unique")]
    nullable = {one["name"]: bool(one["nullable"]) and one["name"] not in primary for one in columns}
    unique = {column for group in (primary, *groups) for column in group if column is not None}
    told = StoreTable(
        name=_named(schema, name),
        columns={one: StoreColumn(one, _kind(types[one]), nullable[one], one in unique) for one in types},
        key=primary or _instead_of_key(types, groups, nullable),
        references=tuple(
            StoreReference(
                tuple(one["constrained_columns"]),
                _named(one["referred_schema"], one["referred_table"]),
                tuple(one["referred_columns"]),
            )
            for one in found["references"].get(key) or ()
        ),
    )
    table = sa.table(name, *(sa.column(one, types[one]) for one in types), schema=schema)
    return SeenTable(told, table, types)


def _named(schema: str | None, name: str) -> str:
    return f"{schema}.{name}" if schema else name


def _instead_of_key(
    types: Mapping[str, Any], groups: Sequence[tuple[str | None, ...]], nullable: Mapping[str, bool]
) -> tuple[str, ...]:
    """A unique group that is never null, else everything: rows alike in everything are one to an erasure."""
    for group in groups:
        named = tuple(column for column in group if column is not None)
        if len(named) == len(group) and not any(nullable[column] for column in named):
            return named
    return tuple(types)


def _kind(column_type: sa.types.TypeEngine[Any]) -> ColumnKind:
    return next((kind for known, kind in _KINDS if isinstance(column_type, known)), ColumnKind.OTHER)


def formed(value: Any) -> JsonValue:
    """The JSON form of a driver's value; exact, so that `matching` finds the value by it again."""
    if isinstance(value, bytes | bytearray | memoryview):
        return BYTES_FORM + base64.b64encode(bytes(value)).decode("ascii")
    try:
        return to_json(value)
    except NoJsonForm:
        return UNFORMED


def key_columns(seen: SeenTable, dialect: str) -> list[sa.ColumnElement[Any]]:
    """The key's columns as they are selected, so that `formed` makes of them what `matching` compares with."""
    return [comparable(seen, column, dialect).label(f"k{at}") for at, column in enumerate(seen.told.key)]


def matching(
    seen: SeenTable, columns: Sequence[str], keys: Sequence[StoreKey], dialect: str, *, as_text: bool = False
) -> sa.ColumnElement[bool]:
    """True of the rows whose columns together hold one of these keys. A null in a key means a null in the column."""
    if len(columns) == 1 and not any(key[0] is None for key in keys):
        column = columns[0]
        return comparable(seen, column, dialect, as_text=as_text).in_(
            [_bound(seen, column, key[0], dialect, as_text=as_text) for key in keys]
        )

    def equal(column: str, value: JsonValue) -> sa.ColumnElement[bool]:
        if value is None:
            return seen.table.c[column].is_(None)
        return comparable(seen, column, dialect, as_text=as_text) == _bound(
            seen, column, value, dialect, as_text=as_text
        )

    return sa.or_(*(sa.and_(*map(equal, columns, key)) for key in keys))


def earlier(seen: SeenTable, column: str, day: str, dialect: str) -> sa.ColumnElement[bool]:
    """True of the rows whose column holds a day before this one."""
    return comparable(seen, column, dialect) < _bound(seen, column, day, dialect)


def comparable(seen: SeenTable, column: str, dialect: str, *, as_text: bool = False) -> sa.ColumnElement[Any]:
    """The column as it is compared: past the type's own idea of a value, and as text where there is no comparison."""
    plain = sa.type_coerce(seen.table.c[column], sa.types.NullType())
    return sa.cast(plain, sa.Text()) if as_text or _text_only(seen, column, dialect) else plain


def _text_only(seen: SeenTable, column: str, dialect: str) -> bool:
    """Types that PostgreSQL does not compare, or that cannot be named in a cast."""
    return dialect != "sqlite" and _kind(seen.types[column]) in {ColumnKind.OTHER, ColumnKind.JSON}


def _bound(
    seen: SeenTable, column: str, value: JsonValue, dialect: str, *, as_text: bool = False
) -> sa.ColumnElement[Any]:
    if isinstance(value, str) and value.startswith(BYTES_FORM):
        return sa.literal(base64.b64decode(value.removeprefix(BYTES_FORM)), sa.LargeBinary())
    if dialect == "sqlite":  # it keeps what it is given, so the driver's own value is the one to compare with
        return sa.literal(value, sa.types.NullType())
    text = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    if as_text or _text_only(seen, column, dialect):
        return sa.literal(text, sa.Text())
    return sa.cast(sa.literal(text, sa.Text()), seen.types[column])
