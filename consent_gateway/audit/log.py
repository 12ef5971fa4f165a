"""The read side of the log: finds entries, sealed or still waiting, and makes proofs; changes nothing."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.chain import opened
from consent_gateway.audit.checkpoint import Checkpoint, VerifierKey
from consent_gateway.audit.merkle import consistency_proof, inclusion_proof, root_at
from consent_gateway.audit.sealer import last_note, read_own_checkpoint
from consent_gateway.audit.stores import audit_folder
from consent_gateway.audit.tables import AUDIT_LOG, AUDIT_QUEUE, AUDIT_WRITERS
from consent_gateway.audit.tree import node_reader
from consent_gateway.audit.writer_files import writer_files
from consent_gateway.database import DRIVER_ERRORS, to_micros
from consent_gateway.errors import DatabaseUnavailable, NotFound

PROOF_HEADER = "c2sp.org/tlog-proof@v1"
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Found:
    """An entry as stored. `leaf_index` is None while it waits to be sealed."""

    leaf: bytes
    leaf_index: int | None

    @property
    def entry(self) -> dict[str, Any]:
        """The entry's members, as docs/formats/audit-log.md names them."""
        return opened(self.leaf)


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries to read; None means any. Times are of the entry: from `since`, before `until`."""

    since: datetime | None = None
    until: datetime | None = None
    kind: str | None = None
    caller: str | None = None
    data_subject: str | None = None


class AuditLog:
    """The log as services read it; each call takes a connection of its own. Safe to share between threads."""

    def __init__(self, engine: sa.Engine, state_dir: Path) -> None:
        self._engine = engine
        self._state_dir = state_dir if engine.dialect.name == "sqlite" else None

    def find(self, entry_id: str) -> Found | None:
        """The entry of this id, sealed or waiting."""
        with self._reading() as connection:
            return find(connection, entry_id, self._state_dir)

    def entries(self, which: EntryFilter, *, before: int | None = None, limit: int = 100) -> list[Found]:
        """Sealed entries that fit, newest first; the next page is the one before the last `leaf_index`."""
        with self._reading() as connection:
            return entries(connection, which, before=before, limit=limit)

    def about(self, data_subject: str) -> Iterator[dict[str, Any]]:
        """Every entry about one person, the sealed ones first and oldest first, then those that wait."""
        with self._reading() as connection:
            # What waits is read first: an entry that is sealed meanwhile comes twice, and never not at all.
            waiting = [opened(leaf) for leaf in self._waiting(connection)]
            seen: set[str] = set()
            for found in every_entry(connection, EntryFilter(data_subject=data_subject)):
                entry = found.entry
                seen.add(entry["id"])
                yield entry
        for entry in waiting:
            if entry.get("data_subject") == data_subject and entry["id"] not in seen:
                yield entry

    def _waiting(self, connection: sa.Connection) -> Iterator[bytes]:
        for leaf in connection.execute(sa.select(AUDIT_QUEUE.c.entry).order_by(AUDIT_QUEUE.c.n)).scalars():
            yield bytes(leaf)
        if self._state_dir is not None:
            sealed = {row.writer: row.sealed for row in connection.execute(sa.select(AUDIT_WRITERS))}
            for file in writer_files(audit_folder(self._state_dir)):
                after = sealed.get(file.writer, 0)
                while rows := file.rows(after, PAGE):
                    yield from (bytes(leaf) for _, leaf in rows)
                    after += len(rows)

    def checkpoint(self) -> str:
        """The newest signed checkpoint. Raises `NotFound` before the first."""
        with self._reading() as connection:
            return checkpoint_note(connection)

    def inclusion(self, entry_id: str, key: VerifierKey) -> str:
        """A C2SP tlog-proof that this entry is in the log. Raises `NotFound` for an id that is not sealed."""
        with self._reading() as connection:
            return inclusion(connection, entry_id, key)

    def waiting_since(self) -> datetime | None:
        """The time of the oldest entry that waits to be sealed; None if none does."""
        with self._reading() as connection:
            first = sa.select(AUDIT_QUEUE.c.entry).order_by(AUDIT_QUEUE.c.n).limit(1)
            queued = connection.execute(first).scalar_one_or_none()
            leaves = [] if queued is None else [bytes(queued)]
            if self._state_dir is not None:
                sealed = {row.writer: row.sealed for row in connection.execute(sa.select(AUDIT_WRITERS))}
                for file in writer_files(audit_folder(self._state_dir)):
                    leaves += [bytes(leaf) for _, leaf in file.rows(sealed.get(file.writer, 0), 1)]
        return min((datetime.fromisoformat(opened(leaf)["at"]) for leaf in leaves), default=None)

    def waiting(self, most: int = 10_000) -> int:
        """How many entries wait to be sealed; of each writer's file at most `most` are counted."""
        with self._reading() as connection:
            count: int = connection.execute(sa.select(sa.func.count()).select_from(AUDIT_QUEUE)).scalar_one()
            if self._state_dir is not None:
                sealed = {row.writer: row.sealed for row in connection.execute(sa.select(AUDIT_WRITERS))}
                for file in writer_files(audit_folder(self._state_dir)):
                    count += len(file.rows(sealed.get(file.writer, 0), most))
        return count

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                yield connection
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the audit log did not answer: try again") from error


