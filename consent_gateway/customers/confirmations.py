"""Links by which a mailbox answers what was asked for it: a person's own choice, or a parent's yes; mails nothing.

A link is 256 random bits, good until its time is over and once. Reading it changes nothing; of any number of calls
that use it, the one whose `UPDATE` meets it unused gets it. A second mailing makes a new link and ends the old one,
and never moves the end. Until then the address lies sealed beside it.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from consent_gateway.callers.digests import keyed_digest
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.customers.tables import CONFIRMATIONS
from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import Conflict, NotFound
from consent_gateway.ids import new_id
from consent_gateway.ports import Clock
from consent_gateway.protection.primitives import NONCE_BYTES, bind, gcm_decrypt, gcm_encrypt

MOST_MAILS = 4
"""The first, and how often it may be mailed again."""

_FORM = re.compile(r"[A-Za-z0-9_-]{43}")


class Part(StrEnum):
    """Whose mailbox answers."""

    OWN = "own"
    PARENT = "parent"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a mailbox is asked: whose choice, on which purpose, which kind of yes, with which text, by whom."""

    data_subject: str
    part: Part
    purpose: str
    kind: str
    channel: str
    client_id: str
    notice: str
    notice_version: str
    language: str


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A link as it stands. `sent` counts its mails, `used_at` is None until it was used."""

    confirmation_id: str
    asked: Asked
    created_at: datetime
    expires_at: datetime
    sent: int
    used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Mailed:
    """A link on its way: its token goes into the mail and nowhere else."""

    confirmation: Confirmation
    token: str
    address: str

    def __repr__(self) -> str:
        return f"Mailed(confirmation_id={self.confirmation.confirmation_id!r}, …)"


class ConfirmationLinks:
    """The links. `key` keys the stored digests, `address_key` seals addresses."""

    def __init__(
        self,
        engine: sa.Engine,
        clock: Clock,
        key: bytes,
        address_key: bytes,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._key = key
        self._address_key = address_key
        self._random = random

    def make_in(
        self, connection: sa.Connection, confirmation_id: str, asked: Asked, address: str, expires_at: datetime
    ) -> Mailed:
        """A fresh link to this address."""
        token, now = secrets.token_urlsafe(32), self._clock.now()
        connection.execute(
            sa.insert(CONFIRMATIONS).values(
                confirmation_id=confirmation_id,
                token_hash=self._digest("confirmation-link", token),
                part=asked.part.value,
                data_subject=asked.data_subject,
                purpose=asked.purpose,
                kind=asked.kind,
                channel=asked.channel,
                client_id=asked.client_id,
                notice=asked.notice,
                notice_version=asked.notice_version,
                language=asked.language,
                sealed=self._sealed(confirmation_id, address),
                sent=1,
                created_at=to_micros(now),
                expires_at=to_micros(expires_at),
            )
        )
        return Mailed(Confirmation(confirmation_id, asked, now, expires_at, 1, None), token, address)

    def find(self, token: str) -> Confirmation:
        """What the link asks; changes nothing. Raises `NotFound` for one that is unknown, used, replaced or over."""
        if _FORM.fullmatch(token) is None:
            raise _unknown()
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(CONFIRMATIONS).where(self._good(token))).one_or_none()
        if row is None:
            raise _unknown()
        return _read(row)

    def use_in(self, connection: sa.Connection, token: str) -> Mailed:
        """Use the link up, with whatever else the transaction does. Raises as `find` does."""
        if _FORM.fullmatch(token) is None:
            raise _unknown()
        used = sa.update(CONFIRMATIONS).where(self._good(token)).values(used_at=to_micros(self._clock.now()))
        row = connection.execute(used.returning(CONFIRMATIONS)).one_or_none()
        if row is None:
            raise _unknown()
        return Mailed(_read(row), token, self._opened(row))

    def renew_in(self, connection: sa.Connection, confirmation_id: str, client_id: str) -> Mailed:
        """A new link in place of the old one, which ends here. Raises `NotFound`, `Conflict` after the last mail."""
        token = secrets.token_urlsafe(32)
        open_ = sa.and_(self._own(confirmation_id, client_id), self._unused())
        renewed = (
            sa.update(CONFIRMATIONS)
            .where(open_, CONFIRMATIONS.c.sent < MOST_MAILS)
            .values(token_hash=self._digest("confirmation-link", token), sent=CONFIRMATIONS.c.sent + 1)
        )
        row = connection.execute(renewed.returning(CONFIRMATIONS)).one_or_none()
        if row is None:
            if connection.execute(sa.select(CONFIRMATIONS.c.sent).where(open_)).one_or_none() is None:
                raise NotFound("no open confirmation of this client has this id: ask for a new one")
            raise Conflict(f"it was mailed {MOST_MAILS} times: ask for a new one when the person asks again")
        return Mailed(_read(row), token, self._opened(row))

    def revocable_in(self, connection: sa.Connection, confirmation_id: str, until: datetime) -> str:
        """The token by which a used link's yes can be taken back, any number of times until then."""
        token = secrets.token_urlsafe(32)
        values = {"revoke_hash": self._digest("revocation-link", token), "revoke_until": to_micros(until)}
        one = CONFIRMATIONS.c.confirmation_id == confirmation_id
        connection.execute(sa.update(CONFIRMATIONS).where(one).values(values))
        return token

    def find_revocable(self, token: str) -> Confirmation:
        """The yes that this link takes back; changes nothing. Raises `NotFound`."""
        if _FORM.fullmatch(token) is None:
            raise _unknown()
        good = sa.and_(
            CONFIRMATIONS.c.revoke_hash == self._digest("revocation-link", token),
            CONFIRMATIONS.c.revoke_until > to_micros(self._clock.now()),
        )
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(CONFIRMATIONS).where(good)).one_or_none()
        if row is None:
            raise _unknown()
        return _read(row)

    def of(self, confirmation_id: str, client_id: str) -> Confirmation:
        """A link that this client asked for. Raises `NotFound`."""
        with reading(self._engine) as connection:
            found = sa.select(CONFIRMATIONS).where(self._own(confirmation_id, client_id))
            row = connection.execute(found).one_or_none()
        if row is None:
            raise NotFound("the client asked for no confirmation of this id")
        return _read(row)

    def end(self, confirmation_id: str, client_id: str) -> None:
        """End a link that this client asked for and nobody used. Raises `NotFound`."""
        unused = sa.and_(self._own(confirmation_id, client_id), CONFIRMATIONS.c.used_at.is_(None))
        with transaction(self._engine) as connection:
            if connection.execute(sa.delete(CONFIRMATIONS).where(unused)).rowcount == 0:
                raise NotFound("no open confirmation of this client has this id")

    def purge(self) -> int:
        """Delete the links that nothing can be done with any more, and say how many."""
        now = to_micros(self._clock.now())
        over = sa.and_(
            CONFIRMATIONS.c.expires_at <= now,
            sa.or_(CONFIRMATIONS.c.revoke_until.is_(None), CONFIRMATIONS.c.revoke_until <= now),
        )
        with transaction(self._engine) as connection:
            return connection.execute(sa.delete(CONFIRMATIONS).where(over)).rowcount

    def new_id(self) -> str:
        """The id of the next link: it stands in the request's evidence, which is recorded first."""
        return new_id("cf", self._clock.now())

    def _good(self, token: str) -> sa.ColumnElement[bool]:
        return sa.and_(CONFIRMATIONS.c.token_hash == self._digest("confirmation-link", token), self._unused())

    def _unused(self) -> sa.ColumnElement[bool]:
        now = to_micros(self._clock.now())
        return sa.and_(CONFIRMATIONS.c.used_at.is_(None), CONFIRMATIONS.c.expires_at > now)

    def _own(self, confirmation_id: str, client_id: str) -> sa.ColumnElement[bool]:
        return sa.and_(CONFIRMATIONS.c.confirmation_id == confirmation_id, CONFIRMATIONS.c.client_id == client_id)

    def _digest(self, use: str, token: str) -> str:
        return keyed_digest(self._key, use, token.encode())

    def _sealed(self, confirmation_id: str, address: str) -> bytes:
        bound = bind("confirmation-address/1", confirmation_id)
        return gcm_encrypt(self._address_key, self._random(NONCE_BYTES), address.encode(), bound)

    def _opened(self, row: sa.Row[Any]) -> str:
        bound = bind("confirmation-address/1", row.confirmation_id)
        return gcm_decrypt(self._address_key, row.sealed, bound).decode()


def life_left(confirmation: Confirmation, now: datetime) -> timedelta:
    """How long the link is still good."""
    return max(confirmation.expires_at - now, timedelta(0))


def _read(row: sa.Row[Any]) -> Confirmation:
    asked = Asked(
        row.data_subject,
        Part(row.part),
        row.purpose,
        row.kind,
        row.channel,
        row.client_id,
        row.notice,
        row.notice_version,
        row.language,
    )
    used = None if row.used_at is None else from_micros(row.used_at)
    created, expires = from_micros(row.created_at), from_micros(row.expires_at)
    return Confirmation(row.confirmation_id, asked, created, expires, row.sent, used)


def _unknown() -> NotFound:
    return NotFound("the link is not known, was used, or its time is over: ask for a new one where you signed up")
