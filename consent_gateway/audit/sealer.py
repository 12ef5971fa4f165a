"""Seals durable entries into the Merkle log and signs a checkpoint over it, all in one commit; decides nothing.

One sealer works at a time (an advisory lock on PostgreSQL, a lock file beside SQLite). The order of effects:

1. read what waits           a crash leaves everything as it was
2. append leaves and nodes,
   sign, empty the queue     one transaction: a crash leaves all of it or nothing
3. note the checkpoint in
   the state directory       a crash leaves an older note there, which still belongs to this log
4. remove finished files     a crash leaves a file whose leaves are sealed; the bookmark passes over them

Before it extends a log the sealer holds the stored tree against the last checkpoint and against the one it
noted outside the database: it never signs on top of a log that was altered or rolled back.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import merge
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.checkpoint import Checkpoint, NoteInvalid, VerifierKey, read_checkpoint
from consent_gateway.audit.columns import columns_of
from consent_gateway.audit.merkle import CompactRange, cover, root_at
from consent_gateway.audit.signer import Signer
from consent_gateway.audit.stores import Row, audit_folder
from consent_gateway.audit.tables import AUDIT_CHECKPOINTS, AUDIT_LOG, AUDIT_NODES, AUDIT_QUEUE, AUDIT_WRITERS
from consent_gateway.audit.tree import STORED_LEVELS, node_reader
from consent_gateway.audit.writer_files import WriterFile, held, writer_files
from consent_gateway.database import DRIVER_ERRORS, let_others_write, reading_connection, to_micros
from consent_gateway.errors import LogDamaged
from consent_gateway.ports import Clock

LOG = logging.getLogger(__name__)
BATCH = 2000
NOTED_CHECKPOINT = "checkpoint.txt"
_TRANSIENT: tuple[type[Exception], ...] = (*DRIVER_ERRORS, OSError)
_CACHE = "PRAGMA cache_size = -65536"
"""64 MiB for the sealing connection: a batch touches a page of the index by person for nearly each of its entries."""

_LOCK_NUMBER = 0x61756469  # "audi": the advisory lock of the one sealer
_WAITING = """
SELECT n, entry_id, entry FROM audit_queue
WHERE txid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
   OR txid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint
