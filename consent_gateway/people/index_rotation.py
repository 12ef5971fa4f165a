"""Takes an index key out of use step by step: a new one is listed, everything is moved under it, the old one goes.

Each step is a transaction or a run that can be ended at any moment and done again. Between any two of them, and in
every process, everybody is found: `index_keys` says why. A key goes only when nothing stands under it; an identifier
that is known by a choice alone cannot be computed anew, so its key stays until the person next appears.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.database import DRIVER_ERRORS, reading_connection
from consent_gateway.errors import Conflict, DatabaseUnavailable, InputRefused, NotFound
from consent_gateway.ids import new_id
from consent_gateway.people.enrolment import Enrolment, Progress
from consent_gateway.people.index_keys import (
    DROPPED,
    EXACT,
    FILLED,
    FILLING,
    MOST_KEYS,
    KeySource,
    bump,
    hold,
    list_key,
)
from consent_gateway.people.normalise import KINDS, NORMALISATION_VERSION
from consent_gateway.people.tables import IDENTIFIERS, INDEX_KEYS, SEARCH_INDEXES
from consent_gateway.ports import Clock
from consent_gateway.protection.material import NamedKey
from consent_gateway.vocabulary import SEARCH_MODES


class RotatingSource(KeySource, Protocol):
    """What a rotation needs of the key ring besides."""

    def rotate_index(self, kind: str, mode: str, rule: int) -> NamedKey:
        """A further version of an index key, used by nobody yet."""
        ...

    def retire_index(self, key_id: str) -> None:
        """Take an index key out of use for good."""
        ...


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation came to. `left` counts what still stands under older keys, which stay in use for it."""

    kind: str
    mode: str
    key_id: str
    retired: tuple[str, ...]
    left: int


