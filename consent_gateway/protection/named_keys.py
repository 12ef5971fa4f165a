"""Keys that belong to no one person: of domains, tokens, indexes and services, in versions; each wrapped by the root.

A key is known by its kind and name. Whoever needs one first makes it, and of two processes that do so at once one wins
and both use its key. The newest version makes what is new; every version that is not retired still reads what is old.
What is unwrapped stays in memory, but which versions there are is looked up again after 60 seconds: so long may a
process go on with a version that another replaced or retired. The look costs one statement, no call of the provider.
"""

import json
import threading
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from consent_gateway.database import to_micros
from consent_gateway.errors import Conflict, KeysUnavailable, NotFound, ProtectionRefused
from consent_gateway.ports import Clock, KeyProvider
from consent_gateway.protection.cache import LIFE
from consent_gateway.protection.key_database import KeyDatabase
from consent_gateway.protection.material import NamedKey, draw_key, draw_key_id
from consent_gateway.protection.primitives import bind
from consent_gateway.protection.tables import NAMED_KEYS

_ATTEMPTS = 8  # at drawing a key id nobody has; of a million ids a thousand may be taken

Parts = tuple[str | int, ...]

FOR_GOOD: Mapping[Parts, str] = MappingProxyType(
    {
        ("service", "suppression"): "its entries are all that is left of people erased, so none can be made anew",
        ("service", "receipts"): "of receipts in people's hands there is no copy, so none could be verified again",
        ("service", "webhook-secrets"): "webhooks' secrets are derived from it, so every receiver would refuse",
        ("service", "client-secrets"): "of clients' secrets there are only digests under it, so all would be refused",
    }
)
"""Keys that are never rotated or retired, by kind and name, each with the reason."""

_PRESENT = (
    sa.select(NAMED_KEYS.c.version, NAMED_KEYS.c.key_id, NAMED_KEYS.c.wrapped)
    .where(
        NAMED_KEYS.c.kind == sa.bindparam("kind"),
        NAMED_KEYS.c.name == sa.bindparam("name"),
        NAMED_KEYS.c.retired_at.is_(None),
    )
    .order_by(NAMED_KEYS.c.version.desc())
)


class _Taken(Exception):
    """A number or an id was given to another key first."""


