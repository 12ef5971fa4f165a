"""The connection of the key ring to the key database: transactions, reads, and a broken driver named as its cause."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine

from consent_gateway.database import HeldConnections, PreparedRead, driver_errors
from consent_gateway.errors import DatabaseUnavailable


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
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                yield connection
        except self._errors as error:
            raise DatabaseUnavailable("the key database did not answer: see that it runs") from error

    def insert_if_absent(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        """An insert that leaves alone whatever is there under the same key: of two processes the first wins."""
        if self.is_sqlite:
            return sqlite.insert(table).on_conflict_do_nothing()
        return postgresql.insert(table).on_conflict_do_nothing()

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

    def close(self) -> None:
        """Give the held connections back; to be called when no thread reads any more."""
        self._held.close()
