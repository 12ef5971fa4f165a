"""The clocks of a pack: how long which answer to which right may take; reads and types them, computes no date."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta, timezone
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from consent_gateway.policy.findings import Finding, nearest
from consent_gateway.policy.schemas import Day, Text
from consent_gateway.policy.shape import load
from consent_gateway.policy.source import Document, Place

_ISO = re.compile(r"P(?:T(?P<hours>[0-9]{1,4})H|(?P<number>[0-9]{1,4})(?P<unit>[MWD]))")
_OFFSET = re.compile(r"(?P<sign>[+-])(?P<hours>[0-9]{2}):(?P<minutes>[0-9]{2})")
_UNITS = MappingProxyType({"M": "months", "W": "days", "D": "days"})


class Unit(StrEnum):
    """What a period is counted in."""

    MONTHS = "months"
    DAYS = "days"
    BUSINESS_DAYS = "business_days"
    HOURS = "hours"


@dataclass(frozen=True, slots=True)
class Period:
    """A number of months, days, business days or hours."""

    number: int
    unit: Unit


class Pauses(StrEnum):
    """What the days do for which the person was asked something and had not answered yet."""

    NEVER = "never"  # the clock runs on
    UNTIL_ANSWER = "until_answer"  # the days from the question up to the day of the answer do not count
    THROUGH_ANSWER = "through_answer"  # nor does the day of the answer


RIGHTS = (
    "access",
    "know",
    "delete",
    "correct",
    "restrict",
    "portability",
    "object",
    "opt_out_sale_share",
    "limit_sensitive",
    "opt_out_admt",
    "complaint_ack",
    "breach_art33",
)
"""What a clock can be about; closed list."""


@dataclass(frozen=True, slots=True)
class LegalClock:
    """The periods of one right under one law; None where the law knows no such period.

    `extension` adds to `respond` as one period from receipt. `reask` and `keep` are times to wait or to keep, which
    round up; all others are times to be ready in, which round down. With `roll` a period of days or months that ends
    on no working day of the calendar chosen for the request ends on the next; `calendar` is that of business days.
    `utc_offset` tells the day of receipt: that of the law's westernmost place, so that no day is taken for a later one.
    Where the law `spares_households`, it does not reach the data of a household.
    """

    regime: str
    source: str
    utc_offset: timezone
    confirm: Period | None = None
    acknowledge: Period | None = None
    respond: Period | None = None
    extension: Period | None = None
    effective: Period | None = None
    notify: Period | None = None
    reask: Period | None = None
    keep: Period | None = None
    pauses: Pauses = Pauses.NEVER
    roll: bool = False
    count_receipt: bool = False
    spares_households: bool = False
    calendar: str | None = None
    effective_from: date | None = None
    effective_to: date | None = None
    note: str = ""

    def in_force(self, day: date) -> bool:
        """Whether the clock's own dates hold on the day."""
        return (self.effective_from is None or self.effective_from <= day) and (
            self.effective_to is None or day < self.effective_to
        )


class _PeriodField(fields.Field[Period]):
    def __init__(self, *units: Unit, **options: Any) -> None:
        super().__init__(load_default=None, allow_none=True, **options)
        self._units = units

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Period:
        period = _period(value)
        if period is None or period.unit not in self._units:
            raise ValidationError(f"`{value}` is not such a period; write {_written(self._units)}")
        return period


def _period(value: Any) -> Period | None:
    if isinstance(value, dict):
        number = value.get("business_days")
        whole = type(number) is int and 0 < number < 1000 and len(value) == 1
        return Period(number, Unit.BUSINESS_DAYS) if whole and number is not None else None
    found = _ISO.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return None
    if found["hours"]:
        return Period(int(found["hours"]), Unit.HOURS)
    return Period(int(found["number"]) * (7 if found["unit"] == "W" else 1), Unit(_UNITS[found["unit"]]))


def _written(units: tuple[Unit, ...]) -> str:
    forms = {Unit.MONTHS: "P1M", Unit.DAYS: "P45D", Unit.BUSINESS_DAYS: "{business_days: 10}", Unit.HOURS: "PT72H"}
    return " or ".join(f"`{forms[unit]}`" for unit in units)


_CALENDAR_UNITS = (Unit.MONTHS, Unit.DAYS)
_ANY_DAYS = (*_CALENDAR_UNITS, Unit.BUSINESS_DAYS)


