"""The text of a token: `<kind><format version>.<key id>.<body><4 check characters>`; holds no key.

For example `ps1.k7q2.` and 31 characters: a leak scanner finds it, a rotation routes it by its key id, and it names
neither tenant nor purpose nor recipient. The check characters catch a slip of the pen, not a forger: what must not be
forged is authenticated in the body, or is too long to guess. The text of a version never changes (golden file in
tests/vectors).

Bodies are base64url. Those of alias addresses are base 32 before `@relay.invalid`, for mail systems change case.
"""

import re
from base64 import b32decode, b32encode
from binascii import a2b_base64, b2a_base64
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

from consent_gateway.errors import ProtectionRefused

RELAY = "@relay.invalid"
"""Ends every alias address; `.invalid` is reserved (RFC 2606), so no mail to one is ever delivered."""
_HEAD = re.compile(r"([a-z]{2}[1-9][0-9]?)\.([a-z2-7]{4})\.")
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


PRESENT_VERSION = {**dict.fromkeys(TokenKind, 1), TokenKind.DETERMINISTIC: 2, TokenKind.SEALED_FIELD: 2}
"""The format version written today; every version ever written stays readable or is refused by name."""
REFUSED_VERSION = {
    (TokenKind.SEALED_FIELD, 1): "sealed before key classes: put the value back in the clear from its source, then run"
    " `consent-gateway people seal`",
    (TokenKind.DETERMINISTIC, 1): "this token does not hide the length of its value: have a new one made",
}
"""Format versions that were written once and are read no more: why, and the mend."""
_WORDS = {kind: f"{kind.value}{version}" for kind, version in PRESENT_VERSION.items()}
_READ = {word: (kind, PRESENT_VERSION[kind]) for kind, word in _WORDS.items()}
_REFUSED = {f"{kind.value}{version}": why for (kind, version), why in REFUSED_VERSION.items()}
_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")


class Token(NamedTuple):
    """A token taken apart; `body` is raw bytes."""

    kind: TokenKind
    version: int
    key_id: str
    body: bytes


def write(kind: TokenKind, key_id: str, body: bytes) -> str:
    """The text of a token in the present format of its kind."""
    text = f"{_WORDS[kind]}.{key_id}.".encode() + _encoded(kind, body)
    return (text + _check(kind, text)).decode() + (RELAY if kind is TokenKind.EMAIL_ALIAS else "")


def parse(text: str) -> Token:
    """Take a token apart; raises `ProtectionRefused` for any text that `write` could not have made.

    An alias address is read in any case of its letters.
    """
    bare = text
    alias = text[-len(RELAY) :].lower() == RELAY
    if alias and text.isascii():
        bare = text[: -len(RELAY)].lower()
    found = _HEAD.match(bare)
    if found is None or len(bare) <= found.end() + _CHECK or not bare.isascii():
        raise ProtectionRefused("this is not a token of the gateway: send it exactly as it was handed out")
    word, key_id = found.groups()
    if word not in _READ:
        raise ProtectionRefused(_REFUSED.get(word) or f"no token format `{word}` is known: update the gateway")
    kind, version = _READ[word]
    raw = bare.encode()
    if alias is not (kind is TokenKind.EMAIL_ALIAS) or _check(kind, raw[:-_CHECK]) != raw[-_CHECK:]:
        raise ProtectionRefused("the check characters of a token do not match: send it exactly as it was handed out")
    encoded = raw[found.end() : -_CHECK]
    body = _decoded(kind, encoded)
    if _encoded(kind, body) != encoded:  # a second text for the same bytes: unused bits set, foreign characters
        raise ProtectionRefused("the body of a token is not canonical: send it exactly as it was handed out")
    return Token(kind, version, key_id, body)


def looks_like_token(text: str) -> bool:
    """True for text with the beginning of a token of any kind and version, however the rest of it is."""
    return _START.match(text) is not None


def _check(kind: TokenKind, text: bytes) -> bytes:
    mark = sha256(text).digest()[:3]  # 24 bits: four characters of base 64, and cut to as many of base 32
    return _encoded(kind, mark)[:_CHECK] if kind is TokenKind.EMAIL_ALIAS else _base64(mark)


def _encoded(kind: TokenKind, body: bytes) -> bytes:
    if kind is TokenKind.EMAIL_ALIAS:
        return b32encode(body).rstrip(b"=").lower()
    return _base64(body).rstrip(b"=")


def _base64(body: bytes) -> bytes:
    return b2a_base64(body, newline=False).translate(_TO_URL_SAFE)


def _decoded(kind: TokenKind, encoded: bytes) -> bytes:
    try:
        if kind is TokenKind.EMAIL_ALIAS:
            return b32decode(encoded.upper() + b"=" * (-len(encoded) % 8))
        return a2b_base64(encoded.translate(_FROM_URL_SAFE) + b"=" * (-len(encoded) % 4))
    except ValueError as error:  # binascii's own error among them
        raise ProtectionRefused("the body of a token is not base64url: send it exactly as it was handed out") from error
