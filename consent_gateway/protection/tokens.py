"""The text of a token: `<kind><format version>.<key id>.<body><4 check characters>`; holds no key.

For example `ps1.k7q2.` and 31 characters: a leak scanner finds it, a rotation routes it by its key id, and it names
neither tenant nor purpose nor recipient. The check characters catch a slip of the pen, not a forger: what must not be
forged is authenticated in the body, or is too long to guess. The text of a version never changes (golden file in
tests/vectors).

Bodies are base64url. Those of alias addresses are base 32 before `@relay.invalid`, for mail systems change case.
"""

import binascii
import hashlib
import re
from base64 import b32decode, b32encode, urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from enum import StrEnum

from consent_gateway.errors import ProtectionRefused

RELAY = "@relay.invalid"
"""Ends every alias address; `.invalid` is reserved (RFC 2606), so no mail to one is ever delivered."""
_SHAPE = re.compile(r"([a-z]{2})([1-9][0-9]?)\.([a-z2-7]{4})\.([A-Za-z0-9_-]+)")
_START = re.compile(r"[a-z]{2}[0-9]{1,2}\.[a-z2-7]{4}\.", re.IGNORECASE)
_CHECK = 4


class TokenKind(StrEnum):
    """What a token is; extend, never rename."""

    PSEUDONYM_OF_PERSON = "ps"
    PSEUDONYM_OF_VALUE = "pv"
    DETERMINISTIC = "td"
    RANDOM = "tr"
    EMAIL_ALIAS = "ea"
    SEALED_FIELD = "fs"


PRESENT_VERSION = {**dict.fromkeys(TokenKind, 1), TokenKind.DETERMINISTIC: 2}
"""The format version written today; any other is refused by name. `td1` did not hide the length of a value."""
_KINDS = {kind.value: kind for kind in TokenKind}


@dataclass(frozen=True, slots=True)
class Token:
    """A token taken apart; `body` is raw bytes."""

    kind: TokenKind
    version: int
    key_id: str
    body: bytes


def write(kind: TokenKind, key_id: str, body: bytes) -> str:
    """The text of a token in the present format of its kind."""
    text = f"{kind.value}{PRESENT_VERSION[kind]}.{key_id}.{_encoded(kind, body)}"
    return text + _check(kind, text) + (RELAY if kind is TokenKind.EMAIL_ALIAS else "")


def parse(text: str) -> Token:
    """Take a token apart; raises `ProtectionRefused` for any text that `write` could not have made.

    An alias address is read in any case of its letters.
    """
    bare = text
    alias = text.lower().endswith(RELAY)
    if alias and text.isascii():
        bare = text.lower().removesuffix(RELAY)
    found = _SHAPE.fullmatch(bare)
    if found is None or len(found[4]) <= _CHECK:
        raise ProtectionRefused("this is not a token of the gateway: send it exactly as it was handed out")
    kind_word, version_word, key_id, rest = (found[group] for group in range(1, 5))
    kind = _KINDS.get(kind_word)
    if kind is None or int(version_word) != PRESENT_VERSION[kind]:
        raise ProtectionRefused(f"no token format `{kind_word}{version_word}` is known: update the gateway")
    if alias is not (kind is TokenKind.EMAIL_ALIAS) or _check(kind, bare[:-_CHECK]) != bare[-_CHECK:]:
        raise ProtectionRefused("the check characters of a token do not match: send it exactly as it was handed out")
    encoded = rest[:-_CHECK]
    body = _decoded(kind, encoded)
    if _encoded(kind, body) != encoded:  # unused bits set: a second text for the same bytes
        raise ProtectionRefused("the body of a token is not canonical: send it exactly as it was handed out")
    return Token(kind, int(version_word), key_id, body)


def looks_like_token(text: str) -> bool:
    """True for text with the beginning of a token of any kind and version, however the rest of it is."""
    return _START.match(text) is not None


def _check(kind: TokenKind, text: str) -> str:
    return _encoded(kind, hashlib.sha256(text.encode()).digest()[:3])[:_CHECK]


def _encoded(kind: TokenKind, body: bytes) -> str:
    if kind is TokenKind.EMAIL_ALIAS:
        return b32encode(body).decode().rstrip("=").lower()
    return urlsafe_b64encode(body).rstrip(b"=").decode()


def _decoded(kind: TokenKind, encoded: str) -> bytes:
    try:
        if kind is TokenKind.EMAIL_ALIAS:
            return b32decode(encoded.upper() + "=" * (-len(encoded) % 8))
        return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except binascii.Error as error:
        raise ProtectionRefused("the body of a token is not base64url: send it exactly as it was handed out") from error
