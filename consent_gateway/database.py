"""Engines, times and the one place of raw statement execution for the gateway's databases; holds no query.

Rooms own their tables (registered on `METADATA`, or on `KEY_METADATA` for the key table, which lives in a
database of its own) and their SQLAlchemy Core statements, run on a `Connection` that is passed in.

Times are stored as BIGINT microseconds since 1970 UTC: exact, and equal on SQLite and PostgreSQL.
"""

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import QueuePool

from consent_gateway.errors import DatabaseUnavailable, SettingsRefused

_NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
METADATA = sa.MetaData(naming_convention=_NAMING)
KEY_METADATA = sa.MetaData(naming_convention=_NAMING)

STATEMENT_SECONDS = 2  # no statement of a request may hold its thread longer
TRANSACTIONS = 16  # changes one process carries out at once; the next waits for one of them
_SQLITE_LOOKS_EVERY = 0.11  # seconds; its busy handler sleeps 0.1 at most, https://sqlite.org/c3ref/busy_timeout.html
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

DRIVER_ERRORS: tuple[type[Exception], ...] = (sa.exc.SQLAlchemyError, sqlite3.Error, psycopg.Error)
"""What a statement may raise when the database is away, full, locked or damaged."""


def driver_errors(engine: Engine) -> tuple[type[Exception], ...]:
    """`DRIVER_ERRORS`, and those of the engine's own driver where it is another one."""
    own = cast("type[Exception]", engine.dialect.loaded_dbapi.Error)
    return (*DRIVER_ERRORS, own)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970 UTC of a timezone-aware datetime, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The UTC datetime of a stored time."""
    return _EPOCH + timedelta(microseconds=micros)


def open_engine(url: str, *, threads: int, statement_seconds: int = STATEMENT_SECONDS) -> Engine:
    """An engine whose pool holds a connection for every thread to read by, and some more for transactions.

    SQLite files are opened in WAL mode with synchronous=FULL, and every transaction takes the write lock at
    its start, so that none fails half-way for want of it. PostgreSQL gets a bound on every statement.
    """
    target = sa.make_url(url)
    if target.get_backend_name() == "sqlite":
        return _open_sqlite(target, threads)
    if target.get_backend_name() != "postgresql":
        raise SettingsRefused(f"database `{target.get_backend_name()}` is not supported: use sqlite or postgresql")
    return sa.create_engine(
        target.set(drivername="postgresql+psycopg"),
        poolclass=QueuePool,
        pool_size=threads + TRANSACTIONS,
        max_overflow=0,
        pool_timeout=STATEMENT_SECONDS,
        pool_pre_ping=False,
        connect_args={
            "connect_timeout": STATEMENT_SECONDS,
            "tcp_user_timeout": STATEMENT_SECONDS * 1500,  # a partitioned network must not hold a thread for minutes
            "keepalives_idle": 10,
            "options": f"-c statement_timeout={statement_seconds}s -c lock_timeout={STATEMENT_SECONDS}s"
            " -c timezone=UTC",
        },
    )


def sqlite_file(url: str | sa.URL) -> Path | None:
    """The file of a SQLite database; None for a database without one."""
    target = sa.make_url(url)
    name = target.database if target.get_backend_name() == "sqlite" else None
    return Path(name) if name and name != ":memory:" and not name.startswith("file:") else None


def _open_sqlite(target: sa.URL, threads: int) -> Engine:
    engine = sa.create_engine(
        target,
        poolclass=QueuePool,
        pool_size=threads + TRANSACTIONS,
        max_overflow=0,
        pool_timeout=STATEMENT_SECONDS,
        connect_args={"timeout": STATEMENT_SECONDS, "check_same_thread": False, "isolation_level": None},
    )

    path = sqlite_file(target)

    @sa.event.listens_for(engine, "do_connect")
    def _make_private(*_given: object) -> None:
        if path is not None and path.parent.is_dir():  # SQLite would let others read it; `-wal` and `-shm` follow it
            with suppress(OSError):  # it is there, or SQLite says what is wrong
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # NORMAL would lose commits when the power fails
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _lock_first(connection: sa.Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":  # this event fires there too
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def reading_connection(engine: Engine) -> sa.Connection:
    """A connection for reads outside any transaction, which on SQLite would take the write lock."""
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def let_others_write(engine: Engine) -> None:
    """Rest between two transactions of a bulk run, so that a single writer gets its turn.

    Those who wait for SQLite's lock only look for it again every so often, and would miss each short moment of an
    import that takes it page after page. PostgreSQL locks rows and needs none of this.
    """
    if engine.dialect.name == "sqlite":
        time.sleep(_SQLITE_LOOKS_EVERY)


def refuse_unless_durable(engine: Engine) -> None:
    """Raise `SettingsRefused` where a commit of this database would not survive a power failure."""
    with reading_connection(engine) as connection:
        if engine.dialect.name == "sqlite":
            if connection.exec_driver_sql("PRAGMA synchronous").scalar_one() < 2:
                raise SettingsRefused("SQLite must run with synchronous=FULL: remove the pragma that lowers it")
            return
        for name in ("synchronous_commit", "fsync", "full_page_writes"):
            value = connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            if value in ("off", "local" if name == "synchronous_commit" else "off"):
                raise SettingsRefused(f"PostgreSQL runs with {name}={value}, which loses commits: set it to on")


class HeldConnections:
    """One autocommitting driver connection per thread, held for reads that are on the path of every request.

    SQLAlchemy's checkout, transaction and result machinery costs several times what the read itself does
    (`make bench` prints both), so a hot statement is built once with Core and its text is run here. Nothing
    else in the gateway touches a driver directly.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._held = threading.local()
        self._all: weakref.WeakSet[sa.Connection] = weakref.WeakSet()  # threads that ended have given theirs back
        self._errors = driver_errors(engine)

    @property
    def dialect(self) -> sa.Dialect:
        """The dialect that statements for these connections are compiled for."""
        return self._engine.dialect

    def _connection(self) -> Any:
        connection = getattr(self._held, "connection", None)
        if connection is None:
            connection = reading_connection(self._engine)
            self._held.connection = connection
            self._all.add(connection)
        return connection.connection.dbapi_connection

    def _discard(self) -> None:
        connection = self._held.connection
        self._held.connection = None
        connection.invalidate()
        connection.close()

    def close(self) -> None:
        """Close the connections of all threads; to be called when none of them reads any more."""
        for connection in list(self._all):
            connection.invalidate()
            connection.close()
        self._all.clear()
        self._held = threading.local()

    def rows(self, text: str, parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of one statement. A connection that broke is replaced once, then `DatabaseUnavailable`."""
        for attempt in (1, 2):
            connection = None
            try:
                connection = self._connection()
                cursor = connection.cursor()
                cursor.execute(text, parameters)
                return list(cursor.fetchall())
            except self._errors as error:
                broke = self._engine.dialect.is_disconnect(cast("Any", error), connection, None)
                if getattr(self._held, "connection", None) is not None:
                    self._discard()
                if attempt == 2 or not broke:  # a slow or refused statement would only be slow or refused again
                    raise DatabaseUnavailable("the database did not answer") from error
        raise AssertionError("unreachable")  # pragma: no cover


class PreparedRead:
    """A Core statement compiled once; `rows(name=value, …)` runs its text on a held connection."""

    def __init__(self, held: HeldConnections, dialect: sa.Dialect, statement: sa.Select[Any]) -> None:
        compiled = statement.compile(dialect=dialect)
        self._held = held
        self._text = str(compiled)
        self._arrange = _arrangement(compiled)

    def rows(self, **parameters: Any) -> list[tuple[Any, ...]]:
        """All rows, as plain tuples of driver values (times are microseconds, booleans may be 0 and 1)."""
        return self._held.rows(self._text, self._arrange(parameters))


def _arrangement(compiled: Any) -> Callable[[dict[str, Any]], Any]:
    fixed = {name: value for name, value in compiled.params.items() if value is not None}
    if compiled.positiontup is None:
        return lambda given: {**fixed, **given}
    order = tuple(compiled.positiontup)
    if not fixed and len(order) > 1:
        return itemgetter(*order)
    return lambda given: tuple(given[name] if name in given else fixed[name] for name in order)
