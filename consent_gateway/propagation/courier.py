"""Delivers changes to one destination: in order for each person, at least once; one at a time, under its lock.

What was delivered is noted after a batch, so whoever is killed in between delivers the batch again, with the same ids.
A change that fails is set aside and tried again later; the next of the same person wait behind it, those of others go
on. After five failures in a row the destination is taken to be down, and one change alone is tried now and then.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa

from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import KeysUnavailable, Undelivered
from consent_gateway.ports import ChangeMessage, Clock, EventSink
from consent_gateway.propagation import backoff, heard
from consent_gateway.propagation.changes import Audience, Change, read, read_these
from consent_gateway.propagation.destinations import Destination, Destinations
from consent_gateway.propagation.outbox import number
from consent_gateway.propagation.tables import DESTINATIONS, SET_ASIDE
from consent_gateway.tracing import NO_TRACER, Said, Step, Tracer

BATCH = 50
"""So many changes at most are delivered again after a crash."""

BATCH_LIFE = timedelta(seconds=5)
_BEHIND = "behind another of the same person"

_Message = Callable[[Audience, Change], ChangeMessage | None]


@dataclass(slots=True)
class _Aside:
    """One row of `changes_set_aside`."""

    number: int
    data_subject: str
    attempts: int = 0
    first_attempt_at: int = 0
    next_attempt_at: int = 0
    cause: str = _BEHIND
    is_dead: bool = False


@dataclass(slots=True)
class _Batch:
    """What became of a batch so far, in memory: nothing of it is noted until its end."""

    position: int
    failures: int
    began: datetime
    next_attempt_at: int = 0
    attempts: int = 0
    delivered_at: datetime | None = None
    heard: dict[str, tuple[int, datetime]] = field(default_factory=dict)  # by person: the latest number, and when
    cleared: list[int] = field(default_factory=list)  # set aside before, now delivered
    aside: dict[int, _Aside] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    is_gone: bool = False
    recovered: bool = False


class Courier:
    """Delivers to one destination. `draw` gives numbers in [0, 1) for the jitter."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        destinations: Destinations,
        message: _Message,
        clock: Clock,
        draw: Callable[[], float],
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._engine = engine
        self._destinations = destinations
        self._message = message
        self._clock = clock
        self._draw = draw
        self._tracer = tracer

    def round(self, destination: Destination, sink: EventSink) -> bool:
        """Deliver a batch; False where there was nothing to do now. To be called under the destination's lock."""
        now = self._clock.now()
        if now < destination.next_attempt_at:
            return False
        is_probing = destination.failures >= backoff.OPENS_AFTER
        most = 1 if is_probing else BATCH
        last = number(self._engine)
        due, blocked, fresh = self._found(destination, last, now, most)
        batch = _Batch(destination.position, destination.failures, now, blocked=blocked)
        for aside, change in due:
            if not self._goes_on(batch, most):
                break
            self._again(destination, sink, batch, aside, change)
        for change in fresh:
            if not self._goes_on(batch, most):
                break
            self._first(destination, sink, batch, change)
        else:
            if len(fresh) < BATCH:  # what lies past the last one found concerns this audience no more
                batch.position = max(batch.position, last)
        if batch.position == destination.position and not (batch.attempts or batch.cleared or batch.aside):
            return False
        self._note(destination, batch)
        return batch.attempts > 0

    def _found(
        self, destination: Destination, last: int, now: datetime, most: int
    ) -> tuple[list[tuple[_Aside, Change]], set[str], list[Change]]:
        of = (SET_ASIDE.c.destination_id == destination.destination_id, SET_ASIDE.c.is_dead.is_(False))
        firsts = sa.select(sa.func.min(SET_ASIDE.c.number)).where(*of).group_by(SET_ASIDE.c.data_subject)
        due = (
            sa.select(SET_ASIDE)
            .where(*of, SET_ASIDE.c.number.in_(firsts), SET_ASIDE.c.next_attempt_at <= to_micros(now))
            .order_by(SET_ASIDE.c.number)
            .limit(most)
        )
        with reading(self._engine) as connection:
            rows = {row.number: row for row in connection.execute(due)}
            changes = read_these(connection, list(rows)) if rows else []
            blocked = set(connection.execute(sa.select(SET_ASIDE.c.data_subject).where(*of).distinct()).scalars())
            fresh = read(connection, destination.audience, destination.position, last, BATCH)
        asides = [(_aside(rows[change.number]), change) for change in changes]
        return asides, blocked, fresh

    def _goes_on(self, batch: _Batch, most: int) -> bool:
        down = batch.failures >= backoff.OPENS_AFTER and (most > 1 or batch.attempts > 0) and not batch.recovered
        spent = self._clock.now() - batch.began >= BATCH_LIFE
        return not (batch.is_gone or down or spent or batch.attempts >= most)

    def _first(self, destination: Destination, sink: EventSink, batch: _Batch, change: Change) -> None:
        person = change.committed.event.data_subject
        if person in batch.blocked:
            batch.aside[change.number] = _Aside(change.number, person)
        else:
            aside = _Aside(change.number, person)
            if not self._attempt(destination, sink, batch, aside, change):
                batch.aside[change.number] = aside
        if not batch.is_gone:
            batch.position = change.number

    def _again(self, destination: Destination, sink: EventSink, batch: _Batch, aside: _Aside, change: Change) -> None:
        if self._attempt(destination, sink, batch, aside, change):
            batch.cleared.append(change.number)
        else:
            batch.aside[change.number] = aside

    def _attempt(self, destination: Destination, sink: EventSink, batch: _Batch, aside: _Aside, change: Change) -> bool:
        try:
            message = self._message(destination.audience, change)
        except KeysUnavailable:  # ours to mend, so it says nothing against the destination
            self._set_back(aside, batch, "keys unavailable", timedelta())
            return False
        if message is None:
            return True
        batch.attempts += 1
        try:
            with self._tracer.step(Step.DELIVERY, {Said.CONNECTOR: destination.kind}):
                sink.send(message)
        except Undelivered as failure:
            self._failed(batch, aside, failure)
            return False
        batch.recovered = batch.recovered or batch.failures >= backoff.OPENS_AFTER
        batch.failures, batch.next_attempt_at = 0, 0
        batch.delivered_at = self._clock.now()
        batch.heard[aside.data_subject] = change.number, batch.delivered_at
        return True

    def _failed(self, batch: _Batch, aside: _Aside, failure: Undelivered) -> None:
        now = self._clock.now()
        asked = timedelta(seconds=failure.retry_after or 0)
        self._set_back(aside, batch, failure.cause, asked)
        batch.failures += 1
        batch.is_gone = failure.is_gone
        over = batch.failures - backoff.OPENS_AFTER
        if over >= 0:
            batch.next_attempt_at = to_micros(now + max(backoff.pause(over + 1, self._draw()), asked))
        elif asked:
            batch.next_attempt_at = to_micros(now + asked)

    def _set_back(self, aside: _Aside, batch: _Batch, cause: str, asked: timedelta) -> None:
        now = self._clock.now()
        aside.attempts += 1
        aside.first_attempt_at = aside.first_attempt_at or to_micros(now)
        aside.cause = cause
        aside.next_attempt_at = to_micros(now + max(backoff.pause(aside.attempts, self._draw()), asked))
        aside.is_dead = backoff.is_given_up(now - from_micros(aside.first_attempt_at))
        if not aside.is_dead:
            batch.blocked.add(aside.data_subject)

    def _note(self, destination: Destination, batch: _Batch) -> None:
        """One transaction; where the destination was moved back or ended meanwhile, nothing of the batch is noted."""
        destination_id = destination.destination_id
        of = SET_ASIDE.c.destination_id == destination_id
        values: dict[str, object] = {
            "position": batch.position,
            "failures": batch.failures,
            "next_attempt_at": batch.next_attempt_at,
        }
        if batch.delivered_at is not None:
            values["delivered_at"] = to_micros(batch.delivered_at)
        with transaction(self._engine) as connection:
            unmoved = sa.update(DESTINATIONS).where(
                DESTINATIONS.c.destination_id == destination_id,
                DESTINATIONS.c.position == destination.position,
                DESTINATIONS.c.ended_at.is_(None),
            )
            if connection.execute(unmoved.values(values)).rowcount != 1:
                return
            gone = [*batch.cleared, *batch.aside]
            if gone:
                connection.execute(sa.delete(SET_ASIDE).where(of, SET_ASIDE.c.number.in_(gone)))
            if batch.aside:
                connection.execute(sa.insert(SET_ASIDE), [_row(destination_id, each) for each in batch.aside.values()])
            heard.note(connection, destination_id, batch.heard)
            if batch.recovered:  # what waits for a destination that is back waits no longer
                connection.execute(sa.update(SET_ASIDE).where(of).values(next_attempt_at=0))
        if batch.is_gone:
            self._destinations.end(destination, "gone")


def _aside(row: sa.Row[tuple[object, ...]]) -> _Aside:
    return _Aside(
        row.number, row.data_subject, row.attempts, row.first_attempt_at, row.next_attempt_at, row.cause, row.is_dead
    )


def _row(destination_id: str, aside: _Aside) -> dict[str, object]:
    return {
        "destination_id": destination_id,
        "number": aside.number,
        "data_subject": aside.data_subject,
        "is_dead": aside.is_dead,
        "attempts": aside.attempts,
        "first_attempt_at": aside.first_attempt_at,
        "next_attempt_at": aside.next_attempt_at,
        "cause": aside.cause[:64],
    }
