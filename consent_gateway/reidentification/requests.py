"""Takes a request to turn tokens back, shows it, and halts an officer who asks too often; turns nothing back.

Nothing of a token is looked up here: whether it stands for anyone is told only after the approval, or never.
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import (
    FieldFault,
    InputRefused,
    NotFound,
    OfficerHalted,
    OfficerNotPermitted,
    ProtectionRefused,
    UnknownField,
    UnknownPurpose,
)
from consent_gateway.ids import new_id
from consent_gateway.officers.registry import Role
from consent_gateway.officers.sessions import SignedIn
from consent_gateway.officers.tables import OFFICERS
from consent_gateway.policy import Policies
from consent_gateway.policy.reidentification import Terms
from consent_gateway.ports import Clock
from consent_gateway.protection.primitives import NONCE_BYTES, bind, expand, gcm_decrypt, gcm_encrypt
from consent_gateway.protection.tokens import TokenKind, parse
from consent_gateway.reidentification.canonical import Ask, AskedToken, asked_entry, canonical_request
from consent_gateway.reidentification.tables import REIDENTIFICATIONS
from consent_gateway.vocabulary import COMPANY

_HOUR = timedelta(hours=1)
_SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it stands. `state` is open, approved, denied, told, refused or, by the clock, expired."""

    request_id: str
    requester: str
    canonical: str
    state: str
    until: datetime
    decided_by: str | None
    sealed: bytes | None

    @property
    def members(self) -> dict[str, Any]:
        """The members of the canonical request."""
        members: dict[str, Any] = json.loads(self.canonical)
        return members

    @property
    def alone(self) -> bool:
        """Whether the requester's own signature is enough."""
        return bool(self.members["alone"] == "yes")


@dataclass(frozen=True, slots=True)
class Payload:
    """What the log and the signature hold only as digests."""

    salt: bytes
    text: str
    tokens: tuple[AskedToken, ...]


