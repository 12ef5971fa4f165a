"""Looks through columns of one table for values of a person; compares as text, whatever the type; changes nothing.

PostgreSQL does it in the server with one regular expression. SQLite calls back into Python, whose idea of lower case
is not ASCII's alone. Bytes are looked at as text too, with the zeros of UTF-16 left out.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from consent_gateway.connectors.tables import SeenTable, formed, key_columns
from consent_gateway.ports import ColumnKind, Needles, StoreHits, StoreKey

_FUNCTION = "consent_gateway_holds"
_LIKE = re.compile(r"[%_\\]")  # what LIKE takes for something else
_BETWEEN = "\x01"  # stands between the columns of a row, and in no number or word
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
        of_row = _row_in_server(seen, looked, needles)
        conditions = [(c, _in_server(_shown(seen, c), needles, is_bytes=_is_bytes(seen, c))) for c in looked]
        return _found(connection, seen, conditions, of_row, most)
    driver: Any = connection.connection.driver_connection
    driver.create_function(_FUNCTION, 1, _holds(needles), deterministic=True)
    try:
        call = getattr(sa.func, _FUNCTION)
        conditions = [(c, call(seen.table.c[c], type_=sa.Integer()) == 1) for c in looked]
        return _found(connection, seen, conditions, sa.or_(*(condition for _, condition in conditions)), most)
    finally:
        driver.create_function(_FUNCTION, 1, None)  # the function holds the values looked for


def tables_holding(
    connection: sa.Connection, tables: Sequence[tuple[SeenTable, Sequence[str]]], needles: Needles
) -> list[str]:
    """Those of these tables, with the columns that count, of which a row may hold something; PostgreSQL only.

    One statement: to ask every table by itself costs more than the looking does.
    """
    asked = []
    for seen, columns in tables:
        looked = [c for c in columns if seen.told.columns[c].kind not in _NO_TEXT]
        if looked and needles:
            inside: sa.Select[Any] = sa.select(sa.literal_column("1")).select_from(seen.table)
            held = sa.exists(inside.where(_row_in_server(seen, looked, needles)))
            asked.append(sa.select(sa.literal(seen.told.name, sa.Text())).where(held))
    return list(connection.execute(sa.union_all(*asked)).scalars()) if asked else []


def _found(
    connection: sa.Connection,
    seen: SeenTable,
    conditions: Sequence[tuple[str, sa.ColumnElement[bool]]],
    of_row: sa.ColumnElement[bool],
    most: int,
) -> list[StoreHits]:
    """The hits among the rows of which `of_row` is true; it may be true of more than one of the conditions is."""
    keys = key_columns(seen, connection.dialect.name)
    tests = [condition.label(f"h{at}") for at, (_, condition) in enumerate(conditions)]
    rows = connection.execute(sa.select(*keys, *tests).where(of_row).limit(most + 1)).all()
    hits: dict[str, list[StoreKey]] = {}
    for row in rows:
        key = tuple(formed(value) for value in row[: len(keys)])
        for (column, _), holds in zip(conditions, row[len(keys) :], strict=True):
            if holds:
                hits.setdefault(column, []).append(key)
    return [StoreHits(seen.told.name, column, tuple(found[:most]), len(rows) > most) for column, found in hits.items()]


def _is_bytes(seen: SeenTable, column: str) -> bool:
    return seen.told.columns[column].kind is ColumnKind.BYTES


def _shown(seen: SeenTable, column: str) -> sa.ColumnElement[str]:
    """The column as text in lower case."""
    shown: sa.ColumnElement[str]
    if _is_bytes(seen, column):
        shown = sa.func.replace(sa.func.encode(seen.table.c[column], "escape"), "\\000", "", type_=sa.Text())
    else:
        shown = sa.cast(sa.type_coerce(seen.table.c[column], sa.types.NullType()), sa.Text())
    return sa.func.lower(shown, type_=sa.Text())


def _row_in_server(seen: SeenTable, columns: Sequence[str], needles: Needles) -> sa.ColumnElement[bool]:
    """True of every row that holds something, and of few others: all columns at once cost what one does."""
    whole = sa.func.concat_ws(_BETWEEN, *(_shown(seen, c) for c in columns), type_=sa.Text())
    tests: list[sa.ColumnElement[bool]] = []
    if needles.words:  # several times as fast as the regular expression, which is asked of what is found
        like = ["%" + _LIKE.sub(r"\\\g<0>", word) + "%" for word in needles.words]
        bound = sa.bindparam("words", like, type_=ARRAY(sa.Text()), unique=False)  # sent once, however often it stands
        tests.append(whole.like(sa.any_(sa.cast(bound, ARRAY(sa.Text())))))
    if needles.digits:
        tests.append(_digits_in_server(whole, needles))
    return sa.or_(*tests)


def _in_server(text: sa.ColumnElement[str], needles: Needles, *, is_bytes: bool) -> sa.ColumnElement[bool]:
    tests: list[sa.ColumnElement[bool]] = []
    words = needles.bare if is_bytes else needles.texts
    if words:
        tests.append(sa.func.coalesce(text.op("~")(sa.literal(words, sa.Text())), sa.false()))
    if needles.digits:
        tests.append(_digits_in_server(text, needles))
    return sa.or_(*tests)


def _digits_in_server(text: sa.ColumnElement[str], needles: Needles) -> sa.ColumnElement[bool]:
    digits = sa.func.regexp_replace(text, f"[^0-9{_BETWEEN}]", "", "g", type_=sa.Text())
    return sa.func.coalesce(digits.op("~")(sa.literal(needles.digits, sa.Text())), sa.false())


def _holds(needles: Needles) -> Callable[[Any], int]:
    texts, bare, digits = (re.compile(one) if one else None for one in (needles.texts, needles.bare, needles.digits))

    def holds(value: Any) -> int:
        if value is None:
            return 0
        is_bytes = isinstance(value, bytes)
        text = (shown_bytes(value) if is_bytes else str(value)).lower()
        # The words alone are found fast; whether they go on to either side is asked only then.
        if bare is not None and bare.search(text) and (is_bytes or (texts is not None and texts.search(text))):
            return 1
        return int(digits is not None and digits.search(re.sub(r"[^0-9]", "", text)) is not None)

    return holds


def shown_bytes(value: bytes) -> str:
    """Bytes as PostgreSQL's `encode(…, 'escape')` shows them, without zeros."""
    value = value.replace(b"\0", b"").replace(b"\\", b"\\\\")
    if value.isascii():
        return value.decode("ascii")
    return "".join(chr(each) if each < 0x80 else f"\\{each:03o}" for each in value)
