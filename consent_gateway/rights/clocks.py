"""The legal clocks: due dates from a law's periods and the day of receipt; pure, and knows no law of its own.

A time to be ready in rounds down: a day that the month does not have becomes its last one. A time to wait or to keep
rounds up. What is in doubt ends early, so that no date here is later than the law's.
"""

from calendar import monthrange
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from consent_gateway.errors import FieldFault, InputRefused
from consent_gateway.policy.legal_clocks import LegalClock, Pauses, Period, Unit

Holidays = Container[date]
"""The public holidays of one calendar."""

NO_HOLIDAYS: Holidays = frozenset()
_YEARS = range(1990, 2100)
_DAY = timedelta(days=1)
_SATURDAY = 5


@dataclass(frozen=True, slots=True, order=True)
class Pause:
    """From the day the person was asked something to the day the answer came; None while it is awaited."""

    begin: date
    end: date | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """What is due by when; None where the law knows no such date. `notify_by` is UTC.

    `suspended` is true while an answer of the person is awaited and the law stops the clock for it: the dates are then
    those that hold if the answer comes at once.
    """

    confirm_by: date | None = None
    ack_by: date | None = None
    respond_by: date | None = None
    extension_notice_by: date | None = None
    extended_respond_by: date | None = None
    effective_by: date | None = None
    notify_by: datetime | None = None
    earliest_reask: date | None = None
    keep_until_at_least: date | None = None
    paused_days: int = 0
    suspended: bool = False


def due(
    clock: LegalClock,
    received: date | datetime,
    *,
    business: Holidays = NO_HOLIDAYS,
    calendar: Holidays | None = None,
    pauses: Sequence[Pause] = (),
    answered: date | None = None,
) -> Due:
    """Every date of a request that was received then.

    `business` are the holidays of `clock.calendar`, `calendar` those chosen for the request: without one, nothing
    rolls. `answered` is the day of the final answer, from which records are kept. Raises `InputRefused` for a day or
    a pause that cannot be.
    """
    day = receipt_day(clock, received)
    stretches = () if clock.pauses is Pauses.NEVER else _merged(clock.pauses, day, pauses)
    roll = calendar if clock.roll else None
    respond = extended = None
    paused = 0
    if clock.respond is not None:
        respond, paused = _paused(_ready(day, clock.respond, business), stretches, roll)
    if clock.respond is not None and clock.extension is not None:
        whole = Period(clock.respond.number + clock.extension.number, clock.respond.unit)
        extended, paused = _paused(_ready(day, whole, business), stretches, roll)
    counted = day - _DAY if clock.count_receipt else day
    return Due(
        confirm_by=_maybe(day, clock.confirm, business),
        ack_by=_maybe(counted, clock.acknowledge, business),
        respond_by=respond,
        extension_notice_by=respond if extended else None,
        extended_respond_by=extended,
        effective_by=_maybe(day, clock.effective, business),
        notify_by=None if clock.notify is None else _minute(received) + timedelta(hours=clock.notify.number),
        earliest_reask=None if clock.reask is None else waited(day, clock.reask),
        keep_until_at_least=None if clock.keep is None else waited(max(day, answered or day), clock.keep),
        paused_days=paused,
        suspended=clock.pauses is not Pauses.NEVER and any(pause.end is None for pause in pauses),
    )


def receipt_day(clock: LegalClock, received: date | datetime) -> date:
    """The day a request counts as received; of a moment, the day it is at the law's offset."""
    day = received
    if isinstance(received, datetime):
        aware = received if received.tzinfo else received.replace(tzinfo=UTC)
        day = aware.astimezone(clock.utc_offset).date() if received.tzinfo else received.date()
    if day.year not in _YEARS:
        raise _refused("/received", f"the day of receipt must lie in the years {_YEARS[0]} to {_YEARS[-1]}")
    return day


def waited(day: date, period: Period) -> date:
    """The first day on which a time to wait or to keep is over; it rounds up."""
    if period.unit is not Unit.MONTHS:
        return day + timedelta(days=period.number)
    end = _months_later(day, period.number)
    return end if end.day == day.day else end + _DAY


def is_working(day: date, holidays: Holidays) -> bool:
    """Monday to Friday and no holiday."""
    return day.weekday() < _SATURDAY and day not in holidays


def _maybe(day: date, period: Period | None, business: Holidays) -> date | None:
    return None if period is None else _ready(day, period, business)


def _ready(day: date, period: Period, business: Holidays) -> date:
    """The last day of a time to be ready in, the day itself being day 0."""
    if period.unit is Unit.MONTHS:
        return _months_later(day, period.number)
    if period.unit is Unit.DAYS:
        return day + timedelta(days=period.number)
    left = period.number
    while left:
        day += _DAY
        left -= is_working(day, business)
    return day


def _months_later(day: date, months: int) -> date:
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _paused(end: date, stretches: Sequence[tuple[date, date]], roll: Holidays | None) -> tuple[date, int]:
    """The end moved on by each stretch that begins while the time still runs, and by how many days."""
    paused = 0
    for begin, after in stretches:
        if begin > _rolled(end, roll):
            break
        paused += (after - begin).days
        end += after - begin
    return _rolled(end, roll), paused


def _rolled(day: date, holidays: Holidays | None) -> date:
    while holidays is not None and not is_working(day, holidays):
        day += _DAY
    return day


def _merged(pauses: Pauses, received: date, asked: Sequence[Pause]) -> tuple[tuple[date, date], ...]:
    """The days that do not count, as stretches from a first day to the day after the last; none overlap."""
    more = _DAY if pauses is Pauses.THROUGH_ANSWER else timedelta()
    first = received + more  # whole days stand still: that of receipt, day 0, has none to lose
    merged: list[tuple[date, date]] = []
    for pause in sorted(asked, key=lambda each: each.begin):
        if pause.end is None:
            continue
        if pause.end < pause.begin:
            raise _refused("/paused", "a pause ends before it begins: give it as FROM:TO")
        begin, after = max(pause.begin, first), pause.end + more
        if merged:
            begin = max(begin, merged[-1][1])
        if begin < after:
            merged.append((begin, after))
    return tuple(merged)


def _minute(received: date | datetime) -> datetime:
    """The minute of a moment in UTC; of a day alone its first, and a moment without an offset is taken as UTC."""
    moment = received if isinstance(received, datetime) else datetime.combine(received, time.min)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).replace(second=0, microsecond=0)


def _refused(pointer: str, message: str) -> InputRefused:
    return InputRefused(message, (FieldFault(pointer, message),))
