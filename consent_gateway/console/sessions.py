"""Sessions of officers' browsers: a fresh token at every sign-in, kept here alone, read anew at every request.

A session ends at the officer's sign-out, after a time without a request, at the latest after its working day, and with
the officer's registration. Signing in and out are entries of the log.
"""

import json
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa

from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.digests import keyed_digest
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.console.tables import CONSOLE_SESSIONS
from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import SignInRefused
from consent_gateway.officers.registry import Role as OfficerRole
from consent_gateway.officers.registry import officer_entry, officer_in
from consent_gateway.officers.sessions import SignedIn
from consent_gateway.officers.tables import OFFICERS
from consent_gateway.ports import Clock

IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=10)
_SEEN_EVERY = timedelta(minutes=1)  # so that reading pages seldom writes
_FORM = re.compile(r"[A-Za-z0-9_-]{43}")


class Way(StrEnum):
    """How an officer proved to be here; closed list. Each is more than one factor."""

    PASSKEY = "passkey"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """An officer at the console, with a name for the page's head alone."""

    officer: SignedIn
    name: str
    way: Way


class ConsoleSessions:
    """Opens, finds and ends sessions. `key` keys digests and form tokens. Safe to share between threads."""

    def __init__(self, engine: sa.Engine, clock: Clock, key: bytes) -> None:
        self._engine = engine
        self._clock = clock
        self._key = key

    def begin(self, officer_id: str, way: Way, before: str | None) -> str:
        """A new session's token for an officer who has just proved to be here; the browser's session before is over.

        Raises `SignInRefused` for an officer who is revoked.
        """
        token, now = secrets.token_urlsafe(32), self._clock.now()
        with transaction(self._engine) as connection:
            if officer_in(connection, officer_id, held=True) is None:
                raise SignInRefused("you are not an officer here any more: ask the operator")
            if before is not None:
                connection.execute(
                    sa.delete(CONSOLE_SESSIONS).where(CONSOLE_SESSIONS.c.token_hash == self._digest(before))
                )
            row = {
                "token_hash": self._digest(token),
                "officer_id": officer_id,
                "way": way.value,
                "auth_time": to_micros(now),
                "seen_at": to_micros(now),
                "expires_at": to_micros(now + LONGEST),
            }
            connection.execute(sa.insert(CONSOLE_SESSIONS).values(row))
            record_in(connection, officer_entry("sign_in", officer_id, now, way=way.value))
        return token

    def resolve(self, token: str) -> ConsoleSession | None:
        """Who holds the token; None where it is unknown or over, or its officer is revoked."""
        if _FORM.fullmatch(token) is None:
            return None
        now, column, digest = self._clock.now(), CONSOLE_SESSIONS.c, self._digest(token)
        alive = (column.expires_at > to_micros(now), column.seen_at > to_micros(now - IDLE))
        asked = (
            sa.select(CONSOLE_SESSIONS, OFFICERS.c.roles, OFFICERS.c.name)
            .join_from(CONSOLE_SESSIONS, OFFICERS, OFFICERS.c.officer_id == column.officer_id)
            .where(column.token_hash == digest, OFFICERS.c.revoked_at.is_(None), *alive)
        )
        with reading(self._engine) as connection:
            row = connection.execute(asked).one_or_none()
        if row is None:
            return None
        if now - from_micros(row.seen_at) >= _SEEN_EVERY:
            self._see(digest, now)
        roles = frozenset(map(OfficerRole, json.loads(row.roles)))
        return ConsoleSession(SignedIn(row.officer_id, roles, from_micros(row.auth_time)), row.name, Way(row.way))

    def end(self, token: str) -> None:
        """Sign out; a session that is over already stays so."""
        column = CONSOLE_SESSIONS.c
        with transaction(self._engine) as connection:
            own = column.token_hash == self._digest(token)
            officer_id = connection.execute(sa.select(column.officer_id).where(own)).scalar_one_or_none()
            if officer_id is not None and connection.execute(sa.delete(CONSOLE_SESSIONS).where(own)).rowcount:
                record_in(connection, officer_entry("sign_out", officer_id, self._clock.now()))

    def form_token(self, token: str) -> str:
        """What every form shown to this session carries."""
        return keyed_digest(self._key, "console-form", token.encode())

    def purge(self) -> int:
        """Delete the sessions that are over, and say how many."""
        now, column = self._clock.now(), CONSOLE_SESSIONS.c
        over = (column.expires_at <= to_micros(now)) | (column.seen_at <= to_micros(now - IDLE))
        with transaction(self._engine) as connection:
            return connection.execute(sa.delete(CONSOLE_SESSIONS).where(over)).rowcount

    def _see(self, digest: str, now: datetime) -> None:
        column = CONSOLE_SESSIONS.c
        with transaction(self._engine) as connection:
            seen = sa.update(CONSOLE_SESSIONS).where(column.token_hash == digest, column.seen_at < to_micros(now))
            connection.execute(seen.values(seen_at=to_micros(now)))

    def _digest(self, token: str) -> str:
        return keyed_digest(self._key, "console-session", token.encode())
