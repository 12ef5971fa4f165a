"""Keys that belong to no one person: of domains, tokens, indexes and services; made on first use, wrapped by the root.

A key is known by its kind and name. Whoever needs one first makes it, and of two processes that do so at once one wins
and both use its key. They may stay in memory for the life of the process.
"""

import json
import threading

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consent_gateway.database import to_micros
from consent_gateway.errors import KeysUnavailable, NotFound
from consent_gateway.ports import Clock, KeyProvider
from consent_gateway.protection.key_database import KeyDatabase
from consent_gateway.protection.material import NamedKey, draw_key, draw_key_id
from consent_gateway.protection.primitives import bind
from consent_gateway.protection.tables import NAMED_KEYS

_ATTEMPTS = 8  # at drawing a key id nobody has; of a million ids a thousand may be taken

_NAMED = (
    sa.select(NAMED_KEYS.c.version, NAMED_KEYS.c.key_id, NAMED_KEYS.c.wrapped)
    .where(
        NAMED_KEYS.c.kind == sa.bindparam("kind"),
        NAMED_KEYS.c.name == sa.bindparam("name"),
        NAMED_KEYS.c.retired_at.is_(None),
    )
    .order_by(NAMED_KEYS.c.version.desc())
    .limit(1)
)


class NamedKeys:
    """The named keys of one tenant. Safe to share between threads."""

    def __init__(self, provider: KeyProvider, database: KeyDatabase, tenant: str, clock: Clock) -> None:
        self._provider = provider
        self._database = database
        self._tenant = tenant
        self._clock = clock
        self._read = database.prepared(_NAMED)
        self._made: dict[tuple[str | int, ...], NamedKey] = {}  # by kind and name
        self._lock = threading.Lock()

    def key(self, kind: str, parts: tuple[str | int, ...]) -> NamedKey:
        """The present key of this kind and name; raises `KeysUnavailable` where it does not open."""
        cached = self._made.get((kind, *parts))
        if cached is not None:
            return cached
        name = _name(parts)
        rows = self._read.rows(kind=kind, name=name)
        for _attempt in range(_ATTEMPTS):
            if rows:
                break
            self._offer(kind, name)
            rows = self._read.rows(kind=kind, name=name)  # ours, or that of whoever was first
        if not rows:
            raise KeysUnavailable(f"no present {kind} key could be made: see the inventory for retired ones")
        version, key_id, wrapped = rows[0]
        secret = self._provider.unwrap(wrapped, self._context(kind, name, version, key_id))
        with self._lock:
            return self._made.setdefault((kind, *parts), NamedKey(key_id, secret))

    def versions(self, kind: str, parts: tuple[str | int, ...]) -> tuple[NamedKey, ...]:
        """Every version of this kind and name that is not retired, newest first; the first is made if there is none."""
        self.key(kind, parts)
        n = NAMED_KEYS.c
        unretired = (n.kind == kind, n.name == _name(parts), n.retired_at.is_(None))
        with self._database.reading() as connection:
            ids = connection.execute(sa.select(n.key_id).where(*unretired).order_by(n.version.desc())).scalars().all()
        return tuple(self.by_id(kind, key_id) for key_id in ids)

    def by_id(self, kind: str, key_id: str) -> NamedKey:
        """The version with this id; raises `KeysUnavailable` where there is none, or it is retired."""
        cached = self._made.get((kind, "id", key_id))
        if cached is not None:
            return cached
        n = NAMED_KEYS.c
        read = sa.select(n.name, n.version, n.wrapped).where(n.kind == kind, n.key_id == key_id, n.retired_at.is_(None))
        with self._database.reading() as connection:
            row = connection.execute(read).one_or_none()
        if row is None:
            raise KeysUnavailable(f"no {kind} key that is in use has this id: see the inventory for retired ones")
        secret = self._provider.unwrap(row.wrapped, self._context(kind, row.name, row.version, key_id))
        with self._lock:
            return self._made.setdefault((kind, "id", key_id), NamedKey(key_id, secret))

    def rotate(self, kind: str, parts: tuple[str | int, ...]) -> NamedKey:
        """Make a further version of this kind and name, durably; the ones before stay as they are."""
        newest = self.versions(kind, parts)[0]
        n = NAMED_KEYS.c
        with self._database.reading() as connection:
            highest = connection.execute(
                sa.select(sa.func.max(n.version)).where(n.kind == kind, n.name == _name(parts))
            ).scalar_one()
        self._offer(kind, _name(parts), highest + 1)
        made = self.versions(kind, parts)[0]
        if made.key_id == newest.key_id:
            raise KeysUnavailable(f"no further {kind} key could be made: run it again")
        return made

    def retire(self, kind: str, key_id: str) -> None:
        """Take a version out of use for good; raises `NotFound` where there is no such one."""
        n = NAMED_KEYS.c
        now = to_micros(self._clock.now())
        with self._database.transaction() as connection:
            changed = connection.execute(
                sa.update(NAMED_KEYS)
                .where(n.kind == kind, n.key_id == key_id, n.retired_at.is_(None))
                .values(retired_at=now)
            )
        if not changed.rowcount:
            raise NotFound(f"no {kind} key that is in use has this id")
        self.forget()

    def _offer(self, kind: str, name: str, version: int = 1) -> None:
        key_id = draw_key_id()
        row = {
            "kind": kind,
            "name": name,
            "version": version,
            "key_id": key_id,
            "wrapped": self._provider.wrap(draw_key(), self._context(kind, name, version, key_id)),
            "created_at": to_micros(self._clock.now()),
        }
        with self._database.transaction() as connection:
            connection.execute(self._database.insert_if_absent(NAMED_KEYS), row)

    def _context(self, kind: str, name: str, version: int, key_id: str) -> bytes:
        return bind("named/1", self._tenant, kind, name, version, key_id)

    def wrapped(self, connection: Connection) -> list[tuple[bytes, bytes]]:
        """Every present key as it is kept, with the context the provider opens it in."""
        c = NAMED_KEYS.c
        statement = sa.select(c.kind, c.name, c.version, c.key_id, c.wrapped).where(c.retired_at.is_(None))
        return [(row.wrapped, self._context(*row[:4])) for row in connection.execute(statement)]

    def forget(self) -> None:
        """Drop what is unwrapped in memory."""
        with self._lock:
            self._made.clear()


def _name(parts: tuple[str | int, ...]) -> str:
    return json.dumps(parts, separators=(",", ":"))
