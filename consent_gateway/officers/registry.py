"""Officers and what each may do: added, listed and revoked by an operator; verifies no credential.

Every change is an audit entry in the change's own transaction, with the officer's id and never the name, so that
the log alone tells who held which role when.
"""

import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.digests import keyed_digest
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import Conflict, InputRefused, NotFound
from consent_gateway.ids import new_id
from consent_gateway.officers.tables import OFFICER_CODES, OFFICER_PASSKEYS, OFFICER_SESSIONS, OFFICERS
from consent_gateway.ports import Clock

CODE_LIFE = timedelta(minutes=30)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,63}")


class Role(StrEnum):
    """What an officer may do; closed list."""

    OFFICER = "officer"  # the console: requests, clocks, explanations
    AUDITOR = "auditor"
    OPERATOR = "operator"
    POLICY_EDITOR = "policy_editor"
    REIDENTIFY = "reidentify"
    APPROVE_REIDENTIFICATION = "approve_reidentification"


@dataclass(frozen=True, slots=True)
class Officer:
    """A registered officer. `alarm_at` is when a burst halted them; `passkeys` is how many they have."""

    officer_id: str
    name: str
    roles: frozenset[Role]
    created_at: datetime
    revoked_at: datetime | None
    alarm_at: datetime | None
    passkeys: int


class Officers:
    """The officers. `key` keys the stored digest of their enrolment codes."""

    def __init__(self, engine: sa.Engine, clock: Clock, key: bytes) -> None:
        self._engine = engine
        self._clock = clock
        self._key = key

    def add(self, name: str, roles: Iterable[Role]) -> tuple[Officer, str]:
        """Register an officer; returns them with the enrolment code, shown once and good for 30 minutes.

        Raises `InputRefused` for a name or roles that do not stand, `Conflict` for a name that is or was in use.
        """
        granted = frozenset(roles)
        if _NAME.fullmatch(name) is None:
            raise InputRefused("an officer's name must be 2 to 64 lower-case letters, digits, `.`, `_` or `-`")
        if not granted:
            raise InputRefused(f"an officer needs one or more roles of {', '.join(Role)}")
        now = self._clock.now()
        officer = Officer(new_id("ofc", now), name, granted, now, None, None, 0)
        row = {
            "officer_id": officer.officer_id,
            "name": name,
            "roles": json.dumps(sorted(granted)),
            "created_at": to_micros(now),
        }
        try:
            with transaction(self._engine) as connection:
                connection.execute(sa.insert(OFFICERS).values(row))
                record_in(connection, officer_entry("add", officer.officer_id, now, roles=" ".join(sorted(granted))))
                code = self._new_code(connection, officer.officer_id, now)
        except sa.exc.IntegrityError as error:
            raise Conflict(f"the officer's name `{name}` is in use or was: choose another") from error
        return officer, code

    def all(self) -> tuple[Officer, ...]:
        """Every officer, revoked ones too, by name."""
        with reading(self._engine) as connection:
            rows = connection.execute(_select().order_by(OFFICERS.c.name)).all()
        return tuple(map(_officer, rows))

    def get(self, officer_id: str) -> Officer | None:
        """The officer of that id who is not revoked, or None."""
        with reading(self._engine) as connection:
            return officer_in(connection, officer_id)

    def revoke(self, name: str) -> datetime:
        """End an officer, their sessions and open codes; returns when they were first revoked. Raises `NotFound`."""
        now = self._clock.now()
        with transaction(self._engine) as connection:
            found = self._named(connection, name)
            if found.revoked_at is not None:
                return found.revoked_at
            of = found.officer_id
            connection.execute(sa.update(OFFICERS).where(OFFICERS.c.officer_id == of).values(revoked_at=to_micros(now)))
            connection.execute(sa.delete(OFFICER_SESSIONS).where(OFFICER_SESSIONS.c.officer_id == of))
            connection.execute(sa.delete(OFFICER_CODES).where(OFFICER_CODES.c.officer_id == of))
            record_in(connection, officer_entry("revoke", of, now))
        return now

    def clear_alarm(self, name: str) -> None:
        """Let an officer go on whom a burst of re-identifications halted. Raises `NotFound`; `Conflict` if none did."""
        now = self._clock.now()
        with transaction(self._engine) as connection:
            found = self._named(connection, name)
            if found.alarm_at is None:
                raise Conflict(f"no alarm stands against `{name}`: see `officers list`")
            connection.execute(
                sa.update(OFFICERS)
                .where(OFFICERS.c.officer_id == found.officer_id)
                .values(alarm_at=None, alarm_cleared_at=to_micros(now))
            )
            record_in(connection, officer_entry("clear_alarm", found.officer_id, now))

    def code_digest(self, code: str) -> str:
        """The digest under which a code is kept."""
        return keyed_digest(self._key, "officer-code", code.encode())

    def purge(self) -> int:
        """Delete every expired code and session, and say how many."""
        now, gone = to_micros(self._clock.now()), 0
        with transaction(self._engine) as connection:
            for table in (OFFICER_CODES, OFFICER_SESSIONS):
                gone += connection.execute(sa.delete(table).where(table.c.expires_at <= now)).rowcount
        return gone

    def _new_code(self, connection: Connection, officer_id: str, now: datetime) -> str:
        code = f"gw_oc_{secrets.token_urlsafe(24)}"  # 192 bits: guessing needs no other bound
        connection.execute(
            sa.insert(OFFICER_CODES).values(
                code_hash=self.code_digest(code), officer_id=officer_id, expires_at=to_micros(now + CODE_LIFE)
            )
        )
        return code

    def _named(self, connection: Connection, name: str) -> Officer:
        row = connection.execute(_select().where(OFFICERS.c.name == name)).one_or_none()
        if row is None:
            raise NotFound(f"there is no officer `{name}`: see `officers list`")
        return _officer(row)


def officer_in(connection: Connection, officer_id: str, *, held: bool = False) -> Officer | None:
    """The officer of that id who is not revoked, or None.

    With `held` they stay so until the transaction ends: a revocation waits, and stands behind it in the log too.
    """
    statement = _select().where(OFFICERS.c.officer_id == officer_id, OFFICERS.c.revoked_at.is_(None))
    if held:
        statement = statement.with_for_update(read=True, of=OFFICERS)
    row = connection.execute(statement).one_or_none()
    return None if row is None else _officer(row)


def officer_entry(action: str, officer_id: str, now: datetime, **detail: str) -> Entry:
    """The audit entry of something that happened to an officer's registration."""
    words = {"officer": officer_id, **detail}
    return Entry(new_id("ofe", now), EntryKind.OFFICER, now, action=action, detail=words)


def _select() -> sa.Select[Any]:
    held = (
        sa.select(sa.func.count())
        .select_from(OFFICER_PASSKEYS)
        .where(OFFICER_PASSKEYS.c.officer_id == OFFICERS.c.officer_id)
        .scalar_subquery()
    )
    return sa.select(OFFICERS, held.label("passkeys"))


def _officer(row: sa.Row[Any]) -> Officer:
    return Officer(
        officer_id=row.officer_id,
        name=row.name,
        roles=frozenset(map(Role, json.loads(row.roles))),
        created_at=from_micros(row.created_at),
        revoked_at=None if row.revoked_at is None else from_micros(row.revoked_at),
        alarm_at=None if row.alarm_at is None else from_micros(row.alarm_at),
        passkeys=row.passkeys,
    )
