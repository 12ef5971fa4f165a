"""Masks, and values made coarser: pure functions from a value to what may go out in its place; no key is used here.

Null stays null everywhere but in `constant`. A value that a transform cannot read becomes null, never itself: an
unexpected form must not pass for a protected one. What each may reveal is stated with it and held by property tests.
"""

import math
from decimal import Decimal, InvalidOperation
from ipaddress import IPv4Address, IPv6Address, ip_address

from consent_gateway.vocabulary import JsonValue

HIDDEN = "***"
"""Stands for any number of hidden characters, so that not even their number is told."""

_SPARSE_ZIP3 = frozenset(  # areas under 20,000 people in the 2000 census: US HHS guidance on 45 CFR 164.514(b)(2)(i)(B)
    [
        "036",
        "059",
        "063",
        "102",
        "203",
        "556",
        "692",
        "790",
        "821",
        "823",
        "830",
        "831",
        "878",
        "879",
        "884",
        "890",
        "893",
    ]
)
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
        return _mask_end("".join(filter(shown, value)), 2 if style == "phone" else keep)
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


def zip_area(value: JsonValue, keep: int) -> JsonValue:
    """The first `keep` characters of a postal code, at least two fewer than it has, then `**`.

    A US area of three digits with under 20,000 people is `000**`.
    """
    if not isinstance(value, str):
        return None
    code = "".join(filter(str.isalnum, value.upper()))
    if len(code) == 9 and code.isdigit():
        code = code[:5]  # ZIP+4
    kept = code[: max(0, min(keep, len(code) - 2))]
    if len(code) == 5 and code.isdigit() and code[:3] in _SPARSE_ZIP3:
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