ORDER BY txid, n LIMIT %s
"""  # every transaction below xmin has ended; a row at or past xmax came with a dump of another server

STEPS = ("locked", "read", "appended", "signed", "emptied", "committed", "noted", "removed")
"""Names given to `on_step`, in order: where the fault tests stop the sealer."""


@dataclass(frozen=True, slots=True)
class SealResult:
    """What one round did: entries sealed, the log's size after it, and what stood in the way."""

    sealed: int
    size: int
    busy: bool = False  # another sealer is at work
    more: bool = False  # a full batch was taken: seal again at once
    unreadable: tuple[str, ...] = ()  # writers whose file could not be read


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What waits to be sealed: leaves in their order, the queue numbers and the file positions that they empty."""

    leaves: list[dict[str, Any]]
    queue_numbers: list[int]
    bookmarks: dict[str, int]
    unreadable: tuple[str, ...]
    more: bool


_Item = tuple[str | None, int, dict[str, Any]]
"""Where a leaf waits (a writer's file, or None for the queue), its number there, its columns."""


class Sealer:
    """Seals what the recorders of all processes made durable.

    Each process that seals must hold the same signing key. `on_step` is called with each of `STEPS`.
    """

    def __init__(
        self,
        engine: sa.Engine,
        state_dir: Path,
        signer: Signer,
        clock: Clock,
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self._engine = engine
        self._folder = audit_folder(state_dir)
        self._signer = signer
        self._clock = clock
        self._step = on_step
        self._known: tuple[str, list[bytes]] | None = None  # a checkpoint this object has checked or made, and its edge

    def seal_once(self, limit: int = BATCH) -> SealResult:
        """Seal up to `limit` of what waits. Raises `LogDamaged` rather than extend a log that does not verify."""
        with self._exclusively() as mine:
            if not mine:
                return SealResult(0, 0, busy=True)
            self._step("locked")
            with self._engine.begin() as connection:
                if not _lock(connection):
                    return SealResult(0, 0, busy=True)
                if connection.dialect.name == "sqlite":
                    connection.exec_driver_sql(_CACHE)
                result, note, hashes = self._seal(connection, limit)
            self._step("committed")
            if note is not None:
                self._known = (note, hashes)
                _write_durably(self._folder / NOTED_CHECKPOINT, note)
            self._step("noted")
            self._remove_finished()
            self._step("removed")
            return result

    def run(self, stop: threading.Event, interval_seconds: float = 1.0) -> None:
        """Seal until `stop` is set. What cannot be reached is tried again; a damaged log ends it with `LogDamaged`."""
        while not stop.is_set():
            try:
                result = self.seal_once()
            except _TRANSIENT:
                LOG.exception("sealing failed and will be tried again")
                stop.wait(interval_seconds)
                continue
            if result.unreadable:
                LOG.error("audit files cannot be read: %s", ", ".join(result.unreadable))
            if result.more:
                let_others_write(self._engine)
            else:
                stop.wait(interval_seconds)

    def _seal(self, connection: sa.Connection, limit: int) -> tuple[SealResult, str | None, list[bytes]]:
        nodes: list[dict[str, Any]] = []
        tree = self._checked_tree(connection, nodes)
        waiting = self._waiting(connection, limit)
        self._step("read")
        fresh = _unsealed(connection, waiting.leaves)
        for leaf in fresh:
            leaf["leaf_index"] = tree.size
            tree.append(leaf["leaf_hash"])
        if fresh:
            connection.execute(sa.insert(AUDIT_LOG), fresh)
        if nodes:
            connection.execute(sa.insert(AUDIT_NODES), nodes)
        self._step("appended")
        note = self._signer.sign(tree.size, tree.root()) if fresh else None
        if note is not None:
            issued_at = to_micros(self._clock.now())
            connection.execute(sa.insert(AUDIT_CHECKPOINTS).values(size=tree.size, issued_at=issued_at, note=note))
        self._step("signed")
        if waiting.queue_numbers:
            connection.execute(sa.delete(AUDIT_QUEUE).where(AUDIT_QUEUE.c.n.in_(waiting.queue_numbers)))
        self._move_bookmarks(connection, waiting.bookmarks)
        self._step("emptied")
        result = SealResult(len(fresh), tree.size, more=waiting.more, unreadable=waiting.unreadable)
        return result, note, tree.hashes

    def _checked_tree(self, connection: sa.Connection, nodes: list[dict[str, Any]]) -> CompactRange:
        """The tree's growing edge, held against the last checkpoint and the one noted outside the database."""

        def keep(level: int, position: int, subtree: bytes) -> None:
            if level % STORED_LEVELS == 0:
                nodes.append({"level": level, "position": position, "hash": subtree})

        note = last_note(connection)
        size = connection.execute(sa.select(sa.func.coalesce(sa.func.max(AUDIT_LOG.c.leaf_index) + 1, 0))).scalar_one()
        last = read_own_checkpoint(note, *self._signer.vkeys) if note else Checkpoint(self._signer.vkey.name, 0, b"")
        if last.size != size:
            raise LogDamaged(
                f"the audit log holds {size} entries, its last checkpoint says {last.size}: verify the log",
                min(size, last.size),
            )
        if self._known is not None and self._known[0] == note:
            return CompactRange(size, self._known[1], keep)
        node = node_reader(connection)
        tree = CompactRange(size, [node(level, position) for level, position in cover(0, size)], keep)
        if note is not None and tree.root() != last.root:
            raise LogDamaged("the stored audit tree is not that of its last checkpoint: verify the log")
        self._refuse_rollback(connection, last)
        return tree

    def _refuse_rollback(self, connection: sa.Connection, last: Checkpoint) -> None:
        path = self._folder / NOTED_CHECKPOINT
        if not path.exists():
            return
        noted = read_own_checkpoint(path.read_text(), *self._signer.vkeys)
        mend = f"verify the log; if a back-up was restored on purpose, move `{NOTED_CHECKPOINT}` away"
        if noted.size > last.size:
            raise LogDamaged(
                f"the audit log was rolled back from {noted.size} to {last.size} entries: {mend}", last.size
            )
        if root_at(noted.size, node_reader(connection)) != noted.root:
            raise LogDamaged(f"the audit log's first {noted.size} entries are not those once sealed: {mend}")

    def _waiting(self, connection: sa.Connection, limit: int) -> _Waiting:
        queued = _queued(connection, limit)
        streams: list[list[_Item]] = [[(None, number, columns_of(leaf, entry_id)) for number, entry_id, leaf in queued]]
        unreadable = []
        bookmarks = _bookmarks(connection)
        for file in self._files():
            try:
                rows = file.rows(bookmarks.get(file.writer, 0), limit)
            except sqlite3.Error:
                unreadable.append(file.writer)
                continue
            first = bookmarks.get(file.writer, 0) + 1
            streams.append(
                [(file.writer, first + i, columns_of(leaf, entry_id)) for i, (entry_id, leaf) in enumerate(rows)]
            )
        merged = list(merge(*streams, key=_recorded_at))  # each stream keeps its own order
        taken = merged[:limit]
        return _Waiting(
            leaves=[columns for _writer, _number, columns in taken],
            queue_numbers=[number for writer, number, _columns in taken if writer is None],
            bookmarks={writer: number for writer, number, _columns in taken if writer is not None},
            unreadable=tuple(unreadable),
            more=len(merged) >= limit,
        )

    def _files(self) -> Sequence[WriterFile]:
        return writer_files(self._folder) if self._engine.dialect.name == "sqlite" else ()

    def _move_bookmarks(self, connection: sa.Connection, bookmarks: dict[str, int]) -> None:
        if not bookmarks:
            return
        writers = AUDIT_WRITERS.c.writer
        present = [file.writer for file in self._files()]
        connection.execute(sa.delete(AUDIT_WRITERS).where(writers.in_(bookmarks) | writers.not_in(present)))
        connection.execute(
            sa.insert(AUDIT_WRITERS), [{"writer": writer, "sealed": sealed} for writer, sealed in bookmarks.items()]
        )

    def _remove_finished(self) -> None:
        files = self._files()
        if not files:
            return
        with reading_connection(self._engine) as connection:
            sealed = _bookmarks(connection)
        for file in files:
            try:
                file.remove_if_done(sealed.get(file.writer, 0))
            except sqlite3.Error:
                LOG.exception("audit file `%s` cannot be read and stays", file.path.name)

    @contextmanager
    def _exclusively(self) -> Iterator[bool]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._engine.dialect.name == "postgresql":
            yield True  # the advisory lock decides, across machines
            return
        with held(self._folder / "sealer.lock") as mine:
            yield mine


def _bookmarks(connection: sa.Connection) -> dict[str, int]:
    return {row.writer: row.sealed for row in connection.execute(sa.select(AUDIT_WRITERS))}


def _recorded_at(item: _Item) -> int:
    return int(item[2]["recorded_at"])


def last_note(connection: sa.Connection) -> str | None:
    """The newest signed checkpoint; None before the first."""
    newest = sa.select(AUDIT_CHECKPOINTS.c.note).order_by(AUDIT_CHECKPOINTS.c.size.desc()).limit(1)
    return connection.execute(newest).scalar_one_or_none()


def read_own_checkpoint(note: str, *keys: VerifierKey) -> Checkpoint:
    """The checkpoint in this log's own note. Raises `LogDamaged` if none of the log's keys signed it."""
    try:
        return read_checkpoint(note, *keys)
    except NoteInvalid as error:
        raise LogDamaged(f"an audit checkpoint is not this log's: {error}") from error


def _lock(connection: sa.Connection) -> bool:
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.execute(sa.select(sa.func.pg_try_advisory_xact_lock(_LOCK_NUMBER))).scalar_one())


def _queued(connection: sa.Connection, limit: int) -> list[tuple[int, str, bytes]]:
    if connection.dialect.name == "postgresql":
        rows = connection.exec_driver_sql(_WAITING, (limit,)).all()
    else:
        queue = AUDIT_QUEUE.c
        rows = list(connection.execute(sa.select(queue.n, queue.entry_id, queue.entry).order_by(queue.n).limit(limit)))
    return [(number, entry_id, bytes(leaf)) for number, entry_id, leaf in rows]


def _unsealed(connection: sa.Connection, leaves: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The leaves without those that the log or this very batch holds already, byte for byte."""
    ids = [leaf["entry_id"] for leaf in leaves]
    if not ids:
        return []
    log = AUDIT_LOG.c
    found = connection.execute(sa.select(log.entry_id, log.entry).where(log.entry_id.in_(ids)))
    seen = {(entry_id, bytes(leaf)) for entry_id, leaf in found}
    fresh = []
    for leaf in leaves:
        key: Row = (leaf["entry_id"], leaf["entry"])
        if key not in seen:
            seen.add(key)
            fresh.append(leaf)
    return fresh


def _write_durably(path: Path, text: str) -> None:
    """Replace a small file, whole or not at all, also when the power fails."""
    draft = path.with_suffix(".draft")
    with draft.open("w") as file:
        os.fchmod(file.fileno(), 0o600)  # whatever the umask says
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
