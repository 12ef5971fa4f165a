"""Reads residence, minority and membership out of the store's words for them; pure."""

import re
from datetime import date

SUBDIVIDED = frozenset({"US", "CA"})
"""Countries whose states or provinces have laws of their own among the policy packs."""

MINOR_UNTIL = 19
"""A day of birth is kept for people below this age: the highest age any law names, and a year for its birthday."""

_COUNTRY = re.compile(r"[A-Z]{2}")
_REGION = re.compile(r"[A-Z0-9]{1,3}")
_NO = frozenset({"", "0", "false", "f", "no", "n"})


class Unreadable(ValueError):
    """A value that the store holds has none of the forms it may have; carries no value."""


def jurisdiction(country: str | None, region: str | None) -> str | None:
    """ISO 3166 code of where a person lives: `DE`, or `US-CA` where states have their own law; None if unknown.

    Raises `Unreadable` for a country that is not a two-letter code, or a region of a subdivided country that is
    not a code: residence is then unknown, which denies, rather than taken for a state with a milder law.
    """
    if country is None or not country.strip():
        return None
    code = country.strip().upper()
    code = "GB" if code == "UK" else code
    if not _COUNTRY.fullmatch(code):
        raise Unreadable
    if code not in SUBDIVIDED or region is None or not region.strip():
        return code
    part = region.strip().upper().replace("_", "-").removeprefix(f"{code}-")
    if not _REGION.fullmatch(part):
        raise Unreadable
    return f"{code}-{part}"


def minor_born(birth_date: str, today: date) -> date | None:
    """The day of birth of someone who may be a minor; None for an adult. Raises `Unreadable` if it is no ISO date."""
    try:
        born = date.fromisoformat(birth_date.strip()[:10])
    except ValueError:
        raise Unreadable from None  # the cause quotes the value
    if born > today or born.year < 1850:
        raise Unreadable
    return born if _years(born, today) < MINOR_UNTIL else None


def is_member(value: str) -> bool:
    """Whether the store's word in a member column says yes; any value does that is not a no."""
    return value.strip().casefold() not in _NO


def _years(born: date, today: date) -> int:
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))