class Requests:
    """Requests of officers. `key` seals tokens and text at rest. Safe to share between threads."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        clock: Clock,
        policies: Policies,
        key: bytes,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._policies = policies
        self._key = key
        self._random = random

    def ask(self, officer: SignedIn, ask: Ask) -> Asked:
        """Take a request; it waits for its signature.

        Raises `InputRefused` for what the policy does not know or can never be turned back, `OfficerNotPermitted`
        where no terms are in force, and `OfficerHalted`, which is recorded as an alarm, for one too many in an hour.
        """
        now = self._clock.now()
        terms = self._checked(ask, now.date())
        request_id, salt = new_id("rid", now), self._random(_SALT_BYTES)
        request = canonical_request(
            ask,
            terms,
            request_id=request_id,
            requester=officer.officer_id,
            now=now,
            revision=self._policies.revision,
            salt=salt,
        )
        until = now + timedelta(minutes=terms.open_minutes)
        row = {
            "request_id": request_id,
            "requester": officer.officer_id,
            "asked_at": to_micros(now),
            "canonical": request,
            "sealed": self._sealed(request_id, salt, ask),
            "state": "open",
            "until": to_micros(until),
        }
        with transaction(self._engine) as connection:
            halted = self._halted(connection, officer.officer_id, terms, now)
            if not halted:
                connection.execute(sa.insert(REIDENTIFICATIONS).values(row))
                record_in(connection, asked_entry(request, now))
        if halted:  # raised after the commit: the alarm stands whatever becomes of the call
            raise OfficerHalted("you are halted after too many requests in an hour: an operator clears the alarm")
        return self.get(officer, request_id)

    def get(self, officer: SignedIn, request_id: str) -> Asked:
        """The request, for its requester and for whoever may approve. Raises `NotFound` for everybody else."""
        with reading(self._engine) as connection:
            asked = asked_in(connection, request_id, self._clock.now())
        theirs = asked is not None and asked.requester == officer.officer_id
        if asked is None or not (theirs or Role.APPROVE_REIDENTIFICATION in officer.roles):
            raise not_found()
        return asked

    def payload(self, asked: Asked) -> Payload | None:
        """Tokens, text and salt of a request that is not over; None afterwards."""
        if asked.sealed is None or asked.state == "expired":
            return None
        raw = gcm_decrypt(self._sealing_key(asked.request_id), asked.sealed, bind(asked.request_id))
        given = json.loads(raw)
        tokens = tuple(AskedToken(*one) for one in given["tokens"])
        return Payload(bytes.fromhex(given["salt"]), given["text"], tokens)

    def purge(self) -> int:
        """Empty what is sealed of requests whose time is over, and say of how many."""
        with transaction(self._engine) as connection:
            result = connection.execute(
                sa.update(REIDENTIFICATIONS)
                .where(
                    REIDENTIFICATIONS.c.until <= to_micros(self._clock.now()), REIDENTIFICATIONS.c.sealed.is_not(None)
                )
                .values(sealed=None)
            )
        return result.rowcount

    def _checked(self, ask: Ask, day: date) -> Terms:
        policies = self._policies
        rules = policies.documents.reidentification
        terms = rules.on(day)
        if terms is None:
            raise OfficerNotPermitted("no terms of re-identification are in force: see policies/reidentification.yaml")
        if ask.purpose not in policies.purposes:
            raise UnknownPurpose("the purpose is not one of the policy's", (FieldFault("/purpose", "unknown purpose"),))
        if ask.recipient != COMPANY and ask.recipient not in policies.recipients:
            raise InputRefused("the recipient is unknown", (FieldFault("/recipient", "not one of the policy's"),))
        if ask.reason not in rules.reasons:
            words = ", ".join(sorted(rules.reasons))
            raise InputRefused(f"the reason is unknown: use one of {words}", (FieldFault("/reason", "unknown"),))
        if not 1 <= len(ask.tokens) <= terms.most_tokens:
            fault = FieldFault("/tokens", f"must be 1 to {terms.most_tokens}")
            raise InputRefused(f"a request is for 1 to {terms.most_tokens} tokens: split it", (fault,))
        for at, one in enumerate(ask.tokens):
            self._check_token(one, f"/tokens/{at}")
        return terms

    def _check_token(self, one: AskedToken, pointer: str) -> None:
        if one.field is not None and one.field not in self._policies.catalogue.fields:
            fault = FieldFault(f"{pointer}/field", "not a field of the catalogue")
            raise UnknownField("a field is not in the catalogue", (fault,))
        try:
            kind = parse(one.text).kind
        except ProtectionRefused:
            return  # a token that keeps the form of its value says nothing of itself
        if kind is TokenKind.PSEUDONYM_OF_VALUE:
            fault = FieldFault(f"{pointer}/token", "one-way")
            raise InputRefused("a pseudonym of a value is one-way: nothing turns it back", (fault,))

    def _halted(self, connection: Connection, officer_id: str, terms: Terms, now: datetime) -> bool:
        """Whether the officer may not ask; one request too many halts them, here and now."""
        officer = connection.execute(
            sa.select(OFFICERS.c.alarm_at, OFFICERS.c.alarm_cleared_at)
            .where(OFFICERS.c.officer_id == officer_id, OFFICERS.c.revoked_at.is_(None))
            .with_for_update()  # two requests of one officer count each other
        ).one_or_none()
        if officer is None or officer.alarm_at is not None:
            return True
        since = max(to_micros(now - _HOUR), officer.alarm_cleared_at or 0)
        asked: int = connection.execute(
            sa.select(sa.func.count())
            .select_from(REIDENTIFICATIONS)
            .where(REIDENTIFICATIONS.c.requester == officer_id, REIDENTIFICATIONS.c.asked_at > since)
        ).scalar_one()
        if asked < terms.requests_per_hour:
            return False
        connection.execute(
            sa.update(OFFICERS).where(OFFICERS.c.officer_id == officer_id).values(alarm_at=to_micros(now))
        )
        detail = {"officer": officer_id, "asked": str(asked), "requests_per_hour": str(terms.requests_per_hour)}
        entry = Entry(new_id("rie", now), EntryKind.REIDENTIFICATION, now, action="alarm", detail=detail)
        record_in(connection, entry)
        return True

    def _sealed(self, request_id: str, salt: bytes, ask: Ask) -> bytes:
        tokens = [[one.text, one.field, one.key_id, one.transform] for one in ask.tokens]
        raw = json.dumps({"salt": salt.hex(), "text": ask.text, "tokens": tokens}).encode()
        return gcm_encrypt(self._sealing_key(request_id), self._random(NONCE_BYTES), raw, bind(request_id))

    def _sealing_key(self, request_id: str) -> bytes:
        return expand(self._key, bind("reidentification/1", request_id))


def asked_in(connection: Connection, request_id: str, now: datetime) -> Asked | None:
    """The request as it stands at this moment; None if unknown."""
    row = connection.execute(
        sa.select(REIDENTIFICATIONS).where(REIDENTIFICATIONS.c.request_id == request_id)
    ).one_or_none()
    if row is None:
        return None
    over = row.state in ("open", "approved") and row.until <= to_micros(now)
    return Asked(
        request_id=row.request_id,
        requester=row.requester,
        canonical=row.canonical,
        state="expired" if over else row.state,
        until=from_micros(row.until),
        decided_by=row.decided_by,
        sealed=None if row.sealed is None else bytes(row.sealed),
    )


def not_found() -> NotFound:
    """The one answer for a request that is not there and one that is not the officer's to know."""
    return NotFound("no request of re-identification has this id, or it is not yours to see")
