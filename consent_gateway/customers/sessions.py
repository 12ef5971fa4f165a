"""Sessions of customers: begun, found by their token at every call, ended; proves nobody itself.

A session is a row, so ending it ends it everywhere at the next call. Its token is made at sign-in and never before:
a value that somebody planted in a browser is never turned into a session.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.digests import keyed_digest
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.customers.tables import CONFIRMATIONS, CUSTOMER_LINKS, CUSTOMER_SESSIONS, UNSUBSCRIBE_LINKS
from consent_gateway.database import from_micros, to_micros
from consent_gateway.ids import new_id
from consent_gateway.ports import Clock

_FORM = re.compile(r"[A-Za-z0-9_-]{43}")
_RENEW = 10  # a session's idle end is moved when a tenth of the idle time has passed: most calls write nothing


class Assurance(StrEnum):
    """How a customer proved who they are, from strong to weak; closed list."""

    ACCOUNT = "account"  # the retailer's provider said so
    LINK = "link"  # a link mailed to their address, opened in the browser that asked for it
    SCOPED = "scoped"  # holds an unsubscribe link: good for restricting one purpose, for nothing else


@dataclass(frozen=True, slots=True)
class CustomerSession:
    """A customer who is signed in. `purpose` is the one purpose of a scoped session, None for all of them."""

    session_id: str
    data_subject: str
    assurance: Assurance
    signed_in_at: datetime
    purpose: str | None


@dataclass(frozen=True, slots=True)
class Proved:
    """Whom a sign-in proved to be here, and how."""

    data_subject: str
    assurance: Assurance
    purpose: str | None = None


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A session's token as the browser gets it, once, in its cookie. `seconds` is until its absolute end."""

    token: str
    seconds: int

    def __repr__(self) -> str:
        return f"IssuedToken(token=<withheld>, seconds={self.seconds})"


