"""Fields encrypted at rest (`protection: sealed` in the catalogue): a value becomes token text under its person's key.

The text opens only for the person, the field, the tenant and the format it was made for, and not at all once the
person's keys are destroyed.
"""

from consent_gateway.errors import KeysUnavailable, ProtectionRefused
from consent_gateway.protection.material import PersonKeys, draw_nonce
from consent_gateway.protection.primitives import bind, gcm_decrypt, gcm_encrypt
from consent_gateway.protection.tokens import PRESENT_VERSION, TokenKind, parse, write
from consent_gateway.protection.values import decoded, encoded
from consent_gateway.vocabulary import JsonValue

_KIND = TokenKind.SEALED_FIELD


def seal(value: JsonValue, field: str, data_subject: str, keys: PersonKeys) -> str:
    """The token text of a JSON value of any type, null included; another text at every call."""
    associated = _associated(field, data_subject, keys, PRESENT_VERSION[_KIND])
    return write(_KIND, keys.key_id, gcm_encrypt(keys.data_key, draw_nonce(), encoded(value), associated))


def open_sealed(text: str, field: str, data_subject: str, keys: PersonKeys) -> JsonValue:
    """Undo `seal`. Raises `KeysUnavailable` for text that was altered, moved to another field or person, or is none."""
    try:
        token = parse(text)
    except ProtectionRefused as error:
        raise KeysUnavailable(f"what is kept in `{field}` is not a sealed value: restore or seal it again") from error
    if token.kind is not _KIND or token.key_id != keys.key_id:
        raise KeysUnavailable(f"what is kept in `{field}` was sealed under another key: restore that key")
    return decoded(gcm_decrypt(keys.data_key, token.body, _associated(field, data_subject, keys, token.version)))


def is_sealed(text: JsonValue) -> bool:
    """True for text that looks sealed. Never skip sealing for its sake: a caller can write such text too."""
    if not isinstance(text, str) or not text.startswith(f"{_KIND.value}{PRESENT_VERSION[_KIND]}."):
        return False
    try:
        return parse(text).kind is _KIND
    except ProtectionRefused:
        return False


def _associated(field: str, data_subject: str, keys: PersonKeys, version: int) -> bytes:
    if data_subject != keys.data_subject:
        raise KeysUnavailable("these keys are another person's: fetch the keys of the person meant")
    return bind("sealed", _KIND.value, keys.tenant, data_subject, field, version, keys.key_id)
