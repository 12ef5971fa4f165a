"""Turns JSON values into what a column takes, or says why not; guesses nothing and never repeats a value.

The forms are those of `json_forms`, read backwards: what a read gives back can be written again.
"""

import base64
import binascii
import math
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from consent_gateway.connectors.schema import ColumnType, storable, whole_numbers
from consent_gateway.errors import FieldFault, InputRefused
from consent_gateway.vocabulary import JsonValue

_Taker = Callable[[Any, JsonValue, str], Any]


class NotTaken(Exception):
    """The column does not take the value; the message says what it takes."""


def coerced(columns: dict[str, sa.Column[Any]], values: dict[str, JsonValue], dialect: str) -> dict[str, Any]:
    """Each value as its column takes it, or `InputRefused` with a fault for every field that is not."""
    taken: dict[str, Any] = {}
    faults: list[FieldFault] = []
    for name, value in values.items():
        try:
            taken[name] = _of_column(columns[name], value, dialect)
        except NotTaken as refusal:
            faults.append(FieldFault(f"/record/{name}", str(refusal)))
    if faults:
        raise InputRefused("the store does not take a value", tuple(faults))
    return taken


def _of_column(column: sa.Column[Any], value: JsonValue, dialect: str) -> Any:
    if value is None:
        if not column.nullable:
            raise NotTaken("must have a value")
        return sa.null()  # a JSON column would else keep the JSON null
    return _of_type(column.type, value, dialect)


def _of_type(column_type: ColumnType, value: JsonValue, dialect: str) -> Any:
    for kind, taker in _TAKERS:
        if isinstance(column_type, kind):
            return taker(column_type, value, dialect)
    raise NotTaken("is in a column whose type cannot be written through the gateway")


def _boolean(_type: Any, value: JsonValue, _dialect: str) -> bool:
    if not isinstance(value, bool):
        raise NotTaken("must be true or false")
    return value


def _integer(column_type: Any, value: JsonValue, dialect: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise NotTaken("must be a whole number")
    bounds = whole_numbers(column_type, dialect)
    if value not in bounds:
        raise NotTaken(f"must be from {bounds.start} to {bounds.stop - 1}")
    return value


def _float(_type: Any, value: JsonValue, _dialect: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotTaken("must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise NotTaken("must be a finite number of double precision")
    return number


def _numeric(column_type: Any, value: JsonValue, dialect: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise NotTaken("must be a decimal number, as text or number")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise NotTaken("must be a decimal number, as text or number") from None
    digits, exponent = number.as_tuple().digits, number.as_tuple().exponent
    if not isinstance(exponent, int) or abs(exponent) > 1000:
        raise NotTaken("must be a finite decimal number")
    precision, scale = column_type.precision, column_type.scale
    if (
        precision is not None
        and scale is not None
        and (-exponent > scale or len(digits) + exponent > precision - scale)
    ):
        raise NotTaken(f"must have at most {precision - scale} digits before and {scale} after the point")
    if dialect == "sqlite":  # its driver takes no Decimal; text becomes a number in the column without passing a float
        return sa.literal(f"{number:f}", sa.String())
    return number


def _text_like(value: JsonValue, what: str) -> str:
    if not isinstance(value, str):
        raise NotTaken(f"must be {what} as text")
    return value


def _date(_type: Any, value: JsonValue, _dialect: str) -> date:
    what = "a date like `2001-02-28`"
    try:
        return date.fromisoformat(_text_like(value, what))
    except ValueError:
        raise NotTaken(f"must be {what} as text") from None


def _datetime(column_type: Any, value: JsonValue, _dialect: str) -> datetime:
    with_zone = bool(column_type.timezone)
    what = "a time like `2001-02-28T12:00:00Z`" if with_zone else "a time without offset like `2001-02-28T12:00:00`"
    try:
        moment = datetime.fromisoformat(_text_like(value, what))
    except ValueError:
        raise NotTaken(f"must be {what} as text") from None
    if (moment.tzinfo is not None) != with_zone:  # to add or drop an offset would be to change the moment
        raise NotTaken(f"must be {what} as text")
    return moment


def _time(_type: Any, value: JsonValue, _dialect: str) -> time:
    what = "a time of day like `12:00:00`"
    try:
        return time.fromisoformat(_text_like(value, what))
    except ValueError:
        raise NotTaken(f"must be {what} as text") from None


def _binary(column_type: Any, value: JsonValue, _dialect: str) -> bytes:
    try:
        content = base64.b64decode(_text_like(value, "base64"), validate=True)
    except (binascii.Error, ValueError):
        raise NotTaken("must be base64 as text") from None
    if column_type.length is not None and len(content) > column_type.length:
        raise NotTaken(f"must be at most {column_type.length} bytes")
    return content


def _uuid(column_type: Any, value: JsonValue, _dialect: str) -> UUID | str:
    try:
        parsed = UUID(_text_like(value, "a UUID"))
    except ValueError:
        raise NotTaken("must be a UUID as text") from None
    return parsed if column_type.as_uuid else str(parsed)


def _enumerated(column_type: Any, value: JsonValue, _dialect: str) -> str:
    if not isinstance(value, str) or value not in column_type.enums:
        raise NotTaken(f"must be one of {', '.join(f'`{one}`' for one in column_type.enums)}")
    return value


def _string(column_type: Any, value: JsonValue, _dialect: str) -> str:
    if not isinstance(value, str):
        raise NotTaken("must be text")
    if not storable(value):
        raise NotTaken("must be text without NUL or unpaired surrogates")
    if column_type.length is not None and len(value) > column_type.length:
        raise NotTaken(f"must be at most {column_type.length} characters")
    return value


def _json(_type: Any, value: JsonValue, _dialect: str) -> JsonValue:
    if not _all_storable(value):
        raise NotTaken("must hold finite numbers, and text without NUL or unpaired surrogates")
    return value


def _all_storable(value: JsonValue) -> bool:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(storable(key) and _all_storable(item) for key, item in value.items())
    return all(map(_all_storable, value)) if isinstance(value, list) else True


def _array(column_type: Any, value: JsonValue, dialect: str) -> list[Any]:
    if not isinstance(value, list):
        raise NotTaken("must be a list")
    of_item = partial(_of_type, column_type.item_type, dialect=dialect)
    return [None if item is None else of_item(value=item) for item in value]


_TAKERS: tuple[tuple[type, _Taker], ...] = (  # a more special type stands before the one it derives from
    (sa.Boolean, _boolean),
    (sa.Integer, _integer),
    (sa.Float, _float),
    (sa.Numeric, _numeric),
    (sa.DateTime, _datetime),
    (sa.Date, _date),
    (sa.Time, _time),
    (sa.LargeBinary, _binary),
    (sa.Uuid, _uuid),
    (sa.Enum, _enumerated),
    (sa.String, _string),
    (sa.JSON, _json),
    (sa.ARRAY, _array),
)
