"""Runs retention once a day where an operator has turned it on: schedules and request records; erases nothing itself.

Whoever comes first on a day takes the run, with a lease; one that was cut short or failed is taken up again, and what
went already is not found a second time. Without a word of the operator's nothing runs.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import GatewayError
from consent_gateway.ids import new_id
from consent_gateway.people.linking import insert_ignoring
from consent_gateway.ports import Clock
from consent_gateway.rights.request_records import RequestRecords
from consent_gateway.rights.retention import RetentionRun
from consent_gateway.rights.retention_tables import RETENTION_RUNS

OFF, ON = "off", "on"
LEASE = timedelta(hours=2)
_BY = "worker"
_INSERT = insert_ignoring(RETENTION_RUNS)
_C = RETENTION_RUNS.c


@dataclass(frozen=True, slots=True)
class DailyRun:
    """One day's run. `report` is None until it has ended; `failed` is the code of what ended the last try."""

    day: str
    dry_run: bool
    begun_at: datetime
    finished_at: datetime | None
    failed: str | None
    report: dict[str, Any] | None


class DailyRetention:
    """The daily run of one installation; `mode` is `off`, `dry_run` or `on`. Several processes may run it at once."""

    def __init__(
        self, *, engine: sa.Engine, run: RetentionRun, records: RequestRecords, clock: Clock, mode: str
    ) -> None:
        self._engine = engine
        self._run = run
        self._records = records
        self._clock = clock
        self._mode = mode

    def round(self) -> int:
        """Carry today's run out if nobody has; 1 if so. Raises what the store or the log raise; call again."""
        if self._mode == OFF or not self._taken():
            return 0
        dry = self._mode != ON
        try:
            report = self._run.run(by=_BY, dry_run=dry)
            requests = self._records.purge(by=_BY, dry_run=dry)
        except GatewayError as error:
            self._end({"failed": error.code, "lease_until": to_micros(self._clock.now())})
            raise
        told = {"schedules": [dataclasses.asdict(one) for one in report.passed], "requests": requests}
        counts = {
            "deleted": str(sum(one.deleted for one in report.passed)),
            "emptied": str(sum(one.emptied for one in report.passed)),
            "held": str(sum(one.held for one in report.passed)),
            "requests": str(requests),
        }
        now = self._clock.now()
        entry = Entry(
            entry_id=new_id("ret", now),
            kind=EntryKind.ERASURE,
            at=now,
            caller=_BY,
            action="retention",
            outcome="dry_run" if dry else "ran",
            detail=counts,
        )
        self._end({"failed": None, "finished_at": to_micros(now), "report": json.dumps(told)}, entry)
        return 1

    def latest(self, limit: int) -> list[DailyRun]:
        """The last runs, the newest first."""
        asked = sa.select(RETENTION_RUNS).order_by(_C.day.desc(), _C.begun_at.desc()).limit(limit)
        with reading(self._engine) as connection:
            rows: Sequence[sa.Row[Any]] = connection.execute(asked).all()
        return [
            DailyRun(
                row.day,
                row.dry_run,
                from_micros(row.begun_at),
                None if row.finished_at is None else from_micros(row.finished_at),
                row.failed,
                None if row.report is None else json.loads(row.report),
            )
            for row in rows
        ]

    @property
    def _today(self) -> tuple[sa.ColumnElement[bool], ...]:
        day = self._clock.now().astimezone(UTC).date().isoformat()
        return (_C.day == day, _C.dry_run == (self._mode != ON), _C.finished_at.is_(None))

    def _taken(self) -> bool:
        now = self._clock.now()
        until = to_micros(now + LEASE)
        day = now.astimezone(UTC).date().isoformat()
        row = {"day": day, "dry_run": self._mode != ON, "begun_at": to_micros(now), "lease_until": until}
        with transaction(self._engine) as connection:
            if connection.execute(_INSERT[connection.dialect.name], row).rowcount == 1:
                return True
            left = sa.update(RETENTION_RUNS).where(*self._today, _C.lease_until <= to_micros(now))
            return connection.execute(left.values(lease_until=until)).rowcount == 1

    def _end(self, values: dict[str, Any], entry: Entry | None = None) -> None:
        with transaction(self._engine) as connection:
            ended = connection.execute(sa.update(RETENTION_RUNS).where(*self._today).values(values)).rowcount
            if ended == 1 and entry is not None:
                record_in(connection, entry)
