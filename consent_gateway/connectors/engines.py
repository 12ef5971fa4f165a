"""Opens the retailer's database with a bound on every statement; changes nothing in it, not even how it journals."""

import threading
import time
from collections.abc import Callable
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import QueuePool

_STEPS = 2000  # of SQLite's virtual machine between two looks at the clock: well under a millisecond


class Deadline:
    """When the call that runs on this thread must have ended; SQLite asks it while a statement runs."""

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._at = threading.local()

    def start(self) -> None:
        """The call on this thread begins now."""
        self._at.moment = self._monotonic() + self._seconds

    def passed(self) -> bool:
        """True once the time of the call on this thread is used up; never before a call began."""
        moment: float | None = getattr(self._at, "moment", None)
        return moment is not None and self._monotonic() > moment


def open_store_engine(url: str, *, timeout: float, threads: int, deadline: Deadline) -> Engine:
    """An engine for a database that is not ours: connecting, waiting for a lock and each statement are bounded.

    `timeout` in seconds. A SQLite file must exist: it is never made, and keeps its journal mode. PostgreSQL URLs use
    psycopg 3; other databases use the driver the URL names, with that driver's own time-outs set in the URL.
    """
    target = sa.make_url(url)
    connect_args: dict[str, object] = {}
    backend = target.get_backend_name()
    if backend == "sqlite":
        target = _existing_file(target)
        connect_args = {"timeout": timeout, "check_same_thread": False, "isolation_level": None}
    elif backend == "postgresql":
        target = target.set(drivername="postgresql+psycopg")
        milliseconds = max(1, int(timeout * 1000))
        connect_args = {
            "connect_timeout": max(2, int(timeout)),  # libpq takes whole seconds and no fewer than two
            "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds} -c timezone=UTC",
            "application_name": "consent-gateway",
        }
    engine = sa.create_engine(
        target,
        poolclass=QueuePool,
        pool_size=threads,
        max_overflow=threads,  # a thread that writes holds a second connection beside the one it reads on
        pool_timeout=timeout,
        pool_pre_ping=backend != "sqlite",  # paid once per thread for reads, since they keep their connection
        connect_args=connect_args,
        hide_parameters=True,  # they are personal values
    )
    if backend == "sqlite":
        _bound_sqlite(engine, deadline)
    return engine


def _existing_file(target: sa.URL) -> sa.URL:
    """The same file, opened for reading and writing only if it is there; other forms of URL stay as they are."""
    path = target.database
    if not path or path == ":memory:" or path.startswith("file:"):
        return target
    return target.set(database=f"file:{quote(path)}", query={**target.query, "mode": "rw", "uri": "true"})


def _bound_sqlite(engine: Engine, deadline: Deadline) -> None:
    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: DBAPIConnection, _record: object) -> None:
        connection.set_progress_handler(deadline.passed, _STEPS)
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys=ON")  # of this connection only
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _lock_first(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # a change never fails half-way for want of the lock
