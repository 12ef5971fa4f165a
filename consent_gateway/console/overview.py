"""What stands on the overview: due requests, choices, denials, deliveries, the log; reads counts, never the log itself.

Every query is bounded by an index, so that the page costs the same at ten million entries as at ten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from consent_gateway.audit.status import STALE
from consent_gateway.audit.tables import AUDIT_CHECKPOINTS
from consent_gateway.audit.verification import Standing, standing
from consent_gateway.callers.transactions import reading
from consent_gateway.console.counting import CHOICES, DECISIONS, DENIED, position
from consent_gateway.console.deliveries import Delivery, deliveries
from consent_gateway.console.tables import CONSOLE_COUNTS
from consent_gateway.database import from_micros
from consent_gateway.officers.tables import OFFICERS
from consent_gateway.ports import Clock
from consent_gateway.rights.states import OPEN, State
from consent_gateway.rights.tables import RIGHTS_REQUESTS
from consent_gateway.vocabulary import EventKind

DAYS = 30
SLOW = timedelta(hours=1)  # a change that a channel has not heard for so long is told as an alarm
WITHDRAWING = (EventKind.WITHDRAW, EventKind.REFUSE, EventKind.OBJECT, EventKind.OPT_OUT, EventKind.UNSUBSCRIBE)
_MOST_REASONS = 10
BUCKETS: tuple[tuple[str, int | None], ...] = (
    ("overdue", -1),
    ("today", 0),
    ("1_3", 3),
    ("4_7", 7),
    ("8_14", 14),
    ("later", None),
)
"""The days that are left, in groups: the name of each and its last day."""


@dataclass(frozen=True, slots=True)
class LogState:
    """How the log stands: `size` entries under the newest checkpoint, `counted` of them in the numbers shown."""

    size: int
    sealed_at: datetime | None
    verification: Standing | None
    stale: bool
    counted: int

    @property
    def failed(self) -> bool:
        """Whether verification found something."""
        return self.verification is not None and bool(self.verification.failure)


@dataclass(frozen=True, slots=True)
class Overview:
    """The numbers of one moment. `due` maps a group of days left to requests; the others are of the last 30 days."""

    at: datetime
    due: Mapping[str, int]
    withdrawals: Sequence[tuple[date, int]]
    decided: Mapping[str, int]
    denials: Sequence[tuple[str, int]]
    deliveries: Sequence[Delivery]
    log: LogState
    halted: int

    @property
    def slow(self) -> tuple[Delivery, ...]:
        """Destinations that are behind for too long."""
        return tuple(one for one in self.deliveries if one.since is not None and self.at - one.since > SLOW)

    @property
    def dead(self) -> int:
        """Changes that were given up."""
        return sum(one.dead for one in self.deliveries)

    @property
    def quiet(self) -> bool:
        """True where nothing on the page is an alarm."""
        alarms = (self.log.failed, self.log.stale, self.due["overdue"], self.slow, self.dead, self.halted)
        return not any(alarms)


class Overviews:
    """Reads overviews. Safe to share between threads."""

    def __init__(self, engine: sa.Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def read(self) -> Overview:
        """The overview as of now."""
        now = self._clock.now()
        today = now.astimezone(UTC).date()
        with reading(self._engine) as connection:
            counts = _counts(connection, today)
            halted = sa.select(sa.func.count()).select_from(OFFICERS).where(OFFICERS.c.alarm_at.is_not(None))
            return Overview(
                at=now,
                due=_due(connection, today),
                withdrawals=_withdrawals(counts, today),
                decided=_summed(counts, DECISIONS),
                denials=_most(_summed(counts, DENIED)),
                deliveries=deliveries(connection),
                log=log_state(connection, now),
                halted=int(connection.execute(halted).scalar_one()),
            )


def log_state(connection: sa.Connection, now: datetime) -> LogState:
    """How the log stands; the cosignatures are left to `audit.status`, which reads them all."""
    column = AUDIT_CHECKPOINTS.c
    newest = connection.execute(
        sa.select(column.size, column.issued_at).order_by(column.size.desc()).limit(1)
    ).one_or_none()
    found = standing(connection)
    verified_at = None if found is None else found.verified_at
    size = 0 if newest is None else int(newest.size)
    return LogState(
        size=size,
        sealed_at=None if newest is None else from_micros(newest.issued_at),
        verification=found,
        stale=size > 0 and (verified_at is None or now - verified_at > STALE),
        counted=position(connection),
    )


def _due(connection: sa.Connection, today: date) -> Mapping[str, int]:
    column = RIGHTS_REQUESTS.c
    lapsed = (column.state == State.IDENTITY_PENDING.value) & (column.prove_until < today.isoformat())
    open_ones = (
        column.state.in_(sorted(OPEN)),
        column.joined_to.is_(None),
        sa.not_(sa.func.coalesce(lapsed, sa.false())),
    )
    by_day = sa.select(column.next_by, sa.func.count()).where(*open_ones).group_by(column.next_by)
    due = dict.fromkeys((name for name, _last in BUCKETS), 0)
    for day, number in connection.execute(by_day):
        due[bucket_of(None if day is None else (date.fromisoformat(day) - today).days)] += number
    return due


def bucket_of(days_left: int | None) -> str:
    """The group of requests with so many days left; None for one that nothing is due for."""
    if days_left is None:
        return "later"
    return next(name for name, last in BUCKETS if last is None or days_left <= last)


def _counts(connection: sa.Connection, today: date) -> list[tuple[str, str, str, int]]:
    since = (today - timedelta(days=DAYS - 1)).isoformat()
    column = CONSOLE_COUNTS.c
    rows = connection.execute(sa.select(column.day, column.what, column.word, column.number).where(column.day >= since))
    return [(row.day, row.what, row.word, row.number) for row in rows]


def _withdrawals(counts: Sequence[tuple[str, str, str, int]], today: date) -> list[tuple[date, int]]:
    days = {today - timedelta(days=back): 0 for back in reversed(range(DAYS))}
    for day, what, word, number in counts:
        at = date.fromisoformat(day)
        if what == CHOICES and word in WITHDRAWING and at in days:
            days[at] += number
    return list(days.items())


def _summed(counts: Sequence[tuple[str, str, str, int]], asked: str) -> dict[str, int]:
    summed: dict[str, int] = {}
    for _day, what, word, number in counts:
        if what == asked:
            summed[word] = summed.get(word, 0) + number
    return summed


def _most(summed: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(summed.items(), key=lambda one: (-one[1], one[0]))[:_MOST_REASONS]
