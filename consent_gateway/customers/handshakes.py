"""A sign-in under way at the retailer's provider: begun for one browser, finished once; calls no provider.

Nonce and code verifier are derived from the state and the browser's cookie under a key of ours. So a row of this table
yields neither, and neither can be had without the browser that began.
"""

import base64
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from consent_gateway.callers.digests import keyed_digest
from consent_gateway.callers.transactions import transaction
from consent_gateway.customers.tables import CUSTOMER_HANDSHAKES
from consent_gateway.database import to_micros
from consent_gateway.errors import SignInRefused
from consent_gateway.ports import Clock

LIFE = timedelta(minutes=10)
_FORM = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a sign-in sends along: `state` and `nonce` go to the provider, of `verifier` first its hash alone."""

    state: str
    nonce: str
    verifier: str

    def __repr__(self) -> str:
        return "Handshake(…)"


class Handshakes:
    """Sign-ins under way, for any process. `key` keys digests and derivations."""

    def __init__(self, engine: sa.Engine, clock: Clock, key: bytes) -> None:
        self._engine = engine
        self._clock = clock
        self._key = key

    def begin(self, browser: str) -> Handshake:
        """A fresh one for this browser, good for ten minutes."""
        state = secrets.token_urlsafe(32)
        row = {
            "state_hash": self._digest("state", state),
            "browser_hash": self._digest("browser", browser),
            "expires_at": to_micros(self._clock.now() + LIFE),
        }
        with transaction(self._engine) as connection:
            connection.execute(sa.insert(CUSTOMER_HANDSHAKES).values(row))
        return self._derived(state, browser)

    def finish(self, state: str, browser: str) -> Handshake:
        """The one begun under this state by this browser, used up. Raises `SignInRefused` for any other."""
        if _FORM.fullmatch(state) is None:
            raise _refused()
        fits = sa.and_(
            CUSTOMER_HANDSHAKES.c.state_hash == self._digest("state", state),
            CUSTOMER_HANDSHAKES.c.browser_hash == self._digest("browser", browser),
            CUSTOMER_HANDSHAKES.c.expires_at > to_micros(self._clock.now()),
        )
        with transaction(self._engine) as connection:
            if connection.execute(sa.delete(CUSTOMER_HANDSHAKES).where(fits)).rowcount != 1:
                raise _refused()
        return self._derived(state, browser)

    def purge(self) -> int:
        """Delete those whose time is over, and say how many."""
        with transaction(self._engine) as connection:
            over = CUSTOMER_HANDSHAKES.c.expires_at <= to_micros(self._clock.now())
            return connection.execute(sa.delete(CUSTOMER_HANDSHAKES).where(over)).rowcount

    def _derived(self, state: str, browser: str) -> Handshake:
        verifier = bytes.fromhex(self._digest("verifier", state, browser))
        text = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()  # 43 characters, as RFC 7636 wants
        return Handshake(state, self._digest("nonce", state, browser), text)

    def _digest(self, use: str, *parts: str) -> str:
        return keyed_digest(self._key, f"handshake-{use}", *(part.encode() for part in parts))


def _refused() -> SignInRefused:
    return SignInRefused("the sign-in was not begun in this browser, or its time is over: begin it again")
