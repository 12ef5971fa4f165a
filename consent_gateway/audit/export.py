"""Writes an evidence folder: the exact leaves that were asked for, their proof, checkpoints, keys, verifier; streams.

A period is exported as the shortest unbroken run of the log that holds every entry of that time, so that the proof
shows that nothing between its first and last entry is missing. Any narrower question gives the entries that fit, and
in the place of every other the hash of the subtree it is in: each entry is proved, at its index. The format is in
docs/formats/audit-log.md.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa

from consent_gateway.audit import reidentification_proof, verify
from consent_gateway.audit.columns import raw
from consent_gateway.audit.csv_view import csv_head, csv_row
from consent_gateway.audit.entry import written_time
from consent_gateway.audit.log import ANY, EntryFilter, checkpoint_note, conditions, readable, size_of
from consent_gateway.audit.merkle import NodeReader, cover
from consent_gateway.audit.signer import Signer
from consent_gateway.audit.tables import AUDIT_CHECKPOINTS, AUDIT_LOG
from consent_gateway.audit.tree import tile_reader
from consent_gateway.database import reading_connection
from consent_gateway.errors import Conflict, InputRefused, LogDamaged, NotFound

PAGE = 2000
MOST_CHECKPOINTS = 10_000  # beside the newest
MANIFEST_TITLE = "consent-gateway export manifest"
_README = """\
Evidence exported from the audit log of a consent gateway.

To verify it: python verify.py . --vkey VKEY
  VKEY is the log's public key, as a file or the line itself. Take it from the operator's published
  documentation or from an earlier audit, not from this folder: vkey.txt here only says which key to expect.
  A verifier that came from somewhere else than this folder is better evidence; it needs Python 3.11 and the
  package `cryptography`.
  --earlier FILE also shows that nothing that this earlier checkpoint.txt covered was changed since. Keep
  checkpoint.txt of this folder for the next audit.

To verify every re-identification in it: python reidentification_proof.py . --origin URL
  URL is the gateway's address as its officers' browsers see it.

entries.ndjson       the log's entries, one a line, byte for byte as they were sealed
entries.csv          the same as a table, for reading; all times are UTC
leaf-hashes.txt      the hash of each, in hex, one a line; `level hash` stands for 2^level entries not asked for
checkpoint.txt       the newest signed checkpoint; checkpoints.ndjson holds those within the window as well
manifest.json        what was asked for, counts, first and last index, SHA-256 of every file; times are UTC
manifest.sig         the log's signature over the manifest

Where a period alone was asked for, nothing between the first and the last entry is missing. Where more was asked,
as for a person or a purpose, each entry is proved to be in the log at its index; that no other fits is not proved.
"""

Enclosed = Callable[[str], Iterable[tuple[str, bytes]]]
"""What else a folder holds, which its signed manifest lists too: by the checkpoint, names and contents of files.

A name of the folder's own replaces that file, as README.txt may be.
"""

Progress = Callable[[int, int], None]
"""Told how many entries were looked at so far, and of how many."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export holds. `matching` is the number of entries that fit in what was asked for."""

    folder: Path
    first_index: int
    last_index: int
    entries: int
    matching: int
    size: int
    manifest_sha256: str


class _Sink:
    """A file that hashes what is written to it."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.name = path.name
        self._file: BinaryIO = stack.enter_context(path.open("xb"))
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()


@dataclass
class _Tally:
    """What was counted while the entries were written."""

    read: int = 0
    written: int = 0
    rows: int = 0
    first: int = -1
    last: int = -1


def export(
    engine: sa.Engine,
    folder: Path,
    signer: Signer,
    now: datetime,
    which: EntryFilter = ANY,
    progress: Progress = lambda _read, _total: None,
    enclosed: Enclosed | None = None,
) -> Exported:
    """Write the folder, which must not exist or be empty, with what is `enclosed`.

    Raises `NotFound` if no entry fits, `Conflict` if the folder holds something, `LogDamaged` where the rows read are
    not those counted.
    """
    if which.since is not None and which.until is not None and which.since >= which.until:
        raise InputRefused("the window ends before it begins: give `since` before `until`")
    if folder.exists() and any(folder.iterdir()):
        raise Conflict("the export folder is not empty: name a new one")
    with reading_connection(engine) as connection:
        note = checkpoint_note(connection)
        size = size_of(note)
        span = _Span(connection, which, size)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tally, files = _copy(connection, folder, span, progress)
        if not tally.written:
            raise NotFound("no sealed entry fits in what was asked for")
        files |= _checkpoints(connection, folder, (tally.first, tally.last) if span.is_run else None, size, note)
    files |= _beside(folder, note, signer, enclosed)
    matching = span.counted if span.is_run else tally.written
    manifest = {
        "format": 2,
        "log": signer.vkey.name,
        "exported_at": written_time(now),
        "query": which.as_json(),
        "time_zone": "UTC",
        "unbroken": span.is_run,
        "first_index": tally.first,
        "last_index": tally.last,
        "entries": tally.written,
        "matching": matching,
        "size": size,
        "reconciled": {"counted": span.total, "read": tally.read, "written": tally.written, "csv_rows": tally.rows},
        "files": dict(sorted(files.items())),
    }
    digest = _write(folder / "manifest.json", f"{json.dumps(manifest, indent=2)}\n".encode())["manifest.json"]
    _write(folder / "manifest.sig", signer.sign_file(f"{MANIFEST_TITLE}\n{digest}\n").encode())
    return Exported(folder, tally.first, tally.last, tally.written, matching, size, digest)


def _beside(folder: Path, note: str, signer: Signer, enclosed: Enclosed | None) -> dict[str, str]:
    """Write what is enclosed, one file after another, and of the folder's own files those that it does not replace."""
    files: dict[str, str] = {}
    for name, content in enclosed(note) if enclosed else ():
        files |= _write(folder / name, content)
    for name, content in _own(note, signer).items():
        files |= {} if name in files else _write(folder / name, content)
    return files