class ClockSchema(Schema):
    """The periods of one right; ISO 8601, or business days."""

    regime = Text()
    confirm = _PeriodField(*_ANY_DAYS)
    acknowledge = _PeriodField(*_ANY_DAYS)
    respond = _PeriodField(*_ANY_DAYS)
    extension = _PeriodField(*_ANY_DAYS)
    effective = _PeriodField(*_ANY_DAYS)
    notify = _PeriodField(Unit.HOURS)
    reask = fields.Boolean(load_default=False, truthy={True}, falsy={False})  # after the pack's `reask_months`
    keep = _PeriodField(*_CALENDAR_UNITS)
    pauses = fields.Enum(Pauses, by_value=True)
    roll = fields.Boolean(truthy={True}, falsy={False})
    count_receipt = fields.Boolean(load_default=False, truthy={True}, falsy={False})
    calendar = Text(load_default=None, allow_none=True)
    effective_from = Day(load_default=None, allow_none=True)
    effective_to = Day(load_default=None, allow_none=True)
    source = Text(required=True)
    note = Text(load_default="")

    @validates_schema
    def _refuse_idle(self, data: Mapping[str, Any], **_: Any) -> None:
        timed = ("confirm", "acknowledge", "respond", "effective", "notify")
        if not any(data[name] for name in timed):
            raise ValidationError(f"the clock has no period; write one of {', '.join(f'`{name}`' for name in timed)}")
        respond, extension = data["respond"], data["extension"]
        if extension is not None and (respond is None or respond.unit is not extension.unit):
            raise ValidationError("`extension` must be counted as `respond` is; write both in months or both in days")


class _Offset(fields.Field[timezone]):
    def _deserialize(self, value: Any, *_: Any, **__: Any) -> timezone:
        found = _OFFSET.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise ValidationError(f'`{value}` is no offset from UTC; write it in quotes as `"-08:00"`')
        apart = timedelta(hours=int(found["hours"]), minutes=int(found["minutes"]))
        return timezone(-apart if found["sign"] == "-" else apart)


class ClockTermsSchema(Schema):
    """What the clocks of a pack have in common, so that each says only what is its own."""

    regime = Text(required=True)
    utc_offset = _Offset(required=True)
    keep = _PeriodField(*_CALENDAR_UNITS)
    pauses = fields.Enum(Pauses, by_value=True)
    roll = fields.Boolean(truthy={True}, falsy={False})
    spares_households = fields.Boolean(truthy={True}, falsy={False})


def read_clocks(given: Mapping[str, Any], document: Document, findings: list[Finding]) -> Mapping[str, LegalClock]:
    """The clocks of one pack, typed; what is wrong with them is told in `findings`."""
    if not given["clocks"]:
        return MappingProxyType({})
    if given["clock_terms"] is None:
        mend = 'add `clock_terms: {regime: AB_LAW, utc_offset: "+00:00"}`'
        findings.append(Finding(document.path, document.line(("clocks",)), "the clocks have no terms", mend))
        return MappingProxyType({})
    terms = load(ClockTermsSchema(), document, ("clock_terms",), given["clock_terms"], findings)
    schema = ClockSchema()
    made = {right: _clock(right, given, document, findings, terms, schema) for right in given["clocks"]}
    return MappingProxyType({right: clock for right, clock in made.items() if clock is not None})


def _clock(
    right: str,
    pack: Mapping[str, Any],
    document: Document,
    findings: list[Finding],
    terms: Mapping[str, Any] | None,
    schema: ClockSchema,
) -> LegalClock | None:
    place: Place = ("clocks", right)
    if right not in RIGHTS:
        findings.append(
            Finding(document.path, document.line(place), f"unknown right `{right}`", nearest(right, RIGHTS))
        )
        return None
    given = load(schema, document, place, pack["clocks"][right], findings)
    if given is None or terms is None:
        return None
    months = pack["reask_months"] if given.pop("reask") else None
    if months is None and pack["clocks"][right].get("reask"):
        what, mend = "`reask` needs to know how long", "add `reask_months` to the pack"
        findings.append(Finding(document.path, document.line(place), what, mend))
    own = {name: value for name, value in given.items() if value is not None}
    return LegalClock(**{**terms, **own}, reask=Period(months, Unit.MONTHS) if months else None)
