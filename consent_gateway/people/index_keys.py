"""The index keys in use, newest first, as the gateway database lists them; makes and retires none by itself.

A process keeps the list in memory together with its generation. Every read of an identifier brings the present
generation along, and every write holds it, so a process whose list is old learns it before it answers or writes:
no clock and no message between processes is needed for a rotation.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import sqlalchemy as sa

from consent_gateway.database import DRIVER_ERRORS, reading_connection
from consent_gateway.errors import DatabaseUnavailable, KeysUnavailable
from consent_gateway.people.normalise import NORMALISATION_VERSION
from consent_gateway.people.tables import INDEX_GENERATION, INDEX_KEYS
from consent_gateway.protection.material import NamedKey

EXACT = "exact"
FILLING, FILLED, DROPPED = "filling", "filled", "dropped"
"""States of a listed key: what the store holds is being brought under it; is under it; nothing is, nobody reads it."""

MOST_KEYS = 4
"""How many index keys of one kind and mode can be in use at once: what one statement looks up."""

_LIST = (
    sa.select(
        INDEX_GENERATION.c.generation, INDEX_KEYS.c.kind, INDEX_KEYS.c.mode, INDEX_KEYS.c.key_id, INDEX_KEYS.c.rule
    )
    .select_from(INDEX_GENERATION.outerjoin(INDEX_KEYS, INDEX_KEYS.c.state != DROPPED))
    .order_by(INDEX_KEYS.c.kind, INDEX_KEYS.c.mode, INDEX_KEYS.c.position.desc())
)
_HOLD = sa.select(INDEX_GENERATION.c.generation)


class KeySource(Protocol):
    """What this module needs of the key ring."""

    def index_versions(self, kind: str, mode: str, rule: int) -> tuple[NamedKey, ...]:
        """The versions of an index key that are not retired, newest first; the first is made if there is none."""
        ...

    def index_key(self, key_id: str) -> NamedKey:
        """One version by its id. Raises `KeysUnavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class IndexKey:
    """One index key in use. `rule` is the version of the normalisation its indexes are made with."""

    key_id: str
    rule: int
    secret: bytes


@dataclass(frozen=True, slots=True)
class Listed:
    """The keys of one kind and mode, newest first, at one generation of the list."""

    generation: int
    keys: tuple[IndexKey, ...]


@dataclass(frozen=True, slots=True)
class _Snapshot:
    generation: int
    keys: Mapping[tuple[str, str], tuple[IndexKey, ...]]


class IndexKeys:
    """The list of one process. Safe to share between threads."""

    def __init__(self, engine: sa.Engine, source: KeySource) -> None:
        self._engine = engine
        self._source = source
        self._snapshot = _Snapshot(0, MappingProxyType({}))
        self._lock = threading.Lock()

    def prepare(self, wanted: Iterable[tuple[str, str]]) -> None:
        """List a first key for each of these (kind, mode) that has none. Done once, when a process starts."""
        self.reload()
        missing = sorted(pair for pair in set(wanted) if pair not in self._snapshot.keys)
        if not missing:
            return
        made = {pair: self._source.index_versions(*pair, NORMALISATION_VERSION)[0] for pair in missing}
        try:
            with self._engine.begin() as connection:
                hold(connection, alone=True)
                there = {(row.kind, row.mode) for row in connection.execute(sa.select(INDEX_KEYS))}
                for pair in missing:
                    if pair not in there:  # another process may have been first
                        list_key(connection, *pair, made[pair].key_id, NORMALISATION_VERSION, FILLED)
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the index keys could not be listed: mend the gateway database") from error
        self.reload()

    def listed(self, kind: str, mode: str) -> Listed:
        """The keys of one kind and mode. Raises `KeysUnavailable` where none is listed."""
        snapshot = self._snapshot
        keys = snapshot.keys.get((kind, mode))
        if keys is None:
            self.reload()
            snapshot = self._snapshot
            keys = snapshot.keys.get((kind, mode))
        if not keys:
            raise KeysUnavailable(f"no index key for `{kind}` `{mode}` is listed: restart the gateway, which lists it")
        return Listed(snapshot.generation, keys)

    def settle(self, connection: sa.Connection) -> None:
        """Hold the list as it is until this transaction ends, and know it.

        To be called at the start of every transaction that writes indexes: what is written under a key while it is
        in use can then not be missed by the step that takes the key out of use.
        """
        if hold(connection) != self._snapshot.generation:
            self._take(connection)

    def reload(self) -> None:
        """Read the list anew. Raises `DatabaseUnavailable` and `KeysUnavailable`."""
        try:
            with reading_connection(self._engine) as connection:
                self._take(connection)
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the list of index keys could not be read: try again") from error

    def _take(self, connection: sa.Connection) -> None:
        with self._lock:
            rows = connection.execute(_LIST).all()
            if not rows:
                raise DatabaseUnavailable("the list of index keys has no generation: run `consent-gateway db upgrade`")
            keys: dict[tuple[str, str], list[IndexKey]] = {}
            for row in rows:
                if row.key_id is not None:
                    key = IndexKey(row.key_id, row.rule, self._source.index_key(row.key_id).secret)
                    keys.setdefault((row.kind, row.mode), []).append(key)
            if rows[0].generation >= self._snapshot.generation:  # a slower thread may bring an older list
                found = {pair: tuple(of_pair) for pair, of_pair in keys.items()}
                self._snapshot = _Snapshot(rows[0].generation, MappingProxyType(found))


def hold(connection: sa.Connection, *, alone: bool = False) -> int:
    """The generation, held until the transaction ends: `alone` by the one that changes the list, else with others."""
    generation: int = connection.execute(_HOLD.with_for_update(read=not alone)).scalar_one()
    return generation


def list_key(connection: sa.Connection, kind: str, mode: str, key_id: str, rule: int, state: str) -> None:
    """Put a key at the head of the list of its kind and mode; `hold` it alone first, and `bump` a list in use."""
    pair = (INDEX_KEYS.c.kind == kind, INDEX_KEYS.c.mode == mode)
    last = connection.execute(sa.select(sa.func.max(INDEX_KEYS.c.position)).where(*pair)).scalar_one() or 0
    row = {"kind": kind, "mode": mode, "position": last + 1, "key_id": key_id, "rule": rule, "state": state}
    connection.execute(sa.insert(INDEX_KEYS), [row])


def bump(connection: sa.Connection) -> None:
    """Raise the generation, so that every process reads the list anew before its next answer."""
    connection.execute(sa.update(INDEX_GENERATION).values(generation=INDEX_GENERATION.c.generation + 1))
