"""Erases and searches in any database SQLAlchemy reaches: the `ErasableStore`; told what to do, it decides nothing.

Each change is one transaction. What the store's constraints refuse is told and nothing is forced: a column that does
not take its blank keeps its value while the others lose theirs. On SQLite what goes is overwritten with zeros and the
write-ahead log is folded in and cut, since either would leave it readable in the file.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import DBAPIConnection

from consent_gateway.connectors.engines import Deadline, open_store_engine
from consent_gateway.connectors.refusals import answering, code_of
from consent_gateway.connectors.residue import search_table, tables_holding
from consent_gateway.connectors.tables import SeenTable, comparable, earlier, formed, key_columns, matching, see_tables
from consent_gateway.database import reading_connection
from consent_gateway.errors import StoreUnavailable
from consent_gateway.ports import (
    ColumnKind,
    Fill,
    Needles,
    StoreChange,
    StoreChanged,
    StoreHits,
    StoreKey,
    StoreRow,
    StoreTable,
)
from consent_gateway.vocabulary import JsonValue

_AT_ONCE = 500  # keys in one condition
_EPOCH = {"date": "1970-01-01", "time": "00:00:00", "moment": "1970-01-01T00:00:00"}
_REFUSED = (sa.exc.IntegrityError, sa.exc.DataError)


class SqlErasing:
    """`ErasableStore` over one database. Safe to share between threads.

    `engine_or_url` as in `SqlStore`; `timeout` is of one call, and a search reads whole tables.
    """

    def __init__(self, engine_or_url: Engine | str, *, timeout: float, threads: int = 2) -> None:
        self._deadline = Deadline(timeout)
        self._engine = (
            open_store_engine(engine_or_url, timeout=timeout, threads=threads, deadline=self._deadline)
            if isinstance(engine_or_url, str)
            else engine_or_url
        )
        self._dialect = self._engine.dialect.name
        self._seen: dict[str, SeenTable] = {}
        self._seeing = threading.Lock()
        if self._dialect == "sqlite":
            sa.event.listen(self._engine, "connect", _overwrite_deleted)

    def shape(self) -> Mapping[str, StoreTable]:
        """As `ErasableStore.shape`."""
        self._deadline.start()
        with answering(self._engine):
            seen = see_tables(self._engine)
        with self._seeing:
            self._seen = seen
        return {name: one.told for name, one in seen.items()}

    def find(self, table: str, columns: Sequence[str], wanted: Sequence[StoreKey]) -> Sequence[StoreRow]:
        """As `ErasableStore.find`."""
        seen = self._table(table)
        self._deadline.start()
        raw = [sa.type_coerce(column, sa.types.NullType()) for column in seen.table.columns]
        keys_first = [*key_columns(seen, self._dialect), *raw]
        rows: dict[StoreKey, StoreRow] = {}
        with answering(self._engine), self._reading() as connection:
            for keys in _portions([key for key in dict.fromkeys(wanted) if None not in key]):
                try:
                    where = matching(seen, columns, keys, self._dialect)
                    answered = connection.execute(sa.select(*keys_first).where(where)).all()
                except sa.exc.DataError:  # a value that is none of the column's type is compared as text
                    where = matching(seen, columns, keys, self._dialect, as_text=True)
                    answered = connection.execute(sa.select(*keys_first).where(where)).all()
                rows |= {one.key: one for one in (_row(seen, row) for row in answered)}
        return list(rows.values())

    def older(self, table: str, column: str, than: str, limit: int, offset: int) -> Sequence[StoreRow]:
        """As `ErasableStore.older`. Text is compared as text, which for ISO 8601 is the order of days."""
        seen = self._table(table)
        self._deadline.start()
        raw = [sa.type_coerce(each, sa.types.NullType()) for each in seen.table.columns]
        keys = key_columns(seen, self._dialect)
        asked = sa.select(*keys, *raw).where(earlier(seen, column, than, self._dialect))
        asked = asked.order_by(seen.table.c[column], *keys).limit(limit).offset(offset)
        with answering(self._engine), self._reading() as connection:
            return [_row(seen, row) for row in connection.execute(asked)]

    def held(self, table: str, column: str, values: Sequence[JsonValue]) -> Mapping[JsonValue, int]:
        """As `ErasableStore.held`."""
        seen = self._table(table)
        self._deadline.start()
        one = comparable(seen, column, self._dialect)
        counts: dict[JsonValue, int] = {}
        with answering(self._engine), self._reading() as connection:
            for keys in _portions([(value,) for value in dict.fromkeys(values) if value is not None]):
                where = matching(seen, (column,), keys, self._dialect)
                counted = sa.select(one.label("value"), sa.func.count()).where(where).group_by("value")
                counts |= {formed(row[0]): row[1] for row in connection.execute(counted)}
        return counts

    def apply(self, change: StoreChange) -> StoreChanged:
        """As `ErasableStore.apply`."""
        seen = self._table(change.table)
        self._deadline.start()
        with answering(self._engine):
            try:
                with self._engine.begin() as connection:
                    changed = self._changed(connection, seen, change)
            except _REFUSED as error:  # a constraint that is looked at when the transaction ends
                changed = StoreChanged(0, {"*": code_of(error)})
            self._empty_log()
        return changed

    def holding(self, tables: Mapping[str, Sequence[str]], needles: Needles) -> Sequence[str]:
        """As `ErasableStore.holding`; on PostgreSQL one statement for all of them."""
        if self._dialect == "sqlite":
            return tuple(tables)
        self._deadline.start()
        seen = [(self._table(table), columns) for table, columns in tables.items()]
        with answering(self._engine), self._reading() as connection:
            return tables_holding(connection, seen, needles)

    def search(self, table: str, columns: Sequence[str], needles: Needles, most: int) -> Sequence[StoreHits]:
        """As `ErasableStore.search`."""
        seen = self._table(table)
        self._deadline.start()
        with answering(self._engine), self._reading() as connection:
            return search_table(connection, seen, columns, needles, most)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _reading(self) -> Any:
        return reading_connection(self._engine)

    def _table(self, name: str) -> SeenTable:
        with self._seeing:
            seen = self._seen.get(name)
        if seen is None:
            self.shape()
            seen = self._seen.get(name)
        if seen is None:
            raise StoreUnavailable(f"the store has no table `{name}` any more: plan the erasure anew")
        return seen

    def _changed(self, connection: sa.Connection, seen: SeenTable, change: StoreChange) -> StoreChanged:
        where = [matching(seen, seen.told.key, keys, self._dialect) for keys in _portions(change.keys)]
        if change.deletes:
            try:
                with connection.begin_nested():
                    gone = sum(connection.execute(sa.delete(seen.table).where(one)).rowcount for one in where)
            except _REFUSED as error:
                return StoreChanged(0, {"*": code_of(error)})
            return StoreChanged(gone, {})
        alike = {column: _blank(seen, column, fill) for column, fill in change.fills.items()}
        alike |= {column: _literal(seen, column, value) for column, value in change.values.items()}
        own = [column for column, fill in change.fills.items() if fill is Fill.UNIQUE]
        rows = _counted(connection, seen, where)
        refused = _written(connection, seen, {c: v for c, v in alike.items() if c not in own}, where)
        for at, key in enumerate(change.keys if own else ()):
            values = {column: _unique(seen, column, change.mark, at) for column in own}
            refused |= _written(connection, seen, values, [matching(seen, seen.told.key, [key], self._dialect)])
        return StoreChanged(rows, refused)

    def _empty_log(self) -> None:
        if self._dialect == "sqlite":
            with self._reading() as connection:
                if connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal":
                    connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _overwrite_deleted(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def _portions(keys: Sequence[StoreKey]) -> Iterator[Sequence[StoreKey]]:
    return (keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE))


def _row(seen: SeenTable, row: sa.Row[Any]) -> StoreRow:
    width = len(seen.told.key)
    values = dict(zip(seen.types, map(formed, row[width:]), strict=True))
    return StoreRow(tuple(map(formed, row[:width])), values)


def _counted(connection: sa.Connection, seen: SeenTable, where: Sequence[sa.ColumnElement[bool]]) -> int:
    counts = (sa.select(sa.func.count()).select_from(seen.table).where(one) for one in where)
    return sum(connection.execute(one).scalar_one() for one in counts)


def _written(
    connection: sa.Connection, seen: SeenTable, values: dict[str, Any], where: Sequence[sa.ColumnElement[bool]]
) -> dict[str, str]:
    """Write all columns at once, or one at a time where the store refuses; what it refused then, with its code."""
    if not values:
        return {}
    try:
        with connection.begin_nested():
            for one in where:
                connection.execute(sa.update(seen.table).where(one).values(values))
    except _REFUSED as error:
        if len(values) == 1:
            return {next(iter(values)): code_of(error)}
    else:
        return {}
    refused: dict[str, str] = {}
    for column, value in values.items():
        refused |= _written(connection, seen, {column: value}, where)
    return refused


def _blank(seen: SeenTable, column: str, fill: Fill) -> Any:
    if fill is Fill.NULL:
        return sa.null()
    if fill is Fill.MARK:
        marks: dict[ColumnKind, Any] = {ColumnKind.TRUTH: sa.true(), ColumnKind.NUMBER: sa.literal_column("1")}
        return marks.get(seen.told.columns[column].kind, sa.func.current_timestamp())
    column_type, kind = seen.types[column], seen.told.columns[column].kind
    if kind is ColumnKind.TIME:
        word = "moment" if isinstance(column_type, sa.DateTime) else "time" if isinstance(column_type, sa.Time) else ""
        return _literal(seen, column, _EPOCH[word or "date"])
    plain: dict[ColumnKind, Any] = {
        ColumnKind.NUMBER: sa.literal_column("0"),
        ColumnKind.TRUTH: sa.false(),
        ColumnKind.BYTES: sa.literal(b"", sa.LargeBinary()),
        ColumnKind.JSON: sa.literal_column("'{}'"),
    }
    return plain.get(kind, sa.literal_column("''"))


def _literal(seen: SeenTable, column: str, value: Any) -> Any:
    """A value in the words of the catalogue, as the column's type reads them."""
    if value is None:
        return sa.null()
    text = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    kind = seen.told.columns[column].kind
    if kind in {ColumnKind.TIME, ColumnKind.NUMBER, ColumnKind.TRUTH}:
        return sa.text(f"'{text.replace(chr(39), chr(39) * 2)}'".replace(":", "\\:"))
    return sa.literal(text, sa.types.NullType()) if kind is ColumnKind.OTHER else sa.literal(text, sa.Text())


def _unique(seen: SeenTable, column: str, mark: str, at: int) -> Any:
    """A blank that no other row has: of a text what fits of `erased-<mark>-<row>`, of a number a negative one."""
    column_type, kind = seen.types[column], seen.told.columns[column].kind
    if kind is ColumnKind.NUMBER:
        return sa.literal_column(str(-1 - (int(mark, 16) * 4096 + at) % 0x7FFFFFF0))
    if isinstance(column_type, sa.Uuid):
        return sa.literal_column(f"'00000000-0000-0000-{at % 0x10000:04x}-{mark[:8]:0>12}'")
    text = f"erased-{mark}-{at}"
    length = getattr(column_type, "length", None)
    return sa.literal(text if length is None else text[-length:], sa.Text())