def find(connection: sa.Connection, entry_id: str, state_dir: Path | None = None) -> Found | None:
    """The entry of this id, sealed or waiting. `state_dir` is where the SQLite profile keeps its writers' files."""
    log, queue = AUDIT_LOG.c, AUDIT_QUEUE.c
    sealed = sa.select(log.entry, log.leaf_index).where(log.entry_id == entry_id).order_by(log.leaf_index).limit(1)
    for _attempt in (1, 2):  # twice: between the two places it may move from the second to the first
        row = connection.execute(sealed).first()
        if row is not None:
            return Found(bytes(row.entry), row.leaf_index)
        waiting = connection.execute(sa.select(queue.entry).where(queue.entry_id == entry_id)).scalar_one_or_none()
        leaf = bytes(waiting) if waiting is not None else _in_files(entry_id, state_dir)
        if leaf is not None:
            return Found(leaf, None)
    return None


def entries(
    connection: sa.Connection, which: EntryFilter, *, before: int | None = None, limit: int = 100
) -> list[Found]:
    """Sealed entries that fit, newest first. The next page is the one before the last `leaf_index`."""
    log = AUDIT_LOG.c
    statement = sa.select(log.entry, log.leaf_index).where(*_conditions(which))
    if before is not None:
        statement = statement.where(log.leaf_index < before)
    rows = connection.execute(statement.order_by(log.leaf_index.desc()).limit(limit))
    return [Found(bytes(row.entry), row.leaf_index) for row in rows]


def every_entry(connection: sa.Connection, which: EntryFilter) -> Iterator[Found]:
    """All sealed entries that fit, oldest first, read in pages."""
    log = AUDIT_LOG.c
    after = -1
    while True:
        statement = sa.select(log.entry, log.leaf_index).where(log.leaf_index > after, *_conditions(which))
        rows = connection.execute(statement.order_by(log.leaf_index).limit(PAGE)).all()
        if not rows:
            return
        for row in rows:
            after = row.leaf_index
            yield Found(bytes(row.entry), row.leaf_index)


def checkpoint_note(connection: sa.Connection) -> str:
    """The newest signed checkpoint. Raises `NotFound` before the first."""
    note = last_note(connection)
    if note is None:
        raise NotFound("no checkpoint has been signed yet: run the worker")
    return note


def inclusion(connection: sa.Connection, entry_id: str, key: VerifierKey) -> str:
    """A C2SP tlog-proof that this entry is in the log: verifiable offline with the entry and the log's vkey.

    Raises `NotFound` for an id that is not sealed (yet).
    """
    index = connection.execute(
        sa.select(AUDIT_LOG.c.leaf_index).where(AUDIT_LOG.c.entry_id == entry_id).limit(1)
    ).scalar_one_or_none()
    if index is None:
        raise NotFound("no sealed entry has this id: sealing takes a second or two")
    note = checkpoint_note(connection)
    size = read_own_checkpoint(note, key).size
    path = inclusion_proof(index, size, node_reader(connection))
    lines = [PROOF_HEADER, f"index {index}", *(base64.b64encode(sibling).decode() for sibling in path)]
    return "\n".join([*lines, "", note])


def consistency(connection: sa.Connection, old_size: int, key: VerifierKey) -> tuple[list[bytes], Checkpoint]:
    """Proof that the present log begins with its first `old_size` entries, and the checkpoint that it is for."""
    checkpoint = read_own_checkpoint(checkpoint_note(connection), key)
    if not 0 <= old_size <= checkpoint.size:
        raise NotFound(f"the log has {checkpoint.size} entries: give a size up to that")
    return consistency_proof(old_size, checkpoint.size, node_reader(connection)), checkpoint


def root_of(connection: sa.Connection, size: int) -> bytes:
    """The root hash that the log had at this size, from the stored tree."""
    return root_at(size, node_reader(connection))


def conditions_of_time(which: EntryFilter) -> list[sa.ColumnElement[bool]]:
    """The filter's window of time as conditions on the log's table."""
    recorded_at = AUDIT_LOG.c.recorded_at
    conditions: list[sa.ColumnElement[bool]] = []
    if which.since is not None:
        conditions.append(recorded_at >= to_micros(which.since))
    if which.until is not None:
        conditions.append(recorded_at < to_micros(which.until))
    return conditions


def _conditions(which: EntryFilter) -> list[sa.ColumnElement[bool]]:
    columns = (("kind", which.kind), ("caller", which.caller), ("data_subject", which.data_subject))
    return conditions_of_time(which) + [AUDIT_LOG.c[name] == value for name, value in columns if value is not None]


def _in_files(entry_id: str, state_dir: Path | None) -> bytes | None:
    if state_dir is None:
        return None
    leaves = (file.find(entry_id) for file in writer_files(audit_folder(state_dir)))
    return next((leaf for leaf in leaves if leaf is not None), None)
