"""Runs a courier for each destination while this process holds its lock; knows nothing of orders and retries.

The lock is an advisory one of a held PostgreSQL session, or a lock file beside SQLite: it dies with its process, so
another worker takes over at once, and no two ever deliver to one destination.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from consent_gateway.audit.writer_files import held
from consent_gateway.database import DRIVER_ERRORS, reading_connection
from consent_gateway.errors import GatewayError
from consent_gateway.ports import EventSink
from consent_gateway.propagation.courier import Courier
from consent_gateway.propagation.destinations import Destination, Destinations

LOOK_SECONDS = 1.0
IDLE_SECONDS = 0.2
_FAILURES: tuple[type[Exception], ...] = (GatewayError, *DRIVER_ERRORS)
_LOG = logging.getLogger(__name__)

Still = Callable[[], None]
"""Raises `sa.exc.DBAPIError` where the lock is lost."""


class Deliverer:
    """Delivers to every destination, each in a thread of its own, so that one that hangs holds no other."""

    def __init__(
        self,
        engine: sa.Engine,
        folder: Path,
        destinations: Destinations,
        courier: Courier,
        open_sink: Callable[[Destination], EventSink],
    ) -> None:
        self._engine = engine
        self._folder = folder
        self._destinations = destinations
        self._courier = courier
        self._open_sink = open_sink

    def run(self, stop: threading.Event) -> None:
        """Deliver until told to stop."""
        threads: dict[str, threading.Thread] = {}
        while True:
            try:
                present = self._destinations.all()
            except GatewayError:
                _LOG.exception("the destinations could not be read and will be looked at again")
                present = ()
            threads = {name: thread for name, thread in threads.items() if thread.is_alive()}
            for destination in present:
                if destination.destination_id not in threads:
                    thread = threading.Thread(
                        target=self._serve, args=(destination, stop), name=destination.destination_id, daemon=True
                    )
                    threads[destination.destination_id] = thread
                    thread.start()
            if stop.wait(LOOK_SECONDS):
                break
        for thread in threads.values():
            thread.join()

    def _serve(self, destination: Destination, stop: threading.Event) -> None:
        """Deliver to one destination while its lock is ours; whatever fails is told and begun again a second later."""
        try:
            with self._locked(destination.destination_id) as still:
                if still is None:
                    return
                sink = self._open_sink(destination)
                try:
                    self._rounds(destination.destination_id, sink, still, stop)
                finally:
                    sink.close()
        except _FAILURES:
            _LOG.exception("deliveries to `%s` stopped and will begin again", destination.destination_id)

    def _rounds(self, destination_id: str, sink: EventSink, still: Still, stop: threading.Event) -> None:
        while not stop.is_set():
            still()
            present = self._destinations.living(destination_id)
            if present is None:
                return
            if not self._courier.round(present, sink):
                stop.wait(IDLE_SECONDS)

    @contextmanager
    def _locked(self, destination_id: str) -> Iterator[Still | None]:
        if self._engine.dialect.name != "postgresql":
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with held(self._folder / f"{destination_id}.lock") as mine:
                yield _nothing if mine else None
            return
        with reading_connection(self._engine) as connection:
            name = _lock_number(destination_id)
            if not connection.execute(sa.select(sa.func.pg_try_advisory_lock(name))).scalar_one():
                yield None
                return
            try:
                yield lambda: _ask(connection)
            finally:
                connection.invalidate()  # the session ends, and the lock with it


def _nothing() -> None:
    """A lock file is held as long as the process lives."""


def _ask(connection: sa.Connection) -> None:
    connection.exec_driver_sql("SELECT 1")


def _lock_number(destination_id: str) -> int:
    digest = hashlib.sha256(f"deliver {destination_id}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
