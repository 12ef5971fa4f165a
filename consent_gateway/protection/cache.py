"""A small memory of unwrapped keys of people, by time and by number; survives no destruction in its own process.

`Watch` brings the destructions of other processes in: at most once a second it reads two numbers that go up with them.
"""

import threading
from datetime import datetime, timedelta

import sqlalchemy as sa

from consent_gateway.ports import Clock
from consent_gateway.protection.key_database import KeyDatabase
from consent_gateway.protection.material import PersonKeys
from consent_gateway.protection.tables import KEY_MARKS

LIFE = timedelta(seconds=60)
"""How long keys of a person stay in memory without being read again."""
WATCH = timedelta(seconds=1)
"""How long a process may go on using keys that another process destroyed."""
_MOST = 4096
_NOTHING: frozenset[str] = frozenset()


class PersonKeyCache:
    """Keys of the people used last. `generation` changes with every `forget`.

    Who reads the key table passes the generation from before the read to `put`, so that keys read just before they
    were destroyed are not put back after.
    """

    def __init__(self, clock: Clock, most: int = _MOST) -> None:
        self._clock = clock
        self._most = most
        self._kept: dict[str, tuple[datetime, datetime, PersonKeys]] = {}  # from when, to when; the oldest first
        self._lock = threading.Lock()  # for writing; a read is one atomic look-up
        self.generation = 0

    def get(self, data_subject: str) -> PersonKeys | None:
        """The keys, if they were put less than 60 seconds ago by a clock that has not gone backwards."""
        found = self._kept.get(data_subject)
        if found is None:
            return None
        if found[0] <= self._clock.now() < found[1]:
            return found[2]
        with self._lock:
            if self._kept.get(data_subject) is found:
                del self._kept[data_subject]
        return None

    def put(self, keys: PersonKeys, generation: int) -> None:
        """Keep these keys, unless something was forgotten since `generation`."""
        now = self._clock.now()
        with self._lock:
            if generation != self.generation:
                return
            self._kept.pop(keys.data_subject, None)
            self._kept[keys.data_subject] = (now, now + LIFE, keys)
            if len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]  # dicts keep the order of insertion

    def forget(self, data_subject: str | None) -> None:
        """Drop one person's keys, or with None those of everybody."""
        with self._lock:
            self.generation += 1
            if data_subject is None:
                self._kept.clear()
            else:
                self._kept.pop(data_subject, None)


class Watch:
    """Tells a process that keys were destroyed, or an epoch closed, in any process since it last looked."""

    def __init__(self, database: KeyDatabase, clock: Clock) -> None:
        self._clock = clock
        self._read = database.prepared(sa.select(KEY_MARKS.c.name, KEY_MARKS.c.value))
        self._seen: dict[str, int] = {}
        self._looked: tuple[datetime, datetime] | None = None  # when, and until when that is enough
        self._looking = threading.Lock()

    def changed(self) -> frozenset[str]:
        """Which of `destroyed` and `closed` went up since the last look; looks once a second at most.

        To be asked before keys are read from memory or from the table, so that a change right after is seen by the
        next look. Raises `DatabaseUnavailable`, and looks again at the next call: a process that cannot look does not
        know what was destroyed.
        """
        now = self._clock.now()
        looked = self._looked
        if looked is not None and looked[0] <= now < looked[1]:
            return _NOTHING
        if not self._looking.acquire(blocking=self._looked is None):
            return _NOTHING  # another thread is looking; the first look of all is waited for
        try:
            marks: dict[str, int] = dict(self._read.rows())
            changed = frozenset(name for name, value in marks.items() if value != self._seen.get(name, 0))
            self._seen, self._looked = marks, (now, now + WATCH)
            return changed
        finally:
            self._looking.release()
