"""The signature under a request: a second person's passkey over its SHA-256, or a refusal; turns nothing back.

Where the policy lets one person act alone the requester signs: every grant rests on a signature over exactly what
was asked for, and nobody can be said to have approved what they did not see.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.database import to_micros
from consent_gateway.errors import AssertionRefused, Conflict, OfficerNotPermitted
from consent_gateway.officers import passkeys
from consent_gateway.officers.passkeys import RelyingParty
from consent_gateway.officers.registry import Role, officer_in
from consent_gateway.officers.sessions import SignedIn
from consent_gateway.ports import Clock
from consent_gateway.reidentification.canonical import approved_entry, challenge_of, later_entry
from consent_gateway.reidentification.requests import Asked, asked_in, not_found
from consent_gateway.reidentification.tables import REIDENTIFICATIONS


class Approvals:
    """Approves and denies requests. Safe to share between threads."""

    def __init__(self, engine: sa.Engine, clock: Clock, party: RelyingParty) -> None:
        self._engine = engine
        self._clock = clock
        self._party = party

    def options(self, officer: SignedIn, request_id: str) -> tuple[Asked, dict[str, Any]]:
        """The request to be read before signing, and what `navigator.credentials.get` is to be given.

        Raises `OfficerNotPermitted` for who may not sign it, `Conflict` where it is no longer open.
        """
        with reading(self._engine) as connection:
            asked = self._open(connection, officer, request_id)
        own = tuple(one.credential_id for one in self._party.of(officer.officer_id))
        return asked, self._party.request_options(challenge_of(asked.canonical), own)

    def approve(self, officer: SignedIn, request_id: str, credential: Mapping[str, Any]) -> Asked:
        """Approve by an assertion over this very request; the grant then lasts as its terms say.

        Raises as `options` does, and `AssertionRefused`; of several approvals at once exactly one stands.
        """
        with reading(self._engine) as connection:
            asked = self._open(connection, officer, request_id)
        assertion = self._party.asserted(credential, challenge_of(asked.canonical))
        if assertion.passkey.officer_id != officer.officer_id:
            raise AssertionRefused("the passkey is another officer's: sign with your own")
        now = self._clock.now()
        until = now + timedelta(minutes=int(asked.members["grant_minutes"]))
        with transaction(self._engine) as connection:
            self._open(connection, officer, request_id, held=True)  # once more: it may have been decided since
            passkeys.count(connection, assertion)
            self._decide(connection, request_id, officer, ("open",), state="approved", until=to_micros(until))
            record_in(connection, approved_entry(asked.canonical, officer.officer_id, assertion, now))
        return self._told(request_id)

    def deny(self, officer: SignedIn, request_id: str) -> Asked:
        """Refuse a request, for good; its requester may withdraw it so too. Raises `NotFound`, `Conflict`."""
        now = self._clock.now()
        with transaction(self._engine) as connection:
            present = officer_in(connection, officer.officer_id, held=True)
            asked = asked_in(connection, request_id, now)
            theirs = asked is not None and asked.requester == officer.officer_id
            if asked is None or present is None or not (theirs or Role.APPROVE_REIDENTIFICATION in present.roles):
                raise not_found()
            if asked.state not in ("open", "approved"):
                raise _decided(asked)
            before = ("open", "approved")
            self._decide(connection, request_id, officer, before, state="denied", sealed=None, ended_at=to_micros(now))
            record_in(connection, later_entry("deny", asked.canonical, officer.officer_id, now))
        return self._told(request_id)

    def _open(self, connection: Connection, officer: SignedIn, request_id: str, *, held: bool = False) -> Asked:
        """The request, if it is open and this officer may sign it, by what they hold now."""
        asked = asked_in(connection, request_id, self._clock.now())
        present = officer_in(connection, officer.officer_id, held=held)
        roles = frozenset() if present is None else present.roles
        theirs = asked is not None and asked.requester == officer.officer_id
        if asked is None or not (theirs or Role.APPROVE_REIDENTIFICATION in roles):
            raise not_found()
        if asked.alone != theirs or (theirs and Role.REIDENTIFY not in roles):
            who = "its requester signs it alone" if asked.alone else "another person must approve it"
            raise OfficerNotPermitted(f"you may not approve this request: {who}")
        if asked.state != "open":
            raise _decided(asked)
        return asked

    def _decide(
        self, connection: Connection, request_id: str, officer: SignedIn, before: tuple[str, ...], **values: Any
    ) -> None:
        changed = connection.execute(
            sa.update(REIDENTIFICATIONS)
            .where(REIDENTIFICATIONS.c.request_id == request_id, REIDENTIFICATIONS.c.state.in_(before))
            .values(decided_by=officer.officer_id, decided_at=to_micros(self._clock.now()), **values)
        )
        if changed.rowcount != 1:
            raise Conflict("the request was decided in between: read it again")

    def _told(self, request_id: str) -> Asked:
        with reading(self._engine) as connection:
            asked = asked_in(connection, request_id, self._clock.now())
        if asked is None:
            raise not_found()
        return asked


def _decided(asked: Asked) -> Conflict:
    return Conflict(f"the request is {asked.state} and can no longer be decided: make a new one")
