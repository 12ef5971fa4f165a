"""Sign-in by passkey: an assertion becomes an opaque token for 15 minutes, read anew at every call; nothing is cached.

A token is looked up with its officer, so that a revoked officer or a role taken away binds at the next call.
"""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from consent_gateway.callers.digests import keyed_digest
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import AssertionRefused
from consent_gateway.officers import passkeys
from consent_gateway.officers.challenges import Challenges
from consent_gateway.officers.passkeys import RelyingParty
from consent_gateway.officers.registry import Role, officer_in
from consent_gateway.officers.tables import OFFICER_SESSIONS, OFFICERS
from consent_gateway.ports import Clock

LIFE = timedelta(minutes=15)
PREFIX = "gw_of_"
_FORM = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")
_ABOUT = "sign-in"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An officer who has proved to be here. `auth_time` is when the passkey answered, UTC."""

    officer_id: str
    roles: frozenset[Role]
    auth_time: datetime


@dataclass(frozen=True, slots=True)
class IssuedSession:
    """A fresh officer token as its officer gets it, once. `expires_in` is in seconds."""

    token: str
    expires_in: int
    officer_id: str
    roles: frozenset[Role]

    def __repr__(self) -> str:
        return f"IssuedSession(token=<withheld>, officer_id={self.officer_id!r})"


class Sessions:
    """Signs officers in and out. `key` keys the stored digests."""

    def __init__(
        self, engine: sa.Engine, clock: Clock, party: RelyingParty, challenges: Challenges, key: bytes
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._party = party
        self._challenges = challenges
        self._key = key

    def options(self) -> dict[str, Any]:
        """What `navigator.credentials.get` is to be given. Costs no row, and names nobody."""
        return self._party.request_options(self._challenges.make(_ABOUT))

    def begin(self, credential: Mapping[str, Any]) -> IssuedSession:
        """A session for the officer whose passkey answered; a challenge answers once. Raises `AssertionRefused`."""
        challenge = passkeys.challenge_of(credential)
        if not self._challenges.is_ours(challenge, _ABOUT):
            raise _refused()
        asserted = self._party.asserted(credential, challenge)
        token = f"{PREFIX}{secrets.token_urlsafe(32)}"
        now = self._clock.now()
        try:
            with transaction(self._engine) as connection:
                officer = officer_in(connection, asserted.passkey.officer_id)
                if officer is None:
                    raise _refused()
                self._challenges.use(connection, challenge)
                passkeys.count(connection, asserted)
                connection.execute(
                    sa.insert(OFFICER_SESSIONS).values(
                        token_hash=self._digest(token),
                        officer_id=officer.officer_id,
                        auth_time=to_micros(now),
                        expires_at=to_micros(now + LIFE),
                    )
                )
        except sa.exc.IntegrityError as error:
            raise _refused() from error
        return IssuedSession(token, int(LIFE.total_seconds()), officer.officer_id, officer.roles)

    def resolve(self, token: str) -> SignedIn | None:
        """Who holds the token, or None where it is unknown or expired or its officer revoked."""
        if _FORM.fullmatch(token) is None:
            return None
        with reading(self._engine) as connection:
            row = connection.execute(
                sa.select(OFFICERS.c.officer_id, OFFICERS.c.roles, OFFICER_SESSIONS.c.auth_time)
                .join_from(OFFICER_SESSIONS, OFFICERS, OFFICERS.c.officer_id == OFFICER_SESSIONS.c.officer_id)
                .where(
                    OFFICER_SESSIONS.c.token_hash == self._digest(token),
                    OFFICER_SESSIONS.c.expires_at > to_micros(self._clock.now()),
                    OFFICERS.c.revoked_at.is_(None),
                )
            ).one_or_none()
        if row is None:
            return None
        return SignedIn(row.officer_id, frozenset(map(Role, json.loads(row.roles))), from_micros(row.auth_time))

    def end(self, token: str) -> None:
        """Sign out; a token that is over already stays so."""
        with transaction(self._engine) as connection:
            connection.execute(sa.delete(OFFICER_SESSIONS).where(OFFICER_SESSIONS.c.token_hash == self._digest(token)))

    def _digest(self, token: str) -> str:
        return keyed_digest(self._key, "officer-session", token.encode())


def _refused() -> AssertionRefused:
    return AssertionRefused("the sign-in did not succeed: ask for new options and answer those")
