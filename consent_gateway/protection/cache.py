"""A small memory of unwrapped keys of people, by time and by number; survives no destruction in its own process."""

import threading
from collections import OrderedDict
from datetime import datetime, timedelta

from consent_gateway.ports import Clock
from consent_gateway.protection.material import PersonKeys

LIFE = timedelta(seconds=60)
"""How long a process may go on using keys that another process destroyed."""
_MOST = 4096


class PersonKeyCache:
    """Keys of the people used last. `generation` changes with every `forget`.

    Who reads the key table passes the generation from before the read to `put`, so that keys read just before they
    were destroyed are not put back after.
    """

    def __init__(self, clock: Clock, most: int = _MOST) -> None:
        self._clock = clock
        self._most = most
        self._kept: OrderedDict[str, tuple[datetime, PersonKeys]] = OrderedDict()
        self._lock = threading.Lock()
        self.generation = 0

    def get(self, data_subject: str) -> PersonKeys | None:
        """The keys, if they were put less than 60 seconds ago by a clock that has not gone backwards."""
        now = self._clock.now()
        with self._lock:
            found = self._kept.get(data_subject)
            if found is None:
                return None
            if timedelta() <= now - found[0] < LIFE:
                return found[1]
            del self._kept[data_subject]
            return None

    def put(self, keys: PersonKeys, generation: int) -> None:
        """Keep these keys, unless something was forgotten since `generation`."""
        now = self._clock.now()
        with self._lock:
            if generation != self.generation:
                return
            self._kept[keys.data_subject] = (now, keys)
            self._kept.move_to_end(keys.data_subject)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def forget(self, data_subject: str | None) -> None:
        """Drop one person's keys, or with None those of everybody."""
        with self._lock:
            self.generation += 1
            if data_subject is None:
                self._kept.clear()
            else:
                self._kept.pop(data_subject, None)
