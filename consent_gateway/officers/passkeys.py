"""WebAuthn: what an authenticator is asked for and whether it answered it; keeps no challenge and knows no ceremony.

`webauthn` verifies. User verification is required, attestation is not asked for. The relying party's id and origin are
those of the issuer, so that a page elsewhere can get nothing signed. What the library raises is told in one sentence:
which check failed helps an attacker more than an officer.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from sqlalchemy.engine import Connection
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, options_to_json_dict, parse_client_data_json
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from consent_gateway.audit.reidentification_proof import Wrong, public_key
from consent_gateway.callers.transactions import reading
from consent_gateway.errors import AssertionRefused, SettingsRefused
from consent_gateway.officers.tables import OFFICER_PASSKEYS

ALGORITHMS = (
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
)
"""What the offline proof of a re-identification can verify too (`audit.reidentification_proof`)."""

_MALFORMED = (WebAuthnException, Wrong, InvalidSignature, ValueError, KeyError, TypeError, IndexError)


@dataclass(frozen=True, slots=True)
class Passkey:
    """A registered passkey. `public_key` is COSE; `credential_hash` the SHA-256 of the credential id in hex."""

    credential_hash: str
    officer_id: str
    credential_id: bytes
    public_key: bytes
    sign_count: int


@dataclass(frozen=True, slots=True)
class Assertion:
    """An assertion that verified: whose passkey made it, its new count, and the three parts that prove it later."""

    passkey: Passkey
    sign_count: int
    authenticator_data: bytes
    client_data: bytes
    signature: bytes


class RelyingParty:
    """The gateway as WebAuthn knows it. Safe to share between threads."""

    def __init__(self, engine: sa.Engine, issuer: str) -> None:
        parts = urlsplit(issuer)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.rp_id = parts.hostname or ""
        self._engine = engine

    def creation_options(self, challenge: bytes, officer_id: str, name: str) -> dict[str, Any]:
        """Options for `navigator.credentials.create`, ready for JSON; binary members are base64url."""
        options = generate_registration_options(
            rp_id=self.rp_id,
            rp_name="Consent gateway",
            user_name=name,
            user_id=officer_id.encode(),
            challenge=challenge,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            supported_pub_key_algs=list(ALGORITHMS),
        )
        return options_to_json_dict(options)

    def request_options(self, challenge: bytes, credential_ids: tuple[bytes, ...] = ()) -> dict[str, Any]:
        """Options for `navigator.credentials.get`. Without ids any passkey may answer: nobody's name is asked."""
        options = generate_authentication_options(
            rp_id=self.rp_id,
            challenge=challenge,
            allow_credentials=[PublicKeyCredentialDescriptor(id=one) for one in credential_ids],
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return options_to_json_dict(options)

    def registered(self, credential: Mapping[str, Any], challenge: bytes, officer_id: str) -> Passkey:
        """The passkey an authenticator made for this challenge. Raises `AssertionRefused`."""
        try:
            verified = verify_registration_response(
                credential=dict(credential),
                expected_challenge=challenge,
                expected_rp_id=self.rp_id,
                expected_origin=self.origin,
                require_user_verification=True,
                supported_pub_key_algs=list(ALGORITHMS),
            )
            public_key(verified.credential_public_key)  # what cannot be proved offline later is not registered
        except _MALFORMED as error:
            raise _refused() from error
        return Passkey(
            hashlib.sha256(verified.credential_id).hexdigest(),
            officer_id,
            verified.credential_id,
            verified.credential_public_key,
            verified.sign_count,
        )

    def asserted(self, credential: Mapping[str, Any], challenge: bytes) -> Assertion:
        """The assertion, if a registered passkey made it over this challenge. Raises `AssertionRefused`.

        A count that does not grow says that the passkey was copied, and refuses too.
        """
        passkey = self._passkey(credential)
        try:
            response = credential["response"]
            verified = verify_authentication_response(
                credential=dict(credential),
                expected_challenge=challenge,
                expected_rp_id=self.rp_id,
                expected_origin=self.origin,
                credential_public_key=passkey.public_key,
                credential_current_sign_count=passkey.sign_count,
                require_user_verification=True,
            )
            if json.loads(base64url_to_bytes(response["clientDataJSON"]))["challenge"] != bytes_to_base64url(challenge):
                raise ValueError  # the same bytes in another spelling, which the offline proof does not take
            return Assertion(
                passkey,
                verified.new_sign_count,
                base64url_to_bytes(response["authenticatorData"]),
                base64url_to_bytes(response["clientDataJSON"]),
                base64url_to_bytes(response["signature"]),
            )
        except _MALFORMED as error:
            raise _refused() from error

    def of(self, officer_id: str) -> tuple[Passkey, ...]:
        """The officer's passkeys."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                sa.select(OFFICER_PASSKEYS).where(OFFICER_PASSKEYS.c.officer_id == officer_id)
            ).all()
        return tuple(_stored(row) for row in rows)

    def _passkey(self, credential: Mapping[str, Any]) -> Passkey:
        try:
            named = hashlib.sha256(base64url_to_bytes(credential["rawId"])).hexdigest()
        except _MALFORMED as error:
            raise _refused() from error
        with reading(self._engine) as connection:
            row = connection.execute(
                sa.select(OFFICER_PASSKEYS).where(OFFICER_PASSKEYS.c.credential_hash == named)
            ).one_or_none()
        if row is None:
            raise _refused()
        return _stored(row)


def refuse_address(issuer: str) -> None:
    """Raise `SettingsRefused` where the issuer is an IP address, for which no browser makes a passkey."""
    host = urlsplit(issuer).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return
    raise SettingsRefused(
        f"passkeys need a host name, but the ISSUER's is the address `{host}`: set CONSENT_GATEWAY_ISSUER to the name "
        "officers' browsers use, for example http://localhost:8080"
    )


def challenge_of(credential: Mapping[str, Any]) -> bytes:
    """The challenge a credential says it answers. Raises `AssertionRefused` where it cannot be read."""
    try:
        challenge: bytes = parse_client_data_json(
            base64url_to_bytes(credential["response"]["clientDataJSON"])
        ).challenge
    except _MALFORMED as error:
        raise _refused() from error
    return challenge


def store(connection: Connection, passkey: Passkey, now: int) -> None:
    """Keep a new passkey. Raises `IntegrityError` for a credential id that is registered already."""
    connection.execute(
        sa.insert(OFFICER_PASSKEYS).values(
            credential_hash=passkey.credential_hash,
            officer_id=passkey.officer_id,
            credential_id=passkey.credential_id,
            public_key=passkey.public_key,
            sign_count=passkey.sign_count,
            created_at=now,
        )
    )


def count(connection: Connection, assertion: Assertion) -> None:
    """Move the passkey's count on, in the assertion's own transaction. Raises `AssertionRefused` if it moved since."""
    passkey = assertion.passkey
    moved = connection.execute(
        sa.update(OFFICER_PASSKEYS)
        .where(
            OFFICER_PASSKEYS.c.credential_hash == passkey.credential_hash,
            OFFICER_PASSKEYS.c.sign_count == passkey.sign_count,
        )
        .values(sign_count=assertion.sign_count)
    )
    if moved.rowcount != 1:
        raise _refused()


def _stored(row: sa.Row[Any]) -> Passkey:
    return Passkey(
        row.credential_hash, row.officer_id, bytes(row.credential_id), bytes(row.public_key), int(row.sign_count)
    )


def _refused() -> AssertionRefused:
    return AssertionRefused("the passkey did not answer as it must: ask for new options and answer those")
