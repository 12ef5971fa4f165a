"""Looks through columns of one table for values of a person; compares as text, whatever the type; changes nothing.

PostgreSQL does it in the server with one regular expression. SQLite calls back into Python, whose idea of lower case
is not ASCII's alone. Bytes are looked at as text too, with the zeros of UTF-16 left out.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from consent_gateway.connectors.tables import SeenTable, formed, key_columns
from consent_gateway.ports import ColumnKind, Needles, StoreHits, StoreKey

_FUNCTION = "consent_gateway_holds"
_NO_TEXT = frozenset({ColumnKind.TIME, ColumnKind.TRUTH})  # where the database keeps to its types, as SQLite does not


def search_table(
    connection: sa.Connection, seen: SeenTable, columns: Sequence[str], needles: Needles, most: int
) -> list[StoreHits]:
    """As `ErasableStore.search`, on this connection."""
    sqlite = connection.dialect.name == "sqlite"
    if not needles:
        return []
    looked = [c for c in columns if sqlite or seen.told.columns[c].kind not in _NO_TEXT]
    if not looked:
        return []
    if not sqlite:
        return _found(connection, seen, [(c, _in_server(seen, c, needles)) for c in looked], most)
    driver: Any = connection.connection.driver_connection
    driver.create_function(_FUNCTION, 1, _holds(needles), deterministic=True)
    try:
        call = getattr(sa.func, _FUNCTION)
        return _found(connection, seen, [(c, call(seen.table.c[c], type_=sa.Integer()) == 1) for c in looked], most)
    finally:
        driver.create_function(_FUNCTION, 1, None)  # the function holds the values looked for


def _found(
    connection: sa.Connection, seen: SeenTable, conditions: Sequence[tuple[str, sa.ColumnElement[bool]]], most: int
) -> list[StoreHits]:
    keys = key_columns(seen, connection.dialect.name)
    tests = [condition.label(f"h{at}") for at, (_, condition) in enumerate(conditions)]
    statement = sa.select(*keys, *tests).where(sa.or_(*(condition for _, condition in conditions))).limit(most + 1)
    hits: dict[str, list[StoreKey]] = {}
    rows = connection.execute(statement).all()
    for row in rows:
        key = tuple(formed(value) for value in row[: len(keys)])
        for (column, _), holds in zip(conditions, row[len(keys) :], strict=True):
            if holds:
                hits.setdefault(column, []).append(key)
    return [StoreHits(seen.told.name, column, tuple(found), len(rows) > most) for column, found in hits.items()]


def _in_server(seen: SeenTable, column: str, needles: Needles) -> sa.ColumnElement[bool]:
    is_bytes = seen.told.columns[column].kind is ColumnKind.BYTES
    shown: sa.ColumnElement[str]
    if is_bytes:
        shown = sa.func.replace(sa.func.encode(seen.table.c[column], "escape"), "\\000", "", type_=sa.Text())
    else:
        shown = sa.cast(sa.type_coerce(seen.table.c[column], sa.types.NullType()), sa.Text())
    text = sa.func.lower(shown, type_=sa.Text())
    tests: list[sa.ColumnElement[bool]] = []
    words = needles.bare if is_bytes else needles.texts
    if words:
        tests.append(sa.func.coalesce(text.op("~")(sa.literal(words, sa.Text())), sa.false()))
    if needles.digits:
        digits = sa.func.regexp_replace(text, "[^0-9]", "", "g", type_=sa.Text())
        tests.append(sa.func.coalesce(digits.op("~")(sa.literal(needles.digits, sa.Text())), sa.false()))
    return sa.or_(*tests)


def _holds(needles: Needles) -> Callable[[Any], int]:
    texts, bare, digits = (re.compile(one) if one else None for one in (needles.texts, needles.bare, needles.digits))

    def holds(value: Any) -> int:
        if value is None:
            return 0
        words = texts
        if isinstance(value, bytes):
            value, words = shown_bytes(value), bare
        text = str(value).lower()
        if words is not None and words.search(text):
            return 1
        return int(digits is not None and digits.search(re.sub(r"[^0-9]", "", text)) is not None)

    return holds


def shown_bytes(value: bytes) -> str:
    """Bytes as PostgreSQL's `encode(…, 'escape')` shows them, without zeros."""
    value = value.replace(b"\0", b"").replace(b"\\", b"\\\\")
    if value.isascii():
        return value.decode("ascii")
    return "".join(chr(each) if each < 0x80 else f"\\{each:03o}" for each in value)
