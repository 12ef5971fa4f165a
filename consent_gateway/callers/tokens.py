"""Opaque access tokens: issued, resolved to a caller, revoked; stores digests only, never a token.

`resolve` is on the path of every call, so what it found is remembered in the process: for at most
`cache_seconds`, which bounds how long a token outlives its revocation, and never past the token's own end.
"""

import hashlib
import json
import re
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from consent_gateway.callers.digests import keyed_digest
from consent_gateway.callers.registry import Client
from consent_gateway.callers.tables import ACCESS_TOKENS, CLIENTS
from consent_gateway.callers.transactions import transaction
from consent_gateway.database import HeldConnections, PreparedRead, to_micros
from consent_gateway.errors import CallerNotPermitted
from consent_gateway.ports import Clock
from consent_gateway.vocabulary import Caller

LIFE_SECONDS = 600
MOST_CACHE_SECONDS = 60
_FORM = re.compile(r"gw_at_[A-Za-z0-9_-]{43}")
_LABEL = "access-token"


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A fresh token as its client gets it, once. `expires_in` is in seconds."""

    token: str
    expires_in: int
    scopes: frozenset[str]

    def __repr__(self) -> str:
        return f"IssuedToken(token=<withheld>, expires_in={self.expires_in})"


class Tokens:
    """Issues, resolves and revokes access tokens. `key` keys the stored digests."""

    def __init__(
        self,
        engine: sa.Engine,
        held: HeldConnections,
        clock: Clock,
        key: bytes,
        *,
        life_seconds: int = LIFE_SECONDS,
        cache_seconds: int = MOST_CACHE_SECONDS,
        cache_entries: int = 10_000,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._key = key
        self._life = life_seconds
        self._cache_micros = min(max(cache_seconds, 0), MOST_CACHE_SECONDS) * 1_000_000
        self._cache_entries = cache_entries
        self._cache: dict[bytes, tuple[Caller, int]] = {}  # digest of the token -> caller, end in microseconds
        self._cache_lock = threading.Lock()  # for writing; a read is one atomic dict look-up
        self._read = PreparedRead(held, engine.dialect, _resolving())

    def issue(self, client: Client, scopes: Iterable[str] | None = None) -> IssuedToken:
        """A token for the client with the scopes asked for, or all of its scopes for None.

        Raises `CallerNotPermitted` where the client is not registered for a scope.
        """
        granted = client.scopes if scopes is None else frozenset(scopes)
        if not granted or not granted <= client.scopes:
            raise CallerNotPermitted("the client is not registered for every scope asked for: ask for fewer")
        token = f"gw_at_{secrets.token_urlsafe(32)}"
        now = self._clock.now()
        row = {
            "token_hash": self._digest(token),
            "client_id": client.client_id,
            "scopes": json.dumps(sorted(granted)),
            "issued_at": to_micros(now),
            "expires_at": to_micros(now + timedelta(seconds=self._life)),
        }
        with transaction(self._engine) as connection:
            connection.execute(sa.insert(ACCESS_TOKENS).values(row))
        return IssuedToken(token, self._life, granted)

    def resolve(self, token: str) -> Caller | None:
        """The caller of a token that is neither expired nor revoked and whose client is not, or None."""
        if _FORM.fullmatch(token) is None:
            return None
        now = to_micros(self._clock.now())
        digest = hashlib.sha256(token.encode()).digest()
        found = self._cache.get(digest)
        if found is not None and now < found[1]:
            return found[0]
        rows = self._read.rows(token_hash=self._digest(token), now=now)
        if not rows:
            self._forget(digest)
            return None
        client_id, channel, purposes, recipients, client_scopes, scopes, expires_at = rows[0]
        caller = Caller(
            client_id=client_id,
            channel=channel,
            purposes=frozenset(json.loads(purposes)),
            recipients=frozenset(json.loads(recipients)),
            scopes=frozenset(json.loads(scopes)) & frozenset(json.loads(client_scopes)),
        )
        if self._cache_micros:
            self._remember(digest, caller, min(now + self._cache_micros, int(expires_at)))
        return caller

    def revoke(self, token: str) -> bool:
        """End one token; False if it is unknown or ended already. Other processes follow within the cache time."""
        with transaction(self._engine) as connection:
            result = connection.execute(
                sa.update(ACCESS_TOKENS)
                .where(ACCESS_TOKENS.c.token_hash == self._digest(token), ACCESS_TOKENS.c.revoked_at.is_(None))
                .values(revoked_at=to_micros(self._clock.now()))
            )
        self._forget(hashlib.sha256(token.encode()).digest())
        return bool(result.rowcount)

    def forget_all(self) -> None:
        """Empty this process's cache, so that a revoked client is refused at once here."""
        with self._cache_lock:
            self._cache.clear()

    def purge(self) -> int:
        """Delete every expired token and say how many; they resolve to nothing anyway."""
        with transaction(self._engine) as connection:
            result = connection.execute(
                sa.delete(ACCESS_TOKENS).where(ACCESS_TOKENS.c.expires_at <= to_micros(self._clock.now()))
            )
        return result.rowcount

    def _digest(self, token: str) -> str:
        return keyed_digest(self._key, _LABEL, token.encode())

    def _remember(self, digest: bytes, caller: Caller, until: int) -> None:
        with self._cache_lock:
            self._cache.pop(digest, None)
            while len(self._cache) >= self._cache_entries:
                del self._cache[next(iter(self._cache))]  # the oldest: dicts keep the order of insertion
            self._cache[digest] = (caller, until)

    def _forget(self, digest: bytes) -> None:
        with self._cache_lock:
            self._cache.pop(digest, None)


def _resolving() -> sa.Select[tuple[object, ...]]:
    return (
        sa.select(
            CLIENTS.c.client_id,
            CLIENTS.c.channel,
            CLIENTS.c.purposes,
            CLIENTS.c.recipients,
            CLIENTS.c.scopes,
            ACCESS_TOKENS.c.scopes,
            ACCESS_TOKENS.c.expires_at,
        )
        .join_from(ACCESS_TOKENS, CLIENTS, CLIENTS.c.client_id == ACCESS_TOKENS.c.client_id)
        .where(
            ACCESS_TOKENS.c.token_hash == sa.bindparam("token_hash", type_=sa.String),
            ACCESS_TOKENS.c.expires_at > sa.bindparam("now", type_=sa.BigInteger),
            ACCESS_TOKENS.c.revoked_at.is_(None),
            CLIENTS.c.revoked_at.is_(None),
        )
    )
