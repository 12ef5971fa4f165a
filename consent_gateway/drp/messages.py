"""Opens a signed message and checks it in the protocol's order (3.07); pure: knows no agent but the one given.

A message is base64 of a 64-byte Ed25519 signature and the JSON that it signs. One text stands for one message: base64
that could be written in another way is refused, so no bit of what was sent can change unnoticed.
"""

import binascii
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from consent_gateway.callers.jose import strict_json
from consent_gateway.drp.directory import Agent
from consent_gateway.errors import CallerNotPermitted, FieldFault, InputRefused

MOST_BYTES = 32 * 1024
"""Of a body, as it comes."""

LONGEST_WINDOW = timedelta(minutes=15)
"""From `issued-at` to `expires-at`. The protocol recommends ten; agents of earlier versions sign for fifteen."""

VERSIONS = frozenset({"1.0", "0.9.4", "0.9.3"})
"""Versions of the protocol whose messages are alike."""

_SIGNATURE = 64
_DEEPEST = 8
_ENVELOPE = ("agent-id", "business-id", "issued-at", "expires-at")


@dataclass(frozen=True, slots=True)
class Message:
    """What an agent signed, proved to be from it. `digest` is SHA-256 of the signed bytes, in hex."""

    claims: Mapping[str, Any]
    digest: str
    expires_at: datetime | None = None


def opened(body: bytes, agent: Agent) -> Message:
    """The message in a body, signed by this agent. Raises `InputRefused` and `CallerNotPermitted`."""
    signed = _decoded(body)
    signature, message = signed[:_SIGNATURE], signed[_SIGNATURE:]
    try:
        Ed25519PublicKey.from_public_bytes(agent.key).verify(signature, message)
    except InvalidSignature as error:
        raise CallerNotPermitted("the signature is not this agent's: sign with the key of the directory") from error
    return Message(_claims(message), sha256(message).hexdigest())


def for_us(message: Message, agent: Agent, business_id: str, now: datetime) -> Message:
    """The message, proved to be from this agent to us and of this moment. Raises as `opened`."""
    claims = message.claims
    if claims.get("agent-id") != agent.agent_id:
        raise CallerNotPermitted("`agent-id` is not the agent that the token was given to")
    if claims.get("business-id") != business_id:
        raise CallerNotPermitted("`business-id` is not ours: the message was meant for somebody else")
    issued = _moment(claims, "issued-at")
    if now <= issued:
        raise _refused("/issued-at", "the message was issued in the future: set the clock right and sign again")
    expires = _moment(claims, "expires-at")
    if now >= expires:
        raise _refused("/expires-at", "the message has expired: sign again")
    if expires - issued > LONGEST_WINDOW:
        minutes = int(LONGEST_WINDOW.total_seconds()) // 60
        raise _refused("/expires-at", f"the message is good for longer than {minutes} minutes: sign for less")
    version = claims.get("drp.version")
    if version is not None and not (isinstance(version, str) and version in VERSIONS):
        raise _refused("/drp.version", f"the version is not one of {', '.join(sorted(VERSIONS))}")
    return Message(claims, message.digest, expires)


def names_its_parties(message: Message) -> bool:
    """Whether a message says from whom, to whom and when it is; only one to revoke a request may leave it out."""
    return any(name in message.claims for name in _ENVELOPE)


def _decoded(body: bytes) -> bytes:
    given = body.rstrip(b"\r\n")
    try:
        signed = b64decode(given, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputRefused("the body is not base64: send the signature and the JSON in one, encoded") from error
    if len(given) > MOST_BYTES or b64encode(signed) != given:
        raise InputRefused("the body is not base64 as RFC 4648 writes it, in one line, with its padding")
    if len(signed) <= _SIGNATURE:
        raise InputRefused("the body is too short to hold a signature and what it signs")
    return signed


def _claims(message: bytes) -> Mapping[str, Any]:
    try:
        claims = strict_json(message.decode())
        json.dumps(claims, ensure_ascii=False).encode()  # a lone surrogate is no text
    except (ValueError, RecursionError) as error:
        raise InputRefused("what is signed is not JSON in UTF-8, each member once") from error
    if not isinstance(claims, dict) or _depth(claims) > _DEEPEST:
        raise InputRefused("what is signed is not a plain JSON object")
    return claims


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0) if isinstance(value, dict | list) else 0


def _moment(claims: Mapping[str, Any], name: str) -> datetime:
    text = claims.get(name)
    try:
        moment = datetime.fromisoformat(text if isinstance(text, str) and len(text) <= 40 else "")
        if moment.tzinfo is None:
            raise ValueError("no offset")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _refused(f"/{name}", "this is no moment: write ISO 8601 with its offset") from error


def _refused(pointer: str, message: str) -> InputRefused:
    return InputRefused(message, (FieldFault(pointer, message),))
