"""What Prometheus is told: how log, requests and deliveries stand, as numbers by closed labels; changes nothing.

No label holds an id of a person, a client or a destination: metrics travel further than reports, and are kept longer.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import sqlalchemy as sa

from consent_gateway import __version__
from consent_gateway.audit.log import AuditLog
from consent_gateway.audit.status import log_status
from consent_gateway.audit.tables import AUDIT_STREAMS
from consent_gateway.callers.transactions import reading
from consent_gateway.ports import Clock
from consent_gateway.propagation.destinations import Destinations
from consent_gateway.rights.states import OPEN
from consent_gateway.rights.tables import RIGHTS_REQUESTS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SOON = timedelta(days=3)
_PREFIX = "consent_gateway"

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Gauge:
    """One metric: its name, its meaning, a value for each set of labels."""

    name: str
    meaning: str
    values: Mapping[Labels, float] = field(default_factory=dict)
    is_count: bool = False  # it only goes up

    def lines(self) -> Iterator[str]:
        """The lines of the text format of Prometheus."""
        yield f"# HELP {self.name} {self.meaning}"
        yield f"# TYPE {self.name} {'counter' if self.is_count else 'gauge'}"
        for labels, value in self.values.items():
            named = ",".join(f'{name}="{_escaped(word)}"' for name, word in labels)
            yield f"{self.name}{f'{{{named}}}' if named else ''} {value:.15g}"


class Metrics:
    """Reads the numbers anew at each scrape. Safe to share between threads."""

    def __init__(
        self,
        engine: sa.Engine,
        log: AuditLog,
        destinations: Destinations,
        revision: str,
        clock: Clock,
        traces_lost: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._log = log
        self._destinations = destinations
        self._revision = revision
        self._clock = clock
        self._traces_lost = traces_lost

    def text(self) -> str:
        """All metrics in the text format. Raises `DatabaseUnavailable`: a scrape that fails is seen as such."""
        return "\n".join([*(line for gauge in self.gauges() for line in gauge.lines()), ""])

    def gauges(self) -> Iterator[Gauge]:
        """Every metric; one without a value at present stands there without a line."""
        about = (("version", __version__), ("policy_revision", self._revision))
        yield Gauge(f"{_PREFIX}_info", "Version and policy revision of the process that answered.", {about: 1})
        with reading(self._engine) as connection:
            status = log_status(connection, self._clock.now())
            streams = connection.execute(sa.select(AUDIT_STREAMS.c.name, AUDIT_STREAMS.c.position)).all()
            due = self._due(connection)
        for name, meaning, value in status.metrics():
            yield Gauge(name, meaning, {(): value})
        yield Gauge(f"{_PREFIX}_log_waiting_entries", "Entries that wait to be sealed.", {(): self._log.waiting()})
        behind: dict[Labels, float] = {
            (("stream", str(row.name)),): float(max(0, status.size - row.position)) for row in streams
        }
        yield Gauge(f"{_PREFIX}_stream_behind_entries", "Sealed entries that a SIEM was not told of yet.", behind)
        yield Gauge(f"{_PREFIX}_rights_requests", "Open rights requests, by when the next answer is due.", due)
        yield from self._deliveries()
        lost: dict[Labels, float] = {(): self._traces_lost()}
        yield Gauge(f"{_PREFIX}_trace_spans_dropped_total", "Spans that could not be sent.", lost, is_count=True)

    def _due(self, connection: sa.Connection) -> dict[Labels, float]:
        """Open requests by when something is owed: days that are over, soon, later, or none."""
        column, today = RIGHTS_REQUESTS.c, self._clock.now().date()
        counted: dict[str, float] = dict.fromkeys(("overdue", "soon", "later", "none"), 0)
        still = (column.state.in_(sorted(OPEN)), column.joined_to.is_(None))
        grouped = sa.select(column.next_by, sa.func.count()).where(*still).group_by(column.next_by)
        for day, count in connection.execute(grouped):
            over, soon = today.isoformat(), (today + SOON).isoformat()
            when = "none" if day is None else "overdue" if day < over else "soon" if day <= soon else "later"
            counted[when] += count
        return {(("due", when),): count for when, count in counted.items()}

    def _deliveries(self) -> Iterator[Gauge]:
        """How changed choices are on their way, summed over the destinations of each kind."""
        now = self._clock.now()
        waiting: dict[Labels, float] = {}
        dead: dict[Labels, float] = {}
        oldest: dict[Labels, float] = {}
        for place in self._destinations.all():
            lag, kind = self._destinations.lag(place), (("kind", place.kind),)
            age = 0.0 if lag.since is None else max(0.0, (now - lag.since).total_seconds())
            waiting[kind] = waiting.get(kind, 0) + lag.untold + lag.waiting
            dead[kind] = dead.get(kind, 0) + lag.dead
            oldest[kind] = max(oldest.get(kind, 0), age)
        yield Gauge(f"{_PREFIX}_changes_waiting", "Changed choices that destinations still have to be told.", waiting)
        yield Gauge(f"{_PREFIX}_changes_given_up", "Changed choices that were given up for a destination.", dead)
        yield Gauge(f"{_PREFIX}_changes_oldest_seconds", "Age of the oldest change not put to a destination.", oldest)


def _escaped(word: str) -> str:
    return word.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
