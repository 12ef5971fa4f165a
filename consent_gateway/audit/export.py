"""Writes an evidence folder: the exact leaves of a window, its proofs, checkpoints, key and verifier; streams.

The window is the shortest unbroken run of the log that holds every entry of the time asked for, so that the
proof can show that nothing between its first and last entry is missing. The format is in
docs/formats/audit-log.md.
"""

import base64
import hashlib
import json
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import sqlalchemy as sa

from consent_gateway.audit import reidentification_proof, verify
from consent_gateway.audit.checkpoint import VerifierKey
from consent_gateway.audit.entry import written_time
from consent_gateway.audit.live import raw
from consent_gateway.audit.log import EntryFilter, checkpoint_note, conditions_of_time
from consent_gateway.audit.merkle import cover
from consent_gateway.audit.sealer import read_own_checkpoint
from consent_gateway.audit.tables import AUDIT_CHECKPOINTS, AUDIT_LOG
from consent_gateway.audit.tree import node_reader
from consent_gateway.errors import Conflict, InputRefused, NotFound

PAGE = 2000
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
leaf-hashes.txt      the hash of each, in hex, one a line
checkpoint.txt       the newest signed checkpoint; checkpoints.ndjson holds those within the window as well
manifest.json        what was asked for, counts, first and last index, proof, SHA-256 of every file; times are UTC
"""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export holds. `matching` is the number of entries whose time lies in the window asked for."""

    folder: Path
    first_index: int
    last_index: int
    entries: int
    matching: int
    size: int


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


def export(
    engine: sa.Engine,
    folder: Path,
    key: VerifierKey,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Exported:
    """Write the folder, which must not exist or be empty.

    Raises `NotFound` if no entry lies in the window, `Conflict` if the folder holds something.
    """
    if since is not None and until is not None and since >= until:
        raise InputRefused("the window ends before it begins: give `since` before `until`")
    if folder.exists() and any(folder.iterdir()):
        raise Conflict("the export folder is not empty: name a new one")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        note = checkpoint_note(connection)
        size = read_own_checkpoint(note, key).size
        first, last, matching = _window(connection, EntryFilter(since, until), size)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = _copy(connection, folder, first, last) | _evidence(connection, folder, (first, last, size), note)
        files |= _write(folder / "vkey.txt", f"{key}\n") | _write(folder / "README.txt", _README)
        for source in (Path(verify.__file__), Path(reidentification_proof.__file__)):
            files |= _write(folder / source.name, source.read_text())
        node = node_reader(connection)
        manifest = {
            "format": 1,
            "log": key.name,
            "exported_at": written_time(now),
            "query": {"since": since and written_time(since), "until": until and written_time(until)},
            "time_zone": "UTC",
            "first_index": first,
            "last_index": last,
            "entries": last - first + 1,
            "matching": matching,
            "size": size,
            "proof": {
                "left": [_encoded(node(level, position)) for level, position in cover(0, first)],
                "right": [[level, _encoded(node(level, position))] for level, position in cover(last + 1, size)],
            },
            "files": dict(sorted(files.items())),
        }
        _write(folder / "manifest.json", json.dumps(manifest, indent=2) + "\n")
        return Exported(folder, first, last, last - first + 1, matching, size)


def _window(connection: sa.Connection, which: EntryFilter, size: int) -> tuple[int, int, int]:
    index = AUDIT_LOG.c.leaf_index
    first, last, matching = connection.execute(
        sa.select(sa.func.min(index), sa.func.max(index), sa.func.count()).where(
            index < size, *conditions_of_time(which)
        )
    ).one()
    if first is None:
        raise NotFound("no sealed entry lies in this window of time")
    return first, last, matching


def _copy(connection: sa.Connection, folder: Path, first: int, last: int) -> dict[str, str]:
    """Stream the leaves and their recorded hashes, in pages, so that no statement runs long."""
    log = AUDIT_LOG.c
    with ExitStack() as stack:
        leaves, hashes = _Sink(folder / "entries.ndjson", stack), _Sink(folder / "leaf-hashes.txt", stack)
        for start in range(first, last + 1, PAGE):
            page = connection.execute(
                sa.select(log.entry, log.leaf_hash)
                .where(log.leaf_index.between(start, min(start + PAGE - 1, last)))
                .order_by(log.leaf_index)
            ).all()
            leaves.write(b"".join(raw(row.entry) + b"\n" for row in page))
            hashes.write(b"".join(raw(row.leaf_hash).hex().encode() + b"\n" for row in page))
    return {leaves.name: leaves.digest, hashes.name: hashes.digest}


def _evidence(connection: sa.Connection, folder: Path, window: tuple[int, int, int], note: str) -> dict[str, str]:
    """The checkpoints whose size falls within the window, and the one that the proof leads to."""
    first, last, size = window
    checkpoints = AUDIT_CHECKPOINTS.c
    after = first - 1
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
                sink.write(_line(row.size, row.note))
            if not page:
                break
        sink.write(_line(size, note))
    return {sink.name: sink.digest} | _write(folder / "checkpoint.txt", note)


def _line(size: int, note: str) -> bytes:
    return json.dumps({"size": size, "note": note}).encode() + b"\n"


def _write(path: Path, text: str) -> dict[str, str]:
    with ExitStack() as stack:
        sink = _Sink(path, stack)
        sink.write(text.encode())
    return {path.name: sink.digest}


def _encoded(subtree: bytes) -> str:
    return base64.b64encode(subtree).decode()
