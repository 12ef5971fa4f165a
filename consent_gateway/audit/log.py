"""The read side of the log: finds entries, sealed or still waiting, and makes proofs; changes nothing."""

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.chain import opened
from consent_gateway.audit.checkpoint import NoteInvalid, read_body, signatures
from consent_gateway.audit.columns import raw
from consent_gateway.audit.entry import written_time
from consent_gateway.audit.merkle import consistency_proof, inclusion_proof, root_at
from consent_gateway.audit.sealer import last_note
from consent_gateway.audit.stores import audit_folder
from consent_gateway.audit.tables import AUDIT_COSIGNATURES, AUDIT_LOG, AUDIT_QUEUE, AUDIT_WRITERS
from consent_gateway.audit.tiles import read_tile, tile_bytes
from consent_gateway.audit.tree import node_reader, tile_reader
from consent_gateway.audit.writer_files import writer_files
from consent_gateway.database import DRIVER_ERRORS, reading_connection, to_micros
from consent_gateway.errors import DatabaseUnavailable, LogDamaged, NotFound

PROOF_HEADER = "c2sp.org/tlog-proof@v1"
PAGE = 1000
MOST_READ = 20_000  # entries that one page may look at, where few fit


@dataclass(frozen=True, slots=True)
class Found:
    """An entry as stored. `leaf_index` is None while it waits to be sealed."""

    leaf: bytes
    leaf_index: int | None

    @property
    def entry(self) -> dict[str, Any]:
        """The entry's members, as docs/formats/audit-log.md names them."""
        return opened(self.leaf)


_WORDS = ("kind", "caller", "data_subject", "purpose", "channel", "outcome")


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries to read; None means any. Times are of the entry: from `since`, before `until`."""

    since: datetime | None = None
    until: datetime | None = None
    kind: str | None = None
    caller: str | None = None
    data_subject: str | None = None
    purpose: str | None = None
    channel: str | None = None
    outcome: str | None = None

    def fits(self, entry: Mapping[str, Any]) -> bool:
        """Whether an entry fits in what the log's table has no column for."""
        asked = (("purpose", self.purpose), ("channel", self.channel), ("outcome", self.outcome))
        return all(value is None or entry.get(name) == value for name, value in asked)

    @property
    def by_columns(self) -> bool:
        """Whether the log's table has a column for everything asked."""
        return (self.purpose, self.channel, self.outcome) == (None, None, None)

    @property
    def is_window(self) -> bool:
        """Whether it asks for a period and nothing else."""
        return self == EntryFilter(self.since, self.until)

    def as_json(self) -> dict[str, str | None]:
        """The filter as JSON-ready members, null where open."""
        since, until = (None if moment is None else written_time(moment) for moment in (self.since, self.until))
        return {"since": since, "until": until, **{name: getattr(self, name) for name in _WORDS}}


ANY = EntryFilter()


@dataclass(frozen=True, slots=True)
class FoundPage:
    """Some entries that fit; the next page is the one before index `before`, None at the end."""

    found: list[Found]
    before: int | None


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Proof that the leaf at `index` is in the tree of `size` leaves that the checkpoint `note` signs."""

    index: int
    size: int
    leaf_hash: bytes
    path: list[bytes]
    note: str

    @property
    def text(self) -> str:
        """The same as a C2SP tlog-proof: verifiable offline with the entry and the log's vkey."""
        lines = [PROOF_HEADER, f"index {self.index}", *(base64.b64encode(one).decode() for one in self.path)]
        return "\n".join([*lines, "", self.note])


@dataclass(frozen=True, slots=True)
class Consistency:
    """Proof that the tree of `size` leaves begins with that of `old_size`; `note` is the newest checkpoint."""

    old_size: int
    size: int
    old_root: bytes
    root: bytes
    path: list[bytes]
    note: str


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

    def page(self, which: EntryFilter, *, before: int | None, limit: int) -> FoundPage:
        """Sealed entries that fit, newest first; a page may hold fewer than there are, as long as it names a next."""
        with self._reading() as connection:
            return page(connection, which, before=before, limit=limit)

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

    def inclusion(self, entry_id: str) -> Inclusion:
        """Proof that this entry is in the log. Raises `NotFound` for an id that is not sealed."""
        with self._reading() as connection:
            return inclusion(connection, entry_id)

    def consistency(self, old_size: int, size: int | None = None) -> Consistency:
        """Proof that the log of `size` entries begins with its first `old_size`. Raises `NotFound`."""
        with self._reading() as connection:
            return consistency(connection, old_size, size)

    def tile(self, level: str, name: str) -> bytes:
        """A tile of hashes, or of entries where the level is `entries`. Raises `NotFound`."""
        tile = read_tile(level, name)
        with self._reading() as connection:
            return tile_bytes(connection, tile, size_of(checkpoint_note(connection)))

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
            with reading_connection(self._engine) as connection:
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
    return page(connection, which, before=before, limit=limit, most_read=None).found


def page(
    connection: sa.Connection, which: EntryFilter, *, before: int | None, limit: int, most_read: int | None = MOST_READ
) -> FoundPage:
    """Sealed entries that fit, newest first, out of at most `most_read` that were looked at."""
    found: list[Found] = []
    read, step = 0, limit if which.by_columns else PAGE
    after = None if before is None else _place(connection, before)
    while True:
        rows = connection.execute(page_statement(which, after, step)).all()
        for row in rows:
            read, before, after = read + 1, row.leaf_index, (row.recorded_at, row.leaf_index)
            one = Found(raw(row.entry), row.leaf_index)
            if which.by_columns or which.fits(readable(one.leaf)):
                found.append(one)
            if len(found) == limit:
                return FoundPage(found, before)
        if len(rows) < step:
            return FoundPage(found, None)
        if most_read is not None and read >= most_read:
            return FoundPage(found, before)


