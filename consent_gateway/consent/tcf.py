"""Reads strings of the IAB Europe Transparency and Consent Framework, version 2; writes none.

Source: Consent string and vendor list formats v2, and TCF 2.3 (IAB Europe). Read are the core segment and which
vendors were disclosed. A string made since 28 February 2026 must say the latter, or it stands for nothing.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from consent_gateway.consent.bits import Bits, Malformed

LONGEST = 32_768  # characters
DISCLOSURE_SINCE = datetime(2026, 2, 28, tzinfo=UTC)
_VERSION = 2
_DISCLOSED = 1
_SEGMENT_TYPES = frozenset({1, 2, 3})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TcString:
    """What the string says. Purposes and vendors are the framework's numbers."""

    created: datetime
    updated: datetime
    policy_version: int
    purposes: frozenset[int]  # with consent
    legitimate_interests: frozenset[int]  # purposes told of, and not objected to
    special_features: frozenset[int]
    vendors: frozenset[int]  # with consent
    disclosed: frozenset[int] | None  # None where the string does not say


def read_tcf(text: str) -> TcString:
    """What a TC string says. Raises `Malformed`."""
    if len(text) > LONGEST:
        raise Malformed(f"it is longer than {LONGEST} characters")
    core, *others = text.split(".")
    bits = Bits(core)
    if (version := bits.integer(6)) != _VERSION:
        raise Malformed(f"version {version} of the TC string is not read here")
    created, updated = _moment(bits), _moment(bits)
    bits.integer(12 + 12 + 6 + 12 + 12)  # CMP, its version, screen, language, vendor list
    policy_version = bits.integer(6)
    bits.integer(2)  # service-specific, non-standard texts
    special_features, purposes, interests = _field(bits, 12), _field(bits, 24), _field(bits, 24)
    bits.integer(1 + 12)  # purpose one treatment, publisher's country
    vendors = _vendors(bits)
    _vendors(bits)  # legitimate interests
    disclosed = _disclosed(others)
    if disclosed is None and created >= DISCLOSURE_SINCE:
        raise Malformed("it was made since 28 February 2026 and does not say which vendors were disclosed")
    return TcString(created, updated, policy_version, purposes, interests, special_features, vendors, disclosed)


def _disclosed(segments: list[str]) -> frozenset[int] | None:
    disclosed: frozenset[int] | None = None
    for segment in segments:
        bits = Bits(segment)
        kind = bits.integer(3)
        if kind not in _SEGMENT_TYPES:
            raise Malformed(f"segments of type {kind} are not read here")
        if kind == _DISCLOSED:
            if disclosed is not None:
                raise Malformed("it says twice which vendors were disclosed")
            disclosed = _vendors(bits)
    return disclosed


def _moment(bits: Bits) -> datetime:
    try:
        return _EPOCH + timedelta(milliseconds=100 * bits.integer(36))
    except OverflowError:
        raise Malformed("a time is out of range") from None


def _field(bits: Bits, count: int) -> frozenset[int]:
    return frozenset([number for number in range(1, count + 1) if bits.boolean()])


def _vendors(bits: Bits) -> frozenset[int]:
    """A list of vendors: a bit for each up to the highest, or ranges."""
    most = bits.integer(16)
    if not bits.boolean():
        return _field(bits, most)
    found: set[int] = set()
    for _ in range(bits.integer(12)):
        is_range = bits.boolean()
        first = bits.integer(16)
        last = bits.integer(16) if is_range else first
        if not 0 < first <= last <= most:
            raise Malformed("a range of vendors is out of bounds")
        found.update(range(first, last + 1))
    return frozenset(found)
