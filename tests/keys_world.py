"""What the tests of closings share: rings and upkeep over one key table, its back-ups, and who can be read."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from consent_gateway.database import open_engine
from consent_gateway.errors import KeysUnavailable
from consent_gateway.ports import Clock, KeyProvider
from consent_gateway.protection.backups import Backup
from consent_gateway.protection.file_provider import FileKeyProvider
from consent_gateway.protection.jobs import unhindered
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.material import PersonKeys
from consent_gateway.protection.tables import PERSON_KEYS, SHARD_KEYS
from consent_gateway.protection.upkeep import KeyEvidence, KeyUpkeep
from tests.databases import build_schema

TENANT = "acme"


def silent(_what: str, _done: int, _total: int) -> None:
    """No progress is shown."""


def file_provider(folder: Path) -> FileKeyProvider:
    """Root keys in a file with a copy, made at the first call."""
    path, copy = folder / "root.key", folder / "copy.key"
    return FileKeyProvider(path, copy) if path.exists() else FileKeyProvider.create(path, copy)


@dataclass
class KeyWorld:
    """One key table and its root, as several processes of a deployment have them."""

    url: str
    folder: Path
    clock: Clock
    provider: KeyProvider
    accounted: list[KeyEvidence] = field(default_factory=list)
    others: list["KeyWorld"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = open_engine(self.url, threads=8)
        build_schema(self.engine, "keys")
        self.backups = self.folder / "backups"
        self.backups.mkdir(exist_ok=True, mode=0o700)
        self._opened: list[KeyRing | KeyUpkeep] = []

    def ring(self) -> KeyRing:
        """A key ring with nothing in memory, as a process that has just started has it."""
        ring = KeyRing(self.provider, self.engine, TENANT, self.clock)
        self._opened.append(ring)
        return ring

    def upkeep(self) -> KeyUpkeep:
        """The operator's work on these keys."""
        upkeep = KeyUpkeep(self.provider, self.engine, TENANT, self.clock, self.accounted.append)
        self._opened.append(upkeep)
        return upkeep

    def beside(self, name: str) -> "KeyWorld":
        """A fresh, empty key table in a SQLite file, over the provider as it is now."""
        self.others.append(KeyWorld(f"sqlite:///{self.folder / name}.db", self.folder, self.clock, self.provider))
        return self.others[-1]

    def close_epoch(
        self, at: Callable[[str], None] = unhindered, *, remove_dead: bool = False, every_shard: bool = False
    ) -> KeyEvidence:
        """Close the present epoch into the world's own folder."""
        asked = {"remove_dead": remove_dead, "every_shard": every_shard}
        return self.upkeep().close_epoch(self.backups, silent, at=at, **asked)

    def under(self) -> set[int]:
        """The epochs that wrap the shard keys of everybody living."""
        shards = {(row.epoch, row.shard): row.under for row in self.rows(SHARD_KEYS)}
        return {shards[row.epoch, row.shard] for row in self.rows(PERSON_KEYS) if row.wrapped is not None}

    def rotate_root(self, at: Callable[[str], None] = unhindered, *, remove_dead: bool = False) -> KeyEvidence:
        """Rotate the root."""
        return self.upkeep().rotate_root(self.backups, silent, remove_dead=remove_dead, at=at)

    def back_up(self) -> Backup:
        """A verified back-up in the world's own folder."""
        return self.upkeep().back_up(self.backups, silent)

    def rows(self, table: sa.Table) -> list[sa.Row]:
        """Every row of a table."""
        with self.engine.connect() as connection:
            return list(connection.execute(sa.select(table)))

    def dispose(self) -> None:
        """Let go of the database, and of those beside it."""
        for each in (*self._opened, *self.others):
            each.dispose() if isinstance(each, KeyWorld) else each.close()
        self.engine.dispose()


def read(ring: KeyRing, data_subject: str) -> PersonKeys | None:
    """A person's keys, or None where they do not open."""
    try:
        return ring.person_keys(data_subject)
    except KeysUnavailable:
        return None


def readable(ring: KeyRing, people: Iterable[str]) -> set[str]:
    """Those of these people whose keys open."""
    return {one for one in people if read(ring, one) is not None}
