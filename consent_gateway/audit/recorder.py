"""Makes audit entries durable before anything may leave; keeps no spool and never logs later.

`Recorder.record` blocks until the entry is committed. One committing thread per process commits whatever
queued while the commit before it ran: no time window, because the queue that forms is batch enough.
An entry whose caller gave up may still become durable: an entry without an answer, never the reverse.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import sqlalchemy as sa

from consent_gateway.audit.chain import NO_PREVIOUS, Position, WriterChain, unchained
from consent_gateway.audit.entry import Entry
from consent_gateway.audit.stores import (
    BatchStore,
    FileStore,
    LeafRefused,
    OutcomeUnknown,
    QueueStore,
    Row,
    audit_folder,
)
from consent_gateway.audit.tables import AUDIT_QUEUE
from consent_gateway.database import DRIVER_ERRORS
from consent_gateway.errors import AuditUnavailable
from consent_gateway.tracing import NO_TRACER, Said, Step, Tracer

DEADLINE_SECONDS = 2.0
MAX_BATCH = 500
MAX_WAITING = 10_000  # past this many, an entry is refused at once
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.25
_FAILURES: tuple[type[Exception], ...] = (*DRIVER_ERRORS, OSError, OutcomeUnknown)


class _Ticket:
    """One entry on its way. `settled` is released by the committing thread, `abandoned` set by the waiter."""

    __slots__ = ("abandoned", "body", "durable", "entry_id", "settled")

    def __init__(self, entry_id: str, body: bytes) -> None:
        self.entry_id = entry_id
        self.body = body
        self.durable = False
        self.abandoned = False
        self.settled = threading.Lock()
        self.settled.acquire()

    def settle(self, *, durable: bool) -> None:
        self.durable = durable
        self.settled.release()


class Recorder:
    """Records entries from any thread of the process that made it; make it after forking.

    `open_store` opens a place for batches; it is called by the committing thread, at first use and whenever
    a store is full. What fails is tried again until it is known to be stored or nobody waits for it.
    """

    def __init__(
        self,
        open_store: Callable[[], BatchStore],
        deadline_seconds: float = DEADLINE_SECONDS,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._open_store = open_store
        self._tracer = tracer
        self._deadline = deadline_seconds
        self._process = os.getpid()
        self._queue: queue.SimpleQueue[_Ticket | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._admission = threading.Lock()  # protects the order of `_closing` and the queue's end mark
        self._failure: str | None = None  # written by the committing thread
        self._open: tuple[BatchStore, WriterChain] | None = None  # owned by the committing thread
        self._thread = threading.Thread(target=self._run, name="audit-recorder", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> str | None:
        """Why the last commit failed; None while entries are being made durable. For the readiness page."""
        return self._failure

    def record(self, entry: Entry) -> None:
        """Return once the entry is durable; else raise `AuditUnavailable` within the deadline.

        Raises `InputRefused`, recording nothing, for an entry that cannot be stored exactly.
        """
        with self._tracer.step(Step.AUDIT_COMMIT):
            self._await(self._admit(entry.entry_id, entry.canonical()), self._deadline)

    def record_all(self, entries: Iterable[Entry]) -> None:
        """Like `record` for several entries: returns once all are durable, and refuses all if one is refused.

        If it raises `AuditUnavailable` some may be durable nevertheless: entries without an answer.
        """
        bodies = [(entry.entry_id, entry.canonical()) for entry in entries]
        with self._tracer.step(Step.AUDIT_COMMIT) as span:
            span.tell(lambda: {Said.COUNT: len(bodies)})
            self._record_bodies(bodies)

    def _record_bodies(self, bodies: list[tuple[str, bytes]]) -> None:
        end = time.monotonic() + self._deadline
        tickets = [self._admit(entry_id, body) for entry_id, body in bodies]
        try:
            for ticket in tickets:
                self._await(ticket, max(0.0, end - time.monotonic()))
        except AuditUnavailable:
            for ticket in tickets:
                ticket.abandoned = True
            raise

    def close(self) -> None:
        """Commit what is queued, then stop. What arrives later is refused."""
        with self._admission:
            if not self._closing.is_set():
                self._closing.set()
                self._queue.put(None)
        self._thread.join()

    def _await(self, ticket: _Ticket, seconds: float) -> None:
        if not ticket.settled.acquire(timeout=seconds):
            ticket.abandoned = True
            raise AuditUnavailable("the audit entry could not be made durable in time: try again")
        if not ticket.durable:
            raise AuditUnavailable("the audit entry could not be made durable: try again")

    def _admit(self, entry_id: str, body: bytes) -> _Ticket:
        if os.getpid() != self._process:
            raise AuditUnavailable("the audit recorder belongs to another process: make one after forking")
        if self._queue.qsize() >= MAX_WAITING:
            raise AuditUnavailable("too many audit entries wait to be made durable: try again")
        ticket = _Ticket(entry_id, body)
        with self._admission:
            if self._closing.is_set():
                raise AuditUnavailable("the audit recorder is closed")
            self._queue.put(ticket)
        return ticket

    def _run(self) -> None:
        open_end = True
        while open_end:
            batch, open_end = self._take()
            if batch:
                self._make_durable(batch)
        if self._open is not None:
            self._open[0].close()

    def _take(self) -> tuple[list[_Ticket], bool]:
        """What is queued, at least one item, without what nobody waits for; False after the end mark."""
        batch: list[_Ticket] = []
        item = self._queue.get()
        while item is not None:
            if not item.abandoned:
                batch.append(item)
            if len(batch) >= MAX_BATCH:
                return batch, True
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _make_durable(self, batch: list[_Ticket]) -> None:
        try:
            durable = self._committed(batch)
        except LeafRefused:
            if len(batch) > 1:  # one bad entry must not cost the others their answer
                for ticket in batch:
                    self._make_durable([ticket])
                return
            durable = False
        for ticket in batch:
            ticket.settle(durable=durable)

    def _committed(self, batch: list[_Ticket]) -> bool:
        """Commit the batch, trying the very same leaves again on failure; False once nobody waits any more.

        Only leaves that are known not to be stored may be taken back: were one dropped that is stored after
        all, its number would be given twice and the writer's chain would look tampered with.
        """
        chain: WriterChain | None = None
        rows: list[Row] = []
        before = Position(0, NO_PREVIOUS)
        unknown, pause = False, _FIRST_PAUSE_SECONDS
        while True:
            try:
                store, ready = self._ready()
                if ready is not chain:  # at first, and when the store had to be replaced by a new one
                    chain, before = ready, ready.position
                    rows = _rows(batch, chain)
                store.commit(rows)
            except LeafRefused:
                if chain is not None:
                    chain.position = before
                raise
            except _FAILURES as error:
                self._failure = f"{type(error).__name__}: {error}"
                unknown = unknown or isinstance(error, OutcomeUnknown)
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                if all(ticket.abandoned for ticket in batch) and (not unknown or self._closing.is_set()):
                    if chain is not None:
                        chain.position = before  # harmless where the store was replaced since
                    return False
            else:
                self._failure = None
                return True

    def _ready(self) -> tuple[BatchStore, WriterChain]:
        """The open store and its chain; a new pair at first and whenever the store is full."""
        if self._open is not None and self._open[0].full:
            full, self._open = self._open, None
            full[0].close()
        if self._open is None:
            store = self._open_store()
            self._open = (store, WriterChain(store.writer))
        return self._open


def _rows(batch: list[_Ticket], chain: WriterChain) -> list[Row]:
    leaves = chain.extend([ticket.body for ticket in batch])
    return [(ticket.entry_id, leaf) for ticket, leaf in zip(batch, leaves, strict=True)]


def open_recorder(
    engine: sa.Engine, state_dir: Path, deadline_seconds: float = DEADLINE_SECONDS, tracer: Tracer = NO_TRACER
) -> Recorder:
    """The recorder that fits the gateway database: its queue on PostgreSQL, else files under `<state>/audit`."""
    if engine.dialect.name == "postgresql":
        return Recorder(lambda: QueueStore(engine), deadline_seconds, tracer)
    return Recorder(lambda: FileStore(audit_folder(state_dir)), deadline_seconds, tracer)


def record_in(connection: sa.Connection, entry: Entry) -> None:
    """Put the entry into the caller's own transaction on the gateway database: both commit, or neither.

    Raises `InputRefused` for an entry that cannot be stored exactly.
    """
    values: dict[str, object] = {"entry_id": entry.entry_id, "entry": unchained(entry.canonical())}
    if connection.dialect.name == "postgresql":
        values["txid"] = sa.cast(sa.cast(sa.func.pg_current_xact_id(), sa.Text), sa.BigInteger)
    connection.execute(sa.insert(AUDIT_QUEUE).values(values))


def record_alone(engine: sa.Engine, entry: Entry) -> None:
    """Record an entry in a transaction of its own; durable when it returns. Raises `AuditUnavailable`."""
    try:
        with engine.begin() as connection:
            record_in(connection, entry)
    except DRIVER_ERRORS as error:
        raise AuditUnavailable("the audit entry could not be made durable: try again") from error