def _own(note: str, signer: Signer) -> dict[str, bytes]:
    """The files that every folder has beside the entries and their proof."""
    sources = (Path(verify.__file__), Path(reidentification_proof.__file__))
    texts = {"checkpoint.txt": note, "vkey.txt": signer.published, "README.txt": _README}
    return {name: text.encode() for name, text in texts.items()} | {one.name: one.read_bytes() for one in sources}


class _Span:
    """The entries to look at, and which of them are written: all of a run, or those that fit."""

    def __init__(self, connection: sa.Connection, which: EntryFilter, size: int) -> None:
        index = AUDIT_LOG.c.leaf_index
        asked = [index < size, *conditions(which)]
        counting = sa.select(sa.func.min(index), sa.func.max(index), sa.func.count()).where(*asked)
        first, last, self.counted = connection.execute(counting).one()
        if first is None:
            raise NotFound("no sealed entry fits in what was asked for")
        self.which, self.size, self.is_run = which, size, which.is_window
        # Of a run no lower bound: beside the page's own, SQLite would begin at the run's for every page.
        self.before, self.conditions = first - 1, [index <= last] if self.is_run else asked
        self.total = last - first + 1 if self.is_run else self.counted

    def pages(self, connection: sa.Connection) -> Iterator[Sequence[sa.Row[Any, Any, Any]]]:
        """The entries in pages, oldest first, so that no statement runs long."""
        log = AUDIT_LOG.c
        after = self.before
        while True:
            statement = sa.select(log.leaf_index, log.entry, log.leaf_hash).where(log.leaf_index > after)
            rows = connection.execute(statement.where(*self.conditions).order_by(log.leaf_index).limit(PAGE)).all()
            if not rows:
                return
            after = rows[-1].leaf_index
            yield rows


def _copy(connection: sa.Connection, folder: Path, span: _Span, progress: Progress) -> tuple[_Tally, dict[str, str]]:
    tally, node = _Tally(), tile_reader(connection, span.size)
    with ExitStack() as stack:
        leaves, hashes = _Sink(folder / "entries.ndjson", stack), _Sink(folder / "leaf-hashes.txt", stack)
        table = _Sink(folder / "entries.csv", stack)
        table.write(csv_head())
        for page in span.pages(connection):
            lines, proof, rows = [], [], []
            for row in page:
                leaf = raw(row.entry)
                entry = readable(leaf)
                if not span.is_run and not span.which.fits(entry):
                    continue
                proof += _skipped(tally.last + 1, row.leaf_index, node)
                lines.append(leaf + b"\n")
                proof.append(raw(row.leaf_hash).hex() + "\n")
                rows.append(csv_row(row.leaf_index, entry))
                tally.first = row.leaf_index if tally.first < 0 else tally.first
                tally.last = row.leaf_index
            leaves.write(b"".join(lines))
            hashes.write("".join(proof).encode())
            table.write("".join(rows).encode())
            tally.read, tally.written = tally.read + len(page), tally.written + len(lines)
            tally.rows += len(rows)
            progress(tally.read, span.total)
        hashes.write("".join(_skipped(tally.last + 1, span.size, node)).encode())
    if tally.read != span.total:
        raise LogDamaged(f"{span.total} entries were counted and {tally.read} read: verify the log", tally.last)
    return tally, {sink.name: sink.digest for sink in (leaves, hashes, table)}


def _skipped(start: int, end: int, node: NodeReader) -> list[str]:
    """A line for each of the fewest complete subtrees that make up the entries from `start` to before `end`."""
    return [f"{level} {node(level, position).hex()}\n" for level, position in cover(start, end)]


def _checkpoints(
    connection: sa.Connection, folder: Path, run: tuple[int, int] | None, size: int, note: str
) -> dict[str, str]:
    """The checkpoints whose size falls within an unbroken run, and the one that the proof leads to.

    They only place what is altered, which the last one shows: so of very many some are enough.
    """
    checkpoints = AUDIT_CHECKPOINTS.c
    first, last = run or (size, size)
    after, apart, kept = first - 1, (last - first) // MOST_CHECKPOINTS, -1
    with ExitStack() as stack:
        sink = _Sink(folder / "checkpoints.ndjson", stack)
        while True:
            page = connection.execute(
                sa.select(checkpoints.size, checkpoints.note)
                .where(checkpoints.size > after, checkpoints.size <= min(last + 1, size - 1))
                .order_by(checkpoints.size)
                .limit(PAGE)
            ).all()
            for row in page:
                after = row.size
                if kept < 0 or after - kept >= apart:
                    kept = after
                    sink.write(_line(row.size, row.note))
            if not page:
                break
        sink.write(_line(size, note))
    return {sink.name: sink.digest}


def _line(size: int, note: str) -> bytes:
    return json.dumps({"size": size, "note": note}).encode() + b"\n"


def _write(path: Path, content: bytes) -> dict[str, str]:
    with ExitStack() as stack:
        sink = _Sink(path, stack)
        sink.write(content)
    return {path.name: sink.digest}
