"""Where a batch of leaves becomes durable: the PostgreSQL queue, or one SQLite file per process.

Only the committing thread of `recorder` uses a store. A batch is committed whole or not at all; storing the
same batch again is harmless, because leaves are told apart by their entry id.
"""

import fcntl
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import psycopg
import sqlalchemy as sa

from consent_gateway.ids import random_id

Row = tuple[str, bytes]  # entry id, leaf
LEAVES_PER_FILE = 200_000
_FILE_SCHEMA = "CREATE TABLE leaves (n INTEGER PRIMARY KEY, entry_id TEXT NOT NULL UNIQUE, entry BLOB NOT NULL)"
_QUEUE_INSERT = """
INSERT INTO audit_queue (entry_id, entry, txid)
SELECT given.entry_id, given.entry, pg_current_xact_id()::text::bigint
FROM unnest(%s::text[], %b::bytea[]) WITH ORDINALITY AS given (entry_id, entry, place)
ORDER BY given.place
"""  # one statement is one transaction on an autocommitting connection: one round trip, one flush


_STORED = """
SELECT entry_id, entry FROM audit_queue WHERE entry_id = ANY(%s)
UNION SELECT entry_id, entry FROM audit_log WHERE entry_id = ANY(%s)
"""


class OutcomeUnknown(Exception):
    """The connection broke during the commit: the batch may be durable or not."""


class LeafRefused(Exception):
    """The store works but will not take a leaf, as when its id is taken: trying again cannot help."""


class BatchStore(Protocol):
    """Makes batches of leaves durable, in order; used by one thread."""

    writer: str

    @property
    def full(self) -> bool:
        """Whether the recorder should close this store and open the next."""
        ...

    def commit(self, rows: Sequence[Row]) -> None:
        """Durable when it returns. `OutcomeUnknown`: perhaps stored. Any other error: none of it is stored."""
        ...

    def close(self) -> None:
        """Give up the connection, file and lock."""
        ...


class QueueStore:
    """Appends to the table `audit_queue` of a PostgreSQL gateway database over one connection of its own."""

    full = False

    def __init__(self, engine: sa.Engine) -> None:
        self.writer = random_id("wrt")
        self._pool = engine.pool.recreate()  # the engine's settings, none of its possibly stale connections
        self._held: Any = None

    def commit(self, rows: Sequence[Row]) -> None:
        """Insert the rows in one statement, reconnecting first if the last call broke the connection."""
        if self._held is None:
            held: Any = self._pool.connect()
            held.dbapi_connection.autocommit = True
            self._held = held
        connection = self._held.dbapi_connection
        ids = [row[0] for row in rows]
        try:
            connection.execute(_QUEUE_INSERT, (ids, [row[1] for row in rows]))
        except (psycopg.IntegrityError, psycopg.DataError) as error:
            if sorted(connection.execute(_STORED, (ids, ids)).fetchall()) != sorted(rows):
                raise LeafRefused("the audit queue refused an entry") from error
            # else: an earlier try, whose outcome was unknown, had stored exactly this
        except psycopg.Error as error:
            if not connection.closed:
                raise  # the server itself said no, so nothing is stored
            self._drop()
            raise OutcomeUnknown("the connection to the audit queue broke") from error

    def _drop(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.invalidate()

    def close(self) -> None:
        """Close the connection."""
        self._drop()
        self._pool.dispose()


class FileStore:
    """Appends to `<folder>/<writer>.db`, a SQLite file that only this object writes to.

    The lock file beside it is held while the writer lives, so that the sealer can tell a living writer's file
    from one that will never grow again. It is taken before the file exists.
    """

    def __init__(self, folder: Path) -> None:
        self.writer = random_id("wrt")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{self.writer}.db"
        self._count = 0
        self._path = path
        self._gone = False
        self._lock = os.open(path.with_suffix(".lock"), os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))  # SQLite would let others read it
            self._connection = _open_file(path)
            self._identity = self._present()
            _sync_folder(folder)
        except BaseException:
            for made in (path, path.with_suffix(".lock")):  # or each new try on a full disk would leave two more
                made.unlink(missing_ok=True)
            os.close(self._lock)
            raise

    @property
    def full(self) -> bool:
        """True once the file is gone, or holds so much that a fresh one lets the sealer remove it."""
        return self._gone or self._count >= LEAVES_PER_FILE

    def commit(self, rows: Sequence[Row]) -> None:
        """Insert the rows in one transaction, flushed to disk before it returns.

        A file that was removed or replaced under us still takes commits, and loses them when we close it: so
        each commit counts only if the file is still in its place afterwards.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT INTO leaves (entry_id, entry) VALUES (?, ?)", rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError):
                raise LeafRefused("the writer's file refused an entry") from error
            raise
        if self._present() != self._identity:
            self._gone = True
            raise OSError(f"the audit file `{self._path.name}` was removed: recording into a new one")
        self._count += len(rows)

    def _present(self) -> tuple[tuple[int, int] | None, ...]:
        """Which files now stand under our names: the database and its write-ahead log."""
        return tuple(_identity(self._path.with_name(self._path.name + ending)) for ending in ("", "-wal"))

    def close(self) -> None:
        """Close the file and release the lock; what is in the file waits for the sealer."""
        self._connection.close()
        os.close(self._lock)


def audit_folder(state_dir: Path) -> Path:
    """Where the SQLite profile keeps one file per writer."""
    return state_dir / "audit"


def _open_file(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=2, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # NORMAL would lose commits when the power fails
        connection.execute(_FILE_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