class NamedKeys:
    """The named keys of one tenant. Safe to share between threads."""

    def __init__(self, provider: KeyProvider, database: KeyDatabase, tenant: str, clock: Clock) -> None:
        self._provider = provider
        self._database = database
        self._tenant = tenant
        self._clock = clock
        self._read = database.prepared(_PRESENT)
        # By kind and name: when, until when that is enough, which versions.
        self._seen: dict[Parts, tuple[datetime, datetime, tuple[NamedKey, ...]]] = {}
        self._lock = threading.Lock()

    def key(self, kind: str, parts: Parts) -> NamedKey:
        """The present key of this kind and name; raises `KeysUnavailable` where it does not open."""
        return self.versions(kind, parts)[0]

    def versions(self, kind: str, parts: Parts) -> tuple[NamedKey, ...]:
        """Every version that is not retired, newest first; the first is made where there is none yet."""
        now = self._clock.now()
        seen = self._seen.get((kind, *parts))
        if seen is not None and seen[0] <= now < seen[1]:
            return seen[2]
        name = _name(parts)
        rows = self._read.rows(kind=kind, name=name)
        for _attempt in range(_ATTEMPTS):
            if rows:
                break
            self._add((kind,), name, first=True)
            rows = self._read.rows(kind=kind, name=name)  # ours, or that of whoever was first
        if not rows:
            raise KeysUnavailable(f"no present {kind} key could be made: see the inventory for retired ones")
        held = {} if seen is None else {key.key_id: key for key in seen[2]}
        made = tuple(held.get(row[1]) or self._opened(kind, name, *row) for row in rows)
        with self._lock:
            self._seen[kind, *parts] = (now, now + LIFE, made)
        return made

    def by_id(self, kind: str, key_id: str) -> NamedKey:
        """The version with this id, whatever its name; raises `KeysUnavailable` for one that is retired or unknown."""
        c = NAMED_KEYS.c
        name = self._row(sa.select(c.name).where(c.kind == kind, c.key_id == key_id))
        if name is None:
            raise KeysUnavailable(f"no {kind} key has this id: see the inventory")
        return self._found(kind, tuple(json.loads(name[0])), key_id)

    def existing(self, kind: str, parts: Parts, key_id: str | None) -> NamedKey:
        """The version of this name with this id, or the present one for None; never makes one.

        Raises `ProtectionRefused` where this name has no such key and `KeysUnavailable` where it was retired.
        """
        c = NAMED_KEYS.c
        of_name = (c.kind == kind, c.name == _name(parts))
        chosen = () if key_id is None else (c.key_id == key_id,)
        if self._row(sa.select(c.key_id).where(*of_name, *chosen).limit(1)) is None:
            raise ProtectionRefused("no such key belongs to this purpose and recipient: name those it was made for")
        return self.key(kind, parts) if key_id is None else self._found(kind, parts, key_id)

    def rotate(self, kind: str, parts: Parts) -> NamedKey:
        """Make a further version, durably, for all that is new; the ones before still read what is old.

        Raises `NotFound` where no version was ever made and `Conflict` for a key that must stay. Other processes use
        the new version within 60 seconds.
        """
        return self.rotate_together((kind,), parts)[0]

    def rotate_together(self, kinds: tuple[str, ...], parts: Parts) -> tuple[NamedKey, ...]:
        """`rotate` for several kinds of one name at once, under one number; a kind without a key gets its first."""
        for kind in kinds:
            _refuse_for_good(kind, parts)
        name = _name(parts)
        for _attempt in range(_ATTEMPTS):
            if self._add(kinds, name, first=False):
                break
        else:
            raise KeysUnavailable("no further key could be made: others rotate at the same time, run it again")
        self._forget(kinds, parts)
        return tuple(self.key(kind, parts) for kind in kinds)

    def retire(self, kind: str, parts: Parts, version: int) -> None:
        """Delete a version's wrapped key, durably; its row stays, so that its number and id are never used again.

        Raises `Conflict` for the present version or a key that must stay, and `NotFound` where there is none or it is
        retired. Other processes forget it within 60 seconds. A back-up of the key database from before still holds it,
        until the root version it was wrapped under is retired.
        """
        self.retire_together((kind,), parts, version)

    def retire_by_id(self, kind: str, key_id: str) -> None:
        """Retire the version with this id, also where no newer one of its name will ever be made.

        For keys that another list says are out of use. Raises `KeysUnavailable` for an id that is unknown and
        `NotFound` for one that is retired.
        """
        c = NAMED_KEYS.c
        with self._database.reading() as connection:
            found = connection.execute(sa.select(c.name, c.version).where(c.kind == kind, c.key_id == key_id)).first()
        if found is None:
            raise KeysUnavailable(f"no {kind} key has this id: see the inventory")
        self._retire((kind,), tuple(json.loads(found.name)), found.version, spare_present=False)

    def retire_together(self, kinds: tuple[str, ...], parts: Parts, version: int) -> tuple[str, ...]:
        """`retire` for several kinds of one name at once; returns the ids of the keys that are gone."""
        return self._retire(kinds, parts, version, spare_present=True)

    def _retire(self, kinds: tuple[str, ...], parts: Parts, version: int, *, spare_present: bool) -> tuple[str, ...]:
        for kind in kinds:
            _refuse_for_good(kind, parts)
        c = NAMED_KEYS.c
        of_name = (c.kind.in_(kinds), c.name == _name(parts))
        with self._database.transaction() as connection:
            self._database.erase_deleted(connection)
            present = connection.execute(sa.select(sa.func.max(c.version)).where(*of_name)).scalar_one()
            if spare_present and version == present:
                raise Conflict(f"version {version} is the present one: rotate first")
            chosen = (*of_name, c.version == version, c.retired_at.is_(None))
            gone = tuple(connection.execute(sa.select(c.key_id).where(*chosen).order_by(c.kind)).scalars())
            if not gone:
                raise NotFound(f"there is no version {version} that is not retired: see the inventory")
            connection.execute(
                NAMED_KEYS.update().where(*chosen).values(wrapped=None, retired_at=to_micros(self._clock.now()))
            )
        self._forget(kinds, parts)
        self._database.empty_log()
        return gone

    def load(self) -> None:
        """Unwrap every version that is not retired, in the provider's batches, so that no request has to."""
        with self._database.reading() as connection:
            rows = self._unretired(connection)
        now = self._clock.now()
        opened = self._provider.unwrap_many([(row.wrapped, self._context(*row[:4])) for row in rows])
        found: dict[Parts, list[NamedKey]] = {}
        for row, secret in zip(rows, opened, strict=True):
            found.setdefault((row.kind, *json.loads(row.name)), []).append(NamedKey(row.key_id, secret, row.version))
        with self._lock:
            self._seen.update({name: (now, now + LIFE, tuple(reversed(keys))) for name, keys in found.items()})

    def wrapped(self, connection: Connection) -> list[tuple[bytes, bytes]]:
        """Every key that is not retired as it is kept, with the context the provider opens it in."""
        return [(row.wrapped, self._context(*row[:4])) for row in self._unretired(connection)]

    def rewrap(self) -> int:
        """Wrap every key that is not retired anew under the present root version; how many there were."""
        c = NAMED_KEYS.c
        with self._database.reading() as connection:
            rows = self._unretired(connection)
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
            self._seen.clear()

    # -- inside

    def _forget(self, kinds: tuple[str, ...], parts: Parts) -> None:
        with self._lock:
            for kind in kinds:
                self._seen.pop((kind, *parts), None)

    def _row(self, statement: sa.Select[str]) -> sa.Row[str] | None:
        with self._database.reading() as connection:
            return connection.execute(statement).first()

    def _found(self, kind: str, parts: Parts, key_id: str) -> NamedKey:
        for _attempt in range(2):
            for key in self.versions(kind, parts):
                if key.key_id == key_id:
                    return key
            self._forget((kind,), parts)  # another process may have made it since we looked
        raise KeysUnavailable(f"the {kind} key with this id was retired: what it made cannot be turned back any more")

    def _unretired(self, connection: Connection) -> list[sa.Row[str, str, int, str, bytes]]:
        c = NAMED_KEYS.c
        statement = sa.select(c.kind, c.name, c.version, c.key_id, c.wrapped).where(c.retired_at.is_(None))
        return list(connection.execute(statement.order_by(c.kind, c.name, c.version)))

    def _opened(self, kind: str, name: str, version: int, key_id: str, wrapped: bytes) -> NamedKey:
        secret = self._provider.unwrap(wrapped, self._context(kind, name, version, key_id))
        return NamedKey(key_id, secret, version)

    def _add(self, kinds: tuple[str, ...], name: str, *, first: bool) -> bool:
        """Write the next version, or the first, of each of these keys; False where another process was before us."""
        c = NAMED_KEYS.c
        try:
            with self._database.wrapping() as connection:
                read = sa.select(sa.func.max(c.version)).where(c.kind.in_(kinds), c.name == name)
                highest = connection.execute(read).scalar_one()
                if highest is None and not first:
                    raise NotFound("no such key was ever made, so there is nothing to rotate: see the inventory")
                if highest is not None and first:
                    return False
                for kind in kinds:  # one that is taken undoes them all
                    row = self._fresh(kind, name, (highest or 0) + 1)
                    adding = self._database.insert_if_absent(NAMED_KEYS).values(row).returning(c.version)
                    if connection.execute(adding).first() is None:
                        raise _Taken
        except _Taken:
            return False
        return True

    def _fresh(self, kind: str, name: str, version: int) -> dict[str, object]:
        key_id = draw_key_id()
        return {
            "kind": kind,
            "name": name,
            "version": version,
            "key_id": key_id,
            "wrapped": self._provider.wrap(draw_key(), self._context(kind, name, version, key_id)),
            "created_at": to_micros(self._clock.now()),
        }

    def _context(self, kind: str, name: str, version: int, key_id: str) -> bytes:
        return bind("named/1", self._tenant, kind, name, version, key_id)


def _name(parts: Parts) -> str:
    return json.dumps(parts, separators=(",", ":"))


def _refuse_for_good(kind: str, parts: Parts) -> None:
    reason = FOR_GOOD.get((kind, *parts))
    if reason is not None:
        raise Conflict(f"the {kind} key `{parts[0]}` is never rotated or retired: {reason}")
