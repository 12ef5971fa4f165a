"""The connection of the key ring to the key database: transactions, reads, and a broken driver named as its cause.

`wrapping` is the door through which everything passes that the provider wraps and that is written down here. Retiring
a root version first closes that door for a moment (`shut`), so that nothing wrapped before arrives after.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine

from consent_gateway.database import HeldConnections, PreparedRead, driver_errors, reading_connection
from consent_gateway.errors import Conflict, DatabaseUnavailable
from consent_gateway.protection.tables import KEY_MARKS

_JOB_LOCK = 0x6B657973  # "keys": the advisory lock of the one job on the keys
_PATIENCE = "30s"  # a closing may wait this long for those who are making keys


class KeyDatabase:
    """The key database on both kinds of engine; every failure of the driver is `DatabaseUnavailable`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._held = HeldConnections(engine)
        self._errors = driver_errors(engine)

    @property
    def is_sqlite(self) -> bool:
        """True where the key database is a SQLite file."""
        return self._engine.dialect.name == "sqlite"

    @property
    def dialect(self) -> sa.Dialect:
        """The dialect that statements for this database are compiled for."""
        return self._engine.dialect

    def prepared(self, statement: sa.Select[Any]) -> PreparedRead:
        """A statement for the path of every request, compiled once."""
        return PreparedRead(self._held, self._engine.dialect, statement)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction, committed at the end and rolled back on any error."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except self._errors as error:
            raise DatabaseUnavailable("the key database did not answer: see that it runs and has space") from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Reads outside any transaction."""
        try:
            with reading_connection(self._engine) as connection:
                yield connection
        except self._errors as error:
            raise DatabaseUnavailable("the key database did not answer: see that it runs") from error

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Reads that all see the database as it is at the first of them; nobody is kept from writing."""
        level = "AUTOCOMMIT" if self.is_sqlite else "REPEATABLE READ"
        try:
            with self._engine.connect().execution_options(isolation_level=level) as connection:
                if not self.is_sqlite:
                    yield connection
                    return
                connection.exec_driver_sql("BEGIN")  # deferred: our engine's own transactions take the write lock
                try:
                    yield connection
                finally:
                    connection.exec_driver_sql("ROLLBACK")
        except self._errors as error:
            raise DatabaseUnavailable("the key database did not answer: see that it runs") from error

    @contextmanager
    def wrapping(self) -> Iterator[Connection]:
        """A transaction in which something may be wrapped by the provider and written down. The provider is asked
        inside it, never before: what it wraps in here is in the table before any root version is retired.
        """
        with self.transaction() as connection:
            self._door(connection, shared=True)
            yield connection

    @contextmanager
    def shut(self) -> Iterator[Connection]:
        """A transaction that begins once every `wrapping` under way is over, and while none other begins."""
        with self.transaction() as connection:
            if not self.is_sqlite:
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_PATIENCE}'")
                connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{_PATIENCE}'")
            self._door(connection, shared=False)
            yield connection

    def _door(self, connection: Connection, *, shared: bool) -> None:
        if self.is_sqlite:
            return  # a transaction holds the whole file
        connection.execute(self.insert_if_absent(KEY_MARKS), {"name": "wrapping", "value": 0})
        row = sa.select(KEY_MARKS.c.value).where(KEY_MARKS.c.name == "wrapping")
        connection.execute(row.with_for_update(read=shared))

    def insert_if_absent(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        """An insert that leaves alone whatever is there under the same key: of two processes the first wins."""
        return self._insert(table).on_conflict_do_nothing()

    def raise_mark(self, connection: Connection, name: str) -> None:
        """Count one up what every process looks at, in the transaction of what it announces."""
        statement = self._insert(KEY_MARKS).values(name=name, value=1)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[KEY_MARKS.c.name], set_={"value": KEY_MARKS.c.value + statement.excluded.value}
            )
        )

    def _insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    def erase_deleted(self, connection: Connection) -> None:
        """Have SQLite overwrite with zeros what this connection empties, rather than leave it in free pages."""
        if self.is_sqlite:
            connection.exec_driver_sql("PRAGMA secure_delete=ON")

    def empty_log(self) -> None:
        """Fold SQLite's write-ahead log into the file and cut it to nothing, for it holds pages as they were before.

        A reader that is under way keeps SQLite from cutting; the next call or restart does it then.
        """
        if self.is_sqlite:
            with self.reading() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Holds the lock of the one job on the keys; raises `Conflict` where another process holds it.

        It ends with the process that holds it, however that ends.
        """
        with self._file_lock() if self.is_sqlite else self._advisory_lock() as mine:
            if not mine:
                raise Conflict("another job on the keys is running: wait until it is done")
            yield

    @contextmanager
    def _file_lock(self) -> Iterator[bool]:
        handle = os.open(f"{self._engine.url.database}.job", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
        finally:
            os.close(handle)

    @contextmanager
    def _advisory_lock(self) -> Iterator[bool]:
        with self.reading() as connection:
            mine = bool(connection.execute(sa.select(sa.func.pg_try_advisory_lock(_JOB_LOCK))).scalar_one())
            try:
                yield mine
            finally:
                if mine:
                    connection.execute(sa.select(sa.func.pg_advisory_unlock(_JOB_LOCK)))

    def close(self) -> None:
        """Give the held connections back; to be called when no thread reads any more."""
        self._held.close()
