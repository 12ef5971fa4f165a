"""Opaque, time-ordered ids for rows and entries; carries no meaning beyond its prefix.

An id is a prefix and 26 characters of Crockford base 32: 48 bits of milliseconds, so that new rows land
together in an index, and 80 random bits, so that nobody can guess one.
"""

import re
import secrets
from datetime import datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/#=+-]*")
"""A pointer to evidence elsewhere. No space and no at-sign: it is no place for a name or an address."""

_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)  # ten bits at a time


def new_id(prefix: str, now: datetime) -> str:
    """A fresh id such as `dec_01jd8…`; `now` gives its order, the operating system its randomness."""
    number = (int(now.timestamp() * 1000) << 80) | int.from_bytes(secrets.token_bytes(10))
    return f"{prefix}_" + "".join(_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10))


def random_id(prefix: str) -> str:
    """A fresh id with no time in it, for people: 130 random bits, so that ids tell no one's age as a customer."""
    number = int.from_bytes(secrets.token_bytes(17)) & ((1 << 130) - 1)
    return f"{prefix}_" + "".join(_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10))
