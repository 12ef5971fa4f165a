"""The look-up allowance of each client and minute, across all processes; knows nothing of HTTP and of people.

Two things are counted: look-ups, which are people named by an identifier or a search, and misses, which are answers
that tell nothing. An enumeration is many misses, so of these there are far fewer. A process takes allowance in blocks
from a table, by a locked row, and spends it in memory: no call is answered beyond what was taken, and most calls cost
no statement. What an idle process has taken and not spent is lost to the minute: the bound is exact, its use is not.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

import sqlalchemy as sa

from consent_gateway.callers.tables import LOOKUP_ALLOWANCES
from consent_gateway.callers.transactions import transaction
from consent_gateway.database import to_micros
from consent_gateway.errors import TooManyRequests
from consent_gateway.people.linking import insert_ignoring
from consent_gateway.ports import Clock

LOOKUPS, MISSES = "lookups", "misses"
BLOCKS = 16
"""A process takes a sixteenth of the allowance at once, so few statements are asked of the table."""

_MINUTE = 60_000_000  # microseconds
_INSERT = insert_ignoring(LOOKUP_ALLOWANCES)


@dataclass(slots=True)
class _Lease:
    """What this process has of one client's allowance of one minute; `spent` once the table has no more."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    minute: int = -1
    left: int = 0
    spent: bool = False


class Lookup:
    """One call under way: its misses are told here before it is answered."""

    def __init__(self, limits: "Limits", client_id: str, minute: int) -> None:
        self._limits = limits
        self._client_id = client_id
        self._minute = minute
        self._reserved = 1

    def missed(self, count: int = 1) -> None:
        """Say that the answer tells nothing of so many people. Raises `TooManyRequests`, and it must not be given.

        A call that needs more misses than are left takes them all: otherwise it could be sent again in halves until
        it is known who was missed.
        """
        if count == 0:
            return
        beyond, self._reserved = count - self._reserved, 0
        if beyond > 0:
            self._limits.take(self._client_id, MISSES, beyond, self._minute, take_rest=True)

    def end(self) -> None:
        """Give back the miss that was set aside and did not happen."""
        if self._reserved:
            self._limits.give_back(self._client_id, self._minute)
            self._reserved = 0


class Limits:
    """The allowances as one process sees them. Safe to share between threads."""

    def __init__(self, engine: sa.Engine, clock: Clock, *, lookups_per_minute: int, misses_per_minute: int) -> None:
        self._engine = engine
        self._clock = clock
        self._allowed = MappingProxyType({LOOKUPS: lookups_per_minute, MISSES: misses_per_minute})
        self._leases: dict[tuple[str, str], _Lease] = {}

    @contextmanager
    def look_up(self, client_id: str, count: int = 1) -> Iterator[Lookup]:
        """Spend `count` look-ups of this minute, and set one miss aside for as long as the call runs.

        Raises `TooManyRequests` before anything is looked up where the client has none left of either, and
        `DatabaseUnavailable` where that cannot be known.
        """
        minute = self._minute()
        lookup = Lookup(self, client_id, minute)
        self.take(client_id, MISSES, 1, minute)  # first, for it can be given back
        try:
            self.take(client_id, LOOKUPS, count, minute)
            yield lookup
        finally:
            lookup.end()

    def take(self, client_id: str, counted: str, count: int, minute: int, *, take_rest: bool = False) -> None:
        """Spend `count` of one allowance, or raise `TooManyRequests`: nothing is spent, with `take_rest` the rest."""
        lease = self._leases.setdefault((client_id, counted), _Lease())
        with lease.lock:
            if lease.minute < minute:
                lease.minute, lease.left, lease.spent = minute, 0, False
            if lease.minute > minute:  # the call began in a minute that is over for this process
                raise self._refusal(counted)
            if lease.left < count and not lease.spent:
                granted, lease.spent = self._lease(client_id, counted, count - lease.left, minute, take_rest=take_rest)
                lease.left += granted
            if lease.left < count:
                if take_rest:
                    lease.left, lease.spent = 0, True
                raise self._refusal(counted)
            lease.left -= count

    def give_back(self, client_id: str, minute: int) -> None:
        """Return one miss to this process's lease, while its minute lasts."""
        lease = self._leases[client_id, MISSES]
        with lease.lock:
            if lease.minute == minute:
                lease.left += 1

    def purge(self) -> int:
        """Delete the counts of minutes that are over, and say how many."""
        with transaction(self._engine) as connection:
            over = LOOKUP_ALLOWANCES.c.minute < self._minute() - 1  # another machine's clock may be a little behind
            return connection.execute(sa.delete(LOOKUP_ALLOWANCES).where(over)).rowcount

    def _lease(self, client_id: str, counted: str, least: int, minute: int, *, take_rest: bool) -> tuple[int, bool]:
        """Take at least `least` from the table, a block if there is as much; nothing where there is less.

        Returns what was taken, and whether nothing is left.
        """
        allowed = self._allowed[counted]
        key = {"client_id": client_id, "counted": counted, "minute": minute}
        row = sa.and_(*(LOOKUP_ALLOWANCES.c[name] == value for name, value in key.items()))
        with transaction(self._engine) as connection:
            connection.execute(_INSERT[connection.dialect.name], [{**key, "taken": 0}])
            taken: int = connection.execute(
                sa.select(LOOKUP_ALLOWANCES.c.taken).where(row).with_for_update()
            ).scalar_one()
            block = min(max(least, allowed // BLOCKS), allowed - taken)
            if block < least and not take_rest:
                return 0, taken == allowed
            connection.execute(sa.update(LOOKUP_ALLOWANCES).where(row).values(taken=taken + block))
            return block, taken + block == allowed

    def _minute(self) -> int:
        return to_micros(self._clock.now()) // _MINUTE

    def _refusal(self, counted: str) -> TooManyRequests:
        now = to_micros(self._clock.now())
        seconds = -(-(_MINUTE - now % _MINUTE) // 1_000_000)
        what = "look-ups" if counted == LOOKUPS else "look-ups that find nothing"
        message = (
            f"the client has used up its {self._allowed[counted]} {what} of this minute: wait as `Retry-After` says,"
            " ask for fewer people at once, or name them by `data_subject`"
        )
        return TooManyRequests(message, seconds)
