"""The transforms themselves: pure functions from a value to what may go out in its place; no key is fetched here.

Null stays null everywhere but in `constant`. A value that a transform cannot read becomes null, never itself: an
unexpected form must not pass for a protected one. What each may reveal is stated with it and held by property tests.
"""

import json
import math
import unicodedata
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from ipaddress import IPv4Address, IPv6Address, ip_address

from consent_gateway.errors import ProtectionRefused
from consent_gateway.protection.primitives import bind, expand, mac, siv_decrypt, siv_encrypt
from consent_gateway.protection.tokens import TokenKind, parse, write
from consent_gateway.vocabulary import JsonValue

HIDDEN = "***"
"""Stands for any number of hidden characters, so that not even their number is told."""

PSEUDONYM_BYTES = 20  # 160 bits: no two people of one domain collide by chance
_SIV_KEY_BYTES = 64  # AES-256-SIV
_OLDEST = 90  # ages from here on are one band (HIPAA 45 CFR 164.514(b)(2)(i)(C))
_SPARSE_ZIP3 = (  # areas under 20,000 people in the 2000 census: US HHS guidance on 45 CFR 164.514(b)(2)(i)(B)
    "036 059 063 102 203 556 692 790 821 823 830 831 878 879 884 890 893"
)
_UNIT_LENGTH = {"year": 4, "month": 7, "day": 10}
_COORDINATES = {"lat": 90, "latitude": 90, "lon": 180, "lng": 180, "longitude": 180}


def mask(value: JsonValue, style: str, keep: int) -> JsonValue:
    """Hide most of a string. Anything that is not a string becomes null, so that the JSON type stays valid.

    Styles: `all` shows nothing; `email` the first letter and the top-level domain; `phone` the last two digits;
    `name` the first letter of each of at most three words; `keep_last` the last `keep` letters and digits, `digits`
    everything but the digits. What is so short that this would show half of it is hidden whole.
    """
    if not isinstance(value, str):
        return None
    if style in ("phone", "keep_last"):
        shown = str.isdigit if style == "phone" else str.isalnum
        return _mask_end("".join(c for c in value if shown(c)), 2 if style == "phone" else keep)
    if style == "email":
        return _mask_email(value)
    if style == "name":
        return " ".join(f"{word[0]}." if len(word) > 2 else HIDDEN for word in value.split()[:3]) or HIDDEN
    return "".join("*" if c.isnumeric() else c for c in value) if style == "digits" else HIDDEN


def _mask_email(value: str) -> str:
    local, at, domain = value.strip().rpartition("@")
    top = domain.rpartition(".")[2]
    if not at or len(local) < 3 or "." not in domain or not top.isalpha():
        return HIDDEN
    return f"{local[0]}{HIDDEN}@{HIDDEN}.{top.lower()}"


def _mask_end(text: str, keep: int) -> str:
    return HIDDEN + text[-keep:] if len(text) > 2 * keep else HIDDEN


def age_band(value: JsonValue, width: int, today: date) -> JsonValue:
    """The band of years of an age (a whole number) or a birth date (ISO 8601): `40-49`, from 90 on `90+`."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        age = value
    else:
        moment = _moment(value)
        if moment is None:
            return None
        born = moment[0]
        age = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    if not 0 <= age <= 150:
        return None
    low = age // width * width
    return f"{_OLDEST}+" if low + width > _OLDEST else f"{low}-{low + width - 1}"


def zip_area(value: JsonValue, keep: int) -> JsonValue:
    """The first `keep` characters of a postal code, at least two fewer than it has, then `**`.

    A US area of three digits with under 20,000 people is `000**`.
    """
    if not isinstance(value, str):
        return None
    code = "".join(c for c in value.upper() if c.isalnum())
    if len(code) == 9 and code.isdigit():
        code = code[:5]  # ZIP+4
    kept = code[: max(0, min(keep, len(code) - 2))]
    if len(code) == 5 and code.isdigit() and code[:3] in _SPARSE_ZIP3.split():
        kept = "000"
    return kept + "**" if kept else HIDDEN


def geo(value: JsonValue, decimals: int) -> JsonValue:
    """Coordinates on a grid of `decimals` decimal degrees (0: 111 km, 1: 11 km, 2: 1.1 km).

    Takes one number, a list of two, or a mapping with lat and lon; other members of a mapping are dropped.
    """
    if isinstance(value, list):
        return [_degree(one, 180, decimals) for one in value] if len(value) == 2 else None
    if isinstance(value, dict):
        return {
            name: _degree(value[name], most, decimals) for name, most in _COORDINATES.items() if name in value
        } or None
    return _degree(value, 180, decimals)


def _degree(value: JsonValue, most: int, decimals: int) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -most <= value <= most:
        return None
    return round(float(value), decimals) + 0.0  # minus zero is zero


def amount(value: JsonValue, step: int) -> JsonValue:
    """The greatest multiple of `step` that is not above a number, or a decimal number in a string; same JSON type."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value // step * step
    if isinstance(value, float):
        return int(value // step) * step if math.isfinite(value) else None
    if isinstance(value, str):
        number = _decimal(value)
        return None if number is None else str(int((number / step).to_integral_value("ROUND_FLOOR")) * step)
    return None


def _decimal(text: str) -> Decimal | None:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number) < 10**18 else None