class Sessions:
    """The sessions of customers. `key` keys the stored digests. Safe to share between threads."""

    def __init__(self, engine: sa.Engine, clock: Clock, key: bytes, *, idle: timedelta, longest: timedelta) -> None:
        self._engine = engine
        self._clock = clock
        self._key = key
        self._idle = idle
        self._longest = longest

    def begin(self, proved: Proved, replacing: str | None = None) -> IssuedToken:
        """A fresh session, with its audit entry; the session of the token it replaces is over with it."""
        with transaction(self._engine) as connection:
            return self.begin_in(connection, proved, replacing)

    def begin_in(self, connection: sa.Connection, proved: Proved, replacing: str | None = None) -> IssuedToken:
        """As `begin`, in the transaction in which the proof was used up."""
        now = self._clock.now()
        token, session_id = secrets.token_urlsafe(32), new_id("cs", now)
        if replacing is not None:
            self._delete(connection, replacing)
        connection.execute(
            sa.insert(CUSTOMER_SESSIONS).values(
                token_hash=self._digest(token),
                session_id=session_id,
                data_subject=proved.data_subject,
                assurance=proved.assurance.value,
                purpose=proved.purpose,
                signed_in_at=to_micros(now),
                idle_ends_at=to_micros(now + self._idle),
                ends_at=to_micros(now + self._longest),
            )
        )
        detail = {"session": session_id, "assurance": proved.assurance.value}
        record_in(connection, _entry("sign_in", proved.data_subject, now, proved.purpose, detail))
        return IssuedToken(token, int(self._longest.total_seconds()))

    def resolve(self, token: str) -> CustomerSession | None:
        """Who holds the token, or None where it is unknown, or was idle too long, or is at its absolute end."""
        if _FORM.fullmatch(token) is None:
            return None
        digest, now = self._digest(token), to_micros(self._clock.now())
        found = sa.select(CUSTOMER_SESSIONS).where(
            CUSTOMER_SESSIONS.c.token_hash == digest,
            CUSTOMER_SESSIONS.c.ends_at > now,
            CUSTOMER_SESSIONS.c.idle_ends_at > now,
        )
        with reading(self._engine) as connection:
            row = connection.execute(found).one_or_none()
        if row is None:
            return None
        idle = self._idle // timedelta(microseconds=1)
        if row.idle_ends_at - now <= idle - idle // _RENEW:
            self._keep(digest, now, now + idle)
        return CustomerSession(
            session_id=row.session_id,
            data_subject=row.data_subject,
            assurance=Assurance(row.assurance),
            signed_in_at=from_micros(row.signed_in_at),
            purpose=row.purpose,
        )

    def form_token(self, token: str) -> str:
        """What every form of this session must send back; another page can neither read nor guess it."""
        return keyed_digest(self._key, "customer-form", token.encode())

    def end(self, token: str) -> None:
        """Sign out. A token that is over already stays so."""
        with transaction(self._engine) as connection:
            self._delete(connection, token)

    def dispute(self, session: CustomerSession) -> int:
        """End all sessions and links of the person, who says that it was not them; returns how many ended.

        The dispute is recorded. What was chosen meanwhile stays: the audit entry names the session, and an officer
        judges it.
        """
        now = self._clock.now()
        with transaction(self._engine) as connection:
            ended = self._end_all(connection, session.data_subject, now)
            detail = {"session": session.session_id, "assurance": session.assurance.value, "ended": str(ended)}
            record_in(connection, _entry("not_me", session.data_subject, now, session.purpose, detail))
        return ended

    def dispute_in(self, connection: sa.Connection, data_subject: str) -> None:
        """As `dispute`, for whoever got a link that they did not ask for: no session says who they are."""
        now = self._clock.now()
        ended = self._end_all(connection, data_subject, now)
        record_in(connection, _entry("not_me", data_subject, now, None, {"by": "mailed link", "ended": str(ended)}))

    def purge(self) -> int:
        """Delete the sessions whose time is over, and say how many."""
        now = to_micros(self._clock.now())
        over = sa.or_(CUSTOMER_SESSIONS.c.ends_at <= now, CUSTOMER_SESSIONS.c.idle_ends_at <= now)
        with transaction(self._engine) as connection:
            return connection.execute(sa.delete(CUSTOMER_SESSIONS).where(over)).rowcount

    def _keep(self, digest: str, now: int, until: int) -> None:
        still = sa.and_(CUSTOMER_SESSIONS.c.token_hash == digest, CUSTOMER_SESSIONS.c.idle_ends_at > now)
        with transaction(self._engine) as connection:
            connection.execute(sa.update(CUSTOMER_SESSIONS).where(still).values(idle_ends_at=until))

    def _delete(self, connection: sa.Connection, token: str) -> None:
        gone = sa.delete(CUSTOMER_SESSIONS).where(CUSTOMER_SESSIONS.c.token_hash == self._digest(token))
        for row in connection.execute(gone.returning(CUSTOMER_SESSIONS)).all():
            detail = {"session": row.session_id, "assurance": row.assurance}
            record_in(connection, _entry("sign_out", row.data_subject, self._clock.now(), row.purpose, detail))

    def _end_all(self, connection: sa.Connection, data_subject: str, now: datetime) -> int:
        ended = 0
        for table in (CUSTOMER_SESSIONS, CUSTOMER_LINKS):
            ended += connection.execute(sa.delete(table).where(table.c.data_subject == data_subject)).rowcount
        unused = sa.and_(CONFIRMATIONS.c.data_subject == data_subject, CONFIRMATIONS.c.used_at.is_(None))
        ended += connection.execute(sa.delete(CONFIRMATIONS).where(unused)).rowcount  # a parent's way back stays
        standing = sa.and_(UNSUBSCRIBE_LINKS.c.data_subject == data_subject, UNSUBSCRIBE_LINKS.c.revoked_at.is_(None))
        revoked = sa.update(UNSUBSCRIBE_LINKS).where(standing).values(revoked_at=to_micros(now))
        return ended + connection.execute(revoked).rowcount

    def _digest(self, token: str) -> str:
        return keyed_digest(self._key, "customer-session", token.encode())


def _entry(action: str, data_subject: str, now: datetime, purpose: str | None, detail: dict[str, str]) -> Entry:
    return Entry(
        entry_id=new_id("cse", now),
        kind=EntryKind.CUSTOMER_SESSION,
        at=now,
        action=action,
        data_subject=data_subject,
        purpose=purpose,
        detail=detail,
    )
