"""Opaque access tokens: issued, resolved to a grant, revoked; stores digests only, never a token.

`resolve` is on the path of every call, so what it found is remembered in the process: for at most
`cache_seconds`, which bounds how long a token outlives its revocation, and never past the token's own end.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from consent_gateway.callers.digests import keyed_digest
from consent_gateway.callers.grants import MOST_CACHE_SECONDS, Grant, GrantCache
from consent_gateway.callers.registry import Client
from consent_gateway.callers.tables import ACCESS_TOKENS, CLIENTS
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.database import HeldConnections, PreparedRead, from_micros, to_micros
from consent_gateway.errors import CallerNotPermitted
from consent_gateway.ports import Clock
from consent_gateway.vocabulary import Caller

LIFE_SECONDS = 600
PREFIX = "gw_at_"
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


@dataclass(frozen=True, slots=True)
class Introspected:
    """What the client that owns a token may learn of it."""

    scopes: frozenset[str]
    issued_at: datetime
    expires_at: datetime
    key_thumbprint: str | None
    certificate_thumbprint: str | None


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
        self._cache = GrantCache(cache_seconds, cache_entries)
        self._read = PreparedRead(held, engine.dialect, _resolving())

    def issue(
        self,
        client: Client,
        scopes: Iterable[str] | None = None,
        *,
        key_thumbprint: str | None = None,
        certificate_thumbprint: str | None = None,
    ) -> IssuedToken:
        """A token for the client with the scopes asked for, or all of its scopes for None, bound as `Grant` says.

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
            "key_thumbprint": key_thumbprint,
            "certificate_thumbprint": certificate_thumbprint,
        }
        with transaction(self._engine) as connection:
            connection.execute(sa.insert(ACCESS_TOKENS).values(row))
        return IssuedToken(token, self._life, granted)

    def resolve(self, token: str) -> Grant | None:
        """What a token stands for that is neither expired nor revoked and whose client is not, or None."""
        if _FORM.fullmatch(token) is None:
            return None
        now = to_micros(self._clock.now())
        digest = hashlib.sha256(token.encode()).digest()
        found = self._cache.get(digest, now)
        if found is not None:
            return found
        rows = self._read.rows(token_hash=self._digest(token), now=now)
        if not rows:
            self._cache.forget(digest)
            return None
        client_id, channel, purposes, recipients, client_scopes, scopes, expires_at, key, certificate = rows[0]
        caller = Caller(
            client_id=client_id,
            channel=channel,
            purposes=frozenset(json.loads(purposes)),
            recipients=frozenset(json.loads(recipients)),
            scopes=frozenset(json.loads(scopes)) & frozenset(json.loads(client_scopes)),
        )
        grant = Grant(caller, key, certificate)
        self._cache.remember(digest, grant, now, int(expires_at))
        return grant

    def introspect(self, client_id: str, token: str) -> Introspected | None:
        """What stands behind a token of this client that is neither expired nor revoked, or None; never from memory."""
        select = sa.select(ACCESS_TOKENS).where(
            self._is(token),
            ACCESS_TOKENS.c.client_id == client_id,
            ACCESS_TOKENS.c.revoked_at.is_(None),
            ACCESS_TOKENS.c.expires_at > to_micros(self._clock.now()),
        )
        with reading(self._engine) as connection:
            row = connection.execute(select).mappings().one_or_none()
        if row is None:
            return None
        return Introspected(
            scopes=frozenset(json.loads(row["scopes"])),
            issued_at=from_micros(row["issued_at"]),
            expires_at=from_micros(row["expires_at"]),
            key_thumbprint=row["key_thumbprint"],
            certificate_thumbprint=row["certificate_thumbprint"],
        )

    def owner(self, token: str) -> str | None:
        """The client a token was issued to, revoked and expired ones too while they are kept; None if unknown."""
        with reading(self._engine) as connection:
            return connection.execute(sa.select(ACCESS_TOKENS.c.client_id).where(self._is(token))).scalar_one_or_none()

    def revoke(self, token: str) -> bool:
        """End one token; False if it is unknown or ended already. Other processes follow within the cache time."""
        with transaction(self._engine) as connection:
            result = connection.execute(
                sa.update(ACCESS_TOKENS)
                .where(self._is(token), ACCESS_TOKENS.c.revoked_at.is_(None))
                .values(revoked_at=to_micros(self._clock.now()))
            )
        self._cache.forget(hashlib.sha256(token.encode()).digest())
        return bool(result.rowcount)

    def forget_all(self) -> None:
        """Empty this process's cache, so that a revoked client is refused at once here."""
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

    def _is(self, token: str) -> sa.ColumnElement[bool]:
        return ACCESS_TOKENS.c.token_hash == self._digest(token)


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
            ACCESS_TOKENS.c.key_thumbprint,
            ACCESS_TOKENS.c.certificate_thumbprint,
        )
        .join_from(ACCESS_TOKENS, CLIENTS, CLIENTS.c.client_id == ACCESS_TOKENS.c.client_id)
        .where(
            ACCESS_TOKENS.c.token_hash == sa.bindparam("token_hash", type_=sa.String),
            ACCESS_TOKENS.c.expires_at > sa.bindparam("now", type_=sa.BigInteger),
            ACCESS_TOKENS.c.revoked_at.is_(None),
            CLIENTS.c.revoked_at.is_(None),
        )
    )
