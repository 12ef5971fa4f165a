"""Tells agents how their requests stand when that has changed, at least once; changes no request.

What is told is read when it goes out, so an agent that was away hears the present state and not each one it missed.
Of two workers one takes a request and has it until its lease is over, so whoever is killed in between loses nothing.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa

from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.database import from_micros
from consent_gateway.drp import records
from consent_gateway.drp.directory import Agent, Directory
from consent_gateway.drp.protocol import Protocol, Status
from consent_gateway.drp.records import Brought
from consent_gateway.errors import NotFound, Undelivered
from consent_gateway.ports import Clock
from consent_gateway.propagation import backoff

BATCH = 100
LEASE = timedelta(minutes=2)
HEADERS = {"Content-Type": "application/json"}

Send = Callable[[Agent, str, bytes], None]
"""Posts a body to an agent's address. Raises `Undelivered`."""


class Callbacks:
    """What the background worker runs. `draw` gives numbers in [0, 1) for the jitter."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        clock: Clock,
        directory: Directory,
        protocol: Protocol,
        send: Send,
        draw: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._directory = directory
        self._protocol = protocol
        self._send = send
        self._draw = draw

    def round(self) -> int:
        """Tell every agent what it does not know; how many were told."""
        with reading(self._engine) as connection:
            due = records.due(connection, self._clock.now(), BATCH)
        return sum(map(self._one, due))

    def _one(self, brought: Brought) -> bool:
        now = self._clock.now()
        with transaction(self._engine) as connection:
            if not records.claim(connection, brought, now + LEASE):
                return False
        try:
            with reading(self._engine) as connection:
                status = self._protocol.looked(connection, brought)
        except NotFound:
            return False  # its record went meanwhile; what is left here is purged
        is_known = records.digest_of(status.document) == brought.told_hash
        if not is_known and not self._sent(brought, status):
            return False
        with transaction(self._engine) as connection:
            records.told(connection, brought.request_id, status.document, status.version)
        return not is_known

    def _sent(self, brought: Brought, status: Status) -> bool:
        agent = self._directory.agents.get(brought.agent_id)
        try:
            if agent is None or brought.callback is None:
                raise Undelivered("the directory has no such agent")
            self._send(agent, brought.callback, records.body_of(status.document))
        except Undelivered as failure:
            self._failed(brought, failure)
            return False
        return True

    def _failed(self, brought: Brought, failure: Undelivered) -> None:
        now = self._clock.now()
        pause = max(backoff.pause(brought.attempts + 1, self._draw()), timedelta(seconds=failure.retry_after or 0))
        is_over = failure.is_gone or backoff.is_given_up(now - _began(brought, now))
        with transaction(self._engine) as connection:
            records.failed(connection, brought, now=now, again=now + pause, is_over=is_over)


def _began(brought: Brought, now: datetime) -> datetime:
    return from_micros(brought.first_attempt_at) if brought.first_attempt_at else now
