"""Writes what must be told in the transaction of the change, and numbers it after the commit; tells nobody itself.

A number given inside the transaction would leave gaps that fill later, and a reader would pass over them. So a change
arrives without one, and whoever looks for changes first numbers what has been committed, one at a time.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

import sqlalchemy as sa

from consent_gateway.database import DRIVER_ERRORS, reading_connection, to_micros
from consent_gateway.errors import DatabaseUnavailable, KeysDestroyed
from consent_gateway.ports import Clock
from consent_gateway.propagation.tables import CHANGES, PARTING_NAMES
from consent_gateway.vocabulary import ConsentEvent, EventKind

PARTING_LIFE = timedelta(days=30)
"""How long a recipient can be told under its own name for them that somebody was erased."""

_LOCK_NUMBER = 0x6368616E  # "chan": the advisory lock of whoever numbers
_BATCH = 1000
_UNNUMBERED = sa.select(CHANGES.c.arrival).where(CHANGES.c.number.is_(None)).order_by(CHANGES.c.arrival).limit(_BATCH)
_LAST = sa.select(sa.func.coalesce(sa.func.max(CHANGES.c.number), 0))
_NUMBER = sa.update(CHANGES).where(CHANGES.c.arrival == sa.bindparam("at")).values(number=sa.bindparam("given"))


class Names(Protocol):
    """What a person is called in the domain of one purpose and recipient."""

    def name(self, purpose: str, recipient: str, data_subject: str) -> str:
        """The pseudonym; raises `KeysDestroyed` for someone who was erased, and `KeysUnavailable`."""
        ...


class Outbox:
    """Announces committed choices. `domains` are the purposes and outside recipients of the policy."""

    def __init__(self, names: Names, domains: Sequence[tuple[str, str]], clock: Clock) -> None:
        self._names = names
        self._domains = tuple(domains)
        self._clock = clock

    def announce_in(self, connection: sa.Connection, committed: Sequence[ConsentEvent]) -> None:
        """Write one row for each event, in their order, inside the transaction that appends them to the ledger.

        For someone who is being erased, also what each recipient calls them: their keys are gone a moment later.
        Raises `KeysUnavailable` where that cannot be found out, and then the transaction must not commit.
        """
        if not committed:
            return
        connection.execute(sa.insert(CHANGES), [{"event_id": each.event_id} for each in committed])
        rows = [row for each in committed if each.event.kind is EventKind.ERASED for row in self._parting(each)]
        if rows:
            connection.execute(sa.insert(PARTING_NAMES), rows)

    def _parting(self, erased: ConsentEvent) -> list[dict[str, object]]:
        expires_at = to_micros(self._clock.now() + PARTING_LIFE)
        person, rows = erased.event.data_subject, []
        for purpose, recipient in self._domains:
            try:
                name = self._names.name(purpose, recipient, person)
            except KeysDestroyed:
                return []  # destroyed long ago, by an act that was cut short: nobody can name them any more
            rows.append(
                {
                    "event_id": erased.event_id,
                    "purpose": purpose,
                    "recipient": recipient,
                    "name": name,
                    "expires_at": expires_at,
                }
            )
        return rows


def number(engine: sa.Engine) -> int:
    """Number what was committed and has no number; returns the last number there is. Raises `DatabaseUnavailable`.

    Of two who number at once one goes first and the other sees its numbers.
    """
    try:
        with reading_connection(engine) as connection:
            if connection.execute(_UNNUMBERED.limit(1)).first() is None:
                return int(connection.execute(_LAST).scalar_one())
        while True:
            with engine.begin() as connection:
                last, found = _number_some(connection)
            if found < _BATCH:
                return last
    except DRIVER_ERRORS as error:
        raise DatabaseUnavailable("the changes could not be numbered: ask again") from error


def purge_parting_names(engine: sa.Engine, now: datetime) -> int:
    """Forget what erased people were called, once it was long enough for every recipient to be told; how many rows."""
    try:
        with engine.begin() as connection:
            expired = sa.delete(PARTING_NAMES).where(PARTING_NAMES.c.expires_at <= to_micros(now))
            return connection.execute(expired).rowcount
    except DRIVER_ERRORS as error:
        raise DatabaseUnavailable("the parting names could not be purged: it will be tried again") from error


def _number_some(connection: sa.Connection) -> tuple[int, int]:
    if connection.dialect.name == "postgresql":  # on SQLite the transaction has the whole file
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_NUMBER)))
    arrivals = connection.execute(_UNNUMBERED).scalars().all()
    last = int(connection.execute(_LAST).scalar_one())
    if arrivals:
        rows = [{"at": arrival, "given": last + n} for n, arrival in enumerate(arrivals, 1)]
        connection.execute(_NUMBER, rows)
    return last + len(arrivals), len(arrivals)
