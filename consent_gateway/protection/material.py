"""Key material as the rest of the room holds it, and how it is drawn; prints none of it and stores none of it."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime

from consent_gateway.protection.primitives import KEY_BYTES, NONCE_BYTES

_KEY_ID_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def draw_key() -> bytes:
    """32 bytes from the operating system's generator; a key that is drawn, not derived, can be destroyed."""
    return secrets.token_bytes(KEY_BYTES)


def draw_nonce() -> bytes:
    """12 bytes from the operating system's generator, for one AES-GCM encryption."""
    return secrets.token_bytes(NONCE_BYTES)


def draw_key_id() -> str:
    """Four random characters of lower-case base 32; the tables refuse a second of the same."""
    return "".join(secrets.choice(_KEY_ID_LETTERS) for _ in range(4))


@dataclass(frozen=True, slots=True)
class NamedKey:
    """A version of a key of a domain, an index or a service, and the random four-character id that tokens carry."""

    key_id: str
    secret: bytes = field(repr=False)
    version: int = 1


@dataclass(frozen=True, slots=True)
class PersonKeys:
    """What belongs to one person alone and dies with their row in the key table.

    `data_key` seals their fields; `seed` is what their pseudonyms are computed from.
    """

    tenant: str
    data_subject: str
    key_id: str
    data_key: bytes = field(repr=False)
    seed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DestroyedKey:
    """Evidence that one person's keys are gone from the key table; goes into the certificate of an erasure.

    `fingerprint` is a one-way mark of the data key, written down when the key was made.
    """

    data_subject: str
    fingerprint: str
    shard: int
    epoch: int
    destroyed_at: datetime
