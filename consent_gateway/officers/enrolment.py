"""An officer's first ceremony: a one-time code becomes a passkey; nothing else ever does.

The options are bound to the code, the code is spent in the transaction that keeps the passkey, and the public key
goes into the log with it: whoever holds the log can verify later what that passkey signed.
"""

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, spread
from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.database import to_micros
from consent_gateway.errors import AssertionRefused
from consent_gateway.officers import passkeys
from consent_gateway.officers.challenges import Challenges
from consent_gateway.officers.passkeys import Passkey, RelyingParty
from consent_gateway.officers.registry import Officers, officer_entry, officer_in
from consent_gateway.officers.tables import OFFICER_CODES, OFFICERS
from consent_gateway.ports import Clock


class Enrolment:
    """Turns enrolment codes into passkeys. Safe to share between threads."""

    def __init__(
        self, engine: sa.Engine, clock: Clock, officers: Officers, party: RelyingParty, challenges: Challenges
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._officers = officers
        self._party = party
        self._challenges = challenges

    def options(self, code: str) -> dict[str, Any]:
        """What `navigator.credentials.create` is to be given. Raises `AssertionRefused` for a code that is no good."""
        officer_id, name = self._holder(code)
        return self._party.creation_options(self._challenges.make(self._about(code)), officer_id, name)

    def complete(self, code: str, credential: Mapping[str, Any]) -> str:
        """Keep the passkey, spend the code, and return the officer's id. Raises `AssertionRefused`."""
        officer_id, _name = self._holder(code)
        challenge = passkeys.challenge_of(credential)
        if not self._challenges.is_ours(challenge, self._about(code)):
            raise _refused()
        made = self._party.registered(credential, challenge, officer_id)
        now = self._clock.now()
        try:
            with transaction(self._engine) as connection:
                officer = officer_in(connection, officer_id, held=True)
                spent = connection.execute(
                    sa.delete(OFFICER_CODES).where(
                        OFFICER_CODES.c.code_hash == self._officers.code_digest(code),
                        OFFICER_CODES.c.expires_at > to_micros(now),
                    )
                )
                if spent.rowcount != 1 or officer is None:
                    raise _refused()
                passkeys.store(connection, made, to_micros(now))
                record_in(connection, self._entry(made, now))
        except sa.exc.IntegrityError as error:
            raise _refused() from error
        return officer_id

    def _holder(self, code: str) -> tuple[str, str]:
        with reading(self._engine) as connection:
            row = connection.execute(
                sa.select(OFFICERS.c.officer_id, OFFICERS.c.name)
                .join_from(OFFICER_CODES, OFFICERS, OFFICERS.c.officer_id == OFFICER_CODES.c.officer_id)
                .where(
                    OFFICER_CODES.c.code_hash == self._officers.code_digest(code),
                    OFFICER_CODES.c.expires_at > to_micros(self._clock.now()),
                    OFFICERS.c.revoked_at.is_(None),
                )
            ).one_or_none()
        if row is None:
            raise _refused()
        return row.officer_id, row.name

    def _about(self, code: str) -> str:
        return f"enrolment {self._officers.code_digest(code)}"

    def _entry(self, made: Passkey, now: datetime) -> Entry:
        encoded = base64.urlsafe_b64encode(made.public_key).rstrip(b"=").decode()
        return officer_entry(
            "enrol",
            made.officer_id,
            now,
            credential_sha256=made.credential_hash,
            public_key_sha256=hashlib.sha256(made.public_key).hexdigest(),
            rp_id=self._party.rp_id[:256],
            origin=self._party.origin[:256],
            **spread("public_key", encoded),
        )


def _refused() -> AssertionRefused:
    return AssertionRefused("the enrolment code or the passkey is no good: ask the operator for a new code")
