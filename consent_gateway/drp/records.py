"""What is an agent's own of the requests it brought, as stored; takes nothing in and tells nobody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import orjson
import sqlalchemy as sa

from consent_gateway.database import to_micros
from consent_gateway.drp.statuses import FINAL, Told
from consent_gateway.drp.tables import DRP_REQUESTS
from consent_gateway.rights.requests import Book, Request
from consent_gateway.rights.states import State
from consent_gateway.rights.tables import RIGHTS_REQUESTS

_T = DRP_REQUESTS.c
_OWN, _FIRST = RIGHTS_REQUESTS.alias("own"), RIGHTS_REQUESTS.alias("first")


@dataclass(frozen=True, slots=True)
class Brought:
    """One request that an agent brought. Times of the callback in microseconds, as stored."""

    told: Told
    agent_id: str
    callback: str | None
    told_hash: str
    attempts: int
    first_attempt_at: int
    next_attempt_at: int

    @property
    def request_id(self) -> str:
        """The number of the request."""
        return self.told.request_id


def body_of(status: Mapping[str, Any]) -> bytes:
    """A status as it is sent."""
    return orjson.dumps(status)


def digest_of(status: Mapping[str, Any]) -> str:
    """What a status is known by again."""
    return sha256(body_of(status)).hexdigest()


def add(connection: sa.Connection, told: Told, agent_id: str, *, callback: str | None, **more: Any) -> None:
    """Note that an agent brought a request; it has not been told of it yet. Without `callback` it asks for itself."""
    connection.execute(
        sa.insert(DRP_REQUESTS).values(
            request_id=told.request_id,
            agent_id=agent_id,
            agent_request_id=told.agent_request_id,
            expected_by=told.expected_by,
            callback=callback,
            is_left=False,
            seen=0,
            told_hash="",
            attempts=0,
            first_attempt_at=0,
            next_attempt_at=0,
            is_over=callback is None,
            **more,
        )
    )


def find(connection: sa.Connection, request_id: str, agent_id: str) -> Brought | None:
    """The request of this number that this agent brought, or None."""
    query = sa.select(DRP_REQUESTS).where(_T.request_id == request_id, _T.agent_id == agent_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else _brought(row)


def seen(connection: sa.Connection, book: Book, request_id: str) -> tuple[Request, int]:
    """The request, or the one it was joined to, and a number that goes up with each change of either."""
    own = book.find(connection, request_id)
    if own.joined_to is None:
        return own, own.version
    first = book.find(connection, own.joined_to)
    return first, own.version + first.version


def told(connection: sa.Connection, request_id: str, status: Mapping[str, Any], version: int) -> None:
    """Note the status that the agent knows now."""
    values = {
        "seen": version,
        "told_hash": digest_of(status),
        "attempts": 0,
        "first_attempt_at": 0,
        "next_attempt_at": 0,
        **({"is_over": True} if status["status"] in FINAL else {}),
    }
    connection.execute(sa.update(DRP_REQUESTS).where(_T.request_id == request_id).values(values))


def leave(connection: sa.Connection, request_id: str) -> None:
    """Note that the agent revoked a request that goes on for others."""
    own = _T.request_id == request_id
    connection.execute(sa.update(DRP_REQUESTS).where(own).values(is_left=True, seen=0))


def due(connection: sa.Connection, now: datetime, limit: int) -> Sequence[Brought]:
    """Requests that have changed since their agents were told, where they want to be; whoever waits longest first."""
    version = _OWN.c.version + sa.func.coalesce(_FIRST.c.version, 0)
    is_late = sa.and_(_OWN.c.state == State.IDENTITY_PENDING.value, _OWN.c.prove_until < now.date().isoformat())
    query = (
        sa.select(DRP_REQUESTS)
        .join_from(DRP_REQUESTS, _OWN, _OWN.c.request_id == _T.request_id)
        .outerjoin(_FIRST, _FIRST.c.request_id == _OWN.c.joined_to)
        .where(_T.is_over.is_(False), _T.next_attempt_at <= to_micros(now))
        .where(sa.or_(version != _T.seen, is_late))
        .order_by(_T.next_attempt_at, _T.request_id)
        .limit(limit)
    )
    return [_brought(row) for row in connection.execute(query)]


def claim(connection: sa.Connection, one: Brought, until: datetime) -> bool:
    """Take a request to be told of, until then; False where another worker was first."""
    unmoved = sa.and_(_T.request_id == one.request_id, _T.next_attempt_at == one.next_attempt_at, _T.is_over.is_(False))
    taken = sa.update(DRP_REQUESTS).where(unmoved).values(next_attempt_at=to_micros(until))
    return connection.execute(taken).rowcount == 1


def failed(connection: sa.Connection, one: Brought, *, now: datetime, again: datetime, is_over: bool) -> None:
    """Note that an agent could not be told, and when it is tried again."""
    first = one.first_attempt_at or to_micros(now)
    values = {"attempts": one.attempts + 1, "first_attempt_at": first, "next_attempt_at": to_micros(again)}
    own = _T.request_id == one.request_id
    connection.execute(sa.update(DRP_REQUESTS).where(own).values(is_over=is_over, **values))


def purge(connection: sa.Connection) -> int:
    """Delete what belongs to requests whose records are gone, and say how many."""
    kept = sa.exists().where(RIGHTS_REQUESTS.c.request_id == _T.request_id)
    return connection.execute(sa.delete(DRP_REQUESTS).where(~kept)).rowcount


def _brought(row: sa.Row[Any]) -> Brought:
    return Brought(
        told=Told(row.request_id, row.agent_request_id, row.expected_by, row.is_left),
        agent_id=row.agent_id,
        callback=row.callback,
        told_hash=row.told_hash,
        attempts=row.attempts,
        first_attempt_at=row.first_attempt_at,
        next_attempt_at=row.next_attempt_at,
    )
