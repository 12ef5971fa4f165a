"""Ages, dates and times made coarser or moved; pure: no clock is read, the day of the request is passed in."""

from datetime import date, datetime, timedelta

from consent_gateway.protection.primitives import Keyed, bind, mac
from consent_gateway.vocabulary import JsonValue

_OLDEST = 90  # ages from here on are one band (HIPAA 45 CFR 164.514(b)(2)(i)(C))
_UNIT_LENGTH = {"year": 4, "month": 7, "day": 10}
_MOST_DAYS = 30


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


def shift_of_person(seed: bytes, domain_key: bytes | Keyed, tenant: str) -> int:
    """By how many days all dates of a person are moved in one domain: -30 to 30, never 0; gone with their seed."""
    drawn = int.from_bytes(mac(domain_key, bind("date.shift/1", tenant, seed))) % (2 * _MOST_DAYS)
    return drawn - _MOST_DAYS if drawn < _MOST_DAYS else drawn - _MOST_DAYS + 1


def date_shift(value: JsonValue, days: int) -> JsonValue:
    """An ISO 8601 date, alone or before a time, moved by whole days; the time and its zone stay as written.

    The date must be written `2026-11-22`. One that would leave the years 1 to 9999 becomes null.
    """
    found = _moment(value)
    if found is None or not isinstance(value, str):
        return None
    text, (day, _) = value.strip(), found
    if text[:10] != day.isoformat():
        return None
    try:
        return (day + timedelta(days=days)).isoformat() + text[10:]
    except OverflowError:
        return None
