"""Exports that somebody asks for by the API: queued, written by the worker as one ZIP file, fetched, deleted.

The request is an entry of the log, committed with the job; so is the finished package, by the digest of its manifest.
A worker that dies leaves a job without sign of life: another takes it up and writes it anew.
"""

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind, written_time
from consent_gateway.audit.export import Exported, export
from consent_gateway.audit.log import EntryFilter
from consent_gateway.audit.recorder import record_in
from consent_gateway.audit.signer import Signer
from consent_gateway.audit.tables import AUDIT_EXPORTS
from consent_gateway.database import DRIVER_ERRORS, from_micros, reading_connection, to_micros
from consent_gateway.errors import Conflict, DatabaseUnavailable, GatewayError, NotFound
from consent_gateway.ids import new_id
from consent_gateway.ports import Clock

KEPT = timedelta(days=7)
SILENT = timedelta(minutes=5)  # a running job without sign of life has lost its worker
_SHOW_EVERY = 20_000
_FAILURES: tuple[type[Exception], ...] = (*DRIVER_ERRORS, OSError)
_TIMES = ("since", "until")


@dataclass(frozen=True, slots=True)
class Job:
    """One export: `queued`, `running`, `done` or `failed`. `summary` tells what it holds, or why there is none."""

    export_id: str
    state: str
    query: dict[str, str | None]
    requested_by: str
    requested_at: datetime
    read: int
    total: int | None
    ends_at: datetime | None
    summary: dict[str, Any] | None

    def as_json(self) -> dict[str, Any]:
        """The job as JSON-ready members."""
        return {
            "export_id": self.export_id,
            "state": self.state,
            "query": self.query,
            "requested_by": self.requested_by,
            "requested_at": written_time(self.requested_at),
            "read": self.read,
            "total": self.total,
            "ends_at": None if self.ends_at is None else written_time(self.ends_at),
            "summary": self.summary,
        }


