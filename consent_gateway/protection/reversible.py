"""Tokens that the holder of the keys can turn back into the value: the stable and the random one; pure.

Keys and nonces come in. What a token was made for, its kind, format, key id, tenant, purpose, recipient and field, is
authenticated with it, so that a token moved anywhere else does not open.
"""

from dataclasses import dataclass

from consent_gateway.errors import KeysUnavailable, ProtectionRefused
from consent_gateway.protection.primitives import (
    KEY_BYTES,
    bind,
    expand,
    gcm_decrypt,
    gcm_encrypt,
    siv_decrypt,
    siv_encrypt,
)
from consent_gateway.protection.tokens import PRESENT_VERSION, Token, TokenKind, write
from consent_gateway.protection.values import padded, unpadded
from consent_gateway.vocabulary import JsonValue

_SIV_KEY_BYTES = 64  # AES-256-SIV
_PERSON_BYTES = 32  # the longest id of a person; shorter ones are filled up, so that none shows


@dataclass(frozen=True, slots=True)
class Place:
    """Where a token belongs: a field of one tenant, going to one recipient for one purpose."""

    tenant: str
    purpose: str
    recipient: str
    field: str

    def bound(self, use: str, kind: TokenKind, key_id: str, *more: str) -> bytes:
        """What is authenticated with a token of this kind in its present format."""
        version = PRESENT_VERSION[kind]
        return bind(use, kind.value, version, key_id, self.tenant, self.purpose, self.recipient, self.field, *more)


def stable_token(value: JsonValue, place: Place, token_key: bytes, key_id: str, pad: int) -> JsonValue:
    """The token of a value that is the same every time in the same place: AES-256-SIV of the padded value."""
    if value is None:
        return None
    kind = TokenKind.DETERMINISTIC
    key = expand(token_key, b"token.det/2", _SIV_KEY_BYTES)
    return write(kind, key_id, siv_encrypt(key, padded(value, pad), (place.bound("token.det/2", kind, key_id),)))


def value_of_stable_token(token: Token, place: Place, token_key: bytes) -> JsonValue:
    """Undo `stable_token`; raises `ProtectionRefused` for a token that was altered or belongs elsewhere."""
    associated = place.bound("token.det/2", token.kind, token.key_id)
    try:
        return unpadded(siv_decrypt(expand(token_key, b"token.det/2", _SIV_KEY_BYTES), token.body, (associated,)))
    except KeysUnavailable:
        raise _elsewhere() from None


def random_token(
    value: JsonValue,
    place: Place,
    token_key: bytes,
    key_id: str,
    pad: int,
    data_subject: str,
    person_key: bytes,
    nonces: tuple[bytes, bytes],
) -> JsonValue:
    """A token of a value that is another every time: AES-256-GCM in two layers.

    The outer, under the domain's key, holds the person's id and the inner; the inner, under the person's
    `PersonKeys.hand_out_key`, holds the padded value. The id in the text is that of the domain's key: the person's own
    would be the same for two recipients. `nonces` are for the outer and the inner layer, fresh at every call.
    """
    if value is None:
        return None
    person = data_subject.encode()
    if not 0 < len(person) <= _PERSON_BYTES:
        raise ProtectionRefused(f"the id of a person has 1 to {_PERSON_BYTES} bytes: nothing may leave")
    kind = TokenKind.RANDOM
    within = place.bound("token.rand.inner/1", kind, key_id, data_subject)
    inner = gcm_encrypt(person_key, nonces[1], padded(value, pad), within)
    content = person.ljust(_PERSON_BYTES, b"\0") + inner
    key = expand(token_key, b"token.rand/1", KEY_BYTES)
    return write(kind, key_id, gcm_encrypt(key, nonces[0], content, place.bound("token.rand/1", kind, key_id)))


def person_of_random_token(token: Token, place: Place, token_key: bytes) -> tuple[str, bytes]:
    """Whom a random token is about, and the layer that only their key opens.

    Raises `ProtectionRefused` for a token that was altered or belongs elsewhere.
    """
    key = expand(token_key, b"token.rand/1", KEY_BYTES)
    try:
        content = gcm_decrypt(key, token.body, place.bound("token.rand/1", token.kind, token.key_id))
    except KeysUnavailable:
        raise _elsewhere() from None
    return content[:_PERSON_BYTES].rstrip(b"\0").decode(), content[_PERSON_BYTES:]


def value_of_random_token(token: Token, place: Place, person_key: bytes, data_subject: str, inner: bytes) -> JsonValue:
    """Open what `person_of_random_token` gave; raises `KeysUnavailable` where the person's key is another."""
    within = place.bound("token.rand.inner/1", token.kind, token.key_id, data_subject)
    return unpadded(gcm_decrypt(person_key, inner, within))


def _elsewhere() -> ProtectionRefused:
    return ProtectionRefused(
        "this token does not open here: name the field, purpose and recipient it was made for, and send it unaltered"
    )
