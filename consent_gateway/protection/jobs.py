"""Long work on the keys, one at a time, in named steps that a kill cannot undo: run the same again and it goes on.

What each step came to is written down in the job's row before the next begins. A step that was carried out but not
written down is carried out again, so every step must come to the same when it is.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import Conflict
from consent_gateway.ports import Clock
from consent_gateway.protection.key_database import KeyDatabase
from consent_gateway.protection.tables import KEY_JOBS

BEGUN = "begun"
At = Callable[[str], None]
"""Called with the name of each moment at which a job may be cut off; tests kill the process there."""
Progress = Callable[[str, int, int], None]
"""Called with the step, how much of it is done and how much there is."""


def unhindered(_step: str) -> None:
    """The `At` of every run that nobody tries to break."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job. `step` is the last step that is done; `state` what the steps so far came to, JSON-ready."""

    number: int
    kind: str
    step: str
    started_at: datetime
    finished_at: datetime | None = None
    state: Mapping[str, Any] = field(default_factory=dict)


Step = tuple[str, Callable[[Job], Mapping[str, Any]]]
"""A step's name and the function that does it and returns what it adds to the state."""


class Jobs:
    """The jobs of one key database."""

    def __init__(self, database: KeyDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def run(self, kind: str, first: Callable[[], Mapping[str, Any]], steps: Sequence[Step], at: At) -> Job:
        """Run a job of this kind to its end, or go on with the one that was cut off.

        `first` gives the state a new job begins with. Raises `Conflict` while another runs or is unfinished.
        """
        with self._database.alone():
            job = self.unfinished()
            if job is not None and job.kind != kind:
                raise Conflict(f"`keys {job.kind}` is unfinished: run it again first, it goes on where it was cut off")
            job = job or self._begin(kind, first())
            names = [BEGUN, *(name for name, _ in steps)]
            for name, step in steps[names.index(job.step) :]:
                added = step(job)
                at(name)
                job = self._saved(job, name, {**job.state, **added})
                at(f"{name} noted")
            return self._finished(job)

    def unfinished(self) -> Job | None:
        """The job that runs or was cut off."""
        with self._database.reading() as connection:
            return unfinished_job(connection)

    def refuse_unless_idle(self) -> None:
        """Raise `Conflict` where a job runs or was cut off."""
        job = self.unfinished()
        if job is not None:
            raise Conflict(f"`keys {job.kind}` is unfinished: run it again first, it goes on where it was cut off")

    def _begin(self, kind: str, state: Mapping[str, Any]) -> Job:
        now = self._clock.now()
        with self._database.transaction() as connection:
            last = connection.execute(sa.select(sa.func.max(KEY_JOBS.c.number))).scalar_one() or 0
            job = Job(last + 1, kind, BEGUN, from_micros(to_micros(now)), state=state)
            row = {"number": job.number, "kind": kind, "step": BEGUN, "started_at": to_micros(now)}
            connection.execute(sa.insert(KEY_JOBS), {**row, "state": json.dumps(dict(state))})
        return job

    def _saved(self, job: Job, step: str, state: Mapping[str, Any]) -> Job:
        with self._database.transaction() as connection:
            change = sa.update(KEY_JOBS).where(KEY_JOBS.c.number == job.number)
            connection.execute(change.values(step=step, state=json.dumps(dict(state))))
        return Job(job.number, job.kind, step, job.started_at, state=state)

    def _finished(self, job: Job) -> Job:
        now = self._clock.now()
        with self._database.transaction() as connection:
            change = sa.update(KEY_JOBS).where(KEY_JOBS.c.number == job.number)
            connection.execute(change.values(finished_at=to_micros(now)))
        return Job(job.number, job.kind, job.step, job.started_at, from_micros(to_micros(now)), job.state)


def unfinished_job(connection: Connection) -> Job | None:
    """The job that runs or was cut off, of which there is one at most."""
    row = connection.execute(sa.select(KEY_JOBS).where(KEY_JOBS.c.finished_at.is_(None))).first()
    if row is None:
        return None
    return Job(row.number, row.kind, row.step, from_micros(row.started_at), state=json.loads(row.state))
