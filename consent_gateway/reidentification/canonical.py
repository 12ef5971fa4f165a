"""A request in the one form that is signed, stored and logged; pure, and reads nothing.

The canonical request is JSON by RFC 8785 whose values are ASCII strings and one list of them, so that sorting keys is
all there is to do. Tokens and text stand in it as salted digests: a short token could be found again by trying all.
The format is written down in docs/formats/reidentification.md.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from consent_gateway.audit.entry import Entry, EntryKind, spread, written_time
from consent_gateway.ids import new_id
from consent_gateway.officers.passkeys import Assertion
from consent_gateway.policy.reidentification import Terms
from consent_gateway.protection.primitives import bind

FORMAT = "reidentification/1"


@dataclass(frozen=True, slots=True)
class AskedToken:
    """One token to be turned back. The other members are for tokens whose text does not say them."""

    text: str
    field: str | None = None
    key_id: str | None = None
    transform: str | None = None

    def parts(self) -> tuple[str, str, str, str]:
        """What a commitment to this token covers, nothing being the empty string."""
        return (self.text, self.field or "", self.key_id or "", self.transform or "")

    def __repr__(self) -> str:
        return "AskedToken(text=<withheld>)"


@dataclass(frozen=True, slots=True)
class Ask:
    """What an officer asks for. `text` is free and may hold personal data."""

    tokens: tuple[AskedToken, ...]
    purpose: str
    recipient: str
    reason: str
    text: str
    case_id: str

    def __repr__(self) -> str:
        return f"Ask(purpose={self.purpose!r}, reason={self.reason!r}, tokens={len(self.tokens)})"


def commitment(salt: bytes, label: str, *parts: str | bytes) -> str:
    """SHA-256 in hex over salt, label and parts, each with its length: who holds all of them can show what it was."""
    return hashlib.sha256(bind(salt, label, *parts)).hexdigest()


def canonical_request(
    ask: Ask, terms: Terms, *, request_id: str, requester: str, now: datetime, revision: str, salt: bytes
) -> str:
    """The canonical request."""
    return canonical(
        {
            "alone": "no" if terms.needs_second_person(ask.purpose, ask.recipient) else "yes",
            "at": written_time(now),
            "case_id": ask.case_id,
            "format": FORMAT,
            "grant_minutes": str(terms.grant_minutes),
            "id": request_id,
            "most_tokens": str(terms.most_tokens),
            "purpose": ask.purpose,
            "reason": ask.reason,
            "recipient": ask.recipient,
            "requester": requester,
            "revision": revision,
            "text_sha256": commitment(salt, "text", ask.text),
            "tokens": [commitment(salt, "token", *one.parts()) for one in ask.tokens],
        }
    )


def canonical(members: Mapping[str, Any] | Sequence[Any]) -> str:
    """JSON by RFC 8785 for values without numbers other than whole ones."""
    return json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def challenge_of(request: str) -> bytes:
    """What an approver's passkey signs: the SHA-256 of the canonical request."""
    return hashlib.sha256(request.encode()).digest()


def asked_entry(request: str, now: datetime) -> Entry:
    """The entry of a request: its members, from which the canonical request can be rebuilt."""
    members = json.loads(request)
    named = ("alone", "case_id", "format", "grant_minutes", "most_tokens", "reason", "requester", "text_sha256")
    tokens = {f"token_{at:03d}": digest for at, digest in enumerate(members["tokens"], 1)}
    return Entry(
        members["id"],
        EntryKind.REIDENTIFICATION,
        now,
        purpose=members["purpose"],
        recipient=members["recipient"],
        action="request",
        revision=members["revision"],
        detail={name: members[name] for name in named} | tokens | _hash(request),
    )


def approved_entry(request: str, officer_id: str, assertion: Assertion, at: datetime) -> Entry:
    """The entry of an approval, with the assertion whole, its parts as base64url."""
    parts: dict[str, str] = {}
    for name in ("authenticator_data", "client_data", "signature"):
        raw: bytes = getattr(assertion, name)
        parts |= spread(name, base64.urlsafe_b64encode(raw).rstrip(b"=").decode())
    detail = {"credential_sha256": assertion.passkey.credential_hash, **parts}
    return later_entry("approve", request, officer_id, at, **detail)


def later_entry(
    action: str, request: str, officer_id: str, now: datetime, outcome: str | None = None, **detail: str
) -> Entry:
    """An entry of what happened to a request after it was made; it refers to the request's own."""
    return Entry(
        new_id("rie", now),
        EntryKind.REIDENTIFICATION,
        now,
        action=action,
        outcome=outcome,
        reference=json.loads(request)["id"],
        detail={"officer": officer_id, **detail} | _hash(request),
    )


def _hash(request: str) -> dict[str, str]:
    return {"request_sha256": challenge_of(request).hex()}
