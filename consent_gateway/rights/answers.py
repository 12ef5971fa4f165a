"""Dates as people write and read them: words in, a clock asked, words out; pure but for the holidays it looks up."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

from consent_gateway.errors import FieldFault, InputRefused
from consent_gateway.rights.calendars import calendar_of
from consent_gateway.rights.clocks import NO_HOLIDAYS, Due, Pause, due
from consent_gateway.rights.regimes import Law

DATES = (
    "confirm_by",
    "ack_by",
    "respond_by",
    "extension_notice_by",
    "extended_respond_by",
    "effective_by",
    "notify_by",
    "earliest_reask",
    "keep_until_at_least",
)
"""The names of all dates, in the order in which they are told."""

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def due_at(
    law: Law,
    received: date | datetime,
    calendar: str | None = None,
    pauses: Sequence[Pause] = (),
    answered: date | None = None,
) -> Due:
    """The dates of a request under one law, with the holidays of the calendars named. Raises `InputRefused`."""
    chosen = None if calendar is None else calendar_of(calendar)
    business = calendar_of(law.clock.calendar) if law.clock.calendar else chosen or NO_HOLIDAYS
    return due(law.clock, received, business=business, calendar=chosen, pauses=pauses, answered=answered)


def dates_of(found: Due) -> Mapping[str, str]:
    """The dates that apply, as text by name: a day as 2026-01-31, a moment as RFC 3339 in UTC."""
    told = {name: getattr(found, name) for name in DATES}
    return {name: written(value) for name, value in told.items() if value is not None}


def moment(text: str) -> date | datetime:
    """A day, or a moment with or without its offset. Raises `InputRefused`."""
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else datetime.fromisoformat(text)
    except ValueError as error:
        raise _refused("/received", "the day cannot be read: write 2026-01-31, or 2026-01-31T14:30+01:00") from error


def pause(text: str) -> Pause:
    """`FROM:TO`, each a day; `FROM:` while the answer is awaited. Raises `InputRefused`."""
    begin, separator, end = text.partition(":")
    try:
        if not separator:
            raise ValueError
        return Pause(date.fromisoformat(begin), date.fromisoformat(end) if end else None)
    except ValueError as error:
        raise _refused("/paused", "the pause cannot be read: write it as 2026-02-01:2026-02-10") from error


def written(value: date) -> str:
    """A day as 2026-01-31, a moment as RFC 3339 in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return value.isoformat()


def _refused(pointer: str, message: str) -> InputRefused:
    return InputRefused(message, (FieldFault(pointer, message),))
