"""The two kinds of link: one that signs its person in once, one that unsubscribes from one purpose; mails nothing.

A sign-in link is 256 random bits, good for ten minutes, once, in the browser that asked for it. An unsubscribe link is
good for as long as somebody may find the mail that holds it, any number of times: repeating it changes nothing.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from consent_gateway.callers.digests import keyed_digest
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.customers.sessions import Assurance, IssuedToken, Proved, Sessions
from consent_gateway.customers.tables import CUSTOMER_LINKS, UNSUBSCRIBE_LINKS
from consent_gateway.database import to_micros
from consent_gateway.errors import NotFound, SignInRefused
from consent_gateway.ids import new_id
from consent_gateway.people.directory import exists
from consent_gateway.ports import Clock

SIGN_IN_LIFE = timedelta(minutes=10)
_FORM = re.compile(r"[A-Za-z0-9_-]{43}")


class SignInLinks:
    """Links that sign in. `key` keys the stored digests, of the links and of the browsers they are bound to."""

    def __init__(self, engine: sa.Engine, clock: Clock, key: bytes, sessions: Sessions) -> None:
        self._engine = engine
        self._clock = clock
        self._key = key
        self._sessions = sessions

    def make_in(self, connection: sa.Connection, browser: str, data_subject: str | None) -> str:
        """The token of a fresh link for this browser; without a person it is one that nothing can be done with."""
        token = secrets.token_urlsafe(32)
        connection.execute(
            sa.insert(CUSTOMER_LINKS).values(
                token_hash=self._digest(token),
                browser_hash=self._browser(browser),
                data_subject=data_subject,
                expires_at=to_micros(self._clock.now() + SIGN_IN_LIFE),
            )
        )
        return token

    def use(self, token: str, browser: str, replacing: str | None = None) -> IssuedToken:
        """A session for the link's person. Of any number of calls with one link, one gets it.

        Raises `SignInRefused` for a link that is unknown, used, expired or of another browser; which, is not told.
        """
        if _FORM.fullmatch(token) is None:
            raise _refused()
        fits = sa.and_(
            CUSTOMER_LINKS.c.token_hash == self._digest(token),
            CUSTOMER_LINKS.c.browser_hash == self._browser(browser),
            CUSTOMER_LINKS.c.expires_at > to_micros(self._clock.now()),
            CUSTOMER_LINKS.c.data_subject.is_not(None),
        )
        with transaction(self._engine) as connection:
            # The deletion is the proof: a second call waits for the first and then finds no row to delete.
            used = sa.delete(CUSTOMER_LINKS).where(fits).returning(CUSTOMER_LINKS.c.data_subject)
            data_subject = connection.execute(used).scalar_one_or_none()
            if data_subject is None:
                raise _refused()
            return self._sessions.begin_in(connection, Proved(data_subject, Assurance.LINK), replacing)

    def dispute(self, token: str) -> None:
        """End the link and, where it is somebody's, every session and link of theirs, in any browser.

        What is unknown, over or nobody's is answered alike.
        """
        if _FORM.fullmatch(token) is None:
            return
        fits = sa.and_(
            CUSTOMER_LINKS.c.token_hash == self._digest(token),
            CUSTOMER_LINKS.c.expires_at > to_micros(self._clock.now()),
        )
        with transaction(self._engine) as connection:
            ended = sa.delete(CUSTOMER_LINKS).where(fits).returning(CUSTOMER_LINKS.c.data_subject)
            data_subject = connection.execute(ended).scalar_one_or_none()
            if data_subject is not None:
                self._sessions.dispute_in(connection, data_subject)

    def purge(self) -> int:
        """Delete the links whose time is over, and say how many."""
        with transaction(self._engine) as connection:
            over = CUSTOMER_LINKS.c.expires_at <= to_micros(self._clock.now())
            return connection.execute(sa.delete(CUSTOMER_LINKS).where(over)).rowcount

    def _digest(self, token: str) -> str:
        return keyed_digest(self._key, "sign-in-link", token.encode())

    def _browser(self, browser: str) -> str:
        return keyed_digest(self._key, "sign-in-browser", browser.encode())


@dataclass(frozen=True, slots=True)
class NewUnsubscribeLink:
    """Whom a channel wants a link for, from which purpose it unsubscribes, and who asks."""

    data_subject: str
    purpose: str
    channel: str
    client_id: str


@dataclass(frozen=True, slots=True)
class UnsubscribeLink:
    """What a valid unsubscribe link stands for."""

    link_id: str
    data_subject: str
    purpose: str
    channel: str


@dataclass(frozen=True, slots=True)
class IssuedLink:
    """A fresh unsubscribe link as the channel gets it, once."""

    link_id: str
    token: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"IssuedLink(link_id={self.link_id!r}, token=<withheld>)"


class UnsubscribeLinks:
    """Links that unsubscribe. `key` keys the stored digests, `life` is how long a link is good."""

    def __init__(self, engine: sa.Engine, clock: Clock, key: bytes, life: timedelta) -> None:
        self._engine = engine
        self._clock = clock
        self._key = key
        self._life = life

    def make(self, new: NewUnsubscribeLink) -> IssuedLink:
        """A fresh link. Raises `NotFound` where nobody has the id."""
        now = self._clock.now()
        issued = IssuedLink(new_id("ul", now), secrets.token_urlsafe(32), now + self._life)
        with transaction(self._engine) as connection:
            if not exists(connection, new.data_subject):
                raise NotFound("no person has this id: look the person up by an identifier")
            connection.execute(
                sa.insert(UNSUBSCRIBE_LINKS).values(
                    token_hash=self._digest(issued.token),
                    link_id=issued.link_id,
                    data_subject=new.data_subject,
                    purpose=new.purpose,
                    channel=new.channel,
                    client_id=new.client_id,
                    created_at=to_micros(now),
                    expires_at=to_micros(issued.expires_at),
                )
            )
        return issued

    def find(self, token: str) -> UnsubscribeLink:
        """What the link stands for; changes nothing. Raises `NotFound` for one that is unknown, expired or ended."""
        standing = sa.and_(
            UNSUBSCRIBE_LINKS.c.token_hash == self._digest(token),
            UNSUBSCRIBE_LINKS.c.expires_at > to_micros(self._clock.now()),
            UNSUBSCRIBE_LINKS.c.revoked_at.is_(None),
        )
        row = None
        if _FORM.fullmatch(token) is not None:
            with reading(self._engine) as connection:
                row = connection.execute(sa.select(UNSUBSCRIBE_LINKS).where(standing)).one_or_none()
        if row is None:
            raise NotFound("the link is not known or its time is over: use the link of a newer mail")
        return UnsubscribeLink(row.link_id, row.data_subject, row.purpose, row.channel)

    def revoke(self, link_id: str, client_id: str) -> None:
        """End a link that this client asked for; ended once, it stays so. Raises `NotFound`."""
        own = sa.and_(UNSUBSCRIBE_LINKS.c.link_id == link_id, UNSUBSCRIBE_LINKS.c.client_id == client_id)
        first = sa.func.coalesce(UNSUBSCRIBE_LINKS.c.revoked_at, to_micros(self._clock.now()))
        with transaction(self._engine) as connection:
            if connection.execute(sa.update(UNSUBSCRIBE_LINKS).where(own).values(revoked_at=first)).rowcount == 0:
                raise NotFound("the client has no unsubscribe link of this id")

    def purge(self) -> int:
        """Delete the links whose time is over, and say how many."""
        with transaction(self._engine) as connection:
            over = UNSUBSCRIBE_LINKS.c.expires_at <= to_micros(self._clock.now())
            return connection.execute(sa.delete(UNSUBSCRIBE_LINKS).where(over)).rowcount

    def _digest(self, token: str) -> str:
        return keyed_digest(self._key, "unsubscribe-link", token.encode())


def _refused() -> SignInRefused:
    return SignInRefused(
        "the link was used, is older than ten minutes, or was asked for in another browser: ask for a new one here"
    )
