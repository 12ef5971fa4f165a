"""Fields encrypted at rest (`protection: sealed` in the catalogue): a value becomes token text under a class key.

The text opens only for the person, the field, the key class, the tenant and the format it was made for, and not at
all once the person's keys are destroyed. Who may have which class key is the key ring's matter.
"""

from consent_gateway.errors import KeysUnavailable, ProtectionRefused
from consent_gateway.protection.material import ClassKey, draw_nonce
from consent_gateway.protection.primitives import bind
from consent_gateway.protection.tokens import PRESENT_VERSION, REFUSED_VERSION, TokenKind, parse, write
from consent_gateway.protection.values import decoded, encoded
from consent_gateway.vocabulary import JsonValue

_KIND = TokenKind.SEALED_FIELD
_WORD = _KIND.value
_SEALED = bind("sealed", _WORD)


def seal(value: JsonValue, field: str, data_subject: str, key: ClassKey) -> str:
    """The token text of a JSON value of any type, null included; another text at every call."""
    associated = _associated(field, data_subject, key)
    return write(_KIND, key.key_id, key.cipher.encrypt(draw_nonce(), encoded(value), associated))


def open_sealed(text: str, field: str, data_subject: str, key: ClassKey) -> JsonValue:
    """Undo `seal`.

    Raises `KeysUnavailable` for text that was altered, moved to another field, person or key class, that was sealed
    in a format which is read no more, or that is no sealed value.
    """
    try:
        token = parse(text)
    except ProtectionRefused as error:
        refused = refused_format(text)
        if refused is not None:
            raise KeysUnavailable(f"what is kept in `{field}` was {refused}") from error
        raise KeysUnavailable(f"what is kept in `{field}` is not a sealed value: restore or seal it again") from error
    if token.kind is not _KIND or token.key_id != key.key_id:
        raise KeysUnavailable(f"what is kept in `{field}` was sealed under another key: restore that key")
    return decoded(key.cipher.decrypt(token.body, _associated(field, data_subject, key)))


def is_sealed(text: JsonValue) -> bool:
    """True for text that looks sealed. Never skip sealing for its sake: a caller can write such text too."""
    return key_id_of(text) is not None


def key_id_of(text: JsonValue) -> str | None:
    """The key id written in text that looks sealed; None for anything else."""
    if not isinstance(text, str) or not text.startswith(f"{_WORD}{PRESENT_VERSION[_KIND]}."):
        return None
    try:
        token = parse(text)
    except ProtectionRefused:
        return None
    return token.key_id if token.kind is _KIND else None


def refused_format(text: JsonValue) -> str | None:
    """Why text is read no more that an earlier format sealed, with the mend; None for anything else."""
    for (kind, version), why in REFUSED_VERSION.items():
        if kind is _KIND and isinstance(text, str) and text.startswith(f"{kind.value}{version}."):
            return why
    return None


def _associated(field: str, data_subject: str, key: ClassKey) -> bytes:
    """What is authenticated with a value, in the one version that is written and read; kept beside the key."""
    if data_subject != key.data_subject:
        raise KeysUnavailable("this key is another person's: fetch the key of the person meant")
    known = key.associated.get(field)
    if known is None:
        version = PRESENT_VERSION[_KIND]
        known = _SEALED + bind(key.tenant, data_subject, field, key.key_class, version, key.key_id)
        key.associated[field] = known
    return known
