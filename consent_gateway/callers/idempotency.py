"""Answers to repeated writes: a call sent twice under one key is carried out once; keeps no request.

The first call inserts the row, and a uniqueness makes it the only first. Only the answer of a call that
succeeded is kept; a refused call changed nothing, so its key is free again. A call whose process died blocks its
key for `RUNNING_SECONDS`, after which a retry takes it over: the writes behind it are safe to repeat, a lost
withdrawal is not.
"""

from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from consent_gateway.callers.digests import keyed_digest
from consent_gateway.callers.tables import IDEMPOTENCY_KEYS
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.database import to_micros
from consent_gateway.errors import Conflict, IdempotencyMismatch
from consent_gateway.ports import Clock

KEPT = timedelta(hours=24)
RUNNING_SECONDS = 60  # several times what any call may take: each statement is bounded to seconds


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What the first call was answered: HTTP-independent status number and body."""

    status: int
    body: bytes


class Idempotency:
    """The store of idempotency keys. `key` keys the digests: a bare hash of a body would give it away."""

    def __init__(self, engine: sa.Engine, clock: Clock, key: bytes) -> None:
        self._engine = engine
        self._clock = clock
        self._key = key

    def begin(self, client_id: str, idempotency_key: str, request: bytes) -> StoredAnswer | None:
        """None if the caller is the first and must carry out the call, then `finish` or `release`; else the answer.

        `request` is everything that makes the call what it is: method, path and body. Raises
        `IdempotencyMismatch` for another request under the key and `Conflict` while the first still runs.
        """
        digest = self._digest(idempotency_key)
        now = self._clock.now()
        row = {
            "client_id": client_id,
            "key_hash": digest,
            "request_hash": keyed_digest(self._key, "idempotent-request", request),
            "created_at": to_micros(now),
        }
        try:
            with transaction(self._engine) as connection:
                over = sa.and_(self._is(client_id, digest), _is_over(to_micros(now)))
                connection.execute(sa.delete(IDEMPOTENCY_KEYS).where(over))
                connection.execute(sa.insert(IDEMPOTENCY_KEYS).values(row))
        except sa.exc.IntegrityError:
            return self._earlier(client_id, digest, row["request_hash"])
        return None

    def finish(self, client_id: str, idempotency_key: str, answer: StoredAnswer) -> None:
        """Keep the answer of a call that succeeded."""
        with transaction(self._engine) as connection:
            connection.execute(
                sa.update(IDEMPOTENCY_KEYS)
                .where(self._is(client_id, self._digest(idempotency_key)))
                .values(status=answer.status, answer=answer.body)
            )

    def release(self, client_id: str, idempotency_key: str) -> None:
        """Free the key of a call that failed."""
        with transaction(self._engine) as connection:
            connection.execute(
                sa.delete(IDEMPOTENCY_KEYS).where(
                    self._is(client_id, self._digest(idempotency_key)), IDEMPOTENCY_KEYS.c.status.is_(None)
                )
            )

    def purge(self) -> int:
        """Delete what is older than a day, and say how many."""
        with transaction(self._engine) as connection:
            oldest = to_micros(self._clock.now() - KEPT)
            result = connection.execute(sa.delete(IDEMPOTENCY_KEYS).where(IDEMPOTENCY_KEYS.c.created_at <= oldest))
        return result.rowcount

    def _earlier(self, client_id: str, digest: str, request_hash: object) -> StoredAnswer:
        with reading(self._engine) as connection:
            row = connection.execute(
                sa.select(IDEMPOTENCY_KEYS.c.request_hash, IDEMPOTENCY_KEYS.c.status, IDEMPOTENCY_KEYS.c.answer).where(
                    self._is(client_id, digest)
                )
            ).one_or_none()
        if row is not None and row.request_hash != request_hash:
            raise IdempotencyMismatch("the idempotency key was used before with another request: use a fresh key")
        if row is None or row.status is None:  # None: the first call failed and freed the key just now
            raise Conflict("the first call with this idempotency key is still running: try again in a moment")
        return StoredAnswer(row.status, bytes(row.answer))

    def _digest(self, idempotency_key: str) -> str:
        return keyed_digest(self._key, "idempotency-key", idempotency_key.encode())

    @staticmethod
    def _is(client_id: str, digest: str) -> sa.ColumnElement[bool]:
        return sa.and_(IDEMPOTENCY_KEYS.c.client_id == client_id, IDEMPOTENCY_KEYS.c.key_hash == digest)


def _is_over(now: int) -> sa.ColumnElement[bool]:
    """Rows past their day, and rows of first calls that can no longer be running."""
    ended = IDEMPOTENCY_KEYS.c.created_at <= now - KEPT // timedelta(microseconds=1)
    dead = sa.and_(
        IDEMPOTENCY_KEYS.c.status.is_(None), IDEMPOTENCY_KEYS.c.created_at <= now - RUNNING_SECONDS * 1_000_000
    )
    return sa.or_(ended, dead)