def time_part(value: JsonValue, unit: str) -> JsonValue:
    """An ISO 8601 date or time, cut to its year, quarter, month, week, day or hour as written: `2026-Q4`, `2026-11`."""
    found = _moment(value)
    if found is None:
        return None
    day, moment = found
    if unit == "quarter":
        return f"{day.year:04d}-Q{(day.month + 2) // 3}"
    if unit == "week":
        return f"{day.isocalendar().year:04d}-W{day.isocalendar().week:02d}"
    if unit == "hour":
        return None if moment is None else f"{day.isoformat()}T{moment.hour:02d}"
    return day.isoformat()[: _UNIT_LENGTH[unit]]


def _moment(value: JsonValue) -> tuple[date, datetime | None] | None:
    """The day of an ISO 8601 string, and its time where it has one."""
    if not isinstance(value, str):
        return None
    text = value.strip()
    try:
        if len(text) == 10:
            return date.fromisoformat(text), None
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.date(), moment if len(text) > 10 else None


def ip_truncate(value: JsonValue) -> JsonValue:
    """An IP address with all but its network zeroed: /24 of IPv4, /48 of IPv6; the zone of an address is dropped."""
    if not isinstance(value, str):
        return None
    try:
        address = ip_address(value.strip())
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return str(IPv4Address(int(address) >> 8 << 8))
    mapped = address.ipv4_mapped
    return ip_truncate(str(mapped)) if mapped is not None else str(IPv6Address(int(address) >> 80 << 80))


def pseudonym_of_person(seed: bytes, domain_key: bytes, key_id: str, tenant: str) -> str:
    """A stable name for a person in one domain: HMAC of their random seed, 160 bits.

    The same for every field of the domain, another in every other domain, and gone with the seed.
    """
    body = mac(domain_key, bind("pseudonym.subject/1", tenant, seed))[:PSEUDONYM_BYTES]
    return write(TokenKind.PSEUDONYM_OF_PERSON, key_id, body)


def pseudonym_of_value(value: JsonValue, field: str, domain_key: bytes, key_id: str, tenant: str) -> JsonValue:
    """A stable name for a value of one field in one domain: HMAC of field and normalised value, 160 bits."""
    if value is None:
        return None
    body = mac(domain_key, bind("pseudonym.value/1", tenant, field, normalised(value)))[:PSEUDONYM_BYTES]
    return write(TokenKind.PSEUDONYM_OF_VALUE, key_id, body)


def normalised(value: JsonValue) -> bytes:
    """What counts as the same value: strings by NFC, case folding and single spaces; else canonical JSON."""
    if isinstance(value, str):
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", value).casefold())
        return b"text:" + " ".join(folded.split()).encode("utf-8", "surrogatepass")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return b"json:" + encoded(value)


def token_of_value(
    value: JsonValue, field: str, domain: tuple[str, str, str], token_key: bytes, key_id: str
) -> JsonValue:
    """A stable token of a value that the holder of the key can turn back: AES-256-SIV.

    `domain` is tenant, purpose and recipient; a token moved to another domain or field does not open.
    """
    if value is None:
        return None
    key = expand(token_key, b"token.det/1", _SIV_KEY_BYTES)
    return write(TokenKind.DETERMINISTIC, key_id, siv_encrypt(key, encoded(value), _where(field, domain, key_id)))


def value_of_token(text: str, field: str, domain: tuple[str, str, str], token_key: bytes, key_id: str) -> JsonValue:
    """Undo `token_of_value`; raises `ProtectionRefused` for another text and `KeysUnavailable` for a moved token."""
    token = parse(text)
    if token.kind is not TokenKind.DETERMINISTIC or token.key_id != key_id:
        raise ProtectionRefused("this token is not of this domain: name the purpose and recipient it was made for")
    key = expand(token_key, b"token.det/1", _SIV_KEY_BYTES)
    return decoded(siv_decrypt(key, token.body, _where(field, domain, key_id)))


def _where(field: str, domain: tuple[str, str, str], key_id: str) -> tuple[bytes, ...]:
    return (bind("token.det/1", key_id, *domain, field),)


def encoded(value: JsonValue) -> bytes:
    """Canonical JSON bytes: sorted members, no spaces, ASCII. Raises `ProtectionRefused` for what JSON cannot hold."""
    try:
        return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"), sort_keys=True).encode()
    except (ValueError, TypeError, RecursionError):
        raise ProtectionRefused("a value is not JSON: see that the store's columns hold plain values") from None


def decoded(raw: bytes) -> JsonValue:
    """Undo `encoded`."""
    value: JsonValue = json.loads(raw)
    return value