def page_statement(which: EntryFilter, after: tuple[int, int] | None, limit: int) -> sa.Select[Any]:
    """Entries that fit in what there are columns for, newest first, after this time and index.

    Ordered by time and only then by place in the log, as every index of the table is: so each filter with or without a
    period reads its page off one index and nothing else, however many entries there are.
    """
    log = AUDIT_LOG.c
    statement = sa.select(log.entry, log.leaf_index, log.recorded_at).where(*conditions(which))
    if after is not None:
        statement = statement.where(sa.tuple_(log.recorded_at, log.leaf_index) < sa.tuple_(*after))
    return statement.order_by(log.recorded_at.desc(), log.leaf_index.desc()).limit(limit)


def _place(connection: sa.Connection, leaf_index: int) -> tuple[int, int] | None:
    """Where the entry of this index stands in a listing; None past the end of the log, before which all of it lies."""
    log = AUDIT_LOG.c
    recorded = connection.execute(sa.select(log.recorded_at).where(log.leaf_index == leaf_index)).scalar_one_or_none()
    return None if recorded is None else (recorded, leaf_index)


def readable(leaf: bytes) -> Mapping[str, Any]:
    """The entry in a leaf; nothing for one that is not ours, which fits in no word."""
    try:
        return opened(leaf)
    except ValueError:
        return {}


def every_entry(connection: sa.Connection, which: EntryFilter) -> Iterator[Found]:
    """All sealed entries that fit, oldest first, read in pages."""
    log = AUDIT_LOG.c
    after = -1
    while True:
        statement = sa.select(log.entry, log.leaf_index).where(log.leaf_index > after, *conditions(which))
        rows = connection.execute(statement.order_by(log.leaf_index).limit(PAGE)).all()
        if not rows:
            return
        for row in rows:
            after = row.leaf_index
            yield Found(bytes(row.entry), row.leaf_index)


def checkpoint_note(connection: sa.Connection) -> str:
    """The newest signed checkpoint, with the cosignatures that it has by now. Raises `NotFound` before the first."""
    note = last_note(connection)
    if note is None:
        raise NotFound("no checkpoint has been signed yet: run the worker")
    column = AUDIT_COSIGNATURES.c
    lines = sa.select(column.line).where(column.size == size_of(note)).order_by(column.witness)
    return note + "".join(connection.execute(lines).scalars())


def size_of(note: str) -> int:
    """The size that a checkpoint of ours tells. Raises `LogDamaged` for what is none."""
    try:
        return read_body(signatures(note)[0]).size
    except NoteInvalid as error:
        raise LogDamaged(f"an audit checkpoint is not this log's: {error}") from error


def inclusion(connection: sa.Connection, entry_id: str) -> Inclusion:
    """Proof that this entry is in the log. Raises `NotFound` for an id that is not sealed (yet)."""
    log = AUDIT_LOG.c
    row = connection.execute(
        sa.select(log.leaf_index, log.leaf_hash).where(log.entry_id == entry_id).order_by(log.leaf_index).limit(1)
    ).one_or_none()
    if row is None:
        raise NotFound("no sealed entry has this id: sealing takes a second or two")
    note = checkpoint_note(connection)
    size = size_of(note)
    path = inclusion_proof(row.leaf_index, size, tile_reader(connection, size))
    return Inclusion(row.leaf_index, size, raw(row.leaf_hash), path, note)


def consistency(connection: sa.Connection, old_size: int, size: int | None = None) -> Consistency:
    """Proof that the log of `size` entries, or as it is now, begins with its first `old_size`. Raises `NotFound`."""
    note = checkpoint_note(connection)
    present = size_of(note)
    size = present if size is None else size
    if not 0 <= old_size <= size <= present:
        raise NotFound(f"the log has {present} entries: give sizes up to that, the older first")
    node = tile_reader(connection, present)
    roots = root_at(old_size, node), root_at(size, node)
    return Consistency(old_size, size, *roots, consistency_proof(old_size, size, node), note)


def root_of(connection: sa.Connection, size: int) -> bytes:
    """The root hash that the log had at this size, from the stored tree."""
    return root_at(size, node_reader(connection))


def conditions(which: EntryFilter) -> list[sa.ColumnElement[bool]]:
    """What of the filter the log's table has columns for."""
    log = AUDIT_LOG.c
    asked: list[sa.ColumnElement[bool]] = []
    if which.since is not None:
        asked.append(log.recorded_at >= to_micros(which.since))
    if which.until is not None:
        asked.append(log.recorded_at < to_micros(which.until))
    columns = (("kind", which.kind), ("caller", which.caller), ("data_subject", which.data_subject))
    return asked + [log[name] == value for name, value in columns if value is not None]


def _in_files(entry_id: str, state_dir: Path | None) -> bytes | None:
    if state_dir is None:
        return None
    leaves = (file.find(entry_id) for file in writer_files(audit_folder(state_dir)))
    return next((leaf for leaf in leaves if leaf is not None), None)
