"""How a JSON value becomes bytes: in one canonical way, padded where its length must not show; holds no key."""

import json
import unicodedata

from consent_gateway.errors import ProtectionRefused
from consent_gateway.vocabulary import JsonValue

_END = b"\x80"  # no byte of ASCII JSON


def encoded(value: JsonValue) -> bytes:
    """Canonical JSON bytes: sorted members, no spaces, ASCII. Raises `ProtectionRefused` for what JSON cannot hold."""
    try:
        return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"), sort_keys=True).encode()
    except (ValueError, TypeError, RecursionError):
        raise ProtectionRefused("a value is not JSON: see that the store's columns hold plain values") from None


def decoded(raw: bytes) -> JsonValue:
    """Undo `encoded`."""
    text = raw.decode()
    if text[:1] == '"' and "\\" not in text:  # most values: a string without an escape is what stands in the quotes
        return text[1:-1]
    value: JsonValue = json.loads(text)
    return value


def padded(value: JsonValue, pad: int) -> bytes:
    """Canonical JSON bytes, an end mark and zeros up to the next multiple of `pad` bytes (ISO/IEC 7816-4).

    All values whose JSON is shorter than `pad` are of one length, those from there to below twice `pad` of the next.
    """
    raw = encoded(value) + _END
    return raw + bytes(-len(raw) % pad)


def unpadded(raw: bytes) -> JsonValue:
    """Undo `padded`, whatever its `pad` was."""
    return decoded(raw.rstrip(b"\0").removesuffix(_END))


def normalised(value: JsonValue) -> bytes:
    """What counts as the same value: strings by NFC, case folding and single spaces; else canonical JSON."""
    if isinstance(value, str):
        if value.isascii():  # there NFC changes nothing, and folding is lower case
            return b"text:" + " ".join(value.lower().split()).encode()
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", value).casefold())
        return b"text:" + " ".join(folded.split()).encode("utf-8", "surrogatepass")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return b"json:" + encoded(value)