class IndexRotation:
    """Rotates the index keys of one tenant."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        source: RotatingSource,
        enrolment: Enrolment,
        record_in: Callable[[sa.Connection, Entry], None],
        clock: Clock,
        rule: int = NORMALISATION_VERSION,
    ) -> None:
        self._engine = engine
        self._source = source
        self._enrolment = enrolment
        self._record_in = record_in
        self._clock = clock
        self._rule = rule

    def run(self, kind: str, mode: str, progress: Progress, *, new_key: bool = True) -> Rotated:
        """The whole rotation; ended at any moment, it goes on from there when it is run again.

        Without `new_key` it only ends what earlier ones left. Raises `InputRefused` for a kind or mode there is not,
        `Conflict` where there is no key to rotate or too many are in use.
        """
        if kind not in KINDS or (mode != EXACT and mode not in SEARCH_MODES.get(kind, ())):
            fits = ", ".join(f"`{each}`" for each in (EXACT, *sorted(SEARCH_MODES.get(kind, ()))))
            raise InputRefused(f"no such index: the kinds are {', '.join(sorted(KINDS))}, the modes of this one {fits}")
        if new_key:
            self.begin(kind, mode)
        self.fill(progress)
        left = self.drop(kind, mode)
        return Rotated(kind, mode, self._in_use(kind, mode)[0].key_id, self.retire(kind, mode), left)

    def begin(self, kind: str, mode: str) -> str:
        """List a new key, unless one that is listed is still being filled; from now on it is the one written under."""
        listed = self._listed(kind, mode)
        in_use = [each for each in listed if each.state != DROPPED]
        if not in_use:
            raise Conflict(f"no index key for `{kind}` `{mode}` is in use: there is nothing to rotate")
        if in_use[0].state == FILLING and in_use[0].rule == self._rule:
            return str(in_use[0].key_id)
        if len(in_use) >= MOST_KEYS:
            raise Conflict(f"{MOST_KEYS} index keys are in use already: the people under the oldest must appear first")
        # A rotation that was ended here left a key that nobody uses yet: it is taken rather than a further one.
        newest = self._source.index_versions(kind, mode, self._rule)[0]
        known = {each.key_id for each in listed}
        key = newest if newest.key_id not in known else self._source.rotate_index(kind, mode, self._rule)
        with self._transaction() as connection:
            hold(connection, alone=True)
            if _rows(connection, kind, mode)[0].key_id != listed[0].key_id:
                raise Conflict("another rotation of this index key began at this moment: run it again")
            list_key(connection, kind, mode, key.key_id, self._rule, FILLING)
            bump(connection)
            self._record_in(connection, self._entry("begin_index_key", kind, mode, key.key_id))
        return key.key_id

    def fill(self, progress: Progress) -> None:
        """Bring what the store holds under the newest keys: an enrolment run, which does so as it goes."""
        self._enrolment.run(progress)

    def drop(self, kind: str, mode: str) -> int:
        """Take every older key under which nothing stands out of the list; returns what is left under the others.

        What is left of a search is of people whom the store no longer has; nobody is found by it, so it is deleted.
        """
        newest, *older = self._in_use(kind, mode)
        left = 0
        for old in older:
            with self._transaction() as connection:
                hold(connection, alone=True)  # no write under the old key is under way, and none begins
                if mode != EXACT:
                    connection.execute(sa.delete(SEARCH_INDEXES).where(*_under(SEARCH_INDEXES, kind, old.key_id)))
                count = sa.select(sa.func.count()).select_from(IDENTIFIERS)
                remains: int = connection.execute(count.where(*_under(IDENTIFIERS, kind, old.key_id))).scalar_one()
                left += remains
                if remains == 0:
                    _state(connection, old.key_id, DROPPED)
                    bump(connection)
                    self._record_in(connection, self._entry("drop_index_key", kind, mode, old.key_id))
        with self._transaction() as connection:
            _state(connection, newest.key_id, FILLED)
        return left

    def retire(self, kind: str, mode: str) -> tuple[str, ...]:
        """Retire the keys that are out of the list, so that they open nothing any more; returns their ids."""
        dropped = [each.key_id for each in self._listed(kind, mode) if each.state == DROPPED]
        for key_id in dropped:
            with contextlib.suppress(NotFound):  # a run that was ended here has retired it
                self._source.retire_index(key_id)
            with self._transaction() as connection:
                connection.execute(sa.delete(INDEX_KEYS).where(INDEX_KEYS.c.key_id == key_id))
        return tuple(dropped)

    def _in_use(self, kind: str, mode: str) -> Sequence[sa.Row[Any]]:
        return [each for each in self._listed(kind, mode) if each.state != DROPPED]

    def _listed(self, kind: str, mode: str) -> Sequence[sa.Row[Any]]:
        try:
            with reading_connection(self._engine) as connection:
                return _rows(connection, kind, mode)
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the list of index keys could not be read: try again") from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the rotation stopped: mend the gateway database and run it again") from error

    def _entry(self, action: str, kind: str, mode: str, key_id: str) -> Entry:
        now = self._clock.now()
        detail = {"kind": kind, "mode": mode, "key": key_id}
        return Entry(new_id("key", now), EntryKind.SYSTEM, now, action=action, detail=detail)


def _rows(connection: sa.Connection, kind: str, mode: str) -> Sequence[sa.Row[Any]]:
    """The rows of one kind and mode, newest first, those that are dropped but not retired yet included."""
    of_pair = (INDEX_KEYS.c.kind == kind, INDEX_KEYS.c.mode == mode)
    return connection.execute(sa.select(INDEX_KEYS).where(*of_pair).order_by(INDEX_KEYS.c.position.desc())).all()


def _state(connection: sa.Connection, key_id: str, state: str) -> None:
    connection.execute(sa.update(INDEX_KEYS).where(INDEX_KEYS.c.key_id == key_id).values(state=state))


def _under(table: sa.Table, kind: str, key_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.kind == kind, table.c.blind_index.startswith(f"{key_id}.")
