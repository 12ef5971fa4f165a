"""Challenges for authenticators: made and recognised without keeping anything, each accepted once; signs nothing.

A challenge carries its own end and a MAC over it, so that whoever asks for a million of them costs no row and can
keep nobody from signing in. A row is made only when a valid assertion answers one, and its uniqueness lets exactly
one of any number of racing processes in.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consent_gateway.callers.digests import keyed_digest
from consent_gateway.callers.transactions import transaction
from consent_gateway.database import to_micros
from consent_gateway.officers.tables import OFFICER_CHALLENGES
from consent_gateway.ports import Clock

LIFE = timedelta(minutes=5)
_NONCE = 16
_END = 8
_MAC = 32


class Challenges:
    """Challenges of this gateway, for any of its processes. `key` keys their MAC and is used for nothing else.

    `about` is what a challenge may be answered for: a ceremony's name, and for an enrolment its code too.
    """

    def __init__(
        self, engine: sa.Engine, clock: Clock, key: bytes, random: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._key = key
        self._random = random

    def make(self, about: str) -> bytes:
        """A fresh challenge of 56 bytes, good for five minutes."""
        end = to_micros(self._clock.now() + LIFE)
        stem = self._random(_NONCE) + end.to_bytes(_END)
        return stem + self._mac(about, stem)

    def is_ours(self, challenge: bytes, about: str) -> bool:
        """Whether this gateway made the challenge for this, not longer than five minutes ago."""
        stem, given = challenge[: _NONCE + _END], challenge[_NONCE + _END :]
        if len(challenge) != _NONCE + _END + _MAC or not hmac.compare_digest(given, self._mac(about, stem)):
            return False
        return to_micros(self._clock.now()) < int.from_bytes(stem[_NONCE:])

    def use(self, connection: Connection, challenge: bytes) -> None:
        """Mark the challenge as answered, in the answer's own transaction. Raises `IntegrityError` the second time."""
        row = {
            "challenge_hash": hashlib.sha256(challenge).hexdigest(),
            "expires_at": int.from_bytes(challenge[_NONCE : _NONCE + _END]),
        }
        connection.execute(sa.insert(OFFICER_CHALLENGES).values(row))

    def purge(self) -> int:
        """Delete what could not be answered any more, and say how many."""
        with transaction(self._engine) as connection:
            over = OFFICER_CHALLENGES.c.expires_at <= to_micros(self._clock.now())
            result = connection.execute(sa.delete(OFFICER_CHALLENGES).where(over))
        return result.rowcount

    def _mac(self, about: str, stem: bytes) -> bytes:
        return bytes.fromhex(keyed_digest(self._key, "officer-challenge", about.encode(), stem))
