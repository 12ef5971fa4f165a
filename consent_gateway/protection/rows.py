"""The keys of people as raw rows, many at a time: read, digested, re-wrapped and copied; holds no key and opens none.

Ten million rows go through here at each closing. Core's handling of each row of an `executemany` costs about as much
again as the row itself (`make bench` prints what a person costs), so the statements are built with Core, compiled once
and handed to the driver as text with plain tuples. Nothing else in the room does so.
"""

import hashlib
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consent_gateway.errors import KeysUnavailable
from consent_gateway.protection.hierarchy import SHARDS
from consent_gateway.protection.tables import PERSON_KEYS, SHARD_KEYS

_WRAPPED_BYTES = 72  # a person's data key and seed as they are kept
_BLOCK = 32  # shards read at a time: of ten million people about 78,000 rows

RawRow = tuple[Any, ...]
"""A row as the driver gives it, in the order of the table's columns: integers, strings, bytes and None."""

_p = PERSON_KEYS.c
_GIVEN = ("of_shard", "whose", "old", "new", "to_epoch")
_REWRAP_ONE = (
    sa.update(PERSON_KEYS)
    .where(
        _p.shard == sa.bindparam("of_shard"),
        _p.data_subject == sa.bindparam("whose"),
        _p.wrapped == sa.bindparam("old"),
    )
    .values(wrapped=sa.bindparam("new"), epoch=sa.bindparam("to_epoch"))
)
# PostgreSQL takes all rows of a shard in one statement: the ids as one text, the wrapped keys, which are all of one
# length, as one byte string each. Arrays would have to be written out as text, an element at a time.
_IDS = (
    sa.func.unnest(sa.func.string_to_array(sa.bindparam("whose", type_=sa.Text), ","))
    .table_valued("whose", with_ordinality="place")
    .render_derived(name="given")
)
_AT = (sa.cast(_IDS.c.place, sa.Integer) - 1) * _WRAPPED_BYTES + 1
_REWRAP_MANY = (
    sa.update(PERSON_KEYS)
    .where(
        _p.shard == sa.bindparam("of_shard"),
        _p.data_subject == _IDS.c.whose,
        _p.wrapped == sa.func.substring(sa.bindparam("old", type_=sa.LargeBinary), _AT, _WRAPPED_BYTES),
    )
    .values(
        wrapped=sa.func.substring(sa.bindparam("new", type_=sa.LargeBinary), _AT, _WRAPPED_BYTES),
        epoch=sa.bindparam("to_epoch"),
    )
)


def rewrap_rows(connection: Connection, shard: int, epoch: int, changes: Sequence[tuple[str, bytes, bytes]]) -> None:
    """Put (data subject, old wrapped, new wrapped) of one shard under another epoch.

    A row that is no longer as it was read, because its key was destroyed meanwhile, is left as it is.
    """
    if not changes:
        return
    if connection.dialect.name == "postgresql":  # one statement; there an `executemany` is a message for every row
        people, old, new = zip(*changes, strict=True)
        if any(len(one) != _WRAPPED_BYTES for one in (*old, *new)):
            raise KeysUnavailable(f"a wrapped key in shard {shard} has not the length of one: restore its row")
        compiled = _REWRAP_MANY.compile(dialect=connection.dialect)
        given = {"of_shard": shard, "whose": ",".join(people), "old": b"".join(old), "new": b"".join(new)}
        connection.exec_driver_sql(str(compiled), {**compiled.params, **given, "to_epoch": epoch})
        return
    text, order = _compiled(connection, _REWRAP_ONE)
    in_order = itemgetter(*map(_GIVEN.index, order))
    connection.exec_driver_sql(text, [in_order((shard, whose, old, new, epoch)) for whose, old, new in changes])


def lose(connection: Connection, shard: int, epoch: int, at: int) -> int:
    """Note that somebody under this key of a shard is erased, so that the next closing draws another in its place.

    Returns the epoch that the shard's key is under: once that is closed no back-up opens what it has wrapped. Held
    until the transaction ends, so that no closing begins in between.
    """
    s = SHARD_KEYS.c
    lost = sa.update(SHARD_KEYS).where(s.epoch == epoch, s.shard == shard).values(lost_at=at).returning(s.under)
    under = connection.execute(lost).scalar_one_or_none()
    return epoch if under is None else under  # a key that is gone cannot be lost


def living_of_shard(connection: Connection, shard: int, epoch: int) -> list[RawRow]:
    """(data subject, wrapped) of everyone in this shard whose keys are wrapped under this epoch."""
    statement = sa.select(_p.data_subject, _p.wrapped).where(
        _p.shard == shard, _p.epoch == epoch, _p.wrapped.is_not(None)
    )
    return raw_rows(connection, statement)


def every_person(connection: Connection) -> Iterator[tuple[int, list[RawRow]]]:
    """All rows in order of shard and data subject, with the number of shards read so far; a few shards at a time."""
    for low in range(0, SHARDS, _BLOCK):
        rows = raw_rows(connection, sa.select(PERSON_KEYS).where(_p.shard >= low, _p.shard < low + _BLOCK))
        rows.sort(key=itemgetter(0, 1))  # here, for databases differ in how they order text
        yield low + _BLOCK, rows


def insert_rows(connection: Connection, table: sa.Table, rows: Sequence[RawRow]) -> None:
    """Insert raw rows of all the table's columns, in their order."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":  # a restore: rare, and its parameters have names there
        names = [column.name for column in table.columns]
        connection.execute(sa.insert(table), [dict(zip(names, row, strict=True)) for row in rows])
        return
    text, _ = _compiled(connection, sa.insert(table))
    connection.exec_driver_sql(text, list(rows))


def raw_rows(connection: Connection, statement: sa.Select[Any]) -> list[RawRow]:
    """All rows of a statement, as the driver gives them."""
    compiled = statement.compile(dialect=connection.dialect)
    given: Any = compiled.params
    if compiled.positiontup is not None:
        given = tuple(compiled.params[name] for name in compiled.positiontup)
    result = connection.exec_driver_sql(str(compiled), given)
    rows = result.cursor.fetchall()  # SQLAlchemy's own rows cost as much again
    result.close()
    return cast("list[RawRow]", rows)


class Digest:
    """SHA-256 over rows as lines of text: the table's name, then each value after a bar, bytes as hexadecimal digits
    and null as nothing. No value holds a bar or a line's end, so no two tables give the same text.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, table: str, rows: Sequence[RawRow]) -> None:
        """Take in the next rows of a table; how they are cut into calls makes no difference."""
        lines = [table + "".join([f"|{_text(value)}" for value in row]) for row in rows]
        self._hash.update("".join([line + "\n" for line in lines]).encode())

    def add_people(self, rows: Sequence[RawRow]) -> None:
        """The same for keys of people, of whom there are many."""
        lines = [
            f"person_keys|{a}|{b}|{c}|{d}|{e}|{'' if f is None else f.hex()}|{g}|{'' if h is None else h}\n"
            for a, b, c, d, e, f, g, h in rows
        ]
        self._hash.update("".join(lines).encode())

    def hex(self) -> str:
        """64 hexadecimal digits."""
        return self._hash.hexdigest()


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return "" if value is None else str(value)


def _compiled(connection: Connection, statement: sa.Update | sa.Insert) -> tuple[str, list[str]]:
    compiled = statement.compile(dialect=connection.dialect)
    return str(compiled), list(compiled.positiontup or compiled.params)