class Exports:
    """Safe to share between threads and processes. `folder` is one that web processes and workers all reach.

    `open_reader` opens the engine that one export is read over: its statements may take longer than a request's.
    """

    def __init__(
        self, engine: sa.Engine, folder: Path, clock: Clock, open_reader: Callable[[], sa.Engine] | None = None
    ) -> None:
        self._engine = engine
        self._open_reader = open_reader
        self._folder = folder
        self._clock = clock

    def request(self, by: str, which: EntryFilter) -> Job:
        """Queue an export; the entry of the act is durable with it."""
        now = self._clock.now()
        export_id, query = new_id("exp", now), which.as_json()
        detail = {name: value for name, value in query.items() if value}
        entry = Entry(export_id, EntryKind.EXPORT, now, caller=by, action="export", outcome="asked", detail=detail)
        row = {
            "export_id": export_id,
            "requested_by": by,
            "requested_at": to_micros(now),
            "query": json.dumps(query),
            "state": "queued",
            "read": 0,
            "seen_at": to_micros(now),
        }
        try:
            with self._engine.begin() as connection:
                record_in(connection, entry)
                connection.execute(sa.insert(AUDIT_EXPORTS).values(row))
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the export could not be queued: try again") from error
        return self.get(export_id)

    def get(self, export_id: str) -> Job:
        """The job as it stands. Raises `NotFound`."""
        try:
            with reading_connection(self._engine) as connection:
                asked = sa.select(AUDIT_EXPORTS).where(AUDIT_EXPORTS.c.export_id == export_id)
                row = connection.execute(asked).one_or_none()
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the export could not be read: try again") from error
        if row is None:
            raise NotFound("no export has this id, or its time is over: ask for a new one")
        return _job(row)

    def package(self, export_id: str, by: str) -> Path:
        """The finished ZIP file; that it is fetched is an entry. Raises `NotFound`, `Conflict` until it is done."""
        job, path = self.get(export_id), self._path(export_id)
        if job.state != "done":
            raise Conflict(f"the export is {job.state}: read it until it is done")
        if not path.exists():
            raise NotFound("the package is not on this machine: see EXPORT_DIR")
        now = self._clock.now()
        self._tell(Entry(new_id("exp", now), EntryKind.EXPORT, now, caller=by, action="fetch", reference=export_id))
        return path

    def work(self, signer: Signer) -> int:
        """Write the next export that waits; 1 if there was one. After `DatabaseUnavailable` it is taken up again."""
        job = self._taken()
        if job is None:
            return 0
        folder = self._folder / job.export_id
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that died over it
            done = self._exported(job, folder, signer)
            _pack(folder, self._path(job.export_id))
            self._finish(job, "done", _summary(done), done)
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("an export was cut short: it will be written anew") from error
        except GatewayError as error:
            self._finish(job, "failed", {"code": error.code, "message": error.message})
        except OSError as error:
            self._finish(
                job, "failed", {"code": "storage", "message": f"the package could not be written: {error.strerror}"}
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return 1

    def _exported(self, job: Job, folder: Path, signer: Signer) -> Exported:
        reader = self._engine if self._open_reader is None else self._open_reader()
        try:
            return export(reader, folder, signer, self._clock.now(), _filter(job.query), self._shown(job))
        finally:
            if reader is not self._engine:
                reader.dispose()

    def purge(self) -> int:
        """Delete packages whose time is over, and their jobs."""
        now = to_micros(self._clock.now())
        column = AUDIT_EXPORTS.c
        try:
            with self._engine.begin() as connection:
                over = list(connection.execute(sa.select(column.export_id).where(column.ends_at < now)).scalars())
                for export_id in over:
                    self._path(export_id).unlink(missing_ok=True)
                connection.execute(sa.delete(AUDIT_EXPORTS).where(column.ends_at < now))
        except _FAILURES as error:
            raise DatabaseUnavailable("old exports could not be deleted: it will be tried again") from error
        return len(over)

    def _path(self, export_id: str) -> Path:
        return self._folder / f"{export_id}.zip"

    def _taken(self) -> Job | None:
        """The next job, marked as running: of two workers one gets it."""
        now, column = self._clock.now(), AUDIT_EXPORTS.c
        silent = column.seen_at < to_micros(now - SILENT)
        waits = sa.or_(column.state == "queued", sa.and_(column.state == "running", silent))
        try:
            with self._engine.begin() as connection:
                row = connection.execute(
                    sa.select(AUDIT_EXPORTS).where(waits).order_by(column.requested_at).limit(1)
                ).one_or_none()
                if row is None:
                    return None
                mine = sa.update(AUDIT_EXPORTS).where(
                    column.export_id == row.export_id, column.state == row.state, column.seen_at == row.seen_at
                )
                taken = connection.execute(mine.values(state="running", seen_at=to_micros(now))).rowcount
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("exports could not be read: they will be written later") from error
        return _job(row) if taken == 1 else None

    def _shown(self, job: Job) -> Any:
        shown = 0

        def show(read: int, total: int) -> None:
            nonlocal shown
            if read - shown >= _SHOW_EVERY or read >= total:
                shown = read
                self._update(job, read=read, total=total, seen_at=to_micros(self._clock.now()))

        return show

    def _update(self, job: Job, **values: object) -> None:
        with self._engine.begin() as connection:
            row = sa.update(AUDIT_EXPORTS).where(AUDIT_EXPORTS.c.export_id == job.export_id)
            connection.execute(row.values(values))

    def _finish(self, job: Job, state: str, summary: dict[str, Any], done: Exported | None = None) -> None:
        now = self._clock.now()
        detail = {} if done is None else {"manifest_sha256": done.manifest_sha256, "entries": str(done.entries)}
        try:
            self._tell(
                Entry(
                    new_id("exp", now),
                    EntryKind.EXPORT,
                    now,
                    action="export",
                    reference=job.export_id,
                    outcome="written" if done else "failed",
                    detail=detail or {"code": str(summary["code"])},
                )
            )
            self._update(job, state=state, summary=json.dumps(summary), ends_at=to_micros(now + KEPT))
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the export is written, but that could not be recorded") from error

    def _tell(self, entry: Entry) -> None:
        try:
            with self._engine.begin() as connection:
                record_in(connection, entry)
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the act could not be recorded: try again") from error


def _job(row: Any) -> Job:
    return Job(
        export_id=row.export_id,
        state=row.state,
        query=json.loads(row.query),
        requested_by=row.requested_by,
        requested_at=from_micros(row.requested_at),
        read=row.read,
        total=row.total,
        ends_at=None if row.ends_at is None else from_micros(row.ends_at),
        summary=None if row.summary is None else json.loads(row.summary),
    )


def _filter(query: dict[str, str | None]) -> EntryFilter:
    times = {name: None if query[name] is None else datetime.fromisoformat(str(query[name])) for name in _TIMES}
    words = {name: value for name, value in query.items() if name not in _TIMES}
    return EntryFilter(times["since"], times["until"], **words)


def _summary(done: Exported) -> dict[str, Any]:
    return {
        "first_index": done.first_index,
        "last_index": done.last_index,
        "entries": done.entries,
        "matching": done.matching,
        "size": done.size,
        "manifest_sha256": done.manifest_sha256,
    }


def _pack(folder: Path, path: Path) -> None:
    draft = path.with_suffix(".draft")
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as package:
        for file in sorted(folder.iterdir()):
            package.write(file, f"{path.stem}/{file.name}")
    draft.chmod(0o600)
    draft.replace(path)
