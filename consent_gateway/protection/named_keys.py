"""Keys that belong to no one person: of domains, tokens, indexes and services; made on first use, wrapped by the root.

A key is known by its kind and name. Whoever needs one first makes it, and of two processes that do so at once one wins
and both use its key. They may stay in memory for the life of the process.
"""

import json
import threading

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consent_gateway.database import to_micros
from consent_gateway.errors import KeysUnavailable, ProtectionRefused
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
        name = json.dumps(parts, separators=(",", ":"))
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

    def existing(self, kind: str, parts: tuple[str | int, ...], key_id: str | None) -> NamedKey:
        """The key of this kind, name and id, or the present one for None; never makes one.

        Raises `ProtectionRefused` where this name has no such key and `KeysUnavailable` where it was retired.
        """
        name = json.dumps(parts, separators=(",", ":"))
        c = NAMED_KEYS.c
        statement = sa.select(c.version, c.key_id, c.wrapped, c.retired_at).where(c.kind == kind, c.name == name)
        chosen = c.retired_at.is_(None) if key_id is None else c.key_id == key_id
        with self._database.reading() as connection:
            found = connection.execute(statement.where(chosen).order_by(c.version.desc()).limit(1)).first()
        if found is None:
            raise ProtectionRefused("no such key belongs to this purpose and recipient: name those it was made for")
        if found.retired_at is not None:
            raise KeysUnavailable("the key of this token was retired: it cannot be turned back any more")
        secret = self._provider.unwrap(found.wrapped, self._context(kind, name, found.version, found.key_id))
        return NamedKey(found.key_id, secret)

    def _offer(self, kind: str, name: str) -> None:
        key_id = draw_key_id()
        with self._database.wrapping() as connection:
            row = {
                "kind": kind,
                "name": name,
                "version": 1,
                "key_id": key_id,
                "wrapped": self._provider.wrap(draw_key(), self._context(kind, name, 1, key_id)),
                "created_at": to_micros(self._clock.now()),
            }
            connection.execute(self._database.insert_if_absent(NAMED_KEYS), row)

    def _context(self, kind: str, name: str, version: int, key_id: str) -> bytes:
        return bind("named/1", self._tenant, kind, name, version, key_id)

    def wrapped(self, connection: Connection) -> list[tuple[bytes, bytes]]:
        """Every present key as it is kept, with the context the provider opens it in."""
        c = NAMED_KEYS.c
        statement = sa.select(c.kind, c.name, c.version, c.key_id, c.wrapped).where(c.retired_at.is_(None))
        return [(row.wrapped, self._context(*row[:4])) for row in connection.execute(statement)]

    def rewrap(self) -> int:
        """Wrap every key anew under the present root version, retired ones too; how many there were."""
        c = NAMED_KEYS.c
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(c.kind, c.name, c.version, c.key_id, c.wrapped)).all()
        for row in rows:
            context = self._context(*row[:4])
            wrapped = self._provider.wrap(self._provider.unwrap(row.wrapped, context), context)
            same = (c.kind == row.kind, c.name == row.name, c.version == row.version, c.wrapped == row.wrapped)
            with self._database.transaction() as connection:
                connection.execute(NAMED_KEYS.update().where(*same).values(wrapped=wrapped))
        return len(rows)

    def forget(self) -> None:
        """Drop what is unwrapped in memory."""
        with self._lock:
            self._made.clear()
