"""The JSON forms of what a driver returns; knows no store and never guesses: a value without a form is refused.

| In the store | In JSON |
|---|---|
| text, whole number, truth value, null | as they are; a BOOLEAN kept as 0 or 1 becomes false or true |
| floating-point number | as it is; NaN and the infinities have no form |
| NUMERIC, DECIMAL | text, with at least the column's number of decimals: `"12.50"` |
| DATE, TIME | ISO 8601 text: `"1984-02-29"`, `"07:30:00"` |
| TIMESTAMP without time zone | `"2026-11-22T12:00:00"` |
| TIMESTAMP with time zone | the same in UTC with a `Z`: `"2026-11-22T12:00:00Z"` |
| INTERVAL | ISO 8601 duration in days and seconds: `"P1DT3600S"` |
| bytes | base64 (RFC 4648, section 4) |
| UUID, network addresses, enumerated types | their usual text |
| JSON, arrays | as they are, their members by this table |

Text in a column of another type (SQLite stores what it is given) stays as it is where it is not a value of that type.
"""

import base64
import ipaddress
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any, cast
from uuid import UUID

import orjson
import sqlalchemy as sa

from consent_gateway.vocabulary import JsonValue

Former = Callable[[Any], JsonValue]
"""Turns one driver value of one column into JSON, or raises `NoJsonForm`."""

_PLAIN = frozenset({type(None), str, int, bool})
_ADDRESSES = (
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Interface,
    ipaddress.IPv6Interface,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
)


class NoJsonForm(Exception):
    """A value of this type cannot be answered; carries the type's name, never the value."""


def former(column_type: sa.types.TypeEngine[Any], dialect: str) -> Former:
    """The function that forms values of this column type, as the driver of this dialect returns them."""
    if isinstance(column_type, sa.Boolean):
        return _truth
    if isinstance(column_type, sa.DateTime):
        return _moment
    if isinstance(column_type, sa.Numeric) and not isinstance(column_type, sa.Float):
        return partial(_decimal, column_type.scale or 0)
    if isinstance(column_type, sa.JSON) and dialect != "postgresql":  # psycopg has parsed it already
        return _document
    return to_json


def to_json(value: Any) -> JsonValue:
    """The JSON form of a driver value by its own type."""
    kind = type(value)
    if kind in _PLAIN:
        return cast("JsonValue", value)
    form = _FORMS.get(kind)
    if form is not None:
        return form(value)
    if isinstance(value, Enum):
        return to_json(value.value)
    if isinstance(value, _ADDRESSES):
        return str(value)
    raise NoJsonForm(type(value).__name__)


def _finite(value: float) -> JsonValue:
    if not math.isfinite(value):
        raise NoJsonForm("NaN or infinity")
    return value


def _decimal(scale: int, value: Any) -> JsonValue:
    """At least `scale` decimals, so that SQLite's 12.5 and PostgreSQL's 12.50 are the same; never rounded."""
    if not isinstance(value, int | float | Decimal):
        return to_json(value)
    number = Decimal(str(value))
    if not number.is_finite():
        raise NoJsonForm("NaN or infinity")
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and -exponent < scale:
        return f"{number:.{scale}f}"
    return f"{number:f}"


def _truth(value: Any) -> JsonValue:
    if isinstance(value, int) and value in {0, 1}:
        return bool(value)
    return to_json(value)


def _moment(value: Any) -> JsonValue:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return str(value)
    if isinstance(value, datetime):
        return _datetime(value)
    return to_json(value)


def _datetime(value: datetime) -> JsonValue:
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _time(value: time) -> JsonValue:
    return value.isoformat()


def _date(value: date) -> JsonValue:
    return value.isoformat()


def _duration(value: timedelta) -> JsonValue:
    sign, length = ("-", -value) if value < timedelta() else ("", value)
    fraction = f".{length.microseconds:06d}" if length.microseconds else ""
    return f"{sign}P{length.days}DT{length.seconds}{fraction}S"


def _bytes(value: Any) -> JsonValue:
    return base64.b64encode(bytes(value)).decode("ascii")


def _document(value: Any) -> JsonValue:
    if isinstance(value, str | bytes):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return to_json(value)
    return to_json(value)


def _array(value: Any) -> JsonValue:
    return [to_json(item) for item in value]


def _object(value: dict[Any, Any]) -> JsonValue:
    if not all(isinstance(key, str) for key in value):
        raise NoJsonForm("mapping with keys other than text")
    return {key: to_json(item) for key, item in value.items()}


_FORMS: dict[type, Former] = {
    float: _finite,
    Decimal: partial(_decimal, 0),
    datetime: _datetime,
    date: _date,
    time: _time,
    timedelta: _duration,
    bytes: _bytes,
    bytearray: _bytes,
    memoryview: _bytes,
    UUID: str,
    list: _array,
    tuple: _array,
    dict: _object,
}
